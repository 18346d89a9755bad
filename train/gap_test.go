package train

import (
	"context"
	"math"
	"testing"

	"elbo/data"
	"elbo/model/infer"
)

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
		g, err := infer.MeasureGap(context.Background(), s.VAE, v, infer.GapOptions{Samples: 400, Seed: 1, Exact: true, LocalQ: infer.DefaultLocalQ()}, quiet)
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
