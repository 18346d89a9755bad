package blas

import (
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// TestEveryLibraryComputesTheProduct compares with a naive float64 loop over all
// transposes, odd sizes, padded leading dimensions and values of alpha and beta.
func TestEveryLibraryComputesTheProduct(t *testing.T) {
	libraries := []*Library{BuiltIn(), Gonum()}
	for _, choice := range []string{"openblas", "libblis.so.4", "libmkl_rt.so.2"} { // those that are installed
		if lib, note := Open(choice); note == "" {
			libraries = append(libraries, lib)
		} else {
			t.Log(note)
		}
	}
	for _, lib := range libraries {
		t.Logf("%v from %s", lib, lib.Path)
		t.Run(lib.Name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(1, 2))
			for _, size := range [][3]int{{1, 1, 1}, {1, 5, 3}, {7, 1, 2}, {3, 4, 1}, {17, 33, 9}, {64, 65, 63}, {100, 20, 400}} {
				for flags := range 16 {
					checkProduct(t, lib, rng, size, flags)
				}
			}
		})
	}
}

func checkProduct(t *testing.T, lib *Library, rng *rand.Rand, size [3]int, flags int) {
	t.Helper()
	m, n, k := size[0], size[1], size[2]
	transA, transB := flags&1 != 0, flags&2 != 0
	pad := (flags >> 2 & 1) * 3
	alpha, beta := float32(1), float32(0)
	if flags&8 != 0 {
		alpha, beta = -0.5, 2
	}
	rowsA, colsA, rowsB, colsB := m, k, k, n
	if transA {
		rowsA, colsA = k, m
	}
	if transB {
		rowsB, colsB = n, k
	}
	a, lda := randomMatrix(rng, rowsA, colsA, pad), max(1, colsA+pad)
	b, ldb := randomMatrix(rng, rowsB, colsB, pad), max(1, colsB+pad)
	c, ldc := randomMatrix(rng, m, n, pad), n+pad
	at := func(x []float32, ld int, trans bool, i, j int) float64 {
		if trans {
			i, j = j, i
		}
		return float64(x[i*ld+j])
	}
	want := make([]float64, len(c))
	for i := range c {
		want[i] = float64(c[i]) // padding must stay as it is
	}
	for i := range m {
		for j := range n {
			sum := 0.0
			for l := range k {
				sum += at(a, lda, transA, i, l) * at(b, ldb, transB, l, j)
			}
			want[i*ldc+j] = float64(alpha)*sum + float64(beta)*float64(c[i*ldc+j])
		}
	}
	if beta == 0 { // C must not be read
		for i := range m {
			for j := range n {
				c[i*ldc+j] = float32(math.NaN())
			}
		}
	}
	lib.Sgemm(transA, transB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
	// k+3 roundings of terms below 1 in absolute value, each of at most 2^-24.
	tolerance := float64(k+3) * float64(k+3) * math.Exp2(-24)
	for i := range c {
		if d := math.Abs(float64(c[i]) - want[i]); !(d <= tolerance) {
			t.Fatalf("%v %v flags %04b: element %d is %g, want %g", lib, size, flags, i, c[i], want[i])
		}
	}
}

func randomMatrix(rng *rand.Rand, rows, cols, pad int) []float32 {
	x := make([]float32, rows*(cols+pad))
	for i := range x {
		x[i] = rng.Float32()*2 - 1
	}
	return x
}

// TestProductsOfSeveralCallersAreRight: also in OpenBLAS built with OpenMP, where callers
// that do not ask for one thread share buffers, and wait for each other.
func TestProductsOfSeveralCallersAreRight(t *testing.T) {
	choices := []string{"", "openblas"}
	openmp, err := filepath.Glob("/usr/lib/*/openblas-openmp/libopenblas.so.0")
	if err != nil {
		t.Fatal(err)
	}
	for _, choice := range append(choices, openmp...) {
		lib, _ := Open(choice)
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				const n = 64
				a, c := make([]float32, n*n), make([]float32, n*n)
				for i := range n {
					a[i*n+i] = 2
				}
				for range 100 {
					lib.Sgemm(false, false, n, n, n, 1, a, n, a, n, 0, c, n)
				}
				for i := range n {
					if c[i*n+i] != 4 {
						t.Errorf("%v: 2 · 2 = %g", lib, c[i*n+i])
						return
					}
				}
			})
		}
		wg.Wait()
	}
}

func TestAnUnusableLibraryFallsBackAndSaysSo(t *testing.T) {
	notALibrary := filepath.Join(t.TempDir(), "libfake.so")
	if err := os.WriteFile(notALibrary, []byte("no ELF"), 0o644); err != nil {
		t.Fatal(err)
	}
	choices := []string{"/does/not/exist.so", notALibrary}
	if runtime.GOOS == "linux" {
		choices = append(choices, "libc.so.6") // a library, but without sgemm_
	}
	for _, choice := range choices {
		lib, note := Open(choice)
		if !lib.SameEverywhere() || !strings.Contains(note, choice) || !strings.Contains(note, "built-in") {
			t.Errorf("Open(%q) = %v, note %q; want the built-in product and a note that names the choice", choice, lib, note)
		}
	}
	for choice, name := range map[string]string{"": "built-in", "built-in": "built-in", "gonum": "gonum"} {
		if lib, note := Open(choice); lib.Name != name || lib.Path != "" || note != "" || Opens(choice) {
			t.Errorf("Open(%q) = %v from %q, %q; want %s, and that nothing is loaded", choice, lib, lib.Path, note, name)
		}
	}
}

func TestALibraryOfAnotherConventionIsFoundOut(t *testing.T) {
	wrong := &Library{Path: "libwrong.so", sgemm: func(transA, transB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int) {
		gonumSgemm(transA, transB, m, n, k, alpha, a, lda, b, ldb, 0, c, ldc) // ignores beta
	}}
	if err := wrong.check(); err == nil || !strings.Contains(err.Error(), "libwrong.so computes a wrong product") {
		t.Errorf("check = %v, want an error that names the library", err)
	}
}

func TestShortSlicesNeverReachForeignCode(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a matrix shorter than its shape was passed on")
		}
	}()
	lib, _ := Open("openblas")
	lib.Sgemm(false, false, 4, 4, 4, 1, make([]float32, 15), 4, make([]float32, 16), 4, 0, make([]float32, 16), 4)
}

func BenchmarkSgemm256(b *testing.B) {
	lib, _ := Open("")
	const n = 256
	x, y, z := make([]float32, n*n), make([]float32, n*n), make([]float32, n*n)
	for b.Loop() {
		lib.Sgemm(false, false, n, n, n, 1, x, n, y, n, 0, z, n)
	}
	b.ReportMetric(2*n*n*n*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
}

// TestALayerIsAProductAndItsBias: in every library.
func TestALayerIsAProductAndItsBias(t *testing.T) {
	lib, _ := Open("openblas")
	for _, lib := range []*Library{BuiltIn(), Gonum(), lib} {
		for _, bias := range [][]float32{nil, {10, 20, 30}} {
			// A = [1 2; 3 4], Bᵀ = [1 0; 0 1; 1 1], C in a matrix that is wider.
			c := []float32{9, 9, 9, 7, 9, 9, 9}
			lib.Layer(false, true, 2, 3, 2, []float32{1, 2, 3, 4}, 2, []float32{1, 0, 0, 1, 1, 1}, 2, bias, c, 4)
			want := []float32{1, 2, 3, 7, 3, 4, 7}
			for i := range want {
				if bias != nil && i != 3 {
					want[i] += bias[i%4]
				}
				if c[i] != want[i] {
					t.Fatalf("%v, bias %v: %g, want %g", lib, bias, c, want)
				}
			}
		}
	}
}
