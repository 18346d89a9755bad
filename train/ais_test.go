package train

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
	"elbo/graph/graphtest"
	"elbo/model"
	"elbo/model/modeltest"
)

// linearSetup is a linear-Gaussian model of the grey levels of 3 x 3 pixels as a VAE,
// whose encoder is exact, with the reference for its evidence. The encoder's variances are
// multiplied by a factor.
func linearSetup(t *testing.T, images, latent int, factor float64) (*Setup, *modeltest.PPCA) {
	t.Helper()
	v := plainView(t, images, 3, 3)
	v.Mode = data.None
	m, err := model.NewVAE(model.VAEConfig{Pixels: 9, Latent: latent, Activation: graph.ReLU, Likelihood: model.GaussianName, Variance: 0.1, Objective: model.ELBO, Draws: 1},
		graphtest.Engine(2), func(string) graph.Uniform { return half{} })
	if err != nil {
		t.Fatal(err)
	}
	// The variance that the model has is the exponential of a float32 logarithm: it
	// changes log p(x) by 9 · 2^-24.
	p := modeltest.RandomPPCA(t, rand.New(rand.NewPCG(2, 2)), 9, latent, 0.5, 0.1, true)
	p.Fill(t, m.Params())
	for _, param := range m.Params() {
		if param.Name == "encoder.0.bias" {
			for j := range latent {
				param.Value[latent+j] += float32(math.Log(factor))
			}
		}
	}
	return &Setup{VAE: m, Test: v}, p
}

// evidences is log p(x) of the images of a view.
func evidences(p *modeltest.PPCA, v data.View) []float64 {
	x, all := make([]float32, v.D()), make([]float64, v.N())
	for i := range all {
		v.Pixels(x, i, 0)
		all[i] = p.LogEvidence(modeltest.Floats(x))
	}
	return all
}

func assess(t *testing.T, s *Setup, v data.View, o AssessOptions) Evaluation {
	t.Helper()
	e, err := Assess(context.Background(), s, v, o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// TestTheTailTellsAGoodEncoderFromANarrowOne: with an exact encoder all weights are
// equal to log p(x). With the variance of q multiplied by f the weights of one latent
// dimension go as exp((1 - f) ε²/2), ε ~ N(0, 1): of shape 1 - f in the limit, and
// 1/(1/(1-f) + 1/(2 log w)) at a weight w, where the largest 4 % have w ≥
// exp(2.05 (1 - f)).
func TestTheTailTellsAGoodEncoderFromANarrowOne(t *testing.T) {
	const draws = 5000
	for _, factor := range []float64{1, 0.9, 0.02} {
		s, p := linearSetup(t, 30, 1, factor)
		e := assess(t, s, s.Test, AssessOptions{Samples: draws, Seed: 3})
		exact := evidences(p, s.Test)
		var want, off moments
		for i, v := range exact {
			want.add(v)
			off.add(e.PerImage[i].IW - v)
		}
		iw := e.IW
		switch factor {
		case 1:
			// 9 pixels whose squares are below 100, rounded to float32.
			if math.Abs(off.mean) > 1e-4 || *iw.KHat != 0 || *iw.KHatBad != 0 || iw.Bias > 1e-6 {
				t.Errorf("exact encoder: L_k - log p(x) = %g, k-hat %g, above the limit %g, bias %g; want 0 of all", off.mean, *iw.KHat, *iw.KHatBad, iw.Bias)
			}
		case 0.9:
			// The variance of w is finite: L_k is off by its bias, to the error that
			// its effective sample size tells.
			sd := math.Sqrt((1/iw.ESS - 1./draws) / 30)
			if math.Abs(off.mean+iw.Bias) > 5*sd+1e-4 || *iw.KHat > 0.3 || *iw.KHatBad > 0 {
				t.Errorf("q a little narrow: L_k - log p(x) = %.5f ± %.5f, bias %.5f, k-hat %.2f, above the limit %.2f", off.mean, sd, iw.Bias, *iw.KHat, *iw.KHatBad)
			}
		default:
			// The shape is between 0.78 at the start of the tail and 0.98; of one image
			// it has a standard deviation of 1.9/√213 = 0.13, of the median of 30 1.25 · 0.13/√30.
			if k := *iw.KHat; k < 0.78-0.1 || k > 0.98+0.1 || *iw.KHatBad < 0.6 || *iw.KHatLimit != 0.7 {
				t.Errorf("q far too narrow: k-hat %.2f, above the limit of %g for %.2f of the images", k, *iw.KHatLimit, *iw.KHatBad)
			}
			if off.mean >= 0 {
				t.Errorf("L_k is above log p(x) by %g nats", off.mean)
			}
		}
	}
}

func TestFewDrawsHaveNoTail(t *testing.T) {
	s, _ := linearSetup(t, 5, 1, 0.5)
	e := assess(t, s, s.Test, AssessOptions{Samples: 20, Seed: 3})
	if e.IW.KHat != nil || e.IW.KHatBad != nil || !math.IsNaN(e.PerImage[0].KHat) {
		t.Errorf("k-hat of 20 draws: %v, %v, %g; want none", e.IW.KHat, e.IW.KHatBad, e.PerImage[0].KHat)
	}
}

// TestAISFindsTheEvidenceInClosedForm, whatever the encoder: the encoder here is so
// narrow that L_k fails. The sandwich holds the evidence of the images that it drew.
func TestAISFindsTheEvidenceInClosedForm(t *testing.T) {
	s, p := linearSetup(t, 30, 3, 0.02)
	o := AISOptions{Steps: 150, Chains: 16, Leapfrogs: 5, Simulated: 40}
	last := 0
	o.Progress = func(done, total int) {
		if done <= last || done > total {
			t.Fatalf("%d of %d done, after %d", done, total, last)
		}
		last = done
		if total != 30*(49+149)+40*(49+2*149) { // a pilot of 50 steps, and one or two runs
			t.Fatalf("%d moves in all", total)
		}
	}
	e := assess(t, s, s.Test, AssessOptions{Samples: 100, Seed: 4, AIS: &o})
	a := e.AIS
	if last != 30*(49+149)+40*(49+2*149) {
		t.Errorf("progress ends at %d", last)
	}
	var off moments
	for i, v := range evidences(p, s.Test) {
		off.add(e.PerImage[i].AIS - v)
	}
	// The logarithm of a mean of C weights is low by half its variance, on average.
	bias := a.ChainSE * a.ChainSE * 30 / 2
	if math.Abs(off.mean+bias) > 5*a.ChainSE {
		t.Errorf("AIS - log p(x) = %.4f, want %.4f ± %.4f", off.mean, -bias, a.ChainSE)
	}
	// The error bar is that of the images' own errors.
	if se := off.standardError(); a.ChainSE > 2*se || a.ChainSE < se/2 {
		t.Errorf("error by the chains %.4f, by the differences from the closed form %.4f", a.ChainSE, se)
	}
	if a.ChainSE > 0.05 {
		t.Errorf("error by the chains %.4f: too large for the test to say anything", a.ChainSE)
	}
	if a.Acceptance < 0.55 || a.Acceptance > 0.75 {
		t.Errorf("acceptance %.3f, adapted towards %g", a.Acceptance, wantedAcceptance)
	}
	if a.ESS < 8 || a.ESS > 16 {
		t.Errorf("effective number of chains %.2f of 16", a.ESS)
	}

	// The evidence of the simulated images, drawn once more.
	again := &annealing{seed: 4, purpose: "ais/simulated", key: func(i int) uint64 { return uint64(i) }}
	x, _, err := s.VAE.Simulate(again.streams("/draw", 40, 1))
	if err != nil {
		t.Fatal(err)
	}
	var exact moments
	for i := range 40 {
		exact.add(p.LogEvidence(modeltest.Floats(x[i*9:][:9])))
	}
	w := a.Simulated
	if error := 5 * w.GapSE; exact.mean < w.Lower-error || exact.mean > w.Upper+error {
		t.Errorf("log p(x) = %.4f of the simulated images, outside %.4f to %.4f", exact.mean, w.Lower, w.Upper)
	}
	if w.Gap < -3*w.GapSE || w.Gap > 0.3 || math.Abs(w.Upper-w.Lower-w.Gap) > 1e-9 || w.Images != 40 {
		t.Errorf("gap %.4f ± %.4f of %d images, from %.4f to %.4f", w.Gap, w.GapSE, w.Images, w.Lower, w.Upper)
	}
}

// TestFewStepsShowInTheSandwich: annealing that is far too fast is off by nats, forward
// below and backward above, and the gap says so.
func TestFewStepsShowInTheSandwich(t *testing.T) {
	s, p := linearSetup(t, 30, 3, 1)
	a := assess(t, s, s.Test, AssessOptions{Samples: 1, Seed: 4, AIS: &AISOptions{Steps: 3, Chains: 4, Leapfrogs: 1, Simulated: 60}}).AIS
	var exact moments
	for _, v := range evidences(p, s.Test) {
		exact.add(v)
	}
	if a.Value > exact.mean-0.5 {
		t.Errorf("AIS with 3 steps %.2f, log p(x) %.2f: want it far below", a.Value, exact.mean)
	}
	if w := a.Simulated; w.Gap < 0.5 || w.Gap < 5*w.GapSE {
		t.Errorf("gap %.2f ± %.2f with 3 steps: want it large", w.Gap, w.GapSE)
	}
}

// TestEstimatesOfATrainedVAEAgreeWithQuadrature: L_5000 and annealed importance sampling
// of a model with two latent dimensions, within their error bars.
func TestEstimatesOfATrainedVAEAgreeWithQuadrature(t *testing.T) {
	c := smallConfig(t)
	c.network().Activation, c.Epochs, c.network().LR = graph.Tanh, 60, 0.01
	s := newTestSetup(t, c)
	if _, err := Run(context.Background(), s, newTrainingRun(t, c), nil, &listener{}, still); err != nil {
		t.Fatal(err)
	}
	v := s.Validation
	const draws = 5000
	e := assess(t, s, v, AssessOptions{Samples: draws, Seed: 2, Exact: true, AIS: &AISOptions{Steps: 100, Chains: 8, Leapfrogs: 5, Simulated: 30}})
	if e.KL < 0.5 {
		t.Fatalf("KL %.2f: the code carries nothing, and the test says nothing", e.KL)
	}
	var iw, ais, logP moments
	for _, score := range e.PerImage {
		if score.Error > 1e-3 {
			t.Fatalf("image %d: log p(x) to ± %g only", score.Image, score.Error)
		}
		iw.add(score.IW - score.LogP)
		ais.add(score.AIS - score.LogP)
		logP.add(score.LogP)
	}
	variance := 0.0 // of the mean of L_k
	for _, score := range e.PerImage {
		variance += (1/score.ESS - 1./draws) / float64(v.N()*v.N())
	}
	if !(e.ELBO < logP.mean) || math.Abs(iw.mean+e.IW.Bias) > 5*math.Sqrt(variance) {
		t.Errorf("L_5000 - log p(x) = %.5f, want %.5f ± %.5f; ELBO %.3f, log p(x) %.3f", iw.mean, -e.IW.Bias, math.Sqrt(variance), e.ELBO, logP.mean)
	}
	bias := e.AIS.ChainSE * e.AIS.ChainSE * float64(v.N()) / 2
	if math.Abs(ais.mean+bias) > 5*e.AIS.ChainSE || e.AIS.ChainSE > 0.1 {
		t.Errorf("AIS - log p(x) = %.4f, want %.4f ± %.4f", ais.mean, -bias, e.AIS.ChainSE)
	}
	if w := e.AIS.Simulated; w.Gap < -3*w.GapSE || w.Gap > 0.2 {
		t.Errorf("gap %.3f ± %.3f", w.Gap, w.GapSE)
	}
	t.Logf("ELBO %.4f, L_5000 %.4f, AIS %.4f, log p(x) %.4f", e.ELBO, e.IW.Bound, e.AIS.Value, logP.mean)
}

// TestAISDependsOnSeedImageAndChainAlone: the same again, and with other images beside.
func TestAISDependsOnSeedImageAndChainAlone(t *testing.T) {
	s, _ := linearSetup(t, 30, 2, 1)
	run := func(n, chains int, seed uint64) []ImageScore {
		v := s.Test
		v.Subset = v.First(n)
		return assess(t, s, v, AssessOptions{Samples: 1, Seed: seed, AIS: &AISOptions{Steps: 20, Chains: chains, Leapfrogs: 3}}).PerImage
	}
	// With 100 chains a block holds 5 images.
	want, again, few, other := run(12, 100, 1), run(12, 100, 1), run(3, 100, 1), run(3, 100, 2)
	for i := range want {
		if want[i].AIS != again[i].AIS {
			t.Errorf("image %d: %.9f, and again %.9f", i, want[i].AIS, again[i].AIS)
		}
	}
	for i := range few {
		// Products of other shapes may round otherwise, by 2^-24 of 10 nats, which
		// trajectories of 3 steps hardly amplify.
		if math.Abs(few[i].AIS-want[i].AIS) > 1e-4 {
			t.Errorf("image %d: %.9f among three, %.9f among twelve", i, few[i].AIS, want[i].AIS)
		}
		if few[i].AIS == other[i].AIS {
			t.Errorf("image %d: two seeds give %.9f", i, few[i].AIS)
		}
	}
}

func TestAISStopsWhenAsked(t *testing.T) {
	s, _ := linearSetup(t, 5, 2, 1)
	ctx, cancel := context.WithCancel(context.Background())
	o := AISOptions{Steps: 100, Chains: 4, Leapfrogs: 2, Progress: func(done, _ int) {
		if done > 50 {
			cancel()
		}
		if done > 60 {
			t.Fatal("it goes on")
		}
	}}
	if _, err := Assess(ctx, s, s.Test, AssessOptions{Samples: 1, AIS: &o}); !errors.Is(err, context.Canceled) {
		t.Errorf("Assess = %v, want the context's error", err)
	}
}

func TestAISSaysWhatItCannotDo(t *testing.T) {
	s, _ := linearSetup(t, 5, 2, 1)
	grey := *s
	grey.VAE = s.VAE.On(s.VAE.Engine) // with a joint distribution of its own
	grey.VAE.Likelihood = model.GreyBernoulli{}
	table := newTestSetup(t, func() Config {
		c := DefaultConfig(MixtureModel)
		c.Data, c.Split, c.mixture().Components = writeSynthetic(t), []int{90, 30}, 3
		c.Binarise = data.Static
		return c
	}())
	for name, c := range map[string]struct {
		setup *Setup
		o     AISOptions
		want  []string
	}{
		"all options wrong":  {s, AISOptions{Simulated: -1}, []string{"ais-steps is 0, want at least 2", "ais-chains is 0, want at least 2: their spread", "ais-leapfrogs is 0", "ais-simulated is -1"}},
		"no likelihood":      {&grey, DefaultAIS(), []string{"grey-bernoulli", "no likelihood"}},
		"a model with table": {table, DefaultAIS(), []string{"exact"}},
	} {
		_, err := Assess(context.Background(), c.setup, s.Test, AssessOptions{Samples: 1, AIS: &c.o})
		configError, ok := errors.AsType[*ConfigError](err)
		if !ok {
			t.Errorf("%s: %v, want an error of the configuration", name, err)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(configError.Error(), want) {
				t.Errorf("%s: %q does not say %q", name, configError, want)
			}
		}
	}
	// A decoder that overflows is no reason to print NaN.
	for _, p := range s.VAE.Params() {
		if p.Name == "decoder.0.weight" {
			p.Value[0] = float32(math.Inf(1))
		}
	}
	if _, err := Assess(context.Background(), s, s.Test, AssessOptions{Samples: 1, AIS: &AISOptions{Steps: 5, Chains: 2, Leapfrogs: 1}}); err == nil || !strings.Contains(fmt.Sprint(err), "overflows") {
		t.Errorf("Assess with a weight that is infinite: %v", err)
	}
}
