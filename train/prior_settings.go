package train

import "elbo/model"

// PriorSettings are p(z) of a VAE.
type PriorSettings struct {
	Prior model.PriorName
}

func defaultPrior() PriorSettings { return PriorSettings{Prior: model.NormalPrior} }

// options are left out of a file where they are as in a file without them.
func (s *PriorSettings) options() []Option {
	return []Option{
		{Key: "prior", Usage: "p(z): normal or flow; of EM, who chooses it: fixed, shared (the data) or per-image", Value: name(&s.Prior, "NAME"), Unwritten: []string{string(model.NormalPrior)}},
	}
}

func (s PriorSettings) model() model.PriorConfig { return model.PriorConfig{Name: s.Prior} }
