package train

import (
	"context"
	"slices"
	"strings"
	"testing"

	"elbo/graph"
	"elbo/model"
)

// TestAnActivationOfGatedLayersIsRefused: it would be without effect. The default is what a
// configuration has that does not name one.
func TestAnActivationOfGatedLayersIsRefused(t *testing.T) {
	for _, kind := range []string{VAEModel, GridModel} {
		c := DefaultConfig(kind)
		c.network().Layers = model.Gated
		if err := c.Validate(); err != nil {
			t.Errorf("%s: %v, want no error", kind, err)
		}
		c.network().Activation = graph.Tanh
		const want = "activation is tanh, but network is gated"
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", kind, err, want)
		}
	}
}

// TestTheMemoryOfAnEncoderIsThatOfItsWeights: a gated hidden layer has two matrices.
func TestTheMemoryOfAnEncoderIsThatOfItsWeights(t *testing.T) {
	for _, layers := range []model.NetworkName{model.Dense, model.Gated} { // of convolutions model has a test
		c := smallConfig(t)
		c.network().Layers, c.network().Hidden = layers, []int{12, 9}
		s := newTestSetup(t, c)
		weights := 0
		for _, p := range vaeOf(s).Q.Encoder.Params() {
			if strings.HasSuffix(p.Name, ".weight") {
				weights += len(p.Value)
			}
		}
		if _, counted := s.Config.Network().sizes(36); counted != float64(weights) {
			t.Errorf("%s: %.0f weights are counted, want %d", layers, counted, weights)
		}
	}
}

// TestAGatedVAELearns: its bound rises from epoch to epoch, and all its parameters move.
func TestAGatedVAELearns(t *testing.T) {
	c := smallConfig(t)
	c.network().Layers, c.network().LR, c.Epochs = model.Gated, 1e-2, 5
	first := newTestSetup(t, c)
	s := newTestSetup(t, c)
	dir := newTrainingRun(t, s.Config)
	if _, err := Run(context.Background(), s, dir, nil, &listener{}, still); err != nil {
		t.Fatal(err)
	}
	metrics, err := dir.ReadMetrics()
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; i < len(metrics); i++ {
		if now, before := metrics[i].Train.Bound, metrics[i-1].Train.Bound; now <= before {
			t.Errorf("epoch %d: the bound is %.4f after %.4f, want more", i+1, now, before)
		}
	}
	for i, p := range s.Params() {
		if slices.Equal(p.Value, first.Params()[i].Value) {
			t.Errorf("%s has not moved", p.Name)
		}
	}
}
