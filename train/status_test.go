package train

import (
	"context"
	"errors"
	"strings"
	"testing"
)

// TestARunIsFinishedWhenItsLoopSaysSo: a run that was interrupted is not, and one that
// reached its last epoch, or converged, is; whichever way it was fitted.
func TestARunIsFinishedWhenItsLoopSaysSo(t *testing.T) {
	vae := smallConfig(t)
	vae.Epochs = 2
	full := emConfig(t, MixtureModel)
	full.Epochs = 3
	converging := full.Clone()
	converging.Epochs, converging.table().Tolerance = 200, 1e-3
	stalling := emConfig(t, GridModel)
	stalling.network().LR, stalling.grid().MSteps, stalling.Epochs, stalling.table().Tolerance = 3, 2, 8, 1e-9 // stalls, which is no convergence
	for _, test := range []struct {
		name string
		c    Config
	}{{"vae", vae}, {"all iterations", full}, {"converged", converging}, {"stalled", stalling}} {
		t.Run(test.name, func(t *testing.T) {
			dir, s := newHastyRun(t, test.c), newTestSetup(t, test.c)
			reader, err := ReadRun(dir.Path)
			if err != nil {
				t.Fatal(err)
			}
			says := func(want string) {
				t.Helper()
				if got, err := Stands(reader); err != nil || got.Status.Ended() != (want == "") || !strings.Contains(got.String(), want) {
					t.Errorf("stands: %v, %v, want %q", got, err, want)
				}
			}
			says("in training") // the lock is held
			dir.Close()
			says("no checkpoint")
			if dir, err = OpenRun(dir.Path); err != nil {
				t.Fatalf("the lock is not free: %v", err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if _, err := Run(ctx, s, dir, nil, &emListener{}, still); !errors.Is(err, ErrInterrupted) {
				t.Fatal(err)
			}
			dir.Close()
			says(" of ")
			if dir, err = OpenRun(dir.Path); err != nil {
				t.Fatalf("the lock is not free: %v", err)
			}
			state, _, _ := dir.Latest()
			result, err := Run(t.Context(), newTestSetup(t, test.c), dir, state, &emListener{}, still)
			if err != nil {
				t.Fatal(err)
			}
			dir.Close()
			if (result.Status == Converged) != (test.name == "converged") {
				t.Errorf("status: %v", result.Status)
			}
			if at, err := Stands(reader); err != nil || at.Status != result.Status {
				t.Errorf("the run ended as %v, and stands as %v, %v", result.Status, at, err)
			}
			says("")
		})
	}
}
