package picture

import (
	"image"

	"elbo/cmd/elbo/internal/chart"
)

// Rows lays rows of images out under a title, the i-th images of all rows under one another, with the name of each row
// at its left and lines of captions, of each the i-th, where there is one, under column i: what several ways of seeing
// make of the same images.
func Rows(title string, names []string, images [][]float32, rows, cols, channels int, captions ...[]string) image.Image {
	columns := 0
	for i, row := range images {
		n, err := count(row, rows, cols, channels)
		if err != nil {
			return message("%s, row %d: %v", title, i+1, err)
		}
		columns = max(columns, n)
	}
	if columns == 0 || len(names) != len(images) {
		return message("nothing to draw: %d images in %d rows with %d names", columns, len(images), len(names))
	}
	const right = 20
	strip := pixels(1.3 * chart.CaptionSize) // height of a line of captions
	left, top, foot := 0, pixels(2.2*chart.LabelSize), max(1, len(captions))*strip+pixels(chart.CaptionSize)
	for _, name := range names {
		left = max(left, pixels(caption(name).Width())+20)
	}
	w, h := float64(columns), float64(len(images))
	// As many columns as a full row has, so that a short row is not blown up.
	scale, ok := fit(extent{max(w, 10) * float64(cols), max(w, 10) - 1, float64(left + right)}, extent{h * float64(rows), h - 1, float64(top + foot)})
	if !ok {
		return tooLarge(columns*len(images), rows, cols, columns)
	}
	gap := gapAt(scale)
	t := tile{rows: rows, cols: cols, channels: channels, scale: scale}
	across, down := t.width()+gap, t.height()+gap
	width := left + columns*across - gap + right
	text := within(label(title), width)
	width = max(width, pixels(text.Width())+2*side)
	sheet := newPage(width, top+len(images)*down-gap+foot)
	sheet.write(text, side, top/4, below, width-2*side)
	for row, line := range images {
		for i := range len(line) / (rows * cols * channels) {
			t.draw(sheet.Image(), image.Pt(left+i*across, top+row*down), line[i*t.levels():][:t.levels()])
		}
		sheet.beside(caption(names[row]), left-12, top+row*down+t.height()/2)
	}
	for n, line := range captions {
		for i := range min(len(line), columns) {
			sheet.under(caption(line[i]), left+i*across+t.width()/2, top+len(images)*down-gap+n*strip, across)
		}
	}
	return sheet.Image()
}

// Heading is one line of text, to stand above sheets.
func Heading(text string) image.Image {
	h := label(text)
	h.Size, h.Bold, h.Ink = chart.TitleSize, true, chart.Black
	p := newPage(max(1, pixels(h.Width()))+20, pixels(1.9*chart.TitleSize))
	p.write(h, 10, pixels(0.5*chart.TitleSize), below, pixels(h.Width()))
	return p.Image()
}
