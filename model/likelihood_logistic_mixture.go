package model

import (
	"elbo/graph"
	"elbo/graph/elementary"
)

// LogisticMixture is the distribution of independent pixels of grey levels or colours, 0 to
// 255, under a mixture of discretised logistic distributions for each. Of a colour, green
// depends on red and blue on both, within a component. The decoder's output for a pixel is
// what graph.Builder.LogisticMixtureLogLik takes.
//
// Source: Salimans, Karpathy, Chen, Kingma 2017 (PixelCNN++).
type LogisticMixture struct{ Components, Channels int }

var _ Likelihood = LogisticMixture{}

// Name returns "discretized-logistic-mixture".
func (LogisticMixture) Name() LikelihoodName { return DiscretizedLogisticMixtureName }

// Measure returns ProbabilityMass.
func (LogisticMixture) Measure() Measure { return ProbabilityMass }

// Params returns none.
func (LogisticMixture) Params() []*graph.Param { return nil }

// Outputs returns graph.LogisticMixtureOutputs a pixel of Channels values.
func (l LogisticMixture) Outputs(pixels int) int { return pixels / l.Channels * l.width() }

func (l LogisticMixture) width() int {
	return graph.LogisticMixtureOutputs(l.Components, l.Channels)
}

// LogProb adds log p(x|out), see graph.Builder.LogisticMixtureLogLik.
func (l LogisticMixture) LogProb(b *graph.Builder, x, out graph.Node) graph.Node {
	return b.LogisticMixtureLogLik(x, out, l.Components, l.Channels)
}

// Mean fills x with means. Those of green and blue are taken at the mean of the channels
// before them in each component, which for linear dependence is their mean but for levels
// that are cut off at black and white.
func (l LogisticMixture) Mean(x, out []float32) {
	for i := range len(x) / l.Channels {
		o, pixel := out[i*l.width():][:l.width()], x[i*l.Channels:][:l.Channels]
		weights := softmax(o[:l.Components])
		clear(pixel)
		for m, weight := range weights {
			var means [3]float64
			for c := range pixel {
				mu, logS := l.component(o, m, c, means[:c])
				means[c] = logisticMean(mu, logS)
				pixel[c] += float32(weight * means[c])
			}
		}
	}
}

// Draw fills x with levels: a component, and then channel after channel.
func (l LogisticMixture) Draw(x, out []float32, noise Noise) {
	for i := range len(x) / l.Channels {
		o, pixel := out[i*l.width():][:l.width()], x[i*l.Channels:][:l.Channels]
		m := pick(softmax(o[:l.Components]), noise.Float64())
		var drawn [3]float64
		for c := range pixel {
			mu, logS := l.component(o, m, c, drawn[:c])
			pixel[c] = level(logisticQuantile(mu, logS, noise.Float64()))
			drawn[c] = float64(pixel[c])
		}
	}
}

// component returns the mean and the log scale of channel c in component m of a pixel,
// given the values of the channels before.
func (l LogisticMixture) component(o []float32, m, c int, before []float64) (mu, logS float64) {
	group := (len(o) - l.Components) / l.Components
	own := o[l.Components+m*group:][:group]
	mu, logS = float64(own[c]), float64(own[l.Channels+c])
	first := 2*l.Channels + c*(c-1)/2 // of the channel's coefficients: 0 of red, 1 of green, 2 of blue
	for j, v := range before {
		mu += float64(elementary.Tanh(float64(own[first+j])) * (v - 0.5))
	}
	return mu, logS
}

// softmax returns exp l / Σ exp l.
func softmax(l []float32) []float64 {
	top, sum := l[0], 0.0
	for _, v := range l {
		top = max(top, v)
	}
	shares := make([]float64, len(l))
	for i, v := range l {
		shares[i] = elementary.Exp(float64(v - top))
		sum += shares[i]
	}
	for i := range shares {
		shares[i] /= sum
	}
	return shares
}

// pick returns the first index up to which the shares sum to more than u, in [0, 1).
func pick(shares []float64, u float64) int {
	for i, share := range shares {
		if u -= share; u < 0 {
			return i
		}
	}
	return len(shares) - 1
}
