package train

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"elbo/train/run"
)

// TestSchedulesOfTheLearningRate at points where they are known.
func TestSchedulesOfTheLearningRate(t *testing.T) {
	base := OptimiserSettings{LRSchedule: ConstantRate, LRFactor: 0.1}
	with := func(change func(*OptimiserSettings)) VAESettings {
		s := VAESettings{NetworkSettings: NetworkSettings{LR: 0.5}, OptimiserSettings: base}
		change(&s.OptimiserSettings)
		return s
	}
	cosine := with(func(s *OptimiserSettings) { s.LRSchedule = CosineRate })
	warmCosine := with(func(s *OptimiserSettings) { s.LRSchedule, s.LRWarmup = CosineRate, 20 })
	steps := with(func(s *OptimiserSettings) { s.LRSchedule, s.LRSteps, s.LRFactor = StepRate, []int{10, 30}, 0.2 })
	burda := with(func(s *OptimiserSettings) { s.LRSchedule = BurdaRate })
	for _, c := range []struct {
		name   string
		s      VAESettings
		passed float64 // epochs
		epochs int
		want   float64
	}{
		{"constant", with(func(*OptimiserSettings) {}), 77, 100, 0.5},
		{"warm-up, half way", with(func(s *OptimiserSettings) { s.LRWarmup = 10 }), 5, 100, 0.25},
		{"warm-up, over", with(func(s *OptimiserSettings) { s.LRWarmup = 10 }), 10, 100, 0.5},
		{"cosine, first", cosine, 0, 100, 0.5},
		{"cosine, half way", cosine, 50, 100, 0.25},
		{"cosine, at the end", cosine, 100, 100, 0},
		{"cosine after a warm-up, first", warmCosine, 20, 100, 0.5},
		{"cosine after a warm-up, half way", warmCosine, 60, 100, 0.25},
		{"steps, before", steps, 9.99, 100, 0.5},
		{"steps, after the first", steps, 10, 100, 0.1},
		{"steps, after the second", steps, 30, 100, 0.02},
		// The stages of the paper: 1, 3, 9, ... epochs.
		{"burda, first epoch", burda, 0.99, 3280, 0.5},
		{"burda, second stage", burda, 1.01, 3280, 0.36},
		{"burda, third stage", burda, 4.01, 3280, 0.26},
		{"burda, last stage", burda, 3280 - 2186, 3280, 0.05},
		{"burda, before the last stage", burda, 3280 - 2188, 3280, 0.07},
		{"burda in a tenth of the epochs, second stage", burda, 0.101, 328, 0.36},
	} {
		if got := c.s.rateAt(c.passed, c.passed, c.epochs); math.Abs(got-c.want) > 1e-15 {
			t.Errorf("%s: after %g of %d epochs the rate is %v, want %v", c.name, c.passed, c.epochs, got, c.want)
		}
	}
	if first := warmCosine.rateAt(0, 0.001, 100); !(first > 0) {
		t.Errorf("the first step of a warm-up has the rate %v, want more than 0", first)
	}
}

// allOfTheOptimiser trains with everything that changes a step.
func allOfTheOptimiser(t *testing.T) Config {
	c := smallConfig(t)
	own := &c.vae().OptimiserSettings
	own.LRSchedule, own.LRWarmup, own.Clip, own.WeightDecay, own.EMA = CosineRate, 1, 5, 0.1, 0.8
	own.AdamBeta1, own.AdamEpsilon, own.OutputBias = 0.95, 1e-4, DataBias
	c.vae().FreeBits = 0.3
	return c
}

// TestEverySettingOfTheOptimiserResumesBitForBit, from within an epoch too.
func TestEverySettingOfTheOptimiserResumesBitForBit(t *testing.T) {
	interruptAtEveryStep(t, allOfTheOptimiser(t))
}

// TestEverySettingOfTheOptimiserChangesARun: none is forgotten on the way.
func TestEverySettingOfTheOptimiserChangesARun(t *testing.T) {
	last := func(change func(*OptimiserSettings)) string {
		c := smallConfig(t)
		c.network().LR = 0.01
		change(&c.vae().OptimiserSettings)
		dir := newTrainingRun(t, c)
		s := newTestSetup(t, c)
		if _, err := Run(context.Background(), s, dir, nil, nil, still); err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(s.Tensors())
	}
	plain := last(func(*OptimiserSettings) {})
	for name, change := range map[string]func(*OptimiserSettings){
		"cosine":       func(s *OptimiserSettings) { s.LRSchedule = CosineRate },
		"burda":        func(s *OptimiserSettings) { s.LRSchedule = BurdaRate },
		"steps":        func(s *OptimiserSettings) { s.LRSchedule, s.LRSteps = StepRate, []int{1} },
		"lr-warmup":    func(s *OptimiserSettings) { s.LRWarmup = 2 },
		"clip":         func(s *OptimiserSettings) { s.Clip = 0.1 },
		"weight-decay": func(s *OptimiserSettings) { s.WeightDecay = 0.1 },
		"adam-beta1":   func(s *OptimiserSettings) { s.AdamBeta1 = 0.95 },
		"adam-epsilon": func(s *OptimiserSettings) { s.AdamEpsilon = 0.01 },
		"output-bias":  func(s *OptimiserSettings) { s.OutputBias = DataBias },
	} {
		if last(change) == plain {
			t.Errorf("%s leaves the parameters as they are without it", name)
		}
	}
	if last(func(s *OptimiserSettings) { s.EMA = 0.9 }) != plain {
		t.Error("ema changes the parameters that it averages")
	}
}

// TestTheBestIsTheAverageWhereThatIsBetter: at a rate at which the parameters scatter, the
// average has the better bound; the best state then holds it, and scores as the metrics say.
func TestTheBestIsTheAverageWhereThatIsBetter(t *testing.T) {
	c := smallConfig(t)
	c.Epochs, c.network().LR, c.vae().EMA = 30, 0.05, 0.9
	dir := newTrainingRun(t, c)
	s := newTestSetup(t, c)
	heard := &listener{}
	result, err := Run(context.Background(), s, dir, nil, heard, still)
	if err != nil {
		t.Fatal(err)
	}
	best := heard.epochs[result.Best.Epoch-1]
	if !best.Averaged {
		t.Fatalf("the best epoch, %d, is one of the parameters themselves: the case does not test what it is for", best.Epoch)
	}
	state, _, err := dir.Best()
	if err != nil {
		t.Fatal(err)
	}
	if len(state.Moments)+len(state.Average) > 0 {
		t.Error("the best state has moments, which are of other parameters")
	}
	if err := s.Load(state); err != nil {
		t.Fatal(err)
	}
	terms, err := s.Terms(context.Background(), s.Validation)
	if err != nil {
		t.Fatal(err)
	}
	if terms.Bound != result.Best.Bound {
		t.Errorf("best.safetensors has the bound %v, want that of the best, %v", terms.Bound, result.Best.Bound)
	}
}

// TestPatienceEndsARun so many epochs after the best one, and where it stands is read from its
// directory.
func TestPatienceEndsARun(t *testing.T) {
	c := smallConfig(t)
	c.Epochs, c.network().LR, c.vae().Patience = 400, 0.05, 4
	dir := newTrainingRun(t, c)
	result, err := Run(context.Background(), newTestSetup(t, c), dir, nil, nil, still)
	if err != nil {
		t.Fatal(err)
	}
	metrics, err := dir.ReadMetrics()
	if err != nil {
		t.Fatal(err)
	}
	if result.Status != OutOfPatience || len(metrics) != result.Best.Epoch+c.vae().Patience {
		t.Fatalf("ended as %v after %d epochs with the best at %d, want out of patience 4 epochs later", result.Status, len(metrics), result.Best.Epoch)
	}
	if err := dir.Close(); err != nil {
		t.Fatal(err)
	}
	read, err := run.Read(dir.Path, nil)
	if err != nil {
		t.Fatal(err)
	}
	at, err := Stands(read)
	if err != nil || at.Status != OutOfPatience || !at.Status.Ended() || !strings.Contains(at.String(), "stopped") {
		t.Errorf("the run stands at %+v (%v), %v, want out of patience", at, at, err)
	}
}

// TestSettingsOfTheOptimiserThatCannotBe are refused, each with its key.
func TestSettingsOfTheOptimiserThatCannotBe(t *testing.T) {
	for _, c := range []struct {
		change func(*OptimiserSettings)
		want   string
	}{
		{func(s *OptimiserSettings) { s.LRSchedule = "linear" }, `unknown lr-schedule "linear", want constant, cosine, steps or burda`},
		{func(s *OptimiserSettings) { s.LRSchedule = StepRate }, "lr-schedule is steps, but lr-steps is empty: want the epochs after which the rate falls, as in 200,350"},
		{func(s *OptimiserSettings) { s.LRSteps = []int{3} }, "lr-steps is 3, but lr-schedule is constant: want steps"},
		{func(s *OptimiserSettings) { s.LRSchedule, s.LRSteps = StepRate, []int{30, 20} }, "lr-steps is 30,20, want epochs from 1 that rise"},
		{func(s *OptimiserSettings) { s.LRFactor = 0 }, "lr-factor is 0, want a number above 0 and at most 1"},
		{func(s *OptimiserSettings) { s.LRWarmup = -1 }, "lr-warmup is -1, want 0 or more epochs"},
		{func(s *OptimiserSettings) { s.LRSchedule, s.LRWarmup = CosineRate, 3 }, "lr-warmup is 3, but epochs is 3: nothing is left for the cosine"},
		{func(s *OptimiserSettings) { s.AdamBeta1 = 1 }, "adam-beta1 is 1, want a number from 0 to below 1"},
		{func(s *OptimiserSettings) { s.AdamEpsilon = 0 }, "adam-epsilon is 0, want a positive number"},
		{func(s *OptimiserSettings) { s.OutputBias = "zero" }, `unknown output-bias "zero", want drawn or data`},
		{func(s *OptimiserSettings) { s.Clip = math.NaN() }, "clip is NaN, want 0 (any gradient) or a positive norm"},
		{func(s *OptimiserSettings) { s.WeightDecay = -1 }, "weight-decay is -1, want 0 or more"},
		{func(s *OptimiserSettings) { s.EMA = 1 }, "ema is 1, want a number from 0 to below 1, as 0.999"},
		{func(s *OptimiserSettings) { s.Patience = -2 }, "patience is -2, want 0 (never stop) or more epochs"},
	} {
		config := smallConfig(t)
		c.change(&config.vae().OptimiserSettings)
		if err := config.Validate(); err == nil || !slices.Contains(strings.Split(err.Error(), "\n"), c.want) {
			t.Errorf("Validate = %v, want %q", err, c.want)
		}
	}
}

// TestAConfigurationWithoutTheOptimiserIsAsBefore: files of earlier runs stay the same bytes.
func TestAConfigurationWithoutTheOptimiserIsAsBefore(t *testing.T) {
	text := DefaultConfig(VAEModel).JSON()
	for _, o := range new(OptimiserSettings).options() {
		if bytes.Contains(text, []byte(`"`+o.Key+`"`)) {
			t.Errorf("the default configuration has %s", o.Key)
		}
	}
}
