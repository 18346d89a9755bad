package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"elbo/model/infer"
	"elbo/train"
	"elbo/train/run"
)

// TestRunsOfEveryFormatAreReadEvaluatedAndResumed: the program of today goes on with the
// runs of earlier ones, and comes to the figures that those came to. testdata/runs says
// how they were made.
func TestRunsOfEveryFormatAreReadEvaluatedAndResumed(t *testing.T) {
	for version := 1; version <= run.FormatVersion; version++ {
		from := fmt.Sprintf("testdata/runs/v%d", version)
		if _, err := os.Stat(from); err != nil {
			t.Errorf("%v: want small runs of format %d there, kept before the next format was written", err, version)
			continue
		}
		for _, name := range []string{"vae", "per-image", "incremental", "grid"} {
			t.Run(fmt.Sprintf("v%d/%s", version, name), func(t *testing.T) {
				expected := filepath.Join(absolute(t, from), "expected", name)
				dir := t.TempDir()
				for _, part := range []string{"data", name} {
					if err := os.CopyFS(filepath.Join(dir, part), os.DirFS(filepath.Join(from, part))); err != nil {
						t.Fatal(err)
					}
				}
				t.Chdir(dir) // the configuration has the data's path, which is relative
				continueOldRun(t, name, expected)
			})
		}
	}
}

// continueOldRun evaluates a run and resumes it for one pass. The files of what its own
// program made of it begin with expected.
func continueOldRun(t *testing.T, name, expected string) {
	before, err := train.ReadRun(name)
	if err != nil {
		t.Fatal(err)
	}
	state, _, passed := before.Latest()
	if state == nil || len(passed) > 0 {
		t.Fatalf("the newest checkpoint cannot be read: %v", passed)
	}
	if _, _, err := before.Best(); err != nil {
		t.Error(err)
	}
	lines, err := before.ReadMetrics()
	if err != nil || len(lines) == 0 {
		t.Fatalf("%d lines of metrics (%v), want those of the run", len(lines), err)
	}
	last := lines[len(lines)-1]
	faults, err := before.MetricsFaults(run.Span{First: lines[0].Epoch, End: last.Epoch + 1})
	if err != nil || len(faults) > 0 {
		t.Errorf("metrics: %v %v, want every line read", faults, err)
	}
	for _, line := range lines {
		// Both are differences and sums of float64s, and the evidence is their sum.
		if em := line.EM; em != nil && !em.Table && (em.PriorBound == nil || em.PriorKL == nil || !(math.Abs(*em.PriorBound+*em.PriorKL-line.Train.Bound) < 1e-9)) {
			t.Errorf("iteration %d: prior_bound %v and prior_kl %v, want the sum %v", line.Epoch, em.PriorBound, em.PriorKL, line.Train.Bound)
		}
	}

	var want, got infer.Evaluation
	readJSON(t, expected+"-eval.json", &want)
	if err := json.Unmarshal(runCommand(t, "eval", name, "--checkpoint", "last", "--json"), &got); err != nil {
		t.Fatal(err)
	}
	// log p(x|z) is a sum over 100 pixels in float32, on another machine in another order:
	// each of the additions rounds what is there by at most 2^-24 of it, and both figures
	// have such an error.
	const pixels = 100
	rounding := 2 * pixels * math.Abs(want.Recon) * math.Pow(2, -24)
	near := func(what string, got, want, allowed float64) {
		t.Helper()
		if !(math.Abs(got-want) <= allowed) {
			t.Errorf("%s is %.9g, in its own program %.9g: want them within %.2g", what, got, want, allowed)
		}
	}
	if got.Images != want.Images {
		t.Errorf("%d images are scored, want %d", got.Images, want.Images)
	}
	near("recon", got.Recon, want.Recon, rounding)
	near("kl", got.KL, want.KL, rounding)
	near("elbo", got.ELBO, want.ELBO, rounding)
	if want.IW != nil {
		near("iw.bound", got.IW.Bound, want.IW.Bound, rounding)
	}
	if want.LogP != nil && got.LogP == nil {
		t.Error("there is no log_p, want that of the table")
	} else if want.LogP != nil {
		near("log_p.value", got.LogP.Value, want.LogP.Value, rounding)
	}

	runCommand(t, "resume", name, "--epochs", strconv.Itoa(last.Epoch+1))
	var next run.Metrics
	readJSON(t, expected+"-next.jsonl", &next)
	after, err := before.ReadMetrics()
	if err != nil || len(after) != len(lines)+1 {
		t.Fatalf("%d lines of metrics after one pass more (%v), want %d", len(after), err, len(lines)+1)
	}
	made := after[len(lines)]
	if made.Epoch != next.Epoch || made.Step != next.Step {
		t.Errorf("the pass is epoch %d, step %d, want %d, %d", made.Epoch, made.Step, next.Epoch, next.Step)
	}
	// Gradients carry the same rounding into the parameters, and these into the figures:
	// ten times as much leaves room for it, and is still far less than what a pass changes.
	rounding *= 10
	if change := math.Abs(next.Train.Bound - last.Train.Bound); change < 10*rounding {
		t.Errorf("a pass changes the bound by %g only: too little to tell that it was resumed", change)
	}
	near("train.recon", made.Train.Recon, next.Train.Recon, rounding)
	near("train.kl", made.Train.KL, next.Train.KL, rounding)
	near("train.bound", made.Train.Bound, next.Train.Bound, rounding)
	near("validation.bound", made.Validation.Bound, next.Validation.Bound, rounding)
}

// runCommand runs a command line in this process and returns what it printed.
func runCommand(t *testing.T, args ...string) []byte {
	t.Helper()
	var stdout, stderr bytes.Buffer
	p := &program{name: "elbo", stdout: &stdout, stderr: &stderr, now: time.Now, cpus: 1}
	cmd := newRootCmd(p)
	cmd.SetArgs(args)
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		t.Fatalf("elbo %s: %v\n%s", strings.Join(args, " "), err, stderr.Bytes())
	}
	return stdout.Bytes()
}

func readJSON(t *testing.T, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func absolute(t *testing.T, path string) string {
	t.Helper()
	path, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return path
}
