package infer

import (
	"fmt"
	"math"

	"elbo/graph/elementary"
	"elbo/graph/simd"
	"elbo/model"
)

// Cuts of log p(x, z) below its highest node, in nats.
const (
	negligible  = 45 // e⁻⁴⁵ of the highest is beyond float64's sums
	leastWeight = 2.86e-20
	// worthIt is how far below the highest node a peak is worth refining for: e⁻¹² is five
	// standard deviations of a Gaussian. What is dropped is counted.
	worthIt = 12
)

// assess computes log p(x) of one image from its log joints at a level, keeps it in best
// if its stated error is the smallest so far, and returns where to look at half the
// spacing, nil where that is not wanted.
func (q *Quadrature) assess(r *refinement, patches []patch, level int, best *Exact) (*refinement, error) {
	highest, err := q.highest(patches)
	if err != nil {
		return nil, err
	}
	s := newSums(q.joint, level, q.options.Spacing, patches[highest])
	for i, p := range patches {
		s.add(p, i == highest)
	}
	r.lik = max(r.lik, s.lik)
	if level == 0 {
		r.edge = s.edge / s.total
	}
	e := q.stated(r, s)
	if level == 0 || e.Error <= best.Error {
		*best = e
	}
	if e.Halving+e.Aliasing <= q.options.Tolerance || level == q.options.Levels {
		return nil, nil
	}
	return q.refine(r, patches, s), nil
}

// highest returns which patch has the highest node, an error where there is none.
func (q *Quadrature) highest(patches []patch) (at int, err error) {
	top := math.Inf(-1)
	for i, p := range patches {
		if j := p.highest(); j != j {
			return 0, fmt.Errorf("log p(x|z) is not a number at some z with |z| ≤ %g: the model has diverged, or its weights are damaged", q.options.Reach)
		} else if j > top {
			top, at = j, i
		}
	}
	if math.IsInf(top, 0) {
		return 0, fmt.Errorf("log p(x, z) is %g at its highest node with |z| ≤ %g: the model has diverged, or its weights are damaged", top, q.options.Reach)
	}
	return at, nil
}

// sums are over the nodes of one image at a level, each of weight w = p(x, z) relative to
// the highest node. Curvatures c are h² times the posterior's conditional precision along
// a dimension.
type sums struct {
	latent, level int
	h             float64
	top           float64 // log p(x, z) of the highest node
	rounding      float64 // of it in float32
	nodes         int

	total     float64                                 // Σ w
	mean      [MaxExactLatent]float64                 // Σ w z, z the node's code
	second    [MaxExactLatent][MaxExactLatent]float64 // Σ w z zᵀ, the lower triangle
	curvature [MaxExactLatent]float64                 // Σ w c
	coset     [1 << (2 * MaxExactLatent)]float64      // Σ w over nodes m that are alike modulo 4
	edge      float64                                 // Σ w on the faces of the first lattice
	lik       float64                                 // max log p(x|z)
	peaks     []peak                                  // but for the highest

	density []float32 // of a line
}

func newSums(j *model.Joint, level int, spacing float64, highest patch) *sums {
	return &sums{
		latent: j.Latent, level: level, h: math.Ldexp(spacing, -level),
		top: highest.highest(), rounding: 0x1p-24 * highest.size(j.Pixels), lik: math.Inf(-1),
		density: make([]float32, highest.side),
	}
}

// add adds the nodes of a patch, line after line along the last dimension.
func (s *sums) add(p patch, highest bool) {
	z := s.latent
	s.nodes += len(p.joint)
	s.lik = max(s.lik, p.lik) // also where the prior makes p(x, z) negligible
	p.lines(z, func(k int, m node, line []float32) {
		p.peaks(z, k, line, func(j int) {
			if !highest || k+j != p.at {
				s.addPeak(p, k+j, m, j)
			}
		})
		if float64(simd.Max(line))+p.offset >= s.top-negligible {
			s.addLine(p, k, m, line)
		}
	})
}

// addLine adds the nodes of a line that begins at m, the k-th node of the patch.
func (s *sums) addLine(p patch, k int, m node, line []float32) {
	z, h := s.latent, s.h
	var sums [4]float64 // over nodes alike modulo 4 along the line
	var moment1, moment2 float64
	var bent [MaxExactLatent]float64
	density := s.density[:len(line)]
	simd.ExpSum(density, line, float32(s.top-p.offset))
	for j, v := range density {
		if v < leastWeight {
			continue
		}
		w := float64(v)
		at := m[z-1] + j
		u := float64(at) * h
		sums[at&3] += w
		moment1 += float64(w * u)
		moment2 += float64(w * u * u)
		for a := range z {
			bent[a] += float64(w * p.curvature(z, k+j, a))
		}
	}
	sum := sums[0] + sums[1] + sums[2] + sums[3]
	s.total += sum
	if s.level == 0 {
		s.edge += onFaces(m, z, p.side, sum, float64(density[0])+float64(density[len(density)-1]))
	}
	class := 0
	for a := range z - 1 {
		class |= m[a]&1<<a | m[a]&2<<(z+a-1)
	}
	for c, sum := range sums {
		s.coset[class|c&1<<(z-1)|c&2<<(2*z-2)] += sum
	}
	for a := range z {
		s.curvature[a] += bent[a]
	}
	if p.codes != nil {
		s.addMapped(p.codes[k*z:], density)
		return
	}
	for a := range z - 1 {
		v := float64(m[a]) * h
		s.mean[a] += float64(sum * v)
		s.second[z-1][a] += float64(moment1 * v)
		for b := range a + 1 {
			s.second[a][b] += float64(sum * v * float64(m[b]) * h)
		}
	}
	s.mean[z-1] += moment1
	s.second[z-1][z-1] += moment2
}

// addMapped adds to the moments the codes of a line's nodes by their weights.
func (s *sums) addMapped(codes, density []float32) {
	z := s.latent
	for j, w := range density {
		if w < leastWeight {
			continue
		}
		at := codes[j*z:][:z]
		for a, v := range at {
			weighted := float64(float64(w) * float64(v))
			s.mean[a] += weighted
			for b := range a + 1 {
				s.second[a][b] += float64(weighted * float64(at[b]))
			}
		}
	}
}

// peak is a node that is a local maximum of the log joint.
type peak struct {
	at    node
	joint float64                 // log p(x, z)
	c     [MaxExactLatent]float64 // the curvatures there
}

// rise is how far the posterior's own peak may stand above its highest node, in nats, if
// it is a Gaussian of these curvatures: Σ c/8.
//
// With the precision P = UᵀDU, U unit upper triangular, some node is no further than h/2
// from the peak along each of the coordinates U z, chosen from the last dimension to the
// first, so that it lies at most Σ D_a h²/8 lower; and D_a, the precision of z_a given
// the dimensions after it, is no more than that given all others, c_a/h².
func rise(c []float64) float64 {
	sum := 0.0
	for _, v := range c {
		sum += v
	}
	return float64(sum / 8)
}

// addPeak keeps the local maximum at node k of the patch, node j of a line that begins at
// m, if what may stand there is not negligible.
func (s *sums) addPeak(p patch, k int, m node, j int) {
	n := peak{at: m, joint: float64(p.joint[k]) + p.offset, c: p.curvatures(s.latent, k)}
	n.at[s.latent-1] += j
	if n.joint+rise(n.c[:]) > s.top-negligible {
		s.peaks = append(s.peaks, n)
	}
}

// cut is how far below the highest node, in nats, a node is worth refining around if a
// peak rises so far above it. Both nodes may be off by their rounding.
func (s *sums) cut(rise float64) float64 { return worthIt + rise + float64(2*s.rounding) }

// worthIt reports that the posterior's peak at n may be high enough to refine for.
func (s *sums) worthIt(n peak) bool { return n.joint >= s.top-s.cut(rise(n.c[:])) }

// meanCurvature is E[c|x], [Z].
func (s *sums) meanCurvature() []float64 {
	c := make([]float64, s.latent)
	for a := range c {
		c[a] = max(0, s.curvature[a]/s.total)
	}
	return c
}

// logP is the logarithm of the sum over the lattice, hᶻ Σ p(x, z).
func (s *sums) logP() float64 {
	return s.top + elementary.Log(s.total) + float64(float64(s.latent)*elementary.Log(s.h))
}

// stated is log p(x) by the sums, with its error and its moments.
func (q *Quadrature) stated(r *refinement, s *sums) Exact {
	z := s.latent
	e := Exact{Level: s.level, Nodes: s.nodes, LogP: s.logP(), Covariance: make([]float64, z*z)}
	for a := range z {
		e.Mean = append(e.Mean, s.mean[a]/s.total)
		for b := range a + 1 {
			e.Covariance[a*z+b] = s.second[a][b]/s.total - s.mean[a]/s.total*s.mean[b]/s.total
			e.Covariance[b*z+a] = e.Covariance[a*z+b]
		}
	}
	e.Halving = halving(s.coset[:1<<(2*z)], z)
	for _, c := range s.meanCurvature() {
		e.Aliasing += aliasing(c)
	}
	e.Aliasing += s.narrow()
	e.Outside = elementary.Log1p(float64(q.first.outside*elementary.Exp(r.lik-e.LogP)) + r.edge*latentScale/q.options.Spacing)
	e.Dropped = log1pExp(r.dropped - e.LogP)
	e.Rounding = s.rounding
	e.Error = e.Halving + e.Aliasing + e.Outside + e.Dropped + e.Rounding
	return e
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
		return math.Abs(elementary.Log(max(part, math.SmallestNonzeroFloat64) * float64(n) / whole))
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
		return 2 * elementary.Exp(-2*math.Pi*math.Pi/c)
	}
	return float64(c/8) + max(0, elementary.Log(c/(2*math.Pi))/2)
}

// narrow is what the lattice may miss, in nats, of peaks that are lower than the highest
// and may be narrower than the posterior's mean curvature says: with w √(2π/c) for the
// mass that a local maximum of weight w shows, and its own c,
//
//	log(1 + Σ_peaks w Π_a √(2π/c_a) (exp(Σ_a aliasing(c_a)) - 1) / Σ w)
//
// A peak as wide as N(0, 1) has c = h²; the root is at least 1, as a node at a peak shows it.
func (s *sums) narrow() float64 {
	missed := make([]float64, 0, len(s.peaks))
	for _, n := range s.peaks {
		alias, width := 0.0, 0.0
		for _, c := range n.c[:s.latent] {
			alias += aliasing(c)
			width += max(0, elementary.Log(2*math.Pi/max(c, s.h*s.h/(latentScale*latentScale)))/2)
		}
		// log(exp(alias) - 1), without overflow
		missed = append(missed, n.joint-s.top+width+alias+elementary.Log(-elementary.Expm1(-alias)))
	}
	if len(missed) == 0 {
		return 0
	}
	return log1pExp(elementary.LogSumExp(missed...) - elementary.Log(s.total))
}

// log1pExp is log(1 + exp(x)), without overflow.
func log1pExp(x float64) float64 { return max(0, x) + elementary.Log1p(elementary.Exp(-math.Abs(x))) }
