package graph

import "github.com/viterin/vek/vek32"

// Sums returns the sufficient statistics Σ_B q x of each state: q is [B, K], x
// [B, D], the result [K, D]. It has no gradient.
func (b *Builder) Sums(q, x Node) Node {
	b.want(q.Rows() == x.Rows(), "sums: q %v and x %v: want [B K] and [B D]", q.Shape(), x.Shape())
	return b.product("sums", true, false, q, x, q.Cols(), x.Cols(), q.Rows())
}

// Counts returns Σ_B q, the weight of each state: q is [B, K], the result [K]. It has
// no gradient.
func (b *Builder) Counts(q Node) Node { return b.sumRows(q) }

// Square returns x², elementwise, of a matrix. It has no gradient.
func (b *Builder) Square(x Node) Node {
	return b.apply(op{
		kind:    "square",
		in:      []Node{x},
		out:     x.Shape(),
		forward: func(y []float32, in [][]float32) { vek32.Mul_Into(y, in[0], in[0]) },
	})
}

// GaussianStates returns the log-density of every image under every state's diagonal
// Gaussian:
//
//	log p(x|z=k) = base_k - ½ Σ_D λ (x - m)²,  base_k = ½ Σ_D (log λ - log 2π)
//
// x is [B, D], mean and precision λ [K, D], base [K]; the result is [B, K], in nats.
// Squares are of differences, not differences of squares, so that a narrow state
// loses no digits. It has no gradient.
func (b *Builder) GaussianStates(x, mean, precision, base Node) Node {
	rows, d, k, e := x.Rows(), x.Cols(), mean.Rows(), b.engine
	b.want(mean.Cols() == d && precision.Rows() == k && precision.Cols() == d && base.Rows() == k,
		"gaussianstates: x %v, mean %v, precision %v, base %v: want [B D], [K D], [K D], [K]", x.Shape(), mean.Shape(), precision.Shape(), base.Shape())
	return b.apply(op{
		kind: "gaussianstates",
		in:   []Node{x, mean, precision, base},
		out:  []int{rows, k},
		forward: func(y []float32, in [][]float32) {
			e.Split(rows, 1+elementGrain/(k*d), func(lo, hi int) {
				for r := lo; r < hi; r++ {
					for s := range k {
						y[r*k+s] = in[3][s] - mahalanobis(in[0][r*d:][:d], in[1][s*d:][:d], in[2][s*d:][:d])/2
					}
				}
			})
		},
	})
}

// mahalanobis is Σ λ (x - m)², in four sums that do not wait for each other.
func mahalanobis(x, m, lambda []float32) float32 {
	m, lambda = m[:len(x)], lambda[:len(x)]
	var s [4]float32
	i := 0
	for ; i+4 <= len(x); i += 4 {
		for j := range s {
			d := x[i+j] - m[i+j]
			s[j] += lambda[i+j] * d * d
		}
	}
	for ; i < len(x); i++ {
		d := x[i] - m[i]
		s[0] += lambda[i] * d * d
	}
	return (s[0] + s[1]) + (s[2] + s[3])
}
