package train

import (
	"elbo/graph"
	"elbo/model"
	"elbo/train/onnx"
)

// meanOfPairs adds mean, [N, D], of parameters, [N, 2D]: for a pixel of C channels the first
// numbers of each and then the second ones.
//
//	discretized-logistic  1/255 Σ_{v=1}^{255} σ((μ - (v - ½)/255)/s), what is above each edge of a level
//	beta-binomial         σ(logit)
//	dequantised-gaussian  (256 μ - ½)/255, from 0 to 1
//	gaussian              μ
func (b *exported) meanOfPairs(l model.Likelihood, pixels, channels int) {
	b.split(b.reshape("pixels", "parameters", 2*channels), "halves", []int{channels, channels}, "first", "second")
	switch l.(type) {
	case model.DiscretizedLogistic:
		b.logisticMean("first", "second", pixels)
		return
	case model.BetaBinomial:
		b.node("Sigmoid", "value", "first")
	case model.DequantisedGaussian:
		level := b.node("Sub", "level", b.node("Mul", "width", "first", b.scalar("levels", graph.Levels)), b.scalar("half", 0.5))
		share := b.node("Div", "share", level, b.scalar("white", graph.Levels-1))
		b.node("Max", "value", b.node("Min", "below", share, b.scalar("one", 1)), b.scalar("zero", 0))
	default:
		b.node("Add", "value", "first", b.scalar("zero", 0))
	}
	b.reshape("mean", "value", pixels)
}

// logisticMean has a row for each value, and a column for each edge between two levels, which a
// product fills: μ/s - e/s of the edges e is [1/s μ/s] times [-e 1].
func (b *exported) logisticMean(mu, logS string, pixels int) {
	const edges = graph.Levels - 1
	least := b.node("Max", "log_scale", b.reshape("log_scales", logS, 1), b.scalar("least_log_scale", graph.LeastLogScale))
	inverse := b.node("Exp", "inverse", b.node("Sub", "minus_log_scale", b.scalar("zero", 0), least))
	b.join("lines", []string{inverse, b.node("Mul", "scaled", b.reshape("means", mu, 1), inverse)})
	weight := onnx.Tensor{Name: "edges.weight", Shape: []int{edges, 2}}
	share := onnx.Tensor{Name: "edges.share", Shape: []int{1, edges}}
	for v := range edges {
		weight.Floats = append(weight.Floats, -(float32(v)+0.5)/edges, 1)
		share.Floats = append(share.Floats, 1./edges)
	}
	b.g.Constants = append(b.g.Constants, weight, share, onnx.Tensor{Name: "edges.bias", Shape: []int{edges}, Floats: make([]float32, edges)})
	b.gemm("edges", "lines", weight.Name, "edges.bias")
	b.gemm("value", b.node("Sigmoid", "above", "edges"), share.Name, "zero")
	b.reshape("mean", "value", pixels)
}

// gemm adds x Wᵀ + b.
func (b *exported) gemm(result, x, weight, bias string) {
	b.g.Nodes = append(b.g.Nodes, onnx.Node{Op: "Gemm", Inputs: []string{x, weight, bias}, Outputs: []string{result}, Ints: map[string]int64{"transB": 1}})
}
