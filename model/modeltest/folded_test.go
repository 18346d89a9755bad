package modeltest

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestTheFoldedModelsEvidenceIsItsIntegral: of one latent dimension, by the trapezoidal
// rule on each side of the fold, whose end corrections are of the order of h².
func TestTheFoldedModelsEvidenceIsItsIntegral(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for _, gain := range []float64{1, 3} {
		f := NewFolded(t, RandomPPCA(t, rng, 4, 1, 1, 0.3, true), 0.4, gain)
		x := f.Sample(rng)
		logJoint := func(z float64) float64 {
			p := f.sides[0]
			u := z - f.C
			if u < 0 {
				u *= -gain
			}
			sum := -(z*z + math.Log(2*math.Pi)) / 2
			for i := range x {
				r := x[i] - p.W.At(i, 0)*u - p.B[i]
				sum -= (r*r/p.Variance + math.Log(2*math.Pi*p.Variance)) / 2
			}
			return sum
		}
		const h = 1e-4
		sum := math.Exp(logJoint(f.C))
		for k := 1; k < 100_000; k++ {
			sum += math.Exp(logJoint(f.C+float64(k)*h)) + math.Exp(logJoint(f.C-float64(k)*h))
		}
		if got, want := f.LogEvidence(x), math.Log(sum*h); math.Abs(got-want) > 1e-6 {
			t.Errorf("gain %g: log p(x) = %.9f, want %.9f", gain, got, want)
		}
	}
}
