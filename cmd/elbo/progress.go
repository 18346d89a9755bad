package main

import (
	"fmt"
	"time"

	"github.com/schollz/progressbar/v3"

	"elbo/model"
	"elbo/train"
)

// progress shows a run to a person: a live bar on a terminal, plain lines otherwise.
type progress struct {
	p     *program
	unit  model.Objective
	n     int // training images
	total int // epochs
	bar   *progressbar.ProgressBar
	spoke time.Time // when the last plain line was written
}

// plainEvery is how often a long epoch says something where there is no bar.
const plainEvery = 15 * time.Second

func newProgress(p *program, s *train.Setup, from *train.State) *progress {
	g := &progress{p: p, unit: s.Config.Objective, n: s.Train.N(), total: s.Config.Epochs, spoke: p.now()}
	if !p.live {
		return g
	}
	g.bar = progressbar.NewOptions(g.n*g.total,
		progressbar.OptionSetWriter(p.stderr),
		progressbar.OptionSetItsString("images"),
		progressbar.OptionShowIts(),
		progressbar.OptionSetPredictTime(true),
		progressbar.OptionSetWidth(16),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionClearOnFinish(),
		progressbar.OptionSetTheme(progressbar.ThemeASCII),
	)
	if from != nil {
		g.bar.Set((from.Epoch-1)*g.n + from.Position)
	}
	return g
}

// Step moves the bar.
func (g *progress) Step(at train.Progress) {
	text := fmt.Sprintf("epoch %d/%d  %s %.2f = recon %.2f - KL %.2f", at.Epoch, at.Epochs, g.name(), at.Terms.Bound, at.Terms.Recon, at.Terms.KL)
	if g.unit == model.IWAE {
		text = fmt.Sprintf("epoch %d/%d  %s %.2f  (recon %.2f, KL %.2f)", at.Epoch, at.Epochs, g.name(), at.Terms.Bound, at.Terms.Recon, at.Terms.KL)
	}
	if g.bar != nil {
		g.bar.Describe(text)
		g.bar.Set((at.Epoch-1)*g.n + at.Position)
		return
	}
	if now := g.p.now(); now.Sub(g.spoke) >= plainEvery {
		g.spoke = now
		g.p.say("%s  %d of %d images", text, at.Position, at.Images)
	}
}

func (g *progress) name() string {
	if g.unit == model.IWAE {
		return "L_k"
	}
	return "ELBO"
}

// Epoch writes a line that stays.
func (g *progress) Epoch(m train.Metrics) {
	if g.bar != nil {
		g.bar.Clear()
	}
	g.spoke = g.p.now()
	line := fmt.Sprintf("epoch %*d/%d  train %s", len(fmt.Sprint(g.total)), m.Epoch, g.total, g.terms(m.Train))
	if m.Validation != nil {
		line += "  validation " + g.terms(m.Validation)
	}
	if m.Beta != 1 {
		line += fmt.Sprintf("  beta %.3g", m.Beta)
	}
	g.p.say("%s  %.1f s, %.0f images/s", line, m.Seconds, m.ImagesPerSecond)
}

func (g *progress) terms(t *train.EpochTerms) string {
	bound := fmt.Sprintf("%.2f", t.Bound)
	if t.BoundSE > 0 {
		bound += fmt.Sprintf(" ± %.2f", t.BoundSE)
	}
	return fmt.Sprintf("%s %s (recon %.2f, KL %.2f)", g.name(), bound, t.Recon, t.KL)
}

// done takes the bar away.
func (g *progress) done() {
	if g.bar != nil {
		g.bar.Clear()
	}
}
