package graph

import (
	"math"

	"github.com/viterin/vek/vek32"

	"elbo/graph/simd"
)

// Clip makes a gradient, of which each slice is a part, no longer than limit: where its norm
//
//	|g| = √ Σ g²
//
// is larger, every element is multiplied by limit/|g|. It returns the norm that it found. A
// gradient that is not finite stays as it is.
//
// Source: Pascanu, Mikolov, Bengio 2013, algorithm 1.
func (e *Engine) Clip(limit float64, parts [][]float32) float64 {
	const block = 1 << 13 // summed in float32: whatever the number of workers
	sum := 0.0
	for _, g := range parts {
		blocks := make([]float64, (len(g)+block-1)/block)
		e.Split(len(blocks), 1, func(lo, hi int) {
			for i := lo; i < hi; i++ {
				part := g[i*block : min((i+1)*block, len(g))]
				blocks[i] = float64(simd.Dot(part, part))
			}
		})
		for _, s := range blocks {
			sum += s
		}
	}
	norm := math.Sqrt(sum)
	if !(norm > limit) || math.IsInf(norm, 0) {
		return norm
	}
	factor := float32(limit / norm)
	for _, g := range parts {
		e.Split(len(g), elementGrain, func(lo, hi int) { vek32.MulNumber_Inplace(g[lo:hi], factor) })
	}
	return norm
}
