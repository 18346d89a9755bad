package graph

import (
	"elbo/graph/elementary"
	"elbo/graph/simd"
)

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
	expm1 := make([]float32, rows*z) // σ² - 1, which the backward pass needs as well
	return b.apply(op{
		kind: "kl",
		in:   []Node{h},
		out:  []int{rows},
		forward: func(kl []float32, in [][]float32) {
			for i := range rows {
				copy(expm1[i*z:][:z], in[0][i*2*z+z:])
			}
			simd.Expm1(expm1)
			for i := range kl {
				mu, logVar, e := in[0][i*2*z:][:z], in[0][i*2*z+z:][:z], expm1[i*z:][:z]
				sum := 0.0
				for j, m := range mu {
					// σ² - 1 - log σ² cancels near 0, where most of a collapsed
					// posterior lies: the difference of the first two is exact.
					sum += float64(float64(m)*float64(m)) + (float64(e[j]) - float64(logVar[j]))
				}
				kl[i] = float32(sum / 2)
			}
		},
		wrt: []bool{true},
		derivative: func(kl, dkl Node) []Node {
			return []Node{b.apply(op{
				kind: "kl.dh",
				in:   []Node{h, kl, dkl}, // kl is there for the order: expm1 is written with it
				out:  h.Shape(),
				forward: func(dh []float32, in [][]float32) {
					for i, g := range in[2] {
						mu, e := in[0][i*2*z:][:z], expm1[i*z:][:z]
						dmu, dlogVar := dh[i*2*z:][:z], dh[i*2*z+z:][:z]
						for j, m := range mu {
							dmu[j] = g * m
							dlogVar[j] = g * e[j] / 2
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
	return (float64(mu*mu) + elementary.Expm1(logVar) - logVar) / 2
}
