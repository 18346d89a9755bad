package model

import (
	"cmp"
	"errors"
	"fmt"

	"elbo/graph"
)

// Prior is p(z), a distribution of codes of Z numbers.
//
// What a prior knows in closed form it may offer besides: see [ClosedDensity] and
// [Boxed]. What has to be done for it is asked for as well: see [Untrained], [Projected],
// [LeavesOut] and [Derived].
type Prior interface {
	fmt.Stringer // as in formulas, "N(0, I)"
	// Params returns what training may change.
	Params() []*graph.Param
	// LogProb adds log p(z) to a graph, in nats: z is [R, Z], the result [R].
	LogProb(b *graph.Builder, z graph.Node) graph.Node
	// Draw fills z, [Z], with a draw.
	Draw(z []float64, noise Noise)
}

// PriorName is a prior of a VAE by its name in flags and files.
type PriorName string

// The priors that have a name.
const (
	NormalPrior   PriorName = "normal"   // N(0, I), see StandardNormal
	GaussianPrior PriorName = "mixture"  // of Gaussians, see MixturePrior
	PseudoPrior   PriorName = "vamp"     // of the posteriors of pseudo-inputs, see VampPrior
	ExemplarPrior PriorName = "exemplar" // of the posteriors of training images, see Exemplars
	FlowedPrior   PriorName = "flow"     // f(N(0, I)), see FlowPrior
)

// Priors lists them all.
var Priors = []PriorName{NormalPrior, GaussianPrior, PseudoPrior, ExemplarPrior, FlowedPrior}

// ParsePrior returns the prior of that name.
func ParsePrior(name string) (PriorName, error) { return oneOf("prior", name, Priors) }

// PriorConfig is a prior and what it has to be told.
type PriorConfig struct {
	Name       PriorName   // "": normal
	Components int         // K, of the mixtures
	EM         bool        // the mixture is set by UpdatePrior between epochs, not along gradients
	Images     []float32   // [K, D]: where pseudo-inputs begin, or the exemplars; nil: to be loaded
	Places     map[int]int // of training images among the exemplars
}

// Encodes reports whether the prior is a mixture of the posteriors of images.
func (n PriorName) Encodes() bool { return n == PseudoPrior || n == ExemplarPrior }

// check adds every fault that can be seen without the rest of the model.
func (c PriorConfig) check(f *faults) {
	name := cmp.Or(c.Name, NormalPrior)
	_, err := ParsePrior(string(name))
	f.add(err != nil, "%w", err)
	least, key := map[PriorName]int{GaussianPrior: 1, PseudoPrior: 1, ExemplarPrior: 2}[name], "prior-components"
	if name == PseudoPrior {
		key = "pseudo-inputs"
	}
	f.add(c.Components < least, "%s is %d, want at least %d of the prior %s", key, c.Components, least, name)
	f.add(c.EM && name != GaussianPrior, "prior-update is em, but prior is %s: only a mixture of Gaussians has a closed M-step; want prior-update gradient", name)
}

// checkPrior adds every fault of a prior and what it is combined with.
func (c VAEConfig) checkPrior(f *faults) {
	c.Prior.check(f)
	f.add(c.Prior.EM && c.Freeze == DecoderPart, "prior-update is em, but freeze is decoder, which leaves p(z) as it is: want prior-update gradient")
	f.add(c.Prior.EM && c.Objective == IWAE, "prior-update is em, whose closed form is for E_q[log p(z)], but the objective is iwae, which weights its draws: want prior-update gradient")
	if errors.Join(*f...) != nil {
		return // there may be no such family
	}
	c.Flow.Layers, c.Flow.Hidden = 1, 1 // what a family knows does not depend on its size
	family, err := c.newPosterior(func(string) graph.Uniform { return zeros{} })
	if err != nil {
		return
	}
	_, pairs := family.(PairDensity)
	f.add(c.Prior.Name.Encodes() && !pairs, "prior is %s, a mixture of posteriors at codes that they did not draw, and the posterior %s knows its density at its own draws alone: want prior mixture, or posterior diagonal or full; of flows, flow coupling has it", c.Prior.Name, c.Posterior.Name)
	f.add(c.Prior.Name.Encodes() && c.Freeze == DecoderPart && len(family.Params()) > 0, "freeze is decoder, and its p(z) is made of posteriors of the family %s, which has parameters that training changes: want posterior diagonal", c.Posterior.Name)
	_, moments := family.(Moments)
	f.add(c.Prior.EM && !moments, "prior-update is em, which takes the mean and the variances of q(z|x), and the posterior %s does not know them: want prior-update gradient", c.Posterior.Name)
}

// zeros is a source of first values that are all alike.
type zeros struct{}

func (zeros) Float64() float64 { return 0 }

// newPrior returns the prior of a VAE whose posterior is q.
func (c VAEConfig) newPrior(q Q, engine *graph.Engine, init Init) (Prior, error) {
	if c.Layers.Several() {
		return c.newLayeredPrior(engine, init), nil
	}
	k, kept := c.Prior.Components, byGradient
	if c.Prior.EM {
		kept = byEM
	}
	vamp, exemplars := "VampPrior of "+count(k, "pseudo-input"), count(k, "exemplar")
	switch {
	case c.Prior.Name == GaussianPrior:
		return newGaussiansPrior(k, c.Latent, kept, engine, init), nil
	case c.Prior.Name == PseudoPrior && c.Freeze == DecoderPart:
		return newFrozenPrior(vamp, k, q.Posterior, engine), nil
	case c.Prior.Name == PseudoPrior:
		return VampPrior{newEncodedPrior(vamp, pseudoParam, k, c.Pixels, c.Prior.Images, q, engine)}, nil
	case c.Prior.Name == ExemplarPrior && c.Freeze == DecoderPart:
		return newFrozenPrior(exemplars, k, q.Posterior, engine), nil
	case c.Prior.Name == ExemplarPrior:
		return Exemplars{newEncodedPrior(exemplars, exemplarsParam, k, c.Pixels, c.Prior.Images, q, engine), c.Prior.Places}, nil
	case c.Prior.Name == FlowedPrior:
		return newFlowPrior(c.Latent, c.Flow, init), nil
	}
	return StandardNormal{}, nil
}

// Untrained is a prior with parameters that an optimiser does not move along gradients.
type Untrained interface{ Untrained() []*graph.Param }

// Projected is a prior whose parameters have bounds, which a step may leave.
type Projected interface {
	// Project moves the parameters to the nearest place within their bounds.
	Project()
}

// LeavesOut is a prior that is made of training images, and leaves an image's own term out
// at the codes that it is trained on.
type LeavesOut interface {
	Prior
	// Own is the component that a training image makes, -1 for none.
	Own(image int) int
	// LogProbWithout adds log p(z) to a graph, as LogProb does, without a component for
	// each image: z is [B·S, Z], own, [B], what Own says.
	LogProbWithout(b *graph.Builder, z, own graph.Node) graph.Node
}

// Derived is a prior that follows a network.
type Derived interface {
	Prior
	// Fix returns the prior as it is now, which does not follow the network, and what makes
	// it the prior of the network as that is when called.
	Fix(engine *graph.Engine) (fixed Prior, refresh func() error, err error)
}

// Fixed returns the model with its prior as it is now, which costs nothing to evaluate that
// would come again for every code, and what makes it that of the moment when it is called.
// Both share all parameters. Where the prior follows no network, it is j itself.
func (j *Joint) Fixed() (*Joint, func() error, error) {
	derived, ok := j.Prior.(Derived)
	if !ok {
		return j, func() error { return nil }, nil
	}
	fixed := *j
	var refresh func() error
	var err error
	fixed.Prior, refresh, err = derived.Fix(j.Engine)
	return &fixed, refresh, err
}

// ClosedDensity is a prior whose log-density needs no graph.
type ClosedDensity interface {
	// LogDensity returns log p(z), in nats, at z, [Z], and leaves its gradient in slope,
	// [Z], unless that is nil.
	LogDensity(z, slope []float64) float64
}

// Boxed is a prior that knows, or bounds, its mass outside a box. Quadrature asks for it.
type Boxed interface {
	// MassOutside bounds P(|z_j| > reach for some j) of a code of dims numbers.
	MassOutside(dims int, reach float64) float64
}

// Noise is a source of random numbers.
type Noise interface {
	NormFloat64() float64 // from N(0, 1)
	Float64() float64     // uniform in [0, 1)
}

// PriorDensity evaluates the log-density of a prior at R codes: by its closed form, or by a
// compiled graph where it has none. Of a prior that follows a network, it is that of the
// moment when it was made.
type PriorDensity struct {
	dims    int
	closed  ClosedDensity
	program *graph.Program
	z       *graph.Param
	logProb graph.Node
}

// NewPriorDensity returns the log-density of the prior of j for rows codes.
func (j *Joint) NewPriorDensity(rows int) (*PriorDensity, error) {
	j, _, err := j.Fixed()
	if err != nil {
		return nil, err
	}
	p, d := j.Prior, &PriorDensity{dims: j.Latent}
	if closed, ok := p.(ClosedDensity); ok {
		d.closed = closed
		return d, nil
	}
	d.z = graph.NewParam("z", rows, j.Latent)
	d.program, err = graph.Build(j.Engine, func(b *graph.Builder) {
		d.logProb = p.LogProb(b, b.Param(d.z))
		ones, weight := b.Input("ones", rows)
		for i := range weight {
			weight[i] = 1
		}
		b.Output(d.logProb)
		b.Gradients(b.Dot(d.logProb, ones), []*graph.Param{d.z})
	})
	return d, err
}

// At fills logProb, [R], with log p(z) of the codes z, [R, Z], in nats, and slope, [R, Z],
// with its gradient unless slope is nil.
func (d *PriorDensity) At(z, logProb, slope []float64) error {
	if d.closed != nil {
		for r := range logProb {
			var s []float64
			if slope != nil {
				s = slope[r*d.dims:][:d.dims]
			}
			logProb[r] = d.closed.LogDensity(z[r*d.dims:][:d.dims], s)
		}
		return nil
	}
	for i, v := range z {
		d.z.Value[i] = float32(v)
	}
	if err := d.program.Run(); err != nil {
		return err
	}
	for r, v := range d.program.Values(d.logProb)[:len(logProb)] {
		logProb[r] = float64(v)
	}
	for i := range slope {
		slope[i] = float64(d.program.Grad(0)[i])
	}
	return nil
}
