package train

import (
	"math"

	"elbo/model"
	"elbo/model/infer"
	"elbo/train/run"
)

// closedStep is the M-step of a mixture in closed form, followed by moves of dead
// components, which the next E-step may refuse.
type closedStep struct {
	mixture  *model.Mixture
	variance float64          // of a pixel, over all; of a Gaussian mixture
	worst    []worstExplained // images of the last E-step
}

// NewClosedStep is the M-step of a mixture in closed form.
func NewClosedStep(s *Setup, m *model.Mixture) MStep { return newClosedStep(s, m) }

func newClosedStep(s *Setup, m *model.Mixture) *closedStep {
	c := &closedStep{mixture: m}
	if s.Config.Likelihood.HasVariance() {
		c.variance = s.pixelVariance()
	}
	return c
}

func (c *closedStep) begin(e *em) error {
	if err := c.mixture.Maximise(e.firstStatistics(c.mixture.EM, c.variance)); err != nil {
		return err
	}
	return e.degeneracy()
}

// chunk is larger where statistics are of 256 levels for each value, which have to be added up
// after it, as far as its images take no more than 64 MB.
func (c *closedStep) chunk() int { return chunkOf(c.mixture.EM) }

func chunkOf(m *model.EM) int {
	if m.Config.Likelihood.Pixels() != model.LevelPixels {
		return emChunk
	}
	return min(max((64<<20)/(4*m.Config.Pixels), emChunk), 10*emChunk)
}

func (c *closedStep) expect(e *em, first, count int) {
	e.fit.AddStatistics(e.stats, count)
	c.watch(e, first, count)
}

// watch keeps the images that are explained worst.
func (c *closedStep) watch(e *em, first, count int) {
	if lo, _ := infer.Share(e.Reducer, e.Train.N()); first == lo {
		c.worst = c.worst[:0]
	}
	if !e.prior.perImage() {
		c.worst = keepWorst(c.worst, first, e.fit.Evidence()[:count], min(c.mixture.Config.States, mostReseeded))
	}
}

func (c *closedStep) sum(r Reducer) error {
	var err error
	c.worst, err = worstOfAll(r, c.worst, min(c.mixture.Config.States, mostReseeded))
	return err
}

func (c *closedStep) bound(*em) (run.Metrics, bool) { return run.Metrics{}, false }

func (c *closedStep) maximise(e *em) error {
	logLik, logPrior := c.mixture.ExpectedLogJoint(e.stats)
	before := logLik + logPrior
	e.note.Reseeded = 0
	if err := c.mixture.Maximise(e.stats); err != nil {
		return err
	}
	logLik, logPrior = c.mixture.ExpectedLogJoint(e.stats)
	e.noteBound((logLik + logPrior - before) / e.stats.Images)
	moved := c.reseed(e)
	if moved == 0 {
		return nil
	}
	// Of both bounds, each a mean of so many roundings that have nothing to do with each
	// other.
	e.try(e.last - 2*e.reached.rounding/math.Sqrt(e.stats.Images))
	e.note.Reseeded, e.note.Bound = moved, nil
	return c.mixture.Maximise(e.stats)
}

func (c *closedStep) degenerate() int { return degenerate(c.mixture) }

func (c *closedStep) saves() bool      { return true }
func (c *closedStep) saveBefore() bool { return false }

func (c *closedStep) save(*run.State) {}

func (c *closedStep) load(*em, *run.State) error { return nil }
