package graph

import (
	"math"
	"testing"
)

// TestExp32IsExpOnEveryLane: vector code takes eight numbers at a time and the rest
// one by one, and is tried on both, over the whole range of arguments.
func TestExp32IsExpOnEveryLane(t *testing.T) {
	for length := range 40 {
		for start := -130.0; start < 87; start += 0.37 {
			x := make([]float32, length)
			for i := range x {
				x[i] = float32(start + float64(i)*0.011)
			}
			want := make([]float64, length)
			for i, v := range x {
				want[i] = math.Exp(float64(v))
				if v <= leastExponent {
					want[i] = 0
				}
			}
			exp32(x)
			for i, got := range x {
				// Rounding x / ln 2 to float32 moves the result by up to 2⁻²⁴ |x|.
				tolerance := (2+math.Abs(start)+1)*math.Exp2(-23)*want[i] + tinyExp
				if d := math.Abs(float64(got) - want[i]); !(d <= tolerance) {
					t.Fatalf("exp of argument %d of %d from %g is %g, want %g", i, length, start, got, want[i])
				}
			}
		}
	}
	x := []float32{float32(math.Inf(-1)), LogZero, -1e30, -400, -95, -89, -88, 0, 0}
	exp32(x)
	for i, got := range x[:7] {
		if got != 0 {
			t.Errorf("exp of a very negative number %d is %g, want 0", i, got)
		}
	}
}
