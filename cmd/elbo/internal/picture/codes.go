package picture

import (
	"errors"
	"fmt"
	"image"
	"image/color"
	"slices"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	vgdraw "gonum.org/v1/plot/vg/draw"
)

// codesHeight is the height, in pixels, of a picture of codes.
const codesHeight = 1240

// Codes draws two-dimensional codes, [N, 2] as (z1, z2) after (z1, z2), as dots on axes of equal scale, in a picture of
// 1200 x 1240 pixels. With labels, [N], dots are coloured by label, a legend names the labels in rising order, and each
// label stands at the median of its codes as well, so that colour is not the only key. Up to 30
// labels differ in colour or shape. Dots are drawn in the order of the codes. With labels nil all are of one colour. Codes that are
// not finite are left out and counted in a note.
//
// It is an error if xy is not of even length, or labels are given but not one for each code.
func Codes(xy []float32, labels []uint8, title string) (image.Image, error) {
	if err := checkCodes(xy, labels); err != nil {
		return nil, err
	}
	d := newDots(xy, labels)
	x, y := d.ranges()

	c := newCanvas(panelWidth, codesHeight)
	room := c.head(title, vg.Points(6), d.legend(), d.notes(len(xy)/2))
	p := newPlot(x, y, nil, nil, "z₁", "z₂")
	equalise(p, room, d.n() > 0)
	p.Add(d)
	p.Draw(room)
	return c.image(), nil
}

func checkCodes(xy []float32, labels []uint8) error {
	var faults []error
	if len(xy)%2 != 0 {
		faults = append(faults, fmt.Errorf("picture: codes: %d values are not pairs (z1, z2)", len(xy)))
	}
	if labels != nil && len(labels) != len(xy)/2 {
		faults = append(faults, fmt.Errorf("picture: codes: %d labels for %d codes, want one each or nil", len(labels), len(xy)/2))
	}
	return errors.Join(faults...)
}

// equalise widens one of the plot's ranges, about its centre, until a unit is as long on both axes, and sets the ticks.
// The size of the data area depends on the labels of the ticks and these on the ranges, so it goes round until
// the two agree; after the first round, ranges change by less than a label's width.
func equalise(p *plot.Plot, room vgdraw.Canvas, ticked bool) {
	x, y := span{p.X.Min, p.X.Max}, span{p.Y.Min, p.Y.Max}
	for range 6 {
		area := p.DataCanvas(room).Rectangle.Size()
		unit := max(x.size()/float64(area.X), y.size()/float64(area.Y)) // of data, in a unit of length
		p.X.Min, p.X.Max = centred(x, unit*float64(area.X))
		p.Y.Min, p.Y.Max = centred(y, unit*float64(area.Y))
		if ticked {
			p.X.Tick.Marker = ticks(span{p.X.Min, p.X.Max}, 8, false)
			p.Y.Tick.Marker = ticks(span{p.Y.Min, p.Y.Max}, 8, false)
		}
	}
}

// centred returns the interval of the given size about the centre of s.
func centred(s span, size float64) (lo, hi float64) {
	mid := s.lo + s.size()/2
	return mid - size/2, mid + size/2
}

// dots are the codes that can be drawn.
type dots struct {
	x, y   []float64
	labels []uint8 // nil, or one for each dot
	radius vg.Length
}

func newDots(xy []float32, labels []uint8) dots {
	var d dots
	for i := range len(xy) / 2 {
		x, y := float64(xy[2*i]), float64(xy[2*i+1])
		if !drawable(x) || !drawable(y) {
			continue
		}
		d.x, d.y = append(d.x, x), append(d.y, y)
		if labels != nil {
			d.labels = append(d.labels, labels[i])
		}
	}
	d.radius = vg.Points(1.1) // ten thousand dots: a cloud in which one still sees the single dot
	if d.n() <= 1000 {
		d.radius = vg.Points(2)
	}
	return d
}

func (d dots) n() int { return len(d.x) }

func (d dots) ranges() (x, y span) {
	x, y = empty(), empty()
	for i := range d.x {
		x, y = x.with(d.x[i]), y.with(d.y[i])
	}
	return x.open(0.05), y.open(0.05)
}

// groups returns the labels there are, in rising order.
func (d dots) groups() []uint8 {
	groups := slices.Clone(d.labels)
	slices.Sort(groups)
	return slices.Compact(groups)
}

func (d dots) notes(given int) []string {
	switch bad := given - d.n(); {
	case given == 0:
		return []string{"There is no code to draw."}
	case bad == 1:
		return []string{"1 code is not finite and not drawn."}
	case bad > 1:
		return []string{fmt.Sprintf("%d codes are not finite and not drawn.", bad)}
	}
	return nil
}

func (d dots) legend() (entries []entry) {
	for _, label := range d.groups() {
		style := labelGlyph(label)
		style.Radius = vg.Points(2.8)
		entries = append(entries, entry{strconv.Itoa(int(label)), func(c *vgdraw.Canvas) { c.DrawGlyph(style, c.Center()) }})
	}
	return entries
}

// named is the number of labels up to which each is written at its median; more would hide the codes.
const named = 20

func (d dots) Plot(c vgdraw.Canvas, p *plot.Plot) {
	for i := range d.x {
		style := vgdraw.GlyphStyle{Color: curveColours[0], Shape: glyph(0)}
		if d.labels != nil {
			style = labelGlyph(d.labels[i])
		}
		style.Color, style.Radius = faded(style.Color), d.radius
		c.DrawGlyph(style, d.at(c, p, d.x[i], d.y[i]))
	}
	groups := d.groups()
	if len(groups) > named {
		return
	}
	for _, label := range groups {
		x, y := d.median(label)
		halo(c, d.at(c, p, x, y), strconv.Itoa(int(label)))
	}
}

func (d dots) at(c vgdraw.Canvas, p *plot.Plot, x, y float64) vg.Point {
	return vg.Point{X: c.X(p.X.Norm(x)), Y: c.Y(p.Y.Norm(y))}
}

// median returns the median of a label's codes along each axis, the upper one of two.
func (d dots) median(label uint8) (x, y float64) {
	var xs, ys []float64
	for i, l := range d.labels {
		if l == label {
			xs, ys = append(xs, d.x[i]), append(ys, d.y[i])
		}
	}
	slices.Sort(xs)
	slices.Sort(ys)
	return xs[len(xs)/2], ys[len(ys)/2]
}

// halo writes text in ink with a rim of page around it, centred at pt.
func halo(c vgdraw.Canvas, pt vg.Point, txt string) {
	style := titleStyle()
	style.Font.Size = vg.Points(13)
	style.XAlign, style.YAlign = vgdraw.XCenter, vgdraw.YCenter
	pt.Y += style.FontExtents().Descent / 2 // centre on the figures, which do not descend
	style.Color = page
	const rim = 1.2 * vg.Inch / 72
	for _, d := range [][2]vg.Length{{1, 0}, {-1, 0}, {0, 1}, {0, -1}, {.7, .7}, {.7, -.7}, {-.7, .7}, {-.7, -.7}} {
		c.FillText(style, pt.Add(vg.Point{X: d[0] * rim, Y: d[1] * rim}), txt)
	}
	style.Color = ink
	c.FillText(style, pt, txt)
}

// faded returns a colour through which what is under it can be seen.
func faded(c color.Color) color.Color {
	r, g, b, _ := c.RGBA()
	return color.NRGBA{uint8(r >> 8), uint8(g >> 8), uint8(b >> 8), 190}
}
