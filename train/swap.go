package train

import (
	"slices"

	"elbo/data"
	"elbo/model"
)

// GridTwin returns the configuration of a grid with the decoder of a VAE and its data.
// Pixels that are drawn afresh in every epoch become those of evaluation, drawn once: a
// table holds the posteriors of one data set.
func (c Config) GridTwin(extent []int, rule model.GridRule) Config {
	twin := DefaultConfig(GridModel)
	c.share(&twin)
	grid := twin.Settings.(*GridSettings)
	grid.Grid, grid.GridRule = slices.Clone(extent), rule
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
	twin.Data, twin.Limit, twin.Split, twin.Binarise = c.Data, c.Limit, slices.Clone(c.Split), c.Binarise
	twin.Size, twin.Channels, twin.Background, twin.Range = c.Size, c.Channels, c.Background, c.Range
	twin.Quick, twin.SplitBy, twin.SplitSeed = c.Quick, c.SplitBy, c.SplitSeed
	own, network := twin.network(), c.Network().clone()
	own.Hidden, own.Latent, own.Layers, own.Activation, own.ConvSettings = network.Hidden, network.Latent, network.Layers, network.Activation, network.ConvSettings
	if to, from := twin.mixtures(), c.mixtures(); to != nil && from != nil {
		*to = *from
	}
	twin.Likelihood, twin.Seed, twin.Workers = c.Likelihood, c.Seed, c.Workers
}

// mixtures is the setting of discretized-logistic-mixture, nil where the settings have none.
func (c Config) mixtures() *int {
	switch s := c.Settings.(type) {
	case *VAESettings:
		return &s.Mixtures
	case interface{ table() *TableSettings }:
		return &s.table().Mixtures
	}
	return nil
}
