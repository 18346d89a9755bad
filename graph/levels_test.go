package graph_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"elbo/graph"
	"elbo/graph/graphtest"
)

// addLevelChecks adds the likelihoods of grey levels and colours. Their twins are written as
// the distributions are defined, value by value.
func addLevelChecks(all map[string][]check) {
	const pixels = 2
	levels := func(channels int) *graph.Param {
		p := graph.NewParam("x", B, pixels*channels)
		for i := range p.Value { // both ends, and levels between
			p.Value[i] = float32([]int{0, 255, 1, 128, 254, 77, 3}[i%7]) / 255
		}
		return p
	}
	random := func(seed uint64, columns int) *graph.Param {
		p := graphtest.Random("out", seed, 1, B*S, columns)
		for i := range p.Value { // means near the levels, widths from a level up
			p.Value[i] *= 0.7
		}
		return p
	}
	// eachRow sums log p of every row's pixels.
	eachRow := func(x, out []float64, channels int, logP func(x, out []float64) float64) []float64 {
		y := make([]float64, B*S)
		width := len(out) / len(y) / pixels
		for r := range y {
			for i := range pixels {
				y[r] += logP(x[(r/S*pixels+i)*channels:][:channels], out[(r*pixels+i)*width:][:width])
			}
		}
		return y
	}
	for _, channels := range []int{1, 3} {
		name := fmt.Sprint(" of ", channels, " channels")
		twin := func(logP func(x, out []float64) float64) func(p, in wide) []float64 {
			return func(p, in wide) []float64 { return eachRow(in[0], p[0], channels, logP) }
		}
		all["DiscretizedLogisticLogLik"] = append(all["DiscretizedLogisticLogLik"], check{
			Name:   "discretised logistic" + name,
			Params: []*graph.Param{random(71, 2*pixels*channels)}, Inputs: []*graph.Param{levels(channels)},
			Build: func(b *graph.Builder, p, in nodes) graph.Node {
				return b.DiscretizedLogisticLogLik(in[0], p[0], channels)
			},
			Twin: twin(func(x, out []float64) (sum float64) {
				for c, v := range x {
					sum += math.Log(logisticMass(v, out[c], out[channels+c]))
				}
				return sum
			}),
			Terms: 16 * 6 * channels, // the twin's derivative divides by a mass that is a difference
		})
		const components = 2
		all["LogisticMixtureLogLik"] = append(all["LogisticMixtureLogLik"], check{
			Name:   "mixture of logistics" + name,
			Params: []*graph.Param{random(72, pixels*graph.LogisticMixtureOutputs(components, channels))}, Inputs: []*graph.Param{levels(channels)},
			Build: func(b *graph.Builder, p, in nodes) graph.Node {
				return b.LogisticMixtureLogLik(in[0], p[0], components, channels)
			},
			Twin:  twin(func(x, out []float64) float64 { return math.Log(mixtureMass(x, out, components)) }),
			Terms: 16 * 6 * channels,
		})
		all["PixelGaussianLogLik"] = append(all["PixelGaussianLogLik"], check{
			Name:   "gaussian with a variance a pixel" + name,
			Params: []*graph.Param{random(73, 2*pixels*channels)}, Inputs: []*graph.Param{levels(channels)},
			Build: func(b *graph.Builder, p, in nodes) graph.Node {
				return b.PixelGaussianLogLik(in[0], p[0], channels)
			},
			Twin: twin(func(x, out []float64) (sum float64) {
				for c, v := range x {
					variance := math.Exp(out[channels+c])
					sum -= (v-out[c])*(v-out[c])/(2*variance) + 0.5*math.Log(2*math.Pi*variance)
				}
				return sum
			}),
			Terms: 6 * channels,
		})
		all["DequantisedGaussianLogLik"] = append(all["DequantisedGaussianLogLik"], check{
			Name:   "dequantised gaussian" + name,
			Params: []*graph.Param{random(75, 2*pixels*channels)}, Inputs: []*graph.Param{levels(channels)},
			Build: func(b *graph.Builder, p, in nodes) graph.Node {
				return b.DequantisedGaussianLogLik(in[0], p[0], channels)
			},
			Twin: twin(func(x, out []float64) (sum float64) {
				for c, v := range x {
					variance, v := math.Exp(out[channels+c]), math.Round(255*v)
					// Simpson's rule over u, which is exact for the square that the logarithm is.
					logN := func(u float64) float64 {
						r := (v+u)/256 - out[c]
						return -r*r/(2*variance) - 0.5*math.Log(2*math.Pi*variance) - math.Log(256)
					}
					sum += (logN(0) + 4*logN(0.5) + logN(1)) / 6
				}
				return sum
			}),
			Terms: 12 * channels,
		})
		all["BetaBinomialLogLik"] = append(all["BetaBinomialLogLik"], check{
			Name:   "beta-binomial" + name,
			Params: []*graph.Param{random(74, 2*pixels*channels)}, Inputs: []*graph.Param{levels(channels)},
			Build: func(b *graph.Builder, p, in nodes) graph.Node {
				return b.BetaBinomialLogLik(in[0], p[0], channels)
			},
			Twin: twin(func(x, out []float64) (sum float64) {
				for c, v := range x {
					sum += logBetaBinomial(math.Round(v*255), out[c], out[channels+c])
				}
				return sum
			}),
			Terms: 6 * channels,
		})
	}
}

// addTableChecks adds what a model with a table does with values of 256 levels.
func addTableChecks(all map[string][]check) {
	const values, states, components = 3, 4, 2
	levels := graph.NewParam("x", B, values)
	at := []int{0, 255, 1, 128, 254, 77, 3, 128, 0}
	for i := range levels.Value {
		levels.Value[i] = float32(at[i]) / 255
	}
	all["LevelStates"] = []check{{
		Name:   "log-probabilities under states",
		Inputs: []*graph.Param{levels, graphtest.Random("table", 81, 2, 256*values, states)},
		Build:  func(b *graph.Builder, _, in nodes) graph.Node { return b.LevelStates(in[0], in[1]) },
		Twin: func(_, in wide) []float64 {
			y := make([]float64, B*states)
			for i := range y {
				for j := range values {
					y[i] += in[1][(j*256+at[i/states*values+j])*states+i%states]
				}
			}
			return y
		},
		Terms: values,
	}}
	all["LevelSums"] = []check{{
		Name:   "how often a value has a level",
		Inputs: []*graph.Param{graphtest.Random("q", 82, 1, B, states), levels},
		Build:  func(b *graph.Builder, _, in nodes) graph.Node { return b.LevelSums(in[0], in[1]) },
		Twin: func(_, in wide) []float64 {
			y := make([]float64, 256*values*states)
			for i, q := range in[0] {
				for j := range values {
					y[(j*256+at[i/states*values+j])*states+i%states] += q
				}
			}
			return y
		},
		Terms: B,
	}}
	often := graph.NewParam("h", 256*values, states)
	for i := range often.Value { // most levels never, both ends among the others
		if v := i / states % 256; v%51 == 0 {
			often.Value[i] = float32(1+i%7) / 8
		}
	}
	for name, c := range map[string]struct {
		family graph.LevelFamily
		logP   func(v float64, o []float64) float64
	}{
		"logistic":      {graph.LogisticLevels{Channels: 3}, func(v float64, o []float64) float64 { return math.Log(logisticMass(v/255, o[0], o[1])) }},
		"logistics":     {graph.LogisticMixtureLevels{Components: components}, func(v float64, o []float64) float64 { return math.Log(mixtureMass([]float64{v / 255}, o, components)) }},
		"beta-binomial": {graph.BetaBinomialLevels{Channels: 1}, func(v float64, o []float64) float64 { return logBetaBinomial(v, o[0], o[1]) }},
	} {
		numbers := c.family.Numbers()
		out := graphtest.Random("out", 83, 1, states, values*numbers)
		for i := range out.Value {
			out.Value[i] *= 0.7
		}
		all["LevelExpected"] = append(all["LevelExpected"], check{
			Name:   "expected log-probabilities, " + name,
			Params: []*graph.Param{out}, Inputs: []*graph.Param{often},
			Build: func(b *graph.Builder, p, in nodes) graph.Node { return b.LevelExpected(in[0], p[0], c.family) },
			Twin: func(p, in wide) []float64 {
				y := make([]float64, states)
				o := make([]float64, numbers)
				for k := range y {
					for j := range values {
						for i := range o {
							o[i] = p[0][k*values*numbers+c.family.Place(j, i)]
						}
						for v := range 256 {
							if h := in[0][(j*256+v)*states+k]; h != 0 {
								y[k] += h * c.logP(float64(v), o)
							}
						}
					}
				}
				return y
			},
			Terms: 16 * 6 * 6, // six levels of each value, of masses that are differences
		})
	}
}

// logisticMass is F(b) - F(a), as it is defined.
func logisticMass(x, mu, logS float64) float64 {
	f := func(edge float64) float64 { return 1 / (1 + math.Exp(-(edge-mu)/math.Exp(logS))) }
	switch v := math.Round(x * 255); v {
	case 0:
		return f(0.5 / 255)
	case 255:
		return 1 - f(254.5/255)
	default:
		return f((v+0.5)/255) - f((v-0.5)/255)
	}
}

func mixtureMass(x, out []float64, components int) float64 {
	channels := len(x)
	width := (len(out) - components) / components
	total, mass := 0.0, 0.0
	for m := range components {
		pi, o := math.Exp(out[m]), out[components+m*width:][:width]
		total += pi
		for c, v := range x {
			mean := o[c]
			if c == 1 {
				mean += math.Tanh(o[6]) * (x[0] - 0.5)
			}
			if c == 2 {
				mean += math.Tanh(o[7])*(x[0]-0.5) + math.Tanh(o[8])*(x[1]-0.5)
			}
			pi *= logisticMass(v, mean, o[channels+c])
		}
		mass += pi
	}
	return mass / total
}

func logBetaBinomial(v, logit, logC float64) float64 {
	gamma := func(a float64) float64 { l, _ := math.Lgamma(a); return l }
	m, c := 1/(1+math.Exp(-logit)), math.Exp(logC)
	a, b := c*m, c*(1-m)
	return gamma(256) - gamma(v+1) - gamma(256-v) + gamma(v+a) + gamma(255-v+b) - gamma(255+c) + gamma(a+b) - gamma(a) - gamma(b)
}

// TestATableOfLevelsHasTheMassesOfItsFamily: of parameters far from the levels, narrow and wide,
// they sum to 1, and are those that the likelihood of the same name gives an image.
func TestATableOfLevelsHasTheMassesOfItsFamily(t *testing.T) {
	engine := graphtest.Engine(2)
	for name, c := range map[string]struct {
		family graph.LevelFamily
		build  func(b *graph.Builder, x, out graph.Node) graph.Node
	}{
		"logistic":      {graph.LogisticLevels{Channels: 3}, func(b *graph.Builder, x, out graph.Node) graph.Node { return b.DiscretizedLogisticLogLik(x, out, 3) }},
		"logistics":     {graph.LogisticMixtureLevels{Components: 2}, func(b *graph.Builder, x, out graph.Node) graph.Node { return b.LogisticMixtureLogLik(x, out, 2, 1) }},
		"beta-binomial": {graph.BetaBinomialLevels{Channels: 1}, func(b *graph.Builder, x, out graph.Node) graph.Node { return b.BetaBinomialLogLik(x, out, 1) }},
	} {
		const values, states = 3, 5
		for _, scale := range []float32{0.5, 5, 40} {
			out := graphtest.Random("out", 91, 1, states, values*c.family.Numbers())
			for i := range out.Value {
				out.Value[i] *= scale
			}
			table := make([]float32, values*256*states)
			engine.LevelTable(c.family, table, out.Value, states)
			for i := range values * states {
				sum := 0.0
				for v := range 256 {
					sum += math.Exp(float64(table[(i/states*256+v)*states+i%states]))
				}
				if math.Abs(sum-1) > 1e-5 {
					t.Errorf("%s, numbers up to %g: the masses of value %d of state %d sum to %.8f", name, scale, i/states, i%states, sum)
				}
			}
			var x []float32
			var given graph.Node
			p, err := graph.Build(engine, func(b *graph.Builder) {
				var in graph.Node
				in, x = b.Input("x", states, values)
				given = c.build(b, in, b.Param(out))
				b.Output(given)
			})
			if err != nil {
				t.Fatal(err)
			}
			for i := range x {
				x[i] = float32(i*37%256) / 255
			}
			if err := p.Run(); err != nil {
				t.Fatal(err)
			}
			for k, got := range p.Values(given) {
				want := 0.0
				for j := range values {
					want += float64(table[(j*256+(k*values+j)*37%256)*states+k])
				}
				if math.Abs(float64(got)-want) > 1e-5*math.Max(1, math.Abs(want)) {
					t.Errorf("%s, numbers up to %g: log p of image %d is %g, the table's %g", name, scale, k, got, want)
				}
			}
		}
	}
}

// TestMassesOfAllLevelsSumToOne, at extreme parameters too: far from the levels, narrower than
// a level, wider than all of them.
func TestMassesOfAllLevelsSumToOne(t *testing.T) {
	var levels [][]float32
	for v := range 256 {
		levels = append(levels, []float32{float32(v) / 255})
	}
	for name, build := range map[string]func(b *graph.Builder, x, out graph.Node) graph.Node{
		"discretised logistic": func(b *graph.Builder, x, out graph.Node) graph.Node {
			return b.DiscretizedLogisticLogLik(x, out, 1)
		},
		"beta-binomial": func(b *graph.Builder, x, out graph.Node) graph.Node { return b.BetaBinomialLogLik(x, out, 1) },
	} {
		for _, first := range []float32{-1000, -40, -3, -0.1, 0, 0.1, 0.5, 0.50001, 128. / 255, 1, 1.1, 3, 40, 1000} {
			for _, second := range []float32{-1000, -12, -7.8, -7, -5, -2, 0, 3, 11, 60} {
				sum := 0.0
				for _, l := range graphtest.LogLik(t, levels, []float32{first, second}, build) {
					sum += math.Exp(float64(l))
				}
				// A logarithm of magnitude 8, that of a share of 1/3000, is rounded by 2^-21; the
				// arguments a and b of a logistic distribution by 2^-24 of up to 1/(9 levels) · 255
				// in each of a few steps. What is farther out has no mass.
				if !(math.Abs(sum-1) < 1e-4) {
					t.Errorf("%s with output %g, %g: masses sum to %v, want 1", name, first, second, sum)
				}
			}
		}
	}
}

// TestMassesOfAllColoursSumToOne: channel after channel, as the sum over blue does not depend
// on the mixture's other values. 256³ colours are too many, so that those of few levels of red
// and green are summed over blue, green and red in turn.
func TestMassesOfAllColoursSumToOne(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	const components = 2
	out := make([]float32, graph.LogisticMixtureOutputs(components, 3))
	for i := range out {
		out[i] = float32(random.NormFloat64())
	}
	// Narrow in green and blue, so that few of their levels have mass, whatever red is.
	width := (len(out) - components) / components
	for m := range components {
		o := out[components+m*width:]
		copy(o[3:6], []float32{-5, -7, -7})
		copy(o[0:3], []float32{0.2 + 0.1*float32(m), 0.5, 0.45})
	}
	sum := 0.0
	var colours [][]float32
	flush := func() {
		for _, l := range graphtest.LogLik(t, colours, out, func(b *graph.Builder, x, out graph.Node) graph.Node {
			return b.LogisticMixtureLogLik(x, out, components, 3)
		}) {
			sum += math.Exp(float64(l))
		}
		colours = colours[:0]
	}
	// A logistic distribution of scale s has 2 exp(-r/s) of its mass farther away than r: of
	// the narrow ones nothing of note beyond 25 scales, 6 levels.
	near := func(v float64, mean float64) bool { return math.Abs(v-mean*255) < 8 }
	for red := range 256 {
		for green := range 256 {
			if x := float64(red)/255 - 0.5; !anyComponent(out, components, func(o []float64) bool { return near(float64(green), o[1]+math.Tanh(o[6])*x) }) {
				continue
			}
			for blue := range 256 {
				r, g := float64(red)/255-0.5, float64(green)/255-0.5
				if !anyComponent(out, components, func(o []float64) bool {
					return near(float64(blue), o[2]+math.Tanh(o[7])*r+math.Tanh(o[8])*g)
				}) {
					continue
				}
				colours = append(colours, []float32{float32(red) / 255, float32(green) / 255, float32(blue) / 255})
			}
		}
		if len(colours) > 0 {
			flush()
		}
	}
	if math.Abs(sum-1) > 1e-4 {
		t.Errorf("the masses of all colours sum to %v, want 1", sum)
	}
}

func anyComponent(out []float32, components int, is func(o []float64) bool) bool {
	width := (len(out) - components) / components
	for m := range components {
		o := make([]float64, width)
		for i := range o {
			o[i] = float64(out[components+m*width+i])
		}
		if is(o) {
			return true
		}
	}
	return false
}

// TestADequantisedGaussianIsBelowItsMasses: the probability that a Gaussian has between v/256 and
// (v+1)/256 is above what the operation says of level v, by little where the Gaussian is much
// wider than a level.
func TestADequantisedGaussianIsBelowItsMasses(t *testing.T) {
	var levels [][]float32
	for v := range 256 {
		levels = append(levels, []float32{float32(v) / 255})
	}
	for _, mean := range []float32{-0.3, 0, 0.2, 128. / 256, 0.9, 1.5} {
		for _, logVar := range []float32{-30, -12, -9, -6, -3, 0, 2} {
			got := graphtest.LogLik(t, levels, []float32{mean, logVar}, func(b *graph.Builder, x, out graph.Node) graph.Node {
				return b.DequantisedGaussianLogLik(x, out, 1)
			})
			sigma := math.Exp(float64(min(max(logVar, graph.LeastLogVariance), graph.MostLogVariance)) / 2)
			upTo := func(edge float64) float64 { return math.Erfc((float64(mean)-edge/256)/sigma/math.Sqrt2) / 2 }
			sum := 0.0
			for v, l := range got {
				sum += math.Exp(float64(l))
				mass := upTo(float64(v+1)) - upTo(float64(v))
				// A difference of two numbers below 1, each rounded to 2⁻⁵³, says nothing of less.
				if mass > 1e-12 && float64(l) > math.Log(mass)+1e-5*(1+math.Abs(float64(l))) {
					t.Errorf("mean %g, log variance %g: log-mass of level %d is %.6f, and the bound %.6f", mean, logVar, v, math.Log(mass), l)
				}
				// E(log p) and log E(p) differ by half the variance of log p, which has the slope
				// r/σ² and the curvature 1/σ² over a width of 1/256.
				if w, r := 1/(256*sigma), (float64(v)+0.5)/256-float64(mean); w < 0.1 && math.Abs(r) < 3*sigma {
					if gap := math.Log(mass) - float64(l); gap > w*w*(r*r/sigma/sigma+1)/24+1e-5*(1+math.Abs(float64(l))) {
						t.Errorf("mean %g, log variance %g: the bound on level %d is %.6f below its log-mass", mean, logVar, v, gap)
					}
				}
			}
			if sum > 1+1e-4 {
				t.Errorf("mean %g, log variance %g: exponentials of the bounds sum to %v, want at most 1", mean, logVar, sum)
			}
		}
	}
}

// TestAFitFindsTheNumbersOfItsMasses: of how often each level comes under known numbers, the fit
// finds these, from moments that are none of them, and no call lowers what it raises.
func TestAFitFindsTheNumbersOfItsMasses(t *testing.T) {
	for name, c := range map[string]struct {
		family graph.LevelFamily
		all    [][]float32
		exact  bool // whether numbers are told apart by their masses
	}{
		"logistic":      {graph.LogisticLevels{Channels: 1}, [][]float32{{0.3, -3}, {0.9, -1}, {0.5, -5.5}, {-0.2, -1.5}}, true},
		"beta-binomial": {graph.BetaBinomialLevels{Channels: 1}, [][]float32{{-0.5, 2}, {2, 0.5}, {0.3, 5}, {-3, -1}}, true},
		"logistics":     {graph.LogisticMixtureLevels{Components: 2}, [][]float32{{0, 0.5, 0.2, -3, 0.8, -2.5}, {0, -1, 0.01, -5, 0.6, -2}}, false},
	} {
		for _, want := range c.all {
			var logP, got [graph.Levels]float32
			c.family.LogMasses(want, &logP, nil)
			fit := graph.NewLevelFit(c.family)
			for v, l := range logP {
				fit.Weights()[v] = 100 * math.Exp(float64(l))
			}
			numbers := make([]float32, c.family.Numbers())
			c.family.Begin(numbers, 0.5, 0.1)
			sum := func() (s float64) {
				c.family.LogMasses(numbers, &got, nil)
				for v, w := range fit.Weights() {
					s += w * float64(got[v])
				}
				return s
			}
			best := sum()
			for range 30 {
				fit.Raise(numbers)
				now := sum()
				if now < best {
					t.Errorf("%s %v: a call lowers the sum from %.9g to %.9g", name, want, best, now)
				}
				best = now
			}
			top := 0.0
			for v, w := range fit.Weights() {
				top += w * float64(logP[v])
			}
			// The least gain of a step is 1e-6 of 100 images.
			if best < top-1e-2 {
				t.Errorf("%s: of the masses of %v the fit comes to %v and %.6f nats, %.6f below the best", name, want, numbers, best, top-best)
			}
			for i, n := range numbers {
				if c.exact && math.Abs(float64(n-want[i])) > 0.02*max(1, math.Abs(float64(want[i]))) {
					t.Errorf("%s: of the masses of %v the fit finds %v", name, want, numbers)
				}
			}
		}
	}
}
