package main

import (
	"fmt"

	"elbo/train"
)

// anchor is a model with published figures, and how this program comes to figures of its own.
type anchor struct {
	name     string
	title    string
	settings []train.Setting // what is not as by default
	last     bool            // the last model is scored, whatever the validation images say
	figures  []published
	ours     []measure // besides
	source   string    // of the protocol
	differs  []string  // from the paper's own program
}

// published is a figure as others have it, in nats per image.
type published struct {
	measure
	values   []float64 // one, or the lowest and the highest of several runs
	recalled bool      // from memory: it was not read again
	source   string
	band     [2]float64 // in which a run that does the same should fall
	bandFrom string
}

// measure is what is measured of a trained model, as a cost: bounds have their sign changed, as
// papers print them.
type measure struct {
	what    quantity
	samples int    // draws of z for each image
	split   string // "": test
	limit   int    // first images of it; 0: all
}

// quantity is a word for a measure.
type quantity string

// The quantities.
const (
	costELBO     quantity = "-ELBO"
	costBound    quantity = "-L" // of so many samples
	costLogP     quantity = "-log p(x)"
	approxGap    quantity = "approximation gap"
	amortisedGap quantity = "amortisation gap"
)

// gaps reports whether it takes a search for each image's own posterior.
func (q quantity) gaps() bool { return q == approxGap || q == amortisedGap }

// String names the measure: "-L_5000".
func (m measure) String() string {
	name := string(m.what)
	if m.what == costBound {
		name = fmt.Sprintf("-L_%d", m.samples)
	}
	if m.split != "" {
		name += ", " + m.split
	}
	return name
}

// staticMNIST and dynamicMNIST say what images a protocol has.
var (
	staticMNIST  = []train.Setting{{Key: "binarise", Value: "static"}, {Key: "split", Value: "50000,10000"}}
	dynamicMNIST = []train.Setting{{Key: "binarise", Value: "dynamic"}, {Key: "split", Value: "59600,400"}}
)

// Differences that several anchors have in common.
const (
	otherDraw    = "binary images are our own draw of the grey levels, not Larochelle's file: tenths of a nat"
	otherWeights = "first weights are U(-a, a), a = 1/√in (PyTorch's), where theirs are Glorot's"
	burdaAdam    = "Adam's second moments begin at 0 and not at 1, which damps their first epoch; ε is 5e-6, as gradients are the mean over a batch of 20 and not the sum"
	exactKL      = "KL(q ‖ p) is exact, where theirs is a mean over draws: the same in expectation, with less noise"
	shuffled     = "images are shuffled in every epoch, where theirs keep their order"
)

// paperWith are the settings of the recipe paper, changed.
func paperWith(settings ...train.Setting) []train.Setting {
	r, err := train.FindRecipe("paper")
	if err != nil {
		panic(err) // a test looks for it
	}
	return append(r.With(settings...), dynamicMNIST...)
}

// bernoulliMixture is a mixture of so many components, with its figure.
func bernoulliMixture(components int, logP float64) anchor {
	return anchor{
		name:     fmt.Sprintf("mob-%d", components),
		title:    fmt.Sprintf("mixture of %d Bernoulli distributions, EM, static", components),
		settings: append([]train.Setting{{Key: "model", Value: "mixture"}, {Key: "components", Value: fmt.Sprint(components)}}, staticMNIST...),
		figures: []published{{
			measure: measure{what: costLogP}, values: []float64{logP}, recalled: true,
			source: "Salakhutdinov and Murray 2008", band: [2]float64{logP - 1, logP + 1}, bandFrom: "1 nat for the draw of the images, the smoothing and the local optimum, none of which is published",
		}},
		source: "Salakhutdinov and Murray 2008: EM, and no more is known of it",
		differs: []string{
			otherDraw,
			"pixels have a Beta(1+a, 1+a) prior; what keeps theirs from 0 and 1 is not published",
			"EM ends by a tolerance of its gain; theirs is not published",
		},
	}
}

// anchors is the table, the cheap ones first.
func anchors() []anchor {
	l5000 := measure{what: costBound, samples: 5000}
	elbo := measure{what: costELBO, samples: 100}
	return []anchor{
		{
			name: "pytorch-example", title: "784-400-20 ReLU, cross-entropy of grey levels, 10 epochs",
			settings: []train.Setting{
				{Key: "likelihood", Value: "grey-bernoulli"}, {Key: "binarise", Value: "none"}, {Key: "split", Value: "60000,0"},
				{Key: "hidden", Value: "400"}, {Key: "latent", Value: "20"}, {Key: "batch", Value: "128"}, {Key: "lr", Value: "1e-3"}, {Key: "epochs", Value: "10"},
			},
			last: true,
			figures: []published{{
				measure: measure{what: costELBO, samples: 1}, values: []float64{105.56, 105.59},
				source: "what the program prints after 10 epochs, in two public transcripts: 105.5585 and 105.5890",
				band:   [2]float64{105.1, 106.1}, bandFrom: "both, and half a nat for the seed",
			}},
			ours:   []measure{elbo},
			source: "pytorch/examples, vae/main.py",
			differs: []string{
				"nothing that is known; the cross-entropy of grey levels is no likelihood, and its figures compare with no others",
				"the README of DyNet's variational-autoencoder has 97.02 to 97.68 for PyTorch's program and its own; the program as it stands comes to no such figure, nor does this one",
			},
		},
		{
			name: "jaanli", title: "784-256-256-128 ReLU, static, 30 000 steps",
			settings: append([]train.Setting{
				{Key: "hidden", Value: "256,256"}, {Key: "latent", Value: "128"}, {Key: "batch", Value: "128"}, {Key: "lr", Value: "1e-3"},
				{Key: "adam-beta1", Value: "0"}, {Key: "epochs", Value: "77"},
			}, staticMNIST...),
			figures: []published{
				{measure: measure{what: costELBO, samples: 1000}, values: []float64{106.64}, source: "README of jaanli/variational-autoencoder", band: [2]float64{104.5, 107.5}, bandFrom: "its own figures in PyTorch and JAX, 106.64 and 104.87, and half a nat"},
				{measure: measure{what: costBound, samples: 1000}, values: []float64{100.31}, source: "README of jaanli/variational-autoencoder", band: [2]float64{96.2, 100.8}, bandFrom: "its own figures in PyTorch and JAX, 100.31 and 96.72, and half a nat"},
			},
			ours:   []measure{l5000},
			source: "README of jaanli/variational-autoencoder",
			differs: []string{
				"Adam with β₁ = 0 in the place of centred RMSprop: it divides by the root of the mean square, not of the variance, of gradients",
				otherDraw,
			},
		},
		{
			name: "pythae-vae", title: "784-400-40 ReLU, static, 500 epochs",
			settings: append([]train.Setting{
				{Key: "hidden", Value: "400"}, {Key: "latent", Value: "40"}, {Key: "batch", Value: "100"}, {Key: "lr", Value: "1e-4"}, {Key: "epochs", Value: "500"},
				{Key: "lr-schedule", Value: "steps"}, {Key: "lr-steps", Value: "200,350"}, {Key: "lr-factor", Value: "0.630957344480193"},
			}, staticMNIST...),
			figures: []published{{
				measure: measure{what: costBound, samples: 200}, values: []float64{89.78}, source: "Pythae's reproducibility table; Rezende and Mohamed's, which it compares with, is 89.9",
				band: [2]float64{89.3, 90.3}, bandFrom: "half a nat for the draw of the images",
			}},
			ours:    []measure{l5000},
			source:  "Pythae, examples/scripts/reproducibility/vae.py",
			differs: []string{otherDraw},
		},
		{
			name: "burda-1l-k1", title: "784-200-200-50 tanh, dynamic, 3280 epochs (recipe paper)",
			settings: paperWith(), last: true,
			figures: []published{{
				measure: l5000, values: []float64{86.76}, source: "Burda, Grosse, Salakhutdinov 2016, table 1, as nbip/IWAE has it",
				band: [2]float64{86.3, 87.8}, bandFrom: "reproductions of nbip (86.35) and xqding (87.78)",
			}},
			ours:    []measure{elbo},
			source:  "yburda/iwae",
			differs: []string{otherWeights, burdaAdam, exactKL, shuffled},
		},
		{
			name: "burda-1l-iwae5", title: "784-200-200-50 tanh, dynamic, IWAE of 5 draws, 3280 epochs",
			settings: paperWith(train.Setting{Key: "objective", Value: "iwae"}, train.Setting{Key: "k", Value: "5"}), last: true,
			figures: []published{{
				measure: l5000, values: []float64{85.54}, source: "Burda, Grosse, Salakhutdinov 2016, table 1, as nbip/IWAE has it",
				band: [2]float64{85.1, 85.7}, bandFrom: "reproductions of nbip (85.18, 85.50) and xqding (85.46)",
			}},
			ours:    []measure{elbo},
			source:  "yburda/iwae",
			differs: []string{otherWeights, burdaAdam, shuffled},
		},
		{
			name: "burda-2l-k1", title: "two stochastic layers, 100 and 50, tanh, dynamic, 3280 epochs",
			settings: paperWith(train.Setting{Key: "hidden", Value: "200,200;100,100"}, train.Setting{Key: "latent", Value: "100,50"}), last: true,
			figures: []published{{
				measure: l5000, values: []float64{85.33}, source: "Burda, Grosse, Salakhutdinov 2016, table 1, as nbip/IWAE has it",
				band: [2]float64{84.5, 85.8}, bandFrom: "the paper and nbip's reproduction (84.83), and half a nat; xqding's, 88.4 and 89.2, are left out",
			}},
			ours:    []measure{elbo},
			source:  "yburda/iwae",
			differs: []string{otherWeights, burdaAdam, shuffled},
		},
		{
			name: "vampprior", title: "784-300-300-40 gated, VampPrior of 500, static, to 2000 epochs",
			settings: append([]train.Setting{
				{Key: "network", Value: "gated"}, {Key: "hidden", Value: "300,300"}, {Key: "latent", Value: "40"}, {Key: "prior", Value: "vamp"}, {Key: "pseudo-inputs", Value: "500"},
				{Key: "batch", Value: "100"}, {Key: "lr", Value: "5e-4"}, {Key: "warmup", Value: "100"}, {Key: "patience", Value: "50"}, {Key: "epochs", Value: "2000"},
			}, staticMNIST...),
			figures: []published{{
				measure: l5000, values: []float64{85.57}, source: "Tomczak and Welling 2018, as Pythae's README has it",
				band: [2]float64{85.1, 86.3}, bandFrom: "the paper, Pythae's reproduction (85.79), and half a nat for the draw of the images",
			}},
			ours:   []measure{elbo},
			source: "jmtomczak/vae_vampprior",
			differs: []string{
				otherDraw,
				"Adam without their division of each gradient by its norm (AdamNormGrad)",
				"pseudo-inputs begin as training images, where theirs begin as noise; log σ² of q is not cut off at -6 and 2",
				"first weights are U(-a, a), a = 1/√in (PyTorch's), where theirs are He's",
			},
		},
		bernoulliMixture(10, 168.95),
		bernoulliMixture(100, 142.63),
		bernoulliMixture(500, 137.64),
		{
			name: "cremer-gaps", title: "784-200-200-50 ELU, static, 3280 epochs: where the ELBO loses",
			settings: append([]train.Setting{
				{Key: "hidden", Value: "200,200"}, {Key: "latent", Value: "50"}, {Key: "activation", Value: "elu"}, {Key: "batch", Value: "100"}, {Key: "epochs", Value: "3280"},
				{Key: "lr", Value: "1e-3"}, {Key: "lr-schedule", Value: "burda"}, {Key: "adam-epsilon", Value: "1e-4"}, {Key: "warmup", Value: "400"},
			}, staticMNIST...),
			last: true,
			figures: []published{
				{measure: measure{what: approxGap, samples: 500, split: "train", limit: 1000}, values: []float64{1.43}, recalled: true, source: "Cremer, Li, Duvenaud 2018, q of diagonal Gaussians", band: [2]float64{1.0, 1.9}, bandFrom: "half a nat: one run is published"},
				{measure: measure{what: amortisedGap, samples: 500, split: "train", limit: 1000}, values: []float64{1.34}, recalled: true, source: "Cremer, Li, Duvenaud 2018, q of diagonal Gaussians", band: [2]float64{0.8, 1.9}, bandFrom: "half a nat: one run is published"},
			},
			ours:   []measure{l5000},
			source: "lxuechen/inference-suboptimality, the first 1000 training images",
			differs: []string{
				otherDraw,
				"log p(x) is a bound by 500 draws from q and 500 from q*, where theirs is the higher of L_5000 and annealed importance sampling",
				"the search for q* begins at the encoder's output, where theirs begins at N(0, I)",
			},
		},
	}
}

// config is what the anchor trains.
func (a anchor) config() (train.Config, error) {
	c := train.Kinds()[0].Config()
	if err := c.Apply(a.settings); err != nil {
		return c, fmt.Errorf("%s: %w", a.name, err)
	}
	return c, c.Validate()
}
