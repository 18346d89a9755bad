package model

import (
	"fmt"

	"elbo/graph"
	"elbo/graph/elementary"
)

// Biased is a network whose last layer is affine.
type Biased interface {
	// OutputBias returns the bias of the last layer: one number for each output, or, of
	// convolutions, for each output of a position, the same at all positions.
	OutputBias() *graph.Param
}

// Linked is a likelihood that knows the decoder's output for a mean of its own choice.
type Linked interface {
	// Link fills what of out, [O], decides E[x|out] so that it is mean, [D]. The rest,
	// as scales, stays as it is.
	Link(out []float32, mean []float64)
}

var (
	_ Linked = Bernoulli{}
	_ Linked = GreyBernoulli{}
	_ Linked = ContinuousBernoulli{}
	_ Linked = (*Gaussian)(nil)
	_ Linked = PixelGaussian{}
	_ Linked = BetaBinomial{}
	_ Linked = DiscretizedLogistic{}
	_ Linked = DequantisedGaussian{}
)

// SetOutputBias sets the decoder's last biases so that, where its last layer gives 0 besides
// them, the mean of an image is the given one, [D]: training then begins with the pixels'
// shares in the data, and need not learn them first. Of convolutions the biases know no
// position, and the mean is that over all of them.
//
// Source: the experiments of Burda, Grosse, Salakhutdinov 2016.
func (j *Joint) SetOutputBias(mean []float64) error {
	network := j.Decoder
	if lowest, ok := network.(LowestLayer); ok {
		network = lowest.Network
	}
	decoder, ok := network.(Biased)
	if !ok {
		return fmt.Errorf("output-bias is data, but the last layer of a %T has no bias: want drawn", network)
	}
	likelihood, ok := j.Likelihood.(Linked)
	if !ok {
		return j.Likelihood.Name().linkError()
	}
	bias := decoder.OutputBias()
	positions := j.Outputs() / len(bias.Value)
	own := make([]float64, len(mean)/positions)
	for i, v := range mean {
		own[i%len(own)] += v / float64(positions)
	}
	likelihood.Link(bias.Value, own)
	return nil
}

// Linked reports whether the likelihood of that name is one whose output can be chosen by the
// mean of its pixels; the error says why not.
func (l LikelihoodName) Linked(c LikelihoodConfig) error {
	likelihood, err := NewLikelihood(l, c)
	if err != nil {
		return err
	}
	if _, ok := likelihood.(Linked); !ok {
		return l.linkError()
	}
	return nil
}

// linkError is that of a mixture: with one mean in all, its components would begin as one.
func (l LikelihoodName) linkError() error {
	return fmt.Errorf("output-bias is data, but likelihood is %s, whose components would begin as one and the same: want drawn", l)
}

// leastMean is the least share of white that a logit is made for: that of a pixel which is
// black in all images has no logit.
const leastMean = 0.001

// logit is log(p/(1-p)) of a share, cut off at leastMean on either side.
func logit(share float64) float32 {
	share = min(max(share, leastMean), 1-leastMean)
	return float32(elementary.Log(share) - elementary.Log(1-share))
}

// Link fills out with logits.
func (logits) Link(out []float32, mean []float64) {
	for i, m := range mean {
		out[i] = logit(m)
	}
}

// Link fills out with the logits whose means they are, by bisection.
func (ContinuousBernoulli) Link(out []float32, mean []float64) {
	for i, m := range mean {
		m = min(max(m, leastMean), 1-leastMean)
		lo, hi := -1/leastMean, 1/leastMean // of a logit l the mean is about -1/l or 1 - 1/l
		for range 60 {
			if middle := (lo + hi) / 2; graph.ContinuousBernoulliMean(middle) < m {
				lo = middle
			} else {
				hi = middle
			}
		}
		out[i] = float32((lo + hi) / 2)
	}
}

// Link copies the means.
func (*Gaussian) Link(out []float32, mean []float64) {
	for i, m := range mean {
		out[i] = float32(m)
	}
}

// Link copies the means, and leaves the variances.
func (l PixelGaussian) Link(out []float32, mean []float64) {
	for i, m := range mean {
		out[graph.PairOf(i, l.Channels)] = float32(m)
	}
}

// Link fills out with the logits of the means, and leaves the concentrations.
func (l BetaBinomial) Link(out []float32, mean []float64) {
	for i, m := range mean {
		out[graph.PairOf(i, l.Channels)] = logit(m)
	}
}

// Link copies the means, which are those of the logistic distributions, before levels are cut
// off at black and white. It leaves the scales.
func (l DiscretizedLogistic) Link(out []float32, mean []float64) {
	for i, m := range mean {
		out[graph.PairOf(i, l.Channels)] = float32(m)
	}
}

// Link copies the means, of (level + ½)/256, and leaves the variances.
func (l DequantisedGaussian) Link(out []float32, mean []float64) {
	for i, m := range mean {
		out[graph.PairOf(i, l.Channels)] = float32((float64(m*(graph.Levels-1)) + 0.5) / graph.Levels)
	}
}

// OutputBias returns that of the last module that has one.
func (s *Sequence) OutputBias() *graph.Param {
	for i := len(s.Modules) - 1; ; i-- {
		if bias := s.Modules[i].Bias; bias != nil {
			return bias
		}
	}
}

var (
	_ Biased = (*graph.MLP)(nil)
	_ Biased = (*graph.Gated)(nil)
	_ Biased = (*Sequence)(nil)
)
