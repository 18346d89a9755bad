package main

import (
	"fmt"
	"image"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"elbo/cmd/elbo/internal/picture"
	"elbo/train"
)

type decodeOptions struct {
	run, checkpoint, data string
	codes                 string // a file, or - for standard input
	out                   string
}

func newDecodeCmd(p *program) *cobra.Command {
	var o decodeOptions
	cmd := &cobra.Command{
		Use:   "decode RUN|CHECKPOINT CODES",
		Short: "Images of codes, from .csv, .npy or .npz",
		Long: `Decode codes to the means E[x|z] of their images. CODES is a file that elbo encode
wrote, or one of your own: .npy with N x Z numbers, .npz with them as the array mean, or
.csv with the columns mu_1..mu_Z; - reads CSV from standard input. For a mixture a code
is the probability of each state: N x K numbers, the array table, the columns p_0..p_K-1.

--out DIR writes one PNG for each image, under its name; x.png a sheet of all, x.npy the
numbers, float32, N x D. From a VAE's codes and a mixture's tables come the images of
elbo reconstruct. A grid's codes are decoded as points of its latent space, where
elbo reconstruct takes the mean over its states.`,
		Example: "  elbo decode runs/vae-001 codes.csv --out decoded\n  elbo encode runs/vae-001 --limit 50 --out codes.npy && elbo decode runs/vae-001 codes.npy --out decoded.png",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usagef("decode takes two arguments, got %d: %s", len(args), cmd.UseLine())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			o.run, o.codes = args[0], args[1]
			return runDecode(cmd, p, o)
		},
	}
	cmd.Flags().StringVar(&o.out, "out", "", "directory for one PNG an image, or file to write, .png or .npy")
	addModelFlags(cmd, &o.checkpoint, &o.data)
	return cmd
}

func runDecode(cmd *cobra.Command, p *program, o decodeOptions) error {
	if o.out == "" {
		return usagef("decode needs a place to write to: --out DIR, x.png or x.npy")
	}
	folder := o.isFolder()
	if !folder {
		if _, err := outFile(o.out, ".png", ".npy"); err != nil {
			return usagef("%w, or of a directory", err)
		}
	}
	t, err := p.openTrained(o.run, o.checkpoint, o.data)
	if err != nil {
		return err
	}
	codes, err := t.ReadCodes(o.codes, cmd.InOrStdin())
	if err != nil {
		return err
	}
	images, err := t.DecodeCodes(codes)
	if err != nil {
		return err
	}
	if folder {
		return p.writeFolder(t, o.out, codes, images)
	}
	return p.wrote(o.out, writeImages(o.out, images, t.Dataset.D(), func() image.Image {
		return picture.Titled(picture.Grid(images, t.Dataset.Rows(), t.Dataset.Cols(), t.Dataset.Channels(), gridColumns), titleOf(t.Setup, "means E[x|z] of codes from "+filepath.Base(o.codes)))
	}))
}

// isFolder says whether --out names a directory: one that is there, or a name without an
// ending.
func (o decodeOptions) isFolder() bool {
	info, err := os.Stat(o.out)
	return err == nil && info.IsDir() || filepath.Ext(o.out) == "" || os.IsPathSeparator(o.out[len(o.out)-1])
}

// writeFolder writes each image as a PNG of its own, pixel by pixel.
func (p *program) writeFolder(t *trained, dir string, codes *train.CodeFile, images []float32) error {
	d := t.Dataset.D()
	names, err := pictureNames(codes.Images)
	if err != nil {
		return err
	}
	for i, name := range names {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
			return usagef("%s: cannot make the directory: %w: choose another --out", filepath.Dir(file), err)
		}
		if err := writePicture(file, picture.Plain(images[i*d:][:d], t.Dataset.Rows(), t.Dataset.Cols(), t.Dataset.Channels())); err != nil {
			return err
		}
	}
	fmt.Fprintf(p.stdout, "%s: %d images\n", dir, len(names))
	return nil
}

// pictureNames are the names of PNG files for images of these names, which stay below their
// directory: numbers are padded, so that they sort, and other endings give way to .png. The
// name of one file is that of no other.
func pictureNames(images []string) ([]string, error) {
	digits := 1
	for _, name := range images {
		if _, err := strconv.ParseUint(name, 10, 63); err == nil {
			digits = max(digits, len(name))
		}
	}
	taken := map[string]string{}
	var names []string
	for _, image := range images {
		name := strings.TrimSuffix(image, path.Ext(image))
		if n, err := strconv.ParseUint(image, 10, 63); err == nil {
			name = fmt.Sprintf("%0*d", digits, n)
		}
		name += ".png"
		if !filepath.IsLocal(filepath.FromSlash(name)) || name == ".png" {
			return nil, usagef("the image is called %.60q, which is no name for a file below --out: give it another one in the column image", image)
		}
		if other, is := taken[name]; is {
			return nil, usagef("the images %.60q and %.60q would both be %s: give them different names in the column image, or write one file, --out x.npy", other, image, name)
		}
		taken[name] = image
		names = append(names, name)
	}
	return names, nil
}
