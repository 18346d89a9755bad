package picture

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	vgdraw "gonum.org/v1/plot/vg/draw"
)

// drawable reports whether a value can be given a place on an axis. The bound keeps hi - lo finite.
func drawable(v float64) bool { return math.Abs(v) <= 1e300 } // false for NaN

// span is a closed interval of an axis.
type span struct{ lo, hi float64 }

// empty is the span of no value.
func empty() span { return span{math.Inf(1), math.Inf(-1)} }

func (s span) isEmpty() bool           { return s.lo > s.hi }
func (s span) size() float64           { return s.hi - s.lo }
func (s span) contains(v float64) bool { return s.lo <= v && v <= s.hi }
func (s span) with(v float64) span     { return span{min(s.lo, v), max(s.hi, v)} }

// open returns a span that an axis can show: [0, 1] for no value, 1 to either side of a lone value, and otherwise the span
// with a fraction of its size added at both ends. What is added is at least a thousand millionth of the values, below
// which labels would not tell them apart.
func (s span) open(fraction float64) span {
	if s.isEmpty() {
		return span{0, 1}
	}
	pad := fraction * s.size()
	if s.size() == 0 {
		pad = 1
	}
	pad = max(pad, 1e-9*max(math.Abs(s.lo), math.Abs(s.hi)), 1e-12)
	return span{s.lo - pad, s.hi + pad}
}

// near returns v, moved to within a million sizes of the span. A line to a point so far away leaves the plot in the same
// direction, and coordinates stay small enough for the rasteriser.
func (s span) near(v float64) float64 {
	far := 1e6 * s.size()
	return min(max(v, s.lo-far), s.hi+far)
}

// ticks returns the multiples of a round step (1, 2 or 5 times a power of ten) within the span, about `about` of them. If
// whole is set, they are integers. gonum/plot's own ticks do not end where the step is below the
// precision of the values, so these are counted before they are made.
func ticks(s span, about int, whole bool) plot.ConstantTicks {
	step := roundStep(s.size() / float64(about))
	if whole {
		step = max(step, 1)
	}
	const slack = 1e-9 // of a step, for an end that is a multiple but for rounding
	first, last := math.Ceil(s.lo/step-slack), math.Floor(s.hi/step+slack)
	if !(last-first < float64(3*about)) { // also if NaN
		return plot.ConstantTicks{}
	}
	marks := make(plot.ConstantTicks, 0, 3*about)
	for i := first; len(marks) <= int(last-first); i = first + float64(len(marks)) {
		marks = append(marks, plot.Tick{Value: i * step, Label: tickLabel(i*step, step)})
	}
	return marks
}

// roundStep returns the smallest of 1, 2 and 5 times a power of ten that is at least x.
func roundStep(x float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(x)))
	for _, m := range []float64{1, 2, 5} {
		if m*power >= x*(1-1e-9) {
			return m * power
		}
	}
	return 10 * power
}

// tickLabel writes a multiple of step with as many digits as tell it from its neighbours.
func tickLabel(v, step float64) string {
	decimals := max(0, -exponent(step))
	switch {
	case math.Abs(v) < 1e6 && decimals <= 4:
		return minus(strconv.FormatFloat(v, 'f', decimals, 64))
	case math.Abs(v) < step/2:
		return "0"
	default:
		return minus(strconv.FormatFloat(v, 'e', max(0, exponent(v)-exponent(step)), 64))
	}
}

// exponent returns the power of ten of v's first digit. The slack is for what is a power of ten but for rounding.
func exponent(v float64) int { return int(math.Floor(math.Log10(math.Abs(v)) + 1e-9)) }

// minus replaces hyphens by minus signs, and minus nought by nought.
func minus(number string) string {
	if strings.HasPrefix(number, "-") && strings.Trim(number, "-0.") == "" {
		number = number[1:]
	}
	return strings.ReplaceAll(number, "-", "−")
}

// newPlot returns a plot of the given ranges, with light lines at the ticks and nothing else that is not data. Axes without
// ticks stand for "no values". The labels of the y axis are given the room that the bounds of images usually need, so that
// panels under one another have their axes in line.
func newPlot(x, y span, xTicks, yTicks plot.ConstantTicks, xLabel, yLabel string) *plot.Plot {
	p := plot.New()
	p.BackgroundColor = nil
	style := func(a *plot.Axis, s span, marks plot.ConstantTicks, label string) {
		a.Min, a.Max = s.lo, s.hi
		a.Padding = 0
		a.LineStyle = vgdraw.LineStyle{Color: rule, Width: vg.Points(0.5)}
		a.Tick.Marker, a.Tick.Length = marks, vg.Points(3)
		a.Tick.LineStyle = a.LineStyle
		a.Label.Text, a.Label.Padding = label, vg.Points(3)
		restyle(&a.Label.TextStyle, labelStyle())
		restyle(&a.Tick.Label, labelStyle())
	}
	style(&p.X, x, xTicks, xLabel)
	style(&p.Y, y, yTicks, yLabel)
	p.Y.Label.Padding += max(0, labelStyle().Width("−000.0")-widest(labelStyle(), yTicks))
	p.Add(gridLines{})
	return p
}

// widest returns the width of the widest label.
func widest(style text.Style, marks plot.ConstantTicks) (w vg.Length) {
	for _, m := range marks {
		w = max(w, style.Width(m.Label))
	}
	return w
}

// restyle gives text another look and leaves its alignment.
func restyle(to *text.Style, from text.Style) {
	to.Color, to.Font, to.Handler = from.Color, from.Font, from.Handler
}

// gridLines draws a hairline at every tick.
type gridLines struct{}

func (gridLines) Plot(c vgdraw.Canvas, p *plot.Plot) {
	style := vgdraw.LineStyle{Color: hair, Width: vg.Points(0.5)}
	x, y := p.Transforms(&c)
	for _, t := range p.X.Tick.Marker.Ticks(p.X.Min, p.X.Max) {
		if at := x(t.Value); c.ContainsX(at) {
			c.StrokeLine2(style, at, c.Min.Y, at, c.Max.Y)
		}
	}
	for _, t := range p.Y.Tick.Marker.Ticks(p.Y.Min, p.Y.Max) {
		if at := y(t.Value); c.ContainsY(at) {
			c.StrokeLine2(style, c.Min.X, at, c.Max.X, at)
		}
	}
}

// entry is one name in a legend, with what draws its sample in a box.
type entry struct {
	name   string
	sample func(c *vgdraw.Canvas)
}

// legendRows bounds the height of a legend; what does not fit is counted.
const legendRows = 4

// head writes the title, the legend under it and then the notes, all at the left, and returns the room below. A legend
// above the data never covers it.
func (c canvas) head(title string, sampleWidth vg.Length, entries []entry, notes []string) vgdraw.Canvas {
	room := vgdraw.Crop(c.Canvas, margin, -margin, margin, -margin)
	width := room.Max.X - room.Min.X
	if title = shorten(titleStyle(), title, width); title != "" {
		room.Max.Y = c.line(titleStyle(), room.Min.X, room.Max.Y, title)
	}
	room.Max.Y = c.legend(room, sampleWidth, entries)
	for _, note := range notes {
		room.Max.Y = c.line(noteStyle(), room.Min.X, room.Max.Y, shorten(noteStyle(), note, width))
	}
	room.Max.Y -= vg.Points(4)
	return room
}

// line writes one line of text whose upper edge is at top, and returns where the next one starts.
func (c canvas) line(style text.Style, left, top vg.Length, txt string) vg.Length {
	next := top - 1.5*style.Font.Size
	c.FillText(style, vg.Point{X: left, Y: next + 0.3*style.Font.Size}, txt)
	return next
}

// legend writes the entries from left to right, in as many rows as they need, and returns where the next line starts.
func (c canvas) legend(room vgdraw.Canvas, sampleWidth vg.Length, entries []entry) vg.Length {
	if len(entries) == 0 {
		return room.Max.Y
	}
	style := labelStyle()
	height, space := 1.5*style.Font.Size, vg.Points(4)
	more := func(n int) string { return fmt.Sprintf("and %d more", n) }
	reserve := style.Width(more(len(entries)))

	x, top, row := room.Min.X, room.Max.Y, 1
	for i, e := range entries {
		name := shorten(style, e.name, 0.4*(room.Max.X-room.Min.X))
		width := sampleWidth + space + style.Width(name)
		limit := room.Max.X
		if row == legendRows {
			limit -= reserve
		}
		if x+width > limit {
			if row == legendRows {
				c.line(style, x, top, more(len(entries)-i))
				break
			}
			x, top, row = room.Min.X, top-height, row+1
		}
		e.sample(&vgdraw.Canvas{Canvas: c.Canvas.Canvas, Rectangle: vg.Rectangle{
			Min: vg.Point{X: x, Y: top - height}, Max: vg.Point{X: x + sampleWidth, Y: top},
		}})
		c.line(style, x+sampleWidth+space, top, name)
		x += width + 3*space
	}
	return top - height
}

// shorten returns txt in one line no wider than room, cut with an ellipsis if need be.
func shorten(style text.Style, txt string, room vg.Length) string {
	runes := []rune(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.TrimSpace(txt)))
	if len(runes) <= 1000 && style.Width(string(runes)) <= room {
		return string(runes)
	}
	for n := min(len(runes), 1000) - 1; n > 0; n-- {
		if cut := string(runes[:n]) + "…"; style.Width(cut) <= room {
			return cut
		}
	}
	return ""
}
