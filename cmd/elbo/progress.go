package main

import (
	"fmt"
	"time"

	"github.com/schollz/progressbar/v3"

	"elbo/model"
	"elbo/train"
	"elbo/train/run"
)

// progress shows a run to a person: a live bar on a terminal, plain lines otherwise.
type progress struct {
	p      *program
	unit   model.Objective
	k      int // draws
	em     bool
	n      int // training images; of a model with a table 1, as its progress is in iterations
	total  int // epochs
	bar    *progressbar.ProgressBar
	headed bool      // the table has its heading
	spoke  time.Time // when the last plain line was written
}

// plainEvery is how often a long epoch says something where there is no bar.
const plainEvery = 15 * time.Second

func newProgress(p *program, s *train.Setup, from *run.State) *progress {
	vae := train.SettingsOf[train.VAESettings](s.Config)
	g := &progress{p: p, unit: vae.Objective, k: vae.K, em: s.Config.HasTable(), n: s.Train.N(), total: s.Config.Epochs, spoke: p.now()}
	unit := "images"
	if g.em {
		g.n, unit = 1, "iterations"
	}
	if !p.live {
		return g
	}
	g.bar = progressbar.NewOptions(g.n*g.total,
		progressbar.OptionSetWriter(oneLine{p.stderr, p.width}),
		progressbar.OptionSetItsString(unit),
		progressbar.OptionShowIts(),
		progressbar.OptionSetPredictTime(true),
		progressbar.OptionSetWidth(8),
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
	if g.bar != nil {
		g.bar.Describe(fmt.Sprintf("epoch %d/%d  %s", at.Epoch, at.Epochs, g.parts(at.Terms.Bound, at.Terms.Recon, at.Terms.KL)))
		g.bar.Set((at.Epoch-1)*g.n + at.Position)
		return
	}
	if now := g.p.now(); now.Sub(g.spoke) >= plainEvery {
		g.spoke = now
		g.p.say("%*s  %s  after %d of %d images", g.width(), fmt.Sprint(at.Epoch), g.parts(at.Terms.Bound, at.Terms.Recon, at.Terms.KL), at.Position, at.Images)
	}
}

// Epoch writes a line that stays, under a heading.
func (g *progress) Epoch(m run.Metrics) {
	if g.bar != nil {
		g.bar.Clear()
	}
	g.spoke = g.p.now()
	if g.em {
		g.iteration(m)
		return
	}
	const terms = 26
	if !g.headed {
		g.headed = true
		heading := g.name() + " = recon - KL"
		if g.unit == model.IWAE {
			heading = g.name() + " (recon, KL)"
		}
		g.p.say("%*s  %-*s  %-*s  seconds  images/s", g.width(), "epoch", terms, "train "+heading, terms+7, "validation")
	}
	validation := "-"
	if v := m.Validation; v != nil {
		validation = fmt.Sprintf("%s  ± %.2f", g.parts(v.Bound, v.Recon, v.KL), v.BoundSE)
	}
	line := fmt.Sprintf("%*s  %-*s  %-*s  %7.1f  %8.0f", g.width(), fmt.Sprintf("%d/%d", m.Epoch, g.total),
		terms, g.parts(m.Train.Bound, m.Train.Recon, m.Train.KL), terms+7, validation, m.Seconds, m.ImagesPerSecond)
	if m.Beta != 1 {
		line += fmt.Sprintf("  beta %.3g", m.Beta)
	}
	g.p.say("%s", line)
}

// iteration writes the line of an iteration of EM, and moves the bar, which hears of
// no steps.
func (g *progress) iteration(m run.Metrics) {
	const terms = 29
	if !g.headed {
		g.headed = true
		g.p.say("%*s  %-*s  %9s  %-*s  seconds", g.width()+1, "iteration", terms, "train log p(x) = recon - KL", "at q=p(z)", 18, "validation log p(x)")
	}
	validation := "-"
	if v := m.Validation; v != nil {
		validation = fmt.Sprintf("%.2f ± %.2f", v.Bound, v.BoundSE)
	}
	priorBound := fmt.Sprintf("%.2f", m.EM.PriorBound)
	if m.EM.Table {
		priorBound = "-"
	}
	line := fmt.Sprintf("%*s  %-*s  %9s  %-*s  %7.2f", len("iteration"), fmt.Sprintf("%d/%d", m.Epoch, g.total),
		terms, g.parts(m.Train.Bound, m.Train.Recon, m.Train.KL), priorBound, 19, validation, m.Seconds)
	if m.EM.Stalled {
		line += "  the M-step found nothing better"
	}
	if m.EM.Reseeded > 0 {
		line += fmt.Sprintf("  %d dead components moved", m.EM.Reseeded)
	}
	g.p.say("%s", line)
	if g.bar != nil {
		g.bar.Describe(fmt.Sprintf("iteration %d/%d  log p(x) %.3f", m.Epoch, g.total, m.Train.Bound))
		g.bar.Set(m.Epoch)
	}
}

// width is that of the column of epochs.
func (g *progress) width() int { return max(len("epoch"), 2*len(fmt.Sprint(g.total))+1) }

// name is what the bound is called.
func (g *progress) name() string {
	if g.unit == model.IWAE {
		return fmt.Sprintf("L_%d", g.k)
	}
	return "ELBO"
}

// parts writes a bound with what it is made of, in nats per image.
func (g *progress) parts(bound, recon, kl float64) string {
	if g.unit == model.IWAE {
		return fmt.Sprintf("%.2f (%.2f, %.2f)", bound, recon, kl)
	}
	return fmt.Sprintf("%.2f = %.2f - %.2f", bound, recon, kl)
}

// done takes the bar away.
func (g *progress) done() {
	if g.bar != nil {
		g.bar.Clear()
	}
}
