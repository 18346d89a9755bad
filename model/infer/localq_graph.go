package infer

import (
	"elbo/graph"
	"elbo/model"
)

// LocalQ is the compiled graph that gives every image of a block an approximate
// posterior of its own: not an encoder's output but free numbers,
//
//	q_n(z) = q(z|h_n)    L[q_n] = E_{q_n}[log p(x_n|z)] - KL(q_n ‖ p)
//
// with the expectation as a mean over draws z(h, ε). The decoder stands still.
//
// Source: Cremer, Li, Duvenaud 2018, section 3.
type LocalQ struct {
	program *graph.Program
	h       *graph.Param
	x, eps  []float32
	bound   graph.Node
}

// NewLocalQ compiles the graph of the family q for blocks of images, with a number of draws
// for each.
func NewLocalQ(j *model.Joint, q model.Posterior, images, draws int) (*LocalQ, error) {
	numbers, noise := q.Sizes()
	l := &LocalQ{h: graph.NewParam("h", images, numbers)}
	var err error
	l.program, err = graph.Build(j.Engine, func(b *graph.Builder) {
		var x, eps graph.Node
		x, l.x = b.Input("x", images, j.Pixels)
		eps, l.eps = b.Input("eps", images*draws, noise)
		beta, one := b.Input("beta", 1)
		weight, minus := b.Input("weight", images)
		one[0] = 1
		for i := range minus {
			minus[i] = -1
		}
		drawn := j.Draw(b, q, b.Param(l.h), eps)
		recon := b.SampleMean(j.LogLik(b, x, drawn.Z), draws)
		l.bound = b.Bound(recon, drawn.KL(), beta)
		b.Output(l.bound)
		// The loss is minus the sum over images and not minus the mean: the gradient of
		// an image's h is that of its own bound, whatever else is in the block.
		b.Gradients(b.Dot(l.bound, weight), []*graph.Param{l.h})
	})
	return l, err
}

// X is where the pixels of a block go, [B, D].
func (l *LocalQ) X() []float32 { return l.x }

// Eps is where the noise goes, [B·S, E], standard normal; row b·S + s is draw s of
// image b.
func (l *LocalQ) Eps() []float32 { return l.eps }

// H is the posteriors themselves, [B, H]: the caller sets them and moves them.
func (l *LocalQ) H() []float32 { return l.h.Value }

// Run returns L[q_n] of each image, [B], in nats, and minus its gradient with respect
// to h, [B, H]; both are read-only and valid until the next run.
func (l *LocalQ) Run() (bound, grad []float32, err error) {
	err = l.program.Run()
	return l.program.Values(l.bound), l.program.Grad(0), err
}
