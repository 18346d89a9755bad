package graph

import "math"

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
	d := b.draws("reparameterise", h, eps)
	return b.apply(op{
		kind: "reparameterise",
		in:   []Node{h, eps},
		out:  eps.Shape(),
		forward: func(z []float32, in [][]float32) {
			d.each(in[0], func(i, r int, mu, logVar float32) {
				z[r] = mu + sigma(logVar)*in[1][r]
			})
		},
		wrt: []bool{true, false},
		derivative: func(_, dz Node) []Node {
			return []Node{b.apply(op{
				kind: "reparameterise.dh",
				in:   []Node{h, eps, dz},
				out:  h.Shape(),
				forward: func(dh []float32, in [][]float32) {
					clear(dh)
					d.each(in[0], func(i, r int, _, logVar float32) {
						dh[i] += in[2][r]
						dh[i+d.z] += in[2][r] * in[1][r] * sigma(logVar) / 2
					})
				},
			}), none}
		},
	})
}

// sigma is σ = exp(½ log σ²); it overflows for log σ² above 177.
func sigma(logVar float32) float32 { return float32(math.Exp(float64(logVar) / 2)) }

// drawLoop walks over S draws from each of B diagonal Gaussians over Z
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

// each calls f for every element of the draws: i is the index of its mean in h
// (its log-variance is Z further), r its own index.
func (d drawLoop) each(h []float32, f func(i, r int, mu, logVar float32)) {
	for image := range d.b {
		for s := range d.s {
			for j := range d.z {
				i := image*2*d.z + j
				f(i, (image*d.s+s)*d.z+j, h[i], h[i+d.z])
			}
		}
	}
}
