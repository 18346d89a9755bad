package infer

import (
	"context"
	"math"

	"elbo/data"
	"elbo/graph"
	"elbo/graph/elementary"
	"elbo/model"
)

// Rate is the mean divergence of the posteriors of N images from the prior in two parts,
// with the aggregate q(z) = (1/N) Σ_n q(z|x_n) of the same images, in nats per image:
//
//	(1/N) Σ_n KL(q(z|x_n) ‖ p) = I_q(x; z) + KL(q(z) ‖ p),    0 ≤ I_q ≤ log N
//
// Only the second knows the prior. Where I_q has come to log N, q(z) has no two posteriors
// that overlap: of more images I_q would be larger, and the second part smaller.
//
// Source: Hoffman and Johnson 2016, "ELBO surgery".
type Rate struct {
	MutualInformation Estimate `json:"mutual_information"` // I_q(x; z) = E[log q(z|x) - log q(z)]
	Marginal          Estimate `json:"marginal_kl"`        // KL(q(z) ‖ p(z)), the rest of the mean divergence
	Ceiling           float64  `json:"ceiling"`            // log N
	Drawn             int      `json:"drawn"`              // images that z was drawn for, one draw each
}

// Saturated reports whether I_q is less than a nat below what N images can tell apart.
func (r *Rate) Saturated() bool { return r.Ceiling-r.MutualInformation.Value < 1 }

// ratePairs bounds the pairs of a draw and a posterior that SplitRate computes: more images
// have q(z) of them all, and draws of some. In 20 dimensions they take some 0.4 s of one CPU,
// a few hundredths of what 100 draws for each of 10 000 images take.
const ratePairs = 5_000_000

// Posteriors and draws of a block of pairs.
const (
	rateMembers = 512
	rateDraws   = 2048
)

// SplitRate splits the mean divergence of an evaluation by this evaluator, with draws from
// the seed: evenly spread over the images where they are too many for one each. It returns
// nil where the posterior's density is known at its own draws alone.
func (e *Evaluator) SplitRate(ctx context.Context, scored Evaluation, seed uint64) (*Rate, error) {
	family, ok := e.model.Q.Posterior.(model.PairDensity)
	n := len(scored.PerImage)
	if !ok || n == 0 {
		return nil, nil
	}
	drawn := min(n, max(1, ratePairs/n))
	excess, err := e.excess(ctx, family, scored.posteriors, evenly(n, drawn), scored.posteriors, seed)
	if err != nil {
		return nil, err
	}
	// The mean divergence is known of all images, and I_q of those with a draw: these count
	// in both.
	var information, with, without Running
	share, next := float64(drawn)/float64(n), 0
	for i, s := range scored.PerImage {
		if next < drawn && i == next*n/drawn {
			information.Add(excess[next])
			with.Add(float64(share*s.KL) - excess[next])
			next++
		} else {
			without.Add(s.KL)
		}
	}
	drawnSE, otherSE := with.StandardError(), (1-share)*without.StandardError()
	return &Rate{
		MutualInformation: information.Estimate(),
		Marginal:          Estimate{scored.KL - information.Mean, math.Sqrt(float64(drawnSE*drawnSE) + float64(otherSE*otherSE))},
		Ceiling:           elementary.Log(float64(n)),
		Drawn:             drawn,
	}, nil
}

// FromMembers estimates KL(q(z|x) ‖ q(z)) of each image of an evaluation by this evaluator from
// the mean q(z) of other posteriors, members [M, H], by one draw. It returns nil where the
// posterior's density is known at its own draws alone.
func (e *Evaluator) FromMembers(ctx context.Context, scored Evaluation, members []float32, seed uint64) ([]float64, error) {
	family, ok := e.model.Q.Posterior.(model.PairDensity)
	n := len(scored.PerImage)
	if !ok || n == 0 || len(members) == 0 {
		return nil, nil
	}
	return e.excess(ctx, family, scored.posteriors, evenly(n, n), members, seed)
}

// evenly returns some of the numbers from 0 to n-1, evenly spread.
func evenly(n, some int) []int {
	at := make([]int, some)
	for i := range at {
		at[i] = i * n / some
	}
	return at
}

// excess is log q(z|x_i) - log q(z) for a draw z ~ q(z|x_i) of each of the posteriors at
// those places in h, [N, H], where q(z) is the mean of the posteriors mixed, [M, H].
func (e *Evaluator) excess(ctx context.Context, family model.PairDensity, h []float32, places []int, mixed []float32, seed uint64) ([]float64, error) {
	q := e.model.Q.Posterior
	width, noise := q.Sizes()
	drawn, n := len(places), len(mixed)/width
	rows, members := min(drawn, rateDraws), min(n, rateMembers)
	var own, eps, others, present []float32
	var logOwn, logMixed graph.Node
	program, err := graph.Build(e.model.Engine, func(b *graph.Builder) {
		var hOwn, noises, hOthers, logits graph.Node
		hOwn, own = b.Input("h", rows, width)
		noises, eps = b.Input("eps", rows, noise)
		hOthers, others = b.Input("members", members, width)
		logits, present = b.Input("present", members)
		z, logQ := q.Draw(b, hOwn, noises)
		logOwn, logMixed = logQ(), b.LogMixture(family.LogProbs(b, z, hOthers), logits)
		b.Output(logOwn, logMixed)
	})
	if err != nil {
		return nil, err
	}
	excess, stream := make([]float64, drawn), new(data.Stream)
	for first := 0; first < drawn; first += rows {
		count := min(rows, drawn-first)
		for r := range count {
			i := places[first+r]
			copy(own[r*width:][:width], h[i*width:][:width])
			stream.Reset(seed, "eps/rate", uint64(i))
			stream.Normals(eps[r*noise:][:noise])
		}
		logQ := make([]float64, count)
		for r := range logQ {
			logQ[r] = math.Inf(-1)
		}
		for at := 0; at < n; at += members {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			block := min(members, n-at)
			copy(others, mixed[at*width:][:block*width])
			for k := range present {
				if present[k] = 0; k >= block {
					present[k] = float32(math.Inf(-1))
				}
			}
			if err := program.Run(); err != nil {
				return nil, err
			}
			for r, l := range program.Values(logMixed)[:count] { // the mean over the block
				logQ[r] = logSum(logQ[r], float64(l)+elementary.Log(float64(block)))
			}
		}
		for r, l := range program.Values(logOwn)[:count] {
			excess[first+r] = float64(l) - (logQ[r] - elementary.Log(float64(n)))
		}
	}
	return excess, nil
}

// logSum is log(exp a + exp b).
func logSum(a, b float64) float64 {
	if a < b {
		a, b = b, a
	}
	if math.IsInf(a, -1) {
		return a
	}
	return a + elementary.Log1p(elementary.Exp(b-a))
}
