// Package graph writes models as Gorgonia expression graphs and runs them.
//
// It is the only package that imports Gorgonia. A model asks a [Builder] for
// inputs, parameters and operations, and gets a [Program] that computes outputs
// and, by Gorgonia's automatic differentiation, gradients:
//
//	program, err := graph.Build(engine, func(b *graph.Builder) {
//		x, pixels = b.Input("x", B, D)
//		h := encoder.Apply(b, x)
//		...
//		b.Output(bound)
//		b.Gradients(loss, params)
//	})
//	copy(pixels, batch)
//	err = program.Run()
//
// The letters of shapes, everywhere in this package and in model:
//
//	B  images in a batch          D  pixels of an image
//	Z  latent dimensions          S  samples (draws of z) for an image
//
// A matrix with S rows for each image has B·S rows; row b·S + s belongs to
// image b.
//
// # House rules
//
// Every operation is our own (the files op_*.go). Gorgonia's stock operations
// hold surprises, from inputs that are overwritten to gradients that are wrong;
// the only one that ever runs is its addition, where a value with several uses
// collects the gradients of each.
//
// An operation owns its output buffer, so that a step allocates nothing as large
// as a tensor. Consequently a graph must not be cloned, and an output is valid
// until the next run. Its derivative is a node of the graph like any other and
// receives what it needs through edges.
//
// A run has the same bits on every CPU. The compiler may fuse a product with a sum, and does
// on arm64, so a product that is added to something is converted first, float32(x*y) + z,
// which forbids it (make fused finds those that are not); exponentials and logarithms are
// those of package elementary.
//
// Values are float32. Sums that are printed or compared are accumulated in
// float64.
package graph
