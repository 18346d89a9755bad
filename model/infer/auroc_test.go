package infer

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"testing"
)

// TestTheAUROCIsScikitLearns: the area is that of roc_auc_score, the standard error
// DeLong's, written out in numpy over all pairs. Both are sums of some thousand numbers
// near 1 in float64.
func TestTheAUROCIsScikitLearns(t *testing.T) {
	text, err := os.ReadFile("testdata/auroc/reference.json")
	if err != nil {
		t.Fatal(err)
	}
	var reference struct {
		Cases []struct {
			X, Y      []float64
			AUROC, SE float64
		}
	}
	if err := json.Unmarshal(text, &reference); err != nil || len(reference.Cases) < 4 {
		t.Fatal(len(reference.Cases), err)
	}
	for i, c := range reference.Cases {
		got, err := NewAUROC(c.X, c.Y)
		if err != nil || math.Abs(got.Value-c.AUROC) > 1e-12 || math.Abs(got.SE-c.SE) > 1e-12 {
			t.Errorf("case %d: %+v, %v, want %v ± %v", i, got, err, c.AUROC, c.SE)
		}
	}
}

// TestTheAUROCCountsPairs compares with the count of all pairs in order, and with DeLong's
// formula over them; the other way round it is the rest.
func TestTheAUROCCountsPairs(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		x, y := make([]float64, 1+rng.IntN(30)), make([]float64, 1+rng.IntN(30))
		for i := range x {
			x[i] = float64(rng.IntN(12))
		}
		for j := range y {
			y[j] = float64(rng.IntN(12))
		}
		rows, columns := make([]Running, len(x)), make([]Running, len(y))
		for i, a := range x {
			for j, b := range y {
				order := 0.5
				if a > b {
					order = 1
				} else if a < b {
					order = 0
				}
				rows[i].Add(order)
				columns[j].Add(order)
			}
		}
		var byX, byY Running
		for _, r := range rows {
			byX.Add(r.Mean)
		}
		for _, c := range columns {
			byY.Add(c.Mean)
		}
		want := math.Sqrt(byX.Variance()/float64(len(x)) + byY.Variance()/float64(len(y)))
		got, err := NewAUROC(x, y)
		if err != nil || math.Abs(got.Value-byX.Mean) > 1e-12 || math.Abs(got.SE-want) > 1e-12 {
			t.Fatalf("%v, %v: %+v (%v), want %v ± %v", x, y, got, err, byX.Mean, want)
		}
		if back, err := NewAUROC(y, x); err != nil || math.Abs(back.Value+got.Value-1) > 1e-12 || math.Abs(back.CI95[0]+got.CI95[1]-1) > 1e-9 {
			t.Fatalf("the other way round %+v (%v), want the rest of %+v", back, err, got)
		}
	}
}

// TestTheIntervalOfTheAUROCCovers: of 1000 samples of two Gaussians, whose area is known,
// 95 % of the intervals hold it. Their number has a standard deviation of 7; the interval
// is asymptotic, so that 2 percentage points are left to it besides four of these.
func TestTheIntervalOfTheAUROCCovers(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for _, shift := range []float64{0, 1, 2} {
		truth := 0.5 * math.Erfc(-shift/2) // Φ(shift/√2)
		held := 0
		for range 1000 {
			x, y := make([]float64, 60), make([]float64, 40)
			for i := range x {
				x[i] = shift + rng.NormFloat64()
			}
			for j := range y {
				y[j] = rng.NormFloat64()
			}
			if a, err := NewAUROC(x, y); err == nil && a.CI95[0] <= truth && truth <= a.CI95[1] {
				held++
			}
		}
		if math.Abs(float64(held)-950) > 28+20 {
			t.Errorf("shift %g: %d of 1000 intervals hold %.4f, want about 950", shift, held, truth)
		}
	}
}

// TestSetsApartHaveAnIntervalAllTheSame: DeLong's variance is 0 there, which is no
// certainty.
func TestSetsApartHaveAnIntervalAllTheSame(t *testing.T) {
	got, err := NewAUROC([]float64{3, 4, 5}, []float64{1, 2})
	if want := math.Sqrt(0.025); err != nil || got.Value != 1 || got.SE != 0 || math.Abs(got.CI95[0]-want) > 1e-12 || got.CI95[1] != 1 {
		t.Errorf("%+v, %v, want 1 from %g", got, err, want)
	}
	for name, sets := range map[string][2][]float64{"no images": {nil, {1}}, "no number": {{math.NaN()}, {1}}} {
		if got, err := NewAUROC(sets[0], sets[1]); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
