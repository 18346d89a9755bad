package graph

import (
	"math"

	"elbo/graph/elementary"
)

// Bounds of the log-concentration of a beta-binomial distribution. At the lower one it has
// nearly all of its mass on black and white, at the upper one it is a binomial, whose
// standard deviation is 8 levels in the middle, in all but name.
const (
	LeastLogConcentration = -5
	MostLogConcentration  = 12
)

// BetaBinomialLogLik returns the log-probability of grey levels under independent
// beta-binomial distributions, one value a draw:
//
//	log p(v|α, β) = Σ_D ( log C(255, v) + log B(v + α, 255 - v + β) - log B(α, β) )
//
// of levels v, x = v/255, with α = c m and β = c (1 - m): m in (0, 1) is the mean and c the
// concentration. x is [B, D]; out is [B·S, 2D], for each pixel the logits of m of its C
// channels and then log c, C = channels, D = C times the pixels. A log c out of
// [LeastLogConcentration, MostLogConcentration] counts as the nearest in it, and has no
// gradient. The result is [B·S], summed over D, in nats. x has no gradient.
func (b *Builder) BetaBinomialLogLik(x, out Node, channels int) Node {
	b.want(channels > 0 && x.Cols()%max(1, channels) == 0 && out.Cols() == 2*x.Cols(), "beta-binomial: pixels %v of %d channels and decoder output %v: want [B D] and [B·S 2D]", x.Shape(), channels, out.Shape())
	logChoose := logBinomials()
	return b.pixelLogLik("beta-binomial", x, out, func(x, out, slope []float32) float64 {
		sum := 0.0
		for i, v := range x {
			j := PairOf(i, channels)
			level := math.Round(float64(v) * (Levels - 1))
			logP, dLogit, dLogC := betaBinomial(level, float64(out[j]), float64(out[j+channels]))
			sum += logChoose[int(level)] + logP
			if slope != nil {
				slope[j], slope[j+channels] = float32(dLogit), float32(dLogC)
			}
		}
		return sum
	})
}

// logBinomials are log C(255, v).
func logBinomials() (l [Levels]float64) {
	var factorial [Levels]float64 // logarithms
	for n := 1; n < Levels; n++ {
		factorial[n] = factorial[n-1] + elementary.Log(float64(n))
	}
	for v := range l {
		l[v] = factorial[Levels-1] - factorial[v] - factorial[Levels-1-v]
	}
	return l
}

// BetaBinomialMasses are the masses of the levels, of a mean and a concentration as
// [Builder.BetaBinomialLogLik] takes them, by the ratios of neighbours:
//
//	P(v+1)/P(v) = (255 - v)(v + α) / ((v + 1)(254 - v + β))
func BetaBinomialMasses(logit, logC float64) (masses [Levels]float64) {
	alpha, beta, _ := betaBinomialShape(logit, logC)
	top := 0.0
	for v := range Levels - 1 {
		v := float64(v)
		next := masses[int(v)] + elementary.Log((Levels-1-v)*(v+alpha)/((v+1)*(Levels-2-v+beta)))
		masses[int(v)+1] = next
		top = max(top, next)
	}
	sum := 0.0
	for v, l := range masses {
		masses[v] = elementary.Exp(l - top)
		sum += masses[v]
	}
	for v := range masses {
		masses[v] /= sum
	}
	return masses
}

// betaBinomialShape returns α, β and the share m.
func betaBinomialShape(logit, logC float64) (alpha, beta, m float64) {
	c := elementary.Exp(min(max(logC, LeastLogConcentration), MostLogConcentration))
	// Of a share m below 1e-12 nothing is told from 0.
	m = min(max(1/(1+elementary.Exp(-logit)), 1e-12), 1-1e-12)
	return c * m, c * (1 - m), m
}

// betaBinomial is the logarithm of the mass of a level but for its binomial coefficient, with
// its derivatives.
func betaBinomial(v, logit, logC float64) (logP, dLogit, dLogC float64) {
	const n = Levels - 1
	alpha, beta, m := betaBinomialShape(logit, logC)
	la, da := rising(alpha, v)  // log Γ(α+v) - log Γ(α)
	lb, db := rising(beta, n-v) // log Γ(β+255-v) - log Γ(β)
	lc, dc := rising(alpha+beta, n)
	logP = la + lb - lc
	dLogit = (da - db) * alpha * (1 - m)
	if logC >= LeastLogConcentration && logC <= MostLogConcentration {
		dLogC = float64(da*alpha) + float64(db*beta) - float64(dc*(alpha+beta))
	}
	return logP, dLogit, dLogC
}

// rising is log Γ(a+n) - log Γ(a), the logarithm of a (a+1) ... (a+n-1), and its
// derivative with respect to a, Σ 1/(a+i). Both are taken factor by factor up to a + i = 16,
// and by Stirling's series above, where its next term is below 1e-15.
func rising(a, n float64) (logarithm, slope float64) {
	product := 1.0
	for ; n > 0 && a < 16; a, n = a+1, n-1 {
		product *= a
		slope += 1 / a
	}
	logarithm = elementary.Log(product)
	if n > 0 {
		top, dTop := stirling(a + n)
		from, dFrom := stirling(a)
		logarithm += top - from
		slope += dTop - dFrom
	}
	return logarithm, slope
}

// stirling is log Γ(a) - ½ log 2π, and its derivative, of a from 16.
func stirling(a float64) (logGamma, digamma float64) {
	log, inverse := elementary.Log(a), 1/a
	i2 := inverse * inverse
	logGamma = 1./1680 - float64(i2*(1./1188-float64(i2*(691./360360))))
	logGamma = 1./12 - float64(i2*(1./360-float64(i2*(1./1260-float64(i2*logGamma)))))
	logGamma = float64((a-0.5)*log) - a + float64(inverse*logGamma)
	digamma = 1./240 - float64(i2*(1./132-float64(i2*(691./32760))))
	digamma = 1./12 - float64(i2*(1./120-float64(i2*(1./252-float64(i2*digamma)))))
	digamma = log - float64(inverse/2) - float64(i2*digamma)
	return logGamma, digamma
}
