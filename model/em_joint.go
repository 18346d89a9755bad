package model

import "elbo/graph"

// Joint returns a grid's decoder under the continuous prior N(0, I), which the grid made
// discrete; nil for a mixture, which has none.
func (m *EM) Joint() *Joint {
	g, ok := m.states.(*gridStates)
	if !ok {
		return nil
	}
	return &Joint{
		Pixels: m.Config.Pixels, Latent: len(m.Config.Grid.Extent), Engine: m.engine,
		Prior: StandardNormal{}, Decoder: g.decoder, Likelihood: Bernoulli{},
	}
}

// Engine is what the model computes on.
func (m *EM) Engine() *graph.Engine { return m.engine }
