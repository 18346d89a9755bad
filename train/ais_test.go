package train

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"elbo/data"
	"elbo/graph"
	"elbo/graph/graphtest"
	"elbo/model"
	"elbo/model/infer"
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
		var want, off infer.Running
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
			if off.Mean >= 0 {
				t.Errorf("L_k is above log p(x) by %g nats", off.Mean)
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

// TestEstimatesOfATrainedVAEAgreeWithQuadrature: L_5000 and annealed importance sampling
// of a model with two latent dimensions, within their error bars.
func TestEstimatesOfATrainedVAEAgreeWithQuadrature(t *testing.T) {
	c := smallConfig(t)
	c.Activation, c.Epochs, c.LR = graph.Tanh, 60, 0.01
	s := newTestSetup(t, c)
	if _, err := Run(context.Background(), s, newTrainingRun(t, c), nil, &listener{}, still); err != nil {
		t.Fatal(err)
	}
	v := s.Validation
	const draws = 5000
	e := assess(t, s, v, AssessOptions{Samples: draws, Seed: 2, Exact: true, AIS: &infer.AISOptions{Steps: 100, Chains: 8, Leapfrogs: 5, Simulated: 30}})
	if e.KL < 0.5 {
		t.Fatalf("KL %.2f: the code carries nothing, and the test says nothing", e.KL)
	}
	var iw, ais, logP infer.Running
	for _, score := range e.PerImage {
		if score.Error > 1e-3 {
			t.Fatalf("image %d: log p(x) to ± %g only", score.Image, score.Error)
		}
		iw.Add(score.IW - score.LogP)
		ais.Add(score.AIS - score.LogP)
		logP.Add(score.LogP)
	}
	variance := 0.0 // of the mean of L_k
	for _, score := range e.PerImage {
		variance += (1/score.ESS - 1./draws) / float64(v.N()*v.N())
	}
	if !(e.ELBO < logP.Mean) || math.Abs(iw.Mean+e.IW.Bias) > 5*math.Sqrt(variance) {
		t.Errorf("L_5000 - log p(x) = %.5f, want %.5f ± %.5f; ELBO %.3f, log p(x) %.3f", iw.Mean, -e.IW.Bias, math.Sqrt(variance), e.ELBO, logP.Mean)
	}
	bias := e.AIS.ChainSE * e.AIS.ChainSE * float64(v.N()) / 2
	if math.Abs(ais.Mean+bias) > 5*e.AIS.ChainSE || e.AIS.ChainSE > 0.1 {
		t.Errorf("AIS - log p(x) = %.4f, want %.4f ± %.4f", ais.Mean, -bias, e.AIS.ChainSE)
	}
	if w := e.AIS.Simulated; w.Gap < -3*w.GapSE || w.Gap > 0.2 {
		t.Errorf("gap %.3f ± %.3f", w.Gap, w.GapSE)
	}
	t.Logf("ELBO %.4f, L_5000 %.4f, AIS %.4f, log p(x) %.4f", e.ELBO, e.IW.Bound, e.AIS.Value, logP.Mean)
}

func TestAModelWithATableHasNoUseForAIS(t *testing.T) {
	c := DefaultConfig(MixtureModel)
	c.Data, c.Split, c.Components, c.Binarise = writeSynthetic(t), []int{90, 30}, 3, data.Static
	s, o := newTestSetup(t, c), infer.DefaultAIS()
	_, err := Assess(context.Background(), s, s.Validation, AssessOptions{Samples: 1, AIS: &o})
	if _, ok := errors.AsType[*ConfigError](err); !ok || !strings.Contains(err.Error(), "exact") {
		t.Errorf("Assess = %v, want an error of the configuration", err)
	}
}
