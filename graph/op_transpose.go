package graph

// Transpose transposes every row of x, which is taken for a matrix of so many rows and columns:
//
//	y[j·rows + i] = x[i·cols + j]
//
// x is [B, rows·cols], and so is the result. The gradient goes the other way. It is what stands
// between the maps of a convolution here, in which the channels of a position are neighbours,
// and those that torch.nn.Flatten and Unflatten have in mind, with channel after channel.
func (b *Builder) Transpose(x Node, rows, cols int) Node {
	b.want(rows > 0 && cols > 0 && x.Cols() == rows*cols, "transpose: x %v, want [B, %d · %d]", x.Shape(), rows, cols)
	return b.apply(op{
		kind:    "transpose",
		in:      []Node{x},
		out:     x.Shape(),
		forward: b.transposition(x.Rows(), rows, cols),
		wrt:     []bool{true},
		derivative: func(_, dy Node) []Node {
			return []Node{b.apply(op{
				kind:    "transpose.dx",
				in:      []Node{dy},
				out:     x.Shape(),
				forward: b.transposition(x.Rows(), cols, rows),
			})}
		},
	})
}

// transposition is that of so many matrices.
func (b *Builder) transposition(count, rows, cols int) func(y []float32, in [][]float32) {
	e, size := b.engine, rows*cols
	return func(y []float32, in [][]float32) {
		e.Split(count, 1+elementGrain/size, func(lo, hi int) {
			for r := lo; r < hi; r++ {
				x, y := in[0][r*size:][:size], y[r*size:][:size]
				for j := range cols {
					to := y[j*rows:][:rows]
					for i := range to {
						to[i] = x[i*cols+j]
					}
				}
			}
		})
	}
}
