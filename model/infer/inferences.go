package infer

import (
	"context"

	"elbo/data"
	"elbo/model"
)

// Inferences are the figures of one decoder p(x|z) on some images under different ways
// of inference, in nats per image. A table's evidence is that of another model than the
// others', as its p(z) is a sum over points: it may lie on either side of log p(x).
type Inferences struct {
	Images   int       `json:"images"`
	LogP     LogP      `json:"log_p"`          // under the VAE's prior, by quadrature
	Table    LogP      `json:"table"`          // under the grid's p(z), by its table: exact for the model made discrete
	ELBOStar Estimate  `json:"elbo_star"`      // each image's best member of the VAE's family, prior as above
	ELBO     *Estimate `json:"elbo,omitempty"` // the encoder's, prior as above
}

// CompareInferences measures a decoder, that of a grid and of a VAE alike, on the images
// of v; under the VAE's encoder only where it is said to have one. tell hears what is
// done and for how many images.
func CompareInferences(ctx context.Context, grid *model.EM, vae *model.VAE, encoder bool, v data.View, o GapOptions, tell func(what string, images int)) (*Inferences, error) {
	table, err := EvaluateTable(ctx, grid, v, nil)
	if err != nil {
		return nil, err
	}
	var encode func(v data.View) ([]float32, error)
	if encoder {
		encode = func(v data.View) ([]float32, error) { return Encode(ctx, vae, v) }
	}
	o.Exact = true
	gap, err := measureGap(ctx, vae.Joint, vae.Q.Posterior, v, encode, o, tell)
	if err != nil {
		return nil, err
	}
	result := &Inferences{Images: v.N(), LogP: gap.LogP, Table: *table.LogP, ELBOStar: gap.ELBOStar}
	if encoder {
		result.ELBO = &gap.ELBO
	}
	return result, nil
}
