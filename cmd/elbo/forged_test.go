package main

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"elbo/train"
	"elbo/train/run"
)

// TestForgedCheckpointsAreDamagedForEveryCommand: a checkpoint whose checksums hold, but
// whose configuration or place in an epoch none of our runs could have, is refused as a
// damaged one by whatever reads it, and no work is begun.
func TestForgedCheckpointsAreDamagedForEveryCommand(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("ELBO_BLAS", "")
	elbo := func(args ...string) (int, string) {
		var stdout, stderr bytes.Buffer
		code := execute(t.Context(), append([]string{"elbo"}, args...), &stdout, &stderr)
		return code, stderr.String()
	}
	if err := writeDataset("tiny", 32, 8, 8); err != nil {
		t.Fatal(err)
	}
	if code, says := elbo("train", "--data", "tiny", "--binarise", "threshold", "--hidden", "4", "--latent", "2", "--epochs", "1", "--workers", "1", "--out", "run"); code != 0 {
		t.Fatal(says)
	}
	best := filepath.Join("run", run.BestFile)
	last := filepath.Join("run", "checkpoint-00000001.safetensors")
	good, err := train.LoadCheckpoint(last)
	if err != nil {
		t.Fatal(err)
	}
	config := func(old, new string) func(*run.State) {
		return func(s *run.State) {
			forged := strings.Replace(string(s.Config), old, new, 1)
			if forged == string(s.Config) {
				t.Fatalf("the configuration has no %s", old)
			}
			s.Config = json.RawMessage(forged)
		}
	}
	const none = "damaged checkpoint: elbo.config is no configuration of this elbo (of a newer one?): "
	for _, test := range []struct {
		name  string
		forge func(*run.State)
		says  string
	}{
		{"unknown key", config(`"seed": 1`, `"sead": 1`), none + `config: unknown key "sead"; did you mean "seed"?`},
		{"wrong type", config(`"batch": 27`, `"batch": {}`), none + "config: batch is {}, want a number, text or an array of numbers"},
		{"impossible value", config(`"batch": 27`, `"batch": -1`), none + "batch is -1, want at least 1"},
		{"workers", config(`"workers": 1`, `"workers": 1000000`), none + "workers is 1000000, want at most 1024"},
		{"layers", config(`"hidden": [4]`, `"hidden": [1`+strings.Repeat(",1", 200_000)+"]"), none + "hidden has 200001 layers, want at most 100"},
		{"a key twice", config(`"seed": 1`, `"seed": 1, "seed": 2`), none + `config: key "seed" is there twice, want it once`},
		{"no object", func(s *run.State) { s.Config = json.RawMessage("3") }, none + "config: not a JSON object"},
		{"position", func(s *run.State) { s.Position = 1e12 }, "damaged checkpoint: elbo.position is 1000000000000, but an epoch has 27 images"},
	} {
		t.Run(test.name, func(t *testing.T) {
			forged := *good
			test.forge(&forged)
			for _, path := range []string{best, last} {
				if err := run.Save(path, &forged); err != nil {
					t.Fatal(err)
				}
			}
			for _, args := range [][]string{
				{"inspect", last}, {"inspect", "run"}, {"eval", "run"}, {"eval", best}, {"gap", "run"}, {"swap", "run"}, {"sample", "run"}, {"reconstruct", "run"},
				{"resume", "run", "--epochs", "2"}, {"compare", "run"}, {"data", "export", "--run", "run", "--out", "x.npy"},
				{"train", "--data", "tiny", "--binarise", "threshold", "--init-from", best},
			} {
				code, says := elbo(args...)
				if code != 3 || !strings.Contains(says, test.says) {
					t.Errorf("%v ends with %d and says\n%swant 3 and %q", args, code, says, test.says)
				}
			}
		})
	}
}
