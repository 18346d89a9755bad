// Package verify lets the program check itself on the machine it runs on: that
// probabilities sum to 1, that bounds are bounds, that gradients are slopes, that EM
// climbs, that runs resume to the bit, and that a run's files hold what they say.
package verify

import (
	"context"
	"fmt"
	"math"
	"time"

	"elbo/data"
	"elbo/graph"
	"elbo/model"
	"elbo/model/infer"
)

// Check is one line of the report.
type Check struct {
	Name   string `json:"name"`
	Wanted string `json:"wanted"`
	Got    string `json:"got"`
	OK     bool   `json:"ok"`
}

// Verifier runs checks.
type Verifier struct {
	Engine *graph.Engine
	Now    func() time.Time
	Temp   string // a directory for runs; the caller removes it

	// spoil, where a test sets it, changes what a check has computed before it is
	// judged: every check must be able to fail. It is given the check's name.
	spoil func(name string, figures []float64)
}

// part is a group of checks.
type part struct {
	name string
	run  func(v *Verifier, ctx context.Context, add func(Check)) error
}

var parts = []part{
	{"probabilities", (*Verifier).probabilities},
	{"priors and posteriors", (*Verifier).latents},
	{"gradients", (*Verifier).gradients},
	{"batches", (*Verifier).batches},
	{"EM", (*Verifier).monotone},
	{"bounds", (*Verifier).bounds},
	{"resuming", (*Verifier).resuming},
}

// Program checks the program itself, and calls began before each group of checks and
// add after each check. An error of a part is a check that failed; the context's error
// ends it.
func (v *Verifier) Program(ctx context.Context, began func(what string), add func(Check)) error {
	for _, p := range parts {
		began(p.name)
		if err := v.part(ctx, p, add); err != nil {
			return err
		}
	}
	return nil
}

func (v *Verifier) part(ctx context.Context, p part, add func(Check)) error {
	err := p.run(v, ctx, add)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		add(Check{Name: p.name, Wanted: "no error", Got: err.Error()})
	}
	return nil
}

// spoiled returns figures, changed by a test.
func (v *Verifier) spoiled(name string, figures ...float64) []float64 {
	if v.spoil != nil {
		v.spoil(name, figures)
	}
	return figures
}

// initial is the source of the first values of parameters.
func initial(purpose string) func(param string) graph.Uniform {
	return func(param string) graph.Uniform { return data.NewStream(1, "verify/"+purpose+"/"+param) }
}

// smallVAE is a VAE for images of d pixels with a decoder whose code matters.
func (v *Verifier) smallVAE(c model.VAEConfig) (*model.VAE, error) {
	c.Hidden, c.Activation = []int{7, 5}, graph.Tanh
	if c.Objective == "" {
		c.Objective, c.Draws = model.ELBO, 1
	}
	m, err := model.NewVAE(c, v.Engine, initial(string(c.Likelihood)))
	if err != nil {
		return nil, err
	}
	for _, p := range m.Params() {
		if p.Name == "decoder.4.weight" {
			for i := range p.Value {
				p.Value[i] *= 4
			}
		}
	}
	return m, nil
}

// binaryImages are the 2^d images of d pixels that are 0 or 1, [2^d, d].
func binaryImages(d int) []float32 {
	x := make([]float32, d<<d)
	for i := range x {
		x[i] = float32(i / d >> (i % d) & 1)
	}
	return x
}

// probabilities sums p(x) over all images, for every likelihood that is a probability
// mass in every model that has it; and integrates the densities over one pixel.
func (v *Verifier) probabilities(ctx context.Context, add func(Check)) error {
	for latent := 1; latent <= 2; latent++ {
		m, err := v.smallVAE(model.VAEConfig{Pixels: 9, Latent: latent, Likelihood: model.BernoulliName})
		if err != nil {
			return err
		}
		if err := v.massOf(ctx, fmt.Sprintf("Σ p(x), VAE bernoulli, latent %d, by quadrature", latent), m.Joint, add); err != nil {
			return err
		}
	}
	for _, prior := range []model.TablePrior{model.Fixed, model.Shared} {
		m, err := v.randomMixture(prior)
		if err == nil {
			err = v.massOfStates(fmt.Sprintf("Σ p(x), mixture bernoulli, prior %s", prior), m.EM, add)
		}
		if err != nil {
			return err
		}
	}
	for _, rule := range model.GridRules {
		m, err := v.randomGrid(rule)
		if err == nil {
			err = v.massOfStates(fmt.Sprintf("Σ p(x), grid bernoulli, %s", rule), m.EM, add)
		}
		if err != nil {
			return err
		}
	}
	for _, density := range []struct {
		likelihood model.LikelihoodName
		lo, hi     float64
	}{{model.ContinuousBernoulliName, 0, 1}, {model.GaussianName, -15, 15}} {
		if err := v.densityOf(ctx, density.likelihood, density.lo, density.hi, add); err != nil {
			return err
		}
	}
	for _, likelihood := range model.Likelihoods() {
		if likelihood.Pixels() != model.LevelPixels || likelihood.Measure() != model.ProbabilityMass {
			continue // a bound on masses sums to less than 1, and how much less says nothing
		}
		if err := v.levelsOf(ctx, likelihood, add); err != nil {
			return err
		}
	}
	return nil
}

// levelsOf sums p(x) of a VAE of one grey pixel over its 256 levels.
func (v *Verifier) levelsOf(ctx context.Context, l model.LikelihoodName, add func(Check)) error {
	m, err := v.smallVAE(model.VAEConfig{Pixels: 1, Latent: 1, Likelihood: l})
	if err != nil {
		return err
	}
	x := make([]float32, 256)
	for level := range x {
		x[level] = float32(level) / 255
	}
	logP, allowed, err := evidence(ctx, m.Joint, x)
	if err != nil {
		return err
	}
	// Quadrature states its error of each log p(x); a logarithm of up to 20 nats is rounded
	// by 20 · 2^-24, and is that of a mass to a few roundings of its arguments.
	v.addSum(fmt.Sprintf("Σ p(x), VAE %s, one pixel of 256 levels, by quadrature", l), logP, 1, allowed+40*math.Exp2(-24), add)
	return nil
}

// massOf sums p(x) of a decoder over all images of 3 x 3 pixels, with p(x) by quadrature.
func (v *Verifier) massOf(ctx context.Context, name string, g *model.Joint, add func(Check)) error {
	logP, allowed, err := evidence(ctx, g, binaryImages(9))
	if err != nil {
		return err
	}
	// Quadrature states its error of each log p(x); 9 float32 terms of at most 20 nats
	// are rounded besides.
	v.addSum(name, logP, 1, allowed+9*20*math.Exp2(-24), add)
	return nil
}

// evidence returns log p(x) of images, and by how much quadrature says their mean is
// off at most, weighted by p(x).
func evidence(ctx context.Context, g *model.Joint, x []float32) (logP []float64, allowed float64, err error) {
	o := infer.DefaultQuadrature(g.Latent)
	o.Tolerance = 1e-5
	q, err := infer.NewQuadrature(g, o, len(x)/g.Pixels)
	if err != nil {
		return nil, 0, err
	}
	exact, err := q.Pixels(ctx, x, nil)
	for _, e := range exact {
		logP = append(logP, e.LogP)
		allowed += math.Exp(e.LogP) * e.Error
	}
	return logP, allowed, err
}

// addSum judges the sum of exp logP times a width.
func (v *Verifier) addSum(name string, logP []float64, width, tolerance float64, add func(Check)) {
	sum := 0.0
	for _, l := range v.spoiled(name, logP...) {
		sum += math.Exp(l) * width
	}
	add(Check{Name: name, Wanted: fmt.Sprintf("1 ± %.0e", tolerance), Got: fmt.Sprintf("%.8f", sum), OK: math.Abs(sum-1) <= tolerance})
}

// densityOf integrates p(x) of a VAE of one pixel, by the midpoint rule.
func (v *Verifier) densityOf(ctx context.Context, l model.LikelihoodName, lo, hi float64, add func(Check)) error {
	const nodes = 1500
	c := model.VAEConfig{Pixels: 1, Latent: 1, Likelihood: l}
	if l == model.GaussianName {
		c.Variance = 0.25
	}
	m, err := v.smallVAE(c)
	if err != nil {
		return err
	}
	width := (hi - lo) / nodes
	x := make([]float32, nodes)
	for i := range x {
		x[i] = float32(lo + (float64(i)+0.5)*width)
	}
	logP, allowed, err := evidence(ctx, m.Joint, x)
	if err != nil {
		return err
	}
	// The midpoint rule is off by width² (p'(hi) - p'(lo)) / 24 where the density is
	// cut off, slopes of logits below 20; and nothing of note where it vanishes.
	tolerance := width*allowed + 40*width*width/24 + 20*math.Exp2(-24)
	if l == model.GaussianName {
		tolerance = width*allowed + 20*math.Exp2(-24)
	}
	v.addSum(fmt.Sprintf("∫ p(x) dx, VAE %s, one pixel", l), logP, width, tolerance, add)
	return nil
}

// randomMixture has five components of random probabilities and weights.
func (v *Verifier) randomMixture(prior model.TablePrior) (*model.Mixture, error) {
	m, err := model.NewMixture(model.EMConfig{Pixels: 9, States: 5, Likelihood: model.BernoulliName, Prior: prior, Smoothing: 0.1}, v.Engine)
	if err != nil {
		return nil, err
	}
	s, source := m.NewStatistics(), data.NewStream(1, "verify/mixture")
	for k := range s.Counts {
		s.Counts[k] = 1 + 9*source.Float64()
		s.Images += s.Counts[k]
		for j := range 9 {
			s.Sums[9*k+j] = s.Counts[k] * source.Float64()
		}
	}
	return m, m.Maximise(s)
}

// randomGrid has a decoder of random parameters over 4 x 3 points.
func (v *Verifier) randomGrid(rule model.GridRule) (*model.GridModel, error) {
	grid, err := model.NewGrid(rule, []int{4, 3})
	if err != nil {
		return nil, err
	}
	return model.NewGridModel(model.EMConfig{Pixels: 9, States: 12, Likelihood: model.BernoulliName, Prior: model.Fixed,
		Grid: &model.GridConfig{Grid: grid, Hidden: []int{6}, Activation: graph.Tanh}}, v.Engine, initial("grid"))
}

// massOfStates sums p(x) of a model with a table.
func (v *Verifier) massOfStates(name string, m *model.EM, add func(Check)) error {
	e, err := m.NewEStep(512, false, false)
	if err != nil {
		return err
	}
	copy(e.X(), binaryImages(9))
	if err := e.Run(512); err != nil {
		return err
	}
	logP := make([]float64, 512)
	for i, l := range e.Evidence() {
		logP[i] = float64(l)
	}
	// 9 + K float32 terms of at most 20 nats, each rounded by 2⁻²⁴ of itself.
	v.addSum(name, logP, 1, float64(9+m.Config.States)*20*math.Exp2(-24), add)
	return nil
}

// gradients compares, for every likelihood and objective, the gradient of each
// parameter with the slope of the loss.
func (v *Verifier) gradients(ctx context.Context, add func(Check)) error {
	for _, objective := range model.Objectives {
		for _, l := range model.Likelihoods() {
			if err := ctx.Err(); err != nil {
				return err
			}
			c := model.VAEConfig{Pixels: 9, Latent: 3, Likelihood: l, Objective: objective, Draws: 1}
			if objective == model.IWAE {
				c.Draws = 4
			}
			m, err := v.smallVAE(c)
			if err != nil {
				return err
			}
			name := fmt.Sprintf("gradient = slope, %s %s", objective, l)
			worst, err := v.slopes(m, name)
			if err != nil {
				return err
			}
			// The difference quotient below is off by 1.5 ε/h for losses that are off by
			// ε: 12 float32 terms of together 20 nats, ε = 12·20·2⁻²⁴/√12 and h = 0.05,
			// 1e-4 of a gradient of length 1. The fourth power of h is 6e-6.
			const tolerance = 2e-3
			add(Check{Name: name, Wanted: fmt.Sprintf("relative error < %g", tolerance), Got: fmt.Sprintf("%.1e", worst), OK: worst < tolerance})
		}
	}
	return nil
}

// slopes returns the largest difference, over parameters, of gᵀd from the slope of the
// loss along d, relative to |g|. The direction d lies between g and a random one, so that
// errors of length and of direction both count. The slope is a central
// difference, extrapolated to step 0 from two steps (Richardson).
func (v *Verifier) slopes(m *model.VAE, name string) (worst float64, err error) {
	const images, step = 8, 0.05
	if err := m.CompileStep(images); err != nil {
		return 0, err
	}
	batch := randomBatch(m, images)
	loss := func() (float64, error) {
		t, err := m.Step(batch)
		return -t.Mean().Bound, err
	}
	if _, err := loss(); err != nil {
		return 0, err
	}
	var grads [][]float64
	for i, p := range m.Trained() {
		g := make([]float64, len(p.Value))
		for j, x := range m.Grad(i) {
			g[j] = float64(x)
		}
		grads = append(grads, v.spoiled(name, g...))
	}
	for i, p := range m.Trained() {
		g, source := grads[i], data.NewStream(2, "verify/direction/"+p.Name)
		d := make([]float64, len(g))
		for j := range d {
			d[j] = source.NormFloat64()
		}
		along, length := 0.0, norm(g)
		r := norm(d)
		for j := range d {
			d[j] = g[j]/length + d[j]/r/2
		}
		r = norm(d)
		for j := range d {
			d[j] /= r
			along += g[j] * d[j]
		}
		theta := append([]float32(nil), p.Value...)
		at := func(h float64) float64 {
			for j := range d {
				p.Value[j] = float32(float64(theta[j]) + h*d[j])
			}
			l, failed := loss()
			if failed != nil {
				err = failed
			}
			return l
		}
		near := (at(step) - at(-step)) / (2 * step)
		far := (at(2*step) - at(-2*step)) / (4 * step)
		copy(p.Value, theta)
		if err != nil {
			return 0, err
		}
		if off := math.Abs(along-(4*near-far)/3) / length; !(off <= worst) {
			worst = off // also if it is no number
		}
	}
	return worst, nil
}

func norm(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v * v
	}
	return math.Sqrt(sum)
}

// randomBatch has pixels that are 0 or 1 (grey for what is not Bernoulli) and normal noise.
func randomBatch(m *model.VAE, images int) *model.Batch {
	source := data.NewStream(3, "verify/batch")
	b := m.NewBatch(images)
	b.Images = images
	for i := range b.X {
		b.X[i] = float32(source.Float64())
		if m.Likelihood.Name().Pixels() == model.BinaryPixels {
			b.X[i] = float32(math.Round(float64(b.X[i])))
		}
	}
	for i := range b.Eps {
		b.Eps[i] = float32(source.NormFloat64())
	}
	return b
}

// batches computes the bound of the same images, with the same noise, in batches of
// several sizes, the last one padded.
func (v *Verifier) batches(_ context.Context, add func(Check)) error {
	const images = 60
	m, err := model.NewVAE(model.VAEConfig{Pixels: 784, Hidden: []int{50}, Latent: 5, Activation: graph.ReLU, Likelihood: model.BernoulliName, Objective: model.ELBO, Draws: 1}, v.Engine, initial("batches"))
	if err != nil {
		return err
	}
	whole := randomBatch(m, images)
	var bounds []float64
	for _, size := range []int{images, 2 * images, 1, 7} {
		if err := m.CompileStep(size); err != nil {
			return err
		}
		var totals model.Totals
		for first := 0; first < images; first += size {
			n := min(size, images-first)
			t, err := m.Step(&model.Batch{Images: n, X: whole.X[first*784:][:n*784], Eps: whole.Eps[first*5:][:n*5], Beta: 1})
			if err != nil {
				return err
			}
			totals.Add(t)
		}
		bounds = append(bounds, totals.Mean().Bound)
	}
	const name = "bound, batches of 60, 120, 1 and 7 images"
	bounds = v.spoiled(name, bounds...)
	off := 0.0
	for _, b := range bounds {
		off = max(off, math.Abs(b-bounds[0]))
	}
	// Each image's bound is a sum of 784 float32 terms of one sign, rounded at random.
	tolerance := rounding(bounds[0], 784)
	add(Check{Name: name, Wanted: fmt.Sprintf("the same, ± %.0e", tolerance), Got: fmt.Sprintf("%.5f, apart by %.0e", bounds[0], off), OK: off <= tolerance})
	return nil
}

// rounding is what float32 does to a sum of n terms of one sign.
func rounding(sum float64, n int) float64 {
	return math.Abs(sum) * math.Exp2(-24) * math.Sqrt(float64(n))
}
