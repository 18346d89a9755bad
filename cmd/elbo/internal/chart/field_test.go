package chart

import (
	"math"
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
	shares := []float64{0.5, 0.95}
	for i, level := range MassLevels(field, shares...) {
		want := math.Sqrt(-2 * math.Log(1-shares[i]))
		// The level is that of a lattice point: off by no more than a spacing, 0.05.
		if r := math.Sqrt(-2 * math.Log(level)); math.Abs(r-want) > 0.05 {
			t.Errorf("the level of %g is at radius %g, want %g", shares[i], r, want)
		}
		pieces := 0
		contour := Contour{Field: Field{n, n, Span{-reach, reach}, Span{-reach, reach}, field}, Level: level}
		contour.pieces(func(x, y, _, _ float64) {
			pieces++
			// Straight between neighbours a Gaussian is off by h²/8 · 1 / r at most.
			if r := math.Hypot(x, y); math.Abs(r-math.Sqrt(-2*math.Log(level))) > 0.05*0.05 {
				t.Errorf("contour of %g at radius %g, want %g", shares[i], r, math.Sqrt(-2*math.Log(level)))
			}
		})
		if pieces < 100 {
			t.Errorf("the contour of %g has %d pieces, want a closed curve of hundreds", shares[i], pieces)
		}
	}
}
