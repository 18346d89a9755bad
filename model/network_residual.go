package model

import (
	"slices"

	"elbo/graph"
)

// residual appends the residual blocks of a map, as many as c has, none where it has none:
//
//	y = x + conv(f(conv(f(x))))
//
// with a stride of 1, so that maps and channels stay. There is no normalisation: blocks begin as
// the identity, see [Sequence.made], and a bound that depended on the other images of a batch,
// as with batch normalisation, would be no bound.
//
// Source: He, Zhang, Ren, Sun 2016, "Identity mappings in deep residual networks".
func (s *Sequence) residual(at MapShape, c ConvConfig, f graph.Activation) {
	conv := Module{
		Kind: Conv2d, In: at.Size(), Out: at.Size(),
		Conv: graph.ConvShape{Rows: at.Rows, Cols: at.Cols, Fine: at.Channels, Coarse: at.Channels, Kernel: c.Kernel, Stride: 1},
	}
	activate := Module{Kind: Activate, Activation: f, In: at.Size(), Out: at.Size()}
	block := []Module{activate, conv, activate, conv}
	for range c.Blocks {
		s.add(Module{Kind: ResidualBlock, In: at.Size(), Out: at.Size(), Inside: slices.Clone(block)})
	}
}
