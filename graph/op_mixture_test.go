package graph_test

import (
	"math"
	"math/rand/v2"
	"runtime"
	"testing"

	"elbo/graph"
	"elbo/graph/graphtest"
)

// logNormal is log N(z; m, diag s²) for h = [m | log s²].
func logNormal(z, h []float64) float64 {
	sum := 0.0
	for j, v := range z {
		m, logVar := h[j], h[len(z)+j]
		sum -= ((v-m)*(v-m)*math.Exp(-logVar) + logVar + math.Log(2*math.Pi)) / 2
	}
	return sum
}

func pairsTwin(p, _ wide) (y []float64) {
	for r := range len(p[0]) / Z {
		for k := range len(p[1]) / (2 * Z) {
			y = append(y, logNormal(p[0][r*Z:][:Z], p[1][k*2*Z:][:2*Z]))
		}
	}
	return y
}

// mixtureTwin is log Σ_k π_k exp l_k without the component of an image's own.
func mixtureTwin(l, logits, own []float64) (y []float64) {
	K := len(logits)
	rows := len(l) / K
	for r := range rows {
		mine := -1
		if own != nil {
			mine = int(own[r/(rows/len(own))])
		}
		sum, norm := 0.0, 0.0
		for k, a := range logits {
			if k != mine {
				sum += math.Exp(a + l[r*K+k])
				norm += math.Exp(a)
			}
		}
		y = append(y, math.Log(sum/norm))
	}
	return y
}

func addMixture(all map[string][]check) {
	random := graphtest.Random
	narrow := random("h", 41, 1, 20, 2*Z)
	for k := range 20 {
		for j := range Z {
			if k%3 == 0 {
				narrow.Value[k*2*Z+Z+j] -= 4 // a difference of squares would lose digits
			}
		}
	}
	for name, h := range map[string]*graph.Param{
		"pairs, few": random("h", 42, 1, 5, 2*Z), "pairs by a product": random("h", 43, 0.5, 20, 2*Z), "pairs, some narrow": narrow,
	} {
		all["LogNormalPairs"] = append(all["LogNormalPairs"], check{
			Name:   name,
			Params: []*graph.Param{random("z", 44, 1, B*S, Z), h},
			Build:  func(b *graph.Builder, p, _ nodes) graph.Node { return b.LogNormalPairs(p[0], p[1]) },
			Twin:   pairsTwin,
			Terms:  8 * Z,
		})
	}
	l, logits := random("l", 45, 3, B*S, 19), random("logits", 46, 1, 19)
	l.Value[4], l.Value[30] = -1e4, 40
	all["LogMixture"] = []check{{
		Name:   "logmixture",
		Params: []*graph.Param{l, logits},
		Build:  func(b *graph.Builder, p, _ nodes) graph.Node { return b.LogMixture(p[0], p[1]) },
		Twin:   func(p, _ wide) []float64 { return mixtureTwin(p[0], p[1], nil) },
		Terms:  19,
	}}
	all["LogMixtureWithout"] = []check{{
		Name:   "logmixture without an image's own",
		Params: []*graph.Param{random("l", 47, 3, B*S, 19), logits},
		Inputs: []*graph.Param{{Name: "own", Shape: []int{B}, Value: []float32{4, -1, 18}}},
		Build:  func(b *graph.Builder, p, in nodes) graph.Node { return b.LogMixtureWithout(p[0], p[1], in[0]) },
		Twin:   func(p, in wide) []float64 { return mixtureTwin(p[0], p[1], in[0]) },
		Terms:  19,
	}}
}

// TestLogNormalPairsLosesNoDigitsOfNarrowAndDistantGaussians: codes are within a few
// standard deviations of a Gaussian wherever it is and however narrow. What is left of the
// error is that of float32 numbers z and m: each is known to 2⁻²⁴ |m|, which is
// 2⁻²⁴ |m|/s standard deviations, and moves (z - m)²/(2s²) by that times |z - m|/s; here
// they are exact, so that only sums and exponentials round, to some units of 2⁻²⁴ of the
// terms |z - m|²/s² and log s².
func TestLogNormalPairsLosesNoDigitsOfNarrowAndDistantGaussians(t *testing.T) {
	const K, dims = 40, 3
	rng := rand.New(rand.NewPCG(1, 2))
	z, h := graph.NewParam("z", K, dims), graph.NewParam("h", K, 2*dims)
	for k := range K {
		for j := range dims {
			logVar := -18 + float64(k)/2 // s from 1e-4 to 2
			m := 8 * rng.NormFloat64()
			h.Value[k*2*dims+j], h.Value[k*2*dims+dims+j] = float32(m), float32(logVar)
			z.Value[k*dims+j] = float32(m + math.Exp(logVar/2)*rng.NormFloat64())
		}
	}
	var y graph.Node
	p, err := graph.Build(graphtest.Engine(2), func(b *graph.Builder) {
		y = b.LogNormalPairs(b.Param(z), b.Param(h))
		b.Output(y)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Run(); err != nil {
		t.Fatal(err)
	}
	for r := range K {
		for k := range K {
			var code, member []float64
			for j := range dims {
				code = append(code, float64(z.Value[r*dims+j]))
			}
			for j := range 2 * dims {
				member = append(member, float64(h.Value[k*2*dims+j]))
			}
			want := logNormal(code, member)
			got := float64(p.Values(y)[r*K+k])
			// Products are taken only where squares are below 2¹⁰.
			if d := math.Abs(got - want); d > 16*math.Exp2(-24)*max(1<<10, math.Abs(want)) {
				t.Errorf("code %d under Gaussian %d: %g, want %g", r, k, got, want)
			}
			if d := math.Abs(got - want); r == k && d > 64*math.Exp2(-24)*max(1, math.Abs(want)) && member[dims] < -6 {
				t.Errorf("its own code under Gaussian %d: %g, want %g", k, got, want)
			}
		}
	}
}

// TestTheMixtureOfOneStandardNormalIsTheStandardNormal to the bit, its gradient too.
func TestTheMixtureOfOneStandardNormalIsTheStandardNormal(t *testing.T) {
	z := graphtest.Random("z", 5, 2, 50, 6)
	one := func(of func(b *graph.Builder, z graph.Node) graph.Node) (value, grad []float32) {
		var y graph.Node
		p, err := graph.Build(graphtest.Engine(2), func(b *graph.Builder) {
			y = of(b, b.Param(z))
			b.Output(y)
			ones, values := b.Input("ones", 50)
			for i := range values {
				values[i] = 1
			}
			b.Gradients(b.Dot(y, ones), []*graph.Param{z})
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Run(); err != nil {
			t.Fatal(err)
		}
		return p.Values(y), p.Grad(0)
	}
	want, wantGrad := one(func(b *graph.Builder, z graph.Node) graph.Node { return b.LogStdNormal(z) })
	got, gotGrad := one(func(b *graph.Builder, z graph.Node) graph.Node {
		h, _ := b.Input("h", 1, 12)
		logits, _ := b.Input("logits", 1)
		return b.LogMixture(b.LogNormalPairs(z, h), logits)
	})
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("code %d: %v, want %v", i, got[i], want[i])
		}
	}
	for i := range wantGrad {
		if gotGrad[i] != wantGrad[i] {
			t.Fatalf("gradient %d: %v, want %v", i, gotGrad[i], wantGrad[i])
		}
	}
}

// TestMixturesAllocateNoBufferInAStep, forward and backward: what is left are the closures
// that every operation hands to Split, some tens of bytes each, whatever its size. The smallest
// buffer, a number for each of 300 images and 5 states, has 6000.
func TestMixturesAllocateNoBufferInAStep(t *testing.T) {
	for _, states := range []int{5, 400} {
		for _, name := range []string{"LogNormalPairs", "LogMixture", "LogMixtureWithout"} {
			p, err := timings()[name].compile(sizes{images: 300, draws: 1, latent: 3, states: states})
			if err != nil {
				t.Fatal(err)
			}
			const runs = 50
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for range runs {
				if err := p.Run(); err != nil {
					t.Fatal(err)
				}
			}
			runtime.ReadMemStats(&after)
			if bytes := (after.TotalAlloc - before.TotalAlloc) / runs; bytes > 5500 && !raceDetector {
				t.Errorf("%s of %d: %d bytes a run", name, states, bytes)
			}
		}
	}
}
