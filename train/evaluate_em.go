package train

import (
	"context"
	"math"

	"elbo/data"
	"elbo/model/infer"
)

// Posteriors calls f with the posterior table of the images of v, [n, K], a few images
// at a time and in order, until f returns false.
func (s *Setup) Posteriors(ctx context.Context, v data.View, f func(table []float32) bool) error {
	e, err := s.EM.NewEStep(min(emChunk, v.N()), false, false)
	if err != nil {
		return err
	}
	return s.eachChunk(ctx, e, v, func(count int) bool { return f(e.Table()[:count*s.EM.Config.States]) })
}

// EvaluateEM scores the images of v under a model with a table and its p(z): log p(x)
// is a sum over states, and so exact up to the rounding of float32.
func EvaluateEM(ctx context.Context, s *Setup, v data.View) (infer.Evaluation, error) {
	e, err := s.EM.NewEStep(min(emChunk, v.N()), false, false)
	if err != nil {
		return infer.Evaluation{}, err
	}
	states := s.EM.Config.States
	var recon, kl, bound, note, entropy, best, rounding infer.Running
	counts := make([]float64, states)
	scores := make([]infer.ImageScore, 0, v.N())
	err = s.eachChunk(ctx, e, v, func(count int) bool {
		recons, evidences, notes := e.Recon(), e.Evidence(), e.Note()
		table, joint, logLik := e.Table(), e.Joint(), e.LogLik()
		for i := range count {
			evidence := float64(evidences[i])
			bound.Add(evidence)
			recon.Add(float64(recons[i]))
			kl.Add(float64(recons[i]) - evidence)
			note.Add(float64(notes[i]))
			scores = append(scores, infer.ImageScore{
				Image: v.Index(len(scores)),
				Recon: float64(recons[i]), KL: float64(recons[i]) - evidence, ELBO: evidence,
				IW: evidence, LogP: evidence, Error: e.Rounding(i),
			})
			rounding.Add(e.Rounding(i))
			h, top := 0.0, math.Inf(-1)
			for k, q := range table[i*states:][:states] {
				counts[k] += float64(q)
				if q > 0 {
					h -= float64(q) * (float64(joint[i*states+k]) - evidence)
				}
				top = max(top, float64(logLik[i*states+k]))
			}
			entropy.Add(h)
			best.Add(top)
		}
		return true
	})
	if err != nil {
		return infer.Evaluation{}, err
	}
	n, parameters := float64(v.N()), float64(s.EM.FreeParameters())
	t := &infer.Table{States: states, Used: usedStates(counts), Note: note.Mean, NoteKL: bound.Mean - note.Mean, Entropy: entropy.Mean, BestState: best.Mean,
		Parameters: int(parameters), AIC: -2*n*bound.Mean + 2*parameters, BIC: -2*n*bound.Mean + parameters*math.Log(n)}
	t.ICL = t.BIC + 2*n*entropy.Mean
	return infer.Evaluation{
		Images: v.N(),
		Recon:  recon.Mean, ReconSE: recon.StandardError(),
		KL: kl.Mean, KLSE: kl.StandardError(),
		ELBO: bound.Mean, ELBOSE: bound.StandardError(),
		LogP:     &infer.LogP{Value: bound.Mean, SE: bound.StandardError(), Error: rounding.Mean, Method: "sum over states"},
		Table:    t,
		PerImage: scores,
	}, nil
}
