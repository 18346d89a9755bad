package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"elbo/train"
)

type plotOptions struct {
	run, checkpoint, data, out, title string
	others                            []string // runs besides
	formats                           []string
}

// chartFormats are the kinds of file that charts can be.
var chartFormats = []string{"png", "svg", "pdf"}

func newPlotCmd(p *program) *cobra.Command {
	var o plotOptions
	cmd := &cobra.Command{
		Use:   "plot RUN [RUN...]",
		Short: "The pictures of a run, drawn again; or several runs over minutes of training",
		Long: `Draw the pictures of a run again from its metrics and its best state. Charts (curves, and
latent of a two-dimensional model) come in every format that is asked for; sheets of images
are PNG files in any case.

Of several runs it draws one chart, minutes: their validation bounds (of runs without
validation images those while training) over the minutes that training took.`,
		Example: "  elbo plot runs/vae-001 --format svg,pdf --out figures --title 'A VAE of two dimensions'\n  elbo plot runs/vae-001 runs/vae-002 --out figures",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return oneRun(cmd, args)
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			o.run, o.others = args[0], args[1:]
			return runPlot(p, o)
		},
	}
	cmd.Flags().StringSliceVar(&o.formats, "format", []string{"png"}, "of charts: png, svg, pdf, or several of them")
	cmd.Flags().StringVar(&o.title, "title", "", "above each picture (default: the model and its data)")
	cmd.Flags().StringVar(&o.out, "out", "", "directory to draw in (default: the first run's)")
	addModelFlags(cmd, &o.checkpoint, &o.data)
	return cmd
}

func runPlot(p *program, o plotOptions) error {
	for _, format := range o.formats {
		if !slices.Contains(chartFormats, format) {
			return usagef("--format %s: want %s", format, strings.Join(chartFormats, ", "))
		}
	}
	if len(o.formats) == 0 {
		return usagef("--format is empty: want %s", strings.Join(chartFormats, ", "))
	}
	if o.out == "" {
		o.out = o.run
	}
	slices.Sort(o.formats)
	o.formats = slices.Compact(o.formats)
	if len(o.others) > 0 {
		return plotMinutes(p, o)
	}
	if info, err := os.Stat(o.run); err == nil && !info.IsDir() {
		return usagef("%s is a checkpoint, and has no metrics to draw: name its run", o.run)
	}
	t, err := p.openTrained(o.run, o.checkpoint, o.data)
	if err != nil {
		return err
	}
	dir, err := train.ReadRun(o.run)
	if err != nil {
		return err
	}
	metrics, err := dir.ReadMetrics()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(o.out, 0o777); err != nil {
		return fmt.Errorf("--out %s: %w", o.out, err)
	}
	g := gallery{s: t.Setup, dir: o.out, formats: o.formats, title: o.title}
	if err := g.all(metrics); err != nil {
		return err
	}
	fmt.Fprintln(p.stdout, filepath.Clean(o.out))
	return nil
}

// plotMinutes draws several runs over minutes of training.
func plotMinutes(p *program, o plotOptions) error {
	var runs []timedRun
	for _, path := range append([]string{o.run}, o.others...) {
		r, err := timedRunOf(path)
		if err != nil {
			return err
		}
		runs = append(runs, r)
	}
	if err := onOneFooting(runs); err != nil {
		return err
	}
	if err := os.MkdirAll(o.out, 0o777); err != nil {
		return fmt.Errorf("--out %s: %w", o.out, err)
	}
	if err := writeMinutes(o.out, o.formats, runs, o.title); err != nil {
		return err
	}
	for _, format := range o.formats {
		fmt.Fprintln(p.stdout, filepath.Join(o.out, "minutes."+format))
	}
	return nil
}
