package graph

import (
	"math"

	"elbo/graph/elementary"
)

// GaussianLogLik returns the log-density of grey levels under independent
// Gaussians with the given means and one variance for all pixels, one value a
// draw:
//
//	log p(x|m, v) = -½ Σ_D ( (x - m)²/σ² + log σ² + log 2π )
//
// x is [B, D], m [B·S, D], logVar = log σ² is [1]; the result is [B·S], summed
// over D, in nats (of a density: it may be positive, and grows without end as σ²
// falls on data that the means can reach). The variance has a gradient if it is a
// parameter; x has none.
func (b *Builder) GaussianLogLik(x, m, logVar Node) Node {
	images, d, rows := x.Rows(), x.Cols(), m.Rows()
	b.want(m.Cols() == d && images > 0 && rows%images == 0 && logVar.Rows() == 1, "gaussian: pixels %v, means %v, log-variance %v: want [B D], [B·S D], [1]", x.Shape(), m.Shape(), logVar.Shape())
	if b.err != nil {
		return none
	}
	s, e := rows/images, b.engine
	squares := make([]float64, rows) // Σ_D (x - m)², kept for the variance's gradient
	return b.apply(op{
		kind: "gaussian",
		in:   []Node{x, m, logVar},
		out:  []int{rows},
		forward: func(y []float32, in [][]float32) {
			v := float64(in[2][0])
			precision := elementary.Exp(-v)
			e.Split(rows, 1+elementGrain/d, func(lo, hi int) {
				for r := lo; r < hi; r++ {
					squares[r] = squaredDistance(in[0][r/s*d:][:d], in[1][r*d:][:d])
					y[r] = float32(-(float64(squares[r]*precision) + float64(float64(d)*(v+elementary.Log(2*math.Pi)))) / 2)
				}
			})
		},
		wrt: []bool{false, true, true},
		derivative: func(y, dy Node) []Node {
			dm := b.apply(op{
				kind: "gaussian.dm",
				in:   []Node{x, m, logVar, dy},
				out:  m.Shape(),
				forward: func(dm []float32, in [][]float32) {
					precision := float32(elementary.Exp(-float64(in[2][0])))
					e.Split(rows, 1+elementGrain/d, func(lo, hi int) {
						for r := lo; r < hi; r++ {
							g := in[3][r] * precision
							x, m := in[0][r/s*d:][:d], in[1][r*d:][:d]
							for j, row := 0, dm[r*d:][:d]; j < d; j++ {
								row[j] = g * (x[j] - m[j])
							}
						}
					})
				},
			})
			dv := b.apply(op{
				kind: "gaussian.dv",
				in:   []Node{y, logVar, dy},
				out:  []int{1},
				forward: func(dv []float32, in [][]float32) {
					precision := elementary.Exp(-float64(in[1][0]))
					sum := 0.0
					for r, g := range in[2] {
						sum += float64(float64(g) * (float64(squares[r]*precision) - float64(d)) / 2)
					}
					dv[0] = float32(sum)
				},
			})
			return []Node{none, dm, dv}
		},
	})
}

func squaredDistance(x, m []float32) float64 {
	m = m[:len(x)]
	sum := 0.0
	for j, v := range x {
		sum += float64(float64(v-m[j]) * float64(v-m[j]))
	}
	return sum
}
