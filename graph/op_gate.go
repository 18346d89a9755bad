package graph

import "elbo/graph/simd"

// Gate multiplies the left half of every row with a gate from its right half:
//
//	y = h ⊙ s, s = σ(g) = 1 / (1 + exp(-g)), of rows [h | g]
//
// a is [R, 2 H], the result [R, H]. Gradients, in terms of the output and the gate, which is
// kept:
//
//	dh = dy ⊙ s        dg = dy ⊙ y ⊙ (1 - s)
func (b *Builder) Gate(a Node) Node {
	rows, width := a.Rows(), a.Cols()/2
	b.want(width > 0 && a.Cols() == 2*width, "gate: %v: want [R, 2 H]", a.Shape())
	if b.err != nil {
		return none
	}
	e, gate := b.engine, make([]float32, rows*width)
	return b.apply(op{
		kind: "gate",
		in:   []Node{a},
		out:  []int{rows, width},
		forward: func(y []float32, in [][]float32) {
			e.Split(rows, 1+elementGrain/width, func(lo, hi int) {
				for r := lo; r < hi; r++ {
					h, g := in[0][2*r*width:][:width], in[0][(2*r+1)*width:][:width]
					s, y := gate[r*width:][:width], y[r*width:][:width]
					for j, v := range g {
						s[j] = -v
					}
					simd.Exp(s)
					for j, v := range s {
						s[j] = 1 / (1 + v)
						y[j] = h[j] * s[j]
					}
				}
			})
		},
		wrt: []bool{true},
		derivative: func(y, dy Node) []Node {
			return []Node{b.apply(op{
				kind: "gate.da",
				in:   []Node{y, dy},
				out:  []int{rows, 2 * width},
				forward: func(da []float32, in [][]float32) {
					e.Split(rows, 1+elementGrain/width, func(lo, hi int) {
						for r := lo; r < hi; r++ {
							y, dy, s := in[0][r*width:][:width], in[1][r*width:][:width], gate[r*width:][:width]
							dh, dg := da[2*r*width:][:width], da[(2*r+1)*width:][:width]
							for j, v := range dy {
								dh[j] = v * s[j]
								dg[j] = v * y[j] * (1 - s[j])
							}
						}
					})
				},
			})}
		},
	})
}
