package train

import (
	"errors"
	"fmt"

	"elbo/data"
	"elbo/graph"
	"elbo/model"
)

// Setup is what a configuration stands for: the data as the model sees them, and
// the model with its first parameters.
type Setup struct {
	Config     Config // resolved
	Dataset    *data.Dataset
	Train      data.View
	Validation data.View // may be empty
	Test       data.View // may be empty
	Engine     *graph.Engine
	Model      *model.VAE
}

// NewSetup validates a configuration, opens its data and makes the model. The
// engine is made for the number of workers that the configuration resolves to.
func NewSetup(c Config, cpus int, engine func(workers int) *graph.Engine) (*Setup, error) {
	if err := c.Validate(); err != nil {
		return nil, &ConfigError{err}
	}
	ds, err := data.Open(c.Data)
	if err != nil {
		return nil, err
	}
	if c, err = c.Resolve(ds, cpus); err != nil {
		return nil, &ConfigError{err}
	}
	train, validation, test, err := ds.Split(c.Split[0], c.Split[1])
	if err != nil {
		return nil, &ConfigError{err}
	}
	if c.Limit > 0 {
		train = train.First(c.Limit)
	}
	s := &Setup{Config: c, Dataset: ds, Engine: engine(c.Workers)}
	s.Train = data.View{Subset: train, Mode: c.Binarise, Seed: c.Seed}
	s.Validation = data.View{Subset: validation, Mode: c.Binarise, Seed: c.Seed}
	s.Test = data.View{Subset: test, Mode: c.Binarise, Seed: c.Seed}
	s.Model, err = model.NewVAE(c.VAE(ds.D()), s.Engine, func(param string) graph.Uniform {
		return data.NewStream(c.Seed, "init/"+param)
	})
	return s, err
}

// ConfigError is a configuration that cannot be run.
type ConfigError struct{ Err error }

func (e *ConfigError) Error() string { return e.Err.Error() }
func (e *ConfigError) Unwrap() error { return e.Err }

// Tensors returns the model's parameters under their names. They share memory with
// the model.
func (s *Setup) Tensors() []Tensor {
	var tensors []Tensor
	for _, p := range s.Model.Params() {
		tensors = append(tensors, Tensor{Name: p.Name, Shape: p.Shape, Data: p.Value})
	}
	return tensors
}

// Load sets the model's parameters to those of a checkpoint.
func (s *Setup) Load(from *State) error {
	own := s.Tensors()
	if err := from.CheckParams(own); err != nil {
		return err
	}
	saved := make(map[string][]float32, len(from.Params))
	for _, t := range from.Params {
		saved[t.Name] = t.Data
	}
	for _, t := range own {
		copy(t.Data, saved[t.Name])
	}
	return nil
}

// CheckData fails if the data set is not the one that a checkpoint was trained on.
func (s *Setup) CheckData(from *State) error {
	if from.Data != s.Dataset.SHA256 {
		return fmt.Errorf("train: %s has SHA-256 %.12s…, but the run was trained on %.12s…: name the run's own data with --data", s.Dataset.Name, s.Dataset.SHA256, from.Data)
	}
	return nil
}

// ErrNoCheckpoint: a run directory has no checkpoint that can be read.
var ErrNoCheckpoint = errors.New("no checkpoint that can be read")
