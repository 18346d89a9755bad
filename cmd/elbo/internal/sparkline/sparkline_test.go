package sparkline

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"
)

var nan = math.NaN()

// TestALineShowsEachNumberByTheHeightOfItsMark.
func TestALineShowsEachNumberByTheHeightOfItsMark(t *testing.T) {
	for _, c := range []struct {
		name    string
		values  []float64
		columns int
		marks   Marks
		want    string
	}{
		{"nothing", nil, 10, Blocks, ""},
		{"no columns", []float64{1, 2}, 0, Blocks, ""},
		{"one number", []float64{-103}, 10, Blocks, "▅"},
		{"equal numbers", []float64{7, 7, 7}, 10, Blocks, "▅▅▅"},
		{"each eighth of the range", []float64{0, 1, 2, 3, 4, 5, 6, 7}, 8, Blocks, "▁▂▃▄▅▆▇█"},
		{"falling", []float64{2, 1, 0}, 8, Blocks, "█▅▁"},
		{"in ASCII", []float64{0, 1, 2, 3, 4, 5, 6, 7}, 8, ASCII, ".:-=+*#@"},
		{"a gap", []float64{0, nan, 7}, 10, Blocks, "▁ █"},
		{"nothing but gaps", []float64{nan, nan}, 10, Blocks, "  "},
		{"infinities are gaps", []float64{math.Inf(-1), 0, 7, math.Inf(1)}, 10, Blocks, " ▁█ "},
		{"means of two", []float64{0, 0, 0, 8, 8, 8}, 3, Blocks, "▁▅█"},
		{"uneven shares: one, two and two", []float64{0, 4, 4, 8, 8}, 3, Blocks, "▁▅█"},
		{"a mean of what is there", []float64{0, nan, nan, nan, 8, nan}, 3, Blocks, "▁ █"},
		{"the largest range", []float64{-math.MaxFloat64, 0, math.MaxFloat64}, 9, Blocks, "▁▅█"},
		{"the smallest range", []float64{0, math.SmallestNonzeroFloat64}, 9, Blocks, "▅▅"},
		{"a single column", []float64{0, 8}, 1, Blocks, "▅"},
	} {
		if got := rangeOf(c.values).Line(c.values, c.columns, c.marks); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// TestANumberBeyondTheScaleHasTheNearestMark.
func TestANumberBeyondTheScaleHasTheNearestMark(t *testing.T) {
	for _, c := range []struct {
		scale Scale
		want  string
	}{{Scale{0, 1}, "▁▁██"}, {Scale{0, 0}, "▁▅██"}} {
		if got := c.scale.Line([]float64{-9, 0, 1, math.MaxFloat64}, 4, Blocks); got != c.want {
			t.Errorf("%v: %q, want %q", c.scale, got, c.want)
		}
	}
}

// TestTheFirstEpochsDoNotFlattenTheRest: up to a tenth of a series may lie beyond its scale, where
// that more than halves the scale, and no more of it than has to.
func TestTheFirstEpochsDoNotFlattenTheRest(t *testing.T) {
	long := make([]float64, 20)
	for i := range long {
		long[i] = -100 + float64(i)/20
	}
	long[0] = -500
	for _, c := range []struct {
		name   string
		values []float64
		want   Scale
	}{
		{"a far beginning", []float64{-200, -110, -105, -104}, Scale{-110, -104}},
		{"too few to tell", []float64{-200, -110, -105}, Scale{-200, -105}},
		{"not so far", []float64{-107, -104, -103, -101}, Scale{-107, -101}},
		{"the first alone, of two that it might be", long, Scale{-100 + 1.0/20, -100 + 19.0/20}},
		{"a gap at the beginning", []float64{nan, -110, -105, -104}, Scale{-110, -104}},
		{"all gaps but the first", []float64{-3, nan, nan, nan}, Scale{-3, -3}},
	} {
		if got := Settled(c.values); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	if s := Settled([]float64{nan}); !s.empty() {
		t.Errorf("the scale of no number is %v, want an empty one", s)
	}
}

// TestALineFitsItsColumnsAndRisesWithItsNumbers, whatever they are: it has as many marks as there
// are numbers or columns, whichever is less, and of a rising series none is below the one before.
func TestALineFitsItsColumnsAndRisesWithItsNumbers(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		values := make([]float64, random.IntN(40))
		v := 0.0
		for i := range values {
			v += random.ExpFloat64() * math.Pow(10, random.Float64()*20-10)
			values[i] = v
		}
		columns := random.IntN(30)
		line := Settled(values).Line(values, columns, Blocks)
		if got, want := utf8.RuneCountInString(line), min(len(values), columns); got != want {
			t.Fatalf("%d numbers in %d columns: %q has %d, want %d", len(values), columns, line, got, want)
		}
		last := 0
		for _, mark := range line {
			level := strings.IndexRune(string(Blocks), mark)
			if level < last {
				t.Fatalf("%v rise, and %q does not", values, line)
			}
			last = level
		}
	}
}
