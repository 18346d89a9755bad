package model

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"elbo/graph"
	"elbo/model/modeltest"
)

// estimators are the gradients that a VAE has besides the standard one, each with the
// configuration of a small model.
func estimators() []VAEConfig {
	var all []VAEConfig
	add := func(objective Objective, gradient Gradient, draws int) {
		c := smallConfig()
		c.Activation, c.Hidden, c.Latent = graph.Tanh, []int{4}, 2
		c.Objective, c.Gradient, c.Draws = objective, gradient, draws
		all = append(all, c)
	}
	add(ELBO, STL, 1)
	add(ELBO, STL, 3)
	add(IWAE, DReG, 1)
	add(IWAE, DReG, 4)
	for _, c := range all[1:4:4] {
		c.Latent, c.Layers = 3, Layers{Latent: []int{2, 1}, Hidden: [][]int{{3}}}
		all = append(all, c)
	}
	for _, c := range all[1:4:4] {
		flow := c
		c.Posterior.Name = FullPosterior
		flow.Posterior.Name, flow.Prior.Name, flow.Flow = FlowedPosterior, FlowedPrior, FlowConfig{Layers: 2, Hidden: 3}
		all = append(all, c, flow)
	}
	return all
}

func (c VAEConfig) String() string {
	return fmt.Sprint(c.Objective, c.Gradient, c.Draws, c.Layers, c.Posterior.Name)
}

// redraw gives a batch new noise.
func redraw(batch *Batch, rng *rand.Rand) {
	for i := range batch.Eps {
		batch.Eps[i] = float32(rng.NormFloat64())
	}
}

// moments are the means of the gradient of every element over draws, and their squared
// standard errors.
func moments(t testing.TB, m *VAE, batch *Batch, rng *rand.Rand, draws int) (mean, squared []float64) {
	t.Helper()
	n := float64(draws)
	for range draws {
		redraw(batch, rng)
		if _, err := m.Step(batch); err != nil {
			t.Fatal(err)
		}
		at := 0
		for i := range m.Trained() {
			for _, g := range m.Grad(i) {
				if at == len(mean) {
					mean, squared = append(mean, 0), append(squared, 0)
				}
				mean[at], squared[at] = mean[at]+float64(g)/n, squared[at]+float64(g)*float64(g)/n
				at++
			}
		}
	}
	for i := range squared {
		squared[i] = max(0, squared[i]-mean[i]*mean[i]) / (n - 1)
	}
	return mean, squared
}

// compiled is the model of c with random parameters for batches of the size, far enough
// from where it begins that q is wrong.
func compiled(t testing.TB, c VAEConfig, images int) *VAE {
	t.Helper()
	m := testVAE(t, c)
	rng := rand.New(rand.NewPCG(5, 6))
	for _, p := range m.Params() {
		for i := range p.Value {
			p.Value[i] = float32(rng.NormFloat64()) / 2
		}
	}
	if err := m.CompileStep(images); err != nil {
		t.Fatal(err)
	}
	return m
}

// TestEveryGradientHasTheMeanOfTheStandardOne: means over draws of the noise agree, for
// every element of every parameter, with a weight of the divergence as well.
func TestEveryGradientHasTheMeanOfTheStandardOne(t *testing.T) {
	const images, draws = 3, 8000
	for _, c := range estimators() {
		t.Run(c.String(), func(t *testing.T) {
			standard := c
			standard.Gradient = StandardGradient
			batch := randomBatch(testVAE(t, c), images)
			if c.Objective == ELBO {
				batch.Beta = 0.7
			}
			got, gotVariance := moments(t, compiled(t, c, images), batch, rand.New(rand.NewPCG(1, 1)), draws)
			want, wantVariance := moments(t, compiled(t, standard, images), batch, rand.New(rand.NewPCG(2, 2)), draws)
			square := 0.0
			for i := range got {
				// Five standard errors: of some 100 elements one in a million tests fails.
				se := math.Sqrt(gotVariance[i] + wantVariance[i])
				if math.Abs(got[i]-want[i]) > 5*se+1e-6 {
					t.Errorf("element %d: mean %.5f, of the standard gradient %.5f ± %.5f", i, got[i], want[i], se)
				}
				square += want[i] * want[i]
			}
			// The test can fail: the gradient is many standard errors long.
			if square < 100*(sum(gotVariance)+sum(wantVariance)) {
				t.Errorf("a gradient of length %.3g is lost in the noise", math.Sqrt(square))
			}
		})
	}
}

func sum(values []float64) float64 {
	total := 0.0
	for _, v := range values {
		total += v
	}
	return total
}

// TestEveryGradientLeavesTheBoundAsItIs: terms of a batch, to the bit; where log q is at no
// draw known better than at any z, to the rounding of some ten terms of float32.
func TestEveryGradientLeavesTheBoundAsItIs(t *testing.T) {
	for _, c := range estimators() {
		standard := c
		standard.Gradient = ""
		batch := randomBatch(testVAE(t, c), 3)
		got, err := compiled(t, c, 3).Step(batch)
		want, err2 := compiled(t, standard, 3).Step(batch)
		same := got == want
		if c.Layers.Several() || c.Posterior.Name != "" {
			same = math.Abs(got.Bound-want.Bound) < 1e-5 && math.Abs(got.KL-want.KL) < 1e-5 && got.Recon == want.Recon
		}
		if err != nil || err2 != nil || !same {
			t.Errorf("%v: terms %+v %v, with the standard gradient %+v %v", c, got, err, want, err2)
		}
	}
}

// TestADrawAloneHasTheGradientOfTheELBO: with one draw an importance weight is 1, and both
// estimators are the path derivative.
func TestADrawAloneHasTheGradientOfTheELBO(t *testing.T) {
	all := estimators()
	stl, dreg := compiled(t, all[0], 3), compiled(t, all[2], 3)
	batch := randomBatch(stl, 3)
	for _, m := range []*VAE{stl, dreg} {
		if _, err := m.Step(batch); err != nil {
			t.Fatal(err)
		}
	}
	for i, p := range stl.Trained() {
		for j, g := range stl.Grad(i) {
			if math.Abs(float64(g-dreg.Grad(i)[j])) > 1e-6 {
				t.Fatalf("%s: gradient %d is %g of stl, %g of dreg", p.Name, j, g, dreg.Grad(i)[j])
			}
		}
	}
}

// TestAnExactPosteriorHasNoGradientWhateverIsDrawn: in a linear-Gaussian model whose
// posterior is a diagonal Gaussian, at the encoder that gives it. The standard gradient has
// the mean 0 there, but not the value.
func TestAnExactPosteriorHasNoGradientWhateverIsDrawn(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 8))
	exact := modeltest.RandomPPCA(t, rng, 6, 2, 0.8, 0.5, true)
	largest := func(objective Objective, gradient Gradient, draws int) float64 {
		m := testVAE(t, VAEConfig{Pixels: 6, Latent: 2, Activation: graph.ReLU, Likelihood: GaussianName, Variance: 0.5, Objective: objective, Gradient: gradient, Draws: draws})
		exact.Fill(t, m.Params())
		if err := m.CompileStep(4); err != nil {
			t.Fatal(err)
		}
		batch := randomBatch(m, 4)
		for i := range batch.X {
			batch.X[i] = float32(rng.NormFloat64())
		}
		most := 0.0
		for range 20 {
			redraw(batch, rng)
			if _, err := m.Step(batch); err != nil {
				t.Fatal(err)
			}
			for i := range m.Q.Params() {
				for _, g := range m.Grad(i) {
					most = max(most, math.Abs(float64(g)))
				}
			}
		}
		return most
	}
	for _, c := range []struct {
		objective Objective
		gradient  Gradient
		draws     int
	}{{ELBO, STL, 1}, {ELBO, STL, 5}, {IWAE, DReG, 1}, {IWAE, DReG, 5}} {
		// Slopes of log p(x, z) and of log q(z|x) of below 100 that cancel, each rounded by
		// some 10 · 2⁻²⁴ of itself.
		if got := largest(c.objective, c.gradient, c.draws); got > 1e-4 {
			t.Errorf("%s, %d draws: a gradient of %.2g, want 0", c.gradient, c.draws, got)
		}
		if standard := largest(c.objective, StandardGradient, c.draws); standard < 0.1 {
			t.Errorf("%s, %d draws: the standard gradient is at most %.2g: the test proves nothing", c.objective, c.draws, standard)
		}
	}
}

// TestGradientsThatAreNotOfTheObjectiveAreRefused, with a reason.
func TestGradientsThatAreNotOfTheObjectiveAreRefused(t *testing.T) {
	c := smallConfig()
	c.Gradient = DReG
	wantFault(t, c, "gradient is dreg, but the draws of the objective elbo have no weights, and what is left of it is stl: want stl")
	c.Objective, c.Gradient = IWAE, STL
	wantFault(t, c, "gradient is stl, which for the objective iwae has a bias (Tucker et al. 2019): want dreg")
	c.Gradient = "adam"
	wantFault(t, c, `unknown gradient "adam", want one of standard, stl, dreg`)
}

// TestAnAutoregressiveFlowHasTheStandardGradientAlone: where a gradient through z alone is
// wanted, another family is named.
func TestAnAutoregressiveFlowHasTheStandardGradientAlone(t *testing.T) {
	c := smallConfig()
	c.Gradient, c.Posterior.Name, c.Flow.Name = STL, FlowedPosterior, AutoregressiveFlow
	wantFault(t, c, "gradient is stl, which wants log q(z|x) at any z, and of an autoregressive flow that is one dimension after the other: want flow coupling, or gradient standard")
}

func wantFault(t *testing.T, c VAEConfig, want string) {
	t.Helper()
	if err := c.Validate(); err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}
