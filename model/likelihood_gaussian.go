package model

import (
	"math"

	"elbo/graph"
)

// Gaussian is the distribution of independent grey levels with one variance for all
// pixels. The decoder's output is their means.
type Gaussian struct {
	logVariance *graph.Param // log σ², [1]
	learned     bool
}

var (
	_ Likelihood = (*Gaussian)(nil)
	_ Natural    = (*Gaussian)(nil)
)

// NewGaussian returns a Gaussian of the given variance; 0: learned, and 1 at first.
func NewGaussian(variance float64) *Gaussian {
	g := &Gaussian{logVariance: graph.NewParam(LogVarianceName, 1), learned: variance == 0}
	if !g.learned {
		g.logVariance.Value[0] = float32(math.Log(variance))
	}
	return g
}

// LogVarianceName is the parameter that holds log σ².
const LogVarianceName = "likelihood.log_variance"

// Name returns "gaussian".
func (*Gaussian) Name() LikelihoodName { return GaussianName }

// Measure returns ProbabilityDensity.
func (*Gaussian) Measure() Measure { return ProbabilityDensity }

// Params returns log σ² where it is learned.
func (g *Gaussian) Params() []*graph.Param {
	if g.learned {
		return []*graph.Param{g.logVariance}
	}
	return nil
}

// Outputs returns one number a pixel.
func (*Gaussian) Outputs(pixels int) int { return pixels }

// LogProb adds log p(x|m) = -½ Σ_D ((x - m)²/σ² + log σ² + log 2π).
func (g *Gaussian) LogProb(b *graph.Builder, x, out graph.Node) graph.Node {
	return b.GaussianLogLik(x, out, b.Param(g.logVariance))
}

// Mean copies the means.
func (*Gaussian) Mean(x, out []float32) { copy(x, out) }

// Draw fills x with m + σ ε.
func (g *Gaussian) Draw(x, out []float32, noise Noise) {
	sigma := math.Exp(float64(g.logVariance.Value[0]) / 2)
	for i, m := range out {
		x[i] = float32(float64(m) + sigma*noise.NormFloat64())
	}
}

// Nodes: c is the mean of the K means, w = (m - c)/σ², b = log N(c; m, σ²). Centred, the
// sums are as small as the means are alike: without it float32 loses the digits that count
// to |x|²/σ².
func (g *Gaussian) Nodes(e *graph.Engine, out, b []float32) []float64 {
	d, logVar := len(out)/len(b), float64(g.logVariance.Value[0])
	precision := math.Exp(-logVar)
	c := make([]float64, d)
	for i, m := range out {
		c[i%d] += float64(m) / float64(len(b))
	}
	e.Split(len(b), 16, func(lo, hi int) {
		for k := lo; k < hi; k++ {
			squares := 0.0
			row := out[k*d:][:d]
			for j, c := range c {
				r := float64(row[j]) - c
				squares += r * r
				row[j] = float32(r * precision)
			}
			b[k] = float32(-(squares*precision + float64(d)*(logVar+math.Log(2*math.Pi))) / 2)
		}
	})
	return c
}

// Centre: a(x) = -½ |x - c|²/σ².
func (g *Gaussian) Centre(into, x []float32, c []float64) float64 {
	precision := math.Exp(-float64(g.logVariance.Value[0]))
	squares := 0.0
	for j, c := range c {
		r := float64(x[j]) - c
		squares += r * r
		into[j] = float32(r)
	}
	return -squares * precision / 2
}
