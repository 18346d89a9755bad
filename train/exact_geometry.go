package train

import (
	"elbo/graph/simd"
	"elbo/model"
)

// tileSide is the number of nodes along each dimension of a tile.
func tileSide(latent int) int { return [...]int{0, 64, 16, 8}[latent] }

// lattice is a box of nodes at multiples of a spacing.
type lattice struct {
	side      int
	points    []float32 // [K, Z], the first dimension slowest
	joint     *model.NodeTable
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
	offset float64
	top    float32 // the largest of joint; NaN if one of them is
	base   float64 // the part of the largest that knows no image
}

// newPatch describes one row of a table.
func newPatch(origin node, side int, joint, base []float32, offset float64) patch {
	top := simd.ArgMax(joint)
	p := patch{origin: origin, side: side, joint: joint, offset: offset, top: joint[top], base: float64(base[top])}
	if sum := simd.Sum(joint); sum != sum { // NaN is no maximum
		p.top = sum
	}
	return p
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

// each calls f for the nodes whose log joint is at least least, with their place.
func (p patch) each(z int, least float64, f func(m node, joint float64)) {
	at := float32(least - p.offset)
	p.lines(z, func(_ int, m node, line []float32) {
		if simd.Max(line) < at {
			return
		}
		last := m[z-1]
		for j, v := range line {
			if v >= at {
				m[z-1] = last + j
				f(m, float64(v)+p.offset)
			}
		}
	})
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
