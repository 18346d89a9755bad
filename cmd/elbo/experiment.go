package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"elbo/train"
)

// settingsFile marks the directory of an experiment, and keeps what was asked.
const settingsFile = "experiment.json"

func newExperimentCmd(p *program) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "experiment",
		Short: "Answer a question by measurement",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("unknown experiment %q: there is prior-freedom", args[0])
			}
			return cmd.Help()
		},
		Args: cobra.ArbitraryArgs,
	}
	cmd.AddCommand(newPriorFreedomCmd(p))
	return cmd
}

// priorFreedomOptions is what the command line of prior-freedom says.
type priorFreedomOptions struct {
	priorFreedomSettings
	vae     vaeFreedomSettings
	model   string   // mixture or vae
	quick   bool     // vae: less of everything
	given   []string // the settings that were given as flags
	out     string   // "": the first free name under runs/
	workers int
	json    bool
}

// priorFreedomSettings are what decides the experiment's figures.
type priorFreedomSettings struct {
	Model      string `json:"model,omitempty"` // "vae" of the experiment with VAEs, which has settings of its own
	Data       string `json:"data"`
	Components int    `json:"components"`
	Limit      int    `json:"limit"`
	Iterations int    `json:"iterations"`
	Seed       uint64 `json:"seed"`
}

func newPriorFreedomCmd(p *program) *cobra.Command {
	var o priorFreedomOptions
	cmd := &cobra.Command{
		Use:   "prior-freedom",
		Short: "Does a free prior p(z) overfit?",
		Long: `Fit mixtures that differ in who chooses p(z) alone (nobody: fixed and uniform; the
data, one for all images: shared; each image for itself: per-image), and compare the
evidence of training images with that of images not trained on:

  bernoulli  pixels drawn once
  gaussian   grey pixels, variance at least 0.001
  memorise   as many components as images, nothing smoothed
  floor, no-floor
             gaussian with a lower floor, and with none

With --model vae the same question is put to VAEs that differ in p(z) alone, for each
number of training images and of latent dimensions: N(0, I), every prior that the data
choose (elbo train --prior), and a p(z) of each image's own, which leaves no KL and is an
autoencoder. Training and test ELBO, log p(x) (by quadrature in one or two dimensions, by
L_k and annealed importance sampling in more), and KL in two parts, I_q(x; z) and
KL(q(z) ‖ p(z)), of which the prior decides on the second alone.

Each arm is a run directory of its own, under --out; beside them stand the table, the
plot and what was found. Interrupted, it goes on when it is called with the same
--out: arms that are done are not run again.`,
		Example: "  elbo experiment prior-freedom\n  elbo experiment prior-freedom --components 100 --limit 20000 --out runs/free\n  elbo experiment prior-freedom --model vae --quick\n  elbo experiment prior-freedom --model vae --latents 2 --images 1000,10000,50000",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, name := range []string{"data", "components", "limit", "iterations", "seed", "images", "latents", "steps", "quick"} {
				if cmd.Flags().Changed(name) {
					o.given = append(o.given, name)
				}
			}
			if err := o.chooseModel(); err != nil {
				return err
			}
			if o.model == train.VAEModel {
				return runVAEFreedom(cmd.Context(), p, o)
			}
			if err := o.validate(); err != nil {
				return &train.ConfigError{Err: err}
			}
			return runPriorFreedom(cmd.Context(), p, o)
		},
	}
	cmd.Flags().StringVar(&o.out, "out", "", "directory of the experiment, to make or to go on with (default: the first free runs/prior-freedom)")
	cmd.Flags().StringVar(&o.model, "model", train.MixtureModel, "what is fitted: mixture or vae")
	cmd.Flags().StringVar(&o.Data, "data", "mnist", "mnist, a directory of IDX files, or a .npy, .npz, .amat or IDX file")
	cmd.Flags().IntVar(&o.Components, "components", 50, "components of the mixtures; of VAEs those of the priors that have some (default 100)")
	cmd.Flags().IntVar(&o.Limit, "limit", 5000, "use the first N training images only (0: all)")
	cmd.Flags().IntVar(&o.Iterations, "iterations", 40, "iterations of EM in each arm")
	cmd.Flags().IntSliceVar(&o.vae.Images, "images", nil, "vae: numbers of training images (default 1000,10000)")
	cmd.Flags().IntSliceVar(&o.vae.Latents, "latents", nil, "vae: numbers of latent dimensions (default 2,20)")
	cmd.Flags().IntVar(&o.vae.Steps, "steps", 0, "vae: steps of Adam in each arm, at least (default 2000)")
	cmd.Flags().BoolVar(&o.quick, "quick", false, "vae: 1000 images, 2 dimensions, 300 steps and 300 images scored, to try it out")
	cmd.Flags().Uint64Var(&o.Seed, "seed", 1, "seed of all randomness")
	cmd.Flags().IntVar(&o.workers, "workers", 0, "goroutines that share the work (0: one for each CPU)")
	cmd.Flags().BoolVar(&o.json, "json", false, "print the report as JSON")
	cmd.Flags().SortFlags = false
	return cmd
}

// chooseModel settles the settings of the experiment with VAEs, and refuses those of the other.
func (o *priorFreedomOptions) chooseModel() error {
	own := map[string][]string{train.MixtureModel: {"limit", "iterations"}, train.VAEModel: {"images", "latents", "steps", "quick"}}
	if own[o.model] == nil {
		return usagef("unknown model %q, want mixture or vae", o.model)
	}
	for of, names := range own {
		for _, name := range names {
			if of != o.model && slices.Contains(o.given, name) {
				return usagef("--%s is for --model %s: leave it out, or add --model %[2]s", name, of)
			}
		}
	}
	given, s := o.vae, defaultVAEFreedom(o.quick)
	s.Data, s.Seed = o.Data, o.Seed
	for name, take := range map[string]func(){
		"images":     func() { s.Images = given.Images },
		"latents":    func() { s.Latents = given.Latents },
		"steps":      func() { s.Steps = given.Steps },
		"components": func() { s.Components = o.Components },
	} {
		if slices.Contains(o.given, name) {
			take()
		}
	}
	o.vae = s
	return nil
}

// validate returns every fault that can be seen without the data.
func (o priorFreedomOptions) validate() error {
	var faults []error
	fault := func(bad bool, format string, args ...any) {
		if bad {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	fault(o.Data == "", "data is empty, want mnist, a directory or a file")
	fault(o.Components < 1, "components is %d, want at least 1", o.Components)
	fault(o.Limit < 0, "limit is %d, want 0 (all) or more", o.Limit)
	fault(o.Iterations < 1, "iterations is %d, want at least 1", o.Iterations)
	fault(o.workers < 0, "workers is %d, want 0 (one for each CPU) or more", o.workers)
	fault(o.workers > train.MaxWorkers, "workers is %d, want at most %d", o.workers, train.MaxWorkers)
	return errors.Join(faults...)
}

// goOn takes over the settings of an experiment that was begun. A flag may repeat them,
// and say where the data are now.
func (o *priorFreedomOptions) goOn(begun priorFreedomSettings) error {
	if begun.Model != "" {
		return usagef("%s holds the experiment with %ss: add --model %[2]s, or choose another --out", o.out, begun.Model)
	}
	differ := checkKept(o.out, "experiment", o.given,
		keptSetting{"components", begun.Components, o.Components},
		keptSetting{"limit", begun.Limit, o.Limit},
		keptSetting{"iterations", begun.Iterations, o.Iterations},
		keptSetting{"seed", begun.Seed, o.Seed},
	)
	if slices.Contains(o.given, "data") {
		begun.Data = o.Data
	}
	o.priorFreedomSettings = begun
	if err := errors.Join(differ, o.validate()); err != nil {
		return &train.ConfigError{Err: err}
	}
	return nil
}
