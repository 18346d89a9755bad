package graph

// Activate applies an activation to every element:
//
//	y = f(a)        da = dy · f'(a)
//
// for networks that have it in front of a layer, as residual ones; elsewhere it is part of the
// layer, see [Builder.Affine] and [Builder.Conv].
func (b *Builder) Activate(a Node, f Activation) Node {
	e := b.engine
	return b.apply(op{
		kind: "activate",
		note: string(f),
		in:   []Node{a},
		out:  a.Shape(),
		forward: func(y []float32, in [][]float32) {
			e.Split(len(y), elementGrain, func(lo, hi int) {
				copy(y[lo:hi], in[0][lo:hi])
				f.apply(y[lo:hi])
			})
		},
		wrt:        []bool{true},
		derivative: func(y, dy Node) []Node { return []Node{b.chain(f, y, dy)} },
	})
}
