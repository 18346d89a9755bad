package train

import (
	"context"
	"math"
	"strings"
	"testing"

	"elbo/data"
	"elbo/model"
)

// TestTrainingBeginsWithTheMeanOfTheData: a first step of no length leaves a decoder whose last
// biases are the logits of the grey means, whatever was drawn of them, and all else as without.
func TestTrainingBeginsWithTheMeanOfTheData(t *testing.T) {
	begin := func(bias OutputBias) *Setup {
		c := smallConfig(t)
		c.Epochs, c.network().LR, c.vae().OutputBias = 1, 1e-30, bias
		s := newTestSetup(t, c)
		if _, err := Run(context.Background(), s, newTrainingRun(t, c), nil, nil, still); err != nil {
			t.Fatal(err)
		}
		return s
	}
	s, plain := begin(DataBias), begin(DrawnBias)
	bias := vaeOf(s).Decoder.(model.Biased).OutputBias()
	grey, x := data.View{Subset: s.Train.Subset, Mode: data.None}, make([]float32, s.Train.D())
	mean := make([]float64, len(x))
	for i := range grey.N() {
		grey.Evaluated(x, i)
		for j, v := range x {
			mean[j] += float64(v) / float64(grey.N())
		}
	}
	for j, m := range mean {
		m = min(max(m, 0.001), 0.999)
		if want := math.Log(m / (1 - m)); !(math.Abs(float64(bias.Value[j])-want) < 1e-5) { // float32, of logits up to 7
			t.Fatalf("the bias of pixel %d is %v, want the logit %v of its mean", j, bias.Value[j], want)
		}
	}
	for i, p := range s.Params() {
		if p.Name != bias.Name && !equalValues(p.Value, plain.Params()[i].Value) {
			t.Errorf("%s is not what it is without the biases of the data", p.Name)
		}
	}
}

func equalValues(a, b []float32) bool {
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return len(a) == len(b)
}

// TestALearnedVarianceBeginsAtThatOfThePixelsAroundTheirMeans, where the decoder begins with
// them.
func TestALearnedVarianceBeginsAtThatOfThePixelsAroundTheirMeans(t *testing.T) {
	c := gaussianVariance(t)
	c.vae().OutputBias = DataBias
	s := newTestSetup(t, c)
	g := &gradient{Fitting: &Fitting{Setup: s}, own: *c.vae(), vae: vaeOf(s)}
	if err := g.beginFromData(); err != nil {
		t.Fatal(err)
	}
	if got, want := gaussianOf(s).Variance(), s.pixelVariance(); math.Abs(got/want-1) > 1e-6 {
		t.Errorf("the variance begins at %v, want %v", got, want)
	}
}

// TestBiasesOfTheDataThatCannotBe are refused, each with the reason.
func TestBiasesOfTheDataThatCannotBe(t *testing.T) {
	for _, c := range []struct {
		change func(*Config)
		want   string
	}{
		{func(c *Config) { c.vae().InitFrom = "runs/a" }, "output-bias is data, but the parameters begin as those of init-from runs/a: want drawn"},
		{func(c *Config) { c.Likelihood, c.Binarise = model.DiscretizedLogisticMixtureName, data.None }, "output-bias is data, but likelihood is discretized-logistic-mixture, whose components would begin as one and the same: want drawn"},
	} {
		config := smallConfig(t)
		config.vae().OutputBias = DataBias
		c.change(&config)
		if err := config.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Validate = %v, want %q", err, c.want)
		}
	}
}

// TestFreeBitsThatCannotBe are refused.
func TestFreeBitsThatCannotBe(t *testing.T) {
	for want, change := range map[string]func(*VAESettings){
		"free-bits is -1, want 0 (none) or nats for each latent dimension":                                                                                        func(s *VAESettings) { s.FreeBits = -1 },
		"free-bits is 0.5, but the objective iwae has no divergence of which some could be free: want 0":                                                          func(s *VAESettings) { s.FreeBits, s.Objective = 0.5, model.IWAE },
		"free-bits is 0.5, but with gradient stl the divergence is no sum over latent dimensions: want gradient standard":                                         func(s *VAESettings) { s.FreeBits, s.Gradient = 0.5, model.STL },
		"free-bits is 0.5, but only the divergence of one layer of a diagonal posterior from the prior normal is a sum over latent dimensions: want those, or 0":  func(s *VAESettings) { s.FreeBits, s.Posterior = 0.5, model.FullPosterior },
		"free-bits is 0.25, but only the divergence of one layer of a diagonal posterior from the prior normal is a sum over latent dimensions: want those, or 0": func(s *VAESettings) { s.FreeBits, s.Prior = 0.25, model.GaussianPrior },
	} {
		config := smallConfig(t)
		change(config.vae())
		if err := config.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Validate = %v, want %q", err, want)
		}
	}
}

// TestFreeBitsLeaveTheReportedBoundAsItIs: with all of the divergence free it has no gradient,
// and grows; what is reported is the bound with all of it, which such a run loses.
func TestFreeBitsLeaveTheReportedBoundAsItIs(t *testing.T) {
	last := func(free float64) (kl, off float64) {
		c := smallConfig(t)
		c.Epochs, c.network().LR, c.vae().FreeBits = 20, 0.01, free
		heard := &listener{}
		if _, err := Run(context.Background(), newTestSetup(t, c), newTrainingRun(t, c), nil, heard, still); err != nil {
			t.Fatal(err)
		}
		m := heard.epochs[len(heard.epochs)-1].Train
		return m.KL, m.Recon - m.KL - m.Bound
	}
	plain, _ := last(0)
	free, off := last(1000)
	if !(free > plain+1) {
		t.Errorf("KL is %.3f nats where all of it is free, and %.3f where none is: want more", free, plain)
	}
	if math.Abs(off) > 1e-9 {
		t.Errorf("the reported bound is off reconstruction less KL by %v", off)
	}
}
