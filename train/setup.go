package train

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"time"

	"elbo/data"
	"elbo/graph"
	"elbo/model"
	"elbo/train/run"
	"elbo/train/safetensors"
)

// Setup is what a configuration stands for: the data as the model sees them, and
// the model with its first parameters.
type Setup struct {
	Config     Config // resolved
	Dataset    *data.Dataset
	Train      data.View
	Validation data.View // may be empty
	Test       data.View // may be empty
	All        data.View // every image of the data set, whatever its split
	Engine     *graph.Engine
	Model
	Reducer Reducer // Alone unless several processes fit the model
}

// NewSetup validates a configuration, opens its data and makes the model. The
// engine is made for the number of workers that the configuration resolves to.
func NewSetup(c Config, cpus int, engine func(workers int) *graph.Engine) (*Setup, error) {
	ds, err := c.open()
	if err != nil {
		return nil, err
	}
	return newSetup(c, ds, true, cpus, engine)
}

// NewSetupOn is NewSetup for a model that was trained before, with the data at path in
// the place of those that c names; sha256 is of those it was trained on. Where path has
// the very same, c's split and limit stand, so that no image on which the model was
// trained is taken for one to test it on. Other data, perhaps of another size, are taken
// whole, which is Setup.All, and split by their own default. Pictures are read with the
// size and the channels that the run's own were read with.
func NewSetupOn(path, sha256 string, c Config, cpus int, engine func(workers int) *graph.Engine) (*Setup, error) {
	c.Data = path
	ds, err := c.open()
	if err != nil {
		return nil, err
	}
	own := ds.SHA256 == sha256
	if !own {
		c.Split, c.SplitBy, c.Limit, c.Quick = nil, "", 0, false
	}
	return newSetup(c, ds, own, cpus, engine)
}

// open validates c and opens its data.
func (c Config) open() (*data.Dataset, error) {
	if err := c.Validate(); err != nil {
		return nil, &ConfigError{err}
	}
	return c.Reading().Open(c.Data)
}

// FindData looks for data that are no longer where c says, by their SHA-256: under their
// name, alone or with the one or two folders above it, in the directory near, such as that
// of the run, in those above it, and in the working directory. It returns "" where they
// are in none of them.
func (c Config) FindData(near, sha256 string) string {
	if c.Data == "mnist" {
		return ""
	}
	folders := []string{"."}
	if above, err := filepath.Abs(near); err == nil {
		for range 4 {
			folders = append(folders, above)
			above = filepath.Dir(above)
		}
	}
	for _, folder := range folders {
		rest, tail := filepath.Clean(c.Data), ""
		for range 3 {
			tail, rest = filepath.Join(filepath.Base(rest), tail), filepath.Dir(rest)
			path := filepath.Join(folder, tail)
			if _, err := os.Stat(path); err != nil {
				continue
			}
			if ds, err := c.Reading().Open(path); err == nil && ds.SHA256 == sha256 {
				return path
			}
		}
	}
	return ""
}

// newSetup makes the model of a valid configuration on data. own says that it is to be fitted
// to them: of others, of which there may be few, nothing is asked.
func newSetup(c Config, ds *data.Dataset, own bool, cpus int, engine func(workers int) *graph.Engine) (*Setup, error) {
	c, err := c.Clone().Resolve(ds, cpus)
	if err != nil {
		return nil, &ConfigError{err}
	}
	if c.Data != "mnist" { // found from everywhere
		if path, err := filepath.Abs(c.Data); err == nil {
			c.Data = path
		}
	}
	if c.SplitBy == ByShuffle {
		ds = ds.Shuffled(c.SplitSeed)
	}
	train, validation, test, err := ds.Split(c.Split[0], c.Split[1])
	if err != nil {
		return nil, &ConfigError{err}
	}
	if c.Limit > 0 {
		train = train.First(c.Limit)
	}
	if c.Quick {
		train, validation, test = train.First(QuickImages), validation.First(QuickImages), test.First(QuickImages)
	}
	if err := c.wantsLevels(ds); err != nil {
		return nil, &ConfigError{err}
	}
	c.Settings.Fit(train.N())
	if err := c.Network().fits(imageOf(ds)); err != nil {
		return nil, &ConfigError{err}
	}
	if t, ok := c.Settings.(interface {
		suits(c Config, image model.MapShape) error
	}); ok {
		if err := t.suits(c, imageOf(ds)); err != nil {
			return nil, &ConfigError{err}
		}
	}
	if err := c.roomFor(imageOf(ds), train.N(), float64(data.AvailableMemory())); err != nil {
		return nil, &ConfigError{err}
	}
	s := &Setup{Config: c, Dataset: ds, Engine: engine(c.Workers), Reducer: Alone{}}
	s.Train = data.View{Subset: train, Mode: c.Binarise, Seed: c.Seed}
	s.Validation = data.View{Subset: validation, Mode: c.Binarise, Seed: c.Seed}
	s.Test = data.View{Subset: test, Mode: c.Binarise, Seed: c.Seed}
	s.All = data.View{Subset: ds.All(), Mode: c.Binarise, Seed: c.Seed}
	if own {
		err = oneClass(s.Train)
		if m, ok := c.Settings.(interface{ enough(images int) error }); ok && err == nil {
			err = m.enough(train.N())
		}
		if err != nil {
			return nil, &ConfigError{err}
		}
	}
	s.Model, err = c.Settings.Kind().New(s)
	return s, err
}

// roomFor fails where training takes more than the free memory, in bytes, 0 where that is not
// known; with the largest batch that would fit, where one does.
func (c Config) roomFor(image model.MapShape, images int, free float64) error {
	need := c.Settings.Bytes(c, image, images)
	if free == 0 || need <= free {
		return nil
	}
	want := "want a smaller hidden, latent, batch, k, components or grid"
	if c.Network().Layers.Convolutional() {
		want = "want a smaller conv-channels, hidden, latent, batch or k, or a larger stride"
	}
	if s, ok := c.Settings.(interface {
		LargestBatch(c Config, image model.MapShape, images int, bytes float64) int
	}); ok {
		if batch := s.LargestBatch(c, image, images, free); batch > 0 {
			want = fmt.Sprintf("a batch of %d is the largest that fits; or %s", batch, want)
		}
	}
	return fmt.Errorf("the model and its batches need about %.1f GB of memory, and %.1f GB are free: %s", need/1e9, free/1e9, want)
}

// with returns the setup of another configuration of the same data and likelihood: its model
// is a new one.
func (s *Setup) with(c Config) (*Setup, error) {
	other := *s
	other.Config = c
	var err error
	other.Model, err = c.Settings.Kind().New(&other)
	return &other, err
}

// oneClass fails if binarisation leaves one outcome only: there is nothing to fit. It
// looks no further than the first image that has both.
func oneClass(v data.View) error {
	if v.Mode == data.None {
		return nil
	}
	x := make([]float32, v.D())
	outcome := float32(-1)
	for i := range v.N() {
		v.Evaluated(x, i)
		for _, pixel := range x {
			if outcome < 0 {
				outcome = pixel
			}
			if pixel != outcome {
				return nil
			}
		}
	}
	return fmt.Errorf("every pixel of all %d training images is %g after %s binarisation: choose another --binarise, or brighter images", v.N(), outcome, v.Mode)
}

// InitStream is the random stream of a parameter's first values.
func (s *Setup) InitStream(param string) graph.Uniform {
	return data.NewStream(s.Config.Seed, "init/"+param)
}

// ConfigError is a configuration that cannot be run.
type ConfigError struct{ Err error }

func (e *ConfigError) Error() string { return e.Err.Error() }
func (e *ConfigError) Unwrap() error { return e.Err }

// Tensors returns the model's parameters under their names. They share memory with
// the model.
func (s *Setup) Tensors() []safetensors.Tensor { return tensorsOf(s.Params()) }

// tensorsOf returns parameters as tensors, which share memory with them.
func tensorsOf(params []*graph.Param) []safetensors.Tensor {
	var tensors []safetensors.Tensor
	for _, p := range params {
		tensors = append(tensors, safetensors.Tensor{Name: p.Name, Shape: p.Shape, Data: p.Value})
	}
	return tensors
}

// restore sets tensors to those of their names in a checkpoint. why says for what one without
// them was written.
func restore(own, saved []safetensors.Tensor, why string) error {
	found := make(map[string][]float32, len(saved))
	for _, t := range saved {
		found[t.Name] = t.Data
	}
	for _, t := range own {
		data, ok := found[t.Name]
		if !ok || len(data) != len(t.Data) {
			return fmt.Errorf("checkpoint has %d values for %s, want %d: it was written %s", len(data), t.Name, len(t.Data), why)
		}
		copy(t.Data, data)
	}
	return nil
}

// state is a checkpoint of the present parameters; what a method of training keeps
// besides is the caller's to add.
func (s *Setup) state(step int64, epoch int, best *run.Best) *run.State {
	numerics, _ := json.Marshal(s.Engine.Numerics()) // a map of strings always has a JSON form
	return &run.State{
		Step: step, Epoch: epoch, Best: best,
		Config: s.Config.JSON(), Data: s.Dataset.SHA256, Numerics: numerics,
		Params: s.Tensors(),
	}
}

// Sizes are what a run takes, before it begins.
type Sizes struct {
	Parameters int     // numbers that the model consists of
	Checkpoint float64 // bytes
	Memory     float64 // bytes, about: of model, optimiser and batches
}

// Sizes returns what training the model takes.
func (s *Setup) Sizes() Sizes {
	sizes := Sizes{Memory: s.Config.Settings.Bytes(s.Config, imageOf(s.Dataset), s.Train.N())}
	for _, p := range s.Params() {
		sizes.Parameters += len(p.Value)
	}
	sizes.Checkpoint = float64(4*sizes.Parameters) + s.Kept()
	return sizes
}

// EpochSeconds measures a step of training, with parameters as they are, and returns what the
// steps of an epoch take then, or an iteration of EM, without the optimiser's own share; 0 for
// a model that is trained otherwise.
func (s *Setup) EpochSeconds(now func() time.Time) (float64, error) {
	var step func() error
	images := 0 // of a step
	switch m := s.Model.(type) {
	case Amortised:
		images = SettingsOf[VAESettings](s.Config).Batch
		vae := m.VAE().On(s.Engine) // a step of its own
		if err := vae.CompileStep(images); err != nil {
			return 0, err
		}
		batch := vae.NewBatch(images)
		batch.Images = images
		s.Train.EvaluatedRows(batch.X, 0, min(images, s.Train.N()))
		step = func() error { _, err := vae.Step(batch); return err }
	case Tabular:
		images = min(emChunk, s.Train.N())
		e, err := m.Table().NewEStep(images, true, false)
		if err != nil {
			return 0, err
		}
		e.Load(s.Train.Evaluated, 0, images)
		step = func() error { return e.Run(images) }
	default:
		return 0, nil
	}
	if err := step(); err != nil { // warms up
		return 0, err
	}
	least := math.Inf(1) // the step that was disturbed least, of a few in a row
	for range 3 {
		began, steps, took := now(), 0, 0.0
		for steps < 1 || steps < 30 && took < 0.1 {
			if err := step(); err != nil {
				return 0, err
			}
			steps, took = steps+1, now().Sub(began).Seconds()
		}
		least = min(least, took/float64(steps))
	}
	return least * math.Ceil(float64(s.Train.N())/float64(images)), nil
}

// Load sets the model's parameters to those of a checkpoint.
func (s *Setup) Load(from *run.State) error {
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
	return s.refresh()
}

// CheckData fails if the data set is not the one that a checkpoint was trained on.
func (s *Setup) CheckData(from *run.State) error {
	if from.Data != s.Dataset.SHA256 {
		return fmt.Errorf("%s %w: it has SHA-256 %.12s…, but the run was trained on %.12s…: name the run's own data with --data", s.Dataset.Name, run.ErrMismatch, s.Dataset.SHA256, from.Data)
	}
	return nil
}

// ErrNoCheckpoint: a run directory has no checkpoint that can be read.
var ErrNoCheckpoint = errors.New("no checkpoint that can be read")
