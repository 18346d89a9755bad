package gemm_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"elbo/graph/blas"
	"elbo/graph/gemm"
)

// shape is a product of the program: C [m,n] with k terms in each sum.
type shape struct {
	name           string
	transA, transB bool
	m, n, k        int
}

// layer is the three products of a layer, for images x in -> out: y = x Wᵀ, dx = δ W and
// dW = δᵀ x.
func layer(images, in, out int) []shape {
	name := fmt.Sprintf("%d x %d-%d ", images, in, out)
	return []shape{
		{name + "y", false, true, images, out, in},
		{name + "dx", false, false, images, in, out},
		{name + "dW", true, false, out, in, images},
	}
}

func shapes() []shape {
	var list []shape
	for _, images := range []int{128, 20} {
		for _, l := range [][2]int{{784, 400}, {400, 40}, {20, 400}, {400, 784}, {784, 200}, {200, 200}, {200, 100}, {50, 200}, {200, 784}} {
			list = append(list, layer(images, l[0], l[1])...)
		}
	}
	list = append(list, layer(128, 1024, 1024)...) // steps of a power of two hit the same lines of a cache
	return append(list,
		shape{"EM log p(x|z)", false, true, 1000, 500, 784},
		shape{"EM sums", true, false, 500, 784, 1000},
		shape{"square 1000", false, false, 1000, 1000, 1000},
		shape{"square 2000", false, false, 2000, 2000, 2000},
		shape{"square 512", false, false, 512, 512, 512},
		shape{"square 1024", false, false, 1024, 1024, 1024},
		shape{"square 2048", false, false, 2048, 2048, 2048},
	)
}

// BenchmarkShapes measures the program's products on one core, next to the library that
// ELBO_BLAS names (the best there is for none), and next to a loop of nothing but fused
// multiply-adds. All take turns, in runs of a fifth of a millisecond or longer; the best
// run of each counts, and the median of the ratios of neighbours.
func BenchmarkShapes(b *testing.B) {
	lib, note := blas.Open(os.Getenv("ELBO_BLAS"))
	if note != "" {
		b.Log(note)
	}
	for _, way := range gemm.Ways() {
		if way.Name() == "go" {
			continue
		}
		b.Run(way.Name(), func(b *testing.B) {
			for _, s := range shapes() {
				b.Run(s.name, func(b *testing.B) { benchmarkShape(b, s, way, lib) })
			}
		})
	}
}

func benchmarkShape(b *testing.B, s shape, way gemm.Way, lib *blas.Library) {
	rng := rand.New(rand.NewPCG(1, 2))
	random := func(n int) []float32 {
		x := make([]float32, n)
		for i := range x {
			x[i] = rng.Float32()
		}
		return x
	}
	x, y, z := random(s.m*s.k), random(s.k*s.n), random(s.m*s.n)
	lda, ldb := s.k, s.n
	if s.transA {
		lda = s.m
	}
	if s.transB {
		ldb = s.k
	}
	flop := 2 * float64(s.m) * float64(s.n) * float64(s.k)
	repeat := max(1, int(2e7/flop))
	seconds := func(f func()) float64 {
		t := time.Now()
		f()
		return time.Since(t).Seconds()
	}
	own := func() {
		for range repeat {
			way.Product(s.transA, s.transB, s.m, s.n, s.k, x, lda, y, ldb, z, s.n)
		}
	}
	theirs := func() {
		for range repeat {
			lib.Sgemm(s.transA, s.transB, s.m, s.n, s.k, 1, x, lda, y, ldb, 0, z, s.n)
		}
	}
	own()
	theirs()
	ours, other, peak := math.Inf(1), math.Inf(1), 0.0
	var ratios []float64
	for b.Loop() {
		a, c := seconds(own), seconds(theirs)
		ours, other, ratios = min(ours, a), min(other, c), append(ratios, c/a)
		fmas := 0.0
		took := seconds(func() { fmas = way.FMAs(4e6) })
		peak = max(peak, fmas/took)
	}
	slices.Sort(ratios)
	flop *= float64(repeat)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(flop/ours/1e9, "GFLOP/s")
	b.ReportMetric(100*flop/ours/peak, "%ofpeak")
	b.ReportMetric(flop/other/1e9, lib.Name+"-GFLOP/s")
	b.ReportMetric(other/ours, "best/best")
	b.ReportMetric(ratios[len(ratios)/2], "paired")
}
