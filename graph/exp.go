package graph

import (
	"math"

	"github.com/viterin/vek/vek32"
)

// The exponential of float32 numbers, eight at a time where the CPU can.
//
// vek32.Exp is right to about 2⁻²³ (1 + |x|) of the result where that is a normal
// number, and returns large negative numbers for some arguments below, between -88 and
// -104. So arguments are
// raised to leastExponent first, whose exponential is tinyExp.
const (
	leastExponent = -87
	tinyExp       = 1.7e-38 // just above exp(leastExponent)
)

// exp32 replaces x by exp x, and by 0 what would be below tinyExp. Arguments are below
// 88; NaN gives some number, so callers take care that NaN shows elsewhere.
func exp32(x []float32) {
	vek32.MaximumNumber_Inplace(x, leastExponent)
	vek32.Exp_Inplace(x)
	least := int32(math.Float32bits(tinyExp))
	for i, v := range x {
		// 0 where v < tinyExp, without a branch: positive numbers have the order of
		// their bits.
		bits := int32(math.Float32bits(v))
		x[i] = math.Float32frombits(uint32(bits &^ ((bits - least) >> 31)))
	}
}
