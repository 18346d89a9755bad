package model

import (
	"math"

	"elbo/graph"
	"elbo/graph/elementary"
)

// level is the nearest of the 256 grey levels, as a number in [0, 1].
func level(x float64) float32 {
	const top = graph.Levels - 1
	return float32(math.Round(min(max(x, 0), 1)*top) / top)
}

// logisticQuantile is where a share u of a logistic distribution lies below.
func logisticQuantile(mu, logS, u float64) float64 {
	u = min(max(u, 1e-300), 1-0x1p-53)
	return mu + float64(elementary.Exp(max(logS, graph.LeastLogScale))*(elementary.Log(u)-elementary.Log1p(-u)))
}

// logisticMean is the mean of a discretised logistic distribution,
//
//	Σ_v v/255 P(v) = 1/255 Σ_{v=1}^{255} (1 - F((v - ½)/255)),
//
// summed where F is neither 0 nor 1.
func logisticMean(mu, logS float64) float64 {
	const top = graph.Levels - 1
	s := elementary.Exp(max(logS, graph.LeastLogScale))
	// Beyond 20 scales F is 0 or 1 but for 2e-9.
	first := int(min(max(math.Floor((mu-float64(20*s))*top), 0), top))
	last := int(min(max(math.Ceil((mu+float64(20*s))*top), 0), top))
	sum := float64(first)
	for v := first + 1; v <= last; v++ {
		sum += 1 / (1 + elementary.Exp(((float64(v)-0.5)/top-mu)/s))
	}
	return sum / top
}
