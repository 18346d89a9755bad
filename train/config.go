package train

import (
	"errors"
	"fmt"
	"math"

	"elbo/data"
	"elbo/graph"
	"elbo/model"
)

// Config is everything that decides what a run computes, down to the last bit
// under given numerics.
type Config struct {
	Model string // "vae"

	Data     string            // "mnist", a directory or a file
	Limit    int               // first images of the training split only; 0: all
	Split    []int             // training and validation images; empty: the data set's default
	Binarise data.Binarisation // "": decided by data and likelihood, see Resolve

	Likelihood model.Likelihood
	Variance   float64 // of the Gaussian likelihood; 0: learned
	Hidden     []int
	Latent     int
	Activation graph.Activation

	Objective model.Objective
	K         int     // draws of z for an image in a step
	Beta      float64 // weight of the divergence in the ELBO
	Warmup    int     // epochs over which the weight rises from 0 to Beta

	Batch   int
	Epochs  int
	LR      float64
	Seed    uint64
	Workers int // goroutines that share the work of a step; 0: one for each CPU

	CheckpointEvery int // steps between checkpoints within an epoch; 0: at its end only
}

// DefaultConfig trains the VAE of the README.
func DefaultConfig() Config {
	return Config{
		Model:      "vae",
		Data:       "mnist",
		Likelihood: model.Bernoulli,
		Hidden:     []int{400},
		Latent:     20,
		Activation: graph.ReLU,
		Objective:  model.ELBO,
		K:          1,
		Beta:       1,
		Batch:      128,
		Epochs:     10,
		LR:         1e-3,
		Seed:       1,
	}
}

// Options are the settings of c by name; setting a value changes c.
func (c *Config) Options() []Option {
	return []Option{
		{"model", "model to train: vae", name(&c.Model, "NAME")},
		{"data", "mnist, a directory of IDX files, or a .npy, .npz, .amat or IDX file", name(&c.Data, "PATH")},
		{"limit", "use the first N training images only (0: all)", integer(&c.Limit)},
		{"split", "training and validation images, as in 50000,10000 (default: by the data set)", list(&c.Split, "N,M")},
		{"binarise", "how grey pixels become 0 or 1: threshold, static, dynamic or none (default for mnist: dynamic)", name(&c.Binarise, "MODE")},
		{"likelihood", "distribution of pixels: bernoulli, continuous-bernoulli, gaussian or grey-bernoulli", name(&c.Likelihood, "NAME")},
		{"variance", "variance of the gaussian likelihood, the same for all pixels", learned(&c.Variance)},
		{"hidden", "hidden layers of the encoder; the decoder has them in reverse", list(&c.Hidden, "N,...")},
		{"latent", "latent dimensions", integer(&c.Latent)},
		{"activation", "nonlinearity of hidden layers: relu, tanh, elu or softplus", name(&c.Activation, "NAME")},
		{"objective", "what is maximised: elbo or iwae", name(&c.Objective, "NAME")},
		{"k", "draws of z for each image in a step (iwae: the k of L_k)", integer(&c.K)},
		{"beta", "weight of KL in the objective elbo", number(&c.Beta)},
		{"warmup", "epochs over which the weight of KL rises from 0 to beta", integer(&c.Warmup)},
		{"batch", "images in a step", integer(&c.Batch)},
		{"epochs", "passes over the training images", integer(&c.Epochs)},
		{"lr", "learning rate of Adam", number(&c.LR)},
		{"seed", "seed of all randomness", natural(&c.Seed)},
		{"workers", "goroutines that share the work of a step (0: one for each CPU)", integer(&c.Workers)},
		{"checkpoint-every", "steps between checkpoints within an epoch (0: at the end of each epoch)", integer(&c.CheckpointEvery)},
	}
}

// Validate returns every fault that can be seen without the data, each with its
// key.
func (c Config) Validate() error {
	var faults []error
	fault := func(bad bool, format string, args ...any) {
		if bad {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	fault(c.Model != "vae", "model is %q, want vae", c.Model)
	fault(c.Data == "", "data is empty, want mnist, a directory or a file")
	fault(c.Limit < 0, "limit is %d, want 0 (all) or more", c.Limit)
	fault(len(c.Split) != 0 && len(c.Split) != 2, "split has %d numbers, want two: training and validation images", len(c.Split))
	if c.Binarise != "" {
		_, err := data.ParseBinarisation(string(c.Binarise))
		fault(err != nil, "binarise is %q, want threshold, static, dynamic or none", c.Binarise)
	}
	faults = append(faults, c.VAE(1).Validate())
	fault(!(c.Beta >= 0) || math.IsInf(c.Beta, 0), "beta is %g, want 0 or more", c.Beta)
	fault(c.Warmup < 0, "warmup is %d, want 0 or more epochs", c.Warmup)
	fault(c.Objective == model.IWAE && (c.Beta != 1 || c.Warmup != 0), "beta is %g and warmup %d, but the objective iwae has no divergence to weight: want 1 and 0", c.Beta, c.Warmup)
	fault(c.Batch < 1, "batch is %d, want at least 1", c.Batch)
	fault(c.Epochs < 1, "epochs is %d, want at least 1", c.Epochs)
	fault(!(c.LR > 0) || math.IsInf(c.LR, 0), "lr is %g, want a positive number", c.LR)
	fault(c.Workers < 0, "workers is %d, want 0 (one for each CPU) or more", c.Workers)
	fault(c.CheckpointEvery < 0, "checkpoint-every is %d, want 0 (ends of epochs) or more steps", c.CheckpointEvery)
	return errors.Join(faults...)
}

// VAE returns the model part of the configuration for images of the given number
// of pixels.
func (c Config) VAE(pixels int) model.VAEConfig {
	return model.VAEConfig{
		Pixels:     pixels,
		Hidden:     c.Hidden,
		Latent:     c.Latent,
		Activation: c.Activation,
		Likelihood: c.Likelihood,
		Variance:   c.Variance,
		Objective:  c.Objective,
		Draws:      c.K,
	}
}

// Resolve returns c with everything decided that the data set decides: the split,
// and the binarisation where none is named. Embedded MNIST is drawn afresh in every
// epoch for a Bernoulli likelihood; other grey images are left for the user to
// decide on, as each choice is another data set.
func (c Config) Resolve(ds *data.Dataset, cpus int) (Config, error) {
	if len(c.Split) == 0 {
		train, validation := ds.DefaultSplit()
		c.Split = []int{train, validation}
	}
	if c.Workers == 0 {
		c.Workers = cpus
	}
	binary := ds.Train.Binary() && (ds.Test.N == 0 || ds.Test.Binary())
	if c.Binarise == "" {
		switch {
		case binary || c.Likelihood != model.Bernoulli:
			c.Binarise = data.None
		case ds.Name == "mnist":
			c.Binarise = data.Dynamic
		default:
			return c, fmt.Errorf("%s has grey pixels, and the likelihood bernoulli wants 0 and 1: choose --binarise threshold, static or dynamic (bounds differ between them), or --likelihood continuous-bernoulli", ds.Name)
		}
	}
	if c.Likelihood == model.Bernoulli && c.Binarise == data.None && !binary {
		return c, fmt.Errorf("%s has grey pixels, and the likelihood bernoulli wants 0 and 1, but binarise is none: choose --binarise threshold, static or dynamic, or --likelihood continuous-bernoulli (grey-bernoulli for the cross-entropy of tutorials, which is no likelihood)", ds.Name)
	}
	return c, nil
}
