package serve

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"sync/atomic"

	"elbo/data"
	"elbo/model"
	"elbo/model/infer"
	"elbo/train"
	"elbo/train/run"
)

// Loaded is a trained model with its data, of a checkpoint.
type Loaded struct {
	*train.Setup
	Checkpoint  string // its file
	Description string // in a line
}

// Open opens the best checkpoint of a run directory, or a checkpoint file.
type Open func(path string) (*Loaded, error)

// asked is a model that requests are answered by. One request uses it at a time.
type asked struct {
	*Loaded
	evaluators map[int]*infer.Evaluator // by their draws
	dims       []dimension              // nil before they are asked for, as all that follows
	located    *train.Codes             // of the first images that are named
}

func newAsked(l *Loaded) *asked { return &asked{Loaded: l, evaluators: map[int]*infer.Evaluator{}} }

// mostEvaluators is how many numbers of draws are kept ready.
const mostEvaluators = 4

// view makes a part of a data set of images, [N, D], which evaluation binarises as it does those
// of the run: their noise is that of the first N test images.
func (a *asked) view(x []float32) (data.View, error) {
	rows, cols, channels, d := a.Dataset.Rows(), a.Dataset.Cols(), a.Dataset.Channels(), a.Dataset.D()
	images := data.Images{N: len(x) / d, Rows: rows, Cols: cols, Channels: channels, Bytes: levels(x)}
	one := data.Images{N: 1, Rows: rows, Cols: cols, Channels: channels}
	if images.Bytes == nil {
		if a.Config.Likelihood.Pixels() == model.LevelPixels {
			return data.View{}, refuse("the likelihood %s is of 256 levels, and a pixel is none of them: want whole numbers from 0 to 255, or multiples of 1/255", a.Config.Likelihood)
		}
		images.Floats, one.Floats = x, make([]float32, d)
	} else {
		one.Bytes = make([]uint8, d)
	}
	ds, err := data.New("the request", one, images)
	if err != nil {
		return data.View{}, err
	}
	_, _, test, err := ds.Split(1, 0)
	return data.View{Subset: test, Mode: a.Config.Binarise, Seed: a.Config.Seed}, err
}

// levels returns pixels in [0, 1] as 0 to 255, nil where one is not a multiple of 1/255.
func levels(x []float32) []uint8 {
	all := make([]uint8, len(x))
	for i, v := range x {
		level := math.Round(float64(v) * 255)
		if !(level >= 0 && level <= 255) || math.Abs(float64(v)*255-level) > 1e-3 {
			return nil
		}
		all[i] = uint8(level)
	}
	return all
}

// score scores images, with log p(x) by quadrature where it is asked for.
func (a *asked) score(ctx context.Context, v data.View, draws int, seed uint64, exact bool) (infer.Evaluation, error) {
	vae, ok := a.Model.(train.Amortised)
	if !ok {
		return a.Score(ctx, v, train.ScoreOptions{Samples: draws, Seed: seed})
	}
	if latent := vae.VAE().Latent; exact && latent > infer.MaxExactLatent {
		return infer.Evaluation{}, refuse("exact is quadrature over at most %d latent dimensions, and the model has %d: more samples come nearer to log p(x)", infer.MaxExactLatent, latent)
	}
	e := a.evaluators[draws]
	if e == nil {
		var err error
		if e, err = infer.NewEvaluator(vae.VAE(), draws); err != nil {
			return infer.Evaluation{}, err
		}
		if len(a.evaluators) >= mostEvaluators {
			clear(a.evaluators)
		}
		a.evaluators[draws] = e
	}
	scored, err := e.Evaluate(ctx, v, seed)
	if err != nil || !exact {
		return scored, err
	}
	integrals, method, err := infer.Integrate(ctx, vae.Joint(), v, nil, nil)
	if err == nil {
		scored.AddExact(integrals, method)
	}
	return scored, err
}

// latest is the model of a run whose best checkpoint may be replaced while it is asked. Requests
// under way keep the one that they have.
type latest struct {
	path string
	open Open
	now  atomic.Pointer[asked]

	size, time int64 // of the file, when it was looked at last, by one goroutine at a time
}

func newLatest(path string, open Open) (*latest, error) {
	l := &latest{path: path, open: open}
	l.changed()
	loaded, err := open(path)
	if err != nil {
		return nil, err
	}
	l.now.Store(newAsked(loaded))
	return l, nil
}

// changed reports whether the best checkpoint is another one than when it was asked last.
func (l *latest) changed() bool {
	file := l.path
	info, err := os.Stat(file)
	if err == nil && info.IsDir() {
		file = filepath.Join(l.path, run.BestFile)
		info, err = os.Stat(file)
	}
	if err != nil {
		return false // it was there, and will be again
	}
	if info.Size() == l.size && info.ModTime().UnixNano() == l.time {
		return false
	}
	l.size, l.time = info.Size(), info.ModTime().UnixNano()
	return true
}

// refresh takes over a checkpoint that is better, and reports whether there is one.
func (l *latest) refresh() (bool, error) {
	if !l.changed() {
		return false, nil
	}
	loaded, err := l.open(l.path)
	if err != nil {
		return false, fmt.Errorf("a better checkpoint cannot be read, and the one before goes on answering: %w", err)
	}
	l.now.Store(newAsked(loaded))
	return true, nil
}
