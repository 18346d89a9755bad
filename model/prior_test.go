package model

import (
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"gonum.org/v1/gonum/floats"

	"elbo/graph"
	"elbo/graph/graphtest"
	"elbo/model/modeltest"
)

// priorVAE is a small VAE of 6 pixels and two latent dimensions.
func priorVAE(t *testing.T, c PriorConfig, seed uint64) *VAE {
	t.Helper()
	m, err := NewVAE(VAEConfig{Pixels: 6, Hidden: []int{5}, Latent: 2, Activation: graph.Tanh, Likelihood: BernoulliName, Objective: ELBO, Draws: 2, Prior: c},
		graphtest.Engine(2), func(name string) graph.Uniform {
			h := fnv.New64a()
			h.Write([]byte(name))
			return rand.New(rand.NewPCG(seed, h.Sum64()))
		})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestTheMixtureOfOneStandardNormalIsTheNormalPrior to the bit: its log-density in a graph,
// and its draws.
func TestTheMixtureOfOneStandardNormalIsTheNormalPrior(t *testing.T) {
	p := newGaussiansPrior(1, 3, byGradient, graphtest.Engine(1), func(string) graph.Uniform { return zeros{} })
	for _, param := range p.Params() {
		clear(param.Value)
	}
	z := graphtest.Random("z", 1, 2, 40, 3)
	var got, want graph.Node
	program, err := graph.Build(graphtest.Engine(1), func(b *graph.Builder) {
		got, want = p.LogProb(b, b.Param(z)), StandardNormal{}.LogProb(b, b.Param(z))
		b.Output(got, want)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := program.Run(); err != nil {
		t.Fatal(err)
	}
	for i, v := range program.Values(want) {
		if program.Values(got)[i] != v {
			t.Errorf("code %d: %v, want %v", i, program.Values(got)[i], v)
		}
	}
	a, b := rand.New(rand.NewPCG(1, 1)), rand.New(rand.NewPCG(1, 1))
	x, y := make([]float64, 3), make([]float64, 3)
	for range 20 {
		p.Draw(x, a)
		StandardNormal{}.Draw(y, b)
		if !floats.Equal(x, y) {
			t.Fatalf("drew %v, want %v", x, y)
		}
	}
}

// TestAnImageIsLeftOutOfItsOwnPrior: log p(z) that a step takes of an image that is the k-th
// exemplar is that of the other K - 1, in equal parts; of another image, that of all.
func TestAnImageIsLeftOutOfItsOwnPrior(t *testing.T) {
	const k = 4
	images := graphtest.Random("x", 2, 1, k, 6)
	m := priorVAE(t, PriorConfig{Name: ExemplarPrior, Components: k, Images: images.Value, Places: map[int]int{70: 2}}, 1)
	prior := m.Prior.(LeavesOut)
	if prior.Own(70) != 2 || prior.Own(71) != -1 {
		t.Errorf("image 70 is exemplar %d, 71 is %d: want 2 and -1", prior.Own(70), prior.Own(71))
	}
	z := graphtest.Random("z", 3, 1, 4, 2) // two draws of each of two images
	var logP graph.Node
	program, err := graph.Build(m.Engine, func(b *graph.Builder) {
		own, values := b.Input("own", 2)
		values[0], values[1] = 2, -1
		logP = prior.LogProbWithout(b, b.Param(z), own)
		b.Output(logP)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := program.Run(); err != nil {
		t.Fatal(err)
	}
	encoder, err := m.NewEncoder(k)
	if err != nil {
		t.Fatal(err)
	}
	h, err := encoder.Encode(images.Value)
	if err != nil {
		t.Fatal(err)
	}
	for r, got := range program.Values(logP) {
		var logs []float64
		for i := range k {
			if r >= 2 || i != 2 {
				code := []float64{float64(z.Value[2*r]), float64(z.Value[2*r+1])}
				logs = append(logs, DiagonalGaussian{Latent: 2}.LogDensity(h[4*i:][:4], code, nil))
			}
		}
		want := floats.LogSumExp(logs) - math.Log(float64(len(logs)))
		if math.Abs(float64(got)-want) > 1e-5*math.Max(1, math.Abs(want)) {
			t.Errorf("draw %d: log p(z) = %g, want %g", r, got, want)
		}
	}

	// And in a step: log p(z) of the draws is what the divergence has with the image's own
	// term, and what it has without.
	if err := m.CompileStep(2); err != nil {
		t.Fatal(err)
	}
	batch := m.NewBatch(2)
	batch.Images = 1
	copy(batch.X, images.Value[2*6:])
	copy(batch.Eps, []float32{0.3, -0.2, -0.5, 0.1})
	batch.Own[0] = 2
	without, err := m.Step(batch)
	if err != nil {
		t.Fatal(err)
	}
	batch.Own[0] = -1
	with, err := m.Step(batch)
	if err != nil {
		t.Fatal(err)
	}
	want, own := 0.0, h[4*2:][:4]
	for draw := range 2 {
		code := make([]float64, 2)
		for j := range code {
			code[j] = float64(own[j]) + math.Exp(float64(own[2+j])/2)*float64(batch.Eps[2*draw+j])
		}
		var all, others []float64
		for i := range k {
			l := DiagonalGaussian{Latent: 2}.LogDensity(h[4*i:][:4], code, nil)
			all = append(all, l)
			if i != 2 {
				others = append(others, l)
			}
		}
		want += (floats.LogSumExp(others) - math.Log(float64(k-1)) - floats.LogSumExp(all) + math.Log(float64(k))) / 2
	}
	// Each KL is a mean of differences of a few float32 numbers of magnitude 1 to 10.
	if got := with.KL - without.KL; math.Abs(got-want) > 1e-5 || want == 0 {
		t.Errorf("KL is %g with the image's own term, %g without: a difference of %g, want %g", with.KL, without.KL, got, want)
	}
	for _, p := range m.Trained() {
		if p.Name == exemplarsParam {
			t.Error("the exemplars are trained")
		}
	}
}

// TestPseudoInputsStayImages: Project moves pixels into [0, 1] and leaves those that are.
func TestPseudoInputsStayImages(t *testing.T) {
	m := priorVAE(t, PriorConfig{Name: PseudoPrior, Components: 1, Images: []float32{-0.1, 0, 0.3, 1, 1.2, 7}}, 1)
	m.Prior.(Projected).Project()
	for i, want := range []float32{0, 0, 0.3, 1, 1, 1} {
		if got := m.Prior.Params()[0].Value[i]; got != want {
			t.Errorf("pixel %d is %v, want %v", i, got, want)
		}
	}
}

// clumps are posteriors, h, in three clumps.
func clumps(n int) (h []float32) {
	rng := rand.New(rand.NewPCG(5, 5))
	for i := range n {
		for j := range 2 {
			h = append(h, float32(3*float64((i+j)%3)-3+0.5*rng.NormFloat64()))
		}
		for range 2 {
			h = append(h, float32(-2+0.5*rng.NormFloat64()))
		}
	}
	return h
}

// TestAnUpdateOfThePriorNeverLowersItsBound, from many beginnings and again and again, to the
// rounding of the parameters to float32; and the bound is below E_q[log p(z)], here the mean
// over 100 draws of each posterior, to four standard errors.
func TestAnUpdateOfThePriorNeverLowersItsBound(t *testing.T) {
	const n = 60
	h, family := clumps(n), DiagonalGaussian{Latent: 2}
	least := math.Inf(1)
	for i := range n {
		for _, v := range family.Variance(h[4*i:][:4]) {
			least = math.Min(least, v)
		}
	}
	for seed := range uint64(8) {
		m := priorVAE(t, PriorConfig{Name: GaussianPrior, Components: 6, EM: true}, seed)
		p := m.Prior.(boxedMixture).MixturePrior
		expected := func() (value, se float64) {
			noise, z := rand.New(rand.NewPCG(6, 6)), make([]float64, 2)
			sum, squares, count := 0.0, 0.0, 0.0
			members, pi := p.Members()
			for i := range n {
				for range 100 {
					family.DrawMember(z, h[4*i:][:4], noise)
					var logs []float64
					for k, w := range pi {
						logs = append(logs, math.Log(w)+family.LogDensity(members[4*k:][:4], z, nil))
					}
					l := floats.LogSumExp(logs)
					sum, squares, count = sum+l, squares+l*l, count+1
				}
			}
			return sum / count, math.Sqrt((squares/count - sum*sum/count/count) / count)
		}
		last, first := math.Inf(-1), 0.0
		for pass := range 40 {
			value, se := expected()
			bound, err := m.UpdatePrior(h, n, 1, nil)
			if err != nil {
				t.Fatal(err)
			}
			if pass == 0 {
				first = bound
			}
			if bound < last-1e-5 {
				t.Errorf("seed %d: pass %d lowers the bound from %.7f to %.7f", seed, pass, last, bound)
			}
			if bound > value+4*se {
				t.Errorf("seed %d: pass %d: the bound %.4f is above E_q[log p(z)] = %.4f ± %.4f", seed, pass, bound, value, se)
			}
			last = bound
		}
		if !(last > first+1) {
			t.Errorf("seed %d: the bound went from %.3f to %.3f: this tests nothing", seed, first, last)
		}
		members, _ := p.Members()
		for i, v := range members {
			if i%4 >= 2 && !(math.Exp(float64(v)) > least*(1-1e-5)) {
				t.Errorf("seed %d: a variance of %g, below all that posteriors have, %g", seed, math.Exp(float64(v)), least)
			}
		}
	}
}

// TestProcessesUpdateAPriorToTheBitsOfOne, each with the codes of its own images, also where
// there are more of them than parts.
func TestProcessesUpdateAPriorToTheBitsOfOne(t *testing.T) {
	const n, passes = 50, 3
	h := clumps(n)
	update := func(h []float32, p Peers) *VAE {
		m := priorVAE(t, PriorConfig{Name: GaussianPrior, Components: 6, EM: true}, 3)
		if _, err := m.UpdatePrior(h, n, passes, p); err != nil {
			t.Error(err)
		}
		return m
	}
	want := update(h, nil)
	for _, size := range []int{2, 3, 19} {
		var ranks sync.WaitGroup
		for _, member := range modeltest.Team(size) {
			ranks.Go(func() {
				lo, hi := PriorShare(member, n)
				for i, p := range update(h[4*lo:4*hi], member).Params() {
					if !slices.Equal(p.Value, want.Params()[i].Value) {
						t.Errorf("process %d of %d comes to another %s", member.Rank(), size, p.Name)
					}
				}
			})
		}
		ranks.Wait()
	}
}

// TestOnePassFitsOneGaussian: with one component the update is the mean of the codes, and
// their variance with that of the posteriors.
func TestOnePassFitsOneGaussian(t *testing.T) {
	const n = 50
	m := priorVAE(t, PriorConfig{Name: GaussianPrior, Components: 1, EM: true}, 3)
	h := clumps(n)
	if _, err := m.UpdatePrior(h, n, 1, nil); err != nil {
		t.Fatal(err)
	}
	members, _ := m.Prior.(boxedMixture).Members()
	for j := range 2 {
		mean, second := 0.0, 0.0
		for i := range n {
			mu, v := float64(h[4*i+j]), math.Exp(float64(h[4*i+2+j]))
			mean, second = mean+mu/n, second+(mu*mu+v)/n
		}
		if got := float64(members[j]); math.Abs(got-mean) > 1e-6 {
			t.Errorf("mean %d is %g, want %g", j, got, mean)
		}
		if got, want := float64(members[2+j]), math.Log(second-mean*mean); math.Abs(got-want) > 1e-5 {
			t.Errorf("log variance %d is %g, want %g", j, got, want)
		}
	}
}

// TestAPriorIsRefusedWhereItCannotBe with a reason that names the setting.
func TestAPriorIsRefusedWhereItCannotBe(t *testing.T) {
	for want, change := range map[string]func(*VAEConfig){
		"prior-components is 0, want at least 1 of the prior mixture":  func(c *VAEConfig) { c.Prior = PriorConfig{Name: GaussianPrior} },
		"prior-components is 1, want at least 2 of the prior exemplar": func(c *VAEConfig) { c.Prior = PriorConfig{Name: ExemplarPrior, Components: 1} },
		"pseudo-inputs is 0, want at least 1 of the prior vamp":        func(c *VAEConfig) { c.Prior = PriorConfig{Name: PseudoPrior} },
		"only a mixture of Gaussians has a closed M-step":              func(c *VAEConfig) { c.Prior.EM = true },
		"freeze is decoder, which leaves p(z) as it is": func(c *VAEConfig) {
			c.Prior, c.Freeze = PriorConfig{Name: GaussianPrior, Components: 2, EM: true}, DecoderPart
		},
		"the posterior flow knows its density at its own draws alone: want prior mixture, or posterior diagonal or full; of flows, flow coupling has it": func(c *VAEConfig) {
			c.Prior, c.Posterior, c.Flow = PriorConfig{Name: PseudoPrior, Components: 2}, PosteriorConfig{Name: FlowedPosterior}, FlowConfig{Name: AutoregressiveFlow}
		},
		"which has parameters that training changes": func(c *VAEConfig) {
			c.Prior, c.Posterior, c.Freeze = PriorConfig{Name: ExemplarPrior, Components: 2}, PosteriorConfig{Name: FlowedPosterior}, DecoderPart
		},
		"the posterior flow does not know them": func(c *VAEConfig) {
			c.Prior, c.Posterior = PriorConfig{Name: GaussianPrior, Components: 2, EM: true}, PosteriorConfig{Name: FlowedPosterior}
		},
		"the objective is iwae, which weights its draws": func(c *VAEConfig) {
			c.Prior, c.Objective = PriorConfig{Name: GaussianPrior, Components: 2, EM: true}, IWAE
		},
	} {
		c := VAEConfig{Pixels: 6, Latent: 2, Activation: graph.Tanh, Likelihood: BernoulliName, Objective: ELBO, Draws: 1}
		change(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}
