package model

import (
	"elbo/graph"
	"elbo/graph/elementary"
)

// BetaBinomial is the distribution of independent grey levels, 0 to 255, that are drawn from
// binomial distributions whose shares come from beta distributions. The decoder's output is
// the logits of their means and the logarithms of their concentrations, of a pixel's
// channels.
type BetaBinomial struct{ Channels int }

var _ Likelihood = BetaBinomial{}

// Name returns "beta-binomial".
func (BetaBinomial) Name() LikelihoodName { return BetaBinomialName }

// Measure returns ProbabilityMass.
func (BetaBinomial) Measure() Measure { return ProbabilityMass }

// Params returns none.
func (BetaBinomial) Params() []*graph.Param { return nil }

// Outputs returns two numbers a value.
func (BetaBinomial) Outputs(pixels int) int { return 2 * pixels }

// LogProb adds log p(x|m, c), see graph.Builder.BetaBinomialLogLik.
func (l BetaBinomial) LogProb(b *graph.Builder, x, out graph.Node) graph.Node {
	return b.BetaBinomialLogLik(x, out, l.Channels)
}

// Mean fills x with m.
func (l BetaBinomial) Mean(x, out []float32) {
	for i := range x {
		x[i] = float32(1 / (1 + elementary.Exp(-float64(out[graph.PairOf(i, l.Channels)]))))
	}
}

// Draw fills x with levels: the first up to which the masses sum to more than a uniform draw.
func (l BetaBinomial) Draw(x, out []float32, noise Noise) {
	for i := range x {
		u := noise.Float64()
		masses := graph.BetaBinomialMasses(float64(out[graph.PairOf(i, l.Channels)]), float64(out[graph.PairOf(i, l.Channels)+l.Channels]))
		x[i] = float32(pick(masses[:], u)) / (graph.Levels - 1)
	}
}
