package picture

import (
	"image"
	"image/draw"

	"elbo/cmd/elbo/internal/chart"
)

// Titled puts a line of text above a sheet of images: what the images are, and of which model and data. The page is as
// wide as both, but for a text wider than widestTitle, which is cut with an ellipsis.
func Titled(sheet image.Image, title string) image.Image {
	const side = 10
	size, top := sheet.Bounds().Size(), pixels(2.2*chart.LabelSize)
	width := max(size.X, min(widestTitle, pixels(label(title).Width())+2*side))
	p := newPage(width, top+size.Y)
	draw.Draw(p.Image(), image.Rect(0, top, size.X, top+size.Y), sheet, sheet.Bounds().Min, draw.Src)
	p.write(label(title), side, top/4, below, width-2*side)
	return p.Image()
}

// widestTitle bounds what a title adds to the width of a page, in pixels.
const widestTitle = 1400
