package modeltest

import (
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat/distmv"
)

// TestTheClosedFormsAgreeWithTheJointGaussian: gonum's density of N(b, W Wᵀ + s² I) is
// the evidence, and log p(x, z) = log p(x) + log p(z|x) at any z.
func TestTheClosedFormsAgreeWithTheJointGaussian(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, orthogonal := range []bool{false, true} {
		p := RandomPPCA(t, rng, 6, 3, 0.8, 0.3, orthogonal)
		x := p.Sample(rng)

		covariance := mat.NewSymDense(6, nil)
		covariance.SymOuterK(1, p.W)
		for i := range 6 {
			covariance.SetSym(i, i, covariance.At(i, i)+p.Variance)
		}
		marginal, ok := distmv.NewNormal(p.B, covariance, nil)
		if !ok {
			t.Fatal("the covariance is not positive definite")
		}
		if got, want := p.LogEvidence(x), marginal.LogProb(x); math.Abs(got-want) > 1e-10 {
			t.Errorf("log p(x) = %.12f, want %.12f", got, want)
		}

		mean, cov := p.Posterior(x)
		posterior, _ := distmv.NewNormal(mean, cov, nil)
		z := []float64{0.3, -1, 2}
		joint := -3 * math.Log(2*math.Pi) / 2
		for _, v := range z {
			joint -= v * v / 2
		}
		for i := range x {
			at := p.B[i]
			for j, v := range z {
				at += p.W.At(i, j) * v
			}
			joint -= (x[i]-at)*(x[i]-at)/(2*p.Variance) + math.Log(2*math.Pi*p.Variance)/2
		}
		if got := p.LogEvidence(x) + posterior.LogProb(z); math.Abs(got-joint) > 1e-9 {
			t.Errorf("log p(x) + log p(z|x) = %.12f, log p(x, z) = %.12f", got, joint)
		}

		// The best diagonal Gaussian: no other has a higher bound.
		m, v := p.OptimalDiagonal(x)
		best := p.OptimalDiagonalELBO(x)
		if got := p.ELBO(x, m, v); math.Abs(got-best) > 1e-10 {
			t.Errorf("ELBO at the best diagonal Gaussian %.12f, want %.12f", got, best)
		}
		for range 20 {
			other, wider := append([]float64{}, m...), append([]float64{}, v...)
			other[rng.IntN(3)] += 0.01 * rng.NormFloat64()
			wider[rng.IntN(3)] *= math.Exp(0.1 * rng.NormFloat64())
			if got := p.ELBO(x, other, wider); got >= best {
				t.Errorf("another diagonal Gaussian has the bound %.12f, above %.12f", got, best)
			}
		}
		if gap := p.DiagonalGap(); orthogonal && math.Abs(gap) > 1e-6 || !orthogonal && gap < 1e-3 {
			t.Errorf("orthogonal %v: gap %g", orthogonal, gap)
		}
	}
}
