package train

import (
	"bytes"
	"context"
	"math"
	"testing"

	"elbo/data"
	"elbo/graph"
	"elbo/model"
	"elbo/model/infer"
	"elbo/train/run"
)

// What follows implements the interfaces of package model and no more: no closed form, no
// natural form, no fast path. Nothing outside this file knows of it.

// toyNetwork is tanh(W x + b), and a linear map of that.
type toyNetwork struct{ w, b, v, c *graph.Param }

func newToyNetwork(name string, in, out int) *toyNetwork {
	const hidden = 7
	n := &toyNetwork{
		graph.NewParam(name+".w", hidden, in), graph.NewParam(name+".b", hidden),
		graph.NewParam(name+".v", out, hidden), graph.NewParam(name+".c", out),
	}
	source := data.NewStream(5, "toy/"+name)
	for _, p := range n.Params() {
		for i := range p.Value {
			p.Value[i] = float32(source.NormFloat64()) / 4
		}
	}
	return n
}

func (n *toyNetwork) Params() []*graph.Param { return []*graph.Param{n.w, n.b, n.v, n.c} }

func (n *toyNetwork) Apply(b *graph.Builder, x graph.Node) graph.Node {
	h := b.Affine(x, b.Param(n.w), b.Param(n.b), graph.Tanh)
	return b.Affine(h, b.Param(n.v), b.Param(n.c), graph.Identity)
}

// toyPrior is N(-m, I), with m learned.
type toyPrior struct{ m *graph.Param }

func (toyPrior) String() string { return "a normal distribution somewhere" }

func (p toyPrior) Params() []*graph.Param { return []*graph.Param{p.m} }

func (p toyPrior) LogProb(b *graph.Builder, z graph.Node) graph.Node {
	n := len(p.m.Value)
	unit, values := b.Input("unit", n, n)
	for i := range n {
		values[i*n+i] = 1
	}
	return b.LogStdNormal(b.Affine(z, unit, b.Param(p.m), graph.Identity))
}

func (p toyPrior) Draw(z []float64, noise model.Noise) {
	for i := range z {
		z[i] = noise.NormFloat64() - float64(p.m.Value[i])
	}
}

// toyPosterior is a diagonal Gaussian that does not know it.
type toyPosterior struct{ latent int }

func (toyPosterior) String() string         { return "toy" }
func (q toyPosterior) Sizes() (h, eps int)  { return 2 * q.latent, q.latent }
func (toyPosterior) Params() []*graph.Param { return nil }
func (q toyPosterior) Draw(b *graph.Builder, h, eps graph.Node) (graph.Node, func() graph.Node) {
	return b.Reparameterise(h, eps), func() graph.Node { return b.LogDiagonalNormal(h, eps) }
}

// toyLikelihood is Bernoulli's with the outcomes exchanged, and two numbers a pixel, of
// which the decoder's second half is ignored but for its size.
type toyLikelihood struct{ pixels int }

func (toyLikelihood) Name() model.LikelihoodName { return "toy" }
func (toyLikelihood) Measure() model.Measure     { return model.ProbabilityMass }
func (toyLikelihood) Params() []*graph.Param     { return nil }
func (toyLikelihood) Outputs(pixels int) int     { return 2 * pixels }

func (l toyLikelihood) LogProb(b *graph.Builder, x, out graph.Node) graph.Node {
	minus, values := b.Input("minus", l.pixels, 2*l.pixels)
	zero, _ := b.Input("nothing", l.pixels)
	for i := range l.pixels {
		values[i*2*l.pixels+i] = -1
	}
	return b.BernoulliLogLik(x, b.Affine(out, minus, zero, graph.Identity))
}

func (toyLikelihood) Mean(x, out []float32) {
	for i := range x {
		x[i] = float32(1 / (1 + math.Exp(float64(out[i]))))
	}
}

func (l toyLikelihood) Draw(x, out []float32, noise model.Noise) {
	l.Mean(x, out)
	for i, p := range x {
		x[i] = 0
		if noise.Float64() < float64(p) {
			x[i] = 1
		}
	}
}

// toySetup is that of a configuration with all four parts exchanged.
func toySetup(t *testing.T, c Config) *Setup {
	s := newTestSetup(t, c)
	was := vaeOf(s)
	d, z := was.Pixels, was.Latent
	s.Model = NewVAE(*c.vae(), c.Seed, &model.VAE{
		Joint: &model.Joint{
			Pixels: d, Latent: z, Engine: s.Engine,
			Prior: toyPrior{graph.NewParam("prior.m", z)}, Decoder: newToyNetwork("decoder", z, 2*d), Likelihood: toyLikelihood{d},
		},
		Q:         model.Q{Encoder: newToyNetwork("encoder", d, 2*z), Posterior: toyPosterior{z}},
		Objective: was.Objective, Draws: was.Draws,
	})
	return s
}

// TestANewKindOfPartNeedsNoLineElsewhere: a network, a prior, a posterior and a likelihood
// that the program has never heard of train, evaluate, sample, checkpoint and resume to the
// bit; what cannot be done says why.
func TestANewKindOfPartNeedsNoLineElsewhere(t *testing.T) {
	ctx := context.Background()
	for _, objective := range model.Objectives {
		c := smallConfig(t)
		c.vae().Objective, c.vae().K, c.Epochs, c.vae().CheckpointEvery = objective, 2, 8, 4
		s, whole := toySetup(t, c), newHastyRun(t, c)
		heard := &listener{}
		if _, err := Run(ctx, s, whole, nil, heard, still); err != nil {
			t.Fatal(err)
		}
		first, last := heard.epochs[0].Validation.Bound, heard.epochs[len(heard.epochs)-1].Validation.Bound
		if last < first+0.5 {
			t.Errorf("%s: the validation bound went from %.3f to %.3f nats", objective, first, last)
		}
		if vaeOf(s).Prior.(toyPrior).m.Value[0] == 0 {
			t.Errorf("%s: the prior has not moved", objective)
		}

		// An interrupted run ends with the same bytes.
		stopped := newHastyRun(t, c)
		cut, cancel := context.WithCancel(ctx)
		cutting := &listener{step: func(p Progress) {
			if p.Epoch == 3 {
				cancel()
			}
		}}
		if _, err := Run(cut, toySetup(t, c), stopped, nil, cutting, still); err == nil {
			t.Fatal("not interrupted")
		}
		state, _, _ := stopped.Latest()
		if _, err := Run(ctx, toySetup(t, c), stopped, state, &listener{}, still); err != nil {
			t.Fatal(err)
		}
		name := checkpointOf(int64(8 * 6))
		if !bytes.Equal(fileBytes(t, stopped.File(name)), fileBytes(t, whole.File(name))) || !bytes.Equal(fileBytes(t, stopped.File(run.BestFile)), fileBytes(t, whole.File(run.BestFile))) {
			t.Errorf("%s: a resumed run ends with other bytes", objective)
		}

		// Bounds, and log p(x) by annealing above them.
		images := data.View{Subset: s.Validation.First(6), Mode: s.Validation.Mode, Seed: s.Validation.Seed}
		a := infer.DefaultAIS()
		a.Steps, a.Simulated = 300, 10
		e, err := s.Score(ctx, images, ScoreOptions{Samples: 500, Seed: 1, AIS: &a})
		if err != nil {
			t.Fatal(err)
		}
		if !(e.ELBO < e.IW.Bound) || e.IW.Bound > e.AIS.Value+5*e.AIS.ChainSE+0.1 {
			t.Errorf("%s: ELBO %.3f, L_500 %.3f, AIS %.3f ± %.3f", objective, e.ELBO, e.IW.Bound, e.AIS.Value, e.AIS.ChainSE)
		}
		if gap := e.AIS.Simulated; math.Abs(gap.Gap) > 5*gap.GapSE+0.1 {
			t.Errorf("%s: on its own images AIS leaves %.3f ± %.3f nats", objective, gap.Gap, gap.GapSE)
		}

		// Samples, codes and reconstructions.
		x, z, err := vaeOf(s).Simulate([]model.Noise{data.NewStream(1, "toy/sample")})
		if err != nil || len(x) != 36 || len(z) != 2 {
			t.Errorf("%s: simulated %d pixels, %d codes, %v", objective, len(x), len(z), err)
		}
		h, err := infer.Encode(ctx, vaeOf(s), images)
		if err != nil {
			t.Fatal(err)
		}
		codes, err := vaeOf(s).Codes(h)
		if err != nil || len(codes) != 6*2 || codes[0] != h[0] {
			t.Errorf("%s: codes %v of %v, %v", objective, codes, h, err)
		}
	}
}
