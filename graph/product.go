package graph

// product is C = f(op(A) op(B) + bias), op(A) [m,k], op(B) [k,n], C [m,n], all row-major
// without padding; bias is [n], or nil for none.
type product struct {
	transA, transB bool
	m, n, k        int
	a, b, bias     []float32
	f              Activation
	c              []float32
}

// productGrain is the least number of multiplications that makes a shard of a
// matrix product worth a hand-off: one to three microseconds of work.
const productGrain = 1 << 17

// compute computes a product, as shards of rows or of columns of C, whichever there are
// more of. A shard does all of its part while it is in the cache.
func (e *Engine) compute(p product) {
	if p.m >= p.n {
		e.Split(p.m, 1+productGrain/(p.n*p.k), func(lo, hi int) { e.block(&p, lo, hi, 0, p.n) })
		return
	}
	unit := e.BLAS.Columns()
	e.Split((p.n+unit-1)/unit, 1+productGrain/(p.m*p.k*unit), func(lo, hi int) { e.block(&p, 0, p.m, lo*unit, min(hi*unit, p.n)) })
}

// product computes C = op(A) op(B).
func (e *Engine) product(transA, transB bool, m, n, k int, a, b, c []float32) {
	e.compute(product{transA: transA, transB: transB, m: m, n: n, k: k, a: a, b: b, c: c})
}

// layer computes C = f(op(A) op(B) + bias).
func (e *Engine) layer(transA, transB bool, m, n, k int, a, b, bias []float32, f Activation, c []float32) {
	e.compute(product{transA: transA, transB: transB, m: m, n: n, k: k, a: a, b: b, bias: bias, f: f, c: c})
}

// block computes some rows and columns of C.
func (e *Engine) block(p *product, rowLo, rowHi, colLo, colHi int) {
	lda, ldb := p.k, p.n
	if p.transA {
		lda = p.m
	}
	if p.transB {
		ldb = p.k
	}
	var bias []float32
	if p.bias != nil {
		bias = p.bias[colLo:colHi]
	}
	e.BLAS.Layer(p.transA, p.transB, rowHi-rowLo, colHi-colLo, p.k,
		p.a[first(p.transA, rowLo, lda):], lda, p.b[first(!p.transB, colLo, ldb):], ldb, bias, p.c[rowLo*p.n+colLo:], p.n)
	p.activate(rowLo, rowHi, colLo, colHi)
}

// activate applies f to some rows and columns of C.
func (p *product) activate(rowLo, rowHi, colLo, colHi int) {
	if p.f == "" || p.f == Identity {
		return
	}
	for r := rowLo; r < rowHi; r++ {
		p.f.apply(p.c[r*p.n+colLo : r*p.n+colHi])
	}
}

// first is where line i of a matrix begins: a row, or a column where it is transposed.
func first(trans bool, i, ld int) int {
	if trans {
		return i
	}
	return i * ld
}
