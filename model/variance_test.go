package model

import (
	"fmt"
	"math"
	"testing"

	"elbo/graph"
)

// gaussianConfig is a small VAE whose variance is learned.
func gaussianConfig(objective Objective, draws int) VAEConfig {
	c := smallConfig()
	c.Likelihood, c.Objective, c.Draws, c.Activation = GaussianName, objective, draws, graph.Tanh
	return c
}

func gaussianOf(m *VAE) *Gaussian { return m.Likelihood.(*Gaussian) }

// objectiveAt is the objective of a batch, nats per image, with the model's variance at v.
func objectiveAt(t *testing.T, m *VAE, batch *Batch, v float64) float64 {
	t.Helper()
	gaussianOf(m).SetVariance(v)
	totals, err := m.Step(batch)
	if err != nil {
		t.Fatal(err)
	}
	terms := totals.Mean()
	if m.Objective == IWAE {
		return terms.Bound
	}
	return terms.Recon - float64(batch.Beta)*terms.KL
}

// TestAStepOfTheVarianceNeverLowersTheBound: of its own batch, wherever it starts and
// however far it goes, with padding and a weight of the divergence; and the steps end
// where no other variance does better.
func TestAStepOfTheVarianceNeverLowersTheBound(t *testing.T) {
	for _, c := range []VAEConfig{gaussianConfig(ELBO, 1), gaussianConfig(ELBO, 3), gaussianConfig(IWAE, 1), gaussianConfig(IWAE, 5)} {
		t.Run(fmt.Sprint(c.Objective, c.Draws), func(t *testing.T) {
			m := testVAE(t, c)
			if err := m.CompileStep(6); err != nil {
				t.Fatal(err)
			}
			batch := randomBatch(m, 6)
			batch.Images, batch.Beta = 4, 0.3 // two rows are padding
			for _, share := range []float64{0.1, 1} {
				for _, start := range []float64{1e-3, 0.05, 0.4, 20} {
					variance, before := start, objectiveAt(t, m, batch, start)
					for range 200 {
						m.Solve(share)
						variance = gaussianOf(m).Variance()
						after := objectiveAt(t, m, batch, variance)
						// Terms of at most |before| and 9 log σ² nats, each rounded by 2⁻²⁴, and a
						// log σ² rounded to float32 where the bound is as steep as 9/2 (s/σ²).
						if after < before-64*math.Exp2(-24)*(math.Abs(before)+10) {
							t.Fatalf("share %g from %g: a step to %.8g lowers the bound from %.8g to %.8g", share, start, variance, before, after)
						}
						before = after
					}
					best := math.Inf(-1)
					for log := -4.0; log < 4; log += 0.01 {
						best = max(best, objectiveAt(t, m, batch, math.Exp(log)))
					}
					if before < best-1e-5 {
						t.Errorf("share %g from %g: ends at variance %.6g with %.7f, and there is one with %.7f", share, start, variance, before, best)
					}
				}
			}
		})
	}
}

// TestTheVarianceOfTheELBOIsTheMeanSquaredResidual: one whole step, from anywhere,
// against a sum over pixels in float64.
func TestTheVarianceOfTheELBOIsTheMeanSquaredResidual(t *testing.T) {
	m := testVAE(t, gaussianConfig(ELBO, 3))
	const images = 4
	if err := m.CompileStep(images + 2); err != nil {
		t.Fatal(err)
	}
	batch := randomBatch(m, images+2)
	batch.Images = images
	encoder, err := m.NewEncoder(images)
	if err != nil {
		t.Fatal(err)
	}
	c := gaussianConfig(ELBO, 3)
	h, err := encoder.Encode(batch.X[:images*c.Pixels])
	if err != nil {
		t.Fatal(err)
	}
	codes := make([]float32, images*c.Draws*c.Latent)
	for row := range images * c.Draws {
		for j := range c.Latent {
			mu, logVar := h[row/c.Draws*2*c.Latent+j], float64(h[row/c.Draws*2*c.Latent+c.Latent+j])
			codes[row*c.Latent+j] = mu + float32(math.Exp(logVar/2))*batch.Eps[row*c.Latent+j]
		}
	}
	decoder, err := m.NewDecoder(images * c.Draws)
	if err != nil {
		t.Fatal(err)
	}
	means, err := decoder.Decode(codes)
	if err != nil {
		t.Fatal(err)
	}
	want := 0.0
	for i, mean := range means {
		x := batch.X[i/c.Pixels/c.Draws*c.Pixels+i%c.Pixels]
		want += float64(x-mean) * float64(x-mean) / float64(len(means))
	}
	for _, start := range []float64{0.01, 1, 5} {
		objectiveAt(t, m, batch, start)
		m.Solve(1)
		// Float32 throughout, and s is what is left of σ² after (1 - s/σ²) is taken off.
		if got := gaussianOf(m).Variance(); math.Abs(got-want) > 1e-6*(want+start) {
			t.Errorf("from %g: variance %.8f, mean squared residual %.8f", start, got, want)
		}
	}
}

// TestALearnedVarianceIsBounded, however small the residuals.
func TestALearnedVarianceIsBounded(t *testing.T) {
	m := testVAE(t, gaussianConfig(ELBO, 1))
	for _, v := range []float64{0, -1, 1e-30, LeastVariance / 2} {
		gaussianOf(m).SetVariance(v)
		if got := gaussianOf(m).Variance(); math.Abs(got/LeastVariance-1) > 1e-5 || gaussianOf(m).Held() == "" {
			t.Errorf("set to %g: variance %g, held %q; want %g, held", v, got, gaussianOf(m).Held(), LeastVariance)
		}
	}
	if gaussianOf(m).SetVariance(2 * LeastVariance); gaussianOf(m).Held() != "" {
		t.Error("held above the bound")
	}
}
