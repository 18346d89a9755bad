package infer

import (
	"testing"

	"elbo/data"
	"elbo/graph"
	"elbo/graph/graphtest"
	"elbo/model"
)

// newVAE returns a VAE whose parameters come from the sources of init.
func newVAE(t testing.TB, c model.VAEConfig, init model.Init) *model.VAE {
	t.Helper()
	m, err := model.NewVAE(c, graphtest.Engine(2), init)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// smallVAE is a VAE for images of 6 x 6 pixels.
func smallVAE(t testing.TB) *model.VAE {
	return newVAE(t, model.VAEConfig{Pixels: 36, Hidden: []int{12}, Latent: 2, Activation: graph.ReLU, Likelihood: model.BernoulliName, Objective: model.ELBO, Draws: 1}, drawn(1))
}

// half is a source of parameters that are to be set afterwards.
type half struct{}

func (half) Float64() float64 { return 0.5 }

// drawn is a source of parameters with a seed.
func drawn(seed uint64) model.Init {
	return func(name string) graph.Uniform { return data.NewStream(seed, name) }
}

// plainView is a few synthetic images as evaluation sees them.
func plainView(t testing.TB, n, rows, cols int) data.View {
	t.Helper()
	ds, err := data.New("synthetic", data.Synthetic(n, rows, cols, 3), data.Images{})
	if err != nil {
		t.Fatal(err)
	}
	subset, _, _, err := ds.Split(n, 0)
	if err != nil {
		t.Fatal(err)
	}
	return data.View{Subset: subset, Mode: data.Static, Seed: 5}
}
