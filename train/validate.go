package train

import (
	"context"

	"elbo/model"
	"elbo/model/infer"
	"elbo/train/run"
)

// Validate returns the terms of the validation images under the present parameters, in
// nats per image, computed as a run computes them at the end of an epoch: from the same
// parameters, data and numerics it comes to the same bits. Nil without validation
// images.
func Validate(ctx context.Context, s *Setup) (*run.EpochTerms, error) {
	if s.Validation.N() == 0 {
		return nil, nil
	}
	if s.EM != nil {
		e, err := s.EM.NewEStep(min(emChunk, s.Validation.N()), false, false)
		if err != nil {
			return nil, err
		}
		return s.evidence(e, s.Validation)
	}
	e, err := infer.NewEvaluator(s.VAE, SettingsOf[VAESettings](s.Config).K)
	if err != nil {
		return nil, err
	}
	terms, _, err := s.validate(ctx, e)
	return terms, err
}

// validate scores the validation images of a VAE: by the bound of its objective, at
// weight 1 of the divergence. It returns that of each image as well.
func (s *Setup) validate(ctx context.Context, e *infer.Evaluator) (*run.EpochTerms, []float64, error) {
	v, err := e.Evaluate(ctx, s.Validation, s.Config.Seed)
	if err != nil {
		return nil, nil, err
	}
	bounds := make([]float64, len(v.PerImage))
	for i, score := range v.PerImage {
		if bounds[i] = score.ELBO; SettingsOf[VAESettings](s.Config).Objective == model.IWAE {
			bounds[i] = score.IW
		}
	}
	terms := &run.EpochTerms{Recon: v.Recon, KL: v.KL, Bound: v.ELBO, BoundSE: v.ELBOSE}
	if SettingsOf[VAESettings](s.Config).Objective == model.IWAE {
		terms.Bound, terms.BoundSE = v.IW.Bound, v.IW.SE
	}
	return terms, bounds, nil
}
