package train_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"elbo/data"
	"elbo/graph/graphtest"
	"elbo/train"
)

// fit trains a model of a configuration in a run directory that is thrown away.
func fit(c train.Config) (*train.Setup, train.Result, error) {
	s, err := train.NewSetup(c, 2, graphtest.Engine)
	if err != nil {
		return nil, train.Result{}, err
	}
	parent, err := os.MkdirTemp("", "elbo")
	if err != nil {
		return nil, train.Result{}, err
	}
	defer os.RemoveAll(parent)
	dir, err := train.CreateRun(filepath.Join(parent, "run"), s.Config)
	if err != nil {
		return nil, train.Result{}, err
	}
	defer dir.Close()
	result, err := train.Run(context.Background(), s, dir, nil, nil, time.Now)
	return s, result, err
}

// A VAE with two latent dimensions, on 2000 digits, with log p(x) of others by quadrature.
func ExampleRun() {
	c := train.With(train.DefaultConfig(train.VAEModel), func(s *train.VAESettings) {
		s.Latent, s.Hidden = 2, []int{64}
	})
	c.Split, c.Binarise, c.Epochs, c.Workers = []int{2000, 100}, data.Static, 5, 2
	s, result, err := fit(c)
	if err != nil {
		fmt.Println(err)
		return
	}
	e, err := s.Score(context.Background(), s.Validation, train.ScoreOptions{Samples: 100, Exact: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%d steps; the best bound is that of epoch %d\n", result.Step, result.Best.Epoch)
	fmt.Printf("ELBO %.0f, log p(x) %.0f nats per image\n", e.ELBO, e.LogP.Value)
	// Output:
	// 80 steps; the best bound is that of epoch 5
	// ELBO -233, log p(x) -218 nats per image
}

// A mixture of ten components by EM, the best of three restarts.
func ExampleRun_mixture() {
	c := train.With(train.DefaultConfig(train.MixtureModel), func(s *train.MixtureSettings) {
		s.Components, s.Restarts = 10, 3
	})
	c.Split, c.Epochs, c.Workers = []int{2000, 100}, 10, 2
	s, result, err := fit(c)
	if err != nil {
		fmt.Println(err)
		return
	}
	e, err := s.Score(context.Background(), s.Validation, train.ScoreOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%d iterations of the best restart\n", result.Step)
	fmt.Printf("log p(x) %.0f nats per image with %d of %d components\n", e.LogP.Value, e.Table.Used, e.Table.States)
	// Output:
	// 10 iterations of the best restart
	// log p(x) -170 nats per image with 10 of 10 components
}

// A trained model is loaded and gives codes of the first test digits. Of a run directory the state
// is that of ReadRun(path) and then (*run.Dir).Best.
func ExampleSetup_Load() {
	state, err := train.LoadCheckpoint(filepath.Join("testdata", "recompute", "checkpoint.safetensors"))
	if err != nil {
		fmt.Println(err)
		return
	}
	c, err := train.Configuration(state)
	if err != nil {
		fmt.Println(err)
		return
	}
	s, err := train.NewSetup(c, 2, graphtest.Engine)
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := s.Load(state); err != nil {
		fmt.Println(err)
		return
	}
	digits := s.Test
	digits.Subset = digits.First(3)
	codes, err := s.Encode(context.Background(), digits)
	if err != nil {
		fmt.Println(err)
		return
	}
	for i := range codes.N {
		label, _ := digits.Label(i)
		fmt.Printf("a %d: E[z|x] = %.1f\n", label, codes.Mean[i*codes.Latent:][:codes.Latent])
	}
	// Output:
	// a 7: E[z|x] = [-1.0 -2.5]
	// a 2: E[z|x] = [-0.7 0.6]
	// a 1: E[z|x] = [2.6 -2.1]
}
