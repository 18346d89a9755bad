package chart

import (
	"image/color"
	"math"

	"gonum.org/v1/plot/vg"
)

// pen draws shapes on a canvas of the height, whatever file that becomes.
type pen struct {
	canvas vg.Canvas
	height vg.Length
}

// Draw draws shapes, each over those before.
func (p pen) Draw(shapes ...Shape) {
	for _, s := range shapes {
		switch s := s.(type) {
		case Path:
			for _, piece := range s.Pieces {
				p.paint(p.path(piece), s.Paint)
			}
		case Mark:
			outline := p.path(s.Form.outline(s.At, s.Radius))
			if len(outline) == 0 {
				centre := p.at(s.At)
				outline.Move(centre.Add(Point{X: vg.Length(s.Radius) * unit}))
				outline.Arc(centre, vg.Length(s.Radius)*unit, 0, 2*math.Pi)
			} else {
				outline.Close()
			}
			p.paint(outline, s.Paint)
		case Text:
			p.text(s)
		case Picture:
			low, high := p.at(s.Min), p.at(s.Max)
			p.canvas.DrawImage(vg.Rectangle{Min: Point{X: low.X, Y: high.Y}, Max: Point{X: high.X, Y: low.Y}}, s.Image)
		}
	}
}

// at turns a place on the page into vg's, whose origin is the lower left corner.
func (p pen) at(on Point) Point { return Point{X: on.X * unit, Y: p.height - on.Y*unit} }

func (p pen) path(points []Point) (path vg.Path) {
	for i, on := range points {
		if i == 0 {
			path.Move(p.at(on))
		} else {
			path.Line(p.at(on))
		}
	}
	return path
}

func (p pen) paint(path vg.Path, how Paint) {
	if how.Fill != "" {
		p.canvas.SetColor(how.of(how.Fill))
		p.canvas.Fill(path)
	}
	if how.Stroke != "" {
		p.canvas.SetColor(how.of(how.Stroke))
		p.canvas.SetLineWidth(vg.Length(how.Width) * unit)
		p.canvas.SetLineDash(nil, 0)
		if how.Dashed {
			p.canvas.SetLineDash([]vg.Length{dash * unit, gap * unit}, 0)
		}
		p.canvas.Stroke(path)
	}
}

// of is the colour of an ink under the paint's opacity.
func (p Paint) of(ink Ink) color.Color {
	c := ink.light()
	if p.Opacity == 0 {
		return c
	}
	return color.NRGBA{c.R, c.G, c.B, uint8(255*p.Opacity + 0.5)}
}

func (p pen) text(s Text) {
	face := face(s.Size*float64(unit), s.Bold)
	start := Point{X: -vg.Length(s.Anchor) * face.Width(s.Value)}
	at := p.at(s.At)
	p.canvas.Push()
	defer p.canvas.Pop()
	if s.Turned { // vg turns the page, and so the place is turned back
		p.canvas.Rotate(math.Pi / 2)
		at = Point{X: at.Y, Y: -at.X}
	}
	at = at.Add(start)
	if s.Halo {
		p.canvas.SetColor(Paper.light())
		for i := range 8 {
			sin, cos := math.Sincos(float64(i) * math.Pi / 4)
			p.canvas.FillString(*face, at.Add(At(cos*halo, sin*halo).Scale(unit)), s.Value)
		}
	}
	p.canvas.SetColor(s.Ink.light())
	p.canvas.FillString(*face, at, s.Value)
}
