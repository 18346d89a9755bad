package model

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"elbo/graph"
)

// Network maps the rows of a matrix to rows: an encoder, a decoder. [graph.MLP] is one,
// [graph.Gated], and [Sequence].
type Network interface {
	// Params returns the parameters. The slice is new, the parameters are not.
	Params() []*graph.Param
	// Apply adds the network to a graph: x is [R, in], the result [R, out].
	Apply(b *graph.Builder, x graph.Node) graph.Node
}

var (
	_ Network = (*graph.MLP)(nil)
	_ Network = (*graph.Gated)(nil)
	_ Network = (*Sequence)(nil)
)

// NetworkName is the kind of a network's layers, by its name in flags and files.
type NetworkName string

// The kinds of layers.
const (
	Dense NetworkName = "dense" // f(W x + b), see graph.MLP
	Gated NetworkName = "gated" // (W x + b) ⊙ σ(V x + c), see graph.Gated

	Conv     NetworkName = "conv"     // convolutions, and dense layers between them and the code, see Sequence
	Residual NetworkName = "residual" // the same with residual blocks at each resolution
)

// Networks lists them all.
var Networks = []NetworkName{Dense, Gated, Conv, Residual}

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

// architecture is that of the encoder and the decoder of a model.
type architecture struct {
	pixels, latent int
	hidden         []int
	network        NetworkName
	activation     graph.Activation
	conv           ConvConfig
}

func (c VAEConfig) architecture() architecture {
	a := architecture{c.Pixels, c.Latent, c.Hidden, c.Network, c.Activation, c.Conv}
	if c.Layers.Several() {
		a.latent = c.Layers.Latent[0]
	}
	return a
}

// newDecoder returns the decoder of a VAE. Of several stochastic layers it reads the lowest.
func (c VAEConfig) newDecoder(out int, init Init) Network {
	decoder := c.architecture().decoder(out, init)
	if c.Layers.Several() {
		return LowestLayer{decoder, c.Layers.Latent[0]}
	}
	return decoder
}

// check adds the faults of convolutions, and whether images have the shape that they expect.
func (a architecture) check(f *faults) {
	if !a.network.Convolutional() {
		return
	}
	f.add(a.conv.Image != (MapShape{}) && a.conv.Image.Size() != a.pixels, "images are %v, but have %d pixels", a.conv.Image, a.pixels)
	if err := a.conv.Validate(a.network); err != nil {
		*f = append(*f, err)
	}
}

// known fails where the convolutions of a network have not been told the shape of an image.
func (a architecture) known() error {
	if a.network.Convolutional() && a.conv.Image == (MapShape{}) {
		return fmt.Errorf("network is %s, and the shape of an image is not given", a.network)
	}
	return nil
}

// encoder returns the encoder of images, with out numbers an image.
func (a architecture) encoder(out int, init Init) Network {
	if a.network.Convolutional() {
		return a.conv.of(a.network).planEncoder(a.hidden, out, a.activation).made(init)
	}
	return newNetwork(a.network, EncoderPart, slices.Concat([]int{a.pixels}, a.hidden, []int{out}), a.activation, init)
}

// decoder returns the decoder of latent codes, with out numbers a code: it has the encoder's
// layers in reverse.
func (a architecture) decoder(out int, init Init) Network {
	if a.network.Convolutional() {
		return a.conv.of(a.network).planDecoder(a.latent, a.hidden, out, a.activation).made(init)
	}
	return newNetwork(a.network, DecoderPart, slices.Concat([]int{a.latent}, reversed(a.hidden), []int{out}), a.activation, init)
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
