package infer

import (
	"context"
	"math"
	"slices"

	"elbo/data"
	"elbo/graph/elementary"
	"elbo/model"
)

// Table is what a model with K states makes of the images besides.
type Table struct {
	States     int     `json:"states"`
	Used       int     `json:"used"`        // states that hold at least half an image
	PriorBound float64 `json:"prior_bound"` // E_p(z)[log p(x|z)], nats per image
	PriorKL    float64 `json:"prior_kl"`    // KL(p(z) ‖ p(z|x))
	Entropy    float64 `json:"entropy"`     // of the posterior over states, nats per image
	BestState  float64 `json:"best_state"`  // max_z log p(x|z): what a prior chosen with the image in hand reaches
	Parameters int     `json:"parameters"`  // that the data choose

	// Criteria by which models that were fitted to these very images, all of them, are compared:
	// of others they mean nothing. They are -2 log L, in nats, plus a price for the parameters, so
	// that the lowest is the best; log L is that of all images together. Divided by -2 N they are
	// bounds per image.
	//
	// Source: Akaike 1974; Schwarz 1978; Biernacki, Celeux, Govaert 2000.
	AIC float64 `json:"aic"` // -2 log p(all images) + 2 parameters
	BIC float64 `json:"bic"` // -2 log p(all images) + parameters · log images
	ICL float64 `json:"icl"` // BIC + 2 entropy of the posteriors of all images: a state that is in doubt costs as well

	Clusters *Clusters `json:"clusters,omitempty"` // nil where the images have no labels
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
	return e.Each(ctx, v.Evaluated, v.N(), func(count int) bool { return f(e.Table()[:count*m.Config.States]) })
}

// EvaluateTable scores the images of v under a model with a table and its p(z): log p(x)
// is a sum over states, and so exact up to the rounding of float32. Peers score a part of the
// images each, all by a call; nil is for none.
func EvaluateTable(ctx context.Context, m *model.EM, v data.View, p Peers) (Evaluation, error) {
	const fields = 7
	counts := make([]float64, m.Config.States)
	rows, err := tableRows(ctx, m, Dealt(p, v), counts)
	if rows, err = Together(p, v.N(), fields, rows, err); err != nil {
		return Evaluation{}, err
	}
	if p != nil { // in another order, and only to count those that hold half an image
		if err := p.Sum(counts); err != nil {
			return Evaluation{}, err
		}
	}
	var recon, kl, bound, priorBound, entropy, best, rounding Running
	scores := make([]ImageScore, 0, v.N())
	likeliest, labels := make([]int, 0, v.N()), make([]int, 0, v.N())
	for row := range slices.Chunk(rows, fields) {
		evidence := row[0]
		bound.Add(evidence)
		recon.Add(row[1])
		kl.Add(row[1] - evidence)
		priorBound.Add(row[2])
		if label, ok := v.Label(len(scores)); ok {
			labels = append(labels, int(label))
		}
		scores = append(scores, ImageScore{
			Image: v.Index(len(scores)),
			Recon: row[1], KL: row[1] - evidence, ELBO: evidence,
			IW: evidence, LogP: evidence, Error: row[3],
		})
		rounding.Add(row[3])
		entropy.Add(row[4])
		best.Add(row[5])
		likeliest = append(likeliest, int(row[6]))
	}
	n, parameters := float64(v.N()), float64(m.FreeParameters())
	t := &Table{States: m.Config.States, Used: model.UsedStates(counts), PriorBound: priorBound.Mean, PriorKL: bound.Mean - priorBound.Mean, Entropy: entropy.Mean, BestState: best.Mean,
		Parameters: int(parameters), AIC: float64(-2*n*bound.Mean) + float64(2*parameters), BIC: float64(-2*n*bound.Mean) + float64(parameters*elementary.Log(n))}
	t.ICL = t.BIC + float64(2*n*entropy.Mean)
	if v.N() > 0 && len(labels) == v.N() {
		if t.Clusters, err = NewClusters(likeliest, labels); err != nil {
			return Evaluation{}, err
		}
	}
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

// tableRows returns, for each of the images of v, what is known of it under a model with a
// table: log p(x), E[log p(x|z)], the bound at q = p(z), the rounding, the entropy of its
// posterior, the best log p(x|z) and its most probable state. It adds the posteriors to counts.
func tableRows(ctx context.Context, m *model.EM, v data.View, counts []float64) ([]float64, error) {
	if v.N() == 0 {
		return nil, nil
	}
	e, err := m.NewEStep(min(tableImages, v.N()), false, false)
	if err != nil {
		return nil, err
	}
	states := m.Config.States
	var rows []float64
	err = e.Each(ctx, v.Evaluated, v.N(), func(count int) bool {
		recons, evidences, priorBounds := e.Recon(), e.Evidence(), e.PriorBound()
		table, joint, logLik := e.Table(), e.Joint(), e.LogLik()
		for i := range count {
			evidence := float64(evidences[i])
			h, top, first := 0.0, math.Inf(-1), 0
			row := table[i*states:][:states]
			for k, q := range row {
				if q > row[first] {
					first = k
				}
				counts[k] += float64(q)
				if q > 0 {
					h -= float64(float64(q) * (float64(joint[i*states+k]) - evidence))
				}
				top = max(top, float64(logLik[i*states+k]))
			}
			rows = append(rows, evidence, float64(recons[i]), float64(priorBounds[i]), e.Rounding(i), h, top, float64(first))
		}
		return true
	})
	return rows, err
}
