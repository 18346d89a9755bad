package infer

import (
	"context"
	"math"

	"elbo/data"
	"elbo/model"
)

// Table is what a model with K states makes of the images besides.
type Table struct {
	States     int     `json:"states"`
	Used       int     `json:"used"`       // states that hold at least half an image
	Note       float64 `json:"note"`       // E_p(z)[log p(x|z)], nats per image
	NoteKL     float64 `json:"note_kl"`    // KL(p(z) ‖ p(z|x))
	Entropy    float64 `json:"entropy"`    // of the posterior over states, nats per image
	BestState  float64 `json:"best_state"` // max_z log p(x|z): what a prior chosen with the image in hand reaches
	Parameters int     `json:"parameters"` // that the data choose
	AIC        float64 `json:"aic"`        // -2 log p(all images) + 2 parameters
	BIC        float64 `json:"bic"`        // -2 log p(all images) + parameters · log images
	ICL        float64 `json:"icl"`        // BIC + 2 entropy of all images
}

// tableImages is how many images have their posterior tables computed at once: enough for
// products to run at full speed.
const tableImages = 1000

// Posteriors calls f with the posterior table of the images of v under a model with a
// table, [n, K], a few images at a time and in order, until f returns false.
func Posteriors(ctx context.Context, m *model.EM, v data.View, f func(table []float32) bool) error {
	e, err := m.NewEStep(min(tableImages, v.N()), false, false)
	if err != nil {
		return err
	}
	return eachChunk(ctx, m, e, v, func(count int) bool { return f(e.Table()[:count*m.Config.States]) })
}

// eachChunk runs the E-graph over the images of v and calls f after each chunk with its
// number of images, until f returns false.
func eachChunk(ctx context.Context, m *model.EM, e *model.EStep, v data.View, f func(count int) bool) error {
	d := v.D()
	for first := 0; first < v.N(); first += e.Chunk() {
		if err := ctx.Err(); err != nil {
			return err
		}
		count := min(e.Chunk(), v.N()-first)
		m.Engine().Split(count, 100, func(lo, hi int) {
			for i := lo; i < hi; i++ {
				v.Pixels(e.X()[i*d:][:d], first+i, 0)
			}
		})
		if err := e.Run(count); err != nil {
			return err
		}
		if !f(count) {
			return nil
		}
	}
	return nil
}

// EvaluateTable scores the images of v under a model with a table and its p(z): log p(x)
// is a sum over states, and so exact up to the rounding of float32.
func EvaluateTable(ctx context.Context, m *model.EM, v data.View) (Evaluation, error) {
	e, err := m.NewEStep(min(tableImages, v.N()), false, false)
	if err != nil {
		return Evaluation{}, err
	}
	states := m.Config.States
	var recon, kl, bound, note, entropy, best, rounding Running
	counts := make([]float64, states)
	scores := make([]ImageScore, 0, v.N())
	err = eachChunk(ctx, m, e, v, func(count int) bool {
		recons, evidences, notes := e.Recon(), e.Evidence(), e.Note()
		table, joint, logLik := e.Table(), e.Joint(), e.LogLik()
		for i := range count {
			evidence := float64(evidences[i])
			bound.Add(evidence)
			recon.Add(float64(recons[i]))
			kl.Add(float64(recons[i]) - evidence)
			note.Add(float64(notes[i]))
			scores = append(scores, ImageScore{
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
		return Evaluation{}, err
	}
	used := 0
	for _, n := range counts {
		if n >= 0.5 {
			used++
		}
	}
	n, parameters := float64(v.N()), float64(m.FreeParameters())
	t := &Table{States: states, Used: used, Note: note.Mean, NoteKL: bound.Mean - note.Mean, Entropy: entropy.Mean, BestState: best.Mean,
		Parameters: int(parameters), AIC: -2*n*bound.Mean + 2*parameters, BIC: -2*n*bound.Mean + parameters*math.Log(n)}
	t.ICL = t.BIC + 2*n*entropy.Mean
	return Evaluation{
		Images: v.N(),
		Recon:  recon.Mean, ReconSE: recon.StandardError(),
		KL: kl.Mean, KLSE: kl.StandardError(),
		ELBO: bound.Mean, ELBOSE: bound.StandardError(),
		LogP:     &LogP{Value: bound.Mean, SE: bound.StandardError(), Error: rounding.Mean, Method: "sum over states"},
		Table:    t,
		PerImage: scores,
	}, nil
}
