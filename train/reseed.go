package train

import (
	"cmp"
	"math"
	"slices"

	"elbo/model"
)

// A component of a mixture that holds less than deadWeight images has died: its
// posterior is 0 nearly everywhere, and EM alone never brings it back.
const deadWeight = 1e-2

// stranger is an image that the mixture explains badly.
type stranger struct {
	image    int
	evidence float64
}

// keepStrangers adds a chunk's images to the worst explained so far, of which most are
// kept, the worst first.
func keepStrangers(worst []stranger, first int, evidence []float32, most int) []stranger {
	for i, e := range evidence {
		if len(worst) < most || float64(e) < worst[len(worst)-1].evidence {
			at, _ := slices.BinarySearchFunc(worst, float64(e), func(s stranger, e float64) int { return cmp.Compare(s.evidence, e) })
			worst = slices.Insert(worst, at, stranger{first + i, float64(e)})
			worst = worst[:min(len(worst), most)]
		}
	}
	return worst
}

// reseed gives each dead component of a mixture with a shared prior to the image that
// is explained worst, by changing the statistics of the coming M-step: the component
// gets the weight of one image, and pixels ¼ + ½ x (Gaussian: mean x, the variance of
// all pixels). It does so only where the evidence of all images together does not fall
// by it: with N images, the others lose N log((N+1)/N) < 1 nat, and the image x gains
//
//	log p(x|new) - log(N+1) - log p(x).
//
// It returns the number of components that were moved.
func (r *emRun) reseed() int {
	if r.adam != nil || r.Config.Prior != model.Shared {
		return 0
	}
	moved, d := 0, r.Train.D()
	x := make([]float32, d)
	for k, n := range r.stats.Counts {
		if n >= deadWeight || moved == len(r.strangers) {
			continue
		}
		s := r.strangers[moved]
		r.Train.Pixels(x, s.image, 0)
		sums, squares, logLik := r.seedAt(x)
		if logLik-math.Log(r.stats.Images+1)-s.evidence < 1 {
			break // the next stranger is explained better still
		}
		r.stats.Counts[k] = 1
		copy(r.stats.Sums[k*d:][:d], sums)
		if squares != nil {
			copy(r.stats.Squares[k*d:][:d], squares)
		}
		moved++
	}
	return moved
}

// seedAt returns the statistics of a component of weight one at image x, and log p(x)
// under what the M-step makes of them.
func (r *emRun) seedAt(x []float32) (sums, squares []float64, logLik float64) {
	a := r.Config.Smoothing
	for _, v := range x {
		if r.stats.Squares == nil {
			s := 0.25 + 0.5*float64(v)
			sums = append(sums, s)
			mu := (s + a) / (1 + 2*a)
			logLik += float64(v)*math.Log(mu) + (1-float64(v))*math.Log(1-mu)
			continue
		}
		variance := max(r.variance, r.Config.VarianceFloor)
		sums = append(sums, float64(v))
		squares = append(squares, float64(v)*float64(v)+variance)
		logLik -= math.Log(2*math.Pi*variance) / 2
	}
	return sums, squares, logLik
}

// narrowest is the variance below which the statistics of a Gaussian mixture, in
// float32, cannot tell a narrow component from one that sits on a single image.
const narrowest = 1e-7

// degenerate returns the component with a pixel of such a variance, or -1.
func degenerate(m *model.EM) int {
	if m.Config.Likelihood != model.Gaussian || m.Config.VarianceFloor >= narrowest {
		return -1
	}
	for _, p := range m.Params() {
		if p.Name != model.PrecisionName {
			continue
		}
		i := slices.IndexFunc(p.Value, func(lambda float32) bool { return lambda > 1/narrowest })
		if i >= 0 {
			return i / m.Config.Pixels
		}
	}
	return -1
}
