package graph

import (
	"fmt"
	"math"
)

// Uniform is a source of numbers in [0, 1).
type Uniform interface{ Float64() float64 }

// MLP is a chain of affine layers with an activation between each two of them,
// and none after the last.
type MLP struct {
	Activation Activation
	affines
}

// NewMLP returns a network of the given layer sizes, first the input's, last the
// output's. Its parameters are called as in
// torch.nn.Sequential(Linear, f, Linear, ...): "<name>.0.weight", "<name>.0.bias",
// "<name>.2.weight" and so on. Weights and biases of a layer are drawn from
// U(-a, a), a = 1/√in, PyTorch's default for Linear; init returns the source for a
// parameter of a given name.
func NewMLP(name string, sizes []int, f Activation, init func(param string) Uniform) *MLP {
	m := &MLP{Activation: f}
	for i := range len(sizes) - 1 {
		m.add(name, sizes[i], sizes[i+1], init)
	}
	return m
}

// Apply adds the network to a graph: x is [B, in], the result [B, out].
func (m *MLP) Apply(b *Builder, x Node) Node {
	for i := range m.weights {
		f := m.Activation
		if i == len(m.weights)-1 {
			f = Identity
		}
		x = b.Affine(x, b.Param(m.weights[i]), b.Param(m.biases[i]), f)
	}
	return x
}

// affines are the weights and biases of affine layers that follow one another.
type affines struct {
	weights []*Param // [out, in]
	biases  []*Param // [out]
}

// add appends a layer and draws its parameters.
func (l *affines) add(name string, in, out int, init func(param string) Uniform) {
	name = fmt.Sprintf("%s.%d", name, 2*len(l.weights))
	w, bias := NewParam(name+".weight", out, in), NewParam(name+".bias", out)
	for _, p := range []*Param{w, bias} {
		source := init(p.Name)
		for j := range p.Value {
			p.Value[j] = float32((2*source.Float64() - 1) / math.Sqrt(float64(in)))
		}
	}
	l.weights, l.biases = append(l.weights, w), append(l.biases, bias)
}

// Params returns the parameters, layer by layer, weight before bias.
func (l *affines) Params() []*Param {
	var params []*Param
	for i := range l.weights {
		params = append(params, l.weights[i], l.biases[i])
	}
	return params
}

// OutputBias returns the bias of the last layer.
func (l *affines) OutputBias() *Param { return l.biases[len(l.biases)-1] }
