package model

import (
	"fmt"

	"elbo/graph"
	"elbo/graph/elementary"
)

// FlowName is the kind of a flow's layers, by its name in flags and files.
type FlowName string

// The kinds of layers. Each maps z to z' by scales and shifts that a net makes of some of
// z, and of a context c that is not mapped:
//
//	z'_j = z_j exp(s_j) + t_j,  s_j = 2 tanh(a_j/2),  log |det ∂z'/∂z| = Σ_j s_j
const (
	// CouplingFlow moves every other dimension by a net of the rest, the two halves in turns:
	// both ways cost the same (Dinh, Sohl-Dickstein, Bengio 2017).
	CouplingFlow FlowName = "coupling"
	// AutoregressiveFlow moves each dimension by a net of those before it, in the order of the
	// dimensions and in the reverse order in turns; back is one dimension after the other
	// (Kingma et al. 2016, with the masks of Germain et al. 2015).
	AutoregressiveFlow FlowName = "autoregressive"
)

// Flows lists them all.
var Flows = []FlowName{CouplingFlow, AutoregressiveFlow}

// ParseFlow returns the kind of that name.
func ParseFlow(name string) (FlowName, error) { return oneOf("flow", name, Flows) }

// FlowConfig is the sizes of a flow. The zero value stands for the defaults.
type FlowConfig struct {
	Name   FlowName // "": coupling
	Layers int      // 0: 4
	Hidden int      // units of each layer's net, and numbers of a posterior's context; 0: 64
}

// The sizes of a flow where none are given.
const (
	DefaultFlowLayers = 4
	DefaultFlowHidden = 64
)

// withDefaults replaces what is 0.
func (c FlowConfig) withDefaults() FlowConfig {
	if c.Name == "" {
		c.Name = CouplingFlow
	}
	if c.Layers == 0 {
		c.Layers = DefaultFlowLayers
	}
	if c.Hidden == 0 {
		c.Hidden = DefaultFlowHidden
	}
	return c
}

// check adds every fault, of a flow over the given number of dimensions.
func (c FlowConfig) check(latent int, f *faults) {
	c = c.withDefaults()
	_, err := ParseFlow(string(c.Name))
	f.add(err != nil, "%w", err)
	f.add(c.Layers < 1, "flow-layers is %d, want at least 1", c.Layers)
	f.add(c.Hidden < 1, "flow-hidden is %d, want at least 1", c.Hidden)
	f.add(latent == 1, "latent is 1, and a flow moves dimensions by each other: want at least 2")
}

// checkFlow adds every fault of the flows of a VAE.
func (c VAEConfig) checkFlow(f *faults) {
	posterior, prior := c.Posterior.Name == FlowedPosterior, c.Prior.Name == FlowedPrior
	if posterior || prior {
		c.Flow.check(c.Latent, f)
	}
	own, usual := c.Flow.withDefaults(), FlowConfig{}.withDefaults()
	f.add(own.Name != usual.Name && !posterior, "flow is %s, but posterior is no flow, and a prior's flow is always of couplings: want posterior flow", own.Name)
	f.add(own.Layers != usual.Layers && !posterior && !prior, "flow-layers is %d, but neither posterior nor prior is a flow: want posterior flow, or prior flow", own.Layers)
	f.add(own.Hidden != usual.Hidden && !posterior && !prior, "flow-hidden is %d, but neither posterior nor prior is a flow: want posterior flow, or prior flow", own.Hidden)
}

// flow is a map of Z numbers to Z, given C numbers of context. It begins as the identity.
type flow struct {
	name   FlowName
	dims   int // Z
	layers []flowLayer
}

// flowLayer maps the columns moved by a net of the columns kept and of the context.
type flowLayer struct {
	kept, moved []int
	net         *flowNet
}

// newFlow returns a flow whose parameters are named after part. It has at least two
// dimensions.
func newFlow(c FlowConfig, part string, dims, context int, init Init) *flow {
	c = c.withDefaults()
	f := &flow{name: c.Name, dims: dims}
	for i := range c.Layers {
		l := flowLayer{}
		name := fmt.Sprintf("%s.%d.net", part, i)
		if c.Name == AutoregressiveFlow {
			for j := range dims {
				if i%2 == 1 {
					j = dims - 1 - j
				}
				l.kept = append(l.kept, j) // in the order in which they know each other
			}
			l.moved = l.kept
			l.net = newFlowNet(name, dims, context, c.Hidden, dims, init)
			l.net.degrees()
		} else {
			for j := range dims {
				if j%2 == i%2 {
					l.moved = append(l.moved, j)
				} else {
					l.kept = append(l.kept, j)
				}
			}
			l.net = newFlowNet(name, len(l.kept), context, c.Hidden, len(l.moved), init)
		}
		f.layers = append(f.layers, l)
	}
	return f
}

func (f *flow) Params() []*graph.Param {
	var params []*graph.Param
	for _, l := range f.layers {
		params = append(params, l.net.params()...)
	}
	return params
}

// forward adds z' and log |det ∂z'/∂z|, [R], for z, [R, Z], and a context, [R, C], or none.
func (f *flow) forward(b *graph.Builder, z graph.Node, context *graph.Node) (moved, logDet graph.Node) {
	for i, l := range f.layers {
		net := l.net.apply(b, b.Columns(z, l.kept), context)
		z = b.Stretch(z, net, l.moved)
		if i == 0 {
			logDet = b.LogStretch(net)
		} else {
			logDet = b.Add(logDet, b.LogStretch(net))
		}
	}
	return z, logDet
}

// inverse adds z and log |det ∂z'/∂z|, [R], for z', [R, Z], of couplings.
func (f *flow) inverse(b *graph.Builder, z graph.Node, context *graph.Node) (back, logDet graph.Node) {
	for i := len(f.layers) - 1; i >= 0; i-- {
		l := f.layers[i]
		net := l.net.apply(b, b.Columns(z, l.kept), context)
		z = b.Unstretch(z, net, l.moved)
		if i == len(f.layers)-1 {
			logDet = b.LogStretch(net)
		} else {
			logDet = b.Add(logDet, b.LogStretch(net))
		}
	}
	return z, logDet
}

// push replaces z, [Z], by z', and returns log |det ∂z'/∂z|, in float64.
func (f *flow) push(z []float64, context []float32) float64 {
	logDet := 0.0
	for _, l := range f.layers {
		n := l.net
		out := n.run(l.kept, z, context)
		for k, j := range l.moved {
			s := logScale(out[k])
			z[j] = float64(z[j]*elementary.Exp(s)) + out[n.out+k]
			logDet += s
		}
	}
	return logDet
}

// pull replaces z', [Z], by z, and returns log |det ∂z'/∂z|, in float64.
func (f *flow) pull(z []float64, context []float32) float64 {
	logDet := 0.0
	for i := len(f.layers) - 1; i >= 0; i-- {
		l := f.layers[i]
		if f.name == AutoregressiveFlow {
			logDet += l.back(z, context)
			continue
		}
		out := l.net.run(l.kept, z, context)
		for k, j := range l.moved {
			s := logScale(out[k])
			z[j] = (z[j] - out[l.net.out+k]) * elementary.Exp(-s)
			logDet += s
		}
	}
	return logDet
}

// logScale is s = 2 tanh(a/2).
func logScale(a float64) float64 { return float64(2 * elementary.Tanh(a/2)) }

// back replaces z' by z for an autoregressive layer, one dimension after the other, and
// returns Σ s. Each hidden unit is complete once the dimensions that it knows are.
func (l flowLayer) back(z []float64, context []float32) float64 {
	n, logDet := l.net, 0.0
	a := n.contextUnits(context)
	unit := make([]float64, n.hidden)
	for order, j := range l.moved { // the dimension that is solved for
		out, shift := float64(n.b2.Value[order]), float64(n.b2.Value[n.out+order])
		w, v := n.w2.Value[order*n.hidden:][:n.hidden], n.w2.Value[(n.out+order)*n.hidden:][:n.hidden]
		for k := range unit {
			switch degree := n.degree(k); {
			case degree > order:
				continue
			case degree == order:
				unit[k] = elementary.Tanh(a[k])
			}
			out += float64(float64(w[k]) * unit[k])
			shift += float64(float64(v[k]) * unit[k])
		}
		s := logScale(out)
		z[j] = (z[j] - shift) * elementary.Exp(-s)
		logDet += s
		for k := range a {
			if n.degree(k) > order {
				a[k] += float64(float64(n.w1.Value[k*n.width()+order]) * z[j])
			}
		}
	}
	return logDet
}

// flowNet is a net of one hidden layer, tanh, whose outputs are [a | t] of the columns that a
// layer moves; its input is [kept | context]. The hyperbolic tangent keeps the map smooth.
// The last layer begins with zeros.
type flowNet struct {
	in, context, hidden, out int // of kept columns, of context, of units, and half of the outputs
	w1, b1, w2, b2           *graph.Param
	mask1, mask2             []float32 // of an autoregressive layer; else nil
}

func newFlowNet(name string, in, context, hidden, out int, init Init) *flowNet {
	mlp := graph.NewMLP(name, []int{in + context, hidden, 2 * out}, graph.Tanh, init)
	p := mlp.Params()
	n := &flowNet{in: in, context: context, hidden: hidden, out: out, w1: p[0], b1: p[1], w2: p[2], b2: p[3]}
	clear(n.w2.Value)
	clear(n.b2.Value)
	return n
}

func (n *flowNet) params() []*graph.Param { return []*graph.Param{n.w1, n.b1, n.w2, n.b2} }
func (n *flowNet) width() int             { return n.in + n.context }

// degree is how many of the kept columns, in their order, hidden unit k of an autoregressive
// layer knows: from 0, those that know the context alone, to Z - 1.
func (n *flowNet) degree(k int) int { return k % n.in }

// degrees sets the masks of an autoregressive layer: output j knows the units that know no
// more than the columns before j.
func (n *flowNet) degrees() {
	n.mask1, n.mask2 = make([]float32, n.hidden*n.width()), make([]float32, 2*n.out*n.hidden)
	for k := range n.hidden {
		for j := range n.width() {
			if j < n.degree(k) || j >= n.in {
				n.mask1[k*n.width()+j] = 1
			}
		}
		for j := range 2 * n.out {
			if n.degree(k) <= j%n.out {
				n.mask2[j*n.hidden+k] = 1
			}
		}
	}
}

// apply adds [a | t], [R, 2n], for the kept columns, [R, in], and the context, [R, C].
func (n *flowNet) apply(b *graph.Builder, kept graph.Node, context *graph.Node) graph.Node {
	x := kept
	if context != nil {
		x = b.Join(kept, *context)
	}
	w1, w2 := b.Param(n.w1), b.Param(n.w2)
	if n.mask1 != nil {
		w1, w2 = b.Mask(w1, n.mask1), b.Mask(w2, n.mask2)
	}
	return b.Affine(b.Affine(x, w1, b.Param(n.b1), graph.Tanh), w2, b.Param(n.b2), graph.Identity)
}

// run is apply for one row in float64, of columns of z.
func (n *flowNet) run(kept []int, z []float64, context []float32) []float64 {
	units := n.contextUnits(context)
	for k := range units {
		row := n.w1.Value[k*n.width():]
		for i, j := range kept {
			if n.mask1 == nil || i < n.degree(k) {
				units[k] += float64(float64(row[i]) * z[j])
			}
		}
		units[k] = elementary.Tanh(units[k])
	}
	out := make([]float64, 2*n.out)
	for j := range out {
		out[j] = float64(n.b2.Value[j])
		for k, w := range n.w2.Value[j*n.hidden:][:n.hidden] {
			if n.mask2 == nil || n.degree(k) <= j%n.out {
				out[j] += float64(float64(w) * units[k])
			}
		}
	}
	return out
}

// contextUnits is what the hidden units, before tanh, have of the bias and the context.
func (n *flowNet) contextUnits(context []float32) []float64 {
	units := make([]float64, n.hidden)
	for k := range units {
		units[k] = float64(n.b1.Value[k])
		for i, w := range n.w1.Value[k*n.width()+n.in:][:n.context] {
			units[k] += float64(float64(w) * float64(context[i]))
		}
	}
	return units
}
