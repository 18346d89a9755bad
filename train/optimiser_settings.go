package train

import (
	"fmt"
	"math"
	"slices"
	"strconv"
)

// OptimiserSettings are how a VAE is trained besides the learning rate.
type OptimiserSettings struct {
	LRSchedule  Schedule
	LRSteps     []int   // epochs after which the rate falls, rising
	LRFactor    float64 // by which it falls then
	LRWarmup    int     // epochs over which the rate rises from 0
	AdamBeta1   float64 // β₁, of Adam's mean of gradients
	AdamEpsilon float64 // ε, which Adam adds to √v
	Clip        float64 // largest norm of the whole gradient of a step; 0: any
	WeightDecay float64 // share of the rate by which every step shrinks parameters; 0: none
	EMA         float64 // decay of the running average of the parameters, a step; 0: there is none
	Patience    int     // epochs without a better validation bound after which training stops; 0: never
	OutputBias  OutputBias
}

func defaultOptimiser() OptimiserSettings {
	return OptimiserSettings{LRSchedule: ConstantRate, LRFactor: 0.1, AdamBeta1: 0.9, AdamEpsilon: 1e-8, OutputBias: DrawnBias}
}

// options are left out of a file where they are as in a file without them.
func (s *OptimiserSettings) options() []Option {
	return []Option{
		{Key: "lr-schedule", After: "lr", Usage: "how the learning rate goes: constant, cosine (to 0), steps or burda", Value: name(&s.LRSchedule, "NAME"), Unwritten: []string{string(ConstantRate)}},
		{Key: "lr-steps", Usage: "epochs after which it falls, as in 200,350 (lr-schedule steps)", Value: list(&s.LRSteps, "N,..."), Unwritten: []string{""}},
		{Key: "lr-factor", Usage: "by how much it falls then", Value: number(&s.LRFactor), Unwritten: []string{"0.1"}},
		{Key: "lr-warmup", Usage: "epochs over which it rises from 0", Value: integer(&s.LRWarmup), Unwritten: []string{"0"}},
		{Key: "adam-beta1", Usage: "Adam's β₁, by which its mean of gradients decays a step", Value: number(&s.AdamBeta1), Unwritten: []string{"0.9"}},
		{Key: "adam-epsilon", Usage: "Adam's ε, for gradients of the mean over a batch", Value: number(&s.AdamEpsilon), Unwritten: []string{"1e-08"}},
		{Key: "clip", Usage: "largest norm of the gradient of a step (0: any)", Value: number(&s.Clip), Unwritten: []string{"0"}},
		{Key: "weight-decay", Usage: "a step shrinks every parameter by this share of the learning rate (AdamW)", Value: number(&s.WeightDecay), Unwritten: []string{"0"}},
		{Key: "ema", Usage: "keep a running average of the parameters with this decay a step, as in 0.999; it is validated as well, and the best where it is better (0: none)", Value: number(&s.EMA), Unwritten: []string{"0"}},
		{Key: "patience", Usage: "stop after so many epochs without a better validation bound (0: never)", Value: integer(&s.Patience), Unwritten: []string{"0"}},
		{Key: "output-bias", Usage: "where the decoder's last biases begin: drawn, or data, so that the mean of an image is that of the training images", Value: name(&s.OutputBias, "HOW"), Unwritten: []string{string(DrawnBias)}},
	}
}

func (s OptimiserSettings) clone() OptimiserSettings {
	s.LRSteps = slices.Clone(s.LRSteps)
	return s
}

// ToTheEnd reports whether the learning rate falls to its end with the last epoch: more
// epochs are then another run, not the rest of this one.
func (s OptimiserSettings) ToTheEnd() bool {
	return s.LRSchedule == CosineRate || s.LRSchedule == BurdaRate
}

// check adds every fault.
func (s OptimiserSettings) check(c Config, f *faults) {
	_, err := ParseSchedule(string(s.LRSchedule))
	f.add(err != nil, "%w", err)
	f.add(len(s.LRSteps) > 0 && s.LRSchedule != StepRate, "lr-steps is %s, but lr-schedule is %s: want steps", joined(s.LRSteps, ","), s.LRSchedule)
	f.add(len(s.LRSteps) == 0 && s.LRSchedule == StepRate, "lr-schedule is steps, but lr-steps is empty: want the epochs after which the rate falls, as in 200,350")
	f.add(!slices.IsSorted(s.LRSteps) || len(s.LRSteps) > 0 && s.LRSteps[0] < 1, "lr-steps is %s, want epochs from 1 that rise", joined(s.LRSteps, ","))
	f.add(!(s.LRFactor > 0 && s.LRFactor <= 1), "lr-factor is %g, want a number above 0 and at most 1", s.LRFactor)
	f.add(s.LRFactor != 0.1 && s.LRSchedule != StepRate, "lr-factor is %g, but lr-schedule is %s: want steps", s.LRFactor, s.LRSchedule)
	f.add(s.LRWarmup < 0, "lr-warmup is %d, want 0 or more epochs", s.LRWarmup)
	f.add(s.LRWarmup > 0 && s.LRWarmup >= c.Epochs && s.LRSchedule == CosineRate, "lr-warmup is %d, but epochs is %d: nothing is left for the cosine", s.LRWarmup, c.Epochs)
	f.add(!(s.AdamBeta1 >= 0 && s.AdamBeta1 < 1), "adam-beta1 is %g, want a number from 0 to below 1", s.AdamBeta1)
	f.positive("adam-epsilon", s.AdamEpsilon)
	f.add(!(s.Clip >= 0) || math.IsInf(s.Clip, 0), "clip is %g, want 0 (any gradient) or a positive norm", s.Clip)
	f.add(!(s.WeightDecay >= 0) || math.IsInf(s.WeightDecay, 0), "weight-decay is %g, want 0 or more", s.WeightDecay)
	f.add(!(s.EMA >= 0 && s.EMA < 1), "ema is %g, want a number from 0 to below 1, as 0.999", s.EMA)
	f.add(s.Patience < 0, "patience is %d, want 0 (never stop) or more epochs", s.Patience)
	f.add(s.Patience > 0 && len(c.Split) == 2 && c.Split[1] == 0, "patience is %d, but the split has no validation images: want some, as in --split 55000,5000", s.Patience)
}

// describe adds what is not as by default.
func (s OptimiserSettings) describe() string {
	text := ""
	if s.LRSchedule != ConstantRate {
		text += fmt.Sprintf(", learning rate by %s", s.LRSchedule)
	}
	if s.EMA > 0 {
		text += ", averaged with decay " + strconv.FormatFloat(s.EMA, 'g', -1, 64)
	}
	return text
}
