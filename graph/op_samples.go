package graph

import (
	"math"

	"elbo/graph/elementary"
)

// SampleMean averages over the draws of each image: v is [B·S], the result [B].
func (b *Builder) SampleMean(v Node, draws int) Node {
	return b.overSamples("samplemean", v, draws, func(v, weight []float32) float64 {
		sum := 0.0
		for s, x := range v {
			sum += float64(x)
			weight[s] = 1 / float32(len(v))
		}
		return sum / float64(len(v))
	})
}

// LogMeanExp returns, for each image, the logarithm of the mean of exp(v) over
// its draws:
//
//	y = log (1/S) Σ_S exp v
//
// v is [B·S], the result [B]. With v = log p(x, z) - log q(z|x) it is the
// importance-weighted bound L_S: a lower bound on log p(x) in expectation for
// every S, though a single estimate may exceed it. The gradient with respect to v
// is the normalised weight softmax(v).
//
// Source: Burda, Grosse, Salakhutdinov 2016, equation 8.
func (b *Builder) LogMeanExp(v Node, draws int) Node {
	return b.overSamples("logmeanexp", v, draws, func(v, weight []float32) float64 {
		top := math.Inf(-1)
		for _, x := range v {
			top = max(top, float64(x))
		}
		sum := 0.0
		for _, x := range v {
			sum += elementary.Exp(float64(x) - top)
		}
		for s, x := range v {
			weight[s] = float32(elementary.Exp(float64(x)-top) / sum)
		}
		return top + elementary.Log(sum/float64(len(v)))
	})
}

// DrawWeights returns the normalised importance weight of each draw among those of its
// image:
//
//	w̃ = exp v / Σ_S exp v
//
// v is [B·S], and so is the result. It has no gradient.
func (b *Builder) DrawWeights(v Node, draws int) Node {
	rows := v.Rows()
	b.want(draws > 0 && rows%max(1, draws) == 0, "drawweights: %v is not %d draws for each image", v.Shape(), draws)
	return b.apply(op{
		kind: "drawweights",
		in:   []Node{v},
		out:  []int{rows},
		forward: func(y []float32, in [][]float32) {
			for i := 0; i < rows; i += draws {
				softmax(y[i:][:draws], in[0][i:][:draws])
			}
		},
	})
}

// overSamples reduces the S draws of each image to one number. reduce returns it
// and leaves its derivative with respect to each draw in weight.
func (b *Builder) overSamples(kind string, v Node, draws int, reduce func(v, weight []float32) float64) Node {
	rows := v.Rows()
	b.want(draws > 0 && rows%max(1, draws) == 0, "%s: %v is not %d draws for each image", kind, v.Shape(), draws)
	if b.err != nil {
		return none
	}
	weights := make([]float32, rows)
	return b.apply(op{
		kind: kind,
		in:   []Node{v},
		out:  []int{rows / draws},
		forward: func(y []float32, in [][]float32) {
			for i := range y {
				y[i] = float32(reduce(in[0][i*draws:][:draws], weights[i*draws:][:draws]))
			}
		},
		wrt: []bool{true},
		derivative: func(y, dy Node) []Node {
			return []Node{b.apply(op{
				kind: kind + ".dv",
				in:   []Node{y, dy},
				out:  []int{rows},
				forward: func(dv []float32, in [][]float32) {
					for r := range dv {
						dv[r] = weights[r] * in[1][r/draws]
					}
				},
			})}
		},
	})
}
