package train

import (
	"elbo/data"
	"elbo/model"
)

// GridTwin returns the configuration of a grid with the decoder of a VAE and its data.
// Pixels that are drawn afresh in every epoch become those of evaluation, drawn once: a
// table holds the posteriors of one data set.
func (c Config) GridTwin(extent []int, rule model.GridRule) Config {
	twin := DefaultConfig(GridModel)
	c.share(&twin)
	twin.Grid, twin.GridRule = extent, rule
	if twin.Binarise == data.Dynamic {
		twin.Binarise = data.Static
	}
	return twin
}

// VAETwin returns the configuration of a VAE with the decoder of a grid and its data.
func (c Config) VAETwin() Config {
	twin := DefaultConfig(VAEModel)
	c.share(&twin)
	return twin
}

// share gives a twin the data and the decoder's architecture.
func (c Config) share(twin *Config) {
	twin.Data, twin.Limit, twin.Split, twin.Binarise = c.Data, c.Limit, c.Split, c.Binarise
	twin.Likelihood, twin.Hidden, twin.Latent, twin.Activation = c.Likelihood, c.Hidden, c.Latent, c.Activation
	twin.Seed, twin.Workers = c.Seed, c.Workers
}
