package train

import (
	"context"

	"elbo/model"
	"elbo/model/infer"
)

// priorPasses is how many passes of EM an update of the prior makes: each costs the codes of
// all images times the components, and the next epoch moves the codes on.
const priorPasses = 5

// updatePrior fits the mixture p(z) to the codes of all training images, as evaluation sees
// them, see model.VAE's UpdatePrior. It is a pure function of the parameters: an epoch that
// is begun again begins the same way.
func (g *gradient) updatePrior(ctx context.Context) error {
	own := g.Train
	own.Subset = own.Slice(model.PriorShare(g.Reducer, own.N()))
	h, err := infer.Encode(ctx, g.vae, own)
	if err != nil {
		return err
	}
	_, err = g.vae.UpdatePrior(h, g.Train.N(), priorPasses, g.Reducer)
	return err
}
