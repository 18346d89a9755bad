// Package picture draws the PNG pictures of a run directory: sheets of images, pairs of originals and
// reconstructions, the decoded plane of a two-dimensional latent space, the latent codes, and the curves
// of a training run.
//
// Every function is pure: it takes plain slices and returns an image. It reads no file, no clock and no
// random source, so the same slices give the same pixels. The one way out is [Encode].
//
// Images are float32 slices, image after image and row after row, of length images x rows x cols. A value
// v in [0, 1] is drawn as the grey level round(255 v): 0 is black and 1 is white. Values outside [0, 1] are
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

	"gonum.org/v1/plot/vg"
	vgdraw "gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
)

const (
	// dpi is the resolution of text and lines: twice the 96 of a screen.
	dpi = 192

	// panelWidth is the width, in pixels, of every picture that has axes.
	panelWidth = 1200

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
	draw.Draw(img, img.Bounds(), image.NewUniform(page), image.Point{}, draw.Src)
	return img
}

// message returns a picture that holds one line of text.
func message(format string, args ...any) image.Image {
	c := newCanvas(panelWidth, 80)
	txt := shorten(labelStyle(), fmt.Sprintf(format, args...), px(panelWidth)-2*margin)
	c.line(labelStyle(), margin, c.Max.Y-margin, txt)
	return c.image()
}

// canvas is a page to draw on in vg's units, whose origin is the lower left corner.
type canvas struct {
	vgdraw.Canvas
	raster *vgimg.Canvas
}

func newCanvas(width, height int) canvas {
	raster := vgimg.NewWith(vgimg.UseWH(px(width), px(height)), vgimg.UseDPI(dpi), vgimg.UseBackgroundColor(page))
	return canvas{Canvas: vgdraw.New(raster), raster: raster}
}

// image returns what was drawn. It shares its pixels with the canvas.
func (c canvas) image() draw.Image { return c.raster.Image() }

// px turns pixels into vg's unit of length, and pixels turns it back, rounding up.
func px(n int) vg.Length     { return vg.Length(n) * vg.Inch / dpi }
func pixels(l vg.Length) int { return int(math.Ceil(float64(l / vg.Inch * dpi))) }

// over reports whether a picture of width x height pixels exceeds maxPixels. It takes float64, in which the
// product of any two int has a sign one can trust.
func over(width, height float64) bool { return width*height > maxPixels }
