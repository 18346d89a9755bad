package train

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"elbo/train/run"
	"elbo/train/run/runtest"
)

// TestARunThatStopsAtAnyFileOperationEndsWithTheSameBytes: a run is interrupted, within an
// epoch and at the last step of one, and goes on in a process that dies at each of its file
// operations in turn: between metrics, best state and checkpoint, and within each.
func TestARunThatStopsAtAnyFileOperationEndsWithTheSameBytes(t *testing.T) {
	c := smallConfig(t)
	c.Epochs = 2
	const steps, ofEpoch = 12, 6
	whole := newHastyRun(t, c)
	if _, err := Run(context.Background(), newTestSetup(t, c), whole, nil, &listener{}, still); err != nil {
		t.Fatal(err)
	}
	for _, stop := range []int{0, 2, ofEpoch} { // 0: not interrupted before
		for crashAt, ended := 0, false; !ended; crashAt++ {
			dir := newHastyRun(t, c)
			var state *run.State
			if stop > 0 {
				ctx, cancel := context.WithCancel(context.Background())
				taken := 0
				_, err := Run(ctx, newTestSetup(t, c), dir, nil, &listener{step: func(Progress) {
					if taken++; taken == stop {
						cancel()
					}
				}}, still)
				cancel()
				if !errors.Is(err, ErrInterrupted) {
					t.Fatal(err)
				}
				state, _, _ = dir.Latest()
			}
			ops := dir.Files
			dir.Files = runtest.Stopping(crashAt)
			_, err := Run(context.Background(), newTestSetup(t, c), dir, state, &listener{}, still)
			if ended = err == nil; !ended && !errors.Is(err, runtest.ErrStopped) {
				t.Fatal(err)
			}
			dir.Files = ops
			if err := run.RemoveLeftovers(dir.Path); err != nil {
				t.Fatal(err)
			}
			state, _, _ = dir.Latest()
			if _, err := Run(context.Background(), newTestSetup(t, c), dir, state, &listener{}, still); err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{checkpointOf(steps), run.BestFile, run.MetricsFile} {
				got, want := fileBytes(t, dir.File(name)), fileBytes(t, whole.File(name))
				if name == run.MetricsFile {
					got, want = withoutSpeed(got), withoutSpeed(want)
				}
				if !bytes.Equal(got, want) {
					t.Errorf("interrupted after step %d, died at operation %d: %s differs:\n%s\nwant\n%s", stop, crashAt, name, firstLine(got, want), firstLine(want, got))
				}
			}
			os.RemoveAll(filepath.Dir(dir.Path))
		}
	}
}

// TestAnEMRunThatStopsAtAnyFileOperationEndsWithTheSameBytes, whichever way it is fitted,
// of its last files; and it counts as finished only where nothing is left to be done.
func TestAnEMRunThatStopsAtAnyFileOperationEndsWithTheSameBytes(t *testing.T) {
	for _, test := range emCases {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := emConfig(t, test.model)
			c.Epochs = 2
			test.change(&c)
			whole := newHastyRun(t, c)
			runEM(t, c, whole, nil)
			wantSame := func(dir *run.Dir, when string, crashAt int) {
				t.Helper()
				for _, name := range []string{checkpointOf(2), run.BestFile, run.MetricsFile} {
					got, err := os.ReadFile(dir.File(name))
					if want := fileBytes(t, whole.File(name)); err != nil || !bytes.Equal(got, want) {
						t.Errorf("died at operation %d, %s: %s differs", crashAt, when, name)
					}
				}
			}
			// A file takes 6 operations; after the last E-step there are at most the best
			// state and a checkpoint, and before it another checkpoint.
			counted := newHastyRun(t, c)
			n := countOps(&counted.Files)
			runEM(t, c, counted, nil)
			for crashAt, ended := max(0, *n-18), false; !ended; crashAt++ {
				dir := newHastyRun(t, c)
				ops := dir.Files
				dir.Files = runtest.Stopping(crashAt)
				_, err := Run(context.Background(), newTestSetup(t, c), dir, nil, &emListener{}, still)
				if ended = err == nil; !ended && !errors.Is(err, runtest.ErrStopped) {
					t.Fatal(err)
				}
				dir.Files = ops
				dir.Close()
				if at, err := Stands(dir); err != nil {
					t.Fatal(err)
				} else if at.Status.Ended() {
					wantSame(dir, "called finished", crashAt)
				}
				again, err := OpenRun(dir.Path)
				if err != nil {
					t.Fatal(err)
				}
				again.Files, dir = dir.Files, again
				state, _, _ := dir.Latest()
				runEM(t, c, dir, state)
				wantSame(dir, "after going on", crashAt)
				dir.Close()
				if at, err := Stands(dir); err != nil || !at.Status.Ended() {
					t.Errorf("died at operation %d, after going on: %v, %v", crashAt, at, err)
				}
				os.RemoveAll(filepath.Dir(dir.Path))
			}
		})
	}
}

// countOps has operations counted.
func countOps(ops *run.Files) *int {
	n, inner := new(int), *ops
	ops.Create = func(path string) (run.TempFile, error) {
		*n++
		f, err := inner.Create(path)
		return countingFile{f, n}, err
	}
	ops.Rename = func(from, to string) error { *n++; return inner.Rename(from, to) }
	ops.SyncDir = func(dir string) error { *n++; return inner.SyncDir(dir) }
	ops.Remove = func(path string) error { *n++; return inner.Remove(path) }
	return n
}

type countingFile struct {
	run.TempFile
	n *int
}

func (f countingFile) Write(b []byte) (int, error) { *f.n++; return f.TempFile.Write(b) }
func (f countingFile) Sync() error                 { *f.n++; return f.TempFile.Sync() }
func (f countingFile) Close() error                { *f.n++; return f.TempFile.Close() }
