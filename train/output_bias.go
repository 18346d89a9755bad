package train

import (
	"slices"

	"elbo/data"
	"elbo/model"
)

// OutputBias is where the biases of a decoder's last layer begin, by its name in flags and
// files.
type OutputBias string

// The ways.
const (
	DrawnBias OutputBias = "drawn" // as all other biases do
	DataBias  OutputBias = "data"  // where the mean of an image is that of the training images, see model.Joint's SetOutputBias
)

// OutputBiases lists them all.
var OutputBiases = []OutputBias{DrawnBias, DataBias}

// checkOutputBias adds the faults of biases that are to begin at the data's.
func (s *VAESettings) checkOutputBias(c Config, f *faults) {
	f.add(!slices.Contains(OutputBiases, s.OutputBias), "unknown output-bias %q, want drawn or data", s.OutputBias)
	if s.OutputBias != DataBias {
		return
	}
	f.add(s.InitFrom != "", "output-bias is data, but the parameters begin as those of init-from %s: want drawn", s.InitFrom)
	if err := c.Likelihood.Linked(model.LikelihoodConfig{PixelVariance: s.Variance.Pixel}); err != nil && c.Likelihood.Measure() != "" {
		*f = append(*f, err)
	}
}

// beginFromData sets the first values that are the data's: of the decoder's last biases, and
// of what the likelihood solves for.
func (g *gradient) beginFromData() error {
	residual := g.meanSquare // of outputs near 0
	if g.own.OutputBias == DataBias {
		if err := g.vae.SetOutputBias(g.greyMeans()); err != nil {
			return err
		}
		residual = g.pixelVariance
	}
	if g.vae.Solves() {
		g.vae.Likelihood.(model.Solved).Begin(residual())
	}
	return nil
}

// greyMeans are the means of each pixel of the training images: where they are drawn anew in
// every epoch, of what they are drawn from.
func (s *Setup) greyMeans() []float64 {
	grey := *s
	if grey.Train.Mode == data.Dynamic {
		grey.Train.Mode = data.None
	}
	var means []float64
	for _, p := range grey.pixelMoments() {
		means = append(means, p.Mean)
	}
	return means
}

// meanSquare is the mean of the training pixels' squares.
func (s *Setup) meanSquare() float64 {
	x, sum := make([]float32, s.Train.D()), 0.0
	for i := range s.Train.N() {
		s.Train.Evaluated(x, i)
		for _, v := range x {
			sum += float64(float64(v) * float64(v))
		}
	}
	return sum / float64(s.Train.N()*len(x))
}
