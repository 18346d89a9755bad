package train

import (
	"cmp"
	"math"
	"slices"

	"elbo/graph/elementary"
	"elbo/model"
)

// mostReseeded bounds the components that one M-step moves.
const mostReseeded = 20

// A component of a mixture that holds less than deadWeight images has died: its
// posterior is 0 nearly everywhere, and EM alone never brings it back.
const deadWeight = 1e-2

// worstExplained is an image that the mixture explains badly.
type worstExplained struct {
	image    int
	evidence float64
}

// keepWorst adds a chunk's images to the worst explained so far, of which most are
// kept, the worst first.
func keepWorst(worst []worstExplained, first int, evidence []float32, most int) []worstExplained {
	for i, e := range evidence {
		if len(worst) < most || float64(e) < worst[len(worst)-1].evidence {
			at, _ := slices.BinarySearchFunc(worst, float64(e), func(s worstExplained, e float64) int { return cmp.Compare(s.evidence, e) })
			worst = slices.Insert(worst, at, worstExplained{first + i, float64(e)})
			worst = worst[:min(len(worst), most)]
		}
	}
	return worst
}

// worstOfAll returns the worst explained images of all processes, of which each brings its own.
func worstOfAll(r Reducer, own []worstExplained, most int) ([]worstExplained, error) {
	if r.Size() == 1 {
		return own, nil
	}
	const fields = 3                                // whether there is one, the image, its evidence
	values := make([]float64, r.Size()*most*fields) // every process fills its part: added to zeros, nothing is rounded
	for i, w := range own {
		copy(values[(r.Rank()*most+i)*fields:], []float64{1, float64(w.image), w.evidence})
	}
	if err := r.Sum(values); err != nil {
		return nil, err
	}
	var all []worstExplained
	for v := range slices.Chunk(values, fields) {
		if v[0] == 1 {
			all = append(all, worstExplained{int(v[1]), v[2]})
		}
	}
	slices.SortStableFunc(all, func(a, b worstExplained) int { return cmp.Compare(a.evidence, b.evidence) })
	return all[:min(len(all), most)], nil
}

// reseed gives each dead component of a mixture with a shared prior to the image that
// is explained worst, by changing the statistics of the coming M-step: the component
// gets the weight of one image, and pixels ¼ + ½ x (Gaussian: mean x, the variance of
// all pixels). It does so only where evidence plus penalty, all images together, should
// not fall by it. With N images and up to M components moved, each move costs the other
// images less than 1 nat, N log((N+1)/N), and the smoothing prior what it takes off;
// the image x gains at least
//
//	log(p(x) + p(x|new)/(N+M)) - log p(x).
//
// p(x) is that before the M-step, which may have raised it and left less to gain: so the
// moves are on trial, and the next E-step undoes them where evidence plus penalty fell.
//
// Components of 256 levels stay where they are. It returns the number of components that were
// moved.
func (c *closedStep) reseed(e *em) int {
	if e.Config.Table().Prior != model.Shared || e.Config.Likelihood.Pixels() == model.LevelPixels {
		return 0
	}
	d := e.Train.D()
	logShare := -elementary.Log(e.stats.Images + mostReseeded)
	var seeds []seed
	tried := 0
	for k, n := range e.stats.Counts {
		if n >= deadWeight {
			continue
		}
		if tried == len(c.worst) {
			break
		}
		s := c.worst[tried]
		tried++
		x := make([]float32, d)
		e.Train.Pixels(x, s.image, 0)
		before := s.evidence
		for _, other := range seeds { // an image near a component moved before is none of the worst any more
			before = logAddExp(before, logShare+other.logLik(x))
		}
		moved := c.seedAt(e, x)
		gain := logAddExp(before, logShare+moved.logLik(x)) - before
		if gain < 1+penaltyOf(e, n, e.stats.Sums[k*d:][:d])-penaltyOf(e, 1, moved.sums) {
			continue
		}
		e.stats.Counts[k] = 1
		copy(e.stats.Sums[k*d:][:d], moved.sums)
		if moved.squares != nil {
			copy(e.stats.Squares[k*d:][:d], moved.squares)
			copy(e.stats.Centre[k*d:][:d], x)
		}
		seeds = append(seeds, moved)
	}
	return len(seeds)
}

func logAddExp(a, b float64) float64 {
	return max(a, b) + elementary.Log1p(elementary.Exp(-math.Abs(a-b)))
}

// seed is a component of weight one at an image.
type seed struct {
	sums, squares []float64 // of a Gaussian, about x
	x             []float32
	a, variance   float64
}

func (c *closedStep) seedAt(e *em, x []float32) seed {
	s := seed{x: x, a: e.model.Config.Smoothing, variance: max(c.variance, e.model.Config.VarianceFloor)}
	for _, v := range x {
		if e.stats.Squares == nil {
			s.sums = append(s.sums, 0.25+float64(0.5*float64(v)))
			continue
		}
		s.sums = append(s.sums, 0)
		s.squares = append(s.squares, s.variance)
	}
	return s
}

// logLik is log p(x) under what the M-step makes of the component.
func (s seed) logLik(x []float32) float64 {
	sum := 0.0
	for j, v := range x {
		if s.squares == nil {
			mu := (s.sums[j] + s.a) / (1 + 2*s.a)
			sum += float64(float64(v)*elementary.Log(mu)) + float64((1-float64(v))*elementary.Log(1-mu))
			continue
		}
		d := float64(v) - float64(s.x[j])
		sum -= float64((d*d/s.variance + elementary.Log(2*math.Pi*s.variance)) / 2)
	}
	return sum
}

// penaltyOf is the log-density of a component under the smoothing prior, a Σ_D (log μ +
// log(1-μ)), with the pixels that the M-step makes of its statistics.
func penaltyOf(e *em, n float64, sums []float64) float64 {
	a, sum := e.model.Config.Smoothing, 0.0
	if a == 0 || e.stats.Squares != nil {
		return 0
	}
	for _, s := range sums {
		mu := (s + a) / (n + 2*a)
		sum += elementary.Log(mu) + elementary.Log1p(-mu)
	}
	return a * sum
}

// narrowest is the variance below which a component of a Gaussian mixture is taken to
// sit on a single image, or on images that are alike. Grey levels are 1/255 apart: a pixel
// that differs by one of them in one image of a hundred has a variance of 1.5e-7.
const narrowest = 1e-7

// degenerate returns the component of a mixture with a pixel of such a variance, or -1.
func degenerate(m *model.Mixture) int {
	if m.Config.VarianceFloor >= narrowest {
		return -1
	}
	if variance, k := m.Narrowest(); variance < narrowest {
		return k
	}
	return -1
}
