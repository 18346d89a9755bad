package train

import (
	"context"
	"errors"
	"math"
	"slices"

	"elbo/data"
	"elbo/model"
)

// codesBlock is how many codes are decoded at once.
const codesBlock = 500

// ErrNoCodes: the model has no latent space whose points are codes.
var ErrNoCodes = errors.New("a mixture has no latent space: its states are components, not points")

// Sample returns E[x|z], [n, D], for n draws of z from the prior.
func (s *Setup) Sample(n int, seed uint64) ([]float32, error) {
	stream := data.NewStream(seed, "sample")
	if s.EM != nil {
		return sampleStates(s.EM, n, stream), nil
	}
	z, code := make([]float32, 0, n*s.VAE.Latent), make([]float64, s.VAE.Latent)
	for range n {
		s.VAE.Prior.Draw(code, stream)
		for _, v := range code {
			z = append(z, float32(v))
		}
	}
	return s.Decode(z)
}

// sampleStates returns E[x|z] of n states drawn from p(z).
func sampleStates(m *model.EM, n int, stream *data.Stream) []float32 {
	means, d := m.Means(), m.Config.Pixels
	var images []float32
	for range n {
		u, state := stream.Float64(), 0
		for k, logP := range m.LogPrior() {
			state = k
			if u -= math.Exp(float64(logP)); u < 0 {
				break
			}
		}
		images = append(images, means[state*d:][:d]...)
	}
	return images
}

// Decode returns E[x|z], [N, D], of any number of codes, [N, Z]; ErrNoCodes for a mixture.
func (s *Setup) Decode(z []float32) ([]float32, error) {
	joint, err := s.Joint()
	if err != nil {
		return nil, ErrNoCodes
	}
	n := len(z) / joint.Latent
	block := min(n, codesBlock)
	decoder, err := joint.NewDecoder(block)
	if err != nil {
		return nil, err
	}
	var images []float32
	for first := 0; first < n; first += block {
		count := min(block, n-first)
		means, err := decoder.Decode(z[first*joint.Latent:][:count*joint.Latent])
		if err != nil {
			return nil, err
		}
		images = append(images, means[:count*joint.Pixels]...)
	}
	return images, nil
}

// Codes returns E[z|x], [N, Z], of the images of v as evaluation sees them; ErrNoCodes for a
// mixture.
func (s *Setup) Codes(ctx context.Context, v data.View) ([]float32, error) {
	switch {
	case s.Mixture != nil:
		return nil, ErrNoCodes
	case s.Grid != nil:
		grid := s.EM.Config.Grid
		return s.expected(ctx, v, grid.Points, len(grid.Extent))
	}
	h, err := Encode(ctx, s.VAE, v)
	if err != nil {
		return nil, err
	}
	return s.VAE.Codes(h)
}

// Reconstruct returns E[x|z] at z = E[z|x], [N, D], of the images of v as evaluation sees
// them, or its mean over the states of a model with a table.
func (s *Setup) Reconstruct(ctx context.Context, v data.View) ([]float32, error) {
	if s.EM != nil {
		return s.expected(ctx, v, s.EM.Means(), v.D())
	}
	codes, err := s.Codes(ctx, v)
	if err != nil {
		return nil, err
	}
	return s.Decode(codes)
}

// Pixels returns the images of v as evaluation sees them, [N, D].
func Pixels(v data.View) []float32 {
	d := v.D()
	x := make([]float32, v.N()*d)
	for i := range v.N() {
		v.Pixels(x[i*d:][:d], i, 0)
	}
	return x
}

// expected returns Σ_z p(z|x) f(z) for the images of v, [N, width], where f is [K, width].
func (s *Setup) expected(ctx context.Context, v data.View, f []float32, width int) ([]float32, error) {
	out := make([]float32, 0, v.N()*width)
	err := s.Posteriors(ctx, v, func(table []float32) bool {
		for q := range slices.Chunk(table, s.EM.Config.States) {
			row := make([]float32, width)
			for state, q := range q {
				if q == 0 {
					continue
				}
				for j, value := range f[state*width:][:width] {
					row[j] += q * value
				}
			}
			out = append(out, row...)
		}
		return true
	})
	return out, err
}
