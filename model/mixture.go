package model

import (
	"math"
	"slices"

	"elbo/graph"
	"elbo/graph/elementary"
)

// Mixture is a model with a table whose K components are free images, each with a
// likelihood of its own; its M-step has a closed form, or of 256 levels takes steps that never
// lower the bound.
type Mixture struct {
	*EM
	components components
}

// components are states that are free of each other.
type components interface {
	states
	// maximise sets the parameters to the maximum of the expected log-joint, or nearer to it.
	maximise(s *Statistics) error
	// addLogLik adds Σ_N q log p(x|z=k) of a component, from its statistics, to a sum.
	addLogLik(sum float64, s *Statistics, k int) float64
	// point appends the parameters as a point, and setPoint sets them from its beginning
	// and returns the rest: see Point.
	point(to []float64) []float64
	setPoint(from []float64) (rest []float64)
	// narrowest is the least variance of a pixel of any component, and whose it is; +Inf
	// for a likelihood without one.
	narrowest() (variance float64, k int)
}

// NewMixture returns a mixture with free components, all alike and of equal weight.
func NewMixture(c EMConfig, engine *graph.Engine) (*Mixture, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	m := &Mixture{EM: &EM{Config: c, engine: engine, logPrior: graph.NewParam("prior.log_weight", c.States)}}
	for k := range m.logPrior.Value {
		m.logPrior.Value[k] = float32(-elementary.Log(float64(c.States)))
	}
	var err error
	switch c.Likelihood {
	case BernoulliName:
		m.components, err = newBernoulliMixture(c, engine, m.logPrior)
	case GaussianName:
		m.components, err = newGaussianMixture(c, engine, m.logPrior)
	default:
		m.components, err = newLevelMixture(c, engine)
	}
	m.states = m.components
	return m, err
}

// Maximise is the M-step: it sets the parameters to those that maximise the expected
// log-joint, plus the log of the smoothing prior, under the statistics.
func (m *Mixture) Maximise(s *Statistics) error { return m.components.maximise(s) }

// Refresh recomputes what is derived from the parameters, after they were set from outside.
func (m *Mixture) Refresh() error {
	if levels, ok := m.components.(*levelMixture); ok {
		levels.tabulate()
	}
	return nil
}

// Narrowest returns the least variance of a pixel of any component, and whose it is; +Inf
// for a likelihood without a variance.
func (m *Mixture) Narrowest() (variance float64, k int) { return m.components.narrowest() }

// ExpectedLogJoint returns Σ_N Σ_K q (log p(z=k) + log p(x|z=k)) at the present
// parameters, in nats over all images, from the statistics of a table q. The ELBO of the
// table is this plus the entropy of its rows: it needs no pass over images. It returns the
// two parts, the expected log-likelihood and the expected log p(z).
func (m *Mixture) ExpectedLogJoint(s *Statistics) (logLik, logPrior float64) {
	for k, n := range s.Counts {
		if n > 0 {
			logPrior += float64(n * float64(m.logPrior.Value[k]))
		}
		logLik = m.components.addLogLik(logLik, s, k)
	}
	return logLik, logPrior
}

// mGraph is the M-step of a mixture in closed form: one run maps statistics to
// parameters.
type mGraph struct {
	program               *graph.Program
	counts, sums, squares []float32 // inputs
	updates               []update
}

// update is an output of the M-graph and the parameter it becomes.
type update struct {
	from graph.Node
	into *graph.Param
}

func (g *mGraph) maximise(s *Statistics) error {
	narrow(g.counts, s.Counts)
	narrow(g.sums, s.Sums)
	narrow(g.squares, s.Squares)
	if err := g.program.Run(); err != nil {
		return err
	}
	for _, u := range g.updates {
		copy(u.into.Value, g.program.Values(u.from))
	}
	return nil
}

func narrow(into []float32, from []float64) {
	for i := range into {
		into[i] = float32(from[i])
	}
}

// compile builds the M-graph. describe returns the updates of the states' parameters from
// the statistics; that of a shared prior is the same for all.
func (g *mGraph) compile(engine *graph.Engine, c EMConfig, logPrior *graph.Param, describe func(b *graph.Builder, sums, counts graph.Node) []update) error {
	var err error
	g.program, err = graph.Build(engine, func(b *graph.Builder) {
		var sums, counts graph.Node
		sums, g.sums = b.Input("sums", c.States, c.Pixels)
		counts, g.counts = b.Input("counts", c.States)
		g.updates = describe(b, sums, counts)
		if c.Prior == Shared {
			g.updates = append(g.updates, update{b.LogProportions(counts), logPrior})
		}
		for _, u := range g.updates {
			b.Output(u.from)
		}
	})
	return err
}

// bernoulliMixture: log p(x|z=k) = x·l_k + base_k, base_k = -Σ_D log(1 + exp l_k).
type bernoulliMixture struct {
	mGraph
	plainStatistics
	logits, base *graph.Param // [K, D], [K]
	a            float64
}

func newBernoulliMixture(c EMConfig, engine *graph.Engine, logPrior *graph.Param) (*bernoulliMixture, error) {
	k, d := c.States, c.Pixels
	m := &bernoulliMixture{plainStatistics: plainStatistics{k, d}, logits: graph.NewParam("states.logits", k, d), base: graph.NewParam(baseName, k), a: c.Smoothing}
	return m, m.compile(engine, c, logPrior, func(b *graph.Builder, sums, counts graph.Node) []update {
		zeros, _ := b.Input("zeros", k, d)
		logits := b.BernoulliMax(sums, counts, c.Smoothing)
		return []update{{logits, m.logits}, {b.BernoulliLogLik(zeros, logits), m.base}}
	})
}

func (m *bernoulliMixture) params() []*graph.Param { return []*graph.Param{m.logits, m.base} }

func (m *bernoulliMixture) logLik(b *graph.Builder, x graph.Node) graph.Node {
	return b.Affine(x, b.Param(m.logits), b.Param(m.base), graph.Identity)
}

func (m *bernoulliMixture) bases() []float32 { return m.base.Value }

func (m *bernoulliMixture) means() []float32 {
	means := make([]float32, len(m.logits.Value))
	Bernoulli{}.Mean(means, m.logits.Value)
	return means
}

func (m *bernoulliMixture) addLogLik(sum float64, s *Statistics, k int) float64 {
	sum += float64(s.Counts[k] * float64(m.base.Value[k]))
	for j, l := range m.logits.Value[k*m.d:][:m.d] {
		sum += float64(s.Sums[k*m.d+j] * float64(l))
	}
	return sum
}

func (*bernoulliMixture) narrowest() (float64, int) { return math.Inf(1), -1 }

// logPenalty is Σ_KD a (log μ + log(1 - μ)).
func (m *bernoulliMixture) logPenalty() float64 {
	if m.a == 0 {
		return 0
	}
	// log μ + log(1-μ) = l - 2 log(1 + exp l), and base is what the second sums to.
	sum := 0.0
	for _, l := range m.logits.Value {
		sum += float64(l)
	}
	for _, base := range m.base.Value {
		sum += float64(2 * float64(base))
	}
	return m.a * sum
}

// gaussianMixture: log p(x|z=k) = base_k - ½ Σ_D λ_k (x - m_k)².
type gaussianMixture struct {
	mGraph
	at                    []float32    // the centre, an input
	mean, precision, base *graph.Param // [K, D], [K, D], [K]
	floor                 float64      // least variance of a pixel; 0: none
}

func newGaussianMixture(c EMConfig, engine *graph.Engine, logPrior *graph.Param) (*gaussianMixture, error) {
	k, d := c.States, c.Pixels
	m := &gaussianMixture{floor: c.VarianceFloor, mean: graph.NewParam("states.mean", k, d), precision: graph.NewParam(PrecisionName, k, d), base: graph.NewParam(baseName, k)}
	return m, m.compile(engine, c, logPrior, func(b *graph.Builder, sums, counts graph.Node) []update {
		var squares, centre graph.Node
		squares, m.squares = b.Input("squares", k, d)
		centre, m.at = b.Input("centre", k, d)
		precision := b.GaussianPrecision(sums, squares, counts, c.VarianceFloor)
		return []update{{b.GaussianMean(sums, counts, centre), m.mean}, {precision, m.precision}, {b.GaussianBase(precision), m.base}}
	})
}

// maximise moves the centres to the means before the statistics become float32: about any
// other point a variance would be a difference that float32 does not hold.
func (m *gaussianMixture) maximise(s *Statistics) error {
	d := m.mean.Shape[1]
	near := &Statistics{Counts: s.Counts, Sums: make([]float64, len(s.Sums)), Squares: make([]float64, len(s.Squares))}
	for i := range s.Sums {
		m.at[i] = s.Centre[i]
		if n := s.Counts[i/d]; n > 0 {
			m.at[i] = float32(float64(s.Centre[i]) + s.Sums[i]/n)
		}
		near.Sums[i], near.Squares[i] = about(m.at[i], s, i, i/d)
	}
	return m.mGraph.maximise(near)
}

func (m *gaussianMixture) params() []*graph.Param {
	return []*graph.Param{m.mean, m.precision, m.base}
}

func (m *gaussianMixture) logLik(b *graph.Builder, x graph.Node) graph.Node {
	return b.GaussianStates(x, b.Param(m.mean), b.Param(m.precision), b.Param(m.base))
}

func (m *gaussianMixture) bases() []float32    { return m.base.Value }
func (m *gaussianMixture) means() []float32    { return append([]float32(nil), m.mean.Value...) }
func (m *gaussianMixture) logPenalty() float64 { return 0 }

func (m *gaussianMixture) newStatistics() *Statistics {
	k, d := m.mean.Shape[0], m.mean.Shape[1]
	return &Statistics{Counts: make([]float64, k), Sums: make([]float64, k*d), Squares: make([]float64, k*d), Centre: make([]float32, k*d)}
}

// addSums sums about the present means.
func (m *gaussianMixture) addSums(b *graph.Builder, q, x graph.Node) graph.Node {
	return b.CentredSums(q, x, b.Param(m.mean))
}

func (m *gaussianMixture) centre(s *Statistics) { copy(s.Centre, m.mean.Value) }

// size is E_q[|base| + ½ Σ λ (x - m)²]: a Gaussian's density has terms of both signs, which
// may nearly cancel.
func (m *gaussianMixture) size(_ float32, q, logLik []float32) float64 {
	size := 0.0
	for k, base := range m.base.Value {
		if q[k] > 0 {
			size += float64(float64(q[k]) * (math.Abs(float64(base)) + math.Abs(float64(base)-float64(logLik[k]))))
		}
	}
	return size
}

func (m *gaussianMixture) addLogLik(sum float64, s *Statistics, k int) float64 {
	d := m.mean.Shape[1]
	sum += float64(s.Counts[k] * float64(m.base.Value[k]))
	for j, lambda := range m.precision.Value[k*d:][:d] {
		_, square := about(m.mean.Value[k*d+j], s, k*d+j, k)
		sum -= float64(float64(lambda) * square / 2)
	}
	return sum
}

func (m *gaussianMixture) narrowest() (variance float64, k int) {
	most := slices.Max(m.precision.Value)
	return 1 / float64(most), slices.Index(m.precision.Value, most) / m.mean.Shape[1]
}
