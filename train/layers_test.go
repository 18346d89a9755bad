package train

import (
	"context"
	"math"
	"reflect"
	"strings"
	"testing"

	"elbo/model"
)

// layeredConfig is a small VAE of two stochastic layers.
func layeredConfig(t testing.TB) Config {
	c := smallConfig(t)
	for key, text := range map[string]string{"latent": "3,2", "hidden": "12;5,4", "activation": "tanh"} {
		if err := c.Set(key, text); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// TestLayersAreWrittenAsTheyAreRead, and one layer as ever.
func TestLayersAreWrittenAsTheyAreRead(t *testing.T) {
	for written, want := range map[string]NetworkSettings{
		`"hidden": [200,200],  "latent": 20`:               {Hidden: []int{200, 200}, Latent: 20},
		`"hidden": [],  "latent": 20`:                      {Hidden: []int{}, Latent: 20},
		`"hidden": "200,200;100,100",  "latent": [100,50]`: {Hidden: []int{200, 200}, Latent: 150, Stochastic: model.Layers{Latent: []int{100, 50}, Hidden: [][]int{{100, 100}}}},
		`"hidden": "none;4;none",  "latent": [3,2,1]`:      {Hidden: []int{}, Latent: 6, Stochastic: model.Layers{Latent: []int{3, 2, 1}, Hidden: [][]int{{4}, {}}}},
	} {
		c, err := ReadConfig([]byte("{" + written + "}"))
		if err != nil {
			t.Errorf("%s: %v", written, err)
			continue
		}
		sizes := want
		want = DefaultConfig(VAEModel).Network()
		want.Hidden, want.Latent, want.Stochastic = sizes.Hidden, sizes.Latent, sizes.Stochastic
		if got := c.Network(); !reflect.DeepEqual(got, want) {
			t.Errorf("%s is read as %+v", written, got)
		}
		if file := strings.ReplaceAll(string(c.JSON()), "\n", ""); !strings.Contains(file, written) {
			t.Errorf("%s is written as %s", written, file)
		}
		if again, err := ReadConfig(c.JSON()); err != nil || !reflect.DeepEqual(again.Network(), c.Network()) || string(again.JSON()) != string(c.JSON()) {
			t.Errorf("%s: read again as %+v, error %v", written, again, err)
		}
		if err := c.Validate(); err != nil {
			t.Errorf("%s: %v", written, err)
		}
		if clone := c.Clone(); !reflect.DeepEqual(clone, c) {
			t.Errorf("%s: its clone is %+v", written, clone)
		}
	}
}

// TestLayersThatDoNotMatchAreRefused, with what is wanted.
func TestLayersThatDoNotMatchAreRefused(t *testing.T) {
	for settings, want := range map[string]string{
		`"latent": [100,50]`:                               `hidden has 1 group, but latent has 2 layers: want a group of hidden layers for each, with semicolons between, as in "200,200;100,100"`,
		`"latent": [100,50], "hidden": "9;8;7"`:            `hidden has 3 groups, but latent has 2 layers: want a group of hidden layers for each, with semicolons between, as in "200,200;100,100"`,
		`"latent": 20, "hidden": "9;8"`:                    `hidden has 2 groups, but latent has 1 layer: want one group of hidden layers, or a latent size for each group, as in latent 100,50`,
		`"latent": [100,0], "hidden": "9;8"`:               `latent: layer 2 has 0 dimensions, want at least 1`,
		`"latent": [100,50], "hidden": "9;8,0"`:            `hidden: layer 2 of group 2 has 0 units, want at least 1`,
		`"latent": [1,1,1,1,1,1,1,1,1,1,1], "hidden": "9"`: `latent has 11 layers, want at most 10`,
		`"latent": [2,-1], "hidden": "9;8"`:                `latent: layer 2 has -1 dimensions, want at least 1`,
		`"latent": [2000000,1], "hidden": "9;8"`:           `latent is 2000001, want at most 1000000`,
	} {
		c, err := ReadConfig([]byte("{" + settings + "}"))
		if err != nil {
			t.Errorf("%s: %v", settings, err)
			continue
		}
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", settings, err, want)
		}
	}
	for key, text := range map[string]string{"latent": "3;2", "hidden": "9;x"} {
		c := DefaultConfig(VAEModel)
		if err := c.Set(key, text); err == nil {
			t.Errorf("%s %s is taken", key, text)
		}
	}
	grid := DefaultConfig(GridModel)
	if err := grid.Set("latent", "1,1"); err == nil {
		t.Error("a grid has stochastic layers")
	}
}

// TestEveryResumeOfLayersHasTheSameBytes, interrupted at every step.
func TestEveryResumeOfLayersHasTheSameBytes(t *testing.T) { interruptAtEveryStep(t, layeredConfig(t)) }

// TestLayersSampleEncodeAndReconstruct: shapes, finite numbers, and another seed's samples.
func TestLayersSampleEncodeAndReconstruct(t *testing.T) {
	s := newTestSetup(t, layeredConfig(t))
	v := s.Validation
	codes, err := s.Encode(context.Background(), v)
	if err != nil || codes.Latent != 5 || len(codes.Mean) != 5*v.N() || codes.Variance != nil {
		t.Fatalf("codes of %d numbers, %d in all, %d variances, error %v", codes.Latent, len(codes.Mean), len(codes.Variance), err)
	}
	whole, err := s.Model.Reconstruct(context.Background(), v)
	if err != nil {
		t.Fatal(err)
	}
	decoded, err := s.Decode(codes.Mean)
	if err != nil || !reflect.DeepEqual(decoded, whole) {
		t.Errorf("decoded codes are not the reconstructions, error %v", err)
	}
	one, err := s.Model.Sample(3, 1)
	other, err2 := s.Model.Sample(3, 2)
	if err != nil || err2 != nil || len(one) != 3*v.D() || reflect.DeepEqual(one, other) {
		t.Errorf("%d pixels, errors %v, %v; the same of two seeds: %v", len(one), err, err2, reflect.DeepEqual(one, other))
	}
	for _, pixel := range append(one, whole...) {
		if !(pixel >= 0 && pixel <= 1) {
			t.Fatalf("pixel %g", pixel)
		}
	}
	walks, err := s.Traverse(context.Background(), v, make([]float32, 5), 10, 3, 2)
	if err != nil || len(walks) != 3 {
		t.Errorf("%d dimensions are traversed, error %v: want the three of z_1", len(walks), err)
	}
	for _, w := range walks {
		if !math.IsNaN(w.KL) {
			t.Errorf("dimension %d has a divergence of its own: %g", w.Dimension, w.KL)
		}
	}
}

// TestMemoryOfLayersCountsEachNetworkOnce in the encoder, as of one layer.
func TestMemoryOfLayersCountsEachNetworkOnce(t *testing.T) {
	n := layeredConfig(t).Network()
	units, weights := n.sizes(36)
	if units != 36+12+6+3+5+4+4 || weights != 36*12+12*6+3*5+5*4+4*4 {
		t.Errorf("%g units and %g weights", units, weights)
	}
	if got := n.describe(36); got != "36-12-3 | 3-5-4-2" {
		t.Errorf("described as %s", got)
	}
}
