package train

import (
	"fmt"

	"elbo/train/run"
)

// Status is where a run stands, or how it ended.
type Status int

// The states of a run.
const (
	Unfinished    Status = iota // there are passes to make
	Finished                    // all passes that the configuration asks for are made
	Converged                   // EM: an iteration gained less than the tolerance
	OutOfPatience               // no epoch of late has raised the best validation bound
	InUse                       // another process is writing to it
	NoCheckpoint                // it has no checkpoint that can be read
	Unsaved                     // its last pass is made, but not all that came of it was saved
)

// Ended reports whether the run is at its end.
func (s Status) Ended() bool { return s == Finished || s == Converged || s == OutOfPatience }

// Standing is where a run stands.
type Standing struct {
	Status   Status
	Done, Of int    // passes
	Unit     string // what a pass is called, "epoch" or "iteration"
}

// String says it, for a sentence that begins with the run's name.
func (s Standing) String() string {
	switch s.Status {
	case InUse:
		return "is in training: wait for it"
	case NoCheckpoint:
		return "has no checkpoint that can be read"
	case Unsaved:
		return fmt.Sprintf("has made its last %s, %d, but was stopped before it had saved what came of it", s.Unit, s.Done)
	case Finished:
		return fmt.Sprintf("has made all %d %ss", s.Of, s.Unit)
	case OutOfPatience:
		return fmt.Sprintf("has stopped after %d of %d %ss, as the best validation bound did not rise any more (--patience)", s.Done, s.Of, s.Unit)
	case Converged:
		return fmt.Sprintf("has converged after %d of %d %ss", s.Done, s.Of, s.Unit)
	}
	if s.Unit == "iteration" {
		return fmt.Sprintf("has made %d of %d iterations, and has not converged", s.Done, s.Of)
	}
	return fmt.Sprintf("has trained for %d of %d %ss", s.Done, s.Of, s.Unit)
}

// Stands returns where a run stands. It takes no lock that lasts and changes nothing.
func Stands(r *run.Dir, kinds ...Kind) (Standing, error) {
	at, _, _, err := stands(r, kinds...)
	return at, err
}

// stands returns the newest checkpoint that can be read as well, nil where none can or the run
// is in use, and why newer ones were passed over.
func stands(r *run.Dir, kinds ...Kind) (Standing, *run.State, []error, error) {
	inUse, err := r.InUse()
	if err != nil {
		return Standing{}, nil, nil, err
	}
	if inUse {
		return Standing{Status: InUse}, nil, nil, nil
	}
	text, err := r.Config()
	if err != nil {
		return Standing{}, nil, nil, err
	}
	c, err := ReadConfig(text, kinds...)
	if err != nil {
		return Standing{}, nil, nil, fmt.Errorf("%s: %w: %w", r.File(run.ConfigFile), run.ErrDamagedConfig, err)
	}
	s, _, passed := r.Latest()
	if s == nil {
		return Standing{Status: NoCheckpoint}, nil, passed, nil
	}
	at := Standing{Done: s.Epoch - 1, Of: c.Epochs, Unit: c.PassUnit()}
	if !c.HasTable() {
		at.Status = SettingsOf[VAESettings](c).stands(c, at.Done, s.Best)
		return at, s, passed, nil
	}
	metrics, err := r.ReadMetrics()
	if err != nil {
		return at, s, passed, err
	}
	if at.Status = emStands(c, s, metrics); at.Status.Ended() && !savedLast(s, metrics[len(metrics)-1]) {
		at.Status = Unsaved
	}
	return at, s, passed, nil
}

// emStands says whether a fit by EM would end at the last line of the metrics.
func emStands(c Config, s *run.State, metrics []run.Metrics) Status {
	if len(metrics) == 0 {
		return Unfinished
	}
	last := metrics[len(metrics)-1]
	if last.Step != s.Step {
		return Unfinished // the E-step of the newest parameters is missing, or they were not saved
	}
	end := Unfinished
	if last.Epoch >= c.Epochs {
		end = Finished
	}
	small := smallGains(c)
	if c.Table().Tolerance == 0 || len(metrics) <= small || shortening(s.MStep) {
		return end
	}
	for i := len(metrics) - small; i < len(metrics); i++ {
		before, m := metrics[i-1], metrics[i]
		if before.Epoch != m.Epoch-1 {
			return end // a line was damaged: what the iteration gained is not known
		}
		if before.EM == nil || m.EM == nil || !smallGain(c, m.Train.Bound+m.EM.Penalty-before.Train.Bound-before.EM.Penalty, m.EM.Rounding) {
			return end
		}
	}
	return Converged
}

// smallGains is how many gains in a row are to be small: of a jump one says little.
func smallGains(c Config) int {
	if SettingsOf[MixtureSettings](c).Accelerate {
		return 2
	}
	return 1
}

// smallGain reports whether a gain in evidence plus penalty is below the tolerance. A fall
// that is more than the rounding of both bounds is no small gain: EM cannot lower its bound,
// so something is wrong, and it has not converged.
func smallGain(c Config, gain, rounding float64) bool {
	return gain < c.Table().Tolerance && (gain >= -2*rounding || rounding == 0)
}

// savedLast reports whether a fit by EM has saved what its last E-step came to. Run
// writes the line of metrics first, then the best state, then the last checkpoint, which
// names the best.
func savedLast(s *run.State, last run.Metrics) bool {
	v := last.Validation
	return v == nil || s.Best != nil && v.Bound <= s.Best.Bound
}
