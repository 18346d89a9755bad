package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"elbo/model"
	"elbo/train"
)

// tinyProgram returns a program, and a directory that holds synthetic digits under data.
func tinyProgram(t *testing.T, stdout, stderr io.Writer) (*program, string) {
	t.Helper()
	dir := t.TempDir()
	if err := writeDataset(filepath.Join(dir, "data"), 48, 12, 12); err != nil {
		t.Fatal(err)
	}
	return &program{name: "elbo", stdout: stdout, stderr: stderr, now: time.Now, cpus: 1}, dir
}

// tinyPriorFreedom returns a small experiment on synthetic digits of 12 × 12 pixels, of
// which no two are alike.
func tinyPriorFreedom(t *testing.T, stdout, stderr io.Writer) (*program, priorFreedomOptions) {
	t.Helper()
	p, dir := tinyProgram(t, stdout, stderr)
	return p, priorFreedomOptions{
		priorFreedomSettings: priorFreedomSettings{Data: filepath.Join(dir, "data"), Components: 3, Limit: 30, Iterations: 3, Seed: 1},
		out:                  filepath.Join(dir, "out"),
		json:                 true,
	}
}

func reported(t *testing.T, stdout []byte) priorFreedomReport {
	t.Helper()
	var r priorFreedomReport
	if err := json.Unmarshal(stdout, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// TestAnArmOfAnEarlierProgramIsRead: its result.json has the names that keys had then.
func TestAnArmOfAnEarlierProgramIsRead(t *testing.T) {
	var stdout bytes.Buffer
	p, o := tinyPriorFreedom(t, &stdout, io.Discard)
	o.Iterations = 1
	if err := runPriorFreedom(t.Context(), p, o); err != nil {
		t.Fatal(err)
	}
	want := reported(t, stdout.Bytes())
	for _, arm := range want.Arms {
		path := filepath.Join(o.out, arm.Arm, armFile)
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		before := strings.NewReplacer("prior_bound", "note", "prior_kl", "note_kl").Replace(string(text))
		if err := os.WriteFile(path, []byte(before), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	stdout.Reset()
	if err := runPriorFreedom(t.Context(), p, o); err != nil {
		t.Fatal(err)
	}
	if got := reported(t, stdout.Bytes()); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// TestPriorFreedomTableAddsUp: what the definitions say of the figures holds of those
// that a run reports.
func TestPriorFreedomTableAddsUp(t *testing.T) {
	var stdout bytes.Buffer
	p, o := tinyPriorFreedom(t, &stdout, io.Discard)
	if err := runPriorFreedom(t.Context(), p, o); err != nil {
		t.Fatal(err)
	}
	r := reported(t, stdout.Bytes())
	if len(r.Arms) != 15 || len(r.Findings) != 2 {
		t.Fatalf("%d arms and %d findings, want 15 and 2", len(r.Arms), len(r.Findings))
	}
	// Each is a mean of float32 sums over 144 pixels and up to 30 components, of the size
	// of the arm's largest figure: 2⁻²⁴ of it, times √174 for the terms, and a few.
	near := func(arm armResult, what string, got, want float64) {
		t.Helper()
		largest := max(math.Abs(arm.Train), math.Abs(arm.PriorBound), math.Abs(arm.Train+arm.KL), 1)
		if math.Abs(got-want) > 4*math.Sqrt(174)*math.Exp2(-24)*largest {
			t.Errorf("%s: %s is %v, want %v", arm.Arm, what, got, want)
		}
	}
	for _, arm := range r.Arms {
		near(arm, "B + KL(p‖q)", arm.PriorBound+arm.PriorKL, arm.Train)
		if arm.PriorKL < -1e-3 || arm.KL < -1e-3 {
			t.Errorf("%s: divergences %v and %v, want none below 0", arm.Arm, arm.PriorKL, arm.KL)
		}
		if arm.Test == nil {
			t.Errorf("%s has no test figures", arm.Arm)
			continue
		}
		// At iteration 0 every image has the same prior still.
		if arm.Prior != model.PerImage || arm.Iterations == 0 {
			near(arm, "train - train under the model's p(z)", arm.Choice(), 0)
		}
		if arm.Test.Images != 12 || arm.Test.Hindsight < arm.Test.LogP {
			t.Errorf("%s: hindsight %v over %d images, want 12 of them and no less than log p(x) = %v", arm.Arm, arm.Test.Hindsight, arm.Test.Images, arm.Test.LogP)
		}
	}
	if none := find(r.Arms, floorGroup(0), model.PerImage); none.Stopped == "" || none.Iterations > 0 {
		t.Errorf("without a floor a prior per image came to iteration %d, %q: want a degenerate component in the first M-step", none.Iterations, none.Stopped)
	}
	// Each image has its component: p(x) is 1 with a prior of its own, and 1/30 with a
	// uniform one.
	fixed, own := find(r.Arms, "memorise", model.Fixed), find(r.Arms, "memorise", model.PerImage)
	near(own, "memorising, per-image prior", own.Train, 0)
	near(fixed, "memorising, fixed prior", fixed.Train, -math.Log(30))
	near(own, "what the choice of p(z) is worth", own.Choice(), math.Log(30))

	file, err := os.Open(filepath.Join(o.out, "table.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil || len(rows) != 16 {
		t.Fatalf("table.csv: %d rows, %v, want 16", len(rows), err)
	}
}

// cancelling is standard error that interrupts when it has been told something so
// often.
type cancelling struct {
	text   string
	left   int
	cancel context.CancelFunc
	told   bytes.Buffer
}

func (c *cancelling) Write(b []byte) (int, error) {
	if strings.Contains(string(b), c.text) {
		if c.left--; c.left == 0 {
			c.cancel()
		}
	}
	return c.told.Write(b)
}

// TestPriorFreedomGoesOnToTheSameFigures: an experiment that was interrupted within an
// arm, and then between the fit of another and its test, ends as one left alone.
func TestPriorFreedomGoesOnToTheSameFigures(t *testing.T) {
	var alone, stdout bytes.Buffer
	p, o := tinyPriorFreedom(t, &alone, io.Discard)
	if err := runPriorFreedom(t.Context(), p, o); err != nil {
		t.Fatal(err)
	}
	o.out += "-2"
	p.stdout = &stdout
	var told string
	for _, stop := range []struct {
		text string
		left int
		says string
	}{
		{"iteration 0/3", 3, "interrupted: 2 of 15 arms are done, and bernoulli-per-image has made 0 of 3 iterations. Go on with: elbo experiment prior-freedom --out " + o.out + "\n"},
		{"iteration 3/3", 2, "interrupted: 3 of 15 arms are done, and gaussian-fixed has made 3 of 3 iterations. Go on with: elbo experiment prior-freedom --out " + o.out + "\n"},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		stderr := &cancelling{text: stop.text, left: stop.left, cancel: cancel}
		p.stderr = stderr
		err := runPriorFreedom(ctx, p, o)
		if !errors.Is(err, context.Canceled) && !errors.Is(err, train.ErrInterrupted) {
			t.Fatalf("interrupted: %v", err)
		}
		if told = stderr.told.String(); !strings.HasSuffix(told, stop.says) {
			t.Errorf("told:\n%swant at the end:\n%s", told, stop.says)
		}
	}
	if strings.Count(told, "done before") != 2 || !strings.Contains(told, "goes on at iteration 1\n") {
		t.Errorf("the second time it said:\n%swant two arms done before, and the third going on at iteration 1", told)
	}
	if stdout.Len() > 0 {
		t.Errorf("an interrupted experiment printed %q", stdout.String())
	}
	p.stderr = io.Discard
	if err := runPriorFreedom(t.Context(), p, o); err != nil {
		t.Fatal(err)
	}
	want, got := reported(t, alone.Bytes()), reported(t, stdout.Bytes())
	if !reflect.DeepEqual(got.Arms, want.Arms) || !reflect.DeepEqual(got.Findings, want.Findings) {
		t.Errorf("resumed: %+v\nleft alone: %+v", got.Arms, want.Arms)
	}
}

// figures makes up the arms of an experiment of 50 components.
func figures(bernoulli, gaussian [3]float64, memorise float64, fixedFloors, ownFloors [2]float64, stopped string) []armResult {
	var all []armResult
	add := func(group string, l model.LikelihoodName, p model.TablePrior, k int, train, test, choice float64) {
		all = append(all, armResult{Arm: group + "-" + string(p), Group: group, Likelihood: l, Prior: p, Images: 200, Components: k, Iterations: 40,
			Train: train, Test: &armTest{LogP: test, SE: 0.5, TrainLogP: train - choice}})
	}
	for i, p := range model.TablePriors {
		choice := 0.0
		if p == model.PerImage {
			choice = 3.5
		}
		add("bernoulli", model.BernoulliName, p, 50, -140, -140-bernoulli[i], choice)
		add("gaussian", model.GaussianName, p, 50, 1000, 1000-gaussian[i], choice)
	}
	add("memorise", model.BernoulliName, model.Fixed, 200, -5.3, -5000, 0)
	add("memorise", model.BernoulliName, model.PerImage, 200, memorise, -5000, 5.3)
	for i, floor := range lowerFloors {
		add(floorGroup(floor), model.GaussianName, model.Fixed, 50, fixedFloors[i], 0, 0)
		add(floorGroup(floor), model.GaussianName, model.PerImage, 50, ownFloors[i], 0, 0)
	}
	add("no-floor", model.GaussianName, model.Fixed, 50, 9000, 0, 0)
	add("no-floor", model.GaussianName, model.PerImage, 50, 9000, 0, 0)
	all[len(all)-1].Stopped = stopped
	return all
}

// TestFindingsFollowTheFigures: the sentences say what the figures say, whichever way
// they turn out.
func TestFindingsFollowTheFigures(t *testing.T) {
	// The threshold is two standard errors: 2 · √(0.5² + 0.5²) = 1.414.
	for _, c := range []struct {
		name    string
		results []armResult
		want    [2]string
	}{
		{
			"as the theory has it",
			figures([3]float64{8, 9, 11}, [3]float64{50, 50, 51.5}, -0.000004, [2]float64{2000, 2990}, [2]float64{2010, 3000}, "degenerate"),
			[2]string{
				"A free prior overfits, as guessed: train - test under the fixed, shared and per-image prior is 8.00, 9.00, 11.00 (bernoulli) and 50.00, 50.00, 51.50 (gaussian; least: fixed ± 0.50, fixed ± 0.50), of which choosing p(z) with each training image in hand makes 3.50 and 3.50 under the per-image prior (log K = 3.91); against the fixed prior it changes train and test by +0.00 and -3.00 (bernoulli), +0.00 and -1.50 (gaussian).",
				"For Bernoulli pixels the evidence has a limit: no arm's training evidence passed 0, and with a component for each of 200 images it came to 0.00 under the per-image prior and -5.30 under the fixed one (to name one of 200 images costs log 200 = 5.30); for Gaussian pixels no limit shows, but under every prior: it is the variance that must be held, not p(z): lowering the variance floor from 0.001 to 1e-05 to 1e-07 changed training evidence by +1000, then +990 (fixed prior), +1010, then +990 (per-image prior), and without a floor the fit went on to 9000 in 40 iterations (fixed prior), degenerated at iteration 41 (per-image prior).",
			},
		},
		{
			"the guess refuted in every point",
			figures([3]float64{11, 8, 9}, [3]float64{50, 49, 51.4}, 2.5, [2]float64{1002, 1002.5}, [2]float64{1003, 1003.1}, ""),
			[2]string{
				"That a free prior overfits is not borne out (under the per-image prior train - test is not two standard errors above the fixed prior's): train - test under the fixed, shared and per-image prior is 11.00, 8.00, 9.00 (bernoulli) and 50.00, 49.00, 51.40 (gaussian; least: shared ± 0.50, shared ± 0.50), of which choosing p(z) with each training image in hand makes 3.50 and 3.50 under the per-image prior (log K = 3.91); against the fixed prior it changes train and test by +0.00 and +2.00 (bernoulli), +0.00 and -1.40 (gaussian).",
				"For Bernoulli pixels training evidence passed 0, which no probability can (memorise-per-image: 2.50), and with a component for each of 200 images it came to 2.50 under the per-image prior and -5.30 under the fixed one (to name one of 200 images costs log 200 = 5.30); for Gaussian pixels the evidence nears a limit too: lowering the variance floor from 0.001 to 1e-05 to 1e-07 changed training evidence by +2, then +0 (fixed prior), +3, then +0 (per-image prior), and without a floor both fits went on to 9000 in 40 iterations.",
			},
		},
	} {
		got := findings(c.results)
		for i, want := range c.want {
			if got[i] != want {
				t.Errorf("%s: sentence %d is\n%s\nwant\n%s", c.name, i+1, got[i], want)
			}
		}
	}
	mixed := figures([3]float64{8, 9, 11}, [3]float64{50, 50, 50}, 0, [2]float64{1001, 1001}, [2]float64{2000, 3000}, "")
	got := findings(mixed)
	for i, want := range []string{
		"A free prior overfits, as guessed, with bernoulli pixels, but not by two standard errors with gaussian ones: ",
		"; for Gaussian pixels no limit shows where p(z) is free, and one does where it is fixed: ",
	} {
		if !strings.Contains(got[i], want) {
			t.Errorf("mixed figures: sentence %d is\n%s\nwant in it\n%s", i+1, got[i], want)
		}
	}
	mixed[0].Test = nil
	if got, want := findings(mixed)[0], "Whether a free prior overfits was not measured: bernoulli-fixed has no test figures."; got != want {
		t.Errorf("without test figures: %q, want %q", got, want)
	}
}
