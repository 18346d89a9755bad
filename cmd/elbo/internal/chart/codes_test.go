package chart

import (
	"image"
	"image/color"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// Each label has dots at -2 and 2 of a row of its own, and one between them where its name will stand. So the outer two must
// be where lines cross, in the label's colour.
func TestCodesDrawsEachDotInTheColourOfItsLabel(t *testing.T) {
	var xy []float32
	var labels []uint8
	rows := []int{-2, -1, 0, 1, 2}
	for i, y := range rows {
		for _, x := range []float32{-2, 0, 2} {
			xy = append(xy, x, float32(y))
			labels = append(labels, uint8(2*i)) // 0, 2, 4, 6, 8
		}
	}
	img := drawnCodes(t, xy, labels, "Posterior means")
	wantSize(t, img, 1200, 1240)
	x, y := unitLines(t, img, 2, 2)
	for i, row := range rows {
		want := over255(GroupInk(2*i).light(), 190)
		for _, column := range []int{-2, 2} {
			if got := at(img, x(column), y(row)); !alike(got, want, 12) { // 12: the grid line shines through, (255-230)*65/255 = 6
				t.Errorf("dot at (%d, %d) is %v, want %v", column, row, got, want)
			}
		}
		if got := at(img, x(1), y(row)); alike(got, want, 12) {
			t.Errorf("a dot at (1, %d), where there is no code", row)
		}
	}
	// The legend is above the plot and names these labels and no other.
	top := image.Rect(0, 0, 1200, y(2)-40)
	for label := range groupInks {
		if got, want := hasColour(img, top, GroupInk(label).light()), label%2 == 0 && label < 10; got != want {
			t.Errorf("label %d in the legend: %v, want %v", label, got, want)
		}
	}
}

func drawnCodes(t interface{ Fatal(...any) }, xy []float32, labels []uint8, title string) image.Image {
	c, err := Codes(xy, labels, title)
	if err != nil {
		t.Fatal(err)
	}
	return drawn(t, c)
}

// unitLines returns where the integers are on both axes, found from the lines of a picture with a tick at each integer of
// which the outermost within the data are -across..across and -down..down. The picture may show ticks further out.
func unitLines(t *testing.T, img image.Image, across, down int) (x, y func(int) int) {
	t.Helper()
	cols, rows := gridLinesOf(img)
	cols, rows = cols[1:], rows[:len(rows)-1] // without the axes
	if len(cols)%2 == 0 || len(cols) < 2*across+1 || len(rows)%2 == 0 || len(rows) < 2*down+1 {
		t.Fatalf("lines across at %v, down at %v, want an odd number, symmetric about 0", cols, rows)
	}
	return func(v int) int { return cols[len(cols)/2+v] }, func(v int) int { return rows[len(rows)/2-v] }
}

// over255 returns c drawn on a white page with the given opacity.
func over255(c color.RGBA, alpha int) color.RGBA {
	mix := func(v uint8) uint8 { return uint8((int(v)*alpha + 255*(255-alpha)) / 255) }
	return color.RGBA{mix(c.R), mix(c.G), mix(c.B), 255}
}

func alike(a, b color.RGBA, tolerance float64) bool {
	d := func(a, b uint8) bool { return distance(int(a), int(b)) <= tolerance }
	return d(a.R, b.R) && d(a.G, b.G) && d(a.B, b.B)
}

func TestCodesHasAxesOfEqualScale(t *testing.T) {
	for name, xy := range map[string][]float32{
		"wide":   {-3, -0.1, 3, 0.1},
		"tall":   {-0.1, -3, 0.1, 3},
		"square": {-3, -3, 3, 3},
	} {
		img := drawnCodes(t, xy, nil, "Posterior means")
		cols, rows := gridLinesOf(img)
		cols, rows = cols[1:], rows[:len(rows)-1]
		if len(cols) < 3 || len(rows) < 3 {
			t.Fatalf("%s: lines across at %v, down at %v", name, cols, rows)
		}
		unitX := distance(cols[len(cols)-1], cols[0]) / float64(len(cols)-1)
		unitY := distance(rows[len(rows)-1], rows[0]) / float64(len(rows)-1)
		if math.Abs(unitX-unitY) > 1 { // both ends are rounded to pixels, and there is more than one unit between them
			t.Errorf("%s: a step is %.1f pixels across and %.1f down", name, unitX, unitY)
		}
	}
}

func TestCodesRefusesWhatDoesNotPair(t *testing.T) {
	want := "chart: codes: 5 values are not pairs (z1, z2)\nchart: codes: 3 labels for 2 codes, want one each or nil"
	if _, err := Codes(make([]float32, 5), make([]uint8, 3), "t"); err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
	if _, err := Codes(make([]float32, 4), []uint8{}, "t"); err == nil {
		t.Error("no labels for two codes: no error")
	}
}

func TestCodesTakesAnyValue(t *testing.T) {
	nan, inf, huge := float32(math.NaN()), float32(math.Inf(1)), float32(math.MaxFloat32)
	for name, xy := range map[string][]float32{
		"no code":         nil,
		"one":             {0.5, -0.5},
		"all equal":       {1, 2, 1, 2, 1, 2},
		"on a line":       {0, 1, 0, 2, 0, 3},
		"not finite":      {nan, 0, 0, nan, inf, 0, 0, -inf},
		"some not finite": {nan, 0, 1, 1, inf, 0, 0, -inf},
		"huge":            {-huge, -huge, huge, huge},
		"tiny":            {0, 0, math.SmallestNonzeroFloat32, 0},
		"flat and far":    {-huge, 0, huge, math.SmallestNonzeroFloat32},
		"far from nought": {1e30, 1e-30, 1e30, 2e-30},
	} {
		labels := make([]uint8, len(xy)/2)
		for i := range labels {
			labels[i] = uint8(85 * i)
		}
		for _, l := range [][]uint8{nil, labels} {
			t.Run(name, func(t *testing.T) { wantSize(t, drawnCodes(t, xy, l, ""), 1200, 1240) })
		}
	}
	var all []uint8
	for i := range 256 {
		all = append(all, uint8(i))
	}
	drawnCodes(t, make([]float32, 512), all, "256 labels")
}

func TestCodesSaysWhatItDoesNotDraw(t *testing.T) {
	nan := float32(math.NaN())
	for _, c := range []struct {
		xy   []float32
		want string
	}{
		{nil, "There is no code to draw."},
		{[]float32{1, 1}, ""},
		{[]float32{1, 1, nan, 0}, "1 code is not finite and not drawn."},
		{[]float32{1, 1, nan, 0, 0, nan}, "2 codes are not finite and not drawn."},
	} {
		chart, err := Codes(c.xy, nil, "")
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(chart.Notes, " "); got != c.want {
			t.Errorf("%v: note %q, want %q", c.xy, chart.Notes, c.want)
		}
	}
}

func TestCodesNeverPanics(t *testing.T) {
	if testing.Short() {
		t.Skip("draws a hundred pictures, which takes ten seconds under the race detector")
	}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 5).Draw(t, "n")
		xy := rapid.SliceOfN(rapid.OneOf(rapid.Float32(), rapid.Float32Range(-3, 3)), 2*n, 2*n).Draw(t, "xy")
		labels := rapid.SliceOfN(rapid.Uint8(), n, n).Draw(t, "labels")
		drawnCodes(t, xy, labels, rapid.StringN(0, 20, -1).Draw(t, "title"))
	})
}
