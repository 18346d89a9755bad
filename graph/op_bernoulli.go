package graph

import (
	"github.com/viterin/vek/vek32"

	"elbo/graph/simd"
)

// BernoulliLogLik returns the log-likelihood of pixels under independent
// Bernoulli distributions with the given logits, one value a draw:
//
//	log p(x|l) = Σ_D ( x l - log(1 + exp l) )
//
// x is [B, D], l [B·S, D]; the result is [B·S], summed over D, in nats. It is
// stable for all finite logits. The gradient with respect to l is x - σ(l); x has
// none.
//
// It is a log-probability for x in {0, 1}. For x between, it is the cross-entropy
// that many tutorials call a likelihood: it does not sum to 1 over x.
func (b *Builder) BernoulliLogLik(x, l Node) Node {
	return b.pixelLogLik("bernoulli", x, l, func(x, l, residual []float32) float64 {
		return simd.Bernoulli(residual, x, l)
	})
}

// pixelLogLik is a log-likelihood that is a sum over pixels, of x [B, D] and the
// decoder's output l [B·S, D]. rowLogLik returns the log-likelihood of one row and
// leaves its derivative with respect to l in residual, unless that is nil.
func (b *Builder) pixelLogLik(kind string, x, l Node, rowLogLik func(x, l, residual []float32) float64) Node {
	images, d, rows := x.Rows(), x.Cols(), l.Rows()
	b.want(l.Cols() == d && images > 0 && rows%images == 0, "%s: pixels %v and decoder output %v: want [B D] and [B·S D]", kind, x.Shape(), l.Shape())
	if b.err != nil {
		return none
	}
	s, e := rows/images, b.engine
	// What the forward pass knows, the backward pass need not compute again. No
	// operation but this pair touches the buffer, and an edge orders the two. It is nil
	// where nobody asks for a gradient.
	var residual []float32
	return b.apply(op{
		kind: kind,
		in:   []Node{x, l},
		out:  []int{rows},
		forward: func(y []float32, in [][]float32) {
			e.Split(rows, 1+elementGrain/d, func(lo, hi int) {
				for r := lo; r < hi; r++ {
					var row []float32
					if residual != nil {
						row = residual[r*d:][:d]
					}
					y[r] = float32(rowLogLik(in[0][r/s*d:][:d], in[1][r*d:][:d], row))
				}
			})
		},
		wrt: []bool{false, true},
		derivative: func(y, dy Node) []Node {
			residual = make([]float32, rows*d)
			return []Node{none, b.apply(op{
				kind: kind + ".dl",
				in:   []Node{y, dy},
				out:  l.Shape(),
				forward: func(dl []float32, in [][]float32) {
					e.Split(rows, 1+elementGrain/d, func(lo, hi int) {
						for r := lo; r < hi; r++ {
							vek32.MulNumber_Into(dl[r*d:][:d], residual[r*d:][:d], in[1][r])
						}
					})
				},
			})}
		},
	})
}
