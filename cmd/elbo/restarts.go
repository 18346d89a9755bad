package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"elbo/train"
	"elbo/train/run"
)

// A run with restarts holds a run for each beginning, in restart-1, restart-2, ... When
// all are done, the files of the best one are copied beside them, and the run is like
// any other from then on.

// restarted is a line of restarts.json: how a beginning ended.
type restarted struct {
	Restart    int     `json:"restart"`
	Objective  float64 `json:"objective"` // evidence plus penalty of the training images, nats per image
	Iterations int64   `json:"iterations"`
	Converged  bool    `json:"converged"`
	Chosen     bool    `json:"chosen,omitempty"`
}

const restartsFile = "restarts.json"

// trainRestarts fits a mixture from several beginnings, each to its end, and makes the
// one of the highest objective the run. Beginnings that were done before are not made
// again; one that was interrupted goes on.
func (p *program) trainRestarts(ctx context.Context, c train.Config, dir *run.Dir, o trainOptions) error {
	var all []restarted
	best := 0
	beginnings := train.SettingsOf[train.MixtureSettings](c)
	only := func(i int) train.Config {
		return train.With(c, func(s *train.MixtureSettings) { s.Restarts, s.Restart = 1, beginnings.Restart+i })
	}
	for i := range beginnings.Restarts {
		p.say("beginning %d of %d", i+1, beginnings.Restarts)
		r, err := p.trainRestart(ctx, only(i), dir.File(fmt.Sprintf("restart-%d", i+1)))
		if err != nil {
			return err
		}
		all = append(all, r)
		if r.Objective > all[best].Objective {
			best = i
		}
	}
	all[best].Chosen = true
	if err := writeJSONFile(dir.File(restartsFile), all); err != nil {
		return err
	}
	for i, r := range all {
		mark := ""
		if i == best {
			mark = "  chosen"
		}
		p.say("beginning %d: %.4f nats per image after %d iterations%s", i+1, r.Objective, r.Iterations, mark)
	}
	s, err := p.setup(only(best))
	if err != nil {
		return err
	}
	state, err := adopt(dir, dir.File(fmt.Sprintf("restart-%d", best+1)), s.Config)
	if err != nil {
		return err
	}
	return p.finish(ctx, s, dir, train.Result{Step: state.Step, Best: state.Best}, o)
}

// trainRestart fits from one beginning, in a directory of its own.
func (p *program) trainRestart(ctx context.Context, c train.Config, path string) (restarted, error) {
	s, err := p.setup(c)
	if err != nil {
		return restarted{}, err
	}
	dir, err := train.CreateRun(path, s.Config)
	if errors.Is(err, run.ErrRunExists) {
		dir, err = train.OpenRun(path)
	}
	if err != nil {
		return restarted{}, err
	}
	defer dir.Close()
	state, err := p.latestOf(dir, s)
	if err != nil {
		return restarted{}, err
	}
	bar := newProgress(p, s, state)
	result, err := train.RunEM(ctx, s, dir, state, bar, p.now)
	bar.done()
	if errors.Is(err, train.ErrInterrupted) {
		p.say("interrupted; a checkpoint is saved. Go on with: %s resume %s", p.name, run.ShellPath(filepath.Dir(path)))
	}
	if err != nil {
		return restarted{}, err
	}
	metrics, err := dir.ReadMetrics()
	if err != nil || len(metrics) == 0 {
		return restarted{}, errors.Join(err, fmt.Errorf("%s has no metrics", path))
	}
	last := metrics[len(metrics)-1]
	return restarted{Restart: train.SettingsOf[train.MixtureSettings](c).Restart, Objective: last.Train.Bound + last.EM.Penalty, Iterations: result.Step, Converged: result.Converged}, nil
}

// adopt copies the metrics, the best state, the newest checkpoint and then the
// configuration of a beginning into the run, and returns its newest state. The
// configuration is what counts: as long as it names several restarts, a run that goes on
// adopts anew, whatever was copied before.
func adopt(dir *run.Dir, from string, c train.Config) (*run.State, error) {
	child, err := train.ReadRun(from)
	if err != nil {
		return nil, err
	}
	state, path, _ := child.Latest()
	if state == nil {
		return nil, fmt.Errorf("%s: %w", from, train.ErrNoCheckpoint)
	}
	for _, name := range []string{run.MetricsFile, run.BestFile, filepath.Base(path)} {
		err := copyFile(dir.File(name), child.File(name))
		if err != nil && !(name == run.BestFile && errors.Is(err, fs.ErrNotExist)) {
			return nil, err
		}
	}
	return state, dir.SetConfig(c.JSON())
}

func copyFile(to, from string) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	return run.WriteAtomic(to, func(w io.Writer) error {
		_, err := io.Copy(w, source)
		return err
	})
}
