package model

import (
	"math"

	"elbo/graph"
	"elbo/graph/elementary"
)

// LogLikObserved fills into, [K], with log p(x_obs|z=k), in nats: the log-likelihood of an
// image x, [D], without the pixels that are missing, [D]. Pixels are independent given the
// state, so that their terms fall away.
func (m *EM) LogLikObserved(into []float64, x []float32, missing []bool) {
	for k := range into {
		into[k] = 0
		for j, v := range x {
			if !missing[j] {
				into[k] += m.states.logPixel(k, j, v)
			}
		}
	}
}

// DrawState fills x, [D], with a draw from p(x|z=k).
func (m *EM) DrawState(x []float32, k int, noise Noise) {
	for j := range x {
		x[j] = m.states.drawPixel(k, j, noise)
	}
}

// logBernoulli is x l - log(1 + exp l).
func logBernoulli(x, l float32) float64 {
	logit := float64(l)
	return float64(float64(x)*logit) - max(logit, 0) - elementary.Log1p(elementary.Exp(-math.Abs(logit)))
}

func drawBernoulli(l float32, noise Noise) float32 {
	var x [1]float32
	Bernoulli{}.Draw(x[:], []float32{l}, noise)
	return x[0]
}

func (m *bernoulliMixture) logPixel(k, j int, x float32) float64 {
	return logBernoulli(x, m.logits.Value[k*m.d+j])
}

func (m *bernoulliMixture) drawPixel(k, j int, noise Noise) float32 {
	return drawBernoulli(m.logits.Value[k*m.d+j], noise)
}

func (g *gridStates) logPixel(k, j int, x float32) float64 {
	return logBernoulli(x, g.logits.Value[k*g.d+j])
}

func (g *gridStates) drawPixel(k, j int, noise Noise) float32 {
	return drawBernoulli(g.logits.Value[k*g.d+j], noise)
}

// place is that of pixel j of state k in the parameters.
func (m *gaussianMixture) place(k, j int) int { return k*m.mean.Shape[1] + j }

func (m *gaussianMixture) logPixel(k, j int, x float32) float64 {
	i := m.place(k, j)
	r, precision := float64(x)-float64(m.mean.Value[i]), float64(m.precision.Value[i])
	return -(float64(r*r*precision) - elementary.Log(precision) + elementary.Log(2*math.Pi)) / 2
}

func (m *gaussianMixture) drawPixel(k, j int, noise Noise) float32 {
	i := m.place(k, j)
	return float32(float64(m.mean.Value[i]) + noise.NormFloat64()/math.Sqrt(float64(m.precision.Value[i])))
}

// Completion is a compiled graph of what filling in pixels needs of a draw z(h, ε): the
// decoder's output, log p(x|z) and log p(z) - log q(z|h).
type Completion struct {
	program               *graph.Program
	x, h, eps             []float32
	out, logLik, logRatio graph.Node
}

// NewCompletion compiles it for posteriors of a family and blocks of images, a draw for
// each.
func (j *Joint) NewCompletion(q Posterior, images int) (*Completion, error) {
	c := &Completion{}
	var err error
	c.program, err = graph.Build(j.Engine, func(b *graph.Builder) {
		numbers, noise := q.Sizes()
		var x, h, eps graph.Node
		x, c.x = b.Input("x", images, j.Pixels)
		h, c.h = b.Input("h", images, numbers)
		eps, c.eps = b.Input("eps", images, noise)
		drawn := j.Draw(b, q, h, eps)
		c.out = j.Decoder.Apply(b, drawn.Z)
		c.logLik, c.logRatio = j.Likelihood.LogProb(b, x, c.out), drawn.LogRatio()
		b.Output(c.out, c.logLik, c.logRatio)
	})
	return c, err
}

// At returns, for the draws z(h, ε), the decoder's output, [B, O], log p(x|z) and
// log p(z) - log q(z|h), [B], in nats; valid until the next call. x is [B, D], h [B, H],
// eps [B, E].
func (c *Completion) At(x, h, eps []float32) (out, logLik, logRatio []float32, err error) {
	copy(c.x, x)
	copy(c.h, h)
	copy(c.eps, eps)
	err = c.program.Run()
	return c.program.Values(c.out), c.program.Values(c.logLik), c.program.Values(c.logRatio), err
}
