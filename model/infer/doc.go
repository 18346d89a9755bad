// Package infer holds what can be known of log p(x): the estimators, one to a file or to a
// few of one name. They take a model as it is, and images as evaluation sees them:
//
//   - p(x, z), a [model.Joint], for those that ask nothing of an encoder;
//   - with an approximate posterior q(z|x), a [model.VAE] or a [model.Posterior], for those
//     that do;
//   - a [model.EM], whose table of posteriors is exact.
//
// None of them knows how the model was trained, nor changes it.
//
//	evaluate.go    Evaluator          ELBO and L_k, the importance-weighted bound, of a VAE:
//	weights.go                        always there and cheap, below log p(x) in expectation;
//	pareto.go                         k-hat says where L_k must not be taken for it
//	table.go       EvaluateTable      log p(x) of a model with a table: a sum over its states
//	clusters.go    NewClusters        its most probable states beside labels: NMI, ARI, purity
//	quadrature*.go Integrate          log p(x) of one to three latent dimensions, with a
//	                                  stated error: what the others are judged by
//	ais*.go        EstimateAIS        log p(x) by annealed importance sampling: for more
//	                                  dimensions, whatever the encoder; slow
//	localq*.go     FitLocalQ          the best q of each image by itself
//	gap.go         MeasureGap         what of log p(x) - ELBO the encoder loses, and what the
//	                                  family of posteriors
//	grid_posterior.go GridPosteriors  p(z|x) of single images over nodes, to be drawn
//	impute.go      Impute             missing pixels, given the others
//	auroc.go       NewAUROC           how well log p(x) tells two sets of images apart
//	inferences.go  CompareInferences  one decoder under a table, its own posteriors, an encoder
//
// # Example
//
// The ELBO of a VAE with two latent dimensions, with the bound of 1000 draws for each image,
// and log p(x) with its error:
//
//	evaluator, err := infer.NewEvaluator(vae, 1000)
//	...
//	e, err := evaluator.Evaluate(ctx, test, seed)
//	...
//	exact, method, err := infer.Integrate(ctx, vae.Joint, test, nil, nil)
//	...
//	e.AddExact(exact, method)
//	fmt.Println(e.ELBO, e.IW.Bound, e.LogP.Value, "±", e.LogP.Error)
//
// All are in nats per image, and random numbers are a pure function of the seed, the image
// and the draw. A request that makes no sense, or that the model cannot answer, is an
// [*OptionError]. Whatever takes long stops with the context's error.
package infer
