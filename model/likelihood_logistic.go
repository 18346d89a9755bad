package model

import "elbo/graph"

// DiscretizedLogistic is the distribution of independent grey levels, 0 to 255, with the
// masses that logistic distributions have on their width. The decoder's output is their
// means, black 0 and white 1, and their log scales, [μ | log s] of a pixel's channels.
//
// Source: Kingma et al. 2016 (Inverse Autoregressive Flow).
type DiscretizedLogistic struct{ Channels int }

var _ Likelihood = DiscretizedLogistic{}

// Name returns "discretized-logistic".
func (DiscretizedLogistic) Name() LikelihoodName { return DiscretizedLogisticName }

// Measure returns ProbabilityMass.
func (DiscretizedLogistic) Measure() Measure { return ProbabilityMass }

// Params returns none.
func (DiscretizedLogistic) Params() []*graph.Param { return nil }

// Outputs returns two numbers a value.
func (DiscretizedLogistic) Outputs(pixels int) int { return 2 * pixels }

// LogProb adds log p(x|μ, s), see graph.Builder.DiscretizedLogisticLogLik.
func (l DiscretizedLogistic) LogProb(b *graph.Builder, x, out graph.Node) graph.Node {
	return b.DiscretizedLogisticLogLik(x, out, l.Channels)
}

// Mean fills x with the means of the levels.
func (l DiscretizedLogistic) Mean(x, out []float32) {
	for i := range x {
		x[i] = float32(logisticMean(l.of(out, i)))
	}
}

// Draw fills x with levels: quantiles of uniform draws.
func (l DiscretizedLogistic) Draw(x, out []float32, noise Noise) {
	for i := range x {
		mu, logS := l.of(out, i)
		x[i] = level(logisticQuantile(mu, logS, noise.Float64()))
	}
}

// of returns the mean and the log scale of value i.
func (l DiscretizedLogistic) of(out []float32, i int) (mu, logS float64) {
	return float64(out[graph.PairOf(i, l.Channels)]), float64(out[graph.PairOf(i, l.Channels)+l.Channels])
}
