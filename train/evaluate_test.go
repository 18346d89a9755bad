package train

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"

	"elbo/data"
	"elbo/graph"
	"elbo/graph/graphtest"
	"elbo/model"
	"elbo/model/infer"
)

// plainView is a few synthetic images as evaluation sees them.
func plainView(t *testing.T, n, rows, cols int) data.View {
	t.Helper()
	ds, err := data.New("synthetic", data.Synthetic(n, rows, cols, 3), data.Images{})
	if err != nil {
		t.Fatal(err)
	}
	subset, _, _, err := ds.Split(n, 0)
	if err != nil {
		t.Fatal(err)
	}
	return data.View{Subset: subset, Mode: data.Static, Seed: 5}
}

func evaluateWith(t *testing.T, m *model.VAE, draws int, v data.View) Evaluation {
	t.Helper()
	e, err := NewEvaluator(m, draws)
	if err != nil {
		t.Fatal(err)
	}
	result, err := e.Evaluate(context.Background(), v, 9)
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
	m, err := model.NewVAE(model.VAEConfig{Pixels: 25, Hidden: []int{4}, Latent: 3, Activation: graph.Tanh, Likelihood: model.BernoulliName, Objective: model.ELBO, Draws: 1},
		graphtest.Engine(2), func(string) graph.Uniform { return half{} })
	if err != nil {
		t.Fatal(err)
	}
	var logits []float32
	for _, p := range m.Params() {
		if p.Name == "decoder.2.bias" {
			logits = p.Value
		}
	}
	for j := range logits {
		logits[j] = float32(j)/6 - 2
	}
	var want infer.Running
	x := make([]float32, 25)
	for i := range v.N() {
		v.Pixels(x, i, 0)
		sum := 0.0
		for j, l := range logits {
			sum += float64(x[j])*float64(l) - math.Log1p(math.Exp(float64(l)))
		}
		want.Add(sum)
	}
	got := evaluateWith(t, m, 7, v)
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
	var exact infer.Running
	for _, e := range evidence {
		exact.Add(e)
	}
	one, many := evaluateWith(t, m, 1, v), evaluateWith(t, m, 4000, v)
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
	s, err := m.NewScorer(1, nodes)
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
	evaluate := func(workers, images, block int) Evaluation {
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
	want := evaluate(1, 100, 10)
	for _, c := range [][3]int{{2, 100, 10}, {1, 1, 10}, {1, 7, 3}, {3, 33, 1}} {
		got := evaluate(c[0], c[1], c[2])
		// Products of other shapes may round otherwise: 16 pixels of about 1 nat.
		if math.Abs(got.ELBO-want.ELBO) > 1e-5 || math.Abs(got.IW.Bound-want.IW.Bound) > 1e-5 || math.Abs(got.KL-want.KL) > 1e-5 {
			t.Errorf("%d workers, blocks of %d images and %d draws: %+v, want %+v", c[0], c[1], c[2], got, want)
		}
	}
}

func TestEvaluationStopsWhenAsked(t *testing.T) {
	s := newTestSetup(t, smallConfig(t))
	e, err := NewEvaluator(s.VAE, 1)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := e.Evaluate(ctx, s.Train, 1); !errors.Is(err, context.Canceled) {
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
	c := smallConfig(t)
	c.Workers = 3
	s := newTestSetup(t, c)
	var heard []int
	o := AssessOptions{Samples: 40, Seed: 1, Scored: func(images int) { heard = append(heard, images) }}
	if _, err := Assess(context.Background(), s, s.Train, o); err != nil {
		t.Fatal(err)
	}
	if len(heard) < 5 || !slices.IsSorted(heard) || heard[len(heard)-1] != s.Train.N() {
		t.Errorf("heard %v, want steps up to %d", heard, s.Train.N())
	}
}
