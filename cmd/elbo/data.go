package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"elbo/data"
	"elbo/train"
	"elbo/train/run"
)

func newDataCmd(p *program) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "data",
		Short: "Look at image files, export the pixels that a run sees, and make a set in colour",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("unknown command %q: data has info, export and make", args[0])
			}
			return cmd.Help()
		},
		Args: cobra.ArbitraryArgs,
	}
	cmd.AddCommand(newDataInfoCmd(p), newDataExportCmd(p), newDataMakeCmd(p))
	return cmd
}

func newDataInfoCmd(p *program) *cobra.Command {
	var asJSON bool
	c := train.Kinds()[0].Config()
	cmd := &cobra.Command{
		Use:     "info PATH",
		Short:   "What image files hold, each checked by itself",
		Long:    "Describe mnist (built in), a directory or a file: format, shape and how it is read, grey levels, labels, SHA-256; then how training would part it. Damaged files are named after those that can be read.",
		Example: "  elbo data info mnist\n  elbo data info PICTURES --size 32x32\n  elbo data info FOLDER --json",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usagef("%s takes one path, or mnist, got %d arguments", cmd.Name(), len(args))
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if err := c.Validate(); err != nil {
				return &train.ConfigError{Err: err}
			}
			infos, err := c.Reading().Describe(args[0])
			if asJSON {
				if failed := writeJSON(p.stdout, infos); failed != nil {
					return failed
				}
			} else {
				writeInfos(p.stdout, infos)
			}
			if err != nil || asJSON || !slices.ContainsFunc(infos, func(i data.FileInfo) bool { return i.Images > 0 }) {
				return err
			}
			ds, err := c.Reading().Open(args[0])
			if err != nil {
				return err
			}
			return writeSplits(p.stdout, ds, c)
		},
	}
	addReadingFlags(cmd, &c)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	cmd.Flags().SortFlags = false
	return cmd
}

// addReadingFlags adds the flags of training that say how data are read and parted.
func addReadingFlags(cmd *cobra.Command, c *train.Config) {
	for _, option := range c.Options() {
		if slices.Contains([]string{"size", "channels", "background", "range", "split-by", "split-seed"}, option.Key) {
			cmd.Flags().Var(option.Value, option.Key, option.Usage)
		}
	}
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
		if len(info.Labels) > 0 && len(info.Classes) == 0 {
			fmt.Fprintf(t, "\timages with label 0, 1, ...\t%s\n", strings.Trim(fmt.Sprint(info.Labels), "[]"))
		}
		if len(info.Classes) > 0 {
			fmt.Fprintf(t, "\timages of each class\t%s\n", classesOf(info))
		}
		for _, note := range info.Notes {
			fmt.Fprintf(t, "\tnote\t%s\n", note)
		}
		if info.SHA256 != "" {
			fmt.Fprintf(t, "\tSHA-256\t%s\n", info.SHA256)
		}
	}
	t.Flush()
}

// imagesOf says what the shape of a file is read as, so that a missing axis shows.
func imagesOf(info data.FileInfo) string {
	size := fmt.Sprintf("%d×%d", info.Rows, info.Cols)
	if info.Rows == 1 {
		size = fmt.Sprint(info.Cols)
	}
	if info.Channels == 3 {
		size += " coloured"
	}
	text := fmt.Sprintf("%s of %s pixels each", count(info.Images, "image"), size)
	if info.Images == 1 {
		text = fmt.Sprintf("1 image of %s pixels", size)
	}
	if info.Part == "valid" {
		text += ", for validation unless --split says otherwise"
	}
	return text
}

// mostClasses bounds the classes that are listed one by one.
const mostClasses = 20

// classesOf says how many images each class has.
func classesOf(info data.FileInfo) string {
	var words []string
	for label, n := range info.Labels[:min(len(info.Labels), mostClasses)] {
		words = append(words, fmt.Sprintf("%s %d", info.Classes[label], n))
	}
	if more := len(info.Labels) - mostClasses; more > 0 {
		words = append(words, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(words, ", ")
}

// writeSplits prints how training parts a data set, with the images of each class.
func writeSplits(w io.Writer, ds *data.Dataset, c train.Config) error {
	how := "shuffled"
	switch {
	case ds.OwnSplit():
		how = "its own split"
	case c.SplitBy == train.ByOrder:
		how = "in its order"
	default:
		ds = ds.Shuffled(c.SplitSeed)
	}
	tr, va, te, err := ds.Split(ds.DefaultSplit())
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "%s in training (%s, unless --split says otherwise), SHA-256 %.12s…\n", ds.Name, how, ds.SHA256)
	var counts [3][256]int
	classes := 0
	for i, part := range []data.Subset{tr, va, te} {
		for k := range part.N() {
			if label, ok := part.Label(k); ok {
				counts[i][label]++
				classes = max(classes, int(label)+1)
			}
		}
	}
	t := newTable(w, tabwriter.AlignRight)
	fmt.Fprintf(t, "\ttrain\tvalidation\ttest\t\nimages\t%d\t%d\t%d\t\n", tr.N(), va.N(), te.N())
	for label := range min(classes, mostClasses) {
		name := fmt.Sprintf("label %d", label)
		if label < len(ds.Train.Classes) {
			name = ds.Train.Classes[label]
		}
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t\n", name, counts[0][label], counts[1][label], counts[2][label])
	}
	t.Flush()
	if classes > mostClasses {
		fmt.Fprintf(w, "and %d classes more\n", classes-mostClasses)
	}
	return nil
}

type exportOptions struct {
	config   train.Config // how the data are read and parted
	run      string       // "": from the flags below
	data     string
	binarise string
	seed     uint64
	split    string
	limit    int
	epoch    int
	out      string
}

func newDataExportCmd(p *program) *cobra.Command {
	o := exportOptions{config: train.Kinds()[0].Config()}
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write the very pixels a run sees as .npy (uint8, N x D)",
		Long: `Write the very pixels that a run sees, so that anyone can recompute a figure
elsewhere: uint8 0 and 1, N x D (grey levels for --binarise none). Epoch 0 is what
evaluation sees; under dynamic binarisation every epoch of training has another draw.`,
		Example: "  elbo data export --binarise static --seed 1 --split test --out test.npy\n  elbo data export --run runs/vae-001 --split train --epoch 3 --out epoch3.npy",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, flag := range []string{"data", "binarise", "seed", "size", "channels", "background", "range", "split-by", "split-seed"} {
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
	addReadingFlags(cmd, &o.config)
	cmd.Flags().StringVar(&o.binarise, "binarise", "static", "threshold, static, dynamic or none")
	cmd.Flags().Uint64Var(&o.seed, "seed", 1, "seed of the binarisation")
	cmd.Flags().StringVar(&o.split, "split", "test", "train, validation, test or all")
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
	if _, err := outFile(o.out, ".npy"); err != nil {
		return err
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
	which := slices.Index([]string{"train", "validation", "test", "all"}, o.split)
	if which < 0 {
		return data.View{}, usagef("unknown split %q, want train, validation, test or all", o.split)
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
	if err := o.config.Validate(); err != nil {
		return data.View{}, &train.ConfigError{Err: err}
	}
	ds, err := o.config.Reading().Open(o.data)
	if err != nil {
		return data.View{}, err
	}
	p.announce(ds)
	if o.config.SplitBy != train.ByOrder && !ds.OwnSplit() {
		ds = ds.Shuffled(o.config.SplitSeed)
	}
	tr, va, te, err := ds.Split(ds.DefaultSplit())
	return data.View{Subset: []data.Subset{tr, va, te, ds.All()}[which], Mode: mode, Seed: o.seed}, err
}
