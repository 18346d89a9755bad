package train

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/mat"

	"elbo/data"
	"elbo/graph"
	"elbo/graph/graphtest"
	"elbo/model"
	"elbo/model/infer"
	"elbo/model/modeltest"
)

// linearVAE is the VAE that p is, and a few images drawn from it, [n, D].
func linearVAE(t *testing.T, p *modeltest.PPCA, rng *rand.Rand, n int) (*model.VAE, []float32) {
	t.Helper()
	pixels, latent := p.W.Dims()
	m, err := model.NewVAE(model.VAEConfig{Pixels: pixels, Latent: latent, Activation: graph.ReLU, Likelihood: model.GaussianName, Variance: p.Variance, Objective: model.ELBO, Draws: 1},
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

// TestBoundsOfALinearGaussianModelAreItsClosedForms: with the encoder of the best
// diagonal Gaussian, log p(x), ELBO and their difference are known, and L_k is between.
func TestBoundsOfALinearGaussianModelAreItsClosedForms(t *testing.T) {
	const pixels, images, draws = 12, 200, 400
	rng := rand.New(rand.NewPCG(5, 6))
	w, b := mat.NewDense(pixels, 2, nil), make([]float64, pixels)
	for i := range pixels {
		first := 0.05 * rng.NormFloat64()
		w.SetRow(i, []float64{first, 0.7*first + 0.05*rng.NormFloat64()}) // correlated: q cannot follow
		b[i] = 0.5                                                        // most pixels in [0, 1]; the others are clamped: any x has a log p(x)
	}
	p := modeltest.NewPPCA(t, w, b, 0.01)
	m, x := linearVAE(t, p, rng, images)
	for i, v := range x {
		x[i] = min(max(v, 0), 1)
	}
	ds, err := data.New("linear", data.Images{N: images, Rows: 3, Cols: 4, Floats: x}, data.Images{})
	if err != nil {
		t.Fatal(err)
	}
	all, _, _, err := ds.Split(images, 0)
	if err != nil {
		t.Fatal(err)
	}
	view := data.View{Subset: all, Mode: data.None}
	e, err := Assess(context.Background(), &Setup{VAE: m}, view, AssessOptions{Samples: draws, Seed: 7, Exact: true})
	if err != nil {
		t.Fatal(err)
	}
	var logP, elbo, noise infer.Running
	for i, s := range e.PerImage {
		truth := p.LogEvidence(modeltest.Floats(x[i*pixels:][:pixels]))
		logP.Add(truth)
		elbo.Add(truth - p.DiagonalGap())
		noise.Add(s.ELBO - (truth - p.DiagonalGap()))
		if math.Abs(s.LogP-truth) > s.Error {
			t.Errorf("image %d: log p(x) = %.6f, want %.6f within the stated %.2g", i, s.LogP, truth, s.Error)
		}
	}
	if math.Abs(e.LogP.Value-logP.Mean) > e.LogP.Error || e.LogP.Error > 1e-3 {
		t.Errorf("log p(x) = %.6f, want %.6f within the stated %.2g, and that below 0.001", e.LogP.Value, logP.Mean, e.LogP.Error)
	}
	if math.Abs(e.LogP.SE-logP.StandardError()) > 1e-4*logP.StandardError() {
		t.Errorf("standard error %.6f, want %.6f", e.LogP.SE, logP.StandardError())
	}
	// The reconstruction is a mean over draws: five of its standard errors over images.
	if math.Abs(noise.Mean) > 5*noise.StandardError() {
		t.Errorf("ELBO is %.5f from the closed form, standard error %.5f", noise.Mean, noise.StandardError())
	}
	if math.Abs(e.Gap.Value-p.DiagonalGap()) > 5*e.Gap.SE+e.LogP.Error || p.DiagonalGap() < 10*e.Gap.SE {
		t.Errorf("log p(x) - ELBO = %.5f ± %.5f, want KL(q ‖ p(z|x)) = %.5f, and that it can be told from 0", e.Gap.Value, e.Gap.SE, p.DiagonalGap())
	}
	// L_k is below log p(x) in expectation; the deviation of one image's is about
	// √(1/ESS - 1/k).
	sd := math.Sqrt((1/e.IW.ESS - 1./draws) / images)
	if !(e.ELBO < e.IW.Bound && e.IW.Bound < e.LogP.Value+5*sd) || 5*sd > e.Gap.Value/5 {
		t.Errorf("ELBO %.4f, L_%d %.4f ± %.4f, log p(x) %.4f: want them in this order", e.ELBO, draws, e.IW.Bound, sd, e.LogP.Value)
	}
}

// TestQuadratureOfAGridIsItsEvidenceUnderTheContinuousPrior: the grid's own nodes and
// weights, many of them, approach the integral from which they came.
func TestQuadratureOfAGridIsItsEvidenceUnderTheContinuousPrior(t *testing.T) {
	c := smallConfig(t)
	d := DefaultConfig(GridModel)
	d.Data, d.Split, d.Binarise, d.Workers, d.Seed = c.Data, c.Split, data.Threshold, 1, 3
	d.Grid, d.GridRule, d.Hidden = []int{60, 60}, model.Hermite, []int{10}
	d.Activation = graph.Tanh
	s := newTestSetup(t, d)
	e, err := EvaluateEM(context.Background(), s, s.Train)
	if err != nil {
		t.Fatal(err)
	}
	g, err := s.Joint()
	if err != nil {
		t.Fatal(err)
	}
	q, err := infer.NewQuadrature(g, infer.DefaultQuadrature(2), s.Train.N())
	if err != nil {
		t.Fatal(err)
	}
	exact, err := q.Evidence(context.Background(), s.Train, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, x := range exact {
		// 60 Gauss-Hermite nodes integrate a smooth function to rounding.
		if math.Abs(x.LogP-e.PerImage[i].LogP) > x.Error+e.PerImage[i].Error {
			t.Errorf("image %d: %.6f by quadrature, %.6f on the grid (stated %.2g and %.2g)", i, x.LogP, e.PerImage[i].LogP, x.Error, e.PerImage[i].Error)
		}
	}
}
