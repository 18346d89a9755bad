package model

import (
	"fmt"
	"math"
	"strings"

	"elbo/graph"
)

// Likelihood is the distribution of pixels given the decoder's output, by its name
// in flags and files.
type Likelihood string

// The likelihoods. The decoder's output is one number a pixel.
const (
	Bernoulli           Likelihood = "bernoulli"            // pixels in {0, 1}; output: logits
	ContinuousBernoulli Likelihood = "continuous-bernoulli" // grey levels in [0, 1]; output: logits
	Gaussian            Likelihood = "gaussian"             // grey levels; output: means
	// GreyBernoulli is the cross-entropy of grey levels, the habit of many
	// tutorials. It is no likelihood: it does not integrate to 1 over x. It is
	// here to be compared with figures that were made with it.
	GreyBernoulli Likelihood = "grey-bernoulli"
)

// Likelihoods lists them all.
var Likelihoods = []Likelihood{Bernoulli, ContinuousBernoulli, Gaussian, GreyBernoulli}

// ParseLikelihood returns the likelihood of that name.
func ParseLikelihood(name string) (Likelihood, error) {
	return oneOf("likelihood", name, Likelihoods)
}

// oneOf returns the choice that is called name.
func oneOf[T ~string](what, name string, choices []T) (T, error) {
	var names []string
	for _, c := range choices {
		if string(c) == name {
			return c, nil
		}
		names = append(names, string(c))
	}
	return "", fmt.Errorf("unknown %s %q, want one of %s", what, name, strings.Join(names, ", "))
}

// IsLikelihood is false for the cross-entropy that only goes by the name.
func (l Likelihood) IsLikelihood() bool { return l != GreyBernoulli }

// logLik adds log p(x|z) to a graph: x [B, D], out [B·S, D], the result [B·S].
// logVariance is used by the Gaussian alone.
func (l Likelihood) logLik(b *graph.Builder, x, out graph.Node, logVariance func() graph.Node) graph.Node {
	switch l {
	case ContinuousBernoulli:
		return b.ContinuousBernoulliLogLik(x, out)
	case Gaussian:
		return b.GaussianLogLik(x, out, logVariance())
	default:
		return b.BernoulliLogLik(x, out)
	}
}

// Mean replaces the decoder's output by the mean of each pixel, E[x|z].
func (l Likelihood) Mean(out []float32) {
	switch l {
	case Gaussian:
	case ContinuousBernoulli:
		for i, v := range out {
			out[i] = float32(graph.ContinuousBernoulliMean(float64(v)))
		}
	default:
		for i, v := range out {
			out[i] = float32(1 / (1 + math.Exp(-float64(v))))
		}
	}
}
