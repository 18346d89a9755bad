// Package simd has the loops over float32 numbers that a matrix product leaves over,
// eight numbers at a time where the CPU can (AVX2 and FMA), the most expensive of them sixteen
// (AVX-512), one by one elsewhere.
//
// All ways have the same bits, on every CPU: they are the same operations in the same
// order, fused where the vectors fuse them, and sums and products run in sixteen lanes, or
// 32, that are folded in halves in the end, also where there are fewer. (What a NaN looks
// like is left to the CPU.) The result for an element depends on its arguments alone, not
// on where in a slice it stands: what is left over at the end is padded and goes the same
// way. Exponentials are good to a few units in the last place. NaN stays NaN.
package simd

// block is how many pixels have their logarithms taken at once: the product of 512
// numbers in (1, 2], at most 2⁵¹², is finite in float64.
const block = 512

// Name says what the loops run on: "avx512", "avx2" or "go".
func Name() string {
	switch lanes {
	case 16:
		return "avx512"
	case 8:
		return "avx2"
	}
	return "go"
}

// whole is the part of n that is a multiple of some lanes.
func whole(n, lanes int) int { return n - n%lanes }
