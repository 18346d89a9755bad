// Package blas has the single-precision matrix product that the program computes with: its
// own, of package gemm, unless the user asks for a library.
//
// OpenBLAS (or MKL, BLIS or, on macOS, Accelerate) is opened at run time, without cgo, and
// only when it is asked for. It is asked for one thread: its own threads spin and starve
// Go's, and a fixed number of goroutines on fixed shards keeps results bit-equal from run
// to run.
package blas

import (
	"fmt"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/gonum"

	"elbo/graph/gemm"
)

// Library is one implementation of sgemm and what is known of it. It is safe
// for concurrent use.
type Library struct {
	Name    string // "built-in", "OpenBLAS", "MKL", "BLIS", "Accelerate", "gonum", or "BLAS" for another
	Version string // as the library reports itself, "" if it does not
	Kernel  string // the CPU kernel that the library chose, e.g. "SkylakeX"
	Path    string // the file that was opened, "" for none

	sgemm sgemmFunc
}

// sgemmFunc is C = α op(A) op(B) + β C on row-major matrices, C [m,n].
type sgemmFunc func(transA, transB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int)

// BuiltIn returns the program's own product, which has the same bits on every machine.
func BuiltIn() *Library {
	return &Library{Name: builtIn, Kernel: gemm.Kernel(), sgemm: gemm.Sgemm}
}

const builtIn = "built-in"

// SameEverywhere reports whether a product has the same bits on every machine, and however
// it is cut into shards.
func (l *Library) SameEverywhere() bool { return l.Name == builtIn }

// Gonum is gonum's product in pure Go, to compare with.
func Gonum() *Library {
	return &Library{Name: "gonum", Version: "v0.17.0", sgemm: gonumSgemm}
}

// The choices of Open that are no paths.
const (
	choiceGonum    = "gonum"
	choiceOpenBLAS = "openblas"
)

// Opens reports whether a choice is one for which Open loads a shared library.
func Opens(choice string) bool { return choice != "" && choice != builtIn && choice != choiceGonum }

// Open returns the product that choice names: "" or "built-in" for the program's own,
// "openblas" for the best library that is installed, the path of a shared library that
// exports sgemm_ (Fortran calling convention, 32- or 64-bit integers), or "gonum".
//
// It never fails: where the choice cannot be had, the built-in product is returned and the
// note says why, and what to do. The note is "" when all is well.
func Open(choice string) (lib *Library, note string) {
	if choice == choiceGonum {
		return Gonum(), ""
	}
	if !Opens(choice) {
		return BuiltIn(), ""
	}
	path := choice
	if choice == choiceOpenBLAS {
		path = ""
	}
	if err := roomForLibrary(); err != nil {
		return BuiltIn(), fmt.Sprintf("no BLAS library is opened (%v): going on with the built-in product", err)
	}
	lib, err := open(path)
	if err == nil {
		err = lib.check()
	}
	if err == nil {
		return lib, ""
	}
	if path == "" {
		return BuiltIn(), fmt.Sprintf("no OpenBLAS can be used (%v): going on with the built-in product; %s", err, installHint)
	}
	return BuiltIn(), fmt.Sprintf("BLAS %s cannot be used (%v): going on with the built-in product", choice, err)
}

// Sgemm computes C = α op(A) op(B) + β C, where op(A) is [m,k], op(B) [k,n]
// and C [m,n], all row-major with the given leading dimensions; op transposes
// where its flag says so; m, n and k are positive. With β = 0, C is written and never read.
func (l *Library) Sgemm(transA, transB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int) {
	checkMatrix("A", transA, m, k, a, lda)
	checkMatrix("B", transB, k, n, b, ldb)
	checkMatrix("C", false, m, n, c, ldc)
	l.sgemm(transA, transB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
}

// Layer computes C = op(A) op(B) + bias in the way of Sgemm: bias [n] is added to every row
// of C, nil is for none.
func (l *Library) Layer(transA, transB bool, m, n, k int, a []float32, lda int, b []float32, ldb int, bias, c []float32, ldc int) {
	if l.SameEverywhere() {
		gemm.Product(transA, transB, m, n, k, a, lda, b, ldb, bias, c, ldc)
		return
	}
	beta := float32(0)
	if bias != nil { // the product is added to it
		beta = 1
		for r := range m {
			copy(c[r*ldc:][:n], bias)
		}
	}
	l.Sgemm(transA, transB, m, n, k, 1, a, lda, b, ldb, beta, c, ldc)
}

// Columns is how many columns of C the product is best cut at multiples of, for workers to
// share it.
func (l *Library) Columns() int {
	if l.SameEverywhere() {
		return gemm.Columns()
	}
	return 1
}

// String names the product in one line, for people.
func (l *Library) String() string {
	s := l.Name
	if l.SameEverywhere() {
		s = "built-in product"
	}
	if l.Version != "" {
		s += " " + l.Version
	}
	if l.Kernel != "" {
		s += ", " + l.Kernel + " kernel"
	}
	return s
}

// checkMatrix panics where foreign code would read or write out of bounds: a
// bug of the caller, never a user's input.
func checkMatrix(name string, trans bool, rows, cols int, x []float32, ld int) {
	if trans {
		rows, cols = cols, rows
	}
	if rows <= 0 || cols <= 0 || ld < cols || len(x) < (rows-1)*ld+cols {
		panic(fmt.Sprintf("blas: %s is [%d,%d] with leading dimension %d, but has %d elements", name, rows, cols, ld, len(x)))
	}
}

// check compares the library with the built-in product on small products of every kind, so
// that a library of another calling convention is found out before it is used.
func (l *Library) check() error {
	const m, n, k = 5, 7, 3
	a, b := make([]float32, m*k), make([]float32, k*n)
	for i := range a {
		a[i] = float32(i%7) - 3
	}
	for i := range b {
		b[i] = float32(i%5) - 2
	}
	for _, trans := range [][2]bool{{false, false}, {false, true}, {true, false}, {true, true}} {
		lda, ldb := k, n
		if trans[0] {
			lda = m
		}
		if trans[1] {
			ldb = k
		}
		got, want := make([]float32, m*n), make([]float32, m*n)
		for i := range got {
			got[i], want[i] = 1, 1
		}
		l.sgemm(trans[0], trans[1], m, n, k, 2, a, lda, b, ldb, 1, got, n)
		gemm.Sgemm(trans[0], trans[1], m, n, k, 2, a, lda, b, ldb, 1, want, n)
		for i := range got {
			if got[i] != want[i] { // small integers: both must be exact
				return fmt.Errorf("%s computes a wrong product: element %d is %g, want %g", l.Path, i, got[i], want[i])
			}
		}
	}
	return nil
}

func gonumSgemm(transA, transB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int) {
	t := map[bool]blas.Transpose{false: blas.NoTrans, true: blas.Trans}
	gonum.Implementation{}.Sgemm(t[transA], t[transB], m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
}
