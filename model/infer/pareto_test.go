package infer

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestTheTailFindsTheShapeOfAKnownDistribution: of these distributions the part above
// any threshold is exactly generalised Pareto, of the shape that they were drawn with.
func TestTheTailFindsTheShapeOfAKnownDistribution(t *testing.T) {
	const k, m, times = 20000, 425, 40 // m = 3 √k, rounded up
	for _, shape := range []float64{-0.3, 0, 0.3, 0.7, 1.2} {
		rng := rand.New(rand.NewPCG(5, 6))
		sum := 0.0
		for range times {
			tail := NewTail(k)
			for range k {
				u := 1 - rng.Float64()
				var logW float64
				switch {
				case shape > 0: // P(w > y) = y^(-1/shape)
					logW = -shape * math.Log(u)
				case shape == 0: // exponential
					logW = math.Log(-math.Log(u))
				default: // P(w > y) = (1 - y)^(-1/shape)
					logW = math.Log1p(-math.Pow(u, -shape))
				}
				tail.Add(logW)
			}
			sum += tail.KHat() / times
		}
		// The draw towards ½ is known. The standard deviation of the maximum likelihood
		// estimate is (1 + shape)/√m (Smith 1987), its bias below 2/m.
		want := (m*shape + 5) / (m + 10)
		if tolerance := 4*(1+shape)/math.Sqrt(m*times) + 2./m; math.Abs(sum-want) > tolerance {
			t.Errorf("shape %g: mean k-hat %.4f, want %.4f ± %.4f", shape, sum, want, tolerance)
		}
	}
}

// TestTheShapeIsWhereTheLikelihoodIs compares with the maximum over shape and scale of
// the density written down directly, (1/σ) (1 + k x/σ)^(-1/k - 1).
func TestTheShapeIsWhereTheLikelihoodIs(t *testing.T) {
	const n = 1000
	rng := rand.New(rand.NewPCG(1, 2))
	for _, shape := range []float64{-0.2, 0.4, 1} {
		x := make([]float64, n)
		for i := range x {
			x[i] = 3 * (math.Pow(rng.Float64(), -shape) - 1) / shape
		}
		slices.Sort(x)
		logLik := func(k, logScale float64) float64 {
			l := -n * logScale
			for _, v := range x {
				l -= (1/k + 1) * math.Log(1+k*v/math.Exp(logScale)) // NaN outside the support
			}
			return l
		}
		at, scale := 0.5, math.Log(3)
		for reach := 1.0; reach > 1e-3; reach /= 4 { // a grid around the best of a coarser one
			best, k0, s0 := math.Inf(-1), at, scale
			for i := -10.0; i <= 10; i++ {
				for j := -10.0; j <= 10; j++ {
					k, s := k0+reach*i/9.7, s0+reach*j/10 // never k = 0
					if l := logLik(k, s); l > best {
						best, at, scale = l, k, s
					}
				}
			}
		}
		// Both are within O(1/n) of each other, where either has a standard deviation of
		// (1 + k)/√n: half of that is more than they may differ by.
		if got := paretoShape(x); math.Abs(got-at) > (1+shape)/math.Sqrt(n)/2 {
			t.Errorf("shape %.4f, the likelihood is highest at %.4f", got, at)
		}
	}
}

// TestTheTailKeepsTheLargestWhateverTheOrder: k-hat is a function of the set of weights,
// unchanged where all are scaled, and memory does not grow with their number.
func TestTheTailKeepsTheLargestWhateverTheOrder(t *testing.T) {
	const k = 5000
	rng := rand.New(rand.NewPCG(3, 4))
	logW := make([]float64, k)
	for i := range logW {
		logW[i] = 2 * rng.NormFloat64()
	}
	shapes := map[string]float64{}
	for name, shift := range map[string]float64{"rising": 0, "falling": 0, "shuffled": 0, "scaled": -900} {
		slices.Sort(logW)
		switch name {
		case "falling":
			slices.Reverse(logW)
		case "shuffled":
			rng.Shuffle(k, func(i, j int) { logW[i], logW[j] = logW[j], logW[i] })
		}
		tail := NewTail(k)
		for _, l := range logW {
			tail.Add(l + shift)
		}
		tail.Add(math.NaN())
		tail.Add(math.Inf(-1))
		shapes[name] = tail.KHat()
		if m := 213; tail.m != m || cap(tail.kept) > 2*(m+1) {
			t.Errorf("%s: M = %d in memory for %d weights, want %d and at most %d", name, tail.m, cap(tail.kept), m, 2*(m+1))
		}
	}
	for name, shape := range shapes {
		// log w near -900 is rounded to 1e-13.
		if math.Abs(shape-shapes["rising"]) > 1e-9 {
			t.Errorf("%s: k-hat %.12f, with rising weights %.12f", name, shape, shapes["rising"])
		}
	}
}

func TestATailThatSaysNothing(t *testing.T) {
	few, equal, lost, twoValues := NewTail(20), NewTail(1000), NewTail(1000), NewTail(1000)
	for i := range 20 {
		few.Add(float64(i))
	}
	for i := range 1000 {
		equal.Add(-100 + 1e-5*float64(i%3))
		twoValues.Add(float64(i % 2))
		if i < 30 {
			lost.Add(-3)
		} else {
			lost.Add(math.Inf(-1))
		}
	}
	if shape := few.KHat(); !math.IsNaN(shape) {
		t.Errorf("20 weights have k-hat %g, want none", shape)
	}
	if shape := lost.KHat(); !math.IsNaN(shape) {
		t.Errorf("30 weights of 1000 that are not 0 have k-hat %g, want none", shape)
	}
	if shape := equal.KHat(); shape != 0 {
		t.Errorf("equal weights have k-hat %g, want 0", shape)
	}
	if shape := twoValues.KHat(); shape != 0 {
		t.Errorf("weights of which the largest are equal have k-hat %g, want 0", shape)
	}
	for k, want := range map[int]float64{100: 0.5, 1000: 2. / 3, 5000: 0.7, 1000000: 0.7} {
		if got := KHatLimit(k); math.Abs(got-want) > 1e-12 {
			t.Errorf("limit for %d weights %g, want %g", k, got, want)
		}
	}
}
