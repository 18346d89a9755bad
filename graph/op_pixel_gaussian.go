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
		sum := float64(len(x)) * elementary.Log(2*math.Pi)
		for i, v := range x {
			j := PairOf(i, channels)
			logVar := min(max(out[j+channels], LeastLogVariance), MostLogVariance)
			precision, r := elementary.Exp(-float64(logVar)), float64(v)-float64(out[j])
			square := float64(r * r * precision)
			sum += square + float64(logVar)
			if slope != nil {
				slope[j], slope[j+channels] = float32(r*precision), 0
				if logVar == out[j+channels] {
					slope[j+channels] = float32((square - 1) / 2)
				}
			}
		}
		return -sum / 2
	})
}
