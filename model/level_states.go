package model

import (
	"fmt"
	"math"

	"elbo/graph"
	"elbo/graph/elementary"
)

// Levelled is a likelihood under which the values of an image, of 256 levels each, are
// independent given the decoder's output: of a table's states it asks for no more than how often
// each value has each level.
type Levelled interface {
	Likelihood
	// Levels returns the family of a value's distributions; nil where values depend on each other.
	Levels() graph.LevelFamily
}

// Levels returns the family.
func (l DiscretizedLogistic) Levels() graph.LevelFamily {
	return graph.LogisticLevels{Channels: l.Channels}
}

// Levels returns the family, nil of colours: within a component green depends on red, and blue on
// both.
func (l LogisticMixture) Levels() graph.LevelFamily {
	if l.Channels > 1 {
		return nil
	}
	return graph.LogisticMixtureLevels{Components: l.Components}
}

// Levels returns the family.
func (l BetaBinomial) Levels() graph.LevelFamily {
	return graph.BetaBinomialLevels{Channels: l.Channels}
}

// levelled returns the likelihood of a table's states and its family.
func (c EMConfig) levelled() (Levelled, graph.LevelFamily, error) {
	l, err := NewLikelihood(c.Likelihood, LikelihoodConfig{Mixtures: c.Mixtures, Channels: c.Channels})
	if err != nil {
		return nil, nil, err
	}
	levelled, ok := l.(Levelled)
	if !ok {
		return nil, nil, fmt.Errorf("likelihood is %q, whose values have no masses", c.Likelihood)
	}
	return levelled, levelled.Levels(), nil
}

// levelStates are states whose values of 256 levels are independent:
//
//	log p(x|z=k) = Σ_D log P(x_d | out_kd)
//
// Their statistics are how often each value has each level in each state, Σ_N q 1{x_d = v}:
// Sums is [D·256, K], and so is the table of log-masses that an E-step reads.
type levelStates struct {
	engine *graph.Engine
	family graph.LevelFamily
	k, d   int
	out    *graph.Param // [K, O], what describes the values: a mixture's parameters, or a decoder's output
	masses *graph.Param // log P(v|out), [D·256, K], of the present out: not saved
}

func newLevelStates(c EMConfig, engine *graph.Engine) (levelStates, Levelled, error) {
	l, family, err := c.levelled()
	if err != nil {
		return levelStates{}, nil, err
	}
	return levelStates{
		engine: engine, family: family, k: c.States, d: c.Pixels,
		out:    graph.NewParam("states.out", c.States, l.Outputs(c.Pixels)),
		masses: graph.NewParam("states.log_masses", c.Pixels*graph.Levels, c.States),
	}, l, nil
}

// tabulate makes the masses those of out.
func (s *levelStates) tabulate() {
	s.engine.LevelTable(s.family, s.masses.Value, s.out.Value, s.k)
}

func (s *levelStates) logLik(b *graph.Builder, x graph.Node) graph.Node {
	return b.LevelStates(x, b.Param(s.masses))
}

func (s *levelStates) means() []float32 {
	means := make([]float32, s.k*s.d)
	s.engine.Split(s.d, 1, func(lo, hi int) {
		for j := lo; j < hi; j++ {
			for k := range s.k {
				mean := 0.0
				for v := range graph.Levels {
					mean += float64(float64(v) * elementary.Exp(s.logMass(k, j, v)))
				}
				means[k*s.d+j] = float32(mean / (graph.Levels - 1))
			}
		}
	})
	return means
}

// logMass is log P(v) of value j in state k.
func (s *levelStates) logMass(k, j, v int) float64 {
	return float64(s.masses.Value[(j*graph.Levels+v)*s.k+k])
}

func (s *levelStates) logPixel(k, j int, x float32) float64 {
	return s.logMass(k, j, int(math.Round(float64(x)*(graph.Levels-1))))
}

func (s *levelStates) drawPixel(k, j int, noise Noise) float32 {
	var masses [graph.Levels]float64
	for v := range masses {
		masses[v] = elementary.Exp(s.logMass(k, j, v))
	}
	return float32(pick(masses[:], noise.Float64())) / (graph.Levels - 1)
}

// bases are 0: no part of a log-mass knows no image.
func (s *levelStates) bases() []float32 { return make([]float32, s.k) }

func (s *levelStates) newStatistics() *Statistics {
	return &Statistics{Counts: make([]float64, s.k), Sums: make([]float64, s.d*graph.Levels*s.k)}
}

func (s *levelStates) addSums(b *graph.Builder, q, x graph.Node) graph.Node {
	return b.LevelSums(q, x)
}

func (s *levelStates) centre(*Statistics) {}

// size is -log p(x): all terms are below 0.
func (s *levelStates) size(evidence float32, _, _ []float32) float64 {
	return math.Abs(float64(evidence))
}

// expectedLogLik is Σ_N q log p(x|z) of all states, from their statistics.
func (s *levelStates) expectedLogLik(of *Statistics) float64 {
	sums := make([]float64, s.d)
	s.engine.Split(s.d, 1, func(lo, hi int) {
		for j := lo; j < hi; j++ {
			often, masses := of.Sums[j*graph.Levels*s.k:][:graph.Levels*s.k], s.masses.Value[j*graph.Levels*s.k:]
			for i, n := range often {
				if n != 0 {
					sums[j] += float64(n * float64(masses[i]))
				}
			}
		}
	})
	total := 0.0
	for _, sum := range sums {
		total += sum
	}
	return total
}

// levelGrid decodes every point of a grid to what describes the values of an image. What an
// M-step raises is, with the share h/n of each level of a value in a state,
//
//	Q = Σ_K n_k Σ_D Σ_v (h_kdv/n_k) log P(v|out_kd) / Σ n
type levelGrid struct {
	levelStates
	decoding
	shares []float32 // an input of the M-graph: h/n, [D·256, K]
	nodes  graph.Node
}

func newLevelGrid(c EMConfig, engine *graph.Engine, init Init) (*levelGrid, error) {
	s, l, err := newLevelStates(c, engine)
	if err != nil {
		return nil, err
	}
	g := &levelGrid{levelStates: s, decoding: decoding{decoder: c.Grid.architecture(c.Pixels).decoder(l.Outputs(c.Pixels), init), likelihood: l}}
	g.program, err = graph.Build(engine, func(b *graph.Builder) {
		points, at := b.Input("points", c.States, len(c.Grid.Extent))
		copy(at, c.Grid.Points)
		var shares, counts graph.Node
		shares, g.shares = b.Input("shares", c.Pixels*graph.Levels, c.States)
		counts, g.counts = b.Input("counts", c.States)
		g.nodes = g.decoder.Apply(b, points)
		g.expected = b.LevelExpected(shares, g.nodes, g.family)
		b.Output(g.expected, g.nodes)
		b.Gradients(b.NegMean(g.expected, counts), g.decoder.Params())
	})
	if err != nil {
		return nil, err
	}
	g.counts[0] = 1 // any weight: only the output is of interest
	return g, g.decode()
}

func (g *levelGrid) params() []*graph.Param { return g.decoder.Params() }
func (g *levelGrid) logPenalty() float64    { return 0 }

// decode sets out and the masses from the present parameters.
func (g *levelGrid) decode() error {
	if err := g.program.Run(); err != nil {
		return err
	}
	copy(g.out.Value, g.program.Values(g.nodes))
	g.tabulate()
	return nil
}

func (g *levelGrid) take(s *Statistics) {
	g.engine.Split(g.d*graph.Levels, 64, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			for k, n := range s.Counts {
				g.shares[i*g.k+k] = 0
				if n > 0 {
					g.shares[i*g.k+k] = float32(max(s.Sums[i*g.k+k]/n, 0))
				}
			}
		}
	})
}

func (g *levelGrid) expect() (float64, error) {
	if err := g.program.Run(); err != nil {
		return 0, err
	}
	return g.mean(), nil
}

// levelMixture is a mixture whose components have a free distribution for each value, of 256
// levels. Its M-step takes a few steps of scoring for each of them.
type levelMixture struct {
	levelStates
	a float64 // see smoothed
}

func newLevelMixture(c EMConfig, engine *graph.Engine) (*levelMixture, error) {
	s, _, err := newLevelStates(c, engine)
	if err != nil {
		return nil, err
	}
	m := &levelMixture{levelStates: s, a: c.Smoothing}
	numbers := make([]float32, m.family.Numbers())
	m.family.Begin(numbers, 0.5, 0.1)
	for k := range m.k {
		for j := range m.d {
			m.put(numbers, k, j)
		}
	}
	m.tabulate()
	return m, nil
}

func (m *levelMixture) params() []*graph.Param { return []*graph.Param{m.out} }

// row are the numbers of state k.
func (m *levelMixture) row(k int) []float32 { return m.out.Value[k*m.out.Shape[1]:][:m.out.Shape[1]] }

func (m *levelMixture) put(numbers []float32, k, j int) {
	for i, v := range numbers {
		m.row(k)[m.family.Place(j, i)] = v
	}
}

// smoothedLevels is how many levels the smoothing prior has seen: 0, 17, 34, ... 255.
const smoothedLevels = 16

// smoothed is the weight of each of these: a Beta(1+a, 1+a) prior of a pixel that is 0 or 1 is as
// if 2a images more had been seen, half of them of each outcome; here they are of smoothedLevels
// levels, in equal parts. No level, then, has a mass of 0 under the best parameters.
func (m *levelMixture) smoothed() float64 { return 2 * m.a / smoothedLevels }

// logPenalty is the smoothing prior's log-density, Σ_KD Σ_v a/8 log P(v) over its levels.
func (m *levelMixture) logPenalty() float64 {
	if m.a == 0 {
		return 0
	}
	sum := 0.0
	for j := range m.d {
		for v := 0; v < graph.Levels; v += (graph.Levels - 1) / (smoothedLevels - 1) {
			for _, l := range m.masses.Value[(j*graph.Levels+v)*m.k:][:m.k] {
				sum += float64(l)
			}
		}
	}
	return sum * m.smoothed()
}

// maximise raises, for each value of each state, Σ_v h_v log P(v|out), where h has the levels
// that the smoothing prior has seen besides. Each value is by itself, and none is lowered: so EM
// never lowers evidence plus penalty.
func (m *levelMixture) maximise(s *Statistics) error {
	m.engine.Split(m.d, 1, func(lo, hi int) {
		fit, smoothed := graph.NewLevelFit(m.family), float64(m.smoothed())
		numbers := make([]float32, m.family.Numbers())
		for j := lo; j < hi; j++ {
			for k := range m.k {
				h := fit.Weights()
				for v := range h {
					h[v] = max(s.Sums[(j*graph.Levels+v)*m.k+k], 0)
				}
				for v := 0; v < graph.Levels; v += (graph.Levels - 1) / (smoothedLevels - 1) {
					h[v] += smoothed
				}
				for i := range numbers {
					numbers[i] = m.row(k)[m.family.Place(j, i)]
				}
				fit.Raise(numbers)
				m.put(numbers, k, j)
			}
		}
	})
	m.tabulate()
	return nil
}

func (m *levelMixture) addLogLik(sum float64, s *Statistics, k int) float64 {
	if k == 0 { // of all at once: the statistics of one stand far from each other
		sum += m.expectedLogLik(s)
	}
	return sum
}

func (m *levelMixture) narrowest() (float64, int) { return math.Inf(1), -1 }

func (m *levelMixture) point(to []float64) []float64 { return appendFloats(to, m.out.Value, identity) }

func (m *levelMixture) setPoint(from []float64) []float64 {
	from = take(m.out.Value, from, identity)
	m.tabulate()
	return from
}
