package data

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestNormalsAreThoseOfTheStandardLibrary: draw for draw, from the same words. In the tail
// the two may differ by how a logarithm is rounded. They could differ where a density is
// rounded otherwise, but none of these does.
func TestNormalsAreThoseOfTheStandardLibrary(t *testing.T) {
	ours, theirs := NewStream(1, "normals"), NewStream(1, "normals")
	library := rand.New(&theirs.pcg)
	beyond := 0
	for i := range 5_000_000 {
		got, want := ours.NormFloat64(), library.NormFloat64()
		if got != want && !(math.Abs(want) > tailFrom && math.Abs(got-want) < 1e-15*math.Abs(want)) {
			t.Fatalf("draw %d is %v, math/rand/v2 has %v", i, got, want)
		}
		if got > tailFrom || got < -tailFrom {
			beyond++
		}
	}
	// 5e6 · P(|z| > 3.4426) = 2880, with a standard deviation of 54.
	if beyond < 2600 || beyond > 3150 {
		t.Errorf("%d draws are from the tail, want about 2880", beyond)
	}
}

// TestManyNormalsAreOneAfterTheOther: filling a slice takes the same draws, and leaves the
// stream where they leave it.
func TestManyNormalsAreOneAfterTheOther(t *testing.T) {
	many, one := NewStream(1, "normals"), NewStream(1, "normals")
	to := make([]float32, 100_000) // a thousand of them between strips, fifty in the tail
	many.Normals(to)
	for i, got := range to {
		if want := float32(one.NormFloat64()); got != want {
			t.Fatalf("draw %d is %v, want %v", i, got, want)
		}
	}
	if *many != *one {
		t.Error("the streams stand at different places")
	}
}
