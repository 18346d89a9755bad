package graph

import "elbo/graph/simd"

// BernoulliLogLik returns the log-likelihood of pixels under independent
// Bernoulli distributions with the given logits, one value a draw:
//
//	log p(x|l) = Σ_D ( x l - log(1 + exp l) )
//
// x is [B, D], l [B·S, D]; the result is [B·S], summed over D, in nats. It is
// stable for all finite logits. The gradient with respect to l is x - σ(l); x has
// none.
//
// It is a log-probability for x in {0, 1}. For x between, it is the cross-entropy
// that many tutorials call a likelihood: it does not sum to 1 over x.
func (b *Builder) BernoulliLogLik(x, l Node) Node {
	b.onePerPixel("bernoulli", x, l)
	return b.pixelLogLik("bernoulli", x, l, func(x, l, residual []float32) float64 {
		return simd.Bernoulli(residual, x, l)
	})
}
