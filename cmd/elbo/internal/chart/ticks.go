package chart

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Tick is a value of an axis with its label.
type Tick struct {
	Value float64
	Label string
}

// Ticks returns the multiples of a round step (1, 2 or 5 times a power of ten) within the span, about `about` of them.
// If whole is set, they are integers. They are counted before they are made, as a step may be below the precision of
// the values.
func Ticks(s Span, about int, whole bool) []Tick {
	step := roundStep(s.size() / float64(about))
	if whole {
		step = max(step, 1)
	}
	const slack = 1e-9 // of a step, for an end that is a multiple but for rounding
	first, last := math.Ceil(s.Lo/step-slack), math.Floor(s.Hi/step+slack)
	if !(last-first < float64(3*about)) { // also if NaN
		return nil
	}
	ticks := make([]Tick, 0, 3*about)
	for i := first; len(ticks) <= int(last-first); i = first + float64(len(ticks)) {
		ticks = append(ticks, Tick{i * step, tickLabel(i*step, step)})
	}
	return ticks
}

// logTicks returns the powers of ten in the span of logarithms, about eight of them at most; where there is one at
// most, 2 and 5 times those as well.
func logTicks(s Span) (ticks []Tick) {
	lo, hi := math.Floor(s.Lo), math.Ceil(s.Hi)
	every := max(1, math.Ceil((math.Floor(s.Hi)-math.Ceil(s.Lo))/8))
	for e := lo; e <= hi && len(ticks) < 100; e += every {
		for _, m := range []float64{1, 2, 5} {
			v := m * math.Pow(10, e)
			if m > 1 && math.Floor(s.Hi+1e-9)-math.Ceil(s.Lo-1e-9) >= 1 || !s.open(1e-9).contains(math.Log10(v)) {
				continue
			}
			label := strconv.FormatFloat(v, 'f', max(0, int(-e)), 64)
			if e < -3 || e > 3 {
				label = fmt.Sprintf("%ge%g", m, e)
			}
			ticks = append(ticks, Tick{v, Minus(label)})
		}
	}
	return ticks
}

// roundStep returns the smallest of 1, 2 and 5 times a power of ten that is at least x.
func roundStep(x float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(x)))
	for _, m := range []float64{1, 2, 5} {
		if m*power >= x*(1-1e-9) {
			return m * power
		}
	}
	return 10 * power
}

// tickLabel writes a multiple of step with as many digits as tell it from its neighbours.
func tickLabel(v, step float64) string {
	decimals := max(0, -exponent(step))
	switch {
	case math.Abs(v) < 1e6 && decimals <= 4:
		return Minus(strconv.FormatFloat(v, 'f', decimals, 64))
	case math.Abs(v) < step/2:
		return "0"
	default:
		return Minus(strconv.FormatFloat(v, 'e', max(0, exponent(v)-exponent(step)), 64))
	}
}

// exponent returns the power of ten of v's first digit. The slack is for what is a power of ten but for rounding.
func exponent(v float64) int { return int(math.Floor(math.Log10(math.Abs(v)) + 1e-9)) }

// Minus replaces hyphens by minus signs, and minus nought by nought.
func Minus(number string) string {
	if strings.HasPrefix(number, "-") && strings.Trim(number, "-0.") == "" {
		number = number[1:]
	}
	return strings.ReplaceAll(number, "-", "−")
}
