package model

import (
	"fmt"
	"slices"
	"strings"

	"elbo/graph"
)

// Likelihood is p(x|z), the distribution of an image of D pixels given the O numbers that
// the decoder makes of z.
//
// What a likelihood knows in closed form it may offer besides: see [Natural].
type Likelihood interface {
	// Name is what it is called in flags and files.
	Name() LikelihoodName
	// Params returns what training may change besides the decoder.
	Params() []*graph.Param
	// Outputs returns O, the decoder's output for an image of the given number of pixels.
	Outputs(pixels int) int
	// LogProb adds log p(x|out) to a graph, summed over pixels, in nats: x is [B, D], out
	// [B·S, O], the result [B·S].
	LogProb(b *graph.Builder, x, out graph.Node) graph.Node
	// Mean fills x, [D], with E[x|out] for out, [O].
	Mean(x, out []float32)
	// Draw fills x, [D], with a draw from p(x|out) for out, [O].
	Draw(x, out []float32, noise Noise)
	// Measure says what p(x|out) is.
	Measure() Measure
}

// Measure is what a likelihood is the value of, in words for tables and files. Nats of
// one measure do not compare with nats of another.
type Measure string

// The measures.
const (
	ProbabilityMass    Measure = "probability mass"
	ProbabilityDensity Measure = "density"
	NoLikelihood       Measure = "no likelihood" // it does not sum, or integrate, to 1 over x
)

// Natural is a likelihood that is linear in the image once the decoder's output is known:
//
//	log p(x|out) = a(x) + (x - c)·w(out) + b(out)
//
// so that the log-likelihoods of many images under many outputs are one matrix product.
// c, [D], is the same for all: a centre that keeps the sums small, or nil for 0.
type Natural interface {
	// Nodes replaces K decoder outputs, [K, D], by w, and returns c. b, [K], holds
	// log p(0|out) and is replaced by b(out).
	Nodes(e *graph.Engine, out, b []float32) (c []float64)
	// Centre fills into with x - c, [D], and returns a(x).
	Centre(into, x []float32, c []float64) float64
}

// Solved is a likelihood with parameters whose best values, everything else as it is, have a
// closed form: training sets them instead of moving them along their gradients.
type Solved interface {
	// Solved returns those of Params.
	Solved() []*graph.Param
	// Begin sets them for images whose pixels have this mean square.
	Begin(meanSquare float64)
	// Solve moves them a share of the way, from 0 to 1, to their best values for a batch,
	// of which grads are the gradients of the loss (minus the bound, nats per image of the
	// given number of pixels) with respect to them.
	Solve(grads [][]float32, pixels int, share float64)
	// Held says where a bound on a parameter keeps it from its best value, "" where none
	// does.
	Held() string
}

// LikelihoodName is the name of a likelihood in flags and files.
type LikelihoodName string

// The likelihoods that have a name. The decoder's output is one number a pixel.
const (
	BernoulliName           LikelihoodName = "bernoulli"            // pixels in {0, 1}; output: logits
	ContinuousBernoulliName LikelihoodName = "continuous-bernoulli" // grey levels in [0, 1]; output: logits
	GaussianName            LikelihoodName = "gaussian"             // grey levels; output: means
	// GreyBernoulliName is the cross-entropy of grey levels, the habit of many
	// tutorials. It is no likelihood: it does not integrate to 1 over x. It is here to
	// be compared with figures that were made with it.
	GreyBernoulliName LikelihoodName = "grey-bernoulli"
)

// likelihoodKind is a row of the table of likelihoods.
type likelihoodKind struct {
	name    LikelihoodName
	measure Measure
	binary  bool // it wants pixels in {0, 1}
	// of returns the likelihood. variance is for those that have one: 0 is learned.
	of func(variance float64) Likelihood
	// hasVariance: a variance may be chosen.
	hasVariance bool
}

// likelihoods is the table of the likelihoods that have a name.
func likelihoods() []likelihoodKind {
	return []likelihoodKind{
		{name: BernoulliName, measure: ProbabilityMass, binary: true, of: func(float64) Likelihood { return Bernoulli{} }},
		{name: ContinuousBernoulliName, measure: ProbabilityDensity, of: func(float64) Likelihood { return ContinuousBernoulli{} }},
		{name: GaussianName, measure: ProbabilityDensity, of: func(v float64) Likelihood { return NewGaussian(v) }, hasVariance: true},
		{name: GreyBernoulliName, measure: NoLikelihood, of: func(float64) Likelihood { return GreyBernoulli{} }},
	}
}

// Likelihoods lists their names.
func Likelihoods() []LikelihoodName {
	var names []LikelihoodName
	for _, k := range likelihoods() {
		names = append(names, k.name)
	}
	return names
}

// ParseLikelihood returns the name of a likelihood.
func ParseLikelihood(name string) (LikelihoodName, error) {
	return oneOf("likelihood", name, Likelihoods())
}

// NewLikelihood returns the likelihood of that name. variance is that of every pixel, for
// a likelihood that has one; 0: learned.
func NewLikelihood(name LikelihoodName, variance float64) (Likelihood, error) {
	k, err := name.kind()
	if err != nil {
		return nil, err
	}
	if variance != 0 && !k.hasVariance {
		return nil, fmt.Errorf("variance is %g, but likelihood is %s: only gaussian has a variance", variance, name)
	}
	return k.of(variance), nil
}

func (l LikelihoodName) kind() (likelihoodKind, error) {
	all := likelihoods()
	i := slices.IndexFunc(all, func(k likelihoodKind) bool { return k.name == l })
	if i < 0 {
		_, err := ParseLikelihood(string(l))
		return likelihoodKind{}, err
	}
	return all[i], nil
}

// Measure says what the likelihood of that name is the value of, "" for an unknown name.
func (l LikelihoodName) Measure() Measure {
	k, _ := l.kind()
	return k.measure
}

// IsLikelihood is false for the cross-entropy that only goes by the name.
func (l LikelihoodName) IsLikelihood() bool { return l.Measure() != NoLikelihood }

// Binary reports whether the likelihood wants pixels in {0, 1}.
func (l LikelihoodName) Binary() bool {
	k, _ := l.kind()
	return k.binary
}

// HasVariance reports whether the likelihood has a variance that can be chosen.
func (l LikelihoodName) HasVariance() bool {
	k, _ := l.kind()
	return k.hasVariance
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
