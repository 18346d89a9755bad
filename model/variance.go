package model

import "math"

// LeastVariance bounds a learned variance from below: 1/(12 · 255²), that of rounding a
// pixel to one of 256 grey levels. What a decoder explains better than that is the
// rounding, and the density would grow without end.
const LeastVariance = 1.0 / (12 * 255 * 255)

// SetVariance sets the variance of a Gaussian likelihood, LeastVariance at least.
func (m *VAE) SetVariance(variance float64) {
	m.logVariance.Value[0] = float32(math.Log(max(variance, LeastVariance)))
}

// Variance is that of a Gaussian likelihood.
func (m *VAE) Variance() float64 { return math.Exp(float64(m.logVariance.Value[0])) }

// VarianceHeld reports whether the variance is learned and LeastVariance holds it: the
// residuals are smaller.
func (m *VAE) VarianceHeld() bool {
	return m.LearnsVariance() && m.logVariance.Value[0] <= float32(math.Log(LeastVariance))
}

// SolveVariance sets a learned variance after Step, from the residuals of its batch. The
// bound of B images of D pixels, with k draws each and everything else as it is, is
// stationary in σ² where
//
//	σ² = s,    s = 1/(B D) Σ_B Σ_k w_bk |x_b - m_bk|²
//
// with w = 1/k for the ELBO, whatever the weight of the divergence, and the normalised
// importance weights p(x, z)/q(z|x) at the present σ² for L_k. For the ELBO s is the
// maximum; for L_k, σ² := s is an iteration of EM whose hidden variable is the draw, and
// so never lowers it. The same is true of any step on the way there,
//
//	σ² := (1 - share) σ² + share s,    0 ≤ share ≤ 1
//
// as what is maximised, -(s/σ² + log σ²), rises up to s. Summed up over batches with a
// small share, σ² is a running mean of s. s needs no pass of its own: the graph's
// gradient of the loss with respect to log σ² is g = D/2 (1 - s/σ²).
//
// Sources: Tipping and Bishop 1999, the M-step of PPCA; Rybkin, Daniilidis and Levine
// 2021, the optimal σ of a VAE; Cappé and Moulines 2009, steps on the way.
func (m *VAE) SolveVariance(share float64) {
	variance := m.Variance()
	g := float64(m.Grad(len(m.Trained()))[0])
	s := variance * (1 - 2*g/float64(m.Config.Pixels))
	m.SetVariance((1-share)*variance + share*s)
}
