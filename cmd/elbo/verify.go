package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"elbo/cmd/elbo/internal/verify"
	"elbo/train"
	"elbo/train/run"
)

type verifyOptions struct {
	run     string // "": the program alone
	data    string
	workers int
	json    bool
}

func newVerifyCmd(p *program) *cobra.Command {
	o := verifyOptions{}
	cmd := &cobra.Command{
		Use:   "verify [RUN]",
		Short: "Check the program, and a run, on this machine",
		Long: `Check that the program is right on this machine, in less than a minute: probabilities of
all images of 3 x 3 pixels sum to 1, gradients are slopes, the bound does not depend on
the batch, EM never lowers it, ELBO ≤ L_k ≤ log p(x) for a model trained on the spot, a run
that is interrupted and resumed ends with the same bytes.

With RUN also: its checkpoints load and their checksums hold, its metrics have a whole
line for each epoch, its data are those it was trained on, its best validation bound
comes out again, and the bounds of its model are in their order. Nothing is written to
it.

The exit code is 1 if one check fails.`,
		Example: "  elbo verify\n  elbo verify runs/vae-001",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("verify takes one run, or none, got %d arguments: %s", len(args), cmd.UseLine())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				o.run = args[0]
			}
			if o.workers < 0 {
				return usagef("workers is %d, want 0 (one for each CPU) or more", o.workers)
			}
			if o.workers > train.MaxWorkers {
				return usagef("workers is %d, want at most %d", o.workers, train.MaxWorkers)
			}
			if o.data != "" && o.run == "" {
				return usagef("--data says where a run's data are: name the run as well")
			}
			return runVerify(cmd.Context(), p, o)
		},
	}
	cmd.Flags().StringVar(&o.data, "data", "", "the place that the run's data were moved to")
	cmd.Flags().IntVar(&o.workers, "workers", 0, "goroutines that share the work of the program's checks (0: one for each CPU)")
	cmd.Flags().BoolVar(&o.json, "json", false, "print one JSON object")
	cmd.Flags().SortFlags = false
	return cmd
}

// verified is the report of verify.
type verified struct {
	With   string         `json:"with"`
	Run    string         `json:"run,omitempty"`
	Failed int            `json:"failed"`
	Checks []verify.Check `json:"checks"`
}

func runVerify(ctx context.Context, p *program, o verifyOptions) error {
	var dir *run.Dir
	if o.run != "" {
		var err error
		if dir, err = train.ReadRun(o.run); err != nil {
			return err
		}
	}
	if o.workers == 0 {
		o.workers = p.cpus
	}
	temp, err := os.MkdirTemp("", "elbo-verify-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	engine := p.engine(o.workers)
	v := &verify.Verifier{Engine: engine, Now: p.now, Temp: temp}
	report := verified{With: fmt.Sprintf("%s, workers: %d", engine.BLAS, o.workers), Run: o.run}
	began := func(what string) { p.say("checking %s", what) }
	add := func(c verify.Check) {
		report.Checks = append(report.Checks, c)
		if !c.OK {
			report.Failed++
		}
	}
	if dir != nil {
		if err := v.Run(ctx, verify.Run{Dir: dir, Data: o.data, Setup: p.setup}, began, add); err != nil {
			return err
		}
	}
	if err := v.Program(ctx, began, add); err != nil {
		return err
	}
	return p.reportVerified(report, o.json)
}

// reportVerified prints the table, and fails if a check did.
func (p *program) reportVerified(r verified, asJSON bool) error {
	if asJSON {
		if err := writeJSON(p.stdout, r); err != nil {
			return err
		}
	} else {
		t := newTable(p.stdout, 0)
		fmt.Fprintln(t, "check\twanted\tgot\tok")
		for _, c := range r.Checks {
			ok := "ok"
			if !c.OK {
				ok = "FAIL"
			}
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", c.Name, c.Wanted, strings.ReplaceAll(c.Got, "\n", " "), ok)
		}
		t.Flush()
		fmt.Fprintf(p.stdout, "%d checks, %d failed; %s\n", len(r.Checks), r.Failed, r.With)
	}
	if r.Failed > 0 {
		return fmt.Errorf("%d of %d checks failed", r.Failed, len(r.Checks))
	}
	return nil
}
