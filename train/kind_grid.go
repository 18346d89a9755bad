package train

import (
	"errors"
	"fmt"
	"slices"

	"elbo/data"
	"elbo/graph"
	"elbo/model"
)

// GridModel is the name of a grid in flags and files.
const GridModel = "grid"

func gridKind() Kind {
	return Kind{
		Name: GridModel, Usage: "decoder network over a grid of latent points, by EM", Epochs: 100, Binarise: data.Static,
		Defaults: func() Settings {
			return &GridSettings{
				NetworkSettings: NetworkSettings{Hidden: []int{200, 200}, Latent: 2, Layers: model.Dense, Activation: graph.ReLU, ConvSettings: defaultConv(), LR: 2e-3},
				TableSettings:   TableSettings{Prior: model.Fixed, Tolerance: 1e-4},
				Grid:            []int{20, 20}, GridRule: model.EqualMass, MSteps: 20,
			}
		},
		New: func(s *Setup) (Model, error) {
			own := s.Config.Settings.(*GridSettings)
			points, err := model.NewGrid(own.GridRule, own.Grid)
			if err != nil {
				return nil, err
			}
			c := own.Model(s.Config, s.Dataset.D(), points)
			c.Channels, c.Grid.Conv.Image = s.Dataset.Channels(), imageOf(s.Dataset)
			m, err := model.NewGridModel(c, s.Engine, s.InitStream)
			if err != nil {
				return nil, err
			}
			return &grid{newTable(s, m.EM), m}, nil
		},
		Method: func(f *Fitting) Method {
			m := f.Model.(*grid)
			return NewEM(f, m.m, newGradientStep(f.Setup, m.grid))
		},
	}
}

// GridSettings are those of a grid.
type GridSettings struct {
	NetworkSettings
	TableSettings
	Grid     []int // points along each latent dimension
	GridRule model.GridRule
	MSteps   int // gradient steps in an M-step
}

func (s *GridSettings) Kind() Kind { return gridKind() }

func (s *GridSettings) Clone() Settings {
	clone := *s
	clone.NetworkSettings, clone.Grid = s.NetworkSettings.clone(), slices.Clone(s.Grid)
	return &clone
}

func (s *GridSettings) Options() []Option {
	options := append([]Option{s.mixtures(), s.hidden(), s.latent(), s.activation(), s.layers()}, s.ConvSettings.options()...)
	return append(options, []Option{
		{Key: "grid", Usage: "points of a grid along each latent dimension, as in 20x20", Value: extent(&s.Grid)},
		{Key: "grid-rule", Usage: "where they stand: equal-mass, gauss-hermite or lattice", Value: name(&s.GridRule, "NAME")},
		s.prior(),
		{Key: "m-steps", Usage: "gradient steps in an M-step", Value: integer(&s.MSteps)},
		s.tolerance(),
		s.lr(),
		s.initFrom(),
	}...)
}

func (s *GridSettings) Validate(c Config) error {
	var f faults
	network := s.NetworkSettings.bound(&f)
	f.tooLarge("m-steps", s.MSteps)
	s.TableSettings.check(c, &f)
	f.add(c.Likelihood == model.GaussianName, "likelihood is gaussian, want bernoulli or a mass of 256 levels for a grid")
	_, err := model.NewGrid(s.GridRule, s.Grid)
	f.add(err != nil, "%w", err)
	f.add(s.Latent != len(s.Grid), "latent is %d, but grid has %d dimensions: want the same", s.Latent, len(s.Grid))
	f.add(s.MSteps < 1, "m-steps is %d, want at least 1", s.MSteps)
	f.positive("lr", s.LR)
	for i, h := range network.Hidden {
		f.add(h < 1, "hidden: layer %d has %d units, want at least 1", i+1, h)
	}
	f = append(f, model.ValidateLayers(s.Layers, s.Activation), s.fits(model.MapShape{}), model.EMConfig{Pixels: 1, States: 1, Likelihood: c.Likelihood, Mixtures: s.Mixtures, Prior: s.Prior}.Validate())
	return errors.Join(f...)
}

func (s *GridSettings) Fit(int) {}

// Bytes counts the decoder with gradients and moments, its values at every point, those
// of a chunk, and the table.
func (s *GridSettings) Bytes(c Config, image model.MapShape, images int) float64 {
	pixels := image.Size()
	units, weights := s.sizes(pixels)
	if s.Layers.Convolutional() {
		_, decoder := s.ConvSettings.model(image).Costs(s.Layers, s.Hidden, s.Latent, 2*s.Latent, pixels)
		units, weights = decoder.Units, (1+convSums/4.)*decoder.Weights
	}
	k := 1.0
	for _, n := range s.Grid {
		k *= float64(n)
	}
	levels := levelBytes(c, k, pixels) * 5 / 4 // with the shares that the M-graph takes
	return levels + 4*(4*weights+k*(8*float64(pixels)+4*units)+4*emChunk*k) + s.TableSettings.bytes(k, images)
}

func (s *GridSettings) Describe(c Config, pixels int) string {
	return fmt.Sprintf("grid of %s points, %s, decoder %s, %s, %s prior", joined(s.Grid, "x"), s.GridRule, s.decoderText(pixels), c.Likelihood, s.Prior)
}

// Model returns the configuration of the model for images of the given number of pixels.
func (s *GridSettings) Model(c Config, pixels int, grid model.Grid) model.EMConfig {
	return model.EMConfig{
		Pixels:     pixels,
		States:     len(grid.LogWeights),
		Likelihood: c.Likelihood,
		Mixtures:   s.Mixtures,
		Prior:      s.Prior,
		Grid:       &model.GridConfig{Grid: grid, Hidden: s.Hidden, Network: s.Layers, Activation: s.Activation, Conv: s.ConvSettings.model(model.MapShape{})},
	}
}
