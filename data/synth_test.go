package data

import (
	"bytes"
	"testing"
)

func TestSyntheticImagesArePinned(t *testing.T) {
	d, err := New("synthetic", Synthetic(40, 8, 8, 1), Images{})
	if err != nil {
		t.Fatal(err)
	}
	const want = "8e0476d7a9a3d3a3533ee27f4504dbdb855e96ba3a4a7fae61c17d20a37e5a6e"
	if d.SHA256 != want {
		t.Errorf("SHA-256 %s, want %s", d.SHA256, want)
	}
}

func TestSyntheticShapesAreTheirLabels(t *testing.T) {
	const side = 12
	im := Synthetic(40, side, side, 3)
	for i := range im.N {
		x := im.Bytes[i*side*side : (i+1)*side*side]
		equalRows, equalCols, grey, on := true, true, 0, 0
		for r := range side {
			equalRows = equalRows && bytes.Equal(x[r*side:(r+1)*side], x[:side])
			for c := range side {
				equalCols = equalCols && x[r*side+c] == x[r*side]
				g := x[r*side+c]
				if g > 0 && g < 255 {
					grey++
				}
				if g >= 128 {
					on++
				}
			}
		}
		label := im.Labels[i]
		if int(label) != i%4 {
			t.Errorf("image %d has label %d, want %d", i, label, i%4)
		}
		if equalCols != (label == 0) || equalRows != (label == 1) {
			t.Errorf("image %d, label %d: columns equal %v, rows equal %v", i, label, equalCols, equalRows)
		}
		if grey == 0 || on == 0 || on > side*side/2 {
			t.Errorf("image %d, label %d: %d grey pixels, %d above one half, want some of both and most of it background", i, label, grey, on)
		}
	}
}

func TestSmallerSyntheticSetIsAPrefix(t *testing.T) {
	small, large := Synthetic(5, 3, 4, 9), Synthetic(50, 3, 4, 9)
	if !bytes.Equal(small.Bytes, large.Bytes[:len(small.Bytes)]) {
		t.Error("the first 5 of 50 images differ from 5 images")
	}
	if other := Synthetic(5, 3, 4, 10); bytes.Equal(small.Bytes, other.Bytes) {
		t.Error("two seeds give the same images")
	}
}
