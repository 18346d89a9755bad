package main

import (
	"context"
	"fmt"
	"image"
	"math"

	"github.com/spf13/cobra"

	"elbo/cmd/elbo/internal/picture"
	"elbo/data"
	"elbo/model/infer"
	"elbo/train"
)

// imputeFile is what elbo impute writes in the run directory, unless told otherwise.
const imputeFile = "imputed.png"

// What missing pixels are filled with.
const (
	fillMean = "mean"
	fillDraw = "draw"
)

type imputeOptions struct {
	run, checkpoint, data string
	split                 string
	n                     int
	mask                  string
	steps                 int
	stepsGiven            bool
	fill                  string // of .npy
	seed                  uint64
	seedGiven             bool
	out                   string // "": in the run directory
}

func newImputeCmd(p *program) *cobra.Command {
	var o imputeOptions
	cmd := &cobra.Command{
		Use:   "impute RUN|CHECKPOINT --mask MASK.npy",
		Short: "Missing pixels filled in, given the others",
		Long: `Fill in the pixels that a mask calls missing from p(x_mis|x_obs), the model's own
distribution of them given the others. The mask is a .npy of bool or of 0 and 1: True
(1) is missing, as in numpy.ma. It has the shape of one image, R x C or D, and is the
same for all, or of all of them, N x R x C or N x D. What the data have where a pixel is
missing is not looked at.

A mixture or a grid does this exactly, by a sum over its states. A VAE runs a Markov
chain for each image: z from the encoder's posterior with a Metropolis correction, then
the missing pixels from the decoder (Mattei and Frellsen 2018). How many of its proposals
are accepted is printed, with a warning where a chain has hardly moved.

A .png shows originals, what is observed, the mean of the missing pixels and one draw of
them; a .npy has the images with the mean, or with --fill draw the draw, float32, N x D.`,
		Example: "  elbo impute runs/vae-001 --mask half.npy --out filled.png\n  elbo impute runs/vae-001 --mask half.npy --n 1000 --steps 500 --fill draw --out filled.npy",
		Args:    oneRun,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.run, o.seedGiven, o.stepsGiven = args[0], cmd.Flags().Changed("seed"), cmd.Flags().Changed("steps")
			return runImpute(cmd.Context(), p, o)
		},
	}
	cmd.Flags().StringVar(&o.mask, "mask", "", "which pixels are missing, .npy: 1 (True) missing, 0 observed")
	cmd.Flags().IntVar(&o.steps, "steps", 100, "steps of the chain of each image, of a VAE")
	cmd.Flags().IntVar(&o.n, "n", pairColumns, "number of images, the first of the split (0: all)")
	cmd.Flags().StringVar(&o.split, "split", "", "images to fill in: "+splitUsage)
	cmd.Flags().StringVar(&o.fill, "fill", fillMean, "what a .npy has in the missing pixels: mean or draw")
	cmd.Flags().Uint64Var(&o.seed, "seed", 0, "seed of the draws (default: the run's)")
	cmd.Flags().StringVar(&o.out, "out", "", "file to write, .png or .npy (default: RUN/"+imputeFile+")")
	addModelFlags(cmd, &o.checkpoint, &o.data)
	_ = cmd.RegisterFlagCompletionFunc("fill", cobra.FixedCompletions([]cobra.Completion{fillMean, fillDraw}, cobra.ShellCompDirectiveNoFileComp)) // fails for a flag that is not there
	return cmd
}

func runImpute(ctx context.Context, p *program, o imputeOptions) error {
	if o.mask == "" {
		return usagef("impute needs to know which pixels are missing: --mask MASK.npy, True where one is")
	}
	if o.n < 0 || o.n > mostImages {
		return usagef("n is %d, want 0 (all) to %d", o.n, mostImages)
	}
	if o.steps < 1 {
		return usagef("steps is %d, want at least 1", o.steps)
	}
	if o.fill != fillMean && o.fill != fillDraw {
		return usagef("fill is %q, want mean or draw", o.fill)
	}
	var err error
	if o.out, err = outFileOf(o.run, o.out, imputeFile, "picture", ".png", ".npy"); err != nil {
		return err
	}
	t, err := p.openTrained(o.run, o.checkpoint, o.data)
	if err != nil {
		return err
	}
	o.split = t.chosenSplit(o.split)
	v, err := t.view(o.split, o.n)
	if err != nil {
		return err
	}
	missing, err := train.ReadMask(o.mask, v)
	if err != nil {
		return err
	}
	if o.stepsGiven && t.Config.HasTable() {
		p.say("--steps changes nothing: the missing pixels of a %s are known exactly, by a sum over its states", t.Config.Model)
	}
	if !o.seedGiven {
		o.seed = t.Config.Seed
	}
	bar := newBar(p)
	defer bar.done()
	filled, err := t.Impute(ctx, v, missing, infer.ImputeOptions{Steps: o.steps, Seed: o.seed, Progress: func(done, _ int) { bar.at("filling in pixels", done, v.N()*o.steps) }})
	if err != nil {
		return err
	}
	bar.done()
	images := filled.Mean
	if o.fill == fillDraw {
		images = filled.Draw
	}
	err = writeImages(o.out, images, v.D(), func() image.Image { return drawImputed(t, v, missing, filled) })
	if err := p.wrote(o.out, err); err != nil {
		return err
	}
	p.sayImputed(v, missing, filled, o.steps)
	return nil
}

// leastMoves is how many moves a chain takes at least to forget where it began.
const leastMoves = 20

// sayImputed says how the pixels were filled in, and how far they are from what the data
// have there.
func (p *program) sayImputed(v data.View, missing []bool, filled *infer.Imputed, steps int) {
	count, squares := 0, 0.0
	for i, x := range v.AllEvaluated() {
		if missing[i%len(missing)] {
			count++
			squares += math.Pow(float64(x-filled.Mean[i]), 2)
		}
	}
	how := "exact: a sum over the states"
	if !filled.Exact {
		how = fmt.Sprintf("%.1f %% of the proposals accepted", 100*filled.Acceptance)
	}
	p.say("%d images, %.1f %% of their pixels missing; %s; the mean is %.3f (root mean square) from what the data have there",
		v.N(), 100*float64(count)/float64(v.N()*v.D()), how, math.Sqrt(squares/float64(count)))
	if moves := filled.Acceptance * float64(steps); !filled.Exact && moves < leastMoves {
		p.say("warning: the chains have moved about %.0f times each, too few to forget where they began: take more --steps, about %.0f",
			moves, math.Ceil(float64(steps)*leastMoves/max(moves, 0.2)/100)*100)
	}
}

// drawImputed draws originals, what is observed of them, the mean of the missing pixels and
// a draw, some columns at a time.
func drawImputed(t *trained, v data.View, missing []bool, filled *infer.Imputed) image.Image {
	d := v.D()
	originals := v.AllEvaluated()
	observed := make([]float32, len(originals))
	for i, x := range originals {
		if observed[i] = x; missing[i%len(missing)] {
			observed[i] = float32(math.NaN()) // which is drawn in red
		}
	}
	title := titleOf(t.Setup, "missing pixels (red), filled in")
	var panels []image.Image
	count := (v.N()-1)/pairColumns + 1
	columns := (v.N()-1)/count + 1 // as many in each panel, so that all are of one scale
	for first := 0; first < v.N(); first += columns {
		end := min(v.N(), first+columns)
		var rows [][]float32
		for _, images := range [][]float32{originals, observed, filled.Mean, filled.Draw} {
			rows = append(rows, images[first*d:end*d])
		}
		var captions []string
		for i := first; i < end; i++ {
			captions = append(captions, v.Name(i))
		}
		panels = append(panels, picture.Rows(title, []string{"original", "observed", "mean", "a draw"}, rows, v.Rows(), v.Cols(), v.Channels(), captions))
		title = ""
	}
	return picture.Stack(panels...)
}
