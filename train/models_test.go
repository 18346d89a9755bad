package train

import "elbo/model"

// The parts of a setup's model that tests look at.

func vaeOf(s *Setup) *model.VAE { return s.Model.(Amortised).VAE() }

func mixtureOf(s *Setup) *model.Mixture { return s.Model.(*mixture).mixture }

// tableOf is nil for a model without a table.
func tableOf(s *Setup) *model.EM {
	if m, ok := s.Model.(Tabular); ok {
		return m.Table()
	}
	return nil
}
