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
	"time"

	"elbo/data"
	"elbo/graph/graphtest"
	"elbo/model"
	"elbo/train/run"
)

// smallConfig trains a small VAE on synthetic images in a fraction of a second.
func smallConfig(t testing.TB) Config {
	c := DefaultConfig(VAEModel)
	c.Data = writeSynthetic(t)
	c.Binarise = data.Dynamic
	c.network().Hidden, c.network().Latent, c.vae().Batch, c.Epochs, c.Workers = []int{12}, 2, 16, 3, 2
	c.Split = []int{90, 30} // the last batch of an epoch is short
	return c
}

// writeSynthetic writes 120 synthetic images of 6 x 6 pixels as an IDX file.
func writeSynthetic(t testing.TB) string {
	t.Helper()
	images := data.Synthetic(120, 6, 6, 1)
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

func newTestSetup(t testing.TB, c Config) *Setup {
	t.Helper()
	s, err := NewSetup(c, 2, graphtest.Engine)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newTrainingRun(t testing.TB, c Config) *run.Dir {
	t.Helper()
	dir, err := CreateRun(filepath.Join(t.TempDir(), "run"), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dir.Close() })
	return dir
}

// listener calls step after every step.
type listener struct {
	step   func(Progress)
	epochs []run.Metrics
}

func (l *listener) Step(p Progress) {
	if l.step != nil {
		l.step(p)
	}
}
func (l *listener) Epoch(m run.Metrics) { l.epochs = append(l.epochs, m) }

// still is a clock that stands still.
func still() time.Time { return time.Time{} }

func fileBytes(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestResumeIsBitIdentical goes on from every checkpoint of a run, those within an
// epoch among them, each time in a new directory and with a new model.
func TestResumeIsBitIdentical(t *testing.T) {
	for _, of := range []struct {
		model.Objective
		model.LikelihoodName
	}{{model.ELBO, model.BernoulliName}, {model.IWAE, model.BernoulliName}, {model.ELBO, model.GaussianName}, {model.IWAE, model.GaussianName}} { // Gaussian: the variance is learned
		t.Run(fmt.Sprint(of.Objective, " ", of.LikelihoodName), func(t *testing.T) {
			c := smallConfig(t)
			c.vae().CheckpointEvery = 4
			c.vae().Objective, c.Likelihood = of.Objective, of.LikelihoodName
			if c.vae().Objective == model.IWAE {
				c.vae().K = 3
			} else {
				c.vae().Beta, c.vae().Warmup = 0.7, 2
			}
			whole := newTrainingRun(t, c)
			whole.Keep = 100
			result, err := Run(context.Background(), newTestSetup(t, c), whole, nil, &listener{}, still)
			if err != nil {
				t.Fatal(err)
			}
			names, err := whole.Checkpoints()
			if err != nil {
				t.Fatal(err)
			}
			if len(names) != 6 { // 18 steps: 4, 6, 8, 12, 16, 18
				t.Fatalf("checkpoints %v, want 6", names)
			}
			final := names[0]
			for _, name := range names[1:] {
				state, err := LoadCheckpoint(whole.File(name))
				if err != nil {
					t.Fatal(err)
				}
				again := newTrainingRun(t, c)
				resumed, err := Run(context.Background(), newTestSetup(t, c), again, state, &listener{}, still)
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(fileBytes(t, again.File(final)), fileBytes(t, whole.File(final))) {
					t.Errorf("from %s: the final checkpoint differs", name)
				}
				if resumed.Step != result.Step || *resumed.Best != *result.Best {
					t.Errorf("from %s: ended with %+v, best %+v; want %+v, best %+v", name, resumed, resumed.Best, result, result.Best)
				}
			}
		})
	}
}

// interruptedRun is a run of c that was interrupted after a step.
func interruptedRun(t *testing.T, c Config, stop int) *run.Dir {
	t.Helper()
	dir := newTrainingRun(t, c)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	taken := 0
	_, err := Run(ctx, newTestSetup(t, c), dir, nil, &listener{step: func(Progress) {
		if taken++; taken == stop {
			cancel()
		}
	}}, still)
	if !errors.Is(err, ErrInterrupted) {
		t.Fatalf("interrupted after step %d: Run = %v, want ErrInterrupted", stop, err)
	}
	return dir
}

// TestAnInterruptedRunEndsWithTheSameBytes interrupts at every step in turn, the last
// of an epoch among them, and goes on in the same directory.
func TestAnInterruptedRunEndsWithTheSameBytes(t *testing.T) {
	for _, c := range []Config{smallConfig(t), gaussianVariance(t)} {
		t.Run(string(c.Likelihood), func(t *testing.T) { interruptAtEveryStep(t, c) })
	}
}

func interruptAtEveryStep(t *testing.T, c Config) {
	c.Epochs = 2
	whole := newTrainingRun(t, c)
	if _, err := Run(context.Background(), newTestSetup(t, c), whole, nil, &listener{}, still); err != nil {
		t.Fatal(err)
	}
	const steps = 12
	final := fmt.Sprintf("checkpoint-%08d.safetensors", steps)
	for stop := 1; stop <= steps; stop++ {
		dir := interruptedRun(t, c, stop)
		state, _, warnings := dir.Latest()
		if state == nil || state.Step != int64(stop) || len(warnings) > 0 {
			t.Fatalf("interrupted after step %d: latest checkpoint is %+v, %v", stop, state, warnings)
		}
		if _, err := Run(context.Background(), newTestSetup(t, c), dir, state, &listener{}, still); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{final, run.BestFile, run.MetricsFile} {
			got, want := fileBytes(t, dir.File(name)), fileBytes(t, whole.File(name))
			if name == run.MetricsFile { // the speed is of the images that a process saw itself
				got, want = withoutSpeed(got), withoutSpeed(want)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("interrupted after step %d: %s differs", stop, name)
			}
		}
	}
}

// withoutSpeed cuts the seconds and images/s off lines of metrics.
func withoutSpeed(metrics []byte) []byte {
	lines := strings.Split(string(metrics), "\n")
	for i, line := range lines {
		lines[i], _, _ = strings.Cut(line, `"seconds"`)
	}
	return []byte(strings.Join(lines, "\n"))
}

// TestABoundThatIsNotFiniteStopsTheRun: after a good epoch the learning rate explodes.
func TestABoundThatIsNotFiniteStopsTheRun(t *testing.T) {
	c := smallConfig(t)
	c.Epochs = 1
	dir := newTrainingRun(t, c)
	if _, err := Run(context.Background(), newTestSetup(t, c), dir, nil, &listener{}, still); err != nil {
		t.Fatal(err)
	}
	state, path, _ := dir.Latest()
	before := fileBytes(t, path)

	c.Epochs, c.network().LR = 3, 1e30
	_, err := Run(context.Background(), newTestSetup(t, c), dir, state, &listener{}, still)
	var diverged *DivergedError
	if !errors.As(err, &diverged) {
		t.Fatalf("Run = %v, want a DivergedError", err)
	}
	if diverged.Epoch != 2 || diverged.LastGood != state.Step || !strings.Contains(err.Error(), "the last good checkpoint is that of step 6") {
		t.Errorf("error %v (%+v), want epoch 2 and the last good checkpoint, of step 6", err, diverged)
	}
	if latest, latestPath, _ := dir.Latest(); latestPath != path || latest.Step != state.Step || !bytes.Equal(fileBytes(t, path), before) {
		t.Errorf("the latest checkpoint is %s, want %s unchanged", latestPath, path)
	}
}

// TestAParameterThatIsNotFiniteIsNeverSaved: the loss of a step is finite, and the
// update it leads to is not.
func TestAParameterThatIsNotFiniteIsNeverSaved(t *testing.T) {
	c := smallConfig(t)
	c.Split = []int{16, 0} // one step, no validation
	c.Epochs, c.network().LR = 1, math.MaxFloat64
	dir := newTrainingRun(t, c)
	_, err := Run(context.Background(), newTestSetup(t, c), dir, nil, &listener{}, still)
	var diverged *DivergedError
	if !errors.As(err, &diverged) || !strings.Contains(err.Error(), "encoder.0.weight is not finite") {
		t.Errorf("Run = %v, want a DivergedError that names a parameter", err)
	}
	if names, _ := dir.Checkpoints(); len(names) != 0 {
		t.Errorf("checkpoints %v were written", names)
	}
}

// TestTrainingRaisesTheBound, and the best epoch is the one of the highest validation
// bound at weight 1 of the divergence, once the warm-up is over.
func TestTrainingRaisesTheBound(t *testing.T) {
	c := smallConfig(t)
	c.Epochs, c.vae().Warmup, c.network().LR = 12, 3, 1e-2
	dir, heard := newTrainingRun(t, c), &listener{}
	result, err := Run(context.Background(), newTestSetup(t, c), dir, nil, heard, still)
	if err != nil {
		t.Fatal(err)
	}
	if len(heard.epochs) != c.Epochs {
		t.Fatalf("%d epochs were recorded, want %d", len(heard.epochs), c.Epochs)
	}
	first, last := heard.epochs[0], heard.epochs[c.Epochs-1]
	if last.Train.Bound < first.Train.Bound+1 {
		t.Errorf("training bound went from %.2f to %.2f nats, want a rise of more than 1", first.Train.Bound, last.Train.Bound)
	}
	if d := math.Abs(last.Train.Bound - (last.Train.Recon - last.Train.KL)); d > 1e-9 {
		t.Errorf("training bound is off recon - KL by %g", d)
	}
	best := slices.MaxFunc(heard.epochs[c.vae().Warmup-1:], func(a, b run.Metrics) int {
		return int(math.Copysign(1, a.Validation.Bound-b.Validation.Bound))
	})
	if result.Best == nil || result.Best.Epoch != best.Epoch || result.Best.Bound != best.Validation.Bound {
		t.Errorf("best is %+v, want epoch %d with %.6f", result.Best, best.Epoch, best.Validation.Bound)
	}
	state, _, err := dir.Best()
	if err != nil || state.Step != result.Best.Step {
		t.Errorf("best.safetensors: step %v, %v; want %d", state, err, result.Best.Step)
	}
}

func TestTheWeightOfTheDivergenceRisesInAStraightLine(t *testing.T) {
	s := VAESettings{Beta: 0.5, Warmup: 4}
	for _, test := range []struct {
		epoch, position int
		want            float64
	}{{1, 0, 0}, {1, 50, 0.0625}, {3, 0, 0.25}, {4, 50, 0.4375}, {5, 0, 0.5}, {9, 20, 0.5}} {
		if got := s.betaAt(test.epoch, test.position, 100); math.Abs(got-test.want) > 1e-15 {
			t.Errorf("epoch %d, image %d: weight %g, want %g", test.epoch, test.position, got, test.want)
		}
	}
	if got := (VAESettings{Beta: 3}).betaAt(1, 0, 10); got != 3 {
		t.Errorf("without warm-up the weight is %g, want 3", got)
	}
}

// TestABatchIsAPureFunctionOfItsPlace: feeding from the middle of an epoch gives the
// batches that feeding from the beginning gives there.
func TestABatchIsAPureFunctionOfItsPlace(t *testing.T) {
	s := newTestSetup(t, smallConfig(t))
	collect := func(epoch, position int) (batches []string) {
		if err := vaeOf(s).CompileStep(s.Config.vae().Batch); err != nil {
			t.Fatal(err)
		}
		f := newFeed(s, *s.Config.vae(), vaeOf(s), epoch, position)
		for b := f.next(); b != nil; b = f.next() {
			n := b.Images
			batches = append(batches, fmt.Sprint(b.epoch, b.position, n, b.Beta, b.X[:n*36], b.Eps[:n*2]))
		}
		return batches
	}
	all := collect(1, 0)
	if len(all) != 18 || all[0] == all[6] {
		t.Fatalf("%d batches, want 18 that differ between epochs", len(all))
	}
	for i, from := range [][2]int{{1, 16}, {1, 80}, {1, 90}, {2, 32}, {3, 0}} {
		if got, want := collect(from[0], from[1]), all[[]int{1, 5, 6, 8, 12}[i]:]; !slices.Equal(got, want) {
			t.Errorf("from epoch %d, image %d: other batches", from[0], from[1])
		}
	}
}
