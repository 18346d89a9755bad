package gemm

import "math/bits"

// Bits is a matrix of zeros and ones, a bit each: images whose pixels are black or white.
//
// A chain of fused multiply-adds does not change at a zero, and at a one it is an addition:
//
//	fma(0, b, s) = s,  fma(1, b, s) = s + b
//
// for finite b, as s, which begins as +0, is never -0. So a product whose left operand is
// a matrix of bits is a sum of rows of the right one. It has the bits of the product that
// multiplies, and takes a time that grows with the number of ones: of a digit's pixels one
// in eight is white.
type Bits struct {
	rows, cols int
	words      int      // of a row
	bits       []uint64 // row by row
	all        []uint64 // a row of ones
}

// NewBits returns a matrix of zeros.
func NewBits(rows, cols int) *Bits {
	words := (cols + 63) / 64
	m := &Bits{rows: rows, cols: cols, words: words, bits: make([]uint64, rows*words), all: make([]uint64, words)}
	for i := range cols {
		m.all[i/64] |= 1 << (i % 64)
	}
	return m
}

// Set takes over rows lo to hi of the matrix x, row-major and all of it. It returns how many
// ones they have, or false where they have anything but zeros and ones, or this CPU
// multiplies as fast as it would add.
func (m *Bits) Set(x []float32, lo, hi int) (ones int, ok bool) { return m.set(best, x, lo, hi) }

func (m *Bits) set(g *kernel, x []float32, lo, hi int) (ones int, ok bool) {
	if !g.hasOnes() && g != &portable {
		return 0, false
	}
	for r := lo; r < hi; r++ {
		row, words := x[r*m.cols:][:m.cols], m.bits[r*m.words:][:m.words]
		words[m.words-1] = 0
		i := 0
		if g.hasOnes() && m.cols >= 8 {
			i = m.cols / 8 * 8
			if !g.bits(words, row[:i]) {
				return 0, false
			}
		}
		for ; i < m.cols; i++ {
			switch word := &words[i/64]; row[i] {
			case 0:
				*word &^= 1 << (i % 64)
			case 1:
				*word |= 1 << (i % 64)
			default:
				return 0, false
			}
		}
		for _, w := range words {
			ones += bits.OnesCount64(w)
		}
	}
	return ones, true
}

// SetNonzero takes over where rows lo to hi of the matrix x, row-major and all of it, are
// not 0, and returns in how many places. It returns false where a product of it does not pay.
func (m *Bits) SetNonzero(x []float32, lo, hi int) (nonzero int, ok bool) {
	if !best.hasOnes() {
		return 0, false
	}
	for r := lo; r < hi; r++ {
		row, words := x[r*m.cols:][:m.cols], m.bits[r*m.words:][:m.words]
		words[m.words-1] = 0
		i := m.cols / 8 * 8
		if i > 0 {
			best.bits(words, row[:i])
		}
		for ; i < m.cols; i++ {
			words[i/64] &^= 1 << (i % 64)
			if row[i] != 0 {
				words[i/64] |= 1 << (i % 64)
			}
		}
		for _, w := range words {
			nonzero += bits.OnesCount64(w)
		}
	}
	return nonzero, true
}

// Transpose takes over the columns of from as rows, 64 lo to 64 hi of them, or to the last.
func (m *Bits) Transpose(from *Bits, lo, hi int) {
	var block [64]uint64
	for w := lo; w < min(hi, from.words); w++ {
		for v := range m.words {
			for i := range block {
				block[i] = 0
				if r := 64*v + i; r < from.rows {
					block[i] = from.bits[r*from.words+w]
				}
			}
			transposeBits(&block)
			for i := range min(64, m.rows-64*w) {
				m.bits[(64*w+i)*m.words+v] = block[i]
			}
		}
	}
}

// transposeBits swaps the quarters that are off the diagonal, and so on in each quarter.
func transposeBits(x *[64]uint64) {
	mask := uint64(0xffffffff)
	for half := 32; half > 0; half /= 2 {
		for i := 0; i < 64; i = (i + half + 1) &^ half {
			t := (x[i]>>half ^ x[i+half]) & mask
			x[i] ^= t << half
			x[i+half] ^= t
		}
		mask ^= mask << (half / 2)
	}
}

// Product computes C = X op(B) + bias, or Cᵀ where transC is set, in the way of
// [Product]: op(B) has n columns, bias [n] is added after the chain, nil is for none.
//
// It returns false where B has an infinity or a NaN, which times 0 is no 0, or is so large
// that the sum of a column is none: C then is for [Product] to compute.
func (m *Bits) Product(transB bool, n int, b []float32, ldb int, bias []float32, transC bool, c []float32, ldc int) (finite bool) {
	return m.product(best, transB, n, b, ldb, bias, transC, c, ldc)
}

const (
	onesDepth   = 2 // words of X that go with a panel of B in the first-level cache
	onesVectors = 7 // most vectors of such a panel: 64 onesDepth rows of them are 28 KB
)

func (m *Bits) product(g *kernel, transB bool, n int, b []float32, ldb int, bias []float32, transC bool, c []float32, ldc int) (finite bool) {
	check("B", transB, m.cols, n, b, ldb)
	check("C", transC, m.rows, n, c, ldc)
	if bias != nil {
		bias = bias[:n]
	}
	x := buffers.Get().(*buffer)
	defer buffers.Put(x)
	p := bitsProduct{x: m, g: g, transB: transB, n: n, b: b, ldb: ldb, bias: bias, transC: transC, c: c, ldc: ldc}
	if !g.hasOnes() || n < 8 {
		return p.portable(x)
	}
	for i := range panels(n) {
		if j, vectors := panelOf(n, i); !p.panel(x, j, vectors) {
			return false
		}
	}
	return true
}

// panels is how many panels of nearly the same width n columns are cut into, n at least 8.
func panels(n int) int {
	vectors := (n + 7) / 8
	if vectors <= onesVectors && n%8 != 0 {
		return 2
	}
	return (vectors + onesVectors - 1) / onesVectors
}

// panelOf returns where the i-th of them begins, and how many vectors it has. The last one
// begins where all its vectors are full: some columns are computed once more.
func panelOf(n, i int) (first, vectors int) {
	from, to := (n+7)/8*i/panels(n), (n+7)/8*(i+1)/panels(n)
	return min(8*from, n-8*(to-from)), to - from
}

// Weighted computes C = Wᵀ B for a matrix W of weights, [k,m], of which this one says where
// Wᵀ is not 0; B has n columns, at least 8, all of them zeros and ones. What is left out of
// a chain changes nothing: a weight of 0 adds 0, and s is never -0, as it begins as +0 and no
// sum of two numbers is -0 unless both are.
func (m *Bits) Weighted(weights []float32, ldw, n int, b []float32, ldb int, c []float32, ldc int) {
	check("the weights", true, m.rows, m.cols, weights, ldw)
	check("B", false, m.cols, n, b, ldb)
	check("C", false, m.rows, n, c, ldc)
	for i := range panels(n) {
		j, vectors := panelOf(n, i)
		t := ones{step: 8 * m.words, rows: m.rows, bs: 4 * ldb, c: &c[j], ldc: 4 * ldc, vectors: vectors, ws: 4 * ldw}
		for w := 0; w < m.words; w += onesDepth {
			t.bits, t.words, t.load = &m.bits[w], min(onesDepth, m.words-w), min(w, 1)
			t.b, t.weights = &b[64*w*ldb+j], &weights[64*w*ldw]
			best.ones(&t)
		}
	}
}

// bitsProduct is one product.
type bitsProduct struct {
	x      *Bits
	g      *kernel
	transB bool
	n      int
	b      []float32
	ldb    int
	bias   []float32
	transC bool
	c      []float32
	ldc    int
}

// ones is what the assembly works on: some rows of C, all columns of which stand in one
// to eight vectors. Strides are in bytes.
//
//	C[i,j] = (load ? C[i,j] : 0) + Σ_k X[i,k] weights[k,i] B[k,j] + bias[j]
//
// one addition, fused with its multiplication if there is any, after the other, in the
// order of k.
type ones struct {
	bits    *uint64
	step    int // from the words of one row of X to those of the next
	words   int // of a row; positive
	rows    int // positive
	b       *float32
	bs      int // from one k to the next
	c       *float32
	ldc     int
	bias    *float32 // nil for none
	vectors int      // 1 to 8
	load    int      // 0, or 1
	weights *float32 // of the first row and k = 0, those of a row one behind the other; nil: all are 1
	ws      int      // from one k to the next
}

// panel computes so many vectors of columns from j on.
func (p *bitsProduct) panel(x *buffer, j, vectors int) (finite bool) {
	m, g, width := p.x, p.g, 8*vectors
	rows := (m.cols + 63) / 64 * 64 // the assembly computes the address of no other
	packed := grow(&x.b, rows*width)
	p.pack(packed, j, width)
	if !sumsAreFinite(g, m.all, packed, vectors) {
		return false
	}
	var c []float32
	ldc := width
	if p.transC {
		c = grow(&x.c, m.rows*width)
	} else {
		c, ldc = p.c[j:], p.ldc
	}
	t := ones{step: 8 * m.words, rows: m.rows, bs: 4 * width, c: &c[0], ldc: 4 * ldc, vectors: vectors}
	for w := 0; w < m.words; w += onesDepth {
		t.bits, t.words, t.b, t.load = &m.bits[w], min(onesDepth, m.words-w), &packed[64*w*width], min(w, 1)
		if p.bias != nil && w+onesDepth >= m.words {
			t.bias = &p.bias[j]
		}
		g.ones(&t)
	}
	if p.transC {
		transpose(g, p.c[j*p.ldc:], p.ldc, c, width, m.rows, width)
	}
	return true
}

// sumsAreFinite reports whether the sums of all columns of a panel are, and so all that is
// in it. all is a row of ones.
func sumsAreFinite(g *kernel, all []uint64, packed []float32, vectors int) bool {
	var sums [8 * onesVectors]float32
	g.ones(&ones{bits: &all[0], words: len(all), rows: 1, b: &packed[0], bs: 32 * vectors, c: &sums[0], vectors: vectors})
	return finite(sums[:8*vectors])
}

func finite(x []float32) bool {
	for _, v := range x {
		if v-v != 0 {
			return false
		}
	}
	return true
}

// pack writes columns j to j+width of op(B) as rows of so many numbers.
func (p *bitsProduct) pack(to []float32, j, width int) {
	if p.transB {
		transpose(p.g, to, width, p.b[j*p.ldb:], p.ldb, width, p.x.cols)
		return
	}
	for k := range p.x.cols {
		copy(to[k*width:][:width], p.b[k*p.ldb+j:])
	}
}

// portable computes the product without assembly.
func (p *bitsProduct) portable(x *buffer) (allFinite bool) {
	m := p.x
	b := p.b
	ldb := p.ldb
	if p.transB {
		b, ldb = grow(&x.b, m.cols*p.n), p.n
		for j := range p.n {
			for k := range m.cols {
				b[k*ldb+j] = p.b[j*p.ldb+k]
			}
		}
	}
	for k := range m.cols {
		if !finite(b[k*ldb:][:p.n]) {
			return false
		}
	}
	sum := grow(&x.c, p.n)
	for i := range m.rows {
		clear(sum)
		for w, word := range m.bits[i*m.words:][:m.words] {
			for ; word != 0; word &= word - 1 {
				k := 64*w + bits.TrailingZeros64(word)
				for j, v := range b[k*ldb:][:p.n] {
					sum[j] += v
				}
			}
		}
		for j, v := range sum {
			if p.bias != nil {
				v += p.bias[j]
			}
			if p.transC {
				p.c[j*p.ldc+i] = v
			} else {
				p.c[i*p.ldc+j] = v
			}
		}
	}
	return true
}
