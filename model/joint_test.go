package model

import (
	"math"
	"math/rand/v2"
	"testing"

	"elbo/graph"
)

// TestSimulatedPixelsHaveTheirDistribution: with all weights 0 a pixel depends on its
// bias alone. Means over draws are compared with closed forms.
func TestSimulatedPixelsHaveTheirDistribution(t *testing.T) {
	const images = 20000
	out := []float64{-40, -2, 0, 1, 40}
	for _, likelihood := range []LikelihoodName{BernoulliName, ContinuousBernoulliName, GaussianName} {
		c := VAEConfig{Pixels: len(out), Latent: 2, Activation: graph.ReLU, Likelihood: likelihood, Objective: ELBO, Draws: 1}
		m := testVAE(t, c)
		for _, p := range m.Params() {
			for i := range p.Value {
				p.Value[i] = 0
				if p.Name == "decoder.0.bias" {
					p.Value[i] = float32(out[i])
				}
			}
		}
		setLogVariance(m, math.Log(0.25))
		rng := rand.New(rand.NewPCG(4, 4))
		noise := make([]Noise, images)
		for i := range noise {
			noise[i] = rng
		}
		x, z, err := m.Simulate(noise)
		if err != nil {
			t.Fatal(err)
		}
		if len(z) != 2*images {
			t.Fatalf("%d numbers of z, want %d", len(z), 2*images)
		}
		for j, l := range out {
			var mean, square float64
			for i := range images {
				v := float64(x[i*len(out)+j])
				if likelihood != GaussianName && (v < 0 || v > 1) {
					t.Fatalf("%s: pixel %g", likelihood, v)
				}
				mean, square = mean+v/images, square+v*v/images
			}
			want := map[LikelihoodName]float64{BernoulliName: 1 / (1 + math.Exp(-l)), ContinuousBernoulliName: graph.ContinuousBernoulliMean(l), GaussianName: l}[likelihood]
			if sd := math.Sqrt((square - mean*mean) / images); math.Abs(mean-want) > 5*sd+1e-6 {
				t.Errorf("%s of %g: mean %.5f ± %.5f, want %.5f", likelihood, l, mean, sd, want)
			}
			if variance := square - mean*mean; likelihood == GaussianName && math.Abs(variance-0.25) > 5*0.25*math.Sqrt(2./images) {
				t.Errorf("variance %.4f, want 0.25", variance)
			}
		}
	}
}

// setLogVariance sets log σ² of a likelihood that has one.
func setLogVariance(m *VAE, v float64) {
	if g, ok := m.Likelihood.(*Gaussian); ok {
		g.logVariance.Value[0] = float32(v)
	}
}
