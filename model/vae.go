package model

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"elbo/graph"
)

// Objective is what a VAE maximises, by its name in flags and files.
type Objective string

// The objectives, with k draws z ~ q(z|x) for each image.
const (
	ELBO Objective = "elbo" // (1/k) Σ_k log p(x|z) - β KL(q ‖ p), the divergence in closed form
	IWAE Objective = "iwae" // log (1/k) Σ_k p(x, z)/q(z|x)
)

// Objectives lists them all.
var Objectives = []Objective{ELBO, IWAE}

// ParseObjective returns the objective of that name.
func ParseObjective(name string) (Objective, error) { return oneOf("objective", name, Objectives) }

// Part is a part of a VAE, by its name in flags, files and parameters.
type Part string

// The parts.
const (
	EncoderPart Part = "encoder" // q(z|x)
	DecoderPart Part = "decoder" // p(x|z), with the variance of a Gaussian likelihood
)

// ParsePart returns the part of that name.
func ParsePart(name string) (Part, error) {
	return oneOf("part", name, []Part{EncoderPart, DecoderPart})
}

// VAEConfig is the architecture and the objective of a VAE.
type VAEConfig struct {
	Pixels     int   // D
	Hidden     []int // hidden layers of the encoder; the decoder has them in reverse
	Latent     int   // Z
	Activation graph.Activation
	Likelihood Likelihood
	Variance   float64 // of the Gaussian likelihood, for all pixels; 0: learned
	Objective  Objective
	Draws      int  // k
	Freeze     Part // that training leaves as it is; "": none
}

// Validate returns every fault.
func (c VAEConfig) Validate() error {
	var f faults
	f.add(c.Pixels < 1, "pixels is %d, want at least 1", c.Pixels)
	f.add(c.Latent < 1, "latent is %d, want at least 1", c.Latent)
	f.add(c.Draws < 1, "k is %d, want at least 1", c.Draws)
	for i, h := range c.Hidden {
		f.add(h < 1, "hidden: layer %d has %d units, want at least 1", i+1, h)
	}
	f.add(!(c.Variance >= 0) || math.IsInf(c.Variance, 0), "variance is %g, want a positive number, or \"learned\"", c.Variance)
	f.add(c.Variance != 0 && c.Likelihood != Gaussian, "variance is %g, but likelihood is %s: only gaussian has a variance", c.Variance, c.Likelihood)
	_, err := graph.ParseActivation(string(c.Activation))
	f.add(err != nil, "activation: %w", err)
	_, err = ParseLikelihood(string(c.Likelihood))
	f.add(err != nil, "likelihood: %w", err)
	_, err = ParseObjective(string(c.Objective))
	f.add(err != nil, "objective: %w", err)
	if c.Freeze != "" {
		_, err = ParsePart(string(c.Freeze))
		f.add(err != nil, "freeze: %w", err)
	}
	return errors.Join(f...)
}

// VAE is a variational autoencoder with prior N(0, I) and dense encoder and
// decoder:
//
//	(μ, log σ²) = encoder(x)    q(z|x) = N(μ, diag σ²)    p(x|z) = likelihood(decoder(z))
//
// Source: Kingma and Welling 2014.
type VAE struct {
	Config VAEConfig

	engine      *graph.Engine
	encoder     *graph.MLP
	decoder     *graph.MLP
	logVariance *graph.Param // of the Gaussian likelihood, [1]
	step        *vaeStep
}

// NewVAE returns a VAE whose parameters are drawn from the sources that init
// returns for their names. It computes on engine.
func NewVAE(c VAEConfig, engine *graph.Engine, init func(param string) graph.Uniform) (*VAE, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	up := slices.Clone(c.Hidden)
	slices.Reverse(up)
	m := &VAE{
		Config:      c,
		engine:      engine,
		encoder:     graph.NewMLP("encoder", slices.Concat([]int{c.Pixels}, c.Hidden, []int{2 * c.Latent}), c.Activation, init),
		decoder:     graph.NewMLP("decoder", slices.Concat([]int{c.Latent}, up, []int{c.Pixels}), c.Activation, init),
		logVariance: graph.NewParam("likelihood.log_variance", 1),
	}
	if c.Variance != 0 {
		m.logVariance.Value[0] = float32(math.Log(c.Variance))
	}
	return m, nil
}

// Engine is what the model computes on.
func (m *VAE) Engine() *graph.Engine { return m.engine }

// On returns the same model, with the same parameters, computing on another engine.
func (m *VAE) On(engine *graph.Engine) *VAE {
	other := *m
	other.engine, other.step = engine, nil
	return &other
}

// Params returns the parameters: the encoder's, the decoder's, and log σ² where the
// Gaussian's variance is learned. The slice is new, the parameters are not.
func (m *VAE) Params() []*graph.Param {
	return append(m.encoder.Params(), m.likelihoodParams()...)
}

// Trained returns the parameters that an optimiser moves along their gradients: those of
// the networks, without a frozen one. A learned variance is not among them: SolveVariance
// sets it.
func (m *VAE) Trained() []*graph.Param {
	switch m.Config.Freeze {
	case EncoderPart:
		return m.decoder.Params()
	case DecoderPart:
		return m.encoder.Params()
	}
	return append(m.encoder.Params(), m.decoder.Params()...)
}

// likelihoodParams are the parameters of p(x|z).
func (m *VAE) likelihoodParams() []*graph.Param {
	params := m.decoder.Params()
	if m.LearnsVariance() {
		params = append(params, m.logVariance)
	}
	return params
}

// LearnsVariance reports whether the variance of a Gaussian likelihood is learned.
func (m *VAE) LearnsVariance() bool {
	return m.Config.Likelihood == Gaussian && m.Config.Variance == 0
}

// SolvesVariance reports whether training changes the variance: it is learned, and the
// decoder that it belongs to is not frozen.
func (m *VAE) SolvesVariance() bool {
	return m.LearnsVariance() && m.Config.Freeze != DecoderPart
}

// logLik adds log p(x|z) to a graph: x [B, D], z [B·S, Z], the result [B·S].
func (m *VAE) logLik(b *graph.Builder, x, z graph.Node) graph.Node {
	return m.Config.Likelihood.logLik(b, x, m.decoder.Apply(b, z), func() graph.Node { return b.Param(m.logVariance) })
}

// Batch is what one step of training sees. Rows from Images on are padding: they
// have no weight.
type Batch struct {
	Images int
	X      []float32 // [B, D]
	Eps    []float32 // [B·k, Z], standard normal; row b·k + s is draw s of image b
	Beta   float32   // weight of the divergence in the ELBO
}

// NewBatch returns a batch for up to images images.
func (m *VAE) NewBatch(images int) *Batch {
	return &Batch{
		X:    make([]float32, images*m.Config.Pixels),
		Eps:  make([]float32, images*m.Config.Draws*m.Config.Latent),
		Beta: 1,
	}
}

// vaeStep is the compiled graph of one step of training.
type vaeStep struct {
	program              *graph.Program
	x, eps, weight, beta []float32
	recon, kl, bound     graph.Node
}

// CompileStep builds the graph of a training step for batches of up to the given
// number of images, with the gradient of the loss for every parameter that training
// changes:
//
//	x → encoder → (μ, log σ²) → z → decoder → log p(x|z), KL → bound → loss = -mean
func (m *VAE) CompileStep(images int) error {
	c, s := m.Config, &vaeStep{}
	b := graph.NewBuilder(m.engine)
	var x, eps, weight, beta graph.Node
	x, s.x = b.Input("x", images, c.Pixels)
	eps, s.eps = b.Input("eps", images*c.Draws, c.Latent)
	weight, s.weight = b.Input("weight", images)

	h := m.encoder.Apply(b, x)
	z := b.Reparameterise(h, eps)
	logLik := m.logLik(b, x, z)
	s.recon, s.kl = b.SampleMean(logLik, c.Draws), b.KLStdNormal(h)
	if c.Objective == IWAE {
		s.bound = b.LogMeanExp(b.Add(logLik, b.LogPriorRatio(h, eps, z)), c.Draws)
	} else {
		beta, s.beta = b.Input("beta", 1)
		s.bound = b.Bound(s.recon, s.kl, beta)
	}
	loss := b.NegMean(s.bound, weight)

	wrt := m.Trained()
	if m.SolvesVariance() {
		wrt = append(wrt, m.logVariance)
	}
	var err error
	if s.program, err = b.CompileGrad(loss, wrt, s.recon, s.kl, s.bound); err != nil {
		return err
	}
	m.step = s
	return nil
}

// Step computes the terms of a batch, summed over its images, and leaves the
// gradients of the loss for Grad to read. It does not change the parameters.
// CompileStep comes first.
func (m *VAE) Step(batch *Batch) (Totals, error) {
	s := m.step
	copy(s.x, batch.X)
	copy(s.eps, batch.Eps)
	for i := range s.weight {
		s.weight[i] = 0
		if i < batch.Images {
			s.weight[i] = 1
		}
	}
	if s.beta != nil {
		s.beta[0] = batch.Beta
	}
	if err := s.program.Run(); err != nil {
		return Totals{}, err
	}
	sum := func(n graph.Node) float64 {
		total := 0.0
		for _, v := range s.program.Values(n)[:batch.Images] {
			total += float64(v)
		}
		return total
	}
	t := Totals{Images: float64(batch.Images), Recon: sum(s.recon), KL: sum(s.kl)}
	t.Bound = t.Recon - t.KL
	if m.Config.Objective == IWAE {
		t.Bound = sum(s.bound)
	}
	return t, nil
}

// Grad returns the gradient of the loss with respect to the i-th of Trained, after
// Step, and after the last of them with respect to log σ² where SolvesVariance. It is
// read-only and valid until the next step.
func (m *VAE) Grad(i int) []float32 { return m.step.program.Grad(i) }

// StepDOT returns the graph of a training step in Graphviz' language.
func (m *VAE) StepDOT() string { return m.step.program.DOT() }

// faults collects what is wrong, so that all of it is said at once.
type faults []error

// add adds a fault if bad.
func (f *faults) add(bad bool, format string, args ...any) {
	if bad {
		*f = append(*f, fmt.Errorf(format, args...))
	}
}
