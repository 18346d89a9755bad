package train

import (
	"strings"
	"testing"

	"elbo/graph"
	"elbo/graph/graphtest"
	"elbo/model"
)

// withSettings returns a VAE's configuration with "key=value" pairs set.
func withSettings(t *testing.T, pairs string) Config {
	t.Helper()
	c := DefaultConfig(VAEModel)
	for _, pair := range strings.Fields(pairs) {
		key, value, _ := strings.Cut(pair, "=")
		if err := c.Set(key, value); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// TestSettingsOfFlowsThatMakeNoSense are refused with what was found and what is wanted.
func TestSettingsOfFlowsThatMakeNoSense(t *testing.T) {
	for pairs, want := range map[string]string{
		"posterior=flow latent=1":                        "want at least 2",
		"prior=flow latent=1":                            "want at least 2",
		"flow-layers=3":                                  "flow-layers is 3, but neither",
		"posterior=full flow-hidden=3":                   "flow-hidden is 3, but neither",
		"prior=flow flow=autoregressive":                 "want posterior flow",
		"posterior=flow flow-layers=0":                   "flow-layers is 0, want 1 to 100",
		"posterior=flow flow-layers=101":                 "flow-layers is 101, want 1 to 100",
		"posterior=flow flow-hidden=-1":                  "flow-hidden is -1, want at least 1",
		"posterior=flow flow-hidden=2000000000 latent=2": "flow-hidden is 2000000000, want at most",
	} {
		c := withSettings(t, pairs)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", pairs, err, want)
		}
	}
	for _, pairs := range []string{"posterior=full latent=1", "posterior=flow latent=2 flow-layers=1 flow-hidden=1", "prior=flow flow-layers=7", "posterior=flow flow=autoregressive prior=flow"} {
		if err := withSettings(t, pairs).Validate(); err != nil {
			t.Errorf("%s: %v", pairs, err)
		}
	}
}

// TestAFileOfADiagonalPosteriorSaysNothingOfFlows: a run from before they were there is the
// same to the byte.
func TestAFileOfADiagonalPosteriorSaysNothingOfFlows(t *testing.T) {
	for _, key := range []string{"posterior", "flow", "prior"} {
		if text := string(DefaultConfig(VAEModel).JSON()); strings.Contains(text, key) {
			t.Errorf("the file has %s: %s", key, text)
		}
	}
	if text := string(withSettings(t, "posterior=flow flow=autoregressive flow-layers=2").JSON()); !strings.Contains(text, `"flow": "autoregressive"`) || !strings.Contains(text, `"flow-layers": 2`) {
		t.Errorf("the file lacks its flow: %s", text)
	}
}

// TestTheMemoryOfAFamilyHoldsItsParameters: the estimate counts, of each family, no fewer
// weights than the model has beside those of a diagonal Gaussian, and not many more.
func TestTheMemoryOfAFamilyHoldsItsParameters(t *testing.T) {
	const pixels = 30
	count := func(c Config) (n float64) {
		m, err := model.NewVAE(c.Settings.(*VAESettings).Model(c, pixels), graphtest.Engine(1), func(string) graph.Uniform { return half{} })
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range m.Params() {
			n += float64(len(p.Value))
		}
		return n
	}
	const sizes = "hidden=40 latent=12 "
	usual := count(withSettings(t, sizes))
	for _, pairs := range []string{"posterior=full", "posterior=flow", "posterior=flow flow=autoregressive flow-layers=2 flow-hidden=20", "prior=flow", "posterior=full prior=flow flow-hidden=100"} {
		c := withSettings(t, sizes+pairs)
		_, weights := c.Settings.(*VAESettings).families()
		biases := 0.1 * weights // which the estimate leaves out
		if more := count(c) - usual; weights+biases < more || weights > 1.6*more {
			t.Errorf("%s: %.0f weights estimated, %.0f are there", pairs, weights, more)
		}
		if c.Settings.Bytes(c, model.MapShape{Rows: 1, Cols: pixels, Channels: 1}, 100) <= withSettings(t, sizes).Settings.Bytes(c, model.MapShape{Rows: 1, Cols: pixels, Channels: 1}, 100) {
			t.Errorf("%s takes no more memory", pairs)
		}
		if d := c.Settings.Describe(c, pixels); !strings.Contains(d, "flow") && !strings.Contains(d, "full") {
			t.Errorf("%s is described as %q", pairs, d)
		}
	}
}

// TestAnEncoderOfAnotherFamilyIsRefused, unless the decoder alone is kept; a family that was
// not asked for is that of the run to begin with.
func TestAnEncoderOfAnotherFamilyIsRefused(t *testing.T) {
	full, flow := withSettings(t, "posterior=full"), withSettings(t, "posterior=flow flow=autoregressive flow-layers=2")
	own := func(c Config) VAESettings { return SettingsOf[VAESettings](c) }
	if err := own(full).samePosterior(own(flow)); err == nil || !strings.Contains(err.Error(), "want --posterior flow") {
		t.Errorf("a full covariance from a flow: %v", err)
	}
	if err := own(withSettings(t, "posterior=flow")).samePosterior(own(flow)); err == nil || !strings.Contains(err.Error(), "--flow autoregressive --flow-layers 2 --flow-hidden 64") {
		t.Errorf("a flow from another: %v", err)
	}
	taken := own(DefaultConfig(VAEModel))
	taken.takePosterior(own(flow), func(string) bool { return false })
	if err := taken.samePosterior(own(flow)); err != nil {
		t.Errorf("taken over, and still: %v", err)
	}
	taken.takePosterior(own(full), func(key string) bool { return key == "posterior" })
	if taken.Posterior != model.FlowedPosterior {
		t.Errorf("posterior %s, though another was given", taken.Posterior)
	}
}
