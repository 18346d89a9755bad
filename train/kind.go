package train

import (
	"slices"
	"strings"

	"elbo/data"
	"elbo/model"
)

// Kind is a kind of model that can be trained: a row of the table in which commands and
// files find it by its name.
type Kind struct {
	Name     string            // in flags and files
	Usage    string            // what it is, in a few words
	Epochs   int               // passes over the data, unless told otherwise
	Binarise data.Binarisation // of grey MNIST under a Bernoulli likelihood, unless told otherwise

	Defaults func() Settings
	New      func(*Setup) (Model, error) // makes the model of a setup whose data are open
	Method   func(*Fitting) Method       // by which Run fits it
}

// Settings are what a kind of model has to be told besides what every run is told. c is
// the configuration that they belong to.
type Settings interface {
	Kind() Kind
	Clone() Settings                                          // shares nothing with these
	Options() []Option                                        // in the order of files; setting a value changes these
	Validate(c Config) error                                  // every fault that can be seen without the data, each with its key
	Fit(images int)                                           // changes what depends on the number of training images
	Bytes(c Config, image model.MapShape, images int) float64 // memory of training, about
	Describe(c Config, pixels int) string                     // what is fitted, in a line
}

// Kinds is the table; its first row is the default.
func Kinds() []Kind { return []Kind{vaeKind(), mixtureKind(), gridKind()} }

// orKinds is Kinds where no others are named.
func orKinds(kinds []Kind) []Kind {
	if len(kinds) == 0 {
		return Kinds()
	}
	return kinds
}

func findKind(name string, kinds []Kind) (Kind, bool) {
	i := slices.IndexFunc(kinds, func(k Kind) bool { return k.Name == name })
	if i < 0 {
		return Kind{}, false
	}
	return kinds[i], true
}

// oneOf lists the names, as in "vae, mixture or grid".
func oneOf(kinds []Kind) string {
	var names []string
	for _, k := range kinds {
		names = append(names, k.Name)
	}
	last := len(names) - 1
	if last == 0 {
		return names[0]
	}
	return strings.Join(names[:last], ", ") + " or " + names[last]
}

// known are the kinds that a configuration can tell of: the table, and its own.
func (c Config) known() []Kind {
	if c.Settings == nil {
		return Kinds()
	}
	own, kinds := c.Settings.Kind(), Kinds()
	for i, k := range kinds {
		if k.Name == own.Name {
			kinds[i] = own
			return kinds
		}
	}
	return append(kinds, own)
}

// SettingsOf returns a copy of the settings of c where they are of type S, and the zero
// value, which stands for nothing, where c is of another kind.
func SettingsOf[S any](c Config) S {
	if own, ok := any(c.Settings).(*S); ok {
		return *own
	}
	var none S
	return none
}
