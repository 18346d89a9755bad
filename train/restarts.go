package train

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"elbo/train/run"
)

// RestartsFile is the file of a run directory that says how its restarts ended.
const RestartsFile = "restarts.json"

// Restarted is how a restart ended: an element of RestartsFile.
type Restarted struct {
	Restart    int     `json:"restart"`
	Objective  float64 `json:"objective"` // evidence plus penalty of the training images, nats per image
	Iterations int64   `json:"iterations"`
	Converged  bool    `json:"converged"`
	Chosen     bool    `json:"chosen,omitempty"`
}

// RestartRecorder is a Recorder that hears of restarts as well.
type RestartRecorder interface {
	Recorder
	// Restart is called before restart i of n, which goes on from a state in dir unless that
	// is nil. The warnings say why newer checkpoints were passed over.
	Restart(i, n int, s *Setup, dir *run.Dir, from *run.State, warnings []error) error
	// Restarted is called when all are done.
	Restarted([]Restarted)
}

// runRestarts fits the model from several first parameters, each to its end in a run of its
// own (restart-1, restart-2, ... in dir), and makes the one of the highest objective the
// run: its files are copied to dir, its parameters to s. Restarts that were done before are
// not made again; one that was interrupted goes on.
func runRestarts(ctx context.Context, s *Setup, dir *run.Dir, recorder Recorder, now func() time.Time) (Result, error) {
	var all []Restarted
	var chosen *Setup
	var ended Result
	best := 0
	n := SettingsOf[MixtureSettings](s.Config).Restarts
	for i := range n {
		c := With(s.Config, func(m *MixtureSettings) { m.Restarts, m.Restart = 1, m.Restart+i })
		one, err := s.with(c)
		if err != nil {
			return Result{}, err
		}
		result, r, err := runRestart(ctx, one, dir.File(restartName(i)), recorder, now, i, n)
		if err != nil {
			return Result{}, err
		}
		all = append(all, r)
		if i == 0 || r.Objective > all[best].Objective {
			best, chosen, ended = i, one, result
		}
	}
	all[best].Chosen = true
	err := run.WriteAtomic(dir.File(RestartsFile), func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(all)
	})
	if err != nil {
		return Result{}, err
	}
	if heard, ok := recorder.(RestartRecorder); ok {
		heard.Restarted(all)
	}
	state, err := adopt(dir, dir.File(restartName(best)), chosen.Config)
	if err != nil {
		return Result{}, err
	}
	s.Config = chosen.Config
	return Result{Status: ended.Status, Step: state.Step, Best: state.Best}, s.Load(state)
}

// restartName is the directory of restart i, from 0.
func restartName(i int) string { return fmt.Sprintf("restart-%d", i+1) }

// Restarts returns the directories of the restarts of a run, none where it has none.
func Restarts(path string) ([]string, error) {
	var found []string
	for i := 0; ; i++ {
		restart := filepath.Join(path, restartName(i))
		info, err := os.Stat(restart)
		if errors.Is(err, fs.ErrNotExist) || err == nil && !info.IsDir() {
			return found, nil
		}
		if err != nil {
			return found, err
		}
		found = append(found, restart)
	}
}

// runRestart makes one restart, in a directory of its own.
func runRestart(ctx context.Context, s *Setup, path string, recorder Recorder, now func() time.Time, i, n int) (Result, Restarted, error) {
	dir, err := CreateRun(path, s.Config)
	if errors.Is(err, run.ErrRunExists) {
		dir, err = OpenRun(path)
	}
	if err != nil {
		return Result{}, Restarted{}, err
	}
	defer dir.Close()
	from, _, warnings := dir.Latest()
	if from != nil {
		if err := s.CheckData(from); err != nil {
			return Result{}, Restarted{}, err
		}
	}
	if heard, ok := recorder.(RestartRecorder); ok {
		if err := heard.Restart(i, n, s, dir, from, warnings); err != nil {
			return Result{}, Restarted{}, err
		}
	}
	result, err := Run(ctx, s, dir, from, recorder, now)
	if err != nil {
		return Result{}, Restarted{}, err
	}
	metrics, err := dir.ReadMetrics()
	if err != nil || len(metrics) == 0 {
		return Result{}, Restarted{}, errors.Join(err, fmt.Errorf("%s has no metrics", path))
	}
	last := metrics[len(metrics)-1]
	return result, Restarted{Restart: SettingsOf[MixtureSettings](s.Config).Restart, Objective: last.Train.Bound + last.EM.Penalty, Iterations: result.Step, Converged: result.Status == Converged}, nil
}

// adopt copies the metrics, the best state, the newest checkpoint and then the
// configuration of a restart into the run, and returns its newest state. The configuration
// is what counts: as long as it names several restarts, a run that goes on adopts anew,
// whatever was copied before.
func adopt(dir *run.Dir, from string, c Config) (*run.State, error) {
	child, err := ReadRun(from)
	if err != nil {
		return nil, err
	}
	state, path, _ := child.Latest()
	if state == nil {
		return nil, fmt.Errorf("%s: %w", from, ErrNoCheckpoint)
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
