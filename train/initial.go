package train

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"elbo/model"
)

// LoadInitial sets the first parameters to those of the run or checkpoint that the
// configuration names in init-from: of a run, its best state, or its newest where it has
// no best. Every parameter of encoder, decoder and likelihood that both models have by
// the same name is taken over, so a VAE's decoder can become a grid's and the other way
// round; log p(z) is not, as it belongs to the grid. Run and RunEM call it when they
// start from the beginning; whoever calls it before learns of an error before anything is
// written.
//
// It fails with a *ConfigError where the two models differ in what the parameters mean:
// in a shape, the activation or the likelihood; or where they have none in common.
func (s *Setup) LoadInitial() error {
	source := s.Config.InitFrom
	from, err := openInitial(source)
	if err != nil {
		return fmt.Errorf("init-from: %w", err)
	}
	was := DefaultConfig(VAEModel)
	if err := was.ReadConfig(from.Config); err != nil {
		return fmt.Errorf("init-from: %s: %w", source, err)
	}
	var f faults
	f.add(was.Model == MixtureModel, "it is a mixture, which has no network: want a run of a vae or a grid")
	f.add(was.Model != MixtureModel && was.Activation != s.Config.Activation, "its activation is %s, and this model's %s: want --activation %[1]s", was.Activation, s.Config.Activation)
	f.add(was.Likelihood != s.Config.Likelihood, "its likelihood is %s, and this model's %s: want --likelihood %[1]s", was.Likelihood, s.Config.Likelihood)
	adopted := map[model.Part]bool{}
	for _, own := range s.Tensors() {
		part, _, _ := strings.Cut(own.Name, ".")
		i := slices.IndexFunc(from.Params, func(t Tensor) bool { return t.Name == own.Name })
		if i < 0 || part == "prior" {
			continue
		}
		adopted[model.Part(part)] = true
		f.add(!slices.Equal(from.Params[i].Shape, own.Shape), "its %s is %v, and this model's %v: want the same --hidden and --latent, and images of the same size", own.Name, from.Params[i].Shape, own.Shape)
	}
	for _, t := range from.Params { // a deeper network has names that this one lacks
		part, _, _ := strings.Cut(t.Name, ".")
		known := slices.ContainsFunc(s.Tensors(), func(own Tensor) bool { return own.Name == t.Name })
		f.add(adopted[model.Part(part)] && !known, "it has %s %v, and this model has no such parameter: want the same --hidden", t.Name, t.Shape)
	}
	f.add(len(adopted) == 0 && was.Model != MixtureModel, "it has no parameter in common with this model")
	f.add(s.Config.Freeze != "" && !adopted[s.Config.Freeze], "it has no %s to freeze", s.Config.Freeze)
	if len(f) > 0 {
		return &ConfigError{fmt.Errorf("init-from: %s: %w", source, errors.Join(f...))}
	}
	for _, own := range s.Tensors() {
		part, _, _ := strings.Cut(own.Name, ".")
		if saved, ok := findTensor(from.Params, own.Name, len(own.Data)); ok && part != "prior" {
			copy(own.Data, saved)
		}
	}
	if s.EM != nil {
		return s.EM.Refresh()
	}
	return nil
}

// openInitial reads a checkpoint, or that of a run.
func openInitial(path string) (*State, error) {
	if info, err := os.Stat(path); err == nil && !info.IsDir() {
		return LoadCheckpoint(path)
	}
	dir, err := ReadRun(path)
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
