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

	Data  string // "mnist", a directory or a file
	Limit int    // first images of the training split only; 0: all
	// How the files are read where they leave it open, see data.Reading.
	Size       []int
	Channels   int
	Background string
	Range      []float64

	Quick   bool    // the first QuickImages of each split only
	Split   []int   // training and validation images; empty: the data set's default
	SplitBy SplitBy // "": ByOrder for data with a split of their own, otherwise ByShuffle
	// SplitSeed is the seed of ByShuffle. It is not Seed, so that runs with several seeds
	// have the same images to be tested on.
	SplitSeed uint64
	Binarise  data.Binarisation // "": decided by data and likelihood, see Resolve

	Likelihood model.LikelihoodName
	Epochs     int // EM: iterations
	Seed       uint64
	Workers    int // goroutines that share the work of a step; 0: one for each CPU

	Settings Settings // of the kind; nil where no kind has the name
}

// QuickImages is how many images of each split a quick run has.
const QuickImages = 1000

// SplitBy says which images are in which split.
type SplitBy string

const (
	ByOrder   SplitBy = "order"   // as they are stored: training images first
	ByShuffle SplitBy = "shuffle" // drawn by SplitSeed
)

// DefaultConfig returns the defaults of the kind of that name, out of Kinds.
func DefaultConfig(name string) Config { return defaultConfig(name, Kinds()) }

// Config returns the defaults of a kind.
func (k Kind) Config() Config { return defaultConfig(k.Name, []Kind{k}) }

// defaultConfig returns a configuration without settings where no kind has the name.
func defaultConfig(name string, kinds []Kind) Config {
	c := Config{Model: name, Data: "mnist", Likelihood: model.BernoulliName, Seed: 1, SplitSeed: 1}
	if k, ok := findKind(name, kinds); ok {
		c.Epochs, c.Settings = k.Epochs, k.Defaults()
	}
	return c
}

// Reading is how the data are read.
func (c Config) Reading() data.Reading {
	return data.Reading{Size: c.Size, Channels: c.Channels, Background: c.Background, Range: c.Range}
}

// Clone returns a copy that shares nothing with c.
func (c Config) Clone() Config {
	c.Split = slices.Clone(c.Split)
	c.Size, c.Range = slices.Clone(c.Size), slices.Clone(c.Range)
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
		{Key: "data", Usage: "mnist, a directory of PNG, JPEG or IDX files, or a .npy, .npz, .csv, .amat or IDX file", Value: name(&c.Data, "PATH")},
		{Key: "size", Usage: "scale pictures to height x width, as in 32x32, or one number for both", Value: side(&c.Size), Unwritten: []string{""}},
		{Key: "channels", Usage: "1 for grey, 3 for colour (0: as in the data; pictures are grey if all are)", Value: integer(&c.Channels), Unwritten: []string{"0"}},
		{Key: "background", Usage: "what transparent pictures lie on: white, black or #RRGGBB (default: white)", Value: name(&c.Background, "COLOUR"), Unwritten: []string{""}},
		{Key: "range", Usage: "the numbers for black and white in arrays and tables, as in 0,255 (default: 0,255 for whole numbers, 0,1 for others)", Value: numbers(&c.Range, "LO,HI"), Unwritten: []string{""}},
		{Key: "limit", Usage: "use the first N training images only (0: all)", Value: integer(&c.Limit)},
		{Key: "quick", Usage: fmt.Sprintf("use the first %d images of each split only, to try something out", QuickImages), Value: flag(&c.Quick), Unwritten: []string{"false"}},
		{Key: "split", Usage: "training and validation images, as in 50000,10000 (default: by the data set)", Value: list(&c.Split, "N,M")},
		{Key: "split-by", Usage: "order or shuffle: how images come into a split (default: shuffle, for data without a split of their own)", Value: name(&c.SplitBy, "HOW"), Unwritten: []string{"", string(ByOrder)}},
		{Key: "split-seed", Usage: "seed of --split-by shuffle, whatever --seed is", Value: natural(&c.SplitSeed), Unwritten: []string{"1"}},
		{Key: "binarise", Usage: "how grey pixels become 0 or 1: threshold, static, dynamic or none (default for mnist: dynamic; for tables static)", Value: name(&c.Binarise, "MODE")},
		{Key: "likelihood", Usage: "distribution of pixels: bernoulli, gaussian (not of a grid) and, of 256 levels, discretized-logistic, discretized-logistic-mixture or beta-binomial; of a vae also continuous-bernoulli, grey-bernoulli and dequantised-gaussian", Value: name(&c.Likelihood, "NAME")},
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
	if err := c.Reading().Validate(); err != nil {
		f = append(f, err)
	}
	f.add(c.SplitBy != "" && c.SplitBy != ByOrder && c.SplitBy != ByShuffle, "split-by is %q, want order or shuffle", c.SplitBy)
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
	if c.Quick {
		n = min(n, QuickImages)
	}
	return n
}

// Resolve returns c with everything decided that the data set decides: the split, the
// size and channels of pictures, so that others are read alike, and the binarisation where
// none is named. Embedded MNIST under a Bernoulli likelihood is
// drawn as the kind of model has it; other grey images are left for the user to decide on,
// as each choice is another data set.
func (c Config) Resolve(ds *data.Dataset, cpus int) (Config, error) {
	if len(c.Split) == 0 {
		train, validation := ds.DefaultSplit()
		c.Split = []int{train, validation}
	}
	if c.SplitBy == "" {
		c.SplitBy = ByOrder
		if parted := c.Limit > 0 || c.Split[0] < ds.Train.N; parted && !ds.OwnSplit() {
			c.SplitBy = ByShuffle
		}
	}
	if c.SplitBy == ByShuffle && ds.Validation > 0 {
		return c, fmt.Errorf("split-by is shuffle, but %s has %d validation images of its own: want order", ds.Name, ds.Validation)
	}
	if ds.Train.Names != nil {
		c.Size, c.Channels = []int{ds.Rows(), ds.Cols()}, ds.Channels()
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
			return c, fmt.Errorf("%s has grey pixels, and the likelihood bernoulli wants 0 and 1: choose --binarise threshold, static or dynamic (bounds differ between them), or --likelihood %s", ds.Name, ofGrey(ds))
		}
	}
	if c.Likelihood == model.BernoulliName && c.Binarise == data.None && !binary {
		return c, fmt.Errorf("%s has grey pixels, and the likelihood bernoulli wants 0 and 1, but binarise is none: choose --binarise threshold, static or dynamic, or --likelihood %s (grey-bernoulli for the cross-entropy of tutorials, which is no likelihood)", ds.Name, ofGrey(ds))
	}
	return c, nil
}

// ofGrey names likelihoods of grey pixels or colours.
func ofGrey(ds *data.Dataset) string {
	if ds.Train.EightBit() {
		return "discretized-logistic, or continuous-bernoulli"
	}
	return "continuous-bernoulli"
}

// wantsLevels fails where a likelihood of 256 grey levels meets other pixels.
func (c Config) wantsLevels(ds *data.Dataset) error {
	if c.Likelihood.Pixels() != model.LevelPixels {
		return nil
	}
	if c.Binarise != data.None {
		return fmt.Errorf("likelihood is %s, of 256 grey levels, but binarise is %s, which leaves 0 and 1: want --binarise none, or --likelihood bernoulli", c.Likelihood, c.Binarise)
	}
	for _, part := range []*data.Images{&ds.Train, &ds.Test} {
		switch {
		case part.N == 0:
		case !part.EightBit():
			return fmt.Errorf("likelihood is %s, of 256 grey levels, but %s has pixels that are no whole numbers from 0 to 255: want 8-bit images, or --likelihood gaussian", c.Likelihood, ds.Name)
		case part.Binary():
			return fmt.Errorf("likelihood is %s, of 256 grey levels, but %s has only black and white pixels: want --likelihood bernoulli", c.Likelihood, ds.Name)
		}
	}
	return nil
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
