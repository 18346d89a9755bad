package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"elbo/train"
	"elbo/train/run"
)

type encodeOptions struct {
	run, checkpoint, data string
	split                 string
	limit                 int
	top                   int // states of a table, 0: all
	topGiven              bool
	out                   string
}

// Of a table with more than allStates states a CSV has the topStates likeliest, unless told
// otherwise.
const (
	allStates = 50
	topStates = 10
)

func newEncodeCmd(p *program) *cobra.Command {
	var o encodeOptions
	cmd := &cobra.Command{
		Use:   "encode RUN|CHECKPOINT",
		Short: "Codes of images, as .csv, .npy or .npz",
		Long: `Infer the code of each image, and write it with the image's name and label.

A .csv has a row for each image: image,label,mu_1..mu_Z,logvar_1..logvar_Z, the means and
the log variances of q(z|x). Of a mixture or a grid it has the states and their
probabilities: p_0..p_K-1, or of more than 50 states the likeliest 10, state_1..state_10
and prob_1..prob_10. A .npy has the means, N x Z (of a mixture the probabilities, N x K).
A .npz has the arrays image, index, label, mean, logvar and, of a mixture or a grid, table.

elbo decode reads all three.`,
		Example: "  elbo encode runs/vae-001 --out codes.csv\n  elbo encode runs/vae-001 --split train --out codes.npz\n  elbo encode runs/mixture-001 --top 3 --out components.csv",
		Args:    oneRun,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.run, o.topGiven = args[0], cmd.Flags().Changed("top")
			return runEncode(cmd.Context(), p, o)
		},
	}
	cmd.Flags().StringVar(&o.split, "split", "", "images to encode: "+splitUsage)
	cmd.Flags().IntVar(&o.limit, "limit", 0, "only the first N images of the split (0: all)")
	cmd.Flags().StringVar(&o.out, "out", "", "file to write, .csv, .npy or .npz")
	cmd.Flags().IntVar(&o.top, "top", 0, "of a table, only the N likeliest states of each image (0: all; default: all in .npy and .npz, in .csv all up to 50 states, else 10)")
	addModelFlags(cmd, &o.checkpoint, &o.data)
	return cmd
}

func runEncode(ctx context.Context, p *program, o encodeOptions) error {
	if o.out == "" {
		return usagef("encode needs a file to write: --out codes.csv, .npy or .npz")
	}
	ext, err := outFile(o.out, ".csv", ".npy", ".npz")
	if err != nil {
		return err
	}
	if o.limit < 0 {
		return usagef("limit is %d, want 0 (all) or more", o.limit)
	}
	if o.top < 0 {
		return usagef("top is %d, want 0 (all) or more", o.top)
	}
	t, err := p.openTrained(o.run, o.checkpoint, o.data)
	if err != nil {
		return err
	}
	if o.top, err = o.topOf(t, ext); err != nil {
		return err
	}
	o.split = t.chosenSplit(o.split)
	v, err := t.view(o.split, o.limit)
	if err != nil {
		return err
	}
	codes, err := t.Encode(ctx, v)
	if err != nil {
		return err
	}
	f := train.NewCodeFile(codes, v)
	write := map[string]func(io.Writer) error{
		".csv": func(w io.Writer) error { return f.WriteCSV(w, o.top) },
		".npy": f.WriteNPY,
		".npz": func(w io.Writer) error { return f.WriteNPZ(w, o.top) },
	}[ext]
	return p.wrote(o.out, run.WriteAtomic(o.out, write))
}

// topOf is how many states of a table are written, 0 for all.
func (o encodeOptions) topOf(t *trained, ext string) (int, error) {
	m, ok := t.Model.(train.Tabular)
	switch {
	case !ok && o.topGiven:
		return 0, usagef("--top is for a model with a table, and %s is a %s", o.run, t.Config.Model)
	case !ok:
		return 0, nil
	}
	states := m.Table().Config.States
	switch {
	case o.top > states:
		return 0, usagef("top is %d, but the model has %d states", o.top, states)
	case o.top > 0 && ext == ".npy":
		return 0, usagef("--top is for .csv and .npz: a .npy has all states; `eval --export-posterior q.npy --top %d` writes numbers and probabilities as one array", o.top)
	case !o.topGiven && ext == ".csv" && states > allStates:
		return topStates, nil
	}
	return o.top, nil
}
