package graph

import (
	"sync/atomic"

	"elbo/graph/gemm"
)

// bits is an input of the graph as a matrix of bits, where that is what it is: images of
// black and white pixels, most of them black. Products of it are sums of what stands at the
// ones, with the bits of the products, see [gemm.Bits].
type bits struct {
	// found is the operation that looks at the input, in every run: what takes it as an
	// input comes after it. Its value is 1 where the input is of bits, of which few are
	// ones, else 0.
	found Node

	ones       int // how many
	matrix     *gemm.Bits
	transposed *gemm.Bits // nil where nobody wants it
}

// fewOnes is up to which share of ones a product of bits pays. It costs half of one that
// multiplies at about a third.
const fewOnes = 0.25

// leastBits is the least extent of a matrix for which it is looked at.
const leastBits = 16

// bitsOf returns the bits of an input of the graph, [B, D]; nil where x is no input, or too
// small.
func (b *Builder) bitsOf(x Node) *bits {
	if b.err != nil || !b.data[x.node] || x.Rows() < leastBits || x.Cols() < leastBits || !b.engine.BLAS.SameEverywhere() {
		return nil
	}
	if known := b.bits[x.node]; known != nil {
		return known
	}
	rows, cols, e := x.Rows(), x.Cols(), b.engine
	m := &bits{matrix: gemm.NewBits(rows, cols)}
	b.bits[x.node] = m
	m.found = b.apply(op{
		kind: "bits",
		in:   []Node{x},
		out:  []int{1},
		forward: func(y []float32, in [][]float32) {
			ones, ok := e.rowsOfBits(rows, cols, func(lo, hi int) (int, bool) { return m.matrix.Set(in[0], lo, hi) })
			m.ones, y[0] = ones, 0
			if !ok || float64(ones) > fewOnes*float64(rows*cols) {
				return
			}
			y[0] = 1
			if m.transposed != nil {
				e.transposeBits(m.transposed, m.matrix, rows, cols)
			}
		},
	})
	return m
}

// wantTransposed sees to it that the transposed matrix is found as well.
func (m *bits) wantTransposed(rows, cols int) {
	if m.transposed == nil {
		m.transposed = gemm.NewBits(cols, rows)
	}
}

// rowsOfBits calls find for all of so many rows, and adds up the ones that it finds; ok
// is false if it is for any of them.
func (e *Engine) rowsOfBits(rows, cols int, find func(lo, hi int) (ones int, ok bool)) (ones int, ok bool) {
	var sum, bad atomic.Int64
	e.Split(rows, 1+elementGrain/cols, func(lo, hi int) {
		ones, ok := find(lo, hi)
		sum.Add(int64(ones))
		if !ok {
			bad.Add(1)
		}
	})
	return int(sum.Load()), bad.Load() == 0
}

// transposeBits transposes a matrix of so many rows and columns.
func (e *Engine) transposeBits(to, from *gemm.Bits, rows, cols int) {
	e.Split((cols+63)/64, 1+elementGrain/(64*rows), func(lo, hi int) { to.Transpose(from, lo, hi) })
}

// bitsGrain is the least number of elements of X times columns of B that makes a shard of a
// product of bits worth a hand-off: it leaves most of them out.
const bitsGrain = 4 * productGrain

// computeOfBits computes a product whose A is the matrix of bits x, in shards of columns.
func (e *Engine) computeOfBits(p product, x *gemm.Bits) {
	ldb := p.n
	if p.transB {
		ldb = p.k
	}
	e.ofBits(p.m, p.n, p.k, func(lo, hi int) {
		var bias []float32
		if p.bias != nil {
			bias = p.bias[lo:hi]
		}
		if !x.Product(p.transB, hi-lo, p.b[first(!p.transB, lo, ldb):], ldb, bias, false, p.c[lo:], p.n) {
			e.block(&p, 0, p.m, lo, hi)
			return
		}
		p.activate(0, p.m, lo, hi)
	})
}

// computeByBits computes a product Aᵀ B whose B is a matrix of bits, of which x is the
// transposed one, in shards of rows.
func (e *Engine) computeByBits(p product, x *gemm.Bits) {
	e.ofBits(p.n, p.m, p.k, func(lo, hi int) {
		if !x.Product(false, hi-lo, p.a[lo:], p.m, nil, true, p.c[lo*p.n:], p.n) {
			e.block(&p, lo, hi, 0, p.n)
		}
	})
}

// ofBits splits a product of bits [m,k] and a matrix of n columns by those columns.
func (e *Engine) ofBits(m, n, k int, shard func(lo, hi int)) {
	const unit = 8
	e.Split(max(1, n/unit), 1+bitsGrain/(m*k*unit), func(lo, hi int) {
		lo, hi = lo*unit, hi*unit
		if n-hi < unit { // the last one has what is left over
			hi = n
		}
		shard(lo, hi)
	})
}
