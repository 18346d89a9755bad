package model

import "math"

// ExpectedLogJoint returns Σ_N Σ_K q (log p(z=k) + log p(x|z=k)) at the present
// parameters of a mixture, in nats over all images, from the statistics of a table q. The
// ELBO of the table is this plus the entropy of its rows: it needs no pass over images.
// It returns the two parts, the expected log-likelihood and the expected log p(z).
func (m *EM) ExpectedLogJoint(s *Statistics) (logLik, logPrior float64) {
	d := m.Config.Pixels
	for k, n := range s.Counts {
		if n > 0 {
			logPrior += n * float64(m.logPrior.Value[k])
		}
		sums := s.Sums[k*d:][:d]
		switch states := m.states.(type) {
		case *bernoulliMixture:
			logLik += n * float64(states.base.Value[k])
			for j, l := range states.logits.Value[k*d:][:d] {
				logLik += sums[j] * float64(l)
			}
		case *gaussianMixture:
			logLik += n * float64(states.base.Value[k])
			for j, lambda := range states.precision.Value[k*d:][:d] {
				_, square := about(states.mean.Value[k*d+j], s, k*d+j, k)
				logLik -= float64(lambda) * square / 2
			}
		default:
			return math.NaN(), math.NaN() // a grid has an M-graph for this
		}
	}
	return logLik, logPrior
}
