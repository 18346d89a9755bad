package train

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"

	"elbo/data"
	"elbo/graph"
	"elbo/model/infer"
)

func score(t *testing.T, s *Setup, v data.View, o ScoreOptions) infer.Evaluation {
	t.Helper()
	e, err := s.Score(context.Background(), v, o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// TestEstimatesOfATrainedVAEAgreeWithQuadrature: L_5000 and annealed importance sampling
// of a model with two latent dimensions, within their error bars.
func TestEstimatesOfATrainedVAEAgreeWithQuadrature(t *testing.T) {
	c := smallConfig(t)
	c.vae().Activation, c.Epochs, c.vae().LR = graph.Tanh, 60, 0.01
	s := newTestSetup(t, c)
	if _, err := Run(context.Background(), s, newTrainingRun(t, c), nil, &listener{}, still); err != nil {
		t.Fatal(err)
	}
	v := s.Validation
	const draws = 5000
	e := score(t, s, v, ScoreOptions{Samples: draws, Seed: 2, Exact: true, AIS: &infer.AISOptions{Steps: 100, Chains: 8, Leapfrogs: 5, Simulated: 30}})
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
	c.Data, c.Split, c.mixture().Components, c.Binarise = writeSynthetic(t), []int{90, 30}, 3, data.Static
	s, o := newTestSetup(t, c), infer.DefaultAIS()
	_, err := s.Score(context.Background(), s.Validation, ScoreOptions{Samples: 1, AIS: &o})
	if _, ok := errors.AsType[*ConfigError](err); !ok || !strings.Contains(err.Error(), "exact") {
		t.Errorf("Assess = %v, want an error of the configuration", err)
	}
}

func quiet(string, int) {}

// TestTheAmortisationGapOfATrainedModelIsPositive: of a model that was trained, on images
// that it has seen and images that it has not; and no bound is above log p(x).
func TestTheAmortisationGapOfATrainedModelIsPositive(t *testing.T) {
	c := smallConfig(t)
	s := newTestSetup(t, c)
	if _, err := Run(context.Background(), s, newTrainingRun(t, s.Config), nil, &listener{}, still); err != nil {
		t.Fatal(err)
	}
	for _, v := range []data.View{s.Train, s.Validation} {
		g, err := infer.MeasureGap(context.Background(), vaeOf(s), v, infer.GapOptions{Samples: 400, Seed: 1, Exact: true, LocalQ: infer.DefaultLocalQ()}, quiet)
		if err != nil {
			t.Fatal(err)
		}
		if g.Amortisation.Value <= 3*g.Amortisation.SE {
			t.Errorf("amortisation gap %+v, want above 0 by three standard errors", g.Amortisation)
		}
		// The mean over images of the noise of 400 draws: log p(x|z) of 36 pixels moves
		// by less than 3 nats over such a posterior.
		noise := 4 * 3 / math.Sqrt(400*float64(v.N()))
		if g.Approximation.Value < -noise {
			t.Errorf("approximation gap %+v, want above 0", g.Approximation)
		}
	}
}
