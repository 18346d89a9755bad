package graph

import (
	"math"

	"elbo/graph/elementary"
)

// Bounds of the log-variance that PixelGaussianLogLik takes from a decoder, for grey levels
// of black 0 and white 1: below that of rounding to 256 levels a density grows without
// end, above it no variance of pixels is.
var (
	LeastLogVariance = float32(elementary.Log(1.0 / (12 * (Levels - 1) * (Levels - 1))))
	MostLogVariance  = float32(4)
)

// PixelGaussianLogLik returns the log-density of grey levels under independent Gaussians
// with a mean and a variance for each, one value a draw:
//
//	log p(x|m, v) = -½ Σ_D ( (x - m)²/σ² + log σ² + log 2π )
//
// x is [B, D]; out is [B·S, 2D], for each pixel the means of its C channels and then their
// log variances, C = channels, D = C times the pixels. A log variance out of
// [LeastLogVariance, MostLogVariance] counts as the nearest in it, and has no gradient. The
// result is [B·S], summed over D, in nats (of a density: it may be positive). x has no
// gradient.
func (b *Builder) PixelGaussianLogLik(x, out Node, channels int) Node {
	b.want(channels > 0 && x.Cols()%max(1, channels) == 0 && out.Cols() == 2*x.Cols(), "gaussian of each pixel: pixels %v of %d channels and decoder output %v: want [B D] and [B·S 2D]", x.Shape(), channels, out.Shape())
	return b.pixelLogLik("pixel-gaussian", x, out, func(x, out, slope []float32) float64 {
		return pixelGaussian(x, out, slope, channels, identified)
	})
}

// DequantisedGaussianLogLik returns a lower bound on the log-probability of grey levels, one
// value a draw. A Gaussian of a mean and a variance for each value is a density on
// y = (v + u)/256, u uniform on [0, 1), which fills the line between level v and the next; its
// mass of a level is the mean of that density over u, divided by 256. So, with Jensen,
//
//	log P(v) ≥ Σ_D ( E_u log N((v + u)/256; m, σ²) - log 256 )
//	         = -½ Σ_D ( ((v + ½)/256 - m)² + 1/(12·256²))/σ² + log σ² + log 2π ) - D log 256
//
// The mean over u has a closed form, and no noise is drawn. x is [B, D], of levels v/255, out is
// [B·S, 2D] as in [Builder.PixelGaussianLogLik], of y; the result is [B·S], summed over D, in
// nats, and below 0. x has no gradient.
//
// Source: Theis, van den Oord, Bethge 2016, "A note on the evaluation of generative models".
func (b *Builder) DequantisedGaussianLogLik(x, out Node, channels int) Node {
	b.want(channels > 0 && x.Cols()%max(1, channels) == 0 && out.Cols() == 2*x.Cols(), "dequantised gaussian: pixels %v of %d channels and decoder output %v: want [B D] and [B·S 2D]", x.Shape(), channels, out.Shape())
	return b.pixelLogLik("dequantised-gaussian", x, out, func(x, out, slope []float32) float64 {
		return pixelGaussian(x, out, slope, channels, dequantised)
	})
}

// quantity is what a Gaussian is a density of, for a pixel x: a number with the mean
// scale·x + shift and the variance spread, which counts in units of exp -unit.
type quantity struct{ scale, shift, spread, unit float64 }

var (
	identified  = quantity{scale: 1}
	dequantised = quantity{
		scale: (Levels - 1.0) / Levels, shift: 0.5 / Levels, spread: 1.0 / (12 * Levels * Levels),
		unit: elementary.Log(Levels),
	}
)

// pixelGaussian is the mean of the log-density of one image, less the logarithm of the unit for
// each value, and leaves its derivative with respect to out in slope, unless that is nil.
func pixelGaussian(x, out, slope []float32, channels int, of quantity) float64 {
	sum := float64(len(x)) * (elementary.Log(2*math.Pi) + 2*of.unit)
	for i, v := range x {
		j := PairOf(i, channels)
		logVar := min(max(out[j+channels], LeastLogVariance), MostLogVariance)
		precision, r := elementary.Exp(-float64(logVar)), float64(of.scale*float64(v))+of.shift-float64(out[j])
		square := float64((float64(r*r) + of.spread) * precision)
		sum += square + float64(logVar)
		if slope != nil {
			slope[j], slope[j+channels] = float32(r*precision), 0
			if logVar == out[j+channels] {
				slope[j+channels] = float32((square - 1) / 2)
			}
		}
	}
	return -sum / 2
}
