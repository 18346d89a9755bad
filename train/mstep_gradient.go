package train

import (
	"elbo/model"
	"elbo/train/run"
)

// gradientStep is the M-step of a grid: steps of Adam on what the statistics see of the
// data, of which the best is kept.
type gradientStep struct {
	grid  *model.GridModel
	adam  *Adam
	lr    float64
	steps int
}

func newGradientStep(s *Setup, m *model.GridModel) *gradientStep {
	return &gradientStep{grid: m, adam: NewAdam(s.Config.Network().LR, m.Decoder(), s.Engine), lr: s.Config.Network().LR, steps: SettingsOf[GridSettings](s.Config).MSteps}
}

func (g *gradientStep) begin(*em) error { return nil }

func (g *gradientStep) chunk() int { return chunkOf(g.grid.EM) }

func (g *gradientStep) expect(e *em, _, count int) { e.fit.AddStatistics(e.stats, count) }

func (g *gradientStep) sum(Reducer) error { return nil }

func (g *gradientStep) bound(*em) (run.Metrics, bool) { return run.Metrics{}, false }

func (g *gradientStep) maximise(e *em) error {
	prior := expectedLogPrior(g.grid.EM, e.stats)
	g.grid.Maximising(e.stats)
	prior = expectedLogPrior(g.grid.EM, e.stats) - prior
	g.adam.LR = g.lr / (1 + e.note.Shorter)
	decoder := g.grid.Decoder()
	start, err := g.grid.Expected()
	if err != nil {
		return err
	}
	best := start
	kept := make([][]float32, len(decoder))
	keep := func() {
		for i, p := range decoder {
			kept[i] = append(kept[i][:0], p.Value...)
		}
	}
	keep()
	for range g.steps {
		g.adam.Step(g.grid.DecoderGrad)
		q, err := g.grid.Expected()
		if err != nil {
			return err
		}
		if q > best {
			best = q
			keep()
		}
	}
	for i, p := range decoder {
		copy(p.Value, kept[i])
	}
	e.note.Stalled = best == start
	e.noteBound(best - start + prior/e.stats.Images)
	// Near a maximum the steps are too long, and momentum carries them astray.
	if e.note.Stalled {
		g.adam.Stop()
		e.note.Shorter = 2*e.note.Shorter + 1
	} else {
		e.note.Shorter *= 0.9
	}
	return g.grid.Refresh()
}

func (g *gradientStep) degenerate() int { return -1 }

func (g *gradientStep) saves() bool      { return true }
func (g *gradientStep) saveBefore() bool { return false }

func (g *gradientStep) save(s *run.State) { s.Moments = g.adam.Moments() }

func (g *gradientStep) load(_ *em, s *run.State) error {
	return g.adam.Restore(s.Moments, s.Step*int64(g.steps))
}

// expectedLogPrior is Σ_K n_k log p(z=k), in nats over all images.
func expectedLogPrior(m *model.EM, s *model.Statistics) float64 {
	sum := 0.0
	for k, n := range s.Counts {
		if n > 0 {
			sum += float64(n * float64(m.LogPrior()[k]))
		}
	}
	return sum
}
