// Package runtest has file operations for tests of what writes run directories.
package runtest

import (
	"errors"
	"os"
	"testing"

	"elbo/train/run"
)

// Hasty makes a run directory whose files do not wait for the disk, for tests that write
// thousands of them. It is closed when the test ends.
func Hasty(t testing.TB, path string, config []byte, check run.Check) *run.Dir {
	t.Helper()
	dir, err := run.Create(path, config, check)
	if err != nil {
		t.Fatal(err)
	}
	dir.Files.SyncDir = func(string) error { return nil }
	dir.Files.Create = func(path string) (run.TempFile, error) {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
		return hasty{f}, err
	}
	dir.Files.OpenLog = func(path string) (run.MetricsLog, error) {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
		return hasty{f}, err
	}
	t.Cleanup(func() { dir.Close() })
	return dir
}

type hasty struct{ *os.File }

func (hasty) Sync() error { return nil }

// ErrStopped is what every operation of a process that has died comes to.
var ErrStopped = errors.New("the process has died")

// process dies before operation number crashAt.
type process struct{ crashAt, done int }

// on reports whether it still lives, and counts the operation.
func (p *process) on() bool {
	p.done++
	return p.done <= p.crashAt
}

func (p *process) do(operation func()) error {
	if !p.on() {
		return ErrStopped
	}
	operation()
	return nil
}

// Stopping are the real operations until the process dies before number crashAt;
// from then on nothing happens, not even the removal of a temporary file. The disk is
// not waited for: a process that dies takes no power with it.
func Stopping(crashAt int) run.Files {
	real, disk := run.OSFiles(), &process{crashAt: crashAt}
	return run.Files{
		Mkdir: func(path string) (err error) {
			return errors.Join(disk.do(func() { err = real.Mkdir(path) }), err)
		},
		Create: func(path string) (f run.TempFile, err error) {
			if !disk.on() {
				return nil, ErrStopped
			}
			f, err = real.Create(path)
			return &stoppingFile{f, disk}, err
		},
		Rename: func(from, to string) (err error) {
			return errors.Join(disk.do(func() { err = real.Rename(from, to) }), err)
		},
		SyncDir: func(string) error {
			return disk.do(func() {})
		},
		OpenLog: real.OpenLog,
		Remove: func(path string) (err error) {
			return errors.Join(disk.do(func() { err = real.Remove(path) }), err)
		},
	}
}

type stoppingFile struct {
	run.TempFile
	disk *process
}

func (f *stoppingFile) Write(b []byte) (n int, err error) {
	return len(b), errors.Join(f.disk.do(func() { _, err = f.TempFile.Write(b) }), err)
}
func (f *stoppingFile) Sync() error { return f.disk.do(func() {}) }
func (f *stoppingFile) Close() error { // a dead process holds no file open
	on := f.disk.on()
	if err := f.TempFile.Close(); on {
		return err
	}
	return ErrStopped
}
