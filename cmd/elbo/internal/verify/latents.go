package verify

import (
	"context"
	"fmt"
	"math"
	"strings"

	"elbo/data"
	"elbo/graph"
	"elbo/model"
	"elbo/model/infer"
)

// latentModel is a small VAE of two latent dimensions with priors and posteriors other than the
// usual ones.
type latentModel struct {
	name   string
	config model.VAEConfig
}

// latentPixels are those of its images.
const latentPixels = 6

// latentModels have each prior, each family of posteriors and several layers at least once.
func latentModels() []latentModel {
	flow := model.FlowConfig{Name: model.CouplingFlow, Layers: 2, Hidden: 5}
	backward := flow
	backward.Name = model.AutoregressiveFlow
	images := binaryImages(latentPixels)[20*latentPixels : 26*latentPixels]
	return []latentModel{
		{"prior mixture", model.VAEConfig{Prior: model.PriorConfig{Name: model.GaussianPrior, Components: 6}}},
		{"prior vamp, posterior full", model.VAEConfig{Prior: model.PriorConfig{Name: model.PseudoPrior, Components: 6, Images: images}, Posterior: model.PosteriorConfig{Name: model.FullPosterior}}},
		{"prior exemplar", model.VAEConfig{Prior: model.PriorConfig{Name: model.ExemplarPrior, Components: 6, Images: images}}},
		{"prior flow, posterior flow", model.VAEConfig{Prior: model.PriorConfig{Name: model.FlowedPrior}, Posterior: model.PosteriorConfig{Name: model.FlowedPosterior}, Flow: flow}},
		{"posterior flow, autoregressive", model.VAEConfig{Posterior: model.PosteriorConfig{Name: model.FlowedPosterior}, Flow: backward}},
		{"two layers", model.VAEConfig{Layers: model.Layers{Latent: []int{1, 1}, Hidden: [][]int{{5}}}}},
	}
}

// build makes the model, with parameters far from what training begins with, and an encoder
// whose posteriors are wide enough for their draws to find all of p(z|x).
func (v *Verifier) build(l latentModel) (*model.VAE, error) {
	c := l.config
	c.Pixels, c.Latent, c.Likelihood = latentPixels, 2, model.BernoulliName
	c.Hidden, c.Activation, c.Objective, c.Draws = []int{7}, graph.Tanh, model.ELBO, 1
	m, err := model.NewVAE(c, v.Engine, initial("latents/"+l.name))
	if err != nil {
		return nil, err
	}
	for _, p := range m.Params() {
		scale := 0.5
		switch {
		case model.IsPriorImages(p.Name):
			continue
		case strings.HasPrefix(p.Name, "encoder."):
			scale = 0.15
		case strings.Contains(p.Name, ".flow."):
			scale = 0.2
		}
		noise := data.NewStream(4, "verify/latents/"+p.Name)
		for i := range p.Value {
			p.Value[i] = float32(scale * noise.NormFloat64())
		}
	}
	return m, nil
}

// latents checks, of a model of each: that its probabilities sum to 1 and that the draws of its
// prior have the prior's density, so that p(z) is what it says; that importance weights under
// its q have p(x) for their mean, so that q is; and that its gradient is a slope.
func (v *Verifier) latents(ctx context.Context, add func(Check)) error {
	for _, l := range latentModels() {
		m, err := v.build(l)
		if err != nil {
			return fmt.Errorf("%s: %w", l.name, err)
		}
		logP, allowed, err := evidence(ctx, m.Joint, binaryImages(latentPixels))
		if err != nil {
			return fmt.Errorf("%s: %w", l.name, err)
		}
		v.addSum("Σ p(x), VAE bernoulli, "+l.name+", by quadrature", logP, 1, allowed+latentPixels*20*math.Exp2(-24), add)
		if _, normal := m.Prior.(model.StandardNormal); !normal {
			if err := v.priorDraws(l.name, m.Joint, add); err != nil {
				return fmt.Errorf("%s: %w", l.name, err)
			}
		}
		if err := v.weights(ctx, l.name, m, logP, add); err != nil {
			return fmt.Errorf("%s: %w", l.name, err)
		}
		name := "gradient = slope, " + l.name
		worst, err := v.slopes(m, name)
		if err != nil {
			return fmt.Errorf("%s: %w", l.name, err)
		}
		const tolerance = 2e-3 // see gradients
		add(Check{Name: name, Wanted: fmt.Sprintf("relative error < %g", tolerance), Got: fmt.Sprintf("%.1e", worst), OK: worst < tolerance})
	}
	return nil
}

// priorDraws compares the entropy of p(z), an integral over a lattice, with the mean of
// -log p(z) over draws.
func (v *Verifier) priorDraws(of string, j *model.Joint, add func(Check)) error {
	const nodes, reach, draws = 301, 9.0, 20000
	density, err := j.NewPriorDensity(nodes)
	if err != nil {
		return err
	}
	z, logP := make([]float64, 2*nodes), make([]float64, nodes)
	at := func(i int) float64 { return reach * (2*float64(i)/(nodes-1) - 1) }
	const width = 2 * reach / (nodes - 1)
	entropy := 0.0
	for i := range nodes {
		for k := range nodes {
			z[2*k], z[2*k+1] = at(i), at(k)
		}
		if err := density.At(z, logP, nil); err != nil {
			return err
		}
		for _, l := range logP {
			entropy -= width * width * math.Exp(l) * l
		}
	}
	var mean infer.Running
	noise := data.NewStream(5, "verify/prior/"+of)
	for mean.N < draws {
		for k := range nodes {
			j.Prior.Draw(z[2*k:][:2], noise)
		}
		if err := density.At(z, logP, nil); err != nil {
			return err
		}
		for _, l := range logP {
			mean.Add(-l)
		}
	}
	name := "draws of p(z) have its density, " + of
	// The lattice has several nodes to the narrowest standard deviation, where its sum is exact
	// but for what lies outside.
	tolerance := 4*mean.StandardError() + 1e-3
	got := v.spoiled(name, mean.Mean)[0]
	add(Check{Name: name, Wanted: fmt.Sprintf("entropy %.4f ± %.4f", entropy, tolerance), Got: fmt.Sprintf("%.4f", got), OK: math.Abs(got-entropy) <= tolerance})
	return nil
}

// weights compares the mean of p(x, z)/q(z|x) over draws of q with p(x), for all images at once.
func (v *Verifier) weights(ctx context.Context, of string, m *model.VAE, logP []float64, add func(Check)) error {
	const draws = 2000
	ds, err := data.New("all images of 2 x 3 pixels", data.Images{N: len(logP), Rows: 2, Cols: 3, Floats: binaryImages(latentPixels)}, data.Images{})
	if err != nil {
		return err
	}
	part, _, _, err := ds.Split(len(logP), 0)
	if err != nil {
		return err
	}
	view := data.View{Subset: part, Mode: data.Threshold}
	e, err := infer.NewEvaluator(m, draws)
	if err != nil {
		return err
	}
	scores, err := e.Evaluate(ctx, view, 1)
	if err != nil {
		return err
	}
	ratios := make([]float64, len(logP))
	variance := 0.0
	for i, s := range scores.PerImage {
		ratios[i] = math.Exp(s.IW - logP[i])
		variance += ratios[i] * ratios[i] * (1/s.ESS - 1./draws)
	}
	n, sum := float64(len(ratios)), 0.0
	name := "draws of q(z|x) have its density, " + of
	for _, r := range v.spoiled(name, ratios...) {
		sum += r
	}
	tolerance := 4*math.Sqrt(variance)/n + 1e-4
	add(Check{Name: name, Wanted: fmt.Sprintf("mean weight / p(x) 1 ± %.4f", tolerance), Got: fmt.Sprintf("%.4f", sum/n), OK: math.Abs(sum/n-1) <= tolerance})
	return nil
}
