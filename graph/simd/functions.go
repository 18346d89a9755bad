package simd

import (
	"math"

	"elbo/graph/elementary"
)

// Exp replaces x by exp x: 0 where x is below -87, +∞ where it is above 88.
func Exp(x []float32) { inPlace(exponential, x) }

// Expm1 replaces x by exp(x) - 1, with all digits near 0, +∞ where x is above 88.
func Expm1(x []float32) { inPlace(exponentialLess1, x) }

// Tanh replaces x by tanh x.
func Tanh(x []float32) { inPlace(tangent, x) }

// ReLU replaces x by max(x, 0).
func ReLU(x []float32) { inPlace(relu, x) }

// ELU replaces x by exp(x) - 1 where it is negative.
func ELU(x []float32) { inPlace(elu, x) }

// Softplus replaces x by log(1 + exp x).
func Softplus(x []float32) { inPlace(softplus, x) }

// function is a function of one argument.
type function int

const (
	exponential function = iota
	exponentialLess1
	tangent
	relu
	elu
	softplus
)

// inPlace applies f to all elements.
func inPlace(f function, x []float32) {
	if lanes == 1 {
		f.plain(x)
		return
	}
	if n := whole(len(x), 16); lanes == 16 && f == tangent && n > 0 {
		tanhAVX512(&x[0], n)
		x = x[n:]
	}
	n := whole(len(x), 8)
	if n > 0 {
		f.vector(&x[0], n)
	}
	if n < len(x) {
		var pad [8]float32
		copy(pad[:], x[n:])
		f.vector(&pad[0], 8)
		copy(x[n:], pad[:])
	}
}

// vector calls by name: a pad that went through a variable of function type would be
// allocated.
func (f function) vector(x *float32, n int) {
	switch f {
	case exponential:
		expAVX2(x, n)
	case exponentialLess1:
		expm1AVX2(x, n)
	case tangent:
		tanhAVX2(x, n)
	case relu:
		reluAVX2(x, n)
	case elu:
		eluAVX2(x, n)
	case softplus:
		softplusAVX2(x, n)
	}
}

func (f function) plain(x []float32) {
	switch f {
	case exponential:
		expGo(x)
	case exponentialLess1:
		expm1Go(x)
	case tangent:
		tanhGo(x)
	case relu:
		reluGo(x)
	case elu:
		eluGo(x)
	case softplus:
		softplusGo(x)
	}
}

// ExpSum writes q = exp(a - top), as Exp does, and returns Σ q, summed in float64. No a
// is above top by more than 88. The slices are of one length.
func ExpSum(q, a []float32, top float32) float64 {
	q = q[:len(a)]
	sum, n := 0.0, whole(len(a), 16)
	if n > 0 {
		sum = expSum(q[:n], a[:n], top)
	}
	if n < len(a) {
		var pad [16]float32
		fill(&pad, float32(math.Inf(-1)), a[n:])
		sum += expSum(pad[:], pad[:], top)
		copy(q[n:], pad[:])
	}
	return sum
}

// expSum is ExpSum of a positive multiple of 16 numbers: each of sixteen lanes sums its
// own, and then the lanes fold in halves.
func expSum(q, a []float32, top float32) float64 {
	switch lanes {
	case 16:
		return expSumAVX512(&q[0], &a[0], top, len(a))
	case 8:
		return expSumAVX2(&q[0], &a[0], top, len(a))
	}
	return expSumGo(q, a, top)
}

// Dot returns Σ x y in float32. The slices are of one length.
func Dot(x, y []float32) float32 {
	y = y[:len(x)]
	sum, n := float32(0), whole(len(x), 32)
	if n > 0 {
		sum = dot(x[:n], y[:n])
	}
	if n < len(x) {
		var padX, padY [32]float32
		copy(padX[:], x[n:])
		copy(padY[:], y[n:])
		sum += dot(padX[:], padY[:])
	}
	return sum
}

// dot is Dot of a positive multiple of 32 numbers: each of 32 lanes sums its own, fused,
// and then the lanes fold in halves.
func dot(x, y []float32) float32 {
	switch lanes {
	case 16:
		return dotAVX512(&x[0], &y[0], len(x))
	case 8:
		return dotAVX2(&x[0], &y[0], len(x))
	}
	return dotGo(x, y)
}

// Bernoulli returns the log-likelihood of pixels x with logits l,
//
//	Σ x l - log(1 + exp l)
//
// in nats, and leaves its derivative with respect to l in residual, x - σ(l), unless that
// is nil. It is stable for all finite logits; the logarithm is taken of products of up
// to 512 terms. The slices are of one length.
func Bernoulli(residual, x, l []float32) float64 {
	sum, x := 0.0, x[:len(l)]
	for i := 0; i < len(l); i += block {
		j := min(i+block, len(l))
		var part []float32
		if residual != nil {
			part = residual[i:j]
		}
		linear, product := bernoulli(part, x[i:j], l[i:j])
		sum += linear - elementary.Log(product)
	}
	return sum
}

// bernoulli returns Σ x l - max(l, 0) and Π 1 + exp(-|l|) of up to a block of pixels.
func bernoulli(residual, x, l []float32) (sum, product float64) {
	product = 1
	n := whole(len(l), 16)
	if n > 0 {
		sum, product = bernoulliWhole(residual, x[:n], l[:n])
		residual, x, l = from(residual, n), x[n:], l[n:]
	}
	if len(l) > 0 {
		// A logit of -∞ would be 0 · ∞; at -1000 a black pixel costs nothing.
		var padX, padL [16]float32
		fill(&padX, 0, x)
		fill(&padL, -1000, l)
		s, p := bernoulliWhole(padX[:], padX[:], padL[:])
		if residual != nil {
			copy(residual, padX[:])
		}
		sum, product = sum+s, product*p
	}
	return sum, product
}

// bernoulliWhole is bernoulli of a positive multiple of 16 pixels: each of sixteen lanes
// has sums and a product of its own, and then the lanes fold in halves, in float64.
func bernoulliWhole(residual, x, l []float32) (sum, product float64) {
	switch lanes {
	case 16:
		return bernoulliAVX512(first(residual), &x[0], &l[0], len(l))
	case 8:
		return bernoulliAVX2(first(residual), &x[0], &l[0], len(l))
	}
	return bernoulliGo(residual, x, l)
}

// first is where a slice begins, nil for none.
func first(x []float32) *float32 {
	if len(x) == 0 {
		return nil
	}
	return &x[0]
}

// from is x[n:], nil for none.
func from(x []float32, n int) []float32 {
	if x == nil {
		return nil
	}
	return x[n:]
}

// ReLUChain writes da = dy where y > 0, else 0. The slices are of one length.
func ReLUChain(da, y, dy []float32) {
	y, dy = y[:len(da)], dy[:len(da)]
	n := 0
	if lanes > 1 && len(da) >= 8 {
		n = whole(len(da), 8)
		reluChainAVX2(&da[0], &y[0], &dy[0], n)
	}
	reluChainGo(da[n:], y[n:], dy[n:])
}

// TanhChain writes da = dy (1 - y²). The slices are of one length.
func TanhChain(da, y, dy []float32) {
	y, dy = y[:len(da)], dy[:len(da)]
	n := 0
	if lanes > 1 && len(da) >= 8 {
		n = whole(len(da), 8)
		tanhChainAVX2(&da[0], &y[0], &dy[0], n)
	}
	tanhChainGo(da[n:], y[n:], dy[n:])
}

// SoftplusChain writes da = dy (1 - exp(-y)). The slices are of one length.
func SoftplusChain(da, y, dy []float32) {
	y, dy = y[:len(da)], dy[:len(da)]
	for i, v := range y {
		da[i] = -v
	}
	Expm1(da)
	for i, v := range dy {
		da[i] *= -v
	}
}

// Adam takes one step of Adam on θ with gradient g, moments m and v,
//
//	m += d₁ (g - m)        v += d₂ (g² - v)        θ -= rate · m / (√v + ε)
//
// with d = 1 - β, and the corrections for the step in rate and ε. The slices are of one
// length.
func Adam(theta, g, m, v []float32, d1, d2, rate, epsilon float32) {
	g, m, v = g[:len(theta)], m[:len(theta)], v[:len(theta)]
	n := 0
	if lanes > 1 && len(theta) >= 8 {
		n = whole(len(theta), 8)
		adamAVX2(&theta[0], &g[0], &m[0], &v[0], n, d1, d2, rate, epsilon)
	}
	adamGo(theta[n:], g[n:], m[n:], v[n:], d1, d2, rate, epsilon)
}

// fill writes x, and v to the end.
func fill(pad *[16]float32, v float32, x []float32) {
	for i := copy(pad[:], x); i < len(pad); i++ {
		pad[i] = v
	}
}
