package picture

import (
	"errors"
	"fmt"
	"image"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	vgdraw "gonum.org/v1/plot/vg/draw"
)

// Curve is one quantity over the epochs of a run: Value[i] is what it was after Epoch[i].
type Curve struct {
	Name  string
	Epoch []float64
	Value []float64
}

// curvesHeight is the height, in pixels, of a panel of curves.
const curvesHeight = 640

// Curves draws curves against the epoch, by the name of a pass ("epoch", "iteration"), in one panel of 1200 x 640 pixels; [Stack] puts panels together. The title and yLabel
// are the caller's, and one of them should say the unit, "nats per image" as a rule.
//
// The first epochs of a fit lie far from the rest and would flatten it. So the values' range leaves out the fewest first
// epochs, at most a tenth of all (rounded up) and only where three remain, that bring it down to twice what leaving out the
// whole tenth would. Their lines still enter the plot, and a note names what lies outside.
//
// A value that is not finite interrupts its curve, a red cross at the foot of the plot marks its epoch, and a note counts
// them. A curve that has no value is still in the legend.
//
// It is an error to give no curve, or one whose Epoch and Value differ in length.
func Curves(title, pass, yLabel string, curves []Curve) (image.Image, error) {
	if err := checkCurves(curves); err != nil {
		return nil, err
	}
	epochs := epochsOf(curves)
	x, values := epochRange(epochs), valueRange(curves, epochs)
	y := values.open(0.05)
	bad := notFinite(curves)

	xTicks, yTicks := ticks(x, 10, true), ticks(y, 6, false)
	if values.isEmpty() {
		xTicks, yTicks = nil, nil
	}
	p := newPlot(x.open(0.025), y, xTicks, yTicks, pass, shorten(labelStyle(), yLabel, px(curvesHeight)/2))
	legend := make([]entry, len(curves))
	for i, curve := range curves {
		s := series{curve: curve, line: curveLine(i), mark: curveMark(i), marked: len(epochs) <= 25}
		p.Add(s)
		legend[i] = entry{curve.Name, s.sample}
	}
	p.Add(crosses(bad))

	c := newCanvas(panelWidth, curvesHeight)
	p.Draw(c.head(title, vg.Points(18), legend, curveNotes(curves, pass, y, len(bad), values.isEmpty())))
	return c.image(), nil
}

func checkCurves(curves []Curve) error {
	if len(curves) == 0 {
		return errors.New("picture: curves: none given, want at least one")
	}
	var faults []error
	for _, c := range curves {
		if len(c.Epoch) != len(c.Value) {
			faults = append(faults, fmt.Errorf("picture: curve %q: %d epochs but %d values, want as many of one as of the other", c.Name, len(c.Epoch), len(c.Value)))
		}
	}
	return errors.Join(faults...)
}

// points calls f for every point of the curves that has a place on the axes.
func points(curves []Curve, f func(epoch, value float64)) {
	for _, c := range curves {
		for i, v := range c.Value {
			if drawable(c.Epoch[i]) && drawable(v) {
				f(c.Epoch[i], v)
			}
		}
	}
}

// notFinite returns the epoch of every point that has a place along the axis of epochs but none along that of values.
func notFinite(curves []Curve) (epochs []float64) {
	for _, c := range curves {
		for i, v := range c.Value {
			if drawable(c.Epoch[i]) && !drawable(v) {
				epochs = append(epochs, c.Epoch[i])
			}
		}
	}
	return epochs
}

// epochsOf returns the epochs of all curves in rising order, each once, whether or not there is a value to draw.
func epochsOf(curves []Curve) (epochs []float64) {
	for _, c := range curves {
		for _, e := range c.Epoch {
			if drawable(e) {
				epochs = append(epochs, e)
			}
		}
	}
	slices.Sort(epochs)
	return slices.Compact(epochs)
}

func epochRange(epochs []float64) span {
	s := empty()
	for _, e := range epochs {
		s = s.with(e)
	}
	return s
}

// valueRange returns the range of the values to show, by the rule that Curves documents.
func valueRange(curves []Curve, epochs []float64) span {
	from := func(k int) span { // the range without the first k epochs
		s := empty()
		points(curves, func(epoch, value float64) {
			if k == 0 || epoch >= epochs[k] {
				s = s.with(value)
			}
		})
		return s
	}
	most := (len(epochs) + 9) / 10
	if len(epochs)-most < 3 || from(most).isEmpty() {
		return from(0)
	}
	k := 0
	for k < most && from(k).size() > 2*from(most).size() {
		k++
	}
	return from(k)
}

// curveNotes says what the plot does not show.
func curveNotes(curves []Curve, pass string, shown span, bad int, none bool) (notes []string) {
	outside, epochs := empty(), empty()
	points(curves, func(epoch, value float64) {
		if !shown.contains(value) {
			outside, epochs = outside.with(value), epochs.with(epoch)
		}
	})
	if !epochs.isEmpty() {
		notes = append(notes, minus(outsideNote(pass, outside, epochs, shown)))
	}
	switch {
	case bad == 1:
		notes = append(notes, "1 value is not finite (red cross).")
	case bad > 1:
		notes = append(notes, fmt.Sprintf("%d values are not finite (red crosses).", bad))
	}
	if none {
		notes = append(notes, "There is no finite value to draw.")
	}
	return notes
}

func outsideNote(pass string, outside, epochs, shown span) string {
	var b strings.Builder
	if epochs.lo == epochs.hi {
		fmt.Fprintf(&b, "Outside the range shown: %s %g", pass, epochs.lo)
	} else {
		fmt.Fprintf(&b, "Outside the range shown: %ss %g to %g", pass, epochs.lo, epochs.hi)
	}
	if outside.lo < shown.lo {
		fmt.Fprintf(&b, ", down to %.4g", outside.lo)
	}
	if outside.hi > shown.hi {
		fmt.Fprintf(&b, ", up to %.4g", outside.hi)
	}
	return b.String() + "."
}

// curveLine and curveMark return the look of the i-th curve: colours first, then the same colours dashed.
func curveLine(i int) vgdraw.LineStyle {
	style := vgdraw.LineStyle{Color: curveColours[i%len(curveColours)], Width: vg.Points(1.4)}
	if i >= len(curveColours) {
		style.Dashes = []vg.Length{vg.Points(4), vg.Points(2)}
	}
	return style
}

func curveMark(i int) vgdraw.GlyphStyle {
	return vgdraw.GlyphStyle{Color: curveColours[i%len(curveColours)], Radius: vg.Points(2.2), Shape: glyph(i)}
}

// series draws one curve: a line through each run of points that can be drawn, and marks where there are few epochs, or
// where a point has no neighbour to be joined to.
type series struct {
	curve  Curve
	line   vgdraw.LineStyle
	mark   vgdraw.GlyphStyle
	marked bool
}

func (s series) Plot(c vgdraw.Canvas, p *plot.Plot) {
	x, y := span{p.X.Min, p.X.Max}, span{p.Y.Min, p.Y.Max}
	for _, run := range s.runs() {
		line := plotter.Line{LineStyle: s.line}
		for _, i := range run {
			line.XYs = append(line.XYs, plotter.XY{X: x.near(s.curve.Epoch[i]), Y: y.near(s.curve.Value[i])})
		}
		line.Plot(c, p)
		if s.marked || len(run) == 1 {
			for _, pt := range line.XYs {
				c.DrawGlyph(s.mark, vg.Point{X: c.X(p.X.Norm(pt.X)), Y: c.Y(p.Y.Norm(pt.Y))})
			}
		}
	}
}

// runs returns the indices of the points, cut where one cannot be drawn.
func (s series) runs() (runs [][]int) {
	joined := false
	for i, v := range s.curve.Value {
		switch ok := drawable(s.curve.Epoch[i]) && drawable(v); {
		case !ok:
			joined = false
		case joined:
			runs[len(runs)-1] = append(runs[len(runs)-1], i)
		default:
			runs, joined = append(runs, []int{i}), true
		}
	}
	return runs
}

// sample draws the curve's look for the legend.
func (s series) sample(c *vgdraw.Canvas) {
	c.StrokeLine2(s.line, c.Min.X, c.Center().Y, c.Max.X, c.Center().Y)
	if s.marked {
		c.DrawGlyph(s.mark, c.Center())
	}
}

// crosses draws a red cross at the foot of the plot at each epoch.
type crosses []float64

func (at crosses) Plot(c vgdraw.Canvas, p *plot.Plot) {
	const r = 3 * vg.Inch / 72
	style := vgdraw.LineStyle{Color: fault, Width: vg.Points(1)}
	for _, epoch := range at {
		x, y := c.X(p.X.Norm(epoch)), c.Min.Y+2*r
		c.StrokeLine2(style, x-r, y-r, x+r, y+r)
		c.StrokeLine2(style, x-r, y+r, x+r, y-r)
	}
}
