package graphtest

import (
	"testing"

	"elbo/graph"
)

// LogLik returns what build, a likelihood, gives each image xs, [D], under one output of the
// decoder, [O]: log p(x|out), in nats.
func LogLik(t *testing.T, xs [][]float32, out []float32, build func(b *graph.Builder, x, out graph.Node) graph.Node) []float32 {
	t.Helper()
	var x, o []float32
	var y graph.Node
	program, err := graph.Build(Engine(2), func(b *graph.Builder) {
		var xNode, outNode graph.Node
		xNode, x = b.Input("x", len(xs), len(xs[0]))
		outNode, o = b.Input("out", len(xs), len(out))
		y = build(b, xNode, outNode)
		b.Output(y)
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, image := range xs {
		copy(x[i*len(image):], image)
		copy(o[i*len(out):], out)
	}
	if err := program.Run(); err != nil {
		t.Fatal(err)
	}
	return program.Values(y)
}
