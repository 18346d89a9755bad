package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"elbo/data"
	"elbo/model"
	"elbo/train"
	"elbo/train/run"
)

// ownArm is a model that compare trains itself.
type ownArm struct {
	name   string // of its run directory
	config train.Config
}

// runOwnComparison trains a mixture and a grid by EM and a VAE with the grid's decoder, on
// the same images drawn once, and compares them.
func runOwnComparison(ctx context.Context, p *program, o compareOptions) error {
	ctx, err := p.join(ctx)
	if err != nil {
		return err
	}
	begun, err := fromFirstAs(p, func() (*compareSettings, error) { return begunIn[compareSettings](o.out, compareFile, "comparison") })
	if err != nil {
		return err
	}
	if o.Data == "" {
		o.Data = "mnist"
	}
	if begun != nil {
		if err := o.goOn(*begun); err != nil {
			return err
		}
	}
	arms, err := ownArms(o)
	if err != nil {
		return err
	}
	x := comparison{p: p, models: oneEngine{p: p}}
	for _, a := range arms { // what cannot be trained is said before anything is written
		s, err := x.models.setup(a.config)
		if err != nil {
			err = fmt.Errorf("%s: %w", a.name, p.moved(err, o.Data))
		}
		if err := p.agreeToFit(err, s); err != nil {
			return err
		}
	}
	if begun == nil {
		if o.out, err = fromFirstAs(p, func() (string, error) { return makeMarked(o.out, "compare", compareFile, o.compareSettings) }); err != nil {
			return err
		}
	}
	for i, a := range arms {
		path := filepath.Join(o.out, a.name)
		p.say("%d/%d  %s", i+1, len(arms), path)
		if err := x.train(ctx, a, path); err != nil {
			p.sayCompareStopped(err, o, fmt.Sprintf("%d of %d models are trained", i, len(arms)))
			return fmt.Errorf("%s: %w", path, err)
		}
		o.Runs = append(o.Runs, path)
	}
	o.Data = "" // the runs name it, and hold how it was split
	x.options = o
	if err := x.open(); err != nil {
		return err
	}
	if err = x.score(ctx); err == nil {
		err = x.write(ctx)
	}
	p.sayCompareStopped(err, o, "all models are trained")
	return err
}

// sayCompareStopped says how far an interrupted comparison came.
func (p *program) sayCompareStopped(err error, o compareOptions, done string) {
	if errors.Is(err, train.ErrInterrupted) || errors.Is(err, context.Canceled) {
		p.say("interrupted: %s. Go on with: %s compare --out %s%s", done, p.name, run.ShellPath(o.out), o.scoring)
	}
}

// goOn takes over the settings of a comparison that was begun. A flag may repeat them.
func (o *compareOptions) goOn(begun compareSettings) error {
	if len(begun.Runs) > 0 {
		return usagef("%s holds a comparison of runs (%s): name them, or choose another --out", o.out, strings.Join(begun.Runs, ", "))
	}
	err := checkKept(o.out, "comparison", o.given,
		keptSetting{"data", begun.Data, o.Data},
		keptSetting{"train-limit", begun.TrainLimit, o.TrainLimit},
		keptSetting{"components", begun.Components, o.Components},
		keptSetting{"grid", begun.Grid, o.Grid},
		keptSetting{"hidden", begun.Hidden, o.Hidden},
		keptSetting{"iterations", begun.Iterations, o.Iterations},
		keptSetting{"epochs", begun.Epochs, o.Epochs},
		keptSetting{"seed", begun.Seed, o.Seed},
	)
	if err != nil {
		return &train.ConfigError{Err: err}
	}
	o.compareSettings = begun
	return nil
}

// ownArms are the models, and how they are trained.
func ownArms(o compareOptions) ([]ownArm, error) {
	var arms []ownArm
	var faults []error
	for _, name := range []string{train.MixtureModel, train.GridModel, train.VAEModel} {
		c := train.DefaultConfig(name)
		given := map[string]string{
			"data": o.Data, "limit": fmt.Sprint(o.TrainLimit), "seed": fmt.Sprint(o.Seed), "workers": fmt.Sprint(o.workers),
			"binarise": string(data.Static), "likelihood": string(model.BernoulliName),
			"components": fmt.Sprint(o.Components), "grid": o.Grid, "hidden": o.Hidden, "epochs": fmt.Sprint(o.Iterations),
			"latent": fmt.Sprint(strings.Count(o.Grid, "x") + 1), // the VAE's space has as many dimensions as the grid
		}
		if !c.HasTable() {
			given["epochs"] = fmt.Sprint(o.Epochs)
		}
		for _, option := range c.Options() {
			if value, ok := given[option.Key]; ok {
				faults = append(faults, option.Value.Set(value))
			}
		}
		faults = append(faults, c.Validate())
		arms = append(arms, ownArm{name, c})
	}
	if err := errors.Join(faults...); err != nil {
		return nil, &train.ConfigError{Err: err}
	}
	return arms, nil
}

// train takes an arm from where it stands to its end.
func (x *comparison) train(ctx context.Context, a ownArm, path string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s, err := x.models.setup(a.config)
	if err != nil {
		return err
	}
	done, err := fromFirstAs(x.p, func() (bool, error) {
		done, err := armDone(path, s)
		if !done || err != nil {
			return false, err
		}
		dir, err := train.OpenRun(path) // which removes what a last save that was cut short left
		if err != nil {
			return true, err
		}
		return true, dir.Close()
	})
	if err != nil {
		return err
	}
	if done {
		x.p.say("     done before")
		return nil
	}
	dir := run.Unwritten(path, train.CheckState())
	defer func() {
		if dir != nil {
			dir.Close()
		}
	}()
	from, _, err := x.p.fromFirst(func() (from *run.State, _ string, err error) {
		if dir, err = openArm(path, s.Config); err == nil {
			from, err = x.p.latestOf(dir, s)
		}
		return from, "", err
	})
	if err != nil {
		return err
	}
	if from != nil {
		x.p.say("     goes on at step %d", from.Step)
		x.p.sayNumerics(s, from)
	} else {
		x.p.sayWhat(s)
	}
	bar := newProgress(x.p, s, from)
	bar.every = max(1, s.Config.Epochs/10)
	defer bar.done()
	result, err := train.Run(ctx, s, dir, from, bar, x.p.now)
	if err == nil && result.Status == train.Converged {
		x.p.say("     converged after %s", count(result.Step, "iteration"))
	}
	return err
}

// armDone reports whether a run is there, is this one, and is at its end.
func armDone(path string, s *train.Setup) (bool, error) {
	if _, err := os.Stat(filepath.Join(path, run.ConfigFile)); err != nil {
		return false, nil
	}
	dir, err := train.ReadRun(path)
	if err != nil {
		return false, err
	}
	if err := sameConfig(dir, s.Config); err != nil {
		return false, err
	}
	at, err := train.Stands(dir)
	return at.Status.Ended() && err == nil, err
}
