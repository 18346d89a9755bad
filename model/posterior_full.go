package model

import (
	"math"

	"elbo/graph"
	"elbo/graph/elementary"
)

// FullGaussian is the family N(μ, L Lᵀ) over Z latent dimensions, L lower triangular with a
// positive diagonal, with h = [μ | log diag L | L below the diagonal, row by row]: 2Z +
// Z(Z-1)/2 numbers, see graph.FullSize.
type FullGaussian struct{ Latent int } // Z

var (
	_ Posterior     = FullGaussian{}
	_ ClosedKL      = FullGaussian{}
	_ ClosedTotal   = FullGaussian{}
	_ Moments       = FullGaussian{}
	_ MemberRatio   = FullGaussian{}
	_ Scaled        = FullGaussian{}
	_ PairDensity   = FullGaussian{}
	_ Evaluable     = FullGaussian{}
	_ MemberDensity = FullGaussian{}
)

func (FullGaussian) String() string { return "Gaussian with a full covariance" }

// Sizes returns 2Z + Z(Z-1)/2 and Z.
func (q FullGaussian) Sizes() (h, eps int) { return graph.FullSize(q.Latent), q.Latent }

// Params returns none.
func (FullGaussian) Params() []*graph.Param { return nil }

// Draw adds z = μ + L ε.
func (FullGaussian) Draw(b *graph.Builder, h, eps graph.Node) (graph.Node, func() graph.Node) {
	return b.ReparameteriseFull(h, eps), func() graph.Node { return b.LogFullNormal(h, eps) }
}

// LogProb adds log N(z; μ, L Lᵀ).
func (FullGaussian) LogProb(b *graph.Builder, h, z graph.Node) graph.Node {
	return b.LogFullNormalAt(h, z)
}

// LogProbs is log N(z_r; μ_k, L_k L_kᵀ).
func (FullGaussian) LogProbs(b *graph.Builder, z, h graph.Node) graph.Node {
	return b.LogFullNormalPairs(z, h)
}

// LogDensity is log N(z; μ, L Lᵀ), with gradient -(L Lᵀ)⁻¹ (z - μ).
func (q FullGaussian) LogDensity(h []float32, z, slope []float64) float64 {
	l, y := q.factor(h), make([]float64, q.Latent)
	sum := float64(q.Latent) * elementary.Log(2*math.Pi)
	for i := range y {
		y[i] = z[i] - float64(h[i])
		row := l.row(i)
		for j, v := range row[:i] {
			y[i] -= float64(v * y[j])
		}
		y[i] /= row[i]
		sum += float64(y[i]*y[i]) + float64(2*float64(h[q.Latent+i]))
	}
	if slope != nil { // L⁻ᵀ y, from the last
		for i := q.Latent - 1; i >= 0; i-- {
			row := l.row(i)
			y[i] /= row[i]
			slope[i] = -y[i]
			for j, v := range row[:i] {
				y[j] -= float64(v * y[i])
			}
		}
	}
	return -sum / 2
}

// DrawMember is z = μ + L ε.
func (q FullGaussian) DrawMember(z []float64, h []float32, noise Noise) {
	l, eps := q.factor(h), make([]float64, q.Latent)
	for i := range z {
		eps[i], z[i] = noise.NormFloat64(), float64(h[i])
		for j, v := range l.row(i) {
			z[i] += float64(v * eps[j])
		}
	}
}

// MassOutside is that of the diagonal Gaussian with the same variances: the bound is a sum
// over dimensions.
func (q FullGaussian) MassOutside(h []float32, reach float64) float64 {
	diagonal := make([]float32, 0, 2*q.Latent)
	diagonal = append(diagonal, h[:q.Latent]...)
	for _, v := range q.Variance(h) {
		diagonal = append(diagonal, float32(elementary.Log(v)))
	}
	return DiagonalGaussian(q).MassOutside(diagonal, reach)
}

// KL has a closed form for the prior N(0, I): ½ (|μ|² + |L|²_F - Z) - Σ log L_jj.
func (q FullGaussian) KL(b *graph.Builder, h graph.Node, p Prior) (graph.Node, bool) {
	if _, ok := p.(StandardNormal); !ok {
		return graph.Node{}, false
	}
	return b.KLFullStdNormal(h, q.Latent), true
}

// KLTotal has a closed form for the prior N(0, I).
func (q FullGaussian) KLTotal(h []float32, p Prior) (float64, bool) {
	if _, ok := p.(StandardNormal); !ok {
		return 0, false
	}
	return graph.KLFullStdNormal(h, q.Latent), true
}

// KLPerDimension has none: dimensions depend on each other, and the divergence is no sum
// over them.
func (FullGaussian) KLPerDimension([]float32, Prior) ([]float64, bool) { return nil, false }

// Mean returns μ.
func (q FullGaussian) Mean(h []float32) []float64 { return DiagonalGaussian(q).Mean(h) }

// Variance returns the diagonal of L Lᵀ.
func (q FullGaussian) Variance(h []float32) []float64 {
	l := q.factor(h)
	variance := make([]float64, q.Latent)
	for i := range variance {
		row := l.row(i)
		for _, v := range row {
			variance[i] += float64(v * v)
		}
	}
	return variance
}

// Covariance returns L Lᵀ, [Z, Z].
func (q FullGaussian) Covariance(h []float32) []float64 {
	l, z := q.factor(h), q.Latent
	covariance := make([]float64, z*z)
	for i := range z {
		for j := range i + 1 {
			sum := 0.0
			for k, v := range l.row(j) {
				sum += float64(l.at(i, k) * v)
			}
			covariance[i*z+j], covariance[j*z+i] = sum, sum
		}
	}
	return covariance
}

// FromMoments returns the Cholesky factor of the covariance. A covariance that rounding has
// left without one has its correlations shrunk, by halves of what they may still be, until
// it has.
func (q FullGaussian) FromMoments(mean, covariance []float64) []float32 {
	z := q.Latent
	h, _ := q.Sizes()
	numbers := make([]float32, h)
	for j, v := range mean {
		numbers[j] = float32(v)
	}
	const floor = 1e-12 // of a variance
	l := make([]float64, z*z)
	for keep := 1.0; ; keep /= 2 {
		if keep < 1e-3 {
			keep = 0 // a diagonal always has one
		}
		if graph.Cholesky(l, covariance, z, keep, floor) || keep == 0 {
			break
		}
	}
	below := numbers[2*z:]
	for i := range z {
		numbers[z+i] = float32(elementary.Log(max(l[i*z+i], math.Sqrt(floor))))
		for j := range i {
			below[j] = float32(l[i*z+j])
		}
		below = below[i:]
	}
	return numbers
}

// LogProbRatio is log N(z; h') - log N(z; h) at z = μ + L ε: with y = L'⁻¹ (z - μ'),
//
//	½ (|ε|² - |y|²) + Σ log L_jj - Σ log L'_jj
func (q FullGaussian) LogProbRatio(other, h, eps []float32) float64 {
	from, to := q.factor(h), q.factor(other)
	y, sum := make([]float64, q.Latent), 0.0
	for i, e := range eps {
		d := float64(h[i]) - float64(other[i])
		for j, l := range from.row(i) {
			d += float64(l * float64(eps[j]))
		}
		row := to.row(i)
		for j, l := range row[:i] {
			d -= float64(l * y[j])
		}
		y[i] = d / row[i]
		sum += float64((float64(float64(e)*float64(e))-float64(y[i]*y[i]))/2) + float64(h[q.Latent+i]) - float64(other[q.Latent+i])
	}
	return sum
}

// The coordinates u = [δ | log diag L | A below the diagonal] of a search that begins at
// μ₀ and L₀ are those in which N(μ₀, L₀ L₀ᵀ) is N(0, I), but for the diagonal:
//
//	μ = μ₀ + L₀ δ,  L = L₀ (I + A) below the diagonal

// Origin sets u to [0 | log diag L | 0].
func (q FullGaussian) Origin(u, from []float32) {
	clear(u)
	copy(u[q.Latent:2*q.Latent], from[q.Latent:])
}

// At sets h to the member at u.
func (q FullGaussian) At(h, u, from []float32) {
	z := q.Latent
	l := q.factor(from)
	a := q.triangle(u)
	out := q.triangle(h)
	for i := range z {
		mean := float64(from[i])
		for j, v := range l.row(i) {
			mean += float64(v * float64(u[j]))
		}
		h[i], h[z+i] = float32(mean), u[z+i]
		for j := range i {
			sum := l.at(i, j)
			for k := j + 1; k <= i; k++ {
				sum += float64(l.at(i, k) * float64(a(k)[j]))
			}
			out(i)[j] = float32(sum)
		}
	}
}

// Pull sets du to [L₀ᵀ dμ | d log diag L | L₀ᵀ dL below the diagonal].
func (q FullGaussian) Pull(du, dh, from []float32) {
	z := q.Latent
	l := q.factor(from)
	g, out := q.triangle(dh), q.triangle(du)
	for j := range z {
		sum := 0.0
		for i := j; i < z; i++ {
			sum += float64(l.at(i, j) * float64(dh[i]))
		}
		du[j], du[z+j] = float32(sum), dh[z+j]
		for c := range j {
			sum := 0.0
			for i := j; i < z; i++ {
				sum += float64(l.at(i, j) * float64(g(i)[c]))
			}
			out(j)[c] = float32(sum)
		}
	}
}

// triangle returns the rows of what stands below the diagonal in numbers h.
func (q FullGaussian) triangle(h []float32) func(i int) []float32 {
	return func(i int) []float32 { return h[2*q.Latent+i*(i-1)/2:][:i] }
}

// factor is L in float64.
func (q FullGaussian) factor(h []float32) lower {
	l := make(lower, 0, q.Latent*(q.Latent+1)/2)
	rows := q.triangle(h)
	for i := range q.Latent {
		for _, v := range rows(i) {
			l = append(l, float64(v))
		}
		l = append(l, elementary.Exp(float64(h[q.Latent+i])))
	}
	return l
}

// lower is a lower triangular matrix, row by row with its diagonal.
type lower []float64

func (l lower) row(i int) []float64 { return l[i*(i+1)/2:][:i+1] }
func (l lower) at(i, j int) float64 { return l[i*(i+1)/2+j] }
