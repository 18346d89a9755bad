package graph

import (
	"math"

	"github.com/viterin/vek/vek32"

	"elbo/graph/simd"
)

// The letter K counts the states of a discrete latent variable: the components of a
// mixture, the points of a grid.

// Posterior returns, for the joint log-probabilities of images and states, the
// evidence of each image and the table of its posterior over states:
//
//	log p(x) = log Σ_K exp joint        q = w exp(joint - log p(x))
//
// joint is [B, K], weight [B]; evidence is [B], in nats, table [B, K] with rows that
// sum to the weight of the image: 1, or 0 for a row of padding. The gradient of the
// evidence with respect to joint is the posterior; the table has none.
//
// A joint of -∞ is a state of no probability; an image for which all are -∞ has the
// evidence -∞ and a table of zeros.
func (b *Builder) Posterior(joint, weight Node) (evidence, table Node) {
	rows, k, e := joint.Rows(), joint.Cols(), b.engine
	b.want(weight.Rows() == rows, "posterior: joint %v and weight %v: want [B K] and [B]", joint.Shape(), weight.Shape())
	if b.err != nil {
		return none, none
	}
	q := make([]float32, rows*k) // kept for the table and for the gradient
	evidence = b.apply(op{
		kind: "evidence",
		in:   []Node{joint},
		out:  []int{rows},
		forward: func(y []float32, in [][]float32) {
			e.Split(rows, 1+elementGrain/k, func(lo, hi int) {
				for r := lo; r < hi; r++ {
					y[r] = softmax(q[r*k:][:k], in[0][r*k:][:k])
				}
			})
		},
		wrt: []bool{true},
		derivative: func(y, dy Node) []Node {
			return []Node{b.scaleRows("evidence.djoint", q, y, dy, k)}
		},
	})
	return evidence, b.scaleRows("table", q, evidence, weight, k)
}

// scaleRows returns the rows of kept, each times its scale. The node after is there
// for the order: kept is written when it is computed.
func (b *Builder) scaleRows(kind string, kept []float32, after, scale Node, k int) Node {
	rows, e := scale.Rows(), b.engine
	return b.apply(op{
		kind: kind,
		in:   []Node{after, scale},
		out:  []int{rows, k},
		forward: func(y []float32, in [][]float32) {
			e.Split(rows, 1+elementGrain/k, func(lo, hi int) {
				for r := lo; r < hi; r++ {
					if in[1][r] == 0 { // a row of padding may hold anything
						clear(y[r*k:][:k])
						continue
					}
					vek32.MulNumber_Into(y[r*k:][:k], kept[r*k:][:k], in[1][r])
				}
			})
		},
	})
}

// softmax writes q = exp(a) / Σ exp(a) and returns log Σ exp(a).
func softmax(q, a []float32) float32 {
	top := vek32.Max(a)
	if top <= -math.MaxFloat32 { // vek's maximum starts there
		clear(q)
		return float32(math.Inf(-1))
	}
	sum := simd.ExpSum(q, a, top)
	vek32.MulNumber_Inplace(q, float32(1/sum))
	return float32(float64(top) + math.Log(sum))
}

// AddRow returns a + row, with the same row added to each of a's: a is [B, K], row
// [K]. Neither has a gradient.
func (b *Builder) AddRow(a, row Node) Node {
	rows, k, e := a.Rows(), a.Cols(), b.engine
	b.want(row.Rows() == k, "addrow: %v and row %v: want [B K] and [K]", a.Shape(), row.Shape())
	return b.apply(op{
		kind: "addrow",
		in:   []Node{a, row},
		out:  []int{rows, k},
		forward: func(y []float32, in [][]float32) {
			e.Split(rows, 1+elementGrain/k, func(lo, hi int) {
				for r := lo; r < hi; r++ {
					vek32.Add_Into(y[r*k:][:k], in[0][r*k:][:k], in[1])
				}
			})
		},
	})
}

// AddTable returns a + c, elementwise, of two matrices [B, K]. Neither has a gradient.
func (b *Builder) AddTable(a, c Node) Node {
	b.want(a.Rows() == c.Rows() && a.Cols() == c.Cols(), "addtable: %v and %v differ in shape", a.Shape(), c.Shape())
	return b.apply(op{
		kind:    "addtable",
		in:      []Node{a, c},
		out:     a.Shape(),
		forward: func(y []float32, in [][]float32) { vek32.Add_Into(y, in[0], in[1]) },
	})
}

// ExpectedRows returns Σ_K exp(logP) a for each row: the expectation of a under
// log-probabilities logP. a is [B, K], logP [B, K] or, the same for all rows, [K]; the
// result is [B]. A state of no probability counts 0. It has no gradient.
func (b *Builder) ExpectedRows(logP, a Node) Node {
	rows, k, e := a.Rows(), a.Cols(), b.engine
	shared := len(logP.Shape()) == 1
	b.want(shared && logP.Rows() == k || logP.Rows() == rows && logP.Cols() == k, "expectedrows: logP %v and a %v: want [K] or [B K], and [B K]", logP.Shape(), a.Shape())
	p := make([]float32, logP.Rows()*max(1, logP.Cols()))
	return b.apply(op{
		kind: "expectedrows",
		in:   []Node{logP, a},
		out:  []int{rows},
		forward: func(y []float32, in [][]float32) {
			copy(p, in[0])
			simd.Exp(p)
			e.Split(rows, 1+elementGrain/k, func(lo, hi int) {
				for r := lo; r < hi; r++ {
					first := r * k
					if shared {
						first = 0
					}
					y[r] = expectation(p[first:][:k], in[1][r*k:][:k])
				}
			})
		},
	})
}

// expectation is Σ p a, where p = 0 counts 0 whatever a is, in four sums that do not wait
// for each other.
func expectation(p, a []float32) float32 {
	a = a[:len(p)]
	var s [4]float64
	j := 0
	for ; j+4 <= len(p); j += 4 {
		for i := range s {
			s[i] += float64(p[j+i]) * float64(a[j+i])
		}
	}
	for ; j < len(p); j++ {
		s[0] += float64(p[j]) * float64(a[j])
	}
	sum := (s[0] + s[1]) + (s[2] + s[3])
	if sum-sum == 0 {
		return float32(sum)
	}
	sum = 0 // 0 · ∞
	for j, p := range p {
		if p > 0 {
			sum += float64(p) * float64(a[j])
		}
	}
	return float32(sum)
}

// RowDot returns Σ_K q a of each row: q and a are [B, K], the result [B]. It has no
// gradient.
func (b *Builder) RowDot(q, a Node) Node {
	rows, k, e := q.Rows(), q.Cols(), b.engine
	b.want(a.Rows() == rows && a.Cols() == k, "rowdot: %v and %v differ in shape", q.Shape(), a.Shape())
	return b.apply(op{
		kind: "rowdot",
		in:   []Node{q, a},
		out:  []int{rows},
		forward: func(y []float32, in [][]float32) {
			e.Split(rows, 1+elementGrain/k, func(lo, hi int) {
				for r := lo; r < hi; r++ {
					y[r] = vek32.Dot(in[0][r*k:][:k], in[1][r*k:][:k])
				}
			})
		},
	})
}

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
