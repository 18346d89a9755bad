package infer

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"

	"elbo/data"
	"elbo/graph"
	"elbo/model"
	"elbo/model/modeltest"
)

// correlated is a linear-Gaussian model whose posteriors are correlated, as a VAE with a
// family of posteriors and no hidden layers, with images to score. Its encoder is as drawn.
func correlated(t *testing.T, family model.PosteriorConfig, images int) (*model.VAE, *modeltest.PPCA, data.View) {
	t.Helper()
	const rows, cols, latent, variance = 4, 4, 3, 0.05
	v := plainView(t, images, rows, cols)
	v.Mode = data.None
	rng := rand.New(rand.NewPCG(7, 8))
	w, b := mat.NewDense(rows*cols, latent, nil), make([]float64, rows*cols)
	for i := range b {
		common := rng.NormFloat64() // to the columns of W: they are far from orthogonal
		for j := range latent {
			w.Set(i, j, 0.2*(common+rng.NormFloat64()))
		}
		b[i] = 0.5
	}
	p := modeltest.NewPPCA(t, w, b, variance)
	m := newVAE(t, model.VAEConfig{Pixels: rows * cols, Latent: latent, Activation: graph.ReLU, Likelihood: model.GaussianName, Variance: variance,
		Posterior: family, Objective: model.ELBO, Draws: 1, Freeze: model.DecoderPart}, drawn(1))
	p.FillDecoder(t, m.Params())
	return m, p, v
}

// TestAFullCovarianceClosesTheDiagonalGap: where the posterior is a correlated Gaussian, the
// best diagonal Gaussian lacks DiagonalGap, which is known, and the best one with a full
// covariance lacks nothing. Both are searched for on the same run, from far away, with
// log p(x) by quadrature and without.
func TestAFullCovarianceClosesTheDiagonalGap(t *testing.T) {
	const images = 40
	for _, exact := range []bool{true, false} {
		m, p, v := correlated(t, model.PosteriorConfig{}, images)
		families, err := GapFamilies(m, []model.PosteriorName{model.FullPosterior})
		if err != nil {
			t.Fatal(err)
		}
		g, err := MeasureGap(context.Background(), m, v, GapOptions{Samples: 500, Seed: 1, Exact: exact, LocalQ: DefaultLocalQ(), Families: families}, quiet)
		if err != nil {
			t.Fatal(err)
		}
		if len(g.Families) != 2 || g.Families[0].Family != model.DiagonalPosterior || g.Families[1].Family != model.FullPosterior {
			t.Fatalf("families %+v", g.Families)
		}
		if want := p.DiagonalGap(); want < 0.2 {
			t.Fatalf("the diagonal gap is %.3f nats: this tests nothing", want)
		}
		// L is a mean over draws: five standard errors of a mean over all images' draws,
		// whose spread is that of |ε|²/2 over three dimensions, and what a round may leave.
		tolerance := 5*math.Sqrt(1.5/500/images) + DefaultLocalQ().Tolerance
		x, full := make([]float32, v.D()), 0.0
		for i := range images {
			v.Pixels(x, i, 0)
			full += (p.LogEvidence(modeltest.Floats(x)) - g.Families[1].PerImage[i]) / images
		}
		if math.Abs(full) > tolerance {
			t.Errorf("exact %v: a full covariance lacks %.4f nats of log p(x), want 0 ± %.4f", exact, full, tolerance)
		}
		if got, want := g.Families[1].Gain.Value, p.DiagonalGap(); math.Abs(got-want) > tolerance {
			t.Errorf("exact %v: a full covariance gains %.4f nats on a diagonal one, want %.4f ± %.4f", exact, got, want, tolerance)
		}
		if closed := g.Families[1].Closed; exact && (closed == nil || math.Abs(*closed-1) > tolerance/p.DiagonalGap()) {
			t.Errorf("a full covariance does not close the gap: %v", closed)
		}
	}
}

// TestAnExactFamilyHasItsGapClosedByTraining: an encoder without hidden layers can be the
// exact posterior's with a full covariance, whose mean is linear in x and whose covariance
// is the same for all. Then every importance weight is p(x), and so are ELBO and L_k.
func TestAnExactFamilyHasItsGapClosedByTraining(t *testing.T) {
	const images, steps, draws = 60, 2500, 500
	m, p, v := correlated(t, model.PosteriorConfig{Name: model.FullPosterior}, images)
	if err := m.CompileStep(images); err != nil {
		t.Fatal(err)
	}
	batch := m.NewBatch(images)
	batch.Images = images
	v.EvaluatedRows(batch.X, 0, images)
	adam, rng := graph.NewAdam(0, m.Trained(), m.Engine), rand.New(rand.NewPCG(3, 3))
	for step := range steps {
		for i := range batch.Eps {
			batch.Eps[i] = float32(rng.NormFloat64())
		}
		if _, err := m.Step(batch); err != nil {
			t.Fatal(err)
		}
		adam.LR = 0.03 * (1 + math.Cos(math.Pi*float64(step)/steps)) / 2
		adam.Step(m.Grad)
	}
	x, short, spread := make([]float32, v.D()), 0.0, 0.0
	for i, score := range evaluate(t, m, draws, v, 1).PerImage {
		v.Pixels(x, i, 0)
		logP := p.LogEvidence(modeltest.Floats(x))
		short += (logP - score.ELBO) / images
		spread = max(spread, math.Abs(score.IW-logP))
	}
	// Five standard errors of the mean over all draws, of which log p(x|z) has the spread of
	// |ε|²/2 over three dimensions; the best diagonal Gaussian lacks ten times as much.
	if math.Abs(short) > 5*math.Sqrt(1.5/draws/images) || p.DiagonalGap() < 0.35 {
		t.Errorf("the ELBO is %.4f nats short of log p(x); the best diagonal Gaussian is by %.4f", short, p.DiagonalGap())
	}
	if spread > p.DiagonalGap()/10 {
		t.Errorf("L_500 of an image is off by %.4f nats", spread)
	}
}

// bent is a VAE in two dimensions for images of 3 x 3 pixels whose decoder and flows are far
// from what they begin as, and whose encoder's posteriors are wide enough for their weights
// to have a mean that draws find.
func bent(t *testing.T, c model.VAEConfig) *model.VAE {
	t.Helper()
	c.Pixels, c.Latent, c.Hidden, c.Activation = 9, 2, []int{8}, graph.Tanh
	c.Likelihood, c.Objective, c.Draws = model.BernoulliName, model.ELBO, 1
	m := newVAE(t, c, drawn(2))
	rng := rand.New(rand.NewPCG(4, 4))
	for _, p := range m.Params() {
		scale := 0.5
		if strings.HasPrefix(p.Name, "encoder.") {
			scale = 0.2
		}
		for i := range p.Value {
			p.Value[i] = float32(scale * rng.NormFloat64())
		}
	}
	return m
}

// all512 are all images of 3 x 3 pixels.
func all512() []float32 {
	x := make([]float32, 0, 512*9)
	for i := range 512 {
		for j := range 9 {
			x = append(x, float32(i>>j&1))
		}
	}
	return x
}

// TestProbabilitiesUnderAFlowPriorSumToOne over all 512 images of 3 x 3 pixels, by quadrature,
// to the errors that it states.
func TestProbabilitiesUnderAFlowPriorSumToOne(t *testing.T) {
	m := bent(t, model.VAEConfig{Prior: model.PriorConfig{Name: model.FlowedPrior}, Flow: model.FlowConfig{Layers: 4, Hidden: 6}})
	sum, stated := 0.0, 0.0
	for _, e := range quadrature(t, m.Joint, DefaultQuadrature(2), all512()) {
		sum += math.Exp(e.LogP)
		stated += math.Exp(e.LogP) * e.Error
	}
	if math.Abs(sum-1) > stated+1e-5 {
		t.Errorf("the probabilities sum to %.7f, want 1 ± %.2g", sum, stated)
	}
}

// TestBoundsUnderEveryFamily: in two dimensions, under a prior that is a flow and under
// N(0, I), quadrature (over u), L_k (by the density of z) and annealing (by its gradient)
// agree, and the ELBO is below them.
func TestBoundsUnderEveryFamily(t *testing.T) {
	const images = 12
	v := plainView(t, images, 3, 3)
	flow := model.FlowConfig{Layers: 2, Hidden: 6}
	autoregressive := model.FlowConfig{Name: model.AutoregressiveFlow, Layers: 2, Hidden: 6}
	for name, c := range map[string]model.VAEConfig{
		"full":             {Posterior: model.PosteriorConfig{Name: model.FullPosterior}},
		"coupling":         {Posterior: model.PosteriorConfig{Name: model.FlowedPosterior}, Flow: flow},
		"autoregressive":   {Posterior: model.PosteriorConfig{Name: model.FlowedPosterior}, Flow: autoregressive},
		"flow prior":       {Prior: model.PriorConfig{Name: model.FlowedPrior}, Flow: flow},
		"full, flow prior": {Posterior: model.PosteriorConfig{Name: model.FullPosterior}, Prior: model.PriorConfig{Name: model.FlowedPrior}, Flow: flow},
		"flow, flow prior": {Posterior: model.PosteriorConfig{Name: model.FlowedPosterior}, Prior: model.PriorConfig{Name: model.FlowedPrior}, Flow: flow},
	} {
		t.Run(name, func(t *testing.T) {
			const k = 4000
			m := bent(t, c)
			e := evaluate(t, m, k, v, 5)
			x := make([]float32, images*v.D())
			v.EvaluatedRows(x, 0, images)
			ais, err := EstimateAIS(context.Background(), m.Joint, v, 6, AISOptions{Steps: 200, Chains: 8, Leapfrogs: 2, Simulated: 20})
			if err != nil {
				t.Fatal(err)
			}
			difference := 0.0
			for i, exact := range quadrature(t, m.Joint, DefaultQuadrature(2), x) {
				score := e.PerImage[i]
				// Five standard errors of the logarithm of a mean of weights, once it is known.
				if score.ESS > 100 {
					if tolerance := 5*math.Sqrt(1/score.ESS-1./k) + exact.Error + 1e-4; math.Abs(score.IW-exact.LogP) > tolerance {
						t.Errorf("image %d: L_%d %.5f, by quadrature %.5f ± %.5f", i, k, score.IW, exact.LogP, tolerance)
					}
				}
				if score.ELBO > exact.LogP+exact.Error+5*0.1 || score.ELBO > score.IW+1e-4 {
					t.Errorf("image %d: ELBO %.4f above L_%d %.4f or log p(x) %.4f", i, score.ELBO, k, score.IW, exact.LogP)
				}
				difference += (ais.PerImage[i] - exact.LogP) / images
			}
			// 200 steps leave a bias of about half the variance of the chains' mean.
			if tolerance := 5*ais.ChainSE + 0.02; math.Abs(difference) > tolerance {
				t.Errorf("by annealing and by quadrature log p(x) differs by %.4f, want 0 ± %.4f", difference, tolerance)
			}
			if s := ais.Simulated; math.Abs(s.Gap) > 5*s.GapSE+0.05 {
				t.Errorf("a sandwich of %.4f ± %.4f nats", s.Gap, s.GapSE)
			}
		})
	}
}

// TestTheDensityInTheLatentPlaneIsThePosteriors: under a flow prior a window's density, which
// is p(z) p(x|z)/p(x) with the density of z, integrates to 1 against log p(x) over u.
func TestTheDensityInTheLatentPlaneIsThePosteriors(t *testing.T) {
	m := bent(t, model.VAEConfig{Prior: model.PriorConfig{Name: model.FlowedPrior}, Flow: model.FlowConfig{Layers: 2, Hidden: 6}})
	v := plainView(t, 3, 3, 3)
	const nodes, reach = 301, 15.0
	posteriors, err := GridPosteriors(context.Background(), m.Joint, v, []int{0, 2}, Window{Lo: []float64{-reach, -reach}, Hi: []float64{reach, reach}, Nodes: nodes})
	if err != nil {
		t.Fatal(err)
	}
	h := 2 * reach / (nodes - 1)
	for _, p := range posteriors {
		mass, mean := 0.0, [2]float64{}
		for k, d := range p.Density {
			mass += h * h * d
			for j := range mean {
				mean[j] += h * h * d * float64(p.Points[2*k+j])
			}
		}
		if math.Abs(mass-1) > 5e-3 {
			t.Errorf("image %d: the density integrates to %.5f, want 1", p.Image, mass)
		}
		for j := range mean {
			if math.Abs(mean[j]-p.Mean[j]) > 0.02 {
				t.Errorf("image %d: E[z_%d|x] is %.4f by the window, %.4f over u", p.Image, j, mean[j], p.Mean[j])
			}
		}
	}
}

func TestFamiliesThatARunHasNotAreRefused(t *testing.T) {
	m, _, _ := correlated(t, model.PosteriorConfig{}, 1)
	for _, name := range []model.PosteriorName{model.FlowedPosterior, "cube"} {
		_, err := GapFamilies(m, []model.PosteriorName{name})
		if _, ok := errors.AsType[*OptionError](err); !ok {
			t.Errorf("%s: %v, want an error of the options", name, err)
		}
	}
}
