package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"elbo/graph"
	"elbo/train"
	"elbo/train/run"
)

// Fits that are compared with one another, arms, stand in one directory: a file with
// what was asked, which marks it, and a run directory for each. Called again, what is
// done is not done again.

// begunIn returns the settings of what was begun in the directory out, or nil if it is
// empty or not there yet. A directory that holds anything else is an error. What
// interrupted writes have left in it is removed.
func begunIn[S any](out, file, what string) (*S, error) {
	if out == "" {
		return nil, nil
	}
	entries, err := os.ReadDir(out)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, usagef("%s: cannot be listed: %w: choose another --out", out, err)
	}
	entries = slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return strings.HasPrefix(e.Name(), ".") }) // interrupted writes
	if len(entries) == 0 {
		return nil, run.RemoveLeftovers(out)
	}
	text, err := os.ReadFile(filepath.Join(out, file))
	if err != nil {
		return nil, usagef("%s: holds other files (%d, among them %s) and no %s, want a new directory or one of this %s: choose another --out", out, len(entries), entries[0].Name(), file, what)
	}
	var s S
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, usagef("%s: %s: %w: choose another --out", out, file, err)
	}
	return &s, run.RemoveLeftovers(out)
}

// keptSetting is a setting as it was when something was begun, and as a flag has it now.
type keptSetting struct {
	name       string
	then, flag any
}

// checkKept returns a fault for every setting that was given and is not what it was.
func checkKept(out, what string, given []string, settings ...keptSetting) error {
	var faults []error
	for _, s := range settings {
		if then, flag := fmt.Sprint(s.then), fmt.Sprint(s.flag); slices.Contains(given, s.name) && then != flag {
			faults = append(faults, fmt.Errorf("%s is %v, but the %s in %s was begun with %v: leave --%s out, or choose another --out", s.name, flag, what, out, then, s.name))
		}
	}
	return errors.Join(faults...)
}

// makeMarked makes a directory, the one that out names or the first free one under
// runs/, and marks it with its settings. It returns its name.
func makeMarked(out, base, file string, settings any) (string, error) {
	if out == "" {
		if err := run.MakeDirectory("runs"); err != nil {
			return "", err
		}
		base = filepath.Join("runs", base)
		out = base
		for n := 2; ; n++ {
			err := os.Mkdir(out, 0o777)
			if err == nil {
				break
			}
			if !errors.Is(err, fs.ErrExist) {
				return "", err
			}
			out = fmt.Sprintf("%s-%03d", base, n)
		}
	}
	if err := run.MakeDirectory(out); err != nil {
		return "", usagef("%s: cannot make the directory: %w: choose another --out", out, err)
	}
	return out, writeJSONFile(filepath.Join(out, file), settings)
}

// oneEngine makes models that share one engine, so that what it has to say is said
// once.
type oneEngine struct {
	p      *program
	engine *graph.Engine
}

func (e *oneEngine) setup(c train.Config) (*train.Setup, error) {
	s, err := train.NewSetup(c, e.p.cpus, e.make)
	if err == nil {
		e.p.announce(s.Dataset)
		e.p.share(s)
	}
	return s, err
}

// make returns the engine, and makes it the first time.
func (e *oneEngine) make(workers int) *graph.Engine {
	if e.engine == nil {
		e.engine = e.p.engine(workers)
	}
	return e.engine
}

// openArm makes the run directory of an arm, or opens the one there is.
func openArm(path string, c train.Config) (*run.Dir, error) {
	dir, err := train.CreateRun(path, c)
	if !errors.Is(err, run.ErrRunExists) {
		return dir, err
	}
	if dir, err = train.OpenRun(path); err != nil {
		return nil, err
	}
	if err := sameConfig(dir, c); err != nil {
		dir.Close()
		return nil, err
	}
	return dir, nil
}

// sameConfig fails if a run has another configuration than c, but for how many share the
// work, and for the data, which have a hash to be compared.
func sameConfig(dir *run.Dir, c train.Config) error {
	own, err := runConfig(dir)
	if err != nil {
		return err
	}
	own.Data, own.Split, own.SplitBy, own.Workers = c.Data, c.Split, c.SplitBy, c.Workers
	own.Size, own.Channels = c.Size, c.Channels
	if string(own.JSON()) != string(c.JSON()) {
		return &train.ConfigError{Err: fmt.Errorf("%s is not what this experiment runs (was it resumed with more epochs?): remove that directory, or choose another --out", dir.Path)}
	}
	return nil
}

// latestOf returns the newest state of an arm that is to go on, nil for none. It says what
// is wrong with its checkpoints and metrics.
func (p *program) latestOf(dir *run.Dir, s *train.Setup) (*run.State, error) {
	from, _, warnings := dir.Latest()
	p.sayPassedOver(warnings)
	if from == nil {
		return nil, nil
	}
	if err := s.CheckData(from); err != nil {
		return nil, err
	}
	return from, p.sayMetricsGoOn(dir, from)
}
