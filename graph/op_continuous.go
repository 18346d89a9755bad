package graph

import (
	"math"

	"elbo/graph/elementary"
)

// ContinuousBernoulliLogLik returns the log-density of grey levels under
// independent continuous Bernoulli distributions with the given logits, one value
// a draw:
//
//	log p(x|l) = Σ_D ( x l - A(l) ),  A(l) = log ∫₀¹ exp(u l) du = log((exp(l) - 1) / l)
//
// x in [0, 1] is [B, D], l [B·S, D]; the result is [B·S], summed over D, in nats
// (of a density: it may be positive). This is the Bernoulli log-likelihood with
// the normaliser log C(l) = log(l / tanh(l/2)) that makes it integrate to 1. The
// gradient with respect to l is x - A'(l), where A'(l) is the mean.
//
// Source: Loaiza-Ganem and Cunningham 2019, with the normaliser as a function of
// the logit.
func (b *Builder) ContinuousBernoulliLogLik(x, l Node) Node {
	b.onePerPixel("continuous-bernoulli", x, l)
	return b.pixelLogLik("continuous-bernoulli", x, l, func(x, l, residual []float32) float64 {
		sum := 0.0
		for j, v := range l {
			logNormaliser, mean := continuousBernoulli(float64(v))
			sum += float64(float64(x[j])*float64(v)) - logNormaliser
			if residual != nil {
				residual[j] = float32(float64(x[j]) - mean)
			}
		}
		return sum
	})
}

// continuousBernoulli returns A(l) = log((exp(l) - 1)/l) and the mean A'(l) =
// 1/(1 - exp(-l)) - 1/l.
//
// Both forms are 0/0 at l = 0, where the distribution is uniform. Below |l| = 0.1
// the series of A around 0 is used, l/2 + l²/24 - l⁴/2880 + l⁶/181440: the next
// term, l⁸/9676800, is below 1e-15. Above it the closed forms lose no more than
// two digits of sixteen.
func continuousBernoulli(l float64) (logNormaliser, mean float64) {
	if l2 := float64(l * l); l2 < 0.01 {
		logNormaliser = 1./2880 - l2/181440
		logNormaliser = 1./24 - float64(l2*logNormaliser)
		mean = 1./720 - l2/30240
		mean = 1./12 - float64(l2*mean)
		return float64(l/2) + float64(l2*logNormaliser), 0.5 + float64(l*mean)
	}
	a := math.Abs(l)
	decay := -elementary.Expm1(-a) // 1 - exp(-|l|)
	logNormaliser = max(l, 0) + elementary.Log(decay/a)
	mean = 1/decay - 1/a // of |l|
	if l < 0 {
		mean = 1 - mean
	}
	return logNormaliser, mean
}

// ContinuousBernoulliMean is A'(l), the mean of a continuous Bernoulli distribution
// with logit l.
func ContinuousBernoulliMean(l float64) float64 {
	_, mean := continuousBernoulli(l)
	return mean
}
