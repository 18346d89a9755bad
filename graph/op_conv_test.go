package graph_test

import (
	"fmt"
	"runtime"
	"slices"
	"testing"

	"elbo/graph"
	"elbo/graph/blas"
	"elbo/graph/graphtest"
)

// convShapes have all strides from 1 to 3 and all kernels from 1 to 7, odd maps, maps smaller
// than the kernel, and channels that fill no vector.
func convShapes() (all []graph.ConvShape) {
	for kernel := 1; kernel <= 7; kernel++ {
		for stride := 1; stride <= 3; stride++ {
			all = append(all, graph.ConvShape{Rows: 4 + kernel%3, Cols: 6 - stride, Fine: 1 + kernel%3, Coarse: 1 + (kernel+stride)%4, Kernel: kernel, Stride: stride})
		}
	}
	return append(all,
		graph.ConvShape{Rows: 1, Cols: 1, Fine: 3, Coarse: 2, Kernel: 3, Stride: 2},
		graph.ConvShape{Rows: 2, Cols: 9, Fine: 2, Coarse: 17, Kernel: 5, Stride: 3},
	)
}

// addConvChecks adds convolutions and their transposes; once on more maps than there are partial
// sums.
func addConvChecks(all map[string][]check) {
	random := graphtest.Random
	add := func(maps int, s graph.ConvShape, f graph.Activation, input bool) {
		x, y := random("x", 31, 1, maps, s.FineSize()), random("x", 32, 1, maps, s.CoarseSize())
		w, down, up := random("w", 33, 0.5, s.Weight()...), random("b", 34, 1, s.Coarse), random("b", 35, 1, s.Fine)
		name := fmt.Sprintf("%+v %s", s, f)
		conv := check{
			Name: name, Params: []*graph.Param{x, w, down},
			Build: func(b *graph.Builder, p, _ nodes) graph.Node { return b.Conv(p[0], p[1], p[2], s, f) },
			Twin:  func(p, _ wide) []float64 { return naiveConv(p[0], p[1], p[2], s, f, false) },
			Terms: s.Kernel*s.Kernel*s.Fine + maps*s.CoarseSize()/s.Coarse,
		}
		transpose := check{
			Name: name, Params: []*graph.Param{y, w, up},
			Build: func(b *graph.Builder, p, _ nodes) graph.Node { return b.ConvTranspose(p[0], p[1], p[2], s, f) },
			Twin:  func(p, _ wide) []float64 { return naiveConv(p[0], p[1], p[2], s, f, true) },
			Terms: s.Kernel*s.Kernel*s.Coarse + maps*s.FineSize()/s.Fine,
		}
		if input {
			for _, c := range []*check{&conv, &transpose} {
				build, twin := c.Build, c.Twin
				c.Name += " of an input"
				c.Params, c.Inputs = c.Params[1:], c.Params[:1]
				c.Build = func(b *graph.Builder, p, in nodes) graph.Node { return build(b, nodes{in[0], p[0], p[1]}, nil) }
				c.Twin = func(p, in wide) []float64 { return twin(wide{in[0], p[0], p[1]}, nil) }
			}
		}
		all["Conv"] = append(all["Conv"], conv)
		all["ConvTranspose"] = append(all["ConvTranspose"], transpose)
	}
	for _, s := range convShapes() {
		add(2, s, graph.Identity, false)
	}
	some := graph.ConvShape{Rows: 4, Cols: 5, Fine: 2, Coarse: 3, Kernel: 3, Stride: 2}
	for _, f := range graph.Activations {
		add(2, some, f, false)
	}
	add(9, some, graph.Tanh, true)
	for _, f := range append([]graph.Activation{graph.Identity}, graph.Activations...) {
		all["Activate"] = append(all["Activate"], check{
			Name: "activate " + string(f), Params: []*graph.Param{random("a", 36, 1, B, D)},
			Build: func(b *graph.Builder, p, _ nodes) graph.Node { return b.Activate(p[0], f) },
			Twin: func(p, _ wide) []float64 {
				one := []float64{1}
				return naiveAffine(p[0], one, []float64{0}, f)
			},
			Terms: 1,
		})
	}
	all["Transpose"] = []check{{
		Name: "transpose", Params: []*graph.Param{random("a", 39, 1, B, 3*D)},
		Build: func(b *graph.Builder, p, _ nodes) graph.Node { return b.Transpose(p[0], 3, D) },
		Twin: func(p, _ wide) (y []float64) {
			for i := range p[0] {
				image, at := i/(3*D), i%(3*D)
				y = append(y, p[0][image*3*D+at%3*D+at/3])
			}
			return y
		},
		Terms: 1,
	}}
	rows := []*graph.Param{random("a", 37, 1, B, D), random("c", 38, 1, B, D)}
	all["Add"] = append(all["Add"], check{
		Name: "add of matrices", Params: rows,
		Build: func(b *graph.Builder, p, _ nodes) graph.Node { return b.Add(p[0], p[1]) },
		Twin:  func(p, _ wide) []float64 { return addScaled(p[0], 1, p[1]) },
		Terms: 2,
	})
}

// naiveConv is a convolution, or its transpose, by its definition.
func naiveConv(x, w, bias []float64, s graph.ConvShape, f graph.Activation, up bool) []float64 {
	rows, cols := s.CoarseMap()
	in, out, channels := s.FineSize(), s.CoarseSize(), s.Coarse
	if up {
		in, out, channels = out, in, s.Fine
	}
	y := make([]float64, len(x)/in*out)
	for i := range y {
		y[i] = bias[i%channels]
	}
	before := (s.Kernel - 1) / 2
	for image := range len(x) / in {
		for i := range rows {
			for j := range cols {
				for k := range s.Kernel {
					for l := range s.Kernel {
						r, c := i*s.Stride-before+k, j*s.Stride-before+l
						if r < 0 || r >= s.Rows || c < 0 || c >= s.Cols {
							continue
						}
						for o := range s.Coarse {
							for n := range s.Fine {
								weight := w[((o*s.Fine+n)*s.Kernel+k)*s.Kernel+l]
								coarse := image*s.CoarseSize() + (i*cols+j)*s.Coarse + o
								fine := image*s.FineSize() + (r*s.Cols+c)*s.Fine + n
								if up {
									y[fine] += weight * x[coarse]
								} else {
									y[coarse] += weight * x[fine]
								}
							}
						}
					}
				}
			}
		}
	}
	return naiveAffine(y, []float64{1}, []float64{0}, f)
}

// TestConvolutionsKeepTheirBits whatever the number of workers: forward and backward, on maps of
// several blocks, more of them than partial sums, or fewer.
func TestConvolutionsKeepTheirBits(t *testing.T) {
	for _, images := range []int{1, 3, 21} {
		s := graph.ConvShape{Rows: 29, Cols: 31, Fine: 24, Coarse: 40, Kernel: 5, Stride: 2}
		var first [][]float32
		for _, workers := range []int{1, 2, 3, 7} {
			var coarse, fine graph.Node
			params := []*graph.Param{
				graphtest.Random("x", 1, 1, images, s.FineSize()), graphtest.Random("w", 2, 0.1, s.Weight()...),
				graphtest.Random("b", 3, 1, s.Coarse), graphtest.Random("v", 4, 0.1, s.Weight()...), graphtest.Random("c", 5, 1, s.Fine),
			}
			program, err := graph.Build(graph.NewEngine(workers, blas.BuiltIn()), func(b *graph.Builder) {
				p := nodes{}
				for _, param := range params {
					p = append(p, b.Param(param))
				}
				coarse = b.Conv(p[0], p[1], p[2], s, graph.Tanh)
				fine = b.ConvTranspose(coarse, p[3], p[4], s, graph.ReLU)
				b.Output(coarse, fine)
				pull, values := b.Input("pull", images, s.FineSize())
				for i := range values {
					values[i] = float32(i%7) - 3
				}
				b.Gradients(b.Dot(fine, pull), params)
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := program.Run(); err != nil {
				t.Fatal(err)
			}
			all := [][]float32{program.Values(coarse), program.Values(fine)}
			for i := range params {
				all = append(all, program.Grad(i))
			}
			if first == nil {
				first = all
			}
			for i, values := range all {
				if !slices.Equal(values, first[i]) {
					t.Errorf("%d images: value %d differs between %d workers and 1", images, i, workers)
				}
			}
			if workers > 1 || images > 1 {
				continue
			}
			const runs = 8
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for range runs {
				if err := program.Run(); err != nil {
					t.Fatal(err)
				}
			}
			runtime.ReadMemStats(&after)
			if bytes := (after.TotalAlloc - before.TotalAlloc) / runs; bytes > 16<<10 && !raceDetector {
				t.Errorf("%d bytes are allocated a run: more than what the shards are called with; a block of patches has 192 KiB", bytes)
			}
		}
	}
}

// TestAConvolutionOfTheWrongSizesIsRefused, with what it was given.
func TestAConvolutionOfTheWrongSizesIsRefused(t *testing.T) {
	s := graph.ConvShape{Rows: 4, Cols: 5, Fine: 2, Coarse: 3, Kernel: 3, Stride: 2}
	for name, build := range map[string]func(b *graph.Builder, x, w, bias graph.Node) graph.Node{
		"map": func(b *graph.Builder, x, w, bias graph.Node) graph.Node {
			return b.ConvTranspose(x, w, bias, s, graph.ReLU)
		},
		"weights": func(b *graph.Builder, x, _, bias graph.Node) graph.Node { return b.Conv(x, x, bias, s, graph.ReLU) },
		"stride": func(b *graph.Builder, x, w, bias graph.Node) graph.Node {
			zero := s
			zero.Stride = 0
			return b.Conv(x, w, bias, zero, graph.ReLU)
		},
	} {
		_, err := graph.Build(graphtest.Engine(1), func(b *graph.Builder) {
			x, _ := b.Input("x", 2, s.FineSize())
			b.Output(build(b, x, b.Param(graph.NewParam("w", s.Weight()...)), b.Param(graph.NewParam("b", s.Coarse))))
		})
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
