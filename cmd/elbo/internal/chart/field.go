package chart

import (
	"fmt"
	"image"
	"image/color"
	"math"
	"slices"
)

// Field is a function of two values on W x H points, evenly spaced over X and Y: row after row, the lowest y first.
type Field struct {
	W, H   int
	X, Y   Span
	Values []float64
}

func (d Field) check() error {
	if d.W < 2 || d.H < 2 || len(d.Values) != d.W*d.H {
		return fmt.Errorf("field: %d values on %d×%d points, want one on each of 2×2 or more", len(d.Values), d.W, d.H)
	}
	return nil
}

// at is the place of a lattice point, or of one between.
func (d Field) at(column, row float64) (x, y float64) {
	return d.X.Lo + column/float64(d.W-1)*d.X.size(), d.Y.Lo + row/float64(d.H-1)*d.Y.size()
}

func (d Field) hold(_ func(n int) int, add func(x, y float64)) {
	add(d.X.Lo, d.Y.Lo)
	add(d.X.Hi, d.Y.Hi)
}

func (d Field) key() (name string, width float64, sample []Shape) { return "", 0, nil }

// Heat draws a field as a picture: the larger, the less transparent. The colour does on white and on black.
type Heat struct{ Field }

func (h Heat) draw(f *frame) {
	top := 0.0
	for _, v := range h.Values {
		top = max(top, v)
	}
	img := image.NewNRGBA(image.Rect(0, 0, h.W, h.H))
	shown := image.Rectangle{}                                                                 // cells that are wholly on the plot
	corner := func(x, y int) Point { return f.at(h.at(float64(x)-0.5, float64(h.H-1-y)+0.5)) } // upper left, of a cell
	for y := range h.H {
		for x := range h.W {
			if f.area.Contains(corner(x, y)) && f.area.Contains(corner(x+1, y+1)) {
				shown = shown.Union(image.Rect(x, y, x+1, y+1))
			}
			share := 0.0
			if v := h.Values[(h.H-1-y)*h.W+x]; top > 0 && v > 0 {
				share = v / top
			}
			img.SetNRGBA(x, y, color.NRGBA{0x3a, 0x86, 0xd8, uint8(235*share + 0.5)})
		}
	}
	if !shown.Empty() {
		f.shapes = append(f.shapes, Picture{corner(shown.Min.X, shown.Min.Y), corner(shown.Max.X, shown.Max.Y), img.SubImage(shown)})
	}
}

// Contour draws the curves on which a field has a level.
type Contour struct {
	Field
	Look  Look
	Level float64
}

// pieces calls piece for each straight piece of the curves: marching squares.
func (c Contour) pieces(piece func(x0, y0, x1, y1 float64)) {
	for row := range c.H - 1 {
		for column := range c.W - 1 {
			corners := [4][2]int{{column, row}, {column + 1, row}, {column + 1, row + 1}, {column, row + 1}}
			value := func(i int) float64 { return c.Values[corners[i][1]*c.W+corners[i][0]] }
			var cut [][2]float64
			for i := range 4 {
				j := (i + 1) % 4
				if (value(i) > c.Level) != (value(j) > c.Level) {
					t := (c.Level - value(i)) / (value(j) - value(i))
					x, y := c.at(float64(corners[i][0])+t*float64(corners[j][0]-corners[i][0]), float64(corners[i][1])+t*float64(corners[j][1]-corners[i][1]))
					cut = append(cut, [2]float64{x, y})
				}
			}
			for i := 0; i+1 < len(cut); i += 2 {
				piece(cut[i][0], cut[i][1], cut[i+1][0], cut[i+1][1])
			}
		}
	}
}

func (c Contour) draw(f *frame) {
	curves := Path{Paint: c.Look.line()}
	c.pieces(func(x0, y0, x1, y1 float64) {
		if f.has(x0, y0) && f.has(x1, y1) {
			curves.Pieces = append(curves.Pieces, f.area.ClipLinesXY([]Point{f.at(x0, y0), f.at(x1, y1)})...)
		}
	})
	if curves.Pieces != nil {
		f.shapes = append(f.shapes, curves)
	}
}

// MassLevels returns the levels of a density on an even lattice whose upper sets hold the given shares of the whole.
func MassLevels(density []float64, shares ...float64) []float64 {
	sorted := slices.Clone(density)
	slices.Sort(sorted)
	slices.Reverse(sorted)
	total := 0.0
	for _, d := range sorted {
		total += d
	}
	levels := make([]float64, len(shares))
	for i, share := range shares {
		sum := 0.0
		for _, d := range sorted {
			levels[i] = d
			if sum += d; sum >= share*total {
				break
			}
		}
	}
	return levels
}

// GaussianRadius is the radius, in standard deviations, of the disc that holds a share of a Gaussian of two dimensions.
func GaussianRadius(share float64) float64 { return math.Sqrt(-2 * math.Log(1-share)) }

// Ellipse has its axes along those of the chart. Ranges do not make room for it.
type Ellipse struct {
	Name             string
	Look             Look
	X, Y             float64
	RadiusX, RadiusY float64
}

func (e Ellipse) check() error                                 { return nil }
func (e Ellipse) hold(_ func(n int) int, _ func(x, y float64)) {}

func (e Ellipse) draw(f *frame) {
	const corners = 96
	var points []Point
	for i := range corners + 1 {
		sin, cos := math.Sincos(2 * math.Pi * float64(i) / corners)
		x, y := e.X+e.RadiusX*cos, e.Y+e.RadiusY*sin
		if !f.has(x, y) {
			return
		}
		points = append(points, f.at(x, y))
	}
	f.line(e.Look.line(), points...)
}

func (e Ellipse) key() (string, float64, []Shape) { return Line{Name: e.Name, Look: e.Look}.key() }
