package gemm

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"elbo/graph/fma"
)

// problem is a product and all that it may touch.
type problem struct {
	transA, transB bool
	m, n, k        int
	alpha, beta    float32
	lda, ldb, ldc  int
	a, b, c        []float32
}

func newProblem(rng *rand.Rand, m, n, k int, transA, transB bool, alpha, beta float32, pad int) *problem {
	p := &problem{transA: transA, transB: transB, m: m, n: n, k: k, alpha: alpha, beta: beta}
	matrix := func(rows, cols int) ([]float32, int) {
		x := make([]float32, (rows-1)*(cols+pad)+cols) // not one more than there must be
		for i := range x {
			x[i] = rng.Float32()*2 - 1
		}
		return x, cols + pad
	}
	shape := func(trans bool, rows, cols int) ([]float32, int) {
		if trans {
			rows, cols = cols, rows
		}
		return matrix(rows, cols)
	}
	p.a, p.lda = shape(transA, m, k)
	p.b, p.ldb = shape(transB, k, n)
	p.c, p.ldc = matrix(m, n)
	return p
}

func (p *problem) String() string {
	return fmt.Sprintf("[%d,%d]·[%d,%d], transposed %v %v, α %g, β %g, leading %d %d %d", p.m, p.k, p.k, p.n, p.transA, p.transB, p.alpha, p.beta, p.lda, p.ldb, p.ldc)
}

// by computes the product and returns C.
func (p *problem) by(g *kernel) []float32 {
	c := append([]float32(nil), p.c...)
	g.sgemm(p.transA, p.transB, p.m, p.n, p.k, p.alpha, p.a, p.lda, p.b, p.ldb, p.beta, c, p.ldc)
	return c
}

func (p *problem) at(x []float32, ld int, trans bool, i, j int) float32 {
	if trans {
		i, j = j, i
	}
	return x[i*ld+j]
}

// chain is the element of the contract.
func (p *problem) chain(i, j int) float32 {
	s := float32(0)
	for k := range p.k {
		s = fma.FMA(p.at(p.a, p.lda, p.transA, i, k), p.at(p.b, p.ldb, p.transB, k, j), s)
	}
	switch c := p.c[i*p.ldc+j]; {
	case p.beta != 0:
		return fma.FMA(p.alpha, s, p.beta*c)
	case p.alpha != 1:
		return p.alpha * s
	}
	return s
}

// exact is the element and a bound of its error: k roundings of the chain, of partial sums
// that are at most Σ|a b|, and two more.
func (p *problem) exact(i, j int) (value, bound float64) {
	var sum, size float64
	for k := range p.k {
		v := float64(p.at(p.a, p.lda, p.transA, i, k)) * float64(p.at(p.b, p.ldb, p.transB, k, j))
		sum, size = sum+v, size+math.Abs(v)
	}
	c := float64(p.beta) * float64(p.c[i*p.ldc+j])
	alpha := float64(p.alpha)
	return alpha*sum + c, 0x1p-24 * 1.01 * (float64(p.k+1)*math.Abs(alpha)*size + 2*math.Abs(c))
}

// same says where two matrices differ: by their bits, but all NaN are one.
func same(got, want []float32) string {
	for i, w := range want {
		if g := got[i]; math.Float32bits(g) != math.Float32bits(w) && (g == g || w == w) {
			return fmt.Sprintf("element %d is %x, want %x", i, g, w)
		}
	}
	return ""
}

// shapes are small ones, each extent up to 70, and such as are cut into blocks.
func shapes(rng *rand.Rand) [][3]int {
	var list [][3]int
	for n := 1; n <= 70; n++ {
		list = append(list,
			[3]int{n, 1 + rng.IntN(70), 1 + rng.IntN(70)},
			[3]int{1 + rng.IntN(70), n, 1 + rng.IntN(70)},
			[3]int{1 + rng.IntN(70), 1 + rng.IntN(70), n})
	}
	return append(list, [][3]int{
		{1, 1, 1}, {128, 400, 20}, {20, 100, 784}, {57, 33, depth}, {15, 40, depth + 1}, {61, 35, 2*depth + 7},
		{35, broad + 40, 2*depth + 7}, {tall + 70, 70, (group+1)*depth - 7}, {9, 40, group*depth + 100}, {tall, 48, 9}, {tall + 1, 37, 17}, {2*tall + 5, 33, depth + 3}, {30, 800, 21}, {40, 770, depth + 5}, {3, broad + 40, 5}, {tall + 30, 790, 30},
	}...)
}

// TestEveryKernelIsTheChain: equal bits of all kernels, of every shape, and what the
// contract says; near the exact product within the bound of rounding; nothing else is
// written.
func TestEveryKernelIsTheChain(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for number, s := range shapes(rng) {
		for flags := range 4 {
			alpha, beta, pad := float32(1), float32(0), 0
			switch (number + flags) % 4 {
			case 1:
				pad = 3
			case 2:
				alpha, beta = -0.7, 1.3
			case 3:
				alpha, pad = 0.3, 1
			}
			p := newProblem(rng, s[0], s[1], s[2], flags&1 != 0, flags&2 != 0, alpha, beta, pad)
			if beta == 0 { // C must not be read
				for i := range p.m {
					for j := range p.n {
						p.c[i*p.ldc+j] = float32(math.NaN())
					}
				}
			}
			want := p.by(&portable)
			for i, v := range p.c {
				if i%p.ldc >= p.n && want[i] != v {
					t.Fatalf("%v: the padding after row %d is written to", p, i/p.ldc)
				}
			}
			for range 20 {
				i, j := rng.IntN(p.m), rng.IntN(p.n)
				got := want[i*p.ldc+j]
				if chain := p.chain(i, j); got != chain {
					t.Fatalf("%v: element %d, %d is %x, the chain is %x", p, i, j, got, chain)
				}
				if beta == 0 {
					p.c[i*p.ldc+j] = 0
				}
				if exact, bound := p.exact(i, j); !(math.Abs(float64(got)-exact) <= bound) {
					t.Fatalf("%v: element %d, %d is %g, want %g ± %g", p, i, j, got, exact, bound)
				}
			}
			for _, g := range kernels() {
				if difference := same(p.by(g), want); difference != "" {
					t.Fatalf("%s, %v: %s", g.name, p, difference)
				}
			}
		}
	}
}

// TestWhatIsNoNumberGoesWhereItBelongs: NaN and infinities reach the elements of their row
// and column and no others, in every kernel, also past zeros.
func TestWhatIsNoNumberGoesWhereItBelongs(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 60 {
		p := newProblem(rng, 1+rng.IntN(40), 1+rng.IntN(70), 1+rng.IntN(40), rng.IntN(2) == 0, rng.IntN(2) == 0, 1, 0, rng.IntN(3))
		special := []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)), 0, 0, float32(math.Copysign(0, -1)), math.MaxFloat32, math.SmallestNonzeroFloat32}
		for range 1 + rng.IntN(4) {
			p.a[rng.IntN(len(p.a))] = special[rng.IntN(len(special))]
			p.b[rng.IntN(len(p.b))] = special[rng.IntN(len(special))]
		}
		want := append([]float32(nil), p.c...)
		for i := range p.m {
			for j := range p.n {
				want[i*p.ldc+j] = p.chain(i, j)
			}
		}
		for _, g := range kernels() {
			if difference := same(p.by(g), want); difference != "" {
				t.Fatalf("%s, %v: %s", g.name, p, difference)
			}
		}
	}
}

// TestShardsHaveTheBitsOfTheWhole: C cut anywhere, by rows and by columns, with a bias.
func TestShardsHaveTheBitsOfTheWhole(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	for range 100 {
		p := newProblem(rng, 1+rng.IntN(90), 1+rng.IntN(90), 1+rng.IntN(500), rng.IntN(2) == 0, rng.IntN(2) == 0, 1, 0, rng.IntN(3))
		bias := make([]float32, p.n)
		for j := range bias {
			bias[j] = rng.Float32()
		}
		want := append([]float32(nil), p.c...)
		for i := range p.m {
			for j := range p.n {
				want[i*p.ldc+j] = p.chain(i, j) + bias[j]
			}
		}
		i, j := rng.IntN(p.m), rng.IntN(p.n)
		for _, g := range kernels() {
			c := append([]float32(nil), p.c...)
			for _, rows := range [][2]int{{0, i}, {i, p.m}} {
				for _, cols := range [][2]int{{0, j}, {j, p.n}} {
					if rows[0] == rows[1] || cols[0] == cols[1] {
						continue
					}
					a, b := rows[0]*p.lda, cols[0]
					if p.transA {
						a = rows[0]
					}
					if p.transB {
						b = cols[0] * p.ldb
					}
					g.multiply(p.transA, p.transB, rows[1]-rows[0], cols[1]-cols[0], p.k, p.a[a:], p.lda, p.b[b:], p.ldb, bias[cols[0]:cols[1]], c[rows[0]*p.ldc+cols[0]:], p.ldc)
				}
			}
			if difference := same(c, want); difference != "" {
				t.Fatalf("%s, %v, cut at %d, %d: %s", g.name, p, i, j, difference)
			}
		}
	}
}

// FuzzProduct compares the kernels on extents, transpositions and values that the fuzzer
// chooses.
func FuzzProduct(f *testing.F) {
	f.Add(uint16(20), uint16(33), uint16(50), byte(1), uint64(7))
	f.Add(uint16(340), uint16(20), uint16(400), byte(6), uint64(8))
	f.Fuzz(func(t *testing.T, m, n, k uint16, flags byte, seed uint64) {
		rng := rand.New(rand.NewPCG(seed, 1))
		beta := float32(flags >> 2 & 1)
		p := newProblem(rng, 1+int(m%400), 1+int(n%100), 1+int(k%500), flags&1 != 0, flags&2 != 0, 1, beta, int(flags>>3&3))
		for _, x := range [][]float32{p.a, p.b} { // any bits here and there
			for range rng.IntN(3) {
				x[rng.IntN(len(x))] = math.Float32frombits(rng.Uint32())
			}
		}
		want := p.by(&portable)
		for _, g := range kernels() {
			if difference := same(p.by(g), want); difference != "" {
				t.Fatalf("%s, %v: %s", g.name, p, difference)
			}
		}
	})
}

// TestNothingIsAllocated: a product a call, once its buffers have grown.
func TestNothingIsAllocated(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	for _, g := range kernels() {
		p := newProblem(rng, 20, 50, 60, false, true, 1, 0, 0)
		c := p.c
		if n := testing.AllocsPerRun(20, func() {
			g.multiply(p.transA, p.transB, p.m, p.n, p.k, p.a, p.lda, p.b, p.ldb, nil, c, p.ldc)
		}); n >= 1 { // under the race detector a pool forgets at random
			t.Errorf("%s: %g allocations", g.name, n)
		}
	}
}

// TestShortSlicesNeverReachTheAssembly: they are bugs of the caller.
func TestShortSlicesNeverReachTheAssembly(t *testing.T) {
	for name, lengths := range map[string][3]int{"A": {15, 16, 16}, "B": {16, 15, 16}, "C": {16, 16, 15}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s is shorter than its shape, and was taken", name)
				}
			}()
			Sgemm(false, false, 4, 4, 4, 1, make([]float32, lengths[0]), 4, make([]float32, lengths[1]), 4, 0, make([]float32, lengths[2]), 4)
		}()
	}
}
