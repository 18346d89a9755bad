package model

import (
	"errors"
	"math"

	"elbo/graph"
)

// TablePrior says who chooses p(z), the distribution over the states, by its name in flags
// and files.
type TablePrior string

// The choices.
const (
	// Fixed: the user does. Uniform over components, or the weights of a grid.
	Fixed TablePrior = "fixed"
	// Shared: the data do, one p(z) for all images: p(z) := the mean posterior. With
	// it the alternation is classical EM.
	Shared TablePrior = "shared"
	// PerImage: every image has a p(z) of its own, p(z) := p(z|x), again and again.
	// It sharpens to the state that explains the image best.
	PerImage TablePrior = "per-image"
)

// TablePriors lists them all.
var TablePriors = []TablePrior{Fixed, Shared, PerImage}

// ParseTablePrior returns the choice of that name.
func ParseTablePrior(name string) (TablePrior, error) { return oneOf("prior", name, TablePriors) }

// EMConfig is a model with a discrete latent variable of K states.
type EMConfig struct {
	Pixels     int // D
	States     int // K
	Channels   int // values of a pixel; 0: 1, or not known yet
	Likelihood LikelihoodName
	Mixtures   int // of discretized-logistic-mixture; 0: DefaultMixtures
	Prior      TablePrior

	// A mixture: one free image a state.
	Smoothing     float64 // a of the Beta(1+a, 1+a) prior of each Bernoulli pixel
	VarianceFloor float64 // least variance of a Gaussian pixel

	// A grid: states at fixed points, decoded by one network. Nil for a mixture.
	Grid *GridConfig
}

// GridConfig places the states of a grid in a latent space and gives it the decoder
// of a VAE.
type GridConfig struct {
	Grid
	Hidden     []int       // hidden layers of the encoder of a VAE with this decoder
	Network    NetworkName // "": dense
	Activation graph.Activation
	Conv       ConvConfig // of conv and residual
}

func (g GridConfig) architecture(pixels int) architecture {
	return architecture{pixels, len(g.Extent), g.Hidden, g.Network, g.Activation, g.Conv}
}

// Validate returns every fault.
func (c EMConfig) Validate() error {
	var f faults
	f.add(c.Pixels < 1, "pixels is %d, want at least 1", c.Pixels)
	f.add(c.States < 1, "components is %d, want at least 1", c.States)
	levels := c.Likelihood.Pixels() == LevelPixels && c.Likelihood.Measure() == ProbabilityMass
	f.add(!levels && c.Likelihood != BernoulliName && c.Likelihood != GaussianName, "likelihood is %q, want bernoulli, gaussian or a mass of 256 levels for a model with a table: discretized-logistic, discretized-logistic-mixture or beta-binomial", c.Likelihood)
	f.add(c.Grid != nil && c.Likelihood == GaussianName, "likelihood is %q, want bernoulli or a mass of 256 levels for a grid", c.Likelihood)
	f.add(c.Likelihood == DiscretizedLogisticMixtureName && c.Channels > 1, "likelihood is %q, under which a pixel's colours depend on each other, but a model with a table has a distribution for each colour by itself: want discretized-logistic or beta-binomial, --grey, or --model vae", c.Likelihood)
	LikelihoodConfig{Mixtures: c.Mixtures}.check(c.Likelihood, &f)
	if g := c.Grid; g != nil {
		f.add(len(g.LogWeights) != c.States || len(g.Points) != c.States*len(g.Extent), "grid has %d weights and %d coordinates, want %d and %d", len(g.LogWeights), len(g.Points), c.States, c.States*len(g.Extent))
		for i, h := range g.Hidden {
			f.add(h < 1, "hidden: layer %d has %d units, want at least 1", i+1, h)
		}
		g.architecture(c.Pixels).check(&f)
	}
	_, err := ParseTablePrior(string(c.Prior))
	f.add(err != nil, "prior: %w", err)
	f.add(!(c.Smoothing >= 0) || math.IsInf(c.Smoothing, 0), "smoothing is %g, want 0 or more", c.Smoothing)
	f.add(!(c.VarianceFloor >= 0) || math.IsInf(c.VarianceFloor, 0), "variance-floor is %g, want 0 or more", c.VarianceFloor)
	return errors.Join(f...)
}

// EM is a model with a discrete latent variable, fitted by alternating two compiled
// graphs:
//
//	E-graph  parameters, images  →  joint[n,k] = log p(z=k) + log p(x_n|z=k),
//	                                evidence, posterior table q, statistics of q
//	M-graph  statistics          →  parameters
//
// The M-graph sees the data only through n[k] = Σ_N q and S[k,:] = Σ_N q x (for
// Gaussians Σ_N q (x - c) and Σ_N q (x - c)², about a centre c[k,:]; for values of 256 levels
// how often each has each level, Σ_N q 1{x = v}).
//
// Source: Dempster, Laird, Rubin 1977; Neal and Hinton 1998 for the bound.
type EM struct {
	Config   EMConfig
	engine   *graph.Engine
	states   states
	logPrior *graph.Param // log p(z), [K]: fixed or shared
}

// states are what p(x|z) is made of.
type states interface {
	// params are the parameters that the M-step changes and a checkpoint keeps.
	params() []*graph.Param
	// logLik adds log p(x|z=k) to an E-graph: x is [B, D], the result [B, K].
	logLik(b *graph.Builder, x graph.Node) graph.Node
	// means returns E[x|z=k], [K, D].
	means() []float32
	// logPixel is log p(x_j|z=k) of the value x of pixel j, in nats, and drawPixel a draw.
	logPixel(k, j int, x float32) float64
	drawPixel(k, j int, noise Noise) float32
	// bases returns the part of log p(x|z=k) that knows no image, [K].
	bases() []float32
	// logPenalty is the log-density of the parameters under their smoothing prior,
	// up to a constant, summed; 0 without one.
	logPenalty() float64
	// newStatistics returns statistics of no images.
	newStatistics() *Statistics
	// addSums adds the statistics of a table q, [B, K], to an E-graph: see EStep.
	addSums(b *graph.Builder, q, x graph.Node) graph.Node
	// centre moves the centre of statistics of no images to where addSums has it.
	centre(s *Statistics)
	// size is what the terms of log p(x) of an image come to without their signs, in nats,
	// from the evidence, the posterior over states and the log-likelihoods, [K].
	size(evidence float32, q, logLik []float32) float64
}

// Params returns what a checkpoint keeps: the parameters of the states and log p(z).
func (m *EM) Params() []*graph.Param { return append(m.states.params(), m.logPrior) }

// Engine is what the model computes on.
func (m *EM) Engine() *graph.Engine { return m.engine }

// LogPrior returns log p(z) of the fixed or shared prior, [K].
func (m *EM) LogPrior() []float32 { return m.logPrior.Value }

// Means returns E[x|z=k] of every state, [K, D].
func (m *EM) Means() []float32 { return m.states.means() }

// LogPenalty is the smoothing prior's log-density of the parameters, summed over them,
// up to a constant. The M-step raises evidence plus penalty.
func (m *EM) LogPenalty() float64 { return m.states.logPenalty() }

// Rounding is what float32 may take from the mean of log p(x) over the images of the
// statistics, in nats per image, where recon is the mean of E_q[log p(x|z)]. log p(x|z) is
// a base and a sum of D terms, known to 2⁻²⁴ √D of what base and terms come to without
// their signs. That is at most 2 |base| + |log p(x|z)|: a Gaussian's terms have one sign, and
// those of a Bernoulli that are above 0 come to no more than -base.
func (m *EM) Rounding(s *Statistics, recon float64) float64 {
	sum := 0.0
	for k, base := range m.states.bases() {
		if n := s.Counts[k]; n > 0 {
			sum += float64(n * math.Abs(float64(base)))
		}
	}
	return 0x1p-24 * math.Sqrt(float64(m.Config.Pixels)) * (float64(2*sum/s.Images) + math.Abs(recon))
}

// FreeParameters counts the parameters that the data choose, for AIC and BIC.
func (m *EM) FreeParameters() int {
	n := 0
	for _, p := range m.states.params() {
		if p.Name != baseName { // a function of the others
			n += len(p.Value)
		}
	}
	if m.Config.Prior != Fixed { // of a prior per image, its average stands for other images
		n += m.Config.States - 1
	}
	return n
}

// Statistics are what an M-step sees of the data: sums over images, accumulated in
// float64 over chunks. Those of Gaussians are about a centre c for each state, which may be
// any point: an E-step takes the means it finds, so that a variance far smaller than the
// mean's square is not lost to rounding. Until something is added to them it is 0.
type Statistics struct {
	Images  float64
	Counts  []float64 // n[k] = Σ_N q, [K]
	Sums    []float64 // Σ_N q x, [K, D]; for Gaussians Σ_N q (x - c); of 256 levels Σ_N q 1{x = v}, [D·256, K]
	Squares []float64 // Σ_N q (x - c)², [K, D]; of Gaussians only
	Centre  []float32 // c, [K, D]; of Gaussians only
}

// NewStatistics returns statistics of no images.
func (m *EM) NewStatistics() *Statistics {
	return m.states.newStatistics()
}

// plainStatistics are those of states that are linear in the image.
type plainStatistics struct{ k, d int }

func (p plainStatistics) newStatistics() *Statistics {
	return &Statistics{Counts: make([]float64, p.k), Sums: make([]float64, p.k*p.d)}
}

func (plainStatistics) addSums(b *graph.Builder, q, x graph.Node) graph.Node { return b.Sums(q, x) }

func (plainStatistics) centre(*Statistics) {}

// size is -log p(x): the terms of Bernoulli pixels are all below 0.
func (plainStatistics) size(evidence float32, _, _ []float32) float64 {
	return math.Abs(float64(evidence))
}

// UsedStates counts the states that hold at least half an image, from n[k] = Σ_N q.
func UsedStates(counts []float64) int {
	used := 0
	for _, n := range counts {
		if n >= 0.5 {
			used++
		}
	}
	return used
}

// Clear sets all to 0, and lets the centre be chosen anew.
func (s *Statistics) Clear() {
	s.Images = 0
	clear(s.Counts)
	clear(s.Sums)
	clear(s.Squares)
	clear(s.Centre)
}

// Add adds factor times u. Statistics of no images take over its centre, others keep
// theirs:
//
//	Σ q (x - c) = Σ q (x - u) + n δ,  Σ q (x - c)² = Σ q (x - u)² + 2 δ Σ q (x - u) + n δ²,  δ = u - c
func (s *Statistics) Add(u *Statistics, factor float64) {
	if s.Images == 0 {
		copy(s.Centre, u.Centre)
	}
	s.Images += float64(factor * u.Images)
	addTo(s.Counts, u.Counts, factor)
	if s.Squares == nil {
		addTo(s.Sums, u.Sums, factor)
		return
	}
	d := len(s.Sums) / len(s.Counts)
	for i := range s.Sums {
		sum, square := about(s.Centre[i], u, i, i/d)
		s.Sums[i] += float64(factor * sum)
		s.Squares[i] += float64(factor * square)
	}
}

// about returns the i-th Σ q (x - c) and Σ q (x - c)² of u, a pixel of state k, about
// another centre.
func about(c float32, u *Statistics, i, k int) (sum, square float64) {
	n, delta := u.Counts[k], float64(u.Centre[i])-float64(c)
	moved := float64(n * delta)
	return u.Sums[i] + moved, u.Squares[i] + float64(delta*(float64(2*u.Sums[i])+moved))
}

func addTo(sum, x []float64, factor float64) {
	for i, v := range x {
		sum[i] += float64(factor * v)
	}
}

// PrecisionName is the parameter of a Gaussian mixture that holds 1/variance of every
// pixel, [K, D].
const PrecisionName = "states.precision"

// baseName is the parameter that holds, for each state, the part of log p(x|z) that
// knows no image: derived from the others, and kept beside them.
const baseName = "states.base"
