package train

import (
	"errors"

	"elbo/model"
)

// Joint returns p(x, z) of a VAE, or of a grid under the prior N(0, I).
func (s *Setup) Joint() (*model.Joint, error) {
	if s.VAE != nil {
		return s.VAE.Joint, nil
	}
	if s.Grid != nil {
		return s.Grid.Joint(), nil
	}
	return nil, &ConfigError{errors.New("a mixture has no decoder, and no latent space to integrate over: its evidence is exact as it is")}
}
