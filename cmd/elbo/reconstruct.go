package main

import (
	"image"

	"github.com/spf13/cobra"

	"elbo/cmd/elbo/internal/picture"
)

func newReconstructCmd(p *program) *cobra.Command {
	var o pictureOptions
	cmd := &cobra.Command{
		Use:     "reconstruct RUN|CHECKPOINT",
		Short:   "Images above their reconstructions",
		Long:    "Encode images and decode the means of their posteriors; write originals above reconstructions as a picture (.png), or the reconstructions as numbers (.npy, float32, N x D).",
		Example: "  elbo reconstruct runs/vae-001\n  elbo reconstruct runs/vae-001 --split train --n 200 --out pairs.png",
		Args:    oneRun,
		RunE: func(_ *cobra.Command, args []string) error {
			o.run = args[0]
			return runReconstruct(p, o)
		},
	}
	cmd.Flags().StringVar(&o.split, "split", "", "images to reconstruct: "+splitUsage)
	cmd.Flags().IntVar(&o.n, "n", pairedImages, "number of images, the first of the split")
	cmd.Flags().StringVar(&o.out, "out", "", "file to write, .png or .npy (default: RUN/"+reconstructedFile+")")
	addModelFlags(cmd, &o.checkpoint, &o.data)
	return cmd
}

func runReconstruct(p *program, o pictureOptions) error {
	t, err := p.openPictured(&o, reconstructedFile)
	if err != nil {
		return err
	}
	v, err := t.view(t.chosenSplit(o.split), o.n)
	if err != nil {
		return err
	}
	originals, images, err := reconstruct(t.Setup, v, o.n)
	if err != nil {
		return err
	}
	return p.wrote(o.out, writeImages(o.out, images, t.Dataset.D(), func() image.Image {
		return picture.Titled(picture.Pairs(originals, images, t.Dataset.Rows(), t.Dataset.Cols(), t.Dataset.Channels(), pairColumns), titleOf(t.Setup, pairsAre))
	}))
}
