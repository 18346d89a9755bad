package train

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"

	"elbo/graph"
	"elbo/graph/graphtest"
	"elbo/model"
)

// convConfig is a small VAE with convolutions.
func convConfig(t *testing.T, network model.NetworkName) Config {
	t.Helper()
	c := smallConfig(t)
	n := c.network()
	n.Layers, n.Hidden, n.LR = network, []int{10}, 1e-2
	n.ConvSettings.Widths, n.ConvSettings.Kernel = []int{4, 5}, 5
	return c
}

// TestAVAEOfConvolutionsLearns: its bound rises, all its parameters move, and the other number
// of workers gives the same bits.
func TestAVAEOfConvolutionsLearns(t *testing.T) {
	for _, network := range []model.NetworkName{model.Conv, model.Residual} {
		c := convConfig(t, network)
		c.Epochs = 4
		var trained [][]float32
		for _, workers := range []int{1, 3} {
			c.Workers = workers
			first, s := newTestSetup(t, c), newTestSetup(t, c)
			dir := newTrainingRun(t, s.Config)
			if _, err := Run(context.Background(), s, dir, nil, &listener{}, still); err != nil {
				t.Fatal(err)
			}
			metrics, err := dir.ReadMetrics()
			if err != nil {
				t.Fatal(err)
			}
			if now, before := metrics[3].Train.Bound, metrics[0].Train.Bound; now <= before {
				t.Errorf("%s: the bound of epoch 4 is %.4f, that of epoch 1 %.4f: want more", network, now, before)
			}
			for i, p := range s.Params() {
				if slices.Equal(p.Value, first.Params()[i].Value) {
					t.Errorf("%s: %s has not moved", network, p.Name)
				}
				if workers == 1 {
					trained = append(trained, slices.Clone(p.Value))
				} else if !slices.Equal(p.Value, trained[i]) {
					t.Errorf("%s: %s differs between 3 workers and 1", network, p.Name)
				}
			}
		}
	}
}

// TestSettingsOfConvolutionsAreWrittenWhereTheyAreChosen, and read again; runs with none have the
// file that they always had.
func TestSettingsOfConvolutionsAreWrittenWhereTheyAreChosen(t *testing.T) {
	for _, kind := range []string{VAEModel, GridModel} {
		c := DefaultConfig(kind)
		if text := string(c.JSON()); strings.Contains(text, "conv") || strings.Contains(text, "kernel") || strings.Contains(text, "stride") || strings.Contains(text, "blocks") {
			t.Errorf("%s: the defaults are written as\n%s", kind, text)
		}
		c.network().Layers, c.network().ConvSettings = model.Residual, ConvSettings{Widths: []int{8, 16}, Kernel: 5, Stride: 3, Blocks: 1}
		text := c.JSON()
		again, err := ReadConfig(text)
		if err != nil || !bytes.Equal(again.JSON(), text) || !strings.Contains(string(text), `"conv-channels": [8,16]`) {
			t.Errorf("%s: %v, read and written as\n%s", kind, err, again.JSON())
		}
	}
}

// TestSettingsOfConvolutionsAreRefusedElsewhere: they would be without effect.
func TestSettingsOfConvolutionsAreRefusedElsewhere(t *testing.T) {
	for want, change := range map[string]func(n *NetworkSettings){
		"kernel is 5, but network is dense: only conv and residual have convolutions": func(n *NetworkSettings) { n.ConvSettings.Kernel = 5 },
		"conv-channels is 8, but network is gated": func(n *NetworkSettings) {
			n.ConvSettings.Widths, n.Layers = []int{8}, model.Gated
		},
		"blocks is 3, but network is conv: only residual has residual blocks": func(n *NetworkSettings) { n.ConvSettings.Blocks, n.Layers = 3, model.Conv },
		"stride is 0, want 1 to 8":                     func(n *NetworkSettings) { n.ConvSettings.Stride, n.Layers = 0, model.Conv },
		"kernel is 2, want an odd number":              func(n *NetworkSettings) { n.ConvSettings.Kernel, n.Layers = 2, model.Conv },
		"conv-channels is 2000000, want at most":       func(n *NetworkSettings) { n.ConvSettings.Widths, n.Layers = []int{2_000_000}, model.Conv },
		"blocks is 101, want at most 100":              func(n *NetworkSettings) { n.ConvSettings.Blocks, n.Layers = 101, model.Residual },
		"conv-channels has 101 maps, want at most 100": func(n *NetworkSettings) { n.ConvSettings.Widths, n.Layers = make([]int, 101), model.Conv },
	} {
		for _, kind := range []string{VAEModel, GridModel} {
			c := DefaultConfig(kind)
			change(c.network())
			if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", kind, err, want)
			}
		}
	}
	for want, change := range map[string]func(n *NetworkSettings){
		"kernel is 7, but an image has 6×6 pixels": func(n *NetworkSettings) { n.ConvSettings.Kernel = 7 },
		"map 3 has one position":                   func(n *NetworkSettings) { n.ConvSettings.Widths = []int{2, 2, 2, 2} },
	} {
		c := convConfig(t, model.Conv)
		change(c.network())
		if _, err := NewSetup(c, 2, graphtest.Engine); !isConfigError(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want a ConfigError with %q", err, want)
		}
	}
}

// TestATooLargeBatchIsRefusedWithTheLargestThatFits: the batch that is named does, and one more
// does not.
func TestATooLargeBatchIsRefusedWithTheLargestThatFits(t *testing.T) {
	image := model.MapShape{Rows: 32, Cols: 32, Channels: 3}
	for _, network := range model.Networks {
		c := DefaultConfig(VAEModel)
		c.network().Layers = network
		own := c.vae()
		own.Batch = 4096
		free := own.Bytes(c, image, 50_000) / 3
		batch := own.LargestBatch(c, image, 50_000, free)
		own.Batch = batch
		fits := own.Bytes(c, image, 50_000) <= free
		own.Batch++
		if more := own.Bytes(c, image, 50_000) <= free; !fits || more || batch == 0 {
			t.Errorf("%s: a batch of %d fits: %v; of one more: %v", network, batch, fits, more)
		}
		own.Batch = 4096
		if err := c.roomFor(image, 50_000, free); err == nil || !strings.Contains(err.Error(), "is the largest that fits") {
			t.Errorf("%s: %v, want the largest batch that fits", network, err)
		}
		if err := c.roomFor(image, 50_000, 3*free); err != nil {
			t.Errorf("%s: %v, want room", network, err)
		}
	}
}

// TestADecoderOfConvolutionsGoesFromAVAEToAGrid, with all that describes it.
func TestADecoderOfConvolutionsGoesFromAVAEToAGrid(t *testing.T) {
	c := convConfig(t, model.Residual)
	twin := c.GridTwin([]int{3, 3}, model.EqualMass)
	if got, want := twin.Network().ConvSettings, c.Network().ConvSettings; !slices.Equal(got.Widths, want.Widths) || got.Kernel != want.Kernel || got.Stride != want.Stride || got.Blocks != want.Blocks {
		t.Errorf("the grid's convolutions are %+v, want %+v", got, want)
	}
	if back := twin.VAETwin(); back.Network().Layers != model.Residual || back.Network().ConvSettings.Kernel != 5 {
		t.Errorf("the VAE's network is %+v", back.Network())
	}
}

// TestMemoryGrowsWithWhatTheDecoderGives: a likelihood of several numbers for each of an image
// takes that much more for every image of a batch, and the largest batch that fits is smaller.
func TestMemoryGrowsWithWhatTheDecoderGives(t *testing.T) {
	image := model.MapShape{Rows: 32, Cols: 32, Channels: 3}
	for _, network := range model.Networks {
		c := DefaultConfig(VAEModel)
		c.network().Layers = network
		own := c.vae()
		one := own.Bytes(c, image, 50_000)
		own.Batch = 4096
		room := own.Bytes(c, image, 50_000) / 2
		largest := own.LargestBatch(c, image, 50_000, room)
		own.Batch = 128
		c.Likelihood, own.Mixtures = model.DiscretizedLogisticMixtureName, 10
		outputs := float64(image.Rows * image.Cols * graph.LogisticMixtureOutputs(10, 3))
		// A value and its gradient of each, at least.
		if got, want := own.Bytes(c, image, 50_000), one+4*2*float64(own.Batch)*(outputs-float64(image.Size())); got < want {
			t.Errorf("%s: %.3g bytes, want %.3g and more", network, got, want)
		}
		own.Batch = 4096
		if batch := own.LargestBatch(c, image, 50_000, room); batch >= largest {
			t.Errorf("%s: a batch of %d fits with thirty numbers a value, and %d with one", network, batch, largest)
		}
	}
}
