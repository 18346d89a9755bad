package model

import (
	"math"
	"math/rand/v2"
	"testing"

	"elbo/graph"
)

// TestTheOutputBiasGivesTheMeanOfAnImage: with nothing else in the last layer, under every
// likelihood that has such a link.
func TestTheOutputBiasGivesTheMeanOfAnImage(t *testing.T) {
	const d = 6
	want := []float64{0, 0.01, 0.2, 0.5, 0.75, 1}
	for _, c := range []struct {
		name   LikelihoodName
		config LikelihoodConfig
	}{
		{BernoulliName, LikelihoodConfig{}},
		{GreyBernoulliName, LikelihoodConfig{}},
		{ContinuousBernoulliName, LikelihoodConfig{}},
		{GaussianName, LikelihoodConfig{}},
		{GaussianName, LikelihoodConfig{PixelVariance: true}},
		{GaussianName, LikelihoodConfig{PixelVariance: true, Channels: 3}},
		{BetaBinomialName, LikelihoodConfig{}},
		{DiscretizedLogisticName, LikelihoodConfig{}},
		{DequantisedGaussianName, LikelihoodConfig{}},
	} {
		likelihood, err := NewLikelihood(c.name, c.config)
		if err != nil {
			t.Fatal(err)
		}
		decoder := graph.NewMLP("decoder", []int{2, likelihood.Outputs(d)}, graph.ReLU, func(param string) graph.Uniform { return rand.New(rand.NewPCG(1, uint64(len(param)))) })
		j := &Joint{Pixels: d, Latent: 2, Decoder: decoder, Likelihood: likelihood}
		bias := decoder.OutputBias()
		if c.name == DiscretizedLogisticName { // of a wide logistic, cut off at black and white, the mean is another
			for i := range bias.Value {
				bias.Value[i] = -7
			}
		}
		if err := j.SetOutputBias(want); err != nil {
			t.Fatal(err)
		}
		got := make([]float32, d)
		likelihood.Mean(got, bias.Value)
		for i, mean := range got {
			// Cut off at 0.001; of a logistic the width of a level is 1/255.
			if off := math.Abs(float64(mean) - want[i]); !(off < 0.0011 || c.name == DiscretizedLogisticName && off < 0.004) {
				t.Errorf("%s: the mean of value %d is %v, want %v", c.name, i, mean, want[i])
			}
		}
	}
}

// TestTheOutputBiasOfConvolutionsIsThatOfAllPositions, and of each colour its own.
func TestTheOutputBiasOfConvolutionsIsThatOfAllPositions(t *testing.T) {
	image := MapShape{Rows: 4, Cols: 4, Channels: 3}
	c := VAEConfig{Pixels: image.Size(), Hidden: []int{5}, Latent: 2, Network: Conv, Activation: graph.ReLU, Conv: ConvConfig{Image: image, Widths: []int{2}, Kernel: 3, Stride: 2}}
	decoder := c.newDecoder(image.Size(), func(param string) graph.Uniform { return rand.New(rand.NewPCG(1, uint64(len(param)))) })
	j := &Joint{Pixels: image.Size(), Latent: 2, Decoder: decoder, Likelihood: NewGaussian(1)}
	mean := make([]float64, image.Size())
	for i := range mean {
		mean[i] = float64(i%3) + float64(i/3)/100 // colour, and position
	}
	if err := j.SetOutputBias(mean); err != nil {
		t.Fatal(err)
	}
	for i, v := range decoder.(Biased).OutputBias().Value {
		if want := float64(i) + 7.5/100; math.Abs(float64(v)-want) > 1e-6 {
			t.Errorf("the bias of colour %d is %v, want %v", i, v, want)
		}
	}
}
