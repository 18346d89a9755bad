package train

import "elbo/model"

// PosteriorSettings are the family of q(z|x) of a VAE.
type PosteriorSettings struct {
	Posterior model.PosteriorName
}

func defaultPosterior() PosteriorSettings {
	return PosteriorSettings{Posterior: model.DiagonalPosterior}
}

// options are left out of a file where they are as in a file without them.
func (s *PosteriorSettings) options() []Option {
	return []Option{
		{Key: "posterior", Usage: "family of q(z|x): diagonal (a Gaussian), full (with all covariances) or flow (see --flow)", Value: name(&s.Posterior, "NAME"), Unwritten: []string{string(model.DiagonalPosterior)}},
	}
}

func (s PosteriorSettings) model() model.PosteriorConfig {
	return model.PosteriorConfig{Name: s.Posterior}
}
