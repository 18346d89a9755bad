package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"elbo/train"
	"elbo/train/run"
)

func newPruneCmd(p *program) *cobra.Command {
	var dry bool
	cmd := &cobra.Command{
		Use:   "prune RUN|DIR...",
		Short: "Remove the checkpoints that a run can do without",
		Long: `Remove the checkpoints of runs but for the best and the last one: with those a run can be
used and goes on as before. What is removed is printed, with its size. In a directory, every run
in it is pruned, at any depth. Nothing but checkpoints that elbo wrote is removed, nothing of a
run that is in training, and nothing where the last checkpoint cannot be read.`,
		Example: "  elbo prune runs --dry-run\n  elbo prune runs/vae-001",
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("prune takes runs, or directories of runs: %s", cmd.UseLine())
			}
			return runPrune(p, args, dry)
		},
	}
	cmd.Flags().BoolVar(&dry, "dry-run", false, "print what would be removed, and remove nothing")
	return cmd
}

func runPrune(p *program, paths []string, dry bool) error {
	var total int64
	files := 0
	var faults []error
	for _, path := range paths {
		runs, err := train.FindRuns(path)
		if err == nil && len(runs) == 0 {
			err = fmt.Errorf("%s: %w: there is no run in it", path, run.ErrNotRun)
		}
		if err != nil {
			return err
		}
		named := len(runs) == 1 && runs[0] == path
		for _, one := range runs {
			removed, err := prune(one, dry)
			for _, r := range removed {
				fmt.Fprintf(p.stdout, "%s  %s\n", run.ShellPath(r.Name), bytesText(r.Bytes))
				total, files = total+r.Bytes, files+1
			}
			switch {
			case err == nil:
			case errors.Is(err, run.ErrRunInUse) && !named:
				p.say("%s is in training: passed over", one)
			default:
				faults = append(faults, err)
			}
		}
	}
	verb := "freed"
	if dry {
		verb = "would free"
	}
	fmt.Fprintf(p.stdout, "%s %s: checkpoints: %d\n", verb, bytesText(total), files)
	return errors.Join(faults...)
}

// prune prunes a run and its restarts, and returns what it removed by their paths.
func prune(path string, dry bool) ([]run.Removed, error) {
	restarts, err := train.Restarts(path)
	if err != nil {
		return nil, err
	}
	var all []run.Removed
	for _, one := range append([]string{path}, restarts...) {
		removed, err := pruneOne(one, dry)
		all = append(all, removed...)
		if err != nil {
			return all, err
		}
	}
	return all, nil
}

func pruneOne(path string, dry bool) ([]run.Removed, error) {
	open := train.OpenRun
	if dry {
		open = train.ReadRun
	}
	dir, err := open(path)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	if dry {
		if inUse, err := dir.InUse(); inUse || err != nil {
			return nil, errors.Join(err, fmt.Errorf("%s: %w: wait for it or stop it", path, run.ErrRunInUse))
		}
	}
	removed, err := dir.Prune(dry)
	for i := range removed {
		removed[i].Name = dir.File(removed[i].Name)
	}
	return removed, err
}
