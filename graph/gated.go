package graph

// Gated is a chain of gated linear layers, and an affine one after them:
//
//	y = (x Wᵀ + b) ⊙ σ(x Vᵀ + c)
//
// A layer has one weight, W above V, and one bias, [b | c], so that its two products are one.
//
// Source: Dauphin, Fan, Auli, Grangier 2017; in a VAE, Tomczak and Welling 2018.
type Gated struct{ affines }

// NewGated returns a network of the given layer sizes, first the input's, last the output's.
// Its parameters are called as in torch.nn.Sequential(Linear, GLU, Linear, ...):
// "<name>.0.weight", [2 out, in], "<name>.0.bias", [2 out], "<name>.2.weight" and so on; the
// last layer's are [out, in] and [out]. They are drawn as those of [NewMLP].
func NewGated(name string, sizes []int, init func(param string) Uniform) *Gated {
	g := &Gated{}
	last := len(sizes) - 2
	for i := range len(sizes) - 1 {
		out := 2 * sizes[i+1]
		if i == last {
			out = sizes[i+1]
		}
		g.add(name, sizes[i], out, init)
	}
	return g
}

// Apply adds the network to a graph: x is [B, in], the result [B, out].
func (g *Gated) Apply(b *Builder, x Node) Node {
	for i := range g.weights {
		x = b.Affine(x, b.Param(g.weights[i]), b.Param(g.biases[i]), Identity)
		if i < len(g.weights)-1 {
			x = b.Gate(x)
		}
	}
	return x
}
