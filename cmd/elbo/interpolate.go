package main

import (
	"context"
	"fmt"
	"image"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"elbo/cmd/elbo/internal/picture"
	"elbo/data"
	"elbo/train"
)

// interpolateFile is what elbo interpolate writes in the run directory, unless told otherwise.
const interpolateFile = "interpolation.png"

type interpolateOptions struct {
	run, checkpoint, data string
	split                 string
	from, to              string // numbers in the split, or names
	steps                 int
	path                  string
	out                   string
}

func newInterpolateCmd(p *program) *cobra.Command {
	var o interpolateOptions
	cmd := &cobra.Command{
		Use:   "interpolate RUN|CHECKPOINT",
		Short: "What the decoder makes of the way between two images",
		Long: `Encode two images, go from the code of one to that of the other in even steps, and
decode each. The linear path is a straight line; the spherical one turns from one
direction to the other and keeps to the lengths of the codes, as draws of N(0, I) in many
dimensions lie near a sphere.

A .png shows the decoded images between the two that they come from; a .npy has the
decoded images alone, float32, steps x D.`,
		Example: "  elbo interpolate runs/vae-001 --from 3 --to 17 --steps 10 --out between.png\n  elbo interpolate runs/vae-001 --from 3 --to 17 --path spherical --out between.npy",
		Args:    oneRun,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.run = args[0]
			return runInterpolate(cmd.Context(), p, o)
		},
	}
	cmd.Flags().StringVar(&o.from, "from", "", "image at one end: its number in the split, from 0, or its name")
	cmd.Flags().StringVar(&o.to, "to", "", "image at the other end")
	cmd.Flags().IntVar(&o.steps, "steps", 10, "images, both ends among them")
	cmd.Flags().StringVar(&o.path, "path", string(train.Linear), "linear or spherical")
	cmd.Flags().StringVar(&o.split, "split", "", "images to choose from: "+splitUsage)
	cmd.Flags().StringVar(&o.out, "out", "", "file to write, .png or .npy (default: RUN/"+interpolateFile+")")
	addModelFlags(cmd, &o.checkpoint, &o.data)
	_ = cmd.RegisterFlagCompletionFunc("path", cobra.FixedCompletions([]cobra.Completion{string(train.Linear), string(train.Spherical)}, cobra.ShellCompDirectiveNoFileComp)) // fails for a flag that is not there
	return cmd
}

func runInterpolate(ctx context.Context, p *program, o interpolateOptions) error {
	if o.from == "" || o.to == "" {
		return usagef("interpolate needs two images: --from 3 --to 17")
	}
	var err error
	if o.out, err = outFileOf(o.run, o.out, interpolateFile, "picture", ".png", ".npy"); err != nil {
		return err
	}
	if o.steps < 2 || o.steps > mostImages {
		return usagef("steps is %d, want 2, which are both ends, to %d", o.steps, mostImages)
	}
	if !slices.Contains(train.Paths, train.Path(o.path)) {
		return usagef("path is %q, want linear or spherical", o.path)
	}
	t, err := p.openTrained(o.run, o.checkpoint, o.data)
	if err != nil {
		return err
	}
	if err := t.needsCodes("interpolate", o.run); err != nil {
		return err
	}
	o.split = t.chosenSplit(o.split)
	v, err := t.view(o.split, 0)
	if err != nil {
		return err
	}
	var ends [2]int
	for i, image := range []string{o.from, o.to} {
		if ends[i], err = imageOf(v, o.split, []string{"--from", "--to"}[i], image); err != nil {
			return err
		}
	}
	if ends[0] == ends[1] {
		return usagef("--from and --to are both image %s: choose two different images", o.from)
	}
	v.Subset = v.First(max(ends[0], ends[1]) + 1)
	codes, err := t.Encode(ctx, v)
	if err != nil {
		return err
	}
	code := func(i int) []float32 { return codes.Mean[i*codes.Latent:][:codes.Latent] }
	z, err := train.Between(code(ends[0]), code(ends[1]), o.steps, train.Path(o.path))
	if err != nil {
		return err
	}
	images, err := t.Decode(z)
	if err != nil {
		return err
	}
	return p.wrote(o.out, writeImages(o.out, images, v.D(), func() image.Image {
		return drawWay(t, v, ends, images, o)
	}))
}

// needsCodes fails for a model without a latent space.
func (t *trained) needsCodes(command, path string) error {
	if _, ok := t.Model.(train.Latent); !ok {
		return usagef("%s goes through a latent space, and %s is a %s, which has none: its states are components, not points; want a vae or a grid", command, path, t.Config.Model)
	}
	return nil
}

// imageOf finds an image of a split by its number there, from 0, or else by its name.
func imageOf(v data.View, split, flag, image string) (int, error) {
	if i, err := strconv.Atoi(image); err == nil {
		if i < 0 || i >= v.N() {
			return 0, usagef("%s is %d, but there are %d %s images: want 0 to %d", flag, i, v.N(), split, v.N()-1)
		}
		return i, nil
	}
	for i := range v.N() {
		if v.Name(i) == image {
			return i, nil
		}
	}
	return 0, usagef("%s: no image of the %s images is called %.60q: want a name as `elbo encode` writes it, or a number from 0 to %d", flag, split, image, v.N()-1)
}

// drawWay shows the decoded images between the two that they come from.
func drawWay(t *trained, v data.View, ends [2]int, images []float32, o interpolateOptions) image.Image {
	d := v.D()
	row := make([]float32, d, len(images)+2*d)
	v.Evaluated(row, ends[0])
	row = append(row, images...)
	row = append(row, make([]float32, d)...)
	v.Evaluated(row[len(row)-d:], ends[1])
	captions, names := []string{"image"}, make([]string, len(row)/d)
	for i := range o.steps {
		captions = append(captions, strconv.FormatFloat(float64(i)/float64(o.steps-1), 'g', 2, 64))
	}
	captions = append(captions, "image")
	names[0], names[len(names)-1] = v.Name(ends[0]), v.Name(ends[1])
	title := titleOf(t.Setup, fmt.Sprintf("%s way from the code of image %s to that of image %s", o.path, v.Name(ends[0]), v.Name(ends[1])))
	return picture.Rows(title, []string{""}, [][]float32{row}, v.Rows(), v.Cols(), v.Channels(), captions, names)
}
