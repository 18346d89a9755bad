package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"

	"github.com/spf13/cobra"

	"elbo/model"
	"elbo/train"
	"elbo/train/onnx"
	"elbo/train/run"
)

type onnxOptions struct {
	run, checkpoint, data, to, out string
}

func newExportCmd(p *program) *cobra.Command {
	var o onnxOptions
	cmd := &cobra.Command{
		Use:   "export RUN|CHECKPOINT --to onnx",
		Short: "Encoder and decoder as ONNX files, for other programs",
		Long: fmt.Sprintf(`Write the networks of a model as ONNX files (opset %d, float32), for onnxruntime and other
programs. The batch dimension N is free.

  encoder.onnx  x [N, D] -> mu, logvar [N, Z]   mean and log variance of q(z|x)
  decoder.onnx  z [N, Z] -> logits, mean [N, D] mean is E[x|z]; a gaussian has no logits, and
                                                of two numbers for a pixel parameters [N, 2D]

x are the pixels in [0, 1], row by row from the top, binarised as for training. A grid has a
decoder alone, and a mixture no network: its components are tensors of its checkpoint. The
metadata name the likelihood, the activation, the size of an image, and the data and the
checkpoint by their SHA-256.`, onnx.Opset),
		Example: "  elbo export runs/vae-001 --to onnx\n  elbo export runs/vae-001 --to onnx --checkpoint last --out models",
		Args:    oneRun,
		RunE: func(_ *cobra.Command, args []string) error {
			o.run = args[0]
			return runExport(p, o)
		},
	}
	cmd.Flags().StringVar(&o.to, "to", "", "format: onnx")
	cmd.Flags().StringVar(&o.out, "out", "", "directory to write in, made where it is missing (default: the run's)")
	addModelFlags(cmd, &o.checkpoint, &o.data)
	_ = cmd.RegisterFlagCompletionFunc("to", cobra.FixedCompletions([]cobra.Completion{"onnx"}, cobra.ShellCompDirectiveNoFileComp)) // fails for a flag that is not there
	return cmd
}

func runExport(p *program, o onnxOptions) error {
	if o.to != "onnx" {
		return usagef("--to is %q, want onnx", o.to)
	}
	if o.out == "" {
		if info, err := os.Stat(o.run); err == nil && !info.IsDir() {
			return usagef("%s is a checkpoint: name the directory to write in with --out", o.run)
		}
		o.out = o.run
	}
	t, err := p.openTrained(o.run, o.checkpoint, o.data)
	if err != nil {
		return err
	}
	if t.Config.HasTable() && t.Config.Network().Latent == 0 {
		return usagef("a %s has no network to export: its components are tensors of %s (`%s inspect` lists them), and `%s eval %s --export-posterior q.npy` writes p(z|x)", t.Config.Model, t.Path, p.name, p.name, run.ShellPath(o.run))
	}
	decoder, err := t.DecoderONNX()
	if err != nil {
		return err
	}
	parts := []*onnx.Model{decoder}
	if _, ok := t.Model.(train.Amortised); ok {
		encoder, err := t.EncoderONNX()
		if _, unfit := errors.AsType[*train.ConfigError](err); unfit {
			p.say("%s.onnx is not written: %v; `%s encode %s` writes codes", model.EncoderPart, err, p.name, run.ShellPath(o.run))
		} else if err != nil {
			return err
		} else {
			parts = []*onnx.Model{encoder, decoder}
		}
	} else {
		p.say("a %s has no encoder: its posterior is a table, which `%s eval %s --export-posterior q.npy` writes", t.Config.Model, p.name, run.ShellPath(o.run))
	}
	if err := run.MakeDirectory(o.out); err != nil {
		return usagef("%s: cannot make the directory: %w: choose another --out", o.out, err)
	}
	version := versionOf(debug.ReadBuildInfo()).Version
	for _, part := range parts {
		part.Version = version
		part.Metadata["elbo.checkpoint_sha256"] = t.State.FileSHA256
		part.Metadata["elbo.step"] = fmt.Sprint(t.State.Step)
		file, err := part.Encode()
		if err != nil {
			return err
		}
		path := filepath.Join(o.out, part.Graph.Name+".onnx")
		if err := p.wrote(path, run.WriteAtomic(path, func(w io.Writer) error { _, err := w.Write(file); return err })); err != nil {
			return err
		}
	}
	return nil
}
