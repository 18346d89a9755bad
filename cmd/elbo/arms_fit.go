package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"elbo/train"
	"elbo/train/run"
)

// armFile is in the run directory of an arm that is done.
const armFile = "result.json"

// fitted is an arm that is to be fitted and measured, with a result of type R.
type fitted[R any] struct {
	name    string // of its run directory
	config  train.Config
	says    string // what it is
	measure func(ctx context.Context, s *train.Setup, dir *run.Dir, stopped *train.DivergedError) (R, error)
}

// armFits fits the arms of an experiment, one after another, each in a run directory of its
// own. What is done is not done again.
type armFits[R any] struct {
	p      *program
	out    string
	again  string // the command that goes on, without --out
	models oneEngine
	read   func(text []byte) (r R, dataSHA256 string, err error) // a result

	arms    []fitted[R]
	results []R                      // of the arms so far
	curves  map[string][]run.Metrics // by arm
	now     fitted[R]                // the arm that is fitted
	at      int                      // passes that it has made
	bar     *bar
}

// run fits all arms.
func (x *armFits[R]) run(ctx context.Context) error {
	x.curves = map[string][]run.Metrics{}
	x.p.say("%s in %s; log p(x) in nats per image", count(len(x.arms), "arm"), x.out)
	for i, a := range x.arms {
		x.p.say("%2d/%d  %s: %s", i+1, len(x.arms), a.name, a.says)
		x.now, x.at = a, 0
		if err := x.one(ctx); err != nil {
			x.sayInterrupted(err)
			return fmt.Errorf("%s: %w", a.name, err)
		}
	}
	return nil
}

// one takes an arm from where it stands to its end, and keeps its result.
func (x *armFits[R]) one(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s, err := x.models.setup(x.now.config)
	if err != nil {
		return err
	}
	dir, err := openArm(filepath.Join(x.out, x.now.name), s.Config)
	if err != nil {
		return err
	}
	defer dir.Close()
	result, done, err := x.result(dir, s)
	if err != nil {
		return err
	}
	if done {
		x.p.say("       done before")
	} else if result, err = x.fit(ctx, s, dir); err != nil {
		return err
	}
	x.results = append(x.results, result)
	x.curves[x.now.name], err = dir.ReadMetrics()
	return err
}

// result returns that of an arm that is done.
func (x *armFits[R]) result(dir *run.Dir, s *train.Setup) (r R, done bool, err error) {
	path := dir.File(armFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return r, false, nil
	}
	var hash string
	if err == nil {
		r, hash, err = x.read(text)
	}
	if err != nil {
		return r, false, fmt.Errorf("%s: %w: remove it to have the arm measured again", path, err)
	}
	if hash != s.Dataset.SHA256 {
		return r, false, fmt.Errorf("%s: the data %w: they have SHA-256 %.12s…, but the arm was run on %.12s…: name its own data with --data", path, run.ErrMismatch, s.Dataset.SHA256, hash)
	}
	return r, true, nil
}

// fit trains an arm to its end, or to where a figure is no longer finite, and measures.
func (x *armFits[R]) fit(ctx context.Context, s *train.Setup, dir *run.Dir) (none R, err error) {
	from, err := x.p.latestOf(dir, s)
	if err != nil {
		return none, err
	}
	x.bar = newBar(x.p)
	if from != nil {
		made := int(from.Step)
		if !s.Config.HasTable() {
			made = from.Epoch - 1
		}
		x.p.say("       goes on at %s %d", s.Config.PassUnit(), made)
		x.p.sayNumerics(s, from)
		x.bar.first = made
	}
	_, err = train.Run(ctx, s, dir, from, x, x.p.now)
	x.bar.done()
	stopped, diverged := errors.AsType[*train.DivergedError](err)
	if err != nil && !diverged {
		return none, err
	}
	metrics, readErr := dir.ReadMetrics()
	if readErr != nil {
		return none, readErr
	}
	if len(metrics) == 0 { // diverged before there was a figure
		return none, err
	}
	r, err := x.now.measure(ctx, s, dir, stopped)
	if err != nil {
		return none, err
	}
	return r, writeJSONFile(dir.File(armFile), r)
}

// Step hears nothing: passes are what is told.
func (x *armFits[R]) Step(train.Progress) {}

// spokenEvery is how many iterations of EM are between lines of progress; gradients have
// a tenth of their epochs.
const spokenEvery = 10

// Epoch writes a line every few passes.
func (x *armFits[R]) Epoch(m run.Metrics) {
	unit, passes := x.now.config.PassUnit(), x.now.config.Epochs
	every := spokenEvery
	if !x.now.config.HasTable() {
		every = max(1, passes/10)
	}
	x.at = m.Epoch
	line := fmt.Sprintf("%s %d/%d  train %s", unit, m.Epoch, passes, nats(m.Train.Bound))
	x.bar.detail = line
	defer func() { x.bar.at("", m.Epoch, passes) }()
	if m.Epoch%every != 0 && m.Epoch != passes {
		return
	}
	x.bar.done()
	x.bar.said = x.p.now()
	if m.Validation != nil {
		line += "  held out " + nats(m.Validation.Bound)
	}
	x.p.say("       %s", line)
}

// sayInterrupted says how far an interrupted experiment came.
func (x *armFits[R]) sayInterrupted(err error) {
	if !errors.Is(err, train.ErrInterrupted) && !errors.Is(err, context.Canceled) {
		return
	}
	x.p.say("interrupted: %d of %d arms are done, and %s has made %d of %s. Go on with: %s %s --out %s",
		len(x.results), len(x.arms), x.now.name, x.at, count(x.now.config.Epochs, x.now.config.PassUnit()), x.p.name, x.again, run.ShellPath(x.out))
}
