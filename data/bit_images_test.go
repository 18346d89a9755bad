package data

import (
	"slices"
	"testing"
)

// TestKeptImagesAreThoseOfTheView, also where an image is no whole number of bytes.
func TestKeptImagesAreThoseOfTheView(t *testing.T) {
	for _, side := range []int{1, 3, 8, 13} {
		for _, mode := range modes {
			v := viewOf(t, Synthetic(20, side, side, 2), mode, 7)
			k := v.Bits()
			if mode == None {
				if k != nil || v.DrawnBits() != nil {
					t.Error("grey levels were kept as outcomes")
				}
				continue
			}
			got, want, drawn := make([]float32, v.D()), make([]float32, v.D()), v.DrawnBits()
			for i := range v.N() {
				k.Pixels(got, i)
				if v.Pixels(want, i, 0); !slices.Equal(got, want) {
					t.Fatalf("%d x %d pixels, %s: image %d is %v, want %v", side, side, mode, i, got, want)
				}
				for range 2 { // drawn, and then kept
					if drawn.Pixels(got, i); !slices.Equal(got, want) {
						t.Fatalf("%d x %d pixels, %s: image %d is drawn as %v, want %v", side, side, mode, i, got, want)
					}
				}
			}
		}
	}
}

// TestOutcomesOfManyImagesAreNotKept: where they would take as much memory as pixels that are
// left in their file.
func TestOutcomesOfManyImagesAreNotKept(t *testing.T) {
	const side = 3000 // 9 million pixels
	images := leaveAbove / (side * side / 8)
	for n, kept := range map[int]bool{images: true, images + 1: false} {
		im := &Images{N: n, Rows: side, Cols: side}
		if v := (View{Subset: Subset{im: im, n: n}, Mode: Static}); v.keepsBits() != kept {
			t.Errorf("%d images of %d pixels are kept: %v, want %v", n, side*side, !kept, kept)
		}
	}
	if n := leaveAbove / (side * side / 8) * 2; (View{Subset: Subset{im: &Images{N: n, Rows: side, Cols: side}, n: n}, Mode: Static}).Bits() != nil {
		t.Errorf("%d images are kept", n)
	}
}

func BenchmarkKept(b *testing.B) {
	ds, err := openMNIST()
	if err != nil {
		b.Fatal(err)
	}
	train, _, _, err := ds.Split(1000, 0)
	if err != nil {
		b.Fatal(err)
	}
	v := View{Subset: train, Mode: Static, Seed: 1}
	k, x := v.Bits(), make([]float32, v.D())
	for name, pixels := range map[string]func(i int){
		"kept":  func(i int) { k.Pixels(x, i) },
		"drawn": func(i int) { v.Pixels(x, i, 0) },
	} {
		b.Run(name, func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				pixels(i % v.N())
			}
		})
	}
}
