package graph

import (
	"math"

	"elbo/graph/elementary"
)

// The closed forms of the M-step: from the statistics of the states to their parameters.
// They are the counts n = Σ_N q [K] and S = Σ_N q x [K, D]; of Gaussians, with a centre c
// [K, D] for each, S = Σ_N q (x - c) and S2 = Σ_N q (x - c)². None has a gradient.

// LogitLimit bounds the logits of a mixture's pixels. Where a state has seen a pixel
// in one value only and nothing smooths, the maximum is a logit of ±∞; this much is
// below what float32 tells from it, and an outcome that was never seen costs this
// many nats.
const LogitLimit = 80

// BernoulliMax returns the logits of the pixel probabilities that maximise
// Σ_D S log μ + (n - S) log(1 - μ) plus the log-density of a Beta(1+a, 1+a) prior:
//
//	μ = (S + a) / (n + 2a),  logit μ = log(S + a) - log(n - S + a)
//
// sums is [K, D], counts [K]; the result is [K, D], bounded by LogitLimit. A state
// without weight and smoothing has the logit 0.
func (b *Builder) BernoulliMax(sums, counts Node, a float64) Node {
	k, d, e := sums.Rows(), sums.Cols(), b.engine
	b.want(counts.Rows() == k, "bernoullimax: sums %v and counts %v: want [K D] and [K]", sums.Shape(), counts.Shape())
	return b.apply(op{
		kind: "bernoullimax",
		in:   []Node{sums, counts},
		out:  []int{k, d},
		forward: func(y []float32, in [][]float32) {
			e.Split(k, 1+elementGrain/d/4, func(lo, hi int) {
				for s := lo; s < hi; s++ {
					n := float64(in[1][s])
					for j, sum := range in[0][s*d:][:d] {
						on := float64(sum) + a
						off := max(n-float64(sum), 0) + a // rounding of S may exceed n
						y[s*d+j] = float32(logit(on, off))
					}
				}
			})
		},
	})
}

// logit is log(on/off) within ±LogitLimit, and 0 where both are 0.
func logit(on, off float64) float64 {
	switch {
	case on <= 0 && off <= 0:
		return 0
	case on <= 0:
		return -LogitLimit
	case off <= 0:
		return LogitLimit
	}
	return min(max(elementary.Log(on/off), -LogitLimit), LogitLimit)
}

// GaussianMean returns c + S / n, [K, D]; 0 for a state without weight.
func (b *Builder) GaussianMean(sums, counts, centre Node) Node {
	d := sums.Cols()
	b.want(counts.Rows() == sums.Rows() && centre.Rows() == sums.Rows() && centre.Cols() == d,
		"gaussianmean: sums %v, counts %v, centre %v: want [K D], [K], [K D]", sums.Shape(), counts.Shape(), centre.Shape())
	return b.apply(op{
		kind: "gaussianmean",
		in:   []Node{sums, counts, centre},
		out:  sums.Shape(),
		forward: func(y []float32, in [][]float32) {
			for i, s := range in[0] {
				y[i] = 0
				if n := in[1][i/d]; n > 0 {
					y[i] = in[2][i] + s/n
				}
			}
		},
	})
}

// GaussianPrecision returns λ = 1/v with the variance v = max(S2/n - (S/n)², floor),
// [K, D]. A variance of 0, which only a floor of 0 lets through, gives +∞; a state
// without weight has the variance 1.
func (b *Builder) GaussianPrecision(sums, squares, counts Node, floor float64) Node {
	d := sums.Cols()
	b.want(counts.Rows() == sums.Rows() && squares.Rows() == sums.Rows() && squares.Cols() == d,
		"gaussianprecision: sums %v, squares %v, counts %v: want [K D], [K D], [K]", sums.Shape(), squares.Shape(), counts.Shape())
	return b.apply(op{
		kind: "gaussianprecision",
		in:   []Node{sums, squares, counts},
		out:  sums.Shape(),
		forward: func(y []float32, in [][]float32) {
			for i := range y {
				y[i] = 1
				if n := float64(in[2][i/d]); n > 0 {
					mean := float64(in[0][i]) / n
					y[i] = float32(1 / max(float64(in[1][i])/n-float64(mean*mean), floor))
				}
			}
		},
	})
}

// GaussianBase returns the part of a Gaussian's log-density that knows no image,
// ½ Σ_D (log λ - log 2π): precision is [K, D], the result [K], in nats.
func (b *Builder) GaussianBase(precision Node) Node {
	k, d := precision.Rows(), precision.Cols()
	return b.apply(op{
		kind: "gaussianbase",
		in:   []Node{precision},
		out:  []int{k},
		forward: func(y []float32, in [][]float32) {
			for s := range y {
				sum := 0.0
				for _, lambda := range in[0][s*d:][:d] {
					sum += elementary.Log(float64(lambda)) - elementary.Log(2*math.Pi)
				}
				y[s] = float32(sum / 2)
			}
		},
	})
}

// LogZero stands for the logarithm of 0 where numbers have to be finite: its
// exponential is 0, also after any log-likelihood is added.
const LogZero = -1e30

// LogProbability is log p, at least LogZero.
func LogProbability(p float64) float32 { return float32(max(elementary.Log(p), LogZero)) }

// LogProportions returns log(n / Σ n), the weights of a mixture that maximise
// Σ_K n log π: counts is [K], and so is the result. A state without weight gives LogZero.
func (b *Builder) LogProportions(counts Node) Node {
	return b.apply(op{
		kind: "logproportions",
		in:   []Node{counts},
		out:  counts.Shape(),
		forward: func(y []float32, in [][]float32) {
			sum := total(in[0])
			for i, n := range in[0] {
				y[i] = LogProbability(float64(n) / sum)
			}
		},
	})
}
