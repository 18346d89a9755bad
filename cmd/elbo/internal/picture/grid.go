package picture

import (
	"fmt"
	"image"
	"image/color"
	"math"

	"elbo/cmd/elbo/internal/chart"
)

// wanted is the width, in pixels, that a sheet of images comes as near to as an integer scale allows.
const wanted = 1050

// Grid lays images of rows x cols pixels, with 1 channel (grey) or 3 (red, green and blue), out on a page, `columns` of them in a row, the first at the upper left.
// Each pixel becomes a square, of the integer size that brings the picture's width nearest to 1050 pixels, and images
// are set apart by one such square, but at most by 4 pixels. Where the last row is not full, page is left.
func Grid(images []float32, rows, cols, channels, columns int) image.Image {
	return Captioned(images, rows, cols, channels, columns, nil)
}

// Captioned lays images out as Grid does, with captions[i] centred under image i, such as the weight of a component under
// its mean. A caption is one line, cut with an ellipsis where it is wider than its image. Images beyond the last caption
// have a blank under them, and captions beyond the last image are ignored. Without any caption no room is left for them.
func Captioned(images []float32, rows, cols, channels, columns int, captions []string) image.Image {
	n, err := count(images, rows, cols, channels)
	if err != nil {
		return message("%v", err)
	}
	if n == 0 || columns < 1 {
		return message("nothing to draw: %d images in %d columns", n, columns)
	}
	strip := 0 // height, in pixels, of the captions of one row
	if len(captions) > 0 {
		strip = pixels(1.5 * chart.CaptionSize)
	}
	lines := (n-1)/columns + 1
	w, h := float64(columns), float64(lines)
	scale, ok := fit(extent{images: w * float64(cols), gaps: w - 1}, extent{h * float64(rows), h - 1, h * float64(strip)})
	if !ok {
		return tooLarge(n, rows, cols, columns)
	}
	gap := gapAt(scale)
	t := tile{rows: rows, cols: cols, channels: channels, scale: scale}
	across, down := t.width()+gap, t.height()+strip+gap // from one image to the next
	sheet := newPage(columns*across-gap, lines*down-gap)
	for i := range n {
		at := image.Pt(i%columns*across, i/columns*down)
		t.draw(sheet.Image(), at, images[i*t.levels():][:t.levels()])
		if i < len(captions) {
			sheet.under(caption(captions[i]), at.X+t.width()/2, at.Y+t.height(), t.width())
		}
	}
	return sheet.Image()
}

// Pairs lays originals out as Grid does, with the reconstruction of each right under it and a wider gap between one
// pair of rows and the next. Captions at the left say which row is which. Where one slice has fewer images
// than the other, page is left in its place.
func Pairs(originals, reconstructions []float32, rows, cols, channels, columns int) image.Image {
	a, err := count(originals, rows, cols, channels)
	if err != nil {
		return message("originals: %v", err)
	}
	b, err := count(reconstructions, rows, cols, channels)
	if err != nil {
		return message("reconstructions: %v", err)
	}
	n := max(a, b)
	if n == 0 || columns < 1 {
		return message("nothing to draw: %d pairs in %d columns", n, columns)
	}
	captions := [2]string{"original", "reconstruction"}
	left := pixels(caption(captions[1]).Width()) + 20

	lines := (n-1)/columns + 1
	w, h := float64(columns), float64(lines)
	scale, ok := fit(extent{w * float64(cols), w - 1, float64(left)}, extent{images: 2 * h * float64(rows), gaps: 5*h - 4})
	if !ok {
		return tooLarge(n, 2*rows, cols, columns)
	}
	gap := gapAt(scale)
	t := tile{rows: rows, cols: cols, channels: channels, scale: scale}
	pitch := 2*t.height() + 5*gap // from one pair of rows to the next: two rows, a gap within and four between
	sheet := newPage(left+columns*(t.width()+gap)-gap, lines*pitch-4*gap)
	for row, images := range [][]float32{originals, reconstructions} {
		top := row * (t.height() + gap)
		for i := range len(images) / (rows * cols * channels) {
			at := image.Pt(left+i%columns*(t.width()+gap), i/columns*pitch+top)
			t.draw(sheet.Image(), at, images[i*t.levels():][:t.levels()])
		}
		for line := range lines {
			sheet.beside(caption(captions[row]), left-12, line*pitch+top+t.height()/2)
		}
	}
	return sheet.Image()
}

// beside writes txt so that it ends at x, across y.
func (p page) beside(txt chart.Text, x, y int) {
	txt.Anchor = 1
	p.write(txt, x, y, middle, x)
}

// under writes txt centred at x, below y, cut to a room.
func (p page) under(txt chart.Text, x, y, room int) {
	txt.Anchor = 0.5
	p.write(txt, x, y, below, room)
}

// count returns how many images of rows x cols x channels the slice holds, or why it cannot be read as images.
func count(images []float32, rows, cols, channels int) (int, error) {
	if rows < 1 || cols < 1 {
		return 0, fmt.Errorf("images of %d×%d pixels, want at least 1×1", rows, cols)
	}
	if over(float64(rows), float64(cols)) {
		return 0, fmt.Errorf("images of %d×%d pixels are too large to draw", rows, cols)
	}
	if channels != 1 && channels != 3 {
		return 0, fmt.Errorf("images of %d channels, want 1 (grey) or 3 (colour)", channels)
	}
	if rest := len(images) % (rows * cols * channels); rest != 0 {
		size := fmt.Sprintf("%d×%d", rows, cols)
		if channels > 1 {
			size += fmt.Sprintf("×%d", channels)
		}
		return 0, fmt.Errorf("%d values are not a whole number of %s images: %d left over", len(images), size, rest)
	}
	return len(images) / (rows * cols * channels), nil
}

func tooLarge(n, rows, cols, columns int) image.Image {
	return message("%d images of %d×%d pixels in %d columns are too large to draw: draw fewer", n, rows, cols, columns)
}

// extent is the width or height of a sheet: so many pixels of the images, so many gaps, and a margin in pixels of the picture.
type extent struct{ images, gaps, margin float64 }

func (e extent) at(scale int) float64 {
	return e.images*float64(scale) + e.gaps*float64(gapAt(scale)) + e.margin
}

// fit returns the integer scale that brings the width nearest to the wanted one, or the largest scale below it that keeps
// the picture within maxPixels; not ok if there is none.
func fit(width, height extent) (scale int, ok bool) {
	off := func(scale int) float64 { return math.Abs(width.at(scale) - wanted) }
	for scale = wanted; scale > 1; scale-- {
		if off(scale) <= off(scale-1) && !over(width.at(scale), height.at(scale)) {
			break
		}
	}
	return scale, !over(width.at(scale), height.at(scale))
}

// gapAt returns the gap between images at a scale: one pixel of theirs, but never more than a thin line.
func gapAt(scale int) int { return min(scale, 4) }

// tile is the form of one image on a page.
type tile struct{ rows, cols, channels, scale int }

// levels is how many numbers an image has.
func (t tile) levels() int { return t.rows * t.cols * t.channels }

func (t tile) width() int  { return t.cols * t.scale }
func (t tile) height() int { return t.rows * t.scale }

// draw puts one image on dst, its upper left corner at `at`.
func (t tile) draw(dst *image.RGBA, at image.Point, values []float32) {
	for y := range t.height() {
		row := values[y/t.scale*t.cols*t.channels:]
		for x := range t.width() {
			pixel := row[x/t.scale*t.channels:]
			c := shade(pixel[0])
			if t.channels == 3 {
				c = mix(c, shade(pixel[1]), shade(pixel[2]))
			}
			dst.SetRGBA(at.X+x, at.Y+y, c)
		}
	}
}

// shade returns the colour of a value: grey round(255 v) after clamping v to [0, 1], and red for NaN.
func shade(v float32) color.RGBA {
	if v != v {
		return color.RGBAModel.Convert(chart.Fault).(color.RGBA)
	}
	grey := uint8(math.Round(255 * float64(min(max(v, 0), 1))))
	return color.RGBA{grey, grey, grey, 255}
}

// mix takes red, green and blue from three shades; a NaN in any of them makes the whole pixel red.
func mix(r, g, b color.RGBA) color.RGBA {
	for _, c := range []color.RGBA{r, g, b} {
		if c.R != c.G {
			return c
		}
	}
	return color.RGBA{r.R, g.R, b.R, 255}
}
