package graph

import (
	"math"
	"slices"

	"elbo/graph/elementary"
	"elbo/graph/simd"
)

// LevelFamily is a family of distributions of one value of an image, of 256 levels, which
// does not depend on the image's other values. A model with a table needs no more of its images
// than how often each value has each level.
type LevelFamily interface {
	// Numbers is how many numbers describe the distribution of a value.
	Numbers() int
	// Place is where, in a decoder's output for an image, number i of a value stands.
	Place(value, i int) int
	// LogMasses fills logP with log P(v) of every level v, in nats, and slopes, [Numbers][256]
	// unless it is nil, with the derivatives with respect to each of the numbers.
	LogMasses(numbers []float32, logP *[Levels]float32, slopes [][Levels]float32)
	// Begin fills numbers with those of a distribution of about this mean and variance, of grey
	// levels in [0, 1].
	Begin(numbers []float32, mean, variance float64)
	// Bound moves numbers to where the distribution still changes with them.
	Bound(numbers []float32)
}

// Bounds of what a fit gives: a mean further away, or a scale as wide, is told from no other.
const (
	farthestMean  = 8
	mostLogScale  = 3
	farthestLogit = 27 // of a share of 1e-12, see betaBinomialShape
)

// beginLogistic is a logistic distribution of the mean and the variance.
func beginLogistic(mean, variance float64) (mu, logS float32) {
	// The variance is (π s)²/3, and no less than that of a level's width.
	variance = max(variance, 1./(12*255*255))
	return float32(mean), float32(elementary.Log(3*variance/(math.Pi*math.Pi)) / 2)
}

func boundLogistic(mu, logS *float32) {
	*mu = min(max(*mu, -farthestMean), farthestMean)
	*logS = min(max(*logS, LeastLogScale), mostLogScale)
}

// LogisticLevels is the family of [Builder.DiscretizedLogisticLogLik]: a mean and a log scale.
type LogisticLevels struct{ Channels int }

// Numbers is 2.
func (LogisticLevels) Numbers() int { return 2 }

// Place: a pixel has the means of its channels, and then their log scales.
func (f LogisticLevels) Place(value, i int) int { return PairOf(value, f.Channels) + i*f.Channels }

// LogMasses are those of logisticMasses.
func (LogisticLevels) LogMasses(numbers []float32, logP *[Levels]float32, slopes [][Levels]float32) {
	logisticLevels(numbers[0], numbers[1], logP, slopes)
}

// Begin has the mean and the variance but for the tails, which are closed.
func (LogisticLevels) Begin(numbers []float32, mean, variance float64) {
	numbers[0], numbers[1] = beginLogistic(mean, variance)
}

// Bound keeps the scale where it makes a difference.
func (LogisticLevels) Bound(numbers []float32) { boundLogistic(&numbers[0], &numbers[1]) }

// logisticLevels is logisticMasses of all levels of one distribution, with the same bits: what
// does not depend on the level is computed once.
func logisticLevels(mu, logS float32, logP *[Levels]float32, slopes [][Levels]float32) {
	const top = Levels - 1
	var a, b, fa, fb [Levels]float32
	var once [1]float32
	once[0] = -max(logS, LeastLogScale)
	simd.Exp(once[:])
	scale := once[0] // 1/s
	inverse, width := float64(scale), -2*halfLevel*scale
	for v := range a {
		from := float64(float32(v)/top) - float64(mu)
		a[v], b[v] = float32((from+halfLevel)*inverse), float32((from-halfLevel)*inverse)
		fa[v], fb[v] = -a[v], b[v]
	}
	simd.Softplus(fa[:]) // -log F(a)
	simd.Softplus(fb[:]) // -log F(-b)
	between := float32(logOneLessExp(float64(width), float64(max(logS, LeastLogScale))))
	for v := range logP {
		logP[v] = between - fa[v] - fb[v]
	}
	logP[0], logP[top] = -fa[0], -fb[top]
	if slopes == nil {
		return
	}
	for v := range fa {
		fa[v], fb[v] = -fa[v], -fb[v]
	}
	simd.Expm1(fa[:]) // -F(-a)
	simd.Expm1(fb[:]) // -F(b)
	once[0] = width
	simd.Expm1(once[:])
	d := 2 * halfLevel * scale
	between = d * (1 + once[0]) / once[0] // -d/(exp d - 1)
	fb[0], fa[top] = 0, 0
	for v := range fa {
		up, down := fa[v], -fb[v]
		slopes[0][v] = (up + down) * scale
		slopes[1][v] = float32(a[v]*up) + float32(b[v]*down)
		if v > 0 && v < top {
			slopes[1][v] += between
		}
	}
	if logS < LeastLogScale {
		clear(slopes[1][:])
	}
}

// LogisticMixtureLevels is the family of [Builder.LogisticMixtureLogLik] of one channel: the
// logits of M weights, and then a mean and a log scale of each component.
type LogisticMixtureLevels struct{ Components int }

// Numbers is 3 M.
func (f LogisticMixtureLevels) Numbers() int { return LogisticMixtureOutputs(f.Components, 1) }

// Place: values follow one another.
func (f LogisticMixtureLevels) Place(value, i int) int { return value*f.Numbers() + i }

// LogMasses are log Σ_M π P(v|μ, s).
func (f LogisticMixtureLevels) LogMasses(numbers []float32, logP *[Levels]float32, slopes [][Levels]float32) {
	m := f.Components
	logPi := make([]float32, m)
	copy(logPi, numbers[:m])
	shares := make([]float32, m)
	copy(shares, logPi)
	norm := float32(normalise(shares))
	joint := make([][Levels]float32, m)
	for i := range joint {
		var own [][Levels]float32
		if slopes != nil {
			own = slopes[m+2*i:][:2]
		}
		logisticLevels(numbers[m+2*i], numbers[m+2*i+1], &joint[i], own)
	}
	q := make([]float32, m)
	for v := range logP {
		for i := range q {
			q[i] = logPi[i] - norm + joint[i][v]
		}
		logP[v] = float32(normalise(q))
		if slopes == nil {
			continue
		}
		for i, q := range q {
			slopes[i][v] = q - shares[i]
			slopes[m+2*i][v] *= q
			slopes[m+2*i+1][v] *= q
		}
	}
}

// Begin has components of equal weight, a deviation to each side of the mean.
func (f LogisticMixtureLevels) Begin(numbers []float32, mean, variance float64) {
	m := f.Components
	deviation := math.Sqrt(max(variance, 1./(12*255*255)))
	for i := range m {
		at := mean
		if m > 1 {
			at += float64(deviation * (float64(2*i)/float64(m-1) - 1))
		}
		numbers[i] = 0
		numbers[m+2*i], numbers[m+2*i+1] = beginLogistic(at, variance/4)
	}
}

// Bound keeps weights and scales where they make a difference.
func (f LogisticMixtureLevels) Bound(numbers []float32) {
	m := f.Components
	top := slices.Max(numbers[:m])
	for i := range m {
		numbers[i] = max(numbers[i]-top, -20)
		boundLogistic(&numbers[m+2*i], &numbers[m+2*i+1])
	}
}

// BetaBinomialLevels is the family of [Builder.BetaBinomialLogLik]: the logit of a mean and a
// log concentration.
type BetaBinomialLevels struct{ Channels int }

// Numbers is 2.
func (BetaBinomialLevels) Numbers() int { return 2 }

// Place: a pixel has the logits of its channels, and then their log concentrations.
func (f BetaBinomialLevels) Place(value, i int) int { return PairOf(value, f.Channels) + i*f.Channels }

// Begin has the mean m and, where there is one, the concentration c of the variance,
//
//	m (1 - m) (c + 255) / (255 (c + 1))
func (BetaBinomialLevels) Begin(numbers []float32, mean, variance float64) {
	const n = Levels - 1
	mean = min(max(mean, 1e-4), 1-1e-4)
	most := float64(mean * (1 - mean))
	c := elementary.Exp(MostLogConcentration) // of a variance that is a binomial's, or less
	if variance > most/n {
		c = max((most-variance)/(variance-most/n), elementary.Exp(LeastLogConcentration))
	}
	numbers[0], numbers[1] = float32(elementary.Log(mean/(1-mean))), float32(min(elementary.Log(c), MostLogConcentration-1))
}

// Bound keeps the concentration where it has a gradient.
func (BetaBinomialLevels) Bound(numbers []float32) {
	numbers[0] = min(max(numbers[0], -farthestLogit), farthestLogit)
	numbers[1] = min(max(numbers[1], LeastLogConcentration), MostLogConcentration)
}

// LogMasses sums up, from level to level, the factors of
//
//	P(v) = C(255, v) Π_{i<v} (α+i) Π_{i<255-v} (β+i) / Π_{i<255} (α+β+i)
//
// and their derivatives.
func (BetaBinomialLevels) LogMasses(numbers []float32, logP *[Levels]float32, slopes [][Levels]float32) {
	const n = Levels - 1
	logit, logC := float64(numbers[0]), float64(numbers[1])
	alpha, beta, m := betaBinomialShape(logit, logC)
	logChoose := logBinomials()
	var la, lb, da, db [Levels]float64 // of the products up to level v, and their derivatives
	for v := range n {
		i := float64(v)
		la[v+1], da[v+1] = la[v]+elementary.Log(alpha+i), da[v]+1/(alpha+i)
		lb[v+1], db[v+1] = lb[v]+elementary.Log(beta+i), db[v]+1/(beta+i)
	}
	lc, dc := rising(alpha+beta, n)
	free := logC >= LeastLogConcentration && logC <= MostLogConcentration
	for v := range logP {
		logP[v] = float32(logChoose[v] + la[v] + lb[n-v] - lc)
		if slopes == nil {
			continue
		}
		slopes[0][v], slopes[1][v] = float32((da[v]-db[n-v])*alpha*(1-m)), 0
		if free {
			slopes[1][v] = float32(float64(da[v]*alpha) + float64(db[n-v]*beta) - float64(dc*(alpha+beta)))
		}
	}
}

// LevelTable fills table, [D·256, K], with the log-masses of all levels of all values under K
// rows of numbers, out [K, O]: element (d·256 + v, k) is log P(x_d = v | out_k).
func (e *Engine) LevelTable(f LevelFamily, table, out []float32, states int) {
	d := len(table) / Levels / states
	o := len(out) / states
	e.Split(d, 1, func(lo, hi int) {
		numbers := make([]float32, f.Numbers())
		var logP [Levels]float32
		for value := lo; value < hi; value++ {
			rows := table[value*Levels*states:][:Levels*states]
			for k := range states {
				gather(f, numbers, out[k*o:][:o], value)
				f.LogMasses(numbers, &logP, nil)
				for v, l := range logP {
					rows[v*states+k] = l
				}
			}
		}
	})
}

// gather fills numbers with those of a value.
func gather(f LevelFamily, numbers, out []float32, value int) {
	for i := range numbers {
		numbers[i] = out[f.Place(value, i)]
	}
}
