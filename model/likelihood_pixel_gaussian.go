package model

import (
	"elbo/graph"
	"elbo/graph/elementary"
)

// PixelGaussian is the distribution of independent grey levels with a mean and a variance
// for each. The decoder's output is the means and the log variances of a pixel's channels,
// [μ | log σ²].
//
// Its density has no bound where a pixel is the same in all images, as it is in the corners
// of MNIST's: the variance falls to its least value there, that of rounding, and the figure
// says more of the rounding than of the images. A mass, as of [DiscretizedLogistic], has no
// such trouble.
type PixelGaussian struct{ Channels int }

var _ Likelihood = PixelGaussian{}

// Name returns "gaussian".
func (PixelGaussian) Name() LikelihoodName { return GaussianName }

// Measure returns ProbabilityDensity.
func (PixelGaussian) Measure() Measure { return ProbabilityDensity }

// Params returns none.
func (PixelGaussian) Params() []*graph.Param { return nil }

// Outputs returns two numbers a value.
func (PixelGaussian) Outputs(pixels int) int { return 2 * pixels }

// LogProb adds log p(x|μ, σ²), see graph.Builder.PixelGaussianLogLik.
func (l PixelGaussian) LogProb(b *graph.Builder, x, out graph.Node) graph.Node {
	return b.PixelGaussianLogLik(x, out, l.Channels)
}

// Mean fills x with the means.
func (l PixelGaussian) Mean(x, out []float32) {
	for i := range x {
		x[i] = out[graph.PairOf(i, l.Channels)]
	}
}

// Draw fills x with μ + σ ε.
func (l PixelGaussian) Draw(x, out []float32, noise Noise) {
	for i := range x {
		x[i] = drawPair(out, i, l.Channels, noise)
	}
}

// drawPair draws value i of an image from the Gaussian that the decoder gives it.
func drawPair(out []float32, i, channels int, noise Noise) float32 {
	j := graph.PairOf(i, channels)
	logVar := min(max(out[j+channels], graph.LeastLogVariance), graph.MostLogVariance)
	return out[j] + float32(elementary.Exp(float64(logVar)/2)*noise.NormFloat64())
}
