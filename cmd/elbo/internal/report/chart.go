package report

import (
	"fmt"
	"html/template"
	"math"
	"strconv"
	"strings"
)

// A chart is drawn on a page of 400 units, so that its text can be read on a telephone,
// where a unit is a little less than a pixel, and is not too large elsewhere.
const (
	chartWidth = 400
	plotLeft   = 50
	plotRight  = chartWidth - 10
	plotTop    = 10
)

// point is a value and where it stands.
type point struct{ x, y float64 }

// line is a series of points. Class is the colour of its model.
type line struct {
	class  string
	points []point
	dashed bool
	thin   bool
	dots   bool
}

// band is the area between two lines.
type band struct {
	class        string
	lower, upper []point
}

// chart draws lines and bands over axes.
type chart struct {
	label  string // what it shows, for those who hear the page
	x, y   string // names of the axes, with units
	xs, ys span
	log    bool // the y axis is logarithmic
	height float64
	bands  []band
	lines  []line
	more   string // SVG on top, in the chart's units
}

// span is a range of values.
type span struct{ lo, hi float64 }

func empty() span { return span{math.Inf(1), math.Inf(-1)} }

func (s *span) add(v float64) {
	if !math.IsNaN(v) && !math.IsInf(v, 0) {
		s.lo, s.hi = min(s.lo, v), max(s.hi, v)
	}
}

// wider returns the span with a fraction of its size on either side, and never without
// size.
func (s span) wider(fraction float64) span {
	if s.lo > s.hi {
		return span{0, 1}
	}
	pad := fraction * (s.hi - s.lo)
	if pad == 0 {
		pad = max(1e-6, math.Abs(s.hi)*0.01)
	}
	return span{s.lo - pad, s.hi + pad}
}

func (c *chart) bottom() float64 {
	if c.height == 0 {
		c.height = 270
	}
	return c.height - 40
}

// px and py are where values stand on the page.
func (c *chart) px(x float64) float64 {
	return plotLeft + (x-c.xs.lo)/(c.xs.hi-c.xs.lo)*(plotRight-plotLeft)
}

func (c *chart) py(y float64) float64 {
	lo, hi := c.ys.lo, c.ys.hi
	if c.log {
		y, lo, hi = math.Log(max(y, 1e-300)), math.Log(lo), math.Log(hi)
	}
	return c.bottom() - (y-lo)/(hi-lo)*(c.bottom()-plotTop)
}

// svg draws the chart.
func (c *chart) svg(id string) template.HTML {
	var b strings.Builder
	bottom := c.bottom()
	fmt.Fprintf(&b, `<svg viewBox="0 0 %d %g" role="img" aria-label="%s">`, chartWidth, c.height, template.HTMLEscapeString(c.label))
	fmt.Fprintf(&b, `<clipPath id="%s"><rect x="%d" y="%d" width="%d" height="%g"/></clipPath>`, id, plotLeft, plotTop, plotRight-plotLeft, bottom-plotTop)
	yTicks := ticks(c.ys, 5)
	if c.log {
		yTicks = logTicks(c.ys)
	}
	for _, t := range yTicks {
		y := c.py(t.value)
		fmt.Fprintf(&b, `<path class="hair" d="M%d %.1fH%d"/><text x="%d" y="%.1f" text-anchor="end">%s</text>`, plotLeft, y, plotRight, plotLeft-5, y+4, t.label)
	}
	for _, t := range ticks(c.xs, 6) {
		x := c.px(t.value)
		fmt.Fprintf(&b, `<path class="hair" d="M%.1f %dV%g"/><text x="%.1f" y="%g" text-anchor="middle">%s</text>`, x, plotTop, bottom, x, bottom+14, t.label)
	}
	fmt.Fprintf(&b, `<path class="axis" d="M%d %dV%gH%d"/>`, plotLeft, plotTop, bottom, plotRight)
	fmt.Fprintf(&b, `<text x="%d" y="%g" text-anchor="middle">%s</text>`, (plotLeft+plotRight)/2, bottom+32, template.HTMLEscapeString(c.x))
	fmt.Fprintf(&b, `<text transform="translate(11 %g) rotate(-90)" text-anchor="middle">%s</text>`, (plotTop+bottom)/2, template.HTMLEscapeString(c.y))
	fmt.Fprintf(&b, `<g clip-path="url(#%s)">`, id)
	for _, band := range c.bands {
		fmt.Fprintf(&b, `<path class="band %s" d="%s`, band.class, c.path(band.upper))
		for i := len(band.lower) - 1; i >= 0; i-- {
			fmt.Fprintf(&b, "L%.1f %.1f", c.px(band.lower[i].x), c.py(band.lower[i].y))
		}
		b.WriteString(`Z"/>`)
	}
	for _, l := range c.lines {
		class := "line " + l.class
		if l.dashed {
			class += " dashed"
		}
		if l.thin {
			class += " thin"
		}
		fmt.Fprintf(&b, `<path class="%s" d="%s"/>`, class, c.path(l.points))
		if l.dots {
			for _, p := range l.points {
				fmt.Fprintf(&b, `<circle class="dot %s" cx="%.1f" cy="%.1f" r="2.2"/>`, l.class, c.px(p.x), c.py(p.y))
			}
		}
	}
	b.WriteString(c.more)
	b.WriteString("</g></svg>")
	return template.HTML(b.String())
}

// path is the way along points. Points far outside are moved closer, in their direction.
func (c *chart) path(points []point) string {
	var b strings.Builder
	far := 20 * c.height
	for i, p := range points {
		command := "L"
		if i == 0 {
			command = "M"
		}
		fmt.Fprintf(&b, "%s%.1f %.1f", command, min(max(c.px(p.x), -far), far), min(max(c.py(p.y), -far), far))
	}
	return b.String()
}

// tick is a value with its label.
type tick struct {
	value float64
	label string
}

// ticks returns the multiples of 1, 2 or 5 times a power of ten in the span, about so
// many.
func ticks(s span, about int) []tick {
	size := (s.hi - s.lo) / float64(about)
	if !(size > 0) || math.IsInf(size, 0) {
		return nil
	}
	step := math.Pow(10, math.Floor(math.Log10(size)))
	for _, m := range []float64{1, 2, 5, 10} {
		if m*step >= size*(1-1e-9) {
			step *= m
			break
		}
	}
	decimals := max(0, int(math.Ceil(-math.Log10(step)-1e-9)))
	var all []tick
	for i := math.Ceil(s.lo/step - 1e-9); i*step <= s.hi+1e-9*step && len(all) < 3*about; i++ {
		all = append(all, tick{i * step, number(i*step, decimals)})
	}
	return all
}

// logTicks returns the powers of ten in the span, about eight of them at most.
func logTicks(s span) []tick {
	lo, hi := math.Ceil(math.Log10(s.lo)-1e-9), math.Floor(math.Log10(s.hi)+1e-9)
	every := max(1, math.Ceil((hi-lo)/8))
	var all []tick
	for e := lo; e <= hi; e += every {
		label := "10" + superscript(int(e))
		if e >= -3 && e <= 3 {
			label = number(math.Pow(10, e), int(max(0, -e)))
		}
		all = append(all, tick{math.Pow(10, e), label})
	}
	return all
}

func superscript(n int) string {
	return strings.NewReplacer("-", "⁻", "0", "⁰", "1", "¹", "2", "²", "3", "³", "4", "⁴", "5", "⁵", "6", "⁶", "7", "⁷", "8", "⁸", "9", "⁹").Replace(strconv.Itoa(n))
}

// number writes a figure with a minus sign in front where there is one, and none in
// front of nought.
func number(v float64, decimals int) string {
	text := strconv.FormatFloat(v, 'f', decimals, 64)
	if strings.HasPrefix(text, "-") && strings.Trim(text, "-0.") == "" {
		text = text[1:]
	}
	return strings.Replace(text, "-", "−", 1)
}

// histogram counts values in equal bins over a span; those outside are in the first or the
// last one.
func histogram(values []float64, s span, bins int) []int {
	counts := make([]int, bins)
	for _, v := range values {
		i := int((v - s.lo) / (s.hi - s.lo) * float64(bins))
		counts[min(max(i, 0), bins-1)]++
	}
	return counts
}

// contour returns the path, in cells, of the curve on which a field of w x h values, row
// by row, has a level: marching squares, with straight pieces between edges.
func contour(field []float64, w, h int, level float64, at func(x, y float64) (float64, float64)) string {
	var b strings.Builder
	for y := range h - 1 {
		for x := range w - 1 {
			corners := [4]point{{float64(x), float64(y)}, {float64(x + 1), float64(y)}, {float64(x + 1), float64(y + 1)}, {float64(x), float64(y + 1)}}
			value := [4]float64{field[y*w+x], field[y*w+x+1], field[(y+1)*w+x+1], field[(y+1)*w+x]}
			var cut []point
			for i := range 4 {
				j := (i + 1) % 4
				if (value[i] > level) != (value[j] > level) {
					t := (level - value[i]) / (value[j] - value[i])
					cut = append(cut, point{corners[i].x + t*(corners[j].x-corners[i].x), corners[i].y + t*(corners[j].y-corners[i].y)})
				}
			}
			for i := 0; i+1 < len(cut); i += 2 {
				x0, y0 := at(cut[i].x, cut[i].y)
				x1, y1 := at(cut[i+1].x, cut[i+1].y)
				fmt.Fprintf(&b, "M%.1f %.1fL%.1f %.1f", x0, y0, x1, y1)
			}
		}
	}
	return b.String()
}
