package train

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"elbo/data"
	"elbo/graph"
	"elbo/graph/graphtest"
	"elbo/model"
	"elbo/model/infer"
	"elbo/train/run"
	"elbo/train/safetensors"
)

// trainedRun trains a small model and returns its configuration and its run.
func trainedRun(t *testing.T, c Config) (*Setup, *run.Dir) {
	t.Helper()
	s := newTestSetup(t, c)
	dir := newTrainingRun(t, s.Config)
	fit := Run
	if tableOf(s) != nil {
		fit = Run
	}
	if _, err := fit(context.Background(), s, dir, nil, &listener{}, still); err != nil {
		t.Fatal(err)
	}
	return s, dir
}

// encodedGrid fits a grid whose decoder has the given layers, and returns it, its run, and the configuration of a VAE that is
// to have its decoder.
func encodedGrid(t *testing.T, layers model.NetworkName) (*Setup, *run.Dir, Config) {
	t.Helper()
	c := smallConfig(t)
	c.network().Layers = layers
	g := c.GridTwin([]int{4, 3}, model.EqualMass)
	g.Epochs, g.grid().MSteps, g.Workers = 3, 4, 2
	grid, dir := trainedRun(t, g)
	c = grid.Config.VAETwin()
	c.vae().Batch, c.Epochs, c.network().InitFrom, c.vae().Freeze = 16, 2, dir.Path, model.DecoderPart
	return grid, dir, c
}

func tensor(t *testing.T, tensors []safetensors.Tensor, name string) []float32 {
	t.Helper()
	for _, tensor := range tensors {
		if tensor.Name == name {
			return tensor.Data
		}
	}
	t.Fatalf("no tensor %s", name)
	return nil
}

// TestEMGoesOnWithTheDecoderOfAVAE: the evidence of iteration 0 is that of the VAE's
// decoder under the grid's table, to the last bit, and EM does not lower it.
func TestEMGoesOnWithTheDecoderOfAVAE(t *testing.T) {
	for _, layers := range model.Networks {
		t.Run(string(layers), func(t *testing.T) { emGoesOn(t, layers) })
	}
}

func emGoesOn(t *testing.T, layers model.NetworkName) {
	c := smallConfig(t)
	c.network().Layers = layers
	vae, source := trainedRun(t, c)
	best, _, err := source.Best()
	if err != nil {
		t.Fatal(err)
	}
	if err := vae.Load(best); err != nil {
		t.Fatal(err)
	}
	g := vae.Config.GridTwin([]int{5, 4}, model.EqualMass)
	g.network().InitFrom, g.Epochs, g.grid().MSteps, g.table().Tolerance = source.Path, 6, 5, 0
	before := newTestSetup(t, g)
	if err := before.TakeDecoder(vae); err != nil {
		t.Fatal(err)
	}
	want, err := infer.EvaluateTable(context.Background(), tableOf(before), before.Train, nil)
	if err != nil {
		t.Fatal(err)
	}
	grid, dir := trainedRun(t, g)
	metrics, err := dir.ReadMetrics()
	if err != nil {
		t.Fatal(err)
	}
	// Means of the same float32 numbers, summed in another order in float64.
	if got := metrics[0].Train.Bound; math.Abs(got-want.LogP.Value) > 1e-11*math.Abs(got) {
		t.Errorf("evidence before EM %.12f, of the VAE's decoder %.12f", got, want.LogP.Value)
	}
	for i, m := range metrics[1:] {
		// 36 pixels, each rounded by 2⁻²⁴ of some 30 nats.
		if m.Train.Bound < metrics[i].Train.Bound-36*30*math.Exp2(-24) {
			t.Errorf("iteration %d lowers the evidence from %.9f to %.9f", m.Epoch, metrics[i].Train.Bound, m.Train.Bound)
		}
	}
	if last := metrics[len(metrics)-1].Train.Bound; last <= metrics[0].Train.Bound {
		t.Errorf("EM gained nothing: %.6f after %.6f", last, metrics[0].Train.Bound)
	}
	if grid.Config.Binarise != data.Static {
		t.Errorf("binarise is %s, want static: the draw of evaluation", grid.Config.Binarise)
	}
	// The pixels of evaluation are the same for both.
	if vae.Test.Hash() != grid.Test.Hash() || vae.Validation.Hash() != grid.Validation.Hash() {
		t.Error("the two models are evaluated on different pixels")
	}
}

// TestAFrozenDecoderKeepsItsBytes: of a grid that is given an encoder. The encoder's
// bound rises towards the evidence, and stays below it.
func TestAFrozenDecoderKeepsItsBytes(t *testing.T) {
	for _, layers := range model.Networks {
		t.Run(string(layers), func(t *testing.T) { frozenKeepsBytes(t, layers) })
	}
}

func frozenKeepsBytes(t *testing.T, layers model.NetworkName) {
	grid, source, c := encodedGrid(t, layers)
	best, _, err := source.Best()
	if err != nil {
		t.Fatal(err)
	}
	c.Epochs = 6
	first := newTestSetup(t, c)
	vae, dir := trainedRun(t, c)
	state, _, _ := dir.Latest()
	changed := 0
	for _, p := range vaeOf(first).Params() {
		got := tensor(t, state.Params, p.Name)
		if strings.HasPrefix(p.Name, "decoder.") {
			if !slices.Equal(got, tensor(t, best.Params, p.Name)) {
				t.Errorf("%s has changed", p.Name)
			}
		} else if !slices.Equal(got, p.Value) {
			changed++
		}
	}
	if changed != len(vaeOf(first).Params())/2 {
		t.Errorf("%d of the encoder's parameters have changed, want all", changed)
	}
	for _, m := range state.Moments {
		if strings.Contains(m.Name, "decoder.") {
			t.Errorf("the checkpoint has %s", m.Name)
		}
	}
	// The table's evidence is unchanged to the last bit.
	if err := grid.Load(best); err != nil {
		t.Fatal(err)
	}
	o := infer.GapOptions{Samples: 200, Seed: 1, LocalQ: infer.DefaultLocalQ()}
	before, err := infer.CompareInferences(context.Background(), tableOf(grid), vaeOf(vae), false, grid.Validation, o, quiet)
	if err != nil {
		t.Fatal(err)
	}
	if err := grid.TakeDecoder(vae); err != nil {
		t.Fatal(err)
	}
	after, err := infer.CompareInferences(context.Background(), tableOf(grid), vaeOf(vae), true, grid.Validation, o, quiet)
	if err != nil {
		t.Fatal(err)
	}
	if after.Table != before.Table || after.LogP != before.LogP {
		t.Errorf("evidence %+v, %+v before and %+v, %+v after", before.Table, before.LogP, after.Table, after.LogP)
	}
	if math.Abs(after.ELBOStar.Value-before.ELBOStar.Value) > o.LocalQ.Tolerance {
		t.Errorf("L[q*] is %+v from the posterior's moments, %+v from the better of them and the encoder", before.ELBOStar, after.ELBOStar)
	}
	if before.ELBO != nil || after.ELBO.Value >= after.ELBOStar.Value || after.ELBOStar.Value > after.LogP.Value+0.1 { // noise of 200 draws of 30 images: 3/√6000
		t.Errorf("L[q] %+v, L[q*] %+v, log p(x) %+v: want them in this order", after.ELBO, after.ELBOStar, after.LogP)
	}
	metrics, err := dir.ReadMetrics()
	if err != nil {
		t.Fatal(err)
	}
	if first, last := metrics[0].Validation.Bound, metrics[len(metrics)-1].Validation.Bound; last <= first {
		t.Errorf("the encoder has learned nothing: %.4f, then %.4f", first, last)
	}
}

// TestARunThatAdoptsParametersResumesBitForBit interrupts after every step, and takes the
// source away as soon as there is a checkpoint.
func TestARunThatAdoptsParametersResumesBitForBit(t *testing.T) {
	_, source, c := encodedGrid(t, model.Dense)
	for _, freeze := range []model.Part{model.DecoderPart, ""} {
		c.vae().Freeze = freeze
		_, whole := trainedRun(t, c)
		final, path, _ := whole.Latest()
		for stop := 1; stop < int(final.Step); stop += 3 {
			dir := interruptedRun(t, c, stop)
			away := source.Path + ".away"
			if err := os.Rename(source.Path, away); err != nil {
				t.Fatal(err)
			}
			state, _, _ := dir.Latest()
			_, err := Run(context.Background(), newTestSetup(t, c), dir, state, &listener{}, still)
			if back := os.Rename(away, source.Path); err != nil || back != nil {
				t.Fatal(err, back)
			}
			_, again, _ := dir.Latest()
			if !bytes.Equal(fileBytes(t, again), fileBytes(t, path)) {
				t.Errorf("freeze %q, interrupted after step %d: the final checkpoint differs", freeze, stop)
			}
		}
	}
}

// TestAdoptedParametersAreACheckpointFromTheStart: before the first step of either method.
func TestAdoptedParametersAreACheckpointFromTheStart(t *testing.T) {
	_, source, c := encodedGrid(t, model.Dense)
	best, _, err := source.Best()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	g := c.GridTwin([]int{2, 2}, model.Lattice)
	g.network().InitFrom, g.Epochs, g.grid().MSteps = source.Path, 3, 2
	for _, c := range []Config{c, g} {
		s := newTestSetup(t, c)
		dir := newTrainingRun(t, c)
		dir.Keep = 100
		fit := Run
		if tableOf(s) != nil {
			fit = Run
		}
		if _, err := fit(ctx, s, dir, nil, &listener{}, still); !errors.Is(err, ErrInterrupted) {
			t.Fatalf("%s: %v", c.Model, err)
		}
		state, err := LoadCheckpoint(dir.File("checkpoint-00000000.safetensors"))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(tensor(t, state.Params, "decoder.2.weight"), tensor(t, best.Params, "decoder.2.weight")) {
			t.Errorf("%s: the decoder is not that of %s", c.Model, source.Path)
		}
		// From there as from the beginning.
		whole, again := newTrainingRun(t, c), newTrainingRun(t, c)
		if _, err := fit(context.Background(), newTestSetup(t, c), whole, nil, &listener{}, still); err != nil {
			t.Fatal(err)
		}
		if _, err := fit(context.Background(), newTestSetup(t, c), again, state, &listener{}, still); err != nil {
			t.Fatal(err)
		}
		_, a, _ := whole.Latest()
		_, b, _ := again.Latest()
		if !bytes.Equal(fileBytes(t, a), fileBytes(t, b)) {
			t.Errorf("%s: resumed from step 0 the final checkpoint differs", c.Model)
		}
	}
}

// TestParametersThatWouldMeanSomethingElseAreRefused, and nothing is changed.
func TestParametersThatWouldMeanSomethingElseAreRefused(t *testing.T) {
	_, source, encoder := encodedGrid(t, model.Dense)
	mixture := DefaultConfig(MixtureModel)
	mixture.Data, mixture.Split, mixture.Binarise, mixture.mixture().Components, mixture.Epochs, mixture.table().Tolerance = encoder.Data, encoder.Split, data.Static, 3, 1, 0
	_, mixed := trainedRun(t, mixture)
	with := func(change func(c *Config)) Config {
		c := encoder.Clone()
		change(&c)
		return c
	}
	for name, c := range map[string]struct {
		config Config
		want   string
	}{
		"width":      {with(func(c *Config) { c.network().Hidden = []int{13} }), "its decoder.0.weight is [12 2], and this model's [13 2]: want the same layers, --latent and --likelihood, and images of the same size"},
		"latent":     {with(func(c *Config) { c.network().Latent = 3 }), "its decoder.0.weight is [12 2], and this model's [12 3]"},
		"depth":      {with(func(c *Config) { c.network().Hidden = []int{} }), "it has decoder.2.weight [36 12], and this model has no such parameter"},
		"network":    {with(func(c *Config) { c.network().Layers = model.Gated }), "its network is dense, and this model's gated: want --network dense"},
		"activation": {with(func(c *Config) { c.network().Activation = graph.Tanh }), "its activation is relu, and this model's tanh: want --activation relu"},
		"likelihood": {with(func(c *Config) { c.Likelihood = model.ContinuousBernoulliName }), "its likelihood is bernoulli, and this model's continuous-bernoulli: want --likelihood bernoulli"},
		"encoder":    {with(func(c *Config) { c.vae().Freeze = model.EncoderPart }), "it has no encoder to freeze"},
		"mixture":    {with(func(c *Config) { c.network().InitFrom = mixed.Path }), "a mixture has no network: want a vae or a grid"},
		"nothing":    {with(func(c *Config) { c.network().InitFrom = "nowhere" }), "there is no such directory"},
	} {
		s := newTestSetup(t, c.config)
		before := slices.Clone(s.Tensors()[0].Data)
		decoder := slices.Clone(s.Tensors()[len(s.Tensors())-1].Data)
		err := s.WarmStart()
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if !slices.Equal(before, s.Tensors()[0].Data) || !slices.Equal(decoder, s.Tensors()[len(s.Tensors())-1].Data) {
			t.Errorf("%s: parameters have changed", name)
		}
	}
	for _, c := range []struct {
		config Config
		want   string
	}{
		{with(func(c *Config) { c.network().InitFrom = "" }), "freeze is decoder, but init-from is empty: want the run that has it"},
		{with(func(c *Config) { c.vae().Freeze = "prior" }), `freeze: unknown part "prior", want one of encoder, decoder`},
	} {
		if err := c.config.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
	if _, err := os.Stat(source.Path); err != nil {
		t.Error(err)
	}
}

// TestAWarmStartTakesTheArchitectureAlong: what is not given comes from the source; what is
// given stays; a source without a network is refused.
func TestAWarmStartTakesTheArchitectureAlong(t *testing.T) {
	c := DefaultConfig(VAEModel)
	for _, layers := range []NetworkSettings{{Layers: model.Dense, Activation: graph.Tanh}, {Layers: model.Gated, Activation: graph.ReLU}} {
		source := smallConfig(t)
		from := source.network()
		from.Hidden, from.Latent, from.Layers, from.Activation = []int{7, 5}, 3, layers.Layers, layers.Activation
		s, dir := newTestSetup(t, source), newHastyRun(t, source)
		if _, err := Run(context.Background(), s, dir, nil, nil, still); err != nil {
			t.Fatal(err)
		}
		c = DefaultConfig(VAEModel)
		c.Data = source.Data
		c.network().InitFrom, c.network().Latent = dir.Path, 9
		if err := c.TakeArchitecture(func(key string) bool { return key == "latent" }); err != nil {
			t.Fatal(err)
		}
		if n := c.Network(); !slices.Equal(n.Hidden, []int{7, 5}) || n.Latent != 9 || n.Layers != layers.Layers || n.Activation != layers.Activation || c.Likelihood != source.Likelihood {
			t.Errorf("took %+v, %s", n, c.Likelihood)
		}
	}

	none := emConfig(t, MixtureModel)
	none.Epochs = 1
	mixed := newHastyRun(t, none)
	if _, err := Run(context.Background(), newTestSetup(t, none), mixed, nil, nil, still); err != nil {
		t.Fatal(err)
	}
	c.network().InitFrom = mixed.Path
	if err := c.TakeArchitecture(func(string) bool { return false }); !errors.Is(err, errNoNetwork) {
		t.Errorf("of a mixture: %v", err)
	}
}

// TestAFrozenDecoderKeepsItsPrior: with a new encoder trained for it, log p(z) of any code is,
// to the rounding of an encoder's product, what it was in the run that the decoder is from;
// and again where that run's prior was frozen itself. Neither the prior nor its settings have
// to be named.
func TestAFrozenDecoderKeepsItsPrior(t *testing.T) {
	const codes = 50
	logP := func(s *Setup) []float64 {
		density, err := vaeOf(s).NewPriorDensity(codes)
		if err != nil {
			t.Fatal(err)
		}
		z, p := make([]float64, 2*codes), make([]float64, codes)
		noise := data.NewStream(3, "codes")
		for i := range z {
			z[i] = 1.5 * noise.NormFloat64()
		}
		if err := density.At(z, p, nil); err != nil {
			t.Fatal(err)
		}
		return p
	}
	best := func(s *Setup, dir *run.Dir) {
		state, _, err := dir.Best()
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Load(state); err != nil {
			t.Fatal(err)
		}
	}
	for _, prior := range model.Priors {
		c := smallConfig(t)
		c.vae().Prior = prior
		switch _, key := c.vae().components(); key {
		case "prior-components":
			c.vae().PriorComponents = 7
		case "pseudo-inputs":
			c.vae().PseudoInputs = 7
		}
		source, dir := trainedRun(t, c)
		best(source, dir)
		want := logP(source)
		for again := range 2 {
			next := smallConfig(t)
			next.Data, next.Seed = source.Config.Data, 9
			next.vae().InitFrom, next.vae().Freeze = dir.Path, model.DecoderPart
			if err := next.TakeArchitecture(func(key string) bool { return key == "hidden" || key == "latent" }); err != nil {
				t.Fatal(err)
			}
			if next.vae().Prior != prior {
				t.Fatalf("%s: took over the prior %s", prior, next.vae().Prior)
			}
			var s *Setup
			s, dir = trainedRun(t, next)
			best(s, dir)
			for i, got := range logP(s) {
				if math.Abs(got-want[i]) > 1e-4*math.Max(1, math.Abs(want[i])) {
					t.Errorf("%s, time %d: log p(z_%d) = %g, want %g", prior, again+1, i, got, want[i])
					break
				}
			}
			if floatsEqual(tensor(t, s.Tensors(), "encoder.0.weight"), tensor(t, source.Tensors(), "encoder.0.weight")) {
				t.Errorf("%s: the encoder has not moved", prior)
			}
		}
		other := smallConfig(t)
		other.Data = source.Config.Data
		other.vae().InitFrom, other.vae().Freeze, other.vae().Prior = dir.Path, model.DecoderPart, model.NormalPrior
		if prior == model.NormalPrior {
			other.vae().Prior, other.vae().PriorComponents = model.GaussianPrior, 7
		}
		if err := newTestSetup(t, other).WarmStart(); err == nil || !strings.Contains(err.Error(), "want --prior "+string(prior)+" of a decoder that is frozen") {
			t.Errorf("%s: a frozen decoder under another prior: %v", prior, err)
		}
	}
}

// TestAFrozenDecoderTakesAnotherFamilyOfPosteriors: a run with a diagonal posterior gives its
// decoder and its p(z), which stay to the bit, to an encoder of another family, which learns;
// not where p(z) is made of posteriors.
func TestAFrozenDecoderTakesAnotherFamilyOfPosteriors(t *testing.T) {
	for _, prior := range []model.PriorName{model.NormalPrior, model.GaussianPrior, model.PseudoPrior} {
		c := smallConfig(t)
		c.vae().Prior = prior
		switch prior {
		case model.GaussianPrior:
			c.vae().PriorComponents = 7
		case model.PseudoPrior:
			c.vae().PseudoInputs = 7
		}
		source, dir := trainedRun(t, c)
		best, _, err := dir.Best()
		if err != nil {
			t.Fatal(err)
		}
		for _, family := range []model.PosteriorName{model.FullPosterior, model.FlowedPosterior} {
			if prior == model.PseudoPrior && family == model.FlowedPosterior {
				continue // see TestAPriorIsRefusedWhereItCannotBe
			}
			next := smallConfig(t)
			next.Data = source.Config.Data
			next.vae().InitFrom, next.vae().Freeze, next.vae().Posterior = dir.Path, model.DecoderPart, family
			if err := next.TakeArchitecture(func(key string) bool { return key == "hidden" || key == "latent" || key == "posterior" }); err != nil {
				t.Fatal(err)
			}
			if prior == model.PseudoPrior {
				if err := newTestSetup(t, next).WarmStart(); err == nil || !strings.Contains(err.Error(), "want --posterior diagonal of a decoder that is frozen") {
					t.Errorf("%s, %s: %v", prior, family, err)
				}
				continue
			}
			first := newTestSetup(t, next)
			_, dir := trainedRun(t, next)
			state, _, _ := dir.Latest()
			for _, p := range vaeOf(first).Params() {
				got := tensor(t, state.Params, p.Name)
				if strings.HasPrefix(p.Name, "encoder.") {
					if slices.Equal(got, p.Value) {
						t.Errorf("%s, %s: %s has learned nothing", prior, family, p.Name)
					}
				} else if !slices.Equal(got, tensor(t, best.Params, p.Name)) {
					t.Errorf("%s, %s: %s has changed", prior, family, p.Name)
				}
			}
		}
	}
}

// TestPriorSettingsAreRefused with the key and what to do.
func TestPriorSettingsAreRefused(t *testing.T) {
	for want, change := range map[string]func(*VAESettings){
		"prior-components is 5, but prior is normal: only mixture and exemplar have components": func(s *VAESettings) { s.PriorComponents = 5 },
		"pseudo-inputs is 5, but prior is mixture: only vamp has pseudo-inputs":                 func(s *VAESettings) { s.Prior, s.PseudoInputs = model.GaussianPrior, 5 },
		"prior-components is 0, want at least 1":                                                func(s *VAESettings) { s.Prior, s.PriorComponents = model.GaussianPrior, 0 },
		"prior-update is em, but prior is vamp":                                                 func(s *VAESettings) { s.Prior, s.PriorUpdate = model.PseudoPrior, PriorByEM },
		"unknown prior-update \"sometimes\", want gradient or em":                               func(s *VAESettings) { s.PriorUpdate = "sometimes" },
		"pseudo-inputs is 500, but there are 90 training images: want at most as many":          func(s *VAESettings) { s.Prior = model.PseudoPrior },
		"prior-components is 91, but there are 90 training images":                              func(s *VAESettings) { s.Prior, s.PriorComponents = model.ExemplarPrior, 91 },
	} {
		c := smallConfig(t)
		change(c.vae())
		if _, err := NewSetup(c, 2, graphtest.Engine); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}
