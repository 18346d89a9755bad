package main

import (
	"fmt"
	"io"

	"elbo/model/infer"
	"elbo/train/run"
)

// mayIntegrate checks what was asked of log p(x) against the model: a table needs
// neither draws nor quadrature, which is said, and quadrature is for few dimensions.
func (p *program) mayIntegrate(t *trained, o *evalOptions) error {
	if t.Config.HasTable() {
		if o.samplesGiven {
			p.say("--samples changes nothing: log p(x) of a %s is a sum over its states, and nothing is drawn", t.Config.Model)
		}
		if o.exact {
			p.say("--exact changes nothing: log p(x) of a %s is a sum over its states, and exact already", t.Config.Model)
			o.exact = false
		}
		return nil
	}
	if o.exact && !t.Config.Likelihood.IsLikelihood() {
		return usagef("--exact integrates p(x|z), and %s is no likelihood: it does not integrate to 1 over x", t.Config.Likelihood)
	}
	if o.exact && t.Config.Network().Latent > infer.MaxExactLatent {
		return usagef("--exact is quadrature over at most %d latent dimensions, and the run has %d: `%s eval %s --samples 5000` bounds log p(x) from below, --ais estimates it", infer.MaxExactLatent, t.Config.Network().Latent, p.name, run.ShellPath(o.run))
	}
	return nil
}

// looseError is the stated error of an image, in nats, that is worth a word.
const looseError = 0.1

// writeExact prints what is known of the error of log p(x) by quadrature.
func (e *evalReport) writeExact(w io.Writer) {
	if e.Gap == nil {
		return
	}
	worst, loose := 0.0, 0
	for _, s := range e.PerImage {
		worst = max(worst, s.Error)
		if s.Error > looseError {
			loose++
		}
	}
	fmt.Fprintf(w, "log p(x): stated error %.1g nats, of a single image at most %.1g", e.LogP.Error, worst)
	if loose > 0 {
		fmt.Fprintf(w, "; above %.1g for %d of %s, whose posteriors reach beyond the lattice or are too narrow for it", looseError, loose, count(e.Images, "image"))
	}
	fmt.Fprintf(w, "; %s\n", e.LogP.Method)
	if n := e.LogP.Missed; n > 0 {
		fmt.Fprintf(w, "the quadrature misses the posterior of %s: L_%d, a lower bound, is used instead; longer training brings codes nearer to p(z)\n", count(n, "image"), e.IW.K)
	}
}
