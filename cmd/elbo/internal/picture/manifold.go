package picture

import (
	"image"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	vgdraw "gonum.org/v1/plot/vg/draw"
)

// ManifoldCodes returns the n x n codes whose decoded images [Manifold] draws, as [n*n, 2] in row-major order, (z1, z2)
// after (z1, z2). They are evenly spaced from lo to hi along both axes and run as one reads a page:
//
//	z1 = lo + column (hi - lo)/(n - 1)    z2 = hi - row (hi - lo)/(n - 1)
//
// so that the first code is (lo, hi), at the upper left, and z2 rises from bottom to top as on any plot. For n = 1 the only
// code is the midpoint; for n < 1 there is none.
func ManifoldCodes(n int, lo, hi float64) []float32 {
	if n < 1 {
		return nil
	}
	codes := make([]float32, 0, 2*n*n)
	for row := range n {
		for column := range n {
			codes = append(codes, float32(between(lo, hi, column, n)), float32(between(lo, hi, n-1-row, n)))
		}
	}
	return codes
}

// between returns the i-th of n evenly spaced values from lo to hi.
func between(lo, hi float64, i, n int) float64 {
	if n == 1 {
		return lo/2 + hi/2
	}
	f := float64(i) / float64(n-1)
	return (1-f)*lo + f*hi
}

// Manifold lays the n x n images decoded from [ManifoldCodes] out without gaps, in the order of the codes, with the values of
// z1 (left to right) under them and those of z2 (bottom to top) at their left. A value stands at the centre of the images it
// belongs to. Axes whose ends are not finite, or equal, carry no values.
func Manifold(images []float32, rows, cols, n int, lo, hi float64) image.Image {
	have, err := count(images, rows, cols)
	if err != nil {
		return message("%v", err)
	}
	if n < 1 || float64(have) != float64(n)*float64(n) {
		return message("%d images, want %d×%d", have, n, n)
	}
	m := newMarginal(n, lo, hi)
	margins := m.margins()
	scale, ok := fit(
		extent{images: float64(n) * float64(cols), margin: float64(margins.X)},
		extent{images: float64(n) * float64(rows), margin: float64(margins.Y)})
	if !ok {
		return tooLarge(have, rows, cols, n)
	}
	t := tile{rows: rows, cols: cols, scale: scale}
	size := image.Pt(n*t.width(), n*t.height()).Add(margins)
	c := newCanvas(size.X, size.Y)
	sheet := c.image().(*image.RGBA)
	for i := range have {
		at := image.Pt(m.left+i%n*t.width(), m.top+i/n*t.height())
		t.draw(sheet, at, images[i*rows*cols:][:rows*cols])
	}
	m.draw(c, t)
	return sheet
}

// marginal is what stands around the images of a manifold: the ticks of both axes, and the room for them in pixels.
type marginal struct {
	n                        int
	lo, hi                   float64
	marks                    plot.ConstantTicks
	left, right, top, bottom int
}

func newMarginal(n int, lo, hi float64) marginal {
	m := marginal{n: n, lo: lo, hi: hi}
	style := labelStyle()
	if n > 1 && drawable(lo) && drawable(hi) && lo != hi {
		m.marks = ticks(span{min(lo, hi), max(lo, hi)}, 7, false)
	}
	line := pixels(1.5 * style.Font.Size)
	m.left = pixels(widest(style, m.marks)) + line + 2*tickLength
	m.bottom = 2*line + 2*tickLength
	m.top, m.right = line/2, line
	return m
}

func (m marginal) margins() image.Point { return image.Pt(m.left+m.right, m.top+m.bottom) }

// tickLength is the length of a tick, and the space between it and its value, in pixels.
const tickLength = 8

// draw draws the ticks, their values and the names of the axes. c's size is that of the picture.
func (m marginal) draw(c canvas, t tile) {
	style, line := labelStyle(), vgdraw.LineStyle{Color: rule, Width: vg.Points(0.5)}
	at := func(x, y float64) vg.Point { // from pixels below the upper left corner
		return vg.Point{X: vg.Length(x) * px(1), Y: c.Max.Y - vg.Length(y)*px(1)}
	}
	left, foot := float64(m.left), float64(m.top+m.n*t.height())
	for _, mark := range m.marks {
		f := (mark.Value - m.lo) / (m.hi - m.lo) * float64(m.n-1)
		x := left + (f+0.5)*float64(t.width())
		y := foot - (f+0.5)*float64(t.height())
		c.StrokeLines(line, []vg.Point{at(x, foot), at(x, foot+tickLength)}, []vg.Point{at(left, y), at(left-tickLength, y)})
		c.centred(style, at(x, foot+2*tickLength), mark.Label)
		c.caption(style, mark.Label, m.left-2*tickLength, int(math.Round(y)))
	}
	middle := float64(m.n) / 2
	c.centred(style, at(left+middle*float64(t.width()), foot+float64(m.bottom)/2+tickLength), "z₁")
	style.Rotation = math.Pi / 2
	c.centred(style, at(4, foot-middle*float64(t.height())), "z₂")
}

// centred writes txt under pt, or to the right of it if the style is rotated by a quarter turn.
func (c canvas) centred(style text.Style, pt vg.Point, txt string) {
	style.XAlign, style.YAlign = vgdraw.XCenter, vgdraw.YTop
	c.FillText(style, pt, txt)
}
