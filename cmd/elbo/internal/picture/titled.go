package picture

import (
	"image"
	"image/draw"
	"strings"

	"elbo/cmd/elbo/internal/chart"
)

// Titled puts text above a sheet of images: what the images are, and of which model and data. It breaks between words
// into lines of the sheet's width; a sheet narrower than leastTitle gets a page that is wider. What does not fit on
// mostLines is cut with an ellipsis.
func Titled(sheet image.Image, title string) image.Image {
	const side = 10
	size, line := sheet.Bounds().Size(), pixels(2.2*chart.LabelSize)
	width := max(size.X, min(leastTitle, pixels(label(title).Width())+2*side))
	texts := broken(title, func(text string) bool { return pixels(label(text).Width()) <= width-2*side })
	top := line + (len(texts)-1)*line*2/3
	p := newPage(width, top+size.Y)
	draw.Draw(p.Image(), image.Rect(0, top, size.X, top+size.Y), sheet, sheet.Bounds().Min, draw.Src)
	for i, text := range texts {
		p.write(label(text), side, line/4+i*line*2/3, below, width-2*side)
	}
	return p.Image()
}

// The least width of a page with a title that fills it, in pixels, and the most lines of one.
const (
	leastTitle = 700
	mostLines  = 3
)

// broken breaks a text between words into lines that fit, the last of mostLines perhaps not.
func broken(text string, fits func(string) bool) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		longer := strings.TrimSpace(line + " " + word)
		if line != "" && !fits(longer) && len(lines) < mostLines-1 {
			lines, longer = append(lines, line), word
		}
		line = longer
	}
	return append(lines, line)
}
