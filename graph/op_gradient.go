package graph

// StopGradient returns x as a constant: its values are those of x, and no gradient flows
// back to x.
func (b *Builder) StopGradient(x Node) Node {
	return b.apply(op{
		kind:    "stopgradient",
		in:      []Node{x},
		out:     x.Shape(),
		forward: func(y []float32, in [][]float32) { copy(y, in[0]) },
	})
}

// ScaleGradient returns x, [R, N], whose gradient flows back times a number for each row:
//
//	y = x    dx = s dy
//
// scale is asked for s, [R], once the graph is complete, so that s may depend on y. s has
// no gradient.
func (b *Builder) ScaleGradient(x Node, scale func() Node) Node {
	rows, n := x.Rows(), x.Cols()
	b.want(n > 0, "scalegradient: %v: want [R N]", x.Shape())
	return b.apply(op{
		kind:    "scalegradient",
		in:      []Node{x},
		out:     x.Shape(),
		forward: func(y []float32, in [][]float32) { copy(y, in[0]) },
		wrt:     []bool{true},
		derivative: func(_, dy Node) []Node {
			s := scale()
			b.want(s.Rows() == rows && s.Cols() == 0, "scalegradient: scale %v of %v: want [R]", s.Shape(), x.Shape())
			return []Node{b.apply(op{
				kind: "scalegradient.dx",
				in:   []Node{dy, s},
				out:  x.Shape(),
				forward: func(dx []float32, in [][]float32) {
					for i, g := range in[0] {
						dx[i] = in[1][i/n] * g
					}
				},
			})}
		},
	})
}
