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
	given   []string // the settings that were given as flags
	out     string   // "": the first free name under runs/
	workers int
	json    bool
}

// priorFreedomSettings are what decides the experiment's figures.
type priorFreedomSettings struct {
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

Each arm is a run directory of its own, under --out; beside them stand the table, the
plot and what was found. Interrupted, it goes on when it is called with the same
--out: arms that are done are not run again.`,
		Example: "  elbo experiment prior-freedom\n  elbo experiment prior-freedom --components 100 --limit 20000 --out runs/free",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, name := range []string{"data", "components", "limit", "iterations", "seed"} {
				if cmd.Flags().Changed(name) {
					o.given = append(o.given, name)
				}
			}
			if err := o.validate(); err != nil {
				return &train.ConfigError{Err: err}
			}
			return runPriorFreedom(cmd.Context(), p, o)
		},
	}
	cmd.Flags().StringVar(&o.out, "out", "", "directory of the experiment, to make or to go on with (default: the first free runs/prior-freedom)")
	cmd.Flags().StringVar(&o.Data, "data", "mnist", "mnist, a directory of IDX files, or a .npy, .npz, .amat or IDX file")
	cmd.Flags().IntVar(&o.Components, "components", 50, "components of the mixtures")
	cmd.Flags().IntVar(&o.Limit, "limit", 5000, "use the first N training images only (0: all)")
	cmd.Flags().IntVar(&o.Iterations, "iterations", 40, "iterations of EM in each arm")
	cmd.Flags().Uint64Var(&o.Seed, "seed", 1, "seed of all randomness")
	cmd.Flags().IntVar(&o.workers, "workers", 0, "goroutines that share the work (0: one for each CPU)")
	cmd.Flags().BoolVar(&o.json, "json", false, "print the report as JSON")
	cmd.Flags().SortFlags = false
	return cmd
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
