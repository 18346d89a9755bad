// Package simd has the loops over float32 numbers that a matrix product leaves over,
// eight numbers at a time where the CPU can (AVX2 and FMA), the most expensive of them sixteen
// (AVX-512), one by one elsewhere.
//
// The result for an element depends on its arguments alone, not on where in a slice it
// stands: what is left over at the end is padded and goes the same way. Exponentials
// are good to a few units in the last place; the ways agree to that, not in every bit,
// except for Adam, ReLU and ReLUChain, which are exact. NaN stays NaN.
package simd

// block is how many pixels have their logarithms taken at once: the product of 64
// numbers in (1, 2] in each of eight lanes, below 2⁵¹², is finite in float64.
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
