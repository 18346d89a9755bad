package chart

import (
	"bytes"
	"encoding/xml"
	"image"
	"image/color"
	"io"
	"math"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func curve(name string, values ...float64) Line {
	l := Line{Name: name, Y: values}
	for i := range values {
		l.X = append(l.X, float64(i+1))
	}
	return l
}

// curves is a chart of lines over epochs, each with its own look.
func curves(title, label string, lines ...Line) Chart {
	c := Chart{Title: title, X: Axis{Label: "epoch", Each: "epoch", Whole: true}, Y: Axis{Label: label}, LeaveOutFirst: true}
	for i, l := range lines {
		c.Layers = append(c.Layers, Curve(i, l.Name, l.X, l.Y))
	}
	return c
}

// drawn is the chart as a PNG; as an SVG it must be XML.
func drawn(t interface{ Fatal(...any) }, c Chart) image.Image {
	var svg strings.Builder
	if err := (Sheet{{c}}).SVG(&svg); err != nil {
		t.Fatal(err)
	}
	inline, err := c.Inline()
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{svg.String(), string(inline)} {
		for d := xml.NewDecoder(strings.NewReader(text)); ; {
			if _, err := d.Token(); err == io.EOF {
				break
			} else if err != nil {
				t.Fatal(err)
			}
		}
		if strings.Contains(text, "NaN") || strings.Contains(text, "Inf") {
			t.Fatal("an SVG holds what is no number")
		}
	}
	img, err := Sheet{{c}}.PNG()
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// With values at the ticks, every point must be where two lines of the plot cross; that is read off the picture alone.
func TestCurvesDrawsEachPointWhereTheAxesPutIt(t *testing.T) {
	a, b := []int{5, 4, 3, 2, 1, 0}, []int{0, 3, 1, 4, 2, 5}
	ca, cb := curve("falling"), curve("rising")
	for i := range a {
		ca.X, ca.Y = append(ca.X, float64(i)), append(ca.Y, float64(a[i]))
		cb.X, cb.Y = append(cb.X, float64(i)), append(cb.Y, float64(b[i]))
	}
	img := drawn(t, curves("Bound", "nats per image", ca, cb))
	wantSize(t, img, 1200, 640)
	across, down := gridLinesOf(img)
	if len(across) != 7 || len(down) != 7 {
		t.Fatalf("lines across at %v, down at %v, want an axis and six ticks each", across, down)
	}
	x := func(epoch int) int { return across[1+epoch] } // the y axis is the leftmost line
	y := func(value int) int { return down[5-value] }   // the x axis is the lowest line
	for i := range a {
		if got := at(img, x(i), y(a[i])); got != CurveInk(0).light() {
			t.Errorf("%s: epoch %d, value %d: %v, want %v", ca.Name, i, a[i], got, CurveInk(0).light())
		}
		if got := at(img, x(i), y(b[i])); got != CurveInk(1).light() {
			t.Errorf("%s: epoch %d, value %d: %v, want %v", cb.Name, i, b[i], got, CurveInk(1).light())
		}
	}
	// Between epochs 0 and 1 the first curve falls from 5 to 4: its line passes through the middle.
	if got := at(img, (x(0)+x(1))/2, (y(5)+y(4))/2); got != CurveInk(0).light() {
		t.Errorf("no line between the points, but %v", got)
	}
	if got := at(img, x(5), y(3)); got == CurveInk(0).light() || got == CurveInk(1).light() {
		t.Errorf("a curve where there is no point: %v", got)
	}
}

func TestTheRangeLeavesOutFirstEpochsThatWouldFlattenTheRest(t *testing.T) {
	rise := func(n int, first ...float64) []float64 { // the first values, then -100 to -90 in equal steps
		values := append([]float64{}, first...)
		for i := len(first); i < n; i++ {
			values = append(values, -100+10*float64(i-len(first))/float64(n-1-len(first)))
		}
		return values
	}
	for name, c := range map[string]struct {
		values []float64
		want   Span
		note   string
	}{
		"an outlier in ten epochs":   {rise(10, -540), Span{-100, -90}, "Outside the range shown: epoch 1, down to −540."},
		"a first epoch in line":      {rise(10, -105), Span{-105, -90}, ""},
		"just twice the rest":        {rise(10, -110), Span{-110, -90}, ""},
		"just over twice the rest":   {rise(10, -110.5), Span{-100, -90}, "Outside the range shown: epoch 1, down to −110.5."},
		"an outlier that falls":      {rise(10, 75.25), Span{-100, -90}, "Outside the range shown: epoch 1, up to 75.25."},
		"both ways":                  {rise(40, -540, 75.25, -300), Span{-100, -90}, "Outside the range shown: epochs 1 to 3, down to −540, up to 75.25."},
		"no more than needed":        {rise(40, -540, -101, -101), Span{-101, -90}, "Outside the range shown: epoch 1, down to −540."},
		"no more than a tenth":       {rise(10, -540, -530), Span{-540, -90}, ""}, // without the first it would be flat still
		"too few epochs":             {[]float64{-540, -100, -90}, Span{-540, -90}, ""},
		"four epochs":                {[]float64{-540, -100, -95, -90}, Span{-100, -90}, "Outside the range shown: epoch 1, down to −540."},
		"an outlier later":           {[]float64{-100, -98, -96, -540, -94, -92, -90}, Span{-540, -90}, ""},
		"the first is not a number":  {rise(10, math.NaN()), Span{-100, -90}, "1 value is not finite (red cross)."},
		"constant but for the first": {[]float64{-90.5, -90, -90, -90, -90}, Span{-90, -90}, ""}, // opens to [-91, -89]
	} {
		got := curves("", "", curve("bound", c.values...)).settled()
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: range (-want +got):\n%s", name, diff)
		}
		note := strings.Join(curves("", "", curve("bound", c.values...)).missing(got.open(0.05), false), " ")
		if note != c.note {
			t.Errorf("%s: note %q, want %q", name, note, c.note)
		}
	}
}

// However far below the range the first epoch is, the line to the second comes straight up from the foot of the plot.
func TestALineFromOutsideTheRangeEntersThePlot(t *testing.T) {
	for _, first := range []float64{-1e4, -1e20, -1e300} {
		img := drawn(t, curves("", "", curve("bound", first, 0, 4e-9, 1e-9, 3e-9, 2e-9)))
		across, down := gridLinesOf(img)
		bottom := down[len(down)-1]
		if !hasColour(img, image.Rect(across[2]-3, bottom-6, across[2]+3, bottom-2), CurveInk(0).light()) {
			t.Errorf("first value %g: no line enters under epoch 2", first)
		}
	}
}

func TestCurvesMarksWhatIsNotFinite(t *testing.T) {
	img := drawn(t, curves("", "", curve("bound", -100, math.NaN(), -99, math.Inf(-1), -98)))
	across, down := gridLinesOf(img)
	if len(across) != 6 {
		t.Fatalf("lines across at %v, want an axis and five epochs", across)
	}
	bottom := down[len(down)-1]
	for i, want := range []bool{false, true, false, true, false} {
		got := hasColour(img, image.Rect(across[i+1]-10, bottom-40, across[i+1]+10, bottom), Fault.light())
		if got != want {
			t.Errorf("epoch %d: red cross %v, want %v", i+1, got, want)
		}
	}
	// No line bridges the gap: half-way between epochs 1 and 3 the first colour is nowhere.
	if hasColour(img, image.Rect(across[2]-5, down[0], across[2]+5, bottom), CurveInk(0).light()) {
		t.Errorf("the curve goes on through a value that is not a number")
	}
}

func hasColour(img image.Image, r image.Rectangle, c color.RGBA) bool {
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			if at(img, x, y) == c {
				return true
			}
		}
	}
	return false
}

func TestCurvesHasAPlaceForEverySoManyNames(t *testing.T) {
	many := make([]Line, 60)
	for i := range many {
		many[i] = curve(strings.Repeat("a long name\n", 30), make([]float64, 30)...)
	}
	c := curves(strings.Repeat("title ", 500), strings.Repeat("nats ", 500), many...)
	c.Height = 360 // of which the head takes a third, and the plot more than the half that gridLinesOf asks for
	img := drawn(t, c)
	across, down := gridLinesOf(img)
	if len(across) < 3 || len(down) < 3 {
		t.Errorf("lines across at %v, down at %v: the plot has no room", across, down)
	}
	if got := inked(img, image.Rect(1180, 0, 1200, 720)); got {
		t.Errorf("text runs into the right margin")
	}
}

func TestPanelsHaveTheirAxesInLine(t *testing.T) {
	var axes []int
	for _, values := range [][]float64{{-104, -97.1}, {0, 25}, {0.001, 0.002}} {
		img := drawn(t, curves("t", "nats per image", curve("bound", values...)))
		across, _ := gridLinesOf(img)
		axes = append(axes, across[0])
	}
	for _, x := range axes {
		if distance(x, axes[0]) > 1 { // rounding to pixels
			t.Errorf("axes at %v, want them in line", axes)
		}
	}
}

func TestAChartRefusesSlicesOfDifferentLength(t *testing.T) {
	c := Chart{Title: "t", Layers: []Layer{
		Line{Name: "a", X: []float64{1, 2}, Y: []float64{1}}, curve("b", 1), Band{Name: "c", X: []float64{1}, Low: []float64{1}},
		Points{Name: "d", X: []float64{1}, Y: []float64{1}, Radii: []float64{1, 2}}, Contour{Field: Field{W: 2, H: 2}},
	}}
	const want = `chart "t": line "a": 2 x but 1 y, want as many of one as of the other
chart "t": band "c": 1 x but 0 y, want as many of one as of the other
chart "t": points "d": 2 radii and 0 looks for 1 points, want one for each or none
chart "t": field: 0 values on 2×2 points, want one on each of 2×2 or more`
	if img, err := (Sheet{{c}}).PNG(); err == nil || err.Error() != want || img != nil {
		t.Errorf("error %v, want %s", err, want)
	}
	if err := (Sheet{{c}}).SVG(io.Discard); err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
	if text, err := c.Inline(); err == nil || err.Error() != want || text != "" {
		t.Errorf("error %v, want %s", err, want)
	}
	if _, err := (Sheet{}).PNG(); err == nil {
		t.Error("no chart: no error")
	}
}

func TestCurvesTakesAnyValue(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for name, c := range map[string]Line{
		"no point":           {Name: "a"},
		"one point":          curve("a", -97),
		"one at nought":      {Name: "a", X: []float64{0}, Y: []float64{0}},
		"all equal":          curve("a", -97, -97, -97, -97),
		"one epoch twice":    {Name: "a", X: []float64{1, 1}, Y: []float64{1, 2}},
		"all not a number":   curve("a", nan, nan),
		"all infinite":       curve("a", inf, -inf, inf),
		"some not finite":    curve("a", nan, 1, inf, 2, -inf),
		"epochs not finite":  {Name: "a", X: []float64{nan, inf, -inf, 3}, Y: []float64{1, 2, 3, 4}},
		"no finite epoch":    {Name: "a", X: []float64{nan}, Y: []float64{1}},
		"epochs fall":        {Name: "a", X: []float64{3, 2, 1}, Y: []float64{1, 2, 3}},
		"epochs broken":      {Name: "a", X: []float64{0.1, 0.2, 0.30001}, Y: []float64{1, 2, 3}},
		"huge":               curve("a", -math.MaxFloat64, math.MaxFloat64),
		"almost huge":        curve("a", -1e300, 1e300),
		"huge first":         curve("a", -1e300, 1, 2, 3, 4, 5),
		"tiny":               curve("a", 0, 5e-324),
		"tiny steps of much": curve("a", 1e16, 1e16+2, 1e16+4),
		"huge epochs":        {Name: "a", X: []float64{-1e300, 0, 1e300}, Y: []float64{1, 2, 3}},
		"close epochs":       {Name: "a", X: []float64{1e16, 1e16 + 2}, Y: []float64{1, 2}},
	} {
		t.Run(name, func(t *testing.T) { wantSize(t, drawn(t, curves("t", "y", c, curve("b"))), 1200, 640) })
	}
}

func TestCurvesNeverPanics(t *testing.T) {
	if testing.Short() {
		t.Skip("draws a hundred pictures, which takes ten seconds under the race detector")
	}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 6).Draw(t, "n")
		value := rapid.OneOf(rapid.Float64(), rapid.Float64Range(-200, -80), rapid.Just(math.NaN()))
		c := Line{
			Name: rapid.StringN(0, 10, -1).Draw(t, "name"),
			X:    rapid.SliceOfN(rapid.OneOf(rapid.Float64Range(0, 9), rapid.Float64()), n, n).Draw(t, "epoch"),
			Y:    rapid.SliceOfN(value, n, n).Draw(t, "value"),
		}
		title := rapid.StringN(0, 20, -1).Draw(t, "title")
		drawn(t, curves(title, title, c))
	})
}

func TestTheSameSlicesGiveTheSamePixelsFromAnyGoroutine(t *testing.T) {
	draw := func() []uint8 {
		img, err := Sheet{{curves("Bound", "nats per image", curve("training", -120, -101, -99), curve("validation", -119, -102, -100))}}.PNG()
		if err != nil {
			t.Error(err)
			return nil
		}
		return img.(*image.RGBA).Pix
	}
	want := draw()
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			if !bytes.Equal(draw(), want) {
				t.Error("pixels differ")
			}
		})
	}
	wg.Wait()
}
