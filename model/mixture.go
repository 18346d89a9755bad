package model

import "elbo/graph"

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

// Maximise is the M-step of a mixture: it sets the parameters to those that maximise
// the expected log-joint, plus the log of the smoothing prior, under the statistics.
func (m *EM) Maximise(s *Statistics) error {
	type closed interface{ maximise(s *Statistics) error }
	return m.states.(closed).maximise(s)
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

func (g *mGraph) compile(b *graph.Builder, c EMConfig, counts graph.Node, logPrior *graph.Param) error {
	if c.Prior == Shared {
		g.updates = append(g.updates, update{b.LogProportions(counts), logPrior})
	}
	var outputs []graph.Node
	for _, u := range g.updates {
		outputs = append(outputs, u.from)
	}
	var err error
	g.program, err = b.Compile(outputs...)
	return err
}

// bernoulliMixture: log p(x|z=k) = x·l_k + base_k, base_k = -Σ_D log(1 + exp l_k).
type bernoulliMixture struct {
	mGraph
	logits, base *graph.Param // [K, D], [K]
	a            float64
}

func newBernoulliMixture(c EMConfig, engine *graph.Engine, logPrior *graph.Param) (*bernoulliMixture, error) {
	k, d := c.States, c.Pixels
	m := &bernoulliMixture{logits: graph.NewParam("states.logits", k, d), base: graph.NewParam(baseName, k), a: c.Smoothing}
	b := graph.NewBuilder(engine)
	var sums, counts graph.Node
	sums, m.sums = b.Input("sums", k, d)
	counts, m.counts = b.Input("counts", k)
	zeros, _ := b.Input("zeros", k, d)
	logits := b.BernoulliMax(sums, counts, c.Smoothing)
	m.updates = []update{{logits, m.logits}, {b.BernoulliLogLik(zeros, logits), m.base}}
	return m, m.compile(b, c, counts, logPrior)
}

func (m *bernoulliMixture) params() []*graph.Param { return []*graph.Param{m.logits, m.base} }

func (m *bernoulliMixture) logLik(b *graph.Builder, x graph.Node) graph.Node {
	return b.Affine(x, b.Param(m.logits), b.Param(m.base), graph.Identity)
}

func (m *bernoulliMixture) bases() []float32 { return m.base.Value }

func (m *bernoulliMixture) means() []float32 {
	means := append([]float32(nil), m.logits.Value...)
	Bernoulli.Mean(means)
	return means
}

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
		sum += 2 * float64(base)
	}
	return m.a * sum
}

// gaussianMixture: log p(x|z=k) = base_k - ½ Σ_D λ_k (x - m_k)².
type gaussianMixture struct {
	mGraph
	centre                []float32    // input
	mean, precision, base *graph.Param // [K, D], [K, D], [K]
}

func newGaussianMixture(c EMConfig, engine *graph.Engine, logPrior *graph.Param) (*gaussianMixture, error) {
	k, d := c.States, c.Pixels
	m := &gaussianMixture{mean: graph.NewParam("states.mean", k, d), precision: graph.NewParam(PrecisionName, k, d), base: graph.NewParam(baseName, k)}
	b := graph.NewBuilder(engine)
	var sums, squares, counts, centre graph.Node
	sums, m.sums = b.Input("sums", k, d)
	squares, m.squares = b.Input("squares", k, d)
	counts, m.counts = b.Input("counts", k)
	centre, m.centre = b.Input("centre", k, d)
	precision := b.GaussianPrecision(sums, squares, counts, c.VarianceFloor)
	m.updates = []update{{b.GaussianMean(sums, counts, centre), m.mean}, {precision, m.precision}, {b.GaussianBase(precision), m.base}}
	return m, m.compile(b, c, counts, logPrior)
}

// maximise moves the centres to the means before the statistics become float32: about any
// other point a variance would be a difference that float32 does not hold.
func (m *gaussianMixture) maximise(s *Statistics) error {
	d := m.mean.Shape[1]
	near := &Statistics{Counts: s.Counts, Sums: make([]float64, len(s.Sums)), Squares: make([]float64, len(s.Squares))}
	for i := range s.Sums {
		m.centre[i] = s.Centre[i]
		if n := s.Counts[i/d]; n > 0 {
			m.centre[i] = float32(float64(s.Centre[i]) + s.Sums[i]/n)
		}
		near.Sums[i], near.Squares[i] = about(m.centre[i], s, i, i/d)
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
