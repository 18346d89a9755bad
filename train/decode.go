package train

import (
	"errors"

	"elbo/model"
)

// codesBlock is how many codes are decoded at once.
const codesBlock = 500

// ErrNoCodes: the model has no latent space whose points are codes.
var ErrNoCodes = errors.New("a mixture has no latent space: its states are components, not points")

// Joint returns p(x, z) of a VAE, or of a grid under the prior N(0, I); ErrNoCodes, as a
// *ConfigError, for a mixture.
func (s *Setup) Joint() (*model.Joint, error) {
	if m, ok := s.Model.(Latent); ok {
		return m.Joint(), nil
	}
	return nil, &ConfigError{ErrNoCodes}
}

// Decode returns E[x|z], [N, D], of any number of codes, [N, Z]; ErrNoCodes for a mixture.
func (s *Setup) Decode(z []float32) ([]float32, error) {
	joint, err := s.Joint()
	if err != nil {
		return nil, ErrNoCodes
	}
	return decode(joint, z)
}

// decode returns E[x|z], [N, D], of any number of codes, [N, Z].
func decode(joint *model.Joint, z []float32) ([]float32, error) {
	n := len(z) / joint.Latent
	block := min(n, codesBlock)
	decoder, err := joint.NewDecoder(block)
	if err != nil {
		return nil, err
	}
	images := make([]float32, 0, n*joint.Pixels)
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
