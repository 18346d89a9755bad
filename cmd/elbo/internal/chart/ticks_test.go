package chart

import (
	"image"
	"image/color"
	"math"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestTicksAreRoundAndLabelledApart(t *testing.T) {
	for _, c := range []struct {
		lo, hi float64
		about  int
		whole  bool
		want   string
	}{
		{-104.5, -96.7, 6, false, "−104 −102 −100 −98"},
		{0, 1, 6, false, "0.0 0.2 0.4 0.6 0.8 1.0"},
		{0, 0.6, 6, false, "0.0 0.1 0.2 0.3 0.4 0.5 0.6"},
		{0, 0.0031, 6, false, "0.000 0.001 0.002 0.003"},
		{-0.3, 0.31, 6, false, "−0.2 0.0 0.2"},
		{-3, 3, 7, false, "−3 −2 −1 0 1 2 3"},
		{1, 100, 10, true, "10 20 30 40 50 60 70 80 90 100"},
		{0.95, 3.05, 10, true, "1 2 3"},
		{7, 7, 10, true, "7"},
		{-207.1, -207.09, 6, false, "−207.100 −207.098 −207.096 −207.094 −207.092 −207.090"},
		{0, 3e-6, 6, false, "0 5e−07 1.0e−06 1.5e−06 2.0e−06 2.5e−06 3.0e−06"},
		{-2.5e7, 0, 6, false, "−2.5e+07 −2.0e+07 −1.5e+07 −1.0e+07 −5e+06 0"},
		{1e300, 1e300, 6, true, ""}, // 1 is far below the precision of 1e300; what matters is that it ends
	} {
		var got []string
		for _, m := range Ticks(Span{c.lo, c.hi}, c.about, c.whole) {
			got = append(got, m.Label)
		}
		if c.want == "" {
			if len(got) > 1 {
				t.Errorf("[%g, %g]: ticks %q, want at most one", c.lo, c.hi, got)
			}
			continue
		}
		if diff := cmp.Diff(c.want, strings.Join(got, " ")); diff != "" {
			t.Errorf("[%g, %g] (-want +got):\n%s", c.lo, c.hi, diff)
		}
	}
}

func TestTicksOfAnyRangeAreFewAndWithinIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.Float64Range(-1e300, 1e300)
		s := Empty().With(value.Draw(t, "a")).With(value.Draw(t, "b")).open(0.05)
		marks := Ticks(s, 6, false)
		// A step is at least a sixth of the range and less than 2.5 times that, so 2 to 7 multiples fall into it.
		if len(marks) < 2 || len(marks) > 7 {
			t.Fatalf("%v: %d ticks, want 2 to 7", s, len(marks))
		}
		seen := map[string]bool{}
		for _, m := range marks {
			if tolerance := 1e-9 * s.size(); m.Value < s.Lo-tolerance || m.Value > s.Hi+tolerance {
				t.Fatalf("%v: tick at %g", s, m.Value)
			}
			if m.Label == "" || seen[m.Label] {
				t.Fatalf("%v: label %q is empty or there twice", s, m.Label)
			}
			seen[m.Label] = true
		}
	})
}

func TestSpansWithoutSizeHaveNoTicks(t *testing.T) {
	for _, bad := range []Span{{0, 0}, {1, 0}, {math.NaN(), 1}, {0, math.Inf(1)}} {
		if got := Ticks(bad, 5, false); len(got) != 0 {
			t.Errorf("%v has ticks %v", bad, got)
		}
	}
}

func TestLogarithmicTicksArePowersOfTen(t *testing.T) {
	for _, c := range []struct {
		lo, hi float64
		want   string
	}{
		{0.004, 230, "0.01 0.1 1 10 100"},
		{1e-6, 1e4, "1e−6 1e−4 0.01 1 100 1e4"}, // every other, of eleven
		{3, 40, "5 10 20"},
		{2e-5, 6e-5, "2e−5 5e−5"},
	} {
		var got []string
		for _, m := range logTicks(Span{math.Log10(c.lo), math.Log10(c.hi)}) {
			got = append(got, m.Label)
		}
		if diff := cmp.Diff(c.want, strings.Join(got, " ")); diff != "" {
			t.Errorf("[%g, %g] (-want +got):\n%s", c.lo, c.hi, diff)
		}
	}
}

func TestOpenedRangesAreWiderThanTheirValues(t *testing.T) {
	for _, c := range []struct{ in, want Span }{
		{Empty(), Span{0, 1}},
		{Span{-97, -97}, Span{-98, -96}},
		{Span{0, 0}, Span{-1, 1}},
		{Span{0, 10}, Span{-0.5, 10.5}},
		{Span{1e12, 1e12}, Span{1e12 - 1000, 1e12 + 1000}},
		{Span{0, 5e-324}, Span{-1e-12, 1e-12}},
	} {
		if got := c.in.open(0.05); got != c.want {
			t.Errorf("%v opens to %v, want %v", c.in, got, c.want)
		}
	}
}

func TestShortenedTextFitsInOneLine(t *testing.T) {
	label := func(txt string) Text { return Text{Value: txt, Size: LabelSize} }
	rapid.Check(t, func(t *rapid.T) {
		room := rapid.Float64Range(0, 100).Draw(t, "room")
		got := label(rapid.String().Draw(t, "txt")).Shortened(room)
		if got.Width() > room {
			t.Fatalf("%q is %v wide, want at most %v", got.Value, got.Width(), room)
		}
		if strings.ContainsAny(got.Value, "\n\r\t\x00") || !utf8.ValidString(got.Value) {
			t.Fatalf("%q is not a line of text", got.Value)
		}
	})
	for _, c := range []struct {
		in   string
		room float64
		want string
	}{
		{"nats per image", 130, "nats per image"},
		{"nats\nper image ", 130, "nats per image"},
		{"nats per image", 53, "nats pe…"},
		{strings.Repeat("m", 1_000_000), 40, "mm…"},
		{"nats", 1, ""},
	} {
		if got := label(c.in).Shortened(c.room).Value; got != c.want {
			t.Errorf("%.20q in %v: %q, want %q", c.in, c.room, got, c.want)
		}
	}
}

func TestWrappedTextIsAllThereInTwoLinesOrCut(t *testing.T) {
	for _, c := range []struct {
		in   string
		want []string
	}{
		{"", nil},
		{"nats", []string{"nats"}},
		{"nats per image", []string{"nats per", "image"}},
		{"nats per image, high", []string{"nats per", "image, …"}},
		{strings.Repeat("n", 100), []string{"nnnnnn…"}},
	} {
		var got []string
		for _, line := range (Text{Value: c.in, Size: LabelSize}).wrapped(55) {
			got = append(got, line.Value)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%.20q (-want +got):\n%s", c.in, diff)
		}
	}
}

// gridLinesOf returns where the lines of a plot cross a panel, across and down, axis lines included: the columns and rows of
// which at least half of the plot's height or width is drawn on.
func gridLinesOf(img image.Image) (across, down []int) {
	b := img.Bounds()
	scan := func(n, length int, drawn func(i, j int) bool) (lines []int) {
		start := -1
		for i := range n + 1 {
			count := 0
			for j := range length {
				if i < n && drawn(i, j) {
					count++
				}
			}
			switch on := 2*count > length; {
			case on && start < 0:
				start = i
			case !on && start >= 0:
				lines, start = append(lines, (start+i-1)/2), -1
			}
		}
		return lines
	}
	across = scan(b.Dx(), b.Dy(), func(x, y int) bool { return at(img, x, y) != Paper.light() })
	down = scan(b.Dy(), b.Dx(), func(y, x int) bool { return at(img, x, y) != Paper.light() })
	return across, down
}

func distance(a, b int) float64 { return math.Abs(float64(a - b)) }

func at(img image.Image, x, y int) color.RGBA {
	return color.RGBAModel.Convert(img.At(x, y)).(color.RGBA)
}

// wantSize fails unless img starts at the origin and has the size.
func wantSize(t *testing.T, img image.Image, width, height int) {
	t.Helper()
	if got, want := img.Bounds(), image.Rect(0, 0, width, height); got != want {
		t.Fatalf("bounds %v, want %v", got, want)
	}
}

// inked reports whether anything is drawn within the rectangle.
func inked(img image.Image, r image.Rectangle) bool {
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			if at(img, x, y) != Paper.light() {
				return true
			}
		}
	}
	return false
}
