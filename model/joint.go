package model

import "elbo/graph"

// Joint is p(x, z) = p(z) p(x|z), the generative half of a model: what a VAE and a grid
// have in common once their ways of inference are taken away.
type Joint struct {
	Pixels     int // D
	Latent     int // Z
	Prior      Prior
	Decoder    Network // z → the output that the likelihood takes
	Likelihood Likelihood
	Engine     *graph.Engine
}

// On returns the same model, with the same parameters, computing on another engine.
func (j *Joint) On(engine *graph.Engine) *Joint {
	other := *j
	other.Engine = engine
	return &other
}

// Params returns the parameters of the decoder, the likelihood and the prior. The slice is
// new, the parameters are not.
func (j *Joint) Params() []*graph.Param {
	return append(append(j.Decoder.Params(), j.Likelihood.Params()...), j.Prior.Params()...)
}

// LogLik adds log p(x|z) to a graph, in nats: x is [B, D], z [B·S, Z], the result [B·S].
func (j *Joint) LogLik(b *graph.Builder, x, z graph.Node) graph.Node {
	return j.Likelihood.LogProb(b, x, j.Decoder.Apply(b, z))
}

// Outputs is O, the size of the decoder's output for an image.
func (j *Joint) Outputs() int { return j.Likelihood.Outputs(j.Pixels) }

// Width is how many numbers it takes to decode a code, one image at least: memory for many codes
// at once goes by it. (Of dense networks layers are not counted: what they give is the largest.)
func (j *Joint) Width() int {
	decoder := j.Decoder
	if lowest, ok := decoder.(LowestLayer); ok {
		decoder = lowest.Network
	}
	if s, ok := decoder.(*Sequence); ok {
		return max(j.Pixels, int(s.Cost().Units))
	}
	return max(j.Pixels, j.Outputs())
}

// Simulate draws images from the model, one for each of the noises: z ~ p(z), x ~ p(x|z).
// z, [R, Z], is then an exact draw from p(z|x) for x, [R, D].
func (j *Joint) Simulate(noise []Noise) (x []float32, z []float64, err error) {
	j, _, err = j.Fixed()
	if err != nil {
		return nil, nil, err
	}
	decoder, err := j.NewDecoder(len(noise))
	if err != nil {
		return nil, nil, err
	}
	z = make([]float64, len(noise)*j.Latent)
	for i, n := range noise {
		j.Prior.Draw(z[i*j.Latent:][:j.Latent], n)
	}
	codes := make([]float32, len(z))
	for i, v := range z { // what is decoded is the draw
		codes[i] = float32(v)
		z[i] = float64(codes[i])
	}
	out, err := decoder.Outputs(codes)
	if err != nil {
		return nil, nil, err
	}
	x = make([]float32, len(noise)*j.Pixels)
	for i, n := range noise {
		j.Likelihood.Draw(x[i*j.Pixels:][:j.Pixels], out[i*j.Outputs():][:j.Outputs()], n)
	}
	return x, z, nil
}

// Decoder maps latent codes to images.
type Decoder struct {
	joint   *Joint
	program *graph.Program
	z       []float32
	out     graph.Node
	means   []float32
}

// NewDecoder compiles the decoder for blocks of the given number of codes.
func (j *Joint) NewDecoder(codes int) (*Decoder, error) {
	d := &Decoder{joint: j, means: make([]float32, codes*j.Pixels)}
	var err error
	d.program, err = graph.Build(j.Engine, func(b *graph.Builder) {
		var z graph.Node
		z, d.z = b.Input("z", codes, j.Latent)
		d.out = j.Decoder.Apply(b, z)
		b.Output(d.out)
	})
	return d, err
}

// Outputs returns the decoder's output, [B, O], for codes z, [B, Z]. It is read-only and
// valid until the next call.
func (d *Decoder) Outputs(z []float32) ([]float32, error) {
	copy(d.z, z)
	err := d.program.Run()
	return d.program.Values(d.out), err
}

// Decode returns the mean E[x|z] of every pixel, [B, D], for codes z, [B, Z]. It is
// valid until the next call.
func (d *Decoder) Decode(z []float32) ([]float32, error) {
	out, err := d.Outputs(z)
	if err != nil {
		return nil, err
	}
	pixels, outputs := d.joint.Pixels, d.joint.Outputs()
	for i := range len(d.means) / pixels {
		d.joint.Likelihood.Mean(d.means[i*pixels:][:pixels], out[i*outputs:][:outputs])
	}
	return d.means, nil
}
