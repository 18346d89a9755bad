package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/gonum/floats"

	"elbo/data"
	"elbo/graph/simd"
	"elbo/model"
)

// QuadratureOptions say where log p(x) = log ∫ p(x|z) p(z) dz is evaluated.
type QuadratureOptions struct {
	Spacing   float64 // h: nodes of the first lattice stand at multiples of it, the same for all images
	Reach     float64 // the first lattice covers [-Reach, Reach] along each dimension
	Tolerance float64 // nats: images whose stated error is above have their spacing halved where their posterior is
	Levels    int     // halvings at most
	MaxNodes  int     // of one image on a halved lattice; where more were needed, the stated error stays as it is
}

// MaxExactLatent is the most latent dimensions that quadrature is for.
const MaxExactLatent = 3

// DefaultQuadrature returns the defaults for a latent space of the given dimension: 4097
// nodes in one dimension, 201 x 201 in two, 49 x 49 x 49 in three. Spacings are powers
// of 2, so that float32 holds every node of every level exactly.
func DefaultQuadrature(latent int) QuadratureOptions {
	o := QuadratureOptions{Tolerance: 2e-3, Levels: 6, MaxNodes: 1 << 16}
	switch latent {
	case 1:
		o.Spacing, o.Reach = 1./256, 8
	case 2:
		o.Spacing, o.Reach = 1./16, 6.25
	default:
		o.Spacing, o.Reach = 1./4, 6
	}
	return o
}

// Validate returns every fault of the options for a latent space of the given dimension.
func (o QuadratureOptions) Validate(latent int) error {
	var f faults
	f.add(latent < 1 || latent > MaxExactLatent, "quadrature over %d latent dimensions: want 1 to %d", latent, MaxExactLatent)
	finite := func(x float64) bool { return x > 0 && !math.IsInf(x, 0) }
	f.add(!finite(o.Spacing), "spacing is %g, want a positive number", o.Spacing)
	f.add(!finite(o.Reach), "reach is %g, want a positive number", o.Reach)
	f.add(!finite(o.Tolerance), "tolerance is %g, want a positive number of nats", o.Tolerance)
	f.add(o.Levels < 0 || o.Levels > 12, "levels is %d, want 0 to 12", o.Levels)
	f.add(o.MaxNodes < 1, "max-nodes is %d, want at least 1", o.MaxNodes)
	if len(f) == 0 {
		n, most := o.side(), math.Pow(1<<24, 1/float64(latent))
		f.add(n < 5 || float64(n) > most, "%d nodes along each of %d dimensions (spacing %g, reach %g), want 5 to %.0f", n, latent, o.Spacing, o.Reach, most)
	}
	return errors.Join(f...)
}

// side is the number of nodes along each dimension of the first lattice, which is odd: a
// node stands at 0.
func (o QuadratureOptions) side() int { return 2*int(min(o.Reach/o.Spacing, 1<<30)+1e-9) + 1 }

// Exact is log p(x) of one image by quadrature, with what is known of its error, and the
// moments of the posterior p(z|x) that come with it. All but z's own in nats.
type Exact struct {
	LogP  float64
	Error float64 // stated: the sum of the five that follow

	// Halving is the error that two resolutions compared speak of: the last lattice and
	// the 2^Z of twice its spacing that make it up, of which the one that differs most
	// decides. See halving.
	Halving float64
	// Aliasing is what a lattice of this spacing may miss of peaks as narrow as the
	// posterior's curvature says: all 2^Z coarser lattices may miss it alike.
	Aliasing float64
	// Outside is for the mass outside the box. It bounds it if p(x|z) is nowhere higher
	// there than in it: P(z outside) max p(x|z) / p(x). What stands on the box's faces is
	// taken to go on outside for one unit, the prior's standard deviation.
	Outside  float64
	Dropped  float64 // mass of the regions that were not refined
	Rounding float64 // of float32

	Level int // halvings of the spacing
	Nodes int // of the last lattice

	Mean       []float64 // E[z|x], [Z]
	Covariance []float64 // of z given x, [Z, Z]
}

// missed reports that a lower bound on log p(x), known to boundError, shows the quadrature
// to be too low by more than chance and what it states: the posterior lies where no node
// stands. The bound then stands in for it.
func (x Exact) missed(bound, boundError float64) bool {
	rounding := 32 * math.Exp2(-24) * math.Abs(bound) // of a log-likelihood in float32
	return bound-5*boundError > x.LogP+x.Error+rounding
}

// Quadrature computes log p(x) of a decoder with the prior N(0, I) over one to three
// latent dimensions.
//
// The rule is the midpoint rule on a lattice, which converges exponentially once the
// spacing is below the width of a smooth integrand that vanishes at the boundary
// (Trefethen and Weideman 2014), and like h² across the kinks of a ReLU decoder. A fixed
// lattice is decoded once for all images. Where that is too coarse for an image, as its
// stated error says, the spacing is halved, again and again, in the tiles of latent
// space where the image's posterior has mass; tiles, too, are decoded once for all
// images that need them.
type Quadrature struct {
	generator *model.Joint
	options   QuadratureOptions
	first     *lattice
	tiles     *model.NodeTable // of one tile
	points    []float32        // nodes of the present tile, [T, Z]
}

// Method says what was done, for tables and files.
func (q *Quadrature) Method() string {
	sides := make([]string, q.generator.Latent)
	for j := range sides {
		sides[j] = strconv.Itoa(q.first.side)
	}
	return fmt.Sprintf("quadrature over %s nodes, spacing halved where the posterior asks for it", strings.Join(sides, " x "))
}

// Sizes of the work: none of them changes a result but for rounding.
const (
	latticeImages = 256     // images whose log joint over the whole first lattice is held at once
	tileImages    = 64      // and over a tile
	groupImages   = 1 << 14 // images that share decoded tiles
	batchNodes    = 1 << 25 // nodes of all images whose log joints are held at once, on tiles
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

// NewQuadrature compiles and decodes what quadrature for blocks of up to the given
// number of images needs.
func NewQuadrature(g *model.Joint, o QuadratureOptions, images int) (*Quadrature, error) {
	if err := o.Validate(g.Latent); err != nil {
		return nil, &ConfigError{err}
	}
	q := &Quadrature{generator: g, options: o}
	side, k := o.side(), 1
	for range g.Latent {
		k *= side
	}
	block := max(1, min(latticeImages, images))
	need := 4 * (float64(k)*float64(g.Pixels+block+g.Latent+2) + float64(batchNodes) + float64(min(images, groupImages)*g.Pixels))
	if have := data.AvailableMemory(); have > 0 && need > float64(have) {
		return nil, &ConfigError{fmt.Errorf("quadrature over %d nodes needs about %.1f GB of memory, and %.1f GB are free: want fewer latent dimensions, or --samples 5000 in its place", k, need/1e9, float64(have)/1e9)}
	}
	l := &lattice{side: side, firstNode: -(side - 1) / 2, perImage: k}
	l.points = make([]float32, k*g.Latent)
	for i := range k {
		z := l.points[i*g.Latent:][:g.Latent]
		for j, rest := g.Latent-1, i; j >= 0; j, rest = j-1, rest/side {
			z[j] = float32(float64(l.firstNode+rest%side) * o.Spacing)
		}
	}
	l.outside = float64(g.Latent) * math.Erfc(float64(side)*o.Spacing/2/math.Sqrt2)
	var err error
	if l.joint, err = g.NewNodeTable(block, k); err != nil {
		return nil, err
	}
	if err := l.joint.SetNodes(l.points); err != nil {
		return nil, err
	}
	q.first = l
	t := 1
	for range g.Latent {
		t *= tileSide(g.Latent)
	}
	q.points = make([]float32, t*g.Latent)
	q.tiles, err = g.NewNodeTable(min(tileImages, max(1, images)), t)
	return q, err
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

// refinement is an image on its way to smaller spacings.
type refinement struct {
	image   int     // of the group
	tiles   []node  // where the next level looks, sorted
	dropped float64 // logarithm of the mass of what other levels leave out
	lik     float64 // max log p(x|z) seen
	edge    float64 // share of the first lattice's sum that stands on the box's faces
}

// Evidence returns log p(x) of the images of v, as evaluation sees them, in order. It
// stops with the context's error. progress, if not nil, hears of every few images.
func (q *Quadrature) Evidence(ctx context.Context, v data.View, progress func(images int)) ([]Exact, error) {
	results := make([]Exact, 0, v.N())
	d := q.generator.Pixels
	for first := 0; first < v.N(); first += groupImages {
		x := make([]float32, min(groupImages, v.N()-first)*d)
		for i := range len(x) / d {
			v.Pixels(x[i*d:][:d], first+i, 0)
		}
		part, err := q.Pixels(ctx, x, func(images int) {
			if progress != nil {
				progress(first + images)
			}
		})
		if err != nil {
			return nil, err
		}
		results = append(results, part...)
	}
	return results, nil
}

// Pixels returns log p(x) of images given by their pixels, [N, D].
func (q *Quadrature) Pixels(ctx context.Context, x []float32, progress func(images int)) ([]Exact, error) {
	if progress == nil {
		progress = func(int) {}
	}
	results := make([]Exact, len(x)/q.generator.Pixels)
	if err := q.group(ctx, x, results, progress); err != nil {
		return nil, err
	}
	return results, nil
}

// group computes log p(x) of images that share decoded tiles.
func (q *Quadrature) group(ctx context.Context, x []float32, results []Exact, progress func(done int)) error {
	d, k, e := q.generator.Pixels, q.first.perImage, q.generator.Engine
	next := make([]*refinement, len(results))
	faulty := make([]error, len(results))
	var origin node
	for j := range q.generator.Latent {
		origin[j] = q.first.firstNode
	}
	for first := 0; first < len(results); first += q.first.joint.Images() {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(q.first.joint.Images(), len(results)-first)
		joint, offset, err := q.first.joint.LogJoint(x[first*d:][:n*d])
		if err != nil {
			return err
		}
		base := q.first.joint.Base()
		e.Split(n, 1, func(lo, hi int) {
			for i := lo; i < hi; i++ {
				row := joint[i*k:][:k]
				r := &refinement{image: first + i, dropped: math.Inf(-1), lik: math.Inf(-1)}
				p := newPatch(origin, q.first.side, row, base, offset[i])
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

func (q *Quadrature) tileNodes() int { return len(q.points) / q.generator.Latent }

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
	d, nodes, side := q.generator.Pixels, q.tileNodes(), tileSide(q.generator.Latent)
	some := make([]float32, tileImages*d)
	for tile, users := range places { // any order: no tile knows of another
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		origin := q.place(tile, level)
		if err := q.tiles.SetNodes(q.points); err != nil {
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
				patches[u.image][u.tile] = newPatch(origin, side, row, q.tiles.Base(), offset[i])
			}
		}
	}
	return patches, nil
}

// place sets the nodes of a tile and returns the first.
func (q *Quadrature) place(tile node, level int) (origin node) {
	z, side := q.generator.Latent, tileSide(q.generator.Latent)
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

// Cuts of log p(x, z) below its highest node, in nats.
const (
	negligible  = 45 // e⁻⁴⁵ of the highest is beyond float64's sums
	leastWeight = 2.86e-20
	// worthIt is what a region below is not refined for: e⁻¹² each, five standard
	// deviations of a Gaussian. What is dropped is counted.
	worthIt = 12
)

// assess computes log p(x) of one image from its log joints at a level, keeps it in best
// if its stated error is the smallest so far, and returns where to look at half the
// spacing, nil where that is not wanted.
func (q *Quadrature) assess(r *refinement, patches []patch, level int, best *Exact) (*refinement, error) {
	z, h := q.generator.Latent, math.Ldexp(q.options.Spacing, -level)
	top, at := math.Inf(-1), 0
	for i, p := range patches {
		if j := float64(p.top) + p.offset; j != j {
			return nil, fmt.Errorf("log p(x|z) is not a number at some z with |z| ≤ %g: the model has diverged, or its weights are damaged", q.options.Reach)
		} else if j > top {
			top, at = j, i
		}
	}
	if math.IsInf(top, 0) {
		return nil, fmt.Errorf("log p(x, z) is %g at its highest node with |z| ≤ %g: the model has diverged, or its weights are damaged", top, q.options.Reach)
	}

	// Sums over nodes, relative to the highest, line after line along the last dimension.
	var total float64
	var curvature, mean [MaxExactLatent]float64
	var second [MaxExactLatent][MaxExactLatent]float64
	var coset [1 << (2 * MaxExactLatent)]float64 // of nodes m that are alike modulo 4
	density, edge := make([]float32, patches[0].side), 0.0
	nodes := 0
	for _, p := range patches {
		nodes += len(p.joint)
		p.lines(z, func(k int, m node, line []float32) {
			// What p(x|z) is highest at counts also where the prior makes it negligible.
			norm := float64(z) * math.Log(2*math.Pi)
			for a := range z - 1 {
				norm += float64(m[a]) * h * float64(m[a]) * h
			}
			if level == 0 {
				r.lik = max(r.lik, highestLikelihood(line, m[z-1], h)+p.offset+norm/2)
			}
			if float64(simd.Max(line))+p.offset < top-negligible {
				return
			}
			var sums [4]float64 // over nodes alike modulo 4 along the line
			var moment1, moment2 float64
			var bent [MaxExactLatent]float64
			density = density[:len(line)]
			simd.ExpSum(density, line, float32(top-p.offset))
			for j, v := range density {
				if v < leastWeight {
					continue
				}
				w := float64(v)
				at := m[z-1] + j
				u := float64(at) * h
				sums[at&3] += w
				moment1 += w * u
				moment2 += w * u * u
				for a := range z {
					bent[a] += w * p.curvature(z, k+j, a)
				}
				if level > 0 {
					r.lik = max(r.lik, float64(line[j])+p.offset+(u*u+norm)/2)
				}
			}
			sum := sums[0] + sums[1] + sums[2] + sums[3]
			total += sum
			if level == 0 {
				edge += onFaces(m, z, p.side, sum, float64(density[0])+float64(density[len(density)-1]))
			}
			class := 0
			for a := range z - 1 {
				class |= m[a]&1<<a | m[a]&2<<(z+a-1)
				v := float64(m[a]) * h
				mean[a] += sum * v
				second[z-1][a] += moment1 * v
				for b := range a + 1 {
					second[a][b] += sum * v * float64(m[b]) * h
				}
			}
			mean[z-1] += moment1
			second[z-1][z-1] += moment2
			for c, sum := range sums {
				coset[class|c&1<<(z-1)|c&2<<(2*z-2)] += sum
			}
			for a := range z {
				curvature[a] += bent[a]
			}
		})
	}

	e := Exact{Level: level, Nodes: nodes, LogP: top + math.Log(total) + float64(z)*math.Log(h)}
	e.Halving = halving(coset[:1<<(2*z)], z)
	e.Covariance = make([]float64, z*z)
	cut := float64(worthIt)
	for a := range z {
		c := max(0, curvature[a]/total)
		e.Aliasing += aliasing(c)
		cut += c / 8 // a node stands at most h/2 from a peak
		e.Mean = append(e.Mean, mean[a]/total)
		for b := range a + 1 {
			e.Covariance[a*z+b] = second[a][b]/total - mean[a]/total*mean[b]/total
			e.Covariance[b*z+a] = e.Covariance[a*z+b]
		}
	}
	if level == 0 {
		r.edge = edge / total
	}
	e.Outside = math.Log1p(q.first.outside*math.Exp(r.lik-e.LogP) + r.edge/q.options.Spacing)
	e.Dropped = math.Log1p(math.Exp(r.dropped - e.LogP))
	base := patches[at].base
	e.Rounding = math.Exp2(-24) * (math.Abs(base) + math.Sqrt(float64(q.generator.Pixels))*math.Abs(top-patches[at].offset-base))
	e.Error = e.Halving + e.Aliasing + e.Outside + e.Dropped + e.Rounding
	if level == 0 || e.Error <= best.Error {
		*best = e
	}
	if e.Halving+e.Aliasing <= q.options.Tolerance || level == q.options.Levels {
		return nil, nil
	}
	return q.refine(r, patches, top, min(cut, negligible), h), nil
}

// onFaces is what of a line of the first lattice stands on the box's faces: all of it, sum,
// where the line lies in one, else its ends.
func onFaces(m node, z, side int, sum, ends float64) float64 {
	for _, a := range m[:z-1] {
		if a == -(side-1)/2 || a == (side-1)/2 {
			return sum
		}
	}
	return ends
}

// halving is the error that the disagreement of resolutions speaks of, from sums over the
// 4^Z cosets of a lattice, of which those alike modulo 2 have the same low Z bits: a third
// of the most that the logarithm of a lattice of spacing 2h differs from that of h or, as
// they may agree by chance, a twelfth of the most that 4h differs from 2h.
//
// A rule of second order, which this is across the kinks of a ReLU decoder, has errors
// e, 4e and 16e at h, 2h and 4h, so that they differ by 3e and by 12e (Richardson 1911);
// of one that converges exponentially, e is far less.
func halving(cosets []float64, z int) float64 {
	n := 1 << z
	parity, total := make([]float64, n), 0.0
	for class, sum := range cosets {
		parity[class%n] += sum
		total += sum
	}
	apart := func(part, whole float64) float64 {
		if part == whole { // also where both are 0
			return 0
		}
		return math.Abs(math.Log(max(part, math.SmallestNonzeroFloat64) * float64(n) / whole))
	}
	worst := 0.0
	for _, sum := range parity {
		worst = max(worst, min(negligible, apart(sum, total)))
	}
	for class, sum := range cosets {
		// A lattice of little weight in the whole has as little a voice.
		if whole := parity[class%n]; whole > 0 {
			worst = max(worst, min(negligible, apart(sum, whole))*min(1, whole*float64(n)/total)/4)
		}
	}
	return worst / 3
}

// aliasing is how far, in nats, the sum over a lattice of spacing h may be from the
// integral of a Gaussian along a dimension whose conditional standard deviation there is
// s, with c = h²/s²: 2 exp(-2π²/c), the first term of Poisson's summation, wherever the
// peak stands between nodes. For any other direction the error is smaller: the lattice's
// frequencies see variances that are no less than the conditional ones. Beyond c = 4 the
// nodes around a peak are too few to tell: then it is what a peak half-way between nodes,
// and as narrow as that, would add.
func aliasing(c float64) float64 {
	switch {
	case c <= 0:
		return 0
	case c < 4:
		return 2 * math.Exp(-2*math.Pi*math.Pi/c)
	}
	return c/8 + max(0, math.Log(c/(2*math.Pi))/2)
}

// refine returns the tiles, of half the spacing h, that hold the nodes within cut of the
// highest and the new nodes next to them; nil if those are too many.
func (q *Quadrature) refine(r *refinement, patches []patch, top, cut, h float64) *refinement {
	z, side := q.generator.Latent, tileSide(q.generator.Latent)
	set, most := map[node]bool{}, q.options.MaxNodes/q.tileNodes()
	left := 0.0
	for _, p := range patches {
		p.each(z, top-negligible, func(m node, j float64) {
			if j < top-cut {
				left += math.Exp(j - top)
				return
			}
			if len(set) > most {
				return
			}
			var lo, hi node
			for a := range z {
				lo[a], hi[a] = floorDiv(2*m[a]-1, side), floorDiv(2*m[a]+1, side)
			}
			for tile := lo; ; {
				set[tile] = true
				a := z - 1
				for ; a >= 0 && tile[a] == hi[a]; a-- {
					tile[a] = lo[a]
				}
				if a < 0 {
					break
				}
				tile[a]++
			}
		})
	}
	if len(set) > most {
		return nil
	}
	dropped := floats.LogSumExp([]float64{r.dropped, math.Log(left) + top + float64(z)*math.Log(h)})
	next := &refinement{image: r.image, lik: r.lik, edge: r.edge, dropped: dropped}
	for tile := range set {
		next.tiles = append(next.tiles, tile)
	}
	slices.SortFunc(next.tiles, func(a, b node) int { return slices.Compare(a[:], b[:]) })
	return next
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

// highestLikelihood is the maximum of log p(x, z) + z²/2 on a line that begins m steps of
// h from 0.
func highestLikelihood(line []float32, m int, h float64) float64 {
	highest := float32(math.Inf(-1))
	step := float32(h)
	for j, v := range line {
		u := float32(m+j) * step
		if v += u * u / 2; v > highest {
			highest = v
		}
	}
	return float64(highest)
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
