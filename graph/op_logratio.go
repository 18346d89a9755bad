package graph

// LogPriorRatio returns the part of an importance weight that knows no pixels,
// one value a draw:
//
//	log p(z) - log q(z|x) = ½ Σ_Z (ε² + log σ² - z²),  z = μ + σ ε
//
// where p = N(0, I) and q = N(μ, diag σ²); the constants cancel. h = [μ | log σ²]
// is [B, 2Z], eps and z are [B·S, Z]; the result is [B·S], in nats. Its mean over
// many draws is -KL(q ‖ p). The gradient flows to h directly (log σ²) and through
// z.
//
// Source: Burda, Grosse, Salakhutdinov 2016, equation 8.
func (b *Builder) LogPriorRatio(h, eps, z Node) Node {
	d, e := b.draws("logratio", h, z), b.engine
	b.want(eps.Rows() == z.Rows() && eps.Cols() == z.Cols(), "logratio: noise %v and draws %v differ in shape", eps.Shape(), z.Shape())
	return b.apply(op{
		kind: "logratio",
		in:   []Node{h, eps, z},
		out:  []int{z.Rows()},
		forward: func(y []float32, in [][]float32) {
			e.Split(len(y), 1+elementGrain/d.z, func(lo, hi int) {
				for r := lo; r < hi; r++ {
					logVar := in[0][r/d.s*2*d.z+d.z:][:d.z]
					eps, z := in[1][r*d.z:][:d.z], in[2][r*d.z:][:d.z]
					sum := 0.0
					for j, v := range logVar {
						eps, z := float64(eps[j]), float64(z[j])
						sum += (float64(eps*eps) - float64(z*z)) + float64(v)
					}
					y[r] = float32(sum / 2)
				}
			})
		},
		wrt: []bool{true, false, true},
		derivative: func(_, dy Node) []Node {
			dh := b.apply(op{
				kind: "logratio.dh",
				in:   []Node{h, dy},
				out:  h.Shape(),
				forward: func(dh []float32, in [][]float32) {
					for i := range d.b {
						sum := float32(0)
						for _, g := range in[1][i*d.s:][:d.s] {
							sum += float32(g / 2)
						}
						row := dh[i*2*d.z:][:2*d.z]
						clear(row[:d.z])
						for j := d.z; j < 2*d.z; j++ {
							row[j] = sum
						}
					}
				},
			})
			dz := b.apply(op{
				kind: "logratio.dz",
				in:   []Node{z, dy},
				out:  z.Shape(),
				forward: func(dz []float32, in [][]float32) {
					for i, z := range in[0] {
						dz[i] = -in[1][i/d.z] * z
					}
				},
			})
			return []Node{dh, none, dz}
		},
	})
}
