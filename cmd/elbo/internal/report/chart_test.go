package report

import (
	"math"
	"strings"
	"testing"
)

// TestLevelsHoldTheirShareOfAGaussian: the set above the level of a share of the mass of
// a round Gaussian is the disc of radius √(-2 log(1 - share)), and the contour is its
// edge.
func TestLevelsHoldTheirShareOfAGaussian(t *testing.T) {
	const n, reach = 201, 5.0
	field := make([]float64, n*n)
	place := func(i float64) float64 { return -reach + 2*reach*i/(n-1) }
	for y := range n {
		for x := range n {
			field[y*n+x] = math.Exp(-(place(float64(x))*place(float64(x)) + place(float64(y))*place(float64(y))) / 2)
		}
	}
	for i, level := range massLevels(field, contourMass[:]) {
		want := math.Sqrt(-2 * math.Log(1-contourMass[i]))
		// The level is that of a lattice point: off by no more than a spacing, 0.05.
		if r := math.Sqrt(-2 * math.Log(level)); math.Abs(r-want) > 0.05 {
			t.Errorf("the level of %g is at radius %g, want %g", contourMass[i], r, want)
		}
		pieces := 0
		contour(field, n, n, level, func(x, y float64) (float64, float64) {
			pieces++
			// Straight between neighbours a Gaussian is off by h²/8 · 1 / r at most.
			if r := math.Hypot(place(x), place(y)); math.Abs(r-math.Sqrt(-2*math.Log(level))) > 0.05*0.05 {
				t.Errorf("contour of %g at radius %g, want %g", contourMass[i], r, math.Sqrt(-2*math.Log(level)))
			}
			return x, y
		})
		if pieces < 100 {
			t.Errorf("the contour of %g has %d ends of pieces, want a closed curve of hundreds", contourMass[i], pieces)
		}
	}
}

// TestPairedErrorsAreThoseOfDifferences: what two models share cancels.
func TestPairedErrorsAreThoseOfDifferences(t *testing.T) {
	var a, b []Image
	for i := range 100 {
		hard := 50 * math.Sin(float64(i)) // of the image, for both
		a = append(a, Image{LogP: hard + 2})
		b = append(b, Image{LogP: hard + float64(i%2)})
	}
	got := Paired(a, b, func(i Image) float64 { return i.LogP })
	// Differences are 2 and 1, fifty times each: mean 1.5, variance 25/99, error √(25/99/100).
	if want := (Figure{1.5, math.Sqrt(25. / 99 / 100)}); math.Abs(got.Value-want.Value) > 1e-12 || math.Abs(got.SE-want.SE) > 1e-12 {
		t.Errorf("paired difference %+v, want %+v", got, want)
	}
	c := Comparison{Models: []Model{{Name: "b", Images: b, LogP: LogP{Figure: Figure{Value: 0.5}}}, {Name: "a", Images: a, LogP: LogP{Figure: Figure{Value: 2}}}}}
	c.Refer()
	if c.Reference != "a" || c.Models[1].DiffLogP != nil || math.Abs(c.Models[0].DiffLogP.Value+1.5) > 1e-12 {
		t.Errorf("reference %s, differences %+v and %+v, want those to a, the higher one: -1.5 and none", c.Reference, c.Models[0].DiffLogP, c.Models[1].DiffLogP)
	}
}

// TestTicksAreRoundAndInRange for ranges of any size.
func TestTicksAreRoundAndInRange(t *testing.T) {
	for _, s := range []span{{0, 1}, {-543.2, -129.9}, {-130.1, -130.05}, {0, 2e6}, {1e-5, 3e-5}, {-1, -1 + 1e-9}} {
		all := ticks(s, 5)
		if len(all) < 2 || len(all) > 11 {
			t.Errorf("%v has %d ticks, want about 5", s, len(all))
		}
		seen := map[string]bool{}
		for _, tick := range all {
			slack := 1e-6 * (s.hi - s.lo)
			if tick.value < s.lo-slack || tick.value > s.hi+slack || seen[tick.label] {
				t.Errorf("%v has a tick at %v labelled %q, outside or as another", s, tick.value, tick.label)
			}
			seen[tick.label] = true
		}
	}
	for _, bad := range []span{{0, 0}, {1, 0}, {math.NaN(), 1}, {0, math.Inf(1)}} {
		if len(ticks(bad, 5)) != 0 {
			t.Errorf("%v has ticks", bad)
		}
	}
	if all := logTicks(span{0.004, 230}); len(all) != 5 || all[0].label != "0.01" || all[4].label != "100" {
		t.Errorf("ticks of a logarithmic axis from 0.004 to 230: %v, want 0.01 to 100", all)
	}
}

// TestThePageEscapesNames: a run's name is text, whatever is in it.
func TestThePageEscapesNames(t *testing.T) {
	name := `<script>alert("x")</script>`
	m := Model{Name: name, Kind: "mixture", LogP: LogP{How: ExactSum, Method: "sum"}, Images: []Image{{Label: -1}},
		History: []Pass{{0, 0, -3, nil, nil}, {1, 1, -2, nil, new(float64)}, {2, 2, -1, nil, new(float64)}, {3, 3, -1, nil, new(float64)}}}
	p := Page{Comparison: Comparison{Reference: name, Models: []Model{m}, Data: Data{Name: name, Images: 1, Pixels: 4}}, Pictures: make([]Pictures, 1)}
	var b strings.Builder
	if err := p.Write(&b); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(b.String(), "<script") || !strings.Contains(b.String(), "&lt;script&gt;") {
		t.Error("the page holds a name as markup")
	}
}
