package infer

import (
	"math"

	"elbo/graph"
	"elbo/graph/elementary"
	"elbo/model"
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
	sigmoid := func(u float64) float64 { return 1 / (1 + elementary.Exp(-u)) }
	lo, hi := sigmoid(-delta), sigmoid(delta)
	return (sigmoid(delta*(2*float64(t)/float64(steps)-1)) - lo) / (hi - lo)
}

// Slope is a compiled graph of log p(x|z) and its gradient in z.
type Slope struct {
	program *graph.Program
	x       []float32
	z       *graph.Param
	logLik  graph.Node
}

// NewSlope compiles log p(x|z) and its gradient for blocks of images, with a number of
// codes z for each.
func NewSlope(j *model.Joint, images, codes int) (*Slope, error) {
	s := &Slope{z: graph.NewParam("z", images*codes, j.Latent)}
	var err error
	s.program, err = graph.Build(j.Engine, func(b *graph.Builder) {
		var x graph.Node
		x, s.x = b.Input("x", images, j.Pixels)
		ones, weight := b.Input("ones", images*codes)
		for i := range weight {
			weight[i] = 1
		}
		s.logLik = j.LogLik(b, x, b.Param(s.z))
		b.Output(s.logLik)
		b.Gradients(b.Dot(s.logLik, ones), []*graph.Param{s.z})
	})
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

// Chains are Markov chains of codes, some for each image, with the densities
//
//	p_β(z) ∝ p(z) p(x|z)^β
//
// from the prior at β = 0 to the posterior at β = 1. Each moves by Hamiltonian Monte
// Carlo, which leaves p_β as it is: positions are float64, so that a trajectory can be
// run back to where it came from, and log p(x|z) is evaluated at the nearest float32.
type Chains struct {
	target    Target
	prior     *model.PriorDensity
	draw      func(z []float64, noise model.Noise) // from the prior
	noise     []model.Noise                        // one a chain
	dims      int
	leapfrogs int

	at, trial             place // where the chains are, and where they may go
	momentum              []float64
	energy, epsilon, rate []float64
}

// place is where R chains are, with what is known there.
type place struct {
	z                    []float64 // [R, Z]
	logLik, logPrior     []float64 // log p(x|z), log p(z), [R]
	likSlope, priorSlope []float64 // their gradients in z, [R, Z]
}

func newPlace(rows, dims int) place {
	return place{
		z: make([]float64, rows*dims), logLik: make([]float64, rows), logPrior: make([]float64, rows),
		likSlope: make([]float64, rows*dims), priorSlope: make([]float64, rows*dims),
	}
}

// set copies the rows from lo to hi of another place.
func (p place) set(from place, lo, hi, dims int) {
	copy(p.logLik[lo:hi], from.logLik[lo:hi])
	copy(p.logPrior[lo:hi], from.logPrior[lo:hi])
	copy(p.z[lo*dims:hi*dims], from.z[lo*dims:])
	copy(p.likSlope[lo*dims:hi*dims], from.likSlope[lo*dims:])
	copy(p.priorSlope[lo*dims:hi*dims], from.priorSlope[lo*dims:])
}

// Target is log p(x|z) and its gradient at the codes of R chains or more, as a Slope
// computes them.
type Target interface {
	At(z []float64) (logLik, slope []float32, err error)
}

// NewChains returns chains on a target, one for each of the noises, with the prior of j and
// a number of leapfrog steps to a move. Start comes first.
func NewChains(j *model.Joint, target Target, noise []model.Noise, leapfrogs int) (*Chains, error) {
	rows := len(noise)
	prior, err := j.NewPriorDensity(rows)
	return &Chains{
		target: target, prior: prior, draw: j.Prior.Draw, noise: noise, dims: j.Latent, leapfrogs: leapfrogs,
		at: newPlace(rows, j.Latent), trial: newPlace(rows, j.Latent),
		momentum: make([]float64, rows*j.Latent),
		energy:   make([]float64, rows), epsilon: make([]float64, rows), rate: make([]float64, rows),
	}, err
}

// Start puts the chains at z, [R, Z]; at draws from the prior where z is nil.
func (c *Chains) Start(z []float64) error {
	if z != nil {
		copy(c.trial.z, z)
	} else {
		for r, noise := range c.noise {
			c.draw(c.trial.z[r*c.dims:][:c.dims], noise)
		}
	}
	if err := c.evaluate(); err != nil {
		return err
	}
	c.at.set(c.trial, 0, len(c.noise), c.dims)
	return nil
}

// LogLik returns log p(x|z) where each chain is, [R], in nats.
func (c *Chains) LogLik() []float64 { return c.at.logLik }

// Move takes each chain r through one transition of Hamiltonian Monte Carlo at inverse
// temperature β, with H(z, v) = -log p(z) - β log p(x|z) + |v|²/2:
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
	c.trial.set(c.at, 0, len(c.noise), c.dims)
	for r, noise := range c.noise {
		for j := range c.dims {
			c.momentum[r*c.dims+j] = noise.NormFloat64()
		}
		c.epsilon[r] = step[r] * (0.8 + float64(0.4*noise.Float64()))
		c.energy[r] = c.hamiltonian(r, beta)
	}
	if err := c.leap(beta); err != nil {
		return nil, err
	}
	for r, noise := range c.noise {
		c.rate[r] = elementary.Exp(min(0, c.energy[r]-c.hamiltonian(r, beta)))
		if math.IsNaN(c.rate[r]) { // the trajectory has left for infinity
			c.rate[r] = 0
		}
		if noise.Float64() < c.rate[r] {
			c.at.set(c.trial, r, r+1, c.dims)
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
				c.trial.z[i] += float64(epsilon * c.momentum[i])
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
			c.momentum[i] += float64(epsilon / 2 * (float64(beta*c.trial.likSlope[i]) + c.trial.priorSlope[i]))
		}
	}
}

// hamiltonian is H of the trial of chain r.
func (c *Chains) hamiltonian(r int, beta float64) float64 {
	squares := 0.0
	for _, v := range c.momentum[r*c.dims:][:c.dims] {
		squares += float64(v * v)
	}
	return float64(squares/2) - c.trial.logPrior[r] - float64(beta*c.trial.logLik[r])
}

// evaluate computes the two log-densities and their gradients at the trials.
func (c *Chains) evaluate() error {
	logLik, slope, err := c.target.At(c.trial.z)
	if err != nil {
		return err
	}
	for r := range c.trial.logLik { // the target may have rows to spare
		c.trial.logLik[r] = float64(logLik[r])
	}
	for i := range c.trial.likSlope {
		c.trial.likSlope[i] = float64(slope[i])
	}
	return c.prior.At(c.trial.z, c.trial.logPrior, c.trial.priorSlope)
}
