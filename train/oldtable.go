package train

import (
	"math"

	"elbo/model"
)

// noteOldTable keeps, for the line of metrics that follows, what an M-step has made of
// the bound of its table q: at the old parameters that is the evidence, as q is exact
// there, and
//
//	ELBO(q, θ') = log p(x|θ) + E_q[log p(x,z|θ')] - E_q[log p(x,z|θ)]
//
// at the new ones, as the entropy of q stays. gain is the difference of the two
// expectations, in nats per image.
func (r *emRun) noteOldTable(gain float64) {
	bound := r.reached + gain
	r.mStep.Bound = nil
	if r.table != nil || r.inc != nil || SettingsOf[MixtureSettings](r.Config).Accelerate || math.IsNaN(bound) || math.IsInf(bound, 0) {
		return
	}
	r.mStep.Bound = &bound
}

// expectedLogPrior is Σ_K n_k log p(z=k), in nats over all images.
func expectedLogPrior(m *model.EM, s *model.Statistics) float64 {
	sum := 0.0
	for k, n := range s.Counts {
		if n > 0 {
			sum += n * float64(m.LogPrior()[k])
		}
	}
	return sum
}
