package infer

import (
	"context"
	"errors"
	"math"
	"slices"

	"elbo/graph/elementary"
)

// refinement is an image on its way to smaller spacings.
type refinement struct {
	image   int     // of the group
	tiles   []node  // where the next level looks, sorted
	dropped float64 // logarithm of the mass of what other levels leave out
	lik     float64 // max log p(x|z) seen
	edge    float64 // share of the first lattice's sum that stands on the box's faces
}

// group computes log p(x) of images that share decoded tiles.
func (q *Quadrature) group(ctx context.Context, x []float32, results []Exact, progress func(done int)) error {
	d, k, e := q.joint.Pixels, q.first.perImage, q.joint.Engine
	next := make([]*refinement, len(results))
	faulty := make([]error, len(results))
	var origin node
	for j := range q.joint.Latent {
		origin[j] = q.first.firstNode
	}
	for first := 0; first < len(results); first += q.first.table.Images() {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(q.first.table.Images(), len(results)-first)
		joint, offset, err := q.first.table.LogJoint(x[first*d:][:n*d])
		if err != nil {
			return err
		}
		base, prior := q.first.table.Base(), q.first.table.LogPrior()
		e.Split(n, 1, func(lo, hi int) {
			for i := lo; i < hi; i++ {
				row := joint[i*k:][:k]
				r := &refinement{image: first + i, dropped: math.Inf(-1), lik: math.Inf(-1)}
				p := newPatch(origin, q.first.side, row, q.first.codes, base, prior, offset[i])
				next[first+i], faulty[first+i] = q.assess(r, []patch{p}, 0, &results[first+i])
			}
		})
		progress(first + n)
	}
	for level := 1; ; level++ {
		if err := errors.Join(faulty...); err != nil {
			return err
		}
		var pending []*refinement
		for _, r := range next {
			if r != nil {
				pending = append(pending, r)
			}
		}
		if len(pending) == 0 {
			return nil
		}
		clear(next)
		for len(pending) > 0 {
			size, nodes := 0, 0
			for size < len(pending) && (size == 0 || nodes+len(pending[size].tiles)*q.tileNodes() <= batchNodes) {
				nodes += len(pending[size].tiles) * q.tileNodes()
				size++
			}
			patches, err := q.tabulate(ctx, x, pending[:size], level)
			if err != nil {
				return err
			}
			e.Split(size, 1, func(lo, hi int) {
				for i := lo; i < hi; i++ {
					r := pending[i]
					next[r.image], faulty[r.image] = q.assess(r, patches[i], level, &results[r.image])
				}
			})
			pending = pending[size:]
		}
	}
}

func (q *Quadrature) tileNodes() int { return len(q.points) / q.joint.Latent }

// tabulate returns the log joints of images on their tiles of a level. Each tile is
// decoded once.
func (q *Quadrature) tabulate(ctx context.Context, x []float32, images []*refinement, level int) ([][]patch, error) {
	type place struct{ image, tile int }
	places := map[node][]place{}
	patches := make([][]patch, len(images))
	for i, r := range images {
		patches[i] = make([]patch, len(r.tiles))
		for t, tile := range r.tiles {
			places[tile] = append(places[tile], place{i, t})
		}
	}
	d, nodes, side := q.joint.Pixels, q.tileNodes(), tileSide(q.joint.Latent)
	some := make([]float32, tileImages*d)
	for tile, users := range places { // any order: no tile knows of another
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		origin := q.place(tile, level)
		if err := q.tiles.SetNodes(q.points); err != nil {
			return nil, err
		}
		codes, err := q.codes(q.points)
		if err != nil {
			return nil, err
		}
		block := min(tileImages, q.tiles.Images())
		for first := 0; first < len(users); first += block {
			now := users[first:min(first+block, len(users))]
			for i, u := range now {
				copy(some[i*d:][:d], x[images[u.image].image*d:])
			}
			joint, offset, err := q.tiles.LogJoint(some[:len(now)*d])
			if err != nil {
				return nil, err
			}
			for i, u := range now {
				row := append([]float32(nil), joint[i*nodes:][:nodes]...)
				patches[u.image][u.tile] = newPatch(origin, side, row, codes, q.tiles.Base(), q.tiles.LogPrior(), offset[i])
			}
		}
	}
	return patches, nil
}

// place sets the nodes of a tile and returns the first.
func (q *Quadrature) place(tile node, level int) (origin node) {
	z, side := q.joint.Latent, tileSide(q.joint.Latent)
	h := math.Ldexp(q.options.Spacing, -level)
	for j := range z {
		origin[j] = tile[j] * side
	}
	for i := range q.tileNodes() {
		for j, rest := z-1, i; j >= 0; j, rest = j-1, rest/side {
			q.points[i*z+j] = float32(float64(origin[j]+rest%side) * h)
		}
	}
	return origin
}

// refine returns the tiles, of half the spacing, in which the image's posterior may have
// mass; nil if they are too many. Where only those far below the highest node are too
// many, it does without them, and what may be there makes the stated error large.
func (q *Quadrature) refine(r *refinement, patches []patch, s *sums) *refinement {
	most := q.options.MaxNodes / q.tileNodes()
	mean := rise(s.meanCurvature())
	deepest := mean
	for _, n := range s.peaks {
		if s.worthIt(n) {
			deepest = max(deepest, rise(n.c[:]))
		}
	}
	tiles, left := q.tilesWithin(s.cut(deepest), patches, s, most)
	if len(tiles) > most && s.cut(deepest) > negligible {
		tiles, left = q.tilesWithin(negligible, patches, s, most)
	}
	if len(tiles) > most {
		return nil
	}
	dropped := elementary.Log(left) + mean // a peak between nodes rises so far above them
	for _, n := range s.peaks {
		if !s.worthIt(n) {
			dropped = elementary.LogSumExp(dropped, n.joint+rise(n.c[:])-s.top)
		}
	}
	next := &refinement{image: r.image, lik: r.lik, edge: r.edge}
	next.dropped = elementary.LogSumExp(r.dropped, dropped+s.top+float64(float64(s.latent)*elementary.Log(s.h)))
	for tile := range tiles {
		next.tiles = append(next.tiles, tile)
	}
	slices.SortFunc(next.tiles, func(a, b node) int { return slices.Compare(a[:], b[:]) })
	return next
}

// tilesWithin returns the tiles, of half the spacing, around the nodes beside which a peak
// worth it may stand: if it is as narrow as the posterior's mean curvature says, or as the
// curvature at the node. It looks at the nodes within cut of the highest, and at all local
// maxima, and stops where the tiles are more than most. left is Σ w over the other nodes.
func (q *Quadrature) tilesWithin(cut float64, patches []patch, s *sums, most int) (tiles map[node]bool, left float64) {
	tiles = map[node]bool{}
	for _, n := range s.peaks {
		if s.worthIt(n) {
			q.around(n.at, tiles)
		}
	}
	mean := rise(s.meanCurvature())
	for _, p := range patches {
		p.each(s.latent, s.top-max(cut, mean+negligible), func(k int, m node, j float64) {
			if below := s.top - j; below <= cut {
				near := below <= s.cut(mean)
				if !near {
					c := p.curvatures(s.latent, k)
					near = below <= s.cut(rise(c[:]))
				}
				if near {
					if len(tiles) <= most {
						q.around(m, tiles)
					}
					return
				}
			}
			left += elementary.Exp(j - s.top)
		})
	}
	return tiles, left
}

// around adds the tiles, of half the spacing, that hold node m and the new nodes next to
// it.
func (q *Quadrature) around(m node, tiles map[node]bool) {
	z, side := q.joint.Latent, tileSide(q.joint.Latent)
	var lo, hi node
	for a := range z {
		lo[a], hi[a] = floorDiv(2*m[a]-1, side), floorDiv(2*m[a]+1, side)
	}
	for tile := lo; ; {
		tiles[tile] = true
		a := z - 1
		for ; a >= 0 && tile[a] == hi[a]; a-- {
			tile[a] = lo[a]
		}
		if a < 0 {
			return
		}
		tile[a]++
	}
}
