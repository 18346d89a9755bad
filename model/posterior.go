package model

import (
	"cmp"
	"fmt"

	"elbo/graph"
)

// Posterior is a family of approximate posteriors q(z|h): h are the numbers that an
// encoder gives for an image.
//
// What a family knows in closed form it may offer besides: see [ClosedKL], [ClosedRatio],
// [Moments], [PairDensity] and [MemberDensity].
type Posterior interface {
	fmt.Stringer // its name, "diagonal Gaussian"
	// Sizes returns how many numbers h has for an image, and the noise ε for a draw.
	Sizes() (h, eps int)
	// Params returns what training may change besides the encoder.
	Params() []*graph.Param
	// Draw adds draws z = z(h, ε) to a graph, with ε ~ N(0, I) from outside: h is [B, H],
	// eps [B·S, E], z [B·S, Z]. logQ adds log q(z|h) of the draws, [B·S], in nats.
	Draw(b *graph.Builder, h, eps graph.Node) (z graph.Node, logQ func() graph.Node)
}

// PosteriorName is a family of posteriors by its name in flags and files.
type PosteriorName string

// The families that have a name.
const (
	DiagonalPosterior PosteriorName = "diagonal" // N(μ, diag σ²), see DiagonalGaussian
	FullPosterior     PosteriorName = "full"     // N(μ, L Lᵀ), see FullGaussian
	FlowedPosterior   PosteriorName = "flow"     // f(N(μ, diag σ²)), see FlowPosterior
)

// Posteriors lists them all.
var Posteriors = []PosteriorName{DiagonalPosterior, FullPosterior, FlowedPosterior}

// ParsePosterior returns the family of that name.
func ParsePosterior(name string) (PosteriorName, error) {
	return oneOf("posterior", name, Posteriors)
}

// PosteriorConfig is a family of posteriors and what it has to be told.
type PosteriorConfig struct {
	Name PosteriorName // "": diagonal
}

// check adds every fault.
func (c PosteriorConfig) check(f *faults) {
	_, err := ParsePosterior(string(cmp.Or(c.Name, DiagonalPosterior)))
	f.add(err != nil, "%w", err)
}

// newPosterior returns the family of posteriors of a VAE.
func (c VAEConfig) newPosterior(init Init) (Posterior, error) {
	if c.Layers.Several() {
		return c.newLayeredPosterior(init), nil
	}
	switch c.Posterior.Name {
	case FullPosterior:
		return FullGaussian{Latent: c.Latent}, nil
	case FlowedPosterior:
		return newFlowPosterior(c.Latent, c.Flow, init), nil
	}
	return DiagonalGaussian{Latent: c.Latent}, nil
}

// ClosedKL is a family whose divergence from some priors has a closed form.
type ClosedKL interface {
	// KL adds KL(q(z|h) ‖ p) to a graph, [B], in nats; false where it has no closed form.
	KL(b *graph.Builder, h graph.Node, p Prior) (graph.Node, bool)
	// KLPerDimension returns the same of one image, h [H], for each latent dimension, in
	// float64; false where it has no closed form, or is no sum over dimensions.
	KLPerDimension(h []float32, p Prior) ([]float64, bool)
}

// FreeBits is a family whose divergence from some priors is a sum over latent dimensions that
// can be kept from falling below a share for each.
type FreeBits interface {
	// FreeKL adds, for the images of a batch with weights, [B], the divergence [B] whose mean
	// over the batch is Σ_Z max(free, mean KL_j), in nats; false where it is no such sum.
	FreeKL(b *graph.Builder, h, weight graph.Node, free float64, p Prior) (graph.Node, bool)
}

// ClosedTotal is a family whose divergence from some priors has a closed form that is no sum
// over dimensions.
type ClosedTotal interface {
	// KLTotal returns KL(q(z|h) ‖ p) of one image, h [H], in nats, in float64; false where it
	// has no closed form.
	KLTotal(h []float32, p Prior) (float64, bool)
}

// ClosedRatio is a family for which log p(z) - log q(z|h) is better known than as the
// difference of the two.
type ClosedRatio interface {
	// LogRatio adds log p(z) - log q(z|h) of draws to a graph, [B·S], in nats; false where
	// the difference is all there is.
	LogRatio(b *graph.Builder, h, eps, z graph.Node, p Prior) (graph.Node, bool)
}

// Moments is a family whose moments are known, and that can be chosen by them.
type Moments interface {
	// Mean and Variance return E_q[z] and the variances of z, [Z], of one image, h [H].
	Mean(h []float32) []float64
	Variance(h []float32) []float64
	// FromMoments returns the h, [H], of the member with the given mean, [Z], and
	// covariance, [Z, Z], or of the nearest by what the family can express.
	FromMoments(mean, covariance []float64) []float32
}

// MemberRatio is a family whose density is known at the draws of another of its members.
type MemberRatio interface {
	// LogProbRatio is log q(z|other) - log q(z|h) at the draw z(h, ε), in nats.
	LogProbRatio(other, h, eps []float32) float64
}

// PairDensity is a family whose density is known at any code, not at its own draws alone:
// what a mixture of its members needs, and the aggregate (1/N) Σ_n q(z|x_n).
type PairDensity interface {
	// LogProbs adds log q(z_r|h_k) of every code r and every member k to a graph: z is
	// [R, Z], h [K, H], the result [R, K], in nats.
	LogProbs(b *graph.Builder, z, h graph.Node) graph.Node
}

// MemberDensity is a family whose members need no graph.
type MemberDensity interface {
	// LogDensity returns log q(z|h), in nats, of a code z, [Z], under a member h, [H], and
	// leaves its gradient with respect to z in slope, [Z], unless that is nil.
	LogDensity(h []float32, z, slope []float64) float64
	// DrawMember fills z, [Z], with a draw from the member h, [H].
	DrawMember(z []float64, h []float32, noise Noise)
	// MassOutside bounds P(|z_j| > reach for some j) of a draw from the member h, [H].
	MassOutside(h []float32, reach float64) float64
}

// Scaled is a family whose members have coordinates u, as many as h, in which a step is as
// long as the posterior that a search begins with, from, is wide.
type Scaled interface {
	Origin(u, from []float32)    // u is where from is
	At(h, u, from []float32)     // h is the member at u
	Pull(du, dh, from []float32) // the gradient with respect to u, from that with respect to h
}

// Q is an amortised posterior: q(z|x) = Posterior(z|Encoder(x)).
type Q struct {
	Encoder   Network
	Posterior Posterior
}

// Drawn are draws of z in a graph, with what a bound needs of them.
type Drawn struct {
	Z graph.Node // [B·S, Z]

	b        *graph.Builder
	joint    *Joint
	q        Posterior
	h, eps   graph.Node
	logQ     func() graph.Node
	logP     func() graph.Node
	ratio    *graph.Node // log p - log q as a difference, once it is asked for
	perImage int         // S
}

// Draw adds draws from a posterior to a graph: h is [B, H], eps [B·S, E].
func (j *Joint) Draw(b *graph.Builder, q Posterior, h, eps graph.Node) *Drawn {
	d := &Drawn{b: b, joint: j, q: q, h: h, eps: eps, perImage: eps.Rows() / max(1, h.Rows())}
	d.Z, d.logQ = q.Draw(b, h, eps)
	d.logP = func() graph.Node { return j.Prior.LogProb(b, d.Z) }
	return d
}

// LogRatio adds log p(z) - log q(z|h) of each draw, [B·S], in nats: the part of an
// importance weight that knows no pixels.
func (d *Drawn) LogRatio() graph.Node {
	if closed, ok := d.q.(ClosedRatio); ok {
		if ratio, ok := closed.LogRatio(d.b, d.h, d.eps, d.Z, d.joint.Prior); ok {
			return ratio
		}
	}
	return d.difference()
}

// KL adds KL(q(z|h) ‖ p(z)) of each image, [B], in nats: in closed form, or else as the
// mean of log q - log p over the draws.
func (d *Drawn) KL() graph.Node {
	if closed, ok := d.q.(ClosedKL); ok {
		if kl, ok := closed.KL(d.b, d.h, d.joint.Prior); ok {
			return kl
		}
	}
	return d.b.Neg(d.b.SampleMean(d.difference(), d.perImage))
}

// difference is log p(z) - log q(z|h), [B·S], in the graph once.
func (d *Drawn) difference() graph.Node {
	if d.ratio == nil {
		ratio := d.b.Sub(d.logP(), d.logQ())
		d.ratio = &ratio
	}
	return *d.ratio
}
