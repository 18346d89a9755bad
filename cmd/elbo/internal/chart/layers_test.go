package chart

import (
	"image"
	"math"
	"strings"
	"testing"

	"gonum.org/v1/plot/vg"
)

// everyLayer has one of each over [0, 4] x [0, 4], each in an ink of its own.
func everyLayer() []Layer {
	look := func(i int) Look { return Look{Ink: GroupInk(i)} }
	ramp := Field{W: 2, H: 2, X: Span{3, 4}, Y: Span{0, 1}, Values: []float64{0, 1, 0, 1}}
	return []Layer{
		Band{Name: "band", Ink: GroupInk(1), X: []float64{0, 4}, Low: []float64{3.2, 3.2}, High: []float64{3.8, 3.8}},
		Line{Name: "line", Look: look(2), X: []float64{0, 4}, Y: []float64{3, 3}},
		Points{Name: "points", Look: Look{Ink: GroupInk(3), Form: Box}, Radius: 5, X: []float64{0.5}, Y: []float64{2}},
		Whiskers{Name: "whiskers", Look: look(4), At: []float64{1.5}, Low: []float64{1.6}, High: []float64{2.4}},
		Whiskers{Look: look(5), Across: true, At: []float64{2}, Low: []float64{2.2}, High: []float64{2.8}},
		Ellipse{Name: "ellipse", Look: look(6), X: 1, Y: 0.7, RadiusX: 0.6, RadiusY: 0.3},
		Heat{ramp}, Contour{ramp, look(7), 0.5},
		Label{X: 2, Y: 1, Text: "label"},
	}
}

// TestBothRenderersDrawEveryLayer where the axes put it.
func TestBothRenderersDrawEveryLayer(t *testing.T) {
	shown := Axis{Range: Span{-0.5, 4.5}, Ticks: []Tick{{0, "0"}, {4, "4"}}}
	c := Chart{X: shown, Y: shown, Layers: everyLayer()}
	img := drawn(t, c)
	one := Line{Look: Look{Ink: Paper}, X: []float64{1}, Y: []float64{1}}
	c.Layers = []Layer{one, Line{Name: "for a legend", Look: one.Look}}
	cols, rows := gridLinesOf(drawn(t, c)) // of the same axes, with nothing on them
	if len(cols) != 3 || len(rows) != 3 {
		t.Fatalf("lines across at %v, down at %v, want an axis and two ticks each", cols, rows)
	}
	place := func(x, y float64) image.Point {
		return image.Pt(cols[1]+int(x/4*float64(cols[2]-cols[1])+0.5), rows[1]-int(y/4*float64(rows[1]-rows[0])+0.5))
	}
	c.Layers = everyLayer()
	var svg strings.Builder
	if err := (Sheet{{c}}).SVG(&svg); err != nil {
		t.Fatal(err)
	}
	for _, want := range []struct {
		what string
		ink  Ink
		x, y float64
		as   string // of the SVG
	}{
		{"line", GroupInk(2), 0.7, 3, `fill="none" stroke="#0b7b21"`},
		{"points", GroupInk(3), 0.5, 2, `fill="#dcc06b" stroke="#ffffff"`},
		{"whiskers, lower end", GroupInk(4), 1.5, 1.6, `stroke="#84c2ee"`},
		{"whiskers, upper end", GroupInk(4), 1.5, 2.4, ""},
		{"whiskers across, left end", GroupInk(5), 2.2, 2, `stroke="#870957"`},
		{"whiskers across, right end", GroupInk(5), 2.8, 2, ""},
		{"ellipse, right end", GroupInk(6), 1.6, 0.7, `stroke="#9fa020"`},
		{"ellipse, top", GroupInk(6), 1, 1, ""},
		{"contour", GroupInk(7), 3.5, 0.3, `stroke="#cc646b"`},
		{"label", Black, 2, 1, `paint-order="stroke"`},
	} {
		p := place(want.x, want.y)
		if !hasColour(img, image.Rect(p.X-3, p.Y-3, p.X+3, p.Y+3), want.ink.light()) && want.what != "label" {
			t.Errorf("%s: not at %v of the PNG", want.what, p)
		}
		if !strings.Contains(svg.String(), want.as) {
			t.Errorf("%s: the SVG has no %s", want.what, want.as)
		}
	}
	if label := place(2, 1); !hasColour(img, image.Rect(label.X-20, label.Y-20, label.X+20, label.Y+20), Black.light()) {
		t.Errorf("label: not at %v of the PNG", label)
	}
	if got, want := at(img, place(1.2, 3.5).X, place(1.2, 3.5).Y), over255(GroupInk(1).light(), 56); !alike(got, want, 3) {
		t.Errorf("band: %v, want %v", got, want)
	}
	if p := place(3.9, 0.7); at(img, p.X, p.Y).B < at(img, p.X, p.Y).R+30 {
		t.Errorf("heat: %v at its height, want blue", at(img, p.X, p.Y))
	}
	for _, as := range []string{`fill="#a83598" opacity="0.22"`, `<image href="data:image/png;base64,`, ">label</text>", ">whiskers</text>"} {
		if !strings.Contains(svg.String(), as) {
			t.Errorf("the SVG has no %s", as)
		}
	}
}

// TestNothingIsDrawnBesideThePlot, whatever part of the data the axes show.
func TestNothingIsDrawnBesideThePlot(t *testing.T) {
	for _, shown := range []Span{{1, 2}, {0.7, 3.4}, {10, 11}, {-3, -1}} {
		c := Chart{X: Axis{Range: shown}, Y: Axis{Range: shown}, Layers: everyLayer()}
		f := c.frame(vg.Rectangle{Max: At(600, 320)}, shown, shown, false)
		for _, l := range c.Layers {
			l.draw(f)
		}
		within := func(p Point) {
			const slack = 1e-6 // of clipping, in pixels
			if p.X < f.area.Min.X-slack || p.X > f.area.Max.X+slack || p.Y < f.area.Min.Y-slack || p.Y > f.area.Max.Y+slack {
				t.Errorf("%v: %v is beside the plot %v", shown, p, f.area.Rectangle)
			}
		}
		for _, s := range f.shapes {
			switch s := s.(type) {
			case Path:
				for _, piece := range s.Pieces {
					for _, p := range piece {
						within(p)
					}
				}
			case Mark:
				within(s.At)
			case Text:
				within(s.At.Sub(At(0, 7))) // of its base line
			case Picture:
				within(s.Min)
				within(s.Max)
			}
		}
	}
}

// TestAPageByNightHasNoColourOfTheDay: in a page the colours of a chart are those of the style sheet, which has two
// of each.
func TestAPageByNightHasNoColourOfTheDay(t *testing.T) {
	c := curves("t", "nats", curve("a", 1, math.NaN(), 3), curve("b", 3, 2, 1))
	c.Layers = append(c.Layers, Label{X: 2, Y: 2, Text: "l"}, Band{Ink: CurveInk(2), X: []float64{1, 3}, Low: []float64{1, 1}, High: []float64{2, 2}})
	text, err := c.Inline()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "#") {
		t.Errorf("a colour in %s", text)
	}
	css := CSS()
	for _, class := range []string{"f-c0", "s-c1", "f-c2", "s-fault", "f-soft", "s-hair", "s-paper"} {
		if !strings.Contains(string(text), class) || !strings.Contains(css, "."+class+" {") {
			t.Errorf("class %s is not in both the chart and the style sheet", class)
		}
	}
}

// TestTheRangeLeavesOutTheFirstPointsOfEachLine, not of the longest alone: of lines over seconds the slow one's first
// point is late.
func TestTheRangeLeavesOutTheFirstPointsOfEachLine(t *testing.T) {
	fast, slow := curve("fast"), curve("slow")
	for i := range 40 {
		fast.X, fast.Y = append(fast.X, float64(i)), append(fast.Y, -100+float64(i)/4)
	}
	for i := range 10 {
		slow.X, slow.Y = append(slow.X, float64(10*i+30)), append(slow.Y, -100+float64(i))
	}
	slow.Y[0] = -540
	if got, want := curves("", "", fast, slow).settled(), (Span{-99.75, -90.25}); got != want {
		t.Errorf("range %v, want %v", got, want) // without the first point of each
	}
}
