package infer

import "elbo/graph/elementary"

// Weights accumulates the importance weights of one image,
// log w = log p(x, z) - log q(z|x) with z ~ q(z|x), without keeping them. The zero
// value has seen none.
type Weights struct {
	n        int
	top      float64 // the largest log w
	sum, sq  float64 // Σ exp(log w - top), Σ exp(2 (log w - top))
	sumOfLog float64
}

// Add takes in one weight.
func (w *Weights) Add(logW float64) {
	if w.n == 0 || logW > w.top {
		scale := elementary.Exp(w.top - logW)
		if w.n == 0 {
			scale = 0
		}
		w.sum, w.sq, w.top = w.sum*scale, w.sq*scale*scale, logW
	}
	e := elementary.Exp(logW - w.top)
	w.n, w.sum, w.sq, w.sumOfLog = w.n+1, w.sum+e, w.sq+float64(e*e), w.sumOfLog+logW
}

// Bound is the importance-weighted bound of k draws,
//
//	L_k = log (1/k) Σ_k w,
//
// the logarithm of the mean weight, in nats: a lower bound on log p(x) in
// expectation, and the tighter the larger k is.
//
// Source: Burda, Grosse, Salakhutdinov 2016, equation 8.
func (w *Weights) Bound() float64 { return w.top + elementary.Log(w.sum/float64(w.n)) }

// MeanLog is the mean of log w, an estimate of the ELBO that uses no closed form
// of the divergence. It never exceeds Bound.
func (w *Weights) MeanLog() float64 { return w.sumOfLog / float64(w.n) }

// EffectiveSampleSize is (Σw)² / Σw², from 1 (one draw holds all the weight) to k.
// It overstates how good an estimate is where q has missed a mode.
func (w *Weights) EffectiveSampleSize() float64 { return w.sum * w.sum / w.sq }

// LogVariance is the variance of Bound as far as the k weights tell, to first order: that
// of their mean over its square, (k/ESS - 1) / (k - 1). It takes two weights or more.
func (w *Weights) LogVariance() float64 {
	return max(0, float64(w.n)/w.EffectiveSampleSize()-1) / float64(w.n-1)
}
