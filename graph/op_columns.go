package graph

import "slices"

// Columns returns some columns of x, in the order in which they are named: x is [R, N], the
// result [R, len(columns)]. No column is named twice.
func (b *Builder) Columns(x Node, columns []int) Node {
	rows, n, m, e := x.Rows(), x.Cols(), len(columns), b.engine
	named := slices.Sorted(slices.Values(columns))
	b.want(m > 0 && len(slices.Compact(named)) == m && named[0] >= 0 && named[m-1] < n, "columns: %v of %v: want some of its columns, each once", columns, x.Shape())
	columns = slices.Clone(columns)
	return b.apply(op{
		kind: "columns",
		in:   []Node{x},
		out:  []int{rows, m},
		forward: func(y []float32, in [][]float32) {
			e.Split(rows, 1+elementGrain/m, func(lo, hi int) {
				for r := lo; r < hi; r++ {
					from, to := in[0][r*n:][:n], y[r*m:][:m]
					for k, j := range columns {
						to[k] = from[j]
					}
				}
			})
		},
		wrt: []bool{true},
		derivative: func(_, dy Node) []Node {
			return []Node{b.apply(op{
				kind: "columns.dx",
				in:   []Node{dy},
				out:  x.Shape(),
				forward: func(dx []float32, in [][]float32) {
					e.Split(rows, 1+elementGrain/n, func(lo, hi int) {
						clear(dx[lo*n : hi*n])
						for r := lo; r < hi; r++ {
							from, to := in[0][r*m:][:m], dx[r*n:][:n]
							for k, j := range columns {
								to[j] = from[k]
							}
						}
					})
				},
			})}
		},
	})
}

// Join puts the columns of c beside those of a: a is [R, N], c [R, M], the result
// [R, N + M].
func (b *Builder) Join(a, c Node) Node {
	rows, n, m, e := a.Rows(), a.Cols(), c.Cols(), b.engine
	b.want(c.Rows() == rows && n > 0 && m > 0, "join: %v and %v: want as many rows in both", a.Shape(), c.Shape())
	part := func(name string, lo, width int) func(dy Node) Node {
		return func(dy Node) Node {
			return b.apply(op{
				kind: "join." + name,
				in:   []Node{dy},
				out:  []int{rows, width},
				forward: func(d []float32, in [][]float32) {
					for r := range rows {
						copy(d[r*width:][:width], in[0][r*(n+m)+lo:])
					}
				},
			})
		}
	}
	left, right := part("da", 0, n), part("dc", n, m)
	return b.apply(op{
		kind: "join",
		in:   []Node{a, c},
		out:  []int{rows, n + m},
		forward: func(y []float32, in [][]float32) {
			e.Split(rows, 1+elementGrain/(n+m), func(lo, hi int) {
				for r := lo; r < hi; r++ {
					copy(y[r*(n+m):][:n], in[0][r*n:])
					copy(y[r*(n+m)+n:][:m], in[1][r*m:])
				}
			})
		},
		wrt:        []bool{true, true},
		derivative: func(_, dy Node) []Node { return []Node{left(dy), right(dy)} },
	})
}

// Repeat gives each row of x as often as an image has draws: x is [B, N], the result
// [B·S, N], whose row b·S + s is row b.
func (b *Builder) Repeat(x Node, draws int) Node {
	rows, n, e := x.Rows(), x.Cols(), b.engine
	b.want(draws > 0 && n > 0, "repeat: %v, %d times: want a matrix, and at least once", x.Shape(), draws)
	if draws == 1 {
		return x
	}
	return b.apply(op{
		kind: "repeat",
		in:   []Node{x},
		out:  []int{rows * draws, n},
		forward: func(y []float32, in [][]float32) {
			e.Split(rows*draws, 1+elementGrain/n, func(lo, hi int) {
				for r := lo; r < hi; r++ {
					copy(y[r*n:][:n], in[0][r/draws*n:])
				}
			})
		},
		wrt: []bool{true},
		derivative: func(_, dy Node) []Node {
			return []Node{b.apply(op{
				kind: "repeat.dx",
				in:   []Node{dy},
				out:  x.Shape(),
				forward: func(dx []float32, in [][]float32) {
					e.Split(rows, 1+elementGrain/(n*draws), func(lo, hi int) {
						for r := lo; r < hi; r++ {
							to := dx[r*n:][:n]
							copy(to, in[0][r*draws*n:])
							for s := 1; s < draws; s++ {
								for j, g := range in[0][(r*draws+s)*n:][:n] {
									to[j] += g
								}
							}
						}
					})
				},
			})}
		},
	})
}

// Tile puts x below itself so many times: x is [K, N], the result [R·K, N], whose row
// r·K + k is row k.
func (b *Builder) Tile(x Node, times int) Node {
	rows, n := x.Rows(), x.Cols()
	b.want(times > 0 && n > 0, "tile: %v, %d times: want a matrix, and at least once", x.Shape(), times)
	return b.apply(op{
		kind: "tile",
		in:   []Node{x},
		out:  []int{rows * times, n},
		forward: func(y []float32, in [][]float32) {
			for r := range times {
				copy(y[r*rows*n:][:rows*n], in[0])
			}
		},
		wrt: []bool{true},
		derivative: func(_, dy Node) []Node {
			return []Node{b.apply(op{
				kind: "tile.dx",
				in:   []Node{dy},
				out:  x.Shape(),
				forward: func(dx []float32, in [][]float32) {
					copy(dx, in[0])
					for r := 1; r < times; r++ {
						for i, g := range in[0][r*rows*n:][:rows*n] {
							dx[i] += g
						}
					}
				},
			})}
		},
	})
}

// Rows cuts a vector into rows: x is [R·K], the result [R, K], whose row r begins with
// element r·K.
func (b *Builder) Rows(x Node, columns int) Node {
	n := x.Rows()
	b.want(columns > 0 && n%max(1, columns) == 0, "rows: %v into rows of %d", x.Shape(), columns)
	if b.err != nil {
		return none
	}
	same := func(y []float32, in [][]float32) { copy(y, in[0]) }
	return b.apply(op{
		kind:    "rows",
		in:      []Node{x},
		out:     []int{n / columns, columns},
		forward: same,
		wrt:     []bool{true},
		derivative: func(_, dy Node) []Node {
			return []Node{b.apply(op{kind: "rows.dx", in: []Node{dy}, out: x.Shape(), forward: same})}
		},
	})
}
