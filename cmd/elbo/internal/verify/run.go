package verify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"path/filepath"
	"slices"

	"elbo/data"
	"elbo/train"
	"elbo/train/run"
)

// Run is a run directory to be checked, and how to open what its configuration names.
type Run struct {
	Dir   *run.Dir
	Data  string // other data than the configuration's, or where they are now; "": those
	Setup func(train.Config) (*train.Setup, error)
}

// Run checks a run: that its checkpoints hold, that its data are those it was trained
// on, that its best validation bound comes out again, and that its model's bounds are
// in their order.
func (v *Verifier) Run(ctx context.Context, r Run, began func(what string), add func(Check)) error {
	began("the run " + r.Dir.Path)
	return v.part(ctx, part{"the run", func(v *Verifier, ctx context.Context, add func(Check)) error { return v.run(ctx, r, add) }}, add)
}

func (v *Verifier) run(ctx context.Context, r Run, add func(Check)) error {
	if err := v.checkpoints(r.Dir, add); err != nil {
		return err
	}
	if err := metrics(r.Dir, add); err != nil {
		return err
	}
	state, _, err := r.Dir.Best()
	if err != nil {
		if state, _, _ = r.Dir.Latest(); state == nil {
			return train.ErrNoCheckpoint
		}
	}
	c, err := train.Configuration(state)
	if err != nil {
		return err
	}
	if r.Data != "" {
		c.Data = r.Data
	}
	s, err := r.Setup(c)
	if err != nil {
		return err
	}
	add(Check{Name: "the run's data", Wanted: fmt.Sprintf("SHA-256 %.12s…", state.Data), Got: fmt.Sprintf("%.12s…", s.Dataset.SHA256), OK: s.Dataset.SHA256 == state.Data})
	if s.Dataset.SHA256 != state.Data {
		return errors.New("other data than the run's: its figures cannot be checked; name its own with --data")
	}
	if err := s.Load(state); err != nil {
		return err
	}
	if err := v.reproduced(ctx, s, state, add); err != nil {
		return err
	}
	view := s.Test
	for _, other := range []data.View{s.Validation, s.Train} {
		if view.N() == 0 {
			view = other
		}
	}
	return v.order(ctx, s, view, "the run", false, add)
}

// checkpoints loads every checkpoint of a run, which compares all checksums.
func (v *Verifier) checkpoints(dir *run.Dir, add func(Check)) error {
	paths, err := filepath.Glob(filepath.Join(escapeGlob(dir.Path), "*.safetensors"))
	if err != nil {
		return err
	}
	for _, path := range paths {
		c := Check{Name: filepath.Base(path), Wanted: "loads, checksums hold"}
		state, err := train.LoadCheckpoint(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // pruned by a run that is going on
		}
		if err != nil {
			c.Got = err.Error()
		} else {
			c.Got, c.OK = fmt.Sprintf("step %d, %d tensors", state.Step, len(state.Params)+len(state.Tables)+len(state.Moments)), true
		}
		add(c)
	}
	return nil
}

// metrics checks the lines of metrics.jsonl, and that none before the newest checkpoint
// is missing.
func metrics(dir *run.Dir, add func(Check)) error {
	newest, _, _ := dir.Latest() // first: a run that is going on writes metrics before checkpoints
	faults, err := dir.MetricsFaults(train.Behind(newest))
	if err != nil {
		return err
	}
	lines, err := dir.ReadMetrics()
	if err != nil {
		return err
	}
	c := Check{Name: run.MetricsFile, Wanted: "a whole line for each epoch", Got: fmt.Sprintf("%d lines", len(lines)), OK: len(faults) == 0}
	if !c.OK {
		c.Got = errors.Join(faults...).Error()
	}
	add(c)
	return nil
}

// escapeGlob makes a path a pattern that matches it alone.
func escapeGlob(path string) string {
	escaped := make([]rune, 0, len(path))
	for _, r := range path {
		if slices.Contains([]rune{'*', '?', '['}, r) {
			escaped = append(escaped, '[', r, ']')
			continue
		}
		escaped = append(escaped, r)
	}
	return string(escaped)
}

// reproduced evaluates the best model on the validation images once more.
func (v *Verifier) reproduced(ctx context.Context, s *train.Setup, state *run.State, add func(Check)) error {
	if state.Best == nil || state.Best.Step != state.Step {
		return nil // no validation images, or a checkpoint that is not the best
	}
	terms, err := s.ValidationTerms(ctx)
	if err != nil {
		return err
	}
	if terms == nil {
		return errors.New("the run has a best validation bound, but its configuration no validation images")
	}
	const name = "best validation bound, evaluated again"
	bound := v.spoiled(name, terms.Bound)[0]
	c := Check{Name: name, Wanted: fmt.Sprintf("%.12g, exactly", state.Best.Bound), Got: fmt.Sprintf("%.12g", bound), OK: bound == state.Best.Bound}
	var then map[string]string
	if json.Unmarshal(state.Numerics, &then) != nil || !maps.Equal(then, s.Engine.Numerics()) {
		// Another machine or library rounds otherwise, and a draw near a kink may fall
		// on its other side.
		tolerance := 1e-5 * math.Abs(state.Best.Bound)
		c.Wanted, c.OK = fmt.Sprintf("%.12g ± %.0e: other numerics", state.Best.Bound, tolerance), math.Abs(bound-state.Best.Bound) <= tolerance
	}
	add(c)
	return nil
}
