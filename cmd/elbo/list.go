package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"elbo/train"
	"elbo/train/run"
)

func newListCmd(p *program) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list [DIR]",
		Short: "The runs in a directory: model, bound, size, how far they are",
		Long: `List the run directories in a directory, at any depth, sorted by name: where each stands, its
epochs (of EM iterations), its best bound on validation images with its standard error (in
brackets where there are none: the last bound while training), its size on the disk, its data
and its model. Without DIR those in runs, or in this directory where there is no runs. Every
checkpoint is read and checked.`,
		Example: "  elbo list\n  elbo list runs/sweep --json",
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("list takes one directory, got %d", len(args))
			}
			return runList(p, runsOf(args), asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print an array of JSON objects")
	return cmd
}

// runsOf is the directory of runs that is meant: the one that is named, or runs, or this one
// where no run was ever made without an --out.
func runsOf(args []string) string {
	if len(args) == 1 {
		return args[0]
	}
	if _, err := os.Stat("runs"); errors.Is(err, fs.ErrNotExist) {
		return "."
	}
	return "runs"
}

func runList(p *program, dir string, asJSON bool) error {
	found, err := train.FindRuns(dir)
	if err != nil {
		return err
	}
	runs := []train.Summary{}
	for _, path := range found {
		runs = append(runs, train.Summarise(path))
	}
	if asJSON {
		return writeJSON(p.stdout, runs)
	}
	if len(runs) == 0 {
		p.say("there is no run in %s: `%s train` makes one", dir, p.name)
		return nil
	}
	writeList(p.stdout, runs, p.columns())
	for _, r := range runs {
		if r.Fault != "" {
			p.say("%s is damaged: %s", r.Run, strings.ReplaceAll(r.Fault, "\n", "; "))
		}
	}
	return nil
}

// writeList prints a line for each run, cut to a width in columns (0: any).
func writeList(w io.Writer, runs []train.Summary, width int) {
	var lines strings.Builder
	t := newTable(&lines, 0)
	fmt.Fprintln(t, "run\tstate\tpasses\tbound\tsize\tdata\tmodel")
	for _, r := range runs {
		passes, bound := "", ""
		if r.Of > 0 {
			passes = fmt.Sprintf("%d/%d", r.Done, r.Of)
		}
		switch {
		case r.Validated:
			bound = fmt.Sprintf("%.2f ± %.2f", r.Bound.Value, r.Bound.SE)
		case r.Bound != nil:
			bound = fmt.Sprintf("(%.2f)", r.Bound.Value)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", run.ShellPath(r.Run), r.State, passes, bound, bytesText(r.Bytes), filepath.Base(r.Data), r.Description)
	}
	t.Flush()
	for line := range strings.Lines(lines.String()) {
		line = strings.TrimRight(line, " \n")
		if width > 0 && utf8.RuneCountInString(line) > width {
			line = string([]rune(line)[:width-1]) + "…"
		}
		fmt.Fprintln(w, line)
	}
}

// bytesText writes a size with two or three digits.
func bytesText(n int64) string {
	size, unit := float64(n), "B"
	for _, larger := range []string{"kB", "MB", "GB", "TB"} {
		if size < 999.5 {
			break
		}
		size, unit = size/1000, larger
	}
	if size < 9.95 && unit != "B" {
		return fmt.Sprintf("%.1f %s", size, unit)
	}
	return fmt.Sprintf("%.0f %s", size, unit)
}
