package model

import (
	"fmt"
	"math"

	"elbo/graph"
	"elbo/graph/elementary"
)

// UpdatePrior sets the mixture of Gaussians p(z) = Σ_k π_k N(m_k, diag s_k²) by passes of EM
// to the posteriors of N images, h [N, H], of which it takes the mean μ_n and the variances
// v_n. With
//
//	E_q[log N(z; m, s²)] = -½ Σ_Z ((μ - m)² + v)/s² + log s² + log 2π
//
// a pass is
//
//	r_nk ∝ π_k exp E_q[log N(z; m_k, s_k²)]
//	π_k = Σ_n r_nk / N    m_k = Σ_n r_nk μ_n / Σ_n r_nk    s_k² = Σ_n r_nk ((μ_n - m_k)² + v_n) / Σ_n r_nk
//
// It never lowers
//
//	L = (1/N) Σ_n log Σ_k π_k exp E_q[log N(z; m_k, s_k²)]  ≤  (1/N) Σ_n E_q[log p(z)],
//
// the bound in which each image has one r_n for all its codes; with one component the two
// are equal. With more, what L gains the right-hand side may lose, where components overlap
// within a posterior. So that is looked at as well, at a draw z(h_n, ε_n) of each posterior,
// eps [N, E], and an update that lowers its mean is not taken. UpdatePrior returns whether it
// was, and the gain in nats per image.
func (m *VAE) UpdatePrior(h, eps []float32, passes int) (taken bool, gain float64, err error) {
	held, ok := m.Prior.(interface{ mixture() *MixturePrior })
	known, hasMoments := m.Q.Posterior.(Moments)
	if !ok || !hasMoments || held.mixture().h.Name != componentsParam {
		return false, 0, fmt.Errorf("the prior %s of codes of a %s has no closed update", m.Prior, m.Q.Posterior)
	}
	p := held.mixture()
	width, _ := m.Q.Posterior.Sizes()
	var mean, variance []float64
	for i := range len(h) / width {
		mean = append(mean, known.Mean(h[i*width:][:width])...)
		variance = append(variance, known.Variance(h[i*width:][:width])...)
	}
	density, err := m.newDrawnDensity(h, eps)
	if err != nil {
		return false, 0, err
	}
	before, err := density.mean()
	if err != nil {
		return false, 0, err
	}
	was := [][]float32{append([]float32(nil), p.h.Value...), append([]float32(nil), p.logits.Value...)}
	for range passes {
		p.pass(mean, variance, m.Engine)
	}
	after, err := density.mean()
	if gain = after - before; err != nil || !(gain >= 0) {
		copy(p.h.Value, was[0])
		copy(p.logits.Value, was[1])
		return false, gain, err
	}
	return true, gain, nil
}

// passShards is how many parts the images of a pass are cut into, whatever the number of
// workers: the sums of the parts are added in order, and no bit depends on who made them.
const passShards = 16

// passSums are the statistics of a part of the images.
type passSums struct {
	bound                  float64   // Σ_n log Σ_k π_k exp E_q[log N]
	counts, first, squares []float64 // Σ r, Σ r (μ - m), Σ r ((μ - m)² + v) about the old mean m
}

// leastShare is the share of the images below which a component stays where it is, with this
// weight: with none it could not come back.
const leastShare = 1e-8

// pass makes one pass of EM, and returns L before it.
func (p *MixturePrior) pass(mean, variance []float64, engine *graph.Engine) float64 {
	k, z := p.h.Shape[0], p.h.Shape[1]/2
	n := len(mean) / z
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
	engine.Split(passShards, 1, func(lo, hi int) {
		for s := lo; s < hi; s++ {
			from, to := n*s/passShards, n*(s+1)/passShards
			parts[s].add(mean[from*z:to*z], variance[from*z:to*z], base, m, precision)
		}
	})
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
	return total.bound / float64(n)
}

// add adds images with the given means and variances.
func (s *passSums) add(mean, variance, base, m, precision []float64) {
	k := len(base)
	z := len(m) / k
	s.counts, s.first, s.squares = make([]float64, k), make([]float64, k*z), make([]float64, k*z)
	r := make([]float64, k)
	for i := range len(mean) / z {
		mu, v := mean[i*z:][:z], variance[i*z:][:z]
		for c := range r {
			sum := 0.0
			for j, lambda := range precision[c*z:][:z] {
				d := mu[j] - m[c*z+j]
				sum += float64(lambda * (float64(d*d) + v[j]))
			}
			r[c] = base[c] - float64(sum/2)
		}
		logSum := elementary.LogSumExp(r...)
		s.bound += logSum
		for c := range r {
			w := elementary.Exp(r[c] - logSum)
			if w == 0 {
				continue
			}
			s.counts[c] += w
			for j, mu := range mu {
				d := mu - m[c*z+j]
				s.first[c*z+j] += float64(w * d)
				s.squares[c*z+j] += float64(w * (float64(d*d) + v[j]))
			}
		}
	}
}

// drawnDensity is the mean of log p(z) over draws z(h_n, ε_n).
type drawnDensity struct {
	program    *graph.Program
	inH, inEps []float32
	h, eps     []float32 // [N, H], [N, E]
	logP       graph.Node
	rows       int
}

func (m *VAE) newDrawnDensity(h, eps []float32) (*drawnDensity, error) {
	width, noise := m.Q.Posterior.Sizes()
	n := len(h) / width
	if len(eps) != n*noise {
		return nil, fmt.Errorf("%d numbers of noise for %d posteriors, want %d for each", len(eps), n, noise)
	}
	d := &drawnDensity{h: h, eps: eps, rows: min(n, encodedRows)}
	var err error
	d.program, err = graph.Build(m.Engine, func(b *graph.Builder) {
		var of, e graph.Node
		of, d.inH = b.Input("h", d.rows, width)
		e, d.inEps = b.Input("eps", d.rows, noise)
		z, _ := m.Q.Posterior.Draw(b, of, e)
		d.logP = m.Prior.LogProb(b, z)
		b.Output(d.logP)
	})
	return d, err
}

func (d *drawnDensity) mean() (float64, error) {
	width, noise := len(d.inH)/d.rows, len(d.inEps)/d.rows
	n, sum := len(d.h)/width, 0.0
	for first := 0; first < n; first += d.rows {
		rows := min(d.rows, n-first)
		copy(d.inH, d.h[first*width:][:rows*width])
		copy(d.inEps, d.eps[first*noise:][:rows*noise])
		if err := d.program.Run(); err != nil {
			return 0, err
		}
		for _, v := range d.program.Values(d.logP)[:rows] {
			sum += float64(v)
		}
	}
	return sum / float64(n), nil
}
