package infer

import (
	"context"

	"elbo/data"
	"elbo/model"
)

// Encode returns the encoder's numbers h of the posteriors, [N, H], of the images of v as
// evaluation sees them.
func Encode(ctx context.Context, m *model.VAE, v data.View) ([]float32, error) {
	if v.N() == 0 {
		return nil, nil
	}
	block, d := min(evaluationRows, v.N()), v.D()
	width, _ := m.Q.Posterior.Sizes()
	encoder, err := m.NewEncoder(block)
	if err != nil {
		return nil, err
	}
	x, all := make([]float32, block*d), make([]float32, 0, v.N()*width)
	for first := 0; first < v.N(); first += block {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		n := min(block, v.N()-first)
		v.EvaluatedRows(x, first, n)
		h, err := encoder.Encode(x)
		if err != nil {
			return nil, err
		}
		all = append(all, h[:n*width]...)
	}
	return all, nil
}
