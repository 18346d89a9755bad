package chart

import (
	"fmt"
	"math"
	"strings"

	"gonum.org/v1/plot/vg"
)

// legendRows bounds the height of a legend; what does not fit is counted.
const legendRows = 3

// legend writes the names of layers from left to right, in as many rows as they need, and takes their height off the
// room.
func (c Chart) legend(room *vg.Rectangle) (shapes []Shape) {
	var named []Layer
	for _, l := range c.Layers {
		if name, _, _ := l.key(); name != "" {
			named = append(named, l)
		}
	}
	if len(named) == 0 {
		return nil
	}
	const height, space = 1.5 * LabelSize, 5.
	text := func(value string) Text { return Text{Value: value, Size: LabelSize, Ink: Soft} }
	more := func(n int) Text { return text(fmt.Sprintf("and %d more", n)) }
	left, right := float64(room.Min.X), float64(room.Max.X)
	x, top, row := left, float64(room.Min.Y), 1
	for i, l := range named {
		name, sampleWidth, sample := l.key()
		label := text(name).Shortened(0.7 * (right - left))
		width := sampleWidth + space + label.Width()
		limit := right
		if row == legendRows {
			limit -= more(len(named)).Width()
		}
		if x > left && x+width > limit {
			if row == legendRows {
				shapes = append(shapes, more(len(named)-i).moved(x, top+1.1*LabelSize))
				break
			}
			x, top, row = left, top+height, row+1
		}
		for _, s := range sample {
			shapes = append(shapes, s.moved(x, top+height/2))
		}
		shapes = append(shapes, label.moved(x+sampleWidth+space, top+1.1*LabelSize))
		x += width + 3*space
	}
	room.Min.Y = vg.Length(top + height)
	return shapes
}

// missing says what the plot does not show of the lines. shown is the range of Y.
func (c Chart) missing(shown Span, none bool) (notes []string) {
	values, places, bad := Empty(), Empty(), 0
	for _, l := range c.lines() {
		for i, v := range l.Y {
			switch x, y := c.X.value(l.X[i]), c.Y.value(v); {
			case drawable(x) && !drawable(y):
				bad++
			case drawable(x) && !shown.contains(y):
				values, places = values.With(v), places.With(l.X[i])
			}
		}
	}
	if !values.isEmpty() {
		notes = append(notes, Minus(outsideNote(c.X.Each, values, places, shown, c.Y)))
	}
	switch {
	case bad == 1:
		notes = append(notes, "1 value is not finite (red cross).")
	case bad > 1:
		notes = append(notes, fmt.Sprintf("%d values are not finite (red crosses).", bad))
	}
	if none && len(c.lines()) > 0 {
		notes = append(notes, "There is no finite value to draw.")
	}
	return notes
}

func outsideNote(each string, values, places, shown Span, y Axis) string {
	var parts []string
	switch {
	case each == "":
	case places.Lo == places.Hi:
		parts = append(parts, each+" "+place(places.Lo))
	default:
		parts = append(parts, plural(each)+" "+place(places.Lo)+" to "+place(places.Hi))
	}
	if y.value(values.Lo) < shown.Lo {
		parts = append(parts, fmt.Sprintf("down to %.4g", values.Lo))
	}
	if y.value(values.Hi) > shown.Hi {
		parts = append(parts, fmt.Sprintf("up to %.4g", values.Hi))
	}
	return "Outside the range shown: " + strings.Join(parts, ", ") + "."
}

// place writes an epoch, or a time.
func place(v float64) string {
	if v == math.Trunc(v) {
		return fmt.Sprintf("%.6g", v)
	}
	return fmt.Sprintf("%.3g", v)
}

func plural(noun string) string {
	if strings.HasSuffix(noun, "s") {
		return noun + "es"
	}
	return noun + "s"
}
