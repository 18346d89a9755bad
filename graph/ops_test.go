package graph_test

import (
	"fmt"
	"math"
	"reflect"
	"slices"
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
	all["Gate"] = []check{{
		Name:   "gate",
		Params: []*graph.Param{random("a", 28, 3, B, 2*Z)},
		Build:  func(b *graph.Builder, p, _ nodes) graph.Node { return b.Gate(p[0]) },
		Twin: func(p, _ wide) (y []float64) {
			for r := range B {
				for j := range Z {
					y = append(y, p[0][r*2*Z+j]/(1+math.Exp(-p[0][r*2*Z+Z+j])))
				}
			}
			return y
		},
		Terms: 4,
	}}
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
	weights := graph.NewParam("weight", B) // the last row is padding
	copy(weights.Value, []float32{1, 1, 0})
	for _, free := range []float64{0, 0.3, 100} {
		all["KLStdNormalFree"] = append(all["KLStdNormalFree"], check{
			Name:   fmt.Sprintf("kl with %g free nats", free),
			Params: []*graph.Param{posterior}, Inputs: []*graph.Param{weights},
			Build: func(b *graph.Builder, p, in nodes) graph.Node { return b.KLStdNormalFree(p[0], in[0], free) },
			Twin: func(p, in wide) []float64 {
				of := func(i, j int) float64 {
					mu, logVar := p[0][i*2*Z+j], p[0][i*2*Z+Z+j]
					return 0.5 * (mu*mu + math.Exp(logVar) - logVar - 1)
				}
				kl := make([]float64, B)
				for j := range Z {
					mean := (of(0, j) + of(1, j)) / 2
					for i := range kl {
						if mean < free {
							kl[i] += free
						} else {
							kl[i] += of(i, j)
						}
					}
				}
				return kl
			},
			Terms: Z,
		})
	}
	addMixture(all)
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
		Name:   "bernoulli of more pixels than share a logarithm, far from 0",
		Params: []*graph.Param{random("l", 9, 60, 1, 150)}, Inputs: []*graph.Param{graph.NewParam("x", 1, 150)},
		Build: func(b *graph.Builder, p, in nodes) graph.Node { return b.BernoulliLogLik(in[0], p[0]) },
		Twin: func(p, _ wide) []float64 {
			sum := 0.0
			for _, l := range p[0] {
				sum -= math.Max(l, 0) + math.Log1p(math.Exp(-math.Abs(l)))
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
	all["Sub"] = []check{{
		Name:   "sub",
		Params: images,
		Build:  func(b *graph.Builder, p, _ nodes) graph.Node { return b.Sub(p[0], p[1]) },
		Twin:   func(p, _ wide) []float64 { return addScaled(p[0], -1, p[1]) },
		Terms:  2,
	}}
	all["Neg"] = []check{{
		Name:   "neg",
		Params: images[:1],
		Build:  func(b *graph.Builder, p, _ nodes) graph.Node { return b.Neg(p[0]) },
		Twin:   func(p, _ wide) []float64 { return []float64{-p[0][0], -p[0][1], -p[0][2]} },
		Terms:  1,
	}}
	all["LogStdNormal"] = []check{{
		Name:   "lognormal",
		Params: []*graph.Param{random("z", 8, 1, B*S, Z)},
		Build:  func(b *graph.Builder, p, _ nodes) graph.Node { return b.LogStdNormal(p[0]) },
		Twin: func(p, _ wide) []float64 {
			sum := make([]float64, B*S)
			for i, z := range p[0] {
				sum[i/Z] -= (z*z + math.Log(2*math.Pi)) / 2
			}
			return sum
		},
		Terms: Z,
	}}
	all["LogNormal"] = []check{{
		Name:   "normal",
		Params: []*graph.Param{posterior, random("z", 8, 1, B*S, Z)},
		Build:  func(b *graph.Builder, p, _ nodes) graph.Node { return b.LogNormal(p[0], p[1]) },
		Twin: func(p, _ wide) []float64 {
			sum := make([]float64, B*S)
			eachDraw(p[0], func(r int, mu, logVar float64) float64 {
				t := (p[1][r] - mu) / math.Exp(logVar/2)
				sum[r/Z] -= (t*t + logVar + math.Log(2*math.Pi)) / 2
				return 0
			})
			return sum
		},
		Terms: 5 * S * Z,
	}}
	// What has the values of x and another gradient is x₀ and a difference that is 0.
	codes := random("z", 8, 1, B*S, Z)
	fixed := func() []float64 { // x₀
		var x []float64
		for _, v := range codes.Value {
			x = append(x, float64(v))
		}
		return x
	}
	all["ScaleGradient"] = []check{{
		Name:   "scalegradient",
		Params: []*graph.Param{codes}, Inputs: []*graph.Param{random("s", 27, 1, B*S)},
		Build: func(b *graph.Builder, p, in nodes) graph.Node {
			return b.ScaleGradient(p[0], func() graph.Node { return in[0] })
		},
		Twin: func(p, in wide) []float64 {
			y := fixed()
			for i, x := range y {
				y[i] += in[0][i/Z] * (p[0][i] - x)
			}
			return y
		},
		Terms: 1,
	}}
	all["StopGradient"] = []check{{
		Name:   "stopgradient",
		Params: []*graph.Param{posterior, codes},
		Build: func(b *graph.Builder, p, _ nodes) graph.Node {
			return b.Add(b.LogNormal(p[0], p[1]), b.LogNormal(p[0], b.StopGradient(p[1])))
		},
		Twin: func(p, _ wide) []float64 {
			sum := make([]float64, B*S)
			for _, z := range (wide{p[1], fixed()}) {
				eachDraw(p[0], func(r int, mu, logVar float64) float64 {
					t := (z[r] - mu) / math.Exp(logVar/2)
					sum[r/Z] -= (t*t + logVar + math.Log(2*math.Pi)) / 2
					return 0
				})
			}
			return sum
		},
		Terms: 10 * S * Z,
	}}
	all["DrawWeights"] = []check{{
		Name:   "drawweights",
		Inputs: []*graph.Param{draws},
		Build:  func(b *graph.Builder, _, in nodes) graph.Node { return b.DrawWeights(in[0], S) },
		Twin: func(_, in wide) []float64 {
			y := make([]float64, B*S)
			for r, v := range in[0] {
				y[r] = 1 / (1 + math.Exp(in[0][r^1]-v))
			}
			return y
		},
		Terms: S,
	}}
	all["LogDiagonalNormal"] = []check{{
		Name:   "logdiagonal",
		Params: []*graph.Param{posterior}, Inputs: []*graph.Param{eps},
		Build: func(b *graph.Builder, p, in nodes) graph.Node { return b.LogDiagonalNormal(p[0], in[0]) },
		Twin: func(p, in wide) []float64 {
			sum := make([]float64, B*S)
			eachDraw(p[0], func(r int, _, logVar float64) float64 {
				sum[r/Z] -= (in[0][r]*in[0][r] + logVar + math.Log(2*math.Pi)) / 2
				return 0
			})
			return sum
		},
		Terms: 2 * Z,
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
	all["NegMeanOf"] = []check{{
		Name:   "a share of a mean",
		Params: images[:1], Inputs: []*graph.Param{{Name: "w", Shape: []int{B}, Value: []float32{1, 0, 1}}, {Name: "of", Shape: []int{1}, Value: []float32{5}}},
		Build: func(b *graph.Builder, p, in nodes) graph.Node { return b.NegMeanOf(p[0], in[0], in[1]) },
		Twin:  func(p, _ wide) []float64 { return []float64{-(p[0][0] + p[0][2]) / 5} },
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
	addStateChecks(all)
	addFullChecks(all)
	addFlowChecks(all)
	addLevelChecks(all)
	addTableChecks(all)
	addConvChecks(all)
	return all
}

// K is the number of states.
const K = 5

// addStateChecks adds the operations of EM.
func addStateChecks(all map[string][]check) {
	random := graphtest.Random
	logLik, weight := random("logLik", 20, 30, B, K), &graph.Param{Name: "w", Shape: []int{B}, Value: []float32{1, 0, 1}}
	table, pixels := random("q", 21, 1, B, K), random("x", 22, 1, B, D)
	shared, own := random("p", 23, 1, K), random("p", 24, 1, B, K)
	// row is log p(x), the joint, and p(z|x) of image r.
	row := func(logLik, logPrior []float64, r int) (evidence float64, joint, q []float64) {
		sum := 0.0
		for k, l := range logLik[r*K:][:K] {
			joint = append(joint, l+logPrior[(r*K+k)%len(logPrior)])
		}
		for _, j := range joint {
			sum += math.Exp(j - joint[0])
		}
		evidence = joint[0] + math.Log(sum)
		for _, j := range joint {
			q = append(q, math.Exp(j-evidence))
		}
		return evidence, joint, q
	}
	all["Posterior"] = []check{{
		Name:   "evidence",
		Params: []*graph.Param{logLik},
		Inputs: []*graph.Param{shared, {Name: "w", Shape: []int{B}, Value: []float32{1, 1, 1}}},
		Build: func(b *graph.Builder, p, in nodes) graph.Node {
			evidence, _ := b.Posterior(p[0], in[0], in[1])
			return evidence
		},
		Twin: func(p, in wide) (y []float64) {
			for r := range B {
				evidence, _, _ := row(p[0], in[0], r)
				y = append(y, evidence)
			}
			return y
		},
		Terms: K,
	}}
	for _, logPrior := range []*graph.Param{shared, own} {
		part := func(name string, of func(graph.PosteriorParts) graph.Node, twin func(logLik, logPrior, joint, q []float64, w float64) []float64, terms int) {
			all["Posterior"] = append(all["Posterior"], check{
				Name:   fmt.Sprint(name, ", prior ", logPrior.Shape),
				Inputs: []*graph.Param{logLik, logPrior, weight},
				Build: func(b *graph.Builder, _, in nodes) graph.Node {
					_, parts := b.Posterior(in[0], in[1], in[2])
					return of(parts)
				},
				Twin: func(_, in wide) (y []float64) {
					for r := range B {
						_, joint, q := row(in[0], in[1], r)
						first := r * K % len(in[1])
						y = append(y, twin(in[0][r*K:][:K], in[1][first:][:K], joint, q, in[2][r])...)
					}
					return y
				},
				Terms: terms,
			})
		}
		const rounded = 64 // exp of a difference of numbers near 60: their rounding, 2^-18, in its exponent
		part("joint", func(p graph.PosteriorParts) graph.Node { return p.Joint },
			func(_, _, joint, _ []float64, _ float64) []float64 { return joint }, 1)
		part("table", func(p graph.PosteriorParts) graph.Node { return p.Table },
			func(_, _, _, q []float64, w float64) []float64 { return addScaled(make([]float64, K), w, q) }, rounded)
		part("recon", func(p graph.PosteriorParts) graph.Node { return p.Recon },
			func(l, _, _, q []float64, w float64) []float64 { return []float64{w * inner(q, l)} }, rounded)
		part("prior bound", func(p graph.PosteriorParts) graph.Node { return p.PriorBound },
			func(l, logP, _, _ []float64, _ float64) []float64 {
				p := make([]float64, K)
				for k, v := range logP {
					p[k] = math.Exp(v)
				}
				return []float64{inner(p, l)}
			}, K)
	}
	all["Sums"] = []check{{
		Name:   "sums",
		Inputs: []*graph.Param{table, pixels},
		Build:  func(b *graph.Builder, _, in nodes) graph.Node { return b.Sums(in[0], in[1]) },
		Twin: func(_, in wide) []float64 {
			y := make([]float64, K*D)
			for r := range B {
				for i := range y {
					y[i] += in[0][r*K+i/D] * in[1][r*D+i%D]
				}
			}
			return y
		},
		Terms: B,
	}}
	all["Counts"] = []check{{
		Name:   "counts",
		Inputs: []*graph.Param{table},
		Build:  func(b *graph.Builder, _, in nodes) graph.Node { return b.Counts(in[0]) },
		Twin: func(_, in wide) []float64 {
			y := make([]float64, K)
			for i, v := range in[0] {
				y[i%K] += v
			}
			return y
		},
		Terms: B,
	}}
	all["CentredSums"] = []check{{
		Name:   "centredsums",
		Inputs: []*graph.Param{table, pixels, random("c", 27, 1, K, D)},
		Build:  func(b *graph.Builder, _, in nodes) graph.Node { return b.CentredSums(in[0], in[1], in[2]) },
		Twin: func(_, in wide) []float64 {
			y := make([]float64, 2*K*D)
			for r := range B {
				for i := range K * D {
					d := in[1][r*D+i%D] - in[2][i]
					y[i] += in[0][r*K+i/D] * d
					y[K*D+i] += in[0][r*K+i/D] * d * d
				}
			}
			return y
		},
		Terms: 4 * B,
	}}

	// Statistics of states, one of them without weight.
	counts := &graph.Param{Name: "n", Shape: []int{K}, Value: []float32{2, 0, 0.5, 7, 1}}
	sums, squares := graph.NewParam("S", K, D), graph.NewParam("S2", K, D)
	precision := graph.NewParam("lambda", K, D)
	for i := range sums.Value {
		mean := float32(i%4) / 3 // 0 and 1 among them
		sums.Value[i] = mean * counts.Value[i/D]
		squares.Value[i] = (mean*mean + float32(i%3)*0.2) * counts.Value[i/D]
		precision.Value[i] = 0.1 + float32(i%6)
	}
	each := func(f func(s, s2, n float64) float64) func(_, in wide) []float64 {
		return func(_, in wide) (y []float64) {
			for i, s := range in[0] {
				y = append(y, f(s, in[2][i], in[1][i/D]))
			}
			return y
		}
	}
	statistics := []*graph.Param{sums, counts, squares}
	for _, a := range []float64{0, 0.1} {
		all["BernoulliMax"] = append(all["BernoulliMax"], check{
			Name: "bernoullimax", Inputs: statistics[:2],
			Build: func(b *graph.Builder, _, in nodes) graph.Node { return b.BernoulliMax(in[0], in[1], a) },
			Twin: func(_, in wide) []float64 {
				return each(func(s, _, n float64) float64 {
					mu := (s + a) / (n + 2*a)
					switch {
					case math.IsNaN(mu):
						return 0
					case mu <= 0:
						return -graph.LogitLimit
					case mu >= 1:
						return graph.LogitLimit
					}
					return math.Log(mu / (1 - mu))
				})(nil, wide{in[0], in[1], in[0]})
			},
			Terms: 8,
		})
	}
	all["GaussianMean"] = []check{{
		Name: "gaussianmean", Inputs: statistics,
		Build: func(b *graph.Builder, _, in nodes) graph.Node { return b.GaussianMean(in[0], in[1], in[2]) },
		Twin: each(func(s, centre, n float64) float64 {
			if n == 0 {
				return 0
			}
			return centre + s/n
		}),
		Terms: 2,
	}}
	all["GaussianPrecision"] = []check{{
		Name: "gaussianprecision", Inputs: statistics,
		Build: func(b *graph.Builder, _, in nodes) graph.Node { return b.GaussianPrecision(in[0], in[2], in[1], 0.15) },
		Twin: each(func(s, s2, n float64) float64 {
			if n == 0 {
				return 1
			}
			return 1 / math.Max(s2/n-s/n*s/n, 0.15)
		}),
		Terms: 8,
	}}
	all["GaussianBase"] = []check{{
		Name: "gaussianbase", Inputs: []*graph.Param{precision},
		Build: func(b *graph.Builder, _, in nodes) graph.Node { return b.GaussianBase(in[0]) },
		Twin: func(_, in wide) []float64 {
			y := make([]float64, K)
			for i, lambda := range in[0] {
				y[i/D] += 0.5 * math.Log(lambda/(2*math.Pi))
			}
			return y
		},
		Terms: 1,
	}}
	means, base := random("m", 25, 1, K, D), random("base", 26, 1, K)
	all["GaussianStates"] = []check{{
		Name: "gaussianstates", Inputs: []*graph.Param{pixels, means, precision, base},
		Build: func(b *graph.Builder, _, in nodes) graph.Node { return b.GaussianStates(in[0], in[1], in[2], in[3]) },
		Twin: func(_, in wide) (y []float64) {
			for r := range B {
				for k := range K {
					sum := in[3][k]
					for j := range D {
						d := in[0][r*D+j] - in[1][k*D+j]
						sum -= 0.5 * in[2][k*D+j] * d * d
					}
					y = append(y, sum)
				}
			}
			return y
		},
		Terms: D,
	}}
	all["LogProportions"] = []check{{
		Name: "logproportions", Inputs: []*graph.Param{counts},
		Build: func(b *graph.Builder, _, in nodes) graph.Node { return b.LogProportions(in[0]) },
		Twin: func(_, in wide) (y []float64) {
			for _, n := range in[0] {
				y = append(y, math.Max(math.Log(n/10.5), graph.LogZero))
			}
			return y
		},
		Terms: 1,
	}}
}

// TestImpossibleStatesAndImages: a joint of -∞ is a state of no probability.
func TestImpossibleStatesAndImages(t *testing.T) {
	var values, weights, logPs []float32
	var evidence graph.Node
	var parts graph.PosteriorParts
	p, err := graph.Build(graphtest.Engine(1), func(b *graph.Builder) {
		var logLik, weight, logP graph.Node
		logLik, values = b.Input("logLik", 2, 3)
		weight, weights = b.Input("weight", 2)
		logP, logPs = b.Input("logP", 3)
		evidence, parts = b.Posterior(logLik, logP, weight)
		b.Output(evidence, parts.Table, parts.Recon, parts.PriorBound)
	})
	if err != nil {
		t.Fatal(err)
	}
	inf := float32(math.Inf(1))
	copy(values, []float32{-inf, -2, -3, -inf, -inf, -inf})
	copy(weights, []float32{1, 1})
	copy(logPs, []float32{-inf, 0, -inf})
	if err := p.Run(); err != nil {
		t.Fatal(err)
	}
	if got := p.Values(evidence); got[0] != -2 || got[1] != -inf {
		t.Errorf("evidence %v, want -2, -Inf", got)
	}
	if got := p.Values(parts.Table); !slices.Equal(got, []float32{0, 1, 0, 0, 0, 0}) {
		t.Errorf("table %v, want the one possible state, and zeros", got)
	}
	for _, n := range []graph.Node{parts.Recon, parts.PriorBound} {
		if got := p.Values(n)[0]; got != -2 {
			t.Errorf("an expectation is %v, want -2: a state of no probability counts 0", got)
		}
	}
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
		if m.Type.NumOut() == 0 || m.Type.Out(0) != reflect.TypeFor[graph.Node]() || m.Name == "Param" || m.Name == "Input" {
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

func inner(a, c []float64) float64 {
	sum := 0.0
	for i, v := range a {
		sum += v * c[i]
	}
	return sum
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
