package train

import (
	"slices"
	"testing"

	"elbo/data"
	"elbo/graph/graphtest"
	"elbo/model"
	"elbo/model/infer"
)

// TestFiguresCompareWhereMeasureDataAndPixelsAreOne: a seed matters only where pixels are
// drawn with it, and each difference has its own name.
func TestFiguresCompareWhereMeasureDataAndPixelsAreOne(t *testing.T) {
	one := func(likelihood model.LikelihoodName, mode data.Binarisation, seed uint64, sha string) Scored {
		c := DefaultConfig(VAEModel)
		c.Likelihood, c.Binarise, c.Seed = likelihood, mode, seed
		return Scored{c, sha}
	}
	first := one(model.BernoulliName, data.Static, 1, "a")
	for _, c := range []struct {
		name string
		a, b Scored
		want []Difference
	}{
		{"the same", first, first, nil},
		{"another seed of a threshold", one(model.BernoulliName, data.Threshold, 1, "a"), one(model.BernoulliName, data.Threshold, 2, "a"), nil},
		{"another seed of a draw", first, one(model.BernoulliName, data.Static, 2, "a"), []Difference{OtherPixels}},
		{"another binarisation", first, one(model.BernoulliName, data.Threshold, 1, "a"), []Difference{OtherPixels}},
		{"other data", first, one(model.BernoulliName, data.Static, 1, "b"), []Difference{OtherData}},
		{"a density, of other data", first, one(model.GaussianName, data.Static, 1, "b"), []Difference{OtherMeasure, OtherData}},
	} {
		if got := Differences(c.a, c.b); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	if got := BinarisedAs(first.Config).String(); got != "binarise static (seed 1)" {
		t.Errorf("pixels: %q", got)
	}
}

// TestSamePixelsAreTheVeryPixels: not another number of images, another split, or another
// draw.
func TestSamePixelsAreTheVeryPixels(t *testing.T) {
	c := DefaultConfig(VAEModel)
	c.Binarise, c.Limit = data.Static, 8
	s, err := NewSetup(c, 1, graphtest.Engine)
	if err != nil {
		t.Fatal(err)
	}
	same, fewer, drawn := s.Train, s.Train, s.Train
	fewer.Subset = fewer.First(7)
	drawn.Seed++
	if !SamePixels(s.Train, same) {
		t.Error("a view differs from itself")
	}
	for name, other := range map[string]data.View{"fewer images": fewer, "another draw": drawn} {
		if SamePixels(s.Train, other) {
			t.Errorf("%s are the same pixels", name)
		}
	}
}

// TestTheBestFigureIsTheOneThatCanBeHad: quadrature in few dimensions, without the annealing
// that would say less; annealing in many, if asked for; neither without a likelihood or for
// a sum over states.
func TestTheBestFigureIsTheOneThatCanBeHad(t *testing.T) {
	vae := func(latent int, likelihood model.LikelihoodName) Config {
		c := With(DefaultConfig(VAEModel), func(s *VAESettings) { s.Latent = latent })
		c.Likelihood = likelihood
		return c
	}
	for _, c := range []struct {
		name       string
		config     Config
		exact, ais bool
	}{
		{"a plane", vae(2, model.BernoulliName), true, false},
		{"twenty dimensions", vae(20, model.BernoulliName), false, true},
		{"no likelihood", vae(2, model.GreyBernoulliName), false, false},
		{"a mixture", DefaultConfig(MixtureModel), false, false},
	} {
		asked := infer.DefaultAIS()
		o := BestScore(&Setup{Config: c.config}, ScoreOptions{Samples: 7, AIS: &asked})
		if o.Exact != c.exact || (o.AIS != nil) != c.ais || o.Samples != 7 {
			t.Errorf("%s: quadrature %v, annealing %v, want %v and %v", c.name, o.Exact, o.AIS != nil, c.exact, c.ais)
		}
		if o = BestScore(&Setup{Config: c.config}, ScoreOptions{}); o.AIS != nil {
			t.Errorf("%s: annealing that nobody asked for", c.name)
		}
	}
}
