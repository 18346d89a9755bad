package train

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestASweepIsEveryCombinationSeedFastest(t *testing.T) {
	base := DefaultConfig(MixtureModel)
	base.Epochs = 7
	s, err := NewSweep(base, []Axis{{"seed", []string{"1", "2"}}, {"components", []string{"10", "020"}}, {"smoothing", []string{"0.5"}}})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, p := range s.Points {
		own := SettingsOf[MixtureSettings](p.Config)
		names = append(names, fmt.Sprintf("%s %d %d %g %d", p.Name, own.Components, p.Config.Seed, own.Smoothing, p.Config.Epochs))
	}
	want := []string{
		"components-10_seed-1 10 1 0.5 7", "components-10_seed-2 10 2 0.5 7",
		"components-20_seed-1 20 1 0.5 7", "components-20_seed-2 20 2 0.5 7",
	}
	if !slices.Equal(names, want) {
		t.Errorf("runs %q, want %q", names, want)
	}
	if !slices.Equal(s.Axes[0].Values, []string{"10", "20"}) || s.Axes[1].Setting != "seed" {
		t.Errorf("axes %v, want components 10 and 20, then seed", s.Axes)
	}
	groups := s.Groups()
	if len(groups) != 2 || !slices.Equal(groups[1].Values, []string{"20"}) || !slices.Equal(groups[1].Points, []int{2, 3}) {
		t.Errorf("groups %v, want two of two runs", groups)
	}
	if own := SettingsOf[MixtureSettings](base); own.Components != 100 {
		t.Errorf("the base has %d components now", own.Components)
	}
}

func TestASweepOverModelsTakesTheDefaultsOfEach(t *testing.T) {
	s, err := NewSweep(DefaultConfig(VAEModel), []Axis{{"model", []string{"mixture", "grid"}}, {"epochs", []string{"3"}}})
	if err != nil {
		t.Fatal(err)
	}
	if a, b := s.Points[0].Config, s.Points[1].Config; a.Model != "mixture" || b.Model != "grid" || a.Epochs != 3 || b.Epochs != 3 || a.Validate() != nil || b.Validate() != nil {
		t.Errorf("runs %v and %v, want a mixture and a grid of 3 iterations", a, b)
	}
}

func TestValuesOfASweepNameDirectories(t *testing.T) {
	s, err := NewSweep(DefaultConfig(GridModel), []Axis{{"grid", []string{"2x3", "4,5"}}, {"hidden", []string{"none", "8,4"}}})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, p := range s.Points {
		names = append(names, p.Name)
	}
	if want := []string{"hidden-none_grid-2x3", "hidden-none_grid-4x5", "hidden-8-4_grid-2x3", "hidden-8-4_grid-4x5"}; !slices.Equal(names, want) {
		t.Errorf("runs %q, want %q", names, want)
	}
}

func TestASweepThatMakesNoSenseSaysAllThatIsWrong(t *testing.T) {
	numbers := func(n int) (all []string) {
		for i := range n {
			all = append(all, fmt.Sprint(i+1))
		}
		return all
	}
	for _, c := range []struct {
		given []Axis
		want  []string
	}{
		{[]Axis{{"latent", []string{"2"}}}, []string{"a sweep of one run"}},
		{[]Axis{{"components", []string{"2", "3"}}}, []string{"components is a setting of mixture, not of vae"}},
		{[]Axis{{"latent", []string{"2", "x"}}, {"lr", []string{"-1", "1"}}}, []string{`latent is "x", want a whole number`, "lr is -1"}},
		{[]Axis{{"seed", []string{"1", "01"}}}, []string{"1 is there twice"}},
		{[]Axis{{"posterior", []string{"full", "flow"}}, {"flow-layers", []string{"2"}}, {"seed", []string{"1", "2"}}},
			[]string{"flow-layers is 2, but neither posterior nor prior is a flow", "found in 2 of 4 runs; the first is posterior full, seed 1"}},
		{[]Axis{{"likelihood", []string{"bernoulli", "gaussian"}}, {"data", []string{"a", "b"}}}, []string{"likelihood has 2 values", "data has 2 values"}},
		{[]Axis{{"seed", numbers(40)}, {"latent", numbers(26)}}, []string{"more than 1000 runs"}},
		{[]Axis{{"seed", numbers(99)}, {"latent", numbers(99)}, {"batch", numbers(99)}, {"k", numbers(99)}, {"warmup", numbers(99)}}, []string{"more than 1000 runs"}},
	} {
		_, err := NewSweep(DefaultConfig(VAEModel), c.given)
		if err == nil {
			t.Errorf("%v was taken", c.given)
			continue
		}
		for _, want := range c.want {
			if strings.Count(err.Error(), want) != 1 {
				t.Errorf("%v: %v\nwant once: %s", c.given, err, want)
			}
		}
	}
}

func TestValuesOfAListAreSetApartBySemicolons(t *testing.T) {
	for _, c := range []struct {
		key   string
		texts []string
		want  []string
	}{
		{"latent", []string{"2,5", "10"}, []string{"2", "5", "10"}},
		{"hidden", []string{"200", "400,200"}, []string{"200", "400,200"}},
		{"hidden", []string{"200;400,200; none"}, []string{"200", "400,200", "none"}},
		{"grid", []string{"10x10,20x20"}, []string{"10x10", "20x20"}},
		{"init-from", []string{"runs/a,b"}, []string{"runs/a,b"}},
		{"accelerate", []string{"true,false"}, []string{"true", "false"}},
	} {
		options := Options()
		i := slices.IndexFunc(options, func(o Option) bool { return o.Key == c.key })
		if got := options[i].Several(c.texts); !slices.Equal(got, c.want) {
			t.Errorf("%s %q: %q, want %q", c.key, c.texts, got, c.want)
		}
	}
	if k, ok := KindWith([]string{"components", "seed"}); !ok || k.Name != MixtureModel {
		t.Errorf("components is a setting of %q", k.Name)
	}
	if k, ok := KindWith([]string{"components", "latent"}); ok {
		t.Errorf("%s has both components and latent", k.Name)
	}
}
