package graph_test

import (
	"maps"
	"reflect"
	"slices"
	"testing"

	"elbo/graph"
	"elbo/graph/graphtest"
)

// sizes are the extents at which an operation is timed.
type sizes struct {
	name           string
	images, draws  int
	pixels, hidden int
	latent, states int
	activation     graph.Activation
}

// The two VAEs whose speed the program promises, and a chunk of EM.
var (
	wide784 = sizes{name: "784-400-20_b128", images: 128, draws: 1, pixels: 784, hidden: 400, latent: 20, activation: graph.ReLU}
	deep784 = sizes{name: "784-200-200-50_b20", images: 20, draws: 1, pixels: 784, hidden: 200, latent: 50, activation: graph.Tanh}
	table   = sizes{name: "2000x784_k500", images: 2000, pixels: 784, states: 500}
	iwae    = sizes{name: "20x50_k50", images: 20, draws: 50}
	mixture = sizes{name: "128x20_k500", images: 128, draws: 1, latent: 20, states: 500}
)

// timed is an operation to be timed: forward and backward where it has operands with a
// gradient, else forward.
type timed struct {
	at     []sizes
	params func(s sizes) []*graph.Param
	inputs func(s sizes) []*graph.Param
	build  func(b *graph.Builder, s sizes, p, in nodes) graph.Node
}

func operands(make func(s sizes) []*graph.Param) func(sizes) []*graph.Param { return make }

// convAt is a convolution between maps of 14 × 14 and of 7 × 7 positions at the sizes of the VAEs.
func convAt(s sizes) graph.ConvShape {
	side := 2
	if s.pixels == 784 {
		side = 14
	}
	return graph.ConvShape{Rows: side, Cols: side, Fine: 32, Coarse: 64, Kernel: 3, Stride: 2}
}

// timings has an entry for every operation of Builder, under its name.
func timings() map[string]timed {
	random := graphtest.Random
	vaes := []sizes{wide784, deep784}
	pixels := operands(func(s sizes) []*graph.Param {
		x := graph.NewParam("x", s.images, s.pixels)
		for i := range x.Value {
			x.Value[i] = float32(i * i % 3 % 2)
		}
		return []*graph.Param{x}
	})
	logits := operands(func(s sizes) []*graph.Param { return []*graph.Param{random("l", 1, 2, s.images, s.pixels)} })
	posterior := operands(func(s sizes) []*graph.Param { return []*graph.Param{random("h", 2, 1, s.images, 2*s.latent)} })
	noise := operands(func(s sizes) []*graph.Param { return []*graph.Param{random("eps", 3, 1, s.images, s.latent)} })
	draws := operands(func(s sizes) []*graph.Param { return []*graph.Param{random("v", 4, 5, s.images*s.draws)} })
	perImage := operands(func(s sizes) []*graph.Param {
		return []*graph.Param{random("a", 5, 1, s.images), random("c", 6, 1, s.images)}
	})
	ones := func(name string, shape ...int) *graph.Param {
		p := graph.NewParam(name, shape...)
		for i := range p.Value {
			p.Value[i] = 1
		}
		return p
	}
	posteriors := operands(func(s sizes) []*graph.Param {
		return []*graph.Param{random("loglik", 7, 30, s.images, s.states), random("p", 8, 1, s.states), ones("weight", s.images)}
	})
	tables := operands(func(s sizes) []*graph.Param {
		return []*graph.Param{random("q", 8, 1, s.images, s.states), random("a", 9, 1, s.images, s.states)}
	})
	tableAndPixels := operands(func(s sizes) []*graph.Param {
		return append([]*graph.Param{random("q", 12, 1, s.images, s.states)}, pixels(s)...)
	})
	statistics := operands(func(s sizes) []*graph.Param {
		return []*graph.Param{ones("sums", s.states, s.pixels), ones("squares", s.states, s.pixels), ones("counts", s.states)}
	})
	fullPosterior := operands(func(s sizes) []*graph.Param {
		return []*graph.Param{random("h", 19, 0.3, s.images, graph.FullSize(s.latent))}
	})
	// perPixel is a decoder's output of so many numbers a pixel.
	perPixel := func(numbers int) func(s sizes) []*graph.Param {
		return operands(func(s sizes) []*graph.Param {
			return []*graph.Param{random("out", 24, 0.3, s.images, numbers*s.pixels)}
		})
	}
	levelled := table // a table of all levels has 256 times the numbers
	levelled.states = 50
	// half are the dimensions that a layer of a flow moves.
	half := func(s sizes) (columns []int) {
		for j := 0; j < s.latent; j += 2 {
			columns = append(columns, j)
		}
		return columns
	}
	flowLayer := operands(func(s sizes) []*graph.Param {
		return []*graph.Param{random("z", 20, 1, s.images, s.latent), random("net", 21, 1, s.images, 2*len(half(s)))}
	})
	hidden := operands(func(s sizes) []*graph.Param {
		return []*graph.Param{random("hidden", 22, 1, s.images, s.hidden)}
	})
	return map[string]timed{
		"Affine": {vaes, func(s sizes) []*graph.Param { // the decoder's last hidden layer to the pixels, the largest product
			return []*graph.Param{random("x", 13, 1, s.images, s.hidden), random("w", 14, 0.05, s.pixels, s.hidden), random("b", 15, 1, s.pixels)}
		}, nil, func(b *graph.Builder, s sizes, p, _ nodes) graph.Node {
			return b.Affine(p[0], p[1], p[2], s.activation)
		}},
		"Gate": {vaes, func(s sizes) []*graph.Param {
			return []*graph.Param{random("hg", 19, 1, s.images, 2*s.hidden)}
		}, nil, func(b *graph.Builder, _ sizes, p, _ nodes) graph.Node { return b.Gate(p[0]) }},
		"Reparameterise": {vaes, posterior, noise, func(b *graph.Builder, _ sizes, p, in nodes) graph.Node { return b.Reparameterise(p[0], in[0]) }},
		"KLStdNormal":    {vaes, posterior, nil, func(b *graph.Builder, _ sizes, p, _ nodes) graph.Node { return b.KLStdNormal(p[0]) }},
		"KLStdNormalFree": {vaes, posterior, func(s sizes) []*graph.Param { return []*graph.Param{ones("weight", s.images)} },
			func(b *graph.Builder, _ sizes, p, in nodes) graph.Node { return b.KLStdNormalFree(p[0], in[0], 0.5) }},
		"LogPriorRatio": {vaes, func(s sizes) []*graph.Param {
			return append(posterior(s), random("z", 16, 1, s.images, s.latent))
		}, noise, func(b *graph.Builder, _ sizes, p, in nodes) graph.Node { return b.LogPriorRatio(p[0], in[0], p[1]) }},
		"BernoulliLogLik": {vaes, logits, pixels, func(b *graph.Builder, _ sizes, p, in nodes) graph.Node { return b.BernoulliLogLik(in[0], p[0]) }},
		"ContinuousBernoulliLogLik": {vaes, logits, pixels, func(b *graph.Builder, _ sizes, p, in nodes) graph.Node {
			return b.ContinuousBernoulliLogLik(in[0], p[0])
		}},
		"DiscretizedLogisticLogLik": {vaes, perPixel(2), pixels, func(b *graph.Builder, _ sizes, p, in nodes) graph.Node {
			return b.DiscretizedLogisticLogLik(in[0], p[0], 1)
		}},
		"LogisticMixtureLogLik": {vaes, perPixel(graph.LogisticMixtureOutputs(5, 1)), pixels, func(b *graph.Builder, _ sizes, p, in nodes) graph.Node {
			return b.LogisticMixtureLogLik(in[0], p[0], 5, 1)
		}},
		"DequantisedGaussianLogLik": {vaes, perPixel(2), pixels, func(b *graph.Builder, _ sizes, p, in nodes) graph.Node {
			return b.DequantisedGaussianLogLik(in[0], p[0], 1)
		}},
		"BetaBinomialLogLik": {vaes, perPixel(2), pixels, func(b *graph.Builder, _ sizes, p, in nodes) graph.Node { return b.BetaBinomialLogLik(in[0], p[0], 1) }},
		"PixelGaussianLogLik": {vaes, perPixel(2), pixels, func(b *graph.Builder, _ sizes, p, in nodes) graph.Node {
			return b.PixelGaussianLogLik(in[0], p[0], 1)
		}},
		"GaussianLogLik": {vaes, func(s sizes) []*graph.Param {
			return append(logits(s), graph.NewParam("log_variance", 1))
		}, pixels, func(b *graph.Builder, _ sizes, p, in nodes) graph.Node { return b.GaussianLogLik(in[0], p[0], p[1]) }},
		"LogNormalPairs": {[]sizes{mixture}, func(s sizes) []*graph.Param {
			return []*graph.Param{random("z", 19, 1, s.images, s.latent), random("h", 20, 1, s.states, 2*s.latent)}
		}, nil, func(b *graph.Builder, _ sizes, p, _ nodes) graph.Node { return b.LogNormalPairs(p[0], p[1]) }},
		"LogMixture": {[]sizes{mixture}, func(s sizes) []*graph.Param {
			return []*graph.Param{random("logp", 21, 10, s.images, s.states), random("logits", 22, 1, s.states)}
		}, nil, func(b *graph.Builder, _ sizes, p, _ nodes) graph.Node { return b.LogMixture(p[0], p[1]) }},
		"LogMixtureWithout": {[]sizes{mixture}, func(s sizes) []*graph.Param {
			return []*graph.Param{random("logp", 21, 10, s.images, s.states), random("logits", 22, 1, s.states)}
		}, func(s sizes) []*graph.Param { return []*graph.Param{ones("own", s.images)} }, func(b *graph.Builder, _ sizes, p, in nodes) graph.Node {
			return b.LogMixtureWithout(p[0], p[1], in[0])
		}},
		"SampleMean": {[]sizes{iwae}, draws, nil, func(b *graph.Builder, s sizes, p, _ nodes) graph.Node { return b.SampleMean(p[0], s.draws) }},
		"LogMeanExp": {[]sizes{iwae}, draws, nil, func(b *graph.Builder, s sizes, p, _ nodes) graph.Node { return b.LogMeanExp(p[0], s.draws) }},
		"Add":        {vaes, perImage, nil, func(b *graph.Builder, _ sizes, p, _ nodes) graph.Node { return b.Add(p[0], p[1]) }},
		"Sub":        {vaes, perImage, nil, func(b *graph.Builder, _ sizes, p, _ nodes) graph.Node { return b.Sub(p[0], p[1]) }},
		"LogStdNormal": {vaes, func(s sizes) []*graph.Param {
			return []*graph.Param{random("z", 16, 1, s.images, s.latent)}
		}, nil, func(b *graph.Builder, _ sizes, p, _ nodes) graph.Node { return b.LogStdNormal(p[0]) }},
		"LogDiagonalNormal": {vaes, posterior, noise, func(b *graph.Builder, _ sizes, p, in nodes) graph.Node { return b.LogDiagonalNormal(p[0], in[0]) }},
		"LogNormal": {vaes, func(s sizes) []*graph.Param {
			return append(posterior(s), random("z", 16, 1, s.images, s.latent))
		}, nil, func(b *graph.Builder, _ sizes, p, _ nodes) graph.Node { return b.LogNormal(p[0], p[1]) }},
		"StopGradient": {vaes, nil, posterior, func(b *graph.Builder, _ sizes, _, in nodes) graph.Node { return b.StopGradient(in[0]) }},
		"ScaleGradient": {vaes, posterior, func(s sizes) []*graph.Param { return perImage(s)[:1] }, func(b *graph.Builder, _ sizes, p, in nodes) graph.Node {
			return b.ScaleGradient(p[0], func() graph.Node { return in[0] })
		}},
		"DrawWeights": {[]sizes{iwae}, nil, draws, func(b *graph.Builder, s sizes, _, in nodes) graph.Node { return b.DrawWeights(in[0], s.draws) }},
		"Neg":         {vaes, func(s sizes) []*graph.Param { return perImage(s)[:1] }, nil, func(b *graph.Builder, _ sizes, p, _ nodes) graph.Node { return b.Neg(p[0]) }},
		"Bound": {vaes, perImage, func(sizes) []*graph.Param { return []*graph.Param{ones("beta", 1)} },
			func(b *graph.Builder, _ sizes, p, in nodes) graph.Node { return b.Bound(p[0], p[1], in[0]) }},
		"NegMeanOf": {vaes, func(s sizes) []*graph.Param { return perImage(s)[:1] }, func(s sizes) []*graph.Param { return []*graph.Param{ones("weight", s.images), ones("of", 1)} },
			func(b *graph.Builder, _ sizes, p, in nodes) graph.Node { return b.NegMeanOf(p[0], in[0], in[1]) }},
		"NegMean": {vaes, func(s sizes) []*graph.Param { return perImage(s)[:1] }, func(s sizes) []*graph.Param { return []*graph.Param{ones("weight", s.images)} },
			func(b *graph.Builder, _ sizes, p, in nodes) graph.Node { return b.NegMean(p[0], in[0]) }},
		"Dot": {vaes, logits, pixels, func(b *graph.Builder, _ sizes, p, in nodes) graph.Node { return b.Dot(p[0], in[0]) }},

		"ReparameteriseFull": {vaes, fullPosterior, noise, func(b *graph.Builder, _ sizes, p, in nodes) graph.Node { return b.ReparameteriseFull(p[0], in[0]) }},
		"LogFullNormal":      {vaes, fullPosterior, noise, func(b *graph.Builder, _ sizes, p, in nodes) graph.Node { return b.LogFullNormal(p[0], in[0]) }},
		"KLFullStdNormal":    {vaes, fullPosterior, nil, func(b *graph.Builder, s sizes, p, _ nodes) graph.Node { return b.KLFullStdNormal(p[0], s.latent) }},
		"LogFullNormalAt": {vaes, func(s sizes) []*graph.Param {
			return append(fullPosterior(s), random("z", 16, 1, s.images, s.latent))
		}, nil, func(b *graph.Builder, _ sizes, p, _ nodes) graph.Node { return b.LogFullNormalAt(p[0], p[1]) }},
		"LogFullNormalPairs": {vaes, func(s sizes) []*graph.Param {
			return append(fullPosterior(s), random("z", 16, 1, s.images, s.latent))
		}, nil, func(b *graph.Builder, _ sizes, p, _ nodes) graph.Node { return b.LogFullNormalPairs(p[1], p[0]) }},
		"Tile":       {[]sizes{iwae}, func(s sizes) []*graph.Param { return []*graph.Param{random("context", 23, 1, s.images, 64)} }, nil, func(b *graph.Builder, s sizes, p, _ nodes) graph.Node { return b.Tile(p[0], s.draws) }},
		"Rows":       {[]sizes{iwae}, draws, nil, func(b *graph.Builder, s sizes, p, _ nodes) graph.Node { return b.Rows(p[0], s.draws) }},
		"Stretch":    {vaes, flowLayer, nil, func(b *graph.Builder, s sizes, p, _ nodes) graph.Node { return b.Stretch(p[0], p[1], half(s)) }},
		"Unstretch":  {vaes, flowLayer, nil, func(b *graph.Builder, s sizes, p, _ nodes) graph.Node { return b.Unstretch(p[0], p[1], half(s)) }},
		"LogStretch": {vaes, func(s sizes) []*graph.Param { return flowLayer(s)[1:] }, nil, func(b *graph.Builder, _ sizes, p, _ nodes) graph.Node { return b.LogStretch(p[0]) }},
		"Mask": {vaes, hidden, nil, func(b *graph.Builder, s sizes, p, _ nodes) graph.Node {
			return b.Mask(p[0], ones("keep", s.images, s.hidden).Value)
		}},
		"Conv": {vaes, func(s sizes) []*graph.Param {
			c := convAt(s)
			return []*graph.Param{random("x", 24, 1, s.images, c.FineSize()), random("w", 25, 0.1, c.Weight()...), random("b", 26, 1, c.Coarse)}
		}, nil, func(b *graph.Builder, s sizes, p, _ nodes) graph.Node {
			return b.Conv(p[0], p[1], p[2], convAt(s), s.activation)
		}},
		"ConvTranspose": {vaes, func(s sizes) []*graph.Param {
			c := convAt(s)
			return []*graph.Param{random("x", 24, 1, s.images, c.CoarseSize()), random("w", 25, 0.1, c.Weight()...), random("b", 26, 1, c.Fine)}
		}, nil, func(b *graph.Builder, s sizes, p, _ nodes) graph.Node {
			return b.ConvTranspose(p[0], p[1], p[2], convAt(s), s.activation)
		}},
		"Transpose": {vaes, hidden, nil, func(b *graph.Builder, s sizes, p, _ nodes) graph.Node {
			return b.Transpose(p[0], s.hidden/2, 2)
		}},
		"Activate": {vaes, hidden, nil, func(b *graph.Builder, s sizes, p, _ nodes) graph.Node { return b.Activate(p[0], s.activation) }},
		"Columns":  {vaes, func(s sizes) []*graph.Param { return flowLayer(s)[:1] }, nil, func(b *graph.Builder, s sizes, p, _ nodes) graph.Node { return b.Columns(p[0], half(s)) }},
		"Join":     {vaes, flowLayer, nil, func(b *graph.Builder, _ sizes, p, _ nodes) graph.Node { return b.Join(p[0], p[1]) }},
		"Repeat":   {[]sizes{iwae}, func(s sizes) []*graph.Param { return []*graph.Param{random("context", 23, 1, s.images, 64)} }, nil, func(b *graph.Builder, s sizes, p, _ nodes) graph.Node { return b.Repeat(p[0], s.draws) }},

		"Posterior": {[]sizes{table}, nil, posteriors, func(b *graph.Builder, _ sizes, _, in nodes) graph.Node {
			evidence, _ := b.Posterior(in[0], in[1], in[2])
			return evidence
		}},
		"Sums":   {[]sizes{table}, nil, tableAndPixels, func(b *graph.Builder, _ sizes, _, in nodes) graph.Node { return b.Sums(in[0], in[1]) }},
		"Counts": {[]sizes{table}, nil, func(s sizes) []*graph.Param { return tables(s)[:1] }, func(b *graph.Builder, _ sizes, _, in nodes) graph.Node { return b.Counts(in[0]) }},
		"CentredSums": {[]sizes{table}, nil, func(s sizes) []*graph.Param {
			return append(tableAndPixels(s), random("centre", 18, 1, s.states, s.pixels))
		}, func(b *graph.Builder, _ sizes, _, in nodes) graph.Node { return b.CentredSums(in[0], in[1], in[2]) }},
		"GaussianStates": {[]sizes{table}, nil, func(s sizes) []*graph.Param {
			return append(pixels(s), random("mean", 17, 1, s.states, s.pixels), ones("precision", s.states, s.pixels), ones("base", s.states))
		}, func(b *graph.Builder, _ sizes, _, in nodes) graph.Node {
			return b.GaussianStates(in[0], in[1], in[2], in[3])
		}},
		"LevelStates": {[]sizes{levelled}, nil, func(s sizes) []*graph.Param {
			return append(pixels(s), random("table", 25, 5, graph.Levels*s.pixels, s.states))
		}, func(b *graph.Builder, _ sizes, _, in nodes) graph.Node { return b.LevelStates(in[0], in[1]) }},
		"LevelSums": {[]sizes{levelled}, nil, tableAndPixels, func(b *graph.Builder, _ sizes, _, in nodes) graph.Node { return b.LevelSums(in[0], in[1]) }},
		"LevelExpected": {[]sizes{levelled}, func(s sizes) []*graph.Param {
			return []*graph.Param{random("out", 26, 0.3, s.states, 2*s.pixels)}
		}, func(s sizes) []*graph.Param {
			return []*graph.Param{ones("h", graph.Levels*s.pixels, s.states)}
		}, func(b *graph.Builder, _ sizes, p, in nodes) graph.Node {
			return b.LevelExpected(in[0], p[0], graph.LogisticLevels{Channels: 1})
		}},
		"BernoulliMax": {[]sizes{table}, nil, func(s sizes) []*graph.Param { all := statistics(s); return []*graph.Param{all[0], all[2]} },
			func(b *graph.Builder, _ sizes, _, in nodes) graph.Node { return b.BernoulliMax(in[0], in[1], 0.1) }},
		"GaussianMean": {[]sizes{table}, nil, statistics, func(b *graph.Builder, _ sizes, _, in nodes) graph.Node { return b.GaussianMean(in[0], in[2], in[1]) }},
		"GaussianPrecision": {[]sizes{table}, nil, statistics, func(b *graph.Builder, _ sizes, _, in nodes) graph.Node {
			return b.GaussianPrecision(in[0], in[1], in[2], 1e-3)
		}},
		"GaussianBase":   {[]sizes{table}, nil, func(s sizes) []*graph.Param { return statistics(s)[:1] }, func(b *graph.Builder, _ sizes, _, in nodes) graph.Node { return b.GaussianBase(in[0]) }},
		"LogProportions": {[]sizes{table}, nil, func(s sizes) []*graph.Param { return statistics(s)[2:] }, func(b *graph.Builder, _ sizes, _, in nodes) graph.Node { return b.LogProportions(in[0]) }},
	}
}

// BenchmarkOp times every operation by itself. A run of the machine takes some tens of
// microseconds besides, which decides the figures of the small ones.
func BenchmarkOp(b *testing.B) {
	all := timings()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		c := all[name]
		for _, s := range c.at {
			b.Run(name+"/"+s.name, func(b *testing.B) {
				program, err := c.compile(s)
				if err != nil {
					b.Fatal(err)
				}
				b.ReportAllocs()
				for b.Loop() {
					if err := program.Run(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func (c timed) compile(s sizes) (*graph.Program, error) {
	return graph.Build(graphtest.Engine(2), func(b *graph.Builder) {
		var params []*graph.Param
		var p, in nodes
		if c.params != nil {
			params = c.params(s)
		}
		for _, param := range params {
			p = append(p, b.Param(param))
		}
		if c.inputs != nil {
			for _, param := range c.inputs(s) {
				n, values := b.Input(param.Name, param.Shape...)
				copy(values, param.Value)
				in = append(in, n)
			}
		}
		y := c.build(b, s, p, in)
		b.Output(y)
		if len(params) == 0 {
			return
		}
		loss := y
		if len(y.Shape()) > 0 {
			pull, values := b.Input("pull", y.Shape()...)
			for i := range values {
				values[i] = 1
			}
			loss = b.Dot(y, pull)
		}
		b.Gradients(loss, params)
	})
}

// TestEveryOperationIsTimed: each has a benchmark, and each benchmark runs, at sizes
// that take no time.
func TestEveryOperationIsTimed(t *testing.T) {
	all := timings()
	builder := reflect.TypeFor[*graph.Builder]()
	for i := range builder.NumMethod() {
		m := builder.Method(i)
		if m.Type.NumOut() == 0 || m.Type.Out(0) != reflect.TypeFor[graph.Node]() || m.Name == "Param" || m.Name == "Input" {
			continue
		}
		if _, ok := all[m.Name]; !ok {
			t.Errorf("operation %s has no benchmark: add it to timings", m.Name)
		}
	}
	for name, c := range all {
		program, err := c.compile(sizes{images: 3, draws: 2, pixels: 5, hidden: 4, latent: 2, states: 6, activation: graph.Tanh})
		if err == nil {
			err = program.Run()
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
