package infer

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"elbo/data"
	"elbo/graph/elementary"
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
		n, most := o.side(), elementary.Exp(elementary.Log(1<<24)/float64(latent))
		f.add(n < 5 || elementary.Power(float64(n), int64(latent)) > 1<<24, "%d nodes along each of %d dimensions (spacing %g, reach %g), want 5 to %.0f", n, latent, o.Spacing, o.Reach, most)
	}
	return errors.Join(f...)
}

// latentScale is the length, in units of z, on which priors are thought to vary: the
// standard deviation of N(0, I). No sum depends on it. The default spacing and reach are
// made for it; what stands on the box's faces is taken to go on outside for that far, and no
// local maximum is taken to be wider.
const latentScale = 1

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
	// posterior's mean curvature says, and of lower local maxima as narrow as their own
	// curvature says: all 2^Z coarser lattices may miss it alike. A peak that makes no node
	// a local maximum, such as one nearer than a spacing to a kink, is seen only if it is as
	// wide as the others.
	Aliasing float64
	// Outside is for the mass outside the box. It bounds it if p(x|z) is nowhere higher
	// there than in it: P(z outside) max p(x|z) / p(x). What stands on the box's faces is
	// taken to go on outside for one unit (latentScale).
	Outside  float64
	Dropped  float64 // mass of the regions that were not refined, with what may stand between their nodes
	Rounding float64 // of float32

	Level int // halvings of the spacing
	Nodes int // of the last lattice

	Mean       []float64 // E[z|x], [Z]: of the prior's codes z, whatever is integrated over
	Covariance []float64 // of z given x, [Z, Z]
}

// Missed reports that a lower bound on log p(x) from draws, L_k with the scatter 1/√ESS,
// shows the quadrature to be too low by more than chance and what it states: the posterior
// lies where no node stands. The bound then stands in for it. images is how many are looked
// at.
//
// Chance is five times the scatter where the scatter is known. Where a few draws have all
// the weight it is not: a draw far out in the tail of q, rare and heavy, lifts L_k above
// log p(x) and makes the ESS 1. As E[exp L_k] = p(x), it does so by t nats with a
// probability of at most e⁻ᵗ, and t = log(100 images) leaves one false alarm in a hundred
// evaluations.
func (x Exact) Missed(bound, scatter float64, images int) bool {
	const known = 0.25 // the scatter of 16 effective draws
	chance := 5 * scatter
	if scatter > known {
		chance = elementary.Log(100 * float64(images))
	}
	rounding := float64(32 * 0x1p-24 * math.Abs(bound)) // of a log-likelihood in float32
	return bound-chance > x.LogP+x.Error+rounding
}

// Quadrature computes log p(x) of a joint distribution by integration over its one to three
// latent dimensions, under any prior that bounds its mass outside a box, or that is the image
// of N(0, I) under a map: then it integrates over what is mapped (model.Pushforward).
//
// The rule is the midpoint rule on a lattice, which converges exponentially once the
// spacing is below the width of a smooth integrand that vanishes at the boundary
// (Trefethen and Weideman 2014), and like h² across the kinks of a ReLU decoder. A fixed
// lattice is decoded once for all images. Where that is too coarse for an image, as its
// stated error says, the spacing is halved, again and again, in the tiles of latent
// space where the image's posterior has mass; tiles, too, are decoded once for all
// images that need them.
type Quadrature struct {
	joint   *model.Joint  // what is integrated: p(u) p(x|f(u)) where the prior is a push-forward
	given   *model.Joint  // p(z) p(x|z)
	push    *model.Pusher // f; nil where u is z
	options QuadratureOptions
	first   *lattice
	tiles   *NodeTable // of one tile
	points  []float32  // nodes of the present tile, [T, Z]
}

// Method says what was done, for tables and files.
func (q *Quadrature) Method() string {
	sides := make([]string, q.joint.Latent)
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

// NewQuadrature compiles and decodes what quadrature for blocks of up to the given
// number of images needs. It fails with an *OptionError where the options, the model or the
// memory do not allow for it: the prior, for one, must bound its mass outside a box.
func NewQuadrature(j *model.Joint, o QuadratureOptions, images int) (*Quadrature, error) {
	if err := o.Validate(j.Latent); err != nil {
		return nil, &OptionError{err}
	}
	given, _, err := j.Fixed()
	if err != nil {
		return nil, err
	}
	j, pushed := given.Base()
	prior, ok := j.Prior.(model.Boxed)
	if !ok {
		return nil, &OptionError{fmt.Errorf("quadrature integrates over a box of the latent space, and the prior %s cannot bound its mass outside one: --samples 5000 bounds log p(x) in its place", j.Prior)}
	}
	q := &Quadrature{joint: j, given: given, options: o}
	side, k := o.side(), 1
	for range j.Latent {
		k *= side
	}
	block := max(1, min(latticeImages, images))
	need := 4 * (float64(float64(k)*float64(j.Pixels+block+2*j.Latent+4)) + float64(batchNodes) + float64(min(images, groupImages)*j.Pixels))
	if have := data.AvailableMemory(); have > 0 && need > float64(have) {
		return nil, &OptionError{fmt.Errorf("quadrature over %d nodes needs about %.1f GB of memory, and %.1f GB are free: want fewer latent dimensions, or --samples 5000 in its place", k, need/1e9, float64(have)/1e9)}
	}
	l := &lattice{side: side, firstNode: -(side - 1) / 2, perImage: k}
	l.points = make([]float32, k*j.Latent)
	for i := range k {
		z := l.points[i*j.Latent:][:j.Latent]
		for a, rest := j.Latent-1, i; a >= 0; a, rest = a-1, rest/side {
			z[a] = float32(float64(l.firstNode+rest%side) * o.Spacing)
		}
	}
	l.outside = prior.MassOutside(j.Latent, float64(side)*o.Spacing/2)
	if l.table, err = NewNodeTable(j, block, k); err != nil {
		return nil, err
	}
	if err := l.table.SetNodes(l.points); err != nil {
		return nil, err
	}
	if pushed {
		if q.push, err = j.NewPusher(given.Prior.(model.Pushforward), min(k, decodeRows)); err != nil {
			return nil, err
		}
	}
	if l.codes, err = q.codes(l.points); err != nil {
		return nil, err
	}
	q.first = l
	t := 1
	for range j.Latent {
		t *= tileSide(j.Latent)
	}
	q.points = make([]float32, t*j.Latent)
	q.tiles, err = NewNodeTable(j, min(tileImages, max(1, images)), t)
	return q, err
}

// codes returns f(u) of nodes u, [K, Z], nil where u is z.
func (q *Quadrature) codes(u []float32) ([]float32, error) {
	if q.push == nil {
		return nil, nil
	}
	return q.push.At(make([]float32, 0, len(u)), u)
}

// Evidence returns log p(x) of the images of v, as evaluation sees them, in order. It
// stops with the context's error. progress, if not nil, hears of every few images.
func (q *Quadrature) Evidence(ctx context.Context, v data.View, progress func(images int)) ([]Exact, error) {
	results := make([]Exact, 0, v.N())
	d := q.joint.Pixels
	for first := 0; first < v.N(); first += groupImages {
		n := min(groupImages, v.N()-first)
		x := make([]float32, n*d)
		v.EvaluatedRows(x, first, n)
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
	results := make([]Exact, len(x)/q.joint.Pixels)
	if err := q.group(ctx, x, results, progress); err != nil {
		return nil, err
	}
	return results, nil
}

// over returns the options with the box of a prior in view. The default box holds all of
// N(0, I) but 10⁻⁸; of a prior that is wider, or elsewhere, it is doubled until it does, with
// as many nodes, and one more halving each time.
func (o QuadratureOptions) over(j *model.Joint) QuadratureOptions {
	const most, doublings = 1e-8, 6
	prior, ok := j.Prior.(model.Boxed)
	for range doublings {
		if !ok || prior.MassOutside(j.Latent, o.Reach) < most {
			break
		}
		o.Reach, o.Spacing, o.Levels = 2*o.Reach, 2*o.Spacing, o.Levels+1
	}
	return o
}

// Integrate returns log p(x) of the images of v by quadrature with the default options for
// its prior, and says how. Peers integrate for a part of the images each, all by a call; nil is
// for none. progress, if not nil, hears of every few images of this process.
func Integrate(ctx context.Context, j *model.Joint, v data.View, p Peers, progress func(images int)) (exact []Exact, method string, err error) {
	exact, method, err = integrate(ctx, j, Dealt(p, v), progress)
	if p == nil || p.Size() == 1 {
		return exact, method, err
	}
	z := j.Latent
	const fields = 9
	width := fields + z + z*z
	var own []float64
	for _, x := range exact {
		own = append(own, x.LogP, x.Error, x.Halving, x.Aliasing, x.Outside, x.Dropped, x.Rounding, float64(x.Level), float64(x.Nodes))
		own = append(append(own, x.Mean...), x.Covariance...)
	}
	all, err := Together(p, v.N(), width, own, err)
	if err != nil {
		return nil, "", err
	}
	exact = make([]Exact, v.N())
	for i := range exact {
		row := all[i*width:][:width]
		exact[i] = Exact{
			LogP: row[0], Error: row[1], Halving: row[2], Aliasing: row[3], Outside: row[4], Dropped: row[5], Rounding: row[6], Level: int(row[7]), Nodes: int(row[8]),
			Mean: row[fields:][:z], Covariance: row[fields+z:],
		}
	}
	return exact, method, nil
}

// integrate is Integrate for all images of v.
func integrate(ctx context.Context, j *model.Joint, v data.View, progress func(images int)) (exact []Exact, method string, err error) {
	if j, _, err = j.Fixed(); err != nil {
		return nil, "", err
	}
	q, err := NewQuadrature(j, DefaultQuadrature(j.Latent).over(j), v.N())
	if err != nil {
		return nil, "", err
	}
	exact, err = q.Evidence(ctx, v, progress)
	return exact, q.Method(), err
}
