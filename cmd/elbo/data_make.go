package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"elbo/data"
	"elbo/train/run"
)

// colouredDigits is the data set that `elbo data make` makes.
const colouredDigits = "coloured-digits"

type makeOptions struct {
	out    string
	images int
	seed   uint64
}

func newDataMakeCmd(p *program) *cobra.Command {
	var o makeOptions
	cmd := &cobra.Command{
		Use:   "make " + colouredDigits,
		Short: "Make a set of colour images out of MNIST, as .npz",
		Long: `Make coloured digits: images of 32×32 pixels in colour, each a digit of MNIST
somewhere on it, in a colour of its own, on noise of 32 levels; as many for training as
--images says, from MNIST's training images, and the 10 000 test images for testing. A
seed has the same bytes everywhere.`,
		Example:   "  elbo data make coloured-digits --out digits.npz\n  elbo train --data digits.npz --network conv --likelihood discretized-logistic",
		ValidArgs: []string{colouredDigits},
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 || args[0] != colouredDigits {
				return usagef("%s takes the name of a set: %s", cmd.Name(), colouredDigits)
			}
			return nil
		},
		RunE: func(*cobra.Command, []string) error { return runDataMake(p, o) },
	}
	cmd.Flags().StringVar(&o.out, "out", "", "file to write, .npz")
	cmd.Flags().IntVar(&o.images, "images", 50_000, "training images, at most 60000")
	cmd.Flags().Uint64Var(&o.seed, "seed", 1, "seed of places, colours and noise")
	cmd.Flags().SortFlags = false
	return cmd
}

func runDataMake(p *program, o makeOptions) error {
	if o.out == "" {
		return usagef("make needs a file to write: --out FILE.npz")
	}
	if _, err := outFile(o.out, ".npz"); err != nil {
		return err
	}
	mnist, err := data.Open("mnist")
	if err != nil {
		return err
	}
	if o.images < 1 || o.images > mnist.Train.N {
		return usagef("--images is %d, want 1 to %d, as MNIST has training images", o.images, mnist.Train.N)
	}
	digits := mnist.Train
	digits.N, digits.Bytes, digits.Labels = o.images, digits.Bytes[:o.images*digits.D()], digits.Labels[:o.images]
	train, err := data.ColouredDigits(digits, "train", o.seed)
	if err != nil {
		return err
	}
	test, err := data.ColouredDigits(mnist.Test, "test", o.seed)
	if err != nil {
		return err
	}
	if err := run.WriteAtomic(o.out, func(w io.Writer) error { return data.WriteImages(w, train, test) }); err != nil {
		return err
	}
	fmt.Fprintf(p.stdout, "%s: %s for training and %d for testing, of %d×%d pixels in colour, seed %d\n", o.out, count(train.N, "image"), test.N, train.Rows, train.Cols, o.seed)
	return nil
}
