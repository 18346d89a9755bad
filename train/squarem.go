package train

import "math"

// squarem accelerates EM: from three successive points of EM it extrapolates to a
// fourth, which is kept only where its bound is not below that of the points before.
//
//	r = θ₁ - θ₀    v = (θ₂ - θ₁) - r    α = -|r|/|v|    θ' = θ₀ - 2αr + α²v
//
// A cycle costs two E-steps, and a third where θ' is refused.
//
// Source: Varadhan and Roland 2008, scheme S3.
type squarem struct {
	points [][]float64 // θ₀, θ₁ of the present cycle
}

// extrapolate returns θ', or nil where EM has come to rest.
func extrapolate(t0, t1, t2 []float64) []float64 {
	rr, vv := 0.0, 0.0
	for i := range t0 {
		r := t1[i] - t0[i]
		v := t2[i] - t1[i] - r
		rr += r * r
		vv += v * v
	}
	if vv == 0 || math.IsNaN(vv) || math.IsInf(vv, 0) {
		return nil
	}
	alpha := -math.Sqrt(rr / vv)
	if alpha > -1 { // shorter than EM's own step
		return nil
	}
	point := make([]float64, len(t0))
	for i := range point {
		r := t1[i] - t0[i]
		v := t2[i] - t1[i] - r
		point[i] = t0[i] - 2*alpha*r + alpha*alpha*v
	}
	return point
}
