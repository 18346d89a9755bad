package graph

import "elbo/graph/simd"

// KLStdNormalFree returns KLStdNormal with free bits, of λ = free nats for each latent
// dimension:
//
//	Σ_Z { KL_bj         where the mean of KL_j over the batch is at least λ
//	    { λ             where it is less
//
// so that the mean over the batch is Σ_Z max(λ, mean_b KL_j). A dimension that tells less
// than λ has no gradient: nothing pulls it on to 0. h = [μ | log σ²] is [B, 2Z], weight [B]
// that of the images in the mean; the result is [B], in nats. It is an objective, and at least
// the divergence on the mean over the batch.
//
// Source: Kingma, Salimans, Jozefowicz, Chen, Sutskever, Welling 2016, appendix C.8, with a
// group for each latent dimension.
func (b *Builder) KLStdNormalFree(h, weight Node, free float64) Node {
	rows, z := h.Rows(), h.Cols()/2
	b.want(h.Cols() == 2*z && weight.Rows() == rows, "kl with free bits: posterior %v and weight %v: want [B 2Z] and [B]", h.Shape(), weight.Shape())
	expm1 := make([]float32, rows*z) // σ² - 1
	kl, mean := make([]float64, rows*z), make([]float64, z)
	return b.apply(op{
		kind: "kl.free",
		in:   []Node{h, weight},
		out:  []int{rows},
		forward: func(y []float32, in [][]float32) {
			for i := range rows {
				copy(expm1[i*z:][:z], in[0][i*2*z+z:])
			}
			simd.Expm1(expm1)
			clear(mean)
			of := max(total(in[1]), 1)
			for i, w := range in[1] {
				mu, logVar, e := in[0][i*2*z:][:z], in[0][i*2*z+z:][:z], expm1[i*z:][:z]
				for j, m := range mu {
					kl[i*z+j] = (float64(float64(m)*float64(m)) + (float64(e[j]) - float64(logVar[j]))) / 2
					if w != 0 { // a padding row may hold anything
						mean[j] += float64(float64(w)*kl[i*z+j]) / of
					}
				}
			}
			for i := range y {
				sum := 0.0
				for j, own := range kl[i*z:][:z] {
					if mean[j] < free {
						own = free
					}
					sum += own
				}
				y[i] = float32(sum)
			}
		},
		wrt: []bool{true, false},
		derivative: func(y, dy Node) []Node {
			return []Node{b.apply(op{
				kind: "kl.free.dh",
				in:   []Node{h, y, dy}, // y is there for the order: expm1 and mean are written with it
				out:  h.Shape(),
				forward: func(dh []float32, in [][]float32) {
					clear(dh)
					for i, g := range in[2] {
						mu, e := in[0][i*2*z:][:z], expm1[i*z:][:z]
						dmu, dlogVar := dh[i*2*z:][:z], dh[i*2*z+z:][:z]
						for j, m := range mu {
							if !(mean[j] < free) {
								dmu[j] = g * m
								dlogVar[j] = g * e[j] / 2
							}
						}
					}
				},
			}), none}
		},
	})
}
