package chart

import (
	"image"
	"math"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/vgimg"
)

// PNG draws the sheet, two pixels for each of CSS. It fails where a layer's slices differ in length.
func (s Sheet) PNG() (image.Image, error) {
	shapes, width, height, err := s.shapes()
	if err != nil {
		return nil, err
	}
	r := NewRaster(int(math.Ceil(Dots*width)), int(math.Ceil(Dots*height)))
	r.Draw(shapes...)
	return r.Image(), nil
}

// Dots is the number of a raster's pixels to one of CSS.
const Dots = 2

const unit = vg.Inch / 96 // a CSS pixel

// Raster is a page of pixels.
type Raster struct {
	pen
	pixels *vgimg.Canvas
}

// NewRaster returns a page of so many pixels.
func NewRaster(width, height int) Raster {
	length := func(n int) vg.Length { return vg.Length(n) * unit / Dots }
	canvas := vgimg.NewWith(vgimg.UseWH(length(width), length(height)), vgimg.UseDPI(96*Dots), vgimg.UseBackgroundColor(Paper.light()))
	return Raster{pen{canvas, length(height)}, canvas}
}

// Image returns what was drawn. It shares its pixels with the raster.
func (r Raster) Image() *image.RGBA { return r.pixels.Image().(*image.RGBA) }
