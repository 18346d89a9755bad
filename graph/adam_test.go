package graph_test

import (
	"fmt"
	"testing"

	"elbo/graph"
	"elbo/graph/graphtest"
)

func BenchmarkAdam(b *testing.B) {
	p := graph.NewParam("w", 784, 400)
	for _, workers := range []int{1, 2} {
		b.Run(fmt.Sprintf("workers_%d", workers), func(b *testing.B) {
			adam := graph.NewAdam(1e-3, []*graph.Param{p}, graphtest.Engine(workers))
			grad := make([]float32, len(p.Value))
			for i := range grad {
				grad[i] = float32(i%7) - 3
			}
			for b.Loop() {
				adam.Step(func(int) []float32 { return grad })
			}
			b.ReportMetric(float64(len(grad)*b.N)/b.Elapsed().Seconds()/1e6, "Mparams/s")
		})
	}
}
