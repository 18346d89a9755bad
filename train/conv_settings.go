package train

import (
	"fmt"
	"slices"

	"elbo/data"
	"elbo/model"
)

// ConvSettings are those of the convolutions of a network.
type ConvSettings struct {
	Widths []int // channels of the feature maps
	Kernel int
	Stride int
	Blocks int // residual blocks at each resolution
}

// defaultConv are the settings of a network that trains in minutes on two cores.
func defaultConv() ConvSettings {
	return ConvSettings{Widths: []int{32, 64}, Kernel: 3, Stride: 2, Blocks: 2}
}

func (s ConvSettings) clone() ConvSettings {
	s.Widths = slices.Clone(s.Widths)
	return s
}

// options are unwritten at their defaults, which therefore must not change. The channels of an
// image have the name "channels"; these are conv-channels.
func (s *ConvSettings) options() []Option {
	options := []Option{
		{Key: "conv-channels", Usage: "channels of the feature maps of conv and residual, from the image on; the decoder has them in reverse", Value: list(&s.Widths, "N,...")},
		{Key: "kernel", Usage: "of conv and residual: side of a kernel, an odd number of pixels", Value: integer(&s.Kernel)},
		{Key: "stride", Usage: "of conv and residual: pixels from one patch to the next; a feature map is as many times smaller than the one before", Value: integer(&s.Stride)},
		{Key: "blocks", Usage: "of residual: residual blocks at each resolution", Value: integer(&s.Blocks)},
	}
	byDefault := defaultConv()
	for i, v := range []Value{list(&byDefault.Widths, ""), integer(&byDefault.Kernel), integer(&byDefault.Stride), integer(&byDefault.Blocks)} {
		options[i].Unwritten = []string{v.String()}
	}
	return options
}

// check adds the faults that can be seen without the images: of settings that would be without
// effect, and of sizes that no machine could hold.
func (s *ConvSettings) check(network model.NetworkName, f *faults) {
	f.tooLarge("conv-channels", slices.Max(append(slices.Clone(s.Widths), 0)))
	f.add(len(s.Widths) > maxLayers, "conv-channels has %d maps, want at most %d", len(s.Widths), maxLayers)
	f.add(s.Blocks > maxLayers, "blocks is %d, want at most %d", s.Blocks, maxLayers)
	for _, o := range s.options() {
		changed := !slices.Contains(o.Unwritten, o.Value.String())
		of := "conv and residual have convolutions"
		if o.Key == "blocks" {
			of = "residual has residual blocks"
		}
		known := slices.Contains(model.Networks, network)
		f.add(changed && known && !(network.Convolutional() && (o.Key != "blocks" || network == model.Residual)),
			"%s is %s, but network is %s: only %s", o.Key, o.Value, network, of)
	}
}

// model returns the configuration of the convolutions for images of the given shape, zero where
// it is not known.
func (s ConvSettings) model(image model.MapShape) model.ConvConfig {
	return model.ConvConfig{Image: image, Widths: s.Widths, Kernel: s.Kernel, Stride: s.Stride, Blocks: s.Blocks}
}

// describe says what the convolutions of a network are: "conv 32-64 of 3×3, stride 2".
func (s ConvSettings) describe(network model.NetworkName) string {
	words := fmt.Sprintf("%s %s of %d×%d, stride %d", network, joined(s.Widths, "-"), s.Kernel, s.Kernel, s.Stride)
	if network == model.Residual {
		words += fmt.Sprintf(", %d blocks", s.Blocks)
	}
	return words
}

// imageOf is the shape of the images of a data set.
func imageOf(ds *data.Dataset) model.MapShape {
	return model.MapShape{Rows: ds.Rows(), Cols: ds.Cols(), Channels: ds.Channels()}
}

// fits returns every fault of a network for images of the given shape.
func (n NetworkSettings) fits(image model.MapShape) error {
	if !n.Layers.Convolutional() {
		return nil
	}
	return n.ConvSettings.model(image).Validate(n.Layers)
}
