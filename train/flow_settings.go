package train

import (
	"fmt"
	"strconv"

	"elbo/model"
)

// FlowSettings are the flows of a VAE: of its posterior, its prior, or both.
type FlowSettings struct {
	Flow       model.FlowName
	FlowLayers int
	FlowHidden int
}

func defaultFlow() FlowSettings {
	return FlowSettings{Flow: model.CouplingFlow, FlowLayers: model.DefaultFlowLayers, FlowHidden: model.DefaultFlowHidden}
}

// options are left out of a file where they are as in a file without them.
func (s *FlowSettings) options() []Option {
	return []Option{
		{Key: "flow", Usage: "layers of a posterior that is a flow: coupling (its density is known at any z) or autoregressive (each dimension knows those before it)", Value: name(&s.Flow, "NAME"), Unwritten: []string{string(model.CouplingFlow)}},
		{Key: "flow-layers", Usage: "layers of a flow, of the posterior and of the prior", Value: integer(&s.FlowLayers), Unwritten: []string{strconv.Itoa(model.DefaultFlowLayers)}},
		{Key: "flow-hidden", Usage: "units of the one hidden layer of each net of a flow, and numbers that the posterior's nets are told of an image", Value: integer(&s.FlowHidden), Unwritten: []string{strconv.Itoa(model.DefaultFlowHidden)}},
	}
}

// bound adds the faults of sizes that are none, or that no machine could hold, and returns
// the settings without them: what is wrong with all others need not be said.
func (s FlowSettings) bound(f *faults) FlowSettings {
	f.add(s.FlowLayers < 1 || s.FlowLayers > maxLayers, "flow-layers is %d, want 1 to %d", s.FlowLayers, maxLayers)
	f.add(s.FlowHidden < 1, "flow-hidden is %d, want at least 1", s.FlowHidden)
	f.tooLarge("flow-hidden", s.FlowHidden)
	usual := defaultFlow()
	if s.FlowLayers < 1 || s.FlowLayers > maxLayers {
		s.FlowLayers = usual.FlowLayers
	}
	if s.FlowHidden < 1 || s.FlowHidden > largest {
		s.FlowHidden = usual.FlowHidden
	}
	return s
}

// families are the units and weights that the posterior and the prior have besides those of
// a diagonal Gaussian and N(0, I).
func (s *VAESettings) families() (units, weights float64) {
	z, hidden := float64(s.Latent), float64(s.FlowHidden)
	last := 0.0 // units of the encoder's last hidden layer
	if n := len(s.Hidden); n > 0 {
		last = float64(s.Hidden[n-1])
	}
	flow := func(name model.FlowName, context float64) {
		u, w := s.flow(name, context)
		units, weights = units+u, weights+w
	}
	switch s.Posterior {
	case model.FullPosterior:
		units += float64(z * (z - 1) / 2)
		weights += float64(last * z * (z - 1) / 2)
	case model.FlowedPosterior:
		units += hidden
		weights += float64(last * hidden)
		flow(s.Flow, hidden)
	}
	if s.Prior == model.FlowedPrior {
		flow(model.CouplingFlow, 0)
	}
	return units, weights
}

// flow are the units of a row and the weights of a flow whose nets see so many numbers of an
// image.
func (s *VAESettings) flow(name model.FlowName, context float64) (units, weights float64) {
	z, hidden, layers := float64(s.Latent), float64(s.FlowHidden), float64(s.FlowLayers)
	ends := 3 * z // of a net: the dimensions that it sees, and two numbers for each that it moves
	if name == model.CouplingFlow {
		ends /= 2
	}
	units = float64(layers * (float64(2*context) + hidden + float64(8*z))) // joined, hidden, and what is mapped
	return units, float64(layers * hidden * (ends + context))
}

// pairUnits are the units of log q(z|h) at a code z that h did not draw, where p(z) is made of
// such: of a flow its nets run once for every pair of a code and a component.
func (s *VAESettings) pairUnits() float64 {
	if !s.Prior.Encodes() || s.Posterior != model.FlowedPosterior {
		return 0
	}
	units, _ := s.flow(s.Flow, float64(s.FlowHidden))
	return units
}

// describeFamilies names a posterior and a prior that are not the usual ones.
func (s *VAESettings) describeFamilies() string {
	text := ""
	switch s.Posterior {
	case model.FullPosterior:
		text += ", posterior of full covariance"
	case model.FlowedPosterior:
		text += fmt.Sprintf(", posterior by a flow of %d %s layers", s.FlowLayers, s.Flow)
	}
	if s.Prior == model.FlowedPrior {
		text += fmt.Sprintf(", prior by a flow of %d coupling layers", s.FlowLayers)
	}
	return text
}

func (s FlowSettings) model() model.FlowConfig {
	return model.FlowConfig{Name: s.Flow, Layers: s.FlowLayers, Hidden: s.FlowHidden}
}
