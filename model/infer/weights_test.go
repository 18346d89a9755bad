package infer

import (
	"math"
	"math/rand/v2"
	"testing"

	"elbo/graph"
	"elbo/model"
)

// TestImportanceWeightedBoundRisesWithDraws and stays above the ELBO of the same
// draws, which is Jensen's inequality.
func TestImportanceWeightedBoundRisesWithDraws(t *testing.T) {
	c := model.VAEConfig{Pixels: 9, Hidden: []int{7, 5}, Latent: 3, Activation: graph.ReLU, Likelihood: model.BernoulliName, Objective: model.ELBO, Draws: 1}
	m := newVAE(t, c, drawn(1))
	const images, draws = 1, 4096
	s, err := m.NewScorer(m.Q.Posterior, images, draws)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(5, 6))
	x, h, eps := make([]float32, c.Pixels), make([]float32, 2*c.Latent), make([]float32, draws*c.Latent)
	for i := range x {
		x[i] = float32(rng.IntN(2))
	}
	for i := range h {
		h[i] = float32(rng.NormFloat64()) // not the posterior: the bounds are loose
	}
	for i := range eps {
		eps[i] = float32(rng.NormFloat64())
	}
	logLik, ratio, err := s.Score(x, h, eps)
	if err != nil {
		t.Fatal(err)
	}
	last := math.Inf(-1)
	for _, k := range []int{1, 4, 16, 64} {
		mean := 0.0 // of L_k over disjoint groups of the same draws: rises for every sample
		for first := 0; first < draws; first += k {
			var w Weights
			for i := first; i < first+k; i++ {
				w.Add(float64(logLik[i]) + float64(ratio[i]))
			}
			if w.MeanLog() > w.Bound()+1e-12 {
				t.Errorf("k = %d: mean log weight %g above L_k %g", k, w.MeanLog(), w.Bound())
			}
			mean += w.Bound() * float64(k) / draws
		}
		if mean <= last {
			t.Errorf("L_%d = %.4f, not above %.4f", k, mean, last)
		}
		last = mean
	}
}

func TestWeightsMatchTheirDefinition(t *testing.T) {
	logW := []float64{-1000, -998.5, -1002, -999, -998.4}
	var w Weights
	sum, sq := 0.0, 0.0
	for _, l := range logW {
		w.Add(l)
		e := math.Exp(l + 1000)
		sum, sq = sum+e, sq+e*e
	}
	if got, want := w.Bound(), math.Log(sum/5)-1000; math.Abs(got-want) > 1e-12*1000 {
		t.Errorf("Bound = %.15g, want %.15g", got, want)
	}
	if got, want := w.EffectiveSampleSize(), sum*sum/sq; math.Abs(got-want) > 1e-12 {
		t.Errorf("EffectiveSampleSize = %g, want %g", got, want)
	}
}
