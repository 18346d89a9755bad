// Package model builds latent-variable models out of the parts in package graph.
// It knows neither files nor loops over data.
//
// Symbols, as in the mathematics:
//
//	x   an image of D pixels             p(z)     the prior, N(0, I) for the VAE
//	z   its latent variables, Z of them  q(z|x)   the approximate posterior
//
// The four numbers that belong together, for each image, in nats:
//
//	recon  E_q[log p(x|z)]
//	kl     KL(q(z|x) ‖ p(z))
//	bound  recon - kl = log p(x) - KL(q(z|x) ‖ p(z|x)), the ELBO
//	gap    log p(x) - bound
//
// Bounds go up. The loss that an optimiser lowers is minus the bound; it changes
// its sign in one place, [graph.Builder.NegMean].
package model
