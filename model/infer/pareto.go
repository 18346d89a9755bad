package infer

import (
	"cmp"
	"math"
	"slices"

	"elbo/graph/elementary"
)

// Tail keeps the largest importance weights of one image and says, by the shape of
// their distribution, whether the mean of all of them can be trusted. Of k weights it
// keeps M+1, in memory for twice as many:
//
//	M = ⌈min(k/5, 3 √k)⌉
//
// Source: Vehtari, Simpson, Gelman, Yao, Gabry 2024, "Pareto smoothed importance
// sampling".
type Tail struct {
	m    int
	kept []float64 // log weights: the largest M+1 and some that will be dropped
	cut  float64   // no log weight below it belongs to them
}

// leastTail is the least M of which a shape is estimated, which takes 21 weights.
const leastTail = 5

// flatTail is the range of log weights, in nats, below which a tail has no shape: it is
// what float32 leaves of log p(x, z), some hundred nats, after rounding.
const flatTail = 1e-4

// NewTail returns a tail of k weights that are to come.
func NewTail(k int) *Tail {
	m := int(math.Ceil(min(float64(k)/5, 3*math.Sqrt(float64(k)))))
	return &Tail{m: m, kept: make([]float64, 0, 2*(m+1)), cut: math.Inf(-1)}
}

// Add takes in one weight.
func (t *Tail) Add(logW float64) {
	if !(logW > t.cut) { // also what is no number
		return
	}
	t.kept = append(t.kept, logW)
	if len(t.kept) == cap(t.kept) {
		t.drop()
	}
}

// drop sorts the weights, the largest first, and keeps M+1.
func (t *Tail) drop() {
	slices.SortFunc(t.kept, func(a, b float64) int { return cmp.Compare(b, a) })
	if len(t.kept) > t.m {
		t.kept = t.kept[:t.m+1]
		t.cut = t.kept[t.m]
	}
}

// KHat is the shape k̂ of the generalised Pareto distribution that fits the M largest
// weights, as far as they exceed the next one. Weights have 1/k finite moments: above
// k = ½ their variance is infinite, above 1 their mean is, and of what was seen of them
// nothing can be concluded. The estimate is drawn towards ½ as by ten more weights:
//
//	k̂ = (M k̂_ZS + 10 · ½) / (M + 10)
//
// It is NaN with fewer than 21 weights, and 0 where the weights of the tail are equal to
// rounding.
func (t *Tail) KHat() float64 {
	t.drop()
	if t.m < leastTail || len(t.kept) <= t.m {
		return math.NaN()
	}
	top := t.kept[0]
	if top-t.kept[t.m] < flatTail {
		return 0
	}
	excess := make([]float64, t.m) // in rising order, in units of the largest weight
	for i := range excess {
		excess[t.m-1-i] = elementary.Exp(t.kept[i]-top) - elementary.Exp(t.kept[t.m]-top)
	}
	m := float64(t.m)
	return (float64(m*paretoShape(excess)) + 10*0.5) / (m + 10)
}

// KHatLimit is the k̂ above which a mean of k weights is not to be trusted,
//
//	min(1 - 1/log₁₀ k, 0.7)
//
// with which k weights are as many as an estimate with that tail needs.
//
// Source: Vehtari et al. 2024.
func KHatLimit(k int) float64 { return min(1-math.Ln10/elementary.Log(float64(k)), 0.7) }

// paretoShape estimates the shape k of a generalised Pareto distribution,
//
//	P(X > x) = (1 + k x/σ)^(-1/k),  x ≥ 0
//
// from a sample x in rising order: the mean of the profile likelihood over a prior for
// b = -k/σ, at J = 30 + √n points:
//
//	b_j = 1/x_n + (1 - √(J/(j - ½))) / (3 x_q),  x_q the first quartile
//	k(b) = (1/n) Σ log(1 - b x),  l(b) = n (log(-b/k(b)) - k(b) - 1)
//	b̂ = Σ_j b_j exp l(b_j) / Σ_j exp l(b_j),  k̂ = k(b̂)
//
// Source: Zhang and Stephens 2009, whose k has the other sign.
func paretoShape(x []float64) float64 {
	n := len(x)
	quartile := x[max(0, (n+2)/4-1)]
	// A quartile of 0, of weights that are equal, would leave no scale.
	quartile = max(quartile, x[n-1]*1e-12)
	shape := func(b float64) float64 {
		sum := 0.0
		for _, v := range x {
			sum += elementary.Log1p(-b * v)
		}
		return sum / float64(n)
	}
	points := 30 + int(math.Sqrt(float64(n)))
	b, l := make([]float64, points), make([]float64, points)
	best := math.Inf(-1)
	for j := range b {
		b[j] = 1/x[n-1] + (1-math.Sqrt(float64(points)/(float64(j)+0.5)))/(3*quartile)
		k := shape(b[j])
		l[j] = float64(n) * (elementary.Log(-b[j]/k) - k - 1)
		if math.IsNaN(l[j]) { // b = 0: an exponential tail, in the limit
			l[j] = math.Inf(-1)
		}
		best = max(best, l[j])
	}
	sum, weights := 0.0, 0.0
	for j := range b {
		w := elementary.Exp(l[j] - best)
		sum, weights = sum+float64(w*b[j]), weights+w
	}
	return shape(sum / weights)
}
