package run

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func writeText(text string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, text)
		return err
	}
}

func mustWriteFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}

func mustReadFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// listNames returns the names in a directory, sorted.
func listNames(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	names := []string{}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func wantNames(t *testing.T, dir string, want ...string) {
	t.Helper()
	if got := listNames(t, dir); !slices.Equal(got, want) {
		t.Errorf("%s holds %q, want %q", filepath.Base(dir), got, want)
	}
}

func TestWriteAtomicReplacesTheFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	for _, text := range []string{"first", strings.Repeat("long ", atomicBuffer), ""} {
		if err := WriteAtomic(path, writeText(text)); err != nil {
			t.Fatal(err)
		}
		if mustReadFile(t, path) != text {
			t.Error("the file does not hold what was written")
		}
		wantNames(t, dir, "f")
	}
}

// Others than the owner may read a run, as they may what any program writes: a
// temporary file made for the owner's eyes only must not give its mode to it.
func TestWriteAtomicLeavesTheModeToTheUmask(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no such modes")
	}
	dir := t.TempDir()
	mustWriteFile(t, filepath.Join(dir, "plain"), "")
	if err := WriteAtomic(filepath.Join(dir, "atomic"), writeText("")); err != nil {
		t.Fatal(err)
	}
	plain, _ := os.Stat(filepath.Join(dir, "plain"))
	atomic, _ := os.Stat(filepath.Join(dir, "atomic"))
	if plain.Mode() != atomic.Mode() {
		t.Errorf("mode %v, a file written plainly has %v", atomic.Mode(), plain.Mode())
	}
}

func TestWriteAtomicToABareNameUsesTheWorkingDirectory(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := WriteAtomic("f", writeText("x")); err != nil {
		t.Fatal(err)
	}
	wantNames(t, ".", "f")
}

// failingOps are the real operations, but the one of that name fails with err. A
// write that fails has written half.
func failingOps(name string, err error) Files {
	ops := OSFiles()
	create := ops.Create
	ops.Create = func(path string) (TempFile, error) {
		if name == "create" {
			return nil, err
		}
		f, e := create(path)
		return &failingFile{f, name, err}, e
	}
	switch name {
	case "rename":
		ops.Rename = func(string, string) error { return err }
	case "syncDir":
		ops.SyncDir = func(string) error { return err }
	}
	return ops
}

type failingFile struct {
	TempFile
	name string
	err  error
}

func (f *failingFile) Write(b []byte) (int, error) {
	if f.name == "write" {
		n, _ := f.TempFile.Write(b[:len(b)/2])
		return n, f.err
	}
	return f.TempFile.Write(b)
}

func (f *failingFile) Sync() error {
	if f.name == "sync" {
		return f.err
	}
	return f.TempFile.Sync()
}

func (f *failingFile) Close() error {
	if err := f.TempFile.Close(); f.name != "close" {
		return err
	}
	return f.err
}

// The operations that can fail before the new file has its name.
var atomicSteps = []string{"create", "write", "sync", "close", "rename"}

func TestWriteAtomicErrorLeavesOldFileAndNoOther(t *testing.T) {
	for _, step := range atomicSteps {
		t.Run(step, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "f")
			mustWriteFile(t, path, "old")
			cause := &fs.PathError{Op: step, Path: "f", Err: syscall.ENOSPC}
			err := failingOps(step, cause).write(path, writeText("new"))
			if !errors.Is(err, syscall.ENOSPC) {
				t.Fatalf("error %v, want ENOSPC", err)
			}
			want := fmt.Sprintf("%s: not written, what was there before is unchanged: %s f: %s: free some space on that disk", path, step, syscall.ENOSPC)
			if err.Error() != want {
				t.Errorf("got  %s\nwant %s", err, want)
			}
			if got := mustReadFile(t, path); got != "old" {
				t.Errorf("the file holds %q", got)
			}
			wantNames(t, dir, "f")
		})
	}
}

func TestWriteAtomicCallbackErrorOrPanicLeavesOldFileAndNoOther(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	mustWriteFile(t, path, "old")
	cause := errors.New("no picture")
	err := WriteAtomic(path, func(w io.Writer) error {
		io.WriteString(w, strings.Repeat("new", atomicBuffer)) // reaches the disk before the error
		return cause
	})
	if want := path + ": not written, what was there before is unchanged: no picture"; !errors.Is(err, cause) || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		WriteAtomic(path, func(io.Writer) error { panic("bug") })
	}()
	if got := mustReadFile(t, path); got != "old" {
		t.Errorf("the file holds %q", got)
	}
	wantNames(t, dir, "f")
}

func TestWriteAtomicSaysWhenOnlyTheDirectoryFlushFailed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	err := failingOps("syncDir", syscall.EIO).write(path, writeText("new"))
	want := fmt.Sprintf("%s: written, but may not survive a power failure: flush the directory: %s", path, syscall.EIO)
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	if got := mustReadFile(t, path); got != "new" {
		t.Errorf("the file holds %q", got)
	}
}

func TestWriteAtomicReportsATemporaryFileItCannotRemove(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	ops := failingOps("sync", syscall.ENOSPC)
	ops.Remove = func(string) error { return errors.New("remove failed") }
	err := ops.write(path, writeText("new"))
	want := fmt.Sprintf("%s: not written, what was there before is unchanged: %s; its temporary file is still there: remove failed: free some space on that disk", path, syscall.ENOSPC)
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestWriteAtomicStepsAroundLeftovers(t *testing.T) {
	dir := t.TempDir()
	left := filepath.Join(dir, ".elbo-tmp-0-f")
	mustWriteFile(t, left, "left by a crash, or another write under way")
	if err := WriteAtomic(filepath.Join(dir, "f"), writeText("new")); err != nil {
		t.Fatal(err)
	}
	if got := mustReadFile(t, left); got != "left by a crash, or another write under way" {
		t.Errorf("the other temporary file holds %q", got)
	}
	ops := OSFiles()
	ops.Create = func(string) (TempFile, error) { return nil, fs.ErrExist }
	err := ops.write("f", writeText("new"))
	if want := "f: not written, what was there before is unchanged: 1000 temporary files .elbo-tmp-*-f are in the way: remove them"; err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestWriteAtomicOntoADirectoryFails(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "d")
	if err := os.MkdirAll(filepath.Join(path, "full"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := WriteAtomic(path, writeText("new")); err == nil {
		t.Error("no error")
	}
	wantNames(t, dir, "d")
	wantNames(t, path, "full")
}

// crashDisk is a disk that loses power before operation number crashAt. What was
// flushed is on it afterwards; what was not may be or may not be.
type crashDisk struct {
	crashAt, done    int
	names, safeNames map[string]*crashFile // the directory as seen, and as flushed
}

type crashFile struct {
	disk       *crashDisk
	data, safe []byte // as seen, and as flushed
}

var errPowerLost = errors.New("power lost")

// on reports whether the disk still has power, and counts the operation.
func (d *crashDisk) on() bool {
	d.done++
	return d.done <= d.crashAt
}

func (d *crashDisk) do(operation func()) error {
	if !d.on() {
		return errPowerLost
	}
	operation()
	return nil
}

func (d *crashDisk) ops() Files {
	return Files{
		Create: func(path string) (TempFile, error) {
			f := &crashFile{disk: d}
			return f, d.do(func() { d.names[path] = f })
		},
		Rename: func(from, to string) error {
			return d.do(func() { d.names[to] = d.names[from]; delete(d.names, from) })
		},
		SyncDir: func(string) error { return d.do(func() { d.safeNames = maps.Clone(d.names) }) },
		Remove:  func(path string) error { return d.do(func() { delete(d.names, path) }) },
		Mkdir:   func(string) error { return errors.ErrUnsupported },
	}
}

func (f *crashFile) Write(b []byte) (int, error) {
	return len(b), f.disk.do(func() { f.data = append(f.data, b...) })
}
func (f *crashFile) Sync() error  { return f.disk.do(func() { f.safe = bytes.Clone(f.data) }) }
func (f *crashFile) Close() error { return f.disk.do(func() {}) }

// A power failure between any two operations leaves, whatever the disk makes of
// unflushed data and names, the old contents or the new; and after success the new.
func TestWriteAtomicSurvivesPowerFailureAnywhere(t *testing.T) {
	for crashAt := 0; ; crashAt++ {
		old := &crashFile{data: []byte("old"), safe: []byte("old")}
		disk := &crashDisk{crashAt: crashAt, names: map[string]*crashFile{"f": old}, safeNames: map[string]*crashFile{"f": old}}
		err := disk.ops().write("f", writeText("new"))
		for _, names := range []map[string]*crashFile{disk.names, disk.safeNames} {
			f := names["f"]
			if f == nil {
				t.Errorf("power lost before operation %d: the file is gone", crashAt)
				continue
			}
			for _, data := range [][]byte{f.data, f.safe} {
				if s := string(data); s != "new" && (s != "old" || err == nil) {
					t.Errorf("power lost before operation %d: the file holds %q, the error was %v", crashAt, s, err)
				}
			}
		}
		if err == nil {
			if want := len(atomicSteps) + 1; crashAt != want { // and syncDir
				t.Errorf("a write takes %d operations, want %d: are all of them counted?", crashAt, want)
			}
			return
		}
		if !errors.Is(err, errPowerLost) {
			t.Fatal(err)
		}
	}
}

// TestMakeDirectorySurvivesPowerFailure: each directory that is made is flushed into the
// one it lies in, before anything is made in it, as of a file's name nothing else is known
// to be on the disk; and that of a directory that was there is flushed once more.
func TestMakeDirectorySurvivesPowerFailure(t *testing.T) {
	root := t.TempDir()
	var done []string
	ops := OSFiles()
	note := func(what, path string) {
		name, err := filepath.Rel(root, path)
		if err != nil {
			t.Fatal(err)
		}
		done = append(done, what+" "+filepath.ToSlash(name))
	}
	mkdir, syncDir := ops.Mkdir, ops.SyncDir
	ops.Mkdir = func(path string) error { note("mkdir", path); return mkdir(path) }
	ops.SyncDir = func(dir string) error { note("sync", dir); return syncDir(dir) }
	path := filepath.Join(root, "a", "b", "c")
	for _, want := range [][]string{
		{"mkdir a", "sync .", "mkdir a/b", "sync a", "mkdir a/b/c", "sync a/b"},
		{"sync a/b"},
	} {
		done = nil
		if err := ops.makeDirectory(path); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(done, want) {
			t.Errorf("did %q, want %q", done, want)
		}
	}
	done = nil
	r, err := CreateWith(ops, filepath.Join(root, "d", "run"), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	if want := []string{"mkdir d", "sync .", "mkdir d/run", "sync d", "sync d/run"}; !slices.Equal(done, want) {
		t.Errorf("a new run: did %q, want %q", done, want)
	}
	ops.SyncDir = func(string) error { return fs.ErrPermission } // one may enter and write, but not list
	if err := ops.makeDirectory(filepath.Join(root, "e")); err != nil {
		t.Error(err)
	}
	ops.SyncDir = func(string) error { return syscall.EIO }
	if err := ops.makeDirectory(filepath.Join(root, "f")); !errors.Is(err, syscall.EIO) {
		t.Errorf("error %v, want EIO", err)
	}
}

// TestADirectoryThatIsNotThereIsNamed, and not the temporary file that cannot be in it.
func TestADirectoryThatIsNotThereIsNamed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "nodir")
	path := filepath.Join(dir, "x.png")
	err := WriteAtomic(path, func(io.Writer) error { return nil })
	want := path + ": not written: there is no directory " + dir + ": make it, or name another"
	if !errors.Is(err, fs.ErrNotExist) || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), atomicPrefix) {
		t.Errorf("%v, want %s", err, want)
	}
}
