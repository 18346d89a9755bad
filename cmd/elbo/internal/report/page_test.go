package report

import (
	"math"
	"strings"
	"testing"

	"elbo/model/infer"
)

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
	c := Comparison{Models: []Model{{Name: "b", Images: b, LogP: infer.Evidence{Estimate: infer.Estimate{Value: 0.5}}}, {Name: "a", Images: a, LogP: infer.Evidence{Estimate: infer.Estimate{Value: 2}}}}}
	c.Refer()
	if c.Reference != "a" || c.Models[1].DiffLogP != nil || math.Abs(c.Models[0].DiffLogP.Value+1.5) > 1e-12 {
		t.Errorf("reference %s, differences %+v and %+v, want those to a, the higher one: -1.5 and none", c.Reference, c.Models[0].DiffLogP, c.Models[1].DiffLogP)
	}
}

// TestThePageEscapesNames: a run's name is text, whatever is in it.
func TestThePageEscapesNames(t *testing.T) {
	name := `<script>alert("x")</script>`
	m := Model{Name: name, Kind: "mixture", LogP: infer.Evidence{How: infer.ExactSum, Method: "sum"}, Images: []Image{{Label: -1}},
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
