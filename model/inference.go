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
	e := &Encoder{}
	var err error
	e.program, err = graph.Build(m.Engine, func(b *graph.Builder) {
		var x graph.Node
		x, e.x = b.Input("x", images, m.Pixels)
		e.h = m.Q.Encoder.Apply(b, x)
		b.Output(e.h)
	})
	return e, err
}

// Encode returns the numbers h of the posteriors, [B, H], of the images x, [B, D], valid
// until the next call. Where x has fewer rows than the encoder was compiled for, what
// stands in the other rows of h means nothing.
func (e *Encoder) Encode(x []float32) ([]float32, error) {
	copy(e.x, x)
	err := e.program.Run()
	return e.program.Values(e.h), err
}

// Codes returns a code for each posterior h, [N, H], as [N, Z]: its mean where the family
// knows it, else the draw at ε = 0.
func (m *VAE) Codes(h []float32) ([]float32, error) {
	width, noise := m.Q.Posterior.Sizes()
	n := len(h) / width
	if known, ok := m.Q.Posterior.(Moments); ok {
		codes := make([]float32, 0, n*m.Latent)
		for i := range n {
			for _, mean := range known.Mean(h[i*width:][:width]) {
				codes = append(codes, float32(mean))
			}
		}
		return codes, nil
	}
	rows, codes := min(n, codedRows), make([]float32, 0, n*m.Latent)
	draws, err := m.NewPosteriorDraws(m.Q.Posterior, rows, 1)
	if err != nil {
		return nil, err
	}
	for eps := make([]float32, rows*noise); len(h) > 0; {
		taken := min(len(h)/width, rows)
		z, err := draws.At(h[:taken*width], eps)
		if err != nil {
			return nil, err
		}
		codes, h = append(codes, z[:taken*m.Latent]...), h[taken*width:]
	}
	return codes, nil
}

// codedRows is how many codes are computed at once where they take a graph.
const codedRows = 1000

// PosteriorDraws computes draws z(h, ε) from members of a family.
type PosteriorDraws struct {
	program *graph.Program
	h, eps  []float32
	z       graph.Node
}

// NewPosteriorDraws compiles the draws of a family for blocks of images, with a number of draws
// for each.
func (j *Joint) NewPosteriorDraws(q Posterior, images, draws int) (*PosteriorDraws, error) {
	d := &PosteriorDraws{}
	var err error
	d.program, err = graph.Build(j.Engine, func(b *graph.Builder) {
		numbers, noise := q.Sizes()
		var h, eps graph.Node
		h, d.h = b.Input("h", images, numbers)
		eps, d.eps = b.Input("eps", images*draws, noise)
		d.z, _ = q.Draw(b, h, eps)
		b.Output(d.z)
	})
	return d, err
}

// At returns z(h, ε), [B·S, Z], valid until the next call: h is [B, H], eps [B·S, E]. Of a block
// with fewer images, what stands in the other rows means nothing.
func (d *PosteriorDraws) At(h, eps []float32) ([]float32, error) {
	copy(d.h, h)
	copy(d.eps, eps)
	err := d.program.Run()
	return d.program.Values(d.z), err
}

// Scorer gives draws from posteriors their log-likelihoods and importance weights.
// The encoder has run before: it is not run again for every draw.
type Scorer struct {
	program          *graph.Program
	x, h, eps        []float32
	logLik, logRatio graph.Node
	layers           []graph.Node // see LayerKL
}

// NewScorer compiles a scorer for posteriors of a family and blocks of images, with a number
// of draws for each.
func (j *Joint) NewScorer(q Posterior, images, draws int) (*Scorer, error) {
	s := &Scorer{}
	var err error
	s.program, err = graph.Build(j.Engine, func(b *graph.Builder) {
		numbers, noise := q.Sizes()
		var x, h, eps graph.Node
		x, s.x = b.Input("x", images, j.Pixels)
		h, s.h = b.Input("h", images, numbers)
		eps, s.eps = b.Input("eps", images*draws, noise)
		drawn := j.Draw(b, q, h, eps)
		s.logLik, s.logRatio = j.LogLik(b, x, drawn.Z), drawn.LogRatio()
		s.layers = j.LayerKL(b, q, h, drawn.Z)
		b.Output(append([]graph.Node{s.logLik, s.logRatio}, s.layers...)...)
	})
	return s, err
}

// Score returns, for draws z(h, ε), log p(x|z) and log p(z) - log q(z|x), both
// [B·S] and valid until the next call; their sum is the logarithm of the importance
// weight. x is [B, D], h [B, H], eps [B·S, E].
func (s *Scorer) Score(x, h, eps []float32) (logLik, logRatio []float32, err error) {
	copy(s.x, x)
	copy(s.h, h)
	copy(s.eps, eps)
	err = s.program.Run()
	return s.program.Values(s.logLik), s.program.Values(s.logRatio), err
}

// Layers returns, for each stochastic layer of a model of several, the log-density of the
// draws of the last Score under q less that under p, [B·S], see LayerKL; nil of others. They
// are valid until the next call.
func (s *Scorer) Layers() [][]float32 {
	var all [][]float32
	for _, n := range s.layers {
		all = append(all, s.program.Values(n))
	}
	return all
}
