package model

import (
	"math"

	"elbo/graph"
	"elbo/graph/elementary"
)

// Point returns the parameters of a mixture as a point, for steps that an M-step does
// not take: pixel probabilities, or means and log-precisions, and p(z) where it is
// shared. (Probabilities and not logits: those of pixels that are hardly ever on move a
// lot and matter little.)
func (m *Mixture) Point() []float64 {
	point := m.components.point(nil)
	if m.Config.Prior == Shared {
		point = appendFloats(point, m.logPrior.Value, elementary.Exp)
	}
	return point
}

// SetPoint sets the parameters to a point: probabilities are moved to where they are
// possible, p(z) is normalised, and variances are bounded by their floor.
func (m *Mixture) SetPoint(point []float64) {
	point = m.components.setPoint(point)
	if m.Config.Prior != Shared {
		return
	}
	sum := 0.0
	for _, p := range point {
		sum += max(p, 0)
	}
	for k, p := range point {
		m.logPrior.Value[k] = graph.LogProbability(max(p, 0) / sum)
	}
}

func (m *bernoulliMixture) point(to []float64) []float64 {
	return appendFloats(to, m.logits.Value, func(l float64) float64 { return 1 / (1 + elementary.Exp(-l)) })
}

func (m *bernoulliMixture) setPoint(from []float64) []float64 {
	from = take(m.logits.Value, from, func(mu float64) float64 {
		mu = min(max(mu, leastProbability), 1-leastProbability)
		return elementary.Log(mu / (1 - mu))
	})
	for k := range m.base.Value {
		sum := 0.0
		for _, l := range m.logits.Value[k*m.d:][:m.d] {
			sum += max(float64(l), 0) + elementary.Log1p(elementary.Exp(-math.Abs(float64(l))))
		}
		m.base.Value[k] = float32(-sum)
	}
	return from
}

func (m *gaussianMixture) point(to []float64) []float64 {
	to = appendFloats(to, m.mean.Value, identity)
	return appendFloats(to, m.precision.Value, elementary.Log)
}

func (m *gaussianMixture) setPoint(from []float64) []float64 {
	from = take(m.mean.Value, from, identity)
	most := elementary.Log(math.MaxFloat32)
	if m.floor > 0 {
		most = -elementary.Log(m.floor)
	}
	from = take(m.precision.Value, from, func(l float64) float64 { return elementary.Exp(min(l, most)) })
	d := m.mean.Shape[1]
	for k := range m.base.Value {
		sum := 0.0
		for _, lambda := range m.precision.Value[k*d:][:d] {
			sum += elementary.Log(float64(lambda)) - elementary.Log(2*math.Pi)
		}
		m.base.Value[k] = float32(sum / 2)
	}
	return from
}

// take sets values to f of the first coordinates of a point, and returns the others.
func take(into []float32, from []float64, f func(float64) float64) []float64 {
	for i := range into {
		into[i] = float32(f(from[i]))
	}
	return from[len(into):]
}

// leastProbability is the least pixel probability of a point; an M-step may go below.
const leastProbability = 1e-7

func identity(x float64) float64 { return x }

func appendFloats(point []float64, values []float32, f func(float64) float64) []float64 {
	for _, v := range values {
		point = append(point, f(float64(v)))
	}
	return point
}
