package model

import (
	"fmt"
	"math"

	"elbo/graph"
	"elbo/graph/elementary"
)

// Peers are processes that fit one prior, each to the codes of a part of the images.
type Peers interface {
	Rank() int // of this process, from 0
	Size() int // number of processes
	// Sum replaces values by their sums over all processes.
	Sum(values []float64) error
}

// PriorShare is which of n images' codes UpdatePrior wants of a process, from one to before
// another: whole parts of a pass, of which there are 16, so that a 17th process has none. All
// where p is nil.
func PriorShare(p Peers, n int) (lo, hi int) {
	from, to := passShare(p)
	return n * from / passShards, n * to / passShards
}

// passShare is which parts of a pass are this process'.
func passShare(p Peers) (from, to int) {
	if p == nil {
		return 0, passShards
	}
	return passShards * p.Rank() / p.Size(), passShards * (p.Rank() + 1) / p.Size()
}

// UpdatePrior sets the mixture of Gaussians p(z) = Σ_k π_k N(m_k, diag s_k²) by passes of EM
// to the posteriors of n = N images, h [N, H], of which it takes the mean μ_n and the variances
// v_n. With
//
//	ℓ_nk = E_q[log N(z; m_k, s_k²)] = -½ Σ_Z ((μ_n - m_k)² + v_n)/s_k² + log s_k² + log 2π
//
// a pass is
//
//	r_nk ∝ π_k exp ℓ_nk
//	π_k = Σ_n r_nk / N    m_k = Σ_n r_nk μ_n / Σ_n r_nk    s_k² = Σ_n r_nk ((μ_n - m_k)² + v_n) / Σ_n r_nk
//
// It never lowers, at these posteriors,
//
//	L = (1/N) Σ_n log Σ_k π_k exp ℓ_nk = max_r (1/N) Σ_nk r_nk (log π_k + ℓ_nk - log r_nk)
//
// which has no draws and no noise, and is below (1/N) Σ_n E_q[log p(z)] by the mean of
// E_q[KL(r_n ‖ p(k|z))]: each image has one r_n for all its codes. So it is L that is raised,
// and of E_q[log p(z)] a bound; with one component the two are equal. No s_k² falls below the
// least v_n. UpdatePrior returns L before the first pass.
//
// Draws in place of means and variances would make the bound tight, and have noise that costs
// more: a component that comes to sit on one draw shrinks to it.
//
// Peers call it together, each with the posteriors of its PriorShare, and come to the bits of
// one process; nil is for none.
func (m *VAE) UpdatePrior(h []float32, n, passes int, p Peers) (bound float64, err error) {
	held, ok := m.Prior.(interface{ mixture() *MixturePrior })
	known, hasMoments := m.Q.Posterior.(Moments)
	if !ok || !hasMoments || held.mixture().h.Name != componentsParam {
		return 0, fmt.Errorf("the prior %s of codes of a %s has no closed update", m.Prior, m.Q.Posterior)
	}
	width, _ := m.Q.Posterior.Sizes()
	var mean, variance []float64
	for i := range len(h) / width {
		mean = append(mean, known.Mean(h[i*width:][:width])...)
		variance = append(variance, known.Variance(h[i*width:][:width])...)
	}
	for i := range passes {
		before, err := held.mixture().pass(mean, variance, n, p, m.Engine)
		if err != nil {
			return 0, err
		}
		if i == 0 {
			bound = before
		}
	}
	return bound, nil
}

// passShards is how many parts the images of a pass are cut into, whatever the number of
// workers: the sums of the parts are added in order, and no bit depends on who made them.
const passShards = 16

// passSums are the statistics of a part of the images.
type passSums struct {
	bound                  float64   // Σ log Σ_k π_k exp ℓ
	counts, first, squares []float64 // Σ r, Σ r (μ - m), Σ r ((μ - m)² + v) about the old mean m
	r                      []float64 // of the last image
}

// leastShare is the share of the images below which a component stays where it is, with this
// weight: with none it could not come back.
const leastShare = 1e-8

// leastResponsibility is the r below which an image takes no part in the statistics of a component:
// most do not in many dimensions, and all of them together come to a tenth of leastShare at most.
const leastResponsibility = 1e-9

// pass makes one pass of EM to means and variances, [N, Z], of n images, of which the peers have
// their PriorShare each, and returns L before it.
func (p *MixturePrior) pass(means, variances []float64, n int, peers Peers, engine *graph.Engine) (float64, error) {
	k, z := p.h.Shape[0], p.h.Shape[1]/2
	own, _ := PriorShare(peers, n)
	begin, beyond := passShare(peers)
	base, m, precision := weights(p.logits.Value), make([]float64, k*z), make([]float64, k*z)
	for c := range k {
		base[c] = elementary.Log(base[c])
		for j := range z {
			logVar := float64(p.h.Value[c*2*z+z+j])
			m[c*z+j], precision[c*z+j] = float64(p.h.Value[c*2*z+j]), elementary.Exp(-logVar)
			base[c] -= float64((logVar + elementary.Log(2*math.Pi)) / 2)
		}
	}
	parts := make([]passSums, passShards)
	for s := range parts {
		parts[s].begin(k, z)
	}
	engine.Split(beyond-begin, 1, func(lo, hi int) {
		for s := begin + lo; s < begin+hi; s++ {
			from, to := n*s/passShards-own, n*(s+1)/passShards-own
			for i := from; i < to; i++ {
				parts[s].add(means[i*z:][:z], variances[i*z:][:z], base, m, precision)
			}
		}
	})
	if err := exchange(parts, peers); err != nil {
		return 0, err
	}
	total := &parts[0]
	for _, part := range parts[1:] {
		total.bound += part.bound
		addTo(total.counts, part.counts, 1)
		addTo(total.first, part.first, 1)
		addTo(total.squares, part.squares, 1)
	}
	for c, count := range total.counts {
		p.logits.Value[c] = float32(elementary.Log(max(count/float64(n), leastShare)))
		if count < leastShare*float64(n) {
			continue
		}
		for j := range z {
			shift := total.first[c*z+j] / count
			p.h.Value[c*2*z+j] = float32(m[c*z+j] + shift)
			p.h.Value[c*2*z+z+j] = float32(elementary.Log(total.squares[c*z+j]/count - float64(shift*shift)))
		}
	}
	return total.bound / float64(n), nil
}

// exchange gives every process the parts of all, of which each has its own, and zeros for the
// others: added to these, no number is rounded.
func exchange(parts []passSums, p Peers) error {
	if p == nil || p.Size() == 1 {
		return nil
	}
	for i := range parts {
		s, bound := &parts[i], []float64{parts[i].bound}
		for _, values := range [][]float64{bound, s.counts, s.first, s.squares} {
			if err := p.Sum(values); err != nil {
				return err
			}
		}
		s.bound = bound[0]
	}
	return nil
}

// begin empties the statistics.
func (s *passSums) begin(k, z int) {
	s.counts, s.first, s.squares, s.r = make([]float64, k), make([]float64, k*z), make([]float64, k*z), make([]float64, k)
}

// add adds an image.
func (s *passSums) add(mean, variance, base, m, precision []float64) {
	z, r := len(mean), s.r
	for c := range r {
		sum := 0.0
		for j, lambda := range precision[c*z:][:z] {
			d := mean[j] - m[c*z+j]
			sum += float64(lambda * (float64(d*d) + variance[j]))
		}
		r[c] = base[c] - float64(sum/2)
	}
	logSum := elementary.LogSumExp(r...)
	s.bound += logSum
	for c := range r {
		w := elementary.Exp(r[c] - logSum)
		if w < leastResponsibility {
			continue
		}
		s.counts[c] += w
		for j, mu := range mean {
			d := mu - m[c*z+j]
			s.first[c*z+j] += float64(w * d)
			s.squares[c*z+j] += float64(w * (float64(d*d) + variance[j]))
		}
	}
}
