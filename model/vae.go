package model

import (
	"errors"
	"fmt"
	"slices"

	"elbo/graph"
)

// Objective is what a VAE maximises, by its name in flags and files.
type Objective string

// The objectives, with k draws z ~ q(z|x) for each image.
const (
	ELBO Objective = "elbo" // (1/k) Σ_k log p(x|z) - β KL(q ‖ p)
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
	DecoderPart Part = "decoder" // p(x, z): the decoder, and what the likelihood and the prior have
)

// ParsePart returns the part of that name.
func ParsePart(name string) (Part, error) {
	return oneOf("part", name, []Part{EncoderPart, DecoderPart})
}

// VAEConfig is the architecture and the objective of a VAE.
type VAEConfig struct {
	Pixels        int         // D
	Hidden        []int       // hidden layers of the encoder; the decoder has them in reverse
	Latent        int         // Z, of all stochastic layers together
	Layers        Layers      // where there are several
	Network       NetworkName // "": dense
	Activation    graph.Activation
	Conv          ConvConfig // of conv and residual
	Prior         PriorConfig
	Posterior     PosteriorConfig
	Flow          FlowConfig // of a posterior and of a prior that are flows
	Likelihood    LikelihoodName
	Variance      float64 // as in LikelihoodConfig, like the next three
	PixelVariance bool
	Mixtures      int
	Channels      int
	Objective     Objective
	Gradient      Gradient // "": standard
	Draws         int      // k
	FreeBits      float64  // nats of the divergence for each latent dimension that training leaves free, see graph.Builder.KLStdNormalFree
	Freeze        Part     // that training leaves as it is; "": none
}

// likelihood is what the likelihood is told.
func (c VAEConfig) likelihood() LikelihoodConfig {
	return LikelihoodConfig{Variance: c.Variance, PixelVariance: c.PixelVariance, Mixtures: c.Mixtures, Channels: c.Channels}
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
	c.likelihood().check(c.Likelihood, &f)
	f = append(f, ValidateLayers(c.Network, c.Activation))
	c.architecture().check(&f)
	c.Posterior.check(&f)
	c.checkLayers(&f)
	c.checkFlow(&f)
	c.checkPrior(&f)
	_, err := ParseLikelihood(string(c.Likelihood))
	f.add(err != nil, "likelihood: %w", err)
	_, err = ParseObjective(string(c.Objective))
	f.add(err != nil, "objective: %w", err)
	c.checkGradient(&f)
	c.checkFreeBits(&f)
	if c.Freeze != "" {
		_, err = ParsePart(string(c.Freeze))
		f.add(err != nil, "freeze: %w", err)
	}
	return errors.Join(f...)
}

// VAE is a variational autoencoder: a joint distribution, an amortised posterior, and what
// training makes of the two:
//
//	h = Encoder(x)    z ~ q(z|h) = Posterior    p(x|z) = Likelihood(Decoder(z))    p(z) = Prior
//
// Source: Kingma and Welling 2014.
type VAE struct {
	*Joint
	Q         Q
	Objective Objective
	Gradient  Gradient
	Draws     int     // k
	FreeBits  float64 // as in VAEConfig
	Freeze    Part    // that training leaves as it is; "": none

	step *vaeStep
}

// NewVAE returns a VAE whose parameters are drawn from the sources that init
// returns for their names. It computes on engine.
func NewVAE(c VAEConfig, engine *graph.Engine, init Init) (*VAE, error) {
	if err := errors.Join(c.Validate(), c.architecture().known()); err != nil {
		return nil, err
	}
	likelihood, err := NewLikelihood(c.Likelihood, c.likelihood())
	if err != nil {
		return nil, err
	}
	posterior, err := c.newPosterior(init)
	if err != nil {
		return nil, err
	}
	h, _ := posterior.Sizes()
	if _, ok := posterior.(Evaluable); !ok && c.Gradient != "" && c.Gradient != StandardGradient {
		return nil, fmt.Errorf("gradient is %s, which wants log q(z|x) at any z, and the posterior %v does not know it: want standard; of flows, flow coupling knows it", c.Gradient, posterior)
	}
	q := Q{Encoder: c.architecture().encoder(h, init), Posterior: posterior}
	prior, err := c.newPrior(q, engine, init)
	if err != nil {
		return nil, err
	}
	return &VAE{
		Joint: &Joint{
			Pixels: c.Pixels, Latent: c.Latent, Engine: engine,
			Prior:      prior,
			Decoder:    c.newDecoder(likelihood.Outputs(c.Pixels), init),
			Likelihood: likelihood,
		},
		Q:         q,
		Objective: c.Objective, Gradient: c.Gradient, Draws: c.Draws, FreeBits: c.FreeBits, Freeze: c.Freeze,
	}, nil
}

// On returns the same model, with the same parameters, computing on another engine.
func (m *VAE) On(engine *graph.Engine) *VAE {
	other := *m
	other.Joint, other.step = m.Joint.On(engine), nil
	return &other
}

// Params returns the parameters: the encoder's and the posterior's, then those of the
// joint distribution. The slice is new, the parameters are not.
func (m *VAE) Params() []*graph.Param { return append(m.Q.Params(), m.Joint.Params()...) }

// Params returns the parameters of the encoder and of the posterior's family.
func (q Q) Params() []*graph.Param { return append(q.Encoder.Params(), q.Posterior.Params()...) }

// Trained returns the parameters that an optimiser moves along their gradients: all but
// those of a frozen part, those that the likelihood solves for, and what of the prior is set
// otherwise.
func (m *VAE) Trained() []*graph.Param {
	params := m.Params()
	switch m.Freeze {
	case EncoderPart:
		params = m.Joint.Params()
	case DecoderPart:
		params = m.Q.Params()
	}
	apart := m.solved()
	if prior, ok := m.Prior.(Untrained); ok {
		apart = append(apart, prior.Untrained()...)
	}
	return slices.DeleteFunc(params, func(p *graph.Param) bool { return slices.Contains(apart, p) })
}

// solved returns the parameters that training sets by Solve.
func (m *VAE) solved() []*graph.Param {
	if likelihood, ok := m.Likelihood.(Solved); ok && m.Freeze != DecoderPart {
		return likelihood.Solved()
	}
	return nil
}

// Solves reports whether training sets parameters by Solve.
func (m *VAE) Solves() bool { return len(m.solved()) > 0 }

// Solve sets the parameters of the likelihood that have a closed form, after Step, from its
// batch. It goes a share of the way, see Solved.
func (m *VAE) Solve(share float64) {
	first := len(m.Trained())
	var grads [][]float32
	for i := range m.solved() {
		grads = append(grads, m.Grad(first+i))
	}
	m.Likelihood.(Solved).Solve(grads, m.Pixels, share)
}

// Batch is what one step of training sees. Rows from Images on are padding: they
// have no weight.
type Batch struct {
	Images int       // of this process
	Of     int       // of all processes: what the mean of the bound divides by
	X      []float32 // [B, D]
	Eps    []float32 // [B·k, E], standard normal; row b·k + s is draw s of image b
	Beta   float32   // weight of the divergence in the ELBO
	Own    []float32 // [B], the component of the prior that an image makes, see LeavesOut; nil of other priors
}

// NewBatch returns a batch for up to images images.
func (m *VAE) NewBatch(images int) *Batch {
	_, eps := m.Q.Posterior.Sizes()
	batch := &Batch{
		X:    make([]float32, images*m.Pixels),
		Eps:  make([]float32, images*m.Draws*eps),
		Beta: 1,
	}
	if _, ok := m.Prior.(LeavesOut); ok {
		batch.Own = make([]float32, images)
	}
	return batch
}

// InputBatch returns a batch that is the input of the compiled step itself, which Step need
// not copy. CompileStep comes first.
func (m *VAE) InputBatch() *Batch {
	return &Batch{X: m.step.x, Eps: m.step.eps, Own: m.step.own, Beta: 1}
}

// vaeStep is the compiled graph of one step of training.
type vaeStep struct {
	program              *graph.Program
	x, eps, weight, beta []float32
	of                   []float32 // images of the whole batch
	own                  []float32 // of a prior that leaves out, else nil
	recon, kl, bound     graph.Node
}

// CompileStep builds the graph of a training step for batches of up to the given
// number of images, with the gradient of the loss for every parameter that training
// changes:
//
//	x → encoder → h → z → decoder → log p(x|z), KL → bound → loss = -mean
//
// With another gradient than the standard one the loss is made of that of [Gradient], and with
// free bits of their divergence: the terms that Step returns know neither.
func (m *VAE) CompileStep(images int) error {
	s := &vaeStep{}
	program, err := graph.Build(m.Engine, func(b *graph.Builder) {
		_, noise := m.Q.Posterior.Sizes()
		var x, eps, weight, of, beta, ascent graph.Node
		x, s.x = b.Input("x", images, m.Pixels)
		eps, s.eps = b.Input("eps", images*m.Draws, noise)
		weight, s.weight = b.Input("weight", images)
		of, s.of = b.Input("of", 1)
		var own graph.Node
		if _, ok := m.Prior.(LeavesOut); ok {
			own, s.own = b.Input("own", images)
		}
		if m.Objective == ELBO {
			beta, s.beta = b.Input("beta", 1)
		}
		s.recon, s.kl, s.bound, ascent = m.bounds(b, x, eps, beta, own, weight)
		b.Output(s.recon, s.kl, s.bound)
		b.Gradients(b.NegMeanOf(ascent, weight, of), append(m.Trained(), m.solved()...))
	})
	if err != nil {
		return err
	}
	s.program = program
	m.step = s
	return nil
}

// Step computes the terms of a batch, summed over its images, and leaves the
// gradients of the loss for Grad to read. It does not change the parameters.
// CompileStep comes first.
func (m *VAE) Step(batch *Batch) (Totals, error) {
	s := m.step
	give(s.x, batch.X)
	give(s.eps, batch.Eps)
	for i := range s.weight {
		s.weight[i] = 0
		if i < batch.Images {
			s.weight[i] = 1
		}
	}
	s.of[0] = float32(max(batch.Of, batch.Images))
	give(s.own, batch.Own)
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
	if m.Objective == IWAE {
		t.Bound = sum(s.bound)
	}
	return t, nil
}

// give copies values to an input, unless they stand there already.
func give(input, values []float32) {
	if len(input) > 0 && len(values) > 0 && &input[0] != &values[0] {
		copy(input, values)
	}
}

// Grad returns the gradient of the loss with respect to the i-th of Trained, after
// Step. It is read-only and valid until the next step.
func (m *VAE) Grad(i int) []float32 { return m.step.program.Grad(i) }

// Gradients is the number of gradients that Step leaves: of Trained, and of what Solve sets.
func (m *VAE) Gradients() int { return len(m.Trained()) + len(m.solved()) }

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
