package picture

import (
	"image"
	"image/draw"

	"elbo/cmd/elbo/internal/chart"
)

// Titled puts a line of text above a sheet of images, cut with an ellipsis where it is wider: what the images are, and
// of which model and data.
func Titled(sheet image.Image, title string) image.Image {
	const side = 10
	size, top := sheet.Bounds().Size(), pixels(2.2*chart.LabelSize)
	p := newPage(size.X, top+size.Y)
	draw.Draw(p.Image(), image.Rect(0, top, size.X, top+size.Y), sheet, sheet.Bounds().Min, draw.Src)
	p.write(label(title), side, top/4, below, size.X-2*side)
	return p.Image()
}
