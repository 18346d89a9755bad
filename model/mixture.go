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
	logits, base *graph.Param // [K, D], [K]
	a            float64
}

func newBernoulliMixture(c EMConfig, engine *graph.Engine, logPrior *graph.Param) (*bernoulliMixture, error) {
	k, d := c.States, c.Pixels
	m := &bernoulliMixture{logits: graph.NewParam("states.logits", k, d), base: graph.NewParam(baseName, k), a: c.Smoothing}
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
	return m, m.compile(engine, c, logPrior, func(b *graph.Builder, sums, counts graph.Node) []update {
		var squares, centre graph.Node
		squares, m.squares = b.Input("squares", k, d)
		centre, m.centre = b.Input("centre", k, d)
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
