package graph

import (
	"math"

	"github.com/viterin/vek/vek32"

	"elbo/graph/elementary"
	"elbo/graph/simd"
)

// LogNormalPairs returns the log-density of every code under every one of K diagonal
// Gaussians:
//
//	y_rk = log N(z_r; m_k, diag s_k²) = -½ Σ_Z ((z - m)²/s² + log s² + log 2π)
//
// z is [R, Z], h = [m | log s²] is [K, 2Z]; the result is [R, K], in nats. Gradients, with
// g = dy and λ = 1/s²:
//
//	dz = Σ_K g λ (m - z)    dm = Σ_R g λ (z - m)    d log s² = ½ Σ_R g (λ (z - m)² - 1)
//
// Each is a matrix product over the features [z² | z]. A product takes the square of a
// difference as a difference of squares, which loses the digits of Gaussians that are
// narrow and far from 0: those, and all where there are few, are computed pair by pair
// from differences.
func (b *Builder) LogNormalPairs(z, h Node) Node {
	p := &pairs{rows: z.Rows(), k: h.Rows(), z: z.Cols(), e: b.engine}
	b.want(h.Cols() == 2*p.z, "pairs: codes %v, Gaussians %v: want [R Z] and [K 2Z]", z.Shape(), h.Shape())
	if b.err != nil {
		return none
	}
	p.make()
	return b.apply(op{
		kind:    "pairs",
		in:      []Node{z, h},
		out:     []int{p.rows, p.k},
		forward: func(y []float32, in [][]float32) { p.forward(y, in[0], in[1]) },
		wrt:     []bool{true, true},
		derivative: func(y, dy Node) []Node { // y is there for the order: what p holds is written with it
			return []Node{
				b.apply(op{
					kind: "pairs.dz", in: []Node{z, h, y, dy}, out: z.Shape(),
					forward: func(dz []float32, in [][]float32) { p.dz(dz, in[0], in[1], in[3]) },
				}),
				b.apply(op{
					kind: "pairs.dh", in: []Node{z, h, y, dy}, out: h.Shape(),
					forward: func(dh []float32, in [][]float32) { p.dh(dh, in[0], in[1], in[3]) },
				}),
			}
		},
	})
}

// pairs are R codes and K Gaussians, with what the passes over them share.
type pairs struct {
	rows, k, z int
	e          *Engine

	lambda   []float32 // [K, Z]
	base     []float32 // -½ Σ_Z (λ m² + log s² + log 2π), [K]
	factors  []float32 // [-½ λ | λ m], [K, 2Z], zeros where a Gaussian is direct
	features []float32 // [z² | z], [R, 2Z]
	reach    []float32 // the largest z² of a column, [Z]
	direct   []int     // Gaussians that are computed from differences, in order
	isDirect []bool

	pulled []float32 // G [λ | -λ m], [R, 2Z]
	sums   []float32 // Gᵀ [z² | z], [K, 2Z]
	counts []float32 // Σ_R g, [K]
}

const (
	// fewPairs is the number of Gaussians from which on a product is faster.
	fewPairs = 16
	// mostCancelled bounds Σ_Z λ (z² + m²), the squares whose difference a product takes:
	// of 2¹⁰, rounding leaves errors of some 2⁻¹⁴ nats.
	mostCancelled = 1 << 10
)

func (p *pairs) make() {
	p.lambda, p.base = make([]float32, p.k*p.z), make([]float32, p.k)
	p.factors, p.features = make([]float32, p.k*2*p.z), make([]float32, p.rows*2*p.z)
	p.reach, p.direct, p.isDirect = make([]float32, p.z), make([]int, 0, p.k), make([]bool, p.k)
	p.pulled, p.sums, p.counts = make([]float32, p.rows*2*p.z), make([]float32, p.k*2*p.z), make([]float32, p.k)
}

func (p *pairs) forward(y, z, h []float32) {
	p.prepare(z, h)
	if len(p.direct) < p.k {
		p.e.layer(false, true, p.rows, p.k, 2*p.z, p.features, p.factors, p.base, Identity, y)
	}
	p.e.Split(p.rows, 1+elementGrain/(1+len(p.direct)*p.z), func(lo, hi int) {
		for r := lo; r < hi; r++ {
			code := z[r*p.z:][:p.z]
			for _, k := range p.direct {
				y[r*p.k+k] = p.pair(code, h[k*2*p.z:][:2*p.z], p.lambda[k*p.z:][:p.z])
			}
		}
	})
}

// pair is log N(z; m, diag s²) from differences.
func (p *pairs) pair(z, h, lambda []float32) float32 {
	m, logVar := h[:len(z)], h[len(z):]
	sum := float64(len(z)) * elementary.Log(2*math.Pi)
	for j, v := range z {
		d := float64(v) - float64(m[j])
		sum += float64(d*d*float64(lambda[j])) + float64(logVar[j])
	}
	return float32(-sum / 2)
}

// prepare fills what depends on the operands alone.
func (p *pairs) prepare(z, h []float32) {
	clear(p.reach)
	for r := range p.rows {
		code, f := z[r*p.z:][:p.z], p.features[r*2*p.z:][:2*p.z]
		for j, v := range code {
			f[j], f[p.z+j] = v*v, v
			p.reach[j] = max(p.reach[j], v*v)
		}
	}
	p.e.Split(p.k, 1+elementGrain/(8*p.z), func(lo, hi int) {
		for k := lo; k < hi; k++ {
			p.prepareOne(k, h[k*2*p.z:][:p.z], h[k*2*p.z+p.z:][:p.z])
		}
	})
	p.direct = p.direct[:0]
	for k, direct := range p.isDirect {
		if direct {
			p.direct = append(p.direct, k)
		}
	}
}

func (p *pairs) prepareOne(k int, m, logVar []float32) {
	lambda, f := p.lambda[k*p.z:][:p.z], p.factors[k*2*p.z:][:2*p.z]
	for j, v := range logVar {
		lambda[j] = -v
	}
	simd.Exp(lambda)
	base, cancelled := float64(p.z)*elementary.Log(2*math.Pi), 0.0
	for j, l := range lambda {
		square := float64(float64(l) * float64(m[j]) * float64(m[j]))
		base += square + float64(logVar[j])
		cancelled += square + float64(float64(l)*float64(p.reach[j]))
		f[j], f[p.z+j] = -l/2, l*m[j]
	}
	p.base[k] = float32(-base / 2)
	p.isDirect[k] = p.k < fewPairs || !(cancelled <= mostCancelled)
	if p.isDirect[k] { // a product of zeros, whatever is not finite in it
		clear(f)
		p.base[k] = 0
	}
}

// dz is Σ_K g λ (m - z).
func (p *pairs) dz(dz, z, h, g []float32) {
	if len(p.direct) < p.k {
		// [-½ λ | λ m] gives -½ Σ g λ and Σ g λ m.
		p.e.product(false, false, p.rows, 2*p.z, p.k, g, p.factors, p.pulled)
	}
	p.e.Split(p.rows, 1+elementGrain/(p.z*(1+len(p.direct))), func(lo, hi int) {
		for r := lo; r < hi; r++ {
			code, d, pulled := z[r*p.z:][:p.z], dz[r*p.z:][:p.z], p.pulled[r*2*p.z:][:2*p.z]
			for j, v := range code {
				if d[j] = 0; len(p.direct) < p.k {
					d[j] = float32(2*pulled[j]*v) + pulled[p.z+j]
				}
			}
			for _, k := range p.direct {
				w := g[r*p.k+k]
				if w == 0 {
					continue
				}
				m, lambda := h[k*2*p.z:][:p.z], p.lambda[k*p.z:][:p.z]
				for j, v := range code {
					d[j] += float32(w * lambda[j] * (m[j] - v))
				}
			}
		}
	})
}

// dh is [Σ_R g λ (z - m) | ½ Σ_R g (λ (z - m)² - 1)].
func (p *pairs) dh(dh, z, h, g []float32) {
	if len(p.direct) < p.k {
		p.e.product(true, false, p.k, 2*p.z, p.rows, g, p.features, p.sums)
		copy(p.counts, g[:p.k])
		for r := 1; r < p.rows; r++ {
			vek32.Add_Inplace(p.counts, g[r*p.k:][:p.k])
		}
	}
	p.e.Split(p.k, 1+elementGrain/(p.z*(1+p.rows)), func(lo, hi int) {
		for k := lo; k < hi; k++ {
			m, lambda := h[k*2*p.z:][:p.z], p.lambda[k*p.z:][:p.z]
			dm, dlogVar := dh[k*2*p.z:][:p.z], dh[k*2*p.z+p.z:][:p.z]
			if p.isDirect[k] {
				p.pull(k, dm, dlogVar, z, m, lambda, g)
				continue
			}
			squares, sums, n := p.sums[k*2*p.z:][:p.z], p.sums[k*2*p.z+p.z:][:p.z], p.counts[k]
			for j, l := range lambda {
				dm[j] = l * (sums[j] - float32(n*m[j]))
				dlogVar[j] = (float32(l*(squares[j]-float32(m[j]*(float32(2*sums[j])-float32(n*m[j]))))) - n) / 2
			}
		}
	})
}

// pull is the gradient of one Gaussian from differences.
func (p *pairs) pull(k int, dm, dlogVar, z, m, lambda, g []float32) {
	for j, l := range lambda {
		first, second := 0.0, 0.0
		for r := range p.rows {
			w := float64(g[r*p.k+k])
			if w == 0 {
				continue
			}
			d := float64(z[r*p.z+j]) - float64(m[j])
			first += float64(w * d)
			second += float64(w * (float64(float64(l)*d*d) - 1))
		}
		dm[j], dlogVar[j] = float32(float64(l)*first), float32(second/2)
	}
}

// LogMixture returns the log-density of a mixture of K distributions at every code:
//
//	log p(z) = log Σ_K π_k p_k(z),    π = softmax(logits)
//
// logP = log p_k(z_r) is [R, K], logits [K]; the result is [R], in nats. Gradients, with the
// responsibilities w_k = π_k p_k(z)/p(z):
//
//	d logP = dy w    d logits = Σ_R dy (w - π)
func (b *Builder) LogMixture(logP, logits Node) Node { return b.logMixture(logP, logits, none) }

// LogMixtureWithout is LogMixture without a component of each image's own:
//
//	log p(z) = log Σ_{k ≠ own} π_k p_k(z) / (1 - π_own)
//
// own is [B], the index of a component, or a negative number where all count; logP is
// [B·S, K]. It has no gradient.
func (b *Builder) LogMixtureWithout(logP, logits, own Node) Node {
	b.want(own.Rows() > 0 && logP.Rows()%max(1, own.Rows()) == 0, "logmixture: own %v: want [B], and %v to be draws for each", own.Shape(), logP.Shape())
	return b.logMixture(logP, logits, own)
}

func (b *Builder) logMixture(logP, logits, own Node) Node {
	rows, k, e := logP.Rows(), logP.Cols(), b.engine
	b.want(logits.Rows() == k, "logmixture: logP %v, logits %v: want [R K], [K]", logP.Shape(), logits.Shape())
	if b.err != nil {
		return none
	}
	in, wrt := []Node{logP, logits}, []bool{true, true}
	ownOf := func([][]float32, int) int { return -1 }
	if own != none {
		in, wrt = append(in, own), append(wrt, false)
		draws := rows / own.Rows()
		ownOf = func(in [][]float32, r int) int { return int(in[2][r/draws]) }
	}
	weights, logPi, pi := make([]float32, rows*k), make([]float32, k), make([]float32, k)
	left := make([]float32, rows) // 1 / (1 - π_own)
	return b.apply(op{
		kind: "logmixture",
		in:   in,
		out:  []int{rows},
		forward: func(y []float32, in [][]float32) {
			norm := softmax(pi, in[1])
			vek32.SubNumber_Into(logPi, in[1], norm)
			e.Split(rows, 1+elementGrain/k, func(lo, hi int) {
				for r := lo; r < hi; r++ {
					w := weights[r*k:][:k]
					vek32.Add_Into(w, in[0][r*k:][:k], logPi)
					rest := 1.0
					if own := ownOf(in, r); own >= 0 {
						w[own] = float32(math.Inf(-1))
						rest -= float64(pi[own])
					}
					left[r] = float32(1 / rest)
					y[r] = softmax(w, w) - float32(elementary.Log(rest))
				}
			})
		},
		wrt: wrt,
		derivative: func(y, dy Node) []Node {
			dLogP := b.apply(op{
				kind: "logmixture.dlogp", in: []Node{y, dy}, out: []int{rows, k},
				forward: func(d []float32, in [][]float32) {
					e.Split(rows, 1+elementGrain/k, func(lo, hi int) {
						for r := lo; r < hi; r++ {
							vek32.MulNumber_Into(d[r*k:][:k], weights[r*k:][:k], in[1][r])
						}
					})
				},
			})
			grads := []Node{dLogP, b.apply(op{
				kind: "logmixture.dlogits", in: append([]Node{y, dy, dLogP}, in[2:]...), out: []int{k},
				forward: func(d []float32, in [][]float32) {
					copy(d, in[2][:k])
					for r := 1; r < rows; r++ {
						vek32.Add_Inplace(d, in[2][r*k:][:k])
					}
					total := 0.0
					for r, g := range in[1] {
						total += float64(float64(g) * float64(left[r]))
					}
					for i, p := range pi {
						d[i] -= float32(p * float32(total))
					}
					for r, g := range in[1] {
						if own := ownOf(in[1:], r); own >= 0 {
							d[own] += float32(pi[own] * g * left[r])
						}
					}
				},
			})}
			if own != none {
				grads = append(grads, none)
			}
			return grads
		},
	})
}
