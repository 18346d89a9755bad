package graph

import "math"

// KLStdNormal returns the divergence of a diagonal Gaussian from the standard
// normal, one value an image:
//
//	KL(N(μ, diag σ²) ‖ N(0, I)) = ½ Σ_Z (μ² + σ² - log σ² - 1)
//
// h = [μ | log σ²] is [B, 2Z]; the result is [B], summed over Z, in nats. It is
// at least 0, and 0 only at μ = 0, log σ² = 0. In float32 it overflows for
// log σ² above 88.
//
// Source: Kingma and Welling 2014, appendix B.
func (b *Builder) KLStdNormal(h Node) Node {
	rows, z := h.Rows(), h.Cols()/2
	b.want(h.Cols() == 2*z, "kl: posterior %v: want [B 2Z]", h.Shape())
	return b.apply(op{
		kind: "kl",
		in:   []Node{h},
		out:  []int{rows},
		forward: func(kl []float32, in [][]float32) {
			for i := range kl {
				mu, logVar := in[0][i*2*z:][:z], in[0][i*2*z+z:][:z]
				sum := 0.0
				for j := range z {
					sum += KLStdNormal(float64(mu[j]), float64(logVar[j]))
				}
				kl[i] = float32(sum)
			}
		},
		wrt: []bool{true},
		derivative: func(_, dkl Node) []Node {
			return []Node{b.apply(op{
				kind: "kl.dh",
				in:   []Node{h, dkl},
				out:  h.Shape(),
				forward: func(dh []float32, in [][]float32) {
					for i, g := range in[1] {
						for j := i * 2 * z; j < i*2*z+z; j++ {
							dh[j] = g * in[0][j]
							dh[j+z] = g * float32(math.Expm1(float64(in[0][j+z]))/2)
						}
					}
				},
			})}
		},
	})
}

// KLStdNormal is KL(N(μ, σ²) ‖ N(0, 1)) of one dimension, in nats.
func KLStdNormal(mu, logVar float64) float64 {
	// exp(v) - 1 - v cancels near 0, where most of a collapsed posterior lies.
	return (mu*mu + math.Expm1(logVar) - logVar) / 2
}
