package model

import (
	"math"
	"math/rand/v2"
	"testing"

	"elbo/graph"
	"elbo/graph/graphtest"
)

// TestAMembersDensityIsThatOfItsDraws: the same log q by the draw's noise and by the code,
// in a graph and without one; and its slope by central differences.
func TestAMembersDensityIsThatOfItsDraws(t *testing.T) {
	const members, dims = 3, 4
	q := DiagonalGaussian{Latent: dims}
	h, eps := graphtest.Random("h", 1, 1, members, 2*dims), graphtest.Random("eps", 2, 1, members, dims)
	var own, pairs, z graph.Node
	p, err := graph.Build(graphtest.Engine(1), func(b *graph.Builder) {
		draws, logQ := q.Draw(b, b.Param(h), b.Param(eps))
		z, own, pairs = draws, logQ(), q.LogProbs(b, draws, b.Param(h))
		b.Output(z, own, pairs)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Run(); err != nil {
		t.Fatal(err)
	}
	for r := range members {
		var code []float64
		for _, v := range p.Values(z)[r*dims:][:dims] {
			code = append(code, float64(v))
		}
		for k := range members {
			slope, member := make([]float64, dims), h.Value[k*2*dims:][:2*dims]
			want := q.LogDensity(member, code, slope)
			if got := float64(p.Values(pairs)[r*members+k]); math.Abs(got-want) > 1e-5*math.Max(1, math.Abs(want)) {
				t.Errorf("log q(z_%d|h_%d) is %g in a graph, %g without", r, k, got, want)
			}
			for j := range code {
				const step = 1e-5
				at := code[j]
				code[j] = at + step
				up := q.LogDensity(member, code, nil)
				code[j] = at - step
				down := q.LogDensity(member, code, nil)
				code[j] = at
				// The density is quadratic: only rounding is left, 2⁻⁵² |log q|/step.
				if d := (up - down) / (2 * step); math.Abs(d-slope[j]) > 1e-7*math.Max(1, math.Abs(d)) {
					t.Errorf("slope %d is %g, want %g", j, slope[j], d)
				}
			}
			if r == k && math.Abs(float64(p.Values(own)[r])-want) > 1e-5*math.Max(1, math.Abs(want)) {
				t.Errorf("log q of draw %d is %g by its noise, %g by its code", r, p.Values(own)[r], want)
			}
		}
	}
}

// TestMassOutsideABoxIsThatOfDraws in one dimension, where the bound is the mass: to four
// standard errors of a proportion.
func TestMassOutsideABoxIsThatOfDraws(t *testing.T) {
	q, noise, z := DiagonalGaussian{Latent: 1}, rand.New(rand.NewPCG(3, 4)), make([]float64, 1)
	const n = 20000
	for _, h := range [][]float32{{0, 0}, {1.5, -1}, {-3, 1}} {
		outside := 0.0
		for range n {
			if q.DrawMember(z, h, noise); math.Abs(z[0]) > 1.3 {
				outside++
			}
		}
		p := q.MassOutside(h, 1.3)
		if se := math.Sqrt(p * (1 - p) / n); math.Abs(outside/n-p) > 4*se {
			t.Errorf("%v: %g of the draws are outside, want %g ± %g", h, outside/n, p, se)
		}
	}
}
