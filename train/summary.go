package train

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"elbo/model/infer"
	"elbo/train/run"
)

// Summary is what a list of runs says of one.
type Summary struct {
	Run         string          `json:"run"`         // its directory
	Model       string          `json:"model"`       // its kind, "" where the configuration cannot be read
	Description string          `json:"description"` // what is fitted, in a line
	Data        string          `json:"data"`
	Done        int             `json:"done"` // passes
	Of          int             `json:"of"`
	Unit        string          `json:"unit"`                // of a pass: epoch or iteration
	Bound       *infer.Estimate `json:"bound,omitempty"`     // nats per image: the best on validation images, else the last while training, without an error
	Validated   bool            `json:"validated,omitempty"` // Bound is that of validation images
	Bytes       int64           `json:"bytes"`               // on the disk, files with two names counted once
	State       RunState        `json:"state"`
	Fault       string          `json:"fault,omitempty"` // what is damaged
}

// RunState is where a run stands, in a word or two.
type RunState string

// The states.
const (
	RunFinished    RunState = "finished"
	RunConverged   RunState = "converged"
	RunStopped     RunState = "stopped early" // by its patience
	RunInterrupted RunState = "interrupted"   // `elbo resume` goes on
	RunInTraining  RunState = "in training"
	RunEmpty       RunState = "no checkpoint"
	RunDamaged     RunState = "damaged"
)

// FindRuns returns the run directories in a directory, at any depth, or the directory itself where
// it is one, sorted by name. What lies in a run, such as its restarts, is part of it. Hidden
// directories and links are passed over.
func FindRuns(dir string) ([]string, error) {
	var found []string
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			if path != dir && errors.Is(err, fs.ErrNotExist) {
				return nil // removed since the listing
			}
			if errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("%s: %w: there is no such directory: want one of runs", dir, run.ErrNotRun)
			}
			return err
		}
		if !entry.IsDir() {
			if path == dir {
				return fmt.Errorf("%s: %w: it is a file: want a directory of runs", dir, run.ErrNotRun)
			}
			return nil
		}
		if path != dir && strings.HasPrefix(entry.Name(), ".") {
			return fs.SkipDir
		}
		if isRun(path) {
			found = append(found, path)
			return fs.SkipDir
		}
		return nil
	})
	slices.Sort(found)
	return found, err
}

// isRun reports whether a directory is a run, perhaps one that lost its configuration.
func isRun(path string) bool {
	for _, pattern := range []string{run.MetricsFile, run.BestFile, "checkpoint-*.safetensors"} {
		if names, _ := filepath.Glob(filepath.Join(escapeGlob(path), pattern)); len(names) > 0 {
			return true
		}
	}
	text, err := run.ReadConfigFile(filepath.Join(path, run.ConfigFile))
	if err != nil {
		return false
	}
	_, err = ReadConfig(text)
	return err == nil // else a file of that name that is none of ours
}

// escapeGlob makes a path a pattern that matches it alone.
func escapeGlob(path string) string {
	if filepath.Separator == '\\' {
		return path // there is no escape on Windows
	}
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// Summarise says what there is to say of a run in a line. A run that is damaged is no error: its
// summary says so.
func Summarise(path string) Summary {
	s := Summary{Run: path, State: RunDamaged, Bytes: diskUse(path)}
	damaged := func(err error) Summary {
		s.Fault = err.Error()
		return s
	}
	dir, err := ReadRun(path)
	if err != nil {
		return damaged(err)
	}
	text, err := dir.Config()
	if err != nil {
		return damaged(err)
	}
	c, err := ReadConfig(text)
	if err == nil {
		err = c.Validate()
	}
	if err != nil {
		return damaged(fmt.Errorf("%s: %w", dir.File(run.ConfigFile), err))
	}
	s.Model, s.Description, s.Data, s.Of, s.Unit = c.Model, c.Model, c.Data, c.Epochs, c.PassUnit()
	metrics, err := dir.ReadMetrics()
	if err != nil {
		return damaged(err)
	}
	s.bound(metrics)
	at, newest, faults, err := stands(dir)
	if err != nil {
		return damaged(err)
	}
	if len(metrics) > 0 {
		s.Done = metrics[len(metrics)-1].Epoch
	}
	if newest != nil {
		s.Description = c.Settings.Describe(c, pixelsOf(newest))
	}
	switch at.Status {
	case InUse:
		s.State = RunInTraining
		return s
	case NoCheckpoint:
		if len(faults) > 0 {
			return damaged(errors.Join(faults...))
		}
		s.State = RunEmpty
		if _, err := os.Stat(dir.File(restartName(0))); err == nil {
			s.State = RunInterrupted
		}
		return s
	case Finished:
		s.State = RunFinished
	case Converged:
		s.State = RunConverged
	case OutOfPatience:
		s.State = RunStopped
	default:
		s.State = RunInterrupted
	}
	s.Done = at.Done
	if _, _, err := dir.Best(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		faults = append(faults, err)
	}
	if len(faults) > 0 {
		s.State = RunDamaged
		return damaged(errors.Join(faults...))
	}
	return s
}

// bound sets the best validation bound, or the last bound of training.
func (s *Summary) bound(metrics []run.Metrics) {
	for _, m := range metrics {
		switch v := m.Validation; {
		case v != nil && (!s.Validated || v.Bound > s.Bound.Value):
			s.Bound, s.Validated = &infer.Estimate{Value: v.Bound, SE: v.BoundSE}, true
		case v == nil && !s.Validated && m.Train != nil:
			s.Bound = &infer.Estimate{Value: m.Train.Bound}
		}
	}
}

// pixelsOf is D, by the shape of a checkpoint's last tensor that has a number for each pixel. No
// tensor of a convolution has, and no description asks for it there.
func pixelsOf(s *run.State) int {
	d := 0
	for _, t := range s.Params {
		switch {
		case strings.HasPrefix(t.Name, "states.") && len(t.Shape) == 2: // [K, D]
			return t.Shape[1]
		case strings.HasPrefix(t.Name, "decoder.") && strings.HasSuffix(t.Name, ".bias"): // of the last layer, [D]
			d = t.Shape[0]
		}
	}
	return d
}

// diskUse is the size of all files in a directory, those with two names in it counted once.
func diskUse(path string) int64 {
	var total int64
	var large []fs.FileInfo // that may have two names
	filepath.WalkDir(path, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return nil
		}
		info, err := entry.Info()
		if err != nil || !info.Mode().IsRegular() {
			return nil
		}
		if strings.HasSuffix(file, ".safetensors") {
			info, err = os.Stat(file) // of Lstat SameFile knows less
			if err != nil || slices.ContainsFunc(large, func(other fs.FileInfo) bool { return os.SameFile(info, other) }) {
				return nil
			}
			large = append(large, info)
		}
		total += info.Size()
		return nil
	})
	return total
}
