package train

import (
	"fmt"
	"slices"
	"strings"
)

// Setting is an option with a value, as a flag would be written.
type Setting struct{ Key, Value string }

// Recipe is a set of settings of a VAE that goes by a name. A run that is made with it has the
// settings in its file, and not the name.
type Recipe struct {
	Name, Usage string
	Settings    []Setting
}

// Recipes lists them all.
func Recipes() []Recipe {
	return []Recipe{
		{Name: "fast", Usage: "a good bound in minutes", Settings: []Setting{
			{"hidden", "200,200"}, {"latent", "50"}, {"activation", "tanh"},
			{"batch", "100"}, {"epochs", "300"}, {"lr", "2e-3"}, {"lr-schedule", "cosine"}, {"output-bias", "data"},
		}},
		// ε is for the mean of the gradients over a batch, of which the paper takes the sum.
		{Name: "paper", Usage: "the VAE of Burda et al. (2016), as their program trains it", Settings: []Setting{
			{"hidden", "200,200"}, {"latent", "50"}, {"activation", "tanh"},
			{"batch", "20"}, {"epochs", "3280"}, {"lr", "1e-3"}, {"lr-schedule", "burda"},
			{"adam-beta1", "0.99"}, {"adam-epsilon", "5e-6"}, {"output-bias", "data"},
		}},
	}
}

// FindRecipe returns the recipe of that name.
func FindRecipe(name string) (Recipe, error) {
	var names []string
	for _, r := range Recipes() {
		if r.Name == name {
			return r, nil
		}
		names = append(names, r.Name)
	}
	return Recipe{}, fmt.Errorf("unknown recipe %q, want %s", name, strings.Join(names, " or "))
}

// With returns the recipe with other settings: those that it has are replaced.
func (r Recipe) With(settings ...Setting) []Setting {
	return append(slices.DeleteFunc(slices.Clone(r.Settings), func(own Setting) bool {
		return slices.ContainsFunc(settings, func(s Setting) bool { return s.Key == own.Key })
	}), settings...)
}

// Apply sets settings, in their order. A setting model comes first: it decides on the others.
func (c *Config) Apply(settings []Setting) error {
	for _, s := range settings {
		if s.Key == "model" {
			*c = DefaultConfig(s.Value)
			continue
		}
		if err := c.Set(s.Key, s.Value); err != nil {
			return fmt.Errorf("%s is %w", s.Key, err)
		}
	}
	return nil
}
