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

// linearModel is a linear-Gaussian model of the grey levels of 3 x 3 pixels as a VAE,
// whose encoder is exact, with the reference for its evidence, and images. The encoder's variances are
// multiplied by a factor.
func linearModel(t *testing.T, images, latent int, factor float64) (*model.VAE, *modeltest.PPCA, data.View) {
	t.Helper()
	v := plainView(t, images, 3, 3)
	v.Mode = data.None
	m := newVAE(t, model.VAEConfig{Pixels: 9, Latent: latent, Activation: graph.ReLU, Likelihood: model.GaussianName, Variance: 0.1, Objective: model.ELBO, Draws: 1}, func(string) graph.Uniform { return half{} })
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
	return m, p, v
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

func estimate(t *testing.T, m *model.VAE, v data.View, seed uint64, o AISOptions) *AIS {
	t.Helper()
	a, err := EstimateAIS(context.Background(), m.Joint, v, seed, o)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestAISFindsTheEvidenceInClosedForm, whatever the encoder: the encoder here is so
// narrow that L_k fails. The sandwich holds the evidence of the images that it drew.
func TestAISFindsTheEvidenceInClosedForm(t *testing.T) {
	m, p, v := linearModel(t, 30, 3, 0.02)
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
	a := estimate(t, m, v, 4, o)
	if last != 30*(49+149)+40*(49+2*149) {
		t.Errorf("progress ends at %d", last)
	}
	var off Running
	for i, logP := range evidences(p, v) {
		off.Add(a.PerImage[i] - logP)
	}
	// The logarithm of a mean of C weights is low by half its variance, on average.
	bias := a.ChainSE * a.ChainSE * 30 / 2
	if math.Abs(off.Mean+bias) > 5*a.ChainSE {
		t.Errorf("AIS - log p(x) = %.4f, want %.4f ± %.4f", off.Mean, -bias, a.ChainSE)
	}
	// The error bar is that of the images' own errors.
	if se := off.StandardError(); a.ChainSE > 2*se || a.ChainSE < se/2 {
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
	x, _, err := m.Simulate(again.streams("/draw", 40, 1))
	if err != nil {
		t.Fatal(err)
	}
	var exact Running
	for i := range 40 {
		exact.Add(p.LogEvidence(modeltest.Floats(x[i*9:][:9])))
	}
	w := a.Simulated
	if error := 5 * w.GapSE; exact.Mean < w.Lower-error || exact.Mean > w.Upper+error {
		t.Errorf("log p(x) = %.4f of the simulated images, outside %.4f to %.4f", exact.Mean, w.Lower, w.Upper)
	}
	if w.Gap < -3*w.GapSE || w.Gap > 0.3 || math.Abs(w.Upper-w.Lower-w.Gap) > 1e-9 || w.Images != 40 {
		t.Errorf("gap %.4f ± %.4f of %d images, from %.4f to %.4f", w.Gap, w.GapSE, w.Images, w.Lower, w.Upper)
	}
}

// TestFewStepsShowInTheSandwich: annealing that is far too fast is off by nats, forward
// below and backward above, and the gap says so.
func TestFewStepsShowInTheSandwich(t *testing.T) {
	m, p, v := linearModel(t, 30, 3, 1)
	a := estimate(t, m, v, 4, AISOptions{Steps: 3, Chains: 4, Leapfrogs: 1, Simulated: 60})
	var exact Running
	for _, v := range evidences(p, v) {
		exact.Add(v)
	}
	if a.Value > exact.Mean-0.5 {
		t.Errorf("AIS with 3 steps %.2f, log p(x) %.2f: want it far below", a.Value, exact.Mean)
	}
	if w := a.Simulated; w.Gap < 0.5 || w.Gap < 5*w.GapSE {
		t.Errorf("gap %.2f ± %.2f with 3 steps: want it large", w.Gap, w.GapSE)
	}
}

// TestAISDependsOnSeedImageAndChainAlone: the same again, and with other images beside.
func TestAISDependsOnSeedImageAndChainAlone(t *testing.T) {
	m, _, v := linearModel(t, 30, 2, 1)
	run := func(n, chains int, seed uint64) []float64 {
		some := v
		some.Subset = v.First(n)
		return estimate(t, m, some, seed, AISOptions{Steps: 20, Chains: chains, Leapfrogs: 3}).PerImage
	}
	// With 100 chains a block holds 5 images.
	want, again, few, other := run(12, 100, 1), run(12, 100, 1), run(3, 100, 1), run(3, 100, 2)
	for i := range want {
		if want[i] != again[i] {
			t.Errorf("image %d: %.9f, and again %.9f", i, want[i], again[i])
		}
	}
	for i := range few {
		// Products of other shapes may round otherwise, by 2^-24 of 10 nats, which
		// trajectories of 3 steps hardly amplify.
		if math.Abs(few[i]-want[i]) > 1e-4 {
			t.Errorf("image %d: %.9f among three, %.9f among twelve", i, few[i], want[i])
		}
		if few[i] == other[i] {
			t.Errorf("image %d: two seeds give %.9f", i, few[i])
		}
	}
}

func TestAISStopsWhenAsked(t *testing.T) {
	m, _, v := linearModel(t, 5, 2, 1)
	ctx, cancel := context.WithCancel(context.Background())
	o := AISOptions{Steps: 100, Chains: 4, Leapfrogs: 2, Progress: func(done, _ int) {
		if done > 50 {
			cancel()
		}
		if done > 60 {
			t.Fatal("it goes on")
		}
	}}
	if _, err := EstimateAIS(ctx, m.Joint, v, 1, o); !errors.Is(err, context.Canceled) {
		t.Errorf("EstimateAIS = %v, want the context's error", err)
	}
}

func TestAISSaysWhatItCannotDo(t *testing.T) {
	m, _, v := linearModel(t, 5, 2, 1)
	grey := m.On(m.Engine) // with a joint distribution of its own
	grey.Likelihood = model.GreyBernoulli{}
	for name, c := range map[string]struct {
		joint *model.Joint
		o     AISOptions
		want  []string
	}{
		"all options wrong": {m.Joint, AISOptions{Simulated: -1}, []string{"ais-steps is 0, want at least 2", "ais-chains is 0, want at least 2: their spread", "ais-leapfrogs is 0", "ais-simulated is -1"}},
		"no likelihood":     {grey.Joint, DefaultAIS(), []string{"grey-bernoulli", "no likelihood"}},
	} {
		_, err := EstimateAIS(context.Background(), c.joint, v, 1, c.o)
		if _, ok := errors.AsType[*OptionError](err); !ok {
			t.Errorf("%s: %v, want an error of the options", name, err)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q does not say %q", name, err, want)
			}
		}
	}
	// A decoder that overflows is no reason to print NaN.
	for _, p := range m.Params() {
		if p.Name == "decoder.0.weight" {
			p.Value[0] = float32(math.Inf(1))
		}
	}
	if _, err := EstimateAIS(context.Background(), m.Joint, v, 1, AISOptions{Steps: 5, Chains: 2, Leapfrogs: 1}); err == nil || !strings.Contains(fmt.Sprint(err), "overflows") {
		t.Errorf("EstimateAIS with a weight that is infinite: %v", err)
	}
}
