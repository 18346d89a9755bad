package graph_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"elbo/graph"
	"elbo/graph/graphtest"
)

// TestBlackPixelsAreLeftOutOfNoBit: a layer on images, the gradient of its weights, and the
// statistics of a table have the same bits whether the images are an input, whose zeros are
// left out where most pixels are black and none is grey, or a parameter, whose are not; also
// where a weight is no number, and for any number of workers.
func TestBlackPixelsAreLeftOutOfNoBit(t *testing.T) {
	if !graphtest.Engine(1).BLAS.SameEverywhere() {
		t.Skip("a library that was asked for multiplies")
	}
	rng := rand.New(rand.NewPCG(1, 2))
	const rows, d, out, k = 70, 130, 45, 33
	for _, c := range []struct {
		name          string
		white, member float64 // shares of pixels that are 1, of a table that are not 0
		grey          bool
		strange       float32 // among the weights
	}{
		{name: "few are white", white: 0.13, member: 0.5},
		{name: "few are members", white: 0.13, member: 0.03},
		{name: "most are white", white: 0.8, member: 0.5},
		{name: "one is grey", white: 0.1, member: 0.5, grey: true},
		{name: "all are black", white: 0, member: 0.5},
		{name: "an infinite weight", white: 0.13, member: 0.03, strange: float32(math.Inf(1))},
		{name: "a weight that is no number", white: 0.13, member: 0.5, strange: float32(math.NaN())},
	} {
		pixels, table := make([]float32, rows*d), make([]float32, rows*k)
		for i := range pixels {
			if rng.Float64() < c.white {
				pixels[i] = 1
			}
		}
		for i := range table {
			if rng.Float64() < c.member {
				table[i] = rng.Float32()
			}
		}
		if c.grey {
			pixels[len(pixels)-1] = 0.5
		}
		w, bias := graphtest.Random("l.w", 3, 1, out, d), graphtest.Random("l.b", 4, 1, out)
		if c.strange != 0 {
			w.Value[rng.IntN(len(w.Value))], table[rng.IntN(len(table))] = c.strange, c.strange
		}
		run := func(workers int, input bool) (all [][]float32) {
			var y, sums graph.Node
			p, err := graph.Build(graphtest.Engine(workers), func(b *graph.Builder) {
				var x graph.Node
				if input {
					var values []float32
					x, values = b.Input("x", rows, d)
					copy(values, pixels)
				} else {
					x = b.Param(&graph.Param{Name: "x.x", Shape: []int{rows, d}, Value: pixels})
				}
				q, values := b.Input("q", rows, k)
				copy(values, table)
				y, sums = b.Affine(x, b.Param(w), b.Param(bias), graph.Tanh), b.Sums(q, x)
				b.Output(y, sums)
				pull, values := b.Input("pull", rows, out)
				for i := range values {
					values[i] = float32(i%7) - 3
				}
				b.Gradients(b.Dot(y, pull), []*graph.Param{w, bias})
			})
			if err != nil {
				t.Fatal(err)
			}
			for range 2 { // what a run leaves is no matter to the next
				if err := p.Run(); err != nil {
					t.Fatal(err)
				}
			}
			return [][]float32{p.Values(y), p.Values(sums), p.Grad(0), p.Grad(1)}
		}
		want := run(1, false)
		for workers := 1; workers <= 3; workers++ {
			for i, got := range run(workers, true) {
				for j, v := range got {
					if w := want[i][j]; math.Float32bits(v) != math.Float32bits(w) && (v == v || w == w) {
						t.Fatalf("%s, %d workers: element %d of %s is %g, want %g", c.name, workers, j, []string{"y", "the sums", "dW", "db"}[i], v, want[i][j])
					}
				}
			}
		}
	}
}

// BenchmarkBits is a layer on images, forward and backward, black and white or with one that
// is grey, and the statistics of a table of which three in a hundred are not 0.
func BenchmarkBits(b *testing.B) {
	for _, s := range []struct{ images, out int }{{128, 400}, {20, 200}, {1000, 500}} {
		for _, grey := range []float32{0, 0.5} {
			b.Run(fmt.Sprintf("%dx784-%d/grey=%t", s.images, s.out, grey > 0), func(b *testing.B) {
				rng := rand.New(rand.NewPCG(1, 2))
				w, bias := graphtest.Random("l.w", 3, 1, s.out, 784), graphtest.Random("l.b", 4, 1, s.out)
				program, err := graph.Build(graphtest.Engine(2), func(g *graph.Builder) {
					x, values := g.Input("x", s.images, 784)
					for i := range values {
						if rng.Float64() < 0.13 {
							values[i] = 1
						}
					}
					values[0] = grey
					q, values := g.Input("q", s.images, s.out)
					for i := range values {
						if rng.Float64() < 0.03 {
							values[i] = rng.Float32()
						}
					}
					y := g.Affine(x, g.Param(w), g.Param(bias), graph.Identity)
					g.Output(g.Sums(q, x))
					g.Gradients(g.Dot(y, q), []*graph.Param{w, bias})
				})
				if err != nil {
					b.Fatal(err)
				}
				for b.Loop() {
					if err := program.Run(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
