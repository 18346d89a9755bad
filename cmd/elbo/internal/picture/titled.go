package picture

import (
	"image"
	"image/draw"

	"elbo/cmd/elbo/internal/chart"
)

// Titled puts a line of text above a sheet of images: what the images are, and of which model and data. A text that is
// wider than the sheet has smaller letters, as far as they can be read; the page is as wide as both, but for a text wider
// than widestTitle, which is cut with an ellipsis.
func Titled(sheet image.Image, title string) image.Image {
	size, top := sheet.Bounds().Size(), pixels(2.2*chart.LabelSize)
	text := within(label(title), size.X)
	width := max(size.X, min(widestTitle, pixels(text.Width())+2*side))
	p := newPage(width, top+size.Y)
	draw.Draw(p.Image(), image.Rect(0, top, size.X, top+size.Y), sheet, sheet.Bounds().Min, draw.Src)
	p.write(text, side, top/4, below, width-2*side)
	return p.Image()
}

// side is what is left free at both ends of a title, in pixels.
const side = 10

// within makes a text smaller where it is wider than a page, by three tenths at most.
func within(text chart.Text, width int) chart.Text {
	if wide := pixels(text.Width()); wide > width-2*side {
		text.Size *= max(0.7, float64(width-2*side)/float64(wide))
	}
	return text
}

// widestTitle bounds what a title adds to the width of a page, in pixels.
const widestTitle = 1400
