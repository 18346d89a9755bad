package model

import (
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/mat"

	"elbo/graph"
	"elbo/graph/graphtest"
)

// bentFlow is a flow of the kind that is nowhere near the identity.
func bentFlow(name FlowName, dims, context int, seed uint64) *flow {
	rng := rand.New(rand.NewPCG(seed, 1))
	f := newFlow(FlowConfig{Name: name, Layers: 3, Hidden: 7}, "flow", dims, context, func(string) graph.Uniform { return rng })
	bend(f.Params(), rng)
	return f
}

func bend(params []*graph.Param, rng *rand.Rand) {
	for _, p := range params {
		for i := range p.Value {
			p.Value[i] = float32(0.5 * rng.NormFloat64())
		}
	}
}

var bentFlows = []struct {
	name          FlowName
	dims, context int
}{{CouplingFlow, 2, 0}, {CouplingFlow, 5, 3}, {AutoregressiveFlow, 2, 3}, {AutoregressiveFlow, 5, 3}, {AutoregressiveFlow, 9, 1}}

// TestAFlowHasItsInverseAndItsDeterminant: f⁻¹(f(z)) is z, and log |det ∂f/∂z| is that of
// a matrix of central differences, of both kinds of layers, with a context and without.
func TestAFlowHasItsInverseAndItsDeterminant(t *testing.T) {
	for _, c := range bentFlows {
		f, rng := bentFlow(c.name, c.dims, c.context, 1), rand.New(rand.NewPCG(2, 2))
		context := graphtest.Random("c", 3, 1, 1, max(1, c.context)).Value[:c.context]
		for range 5 {
			z := make([]float64, c.dims)
			for j := range z {
				z[j] = rng.NormFloat64()
			}
			moved := append([]float64(nil), z...)
			logDet := f.push(moved, context)
			back := append([]float64(nil), moved...)
			if other := f.pull(back, context); math.Abs(other-logDet) > 1e-9 {
				t.Errorf("%+v: log det %.12g there, %.12g back", c, logDet, other)
			}
			jacobian, shift := mat.NewDense(c.dims, c.dims, nil), 0.0
			for j := range z {
				// Scales are at most exp(6): rounding is magnified by no more than that.
				if math.Abs(back[j]-z[j]) > 1e-10*math.Max(1, math.Abs(z[j])) {
					t.Errorf("%+v: dimension %d is %.12g after both ways, want %.12g", c, j, back[j], z[j])
				}
				shift = max(shift, math.Abs(moved[j]-z[j]))
				const step = 1e-5
				up, down := append([]float64(nil), z...), append([]float64(nil), z...)
				up[j] += step
				down[j] -= step
				f.push(up, context)
				f.push(down, context)
				for i := range z {
					jacobian.Set(i, j, (up[i]-down[i])/(2*step))
				}
			}
			if want, _ := mat.LogDet(jacobian); math.Abs(logDet-want) > 1e-6*math.Max(1, math.Abs(want)) {
				t.Errorf("%+v: log |det| is %.9g, by differences %.9g", c, logDet, want)
			}
			if shift < 0.1 {
				t.Errorf("%+v: the flow hardly moves: this tests nothing", c)
			}
		}
	}
}

// TestAFlowInAGraphIsThatInFloat64 there and, of couplings, back.
func TestAFlowInAGraphIsThatInFloat64(t *testing.T) {
	const rows = 6
	for _, c := range bentFlows {
		f := bentFlow(c.name, c.dims, c.context, 4)
		z, context := graphtest.Random("z", 5, 1, rows, c.dims), graphtest.Random("c", 6, 1, rows, max(1, c.context))
		var moved, logDet, back, logDetBack graph.Node
		p, err := graph.Build(graphtest.Engine(2), func(b *graph.Builder) {
			var given *graph.Node
			if c.context > 0 {
				n := b.Param(context)
				given = &n
			}
			moved, logDet = f.forward(b, b.Param(z), given)
			b.Output(moved, logDet)
			if c.name == CouplingFlow {
				back, logDetBack = f.inverse(b, moved, given)
				b.Output(back, logDetBack)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Run(); err != nil {
			t.Fatal(err)
		}
		for r := range rows {
			want := make([]float64, c.dims)
			for j := range want {
				want[j] = float64(z.Value[r*c.dims+j])
			}
			det := f.push(want, context.Value[r*max(1, c.context):][:c.context])
			// Three layers of sums of some ten terms, each rounding by 2⁻²⁴ and stretched by
			// the next ones.
			near := func(got float32, want float64) bool {
				return math.Abs(float64(got)-want) < 2e-5*math.Max(1, math.Abs(want))
			}
			if got := p.Values(logDet)[r]; !near(got, det) {
				t.Errorf("%+v: log det %g in a graph, %g in float64", c, got, det)
			}
			for j, v := range want {
				if got := p.Values(moved)[r*c.dims+j]; !near(got, v) {
					t.Errorf("%+v: %g in a graph, %g in float64", c, got, v)
				}
				if c.name == CouplingFlow && math.Abs(float64(p.Values(back)[r*c.dims+j]-z.Value[r*c.dims+j])) > 1e-4 {
					t.Errorf("%+v: %g after both ways in a graph, want %g", c, p.Values(back)[r*c.dims+j], z.Value[r*c.dims+j])
				}
			}
			if c.name == CouplingFlow && !near(p.Values(logDetBack)[r], det) {
				t.Errorf("%+v: log det %g on the way back, want %g", c, p.Values(logDetBack)[r], det)
			}
		}
	}
}

// TestAFlowBeginsAsTheIdentity: the prior as N(0, I), the posterior as its base.
func TestAFlowBeginsAsTheIdentity(t *testing.T) {
	for _, name := range Flows {
		f := newFlow(FlowConfig{Name: name}, "flow", 4, 2, func(string) graph.Uniform { return rand.New(rand.NewPCG(7, 7)) })
		z := []float64{0.3, -1, 2, 5}
		if logDet := f.push(z, []float32{1, -2}); logDet != 0 || z[0] != 0.3 || z[1] != -1 || z[2] != 2 || z[3] != 5 {
			t.Errorf("%s: %v with log det %g, want the identity", name, z, logDet)
		}
	}
}

// TestFlowDensitiesIntegrateToOne over a grid in two dimensions that holds all but a
// negligible share of the mass: of the prior by its graph, of posteriors of both kinds of
// layers by the density of one member at a code of any. The entropy of the prior is that of
// its own draws: minus the mean of log p(z).
func TestFlowDensitiesIntegrateToOne(t *testing.T) {
	const h, reach = 0.05, 16.0
	side := int(2*reach/h) + 1
	prior := newFlowPrior(2, FlowConfig{Layers: 4, Hidden: 6}, func(string) graph.Uniform { return rand.New(rand.NewPCG(8, 8)) })
	bend(prior.Params(), rand.New(rand.NewPCG(9, 9)))
	density, err := (&Joint{Latent: 2, Prior: prior, Engine: graphtest.Engine(2)}).NewPriorDensity(side)
	if err != nil {
		t.Fatal(err)
	}
	families := map[FlowName]*FlowPosterior{}
	var member []float32
	for _, name := range Flows {
		q := &FlowPosterior{latent: 2, context: 3, flow: bentFlow(name, 2, 3, 10)}
		families[name] = q
		member = graphtest.Random("h", 11, 0.7, 1, 7).Value
	}
	mass, entropy := map[string]float64{}, 0.0
	z, logP := make([]float64, 2*side), make([]float64, side)
	for i := range side {
		for j := range side {
			z[2*j], z[2*j+1] = float64(i)*h-reach, float64(j)*h-reach
		}
		if err := density.At(z, logP, nil); err != nil {
			t.Fatal(err)
		}
		for j, l := range logP {
			p := h * h * math.Exp(l)
			mass["prior"] += p
			entropy -= p * l
			for name, q := range families {
				mass[string(name)] += h * h * math.Exp(q.logDensity(member, z[2*j:2*j+2]))
			}
		}
	}
	for what, m := range mass {
		// Scales of up to exp(±8) leave narrow ridges; that of these weights is well above h.
		if math.Abs(m-1) > 1e-3 {
			t.Errorf("%s: the density integrates to %.6f over the grid, want 1", what, m)
		}
	}
	const draws = 20000
	rng := rand.New(rand.NewPCG(12, 12))
	z, logP = make([]float64, 2*draws), make([]float64, draws)
	if density, err = (&Joint{Latent: 2, Prior: prior, Engine: graphtest.Engine(2)}).NewPriorDensity(draws); err != nil {
		t.Fatal(err)
	}
	for i := range draws {
		prior.Draw(z[2*i:2*i+2], rng)
	}
	if err := density.At(z, logP, nil); err != nil {
		t.Fatal(err)
	}
	mean, square := 0.0, 0.0
	for _, l := range logP {
		mean, square = mean-l/draws, square+l*l/draws
	}
	if se := math.Sqrt((square - mean*mean) / draws); math.Abs(mean-entropy) > 4*se+1e-3 {
		t.Errorf("entropy %.4f ± %.4f by draws, %.4f by the grid", mean, se, entropy)
	}
}

// logDensity is log q(z|h), in float64.
func (q *FlowPosterior) logDensity(h []float32, z []float64) float64 {
	at := append([]float64(nil), z...)
	mu, logVar, context := q.split(h)
	log := -q.flow.pull(at, context) - float64(q.latent)*math.Log(2*math.Pi)/2
	for j, v := range at {
		d := v - float64(mu[j])
		log -= (d*d*math.Exp(-float64(logVar[j])) + float64(logVar[j])) / 2
	}
	return log
}

// TestTheDensityOfAFlowsMemberAtAnothersDraw is that by both log-densities in float64, and
// that of its own draws is that of the graph.
func TestTheDensityOfAFlowsMemberAtAnothersDraw(t *testing.T) {
	for _, name := range Flows {
		const latent, context = 4, 3
		q := &FlowPosterior{latent: latent, context: context, flow: bentFlow(name, latent, context, 13)}
		h := graphtest.Random("h", 14, 0.5, 2, 2*latent+context)
		eps := graphtest.Random("eps", 15, 1, 2, latent)
		var z, logQ graph.Node
		p, err := graph.Build(graphtest.Engine(1), func(b *graph.Builder) {
			draws, log := q.Draw(b, b.Param(h), b.Param(eps))
			z, logQ = draws, log()
			b.Output(z, logQ)
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Run(); err != nil {
			t.Fatal(err)
		}
		member := func(k int) []float32 { return h.Value[k*len(h.Value)/2:][:len(h.Value)/2] }
		for r := range 2 {
			code := make([]float64, latent)
			for j := range code {
				code[j] = float64(p.Values(z)[r*latent+j])
			}
			// The code is rounded to float32, and the maps stretch what is lost.
			if own := q.logDensity(member(r), code); math.Abs(own-float64(p.Values(logQ)[r])) > 1e-3 {
				t.Errorf("%s: log q of draw %d is %.6f in a graph, %.6f in float64", name, r, p.Values(logQ)[r], own)
			}
			want := q.logDensity(member(1-r), code) - q.logDensity(member(r), code)
			if got := q.LogProbRatio(member(1-r), member(r), eps.Value[r*latent:][:latent]); math.Abs(got-want) > 1e-3 {
				t.Errorf("%s: log ratio %.6f, want %.6f", name, got, want)
			}
			if got := q.LogProbRatio(member(r), member(r), eps.Value[r*latent:][:latent]); math.Abs(got) > 1e-9 {
				t.Errorf("%s: log ratio of a member and itself %g, want 0", name, got)
			}
		}
	}
}

// TestADensityAtAnyCodeIsThatOfTheDraw: log q by the code, of each family that has it so, is
// that by the noise of the draw; of every code under every member it has the same on its
// diagonal, and is LogProb elsewhere.
func TestADensityAtAnyCodeIsThatOfTheDraw(t *testing.T) {
	const members, latent, context = 3, 4, 3
	for name, q := range map[string]Posterior{
		"full":     FullGaussian{latent},
		"coupling": CouplingPosterior{&FlowPosterior{latent: latent, context: context, flow: bentFlow(CouplingFlow, latent, context, 16)}},
	} {
		size, _ := q.Sizes()
		h, eps := graphtest.Random("h", 17, 0.5, members, size), graphtest.Random("eps", 18, 1, members, latent)
		var own, at, pairs, cross graph.Node
		p, err := graph.Build(graphtest.Engine(2), func(b *graph.Builder) {
			z, logQ := q.Draw(b, b.Param(h), b.Param(eps))
			own, at, pairs = logQ(), q.(Evaluable).LogProb(b, b.Param(h), z), q.(PairDensity).LogProbs(b, z, b.Param(h))
			cross = q.(Evaluable).LogProb(b, b.Tile(b.Param(h), members), b.Repeat(z, members))
			b.Output(own, at, pairs, cross)
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Run(); err != nil {
			t.Fatal(err)
		}
		for r := range members {
			// A code that is rounded to float32, on the way back through maps that stretch.
			if got, want := p.Values(at)[r], p.Values(own)[r]; math.Abs(float64(got-want)) > 1e-3 {
				t.Errorf("%s: log q of draw %d is %.6f by its code, %.6f by its noise", name, r, got, want)
			}
			for k := range members {
				got, want := float64(p.Values(pairs)[r*members+k]), float64(p.Values(cross)[r*members+k])
				if math.Abs(got-want) > 1e-4*math.Max(1, math.Abs(want)) {
					t.Errorf("%s: log q(z_%d|h_%d) is %.6f, by itself %.6f", name, r, k, got, want)
				}
			}
			if got, want := p.Values(pairs)[r*members+r], p.Values(at)[r]; math.Abs(float64(got-want)) > 1e-4 {
				t.Errorf("%s: on the diagonal %.6f, want %.6f", name, got, want)
			}
		}
	}
}
