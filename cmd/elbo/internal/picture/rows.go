package picture

import (
	"image"

	"elbo/cmd/elbo/internal/chart"
)

// Rows lays rows of images out under a title, the i-th images of all rows under one another, with the name of each row
// at its left and captions[i], where there is one, under column i: what several ways of seeing make of the same images.
func Rows(title string, names []string, images [][]float32, rows, cols int, captions []string) image.Image {
	columns := 0
	for i, row := range images {
		n, err := count(row, rows, cols)
		if err != nil {
			return message("%s, row %d: %v", title, i+1, err)
		}
		columns = max(columns, n)
	}
	if columns == 0 || len(names) != len(images) {
		return message("nothing to draw: %d images in %d rows with %d names", columns, len(images), len(names))
	}
	left, top, foot := 0, pixels(2.2*chart.LabelSize), pixels(2*chart.CaptionSize)
	for _, name := range names {
		left = max(left, pixels(caption(name).Width())+20)
	}
	w, h := float64(columns), float64(len(images))
	// As many columns as a full row has, so that a short row is not blown up.
	scale, ok := fit(extent{max(w, 10) * float64(cols), max(w, 10) - 1, float64(left)}, extent{h * float64(rows), h - 1, float64(top + foot)})
	if !ok {
		return tooLarge(columns*len(images), rows, cols, columns)
	}
	gap := gapAt(scale)
	t := tile{rows: rows, cols: cols, scale: scale}
	across, down := t.width()+gap, t.height()+gap
	width := max(left+columns*across-gap, pixels(label(title).Width())+40)
	sheet := newPage(width, top+len(images)*down-gap+foot)
	sheet.write(label(title), 10, top/4, below, width-20)
	for row, line := range images {
		for i := range len(line) / (rows * cols) {
			t.draw(sheet.Image(), image.Pt(left+i*across, top+row*down), line[i*rows*cols:][:rows*cols])
		}
		sheet.beside(caption(names[row]), left-12, top+row*down+t.height()/2)
	}
	for i := range min(len(captions), columns) {
		sheet.under(caption(captions[i]), left+i*across+t.width()/2, top+len(images)*down-gap, across)
	}
	return sheet.Image()
}
