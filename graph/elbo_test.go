package graph_test

import (
	"math"
	"testing"

	"elbo/graph"
	"elbo/graph/graphtest"
)

// naiveELBO is the bound of an image x with one draw of z, as it stands on paper:
// decode returns the logits l of the pixels.
func naiveELBO(x, mu, logVar, eps []float64, decode func(z []float64) []float64) float64 {
	z, recon, kl := make([]float64, len(mu)), 0.0, 0.0
	for j := range mu {
		z[j] = mu[j] + math.Exp(logVar[j]/2)*eps[j]
		kl += (mu[j]*mu[j] + math.Exp(logVar[j]) - logVar[j] - 1) / 2
	}
	for i, l := range decode(z) {
		recon += x[i]*l - math.Log(1+math.Exp(l))
	}
	return recon - kl
}

// TestTheGraphsBoundIsTheNaiveOne takes the posterior's parameters from an input and
// decodes by one affine map. cmd/elbo/doc/elbo.md tells the story of it.
func TestTheGraphsBoundIsTheNaiveOne(t *testing.T) {
	h, eps := graphtest.Random("h", 31, 1, B, 2*Z), graphtest.Random("eps", 32, 1, B, Z)
	w, bias := graphtest.Random("w", 33, 1, D, Z), graphtest.Random("b", 34, 1, D)
	pixels := graph.NewParam("x", B, D)
	for i := range pixels.Value {
		pixels.Value[i] = float32(i % 2)
	}
	var bound graph.Node
	program, err := graph.Build(graphtest.Engine(1), func(b *graph.Builder) {
		x, h, eps := b.Param(pixels), b.Param(h), b.Param(eps)
		beta, one := b.Input("beta", 1)
		one[0] = 1
		l := b.Affine(b.Reparameterise(h, eps), b.Param(w), b.Param(bias), graph.Identity)
		bound = b.Bound(b.BernoulliLogLik(x, l), b.KLStdNormal(h), beta)
		b.Output(bound)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := program.Run(); err != nil {
		t.Fatal(err)
	}
	wide := func(p *graph.Param, row, n int) []float64 {
		v := make([]float64, n)
		for i := range v {
			v[i] = float64(p.Value[row*n+i])
		}
		return v
	}
	decode := func(z []float64) []float64 { return naiveAffine(z, wide(w, 0, D*Z), wide(bias, 0, D), graph.Identity) }
	for i, got := range program.Values(bound) {
		posterior := wide(h, i, 2*Z)
		want := naiveELBO(wide(pixels, i, D), posterior[:Z], posterior[Z:], wide(eps, i, Z), decode)
		// Z operations for each of D logits, D + Z terms of the bound: each rounds by at
		// most 2^-24 of sums that stay below ten times the bound.
		if tolerance := 10 * math.Abs(want) * (D*Z + D + Z) * math.Exp2(-24); math.Abs(float64(got)-want) > tolerance {
			t.Errorf("image %d: the graph's bound is %.8g, want %.8g (± %.1g)", i, got, want, tolerance)
		}
	}
}
