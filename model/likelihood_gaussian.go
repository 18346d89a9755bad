package model

import (
	"math"

	"elbo/graph"
	"elbo/graph/elementary"
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
	_ Solved     = (*Gaussian)(nil)
)

// NewGaussian returns a Gaussian of the given variance; 0: learned, and 1 until Begin.
func NewGaussian(variance float64) *Gaussian {
	g := &Gaussian{logVariance: graph.NewParam(LogVarianceName, 1), learned: variance == 0}
	if !g.learned {
		g.logVariance.Value[0] = float32(elementary.Log(variance))
	}
	return g
}

// newGaussian is a Gaussian as c has it.
func newGaussian(c LikelihoodConfig) Likelihood {
	if c.PixelVariance {
		return PixelGaussian{Channels: c.channels()}
	}
	return NewGaussian(c.Variance)
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
	sigma := elementary.Exp(float64(g.logVariance.Value[0]) / 2)
	for i, m := range out {
		x[i] = float32(float64(m) + float64(sigma*noise.NormFloat64()))
	}
}

// LeastVariance bounds a learned variance from below: 1/(12 · 255²), that of rounding a
// pixel to one of 256 grey levels. What a decoder explains better than that is the
// rounding, and the density would grow without end.
const LeastVariance = 1.0 / (12 * 255 * 255)

// SetVariance sets σ², to LeastVariance at least.
func (g *Gaussian) SetVariance(variance float64) {
	g.logVariance.Value[0] = float32(elementary.Log(max(variance, LeastVariance)))
}

// Variance is σ².
func (g *Gaussian) Variance() float64 { return elementary.Exp(float64(g.logVariance.Value[0])) }

// Learned reports whether the variance is.
func (g *Gaussian) Learned() bool { return g.learned }

// Solved returns log σ² where it is learned.
func (g *Gaussian) Solved() []*graph.Param { return g.Params() }

// Begin sets σ² to the mean square of what an untrained decoder leaves of the pixels: all of
// them where its outputs are near 0. A variance that began lower would make the first gradients
// large, and Adam's steps small for long after.
func (g *Gaussian) Begin(meanSquare float64) { g.SetVariance(meanSquare) }

// Held says so where the variance is learned and LeastVariance holds it: the residuals are
// smaller.
func (g *Gaussian) Held() string {
	if g.learned && g.logVariance.Value[0] <= float32(elementary.Log(LeastVariance)) {
		return "the variance is held at its least value, that of rounding to 256 grey levels"
	}
	return ""
}

// Solve sets σ² from the residuals of a batch. The bound of B images of D pixels, with k
// draws each and everything else as it is, is stationary in σ² where
//
//	σ² = s,    s = 1/(B D) Σ_B Σ_k w_bk |x_b - m_bk|²
//
// with w = 1/k for the ELBO, whatever the weight of the divergence, and the normalised
// importance weights p(x, z)/q(z|x) at the present σ² for L_k. For the ELBO s is the
// maximum; for L_k, σ² := s is an iteration of EM whose hidden variable is the draw, and
// so never lowers it. The same is true of any step on the way there,
//
//	σ² := (1 - share) σ² + share s,    0 ≤ share ≤ 1
//
// as what is maximised, -(s/σ² + log σ²), rises up to s. Summed up over batches with a
// small share, σ² is a running mean of s. s needs no pass of its own: the graph's
// gradient of the loss with respect to log σ² is g = D/2 (1 - s/σ²).
//
// Sources: Tipping and Bishop 1999, the M-step of PPCA; Rybkin, Daniilidis and Levine
// 2021, the optimal σ of a VAE; Cappé and Moulines 2009, steps on the way.
func (g *Gaussian) Solve(grads [][]float32, pixels int, share float64) {
	variance := g.Variance()
	s := variance * (1 - 2*float64(grads[0][0])/float64(pixels))
	g.SetVariance(float64((1-share)*variance) + float64(share*s))
}

// Nodes: c is the mean of the K means, w = (m - c)/σ², b = log N(c; m, σ²). Centred, the
// sums are as small as the means are alike: without it float32 loses the digits that count
// to |x|²/σ².
func (g *Gaussian) Nodes(e *graph.Engine, out, b []float32) []float64 {
	d, logVar := len(out)/len(b), float64(g.logVariance.Value[0])
	precision := elementary.Exp(-logVar)
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
				squares += float64(r * r)
				row[j] = float32(r * precision)
			}
			b[k] = float32(-(float64(squares*precision) + float64(float64(d)*(logVar+elementary.Log(2*math.Pi)))) / 2)
		}
	})
	return c
}

// Centre: a(x) = -½ |x - c|²/σ².
func (g *Gaussian) Centre(into, x []float32, c []float64) float64 {
	precision := elementary.Exp(-float64(g.logVariance.Value[0]))
	squares := 0.0
	for j, c := range c {
		r := float64(x[j]) - c
		squares += float64(r * r)
		into[j] = float32(r)
	}
	return -squares * precision / 2
}
