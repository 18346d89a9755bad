package train

import (
	"fmt"
	"math"

	"elbo/graph/simd"
)

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
			return nil, fmt.Errorf("train: log p(x|z) is not a number at some z with |z| ≤ %g: the model has diverged, or its weights are damaged", q.options.Reach)
		} else if j > top {
			top, at = j, i
		}
	}
	if math.IsInf(top, 0) {
		return nil, fmt.Errorf("train: log p(x, z) is %g at its highest node with |z| ≤ %g: the model has diverged, or its weights are damaged", top, q.options.Reach)
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
