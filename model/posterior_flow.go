package model

import (
	"fmt"

	"elbo/graph"
	"elbo/graph/elementary"
)

// FlowPosterior is the family of the images of diagonal Gaussians under a flow:
//
//	z₀ = μ + σ ε,  z = f(z₀; c),  log q(z|h) = log N(z₀; μ, diag σ²) - log |det ∂f/∂z₀|
//
// with h = [μ | log σ² | c]: the context c, as many numbers as the nets have units, enters
// every net, so that the shape of q differs from image to image. (A flow that knew no image
// would give all of them one other set of coordinates, which a decoder can undo.) The
// parameters of f are the encoder's: their names begin with "encoder.flow.".
//
// Its mean and variances have no closed form: the code of an image is z at ε = 0. The
// divergence from the prior has none either: it is a mean over draws.
//
// Sources: Rezende and Mohamed 2015; Kingma et al. 2016.
type FlowPosterior struct {
	latent, context int // Z, C
	flow            *flow
}

var (
	_ Posterior   = (*FlowPosterior)(nil)
	_ MemberRatio = (*FlowPosterior)(nil)
	_ Scaled      = (*FlowPosterior)(nil)
)

func newFlowPosterior(latent int, c FlowConfig, init Init) Posterior {
	c = c.withDefaults()
	q := &FlowPosterior{latent: latent, context: c.Hidden, flow: newFlow(c, string(EncoderPart)+".flow", latent, c.Hidden, init)}
	if c.Name == CouplingFlow {
		return CouplingPosterior{q}
	}
	return q
}

// CouplingPosterior is a FlowPosterior of couplings: its density is known at any z, at the
// cost of a draw.
type CouplingPosterior struct{ *FlowPosterior }

var (
	_ Evaluable   = CouplingPosterior{}
	_ PairDensity = CouplingPosterior{}
)

// LogProb adds log N(z₀; μ, diag σ²) - log |det ∂f/∂z₀|, z₀ = f⁻¹(z; c).
func (q CouplingPosterior) LogProb(b *graph.Builder, h, z graph.Node) graph.Node {
	base, context := q.parts(b, h, z.Rows())
	z0, logDet := q.flow.inverse(b, z, &context)
	return b.Sub(b.LogNormal(base, z0), logDet)
}

// LogProbs adds the same of every code under every member.
func (q CouplingPosterior) LogProbs(b *graph.Builder, z, h graph.Node) graph.Node {
	members := h.Rows()
	return b.Rows(q.LogProb(b, b.Tile(h, z.Rows()), b.Repeat(z, members)), members)
}

func (q *FlowPosterior) String() string {
	return fmt.Sprintf("flow of %d %s layers", len(q.flow.layers), q.flow.name)
}

// Sizes returns 2Z + C and Z.
func (q *FlowPosterior) Sizes() (h, eps int) { return 2*q.latent + q.context, q.latent }

// Params returns those of the flow's nets.
func (q *FlowPosterior) Params() []*graph.Param { return q.flow.Params() }

// Draw adds z = f(μ + σ ε; c).
func (q *FlowPosterior) Draw(b *graph.Builder, h, eps graph.Node) (graph.Node, func() graph.Node) {
	base, context := q.parts(b, h, eps.Rows())
	z, logDet := q.flow.forward(b, b.Reparameterise(base, eps), &context)
	return z, func() graph.Node { return b.Sub(b.LogDiagonalNormal(base, eps), logDet) }
}

// parts adds [μ | log σ²], [B, 2Z], and the context of each of so many rows.
func (q *FlowPosterior) parts(b *graph.Builder, h graph.Node, rows int) (base, context graph.Node) {
	base = b.Columns(h, span(0, 2*q.latent))
	context = b.Repeat(b.Columns(h, span(2*q.latent, 2*q.latent+q.context)), rows/max(1, h.Rows()))
	return base, context
}

// span returns lo, .., hi-1.
func span(lo, hi int) []int {
	columns := make([]int, hi-lo)
	for i := range columns {
		columns[i] = lo + i
	}
	return columns
}

// split cuts h, [H], into its parts.
func (q *FlowPosterior) split(h []float32) (mu, logVar, context []float32) {
	return h[:q.latent], h[q.latent : 2*q.latent], h[2*q.latent:]
}

// LogProbRatio is log q(z|other) - log q(z|h) at the draw z(h, ε), in float64.
func (q *FlowPosterior) LogProbRatio(other, h, eps []float32) float64 {
	mu, logVar, context := q.split(h)
	z, ratio := make([]float64, q.latent), 0.0
	for j, e := range eps {
		z[j] = float64(mu[j]) + float64(elementary.Exp(float64(logVar[j])/2)*float64(e))
		ratio += float64((float64(float64(e)*float64(e)) + float64(logVar[j])) / 2)
	}
	ratio += q.flow.push(z, context)
	mu, logVar, context = q.split(other)
	ratio -= q.flow.pull(z, context)
	for j, v := range z {
		d := v - float64(mu[j])
		ratio -= float64((float64(d*d*elementary.Exp(-float64(logVar[j]))) + float64(logVar[j])) / 2)
	}
	return ratio
}

// The coordinates of a search are those of the base's Gaussian, and the context as it is.

// Origin sets u to [0 | log σ² | c].
func (q *FlowPosterior) Origin(u, from []float32) {
	DiagonalGaussian{q.latent}.Origin(u[:2*q.latent], from)
	copy(u[2*q.latent:], from[2*q.latent:])
}

// At sets h to the member at u.
func (q *FlowPosterior) At(h, u, from []float32) {
	DiagonalGaussian{q.latent}.At(h, u[:2*q.latent], from)
	copy(h[2*q.latent:], u[2*q.latent:])
}

// Pull sets du to the gradient with respect to u, from that with respect to h.
func (q *FlowPosterior) Pull(du, dh, from []float32) {
	DiagonalGaussian{q.latent}.Pull(du[:2*q.latent], dh, from)
	copy(du[2*q.latent:], dh[2*q.latent:])
}

// IsFlow reports whether a family is that of a flow.
func IsFlow(q Posterior) bool {
	_, ok := q.(interface{ isFlow() })
	return ok
}

func (*FlowPosterior) isFlow() {}
