package chart

import "fmt"

// Points are marks at (X[i], Y[i]). Those that are not finite are left out.
type Points struct {
	Name string
	Look
	Radius  float64
	X, Y    []float64
	Radii   []float64 // nil, or the radius of each
	Looks   []Look    // nil, or the look of each
	Opacity float64   // 0: opaque, with a rim
}

func (p Points) check() error {
	if p.Radii != nil && len(p.Radii) != len(p.X) || p.Looks != nil && len(p.Looks) != len(p.X) {
		return fmt.Errorf("points %q: %d radii and %d looks for %d points, want one for each or none", p.Name, len(p.Radii), len(p.Looks), len(p.X))
	}
	return sameLength("points", p.Name, len(p.X), len(p.Y))
}

func (p Points) hold(_ func(n int) int, add func(x, y float64)) {
	for i, x := range p.X {
		if drawable(x) && drawable(p.Y[i]) {
			add(x, p.Y[i])
		}
	}
}

func (p Points) draw(f *frame) {
	for i, x := range p.X {
		if !f.has(x, p.Y[i]) {
			continue
		}
		look, radius := p.Look, p.radius()
		if p.Looks != nil {
			look = p.Looks[i]
		}
		if p.Radii != nil {
			radius = p.Radii[i]
		}
		m := look.mark(f.at(x, p.Y[i]), radius)
		if p.Opacity != 0 {
			m.Paint = Paint{Fill: look.Ink, Opacity: p.Opacity}
		}
		f.mark(m)
	}
}

func (p Points) radius() float64 {
	if p.Radius == 0 {
		return markRadius
	}
	return p.Radius
}

func (p Points) key() (string, float64, []Shape) {
	r := max(p.radius(), 3.7)
	return p.Name, 2 * r, []Shape{p.mark(At(r, 0), r)}
}

// Whiskers are error bars from Low[i] to High[i] along the y axis at At[i]; or, across, along the x axis.
type Whiskers struct {
	Name          string
	Look          Look
	Across        bool
	At, Low, High []float64
}

func (w Whiskers) check() error {
	return Band{Name: w.Name, X: w.At, Low: w.Low, High: w.High}.check()
}

// ends calls do for both ends of each whisker.
func (w Whiskers) ends(do func(x0, y0, x1, y1 float64)) {
	for i, at := range w.At {
		if w.Across {
			do(w.Low[i], at, w.High[i], at)
		} else {
			do(at, w.Low[i], at, w.High[i])
		}
	}
}

func (w Whiskers) hold(_ func(n int) int, add func(x, y float64)) {
	w.ends(func(x0, y0, x1, y1 float64) { add(x0, y0); add(x1, y1) })
}

func (w Whiskers) draw(f *frame) {
	cap := At(0, 4)
	if !w.Across {
		cap = At(4, 0)
	}
	w.ends(func(x0, y0, x1, y1 float64) {
		if f.has(x0, y0) && f.has(x1, y1) {
			a, b := f.at(x0, y0), f.at(x1, y1)
			f.line(w.Look.line(), a, b)
			f.line(w.Look.line(), a.Sub(cap), a.Add(cap))
			f.line(w.Look.line(), b.Sub(cap), b.Add(cap))
		}
	})
}

func (w Whiskers) key() (string, float64, []Shape) {
	pieces := [][]Point{{At(0, 0), At(sampleWidth, 0)}, {At(0, -4), At(0, 4)}, {At(sampleWidth, -4), At(sampleWidth, 4)}}
	return w.Name, sampleWidth, []Shape{Path{pieces, w.Look.line()}}
}

// Label is text in the middle of (X, Y), with a rim of paper.
type Label struct {
	X, Y float64
	Text string
}

func (l Label) check() error                                      { return nil }
func (l Label) hold(_ func(n int) int, add func(x, y float64))    { add(l.X, l.Y) }
func (l Label) key() (name string, width float64, sample []Shape) { return "", 0, nil }
func (l Label) draw(f *frame) {
	const size = 52. / 3 // 13 points
	if at := f.at(l.X, l.Y); f.has(l.X, l.Y) && f.area.Contains(at) {
		f.shapes = append(f.shapes, Text{At: at.Add(At(0, 0.36*size)), Anchor: 0.5, Size: size, Ink: Black, Bold: true, Halo: true, Value: l.Text})
	}
}
