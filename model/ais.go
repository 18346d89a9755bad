package model

import (
	"math"
	"slices"

	"elbo/graph"
)

// Temperature is the t-th of T inverse temperatures of annealed importance sampling,
//
//	β_t = (σ(δ(2t/T - 1)) - σ(-δ)) / (σ(δ) - σ(-δ)),  δ = 4,  σ(u) = 1/(1 + exp(-u))
//
// from β_0 = 0 to β_T = 1: fine steps at both ends, where the distributions change most.
//
// Source: Grosse, Ghahramani, Adams 2015; Wu, Burda, Salakhutdinov, Grosse 2017.
func Temperature(t, steps int) float64 {
	const delta = 4
	sigmoid := func(u float64) float64 { return 1 / (1 + math.Exp(-u)) }
	lo, hi := sigmoid(-delta), sigmoid(delta)
	return (sigmoid(delta*(2*float64(t)/float64(steps)-1)) - lo) / (hi - lo)
}

// Slope is a compiled graph of log p(x|z) and its gradient in z.
type Slope struct {
	program *graph.Program
	x, ones []float32
	z       *graph.Param
	logLik  graph.Node
}

// NewSlope compiles log p(x|z) and its gradient for blocks of images, with a number of
// codes z for each.
func (m *VAE) NewSlope(images, codes int) (*Slope, error) {
	b, s := graph.NewBuilder(m.engine), &Slope{z: graph.NewParam("z", images*codes, m.Config.Latent)}
	var x, ones graph.Node
	x, s.x = b.Input("x", images, m.Config.Pixels)
	ones, s.ones = b.Input("ones", images*codes)
	for i := range s.ones {
		s.ones[i] = 1
	}
	s.logLik = m.logLik(b, x, b.Param(s.z))
	var err error
	s.program, err = b.CompileGrad(b.Dot(s.logLik, ones), []*graph.Param{s.z}, s.logLik)
	return s, err
}

// X is where the pixels of the images go, [B, D].
func (s *Slope) X() []float32 { return s.x }

// At returns log p(x|z), [B·S], in nats, and its gradient d log p(x|z) / dz, [B·S, Z], at
// z, [B·S, Z]; row b·S + c is code c of image b. Both are valid until the next call.
// Where z has fewer rows, what stands in the others means nothing.
func (s *Slope) At(z []float64) (logLik, slope []float32, err error) {
	for i, v := range z {
		s.z.Value[i] = float32(v)
	}
	err = s.program.Run()
	return s.program.Values(s.logLik), s.program.Grad(0), err
}

// Noise is a source of random numbers.
type Noise interface {
	NormFloat64() float64 // from N(0, 1)
	Float64() float64     // uniform in [0, 1)
}

// Chains are Markov chains of codes, some for each image, with the densities
//
//	p_β(z) ∝ p(z) p(x|z)^β,  p(z) = N(0, I)
//
// from the prior at β = 0 to the posterior at β = 1. Each moves by Hamiltonian Monte
// Carlo, which leaves p_β as it is: positions are float64, so that a trajectory can be
// run back to where it came from, and log p(x|z) is evaluated at the nearest float32.
type Chains struct {
	target    Target
	noise     []Noise // one a chain
	dims      int
	leapfrogs int

	z, logLik, slope                []float64 // where the chains are, [R, Z], [R], [R, Z]
	trial, trialLogLik, trialSlope  []float64 // where they may go
	momentum, energy, epsilon, rate []float64
}

// Target is log p(x|z) and its gradient at the codes of R chains or more, as a Slope
// computes them.
type Target interface {
	At(z []float64) (logLik, slope []float32, err error)
}

// NewChains returns chains on a target of codes of dims dimensions, one for each of the
// noises, with a number of leapfrog steps to a move. Start comes first.
func NewChains(target Target, noise []Noise, dims, leapfrogs int) *Chains {
	rows := len(noise)
	vector := func() []float64 { return make([]float64, rows) }
	table := func() []float64 { return make([]float64, rows*dims) }
	return &Chains{
		target: target, noise: noise, dims: dims, leapfrogs: leapfrogs,
		z: table(), logLik: vector(), slope: table(),
		trial: table(), trialLogLik: vector(), trialSlope: table(),
		momentum: table(), energy: vector(), epsilon: vector(), rate: vector(),
	}
}

// Start puts the chains at z, [R, Z]; at draws from the prior where z is nil.
func (c *Chains) Start(z []float64) error {
	if z != nil {
		copy(c.trial, z)
	} else {
		for r, noise := range c.noise {
			for j := range c.dims {
				c.trial[r*c.dims+j] = noise.NormFloat64()
			}
		}
	}
	if err := c.evaluate(); err != nil {
		return err
	}
	for r := range c.noise {
		c.accept(r)
	}
	return nil
}

// LogLik returns log p(x|z) where each chain is, [R], in nats.
func (c *Chains) LogLik() []float64 { return c.logLik }

// Move takes each chain r through one transition of Hamiltonian Monte Carlo at inverse
// temperature β, with H(z, v) = |z|²/2 - β log p(x|z) + |v|²/2:
//
//	v ~ N(0, I),  ε = step_r · u,  u uniform in [0.8, 1.2)
//	leapfrogs times:  v := v - ε/2 ∇_z H,  z := z + ε v,  v := v - ε/2 ∇_z H
//	accepted with probability min(1, exp(H_before - H_after)), else the chain stays
//
// The jitter u keeps trajectories from closing on themselves. It returns the
// probabilities of acceptance, [R], valid until the next move.
//
// Source: Neal 2011, "MCMC using Hamiltonian dynamics".
func (c *Chains) Move(beta float64, step []float64) ([]float64, error) {
	copy(c.trial, c.z)
	copy(c.trialLogLik, c.logLik)
	copy(c.trialSlope, c.slope)
	for r, noise := range c.noise {
		for j := range c.dims {
			c.momentum[r*c.dims+j] = noise.NormFloat64()
		}
		c.epsilon[r] = step[r] * (0.8 + 0.4*noise.Float64())
		c.energy[r] = c.hamiltonian(r, beta)
	}
	if err := c.leap(beta); err != nil {
		return nil, err
	}
	for r, noise := range c.noise {
		c.rate[r] = math.Exp(min(0, c.energy[r]-c.hamiltonian(r, beta)))
		if math.IsNaN(c.rate[r]) { // the trajectory has left for infinity
			c.rate[r] = 0
		}
		if noise.Float64() < c.rate[r] {
			c.accept(r)
		}
	}
	return c.rate, nil
}

// leap takes the trials along their trajectories.
func (c *Chains) leap(beta float64) error {
	for range c.leapfrogs {
		c.kick(beta)
		for r, epsilon := range c.epsilon {
			for i := r * c.dims; i < (r+1)*c.dims; i++ {
				c.trial[i] += epsilon * c.momentum[i]
			}
		}
		if err := c.evaluate(); err != nil {
			return err
		}
		c.kick(beta)
	}
	return nil
}

// kick is half a step of the momenta.
func (c *Chains) kick(beta float64) {
	for r, epsilon := range c.epsilon {
		for i := r * c.dims; i < (r+1)*c.dims; i++ {
			c.momentum[i] += epsilon / 2 * (beta*c.trialSlope[i] - c.trial[i])
		}
	}
}

// hamiltonian is H of the trial of chain r.
func (c *Chains) hamiltonian(r int, beta float64) float64 {
	squares := 0.0
	for i := r * c.dims; i < (r+1)*c.dims; i++ {
		squares += c.trial[i]*c.trial[i] + c.momentum[i]*c.momentum[i]
	}
	return squares/2 - beta*c.trialLogLik[r]
}

// evaluate computes log p(x|z) and its gradient at the trials.
func (c *Chains) evaluate() error {
	logLik, slope, err := c.target.At(c.trial)
	if err != nil {
		return err
	}
	for r := range c.trialLogLik { // the target may have rows to spare
		c.trialLogLik[r] = float64(logLik[r])
	}
	for i := range c.trialSlope {
		c.trialSlope[i] = float64(slope[i])
	}
	return nil
}

// accept moves chain r to its trial.
func (c *Chains) accept(r int) {
	lo, hi := r*c.dims, (r+1)*c.dims
	copy(c.z[lo:hi], c.trial[lo:hi])
	copy(c.slope[lo:hi], c.trialSlope[lo:hi])
	c.logLik[r] = c.trialLogLik[r]
}

// Simulate draws images from the model, one for each of the noises: z ~ p(z), x ~ p(x|z).
// z, [R, Z], is then an exact draw from p(z|x) for x, [R, D].
func (m *VAE) Simulate(noise []Noise) (x []float32, z []float64, err error) {
	d, dims := m.Config.Pixels, m.Config.Latent
	b := graph.NewBuilder(m.engine)
	code, values := b.Input("z", len(noise), dims)
	out := m.decoder.Apply(b, code)
	program, err := b.Compile(out)
	if err != nil {
		return nil, nil, err
	}
	z = make([]float64, len(values))
	for i := range values {
		values[i] = float32(noise[i/dims].NormFloat64())
		z[i] = float64(values[i])
	}
	if err := program.Run(); err != nil {
		return nil, nil, err
	}
	x = slices.Clone(program.Values(out))
	sigma := math.Exp(float64(m.logVariance.Value[0]) / 2)
	for i, v := range x {
		x[i] = float32(m.Config.Likelihood.draw(float64(v), sigma, noise[i/d]))
	}
	return x, z, nil
}

// draw is a pixel from the distribution with the decoder's output l; sigma is the
// standard deviation of the Gaussian.
func (l Likelihood) draw(out, sigma float64, noise Noise) float64 {
	switch l {
	case Gaussian:
		return out + sigma*noise.NormFloat64()
	case ContinuousBernoulli:
		return continuousBernoulliQuantile(out, noise.Float64())
	default:
		if noise.Float64() < 1/(1+math.Exp(-out)) {
			return 1
		}
		return 0
	}
}

// continuousBernoulliQuantile is the x in [0, 1] below which a share u of the
// distribution with logit l lies:
//
//	(exp(l x) - 1) / (exp(l) - 1) = u
//
// It is evaluated where exp(l) is below 1, by symmetry.
func continuousBernoulliQuantile(l, u float64) float64 {
	switch {
	case math.Abs(l) < 1e-8:
		return u
	case l > 0:
		return 1 - continuousBernoulliQuantile(-l, 1-u)
	default:
		return math.Log1p(u*math.Expm1(l)) / l
	}
}
