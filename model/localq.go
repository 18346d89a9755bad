package model

import "elbo/graph"

// LocalQ is the compiled graph that gives every image of a block an approximate
// posterior of its own: not an encoder's output but free numbers,
//
//	h_n = [μ_n | log σ²_n]    q_n(z) = N(μ_n, diag σ²_n)
//	L[q_n] = E_{q_n}[log p(x_n|z)] - KL(q_n ‖ N(0, I))
//
// with the expectation as a mean over draws z = μ + σ ε. The decoder stands still.
//
// Source: Cremer, Li, Duvenaud 2018, section 3.
type LocalQ struct {
	program *graph.Program
	h       *graph.Param
	x, eps  []float32
	bound   graph.Node
}

// NewLocalQ compiles the graph for blocks of images, with a number of draws for each.
func (m *VAE) NewLocalQ(images, draws int) (*LocalQ, error) {
	b, z := graph.NewBuilder(m.engine), m.Config.Latent
	l := &LocalQ{h: graph.NewParam("h", images, 2*z)}
	var x, eps, beta, weight graph.Node
	var one, minus []float32
	x, l.x = b.Input("x", images, m.Config.Pixels)
	eps, l.eps = b.Input("eps", images*draws, z)
	beta, one = b.Input("beta", 1)
	weight, minus = b.Input("weight", images)
	h := b.Param(l.h)
	recon := b.SampleMean(m.logLik(b, x, b.Reparameterise(h, eps)), draws)
	l.bound = b.Bound(recon, b.KLStdNormal(h), beta)
	// The loss is minus the sum over images and not minus the mean: the gradient of an
	// image's h is that of its own bound, whatever else is in the block.
	loss := b.Dot(l.bound, weight)
	one[0] = 1
	for i := range minus {
		minus[i] = -1
	}
	var err error
	l.program, err = b.CompileGrad(loss, []*graph.Param{l.h}, l.bound)
	return l, err
}

// X is where the pixels of a block go, [B, D].
func (l *LocalQ) X() []float32 { return l.x }

// Eps is where the noise goes, [B·S, Z], standard normal; row b·S + s is draw s of
// image b.
func (l *LocalQ) Eps() []float32 { return l.eps }

// H is the posteriors themselves, [B, 2Z]: the caller sets them and moves them.
func (l *LocalQ) H() []float32 { return l.h.Value }

// Run returns L[q_n] of each image, [B], in nats, and minus its gradient with respect
// to h, [B, 2Z]; both are read-only and valid until the next run.
func (l *LocalQ) Run() (bound, grad []float32, err error) {
	err = l.program.Run()
	return l.program.Values(l.bound), l.program.Grad(0), err
}
