package model

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"elbo/graph"
	"elbo/graph/graphtest"
)

// levelLikelihoods are the likelihoods of 256 levels whose masses LogProb gives, of a grey pixel
// and of a colour.
func levelLikelihoods(t *testing.T, channels int) []Likelihood {
	t.Helper()
	var all []Likelihood
	for _, name := range Likelihoods() {
		if name.Pixels() != LevelPixels || name.Measure() != ProbabilityMass {
			continue
		}
		l, err := NewLikelihood(name, LikelihoodConfig{Channels: channels})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, l)
	}
	return all
}

// TestMeansAndDrawsAreOfTheMassesThatLogProbGives, for a grey pixel: the mean is Σ v/255 P(v),
// and of many draws each level has the share that its mass says.
func TestMeansAndDrawsAreOfTheMassesThatLogProbGives(t *testing.T) {
	var levels [][]float32
	for v := range graph.Levels {
		levels = append(levels, []float32{float32(v) / 255})
	}
	random := rand.New(rand.NewPCG(3, 4))
	for _, l := range levelLikelihoods(t, 1) {
		for round := range 4 {
			out := make([]float32, l.Outputs(1))
			for i := range out {
				out[i] = float32(random.NormFloat64())
			}
			masses, mean := make([]float64, graph.Levels), 0.0
			for v, logP := range graphtest.LogLik(t, levels, out, l.LogProb) {
				masses[v] = math.Exp(float64(logP))
				mean += float64(v) / 255 * masses[v]
			}
			var got [1]float32
			l.Mean(got[:], out)
			if math.Abs(float64(got[0])-mean) > 1e-5 { // masses of up to 1 that are rounded by 2^-20
				t.Errorf("%s, %d: the mean is %v, want %v", l.Name(), round, got[0], mean)
			}
			const draws = 20_000
			counts := make([]int, graph.Levels)
			for range draws {
				l.Draw(got[:], out, random)
				counts[int(math.Round(float64(got[0])*255))]++
				if v := got[0] * 255; v != float32(math.Round(float64(v))) && math.Abs(float64(v)-math.Round(float64(v))) > 1e-4 {
					t.Fatalf("%s: drew %v, which is no level", l.Name(), got[0])
				}
			}
			// χ² over levels with at least five draws expected: its mean is their number and its
			// variance twice that; six standard deviations.
			chi, cells := 0.0, 0.0
			for v, mass := range masses {
				if expected := mass * draws; expected >= 5 {
					d := float64(counts[v]) - expected
					chi, cells = chi+d*d/expected, cells+1
				}
			}
			if chi > cells+6*math.Sqrt(2*cells) {
				t.Errorf("%s, %d: χ² of the draws is %.0f for %.0f levels", l.Name(), round, chi, cells)
			}
		}
	}
}

// TestDrawsOfColoursHaveTheSharesThatLogProbGives: of the second pixel of two, so that a number
// which Draw looks for in another place than LogProb shows. Scales are below a level, so that
// few colours have mass; red, green and blue of a component depend on each other where the
// likelihood has it.
func TestDrawsOfColoursHaveTheSharesThatLogProbGives(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	for _, l := range levelLikelihoods(t, 3) {
		if l.Name() == BetaBinomialName {
			continue // it has no narrow masses in the middle; its layout is that of the others
		}
		t.Run(fmt.Sprint(l.Name()), func(t *testing.T) {
			width := l.Outputs(3)
			out := make([]float32, 2*width)
			for i := range out {
				out[i] = float32(0.3 * random.NormFloat64())
			}
			second := out[width:]
			groups := [][]float32{second}
			if mixture, ok := l.(LogisticMixture); ok {
				groups = nil
				for m := range mixture.Components {
					groups = append(groups, second[mixture.Components+9*m:][:9])
				}
			}
			for m, g := range groups {
				copy(g, []float32{0.4 + 0.01*float32(m), 0.5, 0.6, -6.5, -6.5, -6.5})
			}
			const draws = 20_000
			counts := map[[3]float32]int{}
			first := make([]float32, 3)
			x := make([]float32, 6)
			for range draws {
				l.Draw(x, out, random)
				counts[[3]float32(x[3:])]++
			}
			l.Draw(x, out, random)
			copy(first, x)
			var xs [][]float32
			for colour := range counts {
				xs = append(xs, append(append([]float32{}, first...), colour[:]...))
			}
			of := graphtest.LogLik(t, [][]float32{first}, out[:width], l.LogProb)[0]
			chi, cells := 0.0, 0.0
			for i, logP := range graphtest.LogLik(t, xs, out, l.LogProb) {
				if expected := math.Exp(float64(logP-of)) * draws; expected >= 5 {
					d := float64(counts[[3]float32(xs[i][3:])]) - expected
					chi, cells = chi+d*d/expected, cells+1
				}
			}
			if cells < 50 || chi > cells+6*math.Sqrt(2*cells) {
				t.Errorf("χ² of the draws is %.0f for %.0f colours, want as many and at least 50", chi, cells)
			}
		})
	}
}

// TestDrawsOfADequantisedGaussianFallInItsLevels: each level, of the second channel of the second
// pixel, has the share that the Gaussian has between v/256 and (v+1)/256, black and white the
// rest; and of a Gaussian that is far from both Mean is their mean.
func TestDrawsOfADequantisedGaussianFallInItsLevels(t *testing.T) {
	l, random := DequantisedGaussian{Channels: 3}, rand.New(rand.NewPCG(5, 4))
	for _, c := range []struct{ mean, sigma float64 }{{0.5, 0.02}, {0.02, 0.03}, {0.3, 1}} {
		out := make([]float32, l.Outputs(6))
		at := graph.PairOf(4, 3)
		out[at], out[at+3] = float32(c.mean), float32(2*math.Log(c.sigma))
		upTo := func(edge float64) float64 { return math.Erfc((c.mean-edge)/c.sigma/math.Sqrt2) / 2 }
		x, counts, mean := make([]float32, 6), make([]float64, graph.Levels), 0.0
		const draws = 20_000
		for range draws {
			l.Draw(x, out, random)
			counts[int(math.Round(float64(x[4])*255))]++
		}
		chi, cells := 0.0, 0.0
		for v := range counts {
			low, high := upTo(float64(v)/256), upTo(float64(v+1)/256)
			if v == 0 {
				low = 0
			}
			if v == graph.Levels-1 {
				high = 1
			}
			mean += float64(v) / 255 * (high - low)
			if expected := (high - low) * draws; expected >= 5 {
				chi, cells = chi+(counts[v]-expected)*(counts[v]-expected)/expected, cells+1
			}
		}
		if cells < 10 || chi > cells+6*math.Sqrt(2*cells) { // as above
			t.Errorf("%+v: χ² of the draws is %.0f for %.0f levels", c, chi, cells)
		}
		if l.Mean(x, out); c.sigma == 0.02 && math.Abs(float64(x[4])-mean) > 1e-5 {
			t.Errorf("%+v: the mean is %v, want %v", c, x[4], mean)
		}
	}
}

// TestWhatALikelihoodIsToldIsChecked: each fault by its key.
func TestWhatALikelihoodIsToldIsChecked(t *testing.T) {
	for _, c := range []struct {
		name LikelihoodName
		c    LikelihoodConfig
		want string
	}{
		{BernoulliName, LikelihoodConfig{PixelVariance: true}, "variance is pixel, but likelihood is bernoulli: only gaussian has a variance"},
		{GaussianName, LikelihoodConfig{PixelVariance: true, Variance: 2}, "variance is 2 and one for each pixel: want one of the two"},
		{GaussianName, LikelihoodConfig{Mixtures: 3}, "mixtures is 3, but likelihood is gaussian: want discretized-logistic-mixture"},
		{DiscretizedLogisticMixtureName, LikelihoodConfig{Mixtures: 65}, "mixtures is 65, want 1 to 64"},
	} {
		if _, err := NewLikelihood(c.name, c.c); err == nil || err.Error() != c.want {
			t.Errorf("%s %+v: %v, want %q", c.name, c.c, err, c.want)
		}
	}
}
