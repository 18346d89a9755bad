package infer

import "fmt"

// How log p(x) is known.
const (
	ExactSum     = "exact sum"   // over the states of a table
	ByQuadrature = "quadrature"  // with a stated error
	Estimated    = "estimate"    // by annealing, with a confidence interval over images
	LowerBound   = "lower bound" // L_k, below log p(x) in expectation
)

// Evidence is log p(x), or the best that is known of it, in nats per image.
type Evidence struct {
	Estimate
	How    string     `json:"how"`    // one of the constants
	Method string     `json:"method"` // in words
	Error  float64    `json:"error"`  // of the method, not of the images; 0 where it is not known
	CI95   [2]float64 `json:"ci95"`   // over images, and of the method: value ± (1.96 se + error)
}

// Known reports whether it is log p(x) itself, up to Error.
func (e Evidence) Known() bool { return e.How == ExactSum || e.How == ByQuadrature }

// Evidence is the best figure for log p(x) that the evaluation has: the sum over the states
// of a table, quadrature, annealing, or L_k, in that order. Where quadrature missed the
// posterior of an image, it is a lower bound.
func (e *Evaluation) Evidence() Evidence {
	var best Evidence
	switch {
	case e.LogP != nil:
		best = Evidence{Estimate: Estimate{Value: e.LogP.Value, SE: e.LogP.SE}, How: ByQuadrature, Method: e.LogP.Method, Error: e.LogP.Error}
		if e.Table != nil {
			best.How = ExactSum
		}
		if n := e.LogP.Missed; n > 0 {
			best.How = LowerBound
			best.Method += fmt.Sprintf("; for %s, whose posterior it misses, L_%d is used instead", images(n), e.IW.K)
		}
	case e.AIS != nil:
		a := e.AIS
		best = Evidence{Estimate: Estimate{Value: a.Value, SE: a.SE}, How: Estimated, Error: 1.96 * a.ChainSE,
			Method: fmt.Sprintf("annealed importance sampling, %d chains of %d steps, a lower bound in expectation", a.Chains, a.Steps)}
		if v := a.Simulated; v != nil { // how far apart both sides are bounds how far off one is
			best.Error = max(best.Error, v.Gap)
			best.Method += fmt.Sprintf("; on %s drawn from the model the two sides are %.2f nats apart", images(v.Images), v.Gap)
		}
	default:
		best = Evidence{Estimate: Estimate{Value: e.IW.Bound, SE: e.IW.SE}, How: LowerBound,
			Method: fmt.Sprintf("L_%d, in expectation below log p(x)", e.IW.K)}
	}
	// Of the method an error is a bound on either side, and no part of the spread over images.
	reach := float64(1.96*best.SE) + best.Error
	best.CI95 = [2]float64{best.Value - reach, best.Value + reach}
	return best
}

// images writes their number.
func images(n int) string {
	if n == 1 {
		return "1 image"
	}
	return fmt.Sprintf("%d images", n)
}

// EvidenceOf is what Evidence is the mean of, for the i-th image.
func (e *Evaluation) EvidenceOf(i int) float64 {
	score := &e.PerImage[i]
	switch {
	case e.LogP != nil:
		return score.LogP
	case e.AIS != nil:
		return score.AIS
	}
	return score.IW
}

// HowOf is how EvidenceOf is known of the i-th image: one of the constants.
func (e *Evaluation) HowOf(i int) string {
	switch {
	case e.Table != nil:
		return ExactSum
	case e.LogP != nil && !e.PerImage[i].Missed:
		return ByQuadrature
	case e.LogP == nil && e.AIS != nil:
		return Estimated
	}
	return LowerBound
}
