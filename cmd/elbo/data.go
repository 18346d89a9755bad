package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"elbo/data"
	"elbo/train/run"
)

func newDataCmd(p *program) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "data",
		Short: "Look at image files, and export the pixels that a run sees",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("unknown command %q: data has info and export", args[0])
			}
			return cmd.Help()
		},
		Args: cobra.ArbitraryArgs,
	}
	cmd.AddCommand(newDataInfoCmd(p), newDataExportCmd(p))
	return cmd
}

func newDataInfoCmd(p *program) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "info PATH",
		Short:   "What image files hold, each checked by itself",
		Long:    "Describe mnist (built in), a directory or a file: format, shape and how it is read, grey levels, labels, SHA-256. Damaged files are named after those that can be read.",
		Example: "  elbo data info mnist\n  elbo data info FOLDER --json",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usagef("%s takes one path, or mnist, got %d arguments", cmd.Name(), len(args))
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			infos, err := data.Describe(args[0])
			if asJSON {
				if failed := writeJSON(p.stdout, infos); failed != nil {
					return failed
				}
			} else {
				writeInfos(p.stdout, infos)
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	return cmd
}

func writeInfos(w io.Writer, infos []data.FileInfo) {
	t := newTable(w, 0)
	for _, info := range infos {
		compressed := ""
		if info.Compressed {
			compressed = ", compressed"
		}
		fmt.Fprintf(t, "%s\n\tformat\t%s%s, %s %v\n", info.Name, info.Format, compressed, info.Element, info.Shape)
		if info.Images > 0 {
			fmt.Fprintf(t, "\tread as\t%s\n", imagesOf(info))
		}
		if g := info.Grey; g != nil {
			fmt.Fprintf(t, "\tgrey levels\t%.4g to %.4g, mean %.4g\n", g.Min, g.Max, g.Mean)
		}
		if len(info.Labels) > 0 {
			fmt.Fprintf(t, "\timages with label 0, 1, ...\t%s\n", strings.Trim(fmt.Sprint(info.Labels), "[]"))
		}
		fmt.Fprintf(t, "\tSHA-256\t%s\n", info.SHA256)
	}
	t.Flush()
}

// imagesOf says what the shape of a file is read as, so that a missing axis shows.
func imagesOf(info data.FileInfo) string {
	size := fmt.Sprintf("%d×%d", info.Rows, info.Cols)
	if info.Rows == 1 {
		size = fmt.Sprint(info.Cols)
	}
	text := fmt.Sprintf("%s of %s pixels each", count(info.Images, "image"), size)
	if info.Images == 1 {
		text = fmt.Sprintf("1 image of %s pixels", size)
	}
	if info.Part == "valid" {
		text += ", for validation unless --split says otherwise"
	}
	if len(info.Shape) == 2 && info.Shape[0] == info.Shape[1] {
		text += fmt.Sprintf(" (a single image would be saved as [1 %d %d])", info.Shape[0], info.Shape[1])
	}
	return text
}

type exportOptions struct {
	run      string // "": from the flags below
	data     string
	binarise string
	seed     uint64
	split    string
	limit    int
	epoch    int
	out      string
}

func newDataExportCmd(p *program) *cobra.Command {
	o := exportOptions{}
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write the very pixels a run sees as .npy (uint8, N x D)",
		Long: `Write the very pixels that a run sees, so that anyone can recompute a figure
elsewhere: uint8 0 and 1, N x D (grey levels for --binarise none). Epoch 0 is what
evaluation sees; under dynamic binarisation every epoch of training has another draw.`,
		Example: "  elbo data export --binarise static --seed 1 --split test --out test.npy\n  elbo data export --run runs/vae-001 --split train --epoch 3 --out epoch3.npy",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, flag := range []string{"data", "binarise", "seed"} {
				if o.run != "" && cmd.Flags().Changed(flag) {
					return usagef("--%s and --run exclude each other: a run knows its own", flag)
				}
			}
			if o.out == "" {
				return usagef("export needs a file to write: --out FILE.npy")
			}
			return runDataExport(p, o)
		},
	}
	cmd.Flags().StringVar(&o.run, "run", "", "take data, split, binarisation and seed from this run")
	cmd.Flags().StringVar(&o.data, "data", "mnist", "mnist, a directory or a file")
	cmd.Flags().StringVar(&o.binarise, "binarise", "static", "threshold, static, dynamic or none")
	cmd.Flags().Uint64Var(&o.seed, "seed", 1, "seed of the binarisation")
	cmd.Flags().StringVar(&o.split, "split", "test", "train, validation or test")
	cmd.Flags().IntVar(&o.limit, "limit", 0, "only the first N images of the split (0: all)")
	cmd.Flags().IntVar(&o.epoch, "epoch", 0, "epoch of training whose draw is wanted (0: evaluation)")
	cmd.Flags().StringVar(&o.out, "out", "", "file to write")
	cmd.Flags().SortFlags = false
	return cmd
}

func runDataExport(p *program, o exportOptions) error {
	if o.epoch < 0 || o.limit < 0 {
		return usagef("epoch is %d and limit %d, want 0 or more", o.epoch, o.limit)
	}
	v, err := p.exported(o)
	if err != nil {
		return err
	}
	if o.limit > 0 {
		v.Subset = v.First(o.limit)
	}
	err = run.WriteAtomic(o.out, func(w io.Writer) error { return data.WriteNPY(w, v, o.epoch) })
	if err != nil {
		return err
	}
	fmt.Fprintf(p.stdout, "%s: %s of %s, binarise %s, seed %d, epoch %d\n", o.out, count(v.N(), "image"), count(v.D(), "pixel"), v.Mode, v.Seed, o.epoch)
	return nil
}

// exported is the view that the options name.
func (p *program) exported(o exportOptions) (data.View, error) {
	names := []string{"train", "validation", "test"}
	which := slices.Index(names, o.split)
	if which < 0 {
		return data.View{}, usagef("unknown split %q, want train, validation or test", o.split)
	}
	if o.run != "" {
		state, file, passed, err := p.loadState(o.run, "last")
		if err != nil {
			return data.View{}, err
		}
		p.sayPassedOver(passed) // of a run, all have the same data
		t, err := p.openState(state, file, "")
		if err != nil {
			return data.View{}, err
		}
		return t.view(o.split, 0)
	}
	mode, err := data.ParseBinarisation(o.binarise)
	if err != nil {
		return data.View{}, usagef("--binarise: %w", err)
	}
	ds, err := data.Open(o.data)
	if err != nil {
		return data.View{}, err
	}
	tr, va, te, err := ds.Split(ds.DefaultSplit())
	return data.View{Subset: []data.Subset{tr, va, te}[which], Mode: mode, Seed: o.seed}, err
}
