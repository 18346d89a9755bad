package train

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"elbo/data"
	"elbo/graph"
	"elbo/model"
)

// The models, by their names in flags and files.
const (
	VAEModel     = "vae"
	MixtureModel = "mixture"
	GridModel    = "grid"
)

// Models lists them all.
var Models = []string{VAEModel, MixtureModel, GridModel}

// Config is everything that decides what a run computes, down to the last bit
// under given numerics.
type Config struct {
	Model string

	Data     string            // "mnist", a directory or a file
	Limit    int               // first images of the training split only; 0: all
	Split    []int             // training and validation images; empty: the data set's default
	Binarise data.Binarisation // "": decided by data and likelihood, see Resolve

	Likelihood model.LikelihoodName
	Variance   float64 // of a VAE's Gaussian likelihood; 0: learned
	Hidden     []int
	Latent     int
	Activation graph.Activation

	Objective model.Objective
	K         int     // draws of z for an image in a step
	Beta      float64 // weight of the divergence in the ELBO
	Warmup    int     // epochs over which the weight rises from 0 to Beta

	Components    int // of a mixture
	Grid          []int
	GridRule      model.GridRule
	Prior         model.TablePrior
	Smoothing     float64 // a of the Beta(1+a, 1+a) prior of a mixture's pixels
	VarianceFloor float64 // of a Gaussian mixture
	Init          Init
	Restarts      int     // fits from other first parameters, of which the best is kept
	Restart       int     // the number of the first, or only, restart
	Accelerate    bool    // SQUAREM
	Incremental   int     // images in a batch of incremental EM; 0: all at once
	Tolerance     float64 // least gain of an iteration, nats per image
	MSteps        int     // gradient steps in an M-step of a grid

	Batch   int
	Epochs  int // EM: iterations
	LR      float64
	Seed    uint64
	Workers int // goroutines that share the work of a step; 0: one for each CPU

	CheckpointEvery int // steps between checkpoints within an epoch; 0: at its end only

	InitFrom string     // run or checkpoint whose network's parameters are the first ones; "": drawn
	Freeze   model.Part // of a VAE, that keeps them
}

// DefaultConfig returns the defaults of a model.
func DefaultConfig(name string) Config {
	c := Config{
		Model:      name,
		Data:       "mnist",
		Likelihood: model.BernoulliName,
		Activation: graph.ReLU,
		Seed:       1,
	}
	switch name {
	case VAEModel:
		c.Hidden, c.Latent = []int{400}, 20
		c.Objective, c.K, c.Beta = model.ELBO, 1, 1
		c.Batch, c.Epochs, c.LR = 128, 10, 1e-3
	case MixtureModel:
		c.Components, c.Prior, c.Init, c.Restarts = 100, model.Shared, FromImages, 1
		c.Smoothing, c.VarianceFloor = 0.1, 1e-3
		c.Epochs, c.Tolerance = 100, 1e-4
	case GridModel:
		c.Grid, c.GridRule, c.Latent, c.Hidden = []int{20, 20}, model.EqualMass, 2, []int{200, 200}
		c.Prior, c.MSteps, c.LR = model.Fixed, 20, 2e-3
		c.Epochs, c.Tolerance = 100, 1e-4
	}
	return c
}

// Options are the settings of c by name; setting a value changes c.
func (c *Config) Options() []Option {
	return []Option{
		{"model", "", "model to train: vae, mixture or grid", name(&c.Model, "NAME")},
		{"data", "", "mnist, a directory of IDX files, or a .npy, .npz, .amat or IDX file", name(&c.Data, "PATH")},
		{"limit", "", "use the first N training images only (0: all)", integer(&c.Limit)},
		{"split", "", "training and validation images, as in 50000,10000 (default: by the data set)", list(&c.Split, "N,M")},
		{"binarise", "", "how grey pixels become 0 or 1: threshold, static, dynamic or none (default for mnist: dynamic; for tables static)", name(&c.Binarise, "MODE")},
		{"likelihood", "", "distribution of pixels: bernoulli, gaussian, and for vae continuous-bernoulli or grey-bernoulli", name(&c.Likelihood, "NAME")},
		{"variance", "vae", "variance of the gaussian likelihood, the same for all pixels; learned: the mean squared residual, at every step", learned(&c.Variance)},
		{"hidden", "vae grid", "hidden layers of the encoder, or none; the decoder has them in reverse", layers(&c.Hidden)},
		{"latent", "vae grid", "latent dimensions", integer(&c.Latent)},
		{"activation", "vae grid", "nonlinearity of hidden layers: relu, tanh, elu or softplus", name(&c.Activation, "NAME")},
		{"objective", "vae", "what is maximised: elbo or iwae", name(&c.Objective, "NAME")},
		{"k", "vae", "draws of z for each image in a step (iwae: the k of L_k)", integer(&c.K)},
		{"beta", "vae", "weight of KL in the objective elbo", number(&c.Beta)},
		{"warmup", "vae", "epochs over which the weight of KL rises from 0 to beta", integer(&c.Warmup)},
		{"batch", "vae", "images in a step", integer(&c.Batch)},
		{"components", "mixture", "components of a mixture", integer(&c.Components)},
		{"grid", "grid", "points of a grid along each latent dimension, as in 20x20", extent(&c.Grid)},
		{"grid-rule", "grid", "where they stand: equal-mass, gauss-hermite or lattice", name(&c.GridRule, "NAME")},
		{"prior", "mixture grid", "who chooses p(z): fixed, shared (the data) or per-image", name(&c.Prior, "NAME")},
		{"smoothing", "mixture", "a of the Beta(1+a, 1+a) prior of each pixel's probability", number(&c.Smoothing)},
		{"variance-floor", "mixture", "least variance of a pixel, gaussian likelihood (0: none)", number(&c.VarianceFloor)},
		{"init", "mixture", "where components begin: images, kmeans++ or random (responsibilities)", name(&c.Init, "NAME")},
		{"restarts", "mixture", "fit from this many first parameters and keep the best", integer(&c.Restarts)},
		{"restart", "mixture", "number of the first restart: another number, other first components", integer(&c.Restart)},
		{"accelerate", "mixture", "take SQUAREM's longer steps, never one that lowers the bound", flag(&c.Accelerate)},
		{"incremental", "mixture", "images in a batch of incremental EM, an M-step after each (0: all at once)", integer(&c.Incremental)},
		{"m-steps", "grid", "gradient steps in an M-step", integer(&c.MSteps)},
		{"tolerance", "mixture grid", "stop when an iteration (with --accelerate two in a row) gains less than this, nats per image (0: never)", number(&c.Tolerance)},
		{"epochs", "", "passes over the training images (EM: iterations)", integer(&c.Epochs)},
		{"lr", "vae grid", "learning rate of Adam", number(&c.LR)},
		{"seed", "", "seed of all randomness", natural(&c.Seed)},
		{"workers", "", "goroutines that share the work of a step (0: one for each CPU)", integer(&c.Workers)},
		{"init-from", "vae grid", "begin with the parameters of a run or a checkpoint: all whose names are known to this model", name(&c.InitFrom, "RUN|CHECKPOINT")},
		{"freeze", "vae", "leave decoder or encoder as --init-from has it", name(&c.Freeze, "PART")},
		{"checkpoint-every", "vae", "steps between checkpoints within an epoch (0: at the end of each epoch)", integer(&c.CheckpointEvery)},
	}
}

// Validate returns every fault that can be seen without the data, each with its
// key.
func (c Config) Validate() error {
	var f faults
	if !slices.Contains(Models, c.Model) {
		return fmt.Errorf("model is %q, want vae, mixture or grid", c.Model)
	}
	f.add(c.Data == "", "data is empty, want mnist, a directory or a file")
	f.add(c.Limit < 0, "limit is %d, want 0 (all) or more", c.Limit)
	f.add(len(c.Split) != 0 && len(c.Split) != 2, "split has %d numbers, want two: training and validation images", len(c.Split))
	if c.Binarise != "" {
		_, err := data.ParseBinarisation(string(c.Binarise))
		f.add(err != nil, "binarise is %q, want threshold, static, dynamic or none", c.Binarise)
	}
	f.add(c.Epochs < 1, "epochs is %d, want at least 1", c.Epochs)
	for _, size := range []struct {
		key   string
		value int
	}{{"latent", c.Latent}, {"k", c.K}, {"batch", c.Batch}, {"components", c.Components}, {"m-steps", c.MSteps}, {"restarts", c.Restarts}, {"hidden", slices.Max(append(slices.Clone(c.Hidden), 0))}} {
		f.add(size.value > largest, "%s is %d, want at most %d", size.key, size.value, largest)
	}
	f.add(c.Workers < 0, "workers is %d, want 0 (one for each CPU) or more", c.Workers)
	f.add(c.Workers > MaxWorkers, "workers is %d, want at most %d", c.Workers, MaxWorkers)
	if n := len(c.Hidden); n > maxLayers {
		f.add(true, "hidden has %d layers, want at most %d", n, maxLayers)
		c.Hidden = c.Hidden[:maxLayers] // what is wrong with all others need not be said
	}
	if c.Model == VAEModel {
		f = append(f, c.validateVAE())
	} else {
		f = append(f, c.validateEM())
	}
	return errors.Join(f...)
}

func (c Config) validateVAE() error {
	var f faults
	f = append(f, c.VAE(1).Validate())
	f.add(!(c.Beta >= 0) || math.IsInf(c.Beta, 0), "beta is %g, want 0 or more", c.Beta)
	f.add(c.Warmup < 0, "warmup is %d, want 0 or more epochs", c.Warmup)
	f.add(c.Objective == model.IWAE && (c.Beta != 1 || c.Warmup != 0), "beta is %g and warmup %d, but the objective iwae has no divergence to weight: want 1 and 0", c.Beta, c.Warmup)
	f.add(c.Batch < 1, "batch is %d, want at least 1", c.Batch)
	f.add(!(c.LR > 0) || math.IsInf(c.LR, 0), "lr is %g, want a positive number", c.LR)
	f.add(c.Freeze != "" && c.InitFrom == "", "freeze is %s, but init-from is empty: want the run that has it", c.Freeze)
	f.add(c.CheckpointEvery < 0, "checkpoint-every is %d, want 0 (ends of epochs) or more steps", c.CheckpointEvery)
	return errors.Join(f...)
}

func (c Config) validateEM() error {
	var f faults
	f.add(c.Binarise == data.Dynamic, "binarise is dynamic, but a table holds the posteriors of one fixed data set: want static, threshold or none")
	f.add(!(c.Tolerance >= 0) || math.IsInf(c.Tolerance, 0), "tolerance is %g, want 0 or more nats per image", c.Tolerance)
	em := model.EMConfig{Pixels: 1, States: 1, Likelihood: c.Likelihood, Prior: c.Prior, Smoothing: c.Smoothing, VarianceFloor: c.VarianceFloor}
	if c.Model == MixtureModel {
		em.States = c.Components
		f.add(c.Restarts < 1, "restarts is %d, want at least 1", c.Restarts)
		f.add(c.Restart < 0, "restart is %d, want 0 or more", c.Restart)
		f.add(c.Accelerate && c.Prior == model.PerImage, "accelerate is true, but the prior is per-image: want fixed or shared, a table cannot be extrapolated")
		f.add(c.Incremental < 0, "incremental is %d, want 0 (all at once) or more images", c.Incremental)
		f.add(c.Incremental > 0 && (c.Prior == model.PerImage || c.Accelerate), "incremental is %d, but prior is %s and accelerate %v: want fixed or shared, and false", c.Incremental, c.Prior, c.Accelerate)
		_, err := ParseInit(string(c.Init))
		f.add(err != nil, "init: %w", err)
	} else {
		f.add(c.Likelihood != model.BernoulliName, "likelihood is %s, want bernoulli for a grid", c.Likelihood)
		_, err := model.NewGrid(c.GridRule, c.Grid)
		f.add(err != nil, "%w", err)
		f.add(c.Latent != len(c.Grid), "latent is %d, but grid has %d dimensions: want the same", c.Latent, len(c.Grid))
		f.add(c.MSteps < 1, "m-steps is %d, want at least 1", c.MSteps)
		f.add(!(c.LR > 0) || math.IsInf(c.LR, 0), "lr is %g, want a positive number", c.LR)
		for i, h := range c.Hidden {
			f.add(h < 1, "hidden: layer %d has %d units, want at least 1", i+1, h)
		}
		_, err = graph.ParseActivation(string(c.Activation))
		f.add(err != nil, "activation: %w", err)
	}
	return errors.Join(append(f, em.Validate())...)
}

// largest bounds every extent, so that none of their products overflows.
const largest = 1_000_000

// MaxWorkers bounds the workers of a run. It is above the CPUs of any one machine and the
// same on all of them: a run goes on, and is evaluated, with the workers that it began
// with, as its bits depend on them, however few CPUs there are.
const MaxWorkers = 1024

// maxLayers bounds the hidden layers of a network.
const maxLayers = 100

// bytes estimates the memory of a run on images of d pixels: parameters with
// gradients and moments, the values of every layer for a batch or a chunk, with their
// gradients, and what evaluation holds.
func (c Config) bytes(d, images int) float64 {
	layers := slices.Concat([]int{d}, c.Hidden, []int{2 * c.Latent})
	widths, weights := 0.0, 0.0
	for i, width := range layers {
		widths += float64(width)
		if i > 0 {
			weights += float64(width) * float64(layers[i-1])
		}
	}
	switch c.Model {
	case VAEModel:
		batch, pixels := float64(c.Batch), float64(d)
		return 4 * (2*4*weights + 4*batch*float64(max(1, c.K))*widths + feedAhead*batch*pixels + 4*float64(max(1, c.Workers)*rowsOf(d))*pixels)
	case GridModel:
		k := 1.0
		for _, n := range c.Grid {
			k *= float64(n)
		}
		return 4*(4*weights+k*(8*float64(d)+4*widths)+4*emChunk*k) + c.tableBytes(k, images)
	}
	k := float64(c.Components)
	return 4*(10*k*float64(d)+5*emChunk*k) + c.tableBytes(k, images)
}

// tableBytes is the memory of log p_n(z) and of log p(z|x_n) for every image.
func (c Config) tableBytes(k float64, images int) float64 {
	if c.Prior == model.PerImage {
		return 2 * 4 * k * float64(images)
	}
	return 0
}

// trainingImages is how many images an epoch has, at most where the data decide.
func (c Config) trainingImages() int {
	n := math.MaxInt
	if len(c.Split) > 0 {
		n = c.Split[0]
	}
	if c.Limit > 0 {
		n = min(n, c.Limit)
	}
	return n
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
		Freeze:     c.Freeze,
	}
}

// EM returns the model part of the configuration for images of the given number of
// pixels: of a grid, or of a mixture where grid is nil.
func (c Config) EM(pixels int, grid *model.Grid) model.EMConfig {
	em := model.EMConfig{
		Pixels:        pixels,
		States:        c.Components,
		Likelihood:    c.Likelihood,
		Prior:         c.Prior,
		Smoothing:     c.Smoothing,
		VarianceFloor: c.VarianceFloor,
	}
	if grid != nil {
		em.States = len(grid.LogWeights)
		em.Grid = &model.GridConfig{Grid: *grid, Hidden: c.Hidden, Activation: c.Activation}
	}
	return em
}

// Resolve returns c with everything decided that the data set decides: the split,
// and the binarisation where none is named. Embedded MNIST is drawn afresh in every
// epoch for a VAE with Bernoulli likelihood, and once for a model with a table; other
// grey images are left for the user to
// decide on, as each choice is another data set.
func (c Config) Resolve(ds *data.Dataset, cpus int) (Config, error) {
	if len(c.Split) == 0 {
		train, validation := ds.DefaultSplit()
		c.Split = []int{train, validation}
	}
	if c.Workers == 0 {
		c.Workers = min(cpus, MaxWorkers)
	}
	binary := ds.Train.Binary() && (ds.Test.N == 0 || ds.Test.Binary())
	if c.Binarise == "" {
		switch {
		case binary || c.Likelihood != model.BernoulliName:
			c.Binarise = data.None
		case c.Data == "mnist" && c.Model == VAEModel:
			c.Binarise = data.Dynamic
		case c.Data == "mnist":
			c.Binarise = data.Static
		default:
			return c, fmt.Errorf("%s has grey pixels, and the likelihood bernoulli wants 0 and 1: choose --binarise threshold, static or dynamic (bounds differ between them), or --likelihood continuous-bernoulli", ds.Name)
		}
	}
	if c.Likelihood == model.BernoulliName && c.Binarise == data.None && !binary {
		return c, fmt.Errorf("%s has grey pixels, and the likelihood bernoulli wants 0 and 1, but binarise is none: choose --binarise threshold, static or dynamic, or --likelihood continuous-bernoulli (grey-bernoulli for the cross-entropy of tutorials, which is no likelihood)", ds.Name)
	}
	return c, nil
}

// faults collects what is wrong, so that all of it is said at once.
type faults []error

// add adds a fault if bad.
func (f *faults) add(bad bool, format string, args ...any) {
	if bad {
		*f = append(*f, fmt.Errorf(format, args...))
	}
}
