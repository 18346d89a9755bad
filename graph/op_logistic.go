package graph

// DiscretizedLogisticLogLik returns the log-probability of grey levels under independent
// discretised logistic distributions, one value a draw:
//
//	log p(x|μ, s) = Σ_D log( F((x + ½/255 - μ)/s) - F((x - ½/255 - μ)/s) )
//
// with the tails closed at levels 0 and 255. x is [B, D], of levels v/255; out is
// [B·S, 2D], for each pixel the means of its C channels and then their log scales
// [μ | log s], C = channels, D = C times the pixels. The result is [B·S], summed over D, in
// nats. x has no gradient.
//
// Source: Kingma et al. 2016 (Inverse Autoregressive Flow), appendix; Salimans et al. 2017.
func (b *Builder) DiscretizedLogisticLogLik(x, out Node, channels int) Node {
	b.want(channels > 0 && x.Cols()%max(1, channels) == 0 && out.Cols() == 2*x.Cols(), "discretized logistic: pixels %v of %d channels and decoder output %v: want [B D] and [B·S 2D]", x.Shape(), channels, out.Shape())
	return b.pixelLogLik("discretized-logistic", x, out, func(x, out, slope []float32) float64 {
		return discretizedLogistic(x, out, slope, channels)
	})
}

// discretizedLogistic is the log-probability of one image, and leaves its derivative with
// respect to out in slope, unless that is nil.
func discretizedLogistic(x, out, slope []float32, channels int) float64 {
	var mu, logS, logP, dMu, dLogS [logisticBlock]float32
	sum := 0.0
	for from := 0; from < len(x); from += logisticBlock {
		part := x[from:min(from+logisticBlock, len(x))]
		n := len(part)
		for i := range part {
			j := PairOf(from+i, channels)
			mu[i], logS[i] = out[j], out[j+channels]
		}
		if slope == nil {
			logisticMasses(part, mu[:n], logS[:n], logP[:n], nil, nil)
		} else {
			logisticMasses(part, mu[:n], logS[:n], logP[:n], dMu[:n], dLogS[:n])
			for i := range part {
				j := PairOf(from+i, channels)
				slope[j], slope[j+channels] = dMu[i], dLogS[i]
			}
		}
		for _, l := range logP[:n] {
			sum += float64(l)
		}
	}
	return sum
}
