package train

import (
	"context"
	"errors"

	"elbo/data"
	"elbo/model/infer"
)

// AssessOptions say what is to be known of the images besides the terms of the ELBO.
type AssessOptions struct {
	Samples int               // draws of z for each image: the k of L_k
	Seed    uint64            // of the draws
	Exact   bool              // log p(x) of a VAE by quadrature over its latent space
	AIS     *infer.AISOptions // log p(x) of a VAE by annealed importance sampling

	Scored   func(images int) // hears of images whose draws are scored; may be nil
	Progress func(images int) // hears of images whose quadrature has begun; may be nil
}

// Assess scores the images of v: a model with a table exactly, a VAE with draws from
// its encoder and, where asked for, by quadrature. The scores of single images are in
// Evaluation.PerImage, in the order of v.
func Assess(ctx context.Context, s *Setup, v data.View, o AssessOptions) (infer.Evaluation, error) {
	if s.EM != nil && o.AIS != nil {
		return infer.Evaluation{}, &ConfigError{errors.New("annealed importance sampling is for a VAE: log p(x) of a model with a table is a sum over its states, and exact without")}
	}
	if s.EM != nil {
		return infer.EvaluateTable(ctx, s.EM, v)
	}
	evaluator, err := infer.NewEvaluator(s.VAE, o.Samples)
	if err != nil {
		return infer.Evaluation{}, err
	}
	evaluator.Scored = o.Scored
	e, err := evaluator.Evaluate(ctx, v, o.Seed)
	if err == nil && o.Exact {
		var exact []infer.Exact
		var method string
		if exact, method, err = infer.Integrate(ctx, s.VAE.Joint, v, o.Progress); err == nil {
			e.AddExact(exact, method)
		}
	}
	if err == nil && o.AIS != nil {
		var a *infer.AIS
		if a, err = infer.EstimateAIS(ctx, s.VAE.Joint, v, o.Seed, *o.AIS); err == nil {
			e.AddAIS(a)
		}
	}
	return e, err
}
