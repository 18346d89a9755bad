package train

import (
	"context"
	"slices"

	"elbo/data"
	"elbo/model"
)

// Inferences are the figures of one decoder p(x|z) on some images under different ways
// of inference, in nats per image. A table's evidence is that of another model than the
// others', as its p(z) is a sum over points: it may lie on either side of log p(x).
type Inferences struct {
	Images   int       `json:"images"`
	LogP     LogP      `json:"log_p"`          // under the prior N(0, I), by quadrature
	Table    LogP      `json:"table"`          // under the grid's p(z), by its table: exact for the model made discrete
	ELBOStar Estimate  `json:"elbo_star"`      // each image's best diagonal Gaussian, prior N(0, I)
	ELBO     *Estimate `json:"elbo,omitempty"` // the encoder's, prior N(0, I)
}

// AssessInferences measures a decoder, that of a grid and of a VAE alike, on the images
// of v; under the VAE's encoder only where it is said to have one. tell hears what is
// done and for how many images.
func AssessInferences(ctx context.Context, grid, vae *Setup, encoder bool, v data.View, o GapOptions, tell func(what string, images int)) (*Inferences, error) {
	table, err := EvaluateEM(ctx, grid, v)
	if err != nil {
		return nil, err
	}
	var h []float32
	if encoder {
		if h, err = Encode(ctx, vae.VAE, v); err != nil {
			return nil, err
		}
	}
	o.Exact = true
	gap, err := assessGap(ctx, vae, v, h, o, tell)
	if err != nil {
		return nil, err
	}
	result := &Inferences{Images: v.N(), LogP: gap.LogP, Table: *table.LogP, ELBOStar: gap.ELBOStar}
	if encoder {
		result.ELBO = &gap.ELBO
	}
	return result, nil
}

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
	own, network := twin.network(), c.Network().clone()
	own.Hidden, own.Latent, own.Activation = network.Hidden, network.Latent, network.Activation
	twin.Likelihood, twin.Seed, twin.Workers = c.Likelihood, c.Seed, c.Workers
}
