package model

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"elbo/graph"
	"elbo/graph/graphtest"
)

// levelKinds are the likelihoods of 256 levels that a table takes, with the log-mass of a level
// as it is defined, in float64.
var levelKinds = []struct {
	name LikelihoodName
	logP func(v float64, numbers []float64) float64
}{
	{DiscretizedLogisticName, func(v float64, o []float64) float64 {
		return math.Log(graph.LogisticMass(int(v), o[0], o[1]))
	}},
	{DiscretizedLogisticMixtureName, func(v float64, o []float64) float64 {
		m, total, mass := len(o)/3, 0.0, 0.0
		for i := range m {
			total += math.Exp(o[i])
			mass += math.Exp(o[i]) * graph.LogisticMass(int(v), o[m+2*i], o[m+2*i+1])
		}
		return math.Log(mass / total)
	}},
	{BetaBinomialName, func(v float64, o []float64) float64 {
		gamma := func(a float64) float64 { l, _ := math.Lgamma(a); return l }
		share, c := 1/(1+math.Exp(-o[0])), math.Exp(o[1])
		a, b := c*share, c*(1-share)
		return gamma(256) - gamma(v+1) - gamma(256-v) + gamma(v+a) + gamma(255-v+b) - gamma(255+c) + gamma(a+b) - gamma(a) - gamma(b)
	}},
}

// allPairs are all 65 536 images of two values, and levels are theirs.
func allPairs() (x []float32) {
	for i := range graph.Levels * graph.Levels {
		x = append(x, float32(i/graph.Levels)/255, float32(i%graph.Levels)/255)
	}
	return x
}

// levelFit fits a model of three states to a few images of two values.
func levelFit(t *testing.T, name LikelihoodName, grid bool) *fit {
	t.Helper()
	c := EMConfig{Pixels: 2, States: 3, Likelihood: name, Mixtures: 0, Prior: Shared, Smoothing: 0.1}
	rng := rand.New(rand.NewPCG(3, 1))
	var x []float32
	for range 40 {
		at := rng.Float64()
		for range 2 {
			x = append(x, float32(math.Round(255*min(max(at+0.1*rng.NormFloat64(), 0), 1)))/255)
		}
	}
	var f *fit
	if grid {
		g, err := NewGrid(EqualMass, []int{3})
		if err != nil {
			t.Fatal(err)
		}
		c.Smoothing, c.Grid = 0, &GridConfig{Grid: g, Hidden: []int{4}, Activation: graph.Tanh}
		m, err := NewGridModel(c, graphtest.Engine(2), func(name string) graph.Uniform { return rand.New(rand.NewPCG(5, uint64(len(name)))) })
		if err != nil {
			t.Fatal(err)
		}
		f = newFit(t, m, x, 40)
	} else {
		m, err := NewMixture(c, graphtest.Engine(2))
		if err != nil {
			t.Fatal(err)
		}
		first := m.NewStatistics()
		first.Images = 3
		for k := range 3 { // each at an image
			first.Counts[k] = 1
			for j := range 2 {
				first.Sums[(j*graph.Levels+int(math.Round(float64(x[2*k+j]*255))))*3+k] = 1
			}
		}
		if err := m.Maximise(first); err != nil {
			t.Fatal(err)
		}
		f = newFit(t, m, x, 40)
	}
	for range 4 {
		f.maximise(t, f.expect(t).stats)
	}
	return f
}

// TestEvidenceOfLevelsIsABruteForceSum: log p(x) of all 65 536 images of two values is the sum over
// states in float64, and all of p(x) is 1.
func TestEvidenceOfLevelsIsABruteForceSum(t *testing.T) {
	for _, kind := range levelKinds {
		for _, grid := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, grid %v", kind.name, grid), func(t *testing.T) {
				f := levelFit(t, kind.name, grid)
				var states *levelStates
				if grid {
					states = &f.grid.grid.(*levelGrid).levelStates
				} else {
					states = &f.mix.components.(*levelMixture).levelStates
				}
				// log P(v) of each value in each state, from the numbers alone.
				numbers := make([]float64, states.family.Numbers())
				outputs := states.out.Shape[1]
				var logP [3][2][graph.Levels]float64
				for k := range 3 {
					for j := range 2 {
						for i := range numbers {
							numbers[i] = float64(states.out.Value[k*outputs+states.family.Place(j, i)])
						}
						for v := range graph.Levels {
							logP[k][j][v] = kind.logP(float64(v), numbers)
						}
					}
				}
				sum, worst := 0.0, 0.0
				for i, got := range newFit(t, f, allPairs(), graph.Levels*graph.Levels).expect(t).evidence {
					want := 0.0
					for k, l := range f.m.LogPrior() {
						want += math.Exp(float64(l) + logP[k][0][i/graph.Levels] + logP[k][1][i%graph.Levels])
					}
					sum += math.Exp(got)
					worst = max(worst, math.Abs(got-math.Log(want))/max(1, math.Abs(math.Log(want))))
				}
				// Log-masses are float32 out of parts of up to 100 nats that partly cancel:
				// those of a narrow logistic far from the level.
				if worst > 100*roundoff {
					t.Errorf("log p(x) is off by %.2g of itself", worst)
				}
				if math.Abs(sum-1) > 100*roundoff {
					t.Errorf("Σ p(x) = %.8f, want 1", sum)
				}
			})
		}
	}
}

// TestAStateOfLevelsGivesBackItsMasses: E[x|z], log p of a pixel and draws are of the same masses.
func TestAStateOfLevelsGivesBackItsMasses(t *testing.T) {
	for _, kind := range levelKinds {
		f := levelFit(t, kind.name, false)
		means, rng := f.m.Means(), rand.New(rand.NewPCG(8, 8))
		for k := range 3 {
			var total, mean, drawn [2]float64
			for v := range graph.Levels {
				for j := range 2 {
					p := math.Exp(f.m.states.logPixel(k, j, float32(v)/255))
					total[j] += p
					mean[j] += p * float64(v) / 255
				}
			}
			const draws = 4000
			x := make([]float32, 2)
			for range draws {
				f.m.DrawState(x, k, rng)
				for j, v := range x {
					drawn[j] += float64(v) / draws
				}
			}
			for j := range 2 {
				if math.Abs(total[j]-1) > 1e-5 || math.Abs(mean[j]-float64(means[k*2+j])) > 1e-5 {
					t.Errorf("%s, state %d: the masses of value %d sum to %.7f, their mean is %.6f, want 1 and %.6f", kind.name, k, j, total[j], mean[j], means[k*2+j])
				}
				if math.Abs(drawn[j]-mean[j]) > 5*0.5/math.Sqrt(draws) { // of numbers in [0, 1]
					t.Errorf("%s, state %d: draws of value %d have the mean %.4f, want %.4f", kind.name, k, j, drawn[j], mean[j])
				}
			}
		}
	}
}
