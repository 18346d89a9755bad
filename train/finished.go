package train

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/gofrs/flock"

	"elbo/model"
)

// Unfinished says why a run is not at its end, "" where it is: another process is
// writing to it, it has no checkpoint, or fewer epochs than its configuration wants and,
// of EM, no convergence. It takes no lock that lasts and changes nothing.
func (r *RunDir) Unfinished() (string, error) {
	inUse, err := r.inUse()
	if err != nil {
		return "", err
	}
	if inUse {
		return "is in training: wait for it", nil
	}
	text, err := r.Config()
	if err != nil {
		return "", err
	}
	c := DefaultConfig(VAEModel)
	if err := c.ReadConfig(text); err != nil {
		return "", &ConfigError{fmt.Errorf("%s: %w", r.File(ConfigFile), err)}
	}
	s, _, _ := r.Latest()
	if s == nil {
		return "has no checkpoint that can be read", nil
	}
	if c.Model == VAEModel {
		if done := s.Epoch - 1; done < c.Epochs {
			return fmt.Sprintf("has trained for %d of %d epochs", done, c.Epochs), nil
		}
		return "", nil
	}
	metrics, err := r.ReadMetrics()
	if err != nil {
		return "", err
	}
	if emFinished(c, s, metrics) {
		if !r.savedLast(c, s, metrics[len(metrics)-1]) {
			return fmt.Sprintf("has made its last iteration, %d, but was stopped before it had saved what came of it", s.Step), nil
		}
		return "", nil
	}
	return fmt.Sprintf("has made %d of %d iterations, and has not converged", s.Step, c.Epochs), nil
}

// emFinished reports whether RunEM would end at the last line of the metrics.
func emFinished(c Config, s *State, metrics []Metrics) bool {
	if len(metrics) == 0 {
		return false
	}
	last := metrics[len(metrics)-1]
	if last.Step != s.Step {
		return false // the E-step of the newest parameters is missing, or they were not saved
	}
	if last.Epoch >= c.Epochs {
		return true
	}
	if c.Tolerance == 0 || len(metrics) < 2 || last.EM == nil || metrics[len(metrics)-2].EM == nil {
		return false
	}
	var note mStepNote
	if s.MStep != "" && json.Unmarshal([]byte(s.MStep), &note) != nil {
		return false
	}
	before := metrics[len(metrics)-2]
	if before.Epoch != last.Epoch-1 {
		return false // its line was damaged: what the last iteration gained is not known
	}
	gain := last.Train.Bound + last.EM.Penalty - before.Train.Bound - before.EM.Penalty
	return gain < c.Tolerance && !note.shortening()
}

// savedLast reports whether a fit by EM has saved what its last E-step came to. RunEM
// writes the line of metrics first, then the best state, if this is it, then the last
// checkpoint once more, which names the best. Under a prior per image it does not write
// that checkpoint again (see finish).
func (r *RunDir) savedLast(c Config, s *State, last Metrics) bool {
	v := last.Validation
	if v == nil || s.Best != nil && v.Bound <= s.Best.Bound {
		return true
	}
	if c.Prior != model.PerImage {
		return false
	}
	best, _, err := r.Best()
	return err == nil && best.Step == last.Step
}

// inUse reports whether another process holds the run's lock.
func (r *RunDir) inUse() (bool, error) {
	path := r.File(runLockFile)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	lock := flock.New(path, flock.SetFlag(os.O_RDONLY)) // the run may be on a medium that cannot be written to
	free, err := lock.TryRLock()
	if err != nil {
		return false, fmt.Errorf("train: %s: cannot look at the lock: %w", r.Path, err)
	}
	return !free, lock.Unlock()
}
