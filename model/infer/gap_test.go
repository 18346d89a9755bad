package infer

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"elbo/data"
	"elbo/graph"
	"elbo/model"
	"elbo/model/modeltest"
)

func quiet(string, int) {}

// linearGaussian is a VAE without hidden layers, its closed forms, and images to score.
// Its encoder is the best there is, but for what bend does to μ and log σ².
func linearGaussian(t *testing.T, images int, orthogonal bool, bend func(mu, logVar []float32)) (*model.VAE, *modeltest.PPCA, data.View) {
	t.Helper()
	const rows, cols, latent, variance = 4, 4, 3, 0.05
	v := plainView(t, images, rows, cols)
	v.Mode = data.None
	p := modeltest.RandomPPCA(t, rand.New(rand.NewPCG(7, 8)), rows*cols, latent, 0.1, variance, orthogonal)
	m := newVAE(t, model.VAEConfig{Pixels: rows * cols, Latent: latent, Activation: graph.ReLU, Likelihood: model.GaussianName, Variance: variance, Objective: model.ELBO, Draws: 1}, func(string) graph.Uniform { return half{} })
	p.Fill(t, m.Params())
	for _, param := range m.Params() {
		if param.Name == "encoder.0.bias" {
			bend(param.Value[:latent], param.Value[latent:])
		}
	}
	return m, p, v
}

// posterior splits h = [μ | log σ²] into means and variances.
func posterior(h []float32) (mean, variance []float64) {
	wide := modeltest.Floats(h)
	mean, variance = wide[:len(h)/2], wide[len(h)/2:]
	for j, v := range variance {
		variance[j] = math.Exp(v)
	}
	return mean, variance
}

// TestTheGapSplitsAsTheClosedFormsSay bends an encoder and finds both gaps, image by
// image, where all bounds are known.
func TestTheGapSplitsAsTheClosedFormsSay(t *testing.T) {
	for name, c := range map[string]struct {
		orthogonal bool // the posterior is a diagonal Gaussian
		bend       func(mu, logVar []float32)
	}{
		"posterior of the family, best encoder": {true, func(mu, logVar []float32) {}},
		"posterior of the family, bad encoder":  {true, func(mu, logVar []float32) { mu[0] += 2; logVar[0] -= 3; logVar[2] += 1.5 }},
		"correlated posterior, best encoder":    {false, func(mu, logVar []float32) {}},
		"correlated posterior, bad encoder":     {false, func(mu, logVar []float32) { mu[0] += 2; mu[1]--; logVar[0] -= 3; logVar[2] += 1.5 }},
	} {
		t.Run(name, func(t *testing.T) {
			const images, samples = 60, 1000
			m, p, v := linearGaussian(t, images, c.orthogonal, c.bend)
			for _, exact := range []bool{false, true} {
				g, err := MeasureGap(context.Background(), m, v, GapOptions{Samples: samples, Seed: 1, Exact: exact, LocalQ: DefaultLocalQ()}, quiet)
				if err != nil {
					t.Fatal(err)
				}
				x := make([]float32, v.D())
				var short Running
				for i, score := range g.PerImage {
					v.Pixels(x, i, 0)
					wide := modeltest.Floats(x)
					h, star := g.H[i*6:][:6], g.HStar[i*6:][:6]
					mean, variance := posterior(star)
					short.Add(p.OptimalDiagonalELBO(wide) - p.ELBO(wide, mean, variance))
					// L is a mean over draws of log p(x|z), whose spread under q is known:
					// that of (2 r·Wd + |Wd|²)/2s², d = z - μ. Five standard errors.
					for what, b := range map[string]struct {
						h   []float32
						got float64
					}{"L[q]": {h, score.ELBO}, "L[q*]": {star, score.ELBOStar}} {
						mean, variance := posterior(b.h)
						want := p.ELBO(wide, mean, variance)
						if e := 5 * reconSpread(p, wide, mean, variance) / math.Sqrt(samples); math.Abs(b.got-want) > e {
							t.Errorf("image %d: %s = %.4f, want %.4f ± %.4f", i, what, b.got, want, e)
						}
					}
					tolerance := 5*score.Error + 1e-4 // float32, on some ten nats
					if got, want := score.LogP, p.LogEvidence(wide); math.Abs(got-want) > tolerance {
						t.Errorf("image %d, exact %v: log p(x) = %.5f, want %.5f ± %.5f", i, exact, got, want, tolerance)
					}
					if sum := score.Approximation() + score.Amortisation(); math.Abs(sum-score.Inference()) > 1e-9 {
						t.Errorf("image %d: the gaps sum to %g, not %g", i, sum, score.Inference())
					}
				}
				// A round ends when it gains less than the tolerance, and what it leaves
				// of the noise of 8 draws in 2·3 dimensions, over steps that fall to 0,
				// was measured as 0.005 nats.
				if tolerance := DefaultLocalQ().Tolerance; short.Mean > tolerance || short.Mean < 0 {
					t.Errorf("L[q*] is short of the best by %.4f nats, want at most %.4f", short.Mean, tolerance)
				}
			}
		})
	}
}

// reconSpread is the standard deviation of log p(x|z) over z ~ N(mean, diag variance),
// for one draw, by draws of its own.
func reconSpread(p *modeltest.PPCA, x, mean, variance []float64) float64 {
	rng := rand.New(rand.NewPCG(11, 12))
	var m Running
	for range 400 {
		sum := 0.0
		for i := range x {
			at := p.B[i]
			for j := range mean {
				at += p.W.At(i, j) * (mean[j] + math.Sqrt(variance[j])*rng.NormFloat64())
			}
			sum -= (x[i] - at) * (x[i] - at) / (2 * p.Variance)
		}
		m.Add(sum)
	}
	return math.Sqrt(m.Variance())
}

// TestCommonDrawsCountOnce: where q* is q, both halves of the mixture are the same draws,
// and the bound and its error are those of one half.
func TestCommonDrawsCountOnce(t *testing.T) {
	m, v := smallVAE(t), plainView(t, 30, 6, 6)
	h, err := Encode(context.Background(), m, v)
	if err != nil {
		t.Fatal(err)
	}
	const draws = 50
	scores, err := scorePairs(context.Background(), m.Joint, m.Q.Posterior, v, h, h, GapOptions{Samples: draws, Seed: 3}, func(string, int) {})
	if err != nil {
		t.Fatal(err)
	}
	e := evaluate(t, m, draws, v, 3)
	for i, score := range scores {
		half := e.PerImage[i]
		want := math.Sqrt(1/half.ESS - 1/float64(draws))
		// The same float32 weights, in blocks of another shape.
		if math.Abs(score.LogP-half.IW) > 1e-4 || math.Abs(score.Error-want) > 1e-3*want+1e-6 {
			t.Errorf("image %d: %.6f ± %.6f, half of the draws give %.6f ± %.6f", i, score.LogP, score.Error, half.IW, want)
		}
	}
}

// TestImagesDoNotInfluenceEachOthersPosteriors: q* of an image is the same alone and
// among others, to the last bit under one matrix product.
func TestImagesDoNotInfluenceEachOthersPosteriors(t *testing.T) {
	m, _, v := linearGaussian(t, 200, false, func(mu, logVar []float32) { mu[0]++ })
	fit := func(v data.View) []float32 {
		h, err := Encode(context.Background(), m, v)
		if err != nil {
			t.Fatal(err)
		}
		star, err := FitLocalQ(context.Background(), m.Joint, m.Q.Posterior, v, 1, DefaultLocalQ(), func(int) {}, h)
		if err != nil {
			t.Fatal(err)
		}
		return star
	}
	all := fit(v)
	few := v
	few.Subset = v.First(7)
	if got := fit(few); !slices.Equal(got, all[:len(got)]) {
		t.Errorf("alone %v, among others %v", got, all[:len(got)])
	}
}

func TestASearchForPosteriorsCanBeInterrupted(t *testing.T) {
	m, _, v := linearGaussian(t, 200, false, func(mu, logVar []float32) { mu[0]++ })
	ctx, cancel := context.WithCancel(context.Background())
	h, err := Encode(ctx, m, v)
	if err != nil {
		t.Fatal(err)
	}
	_, err = FitLocalQ(ctx, m.Joint, m.Q.Posterior, v, 1, DefaultLocalQ(), func(int) { cancel() }, h)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("FitLocalQ = %v, want context.Canceled", err)
	}
	if _, err := FitLocalQ(ctx, m.Joint, m.Q.Posterior, v, 1, LocalQOptions{Draws: 3}, func(int) {}, h); err == nil {
		t.Error("impossible options are not refused")
	}
	for _, h0 := range [][][]float32{nil, {h[1:]}} {
		_, err := FitLocalQ(ctx, m.Joint, m.Q.Posterior, v, 1, DefaultLocalQ(), func(int) {}, h0...)
		if _, ok := errors.AsType[*OptionError](err); !ok {
			t.Errorf("FitLocalQ from %d starting points that are none: %v", len(h0), err)
		}
	}
}

// TestLogRatioOfGaussians compares with the densities.
func TestLogRatioOfGaussians(t *testing.T) {
	h, other := []float32{0.5, -1, 0.2, -2}, []float32{0, 1, -1, 0.5}
	eps := []float32{0.3, -1.7}
	log := func(h []float32, z []float64) float64 {
		sum := 0.0
		for j, z := range z {
			mu, logVar := float64(h[j]), float64(h[2+j])
			sum -= (z-mu)*(z-mu)/math.Exp(logVar)/2 + logVar/2
		}
		return sum
	}
	z := make([]float64, 2)
	for j := range z {
		z[j] = float64(h[j]) + math.Exp(float64(h[2+j])/2)*float64(eps[j])
	}
	if got, want := (model.DiagonalGaussian{Latent: 2}).LogProbRatio(other, h, eps), log(other, z)-log(h, z); math.Abs(got-want) > 1e-12 {
		t.Errorf("log ratio %g, want %g", got, want)
	}
	for _, x := range []float64{-800, -1, 0, 2, 800} {
		want := x - math.Ln2
		if x < 700 {
			want = math.Log(0.5 + 0.5*math.Exp(x))
		}
		if got := logHalfOnePlusExp(x); math.Abs(got-want) > 1e-12*max(1, math.Abs(x)) {
			t.Errorf("log(½ + ½ exp %g) = %g, want %g", x, got, want)
		}
	}
}

// TestAPosteriorThatTheQuadratureMissesIsNotTakenForGranted: the decoder's bias is moved
// so far that every posterior lies outside the box. L_k stands in, and agrees with the
// closed form.
func TestAPosteriorThatTheQuadratureMissesIsNotTakenForGranted(t *testing.T) {
	_, p, v := linearGaussian(t, 10, true, func(mu, logVar []float32) {})
	for i := range p.B { // the images are now where z₀ is above 10
		p.B[i] -= 24 * p.W.At(i, 0)
	}
	p = modeltest.NewPPCA(t, p.W, p.B, 0.001) // so sharp that the prior cannot hold it back
	m := newVAE(t, model.VAEConfig{Pixels: 16, Latent: 3, Activation: graph.ReLU, Likelihood: model.GaussianName, Variance: 0.001, Objective: model.ELBO, Draws: 1}, func(string) graph.Uniform { return half{} })
	p.Fill(t, m.Params())
	g, err := MeasureGap(context.Background(), m, v, GapOptions{Samples: 500, Seed: 1, Exact: true, LocalQ: DefaultLocalQ()}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	if g.LogP.Missed != v.N() || !g.LowerBound {
		t.Errorf("%d of %d posteriors are said to be missed, lower bound %v", g.LogP.Missed, v.N(), g.LowerBound)
	}
	x := make([]float32, v.D())
	for i, score := range g.PerImage {
		v.Pixels(x, i, 0)
		want := p.LogEvidence(modeltest.Floats(x))
		// Sums of float32 terms as large as the log-likelihood itself, some 10³ nats.
		if tolerance := 5*score.Error + 1e-6*math.Abs(want) + 0.01; math.Abs(score.LogP-want) > tolerance {
			t.Errorf("image %d: log p(x) = %.4f, want %.4f ± %.4f", i, score.LogP, want, tolerance)
		}
	}
}
