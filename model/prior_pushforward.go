package model

import "elbo/graph"

// Pushforward is a prior that is the image of N(0, I) under a map: z = f(u), u ~ N(0, I),
// with as many numbers in u as in z. Then
//
//	p(x) = ∫ p(z) p(x|z) dz = ∫ N(u; 0, I) p(x|f(u)) du
//
// and quadrature takes the integral on the right: the mass of u outside a box is known.
type Pushforward interface {
	Prior
	// Push adds z = f(u) to a graph: u is [R, Z], the result [R, Z].
	Push(b *graph.Builder, u graph.Node) graph.Node
}

// Base returns p(u) p(x|f(u)), u ~ N(0, I), with the same p(x), where the prior of j is the
// image of N(0, I) under f; else j itself, and false.
func (j *Joint) Base() (*Joint, bool) {
	prior, ok := j.Prior.(Pushforward)
	if !ok {
		return j, false
	}
	base := *j
	base.Prior, base.Decoder = StandardNormal{}, composed{prior, j.Decoder}
	return &base, true
}

// composed is the network u → decoder(f(u)).
type composed struct {
	prior   Pushforward
	decoder Network
}

func (c composed) Params() []*graph.Param { return append(c.decoder.Params(), c.prior.Params()...) }

func (c composed) Apply(b *graph.Builder, u graph.Node) graph.Node {
	return c.decoder.Apply(b, c.prior.Push(b, u))
}

// Pusher maps blocks of u to z = f(u).
type Pusher struct {
	program *graph.Program
	u       []float32
	z       graph.Node
}

// NewPusher compiles f for blocks of the given number of rows.
func (j *Joint) NewPusher(prior Pushforward, rows int) (*Pusher, error) {
	p := &Pusher{}
	var err error
	p.program, err = graph.Build(j.Engine, func(b *graph.Builder) {
		var u graph.Node
		u, p.u = b.Input("u", rows, j.Latent)
		p.z = prior.Push(b, u)
		b.Output(p.z)
	})
	return p, err
}

// At appends f(u) to z for any number of rows u, [R, Z].
func (p *Pusher) At(z, u []float32) ([]float32, error) {
	for len(u) > 0 {
		n := copy(p.u, u)
		if err := p.program.Run(); err != nil {
			return z, err
		}
		z, u = append(z, p.program.Values(p.z)[:n]...), u[n:]
	}
	return z, nil
}
