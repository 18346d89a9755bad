package infer

import (
	"math"
	"strings"
	"testing"
)

// TestTheBestFigureForTheEvidenceIsTaken: a sum, quadrature, annealing and L_k in that
// order, with the error of the method in the interval, and as a bound where it is one.
func TestTheBestFigureForTheEvidenceIsTaken(t *testing.T) {
	iw := &IW{K: 100, Bound: -80, SE: 0.5}
	ais := &AIS{Value: -78, SE: 0.5, ChainSE: 0.1, Chains: 16, Steps: 1000}
	checked := *ais
	checked.Simulated = &Sandwich{Images: 20, Gap: 0.7}
	logP := &LogP{Value: -77, SE: 0.5, Error: 0.01, Method: "a method"}
	missed := *logP
	missed.Missed = 3
	image := []ImageScore{{IW: -80, AIS: -78, LogP: -77}}
	for _, c := range []struct {
		name                    string
		e                       Evaluation
		how                     string
		value, methodError, one float64
		says                    string
	}{
		{"draws alone", Evaluation{IW: iw}, LowerBound, -80, 0, -80, "L_100"},
		{"annealing", Evaluation{IW: iw, AIS: ais}, Estimated, -78, 0.196, -78, "16 chains"},
		{"annealing between two sides", Evaluation{IW: iw, AIS: &checked}, Estimated, -78, 0.7, -78, "0.70 nats apart"},
		{"quadrature and annealing", Evaluation{IW: iw, AIS: ais, LogP: logP}, ByQuadrature, -77, 0.01, -77, "a method"},
		{"quadrature that missed images", Evaluation{IW: iw, LogP: &missed}, LowerBound, -77, 0.01, -77, "for 3 images, whose posterior it misses, L_100 is used instead"},
		{"a table", Evaluation{LogP: logP, Table: &Table{}}, ExactSum, -77, 0.01, -77, "a method"},
	} {
		c.e.PerImage = image
		got := c.e.Evidence()
		if got.How != c.how || got.Value != c.value || math.Abs(got.Error-c.methodError) > 1e-12 || !strings.Contains(got.Method, c.says) {
			t.Errorf("%s: %+v, want %s, %g, error %g, and %q", c.name, got, c.how, c.value, c.methodError, c.says)
		}
		if half := 1.96*0.5 + c.methodError; math.Abs(got.CI95[1]-c.value-half) > 1e-12 || math.Abs(c.value-got.CI95[0]-half) > 1e-12 {
			t.Errorf("%s: interval %v, want %g ± %g", c.name, got.CI95, c.value, half)
		}
		if one := c.e.EvidenceOf(0); one != c.one {
			t.Errorf("%s: %g for the image, want %g", c.name, one, c.one)
		}
		how := c.how
		if c.e.LogP != nil && c.e.Table == nil { // of this image, none that was missed
			how = ByQuadrature
		}
		if one := c.e.HowOf(0); one != how {
			t.Errorf("%s: of the image it is %q, want %q", c.name, one, how)
		}
		if known := c.how == ExactSum || c.how == ByQuadrature; got.Known() != known {
			t.Errorf("%s: known %v, want %v", c.name, got.Known(), known)
		}
	}
}
