package infer

import (
	"math"

	"elbo/graph/simd"
)

// tileSide is the number of nodes along each dimension of a tile.
func tileSide(latent int) int { return [...]int{0, 64, 16, 8}[latent] }

// lattice is a box of nodes at multiples of a spacing.
type lattice struct {
	side      int
	points    []float32 // [K, Z], the first dimension slowest
	codes     []float32 // f of them, [K, Z]; nil where they are codes themselves
	table     *NodeTable
	outside   float64 // P(z outside the box)
	perImage  int     // K
	firstNode int     // of each dimension, in multiples of the spacing
}

// node is a node of a lattice, or a tile of nodes, in multiples of the spacing, or of
// the tile's width.
type node [MaxExactLatent]int

// patch is a box of nodes with one image's log joint at each.
type patch struct {
	origin node
	side   int
	joint  []float32 // log p(x, z) - offset
	codes  []float32 // the codes of the nodes, [K, Z]; nil where the nodes are codes
	offset float64
	at     int     // where joint is largest
	top    float32 // it is the largest; NaN if one of them is
	base   float64 // the part of the largest that knows no image
	lik    float64 // max log p(x|z)
}

// newPatch describes one row of a table, whose nodes have the given base and log p(z).
func newPatch(origin node, side int, joint, codes, base []float32, logPrior []float64, offset float64) patch {
	top := simd.ArgMax(joint)
	p := patch{origin: origin, side: side, joint: joint, codes: codes, offset: offset, at: top, top: joint[top], base: float64(base[top])}
	if sum := simd.Sum(joint); sum != sum { // NaN is no maximum
		p.top = sum
	}
	p.lik = math.Inf(-1)
	for k, v := range joint {
		if lik := float64(v) - logPrior[k]; lik > p.lik {
			p.lik = lik
		}
	}
	p.lik += offset
	return p
}

// highest is the largest log p(x, z) of the patch.
func (p patch) highest() float64 { return float64(p.top) + p.offset }

// size is that of the numbers which the largest log joint is made of in float32: what
// knows no image, and a sum over pixels whose roundings are as good as independent.
func (p patch) size(pixels int) float64 {
	return math.Abs(p.base) + float64(math.Sqrt(float64(pixels))*math.Abs(float64(p.top)-p.base))
}

func floorDiv(a, b int) int {
	if a < 0 {
		return -((b - 1 - a) / b)
	}
	return a / b
}

// lines calls f for every line of nodes along the last dimension: k is the number of its
// first node in the patch, m the place.
func (p patch) lines(z int, f func(k int, m node, line []float32)) {
	for k := 0; k < len(p.joint); k += p.side {
		m := p.origin
		for a, rest := z-2, k/p.side; a >= 0; a, rest = a-1, rest/p.side {
			m[a] += rest % p.side
		}
		f(k, m, p.joint[k:k+p.side])
	}
}

// each calls f for the nodes whose log joint is at least least, with their number in the
// patch and their place.
func (p patch) each(z int, least float64, f func(k int, m node, joint float64)) {
	at := float32(least - p.offset)
	p.lines(z, func(k int, m node, line []float32) {
		if simd.Max(line) < at {
			return
		}
		last := m[z-1]
		for j, v := range line {
			if v >= at {
				m[z-1] = last + j
				f(k+j, m, float64(v)+p.offset)
			}
		}
	})
}

// peaks calls f for the nodes of a line, the k-th of the patch and those after it, that
// are higher than those next to them along each dimension. At the patch's edge it asks
// those it has.
func (p patch) peaks(z, k int, line []float32, f func(j int)) {
	top := func(j int) {
		v, stride := line[j], p.side
		for range z - 1 {
			at := (k + j) / stride % p.side
			if at > 0 && p.joint[k+j-stride] > v || at < p.side-1 && p.joint[k+j+stride] >= v {
				return
			}
			stride *= p.side
		}
		f(j)
	}
	rising, before := true, line[0]
	for j, v := range line[1:] {
		if v < before && rising {
			top(j)
		}
		rising, before = v >= before, v
	}
	if rising {
		top(len(line) - 1)
	}
}

// curvature is minus the second difference of the log joint along a dimension at node k
// or, at the patch's edge, at its neighbour: h² times the conditional precision.
func (p patch) curvature(z, k, a int) float64 {
	stride := 1
	for range z - 1 - a {
		stride *= p.side
	}
	switch k / stride % p.side {
	case 0:
		k += stride
	case p.side - 1:
		k -= stride
	}
	return 2*float64(p.joint[k]) - float64(p.joint[k-stride]) - float64(p.joint[k+stride])
}

// curvatures are the curvatures of a peak at node k: along each dimension the highest at
// the node and at its neighbours, as a kink beside the peak lowers it at one of them.
func (p patch) curvatures(z, k int) (c [MaxExactLatent]float64) {
	stride := len(p.joint)
	for a := range z {
		stride /= p.side
		c[a] = max(0, p.curvature(z, k, a))
		at := k / stride % p.side
		if at > 0 {
			c[a] = max(c[a], p.curvature(z, k-stride, a))
		}
		if at < p.side-1 {
			c[a] = max(c[a], p.curvature(z, k+stride, a))
		}
	}
	return c
}
