package model

import (
	"errors"
	"math"

	"elbo/graph"
)

// Point returns the parameters of a mixture as a point, for steps that an M-step does
// not take: pixel probabilities, or means and log-precisions, and p(z) where it is
// shared. (Probabilities and not logits: those of pixels that are hardly ever on move a
// lot and matter little.)
func (m *EM) Point() []float64 {
	var point []float64
	switch s := m.states.(type) {
	case *bernoulliMixture:
		point = appendFloats(point, s.logits.Value, func(l float64) float64 { return 1 / (1 + math.Exp(-l)) })
	case *gaussianMixture:
		point = appendFloats(point, s.mean.Value, identity)
		point = appendFloats(point, s.precision.Value, math.Log)
	}
	if m.Config.Prior == Shared {
		point = appendFloats(point, m.logPrior.Value, math.Exp)
	}
	return point
}

// SetPoint sets the parameters to a point: probabilities are moved to where they are
// possible, p(z) is normalised, and variances are bounded by their floor. It fails for a grid, whose parameters
// are those of a network.
func (m *EM) SetPoint(point []float64) error {
	take := func(into []float32, f func(float64) float64) {
		for i := range into {
			into[i] = float32(f(point[i]))
		}
		point = point[len(into):]
	}
	switch s := m.states.(type) {
	case *bernoulliMixture:
		take(s.logits.Value, func(mu float64) float64 {
			mu = min(max(mu, leastProbability), 1-leastProbability)
			return math.Log(mu / (1 - mu))
		})
		d := m.Config.Pixels
		for k := range s.base.Value {
			sum := 0.0
			for _, l := range s.logits.Value[k*d:][:d] {
				sum += max(float64(l), 0) + math.Log1p(math.Exp(-math.Abs(float64(l))))
			}
			s.base.Value[k] = float32(-sum)
		}
	case *gaussianMixture:
		take(s.mean.Value, identity)
		most := math.Log(math.MaxFloat32)
		if floor := m.Config.VarianceFloor; floor > 0 {
			most = -math.Log(floor)
		}
		take(s.precision.Value, func(l float64) float64 { return math.Exp(min(l, most)) })
		d := m.Config.Pixels
		for k := range s.base.Value {
			sum := 0.0
			for _, lambda := range s.precision.Value[k*d:][:d] {
				sum += math.Log(float64(lambda)) - math.Log(2*math.Pi)
			}
			s.base.Value[k] = float32(sum / 2)
		}
	default:
		return errors.New("model: a grid has no point to set: its parameters are those of a network")
	}
	if m.Config.Prior == Shared {
		sum := 0.0
		for _, p := range point {
			sum += max(p, 0)
		}
		for k, p := range point {
			m.logPrior.Value[k] = graph.LogProbability(max(p, 0) / sum)
		}
	}
	return nil
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
