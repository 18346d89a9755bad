package run

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

const (
	// atomicPrefix starts the name of every temporary file, so that Open can tell
	// what an interrupted write left behind.
	atomicPrefix = ".elbo-tmp-"
	// atomicNames is how many names are tried for a temporary file. A name is taken
	// only while another write to the same path runs, or after a crash during one.
	atomicNames = 1000
	// atomicBuffer gathers small writes, of encoders that write row by row.
	atomicBuffer = 1 << 16
)

// WriteAtomic puts what write writes at path: all of it or, on an error or a crash,
// nothing, in which case path holds what it held before. It writes a temporary file
// in the same directory, flushes it to the disk, renames it to path and flushes the
// directory (which Windows cannot, and does not need). The mode is 0666 before the
// umask. A symbolic link at path is replaced, not followed. No temporary file is
// left behind but by a crash.
//
// The error wraps that of write or of the operating system.
func WriteAtomic(path string, write func(io.Writer) error) error {
	return OSFiles().write(path, write)
}

// Files are the file operations of a run directory: of MakeDirectory and WriteAtomic, in the
// order of their use (Remove is for the temporary file of a write that failed), and of
// AppendMetrics. A test may put others in their place.
type Files struct {
	Mkdir   func(path string) error             // of MakeDirectory
	Create  func(path string) (TempFile, error) // fails with fs.ErrExist if path exists
	Rename  func(from, to string) error
	SyncDir func(dir string) error
	Remove  func(path string) error
	OpenLog func(path string) (MetricsLog, error) // for reading and writing; made if it is not there
}

// TempFile is a temporary file, open for writing.
type TempFile interface {
	io.Writer
	Sync() error
	Close() error
}

// OSFiles are those of the operating system.
func OSFiles() Files {
	return Files{
		Mkdir: func(path string) error { return os.Mkdir(path, 0o777) },
		Create: func(path string) (TempFile, error) {
			return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
		},
		Rename:  os.Rename,
		SyncDir: syncDirectory,
		Remove:  os.Remove,
		OpenLog: openMetricsLog,
	}
}

// MakeDirectory makes a directory and the parents it lacks, and flushes the directory
// that each was made in, so that they survive a power failure. A directory that is there
// is no error; the one it lies in is flushed all the same, as whoever made it may have
// been stopped before that.
func MakeDirectory(path string) error { return OSFiles().makeDirectory(path) }

func (o Files) makeDirectory(path string) error {
	parent := filepath.Dir(path)
	switch info, err := os.Stat(path); {
	case err == nil && !info.IsDir():
		return &fs.PathError{Op: "mkdir", Path: path, Err: syscall.ENOTDIR}
	case err != nil:
		if info, err := os.Stat(parent); err != nil || !info.IsDir() {
			if err := o.makeDirectory(parent); err != nil {
				return err
			}
		}
		if err := o.Mkdir(path); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	// A directory that may be entered but not read cannot be flushed.
	if err := o.SyncDir(parent); err != nil && !errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("made, but may not survive a power failure: flush %s: %w", parent, err)
	}
	return nil
}

func (o Files) write(path string, content func(io.Writer) error) error {
	dir := filepath.Dir(path)
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: not written: there is no directory %s: make it, or name another (%w)", path, dir, fs.ErrNotExist)
	}
	if err := o.replace(path, content); err != nil {
		return fmt.Errorf("%s: not written, what was there before is unchanged: %w%s", path, err, atomicHint(err))
	}
	if err := o.SyncDir(dir); err != nil {
		return fmt.Errorf("%s: written, but may not survive a power failure: flush the directory: %w", path, err)
	}
	return nil
}

// replace does all but the flush of the directory.
func (o Files) replace(path string, content func(io.Writer) error) (err error) {
	temp, file, err := o.createTemp(path)
	if err != nil {
		return err
	}
	renamed := false
	defer func() { // deferred, so that it also runs when content panics
		if renamed {
			return
		}
		file.Close() // a second Close does no harm, and Windows removes no open file
		if left := o.Remove(temp); left != nil {
			err = fmt.Errorf("%w; its temporary file is still there: %w", err, left)
		}
	}()
	buffered := bufio.NewWriterSize(file, atomicBuffer)
	if err := content(buffered); err != nil {
		return err
	}
	if err := buffered.Flush(); err != nil {
		return err
	}
	// The data must be on the disk before the name points at it.
	if err := file.Sync(); err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	if err := o.Rename(temp, path); err != nil {
		return err
	}
	renamed = true
	return nil
}

func (o Files) createTemp(path string) (string, TempFile, error) {
	dir, base := filepath.Split(path)
	for n := range atomicNames {
		temp := filepath.Join(dir, fmt.Sprintf("%s%d-%s", atomicPrefix, n, base))
		file, err := o.Create(temp)
		if err == nil {
			return temp, file, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return "", nil, err
		}
	}
	return "", nil, fmt.Errorf("%d temporary files %s*-%s are in the way: remove them", atomicNames, atomicPrefix, base)
}

// atomicHint is the next thing to try, where it can be known.
func atomicHint(err error) string {
	switch {
	case errors.Is(err, syscall.ENOSPC):
		return ": free some space on that disk"
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return ": make the directory writable or choose another"
	}
	return ""
}

// RemoveLeftovers removes the temporary files of writes that a crash cut short. Nobody
// may be writing in dir.
func RemoveLeftovers(dir string) error { return removeAtomicLeftovers(dir, os.Remove) }

func removeAtomicLeftovers(dir string, remove func(string) error) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), atomicPrefix) {
			continue
		}
		if err := remove(filepath.Join(dir, entry.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// syncDirectory flushes a directory, so that a rename in it survives a power
// failure. File systems that know no such thing answer EINVAL or "unsupported":
// then there is nothing to be done, and nothing to report.
func syncDirectory(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}
