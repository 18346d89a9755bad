package picture

import (
	"image"
	"image/color"
	"testing"
)

// TestPlainHasAPixelForEachOfTheImage: of its size, in grey levels.
func TestPlainHasAPixelForEachOfTheImage(t *testing.T) {
	img := Plain([]float32{0, 0.5, 1, 2, -1, 0.2}, 2, 3, 1)
	wantSize(t, img, 3, 2)
	for i, want := range []uint8{0, 128, 255, 255, 0, 51} {
		if got := img.At(i%3, i/3); got != (color.Gray{want}) {
			t.Errorf("pixel %d is %v, want %d", i, got, want)
		}
	}
	wantBlock(t, Plain([]float32{1, 0, 0.2, 0, 1, 0}, 1, 2, 3), image.Rect(0, 0, 1, 1), color.RGBA{255, 0, 51, 255})
	if _, ok := Plain([]float32{1, 2, 3}, 2, 2, 1).(*image.Gray); ok {
		t.Error("three values were drawn as an image of four")
	}
}
