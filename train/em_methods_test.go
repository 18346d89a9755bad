package train

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"elbo/data"
	"elbo/model"
	"elbo/model/infer"
	"elbo/train/run"
	"elbo/train/safetensors"
)

// slowMixture is a problem on which EM is slow: three components that overlap, on
// images of 8 pixels.
func slowMixture(t *testing.T) Config {
	t.Helper()
	rng := rand.New(rand.NewPCG(5, 5))
	var text bytes.Buffer
	for range 400 {
		c := rng.IntN(3)
		for j := range 9 {
			p := 0.35 + 0.15*float64((j+c)%3)
			bit := "0 "
			if rng.Float64() < p {
				bit = "1 "
			}
			text.WriteString(bit)
		}
		text.WriteString("\n")
	}
	path := filepath.Join(t.TempDir(), "slow.amat")
	if err := os.WriteFile(path, text.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	c := DefaultConfig(MixtureModel)
	c.Data, c.Split, c.mixture().Components, c.Workers = path, []int{400, 0}, 3, 1
	c.Epochs, c.table().Tolerance = 3000, 2e-6
	return c
}

// fitEM runs a configuration to its end and returns its lines.
func fitEM(t *testing.T, c Config) (Result, []run.Metrics, *run.Dir) {
	t.Helper()
	dir, heard := newTrainingRun(t, c), &listener{}
	result, err := Run(context.Background(), newTestSetup(t, c), dir, nil, heard, still)
	if err != nil {
		t.Fatal(err)
	}
	return result, heard.epochs, dir
}

func objectiveOf(m run.Metrics) float64 { return m.Train.Bound + m.EM.Penalty }

// evidenceRounding is what rounding may take from a mean of log p(x): each image's is a
// float32 sum over D pixels of terms of one sign, about |log p(x)|·2⁻²⁴·√D.
func evidenceRounding(m run.Metrics, d int) float64 {
	return 2 * math.Abs(m.Train.Bound) * math.Exp2(-24) * math.Sqrt(float64(d))
}

// neverFalls fails if a line's bound is below the one before.
func neverFalls(t *testing.T, lines []run.Metrics, d int) {
	t.Helper()
	for i := 1; i < len(lines); i++ {
		if fall := objectiveOf(lines[i-1]) - objectiveOf(lines[i]); fall > evidenceRounding(lines[i], d) {
			t.Errorf("iteration %d: the bound falls by %g, from %.9f", lines[i].Epoch, fall, objectiveOf(lines[i-1]))
		}
	}
}

// TestSQUAREMEndsNoLowerInFewerIterations on a problem where EM is slow, and no line of
// it is below the one before.
func TestSQUAREMEndsNoLowerInFewerIterations(t *testing.T) {
	c := slowMixture(t)
	plain, lines, _ := fitEM(t, c)
	c.mixture().Accelerate = true
	fast, jumps, _ := fitEM(t, c)
	if plain.Status != Converged || fast.Status != Converged {
		t.Fatalf("converged: EM %v after %d, SQUAREM %v after %d", (plain.Status == Converged), plain.Step, (fast.Status == Converged), fast.Step)
	}
	neverFalls(t, lines, 9)
	neverFalls(t, jumps, 9)
	end, fastEnd := objectiveOf(lines[len(lines)-1]), objectiveOf(jumps[len(jumps)-1])
	t.Logf("EM %d iterations, %.6f; SQUAREM %d iterations, %.6f", plain.Step, end, fast.Step, fastEnd)
	// Both stop when an iteration gains less than the tolerance; EM, the slower, stops
	// further from the top.
	if fastEnd < end-1e-5 {
		t.Errorf("SQUAREM ends at %.7f, EM at %.7f", fastEnd, end)
	}
	if 2*fast.Step > plain.Step {
		t.Errorf("SQUAREM took %d iterations, EM %d: want less than half", fast.Step, plain.Step)
	}
}

// TestAJumpIsNoConvergence: where EM has more to gain, a jump of the acceleration that
// gains less than the tolerance does not end the run. (With the seeds 3 and 101 such a jump
// comes early, and EM's next step gains 26 and 52 tolerances.) Resumed from any of its
// checkpoints, that of the jump among them, the run ends with the same bytes.
func TestAJumpIsNoConvergence(t *testing.T) {
	for _, seed := range []uint64{3, 101} {
		c := emConfig(t, MixtureModel)
		c.mixture().Components, c.mixture().Init, c.Seed, c.mixture().Accelerate, c.Epochs, c.table().Tolerance = 3, FromRandom, seed, true, 300, 1e-3
		dir := newHastyRun(t, c)
		dir.Keep = 300
		_, result, lines := runEM(t, c, dir, nil)
		last, _, _ := dir.Latest()
		plain := c.Clone()
		plain.mixture().Accelerate, plain.Epochs, plain.table().Tolerance = false, int(result.Step)+1, 0
		_, _, more := runEM(t, plain, newHastyRun(t, plain), last)
		if gain := objectiveOf(more[len(more)-1]) - objectiveOf(lines[len(lines)-1]); result.Status != Converged || gain >= c.table().Tolerance {
			t.Errorf("seed %d: ended with %+v, and EM's next step gains %g", seed, result, gain)
		}
		smallJump := false
		names, err := dir.Checkpoints()
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			state, err := LoadCheckpoint(dir.File(name))
			if err != nil {
				t.Fatal(err)
			}
			if i := state.Step; i > 0 && i < result.Step && objectiveOf(lines[i])-objectiveOf(lines[i-1]) < c.table().Tolerance {
				smallJump = true
			}
			again := newHastyRun(t, c)
			_, resumed, _ := runEM(t, c, again, state)
			if resumed.Step != result.Step || resumed.Status != Converged {
				t.Errorf("seed %d, from %s: ended with %+v, want %+v", seed, name, resumed, result)
			} else if !bytes.Equal(fileBytes(t, again.File(names[0])), fileBytes(t, dir.File(names[0]))) {
				t.Errorf("seed %d, from %s: the final checkpoint differs", seed, name)
			}
			if name == names[0] || !smallJump {
				continue
			}
			// At the jump the run is not finished for those who only look at its files.
			if emStands(c, state, lines[:state.Step+1]).Ended() {
				t.Errorf("seed %d: finished at step %d of %d", seed, state.Step, result.Step)
			}
		}
		if !smallJump {
			t.Errorf("seed %d: no jump gained less than the tolerance", seed)
		}
	}
}

// TestIncrementalEMNeverLowersItsBound, which is below the evidence at the same
// parameters, and ends where EM ends.
func TestIncrementalEMNeverLowersItsBound(t *testing.T) {
	for _, likelihood := range []model.LikelihoodName{model.BernoulliName, model.GaussianName} {
		c := slowMixture(t)
		c.Likelihood, c.Epochs, c.table().Tolerance, c.mixture().VarianceFloor = likelihood, 60, 0, 0.05
		_, whole, _ := fitEM(t, c)
		c.mixture().Incremental = 70 // the last batch is short
		_, lines, dir := fitEM(t, c)
		// F is a sum in float64, of statistics that are rounded to float32.
		neverFalls(t, lines[1:], 9)
		for _, m := range lines[1:] {
			if !m.EM.Table {
				t.Fatalf("line %d does not say that its bound is a table's", m.Epoch)
			}
			if m.EM.PriorBound != nil || m.EM.PriorKL != nil {
				t.Fatalf("line %d has a bound at q = p(z), which nobody computed", m.Epoch)
			}
		}
		last := lines[len(lines)-1]
		if d := objectiveOf(last) - objectiveOf(whole[len(whole)-1]); d < -0.01 {
			t.Errorf("%s: incremental EM ends %.4f nats below EM", likelihood, -d)
		}
		state, _, _ := dir.Latest()
		s := newTestSetup(t, c)
		if err := s.Load(state); err != nil {
			t.Fatal(err)
		}
		e, err := infer.EvaluateTable(context.Background(), tableOf(s), s.Train, nil)
		if err != nil {
			t.Fatal(err)
		}
		if gap := e.LogP.Value - last.Train.Bound; gap < -evidenceRounding(last, 9) || gap > 0.01 {
			t.Errorf("%s: evidence - F = %g, want a little above 0", likelihood, gap)
		}
	}
}

// TestEMResumesBitForBit for the methods that keep a state beside the parameters.
func TestEMResumesBitForBit(t *testing.T) {
	methods := map[string]func(*Config){
		"em":          func(*Config) {},
		"accelerated": func(c *Config) { c.mixture().Accelerate = true },
		"incremental": func(c *Config) { c.mixture().Incremental = 70 },
		"per-image":   func(c *Config) { c.table().Prior = model.PerImage },
		"gaussian": func(c *Config) {
			c.Likelihood, c.mixture().Incremental, c.mixture().VarianceFloor = model.GaussianName, 90, 0.05
		},
	}
	for name, method := range methods {
		t.Run(name, func(t *testing.T) {
			c := slowMixture(t)
			c.Split = []int{360, 40}
			c.Epochs, c.table().Tolerance = 9, 0
			method(&c)
			whole := newTrainingRun(t, c)
			whole.Keep = 100
			if _, err := Run(context.Background(), newTestSetup(t, c), whole, nil, &listener{}, still); err != nil {
				t.Fatal(err)
			}
			names, err := whole.Checkpoints()
			if err != nil || len(names) < 4 {
				t.Fatalf("checkpoints %v, %v", names, err)
			}
			for _, from := range names {
				state, err := LoadCheckpoint(whole.File(from))
				if err != nil {
					t.Fatal(err)
				}
				again := newTrainingRun(t, c)
				if _, err := Run(context.Background(), newTestSetup(t, c), again, state, &listener{}, still); err != nil {
					t.Fatal(err)
				}
				final := names[0]
				if from == final { // nothing left to do, and nothing to save
					continue
				}
				if !bytes.Equal(fileBytes(t, again.File(final)), fileBytes(t, whole.File(final))) {
					t.Errorf("from %s: the final checkpoint differs", from)
				}
			}
		})
	}
}

// TestADeadComponentIsMovedToTheImageExplainedWorst: all images but one are alike, and
// all components begin at the same place but for one that no image is near.
func TestADeadComponentIsMovedToTheImageExplainedWorst(t *testing.T) {
	var text bytes.Buffer
	for i := range 60 {
		switch {
		case i == 40:
			text.WriteString("1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1\n") // what no component explains
		case i%2 == 0:
			text.WriteString("0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n")
		default:
			text.WriteString("0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 1\n")
		}
	}
	path := filepath.Join(t.TempDir(), "x.amat")
	if err := os.WriteFile(path, text.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	c := DefaultConfig(MixtureModel)
	c.Data, c.Split, c.mixture().Components, c.Workers, c.mixture().Smoothing = path, []int{60, 0}, 2, 1, 0.01
	s := newTestSetup(t, c)
	closed := newClosedStep(s, mixtureOf(s))
	r := newEM(&Fitting{Setup: s}, tableOf(s), closed)
	r.stats = tableOf(s).NewStatistics()
	r.stats.Images = 60
	r.stats.Counts[0], r.stats.Counts[1] = 60, 0
	for j := range 16 {
		r.stats.Sums[j] = 1
	}
	r.stats.Sums[15] = 31
	if err := mixtureOf(s).Maximise(r.stats); err != nil {
		t.Fatal(err)
	}
	before, err := infer.EvaluateTable(context.Background(), tableOf(s), s.Train, nil)
	if err != nil {
		t.Fatal(err)
	}
	var evidence []float32
	err = s.eachEvidence(func(e float32) { evidence = append(evidence, e) })
	if err != nil {
		t.Fatal(err)
	}
	closed.worst = keepWorst(nil, 0, evidence, 5)
	if closed.worst[0].image != 40 {
		t.Fatalf("the image explained worst is %d, want 40", closed.worst[0].image)
	}
	if moved := closed.reseed(r); moved != 1 {
		t.Fatalf("%d components moved, want 1", moved)
	}
	if err := mixtureOf(s).Maximise(r.stats); err != nil {
		t.Fatal(err)
	}
	after, err := infer.EvaluateTable(context.Background(), tableOf(s), s.Train, nil)
	if err != nil {
		t.Fatal(err)
	}
	if after.ELBO < before.ELBO {
		t.Errorf("moving a component lowered the evidence from %.4f to %.4f", before.ELBO, after.ELBO)
	}
	if after.Table.Used != 2 {
		t.Errorf("%d components in use, want 2", after.Table.Used)
	}
}

// eachEvidence calls f with log p(x) of every training image.
func (s *Setup) eachEvidence(f func(float32)) error {
	e, err := tableOf(s).NewEStep(s.Train.N(), false, false)
	if err != nil {
		return err
	}
	e.Load(s.Train.Evaluated, 0, s.Train.N())
	if err := e.Run(s.Train.N()); err != nil {
		return err
	}
	for _, v := range e.Evidence() {
		f(v)
	}
	return nil
}

// TestAComponentOnOneImageStopsTheRun: without a variance floor its density grows
// without end.
func TestAComponentOnOneImageStopsTheRun(t *testing.T) {
	c := DefaultConfig(MixtureModel)
	c.Data, c.Split, c.mixture().Components, c.Workers = writeSynthetic(t), []int{90, 30}, 60, 1
	c.Binarise, c.Likelihood, c.mixture().VarianceFloor = data.None, model.GaussianName, 0
	c.Epochs, c.table().Tolerance = 200, 0
	dir, heard := newTrainingRun(t, c), &listener{}
	_, err := Run(context.Background(), newTestSetup(t, c), dir, nil, heard, still)
	diverged, ok := err.(*DivergedError)
	if !ok || !diverged.Degenerate {
		t.Fatalf("Run = %v, want a DivergedError of a degenerate component", err)
	}
	state, _, warnings := dir.Latest()
	if state == nil && diverged.LastGood >= 0 || len(warnings) > 0 {
		t.Errorf("the last good checkpoint, of step %d, cannot be read: %v", diverged.LastGood, warnings)
	}
}

// overlapping are images of three kinds, with noise.
func overlapping(seed uint64) data.Images {
	rng := rand.New(rand.NewPCG(seed, 7))
	images := data.Images{N: 120, Rows: 4, Cols: 4}
	for range images.N {
		c := rng.IntN(3)
		for j := range 16 {
			images.Bytes = append(images.Bytes, uint8(60+50*((c+j)%3)+rng.IntN(40)))
		}
	}
	return images
}

// TestADegenerateTrialEndsNoRun: where a jump of the acceleration comes to variances below
// those that are allowed, and EM's own step does not, the run goes on from the step. (With
// this seed such a jump comes in iteration 20.)
func TestADegenerateTrialEndsNoRun(t *testing.T) {
	c := emConfig(t, MixtureModel)
	gaussian(&c)
	c.Data, c.Split, c.mixture().Components = writeImages(t, overlapping(64)), []int{120, 0}, 12
	c.Seed, c.Epochs, c.mixture().VarianceFloor, c.mixture().Accelerate = 64, 40, 0, true
	_, result, lines := runEM(t, c, newHastyRun(t, c), nil)
	if result.Step != 40 {
		t.Errorf("ended with %+v", result)
	}
	neverFalls(t, lines, 16)
}

// TestATrialWithoutAFiniteBoundIsRefused, and EM goes on from its own step.
func TestATrialWithoutAFiniteBoundIsRefused(t *testing.T) {
	for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1))} {
		c := emConfig(t, MixtureModel)
		gaussian(&c)
		c.mixture().Accelerate = true
		k := &Fitting{Setup: newTestSetup(t, c), Dir: newHastyRun(t, c), Recorder: &emListener{}, Now: still}
		r := c.Settings.Kind().Method(k).(*em)
		k.method = r
		if err := r.Begin(nil); err != nil {
			t.Fatal(err)
		}
		r.try(-1e9)
		stands := r.trial.fallback
		base := r.model.Params()[2].Value
		for i := range base {
			base[i] = bad
		}
		m, err := r.expect()
		if err != nil {
			t.Fatalf("the E-step of a point on trial ended the run: %v", err)
		}
		if !r.refuse(m.Train.Bound) {
			t.Fatalf("a point with the bound %g was not refused", m.Train.Bound)
		}
		for i, p := range r.model.Params() {
			if !slices.Equal(p.Value, stands[i]) {
				t.Errorf("%s is not what it was before the trial", p.Name)
			}
		}
	}
}

// TestImagesAllOfOneGreyAreDegenerate: their variance is 0, which the statistics must show
// however the squares of the grey level are rounded, and wherever other images are.
func TestImagesAllOfOneGreyAreDegenerate(t *testing.T) {
	for _, init := range Inits {
		for _, greys := range [][]uint8{{100}, {150}, {200}, {201}, {220}, {254}, {255}, {30, 201}, {10, 220, 255}} {
			if len(greys) > 1 && init != KMeansPP {
				continue // components need not find one grey level each
			}
			images := data.Images{N: 300, Rows: 8, Cols: 8}
			for i := range images.N {
				images.Bytes = append(images.Bytes, bytes.Repeat([]byte{greys[i%len(greys)]}, 64)...)
			}
			for _, incremental := range []int{0, 100} {
				c := emConfig(t, MixtureModel)
				gaussian(&c)
				c.Data, c.Split, c.mixture().Components, c.Epochs, c.table().Tolerance = writeImages(t, images), []int{300, 0}, 3, 100, 1e-4
				c.mixture().VarianceFloor, c.mixture().Init, c.mixture().Incremental = 0, init, incremental
				result, err := Run(context.Background(), newTestSetup(t, c), newHastyRun(t, c), nil, &emListener{}, still)
				var diverged *DivergedError
				if !errors.As(err, &diverged) || !diverged.Degenerate {
					t.Errorf("grey levels %v, init %s, batches of %d: ended with %+v, %v, want a degenerate component", greys, init, incremental, result, err)
				}
			}
		}
	}
}

// TestAFallIsNoConvergence, unless rounding explains it.
func TestAFallIsNoConvergence(t *testing.T) {
	c := DefaultConfig(MixtureModel)
	c.table().Tolerance = 1e-3
	line := func(epoch int, bound, rounding float64) run.Metrics {
		return run.Metrics{Epoch: epoch, Step: int64(epoch), Train: &run.EpochTerms{Bound: bound}, EM: &run.EMTerms{Rounding: rounding}}
	}
	for _, test := range []struct {
		gain, rounding float64
		want           bool
	}{{9e-4, 1e-5, true}, {2e-3, 1e-5, false}, {-1e-5, 1e-5, true}, {-3e-5, 1e-5, false}, {-5.6, 1e-5, false}, {-5.6, 0, true}} {
		if got := emStands(c, &run.State{Step: 1}, []run.Metrics{line(0, 1, 1e-5), line(1, 1+test.gain, test.rounding)}) == Converged; got != test.want {
			t.Errorf("a gain of %g, rounded by %g, is convergence: %v, want %v", test.gain, test.rounding, got, test.want)
		}
	}
}

// TestIncrementalStatisticsOfAnEarlierVersionResume: they were sums about 0, and what they
// stand for is the same but for the rounding of the sums about the means.
func TestIncrementalStatisticsOfAnEarlierVersionResume(t *testing.T) {
	c := emConfig(t, MixtureModel)
	gaussian(&c)
	c.mixture().Incremental, c.Epochs = 40, 8
	dir := newHastyRun(t, c)
	dir.Keep = 20
	_, _, want := runEM(t, c, dir, nil)
	state, err := LoadCheckpoint(dir.File(checkpointOf(4)))
	if err != nil {
		t.Fatal(err)
	}
	values := map[string][]float32{}
	for _, tensor := range state.Tables {
		values[tensor.Name] = tensor.Data
	}
	counts, sums, squares, centre := values[incrementalCounts], values[incrementalSums], values[incrementalSquares], values[incrementalCentre]
	for i, v := range centre { // Σ q x and Σ q x²
		n, s, c := float64(counts[i/36]), float64(sums[i]), float64(v)
		sums[i], squares[i] = float32(s+n*c), float32(float64(squares[i])+2*c*s+n*c*c)
	}
	state.Tables = slices.DeleteFunc(state.Tables, func(tensor safetensors.Tensor) bool { return tensor.Name == incrementalCentre })
	_, _, got := runEM(t, c, newHastyRun(t, c), state)
	if len(centre) != 3*6*36 || len(got) != 5 {
		t.Fatalf("%d centres, %d iterations", len(centre), len(got))
	}
	for i, m := range got {
		// A square of up to 1 was rounded to float32, and is divided by a variance of at
		// least 0.01: a change of 100 roundings a pixel at most, of 36 pixels.
		if d := math.Abs(objectiveOf(m) - objectiveOf(want[4+i])); d > 36*100*math.Exp2(-24) {
			t.Errorf("iteration %d: %.8f, want %.8f", m.Epoch, objectiveOf(m), objectiveOf(want[4+i]))
		}
	}
	// Of another size they are refused.
	for i := range state.Tables {
		if state.Tables[i].Name == incrementalSquares {
			other := state.Tables[i]
			other.Name, other.Shape, other.Data = incrementalCentre, []int{1}, other.Data[:1]
			state.Tables = append(state.Tables, other)
		}
	}
	if _, err := Run(context.Background(), newTestSetup(t, c), newHastyRun(t, c), state, &emListener{}, still); !errors.Is(err, run.ErrMismatch) {
		t.Errorf("centres of another size: Run = %v, want %v", err, run.ErrMismatch)
	}
}

// TestAMoveThatLowersTheBoundIsUndone: image 0 and image 1 share a component whose pixels
// are a little off the maximum, to the disadvantage of image 0. The M-step raises image 0
// by 5.5 nats and takes nearly as many from image 1; with image 0 as it was before, moving
// the dead component to it seems worth 2 nats, and then costs 1.2.
func TestAMoveThatLowersTheBoundIsUndone(t *testing.T) {
	const n, d, differ, off = 20, 225, 92, 0.03
	var text bytes.Buffer
	for i := range n {
		for j := range d {
			bit := 0 // of images 2 and on, which have another component
			if i < 2 {
				bit = 1
				if j < differ {
					bit = (i + j) % 2
				}
			}
			fmt.Fprintf(&text, "%d ", bit)
		}
		text.WriteString("\n")
	}
	path := filepath.Join(t.TempDir(), "pair.amat")
	if err := os.WriteFile(path, text.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	c := DefaultConfig(MixtureModel)
	c.Data, c.Split, c.mixture().Components, c.Workers = path, []int{n, 0}, 3, 1
	c.mixture().Smoothing, c.Epochs, c.table().Tolerance = 0.01, 6, 0
	s := newTestSetup(t, c)
	stats := tableOf(s).NewStatistics()
	stats.Images, stats.Counts[0], stats.Counts[1] = n, 2, n-2
	for j := range d {
		stats.Sums[j] = 2
		if j < differ {
			stats.Sums[j] = 1 + 2*off*(1-2*float64(j%2)) // image 0 has the odd pixels
		}
	}
	if err := mixtureOf(s).Maximise(stats); err != nil {
		t.Fatal(err)
	}
	begin := s.state(0, 1, nil)
	dir := newHastyRun(t, c)
	_, _, lines := runEM(t, c, dir, begin)
	neverFalls(t, lines, d)
	if lines[1].EM.Reseeded > 0 || lines[1].EM.AfterMStep == nil {
		t.Errorf("after a move that was undone the line says %+v", *lines[1].EM)
	}
	// Interrupted while a move is on trial, the run ends with the same bytes.
	for stop := range c.Epochs {
		again := newHastyRun(t, c)
		ctx, cancel := context.WithCancel(context.Background())
		_, err := Run(ctx, newTestSetup(t, c), again, begin, &emListener{each: func(m run.Metrics) {
			if m.Epoch == stop {
				cancel()
			}
		}}, still)
		state, _, _ := again.Latest()
		if !errors.Is(err, ErrInterrupted) || state == nil {
			t.Fatalf("interrupted in iteration %d: Run = %v, state %v", stop, err, state)
		}
		runEM(t, c, again, state)
		for _, name := range []string{checkpointOf(int64(c.Epochs)), run.MetricsFile} {
			if !bytes.Equal(fileBytes(t, again.File(name)), fileBytes(t, dir.File(name))) {
				t.Errorf("interrupted in iteration %d: %s differs", stop, name)
			}
		}
	}
}
