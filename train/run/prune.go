package run

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Removed is a checkpoint that Prune has removed.
type Removed struct {
	Name  string
	Bytes int64 // that this frees: 0 where the file has another name in the run
}

// Prune removes the checkpoints that a run can do without, and returns them: all but
// best.safetensors, the newest checkpoint that can be read, and what is newer than that and
// cannot. It touches nothing but files of a checkpoint's name. Where none can be read, nothing is
// removed, and the error says why. With dry it only returns what it would remove, and a run that
// is open for reading will do.
func (r *Dir) Prune(dry bool) ([]Removed, error) {
	if err := r.writable(); err != nil && !dry {
		return nil, err
	}
	names, err := r.Checkpoints()
	if err != nil {
		return nil, fmt.Errorf("%s: cannot list the checkpoints: %w", r.Path, err)
	}
	newest, path, faults := r.Latest()
	if newest == nil {
		return nil, errors.Join(faults...)
	}
	var kept []fs.FileInfo
	for _, path := range []string{path, r.File(BestFile)} {
		if info, err := os.Stat(path); err == nil {
			kept = append(kept, info)
		}
	}
	var removed []Removed
	older := false
	for _, name := range names {
		if r.File(name) == path {
			older = true
			continue
		}
		if !older {
			continue
		}
		info, err := os.Lstat(r.File(name))
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		if !dry {
			if err := r.Files.Remove(r.File(name)); err != nil {
				return removed, fmt.Errorf("%s: cannot be removed: %w", r.File(name), err)
			}
			delete(r.readable, name)
		}
		one := Removed{Name: name, Bytes: info.Size()}
		for _, other := range kept {
			if os.SameFile(info, other) {
				one.Bytes = 0
			}
		}
		removed = append(removed, one)
	}
	return removed, nil
}

// Discard removes what the program has written to a run that has saved no checkpoint, and closes
// it: the directory is as Create found it, but for files of others. A run with a checkpoint, or
// with files besides that the program knows nothing of, stays as it is, and the result is false.
func (r *Dir) Discard() (bool, error) {
	if err := r.writable(); err != nil {
		return false, err
	}
	entries, err := os.ReadDir(r.Path)
	if err != nil {
		return false, err
	}
	for _, entry := range entries {
		switch entry.Name() {
		case ConfigFile, MetricsFile, MetricsDamagedFile, runLockFile:
		default:
			return false, nil
		}
	}
	for _, name := range []string{MetricsFile, MetricsDamagedFile, ConfigFile} {
		if err := r.Files.Remove(r.File(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
	}
	// Under the lock, so that nobody else holds it. Where a file that is open cannot be removed
	// it goes after the lock.
	lock := r.Files.Remove(r.File(runLockFile))
	if err := r.Close(); err != nil {
		return true, err
	}
	if lock != nil {
		return true, r.Files.Remove(r.File(runLockFile))
	}
	return true, nil
}
