package model

import (
	"slices"

	"elbo/graph"
)

// Network maps the rows of a matrix to rows: an encoder, a decoder. [graph.MLP] is one.
type Network interface {
	// Params returns the parameters. The slice is new, the parameters are not.
	Params() []*graph.Param
	// Apply adds the network to a graph: x is [R, in], the result [R, out].
	Apply(b *graph.Builder, x graph.Node) graph.Node
}

var _ Network = (*graph.MLP)(nil)

// NetworkName is the kind of a network's layers, by its name in flags and files.
type NetworkName string

// The kinds of layers.
const (
	Dense NetworkName = "dense" // f(W x + b), see graph.MLP
)

// Networks lists them all.
var Networks = []NetworkName{Dense}

// ParseNetwork returns the kind of that name.
func ParseNetwork(name string) (NetworkName, error) { return oneOf("network", name, Networks) }

// Init returns the source of a parameter's first values, by its name.
type Init func(param string) graph.Uniform

// newEncoder returns the encoder of a VAE for images, with out numbers an image.
func (c VAEConfig) newEncoder(out int, init Init) Network {
	return newNetwork(c.Network, EncoderPart, slices.Concat([]int{c.Pixels}, c.Hidden, []int{out}), c.Activation, init)
}

// newDecoder returns the decoder of a VAE for latent codes, with out numbers a code: it has
// the encoder's hidden layers in reverse.
func (c VAEConfig) newDecoder(out int, init Init) Network {
	return newNetwork(c.Network, DecoderPart, slices.Concat([]int{c.Latent}, reversed(c.Hidden), []int{out}), c.Activation, init)
}

// newNetwork returns a network whose layers have the given sizes, first the input's, last
// the output's. Its parameters are named after the part.
func newNetwork(_ NetworkName, part Part, sizes []int, f graph.Activation, init Init) Network {
	return graph.NewMLP(string(part), sizes, f, init)
}

func reversed(hidden []int) []int {
	up := slices.Clone(hidden)
	slices.Reverse(up)
	return up
}
