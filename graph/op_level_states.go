package graph

import (
	"github.com/viterin/vek/vek32"
)

// LevelStates returns the log-probability of every image under every state, of values of 256
// levels that are independent given the state:
//
//	log p(x|z=k) = Σ_D log P(x_d|z=k)
//
// x is [B, D], of levels v/255, table [D·256, K] as [Engine.LevelTable] has it; the result is
// [B, K], in nats. It has no gradient.
func (b *Builder) LevelStates(x, table Node) Node {
	rows, d, k, e := x.Rows(), x.Cols(), table.Cols(), b.engine
	b.want(table.Rows() == d*Levels, "levelstates: x %v and table %v: want [B D] and [256 D, K]", x.Shape(), table.Shape())
	return b.apply(op{
		kind: "levelstates",
		in:   []Node{x, table},
		out:  []int{rows, k},
		forward: func(y []float32, in [][]float32) {
			// A value's rows of the table stay in the cache for all images.
			e.Split(rows, 1+elementGrain/(k*d), func(lo, hi int) {
				clear(y[lo*k : hi*k])
				for j := range d {
					of := in[1][j*Levels*k:][:Levels*k]
					for r := lo; r < hi; r++ {
						vek32.Add_Inplace(y[r*k:][:k], of[levelOf(in[0][r*d+j])*k:][:k])
					}
				}
			})
		},
	})
}

// levelOf is the level of a number in [0, 1].
func levelOf(x float32) int {
	return int(min(max(float32(x*(Levels-1))+0.5, 0), Levels-1))
}

// LevelSums returns how often each value has each level in each state, Σ_B q 1{x_d = v}: q is
// [B, K], x [B, D] of levels v/255, the result [D·256, K], laid out as the table of LevelStates.
// It has no gradient.
func (b *Builder) LevelSums(q, x Node) Node {
	rows, d, k, e := x.Rows(), x.Cols(), q.Cols(), b.engine
	b.want(q.Rows() == rows, "levelsums: q %v and x %v: want [B K] and [B D]", q.Shape(), x.Shape())
	return b.apply(op{
		kind: "levelsums",
		in:   []Node{q, x},
		out:  []int{d * Levels, k},
		forward: func(y []float32, in [][]float32) {
			e.Split(d, 1+elementGrain/(k*rows), func(lo, hi int) {
				clear(y[lo*Levels*k : hi*Levels*k])
				for j := lo; j < hi; j++ {
					of := y[j*Levels*k:][:Levels*k]
					for r := range rows {
						vek32.Add_Inplace(of[levelOf(in[1][r*d+j])*k:][:k], in[0][r*k:][:k])
					}
				}
			})
		},
	})
}

// weighted is Σ_v w l, of the levels that have a weight: a logarithm of 0 counts nothing without.
func weighted(w, l *[Levels]float32) float64 {
	sum := 0.0
	for v, w := range w {
		if w != 0 {
			sum += float64(float64(w) * float64(l[v]))
		}
	}
	return sum
}

// LevelExpected returns the expected log-probability of each state's values of 256 levels,
//
//	Σ_D Σ_v h_dv log P(v|out_d)
//
// where h says how often value d has level v: h is [D·256, K] as [Builder.LevelSums] returns it,
// or its share, out [K, O], the decoder's output as the family has it. The result is [K], in nats.
// h has no gradient.
func (b *Builder) LevelExpected(h, out Node, f LevelFamily) Node {
	k, o, d, e := h.Cols(), out.Cols(), h.Rows()/Levels, b.engine
	b.want(out.Rows() == k && h.Rows() == d*Levels && d > 0 && o == d*f.Numbers(), "levelexpected: h %v and decoder output %v: want [256 D, K] and [K O]", h.Shape(), out.Shape())
	if b.err != nil {
		return none
	}
	var slopes []float32 // as in pixelLogLik
	return b.apply(op{
		kind: "levelexpected",
		in:   []Node{h, out},
		out:  []int{k},
		forward: func(y []float32, in [][]float32) {
			e.Split(k, 1, func(lo, hi int) {
				numbers := make([]float32, f.Numbers())
				var logP, weights [Levels]float32
				var slope [][Levels]float32
				if slopes != nil {
					slope = make([][Levels]float32, f.Numbers())
				}
				for s := lo; s < hi; s++ {
					sum := 0.0
					for value := range d {
						gather(f, numbers, in[1][s*o:][:o], value)
						f.LogMasses(numbers, &logP, slope)
						for v := range weights {
							weights[v] = in[0][(value*Levels+v)*k+s]
						}
						sum += weighted(&weights, &logP)
						for i := range slope {
							g := weighted(&weights, &slope[i])
							slopes[s*o+f.Place(value, i)] = float32(g)
						}
					}
					y[s] = float32(sum)
				}
			})
		},
		wrt: []bool{false, true},
		derivative: func(y, dy Node) []Node {
			slopes = make([]float32, k*o)
			return []Node{none, b.apply(op{
				kind: "levelexpected.dout",
				in:   []Node{y, dy},
				out:  out.Shape(),
				forward: func(dout []float32, in [][]float32) {
					for s := range k {
						vek32.MulNumber_Into(dout[s*o:][:o], slopes[s*o:][:o], in[1][s])
					}
				},
			})}
		},
	})
}
