package graph

import (
	"math"

	"elbo/graph/elementary"
)

// A Gaussian with a full covariance N(μ, L Lᵀ), L lower triangular with a positive diagonal,
// is a row of numbers
//
//	h = [μ | log diag L | L_10, L_20, L_21, L_30, ..]
//
// the last part being what stands below the diagonal, row by row: FullSize numbers in all.

// FullSize is the number of numbers of a Gaussian with a full covariance over Z dimensions:
// 2Z + Z(Z-1)/2.
func FullSize(latent int) int { return 2*latent + latent*(latent-1)/2 }

// full are the extents of S draws from each of B such Gaussians, H numbers each.
type full struct{ b, s, z, h int }

func (b *Builder) full(kind string, h, z Node) full {
	f := full{b: h.Rows(), z: z.Cols(), h: h.Cols()}
	if f.b > 0 {
		f.s = z.Rows() / f.b
	}
	b.want(f.h == FullSize(f.z) && f.s*f.b == z.Rows(), "%s: posterior %v and draws %v: want [B 2Z+Z(Z-1)/2] and [B·S Z]", kind, h.Shape(), z.Shape())
	return f
}

// below is what of row i of L stands below the diagonal in the numbers h of a Gaussian.
func (f full) below(h []float32, i int) []float32 { return h[2*f.z+i*(i-1)/2:][:i] }

// ReparameteriseFull draws z from Gaussians with a full covariance as a function of their
// parameters and of noise from outside:
//
//	z = μ + L ε,  ε ~ N(0, I)
//
// h is [B, 2Z + Z(Z-1)/2] (see FullSize), eps [B·S, Z] with S draws for each image; the
// result is [B·S, Z]. The noise has no gradient.
//
// Source: Kingma and Welling 2014, section 2.4, with a Cholesky factor.
func (b *Builder) ReparameteriseFull(h, eps Node) Node {
	f, e := b.full("reparameterisefull", h, eps), b.engine
	diagonal := make([]float32, f.b*f.z) // L_jj, kept for the backward pass
	grain := 1 + 2*elementGrain/max(1, f.z*f.z)
	return b.apply(op{
		kind: "reparameterisefull",
		in:   []Node{h, eps},
		out:  eps.Shape(),
		forward: func(z []float32, in [][]float32) {
			for i := range diagonal {
				diagonal[i] = float32(elementary.Exp(float64(in[0][i/f.z*f.h+f.z+i%f.z])))
			}
			e.Split(f.b*f.s, grain, func(lo, hi int) {
				for r := lo; r < hi; r++ {
					h, d := in[0][r/f.s*f.h:][:f.h], diagonal[r/f.s*f.z:][:f.z]
					z, eps := z[r*f.z:][:f.z], in[1][r*f.z:][:f.z]
					for i := range z {
						sum := h[i] + float32(d[i]*eps[i])
						for j, l := range f.below(h, i) {
							sum += float32(l * eps[j])
						}
						z[i] = sum
					}
				}
			})
		},
		wrt: []bool{true, false},
		derivative: func(z, dz Node) []Node {
			return []Node{b.apply(op{
				kind: "reparameterisefull.dh",
				in:   []Node{z, eps, dz}, // z is there for the order: the diagonal is written with it
				out:  h.Shape(),
				forward: func(dh []float32, in [][]float32) {
					e.Split(f.b, 1+grain/f.s, func(lo, hi int) {
						clear(dh[lo*f.h : hi*f.h])
						for r := lo * f.s; r < hi*f.s; r++ {
							dh, d := dh[r/f.s*f.h:][:f.h], diagonal[r/f.s*f.z:][:f.z]
							eps, dz := in[1][r*f.z:][:f.z], in[2][r*f.z:][:f.z]
							for i, g := range dz {
								dh[i] += g
								dh[f.z+i] += float32(g * eps[i] * d[i])
								row := f.below(dh, i)
								for j := range row {
									row[j] += float32(g * eps[j])
								}
							}
						}
					})
				},
			}), none}
		},
	})
}

// LogFullNormal returns the log-density of draws z = μ + L ε under the Gaussians that they
// are from, one value a draw:
//
//	log N(z; μ, L Lᵀ) = -½ Σ_Z (ε² + log 2π) - Σ_Z log L_jj
//
// h is [B, 2Z + Z(Z-1)/2], eps [B·S, Z]; the result is [B·S], in nats. As a function of ε
// it has a gradient with respect to log diag L alone.
func (b *Builder) LogFullNormal(h, eps Node) Node {
	f, e := b.full("logfull", h, eps), b.engine
	return b.apply(op{
		kind: "logfull",
		in:   []Node{h, eps},
		out:  []int{eps.Rows()},
		forward: func(y []float32, in [][]float32) {
			e.Split(len(y), 1+elementGrain/max(1, f.z), func(lo, hi int) {
				for r := lo; r < hi; r++ {
					logDiagonal := in[0][r/f.s*f.h+f.z:][:f.z]
					sum := float64(f.z) * elementary.Log(2*math.Pi)
					for j, v := range in[1][r*f.z:][:f.z] {
						sum += float64(float64(v)*float64(v)) + float64(2*float64(logDiagonal[j]))
					}
					y[r] = float32(-sum / 2)
				}
			})
		},
		wrt: []bool{true, false},
		derivative: func(_, dy Node) []Node {
			return []Node{b.apply(op{
				kind: "logfull.dh",
				in:   []Node{h, dy},
				out:  h.Shape(),
				forward: func(dh []float32, in [][]float32) {
					clear(dh)
					for i := range f.b {
						sum := float32(0)
						for _, g := range in[1][i*f.s:][:f.s] {
							sum -= g
						}
						row := dh[i*f.h+f.z:][:f.z]
						for j := range row {
							row[j] = sum
						}
					}
				},
			}), none}
		},
	})
}

// KLFullStdNormal returns the divergence of a Gaussian with a full covariance from the
// standard normal, one value an image:
//
//	KL(N(μ, L Lᵀ) ‖ N(0, I)) = ½ (|μ|² + |L|²_F - Z) - Σ_Z log L_jj
//
// h is [B, 2Z + Z(Z-1)/2] for Z dimensions; the result is [B], in nats.
func (b *Builder) KLFullStdNormal(h Node, latent int) Node {
	f, e := full{b: h.Rows(), s: 1, z: latent, h: h.Cols()}, b.engine
	b.want(f.h == FullSize(latent), "klfull: posterior %v of %d dimensions: want [B 2Z+Z(Z-1)/2]", h.Shape(), latent)
	return b.apply(op{
		kind: "klfull",
		in:   []Node{h},
		out:  []int{f.b},
		forward: func(kl []float32, in [][]float32) {
			for i := range kl {
				kl[i] = float32(KLFullStdNormal(in[0][i*f.h:][:f.h], f.z))
			}
		},
		wrt: []bool{true},
		derivative: func(_, dkl Node) []Node {
			return []Node{b.apply(op{
				kind: "klfull.dh",
				in:   []Node{h, dkl},
				out:  h.Shape(),
				forward: func(dh []float32, in [][]float32) {
					e.Split(f.b, 1+elementGrain/max(1, f.h), func(lo, hi int) {
						for i := lo; i < hi; i++ {
							h, dh, g := in[0][i*f.h:][:f.h], dh[i*f.h:][:f.h], in[1][i]
							for j, v := range h {
								dh[j] = g * v
							}
							for j := f.z; j < 2*f.z; j++ {
								dh[j] = g * float32(elementary.Expm1(2*float64(h[j])))
							}
						}
					})
				},
			})}
		},
	})
}

// KLFullStdNormal is KL(N(μ, L Lᵀ) ‖ N(0, I)) of one image, h [2Z + Z(Z-1)/2], in nats.
func KLFullStdNormal(h []float32, latent int) float64 {
	sum := 0.0
	for j, v := range h {
		w := float64(v)
		if j < latent || j >= 2*latent {
			sum += float64(w * w)
		} else {
			sum += elementary.Expm1(2*w) - 2*w // L_jj² - 1 - log L_jj² cancels near 0
		}
	}
	return sum / 2
}

// LogFullNormalAt returns the log-density of codes under Gaussians with a full covariance,
// one value a code: with y = L⁻¹ (z - μ),
//
//	log N(z; μ, L Lᵀ) = -½ Σ_Z (y² + log 2π) - Σ_Z log L_jj
//
// h is [B, 2Z + Z(Z-1)/2], z [B·S, Z] with S codes for each Gaussian; the result is [B·S],
// in nats. Gradients, with w = L⁻ᵀ y: dz = -w, dμ = w, dL_ij = w_i y_j and
// d log L_jj = w_j y_j L_jj - 1, each times dy. Where z is a draw μ + L ε, and ε is at hand,
// LogFullNormal rounds less.
func (b *Builder) LogFullNormalAt(h, z Node) Node {
	f := b.full("logfullat", h, z)
	return b.logFull("logfullat", h, z, []int{z.Rows()}, fullPairs{
		full:    f,
		codes:   func(k int) (lo, hi int) { return k * f.s, (k + 1) * f.s },
		members: func(r int) (lo, hi int) { return r / f.s, r/f.s + 1 },
		at:      func(r, _ int) int { return r },
	})
}

// LogFullNormalPairs returns the log-density of every code under every one of K Gaussians
// with a full covariance: z is [R, Z], h [K, 2Z + Z(Z-1)/2]; the result is [R, K], in nats.
// See LogFullNormalAt.
func (b *Builder) LogFullNormalPairs(z, h Node) Node {
	f := full{b: h.Rows(), s: 1, z: z.Cols(), h: h.Cols()}
	b.want(f.h == FullSize(f.z), "fullpairs: codes %v, Gaussians %v: want [R Z] and [K 2Z+Z(Z-1)/2]", z.Shape(), h.Shape())
	rows := z.Rows()
	return b.logFull("fullpairs", h, z, []int{rows, f.b}, fullPairs{
		full:    f,
		codes:   func(int) (lo, hi int) { return 0, rows },
		members: func(int) (lo, hi int) { return 0, f.b },
		at:      func(r, k int) int { return r*f.b + k },
	})
}

// fullPairs says which codes are scored under which Gaussians.
type fullPairs struct {
	full
	codes   func(k int) (lo, hi int) // of Gaussian k
	members func(r int) (lo, hi int) // of code r
	at      func(r, k int) int       // where the output has the pair
}

func (b *Builder) logFull(kind string, h, z Node, out []int, p fullPairs) Node {
	e, rows := b.engine, z.Rows()
	work := max(1, p.z*p.z/2)
	// each calls do for the pairs of the codes from lo to hi.
	each := func(h, z []float32, lo, hi int, do func(r, k int, h, z []float32)) {
		for r := lo; r < hi; r++ {
			first, end := p.members(r)
			for k := first; k < end; k++ {
				do(r, k, h[k*p.h:][:p.h], z[r*p.z:][:p.z])
			}
		}
	}
	return b.apply(op{
		kind: kind,
		in:   []Node{h, z},
		out:  out,
		forward: func(v []float32, in [][]float32) {
			e.Split(rows, 1+elementGrain/work, func(lo, hi int) {
				y := make([]float64, p.z)
				each(in[0], in[1], lo, hi, func(r, k int, h, z []float32) {
					v[p.at(r, k)] = float32(p.solve(h, z, y))
				})
			})
		},
		wrt: []bool{true, true},
		derivative: func(_, dv Node) []Node {
			dh := b.apply(op{
				kind: kind + ".dh",
				in:   []Node{h, z, dv},
				out:  h.Shape(),
				forward: func(dh []float32, in [][]float32) {
					e.Split(p.b, 1, func(lo, hi int) {
						y, w, sum := make([]float64, p.z), make([]float64, p.z), make([]float64, p.h)
						for k := lo; k < hi; k++ {
							clear(sum)
							h := in[0][k*p.h:][:p.h]
							first, end := p.codes(k)
							for r := first; r < end; r++ {
								p.solve(h, in[1][r*p.z:][:p.z], y)
								p.solveBack(h, y, w)
								g := float64(in[2][p.at(r, k)])
								below := sum[2*p.z:]
								for i := range p.z {
									sum[i] += float64(g * w[i])
									sum[p.z+i] += float64(g * (float64(w[i]*y[i]*elementary.Exp(float64(h[p.z+i]))) - 1))
									for j := range i {
										below[j] += float64(g * w[i] * y[j])
									}
									below = below[i:]
								}
							}
							for j, v := range sum {
								dh[k*p.h+j] = float32(v)
							}
						}
					})
				},
			})
			dz := b.apply(op{
				kind: kind + ".dz",
				in:   []Node{h, z, dv},
				out:  z.Shape(),
				forward: func(dz []float32, in [][]float32) {
					clear(dz)
					e.Split(rows, 1+elementGrain/work, func(lo, hi int) {
						y, w := make([]float64, p.z), make([]float64, p.z)
						each(in[0], in[1], lo, hi, func(r, k int, h, z []float32) {
							p.solve(h, z, y)
							p.solveBack(h, y, w)
							g := float64(in[2][p.at(r, k)])
							for j, v := range w {
								dz[r*p.z+j] -= float32(g * v)
							}
						})
					})
				},
			})
			return []Node{dh, dz}
		},
	})
}

// solve fills y with L⁻¹ (z - μ) and returns log N(z; μ, L Lᵀ).
func (f full) solve(h, z []float32, y []float64) float64 {
	sum := float64(f.z) * elementary.Log(2*math.Pi)
	for i := range y {
		d, logL := float64(z[i])-float64(h[i]), float64(h[f.z+i])
		for j, l := range f.below(h, i) {
			d -= float64(float64(l) * y[j])
		}
		y[i] = d * elementary.Exp(-logL)
		sum += float64(y[i]*y[i]) + float64(2*logL)
	}
	return -sum / 2
}

// solveBack fills w with L⁻ᵀ y.
func (f full) solveBack(h []float32, y, w []float64) {
	copy(w, y)
	for i := f.z - 1; i >= 0; i-- {
		w[i] *= elementary.Exp(-float64(h[f.z+i]))
		for j, l := range f.below(h, i) {
			w[j] -= float64(float64(l) * w[i])
		}
	}
}
