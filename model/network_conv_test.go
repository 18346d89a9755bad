package model

import (
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"elbo/graph"
	"elbo/graph/graphtest"
)

// convVAE is a small VAE with convolutions for images of the given shape.
func convVAE(image MapShape, network NetworkName, f graph.Activation) VAEConfig {
	return VAEConfig{
		Pixels: image.Size(), Hidden: []int{7}, Latent: 3, Network: network, Activation: f,
		Conv:       ConvConfig{Image: image, Widths: []int{3, 4}, Kernel: 3, Stride: 2, Blocks: 2},
		Likelihood: BernoulliName, Objective: ELBO, Draws: 2,
	}
}

func seeded(string) graph.Uniform { return rand.New(rand.NewPCG(3, 4)) }

// TestADecoderGivesImagesOfTheirSize, whatever the strides leave of it, in grey and colour.
func TestADecoderGivesImagesOfTheirSize(t *testing.T) {
	for _, image := range []MapShape{{28, 28, 1}, {32, 32, 3}, {64, 64, 3}, {27, 31, 1}, {5, 9, 3}} {
		for _, network := range []NetworkName{Conv, Residual} {
			for stride := 1; stride <= 3; stride++ {
				c := convVAE(image, network, graph.ReLU)
				c.Conv.Stride, c.Conv.Kernel, c.Hidden = stride, 5, nil
				m, err := NewVAE(c, graphtest.Engine(1), seeded)
				if err != nil {
					t.Fatal(err)
				}
				d, err := m.NewDecoder(2)
				if err != nil {
					t.Fatal(err)
				}
				if out, err := d.Outputs(make([]float32, 2*c.Latent)); err != nil || len(out) != 2*image.Size() {
					t.Errorf("%v, %s, stride %d: %d numbers (%v), want %d", image, network, stride, len(out), err, 2*image.Size())
				}
			}
		}
	}
}

// TestAStepOfConvolutionsHasTheGradientOfItsLoss: a step of training against central
// differences of its own loss in float32, of some parameters of every tensor.
func TestAStepOfConvolutionsHasTheGradientOfItsLoss(t *testing.T) {
	for _, network := range []NetworkName{Conv, Residual} {
		c := convVAE(MapShape{5, 6, 3}, network, graph.Tanh)
		m, err := NewVAE(c, graphtest.Engine(2), func(name string) graph.Uniform {
			return rand.New(rand.NewPCG(uint64(len(name)), 9))
		})
		if err != nil {
			t.Fatal(err)
		}
		const images = 3
		if err := m.CompileStep(images); err != nil {
			t.Fatal(err)
		}
		batch, random := m.NewBatch(images), rand.New(rand.NewPCG(5, 6))
		for _, p := range m.Params() { // biases and last layers of blocks begin at 0
			for j := range p.Value {
				p.Value[j] += 0.2 * float32(random.NormFloat64())
			}
		}
		batch.Images = images
		for i := range batch.X {
			batch.X[i] = float32(random.IntN(2))
		}
		for i := range batch.Eps {
			batch.Eps[i] = float32(random.NormFloat64())
		}
		loss := func() float64 {
			totals, err := m.Step(batch)
			if err != nil {
				t.Fatal(err)
			}
			return -totals.Mean().Bound
		}
		for i, p := range m.Trained() {
			for _, j := range []int{0, len(p.Value) / 2, len(p.Value) - 1} {
				const h = 1.0 / 64
				was := p.Value[j]
				loss()
				got := float64(m.Grad(i)[j])
				p.Value[j] = was + h
				up := loss()
				p.Value[j] = was - h
				want := (up - loss()) / (2 * h)
				p.Value[j] = was
				// The loss, some 70 nats, is rounded to 2⁻²⁴ of it a sum, which h magnifies by 64 to
				// some 3e-4; the third derivative adds h² / 6 of its size, which is that of the gradient.
				if math.Abs(got-want) > 1e-3+2e-3*math.Abs(want) {
					t.Errorf("%s: gradient of %s[%d] is %.6f, differences give %.6f", network, p.Name, j, got, want)
				}
			}
		}
	}
}

// TestParametersOfConvolutionsAreCalledAsPyTorchCallsThem.
func TestParametersOfConvolutionsAreCalledAsPyTorchCallsThem(t *testing.T) {
	for network, want := range map[NetworkName]string{
		Conv: "encoder.0.weight [3 3 3 3], encoder.2.weight [4 3 3 3], encoder.5.weight [7 16], encoder.7.weight [6 7], " +
			"decoder.0.weight [7 3], decoder.2.weight [16 7], decoder.5.weight [4 3 3 3], decoder.7.weight [3 3 3 3]",
		Residual: "encoder.0.weight [3 3 3 3], encoder.1.1.weight [3 3 3 3], encoder.1.3.weight [3 3 3 3], encoder.3.weight [4 3 3 3], " +
			"encoder.4.1.weight [4 4 3 3], encoder.4.3.weight [4 4 3 3], encoder.7.weight [7 16], encoder.9.weight [6 7], " +
			"decoder.0.weight [7 3], decoder.2.weight [16 7], decoder.4.1.weight [4 4 3 3], decoder.4.3.weight [4 4 3 3], decoder.6.weight [4 3 3 3], " +
			"decoder.7.1.weight [3 3 3 3], decoder.7.3.weight [3 3 3 3], decoder.9.weight [3 3 3 3]",
	} {
		c := convVAE(MapShape{7, 8, 3}, network, graph.ReLU)
		c.Conv.Blocks = 1
		m, err := NewVAE(c, graphtest.Engine(1), seeded)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range m.Params() {
			if strings.HasSuffix(p.Name, ".weight") {
				got = append(got, fmt.Sprint(p.Name, " ", p.Shape))
			}
		}
		if s := strings.Join(got, ", "); s != want {
			t.Errorf("%s:\n%s, want\n%s", network, s, want)
		}
	}
}

// TestTheCostOfANetworkIsThatOfItsParameters, and of a dense layer as a convolution that sees
// the whole image at one position.
func TestTheCostOfANetworkIsThatOfItsParameters(t *testing.T) {
	for _, network := range []NetworkName{Conv, Residual} {
		c := convVAE(MapShape{6, 7, 3}, network, graph.ReLU)
		m, err := NewVAE(c, graphtest.Engine(1), seeded)
		if err != nil {
			t.Fatal(err)
		}
		count := func(n Network) (total float64) {
			for _, p := range n.Params() {
				total += float64(len(p.Value))
			}
			return total
		}
		encoder, decoder := c.Conv.Costs(network, c.Hidden, c.Latent, 2*c.Latent, m.Outputs())
		if encoder.Weights != count(m.Q.Encoder) || decoder.Weights != count(m.Decoder) {
			t.Errorf("%s: %v and %v weights are counted, want %v and %v", network, encoder.Weights, decoder.Weights, count(m.Q.Encoder), count(m.Decoder))
		}
	}
	if got := (graph.ConvShape{Rows: 3, Cols: 3, Fine: 2, Coarse: 5, Kernel: 5, Stride: 3}).Products(); got != 3*3*2*5 {
		t.Errorf("%v products, want one for each weight on the map", got)
	}
	if got := (graph.ConvShape{Rows: 4, Cols: 4, Fine: 1, Coarse: 1, Kernel: 3, Stride: 1}).Products(); got != 10*10 {
		t.Errorf("%v products, want 100: the patches of an axis have 2, 3, 3 and 2 places on the map", got)
	}
}

// TestConvolutionsThatCannotBeAreRefused, each fault with what to do.
func TestConvolutionsThatCannotBeAreRefused(t *testing.T) {
	for want, change := range map[string]func(c *ConvConfig){
		"kernel is 9, but an image has 8×7 pixels":                                func(c *ConvConfig) { c.Kernel = 9 },
		"kernel is 4, want an odd number from 1 to 31":                            func(c *ConvConfig) { c.Kernel = 4 },
		"stride is 0, want 1 to 8":                                                func(c *ConvConfig) { c.Stride = 0 },
		"conv-channels: map 2 has 0 channels, want at least 1":                    func(c *ConvConfig) { c.Widths = []int{4, 0} },
		"conv-channels is empty":                                                  func(c *ConvConfig) { c.Widths = nil },
		"conv-channels has 5 maps, but with a stride of 2 map 3 has one position": func(c *ConvConfig) { c.Widths = []int{4, 4, 4, 4, 4} },
		"blocks is 0, want at least 1":                                            func(c *ConvConfig) { c.Blocks = 0 },
		"images are 8×7×3, but have 56 pixels":                                    func(c *ConvConfig) { c.Image.Channels = 3 },
	} {
		c := convVAE(MapShape{8, 7, 1}, Residual, graph.ReLU)
		change(&c.Conv)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	c := convVAE(MapShape{8, 7, 1}, Conv, graph.ReLU)
	c.Conv.Image = MapShape{}
	if err := c.Validate(); err != nil {
		t.Errorf("%v, want no fault where the image is not known", err)
	}
	if _, err := NewVAE(c, graphtest.Engine(1), seeded); err == nil {
		t.Error("a model is made for images of unknown shape")
	}
}

// TestFirstWeightsKeepTheSizeOfWhatGoesThroughThem: the outputs of twenty convolutions are about
// as large as those of two.
func TestFirstWeightsKeepTheSizeOfWhatGoesThroughThem(t *testing.T) {
	size := func(layers int) float64 {
		const images = 8
		c := ConvConfig{Image: MapShape{7, 7, 3}, Widths: slices.Repeat([]int{16}, layers), Kernel: 3, Stride: 1}
		random, net := rand.New(rand.NewPCG(7, 8)), c.planEncoder(nil, 40, graph.ReLU).made(byName)
		var out graph.Node
		program, err := graph.Build(graphtest.Engine(1), func(b *graph.Builder) {
			x, at := b.Input("x", images, c.Image.Size())
			for i := range at {
				at[i] = float32(random.NormFloat64())
			}
			out = net.Apply(b, x)
			b.Output(out)
		})
		if err == nil {
			err = program.Run()
		}
		if err != nil {
			t.Fatal(err)
		}
		sum := 0.0
		for _, v := range program.Values(out) {
			sum += float64(v) * float64(v)
		}
		return math.Sqrt(sum / float64(images*40))
	}
	// A patch of 3 by 3 at the edge of a map of 7 by 7 has zeros in it: a layer keeps (19/21)² of
	// the variance. Three is room for the chance in sixteen channels.
	few, deep, edges := size(2), size(20), math.Pow(19./21, 18)
	if deep > 3*few || deep < few*edges/3 {
		t.Errorf("outputs of twenty convolutions are of size %.3g, want some %.3g to %.3g, as those of two are", deep, few*edges, few)
	}
}

// TestResidualBlocksBeginAsTheIdentity: their last convolution is 0, and nothing else is.
func TestResidualBlocksBeginAsTheIdentity(t *testing.T) {
	c := ConvConfig{Image: MapShape{7, 7, 3}, Widths: []int{4, 5}, Kernel: 3, Stride: 2, Blocks: 2}
	blocks := 0
	for _, m := range c.planEncoder([]int{6}, 3, graph.ReLU).made(byName).Modules {
		zero := func(m Module) bool {
			return !slices.ContainsFunc(m.Weight.Value, func(v float32) bool { return v != 0 })
		}
		if m.Weight != nil && zero(m) {
			t.Errorf("%s begins at 0", m.Name)
		}
		if m.Kind != ResidualBlock {
			continue
		}
		blocks++
		if first, last := m.Inside[1], m.Inside[3]; zero(first) || !zero(last) {
			t.Errorf("%s begins at 0: %v, %s: %v", first.Name, zero(first), last.Name, zero(last))
		}
	}
	if blocks != 4 {
		t.Errorf("%d blocks, want 4", blocks)
	}
}

// byName is a random source for each parameter.
func byName(name string) graph.Uniform {
	h := fnv.New64a()
	h.Write([]byte(name))
	return rand.New(rand.NewPCG(h.Sum64(), 9))
}
