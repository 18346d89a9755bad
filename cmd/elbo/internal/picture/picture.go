// Package picture draws sheets of images, as PNG: samples, pairs of originals and reconstructions, the decoded plane
// of a two-dimensional latent space. What has axes is a matter of package chart.
//
// Every function is pure: it takes plain slices and returns an image. It reads no file, no clock and no
// random source, so the same slices give the same pixels. The one way out is [Encode].
//
// Images are float32 slices, image after image and row after row, of length images x rows x cols x channels: in colour, the
// red, green and blue of a pixel are neighbours. A value v in [0, 1] is drawn as the grey level round(255 v): 0 is black and 1 is white. Values outside [0, 1] are
// clamped, and NaN is drawn in red. Where slices cannot be laid out at all, the picture is a short text
// that says why: a picture is the last thing a run writes, and must not be what makes it fail.
//
// Pictures are meant to be shown at half their size in pixels (192 dots per inch).
package picture

import (
	"errors"
	"fmt"
	"image"
	"image/draw"
	"image/png"
	"io"
	"math"

	"elbo/cmd/elbo/internal/chart"
)

const (
	// messageWidth is the width, in pixels, of a picture that only says something.
	messageWidth = 1200

	// maxPixels bounds the pixels of a picture to 256 MiB. It is seven times what the 10 000 test images of MNIST
	// take at scale 1, so a larger request is a slip.
	maxPixels = 1 << 26
)

// Encode writes img to w as a PNG. It fails where img is nil or has no pixels, and where w fails.
func Encode(w io.Writer, img image.Image) error {
	if img == nil {
		return errors.New("picture: encode: no image")
	}
	if b := img.Bounds(); b.Empty() {
		return fmt.Errorf("picture: encode: image of %d×%d pixels, want at least 1×1", b.Dx(), b.Dy())
	}
	if err := png.Encode(w, img); err != nil {
		return fmt.Errorf("picture: encode: %w", err)
	}
	return nil
}

// Stack puts panels under one another, the first on top, aligned at the left; what a narrow panel leaves
// free is page. Panels that are nil are left out. Without any panel the result is one pixel of page.
func Stack(panels ...image.Image) image.Image {
	width, height := 1, 0
	for _, p := range panels {
		if p != nil {
			width = max(width, p.Bounds().Dx())
			height += p.Bounds().Dy()
		}
	}
	sheet := blank(width, max(height, 1))
	y := 0
	for _, p := range panels {
		if p == nil {
			continue
		}
		b := p.Bounds()
		draw.Draw(sheet, image.Rect(0, y, b.Dx(), y+b.Dy()), p, b.Min, draw.Over)
		y += b.Dy()
	}
	return sheet
}

// blank returns a page of width x height pixels.
func blank(width, height int) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	draw.Draw(img, img.Bounds(), image.NewUniform(chart.Paper), image.Point{}, draw.Src)
	return img
}

// message returns a picture that holds one line of text.
func message(format string, args ...any) image.Image {
	const margin = 24
	p := newPage(messageWidth, 80)
	p.write(label(fmt.Sprintf(format, args...)), margin, margin, below, messageWidth-2*margin)
	return p.Image()
}

// page is a sheet of paper, whose places are pixels from the upper left corner.
type page struct{ chart.Raster }

func newPage(width, height int) page { return page{chart.NewRaster(width, height)} }

func label(txt string) chart.Text   { return textOf(txt, chart.LabelSize) }
func caption(txt string) chart.Text { return textOf(txt, chart.CaptionSize) }

func textOf(txt string, size float64) chart.Text {
	return chart.Text{Value: txt, Size: size, Ink: chart.Soft}
}

// Where a text is, by the height of its base line under a place, in sizes of it.
const (
	below  = 0.9  // under the place
	middle = 0.36 // across it
)

// write writes txt, cut to a room in pixels.
func (p page) write(txt chart.Text, x, y int, base float64, room int) {
	txt = txt.Shortened(float64(room) / chart.Dots)
	txt.At = chart.At(float64(x)/chart.Dots, float64(y)/chart.Dots+base*txt.Size)
	p.Draw(txt)
}

// pixels turns a length into pixels, rounding up.
func pixels(length float64) int { return int(math.Ceil(chart.Dots * length)) }

// over reports whether a picture of width x height pixels exceeds maxPixels. It takes float64, in which the
// product of any two int has a sign one can trust.
func over(width, height float64) bool { return width*height > maxPixels }
