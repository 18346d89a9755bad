package model

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"elbo/graph"
)

// MapShape is the shape of an image or of a feature map, which are stored row by row from the
// top, in each the positions from the left, in each the channels.
type MapShape struct{ Rows, Cols, Channels int }

// Size is how many numbers it has.
func (s MapShape) Size() int { return s.Rows * s.Cols * s.Channels }

func (s MapShape) String() string {
	if s.Channels == 1 {
		return fmt.Sprintf("%d×%d", s.Rows, s.Cols)
	}
	return fmt.Sprintf("%d×%d×%d", s.Rows, s.Cols, s.Channels)
}

// ConvConfig is what a network of convolutions has to be told besides.
type ConvConfig struct {
	Image  MapShape // zero: not known yet
	Widths []int    // channels of the feature maps, the first next to the image
	Kernel int      // odd: it has a middle
	Stride int      // from one map to the next
	Blocks int      // residual blocks of a map, of Residual
}

// MaxKernel and MaxStride bound what is of use for small images.
const (
	MaxKernel = 31
	MaxStride = 8
)

// Convolutional reports whether the layers next to the images are convolutions.
func (n NetworkName) Convolutional() bool { return n == Conv || n == Residual }

// Validate returns every fault of the convolutions of a network; where the image is known, also
// those that depend on it.
func (c ConvConfig) Validate(network NetworkName) error {
	var f faults
	f.add(len(c.Widths) == 0, "conv-channels is empty: want the channels of at least one feature map, or network dense")
	for i, w := range c.Widths {
		f.add(w < 1, "conv-channels: map %d has %d channels, want at least 1", i+1, w)
	}
	f.add(c.Kernel < 1 || c.Kernel > MaxKernel || c.Kernel%2 == 0, "kernel is %d, want an odd number from 1 to %d", c.Kernel, MaxKernel)
	f.add(c.Stride < 1 || c.Stride > MaxStride, "stride is %d, want 1 to %d", c.Stride, MaxStride)
	f.add(network == Residual && c.Blocks < 1, "blocks is %d, want at least 1 residual block; without any, want network conv", c.Blocks)
	if len(f) > 0 || c.Image == (MapShape{}) {
		return errors.Join(f...)
	}
	if c.Image.Rows == 1 && c.Image.Cols == 1 {
		return fmt.Errorf("network is %s, but an image has one pixel: want network dense", network)
	}
	side := min(c.Image.Rows, c.Image.Cols)
	f.add(c.Kernel > side, "kernel is %d, but an image has %s pixels: want at most %d", c.Kernel, c.Image, side-1+side%2)
	at := c.Image
	for i := range c.Widths {
		if at.Rows == 1 && at.Cols == 1 && c.Stride > 1 {
			f.add(true, "conv-channels has %d maps, but with a stride of %d map %d has one position, of an image of %s pixels: want %[3]d or fewer, or a smaller stride", len(c.Widths), c.Stride, i, c.Image)
			break
		}
		at.Rows, at.Cols = (at.Rows+c.Stride-1)/c.Stride, (at.Cols+c.Stride-1)/c.Stride
	}
	return errors.Join(f...)
}

// shapes returns the convolutions, from the image on.
func (c ConvConfig) shapes() (all []graph.ConvShape) {
	at := c.Image
	for _, width := range c.Widths {
		s := graph.ConvShape{Rows: at.Rows, Cols: at.Cols, Fine: at.Channels, Coarse: width, Kernel: c.Kernel, Stride: c.Stride}
		all = append(all, s)
		at = coarse(s)
	}
	return all
}

// coarse is the map that a convolution gives.
func coarse(s graph.ConvShape) MapShape {
	rows, cols := s.CoarseMap()
	return MapShape{rows, cols, s.Coarse}
}

// ModuleKind is what a module of a Sequence does.
type ModuleKind int

// The kinds of modules, after those of torch.nn.
const (
	Linear          ModuleKind = iota // Linear(In, Out)
	Conv2d                            // Conv2d(Conv.Fine, Conv.Coarse, Conv.Kernel, stride, padding)
	ConvTranspose2d                   // ConvTranspose2d(Conv.Coarse, Conv.Fine, ...): back to the fine map
	Activate                          // ReLU and others
	Flatten                           // Flatten(): from a map to a row, channel after channel
	Unflatten                         // Unflatten(1, (channels, rows, cols))
	ResidualBlock                     // x + Inside(x)
)

// Module is a step of a Sequence.
type Module struct {
	Kind         ModuleKind
	Name         string          // of its parameters, and in messages: "encoder.3"
	In, Out      int             // numbers of an image before and after it
	Conv         graph.ConvShape // of Conv2d and ConvTranspose2d
	Map          MapShape        // of Flatten and Unflatten
	Activation   graph.Activation
	Inside       []Module // of ResidualBlock
	Weight, Bias *graph.Param
}

// Sequence is a network of modules that follow one another, as torch.nn.Sequential: dense layers
// and convolutions. Its parameters are called and shaped as PyTorch's would be,
// "encoder.0.weight"; for their first values see [Sequence.made].
//
//	encoder  Conv2d f Conv2d f ... Flatten  Linear f ... Linear
//	decoder  Linear f ... Linear  Unflatten f ConvTranspose2d f ... ConvTranspose2d
//
// Maps are stored with the channels of a position side by side, as images are. Where a map
// becomes a row of a dense layer it is channel after channel, as PyTorch has it.
type Sequence struct {
	Modules []Module
	part    Part
}

// plan is a Sequence whose parameters are not made yet.
func plan(part Part) *Sequence { return &Sequence{part: part} }

// add appends a module.
func (s *Sequence) add(m Module) {
	m.Name = fmt.Sprintf("%s.%d", s.part, len(s.Modules))
	for i := range m.Inside {
		m.Inside[i].Name = fmt.Sprintf("%s.%d", m.Name, i)
	}
	s.Modules = append(s.Modules, m)
}

func (s *Sequence) linear(in, out int) { s.add(Module{Kind: Linear, In: in, Out: out}) }

func (s *Sequence) activate(f graph.Activation, size int) {
	s.add(Module{Kind: Activate, Activation: f, In: size, Out: size})
}

// planEncoder returns the encoder of images, with out numbers an image.
func (c ConvConfig) planEncoder(hidden []int, out int, f graph.Activation) *Sequence {
	s := plan(EncoderPart)
	at := c.Image
	for _, shape := range c.shapes() {
		s.add(Module{Kind: Conv2d, Conv: shape, In: shape.FineSize(), Out: shape.CoarseSize()})
		at = coarse(shape)
		s.residual(at, c, f)
		s.activate(f, at.Size())
	}
	s.add(Module{Kind: Flatten, Map: at, In: at.Size(), Out: at.Size()})
	sizes := slices.Concat([]int{at.Size()}, hidden, []int{out})
	for i := range len(sizes) - 1 {
		if i > 0 {
			s.activate(f, sizes[i])
		}
		s.linear(sizes[i], sizes[i+1])
	}
	return s
}

// planDecoder returns the decoder of codes, with out numbers a code, which are those of the first
// position of an image, then of the second and so on: the encoder's maps and hidden layers in
// reverse.
func (c ConvConfig) planDecoder(latent int, hidden []int, out int, f graph.Activation) *Sequence {
	s := plan(DecoderPart)
	shapes := c.shapes()
	at := coarse(shapes[len(shapes)-1])
	sizes := slices.Concat([]int{latent}, reversed(hidden), []int{at.Size()})
	for i := range len(sizes) - 1 {
		if i > 0 {
			s.activate(f, sizes[i])
		}
		s.linear(sizes[i], sizes[i+1])
	}
	s.add(Module{Kind: Unflatten, Map: at, In: at.Size(), Out: at.Size()})
	shapes[0].Fine = out / (c.Image.Rows * c.Image.Cols)
	for _, shape := range slices.Backward(shapes) {
		at = coarse(shape)
		s.residual(at, c, f)
		s.activate(f, at.Size())
		s.add(Module{Kind: ConvTranspose2d, Conv: shape, In: shape.CoarseSize(), Out: shape.FineSize()})
	}
	return s
}

// made returns s with its first parameters. Weights are drawn from the sources that init
// returns for their names; biases are 0.
//
// A weight in front of an activation comes from U(-a, a), a² = 3g/n, where n is how many
// numbers a number of the output is a sum of, and g = 2 for ReLU, which keeps half of what
// comes in, 1 for others: what goes through the network then keeps its size from layer to
// layer, whatever their number. With PyTorch's first weights, a² = 1/n, it loses five sixths of its
// variance in every layer, and a network of two convolutions looks at one image as at the
// next for its first thousand steps. The last layer has a² = 1/n, so that outputs begin near 0,
// and the last convolution of a residual block begins at 0, and the block as the identity:
// tens of blocks train without normalisation.
//
// Source: He, Zhang, Ren, Sun 2015; Zhang, Dauphin, Ma 2019 (Fixup) for the blocks.
func (s *Sequence) made(init Init) *Sequence {
	makeParams(s.Modules, init, 1)
	return s
}

// makeParams makes the parameters of modules of which the last one with weights draws a² =
// last/n.
func makeParams(modules []Module, init Init, last float64) {
	gain := last
	for i := len(modules) - 1; i >= 0; i-- {
		m := &modules[i]
		if m.Kind == ResidualBlock {
			makeParams(m.Inside, init, 0)
		}
		if m.Kind == Activate {
			gain = 3
			if m.Activation == graph.ReLU {
				gain = 6
			}
		}
		weight, bias := m.shape()
		if weight == nil {
			continue
		}
		m.Weight, m.Bias = graph.NewParam(m.Name+".weight", weight...), graph.NewParam(m.Name+".bias", bias)
		source, a := init(m.Weight.Name), math.Sqrt(gain/m.summands())
		for j := range m.Weight.Value {
			m.Weight.Value[j] = float32(a * (2*source.Float64() - 1))
		}
	}
}

// summands is how many numbers a number of a layer's output is a sum of, away from the edges
// of a map.
func (m Module) summands() float64 {
	taps := float64(m.Conv.Kernel * m.Conv.Kernel)
	switch m.Kind {
	case Conv2d:
		return taps * float64(m.Conv.Fine)
	case ConvTranspose2d: // a patch of the coarse map begins at every stride-th position only
		return max(1, taps/float64(m.Conv.Stride*m.Conv.Stride)) * float64(m.Conv.Coarse)
	}
	return float64(m.In)
}

// shape returns the shape of the weight, nil for none, and the size of the bias.
func (m Module) shape() (weight []int, bias int) {
	switch m.Kind {
	case Linear:
		return []int{m.Out, m.In}, m.Out
	case Conv2d:
		return m.Conv.Weight(), m.Conv.Coarse
	case ConvTranspose2d:
		return m.Conv.Weight(), m.Conv.Fine
	}
	return nil, 0
}

// Params returns the parameters, module by module, weight before bias.
func (s *Sequence) Params() []*graph.Param { return moduleParams(s.Modules) }

func moduleParams(modules []Module) (params []*graph.Param) {
	for _, m := range modules {
		params = append(params, moduleParams(m.Inside)...)
		if m.Weight != nil {
			params = append(params, m.Weight, m.Bias)
		}
	}
	return params
}

// Apply adds the network to a graph: x is [R, in], the result [R, out].
func (s *Sequence) Apply(b *graph.Builder, x graph.Node) graph.Node { return apply(b, s.Modules, x) }

// apply adds modules to a graph. An activation behind a layer is part of its operation.
func apply(b *graph.Builder, modules []Module, x graph.Node) graph.Node {
	for i := 0; i < len(modules); i++ {
		m, f := modules[i], graph.Identity
		if m.Weight != nil && i+1 < len(modules) && modules[i+1].Kind == Activate {
			i++
			f = modules[i].Activation
		}
		switch m.Kind {
		case Linear:
			x = b.Affine(x, b.Param(m.Weight), b.Param(m.Bias), f)
		case Conv2d:
			x = b.Conv(x, b.Param(m.Weight), b.Param(m.Bias), m.Conv, f)
		case ConvTranspose2d:
			x = b.ConvTranspose(x, b.Param(m.Weight), b.Param(m.Bias), m.Conv, f)
		case Activate:
			x = b.Activate(x, m.Activation)
		case Flatten:
			x = b.Transpose(x, m.Map.Rows*m.Map.Cols, m.Map.Channels)
		case Unflatten:
			x = b.Transpose(x, m.Map.Channels, m.Map.Rows*m.Map.Cols)
		case ResidualBlock:
			x = b.Add(x, apply(b, m.Inside, x))
		}
	}
	return x
}

// Costs returns what encoder and decoder take for images of the known shape, with h numbers an
// image out of the encoder and outputs out of the decoder, of any activation.
func (c ConvConfig) Costs(network NetworkName, hidden []int, latent, h, outputs int) (encoder, decoder Cost) {
	c = c.of(network)
	return c.planEncoder(hidden, h, graph.ReLU).Cost(), c.planDecoder(latent, hidden, outputs, graph.ReLU).Cost()
}

// of is c with the residual blocks of a kind of network: none unless it has them.
func (c ConvConfig) of(network NetworkName) ConvConfig {
	if network != Residual {
		c.Blocks = 0
	}
	return c
}

// Cost is what a network takes.
type Cost struct {
	Units    float64 // numbers of all its values for an image, the input's among them
	Weights  float64 // parameters
	Products float64 // multiplications of a forward pass of an image
	First    float64 // of these, those of the first layer
}

// Cost returns what the network takes; it needs no parameters to be made.
func (s *Sequence) Cost() Cost {
	c := Cost{Units: float64(s.Modules[0].In)}
	c.count(s.Modules)
	return c
}

func (c *Cost) count(modules []Module) {
	for _, m := range modules {
		c.count(m.Inside)
		c.Units += float64(m.Out)
		weight, bias := m.shape()
		if weight == nil {
			continue
		}
		size := 1.0
		for _, extent := range weight {
			size *= float64(extent)
		}
		products := size
		if m.Kind != Linear {
			products = m.Conv.Products()
		}
		if c.Products == 0 {
			c.First = products
		}
		c.Weights += size + float64(bias)
		c.Products += products
	}
}
