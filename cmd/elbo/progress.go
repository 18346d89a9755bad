package main

import (
	"fmt"

	"elbo/model"
	"elbo/train"
	"elbo/train/run"
)

// progress shows a run in training to a person: a table of its epochs, and a bar.
type progress struct {
	p      *program
	unit   model.Objective
	k      int // draws
	em     bool
	n      int // training images; under EM 1, as its progress is in iterations
	total  int // epochs
	every  int // how many epochs there are to a line of the table; the last has one
	bar    *bar
	headed bool // the table has its heading
}

func newProgress(p *program, s *train.Setup, from *run.State) *progress {
	vae := train.SettingsOf[train.VAESettings](s.Config)
	g := &progress{p: p, unit: vae.Objective, k: vae.K, em: s.Config.HasTable(), n: s.Train.N(), total: s.Config.Epochs, every: 1, bar: newBar(p)}
	g.bar.unit, g.bar.patience, g.bar.said = "images", 0, p.now()
	if g.em {
		g.n, g.bar.unit = 1, "iterations"
	}
	if from != nil {
		g.bar.first = (from.Epoch-1)*g.n + from.Position
	}
	if g.em { // which reports nothing before its first iteration has ended
		g.bar.detail = fmt.Sprintf("iteration %d/%d", g.bar.first+1, g.total)
		g.bar.at("", g.bar.first, g.n*g.total)
	}
	return g
}

// Step moves the bar.
func (g *progress) Step(at train.Progress) {
	g.bar.detail = fmt.Sprintf("epoch %d/%d  %s", at.Epoch, at.Epochs, g.parts(at.Terms.Bound, at.Terms.Recon, at.Terms.KL))
	g.bar.at("", (at.Epoch-1)*g.n+at.Position, g.n*g.total)
}

// Epoch writes a line that stays.
func (g *progress) Epoch(m run.Metrics) {
	if m.Epoch%g.every == 0 || m.Epoch == g.total {
		g.bar.done()
		g.bar.said = g.p.now()
		if g.em {
			g.iteration(m)
		} else {
			g.epoch(m)
		}
	}
	if g.em { // no steps move the bar
		g.bar.detail = fmt.Sprintf("iteration %d/%d  log p(x) %.3f", min(m.Epoch+1, g.total), g.total, m.Train.Bound)
		g.bar.at("", m.Epoch, g.total)
	}
}

// epoch writes the line of an epoch of gradients.
func (g *progress) epoch(m run.Metrics) {
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

// iteration writes the line of an iteration of EM.
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
	priorBound := "-"
	if m.EM.PriorBound != nil {
		priorBound = fmt.Sprintf("%.2f", *m.EM.PriorBound)
	}
	line := fmt.Sprintf("%*s  %-*s  %9s  %-*s  %7.2f", len("iteration"), fmt.Sprintf("%d/%d", m.Epoch, g.total),
		terms, g.parts(m.Train.Bound, m.Train.Recon, m.Train.KL), priorBound, 19, validation, m.Seconds)
	if m.EM.Stalled {
		line += "  the M-step made no progress"
	}
	if m.EM.Reseeded > 0 {
		line += "  moved " + count(m.EM.Reseeded, "dead component")
	}
	g.p.say("%s", line)
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
func (g *progress) done() { g.bar.done() }
