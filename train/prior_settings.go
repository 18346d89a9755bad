package train

import (
	"cmp"
	"fmt"
	"slices"

	"elbo/data"
	"elbo/model"
)

// PriorSettings are p(z) of a VAE.
type PriorSettings struct {
	Prior           model.PriorName
	PriorComponents int // of a mixture, and of exemplars
	PseudoInputs    int // of a VampPrior
	PriorUpdate     PriorUpdate
}

// PriorUpdate is how the parameters of a prior are set, by its name in flags and files.
type PriorUpdate string

// The ways.
const (
	PriorByGradient PriorUpdate = "gradient" // with all others
	PriorByEM       PriorUpdate = "em"       // in closed form, between epochs: see model.VAE's UpdatePrior
)

// PriorUpdates lists them all.
var PriorUpdates = []PriorUpdate{PriorByGradient, PriorByEM}

const (
	defaultPriorComponents = 100
	defaultPseudoInputs    = 500
)

func defaultPrior() PriorSettings {
	return PriorSettings{Prior: model.NormalPrior, PriorComponents: defaultPriorComponents, PseudoInputs: defaultPseudoInputs, PriorUpdate: PriorByGradient}
}

// options are left out of a file where they are as in a file without them.
func (s *PriorSettings) options() []Option {
	return []Option{
		{Key: "prior", Usage: "p(z): normal, flow, a mixture of Gaussians, or of the posteriors of pseudo-inputs (vamp) or of training images (exemplar); of EM, who chooses it: fixed, shared (the data) or per-image", Value: name(&s.Prior, "NAME"), Unwritten: []string{string(model.NormalPrior)}},
		{Key: "prior-components", Usage: "Gaussians of the prior mixture, or training images of the prior exemplar", Value: integer(&s.PriorComponents), Unwritten: []string{fmt.Sprint(defaultPriorComponents)}},
		{Key: "pseudo-inputs", Usage: "images of the prior vamp, which are learned", Value: integer(&s.PseudoInputs), Unwritten: []string{fmt.Sprint(defaultPseudoInputs)}},
		{Key: "prior-update", Usage: "how the prior mixture is fitted: with the rest along gradients, or by em to the codes of all training images between epochs", Value: name(&s.PriorUpdate, "WAY"), Unwritten: []string{string(PriorByGradient)}},
	}
}

// components is K of the prior, 0 of one that has none, and the key that it has.
func (s PriorSettings) components() (k int, key string) {
	switch s.Prior {
	case model.GaussianPrior, model.ExemplarPrior:
		return s.PriorComponents, "prior-components"
	case model.PseudoPrior:
		return s.PseudoInputs, "pseudo-inputs"
	}
	return 0, ""
}

func (s PriorSettings) model() model.PriorConfig {
	k, _ := s.components()
	return model.PriorConfig{Name: s.Prior, Components: k, EM: s.PriorUpdate == PriorByEM}
}

// check adds every fault that the model does not see.
func (s PriorSettings) check(f *faults) {
	k, key := s.components()
	f.tooLarge(key, k)
	f.add(s.PriorComponents != defaultPriorComponents && key != "prior-components", "prior-components is %d, but prior is %s: only mixture and exemplar have components", s.PriorComponents, s.Prior)
	f.add(s.PseudoInputs != defaultPseudoInputs && key != "pseudo-inputs", "pseudo-inputs is %d, but prior is %s: only vamp has pseudo-inputs", s.PseudoInputs, s.Prior)
	f.add(!slices.Contains(PriorUpdates, s.PriorUpdate), "unknown prior-update %q, want gradient or em", s.PriorUpdate)
}

// takePrior takes over the prior of another VAE, but for the keys that given reports.
func (s *VAESettings) takePrior(was VAESettings, given func(key string) bool) {
	s.Prior = was.Prior
	if s.Prior == model.FlowedPrior && !given("flow-layers") && !given("flow-hidden") {
		s.FlowLayers, s.FlowHidden = was.FlowLayers, was.FlowHidden
	}
	for key, take := range map[string]func(){
		"prior-components": func() { s.PriorComponents = was.PriorComponents },
		"pseudo-inputs":    func() { s.PseudoInputs = was.PseudoInputs },
		"prior-update":     func() { s.PriorUpdate = was.PriorUpdate },
	} {
		if !given(key) {
			take()
		}
	}
	if s.Freeze == model.DecoderPart && !given("prior-update") {
		s.PriorUpdate = PriorByGradient // of what stays as it is, neither is done
	}
}

// samePrior returns every reason why p(z) of a decoder that is frozen would be another than
// that of the VAE it is from; that of a grid is N(0, I).
func (s VAESettings) samePrior(was VAESettings) (f faults) {
	was.Prior = cmp.Or(was.Prior, model.NormalPrior)
	k, key := s.components()
	wasK, _ := was.components()
	f.add(was.Prior != s.Prior, "its prior is %s, and this model's %s: want --prior %[1]s of a decoder that is frozen", was.Prior, s.Prior)
	f.add(was.Prior == s.Prior && k != wasK, "its prior has %d components, and this model's %d: want --%s %[1]d of a decoder that is frozen", wasK, k, key)
	f.add(s.Prior.Encodes() && was.Posterior != s.Posterior, "its p(z) is made of posteriors of the family %s, and this model's family is %s: want --posterior %[1]s of a decoder that is frozen", was.Posterior, s.Posterior)
	return f
}

// enough fails where there are fewer training images than the prior has components.
func (s PriorSettings) enough(images int) error {
	if k, key := s.components(); k > images {
		return fmt.Errorf("%s is %d, but there are %d training images: want at most as many", key, k, images)
	}
	return nil
}

// bytes is the memory of the images of a prior, of their layers' values, and of the pairs of
// rows codes and components, each with so many units besides its density, with gradients.
func (s PriorSettings) bytes(units, pixels, rows, pair float64) float64 {
	k, _ := s.components()
	bytes := float64(4 * 4 * rows * float64(k) * (1 + float64(pair/2))) // a unit has a value and a gradient
	if s.Prior.Encodes() {
		bytes += float64(4 * 4 * float64(k) * (units + pixels))
	}
	return bytes
}

// describe names a prior that is not N(0, I).
func (s PriorSettings) describe() string {
	k, _ := s.components()
	by := ""
	if s.PriorUpdate == PriorByEM {
		by = " by EM"
	}
	switch s.Prior {
	case model.GaussianPrior:
		return fmt.Sprintf(", prior mixture of %d%s", k, by)
	case model.PseudoPrior:
		return fmt.Sprintf(", VampPrior of %d", k)
	case model.ExemplarPrior:
		return fmt.Sprintf(", prior of %d exemplars", k)
	}
	return ""
}

// priorImages gives a prior that is made of images those of the training set, drawn without
// replacement: as evaluation sees them, so that they stay what they are. Where there are
// fewer, as of other data, the prior is one to be loaded.
func (s *Setup) priorImages(c *model.PriorConfig) {
	n, k, d := s.Train.N(), c.Components, s.Train.D()
	if !c.Name.Encodes() || k > n {
		return
	}
	stream := data.NewStream(s.Config.Seed, "prior/images")
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	c.Images, c.Places = make([]float32, k*d), map[int]int{}
	for i := range k {
		j := i + int(stream.Float64()*float64(n-i))
		order[i], order[j] = order[j], order[i]
		s.Train.Evaluated(c.Images[i*d:][:d], order[i])
		c.Places[order[i]] = i
	}
}
