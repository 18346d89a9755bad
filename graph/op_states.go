package graph

import (
	"fmt"

	"elbo/graph/gemm"
)

// Sums returns the sufficient statistics Σ_B q x of each state: q is [B, K], x
// [B, D], the result [K, D]. It has no gradient.
//
// Where x is an input of black and white images, states to which an image does not belong at
// all, q = 0, are left out, or black pixels, whichever there are more of: either has the bits
// of the whole sum.
func (b *Builder) Sums(q, x Node) Node {
	rows, k, d, e := x.Rows(), q.Cols(), x.Cols(), b.engine
	b.want(q.Rows() == rows, "sums: q %v and x %v: want [B K] and [B D]", q.Shape(), x.Shape())
	found := b.bitsOf(x)
	if found == nil || k < leastBits {
		return b.sums("sums", q, x)
	}
	found.wantTransposed(rows, d)
	member, transposed := gemm.NewBits(rows, k), gemm.NewBits(k, rows)
	return b.apply(op{
		kind: "sums",
		note: fmt.Sprintf("%d×%d×%d", k, rows, d),
		in:   []Node{q, x, found.found},
		out:  []int{k, d},
		forward: func(y []float32, in [][]float32) {
			p := product{transA: true, m: k, n: d, k: rows, a: in[0], b: in[1], c: y}
			if in[2][0] == 0 {
				e.compute(p)
				return
			}
			members, ok := e.rowsOfBits(rows, k, func(lo, hi int) (int, bool) { return member.SetNonzero(in[0], lo, hi) })
			if !ok || float64(members)*float64(d) > float64(found.ones)*float64(k) {
				e.computeByBits(p, found.transposed)
				return
			}
			e.transposeBits(transposed, member, rows, k)
			e.ofBits(k, d, rows, func(lo, hi int) {
				transposed.Weighted(in[0], k, hi-lo, in[1][lo:], d, y[lo:], d)
			})
		},
	})
}

// Counts returns Σ_B q, the weight of each state: q is [B, K], the result [K]. It has
// no gradient.
func (b *Builder) Counts(q Node) Node { return b.sumRows(q) }

// CentredSums returns the sufficient statistics Σ_B q (x - c) of each state and, below
// them, Σ_B q (x - c)²: q is [B, K], x [B, D], the centres c [K, D], the result [2K, D].
//
// With a state's mean as its centre its variance is no difference of large numbers, and a
// narrow one loses no digits. Most of q is 0 where D is large, and costs nothing. It has
// no gradient.
func (b *Builder) CentredSums(q, x, centre Node) Node {
	rows, d, k, e := x.Rows(), x.Cols(), q.Cols(), b.engine
	b.want(q.Rows() == rows && centre.Rows() == k && centre.Cols() == d,
		"centredsums: q %v, x %v, centre %v: want [B K], [B D], [K D]", q.Shape(), x.Shape(), centre.Shape())
	return b.apply(op{
		kind: "centredsums",
		in:   []Node{q, x, centre},
		out:  []int{2 * k, d},
		forward: func(y []float32, in [][]float32) {
			clear(y)
			e.Split(k, 1+elementGrain/(rows*d), func(lo, hi int) {
				for s := lo; s < hi; s++ {
					c, sums, squares := in[2][s*d:][:d], y[s*d:][:d], y[(k+s)*d:][:d]
					for r := range rows {
						if w := in[0][r*k+s]; w != 0 {
							addCentred(sums, squares, w, in[1][r*d:][:d], c)
						}
					}
				}
			})
		},
	})
}

// addCentred adds w (x - c) and w (x - c)².
func addCentred(sums, squares []float32, w float32, x, c []float32) {
	c, sums, squares = c[:len(x)], sums[:len(x)], squares[:len(x)]
	for i, v := range x {
		d := v - c[i]
		sums[i] += float32(w * d)
		squares[i] += float32(w * d * d)
	}
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
						y[r*k+s] = in[3][s] - float32(mahalanobis(in[0][r*d:][:d], in[1][s*d:][:d], in[2][s*d:][:d])/2)
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
			s[j] += float32(lambda[i+j] * d * d)
		}
	}
	for ; i < len(x); i++ {
		d := x[i] - m[i]
		s[0] += float32(lambda[i] * d * d)
	}
	return (s[0] + s[1]) + (s[2] + s[3])
}
