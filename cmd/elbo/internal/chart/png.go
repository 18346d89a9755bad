package chart

import (
	"image"
	"image/color"
	"math"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/vgimg"
)

// PNG draws the sheet, two pixels for each of CSS. It fails where a layer's slices differ in length.
func (s Sheet) PNG() (image.Image, error) {
	shapes, width, height, err := s.shapes()
	if err != nil {
		return nil, err
	}
	r := NewRaster(int(math.Ceil(Dots*width)), int(math.Ceil(Dots*height)))
	r.Draw(shapes...)
	return r.Image(), nil
}

// Dots is the number of a raster's pixels to one of CSS.
const Dots = 2

const unit = vg.Inch / 96 // a CSS pixel

// Raster is a page of pixels.
type Raster struct {
	canvas *vgimg.Canvas
	height vg.Length
}

// NewRaster returns a page of so many pixels.
func NewRaster(width, height int) Raster {
	length := func(n int) vg.Length { return vg.Length(n) * unit / Dots }
	canvas := vgimg.NewWith(vgimg.UseWH(length(width), length(height)), vgimg.UseDPI(96*Dots), vgimg.UseBackgroundColor(Paper.light()))
	return Raster{canvas, length(height)}
}

// Image returns what was drawn. It shares its pixels with the raster.
func (r Raster) Image() *image.RGBA { return r.canvas.Image().(*image.RGBA) }

// Draw draws shapes, each over those before.
func (r Raster) Draw(shapes ...Shape) {
	for _, s := range shapes {
		switch s := s.(type) {
		case Path:
			for _, piece := range s.Pieces {
				r.paint(r.path(piece), s.Paint)
			}
		case Mark:
			outline := r.path(s.Form.outline(s.At, s.Radius))
			if len(outline) == 0 {
				centre := r.at(s.At)
				outline.Move(centre.Add(Point{X: vg.Length(s.Radius) * unit}))
				outline.Arc(centre, vg.Length(s.Radius)*unit, 0, 2*math.Pi)
			} else {
				outline.Close()
			}
			r.paint(outline, s.Paint)
		case Text:
			r.text(s)
		case Picture:
			low, high := r.at(s.Min), r.at(s.Max)
			r.canvas.DrawImage(vg.Rectangle{Min: Point{X: low.X, Y: high.Y}, Max: Point{X: high.X, Y: low.Y}}, s.Image)
		}
	}
}

// at turns a place on the page into vg's, whose origin is the lower left corner.
func (r Raster) at(p Point) Point { return Point{X: p.X * unit, Y: r.height - p.Y*unit} }

func (r Raster) path(points []Point) (path vg.Path) {
	for i, p := range points {
		if i == 0 {
			path.Move(r.at(p))
		} else {
			path.Line(r.at(p))
		}
	}
	return path
}

func (r Raster) paint(path vg.Path, p Paint) {
	if p.Fill != "" {
		r.canvas.SetColor(p.of(p.Fill))
		r.canvas.Fill(path)
	}
	if p.Stroke != "" {
		r.canvas.SetColor(p.of(p.Stroke))
		r.canvas.SetLineWidth(vg.Length(p.Width) * unit)
		r.canvas.SetLineDash(nil, 0)
		if p.Dashed {
			r.canvas.SetLineDash([]vg.Length{dash * unit, gap * unit}, 0)
		}
		r.canvas.Stroke(path)
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

func (r Raster) text(s Text) {
	face := face(s.Size*float64(unit), s.Bold)
	start := Point{X: -vg.Length(s.Anchor) * face.Width(s.Value)}
	at := r.at(s.At)
	r.canvas.Push()
	defer r.canvas.Pop()
	if s.Turned { // vg turns the page, and so the place is turned back
		r.canvas.Rotate(math.Pi / 2)
		at = Point{X: at.Y, Y: -at.X}
	}
	at = at.Add(start)
	if s.Halo {
		r.canvas.SetColor(Paper.light())
		for i := range 8 {
			sin, cos := math.Sincos(float64(i) * math.Pi / 4)
			r.canvas.FillString(*face, at.Add(At(cos*halo, sin*halo).Scale(unit)), s.Value)
		}
	}
	r.canvas.SetColor(s.Ink.light())
	r.canvas.FillString(*face, at, s.Value)
}
