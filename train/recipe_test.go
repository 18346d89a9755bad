package train

import "testing"

// TestRecipesAreConfigurations that can be trained, of a VAE, and each changes something.
func TestRecipesAreConfigurations(t *testing.T) {
	for _, r := range Recipes() {
		c := DefaultConfig(VAEModel)
		if err := c.Apply(r.Settings); err != nil {
			t.Fatalf("%s: %v", r.Name, err)
		}
		if err := c.Validate(); err != nil {
			t.Errorf("%s: %v", r.Name, err)
		}
		if string(c.JSON()) == string(DefaultConfig(VAEModel).JSON()) {
			t.Errorf("%s is the default", r.Name)
		}
		read, err := ReadConfig(c.JSON())
		if err != nil || string(read.JSON()) != string(c.JSON()) {
			t.Errorf("%s: its file is read as %s (%v)", r.Name, read.JSON(), err)
		}
	}
	if _, err := FindRecipe("quick"); err == nil || err.Error() != `unknown recipe "quick", want fast or paper` {
		t.Errorf("FindRecipe = %v", err)
	}
}
