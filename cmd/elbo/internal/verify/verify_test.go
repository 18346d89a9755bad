package verify

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"elbo/graph/graphtest"
	"elbo/model"
	"elbo/train"
	"elbo/train/run"
)

func newVerifier(t *testing.T) *Verifier {
	return &Verifier{Engine: graphtest.Engine(2), Now: time.Now, Temp: t.TempDir()}
}

// checked runs checks and returns them.
func checked(t *testing.T, run func(add func(Check)) error) []Check {
	t.Helper()
	var checks []Check
	if err := run(func(c Check) { checks = append(checks, c) }); err != nil {
		t.Fatal(err)
	}
	return checks
}

func quiet(string) {}

// short is the configuration of a run of one or two epochs.
func short(t *testing.T, v *Verifier, name string) train.Config {
	t.Helper()
	c, err := v.short(name)
	if err != nil {
		t.Fatal(err)
	}
	c.Epochs, c.Limit = 2, 200
	return c
}

// smallRun is a finished run of the given model on MNIST.
func smallRun(t *testing.T, v *Verifier, c train.Config) (*run.Dir, Run) {
	t.Helper()
	s, err := v.setup(c)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := v.newRun("run", s.Config)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.fit(context.Background(), s, dir, nil, &recorder{}); err != nil {
		t.Fatal(err)
	}
	if err := dir.Close(); err != nil {
		t.Fatal(err)
	}
	read, err := train.ReadRun(dir.Path)
	if err != nil {
		t.Fatal(err)
	}
	return dir, Run{Dir: read, Setup: v.setup}
}

// fault is how a test spoils what a check has computed, by the beginning of its name:
// by little more than the check allows for.
var fault = map[string]func(figures []float64){
	"Σ p(x)":         func(logP []float64) { shift(logP, 3e-4) },
	"∫ p(x) dx":      func(logP []float64) { shift(logP, 1e-4) },
	"draws of p(z)":  func(entropy []float64) { shift(entropy, 0.05) },
	"draws of q":     func(ratios []float64) { scale(ratios, 1.06) },
	"gradient":       func(g []float64) { scale(g, 1.004) },
	"bound, batches": func(bounds []float64) { bounds[2] += 0.002 },
	"EM climbs":      func(objective []float64) { objective[len(objective)-1] = objective[len(objective)-2] - 0.002 },
	"ELBO ≤":         func(d []float64) { scale(d, -1) },
	"L_":             func(d []float64) { scale(d, -1) },
	"E_p(z)":         func(figures []float64) { slices.Reverse(figures) },
	"posteriors":     func(seen []float64) { seen[0]-- },
	"interrupted":    func(b []float64) { b[0] = float64(byte(b[0]) ^ 1) },
	"best":           func(bound []float64) { bound[0] = math.Nextafter(bound[0], 0) },
}

func shift(x []float64, by float64) {
	for i := range x {
		x[i] += by
	}
}

func scale(x []float64, by float64) {
	for i := range x {
		x[i] *= by
	}
}

// TestEveryCheckHoldsAndEveryCheckCanFail runs everything twice: as it is, and with what
// each check has computed spoiled before it is judged.
func TestEveryCheckHoldsAndEveryCheckCanFail(t *testing.T) {
	v := newVerifier(t)
	vae, deep, mixture := short(t, v, train.VAEModel), short(t, v, train.VAEModel), short(t, v, train.MixtureModel)
	deep.Settings.(*train.VAESettings).Latent = 5 // L_k instead of quadrature
	var runs []Run
	for _, c := range []train.Config{vae, deep, mixture} {
		_, r := smallRun(t, v, c)
		runs = append(runs, r)
	}
	all := func(add func(Check)) error {
		for _, r := range runs {
			if err := v.Run(context.Background(), r, quiet, add); err != nil {
				return err
			}
		}
		return v.Program(context.Background(), quiet, add)
	}
	var names []string
	for _, c := range checked(t, all) {
		if !c.OK {
			t.Errorf("%+v", c)
		}
		names = append(names, c.Name)
	}
	for _, want := range []string{"Σ p(x), VAE", "Σ p(x), mixture", "Σ p(x), grid", "∫ p(x) dx", "gradient", "bound, batches", "EM climbs", "ELBO ≤ L_", "L_100 ≤ log p(x)", "L_100 ≤ L_1000", "E_p(z)", "interrupted", "best validation", "the run's data", "best.safetensors", "metrics.jsonl"} {
		if !slices.ContainsFunc(names, func(name string) bool { return strings.HasPrefix(name, want) }) {
			t.Errorf("no check is called %s..., there are %q", want, names)
		}
	}
	v.spoil = func(name string, figures []float64) {
		for prefix, f := range fault {
			if strings.HasPrefix(name, prefix) {
				f(figures)
				return
			}
		}
		t.Errorf("no test spoils the check %q", name)
	}
	for _, c := range checked(t, all) {
		files := c.Name == "the run's data" || c.Name == run.MetricsFile || strings.HasSuffix(c.Name, ".safetensors") // see TestARunThatIsNotWhatItSays
		if c.OK && !files {
			t.Errorf("spoiled, and yet: %+v", c)
		}
	}
}

// TestADensityIsNoMass: a VAE whose likelihood does not sum to 1 over outcomes is found
// out, and so is a mixture whose parameters do not belong together.
func TestADensityIsNoMass(t *testing.T) {
	v := newVerifier(t)
	m, err := v.smallVAE(model.VAEConfig{Pixels: 9, Latent: 1, Likelihood: model.ContinuousBernoulliName})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range checked(t, func(add func(Check)) error {
		return v.massOf(context.Background(), "density", m.Joint, add)
	}) {
		if c.OK {
			t.Errorf("%+v", c)
		}
	}
	mixture, err := v.randomMixture(model.Shared)
	if err != nil {
		t.Fatal(err)
	}
	mixture.LogPrior()[0] += 0.01
	for _, c := range checked(t, func(add func(Check)) error { return v.massOfStates("heavy", mixture.EM, add) }) {
		if c.OK {
			t.Errorf("%+v", c)
		}
	}
}

// TestARunThatIsNotWhatItSays: a parameter that was changed (with checksums that hold), a
// byte that was, other data.
func TestARunThatIsNotWhatItSays(t *testing.T) {
	v := newVerifier(t)
	c := short(t, v, train.VAEModel)
	c.Limit, c.Settings.(*train.VAESettings).Latent = 100, 4
	dir, r := smallRun(t, v, c)
	failed := func() []string {
		var names []string
		for _, c := range checked(t, func(add func(Check)) error { return v.Run(context.Background(), r, quiet, add) }) {
			if !c.OK {
				names = append(names, c.Name)
			}
		}
		return names
	}
	if names := failed(); names != nil {
		t.Fatalf("a run that nothing is wrong with fails %q", names)
	}

	metrics := dir.File(run.MetricsFile)
	lines, err := os.ReadFile(metrics)
	if err != nil {
		t.Fatal(err)
	}
	for what, spoiled := range map[string][]byte{"a line": lines[1+bytes.IndexByte(lines, '\n'):], "all lines": nil, "their end": lines[:len(lines)-5]} {
		if err := os.WriteFile(metrics, spoiled, 0o666); err != nil {
			t.Fatal(err)
		}
		if names := failed(); !slices.Equal(names, []string{run.MetricsFile}) {
			t.Errorf("metrics without %s: %q fail", what, names)
		}
	}
	if err := os.WriteFile(metrics, lines, 0o666); err != nil {
		t.Fatal(err)
	}

	best := filepath.Join(dir.Path, run.BestFile)
	state, err := train.LoadCheckpoint(best)
	if err != nil {
		t.Fatal(err)
	}
	value := &state.Params[len(state.Params)-1].Data[400] // the logit of a pixel in the middle
	*value += 0.5
	if err := run.Save(best, state); err != nil {
		t.Fatal(err)
	}
	if names := failed(); !slices.Equal(names, []string{"best validation bound, evaluated again"}) {
		t.Errorf("a parameter was changed: %q fail", names)
	}
	*value -= 0.5
	state.Data = strings.Repeat("0", 64)
	if err := run.Save(best, state); err != nil {
		t.Fatal(err)
	}
	if names := failed(); !slices.Equal(names, []string{"the run's data", "the run"}) {
		t.Errorf("other data: %q fail", names)
	}

	content, err := os.ReadFile(best)
	if err != nil {
		t.Fatal(err)
	}
	content[len(content)-1] ^= 1
	if err := os.WriteFile(best, content, 0o666); err != nil {
		t.Fatal(err)
	}
	if names := failed(); !slices.Equal(names, []string{run.BestFile}) {
		t.Errorf("a byte was changed: %q fail", names)
	}
}

func TestVerifyingStopsWhenAsked(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	v := newVerifier(t)
	if err := v.Program(ctx, quiet, func(Check) {}); !errors.Is(err, context.Canceled) {
		t.Errorf("Program = %v, want the context's error", err)
	}
}
