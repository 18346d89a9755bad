package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"elbo/model"
	"elbo/model/infer"
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
// not been done, and no advice where there is nothing to worry about.
func TestTheTailsAdviceFitsTheModel(t *testing.T) {
	at := func(v float64) *float64 { return &v }
	for _, c := range []struct {
		dims int
		bad  float64
		ais  *infer.AIS
		want string
	}{
		{50, 0.97, nil, "warning: L_100 is a lower bound, not to be trusted as log p(x): Pareto k-hat is above 0.50 for 97 % of the images (median 0.90); `eval --ais` estimates it, and many more --samples come nearer\n"},
		{2, 0.996, nil, "warning: L_100 is a lower bound, not to be trusted as log p(x): Pareto k-hat is above 0.50 for 99.6 % of the images (median 0.90); `eval --exact` has it, --ais an estimate\n"},
		{50, 1, &infer.AIS{}, "warning: L_100 is a lower bound, not to be trusted as log p(x): Pareto k-hat is above 0.50 for 100 % of the images (median 0.90)\n"},
		{50, 0.004, nil, "L_100 is below log p(x) by about 0.031 nats (Pareto k-hat 0.90, above 0.50 for 0.4 % of the images)\n"},
	} {
		e := &evalReport{Evaluation: infer.Evaluation{
			IW:       &infer.IW{K: 100, Bias: 0.0312, KHat: at(0.9), KHatBad: at(c.bad), KHatLimit: at(0.5)},
			KLPerDim: make([]float64, c.dims), AIS: c.ais,
		}}
		var w bytes.Buffer
		e.writeTail(&w)
		if w.String() != c.want {
			t.Errorf("%d dimensions, %g bad: %swant %s", c.dims, c.bad, w.String(), c.want)
		}
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
