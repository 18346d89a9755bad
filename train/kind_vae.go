package train

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"

	"elbo/data"
	"elbo/graph"
	"elbo/model"
	"elbo/model/infer"
)

// VAEModel is the name of a VAE in flags and files.
const VAEModel = "vae"

func vaeKind() Kind {
	return Kind{
		Name: VAEModel, Usage: "variational autoencoder", Epochs: 10, Binarise: data.Dynamic,
		Defaults: func() Settings {
			return &VAESettings{
				NetworkSettings:   NetworkSettings{Hidden: []int{400}, Latent: 20, Layers: model.Dense, Activation: graph.ReLU, ConvSettings: defaultConv(), LR: 1e-3},
				PriorSettings:     defaultPrior(),
				PosteriorSettings: defaultPosterior(),
				FlowSettings:      defaultFlow(),
				OptimiserSettings: defaultOptimiser(),
				Objective:         model.ELBO, Gradient: model.StandardGradient, K: 1, Beta: 1, Batch: 128,
			}
		},
		New: func(s *Setup) (Model, error) {
			own := s.Config.Settings.(*VAESettings)
			c := own.Model(s.Config, s.Dataset.D())
			s.priorImages(&c.Prior)
			c.Conv.Image, c.Channels = imageOf(s.Dataset), s.Dataset.Channels()
			m, err := model.NewVAE(c, s.Engine, s.InitStream)
			if err != nil {
				return nil, err
			}
			return NewVAE(*own, s.Config.Seed, m), nil
		},
		Method: func(f *Fitting) Method {
			return NewGradient(f, SettingsOf[VAESettings](f.Config), f.Model.(Amortised).VAE())
		},
	}
}

// Variance is that of a Gaussian likelihood: of all pixels, or of each by itself.
type Variance struct {
	Value float64 // of all; 0: learned
	Pixel bool    // the decoder gives that of each
}

// VAESettings are those of a VAE.
type VAESettings struct {
	NetworkSettings
	PriorSettings
	PosteriorSettings
	FlowSettings
	OptimiserSettings
	Variance        Variance // of the Gaussian likelihood
	Mixtures        int      // components of a pixel's mixture; 0: as the likelihood has it
	Objective       model.Objective
	Gradient        model.Gradient
	K               int     // draws of z for an image in a step
	Beta            float64 // weight of the divergence in the ELBO
	Warmup          int     // epochs over which the weight rises from 0 to Beta
	FreeBits        float64 // nats of KL for each latent dimension that the ELBO leaves free; 0: none
	Batch           int
	Freeze          model.Part // that keeps the parameters of InitFrom
	CheckpointEvery int        // steps between checkpoints within an epoch; 0: at its end only
}

func (s *VAESettings) Kind() Kind { return vaeKind() }

func (s *VAESettings) Clone() Settings {
	clone := *s
	clone.NetworkSettings, clone.OptimiserSettings = s.NetworkSettings.clone(), s.OptimiserSettings.clone()
	return &clone
}

func (s *VAESettings) Options() []Option {
	options := []Option{
		{Key: "variance", Usage: "variance of the gaussian likelihood: a number, the same for all pixels; learned: the mean squared residual, at every step; pixel: by the decoder, for each pixel", Value: variance(&s.Variance)},
		mixtures(&s.Mixtures),
		s.layeredHidden(),
		s.layeredLatent(),
		s.activation(),
		s.layers(),
	}
	options = append(options, s.ConvSettings.options()...)
	options = append(options, s.PriorSettings.options()...)
	options = append(options, s.PosteriorSettings.options()...)
	options = append(options, s.FlowSettings.options()...)
	options = append(options, []Option{
		{Key: "objective", Usage: "what is maximised: elbo or iwae", Value: name(&s.Objective, "NAME")},
		{Key: "k", Usage: "draws of z for each image in a step (iwae: the k of L_k)", Value: integer(&s.K)},
		{Key: "gradient", Usage: "estimator of its gradient: standard, stl (of elbo) or dreg (of iwae), both of less noise", Value: name(&s.Gradient, "NAME"), Unwritten: []string{string(model.StandardGradient)}},
		{Key: "beta", Usage: "weight of KL in the objective elbo", Value: number(&s.Beta)},
		{Key: "warmup", Usage: "epochs over which the weight of KL rises from 0 to beta", Value: integer(&s.Warmup)},
		{Key: "free-bits", Usage: "nats of KL for each latent dimension, in the mean over a batch, that the objective elbo leaves free (0: none)", Value: number(&s.FreeBits), Unwritten: []string{"0"}},
		{Key: "batch", Usage: "images in a step", Value: integer(&s.Batch)},
		s.lr(),
	}...)
	options = append(options, s.OptimiserSettings.options()...)
	return append(options, []Option{
		s.initFrom(),
		{Key: "freeze", Usage: "leave decoder or encoder as --init-from has it", Value: name(&s.Freeze, "PART")},
		{Key: "checkpoint-every", Usage: "steps between checkpoints within an epoch (0: at the end of each epoch)", Value: integer(&s.CheckpointEvery)},
	}...)
}

func (s *VAESettings) Validate(c Config) error {
	var f faults
	own := *s
	own.NetworkSettings = s.NetworkSettings.bound(&f)
	f.tooLarge("k", s.K)
	f.tooLarge("batch", s.Batch)
	s.PriorSettings.check(&f)
	own.FlowSettings = s.FlowSettings.bound(&f)
	f = append(f, own.Model(c, 1).Validate())
	f.add(!(s.Beta >= 0) || math.IsInf(s.Beta, 0), "beta is %g, want 0 or more", s.Beta)
	f.add(s.Warmup < 0, "warmup is %d, want 0 or more epochs", s.Warmup)
	f.add(s.Objective == model.IWAE && (s.Beta != 1 || s.Warmup != 0), "beta is %g and warmup %d, but the objective iwae has no divergence to weight: want 1 and 0", s.Beta, s.Warmup)
	f.add(s.Batch < 1, "batch is %d, want at least 1", s.Batch)
	f.positive("lr", s.LR)
	s.OptimiserSettings.check(c, &f)
	s.checkOutputBias(c, &f)
	f.add(s.Freeze != "" && s.InitFrom == "", "freeze is %s, but init-from is empty: want the run that has it", s.Freeze)
	f.add(s.CheckpointEvery < 0, "checkpoint-every is %d, want 0 (ends of epochs) or more steps", s.CheckpointEvery)
	return errors.Join(f...)
}

// Fit makes a batch no larger than the training images: the rest of it would be padding.
func (s *VAESettings) Fit(images int) { s.Batch = min(s.Batch, images) }

// Bytes counts parameters with gradients and moments, those of flows among them, what the
// prior takes, the values of every layer for a batch with their gradients, its pixels, and
// what evaluation holds. What the decoder gives of an image may be many times as large
// as the image.
func (s *VAESettings) Bytes(c Config, image model.MapShape, _ int) float64 {
	pixels, outputs := image.Size(), s.outputs(c, image)
	batch, d, draws := float64(s.Batch), float64(pixels), float64(max(1, s.K))
	kept := 4.0 // of each parameter: its value, gradient and moments
	if s.EMA > 0 {
		kept++
	}
	units, weights := s.sizes(pixels)
	encoder, decoder := model.Cost{Units: units, Weights: weights}, model.Cost{Units: units, Weights: weights}
	decoder.Units += float64(outputs) - d
	decoder.Weights += (float64(outputs) - d) * float64(append(slices.Clone(s.Hidden), s.Latent)[0])
	width := max(pixels, outputs)
	if s.Layers.Convolutional() {
		encoder, decoder = s.ConvSettings.model(image).Costs(s.Layers, s.Hidden, s.Latent, 2*s.Latent, outputs)
		width = max(pixels, int(decoder.Units))
		kept += convSums
	}
	own, ownWeights := s.families()
	rows := float64(max(1, c.Workers) * infer.ScoredRows(width))
	prior := s.PriorSettings.bytes(encoder.Units, d, max(batch*draws, rows), s.pairUnits())
	values := encoder.Units + draws*(decoder.Units+own) // for an image
	if !s.Layers.Convolutional() {
		values = draws * (decoder.Units + own) // networks of one size: half for each
	}
	return prior + 4*(kept*(encoder.Weights+decoder.Weights+ownWeights)+4*batch*values+batch*d+4*rows*float64(width))
}

// outputs is how many numbers the decoder gives for an image.
func (s *VAESettings) outputs(c Config, image model.MapShape) int {
	l, err := model.NewLikelihood(c.Likelihood, model.LikelihoodConfig{PixelVariance: s.Variance.Pixel, Mixtures: s.Mixtures, Channels: image.Channels})
	if err != nil {
		return image.Size() // a fault that is said elsewhere
	}
	return l.Outputs(image.Size())
}

// convSums is about how many numbers a convolution keeps of each weight besides: partial sums of
// its gradient, and the weight as its products read it.
const convSums = 10

// LargestBatch is the largest batch with which training takes no more than so many bytes, 0 for
// none.
func (s *VAESettings) LargestBatch(c Config, image model.MapShape, images int, bytes float64) int {
	return sort.Search(s.Batch, func(smaller int) bool {
		other := *s
		other.Batch = smaller + 1
		return other.Bytes(c, image, images) > bytes
	})
}

func (s *VAESettings) Describe(c Config, pixels int) string {
	objective := string(s.Objective)
	if s.K > 1 {
		objective += fmt.Sprintf(" of %d draws", s.K)
	}
	return fmt.Sprintf("VAE %s, %s, %s%s", s.encoderText(pixels), c.Likelihood, objective+s.PriorSettings.describe()+s.describeFamilies(), s.OptimiserSettings.describe())
}

// Model returns the configuration of the model for images of the given number of pixels.
func (s *VAESettings) Model(c Config, pixels int) model.VAEConfig {
	return model.VAEConfig{
		Pixels:     pixels,
		Hidden:     s.Hidden,
		Latent:     s.Latent,
		Layers:     s.Stochastic,
		Network:    s.Layers,
		Activation: s.Activation,
		Conv:       s.ConvSettings.model(model.MapShape{}),
		Prior:      s.PriorSettings.model(),
		Posterior:  s.PosteriorSettings.model(),
		Flow:       s.FlowSettings.model(),
		Likelihood: c.Likelihood,
		Variance:   s.Variance.Value, PixelVariance: s.Variance.Pixel, Mixtures: s.Mixtures,
		Objective: s.Objective,
		Gradient:  s.Gradient,
		Draws:     s.K,
		FreeBits:  s.FreeBits,
		Freeze:    s.Freeze,
	}
}
