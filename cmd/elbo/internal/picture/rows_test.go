package picture

import (
	"image"
	"testing"
)

// Two columns of 2 x 3 images in two rows: under a title, each image in its place, a
// wider gap nowhere; what cannot be laid out is told in the picture.
func TestRowsPutImagesUnderOneAnother(t *testing.T) {
	first := []float32{0, 1, 0, 1, 0, 1, 1, 1, 1, 0, 0, 0}
	second := []float32{1, 1, 1, 1, 1, 1}
	img := Rows("a title", []string{"one", "two"}, [][]float32{first, second}, 2, 3, 1, []string{"1.0"})
	// The rightmost column ends with the picture's left margin and two images: find the
	// lower row's only image by its colour, and the upper images from there.
	b := img.Bounds()
	var box image.Rectangle
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			if at(img, x, y) == black {
				box = box.Union(image.Rect(x, y, x+1, y+1))
			}
		}
	}
	// The black pixels of the upper row: from column 0 of image 0 to column 2 of image 1.
	scale := (box.Dx() - 4) / 6
	if scale < 2 {
		t.Fatalf("black pixels in %v", box)
	}
	left, top := box.Min.X, box.Min.Y
	for i, v := range first {
		x, y := left+i/6*(3*scale+4)+i%3*scale, top+i%6/3*scale
		want := black
		if v == 1 {
			want = white
		}
		wantBlock(t, img, block(x, y, scale), want)
	}
	wantBlock(t, img, image.Rect(left, top+2*scale+4, left+3*scale, top+4*scale+4), white)
	for _, bad := range []image.Image{
		Rows("t", []string{"one"}, [][]float32{first, second}, 2, 3, 1, nil),
		Rows("t", []string{"one", "two"}, [][]float32{first, second[:5]}, 2, 3, 1, nil),
		Rows("t", nil, nil, 2, 3, 1, nil),
	} {
		wantSize(t, bad, messageWidth, 80)
	}
}

// TestRowsHaveLinesOfCaptionsAndAMargin: each line is under the one before, none reaches the right edge, and a sheet
// without captions is as high as one with a line.
func TestRowsHaveLinesOfCaptionsAndAMargin(t *testing.T) {
	rows := func(captions ...[]string) image.Image {
		return Rows("t", []string{"one"}, [][]float32{make([]float32, 12*28*28)}, 28, 28, 1, captions...)
	}
	line := []string{"1.00", "", "", "", "", "", "", "", "", "", "", "a very long caption"}
	none, one, two := rows().Bounds().Dy(), rows(line).Bounds().Dy(), rows(line, line).Bounds().Dy()
	if none != one || two-one < 20 || two-one > 32 { // a line of text of 21 pixels
		t.Errorf("heights %d, %d and %d with no, one and two lines of captions", none, one, two)
	}
	img := rows(line, line)
	b := img.Bounds()
	wantBlock(t, img, image.Rect(b.Max.X-16, 0, b.Max.X, b.Max.Y), white)
	for n := range 2 {
		if strip := image.Rect(0, one+(n-1)*(two-one)-24, b.Max.X, one+(n-1)*(two-one)); !inked(img, strip) {
			t.Errorf("line %d has no caption in %v", n+1, strip)
		}
	}
}
