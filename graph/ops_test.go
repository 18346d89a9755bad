package graph_test

import (
	"math"
	"reflect"
	"testing"

	"elbo/graph"
	"elbo/graph/graphtest"
)

type (
	nodes = []graph.Node
	wide  = [][]float64
	check = graphtest.Op
)

// Small sizes, all different, so that no two extents can be mixed up.
const (
	B = 3 // images
	S = 2 // draws
	D = 7 // pixels
	Z = 4 // latent dimensions
)

// checks has at least one entry for every operation of Builder, under its name.
func checks() map[string][]check {
	random := graphtest.Random
	pixels := graph.NewParam("x", B, D) // 0, 1 and grey
	for i := range pixels.Value {
		pixels.Value[i] = []float32{0, 1, 1, 0, 0.3}[i%5]
	}
	extreme := random("l", 2, 3, B*S, D)
	copy(extreme.Value, []float32{100, -100, 0, 30, -30, 1e-6, 0.0999, 0.1001, -0.0999})
	posterior, eps := random("h", 3, 1, B, 2*Z), random("eps", 4, 1, B*S, Z)

	all := map[string][]check{}
	for _, f := range append([]graph.Activation{graph.Identity}, graph.Activations...) {
		all["Affine"] = append(all["Affine"], check{
			Name:   "affine " + string(f),
			Params: []*graph.Param{random("x", 5, 1, B, D), random("w", 6, 1, Z, D), random("b", 7, 1, Z)},
			Build:  func(b *graph.Builder, p, _ nodes) graph.Node { return b.Affine(p[0], p[1], p[2], f) },
			Twin:   func(p, _ wide) []float64 { return naiveAffine(p[0], p[1], p[2], f) },
			Terms:  D,
		})
	}
	all["Affine"] = append(all["Affine"], check{
		Name:   "affine of an input",
		Params: []*graph.Param{random("w", 6, 1, Z, D), random("b", 7, 1, Z)},
		Inputs: []*graph.Param{random("x", 5, 1, B, D)},
		Build:  func(b *graph.Builder, p, in nodes) graph.Node { return b.Affine(in[0], p[0], p[1], graph.ReLU) },
		Twin:   func(p, in wide) []float64 { return naiveAffine(in[0], p[0], p[1], graph.ReLU) },
		Terms:  D,
	})
	all["Reparameterise"] = []check{{
		Name:   "reparameterise",
		Params: []*graph.Param{posterior}, Inputs: []*graph.Param{eps},
		Build: func(b *graph.Builder, p, in nodes) graph.Node { return b.Reparameterise(p[0], in[0]) },
		Twin: func(p, in wide) []float64 {
			return eachDraw(p[0], func(r int, mu, logVar float64) float64 { return mu + math.Exp(logVar/2)*in[0][r] })
		},
		Terms: 2 * S,
	}}
	all["KLStdNormal"] = []check{{
		Name:   "kl",
		Params: []*graph.Param{posterior},
		Build:  func(b *graph.Builder, p, _ nodes) graph.Node { return b.KLStdNormal(p[0]) },
		Twin: func(p, _ wide) []float64 {
			kl := make([]float64, B)
			for i := range kl {
				for j := range Z {
					mu, logVar := p[0][i*2*Z+j], p[0][i*2*Z+Z+j]
					kl[i] += 0.5 * (mu*mu + math.Exp(logVar) - logVar - 1)
				}
			}
			return kl
		},
		Terms: Z,
	}}
	all["LogPriorRatio"] = []check{{
		Name:   "logratio",
		Params: []*graph.Param{posterior, random("z", 8, 1, B*S, Z)}, Inputs: []*graph.Param{eps},
		Build: func(b *graph.Builder, p, in nodes) graph.Node { return b.LogPriorRatio(p[0], in[0], p[1]) },
		Twin: func(p, in wide) []float64 {
			sum := make([]float64, B*S)
			eachDraw(p[0], func(r int, _, logVar float64) float64 {
				z, eps := p[1][r], in[0][r]
				logPrior := -0.5*z*z - 0.5*math.Log(2*math.Pi)
				logPosterior := -0.5*eps*eps - 0.5*logVar - 0.5*math.Log(2*math.Pi)
				sum[r/Z] += logPrior - logPosterior
				return 0
			})
			return sum
		},
		Terms: 3 * Z,
	}}
	all["BernoulliLogLik"] = []check{{
		Name:   "bernoulli",
		Params: []*graph.Param{extreme}, Inputs: []*graph.Param{pixels},
		Build: func(b *graph.Builder, p, in nodes) graph.Node { return b.BernoulliLogLik(in[0], p[0]) },
		Twin: func(p, in wide) []float64 {
			return sumPixels(in[0], p[0], func(x, l float64) float64 { return x*l - math.Max(l, 0) - math.Log1p(math.Exp(-math.Abs(l))) })
		},
		Terms: D,
	}, {
		Name:   "bernoulli of more pixels than share a logarithm",
		Params: []*graph.Param{random("l", 9, 2, 1, 150)}, Inputs: []*graph.Param{graph.NewParam("x", 1, 150)},
		Build: func(b *graph.Builder, p, in nodes) graph.Node { return b.BernoulliLogLik(in[0], p[0]) },
		Twin: func(p, _ wide) []float64 {
			sum := 0.0
			for _, l := range p[0] {
				sum -= math.Log1p(math.Exp(l))
			}
			return []float64{sum}
		},
		Terms: 8,
	}}
	all["ContinuousBernoulliLogLik"] = []check{{
		Name:   "continuous bernoulli",
		Params: []*graph.Param{extreme}, Inputs: []*graph.Param{pixels},
		Build: func(b *graph.Builder, p, in nodes) graph.Node { return b.ContinuousBernoulliLogLik(in[0], p[0]) },
		Twin: func(p, in wide) []float64 {
			return sumPixels(in[0], p[0], func(x, l float64) float64 { return x*l - logIntegral(l) })
		},
		Terms: D,
	}}
	all["GaussianLogLik"] = []check{{
		Name:   "gaussian",
		Params: []*graph.Param{random("m", 10, 1, B*S, D), {Name: "v", Shape: []int{1}, Value: []float32{-1.5}}},
		Inputs: []*graph.Param{pixels},
		Build:  func(b *graph.Builder, p, in nodes) graph.Node { return b.GaussianLogLik(in[0], p[0], p[1]) },
		Twin: func(p, in wide) []float64 {
			return sumPixels(in[0], p[0], func(x, m float64) float64 {
				v := math.Exp(p[1][0])
				return -(x-m)*(x-m)/(2*v) - 0.5*math.Log(2*math.Pi*v)
			})
		},
		Terms: D,
	}}
	draws := random("v", 11, 40, B*S)
	all["SampleMean"] = []check{{
		Name:   "samplemean",
		Params: []*graph.Param{draws},
		Build:  func(b *graph.Builder, p, _ nodes) graph.Node { return b.SampleMean(p[0], S) },
		Twin: func(p, _ wide) []float64 {
			return []float64{(p[0][0] + p[0][1]) / 2, (p[0][2] + p[0][3]) / 2, (p[0][4] + p[0][5]) / 2}
		},
		Terms: S,
	}}
	all["LogMeanExp"] = []check{{
		Name:   "logmeanexp",
		Params: []*graph.Param{draws},
		Build:  func(b *graph.Builder, p, _ nodes) graph.Node { return b.LogMeanExp(p[0], S) },
		Twin: func(p, _ wide) []float64 {
			y := make([]float64, B)
			for i := range y {
				a, c := p[0][2*i], p[0][2*i+1]
				y[i] = max(a, c) + math.Log1p(math.Exp(-math.Abs(a-c))) - math.Ln2
			}
			return y
		},
		Terms: S,
	}}
	images := []*graph.Param{random("a", 12, 1, B), random("c", 13, 1, B)}
	all["Add"] = []check{{
		Name:   "add",
		Params: images,
		Build:  func(b *graph.Builder, p, _ nodes) graph.Node { return b.Add(p[0], p[1]) },
		Twin:   func(p, _ wide) []float64 { return addScaled(p[0], 1, p[1]) },
		Terms:  2,
	}, {
		Name:   "a value used twice",
		Params: images,
		Build:  func(b *graph.Builder, p, _ nodes) graph.Node { return b.Add(b.Add(p[0], p[1]), p[0]) },
		Twin:   func(p, _ wide) []float64 { return addScaled(p[1], 2, p[0]) },
		Terms:  2,
	}}
	all["Bound"] = []check{{
		Name:   "bound",
		Params: images, Inputs: []*graph.Param{{Name: "beta", Shape: []int{1}, Value: []float32{0.25}}},
		Build: func(b *graph.Builder, p, in nodes) graph.Node { return b.Bound(p[0], p[1], in[0]) },
		Twin:  func(p, in wide) []float64 { return addScaled(p[0], -in[0][0], p[1]) },
		Terms: 2,
	}}
	all["NegMean"] = []check{{
		Name:   "negmean",
		Params: images[:1], Inputs: []*graph.Param{{Name: "w", Shape: []int{B}, Value: []float32{1, 0, 1}}},
		Build: func(b *graph.Builder, p, in nodes) graph.Node { return b.NegMean(p[0], in[0]) },
		Twin:  func(p, _ wide) []float64 { return []float64{-(p[0][0] + p[0][2]) / 2} },
		Terms: B,
	}}
	all["Dot"] = []check{{
		Name:   "dot",
		Params: []*graph.Param{random("a", 14, 1, B, D)}, Inputs: []*graph.Param{random("c", 15, 1, B, D)},
		Build: func(b *graph.Builder, p, in nodes) graph.Node { return b.Dot(p[0], in[0]) },
		Twin: func(p, in wide) []float64 {
			sum := 0.0
			for i := range p[0] {
				sum += p[0][i] * in[0][i]
			}
			return []float64{sum}
		},
		Terms: 1,
	}}
	return all
}

func TestEveryOperationAgreesWithItsTwinAndFiniteDifferences(t *testing.T) {
	for name, cases := range checks() {
		for _, c := range cases {
			t.Run(name+"/"+c.Name, func(t *testing.T) { graphtest.Check(t, c) })
		}
	}
}

// TestEveryOperationHasACheck looks at the methods of Builder that return a node.
func TestEveryOperationHasACheck(t *testing.T) {
	checked := checks()
	builder := reflect.TypeFor[*graph.Builder]()
	found := 0
	for i := range builder.NumMethod() {
		m := builder.Method(i)
		if m.Type.NumOut() != 1 || m.Type.Out(0) != reflect.TypeFor[graph.Node]() || m.Name == "Param" {
			continue
		}
		found++
		if len(checked[m.Name]) == 0 {
			t.Errorf("operation %s has no check", m.Name)
		}
	}
	if found != len(checked) {
		t.Errorf("%d operations, checks for %d", found, len(checked))
	}
}

func naiveAffine(x, w, bias []float64, f graph.Activation) []float64 {
	in, out := len(w)/len(bias), len(bias)
	y := make([]float64, len(x)/in*out)
	for i := range y {
		a := bias[i%out]
		for j := range in {
			a += x[i/out*in+j] * w[i%out*in+j]
		}
		switch f {
		case graph.ReLU:
			a = math.Max(a, 0)
		case graph.Tanh:
			a = math.Tanh(a)
		case graph.ELU:
			if a < 0 {
				a = math.Exp(a) - 1
			}
		case graph.Softplus:
			a = math.Log(1 + math.Exp(a))
		}
		y[i] = a
	}
	return y
}

// eachDraw maps f over B·S draws of Z dimensions with the parameters of their
// image.
func eachDraw(h []float64, f func(r int, mu, logVar float64) float64) []float64 {
	y := make([]float64, B*S*Z)
	for r := range y {
		i, j := r/Z/S, r%Z
		y[r] = f(r, h[i*2*Z+j], h[i*2*Z+Z+j])
	}
	return y
}

func sumPixels(x, l []float64, f func(x, l float64) float64) []float64 {
	y := make([]float64, B*S)
	for i, v := range l {
		row, j := i/D, i%D
		y[row] += f(x[row/S*D+j], v)
	}
	return y
}

// logIntegral is log ∫₀¹ exp(l u) du by Gauss-Legendre on 50 panels, which knows
// nothing of closed forms.
func logIntegral(l float64) float64 {
	const panels = 50
	sum, top := 0.0, math.Max(l, 0)
	for i := range panels {
		for _, node := range [][2]float64{{-math.Sqrt(0.6), 5. / 18}, {0, 8. / 18}, {math.Sqrt(0.6), 5. / 18}} {
			u := (float64(i) + 0.5 + node[0]/2) / panels
			sum += node[1] / panels * math.Exp(l*u-top)
		}
	}
	return top + math.Log(sum)
}

func addScaled(a []float64, factor float64, c []float64) []float64 {
	y := make([]float64, len(a))
	for i := range y {
		y[i] = a[i] + factor*c[i]
	}
	return y
}
