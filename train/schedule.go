package train

import (
	"fmt"
	"math"
	"slices"

	"elbo/graph/elementary"
)

// Schedule says how the learning rate goes during training, by its name in flags and files.
type Schedule string

// The schedules. T is the number of epochs, t how many have passed, a fraction within one.
const (
	ConstantRate Schedule = "constant" // lr
	CosineRate   Schedule = "cosine"   // lr (1 + cos(π t/T)) / 2: to 0 at the end
	StepRate     Schedule = "steps"    // lr factorⁿ after the n-th of the epochs that are named
	BurdaRate    Schedule = "burda"    // eight stages from lr to lr/10, each three times as long as the one before
)

// Schedules lists them all.
var Schedules = []Schedule{ConstantRate, CosineRate, StepRate, BurdaRate}

// ParseSchedule returns the schedule of that name.
func ParseSchedule(name string) (Schedule, error) {
	if !slices.Contains(Schedules, Schedule(name)) {
		return "", fmt.Errorf("unknown lr-schedule %q, want constant, cosine, steps or burda", name)
	}
	return Schedule(name), nil
}

// burdaStages are the rates of the stages, in units of the first, as they are rounded in the
// experiments of the paper: 10^(-i/7) to one decimal of the last.
//
// Source: Burda, Grosse, Salakhutdinov 2016, section 5.
var burdaStages = [...]float64{1, 0.72, 0.52, 0.37, 0.27, 0.19, 0.14, 0.1}

// rateAt is the learning rate of a step that ends with t of the epochs passed, where it
// began with t0 of them. It rises in a straight line over the first LRWarmup epochs, and goes as
// the schedule has it afterwards: what passed before counts, except for a cosine, which
// begins there.
func (s VAESettings) rateAt(t0, t float64, epochs int) float64 {
	warm, end := float64(s.LRWarmup), float64(epochs)
	if t0 < warm {
		return s.LR * min(1, t/warm)
	}
	switch s.LRSchedule {
	case CosineRate:
		return s.LR * (1 + elementary.Cos(math.Pi*min(1, (t0-warm)/(end-warm)))) / 2
	case StepRate:
		rate := s.LR
		for _, epoch := range s.LRSteps {
			if t0 >= float64(epoch) {
				rate *= s.LRFactor
			}
		}
		return rate
	case BurdaRate:
		// The stages are 1, 3, 9, ... parts of 3280, which is the number of epochs in the paper.
		part, length, reached := end/3280, 1.0, 0.0
		for _, rate := range burdaStages {
			if reached += float64(length * part); t0 < reached {
				return s.LR * rate
			}
			length *= 3
		}
		return s.LR * burdaStages[len(burdaStages)-1]
	}
	return s.LR
}
