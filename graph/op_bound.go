package graph

import (
	"slices"

	"github.com/viterin/vek/vek32"
)

// Add returns a + c, elementwise, of two nodes of one shape.
func (b *Builder) Add(a, c Node) Node {
	b.want(slices.Equal(a.Shape(), c.Shape()), "add: %v and %v differ in shape", a.Shape(), c.Shape())
	e := b.engine
	return b.apply(op{
		kind: "add",
		in:   []Node{a, c},
		out:  a.Shape(),
		forward: func(y []float32, in [][]float32) {
			e.Split(len(y), elementGrain, func(lo, hi int) { vek32.Add_Into(y[lo:hi], in[0][lo:hi], in[1][lo:hi]) })
		},
		wrt:        []bool{true, true},
		derivative: func(_, dy Node) []Node { return []Node{dy, dy} },
	})
}

// Sub returns a - c, elementwise, of two vectors.
func (b *Builder) Sub(a, c Node) Node {
	b.want(a.Rows() == c.Rows(), "sub: %v and %v differ in shape", a.Shape(), c.Shape())
	return b.apply(op{
		kind: "sub",
		in:   []Node{a, c},
		out:  []int{a.Rows()},
		forward: func(y []float32, in [][]float32) {
			for i := range y {
				y[i] = in[0][i] - in[1][i]
			}
		},
		wrt: []bool{true, true},
		derivative: func(_, dy Node) []Node {
			return []Node{dy, b.apply(op{
				kind: "sub.dc",
				in:   []Node{dy},
				out:  c.Shape(),
				forward: func(dc []float32, in [][]float32) {
					for i, g := range in[0] {
						dc[i] = -g
					}
				},
			})}
		},
	})
}

// Neg returns -a, elementwise, of a vector.
func (b *Builder) Neg(a Node) Node {
	negate := func(y []float32, in [][]float32) {
		for i, v := range in[0] {
			y[i] = -v
		}
	}
	return b.apply(op{
		kind:    "neg",
		in:      []Node{a},
		out:     a.Shape(),
		forward: negate,
		wrt:     []bool{true},
		derivative: func(_, dy Node) []Node {
			return []Node{b.apply(op{kind: "neg.da", in: []Node{dy}, out: a.Shape(), forward: negate})}
		},
	})
}

// Bound returns the evidence lower bound of each image, with the divergence
// weighted by β:
//
//	bound = recon - β KL
//
// recon and kl are [B], beta is an input of shape [1]; the result is [B], in nats.
// It is a bound on log p(x) for β ≥ 1; for β < 1 it is an objective only.
func (b *Builder) Bound(recon, kl, beta Node) Node {
	b.want(recon.Rows() == kl.Rows() && beta.Rows() == 1, "bound: recon %v, kl %v, beta %v: want [B], [B], [1]", recon.Shape(), kl.Shape(), beta.Shape())
	return b.apply(op{
		kind: "bound",
		in:   []Node{recon, kl, beta},
		out:  []int{recon.Rows()},
		forward: func(y []float32, in [][]float32) {
			for i := range y {
				y[i] = in[0][i] - float32(in[2][0]*in[1][i])
			}
		},
		wrt: []bool{true, true, false},
		derivative: func(_, dy Node) []Node {
			return []Node{dy, b.apply(op{
				kind: "bound.dkl",
				in:   []Node{dy, beta},
				out:  kl.Shape(),
				forward: func(dkl []float32, in [][]float32) {
					for i, g := range in[0] {
						dkl[i] = -in[1][0] * g
					}
				},
			}), none}
		},
	})
}

// NegMean returns the loss that an optimiser lowers, the one place where a bound
// changes its sign:
//
//	loss = - Σ_B w bound / Σ_B w
//
// bound and weight are [B]; the result is a scalar, in nats per image. A padded
// batch gives weight 0 to the rows that are not images. Weights have no gradient,
// and their sum must not be 0.
func (b *Builder) NegMean(bound, weight Node) Node {
	return b.negMean(bound, weight, weight)
}

// NegMeanOf is NegMean where the batch is a share of a larger one, of N images, [1], that
// several processes work on:
//
//	loss = - Σ_B w bound / N
//
// so that losses and gradients add up over the processes to those of the whole batch.
func (b *Builder) NegMeanOf(bound, weight, n Node) Node {
	b.want(n.Rows() == 1, "negmean: images %v, want [1]", n.Shape())
	return b.negMean(bound, weight, n)
}

// negMean divides by the sum of the elements of.
func (b *Builder) negMean(bound, weight, of Node) Node {
	b.want(bound.Rows() == weight.Rows(), "negmean: bound %v and weight %v differ in shape", bound.Shape(), weight.Shape())
	return b.apply(op{
		kind: "negmean",
		in:   []Node{bound, weight, of},
		forward: func(loss []float32, in [][]float32) {
			sum := 0.0
			for i, w := range in[1] {
				if w != 0 { // a padding row may hold anything
					sum += float64(float64(w) * float64(in[0][i]))
				}
			}
			loss[0] = float32(-sum / total(in[2]))
		},
		wrt: []bool{true, false, false},
		derivative: func(_, dloss Node) []Node {
			return []Node{b.apply(op{
				kind: "negmean.dbound",
				in:   []Node{weight, of, dloss},
				out:  bound.Shape(),
				forward: func(d []float32, in [][]float32) {
					scale := -float64(in[2][0]) / total(in[1])
					for i, w := range in[0] {
						d[i] = float32(float64(w) * scale)
					}
				},
			}), none, none}
		},
	})
}

func total(w []float32) float64 {
	sum := 0.0
	for _, v := range w {
		sum += float64(v)
	}
	return sum
}

// Dot returns Σ a c over all elements, a scalar. c has no gradient: it is the
// weight by which a caller pulls a gradient out of a.
func (b *Builder) Dot(a, c Node) Node {
	b.want(len(a.Shape()) == len(c.Shape()) && a.Rows() == c.Rows() && a.Cols() == c.Cols(), "dot: %v and %v differ in shape", a.Shape(), c.Shape())
	return b.apply(op{
		kind: "dot",
		in:   []Node{a, c},
		forward: func(y []float32, in [][]float32) {
			sum := 0.0
			for i, v := range in[0] {
				sum += float64(float64(v) * float64(in[1][i]))
			}
			y[0] = float32(sum)
		},
		wrt: []bool{true, false},
		derivative: func(_, dy Node) []Node {
			return []Node{b.apply(op{
				kind: "dot.da",
				in:   []Node{c, dy},
				out:  a.Shape(),
				forward: func(da []float32, in [][]float32) {
					for i, v := range in[0] {
						da[i] = v * in[1][0]
					}
				},
			}), none}
		},
	})
}
