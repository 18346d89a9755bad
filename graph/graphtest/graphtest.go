// Package graphtest checks operations of a graph against plain float64 code.
package graphtest

import (
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"elbo/graph"
	"elbo/graph/blas"
)

// Op is a check of one operation: how to build it, and its twin, the same
// function written as a plain loop over float64.
type Op struct {
	Name   string
	Params []*graph.Param // operands that have a gradient
	Inputs []*graph.Param // operands that have none

	Build func(b *graph.Builder, params, inputs []graph.Node) graph.Node
	Twin  func(params, inputs [][]float64) []float64

	// Terms is the number of float32 operations that one element of the output
	// or of a gradient accumulates; it decides the tolerance.
	Terms int
}

// Check compares the operation's value with the twin's, and every gradient of
// Σ c·y, for random c, with central differences of the twin. It also checks that
// a second run, and a run on another number of workers, give the same values, and
// that no operand is overwritten.
//
// An element passes if it differs by less than (Terms + 8)·2⁻²⁴ of the largest
// element wanted (at least 1): each float32 operation rounds by at most 2⁻²⁴ of
// its result, and 8 covers roundings outside the sum. Central differences of the
// twin with step 10⁻⁵ add less than 10⁻⁸.
func Check(t *testing.T, c Op) {
	t.Helper()
	first := c.run(t, 1)
	again := c.run(t, 3)
	twin := c.Twin(wide(c.Params), wide(c.Inputs))
	c.compare(t, "value", first.value, twin)
	for i, p := range c.Params {
		c.compare(t, "gradient of "+p.Name, first.grads[i], c.differences(i, first.pull))
		if !alike(again.grads[i], first.grads[i]) {
			t.Errorf("%s: gradient of %s changes with the number of workers", c.Name, p.Name)
		}
	}
	if !alike(again.value, first.value) {
		t.Errorf("%s: value changes with the number of workers", c.Name)
	}
}

type result struct {
	value, pull []float32
	grads       [][]float32
}

func (c Op) run(t *testing.T, workers int) result {
	t.Helper()
	var y graph.Node
	pull := []float32{1}
	program, err := graph.Build(Engine(workers), func(b *graph.Builder) {
		var params, inputs []graph.Node
		for _, p := range c.Params {
			params = append(params, b.Param(p))
		}
		for _, p := range c.Inputs {
			n, values := b.Input(p.Name, p.Shape...)
			copy(values, p.Value)
			inputs = append(inputs, n)
		}
		y = c.Build(b, params, inputs)
		b.Output(y)
		if len(c.Params) == 0 {
			return
		}
		loss := y
		if len(y.Shape()) > 0 {
			var weights graph.Node
			weights, pull = b.Input("pull", y.Shape()...)
			rng := rand.New(rand.NewPCG(7, 7))
			for i := range pull {
				pull[i] = float32(rng.NormFloat64())
			}
			loss = b.Dot(y, weights)
		}
		b.Gradients(loss, c.Params)
	})
	if err != nil {
		t.Fatalf("%s: %v", c.Name, err)
	}
	var before [][]float32
	for _, p := range c.Params {
		before = append(before, slices.Clone(p.Value))
	}
	r := result{pull: pull}
	for run := range 2 {
		if err := program.Run(); err != nil {
			t.Fatalf("%s: %v", c.Name, err)
		}
		value := slices.Clone(program.Values(y))
		var grads [][]float32
		for i, p := range c.Params {
			grads = append(grads, slices.Clone(program.Grad(i)))
			if !slices.Equal(p.Value, before[i]) {
				t.Fatalf("%s: %s was overwritten", c.Name, p.Name)
			}
		}
		if run == 1 && !(slices.Equal(value, r.value) && slices.EqualFunc(grads, r.grads, slices.Equal[[]float32])) {
			t.Errorf("%s: a second run gives other values", c.Name)
		}
		r.value, r.grads = value, grads
	}
	return r
}

// differences returns the gradient of Σ pull·y with respect to the i-th parameter
// by central differences of the twin.
func (c Op) differences(i int, pull []float32) []float64 {
	params, inputs := wide(c.Params), wide(c.Inputs)
	loss := func() float64 {
		sum := 0.0
		for j, y := range c.Twin(params, inputs) {
			sum += float64(pull[j]) * y
		}
		return sum
	}
	grad := make([]float64, len(params[i]))
	for j := range grad {
		x, step := params[i][j], 1e-5
		params[i][j] = x + step
		up := loss()
		params[i][j] = x - step
		grad[j] = (up - loss()) / (2 * step)
		params[i][j] = x
	}
	return grad
}

func (c Op) compare(t *testing.T, what string, got []float32, want []float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %s has %d elements, want %d", c.Name, what, len(got), len(want))
		return
	}
	scale := 1.0
	for _, w := range want {
		scale = max(scale, math.Abs(w))
	}
	tolerance := float64(c.Terms+8)*math.Exp2(-24)*scale + 1e-8
	for i, w := range want {
		if d := math.Abs(float64(got[i]) - w); !(d <= tolerance) {
			t.Errorf("%s: %s: element %d is %g, want %g (tolerance %.1g)", c.Name, what, i, got[i], w, tolerance)
			return
		}
	}
}

// alike holds up to the rounding of a sum that is cut into other shards.
func alike(a, b []float32) bool {
	return slices.EqualFunc(a, b, func(x, y float32) bool {
		return math.Abs(float64(x-y)) <= 1e-5*max(1, math.Abs(float64(y)))
	})
}

func wide(params []*graph.Param) [][]float64 {
	w := make([][]float64, len(params))
	for i, p := range params {
		for _, v := range p.Value {
			w[i] = append(w[i], float64(v))
		}
	}
	return w
}

// Engine returns an engine with the matrix product that the variable ELBO_BLAS
// chooses, so that the same tests serve every library.
func Engine(workers int) *graph.Engine {
	lib, _ := blas.Open(os.Getenv("ELBO_BLAS"))
	return graph.NewEngine(workers, lib)
}

// Random returns a parameter of standard normal numbers times scale.
func Random(name string, seed uint64, scale float64, shape ...int) *graph.Param {
	p := graph.NewParam(name, shape...)
	rng := rand.New(rand.NewPCG(seed, 1))
	for i := range p.Value {
		p.Value[i] = float32(scale * rng.NormFloat64())
	}
	return p
}
