package train

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
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
			var state *State
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
			ops := dir.ops
			dir.ops = stoppingOps(crashAt)
			_, err := Run(context.Background(), newTestSetup(t, c), dir, state, &listener{}, still)
			if ended = err == nil; !ended && !errors.Is(err, errPowerLost) {
				t.Fatal(err)
			}
			dir.ops = ops
			if err := dir.removeLeftovers(); err != nil {
				t.Fatal(err)
			}
			state, _, _ = dir.Latest()
			if _, err := Run(context.Background(), newTestSetup(t, c), dir, state, &listener{}, still); err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{checkpointOf(steps), BestFile, MetricsFile} {
				got, want := fileBytes(t, dir.File(name)), fileBytes(t, whole.File(name))
				if name == MetricsFile {
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
