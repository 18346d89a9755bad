package train

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"

	"elbo/data"
	"elbo/graph"
	"elbo/graph/graphtest"
	"elbo/model"
	"elbo/model/modeltest"
)

// linearGaussian is a VAE without hidden layers, its closed forms, and images to score.
// Its encoder is the best there is, but for what bend does to μ and log σ².
func linearGaussian(t *testing.T, images int, orthogonal bool, bend func(mu, logVar []float32)) (*Setup, *modeltest.PPCA, data.View) {
	t.Helper()
	const rows, cols, latent, variance = 4, 4, 3, 0.05
	v := plainView(t, images, rows, cols)
	v.Mode = data.None
	p := modeltest.RandomPPCA(t, rand.New(rand.NewPCG(7, 8)), rows*cols, latent, 0.1, variance, orthogonal)
	m, err := model.NewVAE(model.VAEConfig{Pixels: rows * cols, Latent: latent, Activation: graph.ReLU, Likelihood: model.Gaussian, Variance: variance, Objective: model.ELBO, Draws: 1},
		graphtest.Engine(2), func(string) graph.Uniform { return half{} })
	if err != nil {
		t.Fatal(err)
	}
	p.Fill(t, m.Params())
	for _, param := range m.Params() {
		if param.Name == "encoder.0.bias" {
			bend(param.Value[:latent], param.Value[latent:])
		}
	}
	return &Setup{Config: Config{Latent: latent}, VAE: m, Engine: graphtest.Engine(2)}, p, v
}

func TestX(t *testing.T) {
	s, p, v := linearGaussian(t, 50, false, func(mu, logVar []float32) {
		mu[0] += 2
		mu[1] -= 1
		logVar[0] -= 3
		logVar[2] += 1.5
	})
	for _, o := range []LocalQOptions{DefaultLocalQ(), {Steps: 100, Rounds: 30, Draws: 8, Selection: 200, LR: 0.1, Tolerance: 0.001}, {Steps: 60, Rounds: 30, Draws: 32, Selection: 200, LR: 0.1, Tolerance: 0.001}} {
		g, err := AssessGap(context.Background(), s, v, GapOptions{Samples: 1000, Seed: 1, LocalQ: o}, func(string, int) {})
		if err != nil {
			t.Fatal(err)
		}
		x := make([]float32, 16)
		var short, wantAm, lp, lpd moments
		for i := range v.N() {
			v.Pixels(x, i, 0)
			wide := modeltest.Floats(x)
			h := modeltest.Floats(g.HStar[i*6:][:6])
			for j := 3; j < 6; j++ {
				h[j] = math.Exp(h[j])
			}
			d := p.OptimalDiagonalELBO(wide) - p.ELBO(wide, h[:3], h[3:])
			short.add(d)
			lp.add(p.LogEvidence(wide))
			lpd.add(g.PerImage[i].LogP - p.LogEvidence(wide))
			h = modeltest.Floats(g.H[i*6:][:6])
			for j := 3; j < 6; j++ {
				h[j] = math.Exp(h[j])
			}
			wantAm.add(p.OptimalDiagonalELBO(wide) - p.ELBO(wide, h[:3], h[3:]))
		}
		t.Logf("%+v\nshort %.5f ± %.5f; am %.4f want %.4f; approx %.4f ± %.4f want %.4f; logp err %.5f sd %.5f, est %.4f", o, short.mean, math.Sqrt(short.variance()), g.Amortisation.Value, wantAm.mean, g.Approximation.Value, g.Approximation.SE, p.DiagonalGap(), lpd.mean, math.Sqrt(lpd.variance()), g.LogP.Error)
	}
}
