package graph

import "elbo/graph/simd"

// An affine layer of a flow moves some columns of z by a scale and a shift that a net made
// of other numbers:
//
//	z'_j = z_j exp(s_j) + t_j,  s_j = 2 tanh(a_j/2)
//
// for the n columns j that it moves, where net = [a | t] is [R, 2n]. The net must not know
// what it moves, or knows only columns before it: then the layer has an inverse, and its
// log |det ∂z'/∂z| is Σ_j s_j. A layer stretches by no more than exp(±2), so that no step
// of training can take the map out of float32; with net = 0 it is the identity.
//
// Sources: of halves that move in turns Dinh, Sohl-Dickstein, Bengio 2017 (Real NVP); of
// columns that know those before them Kingma et al. 2016 (inverse autoregressive flow).

// logScaleLimit bounds log |scale| of a layer.
const logScaleLimit = 2

// moves are the extents of a layer and what its passes share.
type moves struct {
	rows, z int
	columns []int
	tanh    []float32 // tanh(a/2), [R, n]
	scale   []float32 // exp(s), [R, n]
}

func (b *Builder) moves(kind string, z, net Node, columns []int) *moves {
	m := &moves{rows: z.Rows(), z: z.Cols(), columns: columns}
	b.want(len(columns) > 0 && net.Cols() == 2*len(columns) && net.Rows() == m.rows, "%s: %d columns of %v by %v: want [R Z] and [R 2n]", kind, len(columns), z.Shape(), net.Shape())
	for _, j := range columns {
		b.want(j >= 0 && j < m.z, "%s: column %d of %v", kind, j, z.Shape())
	}
	m.tanh, m.scale = make([]float32, m.rows*len(columns)), make([]float32, m.rows*len(columns))
	return m
}

// logScales fills tanh, [R, n], with tanh(a/2) of net = [a | t], [R, 2n].
func logScales(tanh, net []float32, n int) {
	for i := range tanh {
		tanh[i] = net[i/n*2*n+i%n] / logScaleLimit
	}
	simd.Tanh(tanh)
}

// prepare computes the scales; direction is 1, or -1 for their inverses.
func (m *moves) prepare(net []float32, direction float32) {
	logScales(m.tanh, net, len(m.columns))
	for i, v := range m.tanh {
		m.scale[i] = direction * logScaleLimit * v
	}
	simd.Exp(m.scale)
}

// Stretch is a layer of a flow: it moves the given columns of z, [R, Z], by net, [R, 2n],
// and leaves the others; the result is [R, Z].
func (b *Builder) Stretch(z, net Node, columns []int) Node {
	m, n := b.moves("stretch", z, net, columns), len(columns)
	return b.apply(op{
		kind: "stretch",
		in:   []Node{z, net},
		out:  z.Shape(),
		forward: func(y []float32, in [][]float32) {
			m.prepare(in[1], 1)
			copy(y, in[0])
			for r := range m.rows {
				row, scale, shift := y[r*m.z:][:m.z], m.scale[r*n:][:n], in[1][r*2*n+n:][:n]
				for k, j := range m.columns {
					row[j] = float32(row[j]*scale[k]) + shift[k]
				}
			}
		},
		wrt: []bool{true, true},
		derivative: func(y, dy Node) []Node {
			// y is there for the order: the scales are written with it.
			dz := b.apply(op{
				kind: "stretch.dz",
				in:   []Node{y, dy},
				out:  z.Shape(),
				forward: func(dz []float32, in [][]float32) {
					copy(dz, in[1])
					for r := range m.rows {
						for k, j := range m.columns {
							dz[r*m.z+j] *= m.scale[r*n+k]
						}
					}
				},
			})
			dnet := b.apply(op{
				kind: "stretch.dnet",
				in:   []Node{y, z, dy},
				out:  net.Shape(),
				forward: func(dnet []float32, in [][]float32) {
					for r := range m.rows {
						da, dt := dnet[r*2*n:][:n], dnet[r*2*n+n:][:n]
						for k, j := range m.columns {
							g, tanh := in[2][r*m.z+j], m.tanh[r*n+k]
							da[k], dt[k] = g*in[1][r*m.z+j]*m.scale[r*n+k]*(1-float32(tanh*tanh)), g
						}
					}
				},
			})
			return []Node{dz, dnet}
		},
	})
}

// Unstretch is the inverse of Stretch:
//
//	z_j = (z'_j - t_j) exp(-s_j)
//
// of the given columns of y = z', [R, Z], by net, [R, 2n]; the result is [R, Z].
func (b *Builder) Unstretch(y, net Node, columns []int) Node {
	m, n := b.moves("unstretch", y, net, columns), len(columns)
	return b.apply(op{
		kind: "unstretch",
		in:   []Node{y, net},
		out:  y.Shape(),
		forward: func(z []float32, in [][]float32) {
			m.prepare(in[1], -1)
			copy(z, in[0])
			for r := range m.rows {
				row, scale, shift := z[r*m.z:][:m.z], m.scale[r*n:][:n], in[1][r*2*n+n:][:n]
				for k, j := range m.columns {
					row[j] = (row[j] - shift[k]) * scale[k]
				}
			}
		},
		wrt: []bool{true, true},
		derivative: func(z, dz Node) []Node {
			dy := b.apply(op{
				kind: "unstretch.dy",
				in:   []Node{z, dz},
				out:  y.Shape(),
				forward: func(dy []float32, in [][]float32) {
					copy(dy, in[1])
					for r := range m.rows {
						for k, j := range m.columns {
							dy[r*m.z+j] *= m.scale[r*n+k]
						}
					}
				},
			})
			dnet := b.apply(op{
				kind: "unstretch.dnet",
				in:   []Node{z, dz},
				out:  net.Shape(),
				forward: func(dnet []float32, in [][]float32) {
					for r := range m.rows {
						da, dt := dnet[r*2*n:][:n], dnet[r*2*n+n:][:n]
						for k, j := range m.columns {
							g, tanh := in[1][r*m.z+j], m.tanh[r*n+k]
							da[k], dt[k] = -g*in[0][r*m.z+j]*(1-float32(tanh*tanh)), -g*m.scale[r*n+k]
						}
					}
				},
			})
			return []Node{dy, dnet}
		},
	})
}

// LogStretch is log |det ∂z'/∂z| of a layer, one value a row:
//
//	Σ_j s_j,  s_j = 2 tanh(a_j/2)
//
// net = [a | t] is [R, 2n]; the result is [R].
func (b *Builder) LogStretch(net Node) Node {
	rows, n := net.Rows(), net.Cols()/2
	b.want(n > 0 && net.Cols() == 2*n, "logstretch: %v: want [R 2n]", net.Shape())
	tanh := make([]float32, rows*n)
	return b.apply(op{
		kind: "logstretch",
		in:   []Node{net},
		out:  []int{rows},
		forward: func(y []float32, in [][]float32) {
			logScales(tanh, in[0], n)
			for r := range y {
				sum := 0.0
				for _, v := range tanh[r*n:][:n] {
					sum += float64(v)
				}
				y[r] = float32(logScaleLimit * sum)
			}
		},
		wrt: []bool{true},
		derivative: func(y, dy Node) []Node {
			return []Node{b.apply(op{
				kind: "logstretch.dnet",
				in:   []Node{y, dy}, // y is there for the order: tanh is written with it
				out:  net.Shape(),
				forward: func(dnet []float32, in [][]float32) {
					clear(dnet)
					for i, v := range tanh {
						dnet[i/n*2*n+i%n] = in[1][i/n] * (1 - float32(v*v))
					}
				},
			})}
		},
	})
}

// Mask returns a matrix some of whose elements are held at 0: those where keep, [N·M], is 0;
// it is 1 elsewhere. w is [N, M], and so is the result. With masks on its weights a dense
// net's output j is made to know some of its inputs alone.
//
// Source: Germain, Gregor, Murray, Larochelle 2015 (MADE).
func (b *Builder) Mask(w Node, keep []float32) Node {
	b.want(w.Rows()*w.Cols() == len(keep), "mask: %d elements for %v", len(keep), w.Shape())
	multiply := func(y []float32, in [][]float32) {
		for i, v := range in[0] {
			y[i] = v * keep[i]
		}
	}
	return b.apply(op{
		kind:    "mask",
		in:      []Node{w},
		out:     w.Shape(),
		forward: multiply,
		wrt:     []bool{true},
		derivative: func(_, dy Node) []Node {
			return []Node{b.apply(op{kind: "mask.dw", in: []Node{dy}, out: w.Shape(), forward: multiply})}
		},
	})
}
