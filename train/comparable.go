package train

import (
	"fmt"

	"elbo/data"
	"elbo/model/infer"
)

// Scored is what decides whether the figures of a run compare with those of another.
type Scored struct {
	Config     Config
	DataSHA256 string // of the data set, as in run.State.Data
}

// Difference is a reason why figures of two runs do not compare.
type Difference int

const (
	// OtherMeasure: log p(x) is the logarithm of another thing, as a probability is not a
	// density. Nothing makes these comparable.
	OtherMeasure Difference = iota + 1
	// OtherData: the images differ. Scoring both models on one data set settles it.
	OtherData
	// OtherPixels: the images are binarised otherwise. So does one binarisation for both.
	OtherPixels
)

// Differences returns why figures of a and b do not compare, in nats; none where they do.
func Differences(a, b Scored) []Difference {
	var found []Difference
	if !a.Config.Likelihood.Measure().Compares(b.Config.Likelihood.Measure()) {
		found = append(found, OtherMeasure)
	}
	if a.DataSHA256 != b.DataSHA256 {
		found = append(found, OtherData)
	}
	if BinarisedAs(a.Config) != BinarisedAs(b.Config) {
		found = append(found, OtherPixels)
	}
	return found
}

// Binarised says how the pixels of a run come from its images.
type Binarised struct {
	Binarise data.Binarisation
	Seed     uint64 // of the draw; 0 where nothing is drawn
}

// BinarisedAs returns how a configuration has it.
func BinarisedAs(c Config) Binarised {
	if c.Binarise == data.Static || c.Binarise == data.Dynamic {
		return Binarised{c.Binarise, c.Seed}
	}
	return Binarised{Binarise: c.Binarise}
}

// String names the settings, as in "binarise static (seed 1)".
func (p Binarised) String() string {
	if p.Binarise == data.Static || p.Binarise == data.Dynamic {
		return fmt.Sprintf("binarise %s (seed %d)", p.Binarise, p.Seed)
	}
	return fmt.Sprintf("binarise %s", p.Binarise)
}

// SamePixels reports whether two views show the very same pixels in the same order: as many
// images, and the same SHA-256. It reads all of both.
func SamePixels(a, b data.View) bool { return a.N() == b.N() && a.Hash() == b.Hash() }

// BestScore returns o where it also asks for the best that can be known of log p(x)
// under the model of s: quadrature in few latent dimensions, in more of them the annealing
// that o asks for, if it does, and L_k otherwise. A sum over states needs neither, and where
// there is no likelihood there is no log p(x). Evaluation.Evidence names the figure.
func BestScore(s *Setup, o ScoreOptions) ScoreOptions {
	table := s.Config.HasTable()
	o.Exact = !table && s.Config.Likelihood.IsLikelihood() && s.Config.Network().Latent <= infer.MaxExactLatent
	if table || o.Exact || !s.Config.Likelihood.IsLikelihood() {
		o.AIS = nil
	}
	return o
}
