package infer

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/mat"

	"elbo/data"
	"elbo/graph"
	"elbo/model"
	"elbo/model/modeltest"
)

// layeredConfig is a VAE of 3 x 3 pixels with stochastic layers of the given sizes.
func layeredConfig(latent ...int) model.VAEConfig {
	c := model.VAEConfig{Pixels: 9, Hidden: []int{6}, Activation: graph.Tanh, Likelihood: model.BernoulliName, Objective: model.ELBO, Draws: 1, Layers: model.Layers{Latent: latent}}
	for l, z := range latent {
		c.Latent += z
		if l > 0 {
			c.Layers.Hidden = append(c.Layers.Hidden, []int{4})
		}
	}
	return c
}

// strongly multiplies the weights that a model began with, so that its layers matter.
func strongly(m *model.VAE, factor float32) *model.VAE {
	for _, p := range m.Params() {
		for i := range p.Value {
			p.Value[i] *= factor
		}
	}
	return m
}

// TestProbabilitiesOfAllImagesSumToOneUnderLayers: p(x) by quadrature over u, of all 512
// images of 3 x 3 pixels in two dimensions, and of all 64 of 2 x 3 in three.
func TestProbabilitiesOfAllImagesSumToOneUnderLayers(t *testing.T) {
	for pixels, latent := range map[int][]int{9: {1, 1}, 6: {2, 1}} {
		x := make([]float32, pixels<<pixels)
		for i := range x {
			x[i] = float32(i / pixels >> (i % pixels) & 1)
		}
		c := layeredConfig(latent...)
		c.Pixels = pixels
		m := strongly(newVAE(t, c, drawn(7)), 2)
		sum, stated := 0.0, 0.0
		for _, e := range quadrature(t, m.Joint, DefaultQuadrature(m.Latent), x) {
			sum += math.Exp(e.LogP)
			stated += math.Exp(e.LogP) * e.Error
		}
		// Rounding of log p(x|z) to float32: 2⁻²⁴ of some 10 nats.
		if math.Abs(sum-1) > stated+1e-5 {
			t.Errorf("%v: Σ p(x) = %.7f, stated error %.2g, want 1", latent, sum, stated)
		}
		if stated > 0.01 {
			t.Errorf("%v: a stated error of %.2g: the test says little", latent, stated)
		}
	}
}

// linearLayers is a model of two stochastic layers without hidden ones, whose variances
// depend on nothing, and its closed form: with z_1 = B z_2 + c + S u_1 it is a linear-Gaussian
// model of the weights [W S | W B] and the means W c + b.
func linearLayers(t *testing.T, lower, upper int) (*model.VAE, *modeltest.PPCA) {
	t.Helper()
	c := layeredConfig(lower, upper)
	c.Hidden, c.Layers.Hidden = nil, [][]int{nil}
	c.Likelihood, c.Variance = model.GaussianName, 0.25
	m := newVAE(t, c, drawn(3))
	rng := rand.New(rand.NewPCG(uint64(lower), uint64(upper)))
	param := func(name string) *mat.Dense { // as a matrix, filled at random
		for _, p := range m.Params() {
			if p.Name == name {
				columns := p.Shape[len(p.Shape)-1]
				if len(p.Shape) == 1 {
					columns = 1
				}
				values := mat.NewDense(p.Shape[0], columns, nil)
				for i := range p.Value {
					p.Value[i] = float32(rng.NormFloat64()) / 2
					if name == "decoder.z1.0.weight" && i/columns >= lower { // log σ²
						p.Value[i] = 0
					}
					values.Set(i/columns, i%columns, float64(p.Value[i]))
				}
				return values
			}
		}
		t.Fatalf("no parameter %s", name)
		return nil
	}
	w, b := param("decoder.0.weight"), param("decoder.0.bias")
	between, bias := param("decoder.z1.0.weight"), param("decoder.z1.0.bias")
	weights := mat.NewDense(9, lower+upper, nil)
	for j := range lower {
		for i := range 9 {
			weights.Set(i, j, w.At(i, j)*math.Exp(bias.At(lower+j, 0)/2))
		}
	}
	var above, means mat.Dense
	above.Mul(w, between.Slice(0, lower, 0, upper))
	weights.Slice(0, 9, lower, lower+upper).(*mat.Dense).Copy(&above)
	means.Mul(w, bias.Slice(0, lower, 0, 1))
	means.Add(&means, b)
	return m, modeltest.NewPPCA(t, weights, means.RawMatrix().Data, 0.25)
}

// TestLinearLayersHaveTheEvidenceOfTheirClosedForm: by quadrature in two and three
// dimensions, and by annealing in five.
func TestLinearLayersHaveTheEvidenceOfTheirClosedForm(t *testing.T) {
	v := plainView(t, 12, 3, 3)
	v.Mode = data.None
	x := v.AllEvaluated()
	for _, latent := range [][2]int{{1, 1}, {2, 1}, {1, 2}} {
		m, truth := linearLayers(t, latent[0], latent[1])
		for i, e := range quadrature(t, m.Joint, DefaultQuadrature(m.Latent), x) {
			want := truth.LogEvidence(modeltest.Floats(x[i*9:][:9]))
			if off := math.Abs(e.LogP - want); off > e.Error+1e-4 || e.Error > 0.1 {
				t.Errorf("%v: log p(x) = %.6f, want %.6f, stated error %.2g", latent, e.LogP, want, e.Error)
			}
		}
	}
	m, truth := linearLayers(t, 3, 2)
	a := estimate(t, m, v, 4, AISOptions{Steps: 300, Chains: 16, Leapfrogs: 3})
	var exact Running
	for _, logP := range evidences(truth, v) {
		exact.Add(logP)
	}
	// The logarithm of a mean of weights is low by half its variance.
	if off := a.Value - exact.Mean; math.Abs(off) > 5*a.ChainSE+a.ChainSE*a.ChainSE*12 || a.ChainSE > 0.1 {
		t.Errorf("annealing: %.4f ± %.4f, want %.4f", a.Value, a.ChainSE, exact.Mean)
	}
}

// TestEveryEstimatorOfLayersAgrees: L_k from below, annealing and quadrature, in two
// dimensions; the terms of the layers add up to the divergence; and the gap is not negative.
func TestEveryEstimatorOfLayersAgrees(t *testing.T) {
	m := strongly(newVAE(t, layeredConfig(1, 1), drawn(5)), 2)
	for _, p := range m.Q.Params() { // q = N(0, I), nearly, which is wide enough for weights
		for i := range p.Value {
			p.Value[i] /= 10
		}
	}
	v := plainView(t, 20, 3, 3)
	exact, _, err := Integrate(context.Background(), m.Joint, v, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	mean, stated := 0.0, 0.0
	for _, e := range exact {
		mean, stated = mean+e.LogP/20, max(stated, e.Error)
	}
	e, err := NewEvaluator(m, 20000)
	if err != nil {
		t.Fatal(err)
	}
	scored, err := e.Evaluate(context.Background(), v, 1)
	if err != nil {
		t.Fatal(err)
	}
	// Each image's L_k has a deviation of 1/√ESS, and lacks half its square.
	least := math.Inf(1)
	for _, s := range scored.PerImage {
		least = min(least, s.ESS)
	}
	scatter := 1 / math.Sqrt(least)
	if off := scored.IW.Bound - mean; math.Abs(off) > 5*scatter/math.Sqrt(20)+scatter*scatter+stated || scatter > 0.1 {
		t.Errorf("L_k %.4f, quadrature %.4f, effective draws %.0f", scored.IW.Bound, mean, least)
	}
	if scored.ELBO > scored.IW.Bound {
		t.Errorf("ELBO %.4f above L_k %.4f", scored.ELBO, scored.IW.Bound)
	}
	a := estimate(t, m, v, 4, AISOptions{Steps: 200, Chains: 16, Leapfrogs: 3})
	if off := a.Value - mean; math.Abs(off) > 5*a.ChainSE+10*a.ChainSE*a.ChainSE+stated || a.ChainSE > 0.05 {
		t.Errorf("annealing %.4f ± %.4f, quadrature %.4f", a.Value, a.ChainSE, mean)
	}
	if len(scored.KLPerLayer) != 2 || len(scored.ActivePerLayer) != 2 || scored.KLPerDim != nil || *scored.ActiveUnits != scored.ActivePerLayer[0]+scored.ActivePerLayer[1] {
		t.Fatalf("layers: KL %v, active %v; dimensions: KL %v, active %d", scored.KLPerLayer, scored.ActivePerLayer, scored.KLPerDim, *scored.ActiveUnits)
	}
	if sum := scored.KLPerLayer[0] + scored.KLPerLayer[1]; math.Abs(sum-scored.KL) > 1e-5*(1+math.Abs(sum)) {
		t.Errorf("the layers' %v add up to %.6f, KL is %.6f", scored.KLPerLayer, sum, scored.KL)
	}

	o := GapOptions{Samples: 500, Seed: 1, Exact: true, LocalQ: DefaultLocalQ()}
	gap, err := MeasureGap(context.Background(), m, v, o, func(string, int) {})
	if err != nil {
		t.Fatal(err)
	}
	if gap.Approximation.Value < -0.01 || gap.Amortisation.Value < -0.01 || gap.Amortisation.Value < 1e-3 {
		t.Errorf("gap %+v and %+v", gap.Approximation, gap.Amortisation)
	}
	imputed, err := Impute(context.Background(), m, v, []bool{true, true, true, true, false, false, false, false, false}, ImputeOptions{Steps: 50, Seed: 1})
	if err != nil || imputed.Acceptance < 0.05 {
		t.Errorf("imputed with acceptance %.2g, error %v", imputed.Acceptance, err)
	}
}

// TestACodeOfLayersIsTheMeanOfEachGivenTheOneBelow, and a decoder reads the lowest alone.
func TestACodeOfLayersIsTheMeanOfEachGivenTheOneBelow(t *testing.T) {
	m := strongly(newVAE(t, layeredConfig(2, 3), drawn(5)), 2)
	v := plainView(t, 4, 3, 3)
	h, err := Encode(context.Background(), m, v)
	if err != nil {
		t.Fatal(err)
	}
	codes, err := m.Codes(h)
	if err != nil {
		t.Fatal(err)
	}
	width, _ := m.Q.Posterior.Sizes()
	if width != 4 || len(codes) != 4*5 {
		t.Fatalf("%d numbers an image, %d of codes, want 4 and 20", width, len(codes))
	}
	for i := range v.N() {
		for j := range 2 {
			if codes[i*5+j] != h[i*4+j] {
				t.Errorf("image %d: z_1 is %v, want the mean %v", i, codes[i*5:][:2], h[i*4:][:2])
			}
		}
	}
	d, err := m.NewDecoder(2)
	if err != nil {
		t.Fatal(err)
	}
	images, err := d.Decode([]float32{1, 2, 3, 4, 5, 1, 2, -3, -4, -5})
	if err != nil || fmt.Sprint(images[:9]) != fmt.Sprint(images[9:]) {
		t.Errorf("images %v, error %v: want the same of the same z_1", images, err)
	}
}
