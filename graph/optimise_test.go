package graph_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"elbo/graph"
	"elbo/graph/graphtest"
)

// TestWeightDecayShrinksParametersApartFromTheirGradients: with a gradient of zero, Adam
// stands still, and θ = (1 - lr λ)ⁿ θ₀.
func TestWeightDecayShrinksParametersApartFromTheirGradients(t *testing.T) {
	p := graph.NewParam("w", 40_000)
	for i := range p.Value {
		p.Value[i] = float32(i%9) - 4
	}
	adam := graph.NewAdam(0.01, []*graph.Param{p}, graphtest.Engine(2))
	adam.Decay = 0.3
	zero := make([]float32, len(p.Value))
	const steps = 20
	for range steps {
		adam.Step(func(int) []float32 { return zero })
	}
	want := math.Pow(1-0.01*0.3, steps)
	for i, got := range p.Value {
		// Each step rounds twice, by 2^-24 of the value at most: its factor and the product.
		if theta := float64(float32(i%9)-4) * want; math.Abs(float64(got)-theta) > 2*steps*0x1p-24*math.Abs(theta) {
			t.Fatalf("parameter %d is %v, want %v", i, got, theta)
		}
	}
}

// TestClippingKeepsTheDirection of a gradient that is too long, to the limit's length, and
// leaves others as they are; whatever the number of workers.
func TestClippingKeepsTheDirection(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	draw := func(n int) []float32 {
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(random.NormFloat64())
		}
		return x
	}
	parts := [][]float32{draw(30_001), draw(1), draw(8192)}
	exact := 0.0
	for _, part := range parts {
		for _, v := range part {
			exact += float64(v) * float64(v)
		}
	}
	exact = math.Sqrt(exact)
	clone := func() (all [][]float32) {
		for _, part := range parts {
			all = append(all, slices.Clone(part))
		}
		return all
	}
	free := clone()
	norm := graphtest.Engine(2).Clip(2*exact, free)
	// A sum of 8192 squares in sixteen chains of 512 is off by 512 · 2^-24 of it at most.
	if math.Abs(norm-exact) > 512*0x1p-24*exact {
		t.Errorf("norm %v, want %v", norm, exact)
	}
	one, two := clone(), clone()
	graphtest.Engine(1).Clip(1, one)
	graphtest.Engine(2).Clip(1, two)
	for i, part := range parts {
		if !slices.Equal(free[i], part) {
			t.Errorf("part %d of a gradient within the limit has changed", i)
		}
		if !slices.Equal(one[i], two[i]) {
			t.Errorf("part %d differs between one worker and two", i)
		}
		for j, v := range one[i] {
			if want := float64(part[j]) / exact; math.Abs(float64(v)-want) > 600*0x1p-24*math.Abs(want) {
				t.Fatalf("element %d of part %d is %v, want %v", j, i, v, want)
			}
		}
	}
	bad := [][]float32{{1, float32(math.NaN())}, {2}}
	graphtest.Engine(1).Clip(1, bad)
	if bad[0][0] != 1 || bad[1][0] != 2 {
		t.Errorf("a gradient that is not finite was changed to %v", bad)
	}
}

// TestTheAverageOfParametersIsThatOfTheFormula, Σ_t (1-d) dⁿ⁻ᵗ θ_t + dⁿ θ₀, and Swap gives
// it and takes it back.
func TestTheAverageOfParametersIsThatOfTheFormula(t *testing.T) {
	const decay, steps = 0.75, 12
	p := graph.NewParam("w", 20_000)
	at := func(i, step int) float64 { return float64(i%13) + float64(step*(i%5)) }
	set := func(step int) {
		for i := range p.Value {
			p.Value[i] = float32(at(i, step))
		}
	}
	set(0)
	a := graph.NewAverage(decay, []*graph.Param{p}, graphtest.Engine(2))
	want := make([]float64, len(p.Value))
	for i := range want {
		want[i] = at(i, 0)
	}
	for step := 1; step <= steps; step++ {
		set(step)
		a.Step()
		for i := range want {
			want[i] = decay*want[i] + (1-decay)*at(i, step)
		}
	}
	last := slices.Clone(p.Value)
	a.Swap()
	for i, got := range p.Value {
		// Three roundings a step, of numbers no larger than the largest parameter.
		if math.Abs(float64(got)-want[i]) > 3*steps*0x1p-24*at(i, steps) {
			t.Fatalf("average %d is %v, want %v", i, got, want[i])
		}
	}
	a.Swap()
	if !slices.Equal(p.Value, last) {
		t.Error("a second Swap does not give the parameters back")
	}
	if names := a.Params(); len(names) != 1 || names[0].Name != "ema.w" {
		t.Errorf("the average is called %v, want ema.w", names[0].Name)
	}
}
