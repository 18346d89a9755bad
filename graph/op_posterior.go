package graph

import (
	"math"

	"github.com/viterin/vek/vek32"

	"elbo/graph/elementary"
	"elbo/graph/simd"
)

// The letter K counts the states of a discrete latent variable: the components of a
// mixture, the points of a grid.

// PosteriorParts are what Posterior knows besides the evidence. None has a gradient.
type PosteriorParts struct {
	Joint      Node // log p(x, z=k), [B, K]
	Table      Node // w p(z=k|x), [B, K]
	Recon      Node // w E_p(z|x)[log p(x|z)], [B]
	PriorBound Node // E_p(z)[log p(x|z)], the bound at q = p(z), [B]
}

// Posterior is the E-step: for the log-likelihoods of images under states, and log p(z),
// the evidence of each image and the table of its posterior over states:
//
//	joint = log p(x|z=k) + log p(z=k)    log p(x) = log Σ_K exp joint    q = exp(joint - log p(x))
//
// logLik is [B, K]; logPrior is [K], the same for all images, or [B, K]; weight is [B],
// 1 or, for a row of padding, 0: the table's row is then zeros. Evidence is [B], in nats.
// Its gradient with respect to logLik is the posterior.
//
// A state of log-probability -∞ counts 0 in every sum; an image for which all joints are
// -∞ has the evidence -∞ and a table of zeros.
//
// A row is worked through from end to end while it is in the cache: on the way to a table
// of hundreds of states, memory is what costs.
func (b *Builder) Posterior(logLik, logPrior, weight Node) (evidence Node, parts PosteriorParts) {
	rows, k, e := logLik.Rows(), logLik.Cols(), b.engine
	shared := len(logPrior.Shape()) == 1
	b.want((shared && logPrior.Rows() == k || logPrior.Rows() == rows && logPrior.Cols() == k) && weight.Rows() == rows,
		"posterior: logLik %v, logPrior %v, weight %v: want [B K], [K] or [B K], [B]", logLik.Shape(), logPrior.Shape(), weight.Shape())
	if b.err != nil {
		return none, parts
	}
	joint, table := make([]float32, rows*k), make([]float32, rows*k)
	recon, priorBound := make([]float32, rows), make([]float32, rows)
	prior := make([]float32, logPrior.Rows()*max(1, logPrior.Cols()))
	evidence = b.apply(op{
		kind: "evidence",
		in:   []Node{logLik, logPrior, weight},
		out:  []int{rows},
		forward: func(y []float32, in [][]float32) {
			copy(prior, in[1])
			simd.Exp(prior)
			e.Split(rows, 1+elementGrain/k, func(lo, hi int) {
				for r := lo; r < hi; r++ {
					p := r * k
					if shared {
						p = 0
					}
					l, q := in[0][r*k:][:k], table[r*k:][:k]
					vek32.Add_Into(joint[r*k:][:k], l, in[1][p:][:k])
					y[r] = softmax(q, joint[r*k:][:k])
					recon[r], priorBound[r] = expectation(q, l), expectation(prior[p:][:k], l)
					if in[2][r] == 0 {
						recon[r] = 0
						clear(q)
					}
				}
			})
		},
		wrt: []bool{true, false, false},
		derivative: func(y, dy Node) []Node {
			return []Node{b.apply(op{
				kind: "evidence.dloglik",
				in:   []Node{y, dy},
				out:  []int{rows, k},
				forward: func(d []float32, in [][]float32) {
					for r, g := range in[1] {
						vek32.MulNumber_Into(d[r*k:][:k], table[r*k:][:k], g)
					}
				},
			}), none, none}
		},
	})
	return evidence, PosteriorParts{
		Joint: b.part("joint", evidence, joint, rows, k), Table: b.part("table", evidence, table, rows, k),
		Recon: b.part("recon", evidence, recon, rows), PriorBound: b.part("prior_bound", evidence, priorBound, rows),
	}
}

// part is a value that another operation computes along with its own.
func (b *Builder) part(kind string, of Node, values []float32, shape ...int) Node {
	return b.apply(op{kind: kind, in: []Node{of}, out: shape, y: values, forward: func([]float32, [][]float32) {}})
}

// softmax writes q = exp(a) / Σ exp(a) and returns log Σ exp(a).
func softmax(q, a []float32) float32 {
	top := vek32.Max(a)
	if top <= -math.MaxFloat32 { // vek's maximum starts there
		clear(q)
		return float32(math.Inf(-1))
	}
	sum := simd.ExpSum(q, a, top)
	vek32.MulNumber_Inplace(q, float32(1/sum))
	return float32(float64(top) + elementary.Log(sum))
}

// expectation is Σ p a, where p = 0 counts 0 whatever a is.
func expectation(p, a []float32) float32 {
	if sum := simd.Dot(p, a); sum-sum == 0 {
		return sum
	}
	sum := 0.0 // 0 · ∞
	for j, p := range p {
		if p > 0 {
			sum += float64(float64(p) * float64(a[j]))
		}
	}
	return float32(sum)
}
