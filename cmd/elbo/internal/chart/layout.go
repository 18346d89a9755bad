package chart

import (
	"math"
	"slices"

	"gonum.org/v1/plot/vg"
	vgdraw "gonum.org/v1/plot/vg/draw"
)

const (
	margin = 12. // around a chart, of paper

	// dash and gap are the pieces of dashed lines.
	dash = 16. / 3
	gap  = 8. / 3

	thin = 2. / 3 // width of the lines of the axes
)

// frame is the plot of a chart: where its axes put values, and what was drawn on it.
type frame struct {
	x, y   scale
	area   vgdraw.Canvas // to clip against; it draws nothing
	shapes []Shape
}

// scale maps the values of an axis to the page.
type scale struct {
	Axis
	shown    Span // of Axis.value
	from, to float64
	ticks    []Tick
}

func (s scale) drawable(v float64) bool { return drawable(s.value(v)) }

// at is the place of a value. One far outside is moved closer.
func (s scale) at(v float64) float64 {
	return s.from + (s.shown.near(s.value(v))-s.shown.Lo)/s.shown.size()*(s.to-s.from)
}

// choose sets round ticks, one in about so many pixels.
func (s *scale) choose(pixels float64) {
	switch about := max(5, int(math.Abs(s.to-s.from)/pixels)); {
	case s.Ticks != nil:
		s.ticks = slices.Clone(s.Ticks)
	case s.Log:
		s.ticks = logTicks(s.shown)
	default:
		s.ticks = Ticks(s.shown, about, s.Whole)
	}
}

// shapes lays the chart out: title, legend and notes at its head, and the plot below. A legend above the data never
// covers it.
func (c Chart) shapes(margin float64) []Shape {
	width, height := c.size()
	room := vg.Rectangle{Min: At(margin, margin), Max: At(width-margin, height-margin)}
	x, y, none := c.ranges()
	shapes := c.head(&room, y, none)
	f := c.frame(room, x, y, none)
	f.axes(room)
	for _, l := range c.Layers {
		l.draw(f)
	}
	return append(shapes, f.shapes...)
}

// head writes the title, the legend under it and then the notes, all at the left, and takes their height off the room.
func (c Chart) head(room *vg.Rectangle, y Span, none bool) (shapes []Shape) {
	width := float64(room.Max.X - room.Min.X)
	write := func(text Text) {
		for _, line := range text.wrapped(width) {
			line.At = room.Min.Add(At(0, 1.1*line.Size))
			shapes = append(shapes, line)
			room.Min.Y += vg.Length(1.5 * line.Size)
		}
	}
	write(Text{Value: c.Title, Size: TitleSize, Bold: true, Ink: Black})
	shapes = append(shapes, c.legend(room)...)
	for _, note := range append(c.Notes, c.missing(y, none)...) {
		write(Text{Value: note, Size: LabelSize, Ink: Soft})
	}
	room.Min.Y += 5
	return shapes
}

// frame gives the axes their places: the labels of y the width they need, those of curves at least that of the bounds
// of images, so that panels under one another have their axes in line.
func (c Chart) frame(room vg.Rectangle, x, y Span, none bool) *frame {
	f := &frame{x: scale{Axis: c.X, shown: x}, y: scale{Axis: c.Y, shown: y}}
	across, down := 50., 28. // pixels of a tick
	rounds := 1
	if c.Equal {
		across, down = 70, 70
		rounds = 6 // ticks depend on ranges, these on the room that the ticks' labels leave: soon they agree
	}
	for range rounds {
		f.y.from, f.y.to = float64(room.Max.Y)-c.X.room(LabelSize), float64(room.Min.Y)+LabelSize/2
		f.y.choose(down)
		for i, t := range f.y.ticks {
			f.y.ticks[i].Label = Text{Value: t.Label, Size: LabelSize}.Shortened(0.3 * float64(room.Max.X)).Value
		}
		labels := widest(f.y.ticks)
		if !c.Equal && c.Y.Ticks == nil {
			labels = max(labels, Text{Value: "−000.0", Size: LabelSize}.Width())
		}
		f.x.from, f.x.to = float64(room.Min.X)+c.Y.room(0)+labels, float64(room.Max.X)
		f.x.choose(across)
		f.x.to -= widest(f.x.ticks) / 2
		if !c.Equal {
			break
		}
		w, h := f.x.to-f.x.from, f.y.from-f.y.to
		unit := max(x.size()/w, y.size()/h) // of data, in a pixel
		f.x.shown, f.y.shown = x.centred(unit*w), y.centred(unit*h)
	}
	if none {
		f.x.ticks, f.y.ticks = nil, nil
	}
	f.area.Rectangle = vg.Rectangle{Min: At(f.x.from, f.y.to), Max: At(f.x.to, f.y.from)}
	return f
}

// room is what an axis takes beside the plot, for its label and for those of ticks.
func (a Axis) room(ticks float64) float64 {
	room := ticks + 6
	if a.Label != "" {
		room += 1.5 * LabelSize
	}
	return room
}

// axes draws the axes, with light lines at the ticks.
func (f *frame) axes(room vg.Rectangle) {
	left, right, top, foot := f.x.from, f.x.to, f.y.to, f.y.from
	hair, label := Paint{Stroke: Hair, Width: thin}, Text{Size: LabelSize, Ink: Soft}
	write := func(at Point, anchor float64, value string) {
		label.At, label.Anchor, label.Value = at, anchor, value
		f.shapes = append(f.shapes, label)
	}
	for _, t := range f.x.ticks {
		x := f.x.at(t.Value)
		f.line(hair, At(x, top), At(x, foot))
		write(At(x, foot+4+0.9*LabelSize), 0.5, t.Label)
	}
	for _, t := range f.y.ticks {
		y := f.y.at(t.Value)
		f.line(hair, At(left, y), At(right, y))
		write(At(left-5, y+0.35*LabelSize), 1, t.Label)
	}
	f.line(Paint{Stroke: Rule, Width: thin}, At(left, top), At(left, foot), At(right, foot))
	label.Value = f.x.Label
	write(At((left+right)/2, float64(room.Max.Y)-0.3*LabelSize), 0.5, label.Shortened(right-left).Value)
	label.Turned, label.Value = true, f.y.Label
	write(At(float64(room.Min.X)+0.9*LabelSize, (top+foot)/2), 0.5, label.Shortened(foot-top).Value)
}

// at is the place of a pair of values.
func (f *frame) at(x, y float64) Point { return At(f.x.at(x), f.y.at(y)) }

// has reports whether a pair of values has a place, on the plot or outside.
func (f *frame) has(x, y float64) bool { return f.x.drawable(x) && f.y.drawable(y) }

// line draws what is on the plot of a line.
func (f *frame) line(p Paint, points ...Point) {
	if pieces := f.area.ClipLinesXY(points); len(pieces) > 0 {
		f.shapes = append(f.shapes, Path{pieces, p})
	}
}

// fill draws what is on the plot of the inside of a polygon.
func (f *frame) fill(p Paint, points ...Point) {
	if inside := f.area.ClipPolygonXY(points); len(inside) > 2 {
		f.shapes = append(f.shapes, Path{[][]Point{inside}, p})
	}
}

// mark draws a mark if its centre is on the plot.
func (f *frame) mark(m Mark) {
	if f.area.Contains(m.At) {
		f.shapes = append(f.shapes, m)
	}
}
