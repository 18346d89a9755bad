package graph

import "github.com/viterin/vek/vek32"

// pixelLogLik is a log-likelihood of images, x [B, D], under the decoder's output l [B·S, O].
// rowLogLik returns the log-likelihood of one row and leaves its derivative with respect to
// l in slope, [O], unless that is nil.
func (b *Builder) pixelLogLik(kind string, x, l Node, rowLogLik func(x, l, slope []float32) float64) Node {
	images, d, rows, outputs := x.Rows(), x.Cols(), l.Rows(), l.Cols()
	b.want(d > 0 && outputs > 0 && images > 0 && rows%images == 0, "%s: pixels %v and decoder output %v: want [B D] and [B·S O]", kind, x.Shape(), l.Shape())
	if b.err != nil {
		return none
	}
	s, e := rows/images, b.engine
	grain := 1 + elementGrain/outputs
	// What the forward pass knows, the backward pass need not compute again. No
	// operation but this pair touches the buffer, and an edge orders the two. It is nil
	// where nobody asks for a gradient.
	var slopes []float32
	return b.apply(op{
		kind: kind,
		in:   []Node{x, l},
		out:  []int{rows},
		forward: func(y []float32, in [][]float32) {
			e.Split(rows, grain, func(lo, hi int) {
				for r := lo; r < hi; r++ {
					var slope []float32
					if slopes != nil {
						slope = slopes[r*outputs:][:outputs]
					}
					y[r] = float32(rowLogLik(in[0][r/s*d:][:d], in[1][r*outputs:][:outputs], slope))
				}
			})
		},
		wrt: []bool{false, true},
		derivative: func(y, dy Node) []Node {
			slopes = make([]float32, rows*outputs)
			return []Node{none, b.apply(op{
				kind: kind + ".dl",
				in:   []Node{y, dy},
				out:  l.Shape(),
				forward: func(dl []float32, in [][]float32) {
					e.Split(rows, grain, func(lo, hi int) {
						for r := lo; r < hi; r++ {
							vek32.MulNumber_Into(dl[r*outputs:][:outputs], slopes[r*outputs:][:outputs], in[1][r])
						}
					})
				},
			})}
		},
	})
}

// onePerPixel fails where the decoder's output is not one number a pixel.
func (b *Builder) onePerPixel(kind string, x, l Node) {
	b.want(l.Cols() == x.Cols(), "%s: pixels %v and decoder output %v: want [B D] and [B·S D]", kind, x.Shape(), l.Shape())
}

// PairOf returns where, in a decoder's output of two numbers for each value of an image, the
// first of value i stands; the second stands channels behind it. A pixel has the first
// numbers of its channels, and then the second ones.
func PairOf(i, channels int) int { return i/channels*2*channels + i%channels }
