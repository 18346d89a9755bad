package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"gonum.org/v1/gonum/mat"

	"elbo/data"
	"elbo/graph"
	"elbo/graph/graphtest"
	"elbo/model"
	"elbo/model/modeltest"
)

// linearVAE is the VAE that p is, and a few images drawn from it, [n, D].
func linearVAE(t *testing.T, p *modeltest.PPCA, rng *rand.Rand, n int) (*model.VAE, []float32) {
	t.Helper()
	pixels, latent := p.W.Dims()
	m, err := model.NewVAE(model.VAEConfig{Pixels: pixels, Latent: latent, Activation: graph.ReLU, Likelihood: model.Gaussian, Variance: p.Variance, Objective: model.ELBO, Draws: 1},
		graphtest.Engine(2), func(string) graph.Uniform { return half{} })
	if err != nil {
		t.Fatal(err)
	}
	p.Fill(t, m.Params())
	var x []float32
	for range n {
		for _, v := range p.Sample(rng) {
			x = append(x, float32(v))
		}
	}
	return m, x
}

func quadrature(t *testing.T, g *model.Generator, o QuadratureOptions, x []float32) []Exact {
	t.Helper()
	q, err := NewQuadrature(g, o, len(x)/g.Pixels)
	if err != nil {
		t.Fatal(err)
	}
	exact, err := q.Pixels(context.Background(), x, nil)
	if err != nil {
		t.Fatal(err)
	}
	return exact
}

// TestQuadratureStatesAnErrorThatCoversTheTrueOne: against the closed form of a
// linear-Gaussian model, with posteriors from wide to a thousandth of the lattice's
// spacing, in one to three dimensions, correlated and not, on lattices that are fine, that
// are refined, and that are too coarse and left so, where the stated error must be large.
func TestQuadratureStatesAnErrorThatCoversTheTrueOne(t *testing.T) {
	for latent := 1; latent <= 3; latent++ {
		for _, scale := range []float64{0.3, 1, 3, 10, 100} { // posterior deviations of about s/(2·scale)
			for _, orthogonal := range []bool{true, false} {
				rng := rand.New(rand.NewPCG(uint64(latent), uint64(10*scale)))
				p := modeltest.RandomPPCA(t, rng, 12, latent, scale, 0.25, orthogonal)
				m, x := linearVAE(t, p, rng, 20)
				fine := DefaultQuadrature(latent)
				fine.Levels = 8
				if latent == 3 {
					fine.Spacing = 1. / 2 // as refined in the end, and quicker
				}
				coarse := fine
				coarse.Levels, coarse.Spacing = 0, 1
				for _, o := range []QuadratureOptions{fine, coarse} {
					worst := 0.0
					for i, e := range quadrature(t, m.Generator(), o, x) {
						truth := p.LogEvidence(modeltest.Floats(x[i*12:][:12]))
						off := math.Abs(e.LogP - truth)
						worst = max(worst, off)
						if off > e.Error {
							t.Errorf("%d dimensions, scale %g, orthogonal %v, spacing %g: log p(x) = %.6f, want %.6f: off by %.3g, stated error %.3g (%+v)", latent, scale, orthogonal, o.Spacing, e.LogP, truth, off, e.Error, e)
						}
						if o == fine && e.Error > 1e-2 {
							t.Errorf("%d dimensions, scale %g, orthogonal %v: stated error %.3g (%+v)", latent, scale, orthogonal, e.Error, e)
						}
					}
					t.Logf("%d dimensions, scale %g, orthogonal %v, spacing %g: off by at most %.3g", latent, scale, orthogonal, o.Spacing, worst)
				}
			}
		}
	}
}

var _ = []any{errors.New, fmt.Sprint, slices.Max[[]int], mat.NewDense, data.None}
