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
