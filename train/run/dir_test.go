package run

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"elbo/train/safetensors"
)

func newTestRun(t *testing.T) *Dir {
	t.Helper()
	r, err := Create(filepath.Join(t.TempDir(), "run"), []byte("{}"), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func stateOfStep(step int64) *State {
	s := exampleState()
	s.Step = step
	return s
}

func mustSave(t *testing.T, r *Dir, step int64) {
	t.Helper()
	if err := r.Save(stateOfStep(step)); err != nil {
		t.Fatal(err)
	}
}

// damage flips a bit in the data of a checkpoint.
func damage(t *testing.T, path string) {
	t.Helper()
	b := []byte(mustReadFile(t, path))
	b[len(b)-1] ^= 1
	mustWriteFile(t, path, string(b))
}

func TestRunIsCreatedContinuedAndRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "several", "parents", "run")
	r, err := Create(path, []byte(`{"seed": 1}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	if s, _, warnings := r.Latest(); s != nil || warnings != nil {
		t.Errorf("a new run has state %v, warnings %v", s, warnings)
	}
	mustSave(t, r, 100)
	if err := r.SaveBest(stateOfStep(50)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	wantNames(t, path, ".lock", "best.safetensors", "checkpoint-00000100.safetensors", "config.json")
	for name, open := range map[string]func(string, Check) (*Dir, error){"Open": Open, "Read": Read} {
		r, err := open(path, nil)
		if err != nil {
			t.Fatal(err)
		}
		config, err := r.Config()
		if err != nil || string(config) != `{"seed": 1}` {
			t.Errorf("%s: configuration %q, error %v", name, config, err)
		}
		s, file, warnings := r.Latest()
		if diff := diffStates(stateOfStep(100), s); diff != "" || file != filepath.Join(path, "checkpoint-00000100.safetensors") || warnings != nil {
			t.Errorf("%s: latest in %s, warnings %v\n%s", name, file, warnings, diff)
		}
		s, file, err = r.Best()
		if err != nil {
			t.Fatal(err)
		}
		if diff := diffStates(stateOfStep(50), s); diff != "" || file != r.File("best.safetensors") {
			t.Errorf("%s: best in %s\n%s", name, file, diff)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRunWithoutABestSaysSo(t *testing.T) {
	r := newTestRun(t)
	_, _, err := r.Best()
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v, want fs.ErrNotExist", err)
	}
	damagedBest := r.File(BestFile)
	mustWriteFile(t, damagedBest, "")
	if _, _, err := r.Best(); !errors.Is(err, ErrDamaged) {
		t.Errorf("error %v, want ErrDamaged", err)
	}
}

func TestCreateRunNamesWhatIsInTheWay(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	mustWriteFile(t, file, "")
	run := filepath.Join(dir, "run")
	r, err := Create(run, []byte("{}"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	others := filepath.Join(dir, "others")
	if err := os.Mkdir(others, 0o777); err != nil {
		t.Fatal(err)
	}
	mustWriteFile(t, filepath.Join(others, "thesis.tex"), "")
	mustWriteFile(t, filepath.Join(others, "thesis.txt"), "")
	below := filepath.Join(file, "run")
	for _, test := range []struct{ path, want string }{
		{run, run + ": holds a run already (config.json): continue it with `elbo resume " + run + "`, or choose another --out"},
		{others, others + ": holds other files (2, among them thesis.tex), want an empty or new directory: choose another --out"},
		{file, file + ": is a file, want a directory for the run: choose another --out"},
		{below, fmt.Sprintf("%s: cannot make the run directory: mkdir %s: %s: choose another --out", below, file, syscall.ENOTDIR)},
	} {
		_, err := Create(test.path, []byte("{}"), nil)
		if err == nil || err.Error() != test.want {
			t.Errorf("got  %v\nwant %s", err, test.want)
		}
		if isRun := test.path == run; errors.Is(err, ErrRunExists) != isRun {
			t.Errorf("%s: ErrRunExists is %t", test.path, !isRun)
		}
	}
	wantNames(t, others, "thesis.tex", "thesis.txt") // and no .lock
}

// Root may write anywhere, so the refusal is injected where the first file is made.
func TestCreateRunInADirectoryThatCannotBeWrittenFailsAndUnlocks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run")
	for _, cause := range []error{syscall.EACCES, syscall.EROFS} {
		_, err := CreateWith(failingOps("create", cause), path, []byte("{}"), nil)
		config := filepath.Join(path, "config.json")
		want := fmt.Sprintf("%s: not written, what was there before is unchanged: %s: make the directory writable or choose another", config, cause)
		if err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
	r, err := Create(path, []byte("{}"), nil) // once it is writable
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
}

func TestOpenRunNamesWhatIsMissing(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	mustWriteFile(t, file, "")
	none := filepath.Join(dir, "none")
	empty := filepath.Join(dir, "empty")
	if err := os.Mkdir(empty, 0o777); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ path, want string }{
		{none, none + ": not a run directory: there is no such directory: `elbo train --out " + none + "` makes one"},
		{file, file + ": not a run directory: it is a file: give the directory it lies in"},
		{empty, empty + ": not a run directory: it holds no config.json: give a directory that `elbo train --out` has made"},
	} {
		for name, open := range map[string]func(string, Check) (*Dir, error){"Open": Open, "Read": Read} {
			_, err := open(test.path, nil)
			if err == nil || err.Error() != test.want || !errors.Is(err, ErrNotRun) {
				t.Errorf("%s: got  %v\nwant %s", name, err, test.want)
			}
		}
	}
	wantNames(t, empty) // looking leaves nothing behind
	wantNames(t, dir, "empty", "file")
}

const lockHolderEnv = "ELBO_TEST_HOLDS_LOCK_OF"

// TestLockHolderProcess is the second process of TestRunIsLockedAgainstOtherProcesses.
func TestLockHolderProcess(t *testing.T) {
	path := os.Getenv(lockHolderEnv)
	if path == "" {
		t.Skip("runs only as the child of another test")
	}
	r, err := Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("locked")
	io.Copy(io.Discard, os.Stdin) // until killed, or the parent is gone
	r.Close()
}

func TestRunIsLockedAgainstOtherProcesses(t *testing.T) {
	r := newTestRun(t)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	child := exec.Command(os.Args[0], "-test.run=^TestLockHolderProcess$")
	child.Env = append(os.Environ(), lockHolderEnv+"="+r.Path)
	stdin, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	stdout, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if line != "locked\n" {
		child.Process.Kill()
		child.Wait()
		t.Fatalf("the child says %q, error %v", line, err)
	}

	_, err = Open(r.Path, nil)
	if want := r.Path + ": is in use by another elbo process (lock held): wait for it or stop it"; !errors.Is(err, ErrRunInUse) || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	if _, err := Create(r.Path, []byte("{}"), nil); !errors.Is(err, ErrRunExists) {
		t.Errorf("error %v, want ErrRunExists", err)
	}
	if _, err := Read(r.Path, nil); err != nil {
		t.Errorf("a run in use cannot be read: %v", err)
	}

	child.Process.Kill() // a crash gives the lock back
	child.Wait()
	again, err := Open(r.Path, nil)
	if err != nil {
		t.Fatalf("after the other process died: %v", err)
	}
	again.Close()
}

func TestOnlyOneOfTwoCreatesTheRun(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run")
	ops := OSFiles()
	newFile := ops.Create
	ops.Create = func(temp string) (TempFile, error) { // the first holds the lock and has no config.json yet
		if _, err := Create(path, []byte("second"), nil); !errors.Is(err, ErrRunInUse) {
			t.Errorf("error %v, want ErrRunInUse", err)
		}
		return newFile(temp)
	}
	r, err := CreateWith(ops, path, []byte("first"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if config, _ := r.Config(); string(config) != "first" {
		t.Errorf("configuration %q", config)
	}
}

func TestRunOpenForReadingOrClosedWritesNothing(t *testing.T) {
	closed := newTestRun(t)
	mustSave(t, closed, 1)
	closed.Close()
	reading, err := Read(closed.Path, nil)
	if err != nil {
		t.Fatal(err)
	}
	before := listNames(t, closed.Path)
	want := closed.Path + ": the run is open for reading only or closed: open it with Open"
	for _, r := range []*Dir{closed, reading} {
		for name, err := range map[string]error{
			"Save":            r.Save(stateOfStep(2)),
			"SaveBest":        r.SaveBest(stateOfStep(2)),
			"AppendMetrics":   r.AppendMetrics(Metrics{}),
			"TruncateMetrics": r.TruncateMetrics(0),
		} {
			if err == nil || err.Error() != want {
				t.Errorf("%s: got  %v\nwant %s", name, err, want)
			}
		}
	}
	wantNames(t, closed.Path, before...)
}

func TestSaveKeepsTheNewestCheckpoints(t *testing.T) {
	r := newTestRun(t)
	mustWriteFile(t, r.File("checkpoint-5.safetensors"), "not a name of ours")
	mustWriteFile(t, r.File("checkpoint-notes.txt"), "nor this")
	for _, step := range []int64{100, 99999999, 100000000, 200} { // by number, not by letters
		mustSave(t, r, step)
	}
	wantNames(t, r.Path, ".lock", "checkpoint-00000200.safetensors", "checkpoint-100000000.safetensors",
		"checkpoint-5.safetensors", "checkpoint-99999999.safetensors", "checkpoint-notes.txt", "config.json")
	r.Keep = 0
	mustSave(t, r, 200000000)
	wantNames(t, r.Path, ".lock", "checkpoint-200000000.safetensors", "checkpoint-5.safetensors", "checkpoint-notes.txt", "config.json")
}

func TestSaveAfterGoingBackKeepsWhatItSaved(t *testing.T) {
	r := newTestRun(t)
	for _, step := range []int64{10, 20, 30, 5} {
		mustSave(t, r, step)
	}
	wantNames(t, r.Path, ".lock", "checkpoint-00000005.safetensors", "checkpoint-00000020.safetensors", "checkpoint-00000030.safetensors", "config.json")
}

func TestDamagedCheckpointsArePassedOverAndNeverCountAsKept(t *testing.T) {
	r := newTestRun(t)
	for _, step := range []int64{10, 20, 30} {
		mustSave(t, r, step)
	}
	r.Close()
	name := func(step int) string { return fmt.Sprintf("checkpoint-%08d.safetensors", step) }
	damage(t, r.File(name(20)))
	mustWriteFile(t, r.File(name(30)), "")
	mustWriteFile(t, r.File(name(40)), "")

	r, err := Open(r.Path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	s, path, warnings := r.Latest()
	if s == nil || s.Step != 10 || path != r.File(name(10)) {
		t.Fatalf("latest is %v in %s", s, path)
	}
	wantKinds := []error{ErrDamaged, ErrDamaged, ErrChecksum}
	if len(warnings) != len(wantKinds) {
		t.Fatalf("warnings %v", warnings)
	}
	for i, kind := range wantKinds {
		if !errors.Is(warnings[i], kind) {
			t.Errorf("warning %v, want %v", warnings[i], kind)
		}
	}
	// Three files are newer than 10 but none of them can be resumed from.
	mustSave(t, r, 11)
	wantNames(t, r.Path, ".lock", name(10), name(11), name(20), name(30), name(40), "config.json")
	// Written again, 20 counts; at three that load, older ones go.
	mustSave(t, r, 20)
	mustSave(t, r, 21)
	wantNames(t, r.Path, ".lock", name(11), name(20), name(21), name(30), name(40), "config.json")
}

func TestLatestOfARunWithOnlyDamagedCheckpointsIsNil(t *testing.T) {
	r := newTestRun(t)
	mustSave(t, r, 10)
	damage(t, r.File("checkpoint-00000010.safetensors"))
	s, path, warnings := r.Latest()
	if s != nil || path != "" || len(warnings) != 1 || !errors.Is(warnings[0], ErrChecksum) {
		t.Errorf("latest %v in %q, warnings %v", s, path, warnings)
	}
}

func TestSaveOnAFullDiskRemovesNoCheckpoint(t *testing.T) {
	for _, step := range atomicSteps {
		t.Run(step, func(t *testing.T) {
			r := newTestRun(t)
			r.Keep = 1
			mustSave(t, r, 10)
			if err := r.SaveBest(stateOfStep(10)); err != nil {
				t.Fatal(err)
			}
			r.Files = failingOps(step, syscall.ENOSPC)
			if err := r.Save(stateOfStep(20)); !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("error %v, want ENOSPC", err)
			}
			if err := r.SaveBest(stateOfStep(20)); !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("error %v, want ENOSPC", err)
			}
			wantNames(t, r.Path, ".lock", "best.safetensors", "checkpoint-00000010.safetensors", "config.json")
			latest, _, warnings := r.Latest()
			best, _, err := r.Best()
			if err != nil || warnings != nil {
				t.Fatal(err, warnings)
			}
			for _, s := range []*State{latest, best} {
				if diff := diffStates(stateOfStep(10), s); diff != "" {
					t.Errorf("-old +loaded\n%s", diff)
				}
			}
		})
	}
}

func TestSaveTriesAgainToRemoveWhatCouldNotBeRemoved(t *testing.T) {
	r := newTestRun(t)
	r.Keep = 1
	mustSave(t, r, 1)
	remove := r.Files.Remove
	r.Files.Remove = func(string) error { return syscall.EACCES } // as Windows does while somebody reads
	mustSave(t, r, 2)
	wantNames(t, r.Path, ".lock", "checkpoint-00000001.safetensors", "checkpoint-00000002.safetensors", "config.json")
	r.Files.Remove = remove
	mustSave(t, r, 3)
	wantNames(t, r.Path, ".lock", "checkpoint-00000003.safetensors", "config.json")
}

// TestLargeCheckpointsAreKeptOnce: the last and the best, and both are one file where they
// are one state.
func TestLargeCheckpointsAreKeptOnce(t *testing.T) {
	name := func(step int) string { return fmt.Sprintf(runCheckpointFmt, step) }
	r := newTestRun(t)
	mustSave(t, r, 1)
	mustSave(t, r, 2)
	r.Large = 1
	mustSave(t, r, 3)
	wantNames(t, r.Path, ".lock", name(3), "config.json")
	same := func(step int) bool {
		a, errA := os.Stat(r.File(BestFile))
		b, errB := os.Stat(r.File(name(step)))
		if err := errors.Join(errA, errB); err != nil {
			t.Fatal(err)
		}
		return os.SameFile(a, b)
	}
	want := func(best, last int64) {
		t.Helper()
		wantNames(t, r.Path, ".lock", "best.safetensors", name(int(last)), "config.json")
		b, _, err := r.Best()
		l, _, warnings := r.Latest()
		if err != nil || warnings != nil {
			t.Fatal(err, warnings)
		}
		if d := diffStates(stateOfStep(best), b) + diffStates(stateOfStep(last), l); d != "" {
			t.Errorf("-saved +loaded\n%s", d)
		}
	}
	for _, step := range []int64{4, 5} {
		if err := r.SaveAsBest(stateOfStep(step)); err != nil {
			t.Fatal(err)
		}
		want(step, step)
	}
	if !same(5) {
		t.Error("the best checkpoint and the last were written twice")
	}
	mustSave(t, r, 6)
	want(5, 6)
	// Where the second name is taken, or cannot be given, there are two files.
	if err := r.SaveAsBest(stateOfStep(6)); err != nil {
		t.Fatal(err)
	}
	want(6, 6)
	r.Large = LargeCheckpoint
	if err := r.SaveAsBest(stateOfStep(7)); err != nil {
		t.Fatal(err)
	}
	if same(7) {
		t.Error("small checkpoints share a file: damage to one would be damage to both")
	}
}

// TestAnUnwrittenRunLeavesNothing, and refuses what a written one would.
func TestAnUnwrittenRunLeavesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run")
	r := Unwritten(path, nil)
	good := &State{Step: 1, Epoch: 1, Params: []safetensors.Tensor{{Name: "a", Shape: []int{1}, Data: []float32{1}}}}
	bad := &State{Step: 1, Epoch: 1, Params: []safetensors.Tensor{{Name: "a", Shape: []int{1}, Data: []float32{float32(math.NaN())}}}}
	for _, save := range []func(*State) error{r.Save, r.SaveBest, r.SaveAsBest} {
		if err := save(good); err != nil {
			t.Error(err)
		}
		if err := save(bad); !errors.Is(err, ErrNotFinite) {
			t.Errorf("a parameter that is NaN: %v", err)
		}
	}
	if err := errors.Join(r.SetConfig([]byte("{}")), r.TruncateMetrics(1), r.Close()); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s: %v", path, err)
	}
}

// TestAStateIsItselfAfterEncodeAndDecode.
func TestAStateIsItselfAfterEncodeAndDecode(t *testing.T) {
	want := &State{Step: 1, Epoch: 1, Params: []safetensors.Tensor{{Name: "a", Shape: []int{1}, Data: []float32{1.5}}}}
	file, err := Encode(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode(file, nil)
	if err != nil || got.Step != 1 || got.Params[0].Data[0] != 1.5 {
		t.Errorf("%+v, %v", got, err)
	}
	file[len(file)-1] ^= 1
	if _, err := Decode(file, nil); !errors.Is(err, ErrChecksum) {
		t.Errorf("a flipped bit: %v", err)
	}
}
