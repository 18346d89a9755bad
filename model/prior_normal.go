package model

import (
	"math"

	"elbo/graph"
	"elbo/graph/elementary"
)

// StandardNormal is the prior N(0, I).
type StandardNormal struct{}

var (
	_ Prior         = StandardNormal{}
	_ ClosedDensity = StandardNormal{}
	_ Boxed         = StandardNormal{}
)

func (StandardNormal) String() string { return "N(0, I)" }

// Params returns none.
func (StandardNormal) Params() []*graph.Param { return nil }

// LogProb adds log N(z; 0, I) to a graph.
func (StandardNormal) LogProb(b *graph.Builder, z graph.Node) graph.Node { return b.LogStdNormal(z) }

// Draw fills z with independent draws from N(0, 1).
func (StandardNormal) Draw(z []float64, noise Noise) {
	for j := range z {
		z[j] = noise.NormFloat64()
	}
}

// LogDensity is log N(z; 0, I) = -½ (|z|² + Z log 2π), with gradient -z.
func (StandardNormal) LogDensity(z, slope []float64) float64 {
	sum := float64(len(z)) * elementary.Log(2*math.Pi)
	for j, v := range z {
		sum += float64(v * v)
		if slope != nil {
			slope[j] = -v
		}
	}
	return -sum / 2
}

// MassOutside is at most Z P(|z| > reach) of one dimension.
func (StandardNormal) MassOutside(dims int, reach float64) float64 {
	return float64(dims) * elementary.Erfc(reach/math.Sqrt2)
}
