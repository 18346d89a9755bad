package model

import (
	"fmt"

	"elbo/graph"
)

// FlowPrior is the image of N(0, I) under a stack of affine couplings:
//
//	z = f(u), u ~ N(0, I),  log p(z) = log N(f⁻¹(z); 0, I) - log |det ∂f/∂u|
//
// It begins as N(0, I). Its parameters have names that begin with "prior.flow.".
//
// Source: Dinh, Sohl-Dickstein, Bengio 2017; as a prior Huang et al. 2017.
type FlowPrior struct{ flow *flow }

var (
	_ Prior       = (*FlowPrior)(nil)
	_ Pushforward = (*FlowPrior)(nil)
)

func newFlowPrior(latent int, c FlowConfig, init Init) *FlowPrior {
	c.Name = CouplingFlow // the only one that costs the same both ways
	return &FlowPrior{flow: newFlow(c, "prior.flow", latent, 0, init)}
}

func (p *FlowPrior) String() string {
	return fmt.Sprintf("flow of %d coupling layers", len(p.flow.layers))
}

// Params returns those of the flow's nets.
func (p *FlowPrior) Params() []*graph.Param { return p.flow.Params() }

// LogProb adds log N(f⁻¹(z); 0, I) - log |det ∂f/∂u|.
func (p *FlowPrior) LogProb(b *graph.Builder, z graph.Node) graph.Node {
	u, logDet := p.flow.inverse(b, z, nil)
	return b.Sub(b.LogStdNormal(u), logDet)
}

// Push adds f(u).
func (p *FlowPrior) Push(b *graph.Builder, u graph.Node) graph.Node {
	z, _ := p.flow.forward(b, u, nil)
	return z
}

// Draw fills z with f(u) for a draw u, in float64.
func (p *FlowPrior) Draw(z []float64, noise Noise) {
	StandardNormal{}.Draw(z, noise)
	p.flow.push(z, nil)
}
