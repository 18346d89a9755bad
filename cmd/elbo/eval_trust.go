package main

import (
	"fmt"
	"io"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"elbo/model"
	"elbo/model/infer"
	"elbo/train/run"
)

// aisFlags are the flags of annealed importance sampling.
type aisFlags struct {
	on bool
	infer.AISOptions
}

func (f *aisFlags) add(cmd *cobra.Command) {
	f.AISOptions = infer.DefaultAIS()
	cmd.Flags().BoolVar(&f.on, "ais", false, "log p(x) by annealed importance sampling as well: slow, so give a --limit of some hundred images")
	cmd.Flags().IntVar(&f.Steps, "ais-steps", f.Steps, "distributions from the prior to the posterior: twice as many take twice as long, for a smaller error")
	cmd.Flags().IntVar(&f.Chains, "ais-chains", f.Chains, "chains for each image")
	cmd.Flags().IntVar(&f.Leapfrogs, "ais-leapfrogs", f.Leapfrogs, "leapfrog steps of a move of Hamiltonian Monte Carlo")
	cmd.Flags().IntVar(&f.Simulated, "ais-simulated", f.Simulated, "images drawn from the model, annealed from both sides to measure the error of the method (0: none)")
}

// check fails on values that make no sense, and on flags that would do nothing.
func (f *aisFlags) check(cmd *cobra.Command) error {
	if !f.on {
		for _, name := range []string{"ais-steps", "ais-chains", "ais-leapfrogs", "ais-simulated"} {
			if cmd.Flags().Changed(name) {
				return usagef("--%s is an option of --ais: give --ais as well", name)
			}
		}
		return nil
	}
	if err := f.Validate(); err != nil {
		return usagef("%w", err)
	}
	return nil
}

// mayAnneal fails where annealed importance sampling has nothing to do.
func (p *program) mayAnneal(t *trained, path string) error {
	if t.Config.HasTable() {
		return usagef("--ais is for a VAE: log p(x) of a %s is a sum over its states, and exact already; `%s eval %s` prints it", t.Config.Model, p.name, run.ShellPath(path))
	}
	if !t.Config.Likelihood.IsLikelihood() {
		return usagef("--ais estimates log p(x), and a model with %s has none: it is no likelihood", t.Config.Likelihood)
	}
	return nil
}

// aisProgress shows how far annealed importance sampling is.
type aisProgress struct {
	p      *program
	images int
	bar    *progressbar.ProgressBar
	began  time.Time // when the first move was done
	first  int       // as far as it came
	spoke  time.Time
	warned bool
}

func newAISProgress(p *program, images int) *aisProgress {
	return &aisProgress{p: p, images: images}
}

// After aisWarnAfter the pace is known, and a run that will take longer than aisLong is
// worth a warning.
const (
	aisWarnAfter = 3 * time.Second
	aisLong      = 5 * time.Minute
)

// step moves the bar; it is called first when the first move is done.
func (g *aisProgress) step(done, total int) {
	now := g.p.now()
	if g.began.IsZero() {
		g.began, g.spoke, g.first = now, now, done
		if g.p.live {
			g.bar = progressbar.NewOptions(total,
				progressbar.OptionSetWriter(oneLine{g.p.stderr, g.p.width}),
				progressbar.OptionSetDescription("annealed importance sampling"),
				progressbar.OptionSetPredictTime(true),
				progressbar.OptionSetWidth(20),
				progressbar.OptionThrottle(100*time.Millisecond),
				progressbar.OptionClearOnFinish(),
				progressbar.OptionSetTheme(progressbar.ThemeASCII),
			)
			g.bar.RenderBlank()
		}
	}
	passed := now.Sub(g.began)
	left := time.Duration(float64(passed) / float64(max(1, done-g.first)) * float64(total-done)).Round(time.Second)
	if !g.warned && passed >= aisWarnAfter {
		g.warned = true
		if left > aisLong {
			if g.bar != nil {
				g.bar.Clear()
			}
			g.p.say("annealed importance sampling of %d images will take about %v more: Ctrl-C ends it; a smaller --limit or fewer --ais-steps take less", g.images, left)
		}
	}
	if g.bar != nil {
		g.bar.Set(done)
	} else if now.Sub(g.spoke) >= plainEvery {
		g.spoke = now
		g.p.say("annealed importance sampling: %d %% done, about %v left", 100*done/total, left)
	}
}

// done takes the bar away.
func (g *aisProgress) done() {
	if g.bar != nil {
		g.bar.Clear()
	}
}

// fewBad is the share of images with a high k̂ up to which their mean is still one of
// mostly good estimates.
const fewBad = 0.01

// Where fewer chains than leastChains count in an image, their spread is no error bar; a
// method that is off by more than mostGap nats is no reference. Where it may be off by
// more than mostSpread times what its chains' spread shows, their agreement deceives.
const (
	leastChains = 2
	mostGap     = 1
	mostSpread  = 3
)

// writeTrust says how far the estimates of log p(x) can be trusted; of L_k nothing where
// log p(x) itself stands beside it.
func (e *evalReport) writeTrust(w io.Writer) {
	if model.LikelihoodName(e.Likelihood).IsLikelihood() && e.LogP == nil {
		e.writeTail(w)
	}
	a := e.AIS
	if a == nil {
		return
	}
	fmt.Fprintf(w, "AIS: %d steps, %d chains an image, effective %.1f, %.0f %% of moves accepted; a lower bound on log p(x) in expectation\n",
		a.Steps, a.Chains, a.ESS, 100*a.Acceptance)
	if s := a.Simulated; s != nil {
		fmt.Fprintf(w, "AIS of %d images drawn from the model: forward %.2f, backward %.2f, log p(x) between them: the method's error there is below %.2f ± %.2f nats (the spread of the chains, which leaves out what all of them miss, says %.2g)\n", s.Images, s.Lower, s.Upper, s.Gap, s.GapSE, a.ChainSE)
	} else {
		fmt.Fprintln(w, "how far AIS is below log p(x) was not measured: give --ais-simulated 50")
	}
	switch {
	case a.ESS < leastChains || a.Simulated != nil && a.Simulated.Gap > mostGap:
		fmt.Fprintln(w, "warning: AIS is a lower bound, not to be trusted as log p(x): the chains have come too fast from the prior; try more --ais-steps")
	case a.Simulated != nil && a.Simulated.Gap > mostSpread*a.ChainSE:
		fmt.Fprintf(w, "warning: AIS may be %.2f nats below log p(x), more than %d times what the spread of its chains says; try more --ais-steps\n", a.Simulated.Gap, mostSpread)
	}
}

// writeTail says what the tail of the importance weights means for L_k, where log p(x) is
// not known.
func (e *evalReport) writeTail(w io.Writer) {
	iw := e.IW
	if iw.KHat == nil {
		fmt.Fprintf(w, "L_%d is a lower bound on log p(x), and %d draws are too few to say by how much\n", iw.K, iw.K)
		return
	}
	if *iw.KHatBad <= fewBad {
		fmt.Fprintf(w, "L_%d is below log p(x) by about %.2g nats (Pareto k-hat %.2f, above %.2f for %s of the images)\n", iw.K, iw.Bias, *iw.KHat, *iw.KHatLimit, percent(*iw.KHatBad))
		return
	}
	advice := "" // none where a better figure stands above
	switch {
	case len(e.KLPerDim) <= infer.MaxExactLatent:
		advice = "; `eval --exact` has it, --ais an estimate"
	case e.AIS == nil:
		advice = "; `eval --ais` estimates it, and many more --samples come nearer"
	}
	fmt.Fprintf(w, "warning: L_%d is a lower bound, not to be trusted as log p(x): Pareto k-hat is above %.2f for %s of the images (median %.2f)%s\n",
		iw.K, *iw.KHatLimit, percent(*iw.KHatBad), *iw.KHat, advice)
}

// percent writes a share; what is neither none nor all does not read as if it were.
func percent(share float64) string {
	switch {
	case share > 0 && share < 0.01:
		return fmt.Sprintf("%.1g %%", 100*share)
	case share > 0.99 && share < 1:
		return fmt.Sprintf("%.1f %%", 100*share)
	}
	return fmt.Sprintf("%.0f %%", 100*share)
}
