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

// Init returns the source of a parameter's first values, by its name.
type Init func(param string) graph.Uniform

// newEncoder returns the dense encoder of images of the given number of pixels, with out
// numbers an image.
func newEncoder(pixels int, hidden []int, out int, f graph.Activation, init Init) Network {
	return graph.NewMLP(string(EncoderPart), slices.Concat([]int{pixels}, hidden, []int{out}), f, init)
}

// newDecoder returns the dense decoder of latent codes that has an encoder's hidden layers
// in reverse, with out numbers a code.
func newDecoder(latent int, hidden []int, out int, f graph.Activation, init Init) Network {
	up := slices.Clone(hidden)
	slices.Reverse(up)
	return graph.NewMLP(string(DecoderPart), slices.Concat([]int{latent}, up, []int{out}), f, init)
}
