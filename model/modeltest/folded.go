package modeltest

import (
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"elbo/graph"
)

// Folded is a PPCA whose first latent dimension is folded at c, in float64: with
// z ~ N(0, I),
//
//	x = W (f(z_1), z_2, ..) + b + noise,  f(z_1) = { z_1 - c       for z_1 ≥ c
//	                                             { Gain (c - z_1)  for z_1 < c
//
// so that a posterior has one mode on each side, and the left one is as much narrower
// along z_1 as Gain is above 1. It is a VAE with one hidden layer of 2Z ReLU units.
//
// Each side is a half of a PPCA, of Wₖ that differs from W in its first column and of
// bₖ = b - c wₖ with wₖ that column, so that its evidence is the PPCA's times the share
// of the PPCA's posterior, a Gaussian, that lies on the side:
//
//	p(x) = Σₖ N(x; bₖ, Wₖ Wₖᵀ + s² I) P(z_1 on side k | x)
type Folded struct {
	C, Gain float64

	sides [2]*PPCA // right and left of c, both with b
}

// NewFolded folds p at c, which is rounded to float32.
func NewFolded(t testing.TB, p *PPCA, c, gain float64) *Folded {
	t.Helper()
	left := mat.DenseCopyOf(p.W)
	for i := range p.B {
		left.Set(i, 0, -gain*left.At(i, 0))
	}
	return &Folded{C: float64(float32(c)), Gain: gain, sides: [2]*PPCA{p, NewPPCA(t, left, p.B, p.Variance)}}
}

// LogEvidence is log p(x), in nats.
func (f *Folded) LogEvidence(x []float64) float64 {
	parts, _ := f.parts(x)
	return floats.LogSumExp(parts[:])
}

// Modes returns the means of the Gaussians of which the posterior has a half each, its
// modes where they lie right and left of c, and the share of the posterior that is right.
func (f *Folded) Modes(x []float64) (right, left []float64, share float64) {
	parts, means := f.parts(x)
	return means[0], means[1], math.Exp(parts[0] - floats.LogSumExp(parts[:]))
}

// parts are the logarithms of what the sides contribute to p(x), and the means of their
// PPCAs' posteriors.
func (f *Folded) parts(x []float64) (logs [2]float64, means [2][]float64) {
	for k, p := range f.sides {
		moved := make([]float64, len(x)) // N(x; b - c w, ·) = N(x + c w; b, ·)
		for i, v := range x {
			moved[i] = v + f.C*p.W.At(i, 0)
		}
		mean, covariance := p.Posterior(moved)
		outside := (f.C - mean[0]) / math.Sqrt(2*covariance.At(0, 0))
		if k == 1 {
			outside = -outside
		}
		logs[k], means[k] = p.LogEvidence(moved)+math.Log(math.Erfc(outside)/2), mean
	}
	return logs, means
}

// Sample draws an image from the model.
func (f *Folded) Sample(rng *rand.Rand) []float64 {
	right := f.sides[0]
	_, latent := right.W.Dims()
	z := mat.NewVecDense(latent, nil)
	for j := range latent {
		z.SetVec(j, rng.NormFloat64())
	}
	if u := z.AtVec(0) - f.C; u >= 0 {
		z.SetVec(0, u)
	} else {
		z.SetVec(0, -f.Gain*u)
	}
	var x mat.VecDense
	x.MulVec(right.W, z)
	for i, b := range right.B {
		x.SetVec(i, x.AtVec(i)+b+math.Sqrt(right.Variance)*rng.NormFloat64())
	}
	return x.RawVector().Data
}

// Fill gives the decoder of a VAE with one hidden layer of 2Z ReLU units the values of
// the model: unit 2j is the positive part of z_j, or of z_1 - c, and unit 2j + 1 the
// negative. The encoder's are set to 0, so that q(z|x) = N(0, I).
func (f *Folded) Fill(t testing.TB, params []*graph.Param) {
	t.Helper()
	right, left := f.sides[0], f.sides[1]
	pixels, latent := right.W.Dims()
	filled := 0
	for _, param := range params {
		clear(param.Value)
		switch param.Name {
		case "encoder.0.weight", "encoder.0.bias", "encoder.2.weight", "encoder.2.bias":
		case "decoder.0.weight": // [2Z, Z]
			for j := range latent {
				param.Value[2*j*latent+j] = 1
				param.Value[(2*j+1)*latent+j] = -1
			}
		case "decoder.0.bias":
			param.Value[0], param.Value[1] = float32(-f.C), float32(f.C)
		case "decoder.2.weight": // [D, 2Z]
			for i := range pixels {
				for j := range latent {
					param.Value[i*2*latent+2*j] = float32(right.W.At(i, j))
					param.Value[i*2*latent+2*j+1] = float32(-right.W.At(i, j))
				}
				param.Value[i*2*latent+1] = float32(-left.W.At(i, 0))
			}
		case "decoder.2.bias":
			for i, b := range right.B {
				param.Value[i] = float32(b)
			}
		default:
			t.Fatalf("modeltest: parameter %s, want those of a VAE with one hidden layer and of fixed variance", param.Name)
		}
		filled++
	}
	if filled != 8 {
		t.Fatalf("modeltest: %d parameters, want 8", filled)
	}
}
