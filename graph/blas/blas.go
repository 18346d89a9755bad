// Package blas finds the fastest single-precision matrix product there is on
// this machine, without cgo.
//
// OpenBLAS (or MKL, BLIS or, on macOS, Accelerate) is opened at run time; where there is
// none, gonum's pure Go product takes its place and everything works, slower.
// The library is asked for one thread: its own threads spin and starve Go's,
// and a fixed number of goroutines on fixed shards keeps results bit-equal from
// run to run.
package blas

import (
	"fmt"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/gonum"
)

// Library is one implementation of sgemm and what is known of it. It is safe
// for concurrent use.
type Library struct {
	Name    string // "OpenBLAS", "MKL", "BLIS", "Accelerate", "gonum", or "BLAS" for another
	Version string // as the library reports itself, "" if it does not
	Kernel  string // the CPU kernel that the library chose, e.g. "SkylakeX"
	Path    string // the file that was opened, "" for gonum

	sgemm sgemmFunc
}

// sgemmFunc is C = α op(A) op(B) + β C on row-major matrices, C [m,n].
type sgemmFunc func(transA, transB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int)

// Gonum is the pure Go product, the same everywhere.
func Gonum() *Library {
	return &Library{Name: "gonum", Version: "v0.17.0", sgemm: gonumSgemm}
}

// Open returns the library that choice names: "" for the best there is,
// "gonum" for pure Go, or the path of a shared library that exports sgemm_
// (Fortran calling convention, 32- or 64-bit integers).
//
// It never fails: where the choice cannot be had, the pure Go product is
// returned and the note says why, and what to do. The note is "" when all is
// well.
func Open(choice string) (lib *Library, note string) {
	if choice == "gonum" {
		return Gonum(), ""
	}
	lib, err := open(choice)
	if err == nil {
		err = lib.check()
	}
	if err == nil {
		return lib, ""
	}
	if choice != "" {
		return Gonum(), fmt.Sprintf("BLAS %s cannot be used (%v): going on with pure Go, which is several times slower", choice, err)
	}
	return Gonum(), fmt.Sprintf("no OpenBLAS found (%v): going on with pure Go, which is several times slower; %s", err, installHint)
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

// String names the library in one line, for people.
func (l *Library) String() string {
	s := l.Name
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

// check compares the library with gonum on small products of every kind, so
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
		gonumSgemm(trans[0], trans[1], m, n, k, 2, a, lda, b, ldb, 1, want, n)
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
