package train

import (
	"math"

	"elbo/train/run"
)

// acceleratedStep is the closed M-step with SQUAREM: from three successive points of EM it
// extrapolates to a fourth, which is kept only where its bound is not below that of the
// points before.
//
//	r = θ₁ - θ₀    v = (θ₂ - θ₁) - r    α = -|r|/|v|    θ' = θ₀ - 2αr + α²v
//
// A cycle costs two E-steps, and a third where θ' is refused.
//
// Source: Varadhan and Roland 2008, scheme S3.
type acceleratedStep struct {
	*closedStep
	points [][]float64 // θ₀, θ₁ of the present cycle
}

// A run is saved where a cycle begins: there the parameters are all there is.
func (a *acceleratedStep) saves() bool      { return false }
func (a *acceleratedStep) saveBefore() bool { return len(a.points) == 0 }

// maximise takes EM's own step, and after every second one a jump, which the next E-step may
// refuse.
func (a *acceleratedStep) maximise(e *em) error {
	a.points = append(a.points, a.mixture.Point())
	if err := a.closedStep.maximise(e); err != nil {
		return err
	}
	e.note.Bound = nil
	if len(a.points) < 2 {
		return nil
	}
	t0, t1, t2 := a.points[0], a.points[1], a.mixture.Point()
	a.points = nil
	if e.note.Reseeded > 0 { // the three points are not of one path
		return nil
	}
	point := extrapolate(t0, t1, t2)
	if point == nil {
		return nil
	}
	e.try(e.last)
	a.mixture.SetPoint(point)
	if degenerate(a.mixture) >= 0 { // no place to go, whatever its bound
		e.refuse(math.Inf(-1))
	}
	return nil
}

func (a *acceleratedStep) load(e *em, s *run.State) error { return a.closedStep.load(e, s) }

// extrapolate returns θ', or nil where EM has come to rest.
func extrapolate(t0, t1, t2 []float64) []float64 {
	rr, vv := 0.0, 0.0
	for i := range t0 {
		r := t1[i] - t0[i]
		v := t2[i] - t1[i] - r
		rr += float64(r * r)
		vv += float64(v * v)
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
		point[i] = t0[i] - float64(2*alpha*r) + float64(alpha*alpha*v)
	}
	return point
}
