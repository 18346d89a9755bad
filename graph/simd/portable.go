package simd

import (
	"math"

	"elbo/graph/fma"
)

// The same functions, one number at a time: operation for operation what the assembly
// does, so that they have its bits. Products are converted to float32 before they are
// added to anything, which keeps compilers from fusing the two.

// The constants of avx2_amd64.s.
const (
	leastExponent = -87 // the least argument whose exponential is not taken for 0: below lie subnormal numbers
	mostExponent  = 88  // the largest whose exponential is not taken for +∞
)

var (
	log2e = math.Float32frombits(0x3fb8aa3b)
	ln2hi = math.Float32frombits(0x3f318000)
	ln2lo = math.Float32frombits(0xb95e8083)
	c     = floats(0x3efffffe, 0x3e2aaa48, 0x3d2aac7e, 0x3c091dcd, 0x3ab510ae)             // (exp r - 1 - r)/r²
	a     = floats(0x3eaaaaab, 0x3e4ccccd, 0x3e124925, 0x3de38e39, 0x3dba2e8c, 0x3d9d89d9) // (log(1+u)/2s - 1)/s²
)

func floats(bits ...uint32) (x [6]float32) {
	for i, b := range bits {
		x[i] = math.Float32frombits(b)
	}
	return x
}

// reduce returns p = exp(r) - 1 and s = 2ⁿ for t = n ln 2 + r, as REDUCE does.
func reduce(t float32) (p, s float32) {
	if t != t {
		return t, 1
	}
	n := math.RoundToEven(float64(t * log2e))
	q := float32(n)
	r := fma.FMA(-ln2hi, q, t)
	r = fma.FMA(-ln2lo, q, r)
	p = c[4]
	for i := 3; i >= 0; i-- {
		p = fma.FMA(r, p, c[i])
	}
	p = fma.FMA(r*r, p, r)
	return p, math.Float32frombits(uint32(int32(n)<<23) + 0x3f800000)
}

// greater is the larger of two numbers, the second where they are equal or one is NaN, as
// the instruction has it; less is its twin.
func greater(x, y float32) float32 {
	if x > y {
		return x
	}
	return y
}

func less(x, y float32) float32 {
	if x < y {
		return x
	}
	return y
}

func abs(x float32) float32 { return math.Float32frombits(math.Float32bits(x) &^ (1 << 31)) }

func expGo(x []float32) {
	for i, v := range x {
		x[i] = exp(v)
		if v > mostExponent {
			x[i] = float32(math.Inf(1))
		}
	}
}

// exp is e^v, 0 below leastExponent, and that of mostExponent above it.
func exp(v float32) float32 {
	if v < leastExponent {
		return 0
	}
	p, s := reduce(less(mostExponent, v))
	return fma.FMA(s, p, s)
}

func expm1Go(x []float32) {
	for i, v := range x {
		p, s := reduce(less(mostExponent, greater(leastExponent, v)))
		x[i] = fma.FMA(s, p, s-1)
		if v > mostExponent {
			x[i] = float32(math.Inf(1))
		}
	}
}

func expSumGo(q, a []float32, top float32) float64 {
	var sums [16]float64
	for i, v := range a {
		q[i] = exp(v - top)
		sums[i%16] += float64(q[i])
	}
	return tree(sums, func(x, y float64) float64 { return x + y })
}

// tree joins sixteen numbers in the order in which registers are folded.
func tree(x [16]float64, join func(x, y float64) float64) float64 {
	for n := 8; n > 0; n /= 2 {
		for i := range n {
			x[i] = join(x[i], x[i+n])
		}
	}
	return x[0]
}

func tanhGo(x []float32) {
	for i, v := range x {
		t := abs(v)
		p, s := reduce(less(20, t+t))
		u := fma.FMA(s, p, s-1)
		x[i] = math.Float32frombits(math.Float32bits(u/(u+2)) | math.Float32bits(v)&(1<<31))
	}
}

func bernoulliGo(residual, x, l []float32) (sum, product float64) {
	var linear, positive, terms [16]float32
	for j := range terms {
		terms[j] = 1
	}
	for j, v := range l {
		p, s := reduce(greater(leastExponent, -abs(v)))
		e := fma.FMA(s, p, s)
		lane := j % 16
		linear[lane] = fma.FMA(x[j], v, linear[lane])
		positive[lane] += greater(v, 0)
		terms[lane] *= 1 + e
		if residual != nil {
			numerator := float32(1)
			if math.Signbit(float64(v)) {
				numerator = e
			}
			residual[j] = x[j] - numerator/(1+e)
		}
	}
	var sums, products [16]float64
	for j := range sums {
		sums[j], products[j] = float64(linear[j]-positive[j]), float64(terms[j])
	}
	return tree(sums, func(x, y float64) float64 { return x + y }), tree(products, func(x, y float64) float64 { return x * y })
}

func dotGo(x, y []float32) float32 {
	var sums [32]float32
	for i, v := range x {
		sums[i%32] = fma.FMA(v, y[i], sums[i%32])
	}
	for n := 16; n > 0; n /= 2 {
		for i := range n {
			sums[i] += sums[i+n]
		}
	}
	return sums[0]
}

func reluGo(x []float32) {
	for i, v := range x {
		x[i] = max(v, 0)
	}
}

func eluGo(x []float32) {
	for i, v := range x {
		p, s := reduce(greater(leastExponent, less(0, v)))
		x[i] = fma.FMA(s, p, s-1) + greater(0, v)
	}
}

func softplusGo(x []float32) {
	for i, v := range x {
		p, s := reduce(greater(leastExponent, -abs(v)))
		u := fma.FMA(s, p, s)
		u /= u + 2
		z := float32(u * u)
		w := a[5]
		for i := 4; i >= 0; i-- {
			w = fma.FMA(z, w, a[i])
		}
		w = fma.FMA(z, w, 1)
		x[i] = fma.FMA(u+u, w, greater(0, v))
	}
}

func reluChainGo(da, y, dy []float32) {
	for i := range da {
		da[i] = 0
		if y[i] > 0 {
			da[i] = dy[i]
		}
	}
}

func tanhChainGo(da, y, dy []float32) {
	for i := range da {
		da[i] = dy[i] * fma.FMA(-y[i], y[i], 1)
	}
}

func adamGo(theta, g, m, v []float32, d1, d2, rate, epsilon float32) {
	g, m, v = g[:len(theta)], m[:len(theta)], v[:len(theta)]
	for j := range theta {
		m[j] += float32(d1 * (g[j] - m[j]))
		v[j] += float32(d2 * (float32(g[j]*g[j]) - v[j]))
		theta[j] -= rate * m[j] / (float32(math.Sqrt(float64(v[j]))) + epsilon)
	}
}
