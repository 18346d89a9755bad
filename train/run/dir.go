package run

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/gofrs/flock"
)

// The files of a run directory. Pictures and reports lie beside them.
const (
	ConfigFile  = "config.json"      // resolved configuration
	MetricsFile = "metrics.jsonl"    // one line an epoch, see Metrics
	BestFile    = "best.safetensors" // state with the best validation bound
	// MetricsDamagedFile has lines of metrics.jsonl that were damaged, as they were found.
	MetricsDamagedFile = "metrics.damaged.jsonl"

	runLockFile      = ".lock"
	runCheckpointFmt = "checkpoint-%08d.safetensors" // step
)

// DefaultKeep is how many checkpoints a run keeps unless told otherwise; of those of
// LargeCheckpoint bytes or more it keeps one.
const (
	DefaultKeep     = 3
	LargeCheckpoint = 200e6
)

// What can be wrong with a run directory, for errors.Is.
var (
	// ErrRunExists: Create found a run.
	ErrRunExists = errors.New("holds a run already (" + ConfigFile + ")")
	// ErrNotRun: Open or Read found no run.
	ErrNotRun = errors.New("not a run directory")
	// ErrMismatch: a checkpoint, a configuration or data that do not belong together.
	ErrMismatch = errors.New("does not belong here")
	// ErrRunInUse: another process is writing to the run.
	ErrRunInUse = errors.New("is in use by another elbo process (lock held)")
)

// Dir is an open run directory. One made by Create or Open is locked
// against every other writer until Close; its methods are for one goroutine.
type Dir struct {
	Path string
	// Keep is how many checkpoints Save leaves, DefaultKeep to begin with; fewer
	// than 1 counts as 1.
	Keep int
	// Large is the size in bytes, LargeCheckpoint to begin with, from which Save leaves
	// one, and SaveAsBest writes one file and gives it both names.
	Large int64
	// Files are what it works with, OSFiles to begin with.
	Files Files

	unwritten bool            // by this process: another one writes it
	check     Check           // of checkpoints that are read
	lock      *flock.Flock    // nil if opened for reading, or closed
	readable  map[string]bool // checkpoints that are known to load or not, by name
}

func newDir(path string, ops Files, check Check) *Dir {
	return &Dir{Path: path, check: check, Keep: DefaultKeep, Large: LargeCheckpoint, Files: ops, readable: map[string]bool{}}
}

// Create makes the directory, with its parents, locks it and writes config.json.
// The directory may exist if it is empty. It fails with ErrRunExists if there is a
// run in it, with ErrRunInUse if another process is about to make one, and with the
// operating system's error if it cannot be made or written to.
func Create(path string, config []byte, check Check) (*Dir, error) {
	return CreateWith(OSFiles(), path, config, check)
}

// CreateWith is Create with other file operations.
func CreateWith(ops Files, path string, config []byte, check Check) (*Dir, error) {
	if info, err := os.Stat(path); err == nil && !info.IsDir() {
		return nil, fmt.Errorf("%s: is a file, want a directory for the run: choose another --out", path)
	}
	if err := ops.makeDirectory(path); err != nil {
		return nil, fmt.Errorf("%s: cannot make the run directory: %w: choose another --out", path, err)
	}
	// Before the lock, which leaves a file: a directory that is not ours stays as it is.
	if err := checkNewRun(path); err != nil {
		return nil, err
	}
	r := newDir(path, ops, check)
	if err := r.acquire(); err != nil {
		return nil, err
	}
	if err := r.begin(config); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// Unwritten returns a run of which nothing is written or read: that of a process that leaves
// it to another one. Path is for messages. What it is told to save is checked as ever.
func Unwritten(path string, check Check) *Dir {
	r := newDir(path, Files{}, check)
	r.unwritten = true
	return r
}

// begin fills a locked directory.
func (r *Dir) begin(config []byte) error {
	if err := checkNewRun(r.Path); err != nil { // another process may have been first
		return err
	}
	if err := r.removeLeftovers(); err != nil {
		return err
	}
	return r.SetConfig(config)
}

// SetConfig writes config.json.
func (r *Dir) SetConfig(config []byte) error {
	if r.unwritten {
		return nil
	}
	return r.Files.write(r.File(ConfigFile), func(w io.Writer) error {
		_, err := w.Write(config)
		return err
	})
}

// checkNewRun fails if the directory holds anything but the traces of a Create
// that was interrupted.
func checkNewRun(path string) error {
	entries, err := os.ReadDir(path)
	if err != nil {
		return fmt.Errorf("%s: cannot list the directory: %w: choose another --out", path, err)
	}
	var others []string
	for _, entry := range entries {
		name := entry.Name()
		switch {
		case name == ConfigFile:
			return fmt.Errorf("%s: %w: continue it with `elbo resume %s`, or choose another --out", path, ErrRunExists, ShellPath(path))
		case name != runLockFile && !strings.HasPrefix(name, atomicPrefix):
			others = append(others, name)
		}
	}
	if len(others) > 0 {
		return fmt.Errorf("%s: holds other files (%d, among them %s), want an empty or new directory: choose another --out", path, len(others), others[0])
	}
	return nil
}

// Open opens a run for writing: it locks the directory and removes what
// interrupted writes have left. It fails with ErrNotRun or ErrRunInUse.
func Open(path string, check Check) (*Dir, error) {
	r, err := Read(path, check)
	if err != nil {
		return nil, err
	}
	if err := r.acquire(); err != nil {
		return nil, err
	}
	if err := r.removeLeftovers(); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// Read opens a run for reading. It takes no lock and changes nothing, so the run
// may be going on. It fails with ErrNotRun.
func Read(path string, check Check) (*Dir, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s: %w: there is no such directory: `elbo train --out %s` makes one", path, ErrNotRun, ShellPath(path))
	case err != nil:
		return nil, fmt.Errorf("%s: %w: %w", path, ErrNotRun, err)
	case !info.IsDir():
		return nil, fmt.Errorf("%s: %w: it is a file: give the directory it lies in", path, ErrNotRun)
	}
	r := newDir(path, OSFiles(), check)
	if _, err := os.Stat(r.File(ConfigFile)); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%s: %w: it holds no %s: %s", path, ErrNotRun, ConfigFile, r.withoutConfig())
		}
		return nil, fmt.Errorf("%s: %w: %w", path, ErrNotRun, err)
	}
	return r, nil
}

// withoutConfig is what to do with a directory without a configuration: of a run that
// lost it, every checkpoint can be used by itself.
func (r *Dir) withoutConfig() string {
	_, path, err := r.Best()
	if err != nil {
		_, path, _ = r.Latest()
	}
	if path == "" {
		return "give a directory that `elbo train --out` has made"
	}
	return fmt.Sprintf("was it removed? %s can be used without it, as in `elbo eval %s`", filepath.Base(path), ShellPath(path))
}

// acquire takes the lock. The operating system drops it when the process ends,
// however it ends; the file itself stays, since removing it would let two in.
func (r *Dir) acquire() error {
	lock := flock.New(r.File(runLockFile), flock.SetPermissions(0o666))
	locked, err := lock.TryLock()
	if err != nil {
		return fmt.Errorf("%s: cannot lock the run directory: %w%s", r.Path, err, atomicHint(err))
	}
	if !locked {
		return fmt.Errorf("%s: %w: wait for it or stop it", r.Path, ErrRunInUse)
	}
	r.lock = lock
	return nil
}

func (r *Dir) removeLeftovers() error {
	if err := removeAtomicLeftovers(r.Path, r.Files.Remove); err != nil {
		return fmt.Errorf("%s: cannot remove what an interrupted write has left: %w%s", r.Path, err, atomicHint(err))
	}
	return nil
}

// Close gives the lock back. Closing twice does nothing.
func (r *Dir) Close() error {
	if r.lock == nil {
		return nil
	}
	lock := r.lock
	r.lock = nil
	if err := lock.Unlock(); err != nil {
		return fmt.Errorf("%s: unlock: %w", r.Path, err)
	}
	return nil
}

// writable guards every method that writes.
func (r *Dir) writable() error {
	if r.lock == nil {
		return fmt.Errorf("%s: the run is open for reading only or closed: open it with Open", r.Path)
	}
	return nil
}

// File is the path of a file of the run.
func (r *Dir) File(name string) string { return filepath.Join(r.Path, name) }

// Config returns the contents of config.json.
func (r *Dir) Config() ([]byte, error) {
	config, err := ReadConfigFile(r.File(ConfigFile))
	if err != nil {
		return nil, fmt.Errorf("read the configuration of the run: %w", err)
	}
	return config, nil
}

// Save writes checkpoint-<step>.safetensors and then removes old checkpoints: what
// stays is this one and the newest others that load, Keep together (of large ones this
// one alone), and whatever is
// newer than the oldest of them. So the only one that loads is never removed. On an
// error every earlier checkpoint is still there. A checkpoint that cannot be removed
// is no error: the next Save tries again.
func (r *Dir) Save(s *State) error {
	if r.unwritten {
		return s.check()
	}
	if err := r.writable(); err != nil {
		return err
	}
	name := fmt.Sprintf(runCheckpointFmt, s.Step)
	if err := saveCheckpoint(r.Files, r.File(name), s); err != nil {
		return err
	}
	r.saved(name, s)
	return nil
}

// SaveAsBest writes best.safetensors and then does what Save does. A large state is
// written once: the checkpoint is a second name of the same file, where the file system
// knows of such (neither is ever changed, only replaced).
func (r *Dir) SaveAsBest(s *State) error {
	if r.unwritten {
		return s.check()
	}
	if err := r.SaveBest(s); err != nil {
		return err
	}
	name := fmt.Sprintf(runCheckpointFmt, s.Step)
	if s.bytes() < r.Large || os.Link(r.File(BestFile), r.File(name)) != nil {
		return r.Save(s)
	}
	if err := r.Files.SyncDir(r.Path); err != nil {
		return fmt.Errorf("%s: written, but may not survive a power failure: flush the directory: %w", r.File(name), err)
	}
	r.saved(name, s)
	return nil
}

// saved is what follows when a checkpoint is on the disk.
func (r *Dir) saved(name string, s *State) {
	r.readable[name] = true
	keep := r.Keep
	if s.bytes() >= r.Large {
		keep = 1
	}
	r.prune(name, keep)
}

func (r *Dir) prune(saved string, keep int) {
	names, err := r.Checkpoints()
	if err != nil {
		return
	}
	kept := 1 // the one just saved, even after going back to an earlier step
	for _, name := range names {
		switch {
		case name == saved:
		case kept >= keep:
			if r.Files.Remove(r.File(name)) == nil {
				delete(r.readable, name)
			}
		case r.loads(name):
			kept++
		}
	}
}

// loads says whether a checkpoint can be read, reading it at most once.
func (r *Dir) loads(name string) bool {
	ok, known := r.readable[name]
	if !known {
		_, err := Load(r.File(name), r.check)
		ok = err == nil
		r.readable[name] = ok
	}
	return ok
}

// Checkpoints lists the names of the checkpoints, newest first.
func (r *Dir) Checkpoints() ([]string, error) {
	entries, err := os.ReadDir(r.Path)
	if err != nil {
		return nil, err
	}
	type checkpoint struct {
		name string
		step int64
	}
	var found []checkpoint
	for _, entry := range entries {
		var c checkpoint
		digits, isOurs := strings.CutPrefix(entry.Name(), "checkpoint-")
		digits, isOurs2 := strings.CutSuffix(digits, ".safetensors")
		c.name = entry.Name()
		c.step, err = strconv.ParseInt(digits, 10, 64)
		if isOurs && isOurs2 && err == nil && c.name == fmt.Sprintf(runCheckpointFmt, c.step) {
			found = append(found, c)
		}
	}
	slices.SortFunc(found, func(a, b checkpoint) int { return cmp.Compare(b.step, a.step) })
	names := make([]string, len(found))
	for i, c := range found {
		names[i] = c.name
	}
	return names, nil
}

// SaveBest writes best.safetensors.
func (r *Dir) SaveBest(s *State) error {
	if r.unwritten {
		return s.check()
	}
	if err := r.writable(); err != nil {
		return err
	}
	return saveCheckpoint(r.Files, r.File(BestFile), s)
}

// Latest returns the newest checkpoint that loads and its path. The warnings tell
// why newer ones were passed over. Without any the state is nil.
func (r *Dir) Latest() (s *State, path string, warnings []error) {
	names, err := r.Checkpoints()
	if err != nil {
		return nil, "", []error{fmt.Errorf("%s: cannot list the checkpoints: %w", r.Path, err)}
	}
	for _, name := range names {
		path := r.File(name)
		s, err := Load(path, r.check)
		if err == nil && fmt.Sprintf(runCheckpointFmt, s.Step) != name {
			err = fmt.Errorf("%s: %w: it holds step %d: a copy under another name?", path, ErrMismatch, s.Step)
		}
		if err == nil {
			return s, path, warnings
		}
		if !errors.Is(err, fs.ErrNotExist) { // pruned by a running process since the listing
			warnings = append(warnings, err)
		}
	}
	return nil, "", warnings
}

// Best returns the state in best.safetensors and its path. The error is
// fs.ErrNotExist if the run has none yet.
func (r *Dir) Best() (*State, string, error) {
	path := r.File(BestFile)
	s, err := Load(path, r.check)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "", fmt.Errorf("%w: the run has not finished an epoch with a validation bound: use its newest checkpoint", err)
	}
	if err != nil {
		return nil, "", err
	}
	return s, path, nil
}

// InUse reports whether another process holds the run's lock.
func (r *Dir) InUse() (bool, error) {
	path := r.File(runLockFile)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	lock := flock.New(path, flock.SetFlag(os.O_RDONLY)) // the run may be on a medium that cannot be written to
	free, err := lock.TryRLock()
	if err != nil {
		return false, fmt.Errorf("%s: cannot look at the lock: %w", r.Path, err)
	}
	return !free, lock.Unlock()
}
