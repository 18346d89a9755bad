package train

import (
	"fmt"

	"elbo/train/run"
)

// Unfinished says why a run is not at its end, "" where it is: another process is
// writing to it, it has no checkpoint, or fewer epochs than its configuration wants and,
// of EM, no convergence. It takes no lock that lasts and changes nothing.
func Unfinished(r *run.Dir, kinds ...Kind) (string, error) {
	inUse, err := r.InUse()
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
	c, err := ReadConfig(text, kinds...)
	if err != nil {
		return "", &ConfigError{fmt.Errorf("%s: %w", r.File(run.ConfigFile), err)}
	}
	s, _, _ := r.Latest()
	if s == nil {
		return "has no checkpoint that can be read", nil
	}
	if c.Settings == nil || !c.Settings.Kind().EM {
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
		if !savedLast(s, metrics[len(metrics)-1]) {
			return fmt.Sprintf("has made its last iteration, %d, but was stopped before it had saved what came of it", s.Step), nil
		}
		return "", nil
	}
	return fmt.Sprintf("has made %d of %d iterations, and has not converged", s.Step, c.Epochs), nil
}

// emFinished reports whether RunEM would end at the last line of the metrics.
func emFinished(c Config, s *run.State, metrics []run.Metrics) bool {
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
	small := 1 // gains in a row that are to be small
	if SettingsOf[MixtureSettings](c).Accelerate {
		small = 2
	}
	if c.Table().Tolerance == 0 || len(metrics) <= small || shortening(s.MStep) {
		return false
	}
	for i := len(metrics) - small; i < len(metrics); i++ {
		before, m := metrics[i-1], metrics[i]
		if before.Epoch != m.Epoch-1 {
			return false // a line was damaged: what the iteration gained is not known
		}
		if before.EM == nil || m.EM == nil || !smallGain(c, m.Train.Bound+m.EM.Penalty-before.Train.Bound-before.EM.Penalty, m.EM.Rounding) {
			return false
		}
	}
	return true
}

// smallGain reports whether a gain in evidence plus penalty is below the tolerance. A fall
// that is more than the rounding of both bounds is no small gain: EM cannot lower its bound,
// so something is wrong, and it has not converged.
func smallGain(c Config, gain, rounding float64) bool {
	return gain < c.Table().Tolerance && (gain >= -2*rounding || rounding == 0)
}

// savedLast reports whether a fit by EM has saved what its last E-step came to. RunEM
// writes the line of metrics first, then the best state, then the last checkpoint, which
// names the best.
func savedLast(s *run.State, last run.Metrics) bool {
	v := last.Validation
	return v == nil || s.Best != nil && v.Bound <= s.Best.Bound
}
