package model

import (
	"cmp"
	"errors"
	"slices"

	"elbo/graph"
)

// Network maps the rows of a matrix to rows: an encoder, a decoder. [graph.MLP] is one, and
// [graph.Gated].
type Network interface {
	// Params returns the parameters. The slice is new, the parameters are not.
	Params() []*graph.Param
	// Apply adds the network to a graph: x is [R, in], the result [R, out].
	Apply(b *graph.Builder, x graph.Node) graph.Node
}

var (
	_ Network = (*graph.MLP)(nil)
	_ Network = (*graph.Gated)(nil)
)

// NetworkName is the kind of a network's layers, by its name in flags and files.
type NetworkName string

// The kinds of layers.
const (
	Dense NetworkName = "dense" // f(W x + b), see graph.MLP
	Gated NetworkName = "gated" // (W x + b) ⊙ σ(V x + c), see graph.Gated
)

// Networks lists them all.
var Networks = []NetworkName{Dense, Gated}

// ParseNetwork returns the kind of that name.
func ParseNetwork(name string) (NetworkName, error) { return oneOf("network", name, Networks) }

// ValidateLayers returns every fault of a kind of layers, "" for dense, and the activation of
// dense ones. Gated layers have none: any but the default would be without effect.
func ValidateLayers(name NetworkName, activation graph.Activation) error {
	var f faults
	_, err := ParseNetwork(string(cmp.Or(name, Dense)))
	f.add(err != nil, "%w", err)
	_, err = graph.ParseActivation(string(activation))
	f.add(err != nil, "activation: %w", err)
	f.add(err == nil && name == Gated && activation != graph.ReLU, "activation is %s, but network is gated, whose units have a gate in its place: leave activation out, or want network dense", activation)
	return errors.Join(f...)
}

// Init returns the source of a parameter's first values, by its name.
type Init func(param string) graph.Uniform

// newEncoder returns the encoder of a VAE for images, with out numbers an image.
func (c VAEConfig) newEncoder(out int, init Init) Network {
	return newNetwork(c.Network, EncoderPart, slices.Concat([]int{c.Pixels}, c.Hidden, []int{out}), c.Activation, init)
}

// newDecoder returns the decoder of a VAE for latent codes, with out numbers a code: it has
// the encoder's hidden layers in reverse. Of several stochastic layers it reads the lowest.
func (c VAEConfig) newDecoder(out int, init Init) Network {
	if c.Layers.Several() {
		lowest := c.Layers.Latent[0]
		return LowestLayer{newNetwork(c.Network, DecoderPart, slices.Concat([]int{lowest}, reversed(c.Hidden), []int{out}), c.Activation, init), lowest}
	}
	return newNetwork(c.Network, DecoderPart, slices.Concat([]int{c.Latent}, reversed(c.Hidden), []int{out}), c.Activation, init)
}

// newNetwork returns a network whose layers have the given sizes, first the input's, last
// the output's. Its parameters are named after the part. The activation is that of dense
// layers; "" are dense.
func newNetwork(name NetworkName, part Part, sizes []int, f graph.Activation, init Init) Network {
	if name == Gated {
		return graph.NewGated(string(part), sizes, init)
	}
	return graph.NewMLP(string(part), sizes, f, init)
}

func reversed(hidden []int) []int {
	up := slices.Clone(hidden)
	slices.Reverse(up)
	return up
}
