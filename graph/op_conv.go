package graph

import (
	"fmt"

	"github.com/viterin/vek/vek32"
)

// ConvShape is what a convolution goes between: a fine map of Rows × Cols positions, and a
// coarse one of ⌈Rows/Stride⌉ × ⌈Cols/Stride⌉, each position with its channels. A map is a row
// of numbers: rows from the top, in each the positions from the left, in each the channels.
//
// The patch of a coarse position (i, j) are the Kernel × Kernel fine positions from
// (Stride i - p, Stride j - p) on, p = ⌊(Kernel-1)/2⌋; what lies outside of the map is 0. So an
// odd kernel with a stride of 1 has its position in the middle, and keeps the size: padding
// "same". In PyTorch this is padding = p and, of the transpose, the output_padding that gives
// the fine map its size; with an even kernel the padding behind the map is one more.
type ConvShape struct {
	Rows, Cols     int // of the fine map
	Fine, Coarse   int // channels
	Kernel, Stride int
}

// CoarseMap returns the extents of the coarse map.
func (s ConvShape) CoarseMap() (rows, cols int) {
	return (s.Rows + s.Stride - 1) / s.Stride, (s.Cols + s.Stride - 1) / s.Stride
}

// FineSize is how many numbers a fine map has.
func (s ConvShape) FineSize() int { return s.Rows * s.Cols * s.Fine }

// CoarseSize is how many numbers a coarse map has.
func (s ConvShape) CoarseSize() int {
	rows, cols := s.CoarseMap()
	return rows * cols * s.Coarse
}

// Weight is the shape of the weights: [Coarse, Fine, Kernel, Kernel].
func (s ConvShape) Weight() []int { return []int{s.Coarse, s.Fine, s.Kernel, s.Kernel} }

// Products is how many multiplications a map costs, in either direction or for the gradient of
// the weights: one for each weight of each patch that lies on the map. What a product does
// besides with the zeros around the map does not count.
func (s ConvShape) Products() float64 {
	along := func(fine int) (places int) {
		for _, w := range s.windows(fine) {
			places += w.hi - w.lo
		}
		return places
	}
	return float64(along(s.Rows)) * float64(along(s.Cols)) * float64(s.Fine) * float64(s.Coarse)
}

// valid is true where every extent is positive.
func (s ConvShape) valid() bool {
	return min(s.Rows, s.Cols, s.Fine, s.Coarse, s.Kernel, s.Stride) > 0
}

// Conv applies a convolution to every row of x: with patch(x) as in [ConvShape],
//
//	y[i, j, o] = f( Σ_{c, k, l} w[o, c, k, l] patch(x)[i, j][k, l, c] + b[o] )
//
// (which is a cross-correlation: in networks it goes by the name). x is [B, FineSize], w
// [Coarse, Fine, Kernel, Kernel] as torch.nn.Conv2d stores it, bias [Coarse]; the result is
// [B, CoarseSize]. Gradients, with δ = dy · f'(a): dx is the transpose of the convolution,
// applied to δ,
//
//	dw[o, c, k, l] = Σ_{B, i, j} δ[i, j, o] patch(x)[i, j][k, l, c]        db = Σ_{B, i, j} δ
//
// All are matrix products with the patches, of which a block is gathered that stays in the
// cache. x has no gradient where it is an input of the graph, see [Builder.Affine].
func (b *Builder) Conv(x, w, bias Node, s ConvShape, f Activation) Node {
	return b.convolution("conv", x, w, bias, s, f, false)
}

// ConvTranspose applies the transpose of a convolution to every row of x, which is coarse:
//
//	y = f(a + b),    a[i', j', c] = Σ w[o, c, k, l] x[i, j, o] over all i, j, k, l, o
//	                                for which patch (i, j) has (i', j') at (k, l)
//
// x is [B, CoarseSize], w [Coarse, Fine, Kernel, Kernel] as torch.nn.ConvTranspose2d stores it,
// bias [Fine]; the result is [B, FineSize]. Its gradients are those of Conv with the maps
// exchanged.
func (b *Builder) ConvTranspose(x, w, bias Node, s ConvShape, f Activation) Node {
	return b.convolution("convtranspose", x, w, bias, s, f, true)
}

// convolution is Conv, and ConvTranspose where up is true.
func (b *Builder) convolution(kind string, x, w, bias Node, s ConvShape, f Activation, up bool) Node {
	b.want(s.valid(), "%s: %+v: want positive extents", kind, s)
	if b.err != nil {
		return none
	}
	in, out, channels := s.FineSize(), s.CoarseSize(), s.Coarse
	if up {
		in, out, channels = out, in, s.Fine
	}
	b.want(x.Cols() == in && fmt.Sprint(w.Shape()) == fmt.Sprint(s.Weight()) && bias.Rows() == channels,
		"%s of %+v: x %v, w %v, bias %v: want [B %d], %v, [%d]", kind, s, x.Shape(), w.Shape(), bias.Shape(), in, s.Weight(), channels)
	if b.err != nil {
		return none
	}
	rows, c := x.Rows(), newConv(s, b.engine)
	dxWanted := !b.data[x.node]
	return b.apply(op{
		kind: kind,
		note: fmt.Sprintf("%d×%d/%d %s", s.Kernel, s.Kernel, s.Stride, f),
		in:   []Node{x, w, bias},
		out:  []int{rows, out},
		forward: func() func(y []float32, in [][]float32) {
			pass := c.pass(rows, up)
			return func(y []float32, in [][]float32) { pass(y, in[0], in[1], in[2], f) }
		}(),
		wrt: []bool{dxWanted, true, true},
		derivative: func(y, dy Node) []Node {
			delta := dy
			if f != Identity {
				delta = b.chain(f, y, dy)
			}
			dx, fine, coarse := none, x, delta
			if up {
				fine, coarse = delta, x
			}
			if dxWanted {
				pass := c.pass(rows, !up)
				dx = b.apply(op{
					kind:    kind + ".dx",
					in:      []Node{delta, w},
					out:     x.Shape(),
					forward: func(y []float32, in [][]float32) { pass(y, in[0], in[1], nil, Identity) },
				})
			}
			weights := c.weights(rows)
			dw := b.apply(op{
				kind:    kind + ".dw",
				in:      []Node{fine, coarse},
				out:     s.Weight(),
				forward: func(y []float32, in [][]float32) { weights(y, in[0], in[1]) },
			})
			positions := c.rows * c.cols
			width := c.cols
			if up {
				positions, width = s.Rows*s.Cols, s.Cols
			}
			return []Node{dx, dw, b.sumPositions(delta, positions, width, channels)}
		},
	})
}

// patchBlock is how many numbers of patches are gathered at once, 192 KiB: together with the
// weights they are to stay in a second-level cache.
const patchBlock = 48 << 10

// leastPatches is how many patches a block has at least, or the weights would be read too
// often.
const leastPatches = 24

// weightSums is the number of partial sums of a gradient of weights: a fixed one, so that
// its bits do not depend on how many workers there are.
const weightSums = 8

// conv computes convolutions of one shape.
type conv struct {
	ConvShape
	e          *Engine
	rows, cols int // of the coarse map
	patch      int // numbers in a patch
	block      int // patches in a block

	along, across []window // of a patch on the fine map: by its row, by its column
}

func newConv(s ConvShape, e *Engine) *conv {
	c := &conv{ConvShape: s, e: e, patch: s.Kernel * s.Kernel * s.Fine}
	c.rows, c.cols = s.CoarseMap()
	c.block = max(leastPatches, patchBlock/c.patch)
	c.along, c.across = s.windows(s.Rows), s.windows(s.Cols)
	return c
}

// pass returns the convolution of so many maps, or its transpose: y = f(x * w + bias), bias
// nil for none.
func (c *conv) pass(images int, up bool) func(y, x, w, bias []float32, f Activation) {
	packed := make([]float32, c.patch*c.Coarse)
	if up {
		return func(y, x, w, bias []float32, f Activation) {
			c.arrange(packed, w, c.patch, 1)
			c.up(y, x, packed, bias, f, images)
		}
	}
	return func(y, x, w, bias []float32, f Activation) {
		c.arrange(packed, w, 1, c.Coarse)
		c.down(y, x, packed, bias, f, images)
	}
}

// arrange writes weights as a matrix of output channels and places in a patch, with these
// steps from channel to channel and from place to place.
func (c *conv) arrange(to, w []float32, channel, place int) {
	taps := c.Kernel * c.Kernel
	c.e.Split(c.Fine, 1+elementGrain/(taps*c.Coarse), func(lo, hi int) {
		for o := range c.Coarse {
			for in := lo; in < hi; in++ {
				from := w[(o*c.Fine+in)*taps:][:taps]
				for t, v := range from {
					to[o*channel+(t*c.Fine+in)*place] = v
				}
			}
		}
	})
}

// down computes the coarse maps y from the fine x, block by block of patches: w is [patch,
// Coarse].
func (c *conv) down(y, x, w, bias []float32, f Activation, images int) {
	c.e.Split(images*c.rows*c.cols, 1+productGrain/(c.patch*c.Coarse), func(lo, hi int) {
		patches := c.e.scratch.take(c.block * c.patch)
		for p := lo; p < hi; p += c.block {
			n := min(c.block, hi-p)
			c.gather(patches, x, p, n)
			block := y[p*c.Coarse:][:n*c.Coarse]
			c.e.BLAS.Layer(false, false, n, c.Coarse, c.patch, patches, c.patch, w, c.Coarse, bias, block, c.Coarse)
			f.apply(block)
		}
		c.e.scratch.give(patches)
	})
}

// up computes the fine maps y from the coarse x: w is [Coarse, patch]. A map belongs to one
// worker, and its patches are added to it one after another, whatever the blocks.
func (c *conv) up(y, x, w, bias []float32, f Activation, images int) {
	size, positions := c.FineSize(), c.rows*c.cols
	c.e.Split(images, 1+productGrain/(positions*c.patch*c.Coarse), func(lo, hi int) {
		patches := c.e.scratch.take(c.block * c.patch)
		begun, done := lo, lo // maps
		for p := lo * positions; p < hi*positions; p += c.block {
			n := min(c.block, hi*positions-p)
			c.e.BLAS.Layer(false, false, n, c.patch, c.Coarse, x[p*c.Coarse:], c.Coarse, w, c.patch, nil, patches, c.patch)
			for ; begun*positions < p+n; begun++ {
				fill(y[begun*size:][:size], bias)
			}
			c.scatter(y, patches, p, n)
			for ; (done+1)*positions <= p+n; done++ {
				f.apply(y[done*size:][:size])
			}
		}
		c.e.scratch.give(patches)
	})
}

// fill writes a over and over again, or zeros if it is nil.
func fill(y, a []float32) {
	if a == nil {
		clear(y)
		return
	}
	for n := copy(y, a); n < len(y); n *= 2 {
		copy(y[n:], y[:n])
	}
}

// weights returns the gradient of the weights, of so many fine and coarse maps.
func (c *conv) weights(images int) func(dw, fine, coarse []float32) {
	sums := min(weightSums, images)
	size, taps := c.Coarse*c.patch, c.Kernel*c.Kernel
	partial := make([]float32, sums*size)
	return func(dw, fine, coarse []float32) {
		c.e.Split(sums, 1, func(lo, hi int) {
			scratch := c.e.scratch.take(c.block*c.patch + size)
			patches, product := scratch[:c.block*c.patch], scratch[c.block*c.patch:][:size]
			for i := lo; i < hi; i++ {
				sum := partial[i*size:][:size]
				first, last := images*i/sums*c.rows*c.cols, images*(i+1)/sums*c.rows*c.cols
				for p := first; p < last; p += c.block {
					n, into := min(c.block, last-p), product
					if p == first {
						into = sum
					}
					c.gather(patches, fine, p, n)
					c.e.BLAS.Layer(true, false, c.Coarse, c.patch, n, coarse[p*c.Coarse:], c.Coarse, patches, c.patch, nil, into, c.patch)
					if p != first {
						vek32.Add_Inplace(sum, product)
					}
				}
			}
			c.e.scratch.give(scratch)
		})
		c.e.Split(c.Coarse, 1+elementGrain/(sums*c.patch), func(lo, hi int) {
			total := partial[lo*c.patch : hi*c.patch]
			for i := 1; i < sums; i++ {
				vek32.Add_Inplace(total, partial[i*size+lo*c.patch:][:len(total)])
			}
			for o := lo; o < hi; o++ {
				from, to := partial[o*c.patch:][:c.patch], dw[o*c.patch:][:c.patch]
				for t := range taps {
					for in, v := range from[t*c.Fine:][:c.Fine] {
						to[in*taps+t] = v
					}
				}
			}
		})
	}
}

// window is which places of a patch, along one axis, lie on the map: from lo to hi, and first
// is where on the map the first of them is.
type window struct{ lo, hi, first int }

// window returns that of the patch whose position is at, along an axis with so many fine ones.
func (s ConvShape) window(at, fine int) window {
	start := at - (s.Kernel-1)/2
	lo, hi := max(0, -start), min(s.Kernel, fine-start)
	return window{lo, hi, start + lo}
}

// windows returns those of all coarse positions along an axis.
func (s ConvShape) windows(fine int) (all []window) {
	for at := 0; at < fine; at += s.Stride {
		all = append(all, s.window(at, fine))
	}
	return all
}

// place is where a coarse position's patch is.
type place struct{ image, i, j int }

func (c *conv) place(p int) place {
	return place{p / (c.rows * c.cols), p / c.cols % c.rows, p % c.cols}
}

// next is the position to the right, or the first one of the next row.
func (c *conv) next(p place) place {
	if p.j++; p.j == c.cols {
		p.j = 0
		if p.i++; p.i == c.rows {
			p.i = 0
			p.image++
		}
	}
	return p
}

// gather writes n patches of fine maps from position p of all coarse maps on, [n, patch].
func (c *conv) gather(patches, fine []float32, p, n int) {
	width, step := c.Kernel*c.Fine, c.Cols*c.Fine
	at := c.place(p)
	for q := range n {
		to, down, across := patches[q*c.patch:][:c.patch], c.along[at.i], c.across[at.j]
		clear(to[:down.lo*width])
		clear(to[down.hi*width:])
		to = to[down.lo*width : down.hi*width]
		from := fine[((at.image*c.Rows+down.first)*c.Cols+across.first)*c.Fine:]
		left, right := across.lo*c.Fine, across.hi*c.Fine
		for ; len(to) > 0; to = to[width:] {
			clear(to[:left])
			copy(to[left:right], from)
			clear(to[right:width])
			from = from[min(step, len(from)):]
		}
		at = c.next(at)
	}
}

// scatter adds n patches to fine maps, in order.
func (c *conv) scatter(fine, patches []float32, p, n int) {
	width, step := c.Kernel*c.Fine, c.Cols*c.Fine
	at := c.place(p)
	for q := range n {
		down, across := c.along[at.i], c.across[at.j]
		from := patches[q*c.patch:][down.lo*width : down.hi*width]
		to := fine[((at.image*c.Rows+down.first)*c.Cols+across.first)*c.Fine:]
		left, right := across.lo*c.Fine, across.hi*c.Fine
		for ; len(from) > 0; from = from[width:] {
			addTo(to[:right-left], from[left:right])
			to = to[min(step, len(to)):]
		}
		at = c.next(at)
	}
}

// addTo adds x to y.
func addTo(y, x []float32) {
	if len(y) < 16 { // a call would take longer
		for i, v := range x {
			y[i] += v
		}
		return
	}
	vek32.Add_Inplace(y, x)
}

// sumPositions is Σ a over the positions of all maps, one number a channel: maps are rows of so
// many positions, with a width in positions. Each map is summed by itself, so that the bits do
// not depend on the workers, and a sum of many numbers is no chain of all.
func (b *Builder) sumPositions(a Node, positions, width, channels int) Node {
	images, e, line := a.Rows(), b.engine, width*channels
	sums := make([]float32, images*channels)
	return b.apply(op{
		kind: "conv.db",
		in:   []Node{a},
		out:  []int{channels},
		forward: func(y []float32, in [][]float32) {
			e.Split(images, 1+elementGrain/(positions*channels), func(lo, hi int) {
				row := e.scratch.take(line)
				for i := lo; i < hi; i++ {
					x := in[0][i*positions*channels:][:positions*channels]
					copy(row, x)
					for x = x[line:]; len(x) > 0; x = x[line:] {
						addTo(row, x[:line])
					}
					sum := sums[i*channels:][:channels]
					copy(sum, row)
					for at := channels; at < line; at += channels {
						addTo(sum, row[at:][:channels])
					}
				}
				e.scratch.give(row)
			})
			copy(y, sums)
			for i := 1; i < images; i++ {
				addTo(y, sums[i*channels:][:channels])
			}
		},
	})
}
