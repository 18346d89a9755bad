package train

import (
	"fmt"

	"elbo/model"
)

// newMethod returns the method that a model is fitted by.
func newMethod(k *keeper) (Method, error) {
	switch {
	case k.VAE != nil:
		return newGradient(k, k.VAE), nil
	case k.Grid != nil:
		return newEM(k, k.EM, newGradientStep(k.Setup, k.Grid)), nil
	case k.Mixture != nil:
		return newEM(k, k.EM, mixtureStep(k.Setup, k.Mixture)), nil
	}
	return nil, fmt.Errorf("there is no way to fit a %s", k.Config.Model)
}

// mixtureStep returns the M-step that the configuration of a mixture asks for.
func mixtureStep(s *Setup, m *model.Mixture) mStep {
	closed := newClosedStep(s, m)
	switch {
	case SettingsOf[MixtureSettings](s.Config).Incremental > 0:
		return newIncrementalStep(s, closed)
	case SettingsOf[MixtureSettings](s.Config).Accelerate:
		return &acceleratedStep{closedStep: closed}
	}
	return closed
}
