package model

import (
	"elbo/graph"
	"elbo/graph/elementary"
)

// Bernoulli is the distribution of independent pixels in {0, 1}. The decoder's output is
// their logits.
type Bernoulli struct{ logits }

// GreyBernoulli is Bernoulli's formula at grey levels: a cross-entropy, and no
// likelihood.
type GreyBernoulli struct{ logits }

var (
	_ Likelihood = Bernoulli{}
	_ Natural    = Bernoulli{}
	_ Likelihood = GreyBernoulli{}
	_ Natural    = GreyBernoulli{}
)

// Name returns "bernoulli".
func (Bernoulli) Name() LikelihoodName { return BernoulliName }

// Measure returns ProbabilityMass.
func (Bernoulli) Measure() Measure { return ProbabilityMass }

// Name returns "grey-bernoulli".
func (GreyBernoulli) Name() LikelihoodName { return GreyBernoulliName }

// Measure returns NoLikelihood.
func (GreyBernoulli) Measure() Measure { return NoLikelihood }

// logits is what the two have in common: log p(x|l) = Σ_D (x l - log(1 + exp l)).
type logits struct{ linear }

func (logits) Params() []*graph.Param { return nil }

func (logits) Outputs(pixels int) int { return pixels }

func (logits) LogProb(b *graph.Builder, x, out graph.Node) graph.Node {
	return b.BernoulliLogLik(x, out)
}

// Mean fills x with σ(l).
func (logits) Mean(x, out []float32) {
	for i, l := range out {
		x[i] = sigmoid(l)
	}
}

func (logits) Draw(x, out []float32, noise Noise) {
	for i, l := range out {
		x[i] = 0
		if noise.Float64() < 1/(1+elementary.Exp(-float64(l))) {
			x[i] = 1
		}
	}
}

func sigmoid(l float32) float32 { return float32(1 / (1 + elementary.Exp(-float64(l)))) }

// linear is the natural form of a likelihood that is x·out + log p(0|out).
type linear struct{}

// Nodes leaves both as they are: w is the decoder's output, b is log p(0|out).
func (linear) Nodes(*graph.Engine, []float32, []float32) []float64 { return nil }

// Centre copies x: c and a(x) are 0.
func (linear) Centre(into, x []float32, _ []float64) float64 {
	copy(into, x)
	return 0
}
