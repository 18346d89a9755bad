package graph

import (
	"runtime"
	"runtime/debug"
	"strconv"

	"elbo/graph/blas"
	"elbo/graph/simd"
)

// Engine is what programs compute with: a matrix product and a fixed number of
// workers. The same engine gives the same bits for the same inputs.
type Engine struct {
	BLAS    *blas.Library
	Workers int

	crew crew
}

// NewEngine returns an engine of the given number of workers, at least one.
func NewEngine(workers int, lib *blas.Library) *Engine {
	return &Engine{BLAS: lib, Workers: max(1, workers)}
}

// Numerics identifies all that decides how a sum of float32 numbers is rounded.
// Two runs of the same seed and configuration agree in every bit if their
// numerics do.
func (e *Engine) Numerics() map[string]string {
	id := map[string]string{
		"go":      runtime.Version(),
		"arch":    runtime.GOARCH,
		"blas":    e.BLAS.Name,
		"workers": strconv.Itoa(e.Workers),
		"simd":    simd.Name(),
	}
	if e.BLAS.Version != "" {
		id["blas_version"] = e.BLAS.Version
	}
	if e.BLAS.Kernel != "" {
		id["blas_kernel"] = e.BLAS.Kernel
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "GOAMD64" || s.Key == "GOARM64" { // decides whether products and sums are fused
				id["arch_level"] = s.Value
			}
		}
	}
	return id
}

// productGrain is the least number of multiplications that makes a shard of a
// matrix product worth a hand-off: about 10 microseconds of work.
const productGrain = 1 << 20

// product computes C = op(A) op(B), C [m,n], all row-major without padding, as
// shards of rows or of columns of C, whichever there are more of.
func (e *Engine) product(transA, transB bool, m, n, k int, a, b, c []float32) {
	lda, ldb := k, n
	if transA {
		lda = m
	}
	if transB {
		ldb = k
	}
	if m >= n {
		e.Split(m, 1+productGrain/(n*k), func(lo, hi int) {
			first := lo * lda
			if transA {
				first = lo
			}
			e.BLAS.Sgemm(transA, transB, hi-lo, n, k, 1, a[first:], lda, b, ldb, 0, c[lo*n:], n)
		})
		return
	}
	e.Split(n, 1+productGrain/(m*k), func(lo, hi int) {
		first := lo
		if transB {
			first = lo * ldb
		}
		e.BLAS.Sgemm(transA, transB, m, hi-lo, k, 1, a, lda, b[first:], ldb, 0, c[lo:], n)
	})
}
