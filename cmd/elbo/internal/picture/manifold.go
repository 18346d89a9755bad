package picture

import (
	"image"
	"math"

	"elbo/cmd/elbo/internal/chart"
)

// ManifoldCodes returns the n x n codes whose decoded images [Manifold] draws, as [n*n, 2] in row-major order, (z1, z2)
// after (z1, z2). They are evenly spaced over a span of either axis and run as one reads a page:
//
//	z1 = Lo + column (Hi - Lo)/(n - 1)    z2 = Hi - row (Hi - Lo)/(n - 1)
//
// so that the first code is at the upper left, and z2 rises from bottom to top as on any plot. For n = 1 the only
// code is the midpoint; for n < 1 there is none.
func ManifoldCodes(n int, z1, z2 chart.Span) []float32 {
	if n < 1 {
		return nil
	}
	codes := make([]float32, 0, 2*n*n)
	for row := range n {
		for column := range n {
			codes = append(codes, float32(between(z1, column, n)), float32(between(z2, n-1-row, n)))
		}
	}
	return codes
}

// between returns the i-th of n evenly spaced values over a span.
func between(s chart.Span, i, n int) float64 {
	if n == 1 {
		return s.Lo/2 + s.Hi/2
	}
	f := float64(i) / float64(n-1)
	return (1-f)*s.Lo + f*s.Hi
}

// Manifold lays the n x n images decoded from [ManifoldCodes] out without gaps, in the order of the codes, with the values of
// z1 (left to right) under them and those of z2 (bottom to top) at their left. A value stands at the centre of the images it
// belongs to. Axes whose ends are not finite, or equal, carry no values.
func Manifold(images []float32, rows, cols, channels, n int, z1, z2 chart.Span) image.Image {
	have, err := count(images, rows, cols, channels)
	if err != nil {
		return message("%v", err)
	}
	if n < 1 || float64(have) != float64(n)*float64(n) {
		return message("%d images, want %d×%d", have, n, n)
	}
	m := newMarginal(n, z1, z2)
	margins := m.margins()
	scale, ok := fit(
		extent{images: float64(n) * float64(cols), margin: float64(margins.X)},
		extent{images: float64(n) * float64(rows), margin: float64(margins.Y)})
	if !ok {
		return tooLarge(have, rows, cols, n)
	}
	t := tile{rows: rows, cols: cols, channels: channels, scale: scale}
	size := image.Pt(n*t.width(), n*t.height()).Add(margins)
	sheet := newPage(size.X, size.Y)
	for i := range have {
		at := image.Pt(m.left+i%n*t.width(), m.top+i/n*t.height())
		t.draw(sheet.Image(), at, images[i*t.levels():][:t.levels()])
	}
	m.draw(sheet, t)
	return sheet.Image()
}

// marginal is what stands around the images of a manifold: the ticks of both axes, and the room for them in pixels.
type marginal struct {
	n                        int
	spans                    [2]chart.Span // of z1 and z2
	marks                    [2][]chart.Tick
	left, right, top, bottom int
}

func newMarginal(n int, z1, z2 chart.Span) marginal {
	m := marginal{n: n, spans: [2]chart.Span{z1, z2}}
	for i, s := range m.spans {
		if n > 1 && math.Abs(s.Lo) <= 1e300 && math.Abs(s.Hi) <= 1e300 && s.Lo != s.Hi {
			m.marks[i] = chart.Ticks(chart.Span{Lo: min(s.Lo, s.Hi), Hi: max(s.Lo, s.Hi)}, 7, false)
		}
	}
	line := pixels(1.5 * chart.LabelSize)
	for _, mark := range m.marks[1] {
		m.left = max(m.left, pixels(label(mark.Label).Width()))
	}
	m.left += line + 2*tickLength
	m.bottom = 2*line + 2*tickLength
	m.top, m.right = line/2, line
	return m
}

func (m marginal) margins() image.Point { return image.Pt(m.left+m.right, m.top+m.bottom) }

// tickLength is the length of a tick, and the space between it and its value, in pixels.
const tickLength = 8

// draw draws the ticks, their values and the names of the axes.
func (m marginal) draw(p page, t tile) {
	at := func(x, y float64) chart.Point { return chart.At(x/chart.Dots, y/chart.Dots) }
	width, left, foot := 2*m.left+m.n*t.width(), float64(m.left), float64(m.top+m.n*t.height())
	ticks := chart.Path{Paint: chart.Paint{Stroke: chart.Rule, Width: 2. / 3}}
	place := func(axis int, mark chart.Tick) float64 { // in images from the first one's edge
		s := m.spans[axis]
		return (mark.Value-s.Lo)/(s.Hi-s.Lo)*float64(m.n-1) + 0.5
	}
	for _, mark := range m.marks[0] {
		x := left + place(0, mark)*float64(t.width())
		ticks.Pieces = append(ticks.Pieces, []chart.Point{at(x, foot), at(x, foot+tickLength)})
		p.under(label(mark.Label), int(math.Round(x)), int(foot)+2*tickLength, width)
	}
	for _, mark := range m.marks[1] {
		y := foot - place(1, mark)*float64(t.height())
		ticks.Pieces = append(ticks.Pieces, []chart.Point{at(left, y), at(left-tickLength, y)})
		p.beside(label(mark.Label), m.left-2*tickLength, int(math.Round(y)))
	}
	p.Draw(ticks)
	p.under(label("z₁"), m.left+m.n*t.width()/2, int(foot)+m.bottom/2+tickLength, width)
	z2 := label("z₂")
	z2.At, z2.Anchor, z2.Turned = at(chart.Dots*chart.LabelSize, foot-float64(m.n*t.height())/2), 0.5, true
	p.Draw(z2)
}
