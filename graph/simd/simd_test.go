package simd

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// lengths are with and without a rest, shorter than a register, and longer than a
// block of the likelihood.
var lengths = []int{0, 1, 7, 8, 9, 16, 23, 100, 511, 512, 513, 784, 1031}

func random(rng *rand.Rand, n int, scale float64) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(rng.NormFloat64() * scale)
	}
	return x
}

// ulps is the distance of got from want in units of want's last place.
func ulps(got float32, want float64) float64 {
	unit := math.Max(math.Abs(want), 0x1p-126) * 0x1p-24
	return math.Abs(float64(got)-want) / unit
}

// eachWay runs a test in each of the ways that the CPU can, and in plain Go.
func eachWay(t *testing.T, f func(t *testing.T)) {
	best := lanes
	defer func() { lanes = best }()
	for _, lanes = range []int{16, 8, 1} {
		if lanes <= best {
			t.Run(Name(), f)
		}
	}
}

func TestExpIsRightToAFewUnits(t *testing.T) { eachWay(t, testExp) }

func testExp(t *testing.T) {
	for start := -87.0; start < 88; start += 0.0371 {
		x := make([]float32, 11)
		arguments := make([]float64, len(x))
		for i := range x {
			x[i] = float32(start + float64(i)*0.003)
			arguments[i] = float64(x[i])
		}
		Exp(x)
		for i, got := range x {
			if a := arguments[i]; a <= 88 && ulps(got, math.Exp(a)) > 4 {
				t.Fatalf("exp(%g) = %g, want %g", a, got, math.Exp(a))
			}
		}
	}
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	x := []float32{0, -inf, -1e30, -400, -104, -95, -88, -87.01, 89, inf, nan}
	Exp(x)
	for i, got := range x[1:8] {
		if got != 0 {
			t.Errorf("exp of very negative number %d is %g, want 0", i, got)
		}
	}
	if x[0] != 1 || x[8] != inf || x[9] != inf || x[10] == x[10] {
		t.Errorf("exp of 0, 89, +∞, NaN is %g, %g, %g, %g, want 1, +∞ twice, NaN", x[0], x[8], x[9], x[10])
	}
	x = []float32{89, inf, 3}
	if Expm1(x); x[0] != inf || x[1] != inf || x[2] == inf {
		t.Errorf("exp - 1 of 89, +∞, 3 is %g, want +∞ twice", x)
	}
}

func TestExpSumIsTheSumOfWhatItWrites(t *testing.T) { eachWay(t, testExpSum) }

func testExpSum(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, n := range lengths {
		a, q := random(rng, n, 20), make([]float32, n)
		sum, want := ExpSum(q, a, 3), 0.0
		for i, v := range q {
			want += float64(v)
			if e := math.Exp(float64(a[i] - 3)); ulps(v, e) > 4 && e > 0x1p-120 {
				t.Fatalf("length %d: exp(%g - 3) = %g, want %g", n, a[i], v, e)
			}
		}
		if math.Abs(sum-want) > 1e-12*want { // float64 in another order
			t.Errorf("length %d: sum %g, want %g", n, sum, want)
		}
	}
}

func TestActivationsAreRightToAFewUnitsAlsoNearZero(t *testing.T) { eachWay(t, testActivations) }

func testActivations(t *testing.T) {
	var x []float32
	for e := -30.0; e < 6.4; e += 0.01 {
		x = append(x, float32(math.Exp2(e)), -float32(math.Exp2(e)))
	}
	x = append(x, 0, -1000, float32(math.Inf(-1)), float32(math.NaN()))
	for name, f := range map[string]struct {
		of   func([]float32)
		want func(float64) float64
	}{
		"tanh":     {Tanh, math.Tanh},
		"expm1":    {Expm1, math.Expm1},
		"relu":     {ReLU, func(a float64) float64 { return max(a, 0) }},
		"elu":      {ELU, func(a float64) float64 { return max(a, 0) + math.Expm1(min(a, 0)) }},
		"softplus": {Softplus, func(a float64) float64 { return max(a, 0) + math.Log1p(math.Exp(-math.Abs(a))) }},
	} {
		y := append([]float32(nil), x...)
		f.of(y)
		for i, got := range y {
			want := f.want(float64(x[i]))
			if math.IsNaN(want) && math.IsNaN(float64(got)) {
				continue
			}
			if !(ulps(got, want) <= 6 || math.Abs(float64(got)-want) < 0x1p-125) {
				t.Fatalf("%s(%g) = %g, want %g", name, x[i], got, want)
			}
		}
	}
}

func TestBernoulliIsTheLogLikelihoodAndItsDerivative(t *testing.T) { eachWay(t, testBernoulli) }

func testBernoulli(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for _, n := range lengths {
		for _, scale := range []float64{0.1, 3, 200} {
			l, x, residual := random(rng, n, scale), make([]float32, n), make([]float32, n)
			want, size := 0.0, 1.0
			for i, v := range l {
				x[i] = float32(rng.IntN(3)) / 2
				term := float64(x[i])*float64(v) - math.Max(float64(v), 0) - math.Log1p(math.Exp(-math.Abs(float64(v))))
				want += term
				size += math.Abs(float64(x[i])*float64(v)) + math.Max(float64(v), 0) + 1
			}
			got := Bernoulli(residual, x, l)
			// At most 64 float32 additions and products in a lane, each off by 2⁻²⁴
			// of partial sums below size.
			if math.Abs(got-want) > 64*0x1p-24*size {
				t.Errorf("length %d, scale %g: %.9g, want %.9g", n, scale, got, want)
			}
			if value := Bernoulli(nil, x, l); value != got {
				t.Errorf("length %d, scale %g: %.9g without residuals, %.9g with", n, scale, value, got)
			}
			for i, v := range l {
				if want := float64(x[i]) - 1/(1+math.Exp(-float64(v))); math.Abs(float64(residual[i])-want) > 4*0x1p-24 {
					t.Fatalf("length %d, scale %g: residual %d of logit %g is %g, want %g", n, scale, i, v, residual[i], want)
				}
			}
		}
	}
	for _, at := range []int{3, 20, 35} { // of a register of sixteen, of eight, of the rest
		l, residual := make([]float32, 37), make([]float32, 37)
		l[at] = float32(math.NaN())
		if got := Bernoulli(residual, make([]float32, 37), l); got == got || residual[at] == residual[at] {
			t.Errorf("a logit that is NaN gives %g, residual %g, want NaN", got, residual[at])
		}
	}
}

// TestWhereAnElementStandsDoesNotMatter: in a register or in the padded rest.
func TestWhereAnElementStandsDoesNotMatter(t *testing.T) { eachWay(t, testPlaces) }

func testPlaces(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	a := random(rng, 29, 3)
	for name, f := range map[string]func([]float32){"exp": Exp, "expm1": Expm1, "tanh": Tanh, "elu": ELU, "softplus": Softplus} {
		whole := append([]float32(nil), a...)
		f(whole)
		for i, v := range a {
			one := []float32{v}
			if f(one); one[0] != whole[i] {
				t.Errorf("%s(%g) is %g alone and %g among others", name, v, one[0], whole[i])
			}
		}
	}
	x, dy, whole := random(rng, 29, 1), random(rng, 29, 1), make([]float32, 29)
	TanhChain(whole, x, dy)
	for i := range x {
		one := make([]float32, 1)
		if TanhChain(one, x[i:][:1], dy[i:][:1]); one[0] != whole[i] {
			t.Errorf("tanh' at %g is %g alone and %g among others", x[i], one[0], whole[i])
		}
	}
}

// TestEveryWayHasTheSameBits: of every function, over numbers of all sizes and what are
// none, at all lengths, with and without a rest.
func TestEveryWayHasTheSameBits(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	var all []float32
	for exponent := range uint32(256) {
		for range 60 {
			all = append(all, math.Float32frombits(exponent<<23|rng.Uint32()&(1<<31|1<<23-1)))
		}
	}
	all = append(all, random(rng, 20_000, 1)...)
	all = append(all, random(rng, 20_000, 30)...)
	for _, v := range []float64{0, math.Copysign(0, -1), math.Inf(1), math.Inf(-1), math.NaN(), -87, 88, -87.5, 88.5, 20, 10, 0.5} {
		x := float32(v)
		all = append(all, x, math.Nextafter32(x, 1e9), math.Nextafter32(x, -1e9))
	}
	rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	tame := func(n int, scale float64) []float32 { return random(rng, n, scale) }
	type computed struct {
		out  []float32
		sums []float64
	}
	each := func(what string, f func() computed) {
		best := lanes
		defer func() { lanes = best }()
		lanes = 1
		want := f()
		for _, lanes = range []int{8, 16} {
			if lanes > best {
				continue
			}
			got := f()
			for i, w := range want.out {
				if g := got.out[i]; math.Float32bits(g) != math.Float32bits(w) && (g == g || w == w) {
					t.Fatalf("%s, %s: element %d is %x, in plain Go %x", what, Name(), i, g, w)
				}
			}
			for i, w := range want.sums {
				if g := got.sums[i]; math.Float64bits(g) != math.Float64bits(w) && (g == g || w == w) {
					t.Fatalf("%s, %s: sum %d is %x, in plain Go %x", what, Name(), i, g, w)
				}
			}
		}
	}
	functions := map[string]func([]float32){"exp": Exp, "expm1": Expm1, "tanh": Tanh, "relu": ReLU, "elu": ELU, "softplus": Softplus}
	for name, f := range functions {
		each(name, func() computed {
			x := append([]float32(nil), all...)
			f(x)
			return computed{out: x}
		})
	}
	chains := map[string]func(da, y, dy []float32){"relu'": ReLUChain, "tanh'": TanhChain, "softplus'": SoftplusChain}
	dy := tame(len(all), 1)
	for name, f := range chains {
		each(name, func() computed {
			da := make([]float32, len(all))
			f(da, all, dy)
			return computed{out: da}
		})
	}
	for n := range 101 {
		for _, n := range []int{n, n * 11} {
			for name, f := range functions {
				x := tame(n, 3)
				each(fmt.Sprintf("%s of %d", name, n), func() computed {
					x := append([]float32(nil), x...)
					f(x)
					return computed{out: x}
				})
			}
			a, b := tame(n, 20), tame(n, 1)
			each(fmt.Sprintf("exp sum of %d", n), func() computed {
				q := make([]float32, n)
				return computed{q, []float64{ExpSum(q, a, 30)}}
			})
			each(fmt.Sprintf("dot of %d", n), func() computed { return computed{sums: []float64{float64(Dot(a, b))}} })
			each(fmt.Sprintf("bernoulli of %d", n), func() computed {
				r := make([]float32, n)
				return computed{r, []float64{Bernoulli(r, b, a), Bernoulli(nil, b, a)}}
			})
			each(fmt.Sprintf("adam of %d", n), func() computed {
				rng := rand.New(rand.NewPCG(9, 10))
				theta, g, m, v := random(rng, n, 1), random(rng, n, 1), random(rng, n, 1), random(rng, n, 1)
				for i := range v {
					v[i] *= v[i]
				}
				Adam(theta, g, m, v, 0.1, 0.001, 1e-3, 1e-8)
				return computed{out: append(append(theta, m...), v...)}
			})
		}
	}
	for i := 0; i+64 <= len(all); i += 64 { // sums over what may be no number
		x, y := all[i:i+64], all[len(all)-64-i:][:64]
		each("dot", func() computed { return computed{sums: []float64{float64(Dot(x, y))}} })
		each("exp sum", func() computed {
			q := make([]float32, 64)
			return computed{q, []float64{ExpSum(q, x, 1)}}
		})
		each("bernoulli", func() computed {
			r := make([]float32, 64)
			return computed{r, []float64{Bernoulli(r, dy[i:i+64], x)}}
		})
	}
}

// TestDotIsTheSumOfProducts within its roundings: fewer than n, of sums below Σ|x y|.
func TestDotIsTheSumOfProducts(t *testing.T) { eachWay(t, testDot) }

func testDot(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	for _, n := range lengths {
		x, y := random(rng, n, 1), random(rng, n, 1)
		sum, size := 0.0, 0.0
		for i, v := range x {
			sum += float64(v) * float64(y[i])
			size += math.Abs(float64(v) * float64(y[i]))
		}
		if got := float64(Dot(x, y)); math.Abs(got-sum) > float64(n)*0x1p-24*size {
			t.Errorf("length %d: %g, want %g", n, got, sum)
		}
	}
}

func BenchmarkSIMD(b *testing.B) {
	const n = 784 * 16
	rng := rand.New(rand.NewPCG(1, 2))
	x, y, z, w := random(rng, n, 1), random(rng, n, 1), make([]float32, n), random(rng, n, 1)
	for i, v := range w {
		w[i] = v * v
	}
	for _, f := range []struct {
		name string
		run  func()
	}{
		{"exp", func() { copy(z, x); Exp(z) }},
		{"dot", func() { Dot(x, y) }},
		{"expsum", func() { ExpSum(z, x, 1) }},
		{"tanh", func() { copy(z, x); Tanh(z) }},
		{"bernoulli", func() { Bernoulli(z, y, x) }},
		{"bernoulli_value", func() { Bernoulli(nil, y, x) }},
		{"relu", func() { copy(z, x); ReLU(z) }},
		{"elu", func() { copy(z, x); ELU(z) }},
		{"softplus", func() { copy(z, x); Softplus(z) }},
		{"reluchain", func() { ReLUChain(z, x, y) }},
		{"tanhchain", func() { TanhChain(z, x, y) }},
		{"adam", func() { Adam(x, y, z, w, 0.1, 0.001, 1e-9, 1e-8) }},
	} {
		b.Run(f.name, func(b *testing.B) {
			for b.Loop() {
				f.run()
			}
			b.ReportMetric(b.Elapsed().Seconds()*1e9/float64(b.N)/n, "ns/element")
		})
	}
}
