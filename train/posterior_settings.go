package train

import (
	"fmt"

	"elbo/model"
)

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

// takePosterior takes over the family of posteriors of another VAE, but for the keys that
// given reports.
func (s *VAESettings) takePosterior(was VAESettings, given func(key string) bool) {
	if !given("posterior") {
		s.Posterior = was.Posterior
	}
	if s.Posterior != model.FlowedPosterior || was.Posterior != model.FlowedPosterior {
		return
	}
	for key, take := range map[string]func(){
		"flow":        func() { s.Flow = was.Flow },
		"flow-layers": func() { s.FlowLayers = was.FlowLayers },
		"flow-hidden": func() { s.FlowHidden = was.FlowHidden },
	} {
		if !given(key) {
			take()
		}
	}
}

// samePosterior says why the encoder of another VAE would mean something else in this one.
func (s VAESettings) samePosterior(was VAESettings) error {
	switch {
	case s.Posterior != was.Posterior:
		return fmt.Errorf("its posterior is %s, and this model's %s: want --posterior %[1]s", was.Posterior, s.Posterior)
	case s.Posterior == model.FlowedPosterior && s.FlowSettings != was.FlowSettings:
		return fmt.Errorf("its flow has %d %s layers of %d units, and this model's %d %s of %d: want --flow %[2]s --flow-layers %[1]d --flow-hidden %[3]d", was.FlowLayers, was.Flow, was.FlowHidden, s.FlowLayers, s.Flow, s.FlowHidden)
	}
	return nil
}
