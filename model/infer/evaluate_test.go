package infer

import (
	"context"
	"errors"
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

func evaluate(t *testing.T, m *model.VAE, draws int, v data.View, seed uint64) Evaluation {
	t.Helper()
	e, err := NewEvaluator(m, draws)
	if err != nil {
		t.Fatal(err)
	}
	result, err := e.Evaluate(context.Background(), v, seed)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// TestADecoderThatIgnoresItsCodeHasAKnownEvidence: with all weights 0 the pixels are
// independent of z with logits b, the posterior is the prior, and every bound is
// log p(x) = Σ x b - log(1 + exp b).
func TestADecoderThatIgnoresItsCodeHasAKnownEvidence(t *testing.T) {
	v := plainView(t, 37, 5, 5)
	m := newVAE(t, model.VAEConfig{Pixels: 25, Hidden: []int{4}, Latent: 3, Activation: graph.Tanh, Likelihood: model.BernoulliName, Objective: model.ELBO, Draws: 1}, func(string) graph.Uniform { return half{} })
	var logits []float32
	for _, p := range m.Params() {
		if p.Name == "decoder.2.bias" {
			logits = p.Value
		}
	}
	for j := range logits {
		logits[j] = float32(j)/6 - 2
	}
	var want Running
	x := make([]float32, 25)
	for i := range v.N() {
		v.Pixels(x, i, 0)
		sum := 0.0
		for j, l := range logits {
			sum += float64(x[j])*float64(l) - math.Log1p(math.Exp(float64(l)))
		}
		want.Add(sum)
	}
	got := evaluate(t, m, 7, v, 9)
	// 25 pixels of at most 3 nats, each rounded to float32 (2^-24) and summed.
	const tolerance = 25 * 25 * 3 * 6e-8
	for name, value := range map[string]float64{"recon": got.Recon, "ELBO": got.ELBO, "L_7": got.IW.Bound} {
		if math.Abs(value-want.Mean) > tolerance {
			t.Errorf("%s = %.6f, want %.6f", name, value, want.Mean)
		}
	}
	if got.KL != 0 || *got.ActiveUnits != 0 || math.Abs(got.IW.ESS-7) > 1e-4 {
		t.Errorf("KL %g, %d active units, effective sample size %g; want 0, 0, 7", got.KL, *got.ActiveUnits, got.IW.ESS)
	}
	if se := math.Sqrt(want.Variance() / 37); math.Abs(got.ELBOSE-se) > tolerance {
		t.Errorf("standard error %g, want %g", got.ELBOSE, se)
	}
	if got.Images != 37 {
		t.Errorf("%d images, want 37", got.Images)
	}
}

// TestBoundsAreBelowTheEvidenceAndApproachIt computes log p(x) of a VAE with one
// latent dimension by quadrature over z, and compares.
func TestBoundsAreBelowTheEvidenceAndApproachIt(t *testing.T) {
	v := plainView(t, 40, 3, 3)
	m, err := model.NewVAE(model.VAEConfig{Pixels: 9, Hidden: []int{8}, Latent: 1, Activation: graph.Tanh, Likelihood: model.BernoulliName, Objective: model.ELBO, Draws: 1},
		graphtest.Engine(1), func(name string) graph.Uniform { return data.NewStream(2, name) })
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range m.Params() {
		for j := range p.Value {
			if p.Name == "decoder.2.weight" {
				p.Value[j] *= 8 // a code that matters
			}
		}
	}
	evidence := evidenceByQuadrature(t, m, v)
	var exact Running
	for _, e := range evidence {
		exact.Add(e)
	}
	one, many := evaluate(t, m, 1, v, 9), evaluate(t, m, 4000, v, 9)
	if !(many.ELBO < exact.Mean && many.ELBO < many.IW.Bound) {
		t.Errorf("ELBO %.4f, L_4000 %.4f, log p(x) %.4f: want them in this order", many.ELBO, many.IW.Bound, exact.Mean)
	}
	// The mean of L_k is below log p(x) by about var(w)/2k, with w the weights
	// relative to their mean: (k/ESS - 1)/2k nats. One image's estimate has a
	// standard deviation of sqrt(1/ESS - 1/k), so the mean of 40 images has
	bias, sd := (4000/many.IW.ESS-1)/8000, math.Sqrt((1/many.IW.ESS-1./4000)/40)
	if d := many.IW.Bound - exact.Mean; math.Abs(d+bias) > 5*sd {
		t.Errorf("L_4000 - log p(x) = %.5f, want %.5f ± %.5f", d, -bias, 5*sd)
	}
	// With one draw the importance-weighted bound estimates the ELBO, only without
	// its closed form of the divergence: equal in expectation.
	if d := math.Abs(one.IW.Bound - many.ELBO); d > 5*one.IW.SE {
		t.Errorf("L_1 = %.4f, ELBO = %.4f: apart by more than five standard errors", one.IW.Bound, many.ELBO)
	}
}

// evidenceByQuadrature returns log p(x) for each image by the midpoint rule on [-8, 8].
func evidenceByQuadrature(t *testing.T, m *model.VAE, v data.View) []float64 {
	t.Helper()
	const nodes, reach = 800, 8.0
	s, err := m.NewScorer(m.Q.Posterior, 1, nodes)
	if err != nil {
		t.Fatal(err)
	}
	z := make([]float32, nodes)
	for i := range z {
		z[i] = float32(reach * (2*(float64(i)+0.5)/nodes - 1))
	}
	evidence, x := make([]float64, v.N()), make([]float32, v.D())
	for i := range evidence {
		v.Pixels(x, i, 0)
		logLik, _, err := s.Score(x, []float32{0, 0}, z) // μ = 0, σ = 1: the draws are z
		if err != nil {
			t.Fatal(err)
		}
		sum := 0.0
		for j, l := range logLik {
			sum += math.Exp(float64(l)-float64(z[j])*float64(z[j])/2) * 2 * reach / nodes / math.Sqrt(2*math.Pi)
		}
		evidence[i] = math.Log(sum)
	}
	return evidence
}

// TestEvaluationDependsOnNeitherBlocksNorWorkers: more images than a block holds, a
// block that is not full, another number of workers.
func TestEvaluationDependsOnNeitherBlocksNorWorkers(t *testing.T) {
	v := plainView(t, 33, 4, 4)
	on := func(workers, images, block int) Evaluation {
		m, err := model.NewVAE(model.VAEConfig{Pixels: 16, Hidden: []int{6}, Latent: 2, Activation: graph.ReLU, Likelihood: model.BernoulliName, Objective: model.ELBO, Draws: 1},
			graphtest.Engine(workers), func(name string) graph.Uniform { return data.NewStream(4, name) })
		if err != nil {
			t.Fatal(err)
		}
		e, err := newEvaluator(m, 10, images, block)
		if err != nil {
			t.Fatal(err)
		}
		result, err := e.Evaluate(context.Background(), v, 9)
		if err != nil {
			t.Fatal(err)
		}
		return result
	}
	want := on(1, 100, 10)
	for _, c := range [][3]int{{2, 100, 10}, {1, 1, 10}, {1, 7, 3}, {3, 33, 1}} {
		got := on(c[0], c[1], c[2])
		// Products of other shapes may round otherwise: 16 pixels of about 1 nat.
		if math.Abs(got.ELBO-want.ELBO) > 1e-5 || math.Abs(got.IW.Bound-want.IW.Bound) > 1e-5 || math.Abs(got.KL-want.KL) > 1e-5 {
			t.Errorf("%d workers, blocks of %d images and %d draws: %+v, want %+v", c[0], c[1], c[2], got, want)
		}
	}
}

func TestEvaluationStopsWhenAsked(t *testing.T) {
	e, err := NewEvaluator(smallVAE(t), 1)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := e.Evaluate(ctx, plainView(t, 90, 6, 6), 1); !errors.Is(err, context.Canceled) {
		t.Errorf("Evaluate = %v, want the context's error", err)
	}
}

// TestLargeImagesAreScoredInSmallBlocks, and images of any size up to 128 x 128 in blocks
// as large as ever.
func TestLargeImagesAreScoredInSmallBlocks(t *testing.T) {
	for _, c := range []struct{ draws, pixels, images, block int }{
		{1, 784, 500, 1}, {100, 784, 5, 100}, {5000, 784, 1, 500}, {1, 128 * 128, 500, 1},
		{1, 256 * 256, 128, 1}, {100, 256 * 256, 1, 100}, {100, 1024 * 1024, 1, 8}, {3, 1 << 25, 1, 1},
	} {
		if images, block := blocks(c.draws, c.pixels); images != c.images || block != c.block {
			t.Errorf("%d draws of %d pixels: %d images, %d draws at once, want %d and %d", c.draws, c.pixels, images, block, c.images, c.block)
		}
	}
}

// TestScoringTellsHowFarItIs, by ever more images up to all of them, whoever scores them.
func TestScoringTellsHowFarItIs(t *testing.T) {
	m, v := smallVAE(t), plainView(t, 90, 6, 6)
	e, err := NewEvaluator(m.On(graphtest.Engine(3)), 40)
	if err != nil {
		t.Fatal(err)
	}
	var heard []int
	e.Scored = func(images int) { heard = append(heard, images) }
	if _, err := e.Evaluate(context.Background(), v, 1); err != nil {
		t.Fatal(err)
	}
	if len(heard) < 5 || !slices.IsSorted(heard) || heard[len(heard)-1] != v.N() {
		t.Errorf("heard %v, want steps up to %d", heard, v.N())
	}
}

// TestTheTailTellsAGoodEncoderFromANarrowOne: with an exact encoder all weights are
// equal to log p(x). With the variance of q multiplied by f the weights of one latent
// dimension go as exp((1 - f) ε²/2), ε ~ N(0, 1): of shape 1 - f in the limit, and
// 1/(1/(1-f) + 1/(2 log w)) at a weight w, where the largest 4 % have w ≥
// exp(2.05 (1 - f)).
func TestTheTailTellsAGoodEncoderFromANarrowOne(t *testing.T) {
	const draws = 5000
	for _, factor := range []float64{1, 0.9, 0.02} {
		m, p, v := linearModel(t, 30, 1, factor)
		e := evaluate(t, m, draws, v, 3)
		exact := evidences(p, v)
		var want, off Running
		for i, v := range exact {
			want.Add(v)
			off.Add(e.PerImage[i].IW - v)
		}
		iw := e.IW
		switch factor {
		case 1:
			// 9 pixels whose squares are below 100, rounded to float32.
			if math.Abs(off.Mean) > 1e-4 || *iw.KHat != 0 || *iw.KHatBad != 0 || iw.Bias > 1e-6 {
				t.Errorf("exact encoder: L_k - log p(x) = %g, k-hat %g, above the limit %g, bias %g; want 0 of all", off.Mean, *iw.KHat, *iw.KHatBad, iw.Bias)
			}
		case 0.9:
			// The variance of w is finite: L_k is off by its bias, to the error that
			// its effective sample size tells.
			sd := math.Sqrt((1/iw.ESS - 1./draws) / 30)
			if math.Abs(off.Mean+iw.Bias) > 5*sd+1e-4 || *iw.KHat > 0.3 || *iw.KHatBad > 0 {
				t.Errorf("q a little narrow: L_k - log p(x) = %.5f ± %.5f, bias %.5f, k-hat %.2f, above the limit %.2f", off.Mean, sd, iw.Bias, *iw.KHat, *iw.KHatBad)
			}
		default:
			// The shape is between 0.78 at the start of the tail and 0.98; of one image
			// it has a standard deviation of 1.9/√213 = 0.13, of the median of 30 1.25 · 0.13/√30.
			if k := *iw.KHat; k < 0.78-0.1 || k > 0.98+0.1 || *iw.KHatBad < 0.6 || *iw.KHatLimit != 0.7 {
				t.Errorf("q far too narrow: k-hat %.2f, above the limit of %g for %.2f of the images", k, *iw.KHatLimit, *iw.KHatBad)
			}
			above := 0
			for _, score := range e.PerImage {
				if score.KHat > *iw.KHatLimit {
					above++
				}
			}
			if want := float64(above) / float64(len(e.PerImage)); *iw.KHatBad != want {
				t.Errorf("%d images above the limit are a share of %v, want %v to the last digit", above, *iw.KHatBad, want)
			}
			if off.Mean >= 0 {
				t.Errorf("L_k is above log p(x) by %g nats", off.Mean)
			}
		}
	}
}

func TestFewDrawsHaveNoTail(t *testing.T) {
	m, _, v := linearModel(t, 5, 1, 0.5)
	e := evaluate(t, m, 20, v, 3)
	if e.IW.KHat != nil || e.IW.KHatBad != nil || !math.IsNaN(e.PerImage[0].KHat) {
		t.Errorf("k-hat of 20 draws: %v, %v, %g; want none", e.IW.KHat, e.IW.KHatBad, e.PerImage[0].KHat)
	}
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
	e := evaluate(t, m, draws, view, 7)
	e.AddExact(quadrature(t, m.Joint, DefaultQuadrature(2), x), "quadrature")
	var logP, elbo, noise Running
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
