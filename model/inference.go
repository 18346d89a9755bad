package model

import "elbo/graph"

// Encoder maps images to the parameters of their approximate posteriors.
type Encoder struct {
	program *graph.Program
	x       []float32
	h       graph.Node
}

// NewEncoder compiles the encoder for blocks of the given number of images.
func (m *VAE) NewEncoder(images int) (*Encoder, error) {
	b, e := graph.NewBuilder(m.engine), &Encoder{}
	var x graph.Node
	x, e.x = b.Input("x", images, m.Config.Pixels)
	e.h = m.encoder.Apply(b, x)
	var err error
	e.program, err = b.Compile(e.h)
	return e, err
}

// Encode returns h = [μ | log σ²], [B, 2Z], of the images x, [B, D], valid until the
// next call. Where x has fewer rows than the encoder was compiled for, what stands
// in the other rows of h means nothing.
func (e *Encoder) Encode(x []float32) ([]float32, error) {
	copy(e.x, x)
	err := e.program.Run()
	return e.program.Values(e.h), err
}

// Scorer gives draws from posteriors their log-likelihoods and importance weights.
// The encoder has run before: it is not run again for every draw.
type Scorer struct {
	program         *graph.Program
	x, h, eps       []float32
	logLik, logPrio graph.Node
}

// NewScorer compiles a scorer for blocks of images, with a number of draws for
// each.
func (m *VAE) NewScorer(images, draws int) (*Scorer, error) {
	b, s := graph.NewBuilder(m.engine), &Scorer{}
	var x, h, eps graph.Node
	x, s.x = b.Input("x", images, m.Config.Pixels)
	h, s.h = b.Input("h", images, 2*m.Config.Latent)
	eps, s.eps = b.Input("eps", images*draws, m.Config.Latent)
	z := b.Reparameterise(h, eps)
	s.logLik, s.logPrio = m.logLik(b, x, z), b.LogPriorRatio(h, eps, z)
	var err error
	s.program, err = b.Compile(s.logLik, s.logPrio)
	return s, err
}

// Score returns, for draws z = μ + σ ε, log p(x|z) and log p(z) - log q(z|x), both
// [B·S] and valid until the next call; their sum is the logarithm of the importance
// weight. x is [B, D], h [B, 2Z], eps [B·S, Z].
func (s *Scorer) Score(x, h, eps []float32) (logLik, logPriorRatio []float32, err error) {
	copy(s.x, x)
	copy(s.h, h)
	copy(s.eps, eps)
	err = s.program.Run()
	return s.program.Values(s.logLik), s.program.Values(s.logPrio), err
}

// Decoder maps latent codes to images.
type Decoder struct {
	program    *graph.Program
	z, means   []float32
	out        graph.Node
	likelihood Likelihood
}

// NewDecoder compiles the decoder for blocks of the given number of codes.
func (m *VAE) NewDecoder(codes int) (*Decoder, error) {
	b := graph.NewBuilder(m.engine)
	d := &Decoder{likelihood: m.Config.Likelihood, means: make([]float32, codes*m.Config.Pixels)}
	var z graph.Node
	z, d.z = b.Input("z", codes, m.Config.Latent)
	d.out = m.decoder.Apply(b, z)
	var err error
	d.program, err = b.Compile(d.out)
	return d, err
}

// Decode returns the mean E[x|z] of every pixel, [B, D], for codes z, [B, Z]. It is
// valid until the next call.
func (d *Decoder) Decode(z []float32) ([]float32, error) {
	copy(d.z, z)
	if err := d.program.Run(); err != nil {
		return nil, err
	}
	copy(d.means, d.program.Values(d.out))
	d.likelihood.Mean(d.means)
	return d.means, nil
}
