package infer

import (
	"context"
	"math"
	"testing"

	"elbo/data"
	"elbo/graph"
	"elbo/model"
)

// rateOf evaluates a VAE and splits its rate.
func rateOf(t *testing.T, m *model.VAE, v data.View) (Evaluation, *Rate) {
	t.Helper()
	e, err := NewEvaluator(m, 1)
	if err != nil {
		t.Fatal(err)
	}
	scored, err := e.Evaluate(context.Background(), v, 3)
	if err != nil {
		t.Fatal(err)
	}
	rate, err := e.SplitRate(context.Background(), scored, 3)
	if err != nil || rate == nil {
		t.Fatalf("rate %v, error %v", rate, err)
	}
	return scored, rate
}

// encoderOf changes the encoder's last layer, whose rows are [μ | log σ²]. It has no hidden
// layer.
func encoderOf(m *model.VAE, change func(weight, bias []float32)) {
	p := m.Q.Encoder.Params()
	change(p[0].Value, p[1].Value)
}

func shallowVAE(t *testing.T, latent int) *model.VAE {
	t.Helper()
	return newVAE(t, model.VAEConfig{Pixels: 100, Latent: latent, Activation: graph.ReLU, Likelihood: model.BernoulliName, Objective: model.ELBO, Draws: 1}, drawn(1))
}

// TestAPosteriorThatIgnoresTheImageTellsNothingOfIt: I_q is 0, and all of the divergence is
// that of the mean posterior. 3 dimensions, each with some four roundings of numbers below 8.
func TestAPosteriorThatIgnoresTheImageTellsNothingOfIt(t *testing.T) {
	m := shallowVAE(t, 3)
	encoderOf(m, func(weight, bias []float32) {
		clear(weight)
		copy(bias, []float32{1, -0.5, 0.2, -1, 0.3, -2})
	})
	scored, rate := rateOf(t, m, plainView(t, 700, 10, 10)) // more than one block of members
	const tolerance = 3 * 4 * 8 * 6e-8
	if i := rate.MutualInformation; math.Abs(i.Value) > tolerance || i.SE > tolerance {
		t.Errorf("I_q is %g ± %g, want 0", i.Value, i.SE)
	}
	if math.Abs(rate.Marginal.Value-scored.KL) > tolerance {
		t.Errorf("KL(q(z) ‖ p) is %g, want all of KL, %g", rate.Marginal.Value, scored.KL)
	}
	if rate.Saturated() {
		t.Error("I_q of 0 is near its ceiling")
	}
}

// TestPosteriorsThatDoNotOverlapTellTheImageApart: I_q is log N, and not more. Each image has
// a code of its own, hundreds of standard deviations from all others.
func TestPosteriorsThatDoNotOverlapTellTheImageApart(t *testing.T) {
	m := shallowVAE(t, 2)
	encoderOf(m, func(weight, bias []float32) {
		for i := range weight {
			if weight[i] *= 400; i >= len(weight)/2 {
				weight[i] = 0
			}
		}
		copy(bias, []float32{0, 0, -8, -8})
	})
	v := plainView(t, 40, 10, 10)
	scored, rate := rateOf(t, m, v)
	// σ is exp(-4), and z up to some hundreds of it: z - μ keeps 2⁻²⁴ · 400 / σ of a standard
	// deviation, 2e-3, which moves ε²/2 by as much.
	if got := rate.MutualInformation.Value; math.Abs(got-math.Log(40)) > 0.01 {
		t.Errorf("I_q is %g, want log 40 = %g", got, math.Log(40))
	}
	if !rate.Saturated() || rate.Ceiling != math.Log(40) || rate.Drawn != 40 {
		t.Errorf("%+v, want the ceiling log 40, 40 draws, and saturated", rate)
	}
	if d := rate.MutualInformation.Value + rate.Marginal.Value - scored.KL; math.Abs(d) > 1e-9*scored.KL {
		t.Errorf("the parts add up to KL and %g", d)
	}
}

// TestTheDivergenceOfTheMeanPosteriorIsThatOfQuadrature: in one dimension ∫ q(z) log(q(z)/p(z)) dz
// by a fine sum in float64, which knows nothing of draws. The estimate is that, within five
// standard errors; and the parts add up to KL to rounding.
func TestTheDivergenceOfTheMeanPosteriorIsThatOfQuadrature(t *testing.T) {
	m := shallowVAE(t, 1)
	encoderOf(m, func(weight, _ []float32) {
		for i := range 100 { // the rows are μ and log σ²
			weight[i] *= 4
		}
	})
	v := plainView(t, 600, 10, 10)
	scored, rate := rateOf(t, m, v)
	want := 0.0
	const lo, hi, steps = -25.0, 25.0, 5000
	for i := range steps {
		z := lo + (float64(i)+0.5)*(hi-lo)/steps
		q := 0.0
		for n := range v.N() {
			mu, logVar := float64(scored.posteriors[2*n]), float64(scored.posteriors[2*n+1])
			q += math.Exp(-(z-mu)*(z-mu)/2*math.Exp(-logVar)-logVar/2) / math.Sqrt(2*math.Pi) / float64(v.N())
		}
		if q > 0 {
			want += q * (math.Log(q) + z*z/2 + math.Log(2*math.Pi)/2) * (hi - lo) / steps
		}
	}
	if got := rate.Marginal; math.Abs(got.Value-want) > 5*got.SE || got.SE > 0.2*want {
		t.Errorf("KL(q(z) ‖ p) is %.4f ± %.4f, want %.4f", got.Value, got.SE, want)
	}
	if i := rate.MutualInformation; math.Abs(i.Value-(scored.KL-want)) > 5*i.SE || i.Value < 0.05 {
		t.Errorf("I_q is %.4f ± %.4f, want %.4f", i.Value, i.SE, scored.KL-want)
	}
	if d := rate.MutualInformation.Value + rate.Marginal.Value - scored.KL; math.Abs(d) > 1e-12 {
		t.Errorf("the parts add up to KL and %g", d)
	}
}

// TestARateOfSomeDrawsAgreesWithThatOfAll: a draw is the same whichever others are made beside
// it, and so is its excess.
func TestARateOfSomeDrawsAgreesWithThatOfAll(t *testing.T) {
	m := shallowVAE(t, 2)
	encoderOf(m, func(weight, _ []float32) {
		for i := range weight {
			weight[i] *= 3
		}
	})
	e, err := NewEvaluator(m, 1)
	if err != nil {
		t.Fatal(err)
	}
	v := plainView(t, 1100, 10, 10)
	scored, err := e.Evaluate(context.Background(), v, 3)
	if err != nil {
		t.Fatal(err)
	}
	family := m.Q.Posterior.(model.PairDensity)
	all, err := e.excess(context.Background(), family, scored.posteriors, evenly(1100, 1100), scored.posteriors, 3)
	if err != nil {
		t.Fatal(err)
	}
	some, err := e.excess(context.Background(), family, scored.posteriors, evenly(1100, 100), scored.posteriors, 3)
	if err != nil {
		t.Fatal(err)
	}
	for i, got := range some { // the same draw of the same image; blocks differ in their rounding
		if want := all[i*11]; math.Abs(got-want) > 1e-3 {
			t.Errorf("image %d: log q(z|x) - log q(z) is %g, and %g among all", i*11, got, want)
		}
	}
}

// apart is a family whose density is known at its own draws alone.
type apart struct{ model.Posterior }

// TestARateNeedsADensityAtAnyCode: without one there is none, and no error.
func TestARateNeedsADensityAtAnyCode(t *testing.T) {
	m := shallowVAE(t, 2)
	m.Q.Posterior = apart{m.Q.Posterior}
	e, err := NewEvaluator(m, 1)
	if err != nil {
		t.Fatal(err)
	}
	scored, err := e.Evaluate(context.Background(), plainView(t, 20, 10, 10), 3)
	if err != nil {
		t.Fatal(err)
	}
	if rate, err := e.SplitRate(context.Background(), scored, 3); rate != nil || err != nil {
		t.Errorf("rate %v, error %v, want none", rate, err)
	}
}
