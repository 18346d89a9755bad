package train

import (
	"errors"
	"fmt"

	"elbo/data"
	"elbo/model"
)

// MixtureModel is the name of a mixture in flags and files.
const MixtureModel = "mixture"

func mixtureKind() Kind {
	return Kind{
		Name: MixtureModel, Usage: "mixture of pixel-wise distributions, by EM", Epochs: 100, Binarise: data.Static,
		Defaults: func() Settings {
			return &MixtureSettings{
				TableSettings: TableSettings{Prior: model.Shared, Tolerance: 1e-4},
				Components:    100, Init: FromImages, Restarts: 1, Smoothing: 0.1, VarianceFloor: 1e-3,
			}
		},
		New: func(s *Setup) (Model, error) {
			own := s.Config.Settings.(*MixtureSettings)
			c := own.Model(s.Config, s.Dataset.D())
			c.Channels = s.Dataset.Channels()
			m, err := model.NewMixture(c, s.Engine)
			if err != nil {
				return nil, err
			}
			return &mixture{newTable(s, m.EM), m}, nil
		},
		Method: func(f *Fitting) Method {
			m := f.Model.(*mixture)
			return NewEM(f, m.m, mixtureStep(f.Setup, m.mixture))
		},
	}
}

// mixtureStep returns the M-step that the configuration of a mixture asks for.
func mixtureStep(s *Setup, m *model.Mixture) MStep {
	closed := newClosedStep(s, m)
	own := SettingsOf[MixtureSettings](s.Config)
	switch {
	case own.Incremental > 0:
		return newIncrementalStep(s, closed)
	case own.Accelerate:
		return &acceleratedStep{closedStep: closed}
	}
	return closed
}

// MixtureSettings are those of a mixture.
type MixtureSettings struct {
	TableSettings
	Components    int
	Smoothing     float64 // a of the Beta(1+a, 1+a) prior of pixels, Bernoulli likelihood
	VarianceFloor float64 // Gaussian likelihood
	Init          Init
	Restarts      int  // fits from other first parameters, of which the best is kept
	Restart       int  // the number of the first, or only, restart
	Accelerate    bool // SQUAREM
	Incremental   int  // images in a batch of incremental EM; 0: all at once
}

func (s *MixtureSettings) Kind() Kind { return mixtureKind() }

func (s *MixtureSettings) Clone() Settings {
	clone := *s
	return &clone
}

func (s *MixtureSettings) Options() []Option {
	return []Option{
		s.mixtures(),
		{Key: "components", Usage: "components of a mixture", Value: integer(&s.Components)},
		s.prior(),
		{Key: "smoothing", Usage: "a of the Beta(1+a, 1+a) prior of each pixel's probability; of 256 levels as many images more, of levels all over", Value: number(&s.Smoothing)},
		{Key: "variance-floor", Usage: "least variance of a pixel, gaussian likelihood (0: none)", Value: number(&s.VarianceFloor)},
		{Key: "init", Usage: "where components begin: images, kmeans++ or random (responsibilities)", Value: name(&s.Init, "NAME")},
		{Key: "restarts", Usage: "fit from this many first parameters and keep the best", Value: integer(&s.Restarts)},
		{Key: "restart", Usage: "number of the first restart: another number, other first components", Value: integer(&s.Restart)},
		{Key: "accelerate", Usage: "take SQUAREM's longer steps, never one that lowers the bound", Value: flag(&s.Accelerate)},
		{Key: "incremental", Usage: "images in a batch of incremental EM, an M-step after each (0: all at once)", Value: integer(&s.Incremental)},
		s.tolerance(),
	}
}

func (s *MixtureSettings) Validate(c Config) error {
	var f faults
	f.tooLarge("components", s.Components)
	f.tooLarge("restarts", s.Restarts)
	s.TableSettings.check(c, &f)
	f.add(s.Restarts < 1, "restarts is %d, want at least 1", s.Restarts)
	f.add(s.Restart < 0, "restart is %d, want 0 or more", s.Restart)
	f.add(s.Accelerate && s.Prior == model.PerImage, "accelerate is true, but the prior is per-image: want fixed or shared, a table cannot be extrapolated")
	f.add(c.Likelihood.Pixels() == model.LevelPixels && (s.Accelerate || s.Incremental > 0), "accelerate is %v and incremental %d, but the M-step of likelihood %s is no closed form and its statistics are of 256 levels: want false, and 0", s.Accelerate, s.Incremental, c.Likelihood)
	f.add(s.Incremental < 0, "incremental is %d, want 0 (all at once) or more images", s.Incremental)
	f.add(s.Incremental > 0 && (s.Prior == model.PerImage || s.Accelerate), "incremental is %d, but prior is %s and accelerate %v: want fixed or shared, and false", s.Incremental, s.Prior, s.Accelerate)
	_, err := ParseInit(string(s.Init))
	f.add(err != nil, "init: %w", err)
	f = append(f, s.Model(c, 1).Validate())
	return errors.Join(f...)
}

func (s *MixtureSettings) Fit(int) {}

// enough fails where components cannot begin at different images.
func (s *MixtureSettings) enough(images int) error {
	if s.Components > images {
		return fmt.Errorf("components is %d, but there are %d training images: want no more than one a component", s.Components, images)
	}
	return nil
}

// Bytes counts components with their statistics, the values of a chunk, and the table.
func (s *MixtureSettings) Bytes(c Config, image model.MapShape, images int) float64 {
	pixels := image.Size()
	k := float64(s.Components)
	return levelBytes(c, k, pixels) + 4*(10*k*float64(pixels)+5*emChunk*k) + s.TableSettings.bytes(k, images)
}

func (s *MixtureSettings) Describe(c Config, _ int) string {
	return fmt.Sprintf("mixture of %d components, %s, %s prior", s.Components, c.Likelihood, s.Prior)
}

// Model returns the configuration of the model for images of the given number of pixels.
func (s *MixtureSettings) Model(c Config, pixels int) model.EMConfig {
	return model.EMConfig{
		Pixels:        pixels,
		States:        s.Components,
		Likelihood:    c.Likelihood,
		Mixtures:      s.Mixtures,
		Prior:         s.Prior,
		Smoothing:     s.Smoothing,
		VarianceFloor: s.VarianceFloor,
	}
}
