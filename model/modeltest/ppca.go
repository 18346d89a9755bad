// Package modeltest holds models whose evidence and posterior are known in closed
// form, as references for what is estimated.
package modeltest

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"

	"elbo/graph"
)

// PPCA is the linear-Gaussian model, in float64:
//
//	z ~ N(0, I)    x = W z + b + noise,  noise ~ N(0, s² I)
//
// with W [D, Z]. It is a VAE without hidden layers and with the Gaussian likelihood of
// variance s². With the posterior precision P = I + WᵀW/s²,
//
//	p(x) = N(b, W Wᵀ + s² I)    p(z|x) = N(P⁻¹ Wᵀ(x - b)/s², P⁻¹).
//
// Source: Tipping and Bishop 1999.
type PPCA struct {
	W        *mat.Dense
	B        []float64
	Variance float64 // s²

	precision  *mat.SymDense // P
	covariance *mat.SymDense // P⁻¹
	logDet     float64       // log det P
}

// NewPPCA returns the model of the given parameters, each rounded to float32 first, so
// that a float32 twin has the very same.
func NewPPCA(t testing.TB, w *mat.Dense, b []float64, variance float64) *PPCA {
	t.Helper()
	pixels, latent := w.Dims()
	if len(b) != pixels || !(variance > 0) {
		t.Fatalf("modeltest: W is %d x %d, b has %d numbers, variance %g: want as many as W has rows, and a positive variance", pixels, latent, len(b), variance)
	}
	p := &PPCA{W: mat.NewDense(pixels, latent, nil), Variance: variance}
	p.W.Apply(func(_, _ int, v float64) float64 { return float64(float32(v)) }, w)
	for _, v := range b {
		p.B = append(p.B, float64(float32(v)))
	}
	p.precision = mat.NewSymDense(latent, nil)
	p.precision.SymOuterK(1/variance, p.W.T())
	for j := range latent {
		p.precision.SetSym(j, j, p.precision.At(j, j)+1)
	}
	var c mat.Cholesky
	if !c.Factorize(p.precision) {
		t.Fatal("modeltest: the posterior precision is not positive definite")
	}
	p.logDet, p.covariance = c.LogDet(), mat.NewSymDense(latent, nil)
	if err := c.InverseTo(p.covariance); err != nil {
		t.Fatal(err)
	}
	return p
}

// RandomPPCA returns a model with standard normal b, and W that is scale times a
// standard normal matrix. Where orthogonal, the columns of W are made orthogonal to each
// other, so that the posterior is a diagonal Gaussian.
func RandomPPCA(t testing.TB, rng *rand.Rand, pixels, latent int, scale, variance float64, orthogonal bool) *PPCA {
	t.Helper()
	w, b := mat.NewDense(pixels, latent, nil), make([]float64, pixels)
	w.Apply(func(int, int, float64) float64 { return scale * rng.NormFloat64() }, w)
	for i := range b {
		b[i] = rng.NormFloat64()
	}
	if orthogonal {
		for j := range latent { // Gram-Schmidt
			column := w.ColView(j).(*mat.VecDense)
			for i := range j {
				other := w.ColView(i)
				column.AddScaledVec(column, -mat.Dot(column, other)/mat.Dot(other, other), other)
			}
		}
	}
	return NewPPCA(t, w, b, variance)
}

// LogEvidence is log p(x), in nats, by way of the Z x Z matrix P: log det (W Wᵀ + s² I)
// = D log s² + log det P, and (W Wᵀ + s² I)⁻¹ = (I - W P⁻¹ Wᵀ/s²)/s².
func (p *PPCA) LogEvidence(x []float64) float64 {
	residual := p.residual(x)
	var back, solved mat.VecDense
	back.MulVec(p.W.T(), residual)
	solved.MulVec(p.covariance, &back)
	squared := (mat.Dot(residual, residual) - mat.Dot(&back, &solved)/p.Variance) / p.Variance
	return -(squared + float64(len(p.B))*math.Log(2*math.Pi*p.Variance) + p.logDet) / 2
}

func (p *PPCA) residual(x []float64) *mat.VecDense {
	r := mat.NewVecDense(len(p.B), nil)
	for i, b := range p.B {
		r.SetVec(i, x[i]-b)
	}
	return r
}

// Posterior returns the mean and the covariance of p(z|x), which is Gaussian. The
// covariance is the same for all x, and must not be changed.
func (p *PPCA) Posterior(x []float64) (mean []float64, covariance *mat.SymDense) {
	var back, m mat.VecDense
	back.MulVec(p.W.T(), p.residual(x))
	m.MulVec(p.covariance, &back)
	m.ScaleVec(1/p.Variance, &m)
	return m.RawVector().Data, p.covariance
}

// OptimalDiagonal returns the mean and the variances of the diagonal Gaussian q whose
// ELBO is the highest: the posterior's mean, and 1/P_jj.
func (p *PPCA) OptimalDiagonal(x []float64) (mean, variance []float64) {
	mean, _ = p.Posterior(x)
	for j := range mean {
		variance = append(variance, 1/p.precision.At(j, j))
	}
	return mean, variance
}

// DiagonalGap is KL(q ‖ p(z|x)) of the best diagonal Gaussian, ½ (Σ log P_jj - log det P)
// nats for every x: 0 where the columns of W are orthogonal.
func (p *PPCA) DiagonalGap() float64 {
	gap := -p.logDet
	for j := range p.precision.SymmetricDim() {
		gap += math.Log(p.precision.At(j, j))
	}
	return gap / 2
}

// OptimalDiagonalELBO is the ELBO of x at the best diagonal Gaussian, in nats.
func (p *PPCA) OptimalDiagonalELBO(x []float64) float64 { return p.LogEvidence(x) - p.DiagonalGap() }

// ELBO is the bound of x at q = N(mean, diag variance), in nats:
// log p(x) - KL(q ‖ p(z|x)).
func (p *PPCA) ELBO(x, mean, variance []float64) float64 {
	at, _ := p.Posterior(x)
	d, kl := mat.NewVecDense(len(at), nil), -p.logDet
	for j := range at {
		d.SetVec(j, mean[j]-at[j])
		kl += p.precision.At(j, j)*variance[j] - 1 - math.Log(variance[j])
	}
	kl += mat.Inner(d, p.precision, d)
	return p.LogEvidence(x) - kl/2
}

// Sample draws an image from the model.
func (p *PPCA) Sample(rng *rand.Rand) []float64 {
	_, latent := p.W.Dims()
	z := mat.NewVecDense(latent, nil)
	for j := range latent {
		z.SetVec(j, rng.NormFloat64())
	}
	var x mat.VecDense
	x.MulVec(p.W, z)
	for i, b := range p.B {
		x.SetVec(i, x.AtVec(i)+b+math.Sqrt(p.Variance)*rng.NormFloat64())
	}
	return x.RawVector().Data
}

// Fill gives the parameters of a VAE without hidden layers the values of the model, its
// encoder those of the best diagonal Gaussian: μ = P⁻¹ Wᵀ(x - b)/s², log σ_j² =
// -log P_jj.
func (p *PPCA) Fill(t testing.TB, params []*graph.Param) {
	t.Helper()
	pixels, latent := p.W.Dims()
	var gain mat.Dense
	gain.Mul(p.covariance, p.W.T())
	gain.Scale(1/p.Variance, &gain)
	filled := 0
	for _, param := range params {
		for i := range param.Value {
			row, column := i/param.Shape[len(param.Shape)-1], i%param.Shape[len(param.Shape)-1]
			v := 0.0
			switch param.Name {
			case "encoder.0.weight":
				if row < latent {
					v = gain.At(row, column)
				}
			case "encoder.0.bias":
				if i < latent {
					v = -mat.Dot(gain.RowView(i), mat.NewVecDense(pixels, p.B))
				} else {
					v = -math.Log(p.precision.At(i-latent, i-latent))
				}
			case "decoder.0.weight":
				v = p.W.At(row, column)
			case "decoder.0.bias":
				v = p.B[i]
			default:
				t.Fatalf("modeltest: parameter %s, want those of a VAE without hidden layers and of fixed variance", param.Name)
			}
			param.Value[i] = float32(v)
		}
		filled++
	}
	if filled != 4 {
		t.Fatalf("modeltest: %d parameters, want 4", filled)
	}
}

// FillDecoder gives the decoder of a VAE without hidden layers the values of the model, and
// leaves the rest as it is.
func (p *PPCA) FillDecoder(t testing.TB, params []*graph.Param) {
	t.Helper()
	filled := 0
	for _, param := range params {
		for i := range param.Value {
			switch param.Name {
			case "decoder.0.weight":
				param.Value[i] = float32(p.W.At(i/param.Shape[1], i%param.Shape[1]))
			case "decoder.0.bias":
				param.Value[i] = float32(p.B[i])
			}
		}
		if strings.HasPrefix(param.Name, "decoder.") {
			filled++
		}
	}
	if filled != 2 {
		t.Fatalf("modeltest: a decoder of %d parameters, want 2", filled)
	}
}

// Floats widens float32 numbers.
func Floats(x []float32) []float64 {
	wide := make([]float64, len(x))
	for i, v := range x {
		wide[i] = float64(v)
	}
	return wide
}

// Conditional returns the mean and the covariance of p(x_mis|x_obs), which is Gaussian, for
// the pixels that are missing, in their order: with C = W Wᵀ + s² I in blocks,
//
//	b_m + C_mo C_oo⁻¹ (x_o - b_o),  C_mm - C_mo C_oo⁻¹ C_om
func (p *PPCA) Conditional(t testing.TB, x []float64, missing []bool) (mean []float64, covariance *mat.SymDense) {
	t.Helper()
	var c mat.Dense
	c.Mul(p.W, p.W.T())
	var at [2][]int // observed, missing
	for j, m := range missing {
		c.Set(j, j, c.At(j, j)+p.Variance)
		side := 0
		if m {
			side = 1
		}
		at[side] = append(at[side], j)
	}
	block := func(rows, columns []int) *mat.Dense {
		b := mat.NewDense(len(rows), len(columns), nil)
		b.Apply(func(i, j int, _ float64) float64 { return c.At(rows[i], columns[j]) }, b)
		return b
	}
	residual := mat.NewVecDense(len(at[0]), nil)
	for i, j := range at[0] {
		residual.SetVec(i, x[j]-p.B[j])
	}
	var gain, shift mat.Dense // (C_oo⁻¹ C_om)ᵀ
	if err := gain.Solve(block(at[0], at[0]), block(at[0], at[1])); err != nil {
		t.Fatal(err)
	}
	shift.Mul(gain.T(), residual)
	for i, j := range at[1] {
		mean = append(mean, p.B[j]+shift.At(i, 0))
	}
	var explained mat.Dense
	explained.Mul(block(at[1], at[0]), &gain)
	covariance = mat.NewSymDense(len(at[1]), nil)
	for i, row := range at[1] {
		for j := i; j < len(at[1]); j++ {
			covariance.SetSym(i, j, c.At(row, at[1][j])-explained.At(i, j))
		}
	}
	return mean, covariance
}
