package elementary

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

const precision = 240 // of the references, in bits

func number(x float64) *big.Float { return new(big.Float).SetPrec(precision).SetFloat64(x) }

// exponential is e^x: the series of x 2⁻ᵏ, squared k times.
func exponential(x *big.Float) *big.Float {
	const k = 40
	small := new(big.Float).SetPrec(precision).SetMantExp(x, -k)
	sum, term := number(1), number(1)
	for i := 1; i < 40; i++ {
		term.Mul(term, small)
		term.Quo(term, number(float64(i)))
		sum.Add(sum, term)
	}
	for range k {
		sum.Mul(sum, sum)
	}
	return sum
}

// logarithm is log x: steps of Newton on e^y = x from a float64, each doubling its digits.
func logarithm(x *big.Float) *big.Float {
	mantissa := new(big.Float)
	n := x.MantExp(mantissa)
	m, _ := mantissa.Float64()
	y := number(math.Log(m) + float64(n)*math.Ln2)
	for range 3 {
		back := exponential(new(big.Float).SetPrec(precision).Neg(y))
		back.Mul(back, x)
		y.Add(y, back.Sub(back, number(1)))
	}
	return y
}

// places is how far y is from the exact value, in units in its last place.
func places(y float64, exact *big.Float) float64 {
	want, _ := exact.Float64()
	if y == want {
		return 0
	}
	off := new(big.Float).SetPrec(precision).Sub(number(y), exact)
	unit := math.Nextafter(math.Abs(want), math.Inf(1)) - math.Abs(want)
	d, _ := off.Quo(off, number(unit)).Float64()
	return math.Abs(d)
}

// TestFunctionsAgreeWithBigNumbers holds each function to a reference in 240 bits.
func TestFunctionsAgreeWithBigNumbers(t *testing.T) {
	one := number(1)
	functions := []struct {
		name   string
		f      func(float64) float64
		exact  func(x *big.Float) *big.Float
		draw   func(rng *rand.Rand) float64
		places float64
	}{
		{"exp", Exp, exponential, func(rng *rand.Rand) float64 { return 1400*rng.Float64() - 700 }, 1},
		{"exp near 0", Exp, exponential, func(rng *rand.Rand) float64 { return 4*rng.Float64() - 2 }, 1},
		{"exp below normal numbers", Exp, exponential, func(rng *rand.Rand) float64 { return -708 - 37*rng.Float64() }, 1},
		{"log", Log, logarithm, func(rng *rand.Rand) float64 { return math.Ldexp(1+rng.Float64(), rng.IntN(2000)-1000) }, 1},
		{"log near 1", Log, logarithm, func(rng *rand.Rand) float64 { return 1 + (rng.Float64()-0.5)*math.Exp(-20*rng.Float64()) }, 1},
		{"log of subnormal numbers", Log, logarithm, func(rng *rand.Rand) float64 { return math.Ldexp(1+rng.Float64(), -1023-rng.IntN(40)) }, 1},
		{"expm1", Expm1, func(x *big.Float) *big.Float { y := exponential(x); return y.Sub(y, one) },
			func(rng *rand.Rand) float64 { return 100*rng.Float64() - 50 }, 1.5},
		{"expm1 near 0", Expm1, func(x *big.Float) *big.Float { y := exponential(x); return y.Sub(y, one) },
			func(rng *rand.Rand) float64 { return (2*rng.Float64() - 1) * math.Exp(-35*rng.Float64()) }, 1.5},
		{"log1p", Log1p, func(x *big.Float) *big.Float { return logarithm(new(big.Float).SetPrec(precision).Add(x, one)) },
			func(rng *rand.Rand) float64 { return (2*rng.Float64() - 1) * math.Exp(-35*rng.Float64()) }, 2},
		{"log1p of large numbers", Log1p, func(x *big.Float) *big.Float { return logarithm(new(big.Float).SetPrec(precision).Add(x, one)) },
			func(rng *rand.Rand) float64 { return math.Exp(80 * rng.Float64()) }, 2},
	}
	for _, c := range functions {
		rng := rand.New(rand.NewPCG(1, 2))
		worst, at := 0.0, 0.0
		for range 500 {
			x := c.draw(rng)
			if d := places(c.f(x), c.exact(number(x))); d > worst {
				worst, at = d, x
			}
		}
		t.Logf("%s: %.3f units in the last place at %g", c.name, worst, at)
		if worst > c.places {
			t.Errorf("%s(%g) is off by %.3f units in the last place, want %g", c.name, at, worst, c.places)
		}
	}
}

// TestFunctionsAgreeWithPackageMath compares with the functions of Go, which are good to
// about a unit in the last place, also where a big number cannot go.
func TestFunctionsAgreeWithPackageMath(t *testing.T) {
	inf, nan := math.Inf(1), math.NaN()
	edges := []float64{0, 1, -1, 2, 0.5, -0.5, inf, -inf, nan, 1e-320, -1e-320, 5e-324, 1e-17, -1e-17, 1e-300, 1e300, math.MaxFloat64,
		709.782712893384, 709.7827128933841, 710, -745.1332191019411, -745.1332191019412, -746, -708.5, 40, -40, 41, -41, math.Sqrt2, math.Sqrt2 / 2}
	rng := rand.New(rand.NewPCG(3, 4))
	for range 20000 {
		edges = append(edges, rng.NormFloat64(), 300*rng.NormFloat64(), math.Exp(20*rng.NormFloat64()))
	}
	close := func(x, y, relative, absolute float64) bool {
		return x == y || x != x && y != y || math.Abs(x-y) <= max(relative*math.Abs(y), absolute)
	}
	for _, x := range edges {
		for _, c := range []struct {
			name               string
			got, want          float64
			relative, absolute float64
		}{
			{"exp", Exp(x), math.Exp(x), 4e-16, 5e-324},
			{"expm1", Expm1(x), math.Expm1(x), 5e-16, 0},
			{"log", Log(x), math.Log(x), 4e-16, 0},
			{"log1p", Log1p(x), math.Log1p(x), 6e-16, 0},
			{"tanh", Tanh(x), math.Tanh(x), 8e-16, 0},
			{"erfc", Erfc(x), math.Erfc(x), 1e-12, 1e-300},
		} {
			if c.name == "log" && x > 0 && x < 0x1p-1022 {
				continue // the assembly of amd64 takes these numbers for 2⁻¹⁰²³ and a bit
			}
			if !close(c.got, c.want, c.relative, c.absolute) {
				t.Errorf("%s(%g) = %g, math has %g", c.name, x, c.got, c.want)
			}
		}
		if math.Abs(x) < 1e5 && math.Abs(Cos(x)-math.Cos(x)) > 1e-15 {
			t.Errorf("cos(%g) = %g, math has %g", x, Cos(x), math.Cos(x))
		}
	}
}

// TestAPowerIsARepeatedProduct: to the rounding of n products.
func TestAPowerIsARepeatedProduct(t *testing.T) {
	for _, x := range []float64{0.9, 0.999, 0.5, 1.25, 0} {
		exact := number(1)
		for n := int64(0); n < 3000; n++ {
			if got := Power(x, n); places(got, exact) > float64(max(n, 1)) {
				t.Fatalf("%g to the power of %d is %g, off by %g units in the last place", x, n, got, places(got, exact))
			}
			exact.Mul(exact, number(x))
			if want, _ := exact.Float64(); want < 1e-300 || want > 1e300 {
				break
			}
		}
	}
}

// TestTheQuantileIsWhereTheMassIs: Φ(z(p)) = p, with Φ of package math; and z(1-p) = -z(p).
func TestTheQuantileIsWhereTheMassIs(t *testing.T) {
	for n := 1; n < 4000; n++ {
		for _, p := range []float64{float64(n) / 4000, math.Exp(-float64(n) / 6)} {
			z := NormalQuantile(p)
			// An error of z of 10⁻¹² changes the mass by its share φ/Φ ≤ |z| + 1.
			if mass := math.Erfc(-z/math.Sqrt2) / 2; math.Abs(mass-p) > 1e-12*(math.Abs(z)+1)*p {
				t.Fatalf("below %g lies %g, want %g", z, mass, p)
			}
		}
	}
	for n := range 64 {
		if p := (float64(n) + 0.5) / 64; NormalQuantile(p) != -NormalQuantile(1-p) {
			t.Errorf("quantiles of %g and %g: %g and %g, want opposite numbers", p, 1-p, NormalQuantile(p), NormalQuantile(1-p))
		}
	}
	for p, want := range map[float64]float64{0.975: 1.959963984540054, 0.5: 0, 0.1: -1.2815515655446004} {
		if got := NormalQuantile(p); math.Abs(got-want) > 1e-14 {
			t.Errorf("quantile of %g is %v, want %v", p, got, want)
		}
	}
	for p, want := range map[float64]float64{0: math.Inf(-1), 1: math.Inf(1)} {
		if got := NormalQuantile(p); got != want {
			t.Errorf("quantile of %g is %v, want %v", p, got, want)
		}
	}
}

var sink float64

func benchmark(b *testing.B, f func(float64) float64) {
	x := make([]float64, 1024)
	rng := rand.New(rand.NewPCG(5, 6))
	for i := range x {
		x[i] = 5 * rng.Float64()
	}
	for i := 0; b.Loop(); i++ {
		sink += f(x[i%1024])
	}
}

func BenchmarkExp(b *testing.B)       { benchmark(b, Exp) }
func BenchmarkMathExp(b *testing.B)   { benchmark(b, math.Exp) }
func BenchmarkExpm1(b *testing.B)     { benchmark(b, Expm1) }
func BenchmarkMathExpm1(b *testing.B) { benchmark(b, math.Expm1) }
func BenchmarkLog(b *testing.B)       { benchmark(b, Log) }
func BenchmarkMathLog(b *testing.B)   { benchmark(b, math.Log) }
