package chart

import (
	"image"

	"gonum.org/v1/plot/vg"
)

// Shape is a thing on the page: a [Path], [Mark], [Text] or [Picture].
type Shape interface{ moved(dx, dy float64) Shape }

// Point is a place on the page; y grows downwards.
type Point = vg.Point

// At is the point (x, y).
func At(x, y float64) Point { return Point{X: vg.Length(x), Y: vg.Length(y)} }

// Paint is how a shape is drawn. Without Stroke it has no outline, without Fill no inside.
type Paint struct {
	Stroke, Fill Ink
	Width        float64
	Dashed       bool
	Opacity      float64 // 0: opaque
}

// Path is straight pieces, each from its first point to its last. Where it is filled it is closed.
type Path struct {
	Pieces [][]Point
	Paint  Paint
}

// Mark stands for a value.
type Mark struct {
	At     Point
	Form   Form
	Radius float64
	Paint  Paint
}

// Text is one line of text.
type Text struct {
	At     Point   // on the base line
	Anchor float64 // where At is: 0 at its beginning, 0.5 in its middle, 1 at its end
	Size   float64
	Ink    Ink
	Bold   bool
	Turned bool // by a quarter turn: it runs upwards
	Halo   bool // with a rim of paper
	Value  string
}

// Picture is an image, stretched.
type Picture struct {
	Min, Max Point
	Image    image.Image
}

func (s Path) moved(dx, dy float64) Shape {
	pieces := make([][]Point, len(s.Pieces))
	for i, piece := range s.Pieces {
		for _, p := range piece {
			pieces[i] = append(pieces[i], p.Add(At(dx, dy)))
		}
	}
	s.Pieces = pieces
	return s
}

func (s Mark) moved(dx, dy float64) Shape { s.At = s.At.Add(At(dx, dy)); return s }
func (s Text) moved(dx, dy float64) Shape { s.At = s.At.Add(At(dx, dy)); return s }
func (s Picture) moved(dx, dy float64) Shape {
	s.Min, s.Max = s.Min.Add(At(dx, dy)), s.Max.Add(At(dx, dy))
	return s
}

// Form is the form of a mark.
type Form int

// The forms of marks: the first three tell curves apart without colour.
const (
	Disc Form = iota
	Box
	Triangle
	Diamond
	Bar
	Ring
)

// outline is the form of a radius about a centre; nil for what is round.
func (f Form) outline(at Point, r float64) []Point {
	var corners [][2]float64
	switch f {
	case Box:
		corners = [][2]float64{{-.89, -.89}, {.89, -.89}, {.89, .89}, {-.89, .89}}
	case Triangle:
		corners = [][2]float64{{0, -1.3}, {1.13, .65}, {-1.13, .65}}
	case Diamond:
		corners = [][2]float64{{0, -1.3}, {1.1, 0}, {0, 1.3}, {-1.1, 0}}
	case Bar:
		corners = [][2]float64{{-.3, -1.8}, {.3, -1.8}, {.3, 1.8}, {-.3, 1.8}}
	}
	var points []Point
	for _, c := range corners {
		points = append(points, at.Add(At(c[0]*r, c[1]*r)))
	}
	return points
}
