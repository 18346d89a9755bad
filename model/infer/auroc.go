package infer

import (
	"fmt"
	"math"
	"slices"

	"elbo/graph/elementary"
)

// AUROC is the area under the ROC curve that tells the images of two sets apart by a score:
// the probability that an image of the first has a higher score than one of the second, ties
// counting half. ½ tells nothing; below ½ the second set has the higher scores.
//
// The standard error is DeLong's, from how each image ranks among those of the other set.
// The interval is symmetric about log(A/(1 - A)) and so stays within [0, 1]. Where no image
// is out of order it has no variance to go by, and the interval is that of min(m, n) pairs
// without an image in common, all in order: 0.025^(1/min(m, n)) is its lower end.
//
// Sources: DeLong, DeLong and Clarke-Pearson 1988; the computation by ranks Sun and Xu 2014;
// the interval Pepe 2003, section 5.2.
type AUROC struct {
	Value float64    `json:"value"`
	SE    float64    `json:"se"`
	CI95  [2]float64 `json:"ci95"`
}

// NewAUROC compares the scores of two sets of images, at least one of each.
func NewAUROC(x, y []float64) (AUROC, error) {
	m, n := len(x), len(y)
	if m < 1 || n < 1 {
		return AUROC{}, &OptionError{fmt.Errorf("%d and %d images, want at least one of each set", m, n)}
	}
	all := slices.Concat(x, y)
	for i, v := range all {
		if math.IsNaN(v) {
			return AUROC{}, &OptionError{fmt.Errorf("score %d is no number", i)}
		}
	}
	together, own, other := midranks(all), midranks(x), midranks(y)
	var above, below Running // of each x the share of y below it; of each y that of x above it
	inOrder := 0.0           // pairs; the sum is exact
	for i := range m {
		above.Add((together[i] - own[i]) / float64(n))
		inOrder += together[i] - own[i]
	}
	for j := range n {
		below.Add(1 - (together[m+j]-other[j])/float64(m))
	}
	a := AUROC{Value: inOrder / float64(m) / float64(n), SE: math.Sqrt(above.Variance()/float64(m) + below.Variance()/float64(n))}
	a.CI95 = a.interval(min(m, n))
	return a, nil
}

func (a AUROC) interval(pairs int) [2]float64 {
	end := elementary.Exp(elementary.Log(0.025) / float64(pairs))
	switch {
	case a.Value >= 1:
		return [2]float64{end, 1}
	case a.Value <= 0:
		return [2]float64{0, 1 - end}
	}
	logit := elementary.Log(a.Value / (1 - a.Value))
	reach := elementary.NormalQuantile(0.975) * a.SE / (a.Value * (1 - a.Value))
	sigmoid := func(u float64) float64 { return 1 / (1 + elementary.Exp(-u)) }
	return [2]float64{sigmoid(logit - reach), sigmoid(logit + reach)}
}

// midranks are the ranks of numbers, from 1 on; equal ones share the mean of theirs.
func midranks(x []float64) []float64 {
	order := upTo(len(x))
	slices.SortFunc(order, func(a, b int) int {
		switch {
		case x[a] < x[b]:
			return -1
		case x[a] > x[b]:
			return 1
		}
		return 0
	})
	ranks := make([]float64, len(x))
	for first := 0; first < len(order); {
		end := first + 1
		for end < len(order) && x[order[end]] == x[order[first]] {
			end++
		}
		for _, i := range order[first:end] {
			ranks[i] = float64(first+1+end) / 2
		}
		first = end
	}
	return ranks
}
