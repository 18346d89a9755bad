package model

import (
	"math"

	"elbo/graph"
	"elbo/graph/elementary"
)

// DiagonalGaussian is the family N(μ, diag σ²) over Z latent dimensions, with
// h = [μ | log σ²].
//
// Source: Kingma and Welling 2014.
type DiagonalGaussian struct{ Latent int } // Z

var (
	_ Posterior     = DiagonalGaussian{}
	_ ClosedKL      = DiagonalGaussian{}
	_ ClosedRatio   = DiagonalGaussian{}
	_ FreeBits      = DiagonalGaussian{}
	_ Moments       = DiagonalGaussian{}
	_ MemberRatio   = DiagonalGaussian{}
	_ PairDensity   = DiagonalGaussian{}
	_ MemberDensity = DiagonalGaussian{}
	_ Evaluable     = DiagonalGaussian{}
	_ Scaled        = DiagonalGaussian{}
)

func (DiagonalGaussian) String() string { return "diagonal Gaussian" }

// Sizes returns 2Z and Z.
func (q DiagonalGaussian) Sizes() (h, eps int) { return 2 * q.Latent, q.Latent }

// Params returns none.
func (DiagonalGaussian) Params() []*graph.Param { return nil }

// Draw adds z = μ + σ ε.
func (DiagonalGaussian) Draw(b *graph.Builder, h, eps graph.Node) (graph.Node, func() graph.Node) {
	return b.Reparameterise(h, eps), func() graph.Node { return b.LogDiagonalNormal(h, eps) }
}

// LogProb adds log N(z; μ, diag σ²).
func (DiagonalGaussian) LogProb(b *graph.Builder, h, z graph.Node) graph.Node {
	return b.LogNormal(h, z)
}

// KL has a closed form for the prior N(0, I).
func (DiagonalGaussian) KL(b *graph.Builder, h graph.Node, p Prior) (graph.Node, bool) {
	if _, ok := p.(StandardNormal); !ok {
		return graph.Node{}, false
	}
	return b.KLStdNormal(h), true
}

// FreeKL has a closed form for the prior N(0, I).
func (DiagonalGaussian) FreeKL(b *graph.Builder, h, weight graph.Node, free float64, p Prior) (graph.Node, bool) {
	if _, ok := p.(StandardNormal); !ok {
		return graph.Node{}, false
	}
	return b.KLStdNormalFree(h, weight, free), true
}

// KLPerDimension has a closed form for the prior N(0, I).
func (q DiagonalGaussian) KLPerDimension(h []float32, p Prior) ([]float64, bool) {
	if _, ok := p.(StandardNormal); !ok {
		return nil, false
	}
	kl := make([]float64, q.Latent)
	for j := range kl {
		kl[j] = graph.KLStdNormal(float64(h[j]), float64(h[q.Latent+j]))
	}
	return kl, true
}

// LogRatio is ½ Σ_Z (ε² + log σ² - z²) for the prior N(0, I): the constants cancel.
func (DiagonalGaussian) LogRatio(b *graph.Builder, h, eps, z graph.Node, p Prior) (graph.Node, bool) {
	if _, ok := p.(StandardNormal); !ok {
		return graph.Node{}, false
	}
	return b.LogPriorRatio(h, eps, z), true
}

// Mean returns μ.
func (q DiagonalGaussian) Mean(h []float32) []float64 {
	mean := make([]float64, q.Latent)
	for j := range mean {
		mean[j] = float64(h[j])
	}
	return mean
}

// Variance returns σ².
func (q DiagonalGaussian) Variance(h []float32) []float64 {
	variance := make([]float64, q.Latent)
	for j := range variance {
		variance[j] = elementary.Exp(float64(h[q.Latent+j]))
	}
	return variance
}

// FromMoments returns [μ | log σ²] of the mean and of the variances; covariances are
// left out.
func (q DiagonalGaussian) FromMoments(mean, covariance []float64) []float32 {
	h := make([]float32, 2*q.Latent)
	for j := range q.Latent {
		h[j] = float32(mean[j])
		h[q.Latent+j] = float32(elementary.Log(max(covariance[j*q.Latent+j], 1e-12)))
	}
	return h
}

// LogProbRatio is log N(z; h') - log N(z; h) at z = μ + σ ε.
func (q DiagonalGaussian) LogProbRatio(other, h, eps []float32) float64 {
	n, sum := q.Latent, 0.0
	for j, e := range eps {
		mu, logVar, e := float64(h[j]), float64(h[n+j]), float64(e)
		d := mu + float64(elementary.Exp(logVar/2)*e) - float64(other[j])
		sum += float64(e*e) + logVar - float64(d*d*elementary.Exp(-float64(other[n+j]))) - float64(other[n+j])
	}
	return sum / 2
}

// LogProbs is log N(z_r; μ_k, diag σ_k²).
func (DiagonalGaussian) LogProbs(b *graph.Builder, z, h graph.Node) graph.Node {
	return b.LogNormalPairs(z, h)
}

// LogDensity is log N(z; μ, diag σ²), with gradient (μ - z)/σ².
func (q DiagonalGaussian) LogDensity(h []float32, z, slope []float64) float64 {
	sum := float64(q.Latent) * elementary.Log(2*math.Pi)
	for j, v := range z {
		d, logVar := v-float64(h[j]), float64(h[q.Latent+j])
		precision := elementary.Exp(-logVar)
		sum += float64(d*d*precision) + logVar
		if slope != nil {
			slope[j] = -d * precision
		}
	}
	return -sum / 2
}

// DrawMember is z = μ + σ ε.
func (q DiagonalGaussian) DrawMember(z []float64, h []float32, noise Noise) {
	for j := range z {
		z[j] = float64(h[j]) + float64(elementary.Exp(float64(h[q.Latent+j])/2)*noise.NormFloat64())
	}
}

// MassOutside is at most the sum over the dimensions of the mass of both tails.
func (q DiagonalGaussian) MassOutside(h []float32, reach float64) float64 {
	mass := 0.0
	for j := range q.Latent {
		mu, scale := float64(h[j]), elementary.Exp(float64(h[q.Latent+j])/2)*math.Sqrt2
		mass += float64((elementary.Erfc((reach-mu)/scale) + elementary.Erfc((reach+mu)/scale)) / 2)
	}
	return mass
}

// Origin sets u to [0 | log σ²].
func (q DiagonalGaussian) Origin(u, from []float32) {
	clear(u[:q.Latent])
	copy(u[q.Latent:], from[q.Latent:])
}

// At sets h to [μ₀ + σ₀ δ | log σ²] for u = [δ | log σ²].
func (q DiagonalGaussian) At(h, u, from []float32) {
	for j := range q.Latent {
		h[j] = from[j] + float32(q.sigma(from, j)*u[j])
	}
	copy(h[q.Latent:], u[q.Latent:])
}

// Pull sets du to [dμ σ₀ | d log σ²].
func (q DiagonalGaussian) Pull(du, dh, from []float32) {
	for j := range q.Latent {
		du[j] = dh[j] * q.sigma(from, j)
	}
	copy(du[q.Latent:], dh[q.Latent:])
}

func (q DiagonalGaussian) sigma(h []float32, j int) float32 {
	return float32(elementary.Exp(float64(h[q.Latent+j]) / 2))
}
