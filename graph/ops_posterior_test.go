package graph_test

import (
	"math"

	"elbo/graph"
	"elbo/graph/graphtest"
)

// addFullChecks adds those of Gaussians with a full covariance.
func addFullChecks(all map[string][]check) {
	random := graphtest.Random
	size := graph.FullSize(Z)
	posterior, eps := random("h", 31, 0.7, B, size), random("eps", 4, 1, B*S, Z)
	// factor returns μ and L of image i, L with zeros above the diagonal.
	factor := func(h []float64, i int) (mu []float64, l [Z][Z]float64) {
		h = h[i*size:][:size]
		below := h[2*Z:]
		for r := range Z {
			l[r][r] = math.Exp(h[Z+r])
			for c := range r {
				l[r][c], below = below[0], below[1:]
			}
		}
		return h[:Z], l
	}
	all["ReparameteriseFull"] = []check{{
		Name:   "reparameterisefull",
		Params: []*graph.Param{posterior}, Inputs: []*graph.Param{eps},
		Build: func(b *graph.Builder, p, in nodes) graph.Node { return b.ReparameteriseFull(p[0], in[0]) },
		Twin: func(p, in wide) (z []float64) {
			for r := range B * S {
				mu, l := factor(p[0], r/S)
				for i := range Z {
					z = append(z, mu[i]+inner(l[i][:], in[0][r*Z:][:Z]))
				}
			}
			return z
		},
		Terms: Z + S,
	}}
	all["LogFullNormal"] = []check{{
		Name:   "logfull",
		Params: []*graph.Param{posterior}, Inputs: []*graph.Param{eps},
		Build: func(b *graph.Builder, p, in nodes) graph.Node { return b.LogFullNormal(p[0], in[0]) },
		Twin: func(p, in wide) (y []float64) {
			for r := range B * S {
				_, l := factor(p[0], r/S)
				sum := 0.0
				for i, e := range in[0][r*Z:][:Z] {
					sum -= 0.5*e*e + 0.5*math.Log(2*math.Pi) + math.Log(l[i][i])
				}
				y = append(y, sum)
			}
			return y
		},
		Terms: 3 * Z,
	}}
	all["KLFullStdNormal"] = []check{{
		Name:   "klfull",
		Params: []*graph.Param{posterior},
		Build:  func(b *graph.Builder, p, _ nodes) graph.Node { return b.KLFullStdNormal(p[0], Z) },
		Twin: func(p, _ wide) (y []float64) {
			for b := range B {
				mu, l := factor(p[0], b)
				sum := -0.5 * Z
				for i := range Z {
					sum += 0.5*mu[i]*mu[i] + 0.5*inner(l[i][:], l[i][:]) - math.Log(l[i][i])
				}
				y = append(y, sum)
			}
			return y
		},
		Terms: 2 * Z,
	}}
	// logDensity is log N(z; μ, L Lᵀ) of member k, by the inverse of L.
	logDensity := func(h, z []float64, k int) float64 {
		mu, l := factor(h, k)
		var y [Z]float64
		sum := -0.5 * Z * math.Log(2*math.Pi)
		for i := range Z {
			y[i] = (z[i] - mu[i] - inner(l[i][:i], y[:i])) / l[i][i]
			sum -= 0.5*y[i]*y[i] + math.Log(l[i][i])
		}
		return sum
	}
	codes := random("z", 36, 1, B*S, Z)
	all["LogFullNormalAt"] = []check{{
		Name:   "logfullat",
		Params: []*graph.Param{posterior, codes},
		Build:  func(b *graph.Builder, p, _ nodes) graph.Node { return b.LogFullNormalAt(p[0], p[1]) },
		Twin: func(p, _ wide) (y []float64) {
			for r := range B * S {
				y = append(y, logDensity(p[0], p[1][r*Z:][:Z], r/S))
			}
			return y
		},
		Terms: 8,
	}}
	all["LogFullNormalPairs"] = []check{{
		Name:   "fullpairs",
		Params: []*graph.Param{codes, posterior},
		Build:  func(b *graph.Builder, p, _ nodes) graph.Node { return b.LogFullNormalPairs(p[0], p[1]) },
		Twin: func(p, _ wide) (y []float64) {
			for r := range B * S {
				for k := range B {
					y = append(y, logDensity(p[1], p[0][r*Z:][:Z], k))
				}
			}
			return y
		},
		Terms: 8,
	}}
}

// addFlowChecks adds those of flows.
func addFlowChecks(all map[string][]check) {
	random := graphtest.Random
	columns := []int{2, 0, 3} // of Z: not all, and not in order
	n := len(columns)
	z, net := random("z", 32, 1, B*S, Z), random("net", 33, 2, B*S, 2*n)
	// layer maps z by the scale and shift that net has for each moved column of each row.
	layer := func(z, net []float64, f func(z, s, t float64) float64) []float64 {
		y := append([]float64(nil), z...)
		for r := range B * S {
			for k, j := range columns {
				y[r*Z+j] = f(z[r*Z+j], 2*math.Tanh(net[r*2*n+k]/2), net[r*2*n+n+k])
			}
		}
		return y
	}
	all["Stretch"] = []check{{
		Name:   "stretch",
		Params: []*graph.Param{z, net},
		Build:  func(b *graph.Builder, p, _ nodes) graph.Node { return b.Stretch(p[0], p[1], columns) },
		Twin: func(p, _ wide) []float64 {
			return layer(p[0], p[1], func(z, s, t float64) float64 { return z*math.Exp(s) + t })
		},
		Terms: 16,
	}}
	all["Unstretch"] = []check{{
		Name:   "unstretch",
		Params: []*graph.Param{z, net},
		Build:  func(b *graph.Builder, p, _ nodes) graph.Node { return b.Unstretch(p[0], p[1], columns) },
		Twin: func(p, _ wide) []float64 {
			return layer(p[0], p[1], func(z, s, t float64) float64 { return (z - t) * math.Exp(-s) })
		},
		Terms: 16,
	}}
	all["LogStretch"] = []check{{
		Name:   "logstretch",
		Params: []*graph.Param{net},
		Build:  func(b *graph.Builder, p, _ nodes) graph.Node { return b.LogStretch(p[0]) },
		Twin: func(p, _ wide) []float64 {
			y := make([]float64, B*S)
			for r := range y {
				for k := range n {
					y[r] += 2 * math.Tanh(p[0][r*2*n+k]/2)
				}
			}
			return y
		},
		Terms: 4 * n,
	}}
	keep := []float32{1, 0, 0, 1, 1, 1, 0, 1, 0, 1, 1, 0}
	all["Mask"] = []check{{
		Name:   "mask",
		Params: []*graph.Param{random("w", 34, 1, B, Z)},
		Build:  func(b *graph.Builder, p, _ nodes) graph.Node { return b.Mask(p[0], keep) },
		Twin: func(p, _ wide) (y []float64) {
			for i, w := range p[0] {
				y = append(y, w*float64(keep[i]))
			}
			return y
		},
		Terms: 1,
	}}
	all["Columns"] = []check{{
		Name:   "columns",
		Params: []*graph.Param{z},
		Build:  func(b *graph.Builder, p, _ nodes) graph.Node { return b.Columns(p[0], columns) },
		Twin: func(p, _ wide) (y []float64) {
			for r := range B * S {
				for _, j := range columns {
					y = append(y, p[0][r*Z+j])
				}
			}
			return y
		},
		Terms: 1,
	}}
	all["Join"] = []check{{
		Name:   "join",
		Params: []*graph.Param{z, net},
		Build:  func(b *graph.Builder, p, _ nodes) graph.Node { return b.Join(p[0], p[1]) },
		Twin: func(p, _ wide) (y []float64) {
			for r := range B * S {
				y = append(append(y, p[0][r*Z:][:Z]...), p[1][r*2*n:][:2*n]...)
			}
			return y
		},
		Terms: 1,
	}}
	all["Repeat"] = []check{{
		Name:   "repeat",
		Params: []*graph.Param{random("x", 35, 1, B, Z)},
		Build:  func(b *graph.Builder, p, _ nodes) graph.Node { return b.Repeat(p[0], S) },
		Twin: func(p, _ wide) (y []float64) {
			for r := range B * S {
				y = append(y, p[0][r/S*Z:][:Z]...)
			}
			return y
		},
		Terms: S,
	}}
	all["Tile"] = []check{{
		Name:   "tile",
		Params: []*graph.Param{random("x", 35, 1, B, Z)},
		Build:  func(b *graph.Builder, p, _ nodes) graph.Node { return b.Tile(p[0], S) },
		Twin: func(p, _ wide) (y []float64) {
			for range S {
				y = append(y, p[0]...)
			}
			return y
		},
		Terms: S,
	}}
	all["Rows"] = []check{{
		Name:   "rows",
		Params: []*graph.Param{random("x", 37, 1, B*S)},
		Build:  func(b *graph.Builder, p, _ nodes) graph.Node { return b.Rows(p[0], S) },
		Twin:   func(p, _ wide) []float64 { return p[0] },
		Terms:  1,
	}}
}
