// Package gemm is the single-precision matrix product of this program: it needs no
// library, and has the same bits on every machine.
//
// Every element of a product is one chain of fused multiply-adds in the order of k,
//
//	s₀ = 0,  s_{k+1} = fma(A[i,k], B[k,j], s_k),
//
// whatever the CPU, the shapes of the tiles, and the shards in which workers compute C.
// What comes after the chain is rounded once for each operation. Only what a NaN looks
// like is left to the CPU.
//
// The loop over k has a tile of C in registers (assembly for AVX-512, AVX2 and NEON, written by
// cmd/elbo/internal/gemmasm); around it the operands are cut into blocks that fit the caches. A block
// is copied, "packed", into the order in which the loop reads it where that is worth it:
// where vectors would have to be gathered otherwise, or where it is read many times.
package gemm

import (
	"fmt"
	"sync"
	"unsafe"

	"elbo/graph/fma"
)

// Sgemm computes C = α op(A) op(B) + β C, where op(A) is [m,k], op(B) [k,n] and C [m,n],
// all row-major with the given leading dimensions; op transposes where its flag says so.
// m, n and k are positive. With s the chain of an element,
//
//	α s                where β is 0, and C is never read,
//	fma(α, s, β C)     elsewhere, β C being rounded.
//
// C shares no memory with A and B.
func Sgemm(transA, transB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int) {
	best.sgemm(transA, transB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
}

// Product computes C = op(A) op(B) + bias, in the way of Sgemm: bias [n] is added to every
// row of C after the chain, nil is for none.
func Product(transA, transB bool, m, n, k int, a []float32, lda int, b []float32, ldb int, bias, c []float32, ldc int) {
	best.multiply(transA, transB, m, n, k, a, lda, b, ldb, bias, c, ldc)
}

// Kernel says what the products run on: "avx512", "avx2", "neon" or "go".
func Kernel() string { return best.name }

// Columns is how many columns of C stand in a vector: shards of columns are best cut at
// multiples of it.
func Columns() int { return best.lanes }

// kernel is a way to compute panels.
type kernel struct {
	name  string
	lanes int    // of a vector
	rows  [4]int // most rows of a tile, by how many vectors it is wide; 0: none is
	whole bool   // vectors of B are read whole, also behind the last column
}

// portable computes without assembly.
var portable = kernel{name: "go", lanes: 8}

func (g *kernel) sgemm(transA, transB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int) {
	if alpha == 1 && beta == 0 {
		g.multiply(transA, transB, m, n, k, a, lda, b, ldb, nil, c, ldc)
		return
	}
	check("C", false, m, n, c, ldc)
	x := buffers.Get().(*buffer)
	defer buffers.Put(x)
	s := grow(&x.c, m*n)
	g.multiply(transA, transB, m, n, k, a, lda, b, ldb, nil, s, n)
	for i := range m {
		row := c[i*ldc:][:n]
		for j, v := range s[i*n:][:n] {
			if beta == 0 {
				row[j] = alpha * v
			} else {
				row[j] = fma.FMA(alpha, v, beta*row[j])
			}
		}
	}
}

func (g *kernel) multiply(transA, transB bool, m, n, k int, a []float32, lda int, b []float32, ldb int, bias, c []float32, ldc int) {
	check("A", transA, m, k, a, lda)
	check("B", transB, k, n, b, ldb)
	check("C", false, m, n, c, ldc)
	if bias != nil {
		bias = bias[:n]
	}
	p := product{m: m, n: n, k: k, a: a, ra: lda, ca: 1, b: b, rb: ldb, cb: 1, bias: bias, c: c, rc: ldc}
	if transA {
		p.ra, p.ca = 1, lda
	}
	if transB {
		p.rb, p.cb = 1, ldb
	}
	x := buffers.Get().(*buffer)
	defer buffers.Put(x)
	if g.rows[2] == 0 {
		p.portable(x)
		return
	}
	p.blocked(g, x)
}

// check panics where assembly would read or write out of bounds: a bug of the caller,
// never a user's input.
func check(name string, trans bool, rows, cols int, x []float32, ld int) {
	if trans {
		rows, cols = cols, rows
	}
	if rows <= 0 || cols <= 0 || ld < cols || len(x) < (rows-1)*ld+cols {
		panic(fmt.Sprintf("gemm: %s is [%d,%d] with leading dimension %d, but has %d elements", name, rows, cols, ld, len(x)))
	}
}

// product is op(A) op(B) + bias, with steps from row to row and from column to column.
type product struct {
	m, n, k int
	a       []float32
	ra, ca  int
	b       []float32
	rb, cb  int
	bias, c []float32
	rc      int
}

// Extents of blocks. A panel of B, depth x 32 or 16, is to stay in the first-level cache or
// near it; a block of A, tall x depth, and one of C, tall x broad, in the second-level one.
const (
	depth = 512
	tall  = 168 // a multiple of the heights of full tiles
	broad = 512
	group = 8 // blocks of k for which B is packed at once
)

// worthPacking is how many tiles have to read a panel of B that could be read where it is
// for it to be packed first. A is read where it is: packing it gained nothing, also where
// its rows lie so that they push each other out of the cache.
const worthPacking = 16

// blocked computes the product with the assembly of g.
func (p *product) blocked(g *kernel, x *buffer) {
	slices := (p.k + depth - 1) / depth
	start := func(slice int) int { return p.k * min(slice, slices) / slices }
	for s := 0; s < slices; s += group {
		for j := 0; j < p.n; j += broad {
			b := blockB{p: p, g: g, x: x, j0: j, j1: min(j+broad, p.n), k0: start(s)}
			for i := 0; i < p.m; i += tall {
				for slice := s; slice < min(s+group, slices); slice++ {
					b.rows(i, min(i+tall, p.m), start(slice), start(slice+1))
				}
			}
		}
	}
}

// blockB is a block of columns of B and C.
type blockB struct {
	p      *product
	g      *kernel
	x      *buffer
	j0, j1 int
	k0     int // the first k for which it is packed
}

// rows adds the terms from k0 to k1 to rows i0 to i1 of the block of C.
func (b *blockB) rows(i0, i1, k0, k1 int) {
	p, g, x := b.p, b.g, b.x
	packB := p.cb != 1 || p.m > worthPacking*g.rows[2] || g.whole && p.n%g.lanes != 0
	several := p.m > tall // blocks of A that read the same panels
	var panels []float32
	if size := b.j1 - b.j0 + g.lanes; several && packB {
		panels = grow(&x.b, size*min(group*depth, p.k))[size*(k0-b.k0):]
	} else if packB {
		panels = grow(&x.b, 3*g.lanes*(k1-k0))
	}
	t := panel{rs: 4 * p.ra, cs: 4 * p.ca, k: k1 - k0, ldc: 4 * p.rc, load: min(k0, 1)}
	for j := b.j0; j < b.j1; j += t.cols {
		t.cols = min(b.j1-j, g.columns(b.j1-j))
		t.b, t.bs = &p.b[k0*p.rb+j*p.cb], 4*p.rb
		if packB {
			to, width := panels, (t.cols+g.lanes-1)/g.lanes*g.lanes
			if several {
				to = panels[(j-b.j0)*(k1-k0):]
			}
			if i0 == 0 || !several {
				p.packB(g, to, width, j, j+t.cols, k0, k1)
			}
			t.b, t.bs = &to[0], 4*width
		}
		t.bias = nil
		if p.bias != nil && k1 == p.k {
			t.bias = &p.bias[j]
		}
		p.tiles(g, &t, i0, i1, j, k0)
	}
}

// columns is how many columns to compute together where so many are left: two vectors,
// and in the end three, if a tile can be as wide, rather than one alone.
func (g *kernel) columns(left int) int {
	if left > 2*g.lanes && left <= 3*g.lanes && g.rows[3] > 0 {
		return 3 * g.lanes
	}
	return 2 * g.lanes
}

// tiles computes rows i0 to i1 of a panel, of an A that is read where it is, in tiles of
// heights that differ by one at most.
func (p *product) tiles(g *kernel, t *panel, i0, i1, j, k0 int) {
	most := g.rows[(t.cols+g.lanes-1)/g.lanes]
	count := (i1 - i0 + most - 1) / most
	height := (i1 - i0) / count
	taller := (i1 - i0) % count
	i := i0
	for _, part := range [2]struct{ height, tiles int }{{height + 1, taller}, {height, count - taller}} {
		if part.tiles > 0 {
			t.a, t.c = &p.a[i*p.ra+k0*p.ca], &p.c[i*p.rc+j]
			t.height, t.tiles = part.height, part.tiles
			g.panel(t)
			i += part.height * part.tiles
		}
	}
}

// packB writes columns j0 to j1 of op(B), for k from k0 to k1, as rows of a panel
// that are so wide. What is behind the last column is not written, nor ever read.
func (p *product) packB(g *kernel, to []float32, width, j0, j1, k0, k1 int) {
	if p.cb == 1 {
		g.copy(to, width, p.b[k0*p.rb+j0:], p.rb, k1-k0, j1-j0)
		return
	}
	transpose(g, to, width, p.b[j0*p.cb+k0:], p.cb, j1-j0, k1-k0)
}

// transpose writes to[j][i] = from[i][j] for so many rows and columns of from.
func transpose(g *kernel, to []float32, ldt int, from []float32, ldf, rows, cols int) {
	r := 0
	for _, lanes := range [2]int{16, 8} {
		if lanes > g.lanes || cols < lanes {
			continue
		}
		for ; r+lanes <= rows; r += lanes {
			block(lanes, to[r:], ldt, from[r*ldf:], ldf, cols/lanes)
			if cols%lanes != 0 { // once more what is there, and the rest
				last := cols - lanes
				block(lanes, to[last*ldt+r:], ldt, from[r*ldf+last:], ldf, 1)
			}
		}
	}
	for ; r < rows; r++ {
		for j, v := range from[r*ldf:][:cols] {
			to[j*ldt+r] = v
		}
	}
}

// buffer is memory for packed blocks.
type buffer struct {
	b, c []float32
	wide []float64
}

var buffers = sync.Pool{New: func() any { return new(buffer) }}

// grow returns n numbers of a buffer's memory, which begins with a line of the cache.
func grow(x *[]float32, n int) []float32 {
	if cap(*x) < n {
		const line = 16
		y := make([]float32, n+line)
		off := int(uintptr(unsafe.Pointer(&y[0]))/4) % line
		*x = y[(line-off)%line:]
	}
	return (*x)[:n]
}
