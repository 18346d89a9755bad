package model

import "elbo/graph"

// DequantisedGaussian is the distribution of independent grey levels, 0 to 255, under a
// Gaussian density of each level and a fraction, (v + u)/256, with u uniform on [0, 1). The
// decoder's output is means and log variances, [μ | log σ²] of a pixel's channels.
//
// Its log-density, averaged over u, less log 256 for each value is a lower bound on the
// log-probability of the levels; so everything that is computed with it is a lower bound, log
// p(x) by quadrature too. It stands beside probabilities in bits per dimension, and is named a
// bound.
//
// Source: Theis, van den Oord, Bethge 2016.
type DequantisedGaussian struct{ Channels int }

var _ Likelihood = DequantisedGaussian{}

// Name returns "dequantised-gaussian".
func (DequantisedGaussian) Name() LikelihoodName { return DequantisedGaussianName }

// Measure returns BoundOnMass.
func (DequantisedGaussian) Measure() Measure { return BoundOnMass }

// Params returns none.
func (DequantisedGaussian) Params() []*graph.Param { return nil }

// Outputs returns two numbers a value.
func (DequantisedGaussian) Outputs(pixels int) int { return 2 * pixels }

// LogProb adds the bound, see graph.Builder.DequantisedGaussianLogLik.
func (l DequantisedGaussian) LogProb(b *graph.Builder, x, out graph.Node) graph.Node {
	return b.DequantisedGaussianLogLik(x, out, l.Channels)
}

// Mean fills x with the levels, not rounded, at which (v + ½)/256 is the mean.
func (l DequantisedGaussian) Mean(x, out []float32) {
	for i := range x {
		x[i] = min(max((float32(graph.Levels*out[graph.PairOf(i, l.Channels)])-0.5)/(graph.Levels-1), 0), 1)
	}
}

// Draw fills x with the levels that draws from the Gaussians fall in; what falls beside them is
// black or white.
func (l DequantisedGaussian) Draw(x, out []float32, noise Noise) {
	for i := range x {
		v := int(min(max(graph.Levels*drawPair(out, i, l.Channels, noise), 0), graph.Levels-1))
		x[i] = float32(v) / (graph.Levels - 1)
	}
}
