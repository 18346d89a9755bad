package infer

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"elbo/graph"
	"elbo/model"
)

// TestLocalPosteriorsAgreeWithTheScorer: the bound is that of the scorer and the closed
// form of KL, the gradient is that of minus its sum by central differences, and what
// other images look like changes nothing.
func TestLocalPosteriorsAgreeWithTheScorer(t *testing.T) {
	const images, draws = 3, 4
	m := newVAE(t, model.VAEConfig{Pixels: 9, Hidden: []int{7, 5}, Latent: 3, Likelihood: model.BernoulliName, Objective: model.ELBO, Draws: 1,
		Activation: graph.Tanh, // differences want a smooth function
	}, drawn(1))
	z := m.Latent
	l, err := NewLocalQ(m.Joint, m.Q.Posterior, images, draws)
	if err != nil {
		t.Fatal(err)
	}
	s, err := m.NewScorer(m.Q.Posterior, images, draws)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(5, 6))
	for i := range l.X() {
		l.X()[i] = float32(rng.IntN(2))
	}
	for i := range l.Eps() {
		l.Eps()[i] = float32(rng.NormFloat64())
	}
	for i := range l.H() {
		l.H()[i] = float32(rng.NormFloat64() / 2)
	}
	bounds, grad, err := l.Run()
	if err != nil {
		t.Fatal(err)
	}
	bounds, grad = slices.Clone(bounds), slices.Clone(grad)
	logLik, _, err := s.Score(l.X(), l.H(), l.Eps())
	if err != nil {
		t.Fatal(err)
	}
	for i, got := range bounds {
		want := 0.0
		for _, v := range logLik[i*draws:][:draws] {
			want += float64(v) / draws
		}
		for j := range z {
			mu, logVar := float64(l.H()[i*2*z+j]), float64(l.H()[i*2*z+z+j])
			want -= (mu*mu + math.Exp(logVar) - 1 - logVar) / 2
		}
		if math.Abs(float64(got)-want) > 1e-5 { // some ten nats in float32
			t.Errorf("image %d: bound %.6f, want %.6f", i, got, want)
		}
	}
	// A step of 2⁻⁶ loses h² f''' /6, some 10⁻⁴, and rounds by 2⁻²⁴·10/2⁻⁶.
	const step = 1. / 64
	for i := range l.H() {
		at := l.H()[i]
		var side [2]float64
		for k, d := range []float32{step, -step} {
			l.H()[i] = at + d
			b, _, err := l.Run()
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range b {
				side[k] += float64(v)
			}
		}
		l.H()[i] = at
		if want := -(side[0] - side[1]) / (2 * step); math.Abs(float64(grad[i])-want) > 2e-3 {
			t.Errorf("gradient %d: %.5f, want %.5f", i, grad[i], want)
		}
	}
	for i := range l.X()[:m.Pixels] {
		l.X()[i] = 1 - l.X()[i]
	}
	other, changed, err := l.Run()
	if err != nil {
		t.Fatal(err)
	}
	if other[0] == bounds[0] || !slices.Equal(other[1:], bounds[1:]) || !slices.Equal(changed[2*z:], grad[2*z:]) {
		t.Error("an image changes the posteriors of others")
	}
}
