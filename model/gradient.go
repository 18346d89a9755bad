package model

import (
	"math"

	"elbo/graph"
)

// Gradient is an estimator of the gradient of a VAE's objective, by its name in flags and
// files. All are unbiased and have the same values of the bound; they differ in what they
// make of the encoder and the posterior, φ:
//
//	standard  the derivative of the bound as it is computed
//	stl       of elbo: (1/k) Σ_k ∂log w_k/∂z_k ∂z_k/∂φ, log w = log p(x, z) - log q(z|x)
//	dreg      of iwae: Σ_k w̃_k² ∂log w_k/∂z_k ∂z_k/∂φ, w̃ = w / Σ_k w
//
// Where φ enters log q otherwise than by z, the expectation of its derivative is 0 (stl),
// or is replaced by another derivative through z (dreg). Where q is exact, log w is the same
// for all z, and both estimators are 0 for every draw. The prior is on the decoder's side
// also where it shares parameters with the encoder.
//
// Sources: Roeder, Wu and Duvenaud 2017; Tucker, Lawson, Gu and Maddison 2019.
type Gradient string

// The estimators.
const (
	StandardGradient Gradient = "standard"
	STL              Gradient = "stl"  // sticking the landing
	DReG             Gradient = "dreg" // doubly reparameterised
)

// Gradients lists them all.
var Gradients = []Gradient{StandardGradient, STL, DReG}

// ParseGradient returns the estimator of that name.
func ParseGradient(name string) (Gradient, error) { return oneOf("gradient", name, Gradients) }

// checkGradient adds the faults of an estimator for an objective and a posterior.
func (c VAEConfig) checkGradient(f *faults) {
	g, objective := c.Gradient, c.Objective
	if g != "" {
		_, err := ParseGradient(string(g))
		f.add(err != nil, "%w", err)
	}
	f.add(g == STL && objective == IWAE, "gradient is stl, which for the objective iwae has a bias (Tucker et al. 2019): want dreg")
	f.add(g == DReG && objective == ELBO, "gradient is dreg, but the draws of the objective elbo have no weights, and what is left of it is stl: want stl")
	backward := c.Posterior.Name == FlowedPosterior && c.Flow.Name == AutoregressiveFlow
	f.add((g == STL || g == DReG) && backward, "gradient is %s, which wants log q(z|x) at any z, and of an autoregressive flow that is one dimension after the other: want flow coupling, or gradient standard", g)
}

// Evaluable is a family whose log-density is known at any z.
type Evaluable interface {
	// LogProb adds log q(z|h) to a graph, in nats: h is [B, H], z [B·S, Z], the result [B·S].
	LogProb(b *graph.Builder, h, z graph.Node) graph.Node
}

// hold lets gradients flow to h and to the posterior's parameters through z alone, times
// a number for each draw where scale is not nil. It comes before what is made of d.Z.
func (d *Drawn) hold(q Evaluable, scale func() graph.Node) {
	if scale != nil {
		d.Z = d.b.ScaleGradient(d.Z, scale)
	}
	d.logQ = func() (logQ graph.Node) {
		h := d.b.StopGradient(d.h)
		d.b.Held(func() { logQ = q.LogProb(d.b, h, d.Z) })
		return logQ
	}
}

// bounds adds, for images x, [B, D], noise eps, [B·k, E], the weight beta of the divergence
// in the ELBO, [1], the images' own components of a prior that leaves them out, [B], and
// their weights, [B], the terms of each image, all [B]: reconstruction, divergence, the bound,
// and what has its values (to rounding, or in expectation; not with free bits) and the
// gradient that training follows.
func (m *VAE) bounds(b *graph.Builder, x, eps, beta, own, weight graph.Node) (recon, kl, bound, ascent graph.Node) {
	drawn := m.Draw(b, m.Q.Posterior, m.Q.Encoder.Apply(b, x), eps)
	if prior, ok := m.Prior.(LeavesOut); ok {
		drawn.logP = func() graph.Node { return prior.LogProbWithout(b, drawn.Z, own) }
	}
	var weights graph.Node // w̃
	switch m.Gradient {
	case STL:
		drawn.hold(m.Q.Posterior.(Evaluable), nil)
	case DReG:
		drawn.hold(m.Q.Posterior.(Evaluable), func() graph.Node { return weights })
	}
	logLik := m.LogLik(b, x, drawn.Z)
	recon, kl = b.SampleMean(logLik, m.Draws), drawn.KL()
	if m.Objective == IWAE {
		bound = b.LogMeanExp(b.Add(logLik, drawn.LogRatio()), m.Draws)
	} else {
		bound = b.Bound(recon, kl, beta)
	}
	switch m.Gradient {
	case STL:
		return recon, kl, bound, b.Bound(recon, b.Neg(b.SampleMean(drawn.difference(), m.Draws)), beta)
	case DReG:
		logW := b.Add(logLik, drawn.difference())
		weights = b.DrawWeights(logW, m.Draws)
		return recon, kl, bound, b.LogMeanExp(logW, m.Draws)
	}
	if m.FreeBits > 0 {
		free, _ := m.Q.Posterior.(FreeBits).FreeKL(b, drawn.h, weight, m.FreeBits, m.Prior)
		return recon, kl, bound, b.Bound(recon, free, beta)
	}
	return recon, kl, bound, bound
}

// checkFreeBits adds the faults of free bits for an objective, a gradient, a posterior and a
// prior.
func (c VAEConfig) checkFreeBits(f *faults) {
	f.add(!(c.FreeBits >= 0) || math.IsInf(c.FreeBits, 0), "free-bits is %g, want 0 (none) or nats for each latent dimension", c.FreeBits)
	if !(c.FreeBits > 0) {
		return
	}
	f.add(c.Objective == IWAE, "free-bits is %g, but the objective iwae has no divergence of which some could be free: want 0", c.FreeBits)
	f.add(c.Gradient == STL, "free-bits is %g, but with gradient stl the divergence is no sum over latent dimensions: want gradient standard", c.FreeBits)
	diagonal := (c.Posterior.Name == "" || c.Posterior.Name == DiagonalPosterior) && !c.Layers.Several()
	f.add(!diagonal || c.Prior.Name != "" && c.Prior.Name != NormalPrior, "free-bits is %g, but only the divergence of one layer of a diagonal posterior from the prior normal is a sum over latent dimensions: want those, or 0", c.FreeBits)
}
