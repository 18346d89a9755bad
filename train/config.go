package train

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"elbo/data"
	"elbo/model"
)

// Config is everything that decides what a run computes, down to the last bit
// under given numerics: what every run has, and the settings of its kind of model. A
// copy shares them; Clone is for one that is to be changed.
type Config struct {
	Model string // the name of the kind

	Data     string            // "mnist", a directory or a file
	Limit    int               // first images of the training split only; 0: all
	Split    []int             // training and validation images; empty: the data set's default
	Binarise data.Binarisation // "": decided by data and likelihood, see Resolve

	Likelihood model.LikelihoodName
	Epochs     int // EM: iterations
	Seed       uint64
	Workers    int // goroutines that share the work of a step; 0: one for each CPU

	Settings Settings // of the kind; nil where no kind has the name
}

// DefaultConfig returns the defaults of the kind of that name, out of Kinds.
func DefaultConfig(name string) Config { return defaultConfig(name, Kinds()) }

// Config returns the defaults of a kind.
func (k Kind) Config() Config { return defaultConfig(k.Name, []Kind{k}) }

// defaultConfig returns a configuration without settings where no kind has the name.
func defaultConfig(name string, kinds []Kind) Config {
	c := Config{Model: name, Data: "mnist", Likelihood: model.BernoulliName, Seed: 1}
	if k, ok := findKind(name, kinds); ok {
		c.Epochs, c.Settings = k.Epochs, k.Defaults()
	}
	return c
}

// Clone returns a copy that shares nothing with c.
func (c Config) Clone() Config {
	c.Split = slices.Clone(c.Split)
	if c.Settings != nil {
		c.Settings = c.Settings.Clone()
	}
	return c
}

// With returns a clone of c after a change to its settings, which are of type S.
func With[S Settings](c Config, change func(S)) Config {
	c = c.Clone()
	change(c.Settings.(S))
	return c
}

// Options are the settings of c by name, in the order of a file; setting a value changes
// c.
func (c *Config) Options() []Option {
	options := []Option{
		{Key: "model", Usage: "model to train", Value: name(&c.Model, "NAME")},
		{Key: "data", Usage: "mnist, a directory of IDX files, or a .npy, .npz, .amat or IDX file", Value: name(&c.Data, "PATH")},
		{Key: "limit", Usage: "use the first N training images only (0: all)", Value: integer(&c.Limit)},
		{Key: "split", Usage: "training and validation images, as in 50000,10000 (default: by the data set)", Value: list(&c.Split, "N,M")},
		{Key: "binarise", Usage: "how grey pixels become 0 or 1: threshold, static, dynamic or none (default for mnist: dynamic; for tables static)", Value: name(&c.Binarise, "MODE")},
		{Key: "likelihood", Usage: "distribution of pixels: bernoulli, gaussian, and for vae continuous-bernoulli or grey-bernoulli", Value: name(&c.Likelihood, "NAME")},
		{Key: "epochs", Usage: "passes over the training images (EM: iterations)", Value: integer(&c.Epochs)},
		{Key: "seed", Usage: "seed of all randomness", Value: natural(&c.Seed)},
		{Key: "workers", Usage: "goroutines that share the work of a step (0: one for each CPU)", Value: integer(&c.Workers)},
	}
	if c.Settings == nil {
		return options
	}
	after := "likelihood"
	for _, o := range c.Settings.Options() {
		if o.After != "" {
			after = o.After
		}
		at := slices.IndexFunc(options, func(o Option) bool { return o.Key == after })
		options = slices.Insert(options, at+1, o)
		after = o.Key
	}
	return options
}

// Validate returns every fault that can be seen without the data, each with its
// key.
func (c Config) Validate() error {
	var f faults
	if c.Settings == nil {
		return fmt.Errorf("model is %q, want %s", c.Model, oneOf(Kinds()))
	}
	if own := c.Settings.Kind().Name; c.Model != own {
		return fmt.Errorf("model is %q, but the settings are those of %s: want the same", c.Model, own)
	}
	f.add(c.Data == "", "data is empty, want mnist, a directory or a file")
	f.add(c.Limit < 0, "limit is %d, want 0 (all) or more", c.Limit)
	f.add(len(c.Split) != 0 && len(c.Split) != 2, "split has %d numbers, want two: training and validation images", len(c.Split))
	if c.Binarise != "" {
		_, err := data.ParseBinarisation(string(c.Binarise))
		f.add(err != nil, "binarise is %q, want threshold, static, dynamic or none", c.Binarise)
	}
	f.add(c.Epochs < 1, "epochs is %d, want at least 1", c.Epochs)
	f.add(c.Workers < 0, "workers is %d, want 0 (one for each CPU) or more", c.Workers)
	f.add(c.Workers > MaxWorkers, "workers is %d, want at most %d", c.Workers, MaxWorkers)
	f = append(f, c.Settings.Validate(c))
	return errors.Join(f...)
}

// largest bounds every extent, so that none of their products overflows.
const largest = 1_000_000

// MaxWorkers bounds the workers of a run. It is above the CPUs of any one machine and the
// same on all of them: a run goes on, and is evaluated, with the workers that it began
// with, as its bits depend on them, however few CPUs there are.
const MaxWorkers = 1024

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

// Resolve returns c with everything decided that the data set decides: the split,
// and the binarisation where none is named. Embedded MNIST under a Bernoulli likelihood is
// drawn as the kind of model has it; other grey images are left for the user to decide on,
// as each choice is another data set.
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
		case c.Data == "mnist":
			c.Binarise = c.Settings.Kind().Binarise
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

// tooLarge adds a fault for a size above largest.
func (f *faults) tooLarge(key string, value int) {
	f.add(value > largest, "%s is %d, want at most %d", key, value, largest)
}

// positive adds a fault for a number that is not above 0.
func (f *faults) positive(key string, value float64) {
	f.add(!(value > 0) || math.IsInf(value, 0), "%s is %g, want a positive number", key, value)
}
