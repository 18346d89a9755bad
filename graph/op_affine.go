package graph

import (
	"fmt"

	"github.com/viterin/vek/vek32"
)

// Affine applies a layer to every row of x:
//
//	y = f(x Wᵀ + b)
//
// x is [B, in], w [out, in] as torch.nn.Linear stores it, bias [out]; the result
// is [B, out]. Gradients, with δ = dy · f'(a):
//
//	dx = δ W        dW = δᵀ x        db = Σ_B δ
//
// x has no gradient where it is an input of the graph: the product that it would
// cost, the largest of a network, is not computed.
func (b *Builder) Affine(x, w, bias Node, f Activation) Node {
	rows, in, out := x.Rows(), x.Cols(), w.Rows()
	b.want(w.Cols() == in && bias.Rows() == out, "affine: x %v, w %v, bias %v: want [B in], [out in], [out]", x.Shape(), w.Shape(), bias.Shape())
	e := b.engine
	dxWanted := !b.data[x.node]
	operands, found := []Node{x, w, bias}, b.bitsOf(x)
	if found != nil {
		operands = append(operands, found.found)
	}
	return b.apply(op{
		kind: "affine",
		note: string(f),
		in:   operands,
		out:  []int{rows, out},
		forward: func(y []float32, in32 [][]float32) {
			p := product{transB: true, m: rows, n: out, k: in, a: in32[0], b: in32[1], bias: in32[2], f: f, c: y}
			if found != nil && in32[3][0] == 1 {
				e.computeOfBits(p, found.matrix)
			} else {
				e.compute(p)
			}
		},
		wrt: []bool{dxWanted, true, true, false}[:len(operands)],
		derivative: func(y, dy Node) []Node {
			delta := dy
			if f != Identity {
				delta = b.chain(f, y, dy)
			}
			dx := none
			if dxWanted {
				dx = b.product("affine.dx", false, false, delta, w, rows, in, out)
			}
			dw := b.sums("affine.dw", delta, x)
			return []Node{dx, dw, b.sumRows(delta), none}[:len(operands)]
		},
	})
}

// elementGrain is the least number of elements that makes a shard of an
// elementwise loop worth a hand-off.
const elementGrain = 1 << 12

// chain is δ = dy · f'(a), from the output y = f(a).
func (b *Builder) chain(f Activation, y, dy Node) Node {
	e := b.engine
	return b.apply(op{
		kind: "affine.chain",
		note: string(f),
		in:   []Node{y, dy},
		out:  y.Shape(),
		forward: func(da []float32, in [][]float32) {
			e.Split(len(da), elementGrain, func(lo, hi int) { f.chain(da[lo:hi], in[0][lo:hi], in[1][lo:hi]) })
		},
	})
}

// product is op(a) op(c), [m, n], with k terms in each sum.
func (b *Builder) product(kind string, transA, transC bool, a, c Node, m, n, k int) Node {
	e := b.engine
	return b.apply(op{
		kind: kind,
		note: fmt.Sprintf("%d×%d×%d", m, k, n),
		in:   []Node{a, c},
		out:  []int{m, n},
		forward: func(y []float32, in [][]float32) {
			e.compute(product{transA: transA, transB: transC, m: m, n: n, k: k, a: in[0], b: in[1], c: y})
		},
	})
}

// sums is Σ_rows aᵀ x, [columns of a, columns of x]; with images for x, the black pixels
// are left out.
func (b *Builder) sums(kind string, a, x Node) Node {
	m, n, k, e := a.Cols(), x.Cols(), a.Rows(), b.engine
	found := b.bitsOf(x)
	if found == nil {
		return b.product(kind, true, false, a, x, m, n, k)
	}
	found.wantTransposed(k, n)
	return b.apply(op{
		kind: kind,
		note: fmt.Sprintf("%d×%d×%d", m, k, n),
		in:   []Node{a, x, found.found},
		out:  []int{m, n},
		forward: func(y []float32, in [][]float32) {
			p := product{transA: true, m: m, n: n, k: k, a: in[0], b: in[1], c: y}
			if in[2][0] == 1 {
				e.computeByBits(p, found.transposed)
			} else {
				e.compute(p)
			}
		},
	})
}

// sumRows is Σ_rows a, one number a column.
func (b *Builder) sumRows(a Node) Node {
	rows, cols, e := a.Rows(), a.Cols(), b.engine
	return b.apply(op{
		kind: "affine.db",
		in:   []Node{a},
		out:  []int{cols},
		forward: func(y []float32, in [][]float32) {
			e.Split(cols, 1+2*elementGrain/rows, func(lo, hi int) {
				copy(y[lo:hi], in[0][lo:hi])
				for r := 1; r < rows; r++ {
					vek32.Add_Inplace(y[lo:hi], in[0][r*cols+lo:r*cols+hi])
				}
			})
		},
	})
}
