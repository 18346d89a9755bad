package graph

import (
	"math"

	"elbo/graph/elementary"
	"elbo/graph/simd"
)

// LogStdNormal returns the log-density of codes under the standard normal, one value a
// row:
//
//	log N(z; 0, I) = -½ Σ_Z (z² + log 2π)
//
// z is [R, Z]; the result is [R], in nats.
func (b *Builder) LogStdNormal(z Node) Node {
	rows, n, e := z.Rows(), z.Cols(), b.engine
	b.want(n > 0, "lognormal: codes %v: want [R Z]", z.Shape())
	return b.apply(op{
		kind: "lognormal",
		in:   []Node{z},
		out:  []int{rows},
		forward: func(y []float32, in [][]float32) {
			e.Split(rows, 1+elementGrain/n, func(lo, hi int) {
				for r := lo; r < hi; r++ {
					sum := float64(n) * elementary.Log(2*math.Pi)
					for _, v := range in[0][r*n:][:n] {
						sum += float64(float64(v) * float64(v))
					}
					y[r] = float32(-sum / 2)
				}
			})
		},
		wrt: []bool{true},
		derivative: func(_, dy Node) []Node {
			return []Node{b.apply(op{
				kind: "lognormal.dz",
				in:   []Node{z, dy},
				out:  z.Shape(),
				forward: func(dz []float32, in [][]float32) {
					for i, v := range in[0] {
						dz[i] = -in[1][i/n] * v
					}
				},
			})}
		},
	})
}

// LogDiagonalNormal returns the log-density of draws z = μ + σ ε under the diagonal
// Gaussians that they are from, one value a draw:
//
//	log N(z; μ, diag σ²) = -½ Σ_Z (ε² + log σ² + log 2π)
//
// h = [μ | log σ²] is [B, 2Z], eps [B·S, Z]; the result is [B·S], in nats. As a function
// of ε it has a gradient with respect to log σ² alone.
func (b *Builder) LogDiagonalNormal(h, eps Node) Node {
	d, e := b.draws("logdiagonal", h, eps), b.engine
	return b.apply(op{
		kind: "logdiagonal",
		in:   []Node{h, eps},
		out:  []int{eps.Rows()},
		forward: func(y []float32, in [][]float32) {
			e.Split(len(y), 1+elementGrain/d.z, func(lo, hi int) {
				for r := lo; r < hi; r++ {
					logVar := in[0][r/d.s*2*d.z+d.z:][:d.z]
					sum := float64(d.z) * elementary.Log(2*math.Pi)
					for j, v := range in[1][r*d.z:][:d.z] {
						sum += float64(float64(v)*float64(v)) + float64(logVar[j])
					}
					y[r] = float32(-sum / 2)
				}
			})
		},
		wrt: []bool{true, false},
		derivative: func(_, dy Node) []Node {
			return []Node{b.apply(op{
				kind: "logdiagonal.dh",
				in:   []Node{h, dy},
				out:  h.Shape(),
				forward: func(dh []float32, in [][]float32) {
					for i := range d.b {
						sum := float32(0)
						for _, g := range in[1][i*d.s:][:d.s] {
							sum -= float32(g / 2)
						}
						row := dh[i*2*d.z:][:2*d.z]
						clear(row[:d.z])
						for j := d.z; j < 2*d.z; j++ {
							row[j] = sum
						}
					}
				},
			}), none}
		},
	})
}

// LogNormal returns the log-density of codes under diagonal Gaussians, one value a code:
//
//	log N(z; μ, diag σ²) = -½ Σ_Z ((z - μ)²/σ² + log σ² + log 2π)
//
// h = [μ | log σ²] is [B, 2Z], z [B·S, Z] with S codes for each Gaussian; the result is
// [B·S], in nats. The gradient flows to h and to z. Where z is a draw μ + σ ε, and ε is at
// hand, LogDiagonalNormal rounds less.
func (b *Builder) LogNormal(h, z Node) Node {
	d, e := b.draws("normal", h, z), b.engine
	precision := make([]float32, d.b*d.z) // 1/σ², kept for the backward pass
	return b.apply(op{
		kind: "normal",
		in:   []Node{h, z},
		out:  []int{z.Rows()},
		forward: func(y []float32, in [][]float32) {
			for i := range d.b {
				row := precision[i*d.z:][:d.z]
				for j, logVar := range in[0][i*2*d.z+d.z:][:d.z] {
					row[j] = -logVar
				}
			}
			simd.Exp(precision)
			e.Split(len(y), 1+elementGrain/d.z, func(lo, hi int) {
				for r := lo; r < hi; r++ {
					i := r / d.s
					mu, logVar, p := in[0][i*2*d.z:][:d.z], in[0][i*2*d.z+d.z:][:d.z], precision[i*d.z:][:d.z]
					sum := float64(d.z) * elementary.Log(2*math.Pi)
					for j, z := range in[1][r*d.z:][:d.z] {
						t := float64(z) - float64(mu[j])
						sum += float64(t*t*float64(p[j])) + float64(logVar[j])
					}
					y[r] = float32(-sum / 2)
				}
			})
		},
		wrt: []bool{true, true},
		derivative: func(y, dy Node) []Node {
			// y is there for the order: the precision is written with it.
			dh := b.apply(op{
				kind: "normal.dh",
				in:   []Node{h, z, y, dy},
				out:  h.Shape(),
				forward: func(dh []float32, in [][]float32) {
					clear(dh)
					e.Split(d.b, 1+elementGrain/(d.s*d.z), func(lo, hi int) {
						for r := lo * d.s; r < hi*d.s; r++ {
							i, g := r/d.s, in[3][r]
							mu, p := in[0][i*2*d.z:][:d.z], precision[i*d.z:][:d.z]
							dmu, dlogVar := dh[i*2*d.z:][:d.z], dh[i*2*d.z+d.z:][:d.z]
							for j, z := range in[1][r*d.z:][:d.z] {
								t := z - mu[j]
								dmu[j] += float32(g * t * p[j])
								dlogVar[j] += float32(g * (float32(t*t*p[j]) - 1) / 2)
							}
						}
					})
				},
			})
			dz := b.apply(op{
				kind: "normal.dz",
				in:   []Node{h, z, y, dy},
				out:  z.Shape(),
				forward: func(dz []float32, in [][]float32) {
					e.Split(len(in[3]), 1+elementGrain/d.z, func(lo, hi int) {
						for r := lo; r < hi; r++ {
							i, g := r/d.s, in[3][r]
							mu, p := in[0][i*2*d.z:][:d.z], precision[i*d.z:][:d.z]
							for j, z := range in[1][r*d.z:][:d.z] {
								dz[r*d.z+j] = -g * (z - mu[j]) * p[j]
							}
						}
					})
				},
			})
			return []Node{dh, dz}
		},
	})
}
