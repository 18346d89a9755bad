package train

import (
	"context"
	"errors"
	"math"

	"elbo/data"
	"elbo/model"
	"elbo/model/infer"
)

// AssessOptions say what is to be known of the images besides the terms of the ELBO.
type AssessOptions struct {
	Samples int               // draws of z for each image: the k of L_k
	Seed    uint64            // of the draws
	Exact   bool              // log p(x) of a VAE by quadrature over its latent space
	AIS     *infer.AISOptions // log p(x) of a VAE by annealed importance sampling

	Quadrature infer.QuadratureOptions // the zero value: infer.DefaultQuadrature
	Scored     func(images int)        // hears of images whose draws are scored; may be nil
	Progress   func(images int)        // hears of images whose quadrature has begun; may be nil
}

// ImageScore is what a model makes of one image, in nats.
type ImageScore struct {
	Image int     // its number in the part of the data set that it is from
	Recon float64 // E_q[log p(x|z)]
	KL    float64 // KL(q(z|x) ‖ p(z))
	ELBO  float64 // Recon - KL
	IW    float64 // L_k; the ELBO of a model with a table
	ESS   float64 // effective sample size of L_k out of k; 0 for a model with a table
	KHat  float64 // shape of the tail of L_k's weights, see infer.Tail; NaN where they are too few, 0 for a model with a table
	AIS   float64 // log p(x) by annealed importance sampling where Evaluation.AIS is known, else 0
	LogP  float64 // log p(x) where Evaluation.LogP is known, else 0
	Error float64 // of LogP, from the method
}

// Assess scores the images of v: a model with a table exactly, a VAE with draws from
// its encoder and, where asked for, by quadrature. The scores of single images are in
// Evaluation.PerImage, in the order of v.
func Assess(ctx context.Context, s *Setup, v data.View, o AssessOptions) (Evaluation, error) {
	if s.EM != nil && o.AIS != nil {
		return Evaluation{}, &ConfigError{errors.New("annealed importance sampling is for a VAE: log p(x) of a model with a table is a sum over its states, and exact without")}
	}
	if s.EM != nil {
		return EvaluateEM(ctx, s, v)
	}
	evaluator, err := NewEvaluator(s.VAE, o.Samples)
	if err != nil {
		return Evaluation{}, err
	}
	evaluator.Scored = o.Scored
	e, err := evaluator.Evaluate(ctx, v, o.Seed)
	if err == nil && o.Exact {
		err = addExact(ctx, s, v, o, &e)
	}
	if err == nil && o.AIS != nil {
		if e.AIS, err = infer.EstimateAIS(ctx, s.VAE.Joint, v, o.Seed, *o.AIS); err == nil {
			for i, logP := range e.AIS.PerImage {
				e.PerImage[i].AIS = logP
			}
		}
	}
	return e, err
}

// addExact gives an evaluation log p(x) by quadrature.
func addExact(ctx context.Context, s *Setup, v data.View, o AssessOptions, e *Evaluation) error {
	g := s.VAE.Joint
	if o.Quadrature == (infer.QuadratureOptions{}) {
		o.Quadrature = infer.DefaultQuadrature(g.Latent)
	}
	q, err := infer.NewQuadrature(g, o.Quadrature, v.N())
	if err != nil {
		return err
	}
	exact, err := q.Evidence(ctx, v, o.Progress)
	if err != nil {
		return err
	}
	var logP, stated, gap infer.Running
	missed := 0
	for i, x := range exact {
		score := &e.PerImage[i]
		if scatter := 1 / math.Sqrt(score.ESS); x.Missed(score.IW, scatter) {
			missed++
			x.LogP, x.Error = score.IW, scatter
		}
		score.LogP, score.Error = x.LogP, x.Error
		logP.Add(x.LogP)
		stated.Add(x.Error)
		gap.Add(x.LogP - score.ELBO)
	}
	e.LogP = &LogP{Value: logP.Mean, SE: logP.StandardError(), Error: stated.Mean, Method: q.Method(), Missed: missed}
	e.Gap = &PosteriorGap{Value: gap.Mean, SE: gap.StandardError()}
	return nil
}

// Joint returns p(x, z) of a VAE, or of a grid under the prior N(0, I).
func (s *Setup) Joint() (*model.Joint, error) {
	if s.VAE != nil {
		return s.VAE.Joint, nil
	}
	if j := s.EM.Joint(); j != nil {
		return j, nil
	}
	return nil, &ConfigError{errors.New("a mixture has no decoder, and no latent space to integrate over: its evidence is exact as it is")}
}
