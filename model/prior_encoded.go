package model

import (
	"fmt"

	"elbo/graph"
)

// encodedPrior is a mixture, in equal parts, of the posteriors of K images u_k,
//
//	p(z) = (1/K) Σ_k q(z|Encoder(u_k))
//
// which follows the encoder as that is trained.
type encodedPrior struct {
	name   string
	q      Q
	engine *graph.Engine
	u      *graph.Param // [K, D]
	equal  *graph.Param // logits of equal weights, [K]: zeros, and no parameter
	drawn  memberDraw
}

func newEncodedPrior(name, param string, k, pixels int, images []float32, q Q, engine *graph.Engine) *encodedPrior {
	p := &encodedPrior{name: name, q: q, engine: engine, u: graph.NewParam(param, k, pixels), equal: graph.NewParam("equal", k)}
	copy(p.u.Value, images)
	return p
}

func (p *encodedPrior) String() string { return p.name }

// Params returns the images u. The encoder's parameters are the posterior's.
func (p *encodedPrior) Params() []*graph.Param { return []*graph.Param{p.u} }

// LogProb adds log (1/K) Σ_k q(z|Encoder(u_k)).
func (p *encodedPrior) LogProb(b *graph.Builder, z graph.Node) graph.Node {
	return b.LogMixture(p.logProbs(b, z), b.Param(p.equal))
}

func (p *encodedPrior) logProbs(b *graph.Builder, z graph.Node) graph.Node {
	return p.q.Posterior.(PairDensity).LogProbs(b, z, p.q.Encoder.Apply(b, b.Param(p.u)))
}

// Draw draws one of the images, and a code from its posterior as it is now.
func (p *encodedPrior) Draw(z []float64, noise Noise) {
	d := p.u.Shape[1]
	k := drawComponent(p.equal.Value, noise)
	p.drawn.draw(z, p.u.Value[k*d:][:d], noise, p.engine, p.q.Posterior, p.q.Encoder)
}

// Fix returns the mixture of the members as they are now.
func (p *encodedPrior) Fix(engine *graph.Engine) (Prior, func() error, error) {
	width, _ := p.q.Posterior.Sizes()
	h := graph.NewParam(membersParam, p.u.Shape[0], width)
	refresh, err := encodeInto(h.Value, p.u.Value, p.u.Shape[1], p.q.Encoder, engine)
	if err == nil {
		err = refresh()
	}
	return newMixturePrior(p.name, p.q.Posterior, h, p.equal, byNobody, engine), refresh, err
}

// encodedRows is how many images are encoded at once.
const encodedRows = 500

// encodeInto returns what sets h, [K, H], to the encoder's output for images, [K, D].
func encodeInto(h, images []float32, pixels int, encoder Network, engine *graph.Engine) (func() error, error) {
	rows := min(len(images)/pixels, encodedRows)
	var x []float32
	var out graph.Node
	program, err := graph.Build(engine, func(b *graph.Builder) {
		var in graph.Node
		in, x = b.Input("x", rows, pixels)
		out = encoder.Apply(b, in)
		b.Output(out)
	})
	return func() error {
		for from, to := images, h; len(from) > 0; {
			n := copy(x, from) / pixels
			if err := program.Run(); err != nil {
				return err
			}
			to = to[copy(to, program.Values(out)[:n*len(h)/(len(images)/pixels)]):]
			from = from[n*pixels:]
		}
		return nil
	}, err
}

// VampPrior is the mixture of the posteriors of K pseudo-inputs,
//
//	p(z) = (1/K) Σ_k q(z|u_k)
//
// in equal parts. The u_k are parameters that begin at training images. An optimiser's step
// may leave the pixels of an image, [0, 1]; Project then takes them back to the nearest ones.
// (To cut them off within the graph, as is also done, leaves a pixel that is outside without
// a gradient, for good.)
//
// Source: Tomczak and Welling 2018.
type VampPrior struct{ *encodedPrior }

var (
	_ Derived   = VampPrior{}
	_ Projected = VampPrior{}
)

// Project moves pixels into [0, 1].
func (p VampPrior) Project() {
	for i, v := range p.u.Value {
		p.u.Value[i] = min(max(v, 0), 1)
	}
}

// Exemplars is the mixture of the posteriors of K training images, in equal parts: with all
// of them it is the aggregate posterior (1/N) Σ_n q(z|x_n) itself, with a part of them an
// estimate of it. A training image that is one of them is left out of p(z) at its own codes,
// or it would be learned by heart: see LeavesOut. What is evaluated has them all.
//
// Source: Norouzi, Fleet and Norouzi 2020, with other posteriors.
type Exemplars struct {
	*encodedPrior
	places map[int]int // of training images among the exemplars
}

var (
	_ Derived   = Exemplars{}
	_ Untrained = Exemplars{}
	_ LeavesOut = Exemplars{}
)

// Untrained returns the images.
func (p Exemplars) Untrained() []*graph.Param { return p.Params() }

// Own is the place of a training image among the exemplars, -1 where it is none of them.
func (p Exemplars) Own(image int) int {
	if k, ok := p.places[image]; ok {
		return k
	}
	return -1
}

// LogProbWithout adds log p(z) of the mixture without the own component of each image.
func (p Exemplars) LogProbWithout(b *graph.Builder, z, own graph.Node) graph.Node {
	return b.LogMixtureWithout(p.logProbs(b, z), b.Param(p.equal), own)
}

// newFrozenPrior returns the mixture, in equal parts, of K members that are what they once
// were: p(z) of a decoder that is frozen does not follow an encoder. See FreezePrior.
func newFrozenPrior(name string, k int, family Posterior, engine *graph.Engine) Prior {
	width, _ := family.Sizes()
	return newMixturePrior(name, family, graph.NewParam(membersParam, k, width), graph.NewParam("equal", k), byNobody, engine)
}

// FreezePrior sets the members of a prior that was made not to follow its encoder to the
// posteriors of the images u, [K, D], by the encoder as it is now. It does nothing to other
// priors.
func (m *VAE) FreezePrior(u []float32) error {
	p, ok := m.Prior.(interface{ mixture() *MixturePrior })
	if !ok || p.mixture().h.Name != membersParam {
		return nil
	}
	refresh, err := encodeInto(p.mixture().h.Value, u, m.Pixels, m.Q.Encoder, m.Engine)
	if err != nil {
		return err
	}
	return refresh()
}

// count names a number of things.
func count(n int, what string) string {
	if n == 1 {
		return fmt.Sprintf("%d %s", n, what)
	}
	return fmt.Sprintf("%d %ss", n, what)
}
