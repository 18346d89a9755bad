package simd

import "math"

// Exp replaces x by exp x, and by 0 where x is below -87. Arguments above 88 count as 88.
func Exp(x []float32) {
	if !accelerated {
		expGo(x)
		return
	}
	n := whole(len(x))
	if n > 0 {
		expAVX2(&x[0], n)
	}
	if n < len(x) {
		var pad [8]float32
		copy(pad[:], x[n:])
		expAVX2(&pad[0], 8)
		copy(x[n:], pad[:])
	}
}

// ExpSum writes q = exp(a - top), as Exp does, and returns Σ q, summed in float64. The
// slices are of one length.
func ExpSum(q, a []float32, top float32) float64 {
	q = q[:len(a)]
	if !accelerated {
		return expSumGo(q, a, top)
	}
	n, sum := whole(len(a)), 0.0
	if n > 0 {
		sum = expSumAVX2(&q[0], &a[0], top, n)
	}
	if n < len(a) {
		pad := filled(float32(math.Inf(-1)))
		copy(pad[:], a[n:])
		sum += expSumAVX2(&pad[0], &pad[0], top, 8)
		copy(q[n:], pad[:])
	}
	return sum
}

// Tanh replaces x by tanh x.
func Tanh(x []float32) {
	if !accelerated {
		tanhGo(x)
		return
	}
	n := whole(len(x))
	if n > 0 {
		tanhAVX2(&x[0], n)
	}
	if n < len(x) {
		var pad [8]float32
		copy(pad[:], x[n:])
		tanhAVX2(&pad[0], 8)
		copy(x[n:], pad[:])
	}
}

// Bernoulli returns the log-likelihood of pixels x with logits l,
//
//	Σ x l - log(1 + exp l)
//
// in nats, and leaves its derivative with respect to l in residual, x - σ(l). It is
// stable for all finite logits; the logarithm is taken of products of up to 512 terms.
// The slices are of one length.
func Bernoulli(residual, x, l []float32) float64 {
	residual, x = residual[:len(l)], x[:len(l)]
	kernel := bernoulliGo
	if accelerated {
		kernel = bernoulliPadded
	}
	sum := 0.0
	for i := 0; i < len(l); i += block {
		j := min(i+block, len(l))
		linear, product := kernel(residual[i:j], x[i:j], l[i:j])
		sum += linear - math.Log(product)
	}
	return sum
}

func bernoulliPadded(residual, x, l []float32) (sum, product float64) {
	n := whole(len(l))
	product = 1
	if n > 0 {
		sum, product = bernoulliAVX2(&residual[0], &x[0], &l[0], n)
	}
	if n < len(l) {
		// A logit of -∞ would be 0 · ∞; at -1000 a black pixel costs nothing.
		var padX [8]float32
		padL := filled(-1000)
		copy(padX[:], x[n:])
		copy(padL[:], l[n:])
		s, p := bernoulliAVX2(&padX[0], &padX[0], &padL[0], 8)
		copy(residual[n:], padX[:])
		sum, product = sum+s, product*p
	}
	return sum, product
}

// AddReLU replaces y by max(y + b, 0). The slices are of one length.
func AddReLU(y, b []float32) {
	y = y[:len(b)]
	n := 0
	if accelerated && len(b) >= 8 {
		n = whole(len(b))
		addReLUAVX2(&y[0], &b[0], n)
	}
	addReLUGo(y[n:], b[n:])
}

// ReLUChain writes da = dy where y > 0, else 0. The slices are of one length.
func ReLUChain(da, y, dy []float32) {
	y, dy = y[:len(da)], dy[:len(da)]
	n := 0
	if accelerated && len(da) >= 8 {
		n = whole(len(da))
		reluChainAVX2(&da[0], &y[0], &dy[0], n)
	}
	reluChainGo(da[n:], y[n:], dy[n:])
}

// TanhChain writes da = dy (1 - y²). The slices are of one length.
func TanhChain(da, y, dy []float32) {
	y, dy = y[:len(da)], dy[:len(da)]
	n := 0
	if accelerated && len(da) >= 8 {
		n = whole(len(da))
		tanhChainAVX2(&da[0], &y[0], &dy[0], n)
	}
	for ; n < len(da); n++ { // as fused as the rest
		da[n] = dy[n] * float32(1-float64(y[n])*float64(y[n]))
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
	if accelerated && len(theta) >= 8 {
		n = whole(len(theta))
		adamAVX2(&theta[0], &g[0], &m[0], &v[0], n, d1, d2, rate, epsilon)
	}
	adamGo(theta[n:], g[n:], m[n:], v[n:], d1, d2, rate, epsilon)
}

func filled(v float32) (pad [8]float32) {
	for i := range pad {
		pad[i] = v
	}
	return pad
}
