package chart

import (
	"fmt"
	"math"
)

// Look is what tells one layer from another.
type Look struct {
	Ink          Ink
	Dashed, Thin bool
	Form         Form // of its marks
}

// CurveLook is the look of the i-th curve: colours first, then the same colours dashed.
func CurveLook(i int) Look { return Look{Ink: CurveInk(i), Dashed: i >= curveInks, Form: Form(i % 3)} }

func (l Look) line() Paint {
	p := Paint{Stroke: l.Ink, Width: 1.9, Dashed: l.Dashed}
	if l.Thin {
		p.Width = 1.2
	}
	return p
}

// mark is a mark of the look, with a rim that sets it apart from others.
func (l Look) mark(at Point, radius float64) Mark {
	m := Mark{At: at, Form: l.Form, Radius: radius, Paint: Paint{Fill: l.Ink, Stroke: Paper, Width: 0.7}}
	if l.Form == Ring {
		m.Paint = Paint{Stroke: l.Ink, Width: 1.6}
	}
	return m
}

const (
	sampleWidth = 24. // of a line in a legend
	markRadius  = 3.
)

// Line is a curve through the points (X[i], Y[i]). A value that is not finite interrupts it, and a red cross at the
// foot of the plot marks its place.
type Line struct {
	Name string
	Look
	X, Y   []float64
	Marked bool // each point has a mark; one that is not joined to another has one always
}

// Curve is the i-th of some lines in a chart, with marks where it has few points.
func Curve(i int, name string, x, y []float64) Line {
	return Line{Name: name, Look: CurveLook(i), X: x, Y: y, Marked: len(x) <= 25}
}

func (l Line) check() error { return sameLength("line", l.Name, len(l.X), len(l.Y)) }

func sameLength(what, name string, x, y int) error {
	if x != y {
		return fmt.Errorf("%s %q: %d x but %d y, want as many of one as of the other", what, name, x, y)
	}
	return nil
}

func (l Line) hold(skip func(n int) int, add func(x, y float64)) {
	first := skip(len(l.X))
	for i, y := range l.Y {
		if i < first {
			y = math.NaN()
		}
		add(l.X[i], y)
	}
}

func (l Line) draw(f *frame) {
	for _, run := range f.runs(l.X, l.Y) {
		var points []Point
		for _, i := range run {
			points = append(points, f.at(l.X[i], l.Y[i]))
		}
		f.line(l.line(), points...)
		for _, p := range points {
			if l.Marked || len(run) == 1 {
				f.mark(l.mark(p, markRadius))
			}
		}
	}
	const r = 4
	for i, x := range l.X {
		if f.x.drawable(x) && !f.y.drawable(l.Y[i]) {
			at := At(f.x.at(x), f.y.from-2*r)
			f.line(Paint{Stroke: Fault, Width: 4. / 3}, at.Add(At(-r, -r)), at.Add(At(r, r)))
			f.line(Paint{Stroke: Fault, Width: 4. / 3}, at.Add(At(-r, r)), at.Add(At(r, -r)))
		}
	}
}

// runs returns the indices of the points, cut where one has no place.
func (f *frame) runs(x, y []float64) (runs [][]int) {
	joined := false
	for i := range x {
		switch ok := f.has(x[i], y[i]); {
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

func (l Line) key() (string, float64, []Shape) {
	sample := []Shape{Path{[][]Point{{At(0, 0), At(sampleWidth, 0)}}, l.line()}}
	if l.Marked {
		sample = append(sample, l.mark(At(sampleWidth/2, 0), markRadius))
	}
	return l.Name, sampleWidth, sample
}

// Band is the area between Low and High over X: an error, or a gap.
type Band struct {
	Name         string
	Ink          Ink
	X, Low, High []float64
}

func (b Band) paint() Paint { return Paint{Fill: b.Ink, Opacity: 0.22} }

func (b Band) check() error {
	if err := sameLength("band", b.Name, len(b.X), len(b.Low)); err != nil {
		return err
	}
	return sameLength("band", b.Name, len(b.X), len(b.High))
}

func (b Band) hold(skip func(n int) int, add func(x, y float64)) {
	for i := skip(len(b.X)); i < len(b.X); i++ {
		add(b.X[i], b.Low[i])
		add(b.X[i], b.High[i])
	}
}

func (b Band) draw(f *frame) {
	both := make([]float64, len(b.X)) // a number where both are
	for i := range both {
		both[i] = b.Low[i]
		if !f.y.drawable(b.High[i]) {
			both[i] = math.NaN()
		}
	}
	for _, run := range f.runs(b.X, both) {
		var upper, lower []Point
		for n, i := range run {
			upper = append(upper, f.at(b.X[i], b.High[i]))
			j := run[len(run)-1-n]
			lower = append(lower, f.at(b.X[j], b.Low[j]))
		}
		f.fill(b.paint(), append(upper, lower...)...)
	}
}

func (b Band) key() (string, float64, []Shape) {
	box := []Point{At(0, -5), At(sampleWidth, -5), At(sampleWidth, 5), At(0, 5)}
	return b.Name, sampleWidth, []Shape{Path{[][]Point{box}, b.paint()}}
}
