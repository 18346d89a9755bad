package gemm

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// ofBits is the best kernel that has products of bits: others would rather multiply.
func ofBits() *kernel {
	if best.hasOnes() {
		return best
	}
	return &portable
}

// randomBits is a matrix of zeros and ones, both ways, of which a share are ones.
func randomBits(rng *rand.Rand, rows, cols int, share float64) ([]float32, *Bits) {
	x := make([]float32, rows*cols)
	for i := range x {
		if rng.Float64() < share {
			x[i] = 1
		}
	}
	m := NewBits(rows, cols)
	for i := range m.bits {
		m.bits[i] = rng.Uint64() // what was there before
	}
	if _, ok := m.set(ofBits(), x, 0, rows); !ok {
		panic("zeros and ones are no bits")
	}
	return x, m
}

// TestAProductOfBitsIsTheChain: with its bits, of every kernel, every shape and transposition,
// and nothing else is written.
func TestAProductOfBitsIsTheChain(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	for number, s := range append(shapes(rng), [3]int{64, 64, 64}, [3]int{65, 8, 129}, [3]int{200, 113, 1000}) {
		rows, n, k := s[0], s[1], s[2]
		transB, transC := number&1 != 0, number&2 != 0
		x, m := randomBits(rng, rows, k, rng.Float64())
		p := newProblem(rng, rows, n, k, false, transB, 1, 0, number%3)
		p.a, p.lda = x, k
		var bias []float32
		if number%5 != 0 {
			bias = make([]float32, n)
			for j := range bias {
				bias[j] = rng.Float32() - 0.5
			}
		}
		product := make([]float32, rows*n)
		portable.multiply(false, transB, rows, n, k, x, k, p.b, p.ldb, bias, product, n)
		ldc := n + number%4
		if transC {
			ldc = rows + number%4
		}
		want := make([]float32, (map[bool]int{true: n, false: rows}[transC]-1)*ldc+map[bool]int{true: rows, false: n}[transC])
		for i := range want {
			want[i] = -7
		}
		got := append([]float32(nil), want...)
		for i := range rows {
			for j := range n {
				if transC {
					want[j*ldc+i] = product[i*n+j]
				} else {
					want[i*ldc+j] = product[i*n+j]
				}
			}
		}
		for _, g := range kernels() {
			c := append([]float32(nil), got...)
			if !m.product(g, transB, n, p.b, p.ldb, bias, transC, c, ldc) {
				t.Fatalf("%s: finite numbers are taken for others", g.name)
			}
			if difference := same(c, want); difference != "" {
				t.Fatalf("%s, [%d,%d]·[%d,%d], transposed %v, %v: %s", g.name, rows, k, k, n, transB, transC, difference)
			}
		}
	}
}

// TestTransposedBits: the element at i, j is that at j, i.
func TestTransposedBits(t *testing.T) {
	rng := rand.New(rand.NewPCG(13, 14))
	for range 50 {
		rows, cols := 1+rng.IntN(200), 1+rng.IntN(200)
		x, m := randomBits(rng, rows, cols, 0.3)
		y := make([]float32, len(x))
		for i := range rows {
			for j := range cols {
				y[j*rows+i] = x[i*cols+j]
			}
		}
		want, got := NewBits(cols, rows), NewBits(cols, rows)
		want.set(ofBits(), y, 0, cols)
		cut := rng.IntN(m.words + 1)
		got.Transpose(m, 0, cut)
		got.Transpose(m, cut, m.words)
		if fmt.Sprint(got.bits) != fmt.Sprint(want.bits) {
			t.Fatalf("[%d,%d] is transposed to other bits", rows, cols)
		}
	}
}

// TestWeightedBitsAreTheChain: a table most of which is 0, times bits, has the bits of the product.
func TestWeightedBitsAreTheChain(t *testing.T) {
	rng := rand.New(rand.NewPCG(19, 20))
	for _, s := range shapes(rng) {
		k, rows, n := s[2], s[0], s[1]+7
		x, _ := randomBits(rng, k, n, rng.Float64())
		w := make([]float32, k*rows)
		for i := range w {
			switch rng.IntN(5) {
			case 0:
				w[i] = rng.Float32() - 0.5
			case 1:
				w[i] = float32(math.Copysign(0, -1))
			}
		}
		if rng.IntN(10) == 0 {
			w[rng.IntN(len(w))] = float32(math.Inf(1))
		}
		nonzero, m := NewBits(k, rows), NewBits(rows, k)
		if _, ok := nonzero.SetNonzero(w, 0, k); !ok {
			t.Skip("there is no assembly for it")
		}
		m.Transpose(nonzero, 0, nonzero.words)
		want, got := make([]float32, rows*n), make([]float32, rows*n)
		portable.multiply(true, false, rows, n, k, w, rows, x, n, nil, want, n)
		m.Weighted(w, rows, n, x, n, got, n)
		if difference := same(got, want); difference != "" {
			t.Fatalf("[%d,%d]ᵀ·[%d,%d]: %s", k, rows, k, n, difference)
		}
	}
}

// TestBitsAreZerosAndOnes: any other number, wherever it stands, is found, and ones are counted.
func TestBitsAreZerosAndOnes(t *testing.T) {
	rng := rand.New(rand.NewPCG(15, 16))
	for _, cols := range []int{1, 7, 8, 9, 64, 71, 100} {
		x, m := randomBits(rng, 3, cols, 0.5)
		want := 0
		for _, v := range x {
			want += int(v)
		}
		if ones, _ := m.set(ofBits(), x, 0, 3); ones != want {
			t.Errorf("%d ones are counted as %d", want, ones)
		}
		for i := range x {
			for _, other := range []float32{0.5, -1, 2, math.SmallestNonzeroFloat32, float32(math.NaN()), float32(math.Inf(1)), math.Nextafter32(1, 0)} {
				before := x[i]
				x[i] = other
				for _, g := range kernels() {
					if _, ok := m.set(g, x, 0, 3); ok {
						t.Errorf("%s: %g at %d of %d is taken for a bit", g.name, other, i, cols)
					}
				}
				x[i] = before
			}
		}
	}
}

// TestBitsDoNotHideWhatIsNoNumber: 0 times an infinity is NaN, and has to be found.
func TestBitsDoNotHideWhatIsNoNumber(t *testing.T) {
	rng := rand.New(rand.NewPCG(17, 18))
	for range 50 {
		rows, n, k := 1+rng.IntN(30), 1+rng.IntN(130), 1+rng.IntN(300)
		_, m := randomBits(rng, rows, k, 0.1)
		p := newProblem(rng, rows, n, k, false, rng.IntN(2) == 0, 1, 0, 0)
		p.b[rng.IntN(len(p.b))] = []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))}[rng.IntN(3)]
		for _, g := range kernels() {
			if m.product(g, p.transB, n, p.b, p.ldb, nil, false, p.c, n) {
				t.Errorf("%s: [%d,%d]·[%d,%d]: what is no number is not found", g.name, rows, k, k, n)
			}
		}
	}
}
