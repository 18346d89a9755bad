package train

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"elbo/model"
	"elbo/train/run"
	"elbo/train/safetensors"
)

// WarmStart sets the first parameters to those of the run or checkpoint that the
// configuration names in init-from: of a run, its best state, or its newest where it has
// no best. Every parameter of encoder, decoder and likelihood that both models have by
// the same name is taken over, so a VAE's decoder can become a grid's and the other way
// round; log p(z) is not, as it belongs to the grid. Of a VAE's prior, what is learned is
// taken over by a VAE with the same prior. Run calls it when they
// start from the beginning; whoever calls it before learns of an error before anything is
// written.
//
// It fails with a *ConfigError where the two models differ in what the parameters mean:
// in a shape, the kind of layers, the activation or the likelihood; or where they have none in common.
func (s *Setup) WarmStart() error {
	source := s.Config.Network().InitFrom
	from, err := openWarmStart(source, s.Config.known())
	if err != nil {
		return fmt.Errorf("init-from: %w", err)
	}
	was, err := Configuration(from, s.Config.known()...)
	if err != nil {
		return fmt.Errorf("init-from: %s: %w", source, err)
	}
	if err := s.checkWarmStart(was, from.Params); err != nil {
		return &ConfigError{fmt.Errorf("init-from: %s: %w", source, err)}
	}
	if err := s.takeOver(from.Params, func(model.Part) bool { return true }); err != nil {
		return err
	}
	return s.freezePrior(from.Params)
}

// freezePrior gives a frozen decoder the p(z) that it was trained with, where that follows an
// encoder: the posteriors, by the encoder that was taken over, of the images that it was
// made of. A checkpoint whose prior was frozen before has its members themselves.
func (s *Setup) freezePrior(from []safetensors.Tensor) error {
	m, ok := s.Model.(Amortised)
	if !ok || m.VAE().Freeze != model.DecoderPart {
		return nil
	}
	for _, t := range from {
		if model.IsPriorImages(t.Name) {
			return m.VAE().FreezePrior(t.Data)
		}
	}
	return nil
}

// TakeArchitecture takes over the hidden layers and their kind, the latent dimensions, the
// activation and the likelihood of the model that init-from names, but for the keys that given reports: so that
// nobody has to repeat them. It fails as WarmStart does where there is no such model.
func (c *Config) TakeArchitecture(given func(key string) bool) error {
	own := c.network()
	if own == nil || own.InitFrom == "" {
		return nil
	}
	from, err := openWarmStart(own.InitFrom, c.known())
	if err != nil {
		return fmt.Errorf("init-from: %w", err)
	}
	was, err := Configuration(from, c.known()...)
	if err != nil {
		return fmt.Errorf("init-from: %s: %w", own.InitFrom, err)
	}
	network := was.network()
	if network == nil {
		return &ConfigError{fmt.Errorf("init-from: %s: %w", own.InitFrom, errNoNetwork)}
	}
	if vae, ok := c.Settings.(*VAESettings); ok && was.Model == VAEModel {
		vae.takePosterior(SettingsOf[VAESettings](was), given)
	}
	taken := network.clone()
	for key, take := range map[string]func(){
		"hidden":     func() { own.Hidden, own.Stochastic.Hidden = taken.Hidden, taken.Stochastic.Hidden },
		"latent":     func() { own.Latent, own.Stochastic.Latent = taken.Latent, taken.Stochastic.Latent },
		"network":    func() { own.Layers = taken.Layers },
		"activation": func() { own.Activation = taken.Activation },

		"conv-channels": func() { own.ConvSettings.Widths = taken.ConvSettings.Widths },
		"kernel":        func() { own.ConvSettings.Kernel = taken.ConvSettings.Kernel },
		"stride":        func() { own.ConvSettings.Stride = taken.ConvSettings.Stride },
		"blocks":        func() { own.ConvSettings.Blocks = taken.ConvSettings.Blocks },
		"likelihood":    func() { c.Likelihood = was.Likelihood },
	} {
		if !given(key) {
			take()
		}
	}
	if vae, ok := c.Settings.(*VAESettings); ok && !given("prior") && was.Model == VAEModel {
		vae.takePrior(SettingsOf[VAESettings](was), given)
	}
	return nil
}

// errNoNetwork: there is nothing to begin with.
var errNoNetwork = errors.New("a mixture has no network: want a vae or a grid")

// TakeDecoder sets the parameters of p(x|z) to those of another model whose networks
// have the same configuration, whatever infers z in either.
func (s *Setup) TakeDecoder(from *Setup) error {
	if err := s.checkWarmStart(from.Config, from.Tensors()); err != nil {
		return &ConfigError{err}
	}
	return s.takeOver(from.Tensors(), func(part model.Part) bool { return part != model.EncoderPart })
}

// takeOver copies tensors of the given parts to the parameters of the same names.
func (s *Setup) takeOver(from []safetensors.Tensor, of func(model.Part) bool) error {
	for _, own := range s.Tensors() {
		if saved, ok := findTensor(from, own.Name, len(own.Data)); ok && !stays(own) && of(partOf(own)) {
			copy(own.Data, saved)
		}
	}
	return s.refresh()
}

// partOf is the part of a model that a tensor belongs to.
func partOf(t safetensors.Tensor) model.Part {
	part, _, _ := strings.Cut(t.Name, ".")
	return model.Part(part)
}

// priorPart holds p(z): of a model with a table the logarithms of its weights, of a VAE what
// its prior has.
const priorPart model.Part = "prior"

// stays reports whether a tensor of the prior is a model's own: the weights of a table, and
// training images.
func stays(t safetensors.Tensor) bool { return t.Name == tableWeights || model.IsExemplars(t.Name) }

// tableWeights is log p(z) of a model with a table.
const tableWeights = "prior.log_weight"

// checkWarmStart returns every reason why parameters of a model with the configuration was
// would mean something else in this one.
func (s *Setup) checkWarmStart(was Config, from []safetensors.Tensor) error {
	own, other := s.Config.network(), was.network()
	if own == nil || other == nil {
		return errNoNetwork
	}
	vae, wasVAE := SettingsOf[VAESettings](s.Config), SettingsOf[VAESettings](was)
	var f faults
	f.add(other.Layers != own.Layers, "its network is %s, and this model's %s: want --network %[1]s", other.Layers, own.Layers)
	f.add(other.Layers == own.Layers && own.Layers.Convolutional() && other.ConvSettings.Stride != own.ConvSettings.Stride, "its stride is %d, and this model's %d: want --stride %[1]d", other.ConvSettings.Stride, own.ConvSettings.Stride)
	f.add(other.Activation != own.Activation, "its activation is %s, and this model's %s: want --activation %[1]s", other.Activation, own.Activation)
	f.add(was.Likelihood != s.Config.Likelihood, "its likelihood is %s, and this model's %s: want --likelihood %[1]s", was.Likelihood, s.Config.Likelihood)
	f.add(vae.Freeze == model.DecoderPart && wasVAE.Variance != vae.Variance, "its variance is %s, and this model's %s: want the same of a decoder that is frozen", variance(&wasVAE.Variance), variance(&vae.Variance))
	family := error(nil)
	if s.Config.Model == VAEModel && was.Model == VAEModel {
		family = vae.samePosterior(wasVAE)
	}
	f.add(family != nil && vae.Freeze != model.DecoderPart, "%w, or --freeze decoder, which may have any encoder", family)
	if vae.Freeze == model.DecoderPart {
		f = append(f, vae.samePrior(wasVAE)...)
	}
	common := map[model.Part]bool{}
	for _, own := range s.Tensors() {
		i := slices.IndexFunc(from, func(t safetensors.Tensor) bool { return t.Name == own.Name })
		frozen := vae.Freeze == model.DecoderPart && partOf(own) == priorPart && !model.IsFrozenPrior(own.Name)
		f.add(i < 0 && frozen, "it has no %s: want the same prior of a decoder that is frozen", own.Name)
		if i < 0 || partOf(own) == priorPart && !frozen {
			continue
		}
		common[partOf(own)] = true
		if family != nil && partOf(own) == model.EncoderPart {
			continue // of another family what differs begins anew, or has been said
		}
		f.add(!slices.Equal(from[i].Shape, own.Shape), "its %s is %v, and this model's %v: want the same layers, --latent and --likelihood, and images of the same size", own.Name, from[i].Shape, own.Shape)
	}
	for _, t := range from { // a deeper network has names that this one lacks
		known := slices.ContainsFunc(s.Tensors(), func(own safetensors.Tensor) bool { return own.Name == t.Name })
		f.add(common[partOf(t)] && !known && partOf(t) != priorPart && !(family != nil && partOf(t) == model.EncoderPart), "it has %s %v, and this model has no such parameter: want the same --hidden", t.Name, t.Shape)
	}
	f.add(len(common) == 0, "it has no parameter in common with this model")
	f.add(vae.Freeze != "" && !common[vae.Freeze], "it has no %s to freeze", vae.Freeze)
	return errors.Join(f...)
}

// openWarmStart reads a checkpoint, or that of a run.
func openWarmStart(path string, kinds []Kind) (*run.State, error) {
	if info, err := os.Stat(path); err == nil && !info.IsDir() {
		return LoadCheckpoint(path, kinds...)
	}
	dir, err := ReadRun(path, kinds...)
	if err != nil {
		return nil, err
	}
	if s, _, err := dir.Best(); err == nil || !errors.Is(err, os.ErrNotExist) {
		return s, err
	}
	if s, _, _ := dir.Latest(); s != nil {
		return s, nil
	}
	return nil, fmt.Errorf("%s: %w: train it first", path, ErrNoCheckpoint)
}
