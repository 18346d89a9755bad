package main

import (
	"context"
	"fmt"
	"image"
	"math"
	"strconv"

	"github.com/spf13/cobra"

	"elbo/cmd/elbo/internal/picture"
	"elbo/train"
)

// traverseFile is what elbo traverse writes in the run directory, unless told otherwise.
const traverseFile = "traverse.png"

type traverseOptions struct {
	run, checkpoint, data string
	split                 string
	dimensions            int
	image                 string // "": the prior's mean
	steps                 int
	reach                 float64
	out                   string // "": in the run directory
}

func newTraverseCmd(p *program) *cobra.Command {
	var o traverseOptions
	cmd := &cobra.Command{
		Use:   "traverse RUN|CHECKPOINT",
		Short: "What each latent dimension does to an image",
		Long: `Take one latent dimension after the other from -REACH to REACH, in standard deviations
of the prior about its mean, leave the others as they are, and decode: a sheet with a row for
each dimension. They are sorted by KL(q(z|x) ‖ p(z)), mean over the images of the split,
which is how much a dimension tells of an image; where it is near 0 nothing changes along
the row. The other dimensions are the prior's mean, 0 for N(0, I), or with --image those of the code of that image. A
grid is left no further than at its outermost points.

A .npy has the decoded images row by row, float32, (dims · steps) x D.`,
		Example: "  elbo traverse runs/vae-001\n  elbo traverse runs/vae-001 --dims 5 --image 3 --steps 11 --out rows.png",
		Args:    oneRun,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.run = args[0]
			return runTraverse(cmd.Context(), p, o)
		},
	}
	cmd.Flags().IntVar(&o.dimensions, "dims", 20, "dimensions to show, those of the largest KL")
	cmd.Flags().StringVar(&o.image, "image", "", "begin with the code of this image of the split, by its number from 0 or its name (default: the prior's mean)")
	cmd.Flags().IntVar(&o.steps, "steps", 9, "images in a row")
	cmd.Flags().Float64Var(&o.reach, "reach", 3, "how far to go, in standard deviations of the prior")
	cmd.Flags().StringVar(&o.split, "split", "", "images over which KL is taken: "+splitUsage)
	cmd.Flags().StringVar(&o.out, "out", "", "file to write, .png or .npy (default: RUN/"+traverseFile+")")
	addModelFlags(cmd, &o.checkpoint, &o.data)
	return cmd
}

func runTraverse(ctx context.Context, p *program, o traverseOptions) error {
	if o.dimensions < 1 {
		return usagef("dims is %d, want at least 1", o.dimensions)
	}
	if o.steps < 2 || o.steps > mostImages {
		return usagef("steps is %d, want 2 to %d", o.steps, mostImages)
	}
	if !(o.reach > 0) || math.IsInf(o.reach, 0) {
		return usagef("reach is %g, want a positive number of standard deviations", o.reach)
	}
	var err error
	if o.out, err = outFileOf(o.run, o.out, traverseFile, "picture", ".png", ".npy"); err != nil {
		return err
	}
	t, err := p.openTrained(o.run, o.checkpoint, o.data)
	if err != nil {
		return err
	}
	if err := t.needsCodes("traverse", o.run); err != nil {
		return err
	}
	o.split = t.chosenSplit(o.split)
	v, err := t.view(o.split, 0)
	if err != nil {
		return err
	}
	joint, err := t.Joint()
	if err != nil {
		return err
	}
	mean, _, err := train.PriorScale(joint)
	if err != nil {
		return err
	}
	from, others := make([]float32, joint.Latent), "0"
	for j, m := range mean {
		if from[j] = float32(m); m != 0 {
			others = "at the prior's mean"
		}
	}
	if o.image != "" {
		i, err := imageOf(v, o.split, "--image", o.image)
		if err != nil {
			return err
		}
		first := v
		first.Subset = v.First(i + 1)
		codes, err := t.Encode(ctx, first)
		if err != nil {
			return err
		}
		from, others = codes.Mean[i*codes.Latent:][:codes.Latent], "those of image "+v.Name(i)
	}
	rows, err := t.Traverse(ctx, v, from, o.dimensions, o.steps, o.reach)
	if err != nil {
		return err
	}
	var images []float32
	for _, row := range rows {
		images = append(images, row.Images...)
	}
	return p.wrote(o.out, writeImages(o.out, images, v.D(), func() image.Image {
		return drawTraversals(titleOf(t.Setup, "one dimension of z at a time, the others "+others), rows, v.Rows(), v.Cols(), v.Channels())
	}))
}

// drawTraversals draws a row for each dimension. What z is in a column is written under it;
// where dimensions reach differently far, as a grid's may, in the names of the rows.
func drawTraversals(title string, rows []train.Traversal, height, width, channels int) image.Image {
	number := func(x float64) string { return strconv.FormatFloat(math.Round(100*x)/100, 'f', -1, 64) }
	var names []string
	var images [][]float32
	var captions []string
	alike := true
	for _, row := range rows {
		last := len(row.At) - 1
		alike = alike && row.At[0] == rows[0].At[0] && row.At[last] == rows[0].At[last]
		images = append(images, row.Images)
	}
	for _, row := range rows {
		name := fmt.Sprintf("z%d, KL %.2f nats", row.Dimension+1, row.KL)
		if math.IsNaN(row.KL) {
			name = fmt.Sprintf("z%d", row.Dimension+1)
		}
		if !alike {
			name += fmt.Sprintf(", %s to %s", number(row.At[0]), number(row.At[len(row.At)-1]))
		}
		names = append(names, name)
	}
	if alike {
		for _, at := range rows[0].At {
			captions = append(captions, number(at))
		}
	}
	return picture.Rows(title, names, images, height, width, channels, captions)
}
