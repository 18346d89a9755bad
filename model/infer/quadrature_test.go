package infer

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"elbo/data"
	"elbo/graph"
	"elbo/model"
	"elbo/model/modeltest"
)

// linearVAE is the VAE that p is, and a few images drawn from it, [n, D].
func linearVAE(t *testing.T, p *modeltest.PPCA, rng *rand.Rand, n int) (*model.VAE, []float32) {
	t.Helper()
	pixels, latent := p.W.Dims()
	m := newVAE(t, model.VAEConfig{Pixels: pixels, Latent: latent, Activation: graph.ReLU, Likelihood: model.GaussianName, Variance: p.Variance, Objective: model.ELBO, Draws: 1}, func(string) graph.Uniform { return half{} })
	p.Fill(t, m.Params())
	var x []float32
	for range n {
		for _, v := range p.Sample(rng) {
			x = append(x, float32(v))
		}
	}
	return m, x
}

func quadrature(t *testing.T, g *model.Joint, o QuadratureOptions, x []float32) []Exact {
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
// linear-Gaussian model, with posteriors from wide to a five-hundredth of the lattice's
// spacing, in one to three dimensions, correlated and not, on lattices that are fine, that
// are refined, and that are too coarse and left so, where the stated error must be large
// because the true one is.
func TestQuadratureStatesAnErrorThatCoversTheTrueOne(t *testing.T) {
	const pixels = 12
	for latent := 1; latent <= 3; latent++ {
		for _, scale := range []float64{0.3, 1, 3, 10, 100} { // posterior deviations of about 0.15/scale
			for _, orthogonal := range []bool{true, false} {
				rng := rand.New(rand.NewPCG(uint64(latent), uint64(10*scale)))
				p := modeltest.RandomPPCA(t, rng, pixels, latent, scale, 0.25, orthogonal)
				m, x := linearVAE(t, p, rng, 20)
				fine := DefaultQuadrature(latent)
				fine.Levels = 8
				if latent == 3 {
					fine.Spacing = 1. / 2 // quicker
				}
				coarse := fine
				coarse.Levels, coarse.Spacing = 0, 1
				for _, o := range []QuadratureOptions{fine, coarse} {
					name := fmt.Sprintf("%d dimensions, scale %g, orthogonal %v, spacing %g", latent, scale, orthogonal, o.Spacing)
					most := 0.0
					for i, e := range quadrature(t, m.Joint, o, x) {
						truth := p.LogEvidence(modeltest.Floats(x[i*pixels:][:pixels]))
						off := math.Abs(e.LogP - truth)
						most = max(most, off-e.Rounding)
						if off > e.Error {
							t.Errorf("%s: log p(x) = %.6f, want %.6f: off by %.3g, stated error %.3g", name, e.LogP, truth, off, e.Error)
						}
						// Left to itself it refines until the rule's own error is what was asked
						// for, or the next level had more nodes than are allowed.
						if o == fine && e.Halving+e.Aliasing > o.Tolerance && e.Level < o.Levels && e.Nodes<<latent < o.MaxNodes {
							t.Errorf("%s: stopped at level %d with an error of %.3g", name, e.Level, e.Halving+e.Aliasing)
						}
					}
					// Where it is fine, the integrand is a Gaussian, and the rule exact but for
					// rounding and for what was not refined: twice e⁻¹² for each of a hundred
					// nodes at most. Where posteriors are 1/500 of the spacing in three dimensions,
					// the last level is not the end.
					if limit := 1e-4; o == fine && !(latent == 3 && scale == 100) && most > limit {
						t.Errorf("%s: off by %.3g, want less than %g", name, most, limit)
					}
					if o == coarse && scale >= 3 && most < 1 {
						t.Errorf("%s: off by no more than %.3g: this does not test a lattice that is too coarse", name, most)
					}
				}
			}
		}
	}
}

// TestTheStatedErrorHoldsAcrossKinks: a ReLU decoder's integrand has kinks, where the
// rule converges like h² and by the luck of the phase. The reference has an eighth of the
// spacing, and so at most about a sixtieth of the error.
func TestTheStatedErrorHoldsAcrossKinks(t *testing.T) {
	v := plainView(t, 60, 5, 5)
	m := newVAE(t, model.VAEConfig{Pixels: 25, Hidden: []int{30}, Latent: 2, Activation: graph.ReLU, Likelihood: model.BernoulliName, Objective: model.ELBO, Draws: 1}, drawn(3))
	for _, p := range m.Params() {
		for j := range p.Value {
			if p.Name == "decoder.0.weight" || p.Name == "decoder.2.weight" {
				p.Value[j] *= 5 // several modes, and narrow
			}
		}
	}
	x := make([]float32, v.N()*v.D())
	for i := range v.N() {
		v.Pixels(x[i*v.D():][:v.D()], i, 0)
	}
	o := QuadratureOptions{Spacing: 1. / 64, Reach: 6.25, Tolerance: 1, MaxNodes: 1 << 20}
	truth := quadrature(t, m.Joint, o, x)
	for _, spacing := range []float64{1. / 2, 1. / 4, 1. / 8} {
		o.Spacing = spacing
		var off, stated Running
		for i, e := range quadrature(t, m.Joint, o, x) {
			off.Add(math.Abs(e.LogP - truth[i].LogP))
			stated.Add(e.Error)
			if d := math.Abs(e.LogP - truth[i].LogP); d > e.Error+truth[i].Error {
				t.Errorf("spacing %g, image %d: off by %.3g, stated error %.3g", spacing, i, d, e.Error)
			}
		}
		// It is an estimate of the error as well, not any large number.
		if stated.Mean > 100*off.Mean {
			t.Errorf("spacing %g: stated errors of %.3g in the mean, true ones of %.3g", spacing, stated.Mean, off.Mean)
		}
	}
}

// TestThePosteriorOfAnImageAgreesWithImportanceSampling: mean and covariance by
// quadrature, against self-normalised draws from a wide Gaussian around it, with their
// error bars; and the table over a window integrates to 1.
func TestThePosteriorOfAnImageAgreesWithImportanceSampling(t *testing.T) {
	v := plainView(t, 90, 6, 6)
	m := newVAE(t, model.VAEConfig{Pixels: 36, Hidden: []int{16}, Latent: 2, Activation: graph.ReLU, Likelihood: model.BernoulliName, Objective: model.ELBO, Draws: 1}, drawn(1))
	for _, p := range m.Params() {
		for j := range p.Value {
			if p.Name == "decoder.0.weight" || p.Name == "decoder.2.weight" {
				p.Value[j] *= 3
			}
		}
	}
	images := []int{0, 3}
	posteriors, err := GridPosteriors(context.Background(), m.Joint, v, images, Window{Lo: []float64{-7, -7}, Hi: []float64{7, 7}, Nodes: 281})
	if err != nil {
		t.Fatal(err)
	}
	const draws = 20000
	scorer, err := m.NewScorer(m.Q.Posterior, 1, draws)
	if err != nil {
		t.Fatal(err)
	}
	x, eps, h := make([]float32, v.D()), make([]float32, 2*draws), make([]float32, 4)
	for i, g := range posteriors {
		if g.Image != v.Index(images[i]) {
			t.Errorf("image %d, want %d", g.Image, v.Index(images[i]))
		}
		mass := 0.0
		for _, d := range g.Density {
			mass += d * (14. / 280) * (14. / 280)
		}
		if math.Abs(mass-1) > 1e-3+g.Error { // the window's spacing, 0.05, is another lattice
			t.Errorf("image %d: the window holds %.5f, want 1", g.Image, mass)
		}
		v.Pixels(x, images[i], 0)
		for j := range 2 {
			h[j], h[2+j] = float32(g.Mean[j]), float32(math.Log(2*g.Covariance[3*j]))
		}
		noise := data.NewStream(8, "test", uint64(i))
		for j := range eps {
			eps[j] = float32(noise.NormFloat64())
		}
		logLik, ratio, err := scorer.Score(x, h, eps)
		if err != nil {
			t.Fatal(err)
		}
		// Moments of the posterior around the mean of quadrature: E[d_a] = 0 and
		// E[d_a d_b] = covariance. The error of Σ w f / Σ w is √Σ w² (f - f̄)² / Σ w.
		check := func(name string, want float64, f func(d [2]float64) float64) {
			total, sum, square := 0.0, 0.0, 0.0
			each := func(visit func(w, f float64)) {
				for k := range draws {
					var d [2]float64
					for j := range 2 {
						d[j] = math.Exp(float64(h[2+j])/2) * float64(eps[2*k+j])
					}
					visit(math.Exp(float64(logLik[k])+float64(ratio[k])-g.LogP), f(d))
				}
			}
			each(func(w, f float64) { total, sum = total+w, sum+w*f })
			mean := sum / total
			each(func(w, f float64) { square += w * w * (f - mean) * (f - mean) })
			if se := math.Sqrt(square) / total; math.Abs(mean-want) > 5*se+1e-4 || se > 0.1 {
				t.Errorf("image %d, %s: quadrature is %.4f from %.4f ± %.4f by importance sampling", g.Image, name, want, mean, se)
			}
		}
		check("mean 0", 0, func(d [2]float64) float64 { return d[0] })
		check("mean 1", 0, func(d [2]float64) float64 { return d[1] })
		check("variance 0", g.Covariance[0], func(d [2]float64) float64 { return d[0] * d[0] })
		check("variance 1", g.Covariance[3], func(d [2]float64) float64 { return d[1] * d[1] })
		check("covariance", g.Covariance[1], func(d [2]float64) float64 { return d[0] * d[1] })
	}
}

func TestQuadratureRefusesWhatItCannotDo(t *testing.T) {
	o := DefaultQuadrature(2)
	for _, c := range []struct {
		latent int
		change func(*QuadratureOptions)
		want   string
	}{
		{4, func(*QuadratureOptions) {}, "quadrature over 4 latent dimensions: want 1 to 3"},
		{2, func(o *QuadratureOptions) { o.Spacing = 0; o.Reach = math.Inf(1) }, "spacing is 0, want a positive number\nreach is +Inf, want a positive number"},
		{2, func(o *QuadratureOptions) { o.Tolerance = math.NaN(); o.Levels = -1; o.MaxNodes = 0 }, "tolerance is NaN, want a positive number of nats\nlevels is -1, want 0 to 12\nmax-nodes is 0, want at least 1"},
		{3, func(o *QuadratureOptions) { o.Spacing = 0.01 }, "1251 nodes along each of 3 dimensions (spacing 0.01, reach 6.25), want 5 to 256"},
		{1, func(o *QuadratureOptions) { o.Spacing = 5 }, "3 nodes along each of 1 dimensions (spacing 5, reach 6.25), want 5 to 16777216"},
	} {
		bad := o
		c.change(&bad)
		if err := bad.Validate(c.latent); err == nil || err.Error() != c.want {
			t.Errorf("Validate = %v, want %s", err, c.want)
		}
	}
	for latent := 1; latent <= 3; latent++ {
		if err := DefaultQuadrature(latent).Validate(latent); err != nil {
			t.Error(err)
		}
	}

	// Weights that are damaged are an error, not a figure.
	p := modeltest.RandomPPCA(t, rand.New(rand.NewPCG(1, 1)), 4, 1, 1, 1, true)
	m, x := linearVAE(t, p, rand.New(rand.NewPCG(1, 2)), 3)
	for _, bad := range []float64{math.NaN(), math.Inf(1)} {
		m.Params()[3].Value[0] = float32(bad)
		q, err := NewQuadrature(m.Joint, DefaultQuadrature(1), 3)
		if err == nil {
			_, err = q.Pixels(context.Background(), x, nil)
		}
		if err == nil || !strings.Contains(err.Error(), "diverged") {
			t.Errorf("a decoder's bias is %g: error %v, want one that says so", bad, err)
		}
	}
}

func TestQuadratureStopsWhenAsked(t *testing.T) {
	p := modeltest.RandomPPCA(t, rand.New(rand.NewPCG(1, 1)), 4, 1, 1, 1, true)
	m, x := linearVAE(t, p, rand.New(rand.NewPCG(1, 2)), 3)
	q, err := NewQuadrature(m.Joint, DefaultQuadrature(1), 3)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := q.Pixels(ctx, x, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Pixels = %v, want the context's error", err)
	}
}

// TestARareHeavyDrawIsNoMissedPosterior: by Markov's inequality L_k is t nats above log p(x)
// with a probability of at most e⁻ᵗ, whatever its weights; five times the scatter is beyond
// chance only where the scatter is known.
func TestARareHeavyDrawIsNoMissedPosterior(t *testing.T) {
	x := Exact{LogP: -152.337, Error: 0.001}
	for _, c := range []struct {
		bound, scatter float64
		images         int
		want           bool
	}{
		{-146.160, 1, 10000, false},   // a draw of the encoder's tail, of a VAE on MNIST
		{-138.5, 1, 10000, true},      // log(100 · 10000) is 13.8
		{-146.160, 1, 1, true},        // log(100) is 4.6
		{-152.0, 0.01, 10000, true},   // 10000 effective draws
		{-152.30, 0.01, 10000, false}, // within five times the scatter
		{-153, 1, 1, false},           // a lower bound
	} {
		if got := x.Missed(c.bound, c.scatter, c.images); got != c.want {
			t.Errorf("L_k %g with scatter %g among %d images: missed %v, want %v", c.bound, c.scatter, c.images, got, c.want)
		}
	}
}
