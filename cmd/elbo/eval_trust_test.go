package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"elbo/model"
	"elbo/model/infer"
	"elbo/train"
)

// TestALongAnnealingSaysSoOnce: when its pace is known, with the time that it will take;
// a short one only says how far it is.
func TestALongAnnealingSaysSoOnce(t *testing.T) {
	for _, c := range []struct {
		name  string
		moves int // of one second each
		want  []string
	}{
		{"long", 1000, []string{
			"annealed importance sampling: 0 % done, about 16m38s left",
			"annealed importance sampling of 70 images will take about 16m37s more: Ctrl-C ends it; a smaller --limit or fewer --ais-steps take less",
			"annealed importance sampling: 1 % done, about 16m23s left",
		}},
		{"short", 60, []string{"annealed importance sampling: 3 % done, about 58s left", "annealed importance sampling: 28 % done, about 43s left"}},
	} {
		p, words, clock := clocked(0)
		b := newBar(p)
		step := b.annealing(70)
		for done := 1; done <= 18 && done <= c.moves; done++ {
			clock(float64(done))
			step(done, c.moves)
		}
		b.done()
		if got, want := words.String(), strings.Join(c.want, "\n")+"\n"; got != want {
			t.Errorf("%s: it says\n%swant\n%s", c.name, got, want)
		}
	}
}

// TestTheTailsAdviceFitsTheModel: quadrature where it can be done, annealing where it has
// not been done, more draws where they come nearer, and a warning only of an encoder that is
// worse than is usual.
func TestTheTailsAdviceFitsTheModel(t *testing.T) {
	for _, c := range []struct {
		name        string
		dims        int
		k, bad, ess float64
		ais         *infer.AIS
		want        string
	}{
		{"usual", 50, 0.9, 0.97, 5, nil, "L_100 is a lower bound on log p(x), perhaps nats below it (Pareto k-hat 0.90 in the median, above 0.50 for 97 % of the images); more --samples come nearer, and `eval --ais --limit 300` estimates log p(x)\n"},
		{"mostly good", 50, 0.3, 0.06, 60, nil, "L_100 is a lower bound on log p(x), close for most images and loose for 6 % of them (Pareto k-hat above 0.50; median 0.30); more --samples come nearer, and `eval --ais --limit 300` estimates log p(x)\n"},
		{"heavy", 50, 1.2, 0.97, 5, nil, "L_100 is a lower bound on log p(x), perhaps nats below it (Pareto k-hat 1.20 in the median, above 0.50 for 97 % of the images); `eval --ais --limit 300` estimates log p(x), and more --samples gain little\n"},
		{"a plane", 2, 0.9, 0.996, 5, nil, "L_100 is a lower bound on log p(x), perhaps nats below it (Pareto k-hat 0.90 in the median, above 0.50 for 99.6 % of the images); `eval --exact` computes log p(x)\n"},
		{"annealed", 50, 0.9, 1, 5, &infer.AIS{}, "L_100 is a lower bound on log p(x), perhaps nats below it (Pareto k-hat 0.90 in the median, above 0.50 for 100 % of the images)\n"},
		{"good", 50, 0.1, 0.004, 5, nil, "L_100 is below log p(x) by about 0.031 nats (Pareto k-hat 0.10, above 0.50 for 0.4 % of the images)\n"},
		{"one draw counts", 50, 3.5, 1, 1.3, nil, "warning: in most images one draw outweighs all others in L_100 (effective 1.3): the encoder misses the posteriors, and it may be far below log p(x); `eval --ais --limit 300` estimates log p(x), and more --samples gain little\n"},
	} {
		e := &evalReport{Evaluation: infer.Evaluation{
			IW:  &infer.IW{K: 100, ESS: c.ess, Bias: 0.0312, KHat: new(c.k), KHatBad: new(c.bad), KHatLimit: new(0.5)},
			AIS: c.ais,
		}, latent: c.dims}
		var w bytes.Buffer
		e.writeTail(&w)
		if w.String() != c.want {
			t.Errorf("%s: %swant %s", c.name, w.String(), c.want)
		}
	}
}

// TestWhatComesNextFitsTheModel of a training that has ended.
func TestWhatComesNextFitsTheModel(t *testing.T) {
	for _, c := range []struct {
		name       string
		likelihood model.LikelihoodName
		dims       int
		k          *float64
		want       string
	}{
		{"a plane", model.BernoulliName, 2, new(1.5), " --exact"},
		{"a good encoder", model.BernoulliName, 20, new(0.8), " --samples 1000"},
		{"weights without a mean", model.BernoulliName, 20, new(1.1), " --ais --limit 300"},
		{"too few draws to say", model.BernoulliName, 20, nil, " --samples 1000"},
		{"no likelihood", model.GreyBernoulliName, 2, new(0.8), ""},
	} {
		config := train.With(train.DefaultConfig(train.VAEModel), func(s *train.VAESettings) { s.Latent = c.dims })
		config.Likelihood = c.likelihood
		r := trainReport{Test: &evalReport{Evaluation: infer.Evaluation{IW: &infer.IW{KHat: c.k}}}}
		if got := r.check(config); got != c.want {
			t.Errorf("%s: eval%s, want eval%s", c.name, got, c.want)
		}
	}
	if got := new(trainReport).check(train.DefaultConfig(train.VAEModel)); got != " --samples 1000" {
		t.Errorf("nothing tested: eval%s", got)
	}
}

// TestFewFiguresAreListedAndOfManyTheLargest.
func TestFewFiguresAreListedAndOfManyTheLargest(t *testing.T) {
	many := make([]float64, 1000)
	for i := range many {
		many[i] = float64(i)
	}
	for _, c := range []struct {
		figures []float64
		want    string
	}{
		{[]float64{2}, ": 2.00"},
		{[]float64{1, 3, 2}, ", largest first: 3.00 2.00 1.00"},
		{many, ", largest first: 999.00 998.00 997.00 996.00 995.00 994.00 993.00 992.00 991.00 990.00 and 990 more, in --json"},
	} {
		if got := largestFirst(c.figures); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
	if many[0] != 0 {
		t.Error("the figures of the report were sorted")
	}
}

// TestTheErrorOfAnnealingIsMeasuredNotItsChainsSpread: what the chains' spread says stands
// beside the distance of the two bounds, never alone, and is warned of where it says too
// little. A stronger warning stands alone.
func TestTheErrorOfAnnealingIsMeasuredNotItsChainsSpread(t *testing.T) {
	const spread, deceives, fast = "the spread of the chains, which leaves out what all of them miss, says 0.07", "warning: AIS may be 0.40 nats below log p(x), more than 3 times what the spread of its chains says", "warning: AIS is a lower bound, not to be trusted"
	for _, c := range []struct {
		name        string
		gap, ess    float64
		notMeasured bool
		want        []string
	}{
		{"a small gap", 0.2, 3.1, false, []string{spread}},
		{"a gap beyond the spread", 0.4, 3.1, false, []string{spread, deceives}},
		{"a gap that is too large", 1.2, 3.1, false, []string{spread, fast}},
		{"one chain that counts", 0.4, 1.1, false, []string{spread, fast}},
		{"nothing measured", 0, 3.1, true, []string{"how far AIS is below log p(x) was not measured"}},
	} {
		a := &infer.AIS{ChainSE: 0.07, Chains: 8, Steps: 1000, ESS: c.ess, Acceptance: 0.7, Simulated: &infer.Sandwich{Images: 50, Gap: c.gap, GapSE: 0.13}}
		if c.notMeasured {
			a.Simulated = nil
		}
		var w bytes.Buffer
		(&evalReport{Evaluation: infer.Evaluation{AIS: a}, Likelihood: string(model.GreyBernoulliName)}).writeTrust(&w)
		for _, words := range []string{spread, deceives, fast, "was not measured"} {
			wanted := slices.ContainsFunc(c.want, func(s string) bool { return strings.Contains(s, words) })
			if strings.Contains(w.String(), words) != wanted {
				t.Errorf("%s: it says\n%sand %q in it is %v, want %v", c.name, w.String(), words, !wanted, wanted)
			}
		}
	}
}
