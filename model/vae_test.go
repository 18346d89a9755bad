package model

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"elbo/graph"
	"elbo/graph/graphtest"
)

func testVAE(t testing.TB, c VAEConfig) *VAE {
	t.Helper()
	m, err := NewVAE(c, graphtest.Engine(2), func(name string) graph.Uniform {
		return rand.New(rand.NewPCG(uint64(len(name)), uint64(name[len(name)-6])))
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func smallConfig() VAEConfig {
	return VAEConfig{Pixels: 9, Hidden: []int{7, 5}, Latent: 3, Activation: graph.ReLU, Likelihood: BernoulliName, Objective: ELBO, Draws: 1}
}

// randomBatch fills a batch with 0 and 1 pixels and normal noise.
func randomBatch(m *VAE, images int) *Batch {
	rng := rand.New(rand.NewPCG(3, 4))
	b := m.NewBatch(images)
	b.Images = images
	for i := range b.X {
		b.X[i] = float32(rng.IntN(2))
	}
	for i := range b.Eps {
		b.Eps[i] = float32(rng.NormFloat64())
	}
	return b
}

// TestFusedGraphEqualsStockOperations compares terms and every gradient with a twin
// in float64 made of Gorgonia's stock operations.
func TestFusedGraphEqualsStockOperations(t *testing.T) {
	for _, activation := range []graph.Activation{graph.ReLU, graph.Tanh} {
		for _, hidden := range [][]int{{7, 5}, {6}} {
			t.Run(fmt.Sprint(activation, hidden), func(t *testing.T) {
				c := smallConfig()
				c.Activation, c.Hidden = activation, hidden
				m := testVAE(t, c)
				const images = 4
				if err := m.CompileStep(images); err != nil {
					t.Fatal(err)
				}
				batch := randomBatch(m, images)
				totals, err := m.Step(batch)
				if err != nil {
					t.Fatal(err)
				}
				loss, grads, err := graphtest.StockVAE(m.Params(), activation, c.Latent, batch.X, batch.Eps, images)
				if err != nil {
					t.Fatal(err)
				}
				// Sums of at most 9 float32 terms per unit over 5 layers, each
				// rounded by 2^-24: below 1e-5 of the largest element.
				if got := -totals.Mean().Bound; math.Abs(got-loss) > 1e-5*math.Abs(loss) {
					t.Errorf("loss %.8f, stock operations give %.8f", got, loss)
				}
				for i, p := range m.Params() {
					want := grads[p.Name]
					scale := 0.0
					for _, w := range want {
						scale = max(scale, math.Abs(w))
					}
					if scale == 0 {
						t.Fatalf("%s: the twin has no gradient", p.Name)
					}
					for j, g := range m.Grad(i) {
						if math.Abs(float64(g)-want[j]) > 1e-5*scale {
							t.Fatalf("%s: gradient %d is %g, stock operations give %g", p.Name, j, g, want[j])
						}
					}
				}
			})
		}
	}
}

// TestProbabilitiesOfAllImagesSumToOne sums p(x) over all 512 images of 3 x 3
// pixels, with p(x) by quadrature over a latent space of one dimension: a Bernoulli
// likelihood is a probability mass, and the cross-entropy that goes by the name of
// grey-bernoulli agrees with it on 0 and 1.
func TestProbabilitiesOfAllImagesSumToOne(t *testing.T) {
	const images, nodes = 512, 400
	c := smallConfig()
	c.Latent = 1
	m := testVAE(t, c)
	s, err := m.NewScorer(m.Q.Posterior, images, 1)
	if err != nil {
		t.Fatal(err)
	}
	x := make([]float32, images*c.Pixels)
	for i := range x {
		x[i] = float32(i / c.Pixels >> (i % c.Pixels) & 1)
	}
	// h = (0, 0) and eps = z: the scorer's draws are the nodes of the quadrature.
	h, eps := make([]float32, images*2), make([]float32, images)
	sum := 0.0
	const lo, hi = -8.0, 8.0
	for i := range nodes {
		z := lo + (hi-lo)*(float64(i)+0.5)/nodes
		for j := range eps {
			eps[j] = float32(z)
		}
		logLik, _, err := s.Score(x, h, eps)
		if err != nil {
			t.Fatal(err)
		}
		weight := (hi - lo) / nodes * math.Exp(-z*z/2) / math.Sqrt(2*math.Pi)
		for _, l := range logLik {
			sum += weight * math.Exp(float64(l))
		}
	}
	// The prior outside ±8 weighs 1e-15, the midpoint rule on a smooth, vanishing
	// integrand is exact to rounding; each log p(x|z) is rounded to float32, 2^-24
	// of at most 10 nats.
	if math.Abs(sum-1) > 1e-6 {
		t.Errorf("Σ p(x) = %.9f, want 1", sum)
	}
}

// TestBoundIsIndependentOfTheBatch gives the same images one by one, all at once,
// and twice over.
func TestBoundIsIndependentOfTheBatch(t *testing.T) {
	m := testVAE(t, smallConfig())
	const images = 6
	whole := randomBatch(m, images)
	d, z := m.Pixels, m.Latent
	bound := func(size int, copies int) float64 {
		if err := m.CompileStep(size); err != nil {
			t.Fatal(err)
		}
		var totals Totals
		for range copies {
			for first := 0; first < images; first += size {
				n := min(size, images-first)
				step, err := m.Step(&Batch{Images: n, X: whole.X[first*d:][:n*d], Eps: whole.Eps[first*z:][:n*z], Beta: 1})
				if err != nil {
					t.Fatal(err)
				}
				totals.Add(step)
			}
		}
		return totals.Mean().Bound
	}
	want := bound(images, 1)
	for _, c := range [][2]int{{1, 1}, {2, 1}, {4, 1}, {7, 1}, {3, 2}} { // 4 and 7 leave padding
		// Products of other sizes may round in another order: 9 terms of float32.
		if got := bound(c[0], c[1]); math.Abs(got-want) > 1e-5 {
			t.Errorf("batches of %d, %d times over: bound %.7f, want %.7f", c[0], c[1], got, want)
		}
	}
}

// TestPaddingChangesNoGradient fills the padding rows with noise and compares with
// the batch without them.
func TestPaddingChangesNoGradient(t *testing.T) {
	m := testVAE(t, smallConfig())
	batch := randomBatch(m, 5)
	batch.Images = 3
	grads := func(size int) [][]float32 {
		if err := m.CompileStep(size); err != nil {
			t.Fatal(err)
		}
		if _, err := m.Step(batch); err != nil {
			t.Fatal(err)
		}
		var all [][]float32
		for i := range m.Params() {
			all = append(all, m.Grad(i))
		}
		return all
	}
	padded, exact := grads(5), grads(3)
	for i, p := range m.Params() {
		for j := range exact[i] {
			if d := math.Abs(float64(padded[i][j] - exact[i][j])); d > 1e-6 {
				t.Fatalf("%s: gradient %d is %g with padding, %g without", p.Name, j, padded[i][j], exact[i][j])
			}
		}
	}
}

// TestAStepAllocatesNoTensor counts bytes: a step allocates for the bookkeeping of
// Gorgonia (10 kB) and, with gonum, of its products (100 kB).
func TestAStepAllocatesNoTensor(t *testing.T) {
	c := smallConfig()
	c.Pixels, c.Hidden, c.Latent = 784, []int{400}, 100
	m := testVAE(t, c)
	const images = 128
	if err := m.CompileStep(images); err != nil {
		t.Fatal(err)
	}
	batch := randomBatch(m, images)
	step := func() {
		if _, err := m.Step(batch); err != nil {
			t.Fatal(err)
		}
	}
	step()
	const steps = 10
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range steps {
		step()
	}
	runtime.ReadMemStats(&after)
	perStep := (after.TotalAlloc - before.TotalAlloc) / steps
	t.Logf("%d bytes a step", perStep)
	if limit := uint64(4 * images * 400); perStep > limit && !raceDetector {
		t.Errorf("a step allocates %d bytes, want below %d, the size of a hidden layer", perStep, limit)
	}
}

func TestEveryFaultOfAConfigurationIsNamed(t *testing.T) {
	c := VAEConfig{Pixels: 0, Hidden: []int{3, 0}, Latent: -1, Activation: "sin", Likelihood: "poisson", Variance: -1, Objective: "mle", Draws: 0}
	err := c.Validate()
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		"pixels is 0, want at least 1",
		"latent is -1, want at least 1",
		"k is 0, want at least 1",
		"hidden: layer 2 has 0 units, want at least 1",
		`variance is -1, want a positive number, or "learned"`,
		`unknown activation "sin", want one of relu, tanh, elu, softplus`,
		`unknown likelihood "poisson", want one of bernoulli, continuous-bernoulli, gaussian, grey-bernoulli`,
		`unknown objective "mle", want one of elbo, iwae`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error lacks %q:\n%v", want, err)
		}
	}
}

func TestTheGraphIsDrawnTheSameEveryTime(t *testing.T) {
	draw := func() string {
		m := testVAE(t, smallConfig())
		if err := m.CompileStep(2); err != nil {
			t.Fatal(err)
		}
		return m.StepDOT()
	}
	first := draw()
	for _, want := range []string{"digraph", "encoder.0.weight", "affine relu", "reparameterise", "bernoulli", "negmean", "affine.dw"} {
		if !strings.Contains(first, want) {
			t.Errorf("drawing lacks %q", want)
		}
	}
	if again := draw(); again != first {
		t.Error("a second drawing differs")
	}
}

func BenchmarkStep(b *testing.B) {
	for _, c := range []struct {
		name   string
		config VAEConfig
		images int
	}{
		{"vae_784_400_20_b128", VAEConfig{Pixels: 784, Hidden: []int{400}, Latent: 20, Activation: graph.ReLU, Likelihood: BernoulliName, Objective: ELBO, Draws: 1}, 128},
		{"vae_784_200_200_50_b20", VAEConfig{Pixels: 784, Hidden: []int{200, 200}, Latent: 50, Activation: graph.Tanh, Likelihood: BernoulliName, Objective: ELBO, Draws: 1}, 20},
	} {
		for _, workers := range []int{1, 2} {
			b.Run(fmt.Sprintf("%s/workers_%d", c.name, workers), func(b *testing.B) {
				m, err := NewVAE(c.config, graphtest.Engine(workers), func(string) graph.Uniform { return rand.New(rand.NewPCG(1, 1)) })
				if err == nil {
					err = m.CompileStep(c.images)
				}
				if err != nil {
					b.Fatal(err)
				}
				batch := randomBatch(m, c.images)
				b.ReportAllocs()
				for b.Loop() {
					if _, err := m.Step(batch); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(c.images*b.N)/b.Elapsed().Seconds(), "images/s")
			})
		}
	}
}

// TestAFrozenPartLeavesTheGradientsOfTheOther as they are, and has none itself.
func TestAFrozenPartLeavesTheGradientsOfTheOther(t *testing.T) {
	whole := testVAE(t, smallConfig())
	if err := whole.CompileStep(4); err != nil {
		t.Fatal(err)
	}
	batch := randomBatch(whole, 4)
	if _, err := whole.Step(batch); err != nil {
		t.Fatal(err)
	}
	trained := 0
	for _, part := range []Part{EncoderPart, DecoderPart} {
		c := smallConfig()
		c.Freeze = part
		m := testVAE(t, c)
		if err := m.CompileStep(4); err != nil {
			t.Fatal(err)
		}
		if _, err := m.Step(batch); err != nil {
			t.Fatal(err)
		}
		for i, p := range m.Trained() {
			j := slices.IndexFunc(whole.Params(), func(q *graph.Param) bool { return q.Name == p.Name })
			if !slices.Equal(m.Grad(i), whole.Grad(j)) {
				t.Errorf("%s frozen: the gradient of %s differs", part, p.Name)
			}
			trained++
		}
	}
	if trained != len(whole.Params()) {
		t.Errorf("%d parameters are trained by either, want each of %d once", trained, len(whole.Params()))
	}
}
