package model

import (
	"errors"
	"fmt"
	"slices"

	"elbo/graph"
	"elbo/graph/elementary"
)

// Grid is a set of points in a latent space of one to three dimensions, with the
// prior's weight of each: N(0, I), made discrete.
type Grid struct {
	Extent     []int     // points along each dimension
	Points     []float32 // [K, Z], the first dimension slowest
	LogWeights []float32 // [K]
}

// GridRule says where the points of a grid stand, by its name in flags and files.
type GridRule string

// The rules, for n points along a dimension.
const (
	EqualMass GridRule = "equal-mass"    // the medians of n slices of N(0, 1) of equal mass, equal weights
	Hermite   GridRule = "gauss-hermite" // nodes and weights of Gauss-Hermite quadrature for N(0, 1)
	Lattice   GridRule = "lattice"       // evenly spaced from -3 to 3, weights in proportion to N(0, 1)
)

// GridRules lists them all.
var GridRules = []GridRule{EqualMass, Hermite, Lattice}

// ParseGridRule returns the rule of that name.
func ParseGridRule(name string) (GridRule, error) { return oneOf("grid-rule", name, GridRules) }

// NewGrid returns the product of one-dimensional rules.
func NewGrid(rule GridRule, extent []int) (Grid, error) {
	if len(extent) < 1 || len(extent) > 3 {
		return Grid{}, fmt.Errorf("grid has %d dimensions, want 1 to 3", len(extent))
	}
	k := 1
	most, of := 100000, ""
	if rule == Hermite { // a dense eigenproblem
		most, of = 200, " for gauss-hermite"
	}
	for i, n := range extent {
		if n < 1 || n > most {
			return Grid{}, fmt.Errorf("grid has %d points along dimension %d, want 1 to %d%s", n, i+1, most, of)
		}
		if k *= n; k > 1<<24 {
			return Grid{}, fmt.Errorf("grid has more than %d points: take fewer along a dimension, or fewer dimensions", 1<<24)
		}
	}
	g := Grid{Extent: extent, Points: make([]float32, k*len(extent)), LogWeights: make([]float32, k)}
	stride := k
	for axis, n := range extent {
		points, logWeights, err := rule.line(n)
		if err != nil {
			return Grid{}, err
		}
		stride /= n
		for i := range k {
			g.Points[i*len(extent)+axis] = float32(points[i/stride%n])
			g.LogWeights[i] += float32(logWeights[i/stride%n])
		}
	}
	return g, nil
}

// line returns n points for N(0, 1) and the logarithms of their weights, which sum
// to 1.
func (r GridRule) line(n int) (points, logWeights []float64, err error) {
	points, logWeights = make([]float64, n), make([]float64, n)
	switch r {
	case EqualMass:
		for i := range n {
			points[i] = elementary.NormalQuantile((float64(i) + 0.5) / float64(n))
			logWeights[i] = -elementary.Log(float64(n))
		}
	case Hermite:
		hermite(points, logWeights)
	case Lattice:
		for i := range n {
			if n > 1 {
				points[i] = -3 + 6*float64(i)/float64(n-1)
			}
			logWeights[i] = -points[i] * points[i] / 2
		}
	default:
		_, err := ParseGridRule(string(r))
		return nil, nil, err
	}
	normalise(logWeights)
	return points, logWeights, nil
}

// normalise subtracts log Σ exp from logarithms.
func normalise(logs []float64) {
	top, sum := slices.Max(logs), 0.0
	for _, l := range logs {
		sum += elementary.Exp(l - top)
	}
	for i := range logs {
		logs[i] -= top + elementary.Log(sum)
	}
}

// GridModel is a model with a table whose K states are fixed points of a latent space,
// decoded by one network: a generative topographic map with a neural decoder. Its M-step
// takes gradient steps.
//
// Source: Bishop, Svensén, Williams 1998.
type GridModel struct {
	*EM
	grid decodedStates
}

// NewGridModel returns a grid whose decoder's parameters are drawn from the sources
// that init returns for their names.
func NewGridModel(c EMConfig, engine *graph.Engine, init Init) (*GridModel, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if c.Grid == nil {
		return nil, errors.New("grid is missing, want the points of one")
	}
	if err := c.Grid.architecture(c.Pixels).known(); err != nil {
		return nil, err
	}
	m := &GridModel{EM: &EM{Config: c, engine: engine, logPrior: graph.NewParam("prior.log_weight", c.States)}}
	copy(m.logPrior.Value, c.Grid.LogWeights)
	var err error
	if c.Likelihood.Pixels() == LevelPixels {
		m.grid, err = newLevelGrid(c, engine, init)
	} else {
		m.grid, err = newGridStates(c, engine, init)
	}
	m.states = m.grid
	return m, err
}

// Joint returns the grid's decoder under the continuous prior N(0, I), which the grid made
// discrete.
func (m *GridModel) Joint() *Joint {
	return &Joint{
		Pixels: m.Config.Pixels, Latent: len(m.Config.Grid.Extent), Engine: m.engine,
		Prior: StandardNormal{}, Decoder: m.grid.network(), Likelihood: m.grid.observed(),
	}
}

// decodedStates are states that a network makes of fixed points.
type decodedStates interface {
	states
	network() Network
	observed() Likelihood
	// take gives the M-graph the statistics of an E-step, but for their counts.
	take(s *Statistics)
	// expect returns Q, and leaves the gradients of -Q.
	expect() (float64, error)
	// decode sets what is derived from the present parameters.
	decode() error
	// weights are the inputs of the M-graph that hold the counts, [K].
	weights() []float32
	gradient(i int) []float32
}

// decoding is what decoded states have in common.
type decoding struct {
	decoder    Network
	likelihood Likelihood
	program    *graph.Program
	counts     []float32  // an input of the M-graph: n, [K]
	expected   graph.Node // the terms of Q, [K]
}

func (d *decoding) network() Network         { return d.decoder }
func (d *decoding) observed() Likelihood     { return d.likelihood }
func (d *decoding) weights() []float32       { return d.counts }
func (d *decoding) gradient(i int) []float32 { return d.program.Grad(i) }

// mean is Q of the last run.
func (d *decoding) mean() float64 {
	sum, images := 0.0, 0.0
	for k, v := range d.program.Values(d.expected) {
		if n := float64(d.counts[k]); n > 0 {
			sum, images = sum+float64(n*float64(v)), images+n
		}
	}
	return sum / images
}

// gridStates decodes every point of a grid to the logits of its pixels.
type gridStates struct {
	plainStatistics
	decoding
	logits, base *graph.Param // of the present parameters, [K, D], [K]: not saved

	means32   []float32 // an input of the M-graph: S/n, [K, D]
	outLogits graph.Node
	outBase   graph.Node
}

// newGridStates compiles the M-graph of a grid. What an M-step raises is, with the
// mean image of each state, x̄ = S/n,
//
//	Q = Σ_K n_k log p(x̄_k|z=k) / Σ n,
//
// the expected log-likelihood per image: a Bernoulli log-likelihood is linear in x. Its
// cost does not grow with the number of images. The gradients come from
// gorgonia.Grad.
func newGridStates(c EMConfig, engine *graph.Engine, init Init) (*gridStates, error) {
	k, d, z := c.States, c.Pixels, len(c.Grid.Extent)
	g := &gridStates{
		plainStatistics: plainStatistics{k, d},
		decoding:        decoding{decoder: c.Grid.architecture(d).decoder(d, init), likelihood: Bernoulli{}},
		logits:          graph.NewParam("states.logits", k, d), base: graph.NewParam(baseName, k),
	}
	var err error
	g.program, err = graph.Build(engine, func(b *graph.Builder) {
		var means, counts graph.Node
		points, at := b.Input("points", k, z)
		copy(at, c.Grid.Points)
		means, g.means32 = b.Input("means", k, d)
		counts, g.counts = b.Input("counts", k)
		zeros, _ := b.Input("zeros", k, d)
		g.outLogits = g.decoder.Apply(b, points)
		g.outBase = b.BernoulliLogLik(zeros, g.outLogits)
		g.expected = b.BernoulliLogLik(means, g.outLogits)
		b.Output(g.expected, g.outLogits, g.outBase)
		b.Gradients(b.NegMean(g.expected, counts), g.decoder.Params())
	})
	if err != nil {
		return nil, err
	}
	g.counts[0] = 1 // any weight: only the logits are of interest
	return g, g.decode()
}

// decode sets logits and base from the present parameters.
func (g *gridStates) decode() error {
	if err := g.program.Run(); err != nil {
		return err
	}
	copy(g.logits.Value, g.program.Values(g.outLogits))
	copy(g.base.Value, g.program.Values(g.outBase))
	return nil
}

func (g *gridStates) params() []*graph.Param { return g.decoder.Params() }

func (g *gridStates) logLik(b *graph.Builder, x graph.Node) graph.Node {
	return b.Affine(x, b.Param(g.logits), b.Param(g.base), graph.Identity)
}

func (g *gridStates) bases() []float32 { return g.base.Value }

func (g *gridStates) means() []float32 {
	means := make([]float32, len(g.logits.Value))
	Bernoulli{}.Mean(means, g.logits.Value)
	return means
}

func (g *gridStates) logPenalty() float64 { return 0 }

// take sets the mean images.
func (g *gridStates) take(s *Statistics) {
	for k, n := range s.Counts {
		for j := range g.d {
			i := k*g.d + j
			g.means32[i] = 0
			if n > 0 {
				g.means32[i] = float32(min(max(s.Sums[i]/n, 0), 1))
			}
		}
	}
}

func (g *gridStates) expect() (float64, error) {
	if err := g.decode(); err != nil {
		return 0, err
	}
	return g.mean(), nil
}

// Decoder returns the parameters that an M-step changes: those of the decoder.
func (m *GridModel) Decoder() []*graph.Param { return m.grid.network().Params() }

// Maximising gives the M-graph the statistics of an E-step, and updates a shared prior,
// whose M-step has a closed form.
func (m *GridModel) Maximising(s *Statistics) {
	m.grid.take(s)
	counts := m.grid.weights()
	for k, n := range s.Counts {
		counts[k] = float32(n)
		if m.Config.Prior == Shared {
			m.logPrior.Value[k] = graph.LogProbability(n / s.Images)
		}
	}
}

// Expected returns what an M-step raises, Q = E[log p(x|z)] per image in nats under the
// statistics that Maximising was given, at the present parameters. The gradients of -Q are
// left for DecoderGrad.
func (m *GridModel) Expected() (float64, error) { return m.grid.expect() }

// DecoderGrad returns the gradient of -Q with respect to the i-th of Decoder, after
// Expected; read-only, and valid until it is called again.
func (m *GridModel) DecoderGrad(i int) []float32 { return m.grid.gradient(i) }

// Refresh recomputes what is derived from the parameters, after they were set from
// outside.
func (m *GridModel) Refresh() error { return m.grid.decode() }
