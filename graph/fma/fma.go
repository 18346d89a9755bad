// Package fma has the fused multiply-add of float32 numbers, for code that is to have the
// bits of the vector instructions on every CPU.
package fma

import "math"

// FMA returns x y + z rounded once to float32.
//
// The product of two float32 numbers is exact in float64, and so is rounding the sum to
// float64 and then to float32 harmless, but where the first rounding ends half way
// between two float32 numbers: then what it took away decides.
func FMA(x, y, z float32) float32 {
	return float32(Wide(float64(x), float64(y), float64(z)))
}

// Wide is FMA on float32 numbers that are kept in float64.
func Wide(x, y, z float64) float64 {
	p := float64(x * y) // the conversion keeps the compiler from fusing it with the sum
	s := p + z
	// Half way between two float32 numbers that are not subnormal the lowest 29 bits are a
	// one and zeros.
	u := math.Float64bits(s)
	if u&(1<<29-1) == 1<<28 || u<<1>>53 <= 1023-126 {
		return halfway(p, z, s)
	}
	return float64(float32(s))
}

// halfway rounds p + z to float32, s being the sum in float64: it first rounds the sum to
// float64 such that an inexact one ends in a one ("to odd"), so that it cannot be half
// way.
func halfway(p, z, s float64) float64 {
	t := s - p
	e := (p - (s - t)) + (z - t) // what s lacks, exactly
	if u := math.Float64bits(s); e != 0 && e-e == 0 && u&1 == 0 {
		if (e > 0) == (s > 0) {
			u++
		} else {
			u--
		}
		s = math.Float64frombits(u)
	}
	return float64(float32(s))
}
