// Package elementary has the elementary functions of float64 numbers, with the same bits on
// every CPU.
//
// Those of package math are written in assembly on some CPUs and not on others, and where
// they are written in Go the compiler fuses products with sums on some CPUs and not on
// others; their last bits differ accordingly. Here all is Go, and the conversion of every
// product that is added to something forbids to fuse the two (Go's specification:
// "An explicit floating-point type conversion rounds to the precision of the target type,
// preventing fusion"). math.Sqrt, rounding and what moves bits about are exact everywhere,
// and need no other definition.
//
// A result is off by less than a unit in the last place, where no more is said.
package elementary

import "math"

// ln 2 in two parts: the product of the first with an integer below 2²⁰ is exact.
const (
	ln2hi = 0xb17217f7p-32
	ln2lo = math.Ln2 - ln2hi
)

// Beyond these arguments the exponential is +∞ or 0 in float64.
const (
	mostExponent  = 709.782712893384
	leastExponent = -745.1332191019412
)

// Exp returns e^x.
func Exp(x float64) float64 {
	switch {
	case x != x:
		return x
	case x > mostExponent:
		return math.Inf(1)
	case x < leastExponent:
		return 0
	}
	n, r, rest := reduce(x)
	y := 1 + (r + rest)
	if n > -1022 && n < 1024 {
		return y * power2(n)
	}
	return y * power2(n/2) * power2(n-n/2) // a power that is no normal number
}

// Expm1 returns e^x - 1, with all digits near 0.
func Expm1(x float64) float64 {
	switch {
	case x > 40: // the 1 is below the last place
		return Exp(x)
	case x < -40:
		return -1
	case math.Abs(x) < 0x1p-54:
		return x
	}
	n, r, rest := reduce(x)
	s := power2(n)
	return float64(s*(r+rest)) + (s - 1)
}

// reduce returns x = n ln 2 + r and rest with e^x = 2ⁿ (1 + r + rest), |r| at most ½ ln 2.
func reduce(x float64) (n int, r, rest float64) {
	const nearest = 3 << 51 // what is added to it is rounded to an integer
	shifted := float64(x*(1/math.Ln2)) + nearest
	n = int(int32(math.Float64bits(shifted)))
	whole := shifted - nearest
	r = x - float64(whole*ln2hi) // exact
	low := float64(whole * ln2lo)
	// Σ_{k≥2} t^k/k! of t = r - low
	t := r - low
	t2 := float64(t * t)
	t4 := float64(t2 * t2)
	p := (1./2 + float64(t*(1./6))) + float64(t2*(1./24+float64(t*(1./120)))) +
		float64(t4*((1./720+float64(t*(1./5040)))+float64(t2*(1./40320+float64(t*(1./362880))))))
	p += float64(float64(t4*t4) * ((1./3628800 + float64(t*(1./39916800))) + float64(t2*(1./479001600+float64(t*(1./6227020800))))))
	return n, r, float64(t2*p) - low
}

// power2 is 2ⁿ, a normal number.
func power2(n int) float64 { return math.Float64frombits(uint64(n+1023) << 52) }

// Log returns the natural logarithm of x.
func Log(x float64) float64 {
	switch {
	case x != x || x < 0:
		return math.NaN()
	case x == 0:
		return math.Inf(-1)
	case x > math.MaxFloat64:
		return x
	}
	n := 0
	if x < 0x1p-1022 {
		x, n = x*0x1p54, -54
	}
	// x = 2ⁿ m with m in [√½, √2)
	const root = 0x3fe6a09e667f3bcd // the bits of √½
	bits := math.Float64bits(x)
	shift := int64(bits-root) >> 52
	m := math.Float64frombits(bits - uint64(shift)<<52)
	k := float64(n + int(shift))
	// With f = m - 1 and s = f/(2 + f), log(1 + f) = 2 artanh s = 2s + s R, R = Σ_{k≥1}
	// 2/(2k+1) s^2k; and as 2s = f - s f, it is f - (f²/2 - s (f²/2 + R)).
	f := m - 1
	s := f / (2 + f)
	z := float64(s * s)
	z2 := float64(z * z)
	z4 := float64(z2 * z2)
	r := (2./3 + float64(z*(2./5))) + float64(z2*(2./7+float64(z*(2./9)))) +
		float64(z4*((2./11+float64(z*(2./13)))+float64(z2*(2./15+float64(z*(2./17)))))) +
		float64(float64(z4*z4)*(2./19+float64(z*(2./21))))
	half := float64(f * f / 2)
	low := float64(s*(half+float64(z*r))) + float64(k*ln2lo)
	return float64(k*ln2hi) - ((half - low) - f)
}

// Log1p returns log(1 + x), with all digits near 0, to two units in the last place.
func Log1p(x float64) float64 {
	u := 1 + x
	switch {
	case u == 1:
		return x
	case !(u > 0) || u > math.MaxFloat64:
		return Log(u)
	}
	lost := x - (u - 1) // of x when u was rounded
	if x > 1 {
		lost = 1 - (u - x)
	}
	return Log(u) + lost/u
}

// Tanh returns the hyperbolic tangent of x, to three units in the last place.
func Tanh(x float64) float64 {
	e := Expm1(-2 * math.Abs(x))
	return math.Copysign(e/(2+e), x)
}

// LogSumExp returns log Σ exp x, -∞ of none.
func LogSumExp(x ...float64) float64 {
	top, sum := math.Inf(-1), 0.0
	for _, v := range x {
		top = max(top, v)
	}
	if math.IsInf(top, 0) {
		return top
	}
	for _, v := range x {
		sum += Exp(v - top)
	}
	return top + Log(sum)
}

// Power returns xⁿ for n ≥ 0, to n units in the last place.
func Power(x float64, n int64) float64 {
	y := 1.0
	for ; n > 0; n >>= 1 {
		if n&1 == 1 {
			y *= x
		}
		x *= x
	}
	return y
}

// Cos returns the cosine of x, |x| ≤ 10⁵, to an absolute error of 10⁻¹⁵.
func Cos(x float64) float64 {
	const hi, lo = 0xc90fdaa2p-31, math.Pi/2 - 0xc90fdaa2p-31 // π/2
	n := math.RoundToEven(x * (2 / math.Pi))
	r := (x - float64(n*hi)) - float64(n*lo)
	square := float64(r * r)
	// cos r = 1 - r²/(1·2) (1 - r²/(3·4) (1 - …)), sin r = r (1 - r²/(2·3) (1 - r²/(4·5) (1 - …)))
	odd := int(n) & 1
	y := 1.0
	for k := 18 + odd; k > 1; k -= 2 {
		y = 1 - float64(y*square)/float64(k*(k-1))
	}
	if odd == 1 {
		y *= r
	}
	if int(n)&3 == 1 || int(n)&3 == 2 {
		y = -y
	}
	return y
}

// Erfc returns 2/√π ∫_x^∞ exp(-t²) dt to a relative error of 10⁻¹² where it is a normal
// number.
func Erfc(x float64) float64 {
	switch {
	case x != x:
		return x
	case x < 0:
		return 2 - Erfc(-x)
	case x > 28:
		return 0
	}
	square := float64(x * x)
	density := Exp(-square) / math.Sqrt(math.Pi)
	if x < 1.5 { // erf x = 2/√π exp(-x²) Σ_k 2^k x^(2k+1) / (1·3·…·(2k+1))
		sum, term := 0.0, x
		for k := 1; sum+term != sum; k++ {
			sum += term
			term = float64(term * (2 * square / float64(2*k+1)))
		}
		return 1 - float64(2*density*sum)
	}
	// √π exp(x²) erfc x = 1/(x + ½/(x + 1/(x + 3/2/(x + …)))), Laplace's continued fraction
	fraction := x
	for k := 120; k > 0; k-- {
		fraction = x + float64(k)/2/fraction
	}
	return density / fraction
}

// NormalQuantile returns the z below which N(0, 1) has the mass p, 0 < p < 1, to an error of
// 10⁻¹².
func NormalQuantile(p float64) float64 {
	switch {
	case p > 0.5:
		return -NormalQuantile(1 - p)
	case p == 0.5:
		return 0
	case !(p > 0):
		return math.Inf(-1)
	}
	// Newton's steps for log Φ(z) = log p. log Φ is concave, so that they rise to z from
	// below it.
	z := -math.Sqrt(-2 * Log(p)) // below: Φ(z) ≤ exp(-z²/2)
	for range 100 {
		mass := Erfc(-z/math.Sqrt2) / 2
		density := Exp(-z*z/2) / math.Sqrt(2*math.Pi)
		next := z - Log(mass/p)*mass/density
		if !(next > z) {
			break
		}
		z = next
	}
	return z
}
