package simd

import "github.com/viterin/vek/vek32"

// Max returns the largest of the numbers, of which there is at least one; NaN is no
// number, and whether one is passed over is not said.
func Max(x []float32) float32 { return vek32.Max(x) }

// ArgMax returns where the largest of the numbers stands first; see Max.
func ArgMax(x []float32) int { return vek32.ArgMax(x) }

// Sum returns the sum of the numbers in float32, NaN if one of them is.
func Sum(x []float32) float32 { return vek32.Sum(x) }
