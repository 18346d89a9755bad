package graph

import (
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"

	"github.com/viterin/vek"

	"elbo/graph/blas"
)

// Engine is what programs compute with: a matrix product and a fixed number of
// workers. The same engine gives the same bits for the same inputs.
type Engine struct {
	BLAS    *blas.Library
	Workers int
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
		"simd":    strconv.FormatBool(vek.Info().Acceleration),
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

// Split calls f on consecutive shards of [0, n), concurrently, and returns when
// all are done. There are as many shards as workers, or fewer where a shard
// would be shorter than grain: handing work to another goroutine costs 5 to 10
// microseconds. Where the shards are cut depends on nothing but n, grain and the
// number of workers.
//
// A panic in a shard is raised again in the caller.
func (e *Engine) Split(n, grain int, f func(lo, hi int)) {
	shards := min(e.Workers, n/max(1, grain))
	if shards <= 1 {
		f(0, n)
		return
	}
	var wg sync.WaitGroup
	panics := make([]any, shards)
	for i := 1; i < shards; i++ {
		wg.Go(func() {
			defer func() { panics[i] = recover() }()
			f(n*i/shards, n*(i+1)/shards)
		})
	}
	f(0, n/shards)
	wg.Wait()
	for _, p := range panics {
		if p != nil {
			panic(p)
		}
	}
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
