package main

import (
	"fmt"
	"image"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"elbo/cmd/elbo/internal/picture"
)

type pictureOptions struct {
	run, checkpoint, data string
	n                     int
	out                   string // "": in the run directory
	seed                  uint64
	seedGiven             bool
	split                 string
}

func newSampleCmd(p *program) *cobra.Command {
	var o pictureOptions
	cmd := &cobra.Command{
		Use:     "sample RUN|CHECKPOINT",
		Short:   "Images decoded from draws of the prior",
		Long:    "Draw codes z from the prior p(z) of the model and write the decoded means E[x|z], as a picture (.png) or as numbers (.npy, float32, N x D).",
		Example: "  elbo sample runs/vae-001\n  elbo sample runs/vae-001 --n 1000 --seed 7 --out samples.npy",
		Args:    oneRun,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.run, o.seedGiven = args[0], cmd.Flags().Changed("seed")
			return runSample(p, o)
		},
	}
	cmd.Flags().IntVar(&o.n, "n", sampledImages, "number of images")
	cmd.Flags().Uint64Var(&o.seed, "seed", 0, "seed of the draws of z (default: the run's)")
	cmd.Flags().StringVar(&o.out, "out", "", "file to write, .png or .npy (default: RUN/"+samplesFile+", with a --seed RUN/samples-SEED.png)")
	addModelFlags(cmd, &o.checkpoint, &o.data)
	return cmd
}

func runSample(p *program, o pictureOptions) error {
	t, err := p.openPictured(&o, samplesFile)
	if err != nil {
		return err
	}
	if !o.seedGiven {
		o.seed = t.Config.Seed
	}
	images, err := t.Setup.Sample(o.n, o.seed)
	if err != nil {
		return err
	}
	return p.wrote(o.out, writeImages(o.out, images, t.Dataset.D(), func() image.Image {
		return picture.Titled(picture.Grid(images, t.Dataset.Rows(), t.Dataset.Cols(), t.Dataset.Channels(), gridColumns), titleOf(t.Setup, drawsAre))
	}))
}

// mostImages bounds the images of one file to a few gigabytes.
const mostImages = 1_000_000

// openPictured checks the options of a picture and opens the model; the file's name
// defaults to a place in the run directory.
func (p *program) openPictured(o *pictureOptions, name string) (*trained, error) {
	if o.n < 1 {
		return nil, usagef("n is %d, want at least 1", o.n)
	}
	if o.n > mostImages {
		return nil, usagef("n is %d, want at most %d", o.n, mostImages)
	}
	if ext := strings.ToLower(filepath.Ext(o.out)); o.out != "" && ext != ".png" && ext != ".npy" {
		return nil, usagef("--out %s: want a name that ends in .png or .npy", o.out)
	}
	if o.out == "" {
		info, err := os.Stat(o.run)
		if err == nil && !info.IsDir() {
			return nil, usagef("%s is a checkpoint: name the picture with --out", o.run)
		}
		if o.seedGiven { // the run's own picture is made with the run's seed
			name = strings.Replace(name, ".", fmt.Sprintf("-%d.", o.seed), 1)
		}
		o.out = filepath.Join(o.run, name)
	}
	return p.openTrained(o.run, o.checkpoint, o.data)
}

// wrote prints the name of a file that was written.
func (p *program) wrote(path string, err error) error {
	if err == nil {
		fmt.Fprintln(p.stdout, path)
	}
	return err
}
