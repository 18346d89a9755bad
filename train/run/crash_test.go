package run_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"elbo/train/run"
	"elbo/train/run/runtest"
	"elbo/train/safetensors"
)

// operations is how many a file takes before its directory is flushed: it is made, written,
// flushed, closed and renamed.
const operations = 5

func stateOfStep(step int64) *run.State {
	return &run.State{Step: step, Epoch: 1, Params: []safetensors.Tensor{{Name: "p", Shape: []int{1}, Data: []float32{float32(step)}}}}
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

func wantNames(t *testing.T, dir string, want ...string) {
	t.Helper()
	if got := names(t, dir); !slices.Equal(got, want) {
		t.Errorf("%s holds %q, want %q", dir, got, want)
	}
}

func TestOpenRunAfterACrashFindsACheckpointAndNoLeftovers(t *testing.T) {
	sawLeftover := false
	for crashAt := range operations + 2 { // from before Create to after SyncDir
		r := runtest.Hasty(t, filepath.Join(t.TempDir(), "run"), []byte("{}"), nil)
		if err := r.Save(stateOfStep(1)); err != nil {
			t.Fatal(err)
		}
		r.Files = runtest.Stopping(crashAt)
		saved := r.Save(stateOfStep(2))
		r.Close()
		sawLeftover = sawLeftover || slices.Contains(names(t, r.Path), ".elbo-tmp-0-checkpoint-00000002.safetensors")

		again, err := run.Open(r.Path, nil)
		if err != nil {
			t.Fatal(err)
		}
		s, _, warnings := again.Latest()
		if s == nil || warnings != nil || (saved == nil && s.Step != 2) {
			t.Errorf("crash before operation %d: latest %v, warnings %v; Save returned %v", crashAt, s, warnings, saved)
		}
		if err := again.Save(stateOfStep(2)); err != nil {
			t.Fatal(err)
		}
		wantNames(t, r.Path, ".lock", "checkpoint-00000001.safetensors", "checkpoint-00000002.safetensors", "config.json")
		again.Close()
	}
	if !sawLeftover {
		t.Error("no crash left a temporary file: nothing was tested")
	}
}

func TestCreateRunAfterACrashStartsAfresh(t *testing.T) {
	for crashAt := range 2 + operations { // the directory is made and flushed, then config.json gets its name
		path := filepath.Join(t.TempDir(), "run")
		if _, err := run.CreateWith(runtest.Stopping(crashAt), path, []byte("first"), nil); err == nil {
			t.Fatal("no crash")
		}
		r, err := run.Create(path, []byte("second"), nil)
		if err != nil {
			t.Fatal(err)
		}
		wantNames(t, path, ".lock", "config.json")
		r.Close()
	}
}
