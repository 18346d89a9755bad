package model

import (
	"context"
	"math"

	"elbo/graph"
)

// EStep is a compiled E-graph for chunks of images.
type EStep struct {
	em      *EM
	images  int // a chunk
	program *graph.Program

	x, weight, logPrior []float32 // inputs; logPrior [B, K] for a prior per image only

	logLik, joint, evidence, table, recon, priorBound graph.Node
	counts, sums                                      graph.Node // none where statistics are not wanted
}

// NewEStep compiles the E-graph for chunks of the given number of images, with the
// statistics of the posterior table if they are wanted.
//
// perImage gives every image a log p(z) of its own as an input; else the model's own
// stands for all.
func (m *EM) NewEStep(images int, statistics, perImage bool) (*EStep, error) {
	e := &EStep{em: m, images: images}
	var err error
	e.program, err = graph.Build(m.engine, func(b *graph.Builder) {
		var x, weight, logPrior graph.Node
		x, e.x = b.Input("x", images, m.Config.Pixels)
		weight, e.weight = b.Input("weight", images)
		e.logLik = m.states.logLik(b, x)
		if perImage {
			logPrior, e.logPrior = b.Input("log_prior", images, m.Config.States)
		} else {
			logPrior = b.Param(m.logPrior)
		}
		evidence, parts := b.Posterior(e.logLik, logPrior, weight)
		e.evidence, e.joint, e.table, e.recon, e.priorBound = evidence, parts.Joint, parts.Table, parts.Recon, parts.PriorBound
		b.Output(e.logLik, e.joint, e.evidence, e.table, e.recon, e.priorBound)
		if !statistics {
			return
		}
		e.counts = b.Counts(e.table)
		e.sums = m.states.addSums(b, e.table, x)
		b.Output(e.counts, e.sums)
	})
	return e, err
}

// Chunk is the number of images that the E-graph takes at once.
func (e *EStep) Chunk() int { return e.images }

// X is where the pixels of a chunk go, [B, D].
func (e *EStep) X() []float32 { return e.x }

// LogPriors is where the log p(z) of the images of a chunk go, [B, K], for a prior per
// image.
func (e *EStep) LogPriors() []float32 { return e.logPrior }

// Load copies the pixels of count images into the chunk, from the first on. pixels fills
// x, [D], with those of image i; it is called from several goroutines.
func (e *EStep) Load(pixels func(x []float32, i int), first, count int) {
	d := e.em.Config.Pixels
	e.em.engine.Split(count, 100, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			pixels(e.x[i*d:][:d], first+i)
		}
	})
}

// Each computes the tables of n images, a chunk at a time and in order, and calls f after
// each chunk with its number of images, until f returns false. pixels are those of Load.
func (e *EStep) Each(ctx context.Context, pixels func(x []float32, i int), n int, f func(count int) bool) error {
	for first := 0; first < n; first += e.images {
		if err := ctx.Err(); err != nil {
			return err
		}
		count := min(e.images, n-first)
		e.Load(pixels, first, count)
		if err := e.Run(count); err != nil {
			return err
		}
		if !f(count) {
			return nil
		}
	}
	return nil
}

// Run computes the table of the first n images of the chunk.
func (e *EStep) Run(n int) error {
	for i := range e.weight {
		e.weight[i] = 0
		if i < n {
			e.weight[i] = 1
		}
	}
	return e.program.Run()
}

// Evidence returns log p(x) of each image of the last run, in nats, [B]; valid until
// the next one, as all that follows. Rows of padding mean nothing.
func (e *EStep) Evidence() []float32 { return e.program.Values(e.evidence) }

// PriorBound returns E_p(z)[log p(x|z)] of each image, in nats, [B]: the bound at q = p. It
// is below the evidence by KL(p(z) ‖ p(z|x)).
func (e *EStep) PriorBound() []float32 { return e.program.Values(e.priorBound) }

// Recon returns E_q[log p(x|z)] of each image under its posterior, in nats, [B]; the
// divergence of the posterior from the prior is Recon less Evidence.
func (e *EStep) Recon() []float32 { return e.program.Values(e.recon) }

// LogLik returns log p(x_n|z=k), [B, K], in nats.
func (e *EStep) LogLik() []float32 { return e.program.Values(e.logLik) }

// Rounding is what float32 may take from log p(x) of the i-th image, in nats: 2⁻²⁴ √D of
// what its terms come to without their signs.
func (e *EStep) Rounding(i int) float64 {
	k := e.em.Config.States
	size := e.em.states.size(e.Evidence()[i], e.Table()[i*k:][:k], e.LogLik()[i*k:][:k])
	return 0x1p-24 * math.Sqrt(float64(e.em.Config.Pixels)) * size
}

// Table returns the posterior q[n,k] = p(z=k|x_n), [B, K].
func (e *EStep) Table() []float32 { return e.program.Values(e.table) }

// Joint returns log p(x_n, z=k), [B, K], in nats.
func (e *EStep) Joint() []float32 { return e.program.Values(e.joint) }

// DOT returns the E-graph in Graphviz' language.
func (e *EStep) DOT() string { return e.program.DOT() }

// AddStatistics adds the statistics of the last run's first n images. Those that it adds
// to are of no images yet, or of images seen with the same parameters.
func (e *EStep) AddStatistics(s *Statistics, n int) {
	if s.Images == 0 {
		e.em.states.centre(s)
	}
	s.Images += float64(n)
	add := func(sum []float64, values []float32) {
		e.em.engine.Split(len(values), 1<<14, func(lo, hi int) {
			sum := sum[lo:hi]
			for i, v := range values[lo:hi] {
				sum[i] += float64(v)
			}
		})
	}
	add(s.Counts, e.program.Values(e.counts))
	sums := e.program.Values(e.sums) // of Gaussians, the squares below them
	add(s.Sums, sums[:len(s.Sums)])
	add(s.Squares, sums[len(s.Sums):])
}
