package model

import (
	"cmp"
	"errors"
	"fmt"
	"math"
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
	BoundOnMass        Measure = "bound on a probability mass"
	ProbabilityDensity Measure = "density"
	NoLikelihood       Measure = "no likelihood" // it does not sum, or integrate, to 1 over x
)

// Compares reports whether nats of m compare with nats of other: of one measure they do, and
// a bound on a probability stands beside probabilities.
func (m Measure) Compares(other Measure) bool {
	kind := func(m Measure) Measure {
		if m == BoundOnMass {
			return ProbabilityMass
		}
		return m
	}
	return kind(m) == kind(other)
}

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
	// Begin sets them where an untrained decoder leaves residuals of this mean square.
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

	// Of 256 grey levels, 0 to 255. Each of these is a probability, and its masses sum to 1; but
	// the last is a lower bound on one.
	DiscretizedLogisticName        LikelihoodName = "discretized-logistic"         // output: means and log scales
	DiscretizedLogisticMixtureName LikelihoodName = "discretized-logistic-mixture" // output: weights, means, log scales
	BetaBinomialName               LikelihoodName = "beta-binomial"                // output: logits of means and log concentrations
	DequantisedGaussianName        LikelihoodName = "dequantised-gaussian"         // output: means and log variances of (level + u)/256
)

// LikelihoodConfig is what a likelihood has to be told besides its name. Each has a use for
// some of it.
type LikelihoodConfig struct {
	Variance      float64 // of a Gaussian, for all pixels; 0: learned
	PixelVariance bool    // of a Gaussian: the decoder gives a variance for each pixel
	Mixtures      int     // components of a mixture for each pixel; 0: DefaultMixtures
	Channels      int     // values of a pixel; 0: 1
}

// DefaultMixtures is how many components the mixture of a pixel has unless told otherwise.
const DefaultMixtures = 5

// likelihoodKind is a row of the table of likelihoods.
type likelihoodKind struct {
	name    LikelihoodName
	measure Measure
	pixels  Pixels
	of      func(LikelihoodConfig) Likelihood
	// hasVariance, hasMixtures: these may be chosen.
	hasVariance, hasMixtures bool
}

// Pixels are what a likelihood takes for the value of a pixel.
type Pixels int

// The kinds of pixels.
const (
	AnyPixels    Pixels = iota // numbers in [0, 1]
	BinaryPixels               // 0 and 1
	LevelPixels                // v/255 for whole v
)

// likelihoods is the table of the likelihoods that have a name.
func likelihoods() []likelihoodKind {
	return []likelihoodKind{
		{name: BernoulliName, measure: ProbabilityMass, pixels: BinaryPixels, of: func(LikelihoodConfig) Likelihood { return Bernoulli{} }},
		{name: ContinuousBernoulliName, measure: ProbabilityDensity, of: func(LikelihoodConfig) Likelihood { return ContinuousBernoulli{} }},
		{name: GaussianName, measure: ProbabilityDensity, of: newGaussian, hasVariance: true},
		{name: GreyBernoulliName, measure: NoLikelihood, of: func(LikelihoodConfig) Likelihood { return GreyBernoulli{} }},
		{name: DiscretizedLogisticName, measure: ProbabilityMass, pixels: LevelPixels, of: func(c LikelihoodConfig) Likelihood { return DiscretizedLogistic{Channels: c.channels()} }},
		{name: DiscretizedLogisticMixtureName, measure: ProbabilityMass, pixels: LevelPixels, hasMixtures: true, of: func(c LikelihoodConfig) Likelihood {
			return LogisticMixture{Components: c.mixtures(), Channels: c.channels()}
		}},
		{name: BetaBinomialName, measure: ProbabilityMass, pixels: LevelPixels, of: func(c LikelihoodConfig) Likelihood { return BetaBinomial{Channels: c.channels()} }},
		{name: DequantisedGaussianName, measure: BoundOnMass, pixels: LevelPixels, of: func(c LikelihoodConfig) Likelihood { return DequantisedGaussian{Channels: c.channels()} }},
	}
}

func (c LikelihoodConfig) channels() int { return cmp.Or(c.Channels, 1) }
func (c LikelihoodConfig) mixtures() int { return cmp.Or(c.Mixtures, DefaultMixtures) }

// check adds the faults of what the likelihood l is told.
func (c LikelihoodConfig) check(l LikelihoodName, f *faults) {
	f.add(!(c.Variance >= 0) || math.IsInf(c.Variance, 0), "variance is %g, want a positive number, or \"learned\"", c.Variance)
	kind, err := l.kind()
	if err != nil {
		return // what else it may be told is not known
	}
	f.add(c.Variance != 0 && !kind.hasVariance, "variance is %g, but likelihood is %s: only gaussian has a variance", c.Variance, l)
	f.add(c.PixelVariance && !kind.hasVariance, "variance is pixel, but likelihood is %s: only gaussian has a variance", l)
	f.add(c.PixelVariance && c.Variance != 0, "variance is %g and one for each pixel: want one of the two", c.Variance)
	f.add(c.Mixtures != 0 && !kind.hasMixtures, "mixtures is %d, but likelihood is %s: want %s", c.Mixtures, l, DiscretizedLogisticMixtureName)
	f.add(c.Mixtures < 0 || c.Mixtures > graph.MostLogisticComponents, "mixtures is %d, want 1 to %d", c.Mixtures, graph.MostLogisticComponents)
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

// NewLikelihood returns the likelihood of that name.
func NewLikelihood(name LikelihoodName, c LikelihoodConfig) (Likelihood, error) {
	k, err := name.kind()
	if err != nil {
		return nil, err
	}
	var f faults
	c.check(name, &f)
	if len(f) > 0 {
		return nil, errors.Join(f...)
	}
	return k.of(c), nil
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

// Pixels says what pixels the likelihood takes.
func (l LikelihoodName) Pixels() Pixels {
	k, _ := l.kind()
	return k.pixels
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
