package verify

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"

	"elbo/data"
	"elbo/graph"
	"elbo/model"
	"elbo/model/infer"
	"elbo/train"
	"elbo/train/run"
)

// setup opens the data and makes the model of a configuration.
func (v *Verifier) setup(c train.Config) (*train.Setup, error) {
	c.Workers = v.Engine.Workers
	return train.NewSetup(c, v.Engine.Workers, func(int) *graph.Engine { return v.Engine })
}

// newRun makes a run directory.
func (v *Verifier) newRun(name string, c train.Config) (*run.Dir, error) {
	path, err := os.MkdirTemp(v.Temp, name+"-")
	if err != nil {
		return nil, err
	}
	return train.CreateRun(path, c)
}

// fit trains a model of a configuration from a state, or from the beginning.
func (v *Verifier) fit(ctx context.Context, s *train.Setup, dir *run.Dir, from *run.State, heard train.Recorder) error {
	_, err := train.Run(ctx, s, dir, from, heard, v.Now)
	return err
}

// recorder keeps metrics, and calls step after each step, or iteration.
type recorder struct {
	metrics []run.Metrics
	step    func()
}

func (r *recorder) Step(train.Progress) { r.count() }

func (r *recorder) Epoch(m run.Metrics) {
	r.metrics = append(r.metrics, m)
	if m.EM != nil {
		r.count()
	}
}

func (r *recorder) count() {
	if r.step != nil {
		r.step()
	}
}

// images writes a few of MNIST's training images to a file of their own, once: runs on it
// begin at once.
func (v *Verifier) images() (string, error) {
	path := filepath.Join(v.Temp, "mnist-2500.npy")
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	ds, err := data.Open("mnist")
	if err != nil {
		return "", err
	}
	part, _, _, err := ds.Split(ds.DefaultSplit())
	if err != nil {
		return "", err
	}
	view := data.View{Subset: part.First(2500), Mode: data.None}
	return path, run.WriteAtomic(path, func(w io.Writer) error { return data.WriteNPY(w, view, 0) })
}

// short is the configuration of a short run.
func (v *Verifier) short(name string) (train.Config, error) {
	path, err := v.images()
	c := train.DefaultConfig(name)
	c.Data, c.Split, c.Binarise, c.Limit = path, []int{2300, 200}, data.Static, 400
	c.Epochs = 8
	switch s := c.Settings.(type) {
	case *train.VAESettings:
		s.Hidden, s.Latent, s.Batch, s.LR = []int{40}, 2, 20, 3e-3
		c.Epochs = 2
	case *train.MixtureSettings:
		s.Components, s.Tolerance = 10, 0
	case *train.GridSettings:
		s.Grid, s.Hidden, s.MSteps, s.Tolerance = []int{4, 4}, []int{20}, 5, 0
	}
	return c, err
}

// monotone runs EM and looks for an iteration that lowers evidence plus penalty.
func (v *Verifier) monotone(ctx context.Context, add func(Check)) error {
	for _, name := range []string{train.MixtureModel, train.GridModel} {
		for _, prior := range model.TablePriors {
			c, err := v.short(name)
			if err == nil {
				err = c.Set("prior", string(prior))
			}
			if err != nil {
				return err
			}
			s, err := v.setup(c)
			if err != nil {
				return err
			}
			dir, err := v.newRun(name, s.Config)
			if err != nil {
				return err
			}
			r := &recorder{}
			err = v.fit(ctx, s, dir, nil, r)
			if err := errors.Join(err, dir.Close()); err != nil {
				return err
			}
			check := fmt.Sprintf("EM climbs, %s, prior %s", name, prior)
			var objective []float64
			for _, m := range r.metrics {
				objective = append(objective, m.Train.Bound+m.EM.Penalty)
			}
			v.addClimb(check, objective, s.Train.D(), add)
		}
	}
	return nil
}

// addClimb judges a sequence that must not fall, each a mean of sums of d float32 terms.
func (v *Verifier) addClimb(name string, objective []float64, d int, add func(Check)) {
	objective = v.spoiled(name, objective...)
	least, last := math.Inf(1), objective[len(objective)-1]
	for i, to := range objective[1:] {
		least = min(least, to-objective[i])
	}
	tolerance := rounding(objective[0], d)
	add(Check{Name: name, Wanted: fmt.Sprintf("a rise, no fall beyond %.0e", tolerance),
		Got: fmt.Sprintf("%.2f to %.2f, least gain %.2g", objective[0], last, least),
		OK:  least >= -tolerance && last > objective[0]})
}

// bounds trains a small VAE and puts its bounds beside the exact log p(x).
func (v *Verifier) bounds(ctx context.Context, add func(Check)) error {
	c, err := v.short(train.VAEModel)
	if err != nil {
		return err
	}
	c.Limit = 2000
	s, err := v.setup(c)
	if err != nil {
		return err
	}
	dir, err := v.newRun("vae", s.Config)
	if err != nil {
		return err
	}
	err = v.fit(ctx, s, dir, nil, &recorder{})
	if err := errors.Join(err, dir.Close()); err != nil {
		return err
	}
	return v.order(ctx, s, s.Validation, "a small VAE", true, add)
}

// ordered is how many images, and how many draws, bounds are compared with.
const ordered, orderedDraws = 100, 100

// order puts the bounds of a model on a few images in their order: a model with a table
// between the bound at q = p and the best state, a VAE's ELBO below L_k below log p(x)
// where quadrature can tell, else below L_10k, below L_100k. own is a model that was
// trained here, whose posteriors are known to lie where quadrature looks.
func (v *Verifier) order(ctx context.Context, s *train.Setup, view data.View, of string, own bool, add func(Check)) error {
	if view.N() > ordered {
		view.Subset = view.First(ordered)
	}
	assess := func(draws int, seed uint64, exact bool) (infer.Evaluation, error) {
		return s.Score(ctx, view, train.ScoreOptions{Samples: draws, Seed: seed, Exact: exact})
	}
	if s.Config.HasTable() {
		e, err := assess(1, s.Config.Seed, false)
		if err != nil {
			return err
		}
		t := e.Table
		v.addOrder("E_p(z)[log p(x|z)] ≤ log p(x) ≤ max_z log p(x|z), "+of, []float64{t.PriorBound, e.LogP.Value, t.BestState}, rounding(e.LogP.Value, view.D()), add)
		return nil
	}
	// Each bound twice, with draws of two seeds: how far they are apart says how far
	// chance takes them, apart from what differs between images.
	type scores [2][]infer.ImageScore
	twice := func(draws int) (twice scores, err error) {
		for i := range twice {
			e, err := assess(draws, s.Config.Seed+uint64(i), false)
			if err != nil {
				return twice, err
			}
			twice[i] = e.PerImage
		}
		return twice, nil
	}
	compare := func(name string, images []int, stated float64, difference func(seed, i int) float64) {
		var d [2][]float64
		for seed := range d {
			for _, i := range images {
				d[seed] = append(d[seed], difference(seed, i))
			}
		}
		v.addPositive(name+", "+of, d[0], d[1], stated+rounding(1000, view.D()), add) // 1000 nats: an image has less
	}
	few, err := twice(orderedDraws / 10)
	if err != nil {
		return err
	}
	many, err := twice(orderedDraws)
	if err != nil {
		return err
	}
	all := make([]int, view.N())
	for i := range all {
		all[i] = i
	}
	compare(fmt.Sprintf("ELBO ≤ L_%d", orderedDraws/10), all, 0, func(seed, i int) float64 { return few[seed][i].IW - many[seed][i].ELBO })
	compare(fmt.Sprintf("L_%d ≤ L_%d", orderedDraws/10, orderedDraws), all, 0, func(seed, i int) float64 { return many[seed][i].IW - few[seed][i].IW })
	if s.Config.Network().Latent <= infer.MaxExactLatent {
		exact, err := assess(1, s.Config.Seed, true)
		if err != nil {
			return err
		}
		var known []int
		worst := 0.0
		for i, score := range exact.PerImage {
			if score.Error < exactEnough {
				known, worst = append(known, i), max(worst, score.Error)
			}
		}
		if name := "posteriors seen by quadrature, " + of; own {
			seen := v.spoiled(name, float64(len(all)-exact.LogP.Missed))[0]
			add(Check{Name: name, Wanted: fmt.Sprint(len(all)), Got: fmt.Sprint(seen), OK: int(seen) == len(all)})
		}
		if 2*len(known) >= len(all) {
			name := fmt.Sprintf("L_%d ≤ log p(x) by quadrature", orderedDraws)
			if len(known) < len(all) {
				name += fmt.Sprintf(" where it is exact (%d of %d images)", len(known), len(all))
			}
			compare(name, known, worst, func(seed, i int) float64 { return exact.PerImage[i].LogP - many[seed][i].IW })
			return nil
		}
	}
	most, err := twice(10 * orderedDraws)
	if err != nil {
		return err
	}
	compare(fmt.Sprintf("L_%d ≤ L_%d", orderedDraws, 10*orderedDraws), all, 0, func(seed, i int) float64 { return most[seed][i].IW - many[seed][i].IW })
	return nil
}

// exactEnough is the stated error, in nats, above which an image's log p(x) by
// quadrature is left out: in three dimensions a posterior may be too narrow for it.
const exactEnough = 0.1

// addPositive judges the difference of two bounds, which is not negative in expectation,
// from two independent estimates for each image: their mean may be below 0 by chance, by
// four of its standard errors once in 30 000 times, and by what is stated.
func (v *Verifier) addPositive(name string, a, b []float64, stated float64, add func(Check)) {
	apart, n := 0.0, float64(len(a))
	mean := make([]float64, len(a))
	for i := range a {
		mean[i] = (a[i] + b[i]) / 2
		apart += (a[i] - b[i]) * (a[i] - b[i]) / 4 // the variance of the mean of the two
	}
	mean, se := v.spoiled(name, mean...), math.Sqrt(apart)/n
	sum := 0.0
	for _, d := range mean {
		sum += d
	}
	add(Check{Name: name, Wanted: fmt.Sprintf("difference ≥ -%.2g (4 std. errors)", 4*se+stated), Got: fmt.Sprintf("%.4f ± %.4f", sum/n, se), OK: sum/n >= -4*se-stated})
}

// addOrder judges numbers that must not fall by more than rounding.
func (v *Verifier) addOrder(name string, figures []float64, rounding float64, add func(Check)) {
	figures = v.spoiled(name, figures...)
	ok, text := true, fmt.Sprintf("%.3f", figures[0])
	for i, to := range figures[1:] {
		ok = ok && to >= figures[i]-rounding
		text += fmt.Sprintf(", %.3f", to)
	}
	add(Check{Name: name, Wanted: "this order", Got: text, OK: ok})
}

// resuming trains a few steps straight, and again with an interrupt and a new process's
// worth of new state in the middle, and compares the last checkpoint byte by byte.
func (v *Verifier) resuming(ctx context.Context, add func(Check)) error {
	for _, kind := range []string{train.VAEModel, train.MixtureModel} {
		c, err := v.short(kind)
		if err != nil {
			return err
		}
		if s, ok := c.Settings.(*train.VAESettings); ok {
			s.CheckpointEvery = 7 // steps: within an epoch too
		}
		name := fmt.Sprintf("interrupted and resumed: same bytes, %s", c.Model)
		straight, err := v.lastCheckpoint(ctx, c, 0)
		if err != nil {
			return err
		}
		resumed, err := v.lastCheckpoint(ctx, c, 3)
		if err != nil {
			return err
		}
		// What a test spoils is a byte.
		resumed[len(resumed)/2] = byte(v.spoiled(name, float64(resumed[len(resumed)/2]))[0])
		add(Check{Name: name, Wanted: fmt.Sprintf("SHA-256 %.6x…", sha256.Sum256(straight)), Got: fmt.Sprintf("%.6x…", sha256.Sum256(resumed)), OK: bytes.Equal(straight, resumed)})
	}
	return nil
}

// lastCheckpoint trains, interrupted after so many steps and resumed unless that is 0,
// and returns the bytes of the last checkpoint.
func (v *Verifier) lastCheckpoint(ctx context.Context, c train.Config, after int) ([]byte, error) {
	s, err := v.setup(c)
	if err != nil {
		return nil, err
	}
	dir, err := v.newRun("resume", s.Config)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	var from *run.State
	if after > 0 {
		inner, stop := context.WithCancel(ctx)
		defer stop()
		taken := 0
		err := v.fit(inner, s, dir, nil, &recorder{step: func() {
			if taken++; taken == after {
				stop()
			}
		}})
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if !errors.Is(err, train.ErrInterrupted) {
			return nil, fmt.Errorf("interrupted after step %d, the run ended with %w", after, err)
		}
		if from, _, _ = dir.Latest(); from == nil {
			return nil, train.ErrNoCheckpoint
		}
		if s, err = v.setup(c); err != nil { // nothing of the interrupted run is left
			return nil, err
		}
	}
	if err := v.fit(ctx, s, dir, from, &recorder{}); err != nil {
		return nil, err
	}
	_, path, _ := dir.Latest()
	return os.ReadFile(filepath.Clean(path))
}
