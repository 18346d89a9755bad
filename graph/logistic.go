package graph

import (
	"math"

	"elbo/graph/elementary"
	"elbo/graph/simd"
)

// Levels is how many grey levels a pixel of 8 bits has. Level v is the number v/255.
const Levels = 256

// LeastLogScale bounds the logarithm of a logistic distribution's scale from below: a
// ninth of the width of a level. What is narrower puts all its mass on one level in any
// case.
const LeastLogScale = -7.75

// halfLevel is half the distance of two levels.
const halfLevel = 0.5 / (Levels - 1)

// logisticBlock is how many numbers the logarithms of logistic masses are taken of at once.
const logisticBlock = 256

// logisticMasses fills logP with the logarithms of the masses of levels x under logistic
// distributions with means mu and log scales logS, all of them [n], n at most logisticBlock:
//
//	P(x) = F((x + ½/255 - μ)/s) - F((x - ½/255 - μ)/s),    F(a) = 1/(1 + exp -a)
//
// where F is 0 below level 0 and 1 above level 255, so that the masses of the 256 levels
// sum to 1. With a and b the two arguments and d = a - b,
//
//	log P = log F(a) + log F(-b) + log(1 - exp -d)
//
// in which nothing cancels. A log scale below LeastLogScale counts as that. dMu and dLogS,
// unless they are nil, get the derivatives with respect to mu and logS:
//
//	∂/∂μ = -(F(-a) - F(b))/s,    ∂/∂log s = -a F(-a) + b F(b) - d/(exp d - 1)
func logisticMasses(x, mu, logS, logP, dMu, dLogS []float32) {
	var scale, a, b, fa, fb, width [logisticBlock]float32
	n := len(x)
	for i, s := range logS {
		scale[i] = -max(s, LeastLogScale)
	}
	simd.Exp(scale[:n]) // 1/s
	for i, v := range x {
		inverse, from := float64(scale[i]), float64(v)-float64(mu[i])
		a[i], b[i] = float32((from+halfLevel)*inverse), float32((from-halfLevel)*inverse)
		fa[i], fb[i] = -a[i], b[i]
		width[i] = -2 * halfLevel * scale[i] // -d
	}
	simd.Softplus(fa[:n]) // -log F(a)
	simd.Softplus(fb[:n]) // -log F(-b)
	for i, v := range x {
		switch {
		case v <= 0:
			logP[i] = -fa[i]
		case v >= 1:
			logP[i] = -fb[i]
		default:
			logP[i] = float32(logOneLessExp(float64(width[i]), float64(max(logS[i], LeastLogScale)))) - fa[i] - fb[i]
		}
	}
	if dMu == nil {
		return
	}
	for i := range n {
		fa[i], fb[i] = -fa[i], -fb[i]
	}
	simd.Expm1(fa[:n]) // -F(-a)
	simd.Expm1(fb[:n]) // -F(b)
	simd.Expm1(width[:n])
	for i, v := range x {
		up, down, between := fa[i], -fb[i], float32(0)
		d := 2 * halfLevel * scale[i]
		switch {
		case v <= 0:
			down = 0
		case v >= 1:
			up = 0
		default:
			between = d * (1 + width[i]) / width[i] // -d/(exp d - 1)
		}
		dMu[i] = (up + down) * scale[i]
		dLogS[i] = float32(a[i]*up) + float32(b[i]*down) + between
		if logS[i] < LeastLogScale {
			dLogS[i] = 0
		}
	}
}

// logOneLessExp is log(1 - exp -d) of the width d = 2·halfLevel/s of a level, given -d and
// log s. Below 1, log d is known without a logarithm, and what is left is the series of
// log((1 - exp -d)/d), whose next term is below 1e-7.
func logOneLessExp(minusD, logS float64) float64 {
	d := -minusD
	if d > 1 {
		return elementary.Log1p(-elementary.Exp(minusD))
	}
	d2 := d * d
	return -logS - logOfLevels - float64(d/2) + float64(d2*(1./24-float64(d2*(1./2880-d2/181440))))
}

// logOfLevels is log 255: -log of the width of a level.
const logOfLevels = 5.541263545158426

// LogisticMass is the mass of a level under a logistic distribution, in float64: level
// is from 0 to 255, mu in grey levels of black 0 and white 1, see logisticMasses.
func LogisticMass(level int, mu, logS float64) float64 {
	inverse := elementary.Exp(-max(logS, LeastLogScale))
	x := float64(level) / (Levels - 1)
	a, b := float64((x+halfLevel-mu)*inverse), float64((x-halfLevel-mu)*inverse)
	logF := func(a float64) float64 { return -math.Max(-a, 0) - elementary.Log1p(elementary.Exp(-math.Abs(a))) }
	switch level {
	case 0:
		return elementary.Exp(logF(a))
	case Levels - 1:
		return elementary.Exp(logF(-b))
	}
	return elementary.Exp(logF(a) + logF(-b) + elementary.Log(-elementary.Expm1(b-a)))
}
