package graph

import "elbo/graph/simd"

// Reparameterise draws z from the approximate posterior as a function of its
// parameters and of noise from outside:
//
//	z = μ + σ ε,  σ = exp(½ log σ²),  ε ~ N(0, I)
//
// h = [μ | log σ²] is [B, 2Z], eps [B·S, Z] with S draws for each image; the
// result is [B·S, Z]. The noise has no gradient.
//
// Source: Kingma and Welling 2014, section 2.4.
func (b *Builder) Reparameterise(h, eps Node) Node {
	d, e := b.draws("reparameterise", h, eps), b.engine
	sigma := make([]float32, d.b*d.z) // kept for the backward pass
	return b.apply(op{
		kind: "reparameterise",
		in:   []Node{h, eps},
		out:  eps.Shape(),
		forward: func(z []float32, in [][]float32) {
			for i := range d.b {
				s := sigma[i*d.z:][:d.z]
				for j, logVar := range in[0][i*2*d.z+d.z:][:d.z] {
					s[j] = logVar / 2
				}
			}
			simd.Exp(sigma)
			e.Split(len(z)/d.z, 1+elementGrain/d.z, func(lo, hi int) {
				for r := lo; r < hi; r++ {
					i := r / d.s
					z, eps := z[r*d.z:][:d.z], in[1][r*d.z:][:d.z]
					mu, s := in[0][i*2*d.z:][:d.z], sigma[i*d.z:][:d.z]
					for j := range z {
						z[j] = mu[j] + float32(s[j]*eps[j])
					}
				}
			})
		},
		wrt: []bool{true, false},
		derivative: func(z, dz Node) []Node {
			return []Node{b.apply(op{
				kind: "reparameterise.dh",
				in:   []Node{z, eps, dz}, // z is there for the order: sigma is written with it
				out:  h.Shape(),
				forward: func(dh []float32, in [][]float32) {
					clear(dh)
					for r := range d.b * d.s {
						i := r / d.s
						eps, dz := in[1][r*d.z:][:d.z], in[2][r*d.z:][:d.z]
						dmu, dlogVar, s := dh[i*2*d.z:][:d.z], dh[i*2*d.z+d.z:][:d.z], sigma[i*d.z:][:d.z]
						for j, g := range dz {
							dmu[j] += g
							dlogVar[j] += float32(g * eps[j] * s[j] / 2)
						}
					}
				},
			}), none}
		},
	})
}

// drawLoop are the extents of S draws from each of B diagonal Gaussians over Z
// dimensions.
type drawLoop struct{ b, s, z int }

func (b *Builder) draws(kind string, h, z Node) drawLoop {
	d := drawLoop{b: h.Rows(), z: z.Cols()}
	if d.b > 0 {
		d.s = z.Rows() / d.b
	}
	b.want(h.Cols() == 2*d.z && d.s*d.b == z.Rows(), "%s: posterior %v and draws %v: want [B 2Z] and [B·S Z]", kind, h.Shape(), z.Shape())
	return d
}
