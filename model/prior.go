package model

import (
	"cmp"
	"fmt"

	"elbo/graph"
)

// Prior is p(z), a distribution of codes of Z numbers.
//
// What a prior knows in closed form it may offer besides: see [ClosedDensity] and
// [Boxed].
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
	NormalPrior PriorName = "normal" // N(0, I), see StandardNormal
	FlowedPrior PriorName = "flow"   // f(N(0, I)), see FlowPrior
)

// Priors lists them all.
var Priors = []PriorName{NormalPrior, FlowedPrior}

// ParsePrior returns the prior of that name.
func ParsePrior(name string) (PriorName, error) { return oneOf("prior", name, Priors) }

// PriorConfig is a prior and what it has to be told.
type PriorConfig struct {
	Name PriorName // "": normal
}

// check adds every fault.
func (c PriorConfig) check(f *faults) {
	_, err := ParsePrior(string(cmp.Or(c.Name, NormalPrior)))
	f.add(err != nil, "%w", err)
}

// newPrior returns the prior of a VAE whose posterior is q.
func (c VAEConfig) newPrior(_ Q, init Init) (Prior, error) {
	if c.Prior.Name == FlowedPrior {
		return newFlowPrior(c.Latent, c.Flow, init), nil
	}
	return StandardNormal{}, nil
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
// compiled graph where it has none.
type PriorDensity struct {
	dims    int
	closed  ClosedDensity
	program *graph.Program
	z       *graph.Param
	logProb graph.Node
}

// NewPriorDensity returns the log-density of the prior of j for rows codes.
func (j *Joint) NewPriorDensity(rows int) (*PriorDensity, error) {
	p, d := j.Prior, &PriorDensity{dims: j.Latent}
	if closed, ok := p.(ClosedDensity); ok {
		d.closed = closed
		return d, nil
	}
	d.z = graph.NewParam("z", rows, j.Latent)
	var err error
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
