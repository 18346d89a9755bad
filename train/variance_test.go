package train

import (
	"bytes"
	"context"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"elbo/data"
	"elbo/model"
	"elbo/train/safetensors"
)

func gaussianOf(s *Setup) *model.Gaussian { return vaeOf(s).Likelihood.(*model.Gaussian) }

// gaussianVariance is smallConfig with grey pixels and a variance that is learned.
func gaussianVariance(t testing.TB) Config {
	c := smallConfig(t)
	c.Likelihood, c.Binarise = model.GaussianName, data.None
	return c
}

// TestNoOtherVarianceExplainsTheImagesBetter: after a short run, by no more than a moving
// target leaves. Reconstruction and residuals say the same of each other,
//
//	recon = -D/2 (s/σ² + log 2πσ²)
//
// so s is known from the evaluation, and the gain of σ² = s is D/2 (s/σ² - 1 - log s/σ²).
func TestNoOtherVarianceExplainsTheImagesBetter(t *testing.T) {
	for _, batch := range []int{16, 90} { // with one step an epoch as well
		c := gaussianVariance(t)
		c.vae().Batch = batch
		s := newTestSetup(t, c)
		if _, err := Run(context.Background(), s, newTrainingRun(t, c), nil, &listener{}, still); err != nil {
			t.Fatal(err)
		}
		e, err := s.Score(context.Background(), s.Train, ScoreOptions{Samples: 20, Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		d, variance := float64(s.Train.D()), gaussianOf(s).Variance()
		ratio := -2*e.Recon/d - math.Log(2*math.Pi*variance) // s/σ²
		// Within 5 % of s, as far as the decoder has moved within the window: 36/4 · 0.05².
		if gain := d / 2 * (ratio - 1 - math.Log(ratio)); !(gain < 0.0225) {
			t.Errorf("batch %d: variance %.4f, squared residual %.4f: that variance would gain %.3f nats an image", batch, variance, ratio*variance, gain)
		}
	}
}

// TestTheVarianceStartsAtTheResidualsOfAnUntrainedDecoder: at what reconstruction
// says of them (see above) before the first step.
func TestTheVarianceStartsAtTheResidualsOfAnUntrainedDecoder(t *testing.T) {
	c := gaussianVariance(t)
	s := newTestSetup(t, c)
	e, err := s.Score(context.Background(), s.Train, ScoreOptions{Samples: 20, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	variance := gaussianOf(s).Variance()
	residual := variance * (-2*e.Recon/float64(s.Train.D()) - math.Log(2*math.Pi*variance))
	c.vae().Batch = 1 // the least that a step can move it, 1/90 of the way
	dir := interruptedRun(t, c, 1)
	state, _, _ := dir.Latest()
	first := newTestSetup(t, c)
	if err := first.Load(state); err != nil {
		t.Fatal(err)
	}
	// The weights are random, and their outputs some tenths.
	if got := gaussianOf(first).Variance(); math.Abs(got/residual-1) > 0.3 {
		t.Errorf("variance %.4f after a step of one image, the images' squared residual is %.4f", got, residual)
	}
}

// TestAFrozenDecoderKeepsItsVariance, which is part of p(x|z).
func TestAFrozenDecoderKeepsItsVariance(t *testing.T) {
	source, dir := trainedRun(t, gaussianVariance(t))
	best, _, err := dir.Best()
	if err != nil {
		t.Fatal(err)
	}
	want := tensor(t, best.Params, "likelihood.log_variance")[0]
	c := source.Config
	c.network().InitFrom = dir.Path
	for _, part := range []model.Part{model.DecoderPart, model.EncoderPart} {
		c.vae().Freeze = part
		s, _ := trainedRun(t, c)
		got := tensor(t, s.Tensors(), "likelihood.log_variance")[0]
		if kept := got == want; kept != (part == model.DecoderPart) {
			t.Errorf("%s frozen: log variance %v after %v", part, got, want)
		}
	}
}

// TestConstantImagesHoldTheVariance at its bound, and nothing is infinite.
func TestConstantImagesHoldTheVariance(t *testing.T) {
	c := gaussianVariance(t)
	file := binary.BigEndian.AppendUint32(nil, 0x803)
	for _, extent := range []int{120, 6, 6} {
		file = binary.BigEndian.AppendUint32(file, uint32(extent))
	}
	c.Data = filepath.Join(t.TempDir(), "images-idx3-ubyte")
	if err := os.WriteFile(c.Data, append(file, bytes.Repeat([]byte{150}, 120*36)...), 0o644); err != nil {
		t.Fatal(err)
	}
	c.Epochs, c.network().LR = 40, 1e-2
	_, dir := trainedRun(t, c)
	c.network().InitFrom, c.Epochs, c.network().LR = dir.Path, 15, 1e-4 // steps of 0.01 keep the means from settling
	s, dir := trainedRun(t, c)
	if gaussianOf(s).Held() == "" {
		t.Errorf("the variance is %g, want it held at %g", gaussianOf(s).Variance(), model.LeastVariance)
	}
	metrics, err := dir.ReadMetrics()
	if err != nil {
		t.Fatal(err)
	}
	// No density of that variance is higher.
	most := -18 * math.Log(2*math.Pi*model.LeastVariance)
	if last := metrics[len(metrics)-1].Validation.Bound; !(last > 0 && last < most) {
		t.Errorf("the last bound is %g, want it between 0 and %g", last, most)
	}
}

// TestACheckpointWithMomentsOfTheVarianceGoesOn: one of the time when the variance was a
// parameter of Adam's. It has the bound it had, and training sets its variance.
func TestACheckpointWithMomentsOfTheVarianceGoesOn(t *testing.T) {
	state, err := LoadCheckpoint(filepath.Join("testdata", "variance", "adam.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(state.Moments, func(m safetensors.Tensor) bool { return m.Name == "adam.m.likelihood.log_variance" }) {
		t.Fatal("the checkpoint has no moments of the variance")
	}
	c, err := ReadConfig(state.Config)
	if err != nil {
		t.Fatal(err)
	}
	c.Data = writeSynthetic(t)
	s := newTestSetup(t, c)
	if err := s.CheckData(state); err != nil {
		t.Fatal(err)
	}
	if err := s.Load(state); err != nil {
		t.Fatal(err)
	}
	before, err := s.ValidationTerms(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	// As the program that wrote it found; 36 pixels and 2 log-variances in float32.
	if want := -37.665389582; math.Abs(before.Bound-want) > 1e-4 {
		t.Errorf("validation bound %.9f, want %.9f", before.Bound, want)
	}
	dir := newTrainingRun(t, c)
	result, err := Run(context.Background(), s, dir, state, &listener{}, still)
	if err != nil {
		t.Fatal(err)
	}
	// The variance alone brings 5 nats in the four steps left; Adam's brought 0.2.
	if result.Best.Bound < before.Bound+4 {
		t.Errorf("validation bound %.3f after %.3f, want a rise of 4 or more", result.Best.Bound, before.Bound)
	}
	last, _, _ := dir.Latest()
	for _, m := range last.Moments {
		if strings.HasSuffix(m.Name, "log_variance") {
			t.Errorf("the new checkpoint has %s", m.Name)
		}
	}
}

// TestTheRiseIsThatOfTheValidationBound: and the same for a run that was interrupted in
// its last epoch or just before.
func TestTheRiseIsThatOfTheValidationBound(t *testing.T) {
	c := smallConfig(t)
	heard := &listener{}
	whole, err := Run(context.Background(), newTestSetup(t, c), newTrainingRun(t, c), nil, heard, still)
	if err != nil {
		t.Fatal(err)
	}
	n := len(heard.epochs)
	want := heard.epochs[n-1].Validation.Bound - heard.epochs[n-2].Validation.Bound
	plain := heard.epochs[n-1].Validation.BoundSE
	if r := whole.Rise; r == nil || math.Abs(r.Value-want) > 1e-9 || !(r.SE > 0 && r.SE < plain/2) {
		t.Fatalf("rise %+v, want %.9f with a standard error well below the bound's own, %.3g", r, want, plain)
	}
	for _, stop := range []int{6, 11, 12, 13, 17, 18} { // of 18 steps, 6 an epoch
		dir := interruptedRun(t, c, stop)
		state, _, _ := dir.Latest()
		result, err := Run(context.Background(), newTestSetup(t, c), dir, state, &listener{}, still)
		if err != nil {
			t.Fatal(err)
		}
		if result.Rise == nil || *result.Rise != *whole.Rise {
			t.Errorf("interrupted after step %d: rise %+v, want %+v", stop, result.Rise, whole.Rise)
		}
	}
	c.Epochs = 1
	if r, err := Run(context.Background(), newTestSetup(t, c), newTrainingRun(t, c), nil, &listener{}, still); err != nil || r.Rise != nil {
		t.Errorf("one epoch: rise %+v, %v; want none", r.Rise, err)
	}
}
