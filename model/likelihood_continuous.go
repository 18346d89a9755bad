package model

import (
	"math"

	"elbo/graph"
	"elbo/graph/elementary"
)

// ContinuousBernoulli is the distribution of independent grey levels in [0, 1] with a
// density in proportion to exp(x l). The decoder's output is the logits l.
//
// Source: Loaiza-Ganem and Cunningham 2019.
type ContinuousBernoulli struct{ linear }

var (
	_ Likelihood = ContinuousBernoulli{}
	_ Natural    = ContinuousBernoulli{}
)

// Name returns "continuous-bernoulli".
func (ContinuousBernoulli) Name() LikelihoodName { return ContinuousBernoulliName }

// Measure returns ProbabilityDensity.
func (ContinuousBernoulli) Measure() Measure { return ProbabilityDensity }

// Params returns none.
func (ContinuousBernoulli) Params() []*graph.Param { return nil }

// Outputs returns one number a pixel.
func (ContinuousBernoulli) Outputs(pixels int) int { return pixels }

// LogProb adds log p(x|l) = Σ_D (x l - A(l)), see graph.Builder.ContinuousBernoulliLogLik.
func (ContinuousBernoulli) LogProb(b *graph.Builder, x, out graph.Node) graph.Node {
	return b.ContinuousBernoulliLogLik(x, out)
}

// Mean fills x with A'(l).
func (ContinuousBernoulli) Mean(x, out []float32) {
	for i, l := range out {
		x[i] = float32(graph.ContinuousBernoulliMean(float64(l)))
	}
}

// Draw fills x with the quantiles of uniform draws.
func (ContinuousBernoulli) Draw(x, out []float32, noise Noise) {
	for i, l := range out {
		x[i] = float32(continuousBernoulliQuantile(float64(l), noise.Float64()))
	}
}

// continuousBernoulliQuantile is the x in [0, 1] below which a share u of the
// distribution with logit l lies:
//
//	(exp(l x) - 1) / (exp(l) - 1) = u
//
// It is evaluated where exp(l) is below 1, by symmetry.
func continuousBernoulliQuantile(l, u float64) float64 {
	switch {
	case math.Abs(l) < 1e-8:
		return u
	case l > 0:
		return 1 - continuousBernoulliQuantile(-l, 1-u)
	default:
		return elementary.Log1p(u*elementary.Expm1(l)) / l
	}
}
