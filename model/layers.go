package model

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"elbo/graph"
)

// A VAE of L stochastic layers has z = [z_1 | ... | z_L], z_1 next to the image:
//
//	q(z|x) = q(z_1|x) Π_l q(z_l|z_{l-1})    p(z) = N(z_L; 0, I) Π_l p(z_{l-1}|z_l)    p(x|z) = p(x|z_1)
//
// Each conditional is a diagonal Gaussian whose [μ | log σ²] a network gives. It is one
// [Posterior], LayeredPosterior, one [Prior], LayeredPrior, and a decoder that reads z_1,
// LowestLayer. No divergence has a closed form but that of the highest layer given a draw of
// the layer below; KL is the mean over draws of log q(z|x) - log p(z), whose terms vary
// together, so that an exact part beside a drawn one need not have less noise.
//
// Source: Burda, Grosse, Salakhutdinov 2016, with L = 2.

// Layers are the sizes of the stochastic layers of a VAE.
type Layers struct {
	Latent []int   // Z of each, that next to the image first; nil: one layer
	Hidden [][]int // hidden layers of the encoder from one to the next; the decoder has them in reverse
}

// Several reports whether there are more layers than one.
func (l Layers) Several() bool { return len(l.Latent) > 1 }

// columns are those of layer l in z.
func (l Layers) columns(layer int) []int {
	first := 0
	for _, z := range l.Latent[:layer] {
		first += z
	}
	columns := make([]int, l.Latent[layer])
	for j := range columns {
		columns[j] = first + j
	}
	return columns
}

func (l Layers) String() string {
	var parts []string
	for _, z := range l.Latent {
		parts = append(parts, fmt.Sprint(z))
	}
	return strings.Join(parts, ",")
}

// checkLayers adds every fault of several layers.
func (c VAEConfig) checkLayers(f *faults) {
	l := c.Layers
	if len(l.Latent) < 2 {
		f.add(len(l.Hidden) > 0, "hidden has %d groups, but latent has 1 layer: want one group of hidden layers, or a latent size for each group, as in latent 100,50", 1+len(l.Hidden))
		return
	}
	groups := fmt.Sprintf("%d groups", 1+len(l.Hidden))
	if len(l.Hidden) == 0 {
		groups = "1 group"
	}
	f.add(len(l.Hidden)+1 != len(l.Latent), "hidden has %s, but latent has %d layers: want a group of hidden layers for each, with semicolons between, as in \"200,200;100,100\"", groups, len(l.Latent))
	sum := 0
	for i, z := range l.Latent {
		f.add(z < 1, "latent: layer %d has %d dimensions, want at least 1", i+1, z)
		sum += z
	}
	f.add(sum != c.Latent, "latent is %d, but its layers have %d dimensions together: want the same", c.Latent, sum)
	for g, hidden := range l.Hidden {
		for i, h := range hidden {
			f.add(h < 1, "hidden: layer %d of group %d has %d units, want at least 1", i+1, g+2, h)
		}
	}
	f.add(c.Prior.Name != "" && c.Prior.Name != NormalPrior, "prior is %s, but latent has %d layers, and their p(z) is made of networks under N(0, I): want prior normal", c.Prior.Name, len(l.Latent))
	f.add(c.Posterior.Name != "" && c.Posterior.Name != DiagonalPosterior, "posterior is %s, but latent has %d layers, and their q(z|x) is made of diagonal Gaussians, each given the one below: want posterior diagonal", c.Posterior.Name, len(l.Latent))
}

// LayeredPosterior is q(z_1|h) Π_l q(z_l|z_{l-1}), h = [μ_1 | log σ_1²].
type LayeredPosterior struct {
	Layers   Layers
	networks []Network // z_l → [μ | log σ²] of z_{l+1}
}

var (
	_ Posterior   = (*LayeredPosterior)(nil)
	_ MemberRatio = (*LayeredPosterior)(nil)
	_ Scaled      = (*LayeredPosterior)(nil)
	_ Evaluable   = (*LayeredPosterior)(nil)
)

// newLayeredPosterior returns the family whose networks are named "encoder.z2" and so on,
// after what they give the distribution of.
func (c VAEConfig) newLayeredPosterior(init Init) *LayeredPosterior {
	q := &LayeredPosterior{Layers: c.Layers}
	for l, hidden := range c.Layers.Hidden {
		sizes := slices.Concat([]int{c.Layers.Latent[l]}, hidden, []int{2 * c.Layers.Latent[l+1]})
		q.networks = append(q.networks, newNetwork(c.Network, EncoderPart+Part(fmt.Sprintf(".z%d", l+2)), sizes, c.Activation, init))
	}
	return q
}

func (q *LayeredPosterior) String() string {
	return fmt.Sprintf("%d layers of diagonal Gaussians", len(q.Layers.Latent))
}

// lowest is the family of z_1.
func (q *LayeredPosterior) lowest() DiagonalGaussian {
	return DiagonalGaussian{Latent: q.Layers.Latent[0]}
}

// Sizes returns 2Z of the lowest layer and Z of all.
func (q *LayeredPosterior) Sizes() (h, eps int) {
	for _, z := range q.Layers.Latent {
		eps += z
	}
	return 2 * q.Layers.Latent[0], eps
}

// Networks returns the networks from each layer to the next: z_l → [μ | log σ²] of z_{l+1}.
func (q *LayeredPosterior) Networks() []Network { return slices.Clone(q.networks) }

// Params returns those of the networks between the layers.
func (q *LayeredPosterior) Params() []*graph.Param { return paramsOf(q.networks) }

// Draw adds z_l = μ_l + σ_l ε_l, one layer after the other.
func (q *LayeredPosterior) Draw(b *graph.Builder, h, eps graph.Node) (z graph.Node, logQ func() graph.Node) {
	var hs, noises []graph.Node
	var last graph.Node
	for l := range q.Layers.Latent {
		if l > 0 {
			h = q.networks[l-1].Apply(b, last)
		}
		noise := b.Columns(eps, q.Layers.columns(l))
		last = b.Reparameterise(h, noise)
		hs, noises = append(hs, h), append(noises, noise)
		if l == 0 {
			z = last
		} else {
			z = b.Join(z, last)
		}
	}
	return z, func() graph.Node {
		var all []graph.Node
		for l, h := range hs {
			all = append(all, b.LogDiagonalNormal(h, noises[l]))
		}
		return addAll(b, all)
	}
}

// LogProb adds log q(z_1|h) + Σ_l log q(z_l|z_{l-1}).
func (q *LayeredPosterior) LogProb(b *graph.Builder, h, z graph.Node) graph.Node {
	return addAll(b, q.logProbs(b, h, z))
}

// logProbs adds the log-density of each layer given that below, [B·S].
func (q *LayeredPosterior) logProbs(b *graph.Builder, h, z graph.Node) []graph.Node {
	var all []graph.Node
	var last graph.Node
	for l := range q.Layers.Latent {
		if l > 0 {
			h = q.networks[l-1].Apply(b, last)
		}
		last = b.Columns(z, q.Layers.columns(l))
		all = append(all, b.LogNormal(h, last))
	}
	return all
}

// LogProbRatio is that of the lowest layer: given z_1, the others know nothing of h.
func (q *LayeredPosterior) LogProbRatio(other, h, eps []float32) float64 {
	return q.lowest().LogProbRatio(other, h, eps[:q.Layers.Latent[0]])
}

// Origin, At and Pull are those of the lowest layer, whose numbers h are.
func (q *LayeredPosterior) Origin(u, from []float32)    { q.lowest().Origin(u, from) }
func (q *LayeredPosterior) At(h, u, from []float32)     { q.lowest().At(h, u, from) }
func (q *LayeredPosterior) Pull(du, dh, from []float32) { q.lowest().Pull(du, dh, from) }

// LayeredPrior is N(z_L; 0, I) Π_l p(z_{l-1}|z_l).
type LayeredPrior struct {
	Layers   Layers
	networks []Network // z_{l+1} → [μ | log σ²] of z_l

	draws struct { // one at a time: draws share a program
		sync.Mutex
		push *Pusher
	}
	engine *graph.Engine
}

var (
	_ Prior       = (*LayeredPrior)(nil)
	_ Pushforward = (*LayeredPrior)(nil)
)

// newLayeredPrior returns the prior whose networks are named "decoder.z1" and so on, after
// what they give the distribution of. engine computes its draws.
func (c VAEConfig) newLayeredPrior(engine *graph.Engine, init Init) *LayeredPrior {
	p := &LayeredPrior{Layers: c.Layers, engine: engine.Serial()}
	for l, hidden := range c.Layers.Hidden {
		sizes := slices.Concat([]int{c.Layers.Latent[l+1]}, reversed(hidden), []int{2 * c.Layers.Latent[l]})
		p.networks = append(p.networks, newNetwork(c.Network, DecoderPart+Part(fmt.Sprintf(".z%d", l+1)), sizes, c.Activation, init))
	}
	return p
}

func (p *LayeredPrior) String() string {
	text := ""
	for l := 1; l < len(p.Layers.Latent); l++ {
		text += fmt.Sprintf("p(z%d|z%d) ", l, l+1)
	}
	return text + fmt.Sprintf("N(z%d; 0, I)", len(p.Layers.Latent))
}

// Params returns those of the networks between the layers.
func (p *LayeredPrior) Params() []*graph.Param { return paramsOf(p.networks) }

// LogProb adds Σ_l log N(z_l; μ_l, σ_l²) + log N(z_L; 0, I).
func (p *LayeredPrior) LogProb(b *graph.Builder, z graph.Node) graph.Node {
	return addAll(b, p.logProbs(b, z))
}

// logProbs adds the log-density of each layer given that above, [R].
func (p *LayeredPrior) logProbs(b *graph.Builder, z graph.Node) []graph.Node {
	top := len(p.networks)
	all := make([]graph.Node, top+1)
	above := b.Columns(z, p.Layers.columns(top))
	all[top] = b.LogStdNormal(above)
	for l := top - 1; l >= 0; l-- {
		own := b.Columns(z, p.Layers.columns(l))
		all[l] = b.LogNormal(p.networks[l].Apply(b, above), own)
		above = own
	}
	return all
}

// Push adds z_L = u_L and z_l = μ_l(z_{l+1}) + σ_l(z_{l+1}) u_l. It has no gradient with
// respect to u but that of the highest layer.
func (p *LayeredPrior) Push(b *graph.Builder, u graph.Node) graph.Node {
	top := len(p.networks)
	z := b.Columns(u, p.Layers.columns(top))
	own := z
	for l := top - 1; l >= 0; l-- {
		own = b.Reparameterise(p.networks[l].Apply(b, own), b.Columns(u, p.Layers.columns(l)))
		z = b.Join(own, z)
	}
	return z
}

// Draw fills z with the image of a draw from N(0, I) under Push.
func (p *LayeredPrior) Draw(z []float64, noise Noise) {
	u := make([]float32, len(z))
	for j := range u {
		u[j] = float32(noise.NormFloat64())
	}
	p.draws.Lock()
	defer p.draws.Unlock()
	if p.draws.push == nil {
		var err error
		if p.draws.push, err = (&Joint{Latent: len(z), Engine: p.engine}).NewPusher(p, 1); err != nil {
			panic(fmt.Sprintf("model: draws from %v: %v", p, err)) // a graph like those that were compiled before
		}
	}
	codes, err := p.draws.push.At(nil, u)
	if err != nil {
		panic(fmt.Sprintf("model: draws from %v: %v", p, err))
	}
	for j, v := range codes {
		z[j] = float64(v)
	}
}

// LowestLayer is a decoder of z = [z_1 | ...] that reads z_1 alone.
type LowestLayer struct {
	Network     // of z_1
	Latent  int // Z of z_1
}

// Apply adds the network of the first columns of z.
func (d LowestLayer) Apply(b *graph.Builder, z graph.Node) graph.Node {
	return d.Network.Apply(b, b.Columns(z, Layers{Latent: []int{d.Latent}}.columns(0)))
}

// LayerKL adds, of a model of several layers, for each layer the log-density of draws under
// q, given the layer below, less that under p, given the layer above, [B·S] in nats: their
// means over draws add up to KL(q(z|x) ‖ p(z)). It is nil of other models.
func (j *Joint) LayerKL(b *graph.Builder, q Posterior, h, z graph.Node) []graph.Node {
	family, ok := q.(*LayeredPosterior)
	prior, ok2 := j.Prior.(*LayeredPrior)
	if !ok || !ok2 {
		return nil
	}
	all := family.logProbs(b, h, z)
	for l, logP := range prior.logProbs(b, z) {
		all[l] = b.Sub(all[l], logP)
	}
	return all
}

// paramsOf returns the parameters of networks.
func paramsOf(networks []Network) []*graph.Param {
	var params []*graph.Param
	for _, n := range networks {
		params = append(params, n.Params()...)
	}
	return params
}

// addAll adds the sum of vectors.
func addAll(b *graph.Builder, vectors []graph.Node) graph.Node {
	sum := vectors[0]
	for _, v := range vectors[1:] {
		sum = b.Add(sum, v)
	}
	return sum
}
