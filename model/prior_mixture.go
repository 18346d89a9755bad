package model

import (
	"fmt"
	"math"
	"sync"

	"elbo/graph"
	"elbo/graph/elementary"
)

// MixturePrior is a mixture of K members of a family,
//
//	p(z) = Σ_k π_k q(z|h_k),    π = softmax(logits)
//
// whose members are numbers of its own. Of diagonal Gaussians, h_k = [m_k | log s_k²], it is
// Σ_k π_k N(m_k, diag s_k²).
//
// It has no density without a graph, though it could have: a sum over hundreds of members is
// a matrix product for a block of codes, and that is faster by far.
type MixturePrior struct {
	name   string
	family Posterior // which is a PairDensity
	engine *graph.Engine
	h      *graph.Param // [K, H]
	logits *graph.Param // [K]
	kept   keptBy
	drawn  memberDraw
}

// keptBy says who sets parameters of a prior.
type keptBy int

const (
	byGradient keptBy = iota
	byEM              // in closed form, between epochs
	byNobody
)

var (
	_ Prior     = (*MixturePrior)(nil)
	_ Untrained = (*MixturePrior)(nil)
	_ Boxed     = boxedMixture{}
)

// The parameters of priors.
const (
	componentsParam = "prior.components"    // [m | log s²] of a mixture, [K, 2Z]
	logitsParam     = "prior.logits"        // of a mixture's weights, [K]
	pseudoParam     = "prior.pseudo_inputs" // u of a VampPrior, [K, D]
	exemplarsParam  = "prior.exemplars"     // training images, [K, D]
	membersParam    = "prior.members"       // h of a prior that no longer follows its encoder, [K, H]
)

// IsPriorImages reports whether a tensor of that name holds the images whose posteriors make
// up a prior, learned or not.
func IsPriorImages(name string) bool { return name == pseudoParam || name == exemplarsParam }

// IsExemplars reports whether a tensor of that name holds training images, which are those of
// one training set.
func IsExemplars(name string) bool { return name == exemplarsParam }

// IsFrozenPrior reports whether a tensor of that name is what is left of a prior that followed
// an encoder.
func IsFrozenPrior(name string) bool { return name == membersParam }

// newGaussiansPrior returns a mixture of K diagonal Gaussians of weight 1/K: means from
// N(0, 1), variances 1. Means that differ are what lets training tell components apart.
func newGaussiansPrior(k, latent int, kept keptBy, engine *graph.Engine, init Init) Prior {
	h, logits := graph.NewParam(componentsParam, k, 2*latent), graph.NewParam(logitsParam, k)
	source := init(h.Name)
	for i := range k {
		for j := range latent {
			u := math.Min(math.Max(source.Float64(), 1e-12), 1-1e-12)
			h.Value[i*2*latent+j] = float32(elementary.NormalQuantile(u))
		}
	}
	return newMixturePrior(fmt.Sprintf("mixture of %d Gaussians", k), DiagonalGaussian{Latent: latent}, h, logits, kept, engine)
}

// newMixturePrior returns a mixture of members of a family that is a PairDensity. It is
// Boxed where the family's members know their mass outside a box.
func newMixturePrior(name string, family Posterior, h, logits *graph.Param, kept keptBy, engine *graph.Engine) Prior {
	p := &MixturePrior{name: name, family: family, engine: engine, h: h, logits: logits, kept: kept}
	if _, ok := family.(MemberDensity); ok {
		return boxedMixture{p}
	}
	return p
}

func (p *MixturePrior) String() string { return p.name }

// Members returns h_k, [K, H], and π_k, [K].
func (p *MixturePrior) Members() (h []float32, pi []float64) {
	return p.h.Value, weights(p.logits.Value)
}

func (p *MixturePrior) mixture() *MixturePrior { return p }

// Params returns the members and the logits of their weights.
func (p *MixturePrior) Params() []*graph.Param {
	if p.logits.Name != logitsParam { // equal weights are no parameter
		return []*graph.Param{p.h}
	}
	return []*graph.Param{p.h, p.logits}
}

// Untrained returns the parameters where none is moved by gradients.
func (p *MixturePrior) Untrained() []*graph.Param {
	if p.kept == byGradient {
		return nil
	}
	return p.Params()
}

// LogProb adds log Σ_k π_k q(z|h_k).
func (p *MixturePrior) LogProb(b *graph.Builder, z graph.Node) graph.Node {
	return b.LogMixture(p.family.(PairDensity).LogProbs(b, z, b.Param(p.h)), b.Param(p.logits))
}

// Draw draws a component by its weight, unless there is one only, and a code from it.
func (p *MixturePrior) Draw(z []float64, noise Noise) {
	k, width := drawComponent(p.logits.Value, noise), p.h.Shape[1]
	h := p.h.Value[k*width:][:width]
	if family, ok := p.family.(MemberDensity); ok {
		family.DrawMember(z, h, noise)
		return
	}
	p.drawn.draw(z, h, noise, p.engine, p.family, nil)
}

// drawComponent draws an index by the weights softmax(logits).
func drawComponent(logits []float32, noise Noise) int {
	if len(logits) == 1 {
		return 0
	}
	pi := weights(logits)
	u := noise.Float64()
	for k, p := range pi {
		if u -= p; u < 0 {
			return k
		}
	}
	return len(pi) - 1 // rounding left a rest
}

// weights is softmax(logits).
func weights(logits []float32) []float64 {
	pi := make([]float64, len(logits))
	for k, l := range logits {
		pi[k] = float64(l)
	}
	normalise(pi)
	for k, l := range pi {
		pi[k] = elementary.Exp(l)
	}
	return pi
}

// boxedMixture is a mixture that knows its mass outside a box.
type boxedMixture struct{ *MixturePrior }

// MassOutside is the mean over the components of their masses.
func (p boxedMixture) MassOutside(_ int, reach float64) float64 {
	family, mass := p.family.(MemberDensity), 0.0
	width := p.h.Shape[1]
	for k, pi := range weights(p.logits.Value) {
		mass += float64(pi * family.MassOutside(p.h.Value[k*width:][:width], reach))
	}
	return mass
}

// memberDraw draws from a member of a family by a graph: h, or Encoder(x) of an image x where
// there is an encoder → z(h, ε). Any number of goroutines may draw.
type memberDraw struct {
	mutex   sync.Mutex
	program *graph.Program
	in, eps []float32
	z       graph.Node
}

func (d *memberDraw) draw(z []float64, in []float32, noise Noise, engine *graph.Engine, family Posterior, encoder Network) {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	if d.program == nil {
		program, err := graph.Build(engine.Serial(), func(b *graph.Builder) {
			_, e := family.Sizes()
			var h, eps graph.Node
			h, d.in = b.Input("in", 1, len(in))
			eps, d.eps = b.Input("eps", 1, e)
			if encoder != nil {
				h = encoder.Apply(b, h)
			}
			d.z, _ = family.Draw(b, h, eps)
			b.Output(d.z)
		})
		if err != nil {
			panic(err) // the same parts were compiled for a step before
		}
		d.program = program
	}
	copy(d.in, in)
	for i := range d.eps {
		d.eps[i] = float32(noise.NormFloat64())
	}
	if err := d.program.Run(); err != nil {
		panic(err)
	}
	for j, v := range d.program.Values(d.z) {
		z[j] = float64(v)
	}
}
