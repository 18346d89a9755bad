package main

import (
	"fmt"
	"io"
	"time"

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

// After aisWarnAfter the pace is known, and annealing that will take longer than aisLong
// is worth a warning.
const (
	aisWarnAfter = 3 * time.Second
	aisLong      = 5 * time.Minute
)

// annealing shows how far annealed importance sampling of images is, and warns once if it
// will take long.
func (b *bar) annealing(images int) func(done, total int) {
	const phase = "annealed importance sampling"
	warned := false
	return func(done, total int) {
		b.at(phase, done, total)
		if now := b.p.now(); !warned && now.Sub(b.began) >= aisWarnAfter {
			warned = true
			if left := b.left(done, total, now); left > aisLong {
				b.done()
				b.p.say("annealed importance sampling of %s will take about %v more: Ctrl-C ends it; a smaller --limit or fewer --ais-steps take less", count(images, "image"), left)
			}
		}
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
	fmt.Fprintf(w, "AIS: %s, %s an image, effective %.1f, %s of moves accepted; a lower bound on log p(x) in expectation\n",
		count(a.Steps, "step"), count(a.Chains, "chain"), a.ESS, percent(a.Acceptance))
	if s := a.Simulated; s != nil {
		fmt.Fprintf(w, "AIS of %s drawn from the model: forward %.2f, backward %.2f, log p(x) between them: the method's error there is below %.2f ± %.2f nats (the spread of the chains, which leaves out what all of them miss, says %.2g)\n", count(s.Images, "image"), s.Lower, s.Upper, s.Gap, s.GapSE, a.ChainSE)
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
		fmt.Fprintf(w, "L_%d is a lower bound on log p(x), and %s are too few to say by how much\n", iw.K, count(iw.K, "draw"))
		return
	}
	if *iw.KHatBad <= fewBad {
		fmt.Fprintf(w, "L_%d is below log p(x) by about %.2g nats (Pareto k-hat %.2f, above %.2f for %s of the images)\n", iw.K, iw.Bias, *iw.KHat, *iw.KHatLimit, percent(*iw.KHatBad))
		return
	}
	if iw.ESS < fewDraws {
		fmt.Fprintf(w, "warning: in most images one draw outweighs all others in L_%d (effective %.1f): the encoder misses the posteriors, and it may be far below log p(x)%s\n", iw.K, iw.ESS, e.advice())
		return
	}
	if *iw.KHat <= *iw.KHatLimit {
		fmt.Fprintf(w, "L_%d is a lower bound on log p(x), close for most images and loose for %s of them (Pareto k-hat above %.2f; median %.2f)%s\n", iw.K, percent(*iw.KHatBad), *iw.KHatLimit, *iw.KHat, e.advice())
		return
	}
	fmt.Fprintf(w, "L_%d is a lower bound on log p(x), perhaps nats below it (Pareto k-hat %.2f in the median, above %.2f for %s of the images)%s\n",
		iw.K, *iw.KHat, *iw.KHatLimit, percent(*iw.KHatBad), e.advice())
}

// Where fewer than fewDraws of an image's draws count, an encoder is worse than is usual.
// Where k-hat is above hopeless, the weights have no mean that more draws would come near to
// at a pace worth waiting for.
const (
	fewDraws = 2
	hopeless = 1
)

// advice is how to come nearer to log p(x) than L_k, "" where a better figure stands above.
func (e *evalReport) advice() string {
	switch {
	case e.latent <= infer.MaxExactLatent:
		return "; `eval --exact` computes log p(x)"
	case e.AIS != nil:
		return ""
	case *e.IW.KHat > hopeless:
		return "; `eval --ais --limit 300` estimates log p(x), and more --samples gain little"
	}
	return "; more --samples come nearer, and `eval --ais --limit 300` estimates log p(x)"
}

// percent writes a share; what is neither none nor all does not read as if it were.
func percent(share float64) string {
	switch {
	case share > 0 && share < 0.01:
		return fmt.Sprintf("%.1g %%", 100*share)
	case share > 0.999 && share < 1:
		return "over 99.9 %"
	case share > 0.99 && share < 1:
		return fmt.Sprintf("%.1f %%", 100*share)
	}
	return fmt.Sprintf("%.0f %%", 100*share)
}
