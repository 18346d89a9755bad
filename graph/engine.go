package graph

import (
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"

	"elbo/graph/blas"
	"elbo/graph/simd"
)

// Engine is what programs compute with: a matrix product and a fixed number of
// workers. The same engine gives the same bits for the same inputs.
type Engine struct {
	BLAS    *blas.Library
	Workers int

	pool    pool
	scratch scratch
}

// NewEngine returns an engine of the given number of workers, at least one.
func NewEngine(workers int, lib *blas.Library) *Engine {
	return &Engine{BLAS: lib, Workers: max(1, workers)}
}

// Serial returns an engine of one worker with the same matrix product: for programs that
// workers run side by side, each on its own.
func (e *Engine) Serial() *Engine { return NewEngine(1, e.BLAS) }

// sums counts the ways in which this program has cut and ordered its sums: it goes up with
// every change of an operation, a block or a chunk after which the same run has other
// bits.
const sums = "5"

// Numerics identifies all that decides how a sum of float32 numbers is rounded.
// Two runs of the same seed and configuration agree in every bit if their
// numerics do.
func (e *Engine) Numerics() map[string]string {
	id := map[string]string{
		"go":   runtime.Version(),
		"blas": e.BLAS.Name,
		"sums": sums,
	}
	if e.BLAS.Version != "" {
		id["blas_version"] = e.BLAS.Version
	}
	// The program's own arithmetic has the same bits on these, on any kernel and in any number
	// of shards; elsewhere nobody has looked, and a library does as it likes.
	if tested := runtime.GOARCH == "amd64" || runtime.GOARCH == "arm64"; !tested || !e.BLAS.SameEverywhere() {
		id["arch"] = runtime.GOARCH
		if info, ok := debug.ReadBuildInfo(); ok {
			for _, s := range info.Settings {
				if s.Key == "GOAMD64" || s.Key == "GOARM64" {
					id["arch_level"] = s.Value
				}
			}
		}
	}
	if !e.BLAS.SameEverywhere() {
		id["workers"] = strconv.Itoa(e.Workers)
		id["simd"] = simd.Name()
		if e.BLAS.Kernel != "" {
			id["blas_kernel"] = e.BLAS.Kernel
		}
	}
	return id
}

// scratch is memory for what an operation needs while it runs, and never after: a worker takes
// a piece and gives it back, and there are never more than were in use at once.
type scratch struct {
	mutex sync.Mutex
	free  [][]float32
}

// take returns n numbers of any value.
func (s *scratch) take(n int) []float32 {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	for i, piece := range s.free {
		if cap(piece) >= n {
			last := len(s.free) - 1
			s.free[i] = s.free[last]
			s.free = s.free[:last]
			return piece[:n]
		}
	}
	if last := len(s.free) - 1; last >= 0 { // too small a piece makes room for this one
		s.free = s.free[:last]
	}
	return make([]float32, n)
}

// give takes a piece back.
func (s *scratch) give(piece []float32) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.free = append(s.free, piece[:0])
}
