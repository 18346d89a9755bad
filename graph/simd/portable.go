package simd

import "math"

// The same functions, one number at a time.

// leastExponent is the least argument whose exponential is not taken for 0: below lie
// subnormal numbers.
const leastExponent = -87

// mostExponent is the largest whose exponential is not taken for +∞.
const mostExponent = 88

func expGo(x []float32) {
	for i, v := range x {
		x[i] = exp(v)
	}
}

func exp(v float32) float32 {
	if v < leastExponent {
		return 0
	}
	if v > mostExponent {
		return float32(math.Inf(1))
	}
	return float32(math.Exp(float64(v)))
}

func expm1Go(x []float32) {
	for i, v := range x {
		if v > mostExponent {
			x[i] = float32(math.Inf(1))
		} else {
			x[i] = float32(math.Expm1(float64(v)))
		}
	}
}

func expSumGo(q, a []float32, top float32) float64 {
	sum := 0.0
	for i, v := range a {
		q[i] = exp(v - top)
		sum += float64(q[i])
	}
	return sum
}

func tanhGo(x []float32) {
	for i, v := range x {
		x[i] = float32(math.Tanh(float64(v)))
	}
}

func bernoulliGo(residual, x, l []float32) (sum, product float64) {
	product = 1
	for j, v := range l {
		e := exp(-max(v, -v))
		numerator := float32(1)
		if v < 0 {
			numerator = e
		}
		sum += float64(x[j]*v - max(v, 0))
		product *= 1 + float64(e)
		if residual != nil {
			residual[j] = x[j] - numerator/(1+e)
		}
	}
	return sum, product
}

func reluGo(x []float32) {
	for i, v := range x {
		x[i] = max(v, 0)
	}
}

func eluGo(x []float32) {
	for i, v := range x {
		if v < 0 {
			x[i] = float32(math.Expm1(float64(v)))
		}
	}
}

func softplusGo(x []float32) {
	for i, v := range x {
		x[i] = float32(max(float64(v), 0) + math.Log1p(math.Exp(-math.Abs(float64(v)))))
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
		da[i] = dy[i] * float32(1-float64(y[i])*float64(y[i])) // rounded once, as where it is fused
	}
}

func adamGo(theta, g, m, v []float32, d1, d2, rate, epsilon float32) {
	g, m, v = g[:len(theta)], m[:len(theta)], v[:len(theta)]
	for j := range theta {
		// Conversions keep compilers for other levels of a CPU from fusing.
		m[j] += float32(d1 * (g[j] - m[j]))
		v[j] += float32(d2 * (float32(g[j]*g[j]) - v[j]))
		theta[j] -= rate * m[j] / (float32(math.Sqrt(float64(v[j]))) + epsilon)
	}
}
