package train

import (
	"context"

	"elbo/data"
	"elbo/graph"
	"elbo/model"
	"elbo/model/infer"
	"elbo/train/run"
)

// Model is what every kind of model can do, once it has its parameters. What only some can do
// they offer as [Tabular], [Latent] or [Amortised].
type Model interface {
	// Params are the model's numbers, by the names that they have in a checkpoint.
	Params() []*graph.Param
	// Free counts the numbers that the data choose, and those of an encoder among them.
	Free() (all, encoder int)
	// Kept is how many bytes of a checkpoint training needs besides the parameters.
	Kept() float64
	// Terms are those of the images of v under the present parameters, nats per image, as a
	// run computes them at the end of an epoch: from the same parameters, data and numerics
	// they come to the same bits.
	Terms(ctx context.Context, v data.View) (*run.EpochTerms, error)
	// Score is all that is known of the images of v, and of their log p(x). The scores of
	// single images are in Evaluation.PerImage, in the order of v.
	Score(ctx context.Context, v data.View, o ScoreOptions) (infer.Evaluation, error)
	// Sample returns E[x|z], [n, D], for n draws of z from the prior.
	Sample(n int, seed uint64) ([]float32, error)
	// Encode returns what the model infers of z for the images of v as evaluation sees them.
	Encode(ctx context.Context, v data.View) (*Codes, error)
	// Reconstruct returns E[x|z] at z = E[z|x], [N, D], of the images of v as evaluation sees
	// them, or its mean over the states of a model with a table.
	Reconstruct(ctx context.Context, v data.View) ([]float32, error)
}

// Codes are the posteriors of N images, as far as the model has each form of them.
type Codes struct {
	N int

	// Of a model with a latent space of Z dimensions.
	Latent   int
	Mean     []float32 // E[z|x], [N, Z]
	Variance []float32 // of each dimension of z given x, [N, Z]; nil where it is not known

	// Of a model with K states.
	States int
	Table  []float32 // p(z|x), [N, K]
}

// Tabular is a model whose posterior is a table over finitely many states: its evidence is a
// sum, and exact.
type Tabular interface {
	Model
	Table() *model.EM
}

// Latent is a model with a space of codes, and a decoder that takes them to images.
type Latent interface {
	Model
	Joint() *model.Joint // p(x, z); of a grid, under the prior N(0, I)
}

// Amortised is a model whose posterior is the output of an encoder.
type Amortised interface {
	Latent
	VAE() *model.VAE
}

// refresher is a model with numbers that follow from its parameters.
type refresher interface{ Refresh() error }

// refresh is called when parameters were set from outside.
func (s *Setup) refresh() error {
	if m, ok := s.Model.(refresher); ok {
		return m.Refresh()
	}
	return nil
}

// ValidationTerms returns the Terms of the validation images, nil where there are none.
func (s *Setup) ValidationTerms(ctx context.Context) (*run.EpochTerms, error) {
	if s.Validation.N() == 0 {
		return nil, nil
	}
	return s.Terms(ctx, s.Validation)
}

// ScoreOptions say what is to be known of the images besides the terms of the ELBO.
type ScoreOptions struct {
	Samples int               // draws of z for each image: the k of L_k
	Seed    uint64            // of the draws
	Rate    bool              // the parts of a VAE's KL, where its posterior has a density at any code
	Exact   bool              // log p(x) of a VAE by quadrature over its latent space
	AIS     *infer.AISOptions // log p(x) of a VAE by annealed importance sampling

	Peers infer.Peers // processes that draw for a part of the images each, all by the same call; nil for none

	Scored   func(images int) // hears of images whose draws are scored; may be nil
	Progress func(images int) // hears of images whose quadrature has begun; may be nil
}
