package train

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"elbo/data"
	"elbo/graph/graphtest"
	"elbo/model"
	"elbo/model/infer"
	"elbo/train/run"
	"elbo/train/run/runtest"
)

// emCases are the models with a table and the ways to fit them.
var emCases = []struct {
	name   string
	model  string
	change func(*Config)
}{
	{"mixture", MixtureModel, func(c *Config) {}},
	{"mixture, fixed prior, random", MixtureModel, func(c *Config) { c.table().Prior, c.mixture().Init = model.Fixed, FromRandom }},
	{"mixture, prior per image", MixtureModel, func(c *Config) { c.table().Prior = model.PerImage }},
	{"mixture, accelerated", MixtureModel, func(c *Config) { c.mixture().Accelerate = true }},
	{"mixture, accelerated, fixed prior", MixtureModel, func(c *Config) { c.mixture().Accelerate, c.table().Prior = true, model.Fixed }},
	{"mixture, without smoothing", MixtureModel, func(c *Config) { c.mixture().Smoothing, c.mixture().Init = 0, KMeansPP }},
	{"mixture, dead components", MixtureModel, func(c *Config) { c.mixture().Components, c.mixture().Init = 60, FromRandom }},
	{"gaussian mixture", MixtureModel, gaussian},
	{"gaussian mixture, accelerated", MixtureModel, func(c *Config) { gaussian(c); c.mixture().Accelerate = true }},
	{"gaussian mixture, prior per image", MixtureModel, func(c *Config) { gaussian(c); c.table().Prior = model.PerImage }},
	{"grid", GridModel, func(c *Config) {}},
	{"grid, shared prior", GridModel, func(c *Config) { c.table().Prior, c.grid().GridRule = model.Shared, model.Lattice }},
	{"grid, prior per image", GridModel, func(c *Config) { c.table().Prior, c.grid().GridRule = model.PerImage, model.Hermite }},
	{"mixture of levels", MixtureModel, ofLevels(model.DiscretizedLogisticName)},
	{"mixture of levels, prior per image", MixtureModel, func(c *Config) {
		ofLevels(model.DiscretizedLogisticName)(c)
		c.table().Prior, c.mixture().Init = model.PerImage, FromRandom
	}},
	{"mixture of levels, without smoothing", MixtureModel, func(c *Config) {
		ofLevels(model.DiscretizedLogisticName)(c)
		c.mixture().Smoothing, c.mixture().Init = 0, KMeansPP
	}},
	{"mixture of mixtures of levels", MixtureModel, func(c *Config) {
		ofLevels(model.DiscretizedLogisticMixtureName)(c)
		c.table().Mixtures = 2
	}},
	{"mixture of beta-binomial levels", MixtureModel, ofLevels(model.BetaBinomialName)},
	{"grid of levels", GridModel, ofLevels(model.DiscretizedLogisticName)},
	{"grid of mixtures of levels, gated", GridModel, func(c *Config) {
		ofLevels(model.DiscretizedLogisticMixtureName)(c)
		c.network().Layers = model.Gated
	}},
	{"grid of beta-binomial levels, convolutions", GridModel, func(c *Config) {
		ofLevels(model.BetaBinomialName)(c)
		c.network().Layers, c.network().ConvSettings.Widths = model.Conv, []int{3, 4}
	}},
	{"grid of residual blocks, shared prior", GridModel, func(c *Config) {
		c.table().Prior, c.network().Layers = model.Shared, model.Residual
		c.network().ConvSettings.Widths, c.network().ConvSettings.Blocks = []int{3}, 1
	}},
	{"grid that stalls", GridModel, func(c *Config) { c.network().LR, c.grid().MSteps = 3, 2 }},
}

func gaussian(c *Config) {
	c.Likelihood, c.Binarise, c.mixture().VarianceFloor = model.GaussianName, data.None, 1e-2
}

// ofLevels are images of 256 levels.
func ofLevels(l model.LikelihoodName) func(c *Config) {
	return func(c *Config) { c.Likelihood, c.Binarise = l, data.None }
}

// emConfig fits a small model to synthetic images in a fraction of a second.
func emConfig(t testing.TB, name string) Config {
	c := DefaultConfig(name)
	c.Data = writeSynthetic(t)
	c.Binarise, c.Split, c.Workers, c.Epochs, c.table().Tolerance = data.Threshold, []int{90, 30}, 2, 20, 0
	if name == GridModel {
		c.grid().Grid, c.network().Latent, c.network().Hidden, c.grid().MSteps, c.network().LR = []int{4, 3}, 2, []int{6}, 4, 2e-2
	} else {
		c.mixture().Components = 6
	}
	return c
}

// emListener hears of every iteration.
type emListener struct {
	iterations []run.Metrics
	each       func(run.Metrics)
}

func (l *emListener) Step(Progress) {}
func (l *emListener) Epoch(m run.Metrics) {
	l.iterations = append(l.iterations, m)
	if l.each != nil {
		l.each(m)
	}
}

// writeImages writes an IDX file.
func writeImages(t testing.TB, images data.Images) string {
	t.Helper()
	file := binary.BigEndian.AppendUint32(nil, 0x803)
	for _, extent := range []int{images.N, images.Rows, images.Cols} {
		file = binary.BigEndian.AppendUint32(file, uint32(extent))
	}
	path := filepath.Join(t.TempDir(), "images-idx3-ubyte")
	if err := os.WriteFile(path, append(file, images.Bytes...), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// newHastyRun makes a run directory of files that do not wait for the disk: the tests
// write thousands.
func newHastyRun(t testing.TB, c Config) *run.Dir {
	t.Helper()
	return runtest.Hasty(t, filepath.Join(t.TempDir(), "run"), c.JSON(), CheckState())
}

// runEM fits a model from a state, or from the beginning, in a directory.
func runEM(t testing.TB, c Config, dir *run.Dir, from *run.State) (*Setup, Result, []run.Metrics) {
	t.Helper()
	s, heard := newTestSetup(t, c), &emListener{}
	result, err := Run(context.Background(), s, dir, from, heard, still)
	if err != nil {
		t.Fatal(err)
	}
	return s, result, heard.iterations
}

func checkpointOf(step int64) string { return fmt.Sprintf("checkpoint-%08d.safetensors", step) }

// TestResumingEMIsBitIdentical goes on from every checkpoint of a run, each time in a
// new directory and with a new model: the last checkpoint, the result and the lines of
// the metrics are those of the run left alone.
func TestResumingEMIsBitIdentical(t *testing.T) {
	for _, test := range emCases {
		t.Run(test.name, func(t *testing.T) {
			c := emConfig(t, test.model)
			c.Epochs = 12
			test.change(&c)
			whole := newHastyRun(t, c)
			whole.Keep = 100
			_, result, _ := runEM(t, c, whole, nil)
			names, err := whole.Checkpoints()
			if err != nil || len(names) < 6 || names[0] != checkpointOf(12) {
				t.Fatalf("checkpoints %v, %v; want one of step 12 and at least 5 more", names, err)
			}
			lines := bytes.SplitAfter(fileBytes(t, whole.File(run.MetricsFile)), []byte("\n"))
			for i, name := range names[1:] {
				if i%3 != 0 && i+2 != len(names) { // some of them, the first and the last too
					continue
				}
				state, err := LoadCheckpoint(whole.File(name))
				if err != nil {
					t.Fatal(err)
				}
				again := newHastyRun(t, c)
				_, resumed, _ := runEM(t, c, again, state)
				if !bytes.Equal(fileBytes(t, again.File(names[0])), fileBytes(t, whole.File(names[0]))) {
					t.Errorf("from %s: the final checkpoint differs", name)
				}
				if resumed.Step != result.Step || *resumed.Best != *result.Best {
					t.Errorf("from %s: ended with %+v, best %+v; want %+v, best %+v", name, resumed, resumed.Best, result, result.Best)
				}
				got := fileBytes(t, again.File(run.MetricsFile))
				if want := bytes.Join(lines[state.Step:], nil); !bytes.Equal(got, want) {
					t.Errorf("from %s: metrics differ:\n%s\nwant\n%s", name, firstLine(got, want), firstLine(want, got))
				}
			}
		})
	}
}

// firstLine is the first line of text that differs from the other's.
func firstLine(text, other []byte) string {
	others := strings.Split(string(other), "\n")
	for i, line := range strings.Split(string(text), "\n") {
		if i >= len(others) || line != others[i] {
			return line
		}
	}
	return "(nothing)"
}

// TestAnInterruptedEMRunEndsWithTheSameBytes interrupts at every iteration in turn and
// goes on in the same directory.
func TestAnInterruptedEMRunEndsWithTheSameBytes(t *testing.T) {
	const steps = 5
	for _, test := range emCases {
		t.Run(test.name, func(t *testing.T) {
			c := emConfig(t, test.model)
			c.Epochs = steps
			test.change(&c)
			whole := newHastyRun(t, c)
			runEM(t, c, whole, nil)
			for stop := range steps {
				dir := newHastyRun(t, c)
				ctx, cancel := context.WithCancel(context.Background())
				_, err := Run(ctx, newTestSetup(t, c), dir, nil, &emListener{each: func(m run.Metrics) {
					if m.Epoch == stop {
						cancel()
					}
				}}, still)
				if !errors.Is(err, ErrInterrupted) {
					t.Fatalf("interrupted in iteration %d: Run = %v, want ErrInterrupted", stop, err)
				}
				state, _, warnings := dir.Latest()
				if state == nil || len(warnings) > 0 {
					t.Fatalf("interrupted in iteration %d: latest checkpoint is %+v, %v", stop, state, warnings)
				}
				runEM(t, c, dir, state)
				for _, name := range []string{checkpointOf(steps), run.BestFile, run.MetricsFile} {
					got, want := fileBytes(t, dir.File(name)), fileBytes(t, whole.File(name))
					if name == run.MetricsFile {
						got, want = fileBytes(t, dir.File(run.MetricsFile)), fileBytes(t, whole.File(run.MetricsFile))
					}
					if !bytes.Equal(got, want) {
						t.Errorf("interrupted in iteration %d: %s differs", stop, name)
					}
				}
			}
		})
	}
}

// TestTenIterationsAndTenMoreAreTwenty, to the last bit.
func TestTenIterationsAndTenMoreAreTwenty(t *testing.T) {
	for _, test := range emCases {
		t.Run(test.name, func(t *testing.T) {
			c := emConfig(t, test.model)
			test.change(&c)
			twenty := newHastyRun(t, c)
			runEM(t, c, twenty, nil)
			short := c.Clone()
			short.Epochs = 10
			dir := newHastyRun(t, short)
			if _, result, _ := runEM(t, short, dir, nil); result.Step != 10 || (result.Status == Converged) {
				t.Fatalf("ended with %+v, want 10 steps and no convergence", result)
			}
			state, _, _ := dir.Latest()
			runEM(t, c, dir, state)
			if !bytes.Equal(fileBytes(t, dir.File(checkpointOf(20))), fileBytes(t, twenty.File(checkpointOf(20)))) {
				t.Error("the final checkpoint differs")
			}
			if got, want := fileBytes(t, dir.File(run.MetricsFile)), fileBytes(t, twenty.File(run.MetricsFile)); !bytes.Equal(got, want) {
				t.Errorf("metrics differ:\n%s\nwant\n%s", firstLine(got, want), firstLine(want, got))
			}
		})
	}
}

// TestNoIterationLowersEvidencePlusPenalty in whole runs, however they begin.
func TestNoIterationLowersEvidencePlusPenalty(t *testing.T) {
	for _, test := range emCases {
		t.Run(test.name, func(t *testing.T) {
			moved, stalled := 0, 0
			for seed := range uint64(4) {
				c := emConfig(t, test.model)
				test.change(&c)
				c.Seed, c.Epochs = seed, 40
				_, _, iterations := runEM(t, c, newHastyRun(t, c), nil)
				if len(iterations) != 41 {
					t.Fatalf("%d iterations were recorded, want 41", len(iterations))
				}
				for i, m := range iterations[1:] {
					before := iterations[i]
					from, to := before.Train.Bound+before.EM.Penalty, m.Train.Bound+m.EM.Penalty
					// log p(x) is a sum of 36 float32 terms, by the mean over images known
					// to what one of them is off: 36 roundings of terms that come to less
					// than 100 nats, but for logits of ±80 where nothing smooths.
					tolerance := 36 * 100 * math.Exp2(-24)
					if SettingsOf[MixtureSettings](c).Smoothing == 0 {
						tolerance = 36 * 80 * 36 * math.Exp2(-24) / 10 // a tenth of the pixels at most
					}
					if c.Likelihood.Pixels() == model.LevelPixels { // of levels that are alike, 36 log 256 nats
						tolerance = 36 * 36 * math.Log(256) * math.Exp2(-24)
					}
					if to < from-tolerance {
						t.Errorf("seed %d: iteration %d (%+v) takes evidence plus penalty from %.7f to %.7f", seed, m.Epoch, *m.EM, from, to)
					}
					moved += m.EM.Reseeded
					if m.EM.Stalled {
						stalled++
					}
					if d := math.Abs(m.Train.Recon - m.Train.KL - m.Train.Bound); d > 1e-9 {
						t.Errorf("seed %d: iteration %d: the bound is off recon - KL by %g", seed, m.Epoch, d)
					}
					if *m.EM.PriorKL < -1e-4 || math.Abs(*m.EM.PriorBound+*m.EM.PriorKL-m.Train.Bound) > 1e-9 {
						t.Errorf("seed %d: iteration %d: the bound at q = p is %g, %g below %g", seed, m.Epoch, *m.EM.PriorBound, *m.EM.PriorKL, m.Train.Bound)
					}
				}
				if first, last := iterations[0].Train.Bound, iterations[40].Train.Bound; last < first+1 {
					t.Errorf("seed %d: the evidence went from %.3f to %.3f, want a rise of more than 1 nat", seed, first, last)
				}
			}
			// The cases cover what they are named after.
			if dead := strings.HasSuffix(test.name, "dead components"); dead && moved == 0 {
				t.Error("no component was moved")
			}
			if stalls := strings.HasSuffix(test.name, "stalls"); stalls && stalled == 0 {
				t.Error("no M-step stalled")
			}
		})
	}
}

// TestABeginningIsAFunctionOfTheSeed, under each of its names.
func TestABeginningIsAFunctionOfTheSeed(t *testing.T) {
	for _, likelihood := range []model.LikelihoodName{model.BernoulliName, model.GaussianName} {
		begun := map[string]string{}
		for _, init := range Inits {
			for _, seed := range []uint64{1, 2} {
				for range 2 {
					c := emConfig(t, MixtureModel)
					if likelihood == model.GaussianName {
						gaussian(&c)
					}
					c.mixture().Init, c.Seed, c.Epochs = init, seed, 1
					_, _, iterations := runEM(t, c, newHastyRun(t, c), nil)
					key, value := fmt.Sprint(init, " ", seed), fmt.Sprint(*iterations[0].Train, *iterations[1].Train)
					if before, ok := begun[key]; ok && before != value {
						t.Errorf("%s: %s begins at %s, and again at %s", likelihood, key, before, value)
					}
					begun[key] = value
				}
			}
		}
		values := map[string]string{}
		for key, value := range begun {
			if other, ok := values[value]; ok {
				t.Errorf("%s: %s and %s begin alike", likelihood, key, other)
			}
			values[value] = key
		}
	}
}

// TestEMStopsWhereAnIterationGainsLessThanTheTolerance, under acceleration two in a row, no
// earlier and no later, and a tolerance of 0 never stops it.
func TestEMStopsWhereAnIterationGainsLessThanTheTolerance(t *testing.T) {
	for _, test := range emCases {
		if test.model == GridModel {
			continue // gains of gradient steps are not in order
		}
		c := emConfig(t, test.model)
		test.change(&c)
		c.Epochs, c.table().Tolerance = 500, 1e-2
		dir := newHastyRun(t, c)
		_, result, iterations := runEM(t, c, dir, nil)
		if result.Status != Converged || result.Step >= 500 || result.Step < 2 || int(result.Step) != len(iterations)-1 {
			t.Errorf("%s: ended with %+v after %d iterations, want convergence", test.name, result, len(iterations))
		}
		small, want := 0, 1 // such gains in a row
		if SettingsOf[MixtureSettings](c).Accelerate {
			want = 2
		}
		for i, m := range iterations[1:] {
			before := iterations[i]
			gain := m.Train.Bound + m.EM.Penalty - before.Train.Bound - before.EM.Penalty
			small++
			if gain >= c.table().Tolerance {
				small = 0
			}
			if last := i == len(iterations)-2; small >= want != last {
				t.Errorf("%s: iteration %d of %d gains %g nats, the tolerance is %g", test.name, m.Epoch, result.Step, gain, c.table().Tolerance)
			}
		}
		// It has converged, and does so at once when it is resumed.
		state, _, _ := dir.Latest()
		if _, again, heard := runEM(t, c, dir, state); again.Status != Converged || again.Step != result.Step || len(heard) != 1 {
			t.Errorf("%s: resumed, it ended with %+v after %d iterations, want %+v after 1", test.name, again, len(heard), result)
		}
	}
	c := emConfig(t, MixtureModel)
	c.mixture().Components, c.Epochs = 1, 9 // at rest from the first iteration on
	if _, result, _ := runEM(t, c, newHastyRun(t, c), nil); (result.Status == Converged) || result.Step != 9 {
		t.Errorf("with the tolerance 0 it ended with %+v, want 9 steps and no convergence", result)
	}
}

// TestTheBestIsWhatValidationSaysItIs: best.safetensors holds the parameters of the
// iteration with the highest validation evidence, and evaluation gives that number.
func TestTheBestIsWhatValidationSaysItIs(t *testing.T) {
	for _, test := range emCases {
		t.Run(test.name, func(t *testing.T) {
			c := emConfig(t, test.model)
			test.change(&c)
			dir := newHastyRun(t, c)
			s, result, iterations := runEM(t, c, dir, nil)
			best := iterations[0]
			for _, m := range iterations {
				if m.Validation.Bound > best.Validation.Bound {
					best = m
				}
			}
			if result.Best == nil || result.Best.Epoch != best.Epoch || result.Best.Bound != best.Validation.Bound {
				t.Fatalf("best is %+v, want iteration %d with %.6f", result.Best, best.Epoch, best.Validation.Bound)
			}
			state, _, err := dir.Best()
			if err != nil || state.Step != best.Step {
				t.Fatalf("best.safetensors: %+v, %v; want step %d", state, err, best.Step)
			}
			if err := s.Load(state); err != nil {
				t.Fatal(err)
			}
			e, err := infer.EvaluateTable(context.Background(), tableOf(s), s.Validation, nil)
			if err != nil {
				t.Fatal(err)
			}
			// Summed in another order, in float64.
			if math.Abs(e.LogP.Value-best.Validation.Bound) > 1e-9*math.Abs(e.LogP.Value) || math.Abs(e.LogP.SE-best.Validation.BoundSE) > 1e-9 || e.ELBO != e.LogP.Value {
				t.Errorf("evaluated to %.9f ± %.9f (ELBO %.9f), the metrics say %.9f ± %.9f", e.LogP.Value, e.LogP.SE, e.ELBO, best.Validation.Bound, best.Validation.BoundSE)
			}
		})
	}
}

// TestTheBestIsTheCheckpointOfItsStep, in every parameter and in what a run keeps besides.
func TestTheBestIsTheCheckpointOfItsStep(t *testing.T) {
	for _, test := range emCases {
		t.Run(test.name, func(t *testing.T) {
			compared := 0
			for _, epochs := range []int{2, 3, 5, 20} {
				c := emConfig(t, test.model)
				test.change(&c)
				c.Epochs = epochs
				dir := newHastyRun(t, c)
				dir.Keep = 100
				runEM(t, c, dir, nil)
				best, _, err := dir.Best()
				if err != nil {
					t.Fatal(err)
				}
				state, err := LoadCheckpoint(dir.File(checkpointOf(best.Step)))
				if errors.Is(err, os.ErrNotExist) { // of step 0, or within a cycle of acceleration
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				compared++
				for i, p := range best.Params {
					if p.Name != state.Params[i].Name || !slices.Equal(p.Data, state.Params[i].Data) {
						t.Errorf("%d iterations: %s of the best state is not that of checkpoint %d", epochs, p.Name, best.Step)
					}
				}
			}
			if compared == 0 {
				t.Error("no best state has a checkpoint")
			}
		})
	}
}

// TestEvaluationOfATable: the figures agree with the metrics of the run and with each
// other.
func TestEvaluationOfATable(t *testing.T) {
	for _, test := range emCases {
		c := emConfig(t, test.model)
		test.change(&c)
		if c.table().Prior == model.PerImage {
			continue // an image to be evaluated has no prior of its own
		}
		s, _, iterations := runEM(t, c, newHastyRun(t, c), nil)
		e, err := infer.EvaluateTable(context.Background(), tableOf(s), s.Train, nil)
		if err != nil {
			t.Fatal(err)
		}
		near := func(what string, got, want float64) {
			// Means of 90 float32 numbers in another order, or sums over states of
			// numbers below 100 nats.
			if math.Abs(got-want) > 1e-5*max(1, math.Abs(want)) {
				t.Errorf("%s: %s is %.8f, want %.8f", test.name, what, got, want)
			}
		}
		last, table, n := iterations[len(iterations)-1], e.Table, 90.0
		near("log p(x)", e.LogP.Value, last.Train.Bound)
		near("recon", e.Recon, last.Train.Recon)
		near("recon - KL", e.Recon-e.KL, e.ELBO)
		near("the bound at q = p", table.PriorBound, *last.EM.PriorBound)
		near("its distance", table.PriorKL, e.ELBO-table.PriorBound)
		if table.Used != last.EM.Used || table.States != len(tableOf(s).LogPrior()) || e.Images != 90 {
			t.Errorf("%s: %d of %d states used by %d images, want %d", test.name, table.Used, table.States, e.Images, last.EM.Used)
		}
		if !(table.PriorBound <= e.ELBO+1e-4 && e.ELBO <= table.BestState+1e-4 && e.Recon <= table.BestState+1e-4) {
			t.Errorf("%s: at q = p %g, log p(x) %g, E_q[log p(x|z)] %g, max_z log p(x|z) %g: not in order", test.name, table.PriorBound, e.ELBO, e.Recon, table.BestState)
		}
		if !(table.Entropy >= -1e-6 && table.Entropy <= math.Log(float64(table.States))+1e-6) {
			t.Errorf("%s: entropy %g of %d states", test.name, table.Entropy, table.States)
		}
		if c.table().Prior == model.Fixed && c.Model == MixtureModel { // KL to a uniform prior
			near("entropy", table.Entropy, math.Log(float64(table.States))-e.KL)
		}
		parameters := tableOf(s).FreeParameters()
		if c.Model == MixtureModel {
			each := 36 // of a component
			if c.Likelihood == model.GaussianName {
				each *= 2
			} else if c.Likelihood.Pixels() == model.LevelPixels {
				l, err := model.NewLikelihood(c.Likelihood, model.LikelihoodConfig{Mixtures: c.table().Mixtures, Channels: 1})
				if err != nil {
					t.Fatal(err)
				}
				each = l.Outputs(36)
			}
			want := c.mixture().Components * each
			if c.table().Prior == model.Shared {
				want += c.mixture().Components - 1
			}
			if parameters != want {
				t.Errorf("%s: %d free parameters, want %d", test.name, parameters, want)
			}
		}
		p := float64(parameters)
		near("AIC", table.AIC, 2*p-2*n*e.ELBO)
		near("BIC", table.BIC, p*math.Log(n)-2*n*e.ELBO)
		near("ICL", table.ICL, table.BIC+2*n*table.Entropy)
	}
}

// TestAPriorPerImageReachesItsCeiling: with as many components as images that differ,
// and a prior for each image, every image is certain: log p(x) = 0. The checkpoint
// holds a distribution for each image, and their average is the model's p(z).
func TestAPriorPerImageReachesItsCeiling(t *testing.T) {
	c := emConfig(t, MixtureModel)
	c.mixture().Components, c.Limit, c.table().Prior, c.mixture().Smoothing, c.Epochs = 8, 8, model.PerImage, 0, 60
	c.mixture().Init = KMeansPP // images that differ
	dir := newHastyRun(t, c)
	_, _, iterations := runEM(t, c, dir, nil)
	if last := iterations[60].Train.Bound; math.Abs(last) > 1e-3 {
		t.Errorf("log p(x) is %g nats per image in the end, want 0: each image has a component of its own", last)
	}
	state, _, _ := dir.Latest()
	if len(state.Tables) != 1 || state.Tables[0].Name != run.PriorTable || !slices.Equal(state.Tables[0].Shape, []int{8, 8}) {
		t.Fatal("the checkpoint has no table of 8 images and 8 states")
	}
	average := make([]float64, 8)
	for row := range slices.Chunk(state.Tables[0].Data, 8) {
		sum := 0.0
		for k, logP := range row {
			p := math.Exp(float64(logP))
			sum, average[k] = sum+p, average[k]+p/8
		}
		// log p(x, z) and log p(x) are float32 numbers below 36 nats, of up to 36 terms.
		if math.Abs(sum-1) > 36*36*math.Exp2(-24) {
			t.Errorf("a row of the table sums to %g", sum)
		}
	}
	for k, logP := range state.Params[len(state.Params)-1].Data {
		if name := state.Params[len(state.Params)-1].Name; name != "prior.log_weight" {
			t.Fatalf("%s stands before the table, want prior.log_weight", name)
		}
		if got := math.Exp(float64(logP)); math.Abs(got-average[k]) > 1e-4 {
			t.Errorf("p(z=%d) is %g, the images' own have the average %g", k, got, average[k])
		}
	}
}

// TestMoreImagesThanAChunk has a second chunk, which is mostly padding.
func TestMoreImagesThanAChunk(t *testing.T) {
	const n = emChunk + 70
	path := writeImages(t, data.Synthetic(n, 4, 3, 1))
	for _, prior := range model.TablePriors {
		c := emConfig(t, MixtureModel)
		c.Data, c.Split, c.mixture().Components, c.Epochs, c.table().Prior = path, []int{n, 0}, 4, 4, prior
		s, result, iterations := runEM(t, c, newHastyRun(t, c), nil)
		if result.Best != nil {
			t.Errorf("%s: best %+v without validation images", prior, result.Best)
		}
		if prior == model.PerImage {
			continue // what is left of the table is not public
		}
		e, err := tableOf(s).NewEStep(n, false, false)
		if err != nil {
			t.Fatal(err)
		}
		for i := range n {
			s.Train.Pixels(e.X()[i*12:][:12], i, 0)
		}
		if err := e.Run(n); err != nil {
			t.Fatal(err)
		}
		sum := 0.0
		for _, v := range e.Evidence() {
			sum += float64(v)
		}
		// Each log p(x), of 12 float32 terms, may be rounded otherwise.
		if got := iterations[4].Train.Bound; math.Abs(got-sum/n) > 12*12*math.Exp2(-24) {
			t.Errorf("%s: log p(x) is %.8f in chunks, %.8f at once", prior, got, sum/n)
		}
	}
}

// TestAGaussianWithoutAFloorDiverges where a component comes to sit on one image, and
// leaves a checkpoint that can be read.
func TestAGaussianWithoutAFloorDiverges(t *testing.T) {
	c := emConfig(t, MixtureModel)
	gaussian(&c)
	noise, stream := data.Images{N: 120, Rows: 2, Cols: 3}, data.NewStream(1, "noise")
	for range noise.N * 6 {
		noise.Bytes = append(noise.Bytes, uint8(stream.IntN(256)))
	}
	c.Data = writeImages(t, noise)
	c.mixture().VarianceFloor, c.mixture().Components, c.Epochs, c.table().Prior = 0, 20, 500, model.PerImage
	dir := newHastyRun(t, c)
	_, err := Run(context.Background(), newTestSetup(t, c), dir, nil, &emListener{}, still)
	var diverged *DivergedError
	if !errors.As(err, &diverged) || !diverged.Degenerate || diverged.Step < 2 {
		t.Fatalf("Run = %v, want a DivergedError of a degenerate component", err)
	}
	for _, want := range []string{
		fmt.Sprintf("iteration %d: a pixel of component ", diverged.Step),
		" has a variance below 1e-07, as it is the same in all its images: the density grows without end; --variance-floor bounds it; the last good checkpoint is that of step ",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error lacks %q:\n%v", want, err)
		}
	}
	if state, _, warnings := dir.Latest(); state == nil || len(warnings) > 0 || state.Step != diverged.LastGood {
		t.Errorf("latest checkpoint %+v, %v, want step %d", state, warnings, diverged.LastGood)
	}
}

// TestWhatEMCannotFitIsNamed: each with the next thing to do.
func TestWhatEMCannotFitIsNamed(t *testing.T) {
	for _, test := range []struct {
		model  string
		change func(*Config)
		want   string
	}{
		{MixtureModel, func(c *Config) { c.mixture().Components = 91 }, "components is 91, but there are 90 training images: want no more than one a component"},
		{MixtureModel, func(c *Config) { c.mixture().Components, c.Limit = 6, 5 }, "components is 6, but there are 5 training images: want no more than one a component"},
		{MixtureModel, func(c *Config) { c.mixture().Components = 0 }, "components is 0, want at least 1"},
		{MixtureModel, func(c *Config) { c.mixture().Components = 2_000_000 }, "components is 2000000, want at most 1000000"},
		{MixtureModel, func(c *Config) { c.table().Prior = "flat" }, `prior: unknown prior "flat", want one of fixed, shared, per-image`},
		{MixtureModel, func(c *Config) { c.mixture().Init = "zero" }, `init: unknown init "zero", want images, kmeans++ or random`},
		{MixtureModel, func(c *Config) { c.mixture().Smoothing = -1 }, "smoothing is -1, want 0 or more"},
		{MixtureModel, func(c *Config) { c.table().Tolerance = math.NaN() }, "tolerance is NaN, want 0 or more nats per image"},
		{MixtureModel, func(c *Config) { c.Binarise = data.Dynamic }, "binarise is dynamic, but a table holds the posteriors of one fixed data set: want static, threshold or none"},
		{MixtureModel, func(c *Config) { c.Likelihood = model.ContinuousBernoulliName }, `likelihood is "continuous-bernoulli", want bernoulli, gaussian or a mass of 256 levels for a model with a table: discretized-logistic, discretized-logistic-mixture or beta-binomial`},
		{MixtureModel, func(c *Config) { c.mixture().Accelerate, c.table().Prior = true, model.PerImage }, "accelerate is true, but the prior is per-image: want fixed or shared, a table cannot be extrapolated"},
		{GridModel, func(c *Config) { c.network().Latent = 3 }, "latent is 3, but grid has 2 dimensions: want the same"},
		{GridModel, func(c *Config) { c.grid().Grid = []int{4, 0} }, "grid has 0 points along dimension 2, want 1 to 100000"},
		{GridModel, func(c *Config) { c.grid().GridRule = "spiral" }, `unknown grid-rule "spiral", want one of equal-mass, gauss-hermite, lattice`},
		{MixtureModel, func(c *Config) { c.Likelihood = model.DequantisedGaussianName }, `likelihood is "dequantised-gaussian", want bernoulli, gaussian or a mass of 256 levels for a model with a table: discretized-logistic, discretized-logistic-mixture or beta-binomial`},
		{MixtureModel, func(c *Config) { ofLevels(model.BetaBinomialName)(c); c.mixture().Accelerate = true }, "accelerate is true and incremental 0, but the M-step of likelihood beta-binomial is no closed form and its statistics are of 256 levels: want false, and 0"},
		{MixtureModel, func(c *Config) { c.table().Mixtures = 3 }, "mixtures is 3, but likelihood is bernoulli: want discretized-logistic-mixture"},
		{MixtureModel, inColour, `likelihood is "discretized-logistic-mixture", under which a pixel's colours depend on each other, but a model with a table has a distribution for each colour by itself: want discretized-logistic or beta-binomial, --grey, or --model vae`},
		{GridModel, inColour, `likelihood is "discretized-logistic-mixture", under which a pixel's colours depend on each other, but a model with a table has a distribution for each colour by itself: want discretized-logistic or beta-binomial, --grey, or --model vae`},
		{GridModel, func(c *Config) { c.Likelihood = model.GaussianName }, "likelihood is gaussian, want bernoulli or a mass of 256 levels for a grid"},
		{GridModel, func(c *Config) { c.grid().MSteps = 0 }, "m-steps is 0, want at least 1"},
		{GridModel, func(c *Config) { c.network().LR = math.Inf(1) }, "lr is +Inf, want a positive number"},
		{GridModel, func(c *Config) { c.network().Hidden = []int{0} }, "hidden: layer 1 has 0 units, want at least 1"},
		{GridModel, func(c *Config) { c.network().Activation = "sin" }, `activation: unknown activation "sin", want one of relu, tanh, elu, softplus`},
		{GridModel, func(c *Config) { c.network().Layers = "convolutional" }, `unknown network "convolutional", want one of dense, gated, conv, residual`},
	} {
		c := emConfig(t, test.model)
		test.change(&c)
		_, err := NewSetup(c, 2, graphtest.Engine)
		var config *ConfigError
		if !errors.As(err, &config) || err.Error() != test.want {
			t.Errorf("%s: NewSetup = %v (%T), want the ConfigError %q", test.model, err, err, test.want)
		}
	}
}

// inColour asks for colours that depend on each other.
func inColour(c *Config) { ofLevels(model.DiscretizedLogisticMixtureName)(c); c.Channels = 3 }

// TestACheckpointOfAnotherModelIsNotLoaded: states of other sizes, of another kind, or
// without the table of a prior per image.
func TestACheckpointOfAnotherModelIsNotLoaded(t *testing.T) {
	states := map[string]*run.State{}
	for name, change := range map[string]func(*Config){
		"shared":    func(c *Config) {},
		"more":      func(c *Config) { c.mixture().Components = 7 },
		"gaussian":  gaussian,
		"per image": func(c *Config) { c.table().Prior = model.PerImage },
	} {
		c := emConfig(t, MixtureModel)
		c.Epochs = 1
		change(&c)
		dir := newHastyRun(t, c)
		runEM(t, c, dir, nil)
		states[name], _, _ = dir.Latest()
	}
	for _, test := range []struct{ from, into string }{{"more", ""}, {"gaussian", ""}, {"shared", string(model.PerImage)}} {
		c := emConfig(t, MixtureModel)
		if test.into != "" {
			c.table().Prior = model.TablePrior(test.into)
		}
		if _, err := Run(context.Background(), newTestSetup(t, c), newHastyRun(t, c), states[test.from], &emListener{}, still); err == nil {
			t.Errorf("a checkpoint of %q was loaded", test.from)
		}
	}
	// A table for other images.
	c := emConfig(t, MixtureModel)
	c.table().Prior, c.Limit = model.PerImage, 80
	_, err := Run(context.Background(), newTestSetup(t, c), newHastyRun(t, c), states["per image"], &emListener{}, still)
	if want := "checkpoint has no prior.log_table of 80 images and 6 states: it was written for other data or another model"; err == nil || err.Error() != want {
		t.Errorf("Run = %v, want %q", err, want)
	}
}

// TestTheStatedRoundingCoversLogP of Gaussian mixtures where the terms of log p(x) are
// hundreds of nats and cancel, with log p(x) in float64 from the same parameters.
func TestTheStatedRoundingCoversLogP(t *testing.T) {
	const n, d = 2000, 64
	images, stream := data.Images{N: n, Rows: 8, Cols: 8}, data.NewStream(1, "spread")
	for i := range n {
		// The further from grey level 128, the less its log p(x): from 300 nats to -1500.
		spread := 12 * float64(i) / n
		for range d {
			images.Bytes = append(images.Bytes, uint8(math.Round(128+spread*(stream.Float64()+stream.Float64()-1)*math.Sqrt(1.5))))
		}
	}
	c := emConfig(t, MixtureModel)
	gaussian(&c)
	c.Data, c.Split, c.mixture().Components = writeImages(t, images), []int{n, 0}, 2
	s := newTestSetup(t, c)
	for i, p := range tableOf(s).Params()[:2] {
		for j := range p.Value { // means, then precisions
			p.Value[j] = []float32{128. / 255, 1e5}[i] * (1 + float32(j/d)/100)
		}
	}
	mean, precision, base := tableOf(s).Params()[0].Value, tableOf(s).Params()[1].Value, tableOf(s).Params()[2].Value
	for k := range base {
		base[k] = float32(d * (math.Log(float64(precision[k*d])) - math.Log(2*math.Pi)) / 2)
	}
	e, err := infer.EvaluateTable(context.Background(), tableOf(s), s.Train, nil)
	if err != nil {
		t.Fatal(err)
	}
	x, nearest, worst := make([]float32, d), math.Inf(1), 0.0
	for i, score := range e.PerImage {
		s.Train.Pixels(x, i, 0)
		var joint [2]float64
		for k := range joint {
			joint[k] = float64(base[k]) + float64(tableOf(s).LogPrior()[k])
			for j, v := range x {
				delta := float64(v) - float64(mean[k*d+j])
				joint[k] -= float64(precision[k*d+j]) * delta * delta / 2
			}
		}
		want := logAddExp(joint[0], joint[1])
		nearest, worst = min(nearest, math.Abs(want)), max(worst, math.Abs(score.LogP-want)/score.Error)
	}
	t.Logf("off by at most %.2f of what is stated; the log p(x) nearest to 0 is %.3f", worst, nearest)
	if worst > 1 || worst < 0.02 || nearest > 1 {
		t.Errorf("off by at most %g of what is stated, want at most 1 and not far below; the log p(x) nearest to 0 is %g", worst, nearest)
	}
}
