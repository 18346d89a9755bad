package infer

import (
	"context"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"elbo/data"
	"elbo/graph"
	"elbo/model"
	"elbo/model/modeltest"
)

// components are those of the priors of these tests.
const components = 7

// priorOf is the configuration of a prior, its images some of v.
func priorOf(name model.PriorName, v data.View) model.PriorConfig {
	c := model.PriorConfig{Name: name}
	if name == model.NormalPrior {
		return c
	}
	c.Components = components
	c.Images = v.AllEvaluated()[:components*v.D()]
	return c
}

// scatter gives a mixture of Gaussians components of different places, widths and weights.
func scatter(p model.Prior, rng *rand.Rand) {
	for _, param := range p.Params() {
		switch param.Name {
		case "prior.components":
			half := param.Shape[1] / 2
			for i := range param.Value {
				if param.Value[i] = float32(1.3 * rng.NormFloat64()); i%param.Shape[1] >= half {
					param.Value[i] = float32(-1.5 + 0.7*rng.NormFloat64())
				}
			}
		case "prior.logits":
			for i := range param.Value {
				param.Value[i] = float32(rng.NormFloat64())
			}
		}
	}
}

// membersOf are the Gaussians of a prior that is a mixture of them, and their weights.
func membersOf(t *testing.T, j *model.Joint) (h []float32, pi []float64) {
	t.Helper()
	fixed, _, err := j.Fixed()
	if err != nil {
		t.Fatal(err)
	}
	if m, ok := fixed.Prior.(interface {
		Members() ([]float32, []float64)
	}); ok {
		return m.Members()
	}
	return make([]float32, 2*j.Latent), []float64{1} // N(0, I)
}

// underMixture is log p(x) of a linear-Gaussian model whose prior is a mixture of Gaussians:
// with z = m + S u, each component is a linear-Gaussian model of its own.
//
//	p(x) = Σ_k π_k N(x; W m_k + b, W S_k² Wᵀ + s² I)
func underMixture(t *testing.T, p *modeltest.PPCA, h []float32, pi []float64) func(x []float64) float64 {
	t.Helper()
	pixels, latent := p.W.Dims()
	var parts []*modeltest.PPCA
	for k := range pi {
		w, b := mat.NewDense(pixels, latent, nil), append([]float64(nil), p.B...)
		for i := range pixels {
			for j := range latent {
				m, s := float64(h[k*2*latent+j]), math.Exp(float64(h[k*2*latent+latent+j])/2)
				w.Set(i, j, p.W.At(i, j)*s)
				b[i] += p.W.At(i, j) * m
			}
		}
		parts = append(parts, modeltest.NewPPCA(t, w, b, p.Variance))
	}
	return func(x []float64) float64 {
		logs := make([]float64, len(pi))
		for k, part := range parts {
			logs[k] = math.Log(pi[k]) + part.LogEvidence(x)
		}
		return floats.LogSumExp(logs)
	}
}

// mixedModel is a linear-Gaussian VAE of two latent dimensions under a prior, with its
// evidence in closed form.
func mixedModel(t *testing.T, prior model.PriorName, v data.View) (*model.VAE, func(x []float64) float64) {
	t.Helper()
	m := newVAE(t, model.VAEConfig{Pixels: 9, Latent: 2, Activation: graph.ReLU, Likelihood: model.GaussianName, Variance: 0.1, Objective: model.ELBO, Draws: 1, Prior: priorOf(prior, v)}, func(string) graph.Uniform { return half{} })
	rng := rand.New(rand.NewPCG(2, 2))
	p := modeltest.RandomPPCA(t, rng, 9, 2, 0.5, 0.1, true)
	var network []*graph.Param
	for _, param := range m.Params() {
		if !strings.HasPrefix(param.Name, "prior.") {
			network = append(network, param)
		}
	}
	p.Fill(t, network)
	scatter(m.Prior, rng)
	h, pi := membersOf(t, m.Joint)
	return m, underMixture(t, p, h, pi)
}

// TestUnderEveryPriorAllEstimatesAgreeWithTheClosedForm in two dimensions: quadrature within
// the error that it states, annealed importance sampling within five standard errors of its
// chains, and L_k, whose draws are from a q that is made for N(0, I), within five of its
// standard errors and its bias, and not above; the ELBO is below all.
func TestUnderEveryPriorAllEstimatesAgreeWithTheClosedForm(t *testing.T) {
	v := plainView(t, 20, 3, 3)
	v.Mode = data.None
	for _, prior := range model.Priors {
		m, evidence := mixedModel(t, prior, v)
		const draws = 2000
		e := evaluated(t, m, v, draws)
		exact, _, err := Integrate(context.Background(), m.Joint, v, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		a := estimate(t, m, v, 4, AISOptions{Steps: 120, Chains: 10, Leapfrogs: 4, Simulated: 15})
		x := make([]float32, 9)
		var aisOff, iwOff, scatterSum Running
		for i, score := range e.PerImage {
			v.Evaluated(x, i)
			want := evidence(modeltest.Floats(x))
			if off := math.Abs(exact[i].LogP - want); off > exact[i].Error+1e-4 { // 1e-4: the weights of the closed form are rounded to float32 once
				t.Errorf("%s: quadrature of image %d is off by %.3g, stated error %.3g", prior, i, off, exact[i].Error)
			}
			if prior != model.NormalPrior && !(score.ELBO < want) { // whose encoder is exact
				t.Errorf("%s: ELBO %.3f of image %d, log p(x) %.3f", prior, score.ELBO, i, want)
			}
			aisOff.Add(a.PerImage[i] - want)
			iwOff.Add(score.IW - want)
			scatterSum.Add(1/score.ESS - 1./draws)
		}
		if math.Abs(aisOff.Mean) > 5*a.ChainSE+0.01 {
			t.Errorf("%s: AIS is off by %.4f, ± %.4f", prior, aisOff.Mean, a.ChainSE)
		}
		if gap := a.Simulated; math.Abs(gap.Gap) > 5*gap.GapSE+0.05 {
			t.Errorf("%s: on its own images AIS leaves %.3f ± %.3f nats", prior, gap.Gap, gap.GapSE)
		}
		se := math.Sqrt(scatterSum.Mean / float64(v.N()))
		if iwOff.Mean > 5*se+1e-4 || iwOff.Mean < -5*se-3*e.IW.Bias-1e-4 {
			t.Errorf("%s: L_%d is off by %.4f, ± %.4f, bias %.4f", prior, draws, iwOff.Mean, se, e.IW.Bias)
		}
	}
}

func evaluated(t *testing.T, m *model.VAE, v data.View, draws int) Evaluation {
	t.Helper()
	evaluator, err := NewEvaluator(m, draws)
	if err != nil {
		t.Fatal(err)
	}
	e, err := evaluator.Evaluate(context.Background(), v, 1)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// TestUnderEveryPriorAllImagesHaveProbabilityOne: Σ exp log p(x) over the 512 images of 3 x 3
// pixels, to the errors that quadrature states.
func TestUnderEveryPriorAllImagesHaveProbabilityOne(t *testing.T) {
	v := plainView(t, 30, 3, 3)
	for _, prior := range model.Priors {
		m := newVAE(t, model.VAEConfig{Pixels: 9, Hidden: []int{6}, Latent: 2, Activation: graph.Tanh, Likelihood: model.BernoulliName, Objective: model.ELBO, Draws: 1, Prior: priorOf(prior, v)}, drawn(3))
		rng := rand.New(rand.NewPCG(4, 4))
		for _, p := range m.Params() {
			if !strings.HasPrefix(p.Name, "prior.") {
				for i := range p.Value {
					p.Value[i] *= 4
				}
			}
		}
		scatter(m.Prior, rng)
		x := make([]float32, 512*9)
		for i := range x {
			x[i] = float32(i / 9 >> (i % 9) & 1)
		}
		sum, tolerance := 0.0, 0.0
		for _, e := range quadrature(t, m.Joint, DefaultQuadrature(2), x) {
			sum += math.Exp(e.LogP)
			tolerance += math.Exp(e.LogP) * e.Error
		}
		if math.Abs(sum-1) > tolerance+1e-5 {
			t.Errorf("%s: the images have probability %.8f, ± %.2g", prior, sum, tolerance)
		}
	}
}

// TestDrawsOfEveryPriorHaveItsEntropy: the mean of -log p(z) over draws is the entropy that a
// sum over a lattice gives, to four standard errors; and p sums to 1 there.
func TestDrawsOfEveryPriorHaveItsEntropy(t *testing.T) {
	v := plainView(t, 30, 3, 3)
	for _, prior := range model.Priors {
		m := newVAE(t, model.VAEConfig{Pixels: 9, Hidden: []int{6}, Latent: 2, Activation: graph.Tanh, Likelihood: model.BernoulliName, Objective: model.ELBO, Draws: 1, Prior: priorOf(prior, v)}, drawn(5))
		scatter(m.Prior, rand.New(rand.NewPCG(6, 6)))
		const rows, side, spacing = 1000, 801, 1. / 40
		density, err := m.NewPriorDensity(rows)
		if err != nil {
			t.Fatal(err)
		}
		var z []float64
		for i := range side * side {
			z = append(z, (float64(i/side)-(side-1)/2)*spacing, (float64(i%side)-(side-1)/2)*spacing)
		}
		mass, entropy, logP := 0.0, 0.0, make([]float64, rows)
		for first := 0; first < side*side; first += rows {
			n := min(rows, side*side-first)
			if err := density.At(z[2*first:][:2*n], logP[:n], nil); err != nil {
				t.Fatal(err)
			}
			for _, l := range logP[:n] {
				p := math.Exp(l) * spacing * spacing
				mass += p
				entropy -= p * l
			}
		}
		// The midpoint rule is exact to far more digits where the narrowest deviation is
		// three spacings.
		if math.Abs(mass-1) > 1e-4 {
			t.Errorf("%s: p sums to %.6f", prior, mass)
		}
		const draws = 20
		var drawnEntropy Running
		noise := data.NewStream(7, "entropy")
		for range draws {
			for i := range rows {
				m.Prior.Draw(z[2*i:][:2], noise)
			}
			if err := density.At(z[:2*rows], logP, nil); err != nil {
				t.Fatal(err)
			}
			for _, l := range logP {
				drawnEntropy.Add(-l)
			}
		}
		if off := math.Abs(drawnEntropy.Mean - entropy); off > 4*drawnEntropy.StandardError() {
			t.Errorf("%s: draws have the entropy %.4f ± %.4f, the lattice %.4f", prior, drawnEntropy.Mean, drawnEntropy.StandardError(), entropy)
		}
	}
}

// TestAllExemplarsAreTheAggregatePosterior: where every training image is an exemplar, p(z)
// is q(z) = (1/N) Σ_n q(z|x_n), so that of Hoffman and Johnson's sum
//
//	(1/N) Σ_n KL(q(z|x_n) ‖ p) = I_q(x; z) + KL(q(z) ‖ p),  0 ≤ I_q ≤ log N
//
// only the first term is left: the mean divergence lies between 0 and log N, and at every
// draw log q(z|x_n) - log p(z) is at most log N. Under any other prior it is larger by
// KL(q(z) ‖ p), here measured at the same draws: the three add up to rounding, and log q(z) -
// log p(z) has a mean of at least 0.
func TestAllExemplarsAreTheAggregatePosterior(t *testing.T) {
	const images, draws = 30, 400
	v := plainView(t, images, 3, 3)
	config := model.VAEConfig{Pixels: 9, Hidden: []int{6}, Latent: 2, Activation: graph.Tanh, Likelihood: model.BernoulliName, Objective: model.ELBO, Draws: 1, Prior: model.PriorConfig{Name: model.ExemplarPrior, Components: images, Images: v.AllEvaluated()}}
	m := newVAE(t, config, drawn(8))
	for _, p := range m.Q.Params() {
		for i := range p.Value {
			p.Value[i] *= 3
		}
	}
	aggregate, err := m.NewPriorDensity(draws)
	if err != nil {
		t.Fatal(err)
	}
	normal, _ := (&model.Joint{Latent: 2, Prior: model.StandardNormal{}}).NewPriorDensity(draws)
	h, err := Encode(context.Background(), m, v)
	if err != nil {
		t.Fatal(err)
	}
	family, noise := model.DiagonalGaussian{Latent: 2}, data.NewStream(9, "surgery")
	var kl, information, rest Running
	z, logQ, logP := make([]float64, 2*draws), make([]float64, draws), make([]float64, draws)
	for n := range images {
		member := h[n*4:][:4]
		for i := range draws {
			family.DrawMember(z[2*i:][:2], member, noise)
		}
		if err := aggregate.At(z, logQ, nil); err != nil {
			t.Fatal(err)
		}
		if err := normal.At(z, logP, nil); err != nil {
			t.Fatal(err)
		}
		for i := range draws {
			own := family.LogDensity(member, z[2*i:][:2], nil)
			if own-logQ[i] > math.Log(images)+1e-4 {
				t.Fatalf("log q(z|x)/q(z) is %g, above log N = %g", own-logQ[i], math.Log(images))
			}
			information.Add(own - logQ[i])
			rest.Add(logQ[i] - logP[i])
			kl.Add(own - logP[i])
		}
	}
	if math.Abs(kl.Mean-information.Mean-rest.Mean) > 1e-9 {
		t.Errorf("KL %.6f, of which I_q %.6f and KL(q(z) ‖ p) %.6f", kl.Mean, information.Mean, rest.Mean)
	}
	if !(information.Mean > 0) || !(rest.Mean > -4*rest.StandardError()) {
		t.Errorf("I_q %.4f, KL(q(z) ‖ p) %.4f ± %.4f: neither is below 0", information.Mean, rest.Mean, rest.StandardError())
	}
	e := evaluated(t, m, v, draws)
	if se := 5 * information.StandardError() * math.Sqrt2; math.Abs(e.KL-information.Mean) > se {
		t.Errorf("the divergence from the aggregate is %.4f as evaluated, I_q is %.4f ± %.4f", e.KL, information.Mean, se)
	}
}

// TestQuadratureGoesWhereThePriorIs: components far outside the default box, where a lattice
// that stayed there would lose them, against the closed form.
func TestQuadratureGoesWhereThePriorIs(t *testing.T) {
	v := plainView(t, 10, 3, 3)
	v.Mode = data.None
	m := newVAE(t, model.VAEConfig{Pixels: 9, Latent: 2, Activation: graph.ReLU, Likelihood: model.GaussianName, Variance: 0.1, Objective: model.ELBO, Draws: 1, Prior: priorOf(model.GaussianPrior, v)}, func(string) graph.Uniform { return half{} })
	rng := rand.New(rand.NewPCG(3, 3))
	p := modeltest.RandomPPCA(t, rng, 9, 2, 0.05, 0.1, true)
	var network []*graph.Param
	for _, param := range m.Params() {
		if !strings.HasPrefix(param.Name, "prior.") {
			network = append(network, param)
		}
	}
	p.Fill(t, network)
	scatter(m.Prior, rng)
	for i := range 4 {
		m.Prior.Params()[0].Value[4*i] += 12
	}
	h, pi := membersOf(t, m.Joint)
	evidence := underMixture(t, p, h, pi)
	exact, _, err := Integrate(context.Background(), m.Joint, v, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	x := make([]float32, 9)
	for i, e := range exact {
		v.Evaluated(x, i)
		if off := math.Abs(e.LogP - evidence(modeltest.Floats(x))); off > e.Error+1e-4 || off > 0.01 {
			t.Errorf("image %d: off by %.3g, stated error %.3g", i, off, e.Error)
		}
	}
}
