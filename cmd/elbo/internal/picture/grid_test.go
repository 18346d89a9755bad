package picture

import (
	"bytes"
	"errors"
	"image"
	"image/color"
	"image/png"
	"math"
	"testing"

	"elbo/cmd/elbo/internal/chart"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var (
	black = color.RGBA{0, 0, 0, 255}
	white = color.RGBA{255, 255, 255, 255}
)

func at(img image.Image, x, y int) color.RGBA {
	if img, ok := img.(*image.RGBA); ok {
		return img.RGBAAt(x, y)
	}
	return color.RGBAModel.Convert(img.At(x, y)).(color.RGBA)
}

// wantSize fails unless img starts at the origin and has the size.
func wantSize(t *testing.T, img image.Image, width, height int) {
	t.Helper()
	if got, want := img.Bounds(), image.Rect(0, 0, width, height); got != want {
		t.Fatalf("bounds %v, want %v", got, want)
	}
}

// wantBlock fails unless every pixel of the rectangle has the colour.
func wantBlock(t *testing.T, img image.Image, r image.Rectangle, want color.RGBA) {
	t.Helper()
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			if got := at(img, x, y); got != want {
				t.Fatalf("pixel (%d, %d) is %v, want %v as in all of %v", x, y, got, want, r)
			}
		}
	}
}

// block is the rectangle of a pixel: its corner and its side.
func block(x, y, side int) image.Rectangle { return image.Rect(x, y, x+side, y+side) }

// Three 2 x 3 images in two columns: (1050 - 4)/6 = 174.3, so the scale is 174, and the sheet is 2*522 + 4 wide and
// 2*348 + 4 high.
func TestGridPutsEveryPixelInItsPlaceAndPadsTheLastRow(t *testing.T) {
	nan := float32(math.NaN())
	inf := float32(math.Inf(1))
	images := []float32{
		0, 1, 0.5, 0.2, nan, 0,
		-3, 7, -inf, inf, 0, 1,
		1, 0, 1, 0, 1, 0,
	}
	img := Grid(images, 2, 3, 1, 2)
	wantSize(t, img, 1048, 700)

	grey := func(g uint8) color.RGBA { return color.RGBA{g, g, g, 255} }
	red := color.RGBA{220, 0, 0, 255}
	want := [][]color.RGBA{ // 0.5 and 0.2 are the greys 127.5 -> 128 and 51
		{black, white, grey(128), grey(51), red, black},
		{black, white, black, white, black, white},
		{white, black, white, black, white, black},
	}
	corner := []image.Point{{0, 0}, {526, 0}, {0, 352}}
	for i, pixels := range want {
		for p, c := range pixels {
			wantBlock(t, img, block(corner[i].X+p%3*174, corner[i].Y+p/3*174, 174), c)
		}
	}
	wantBlock(t, img, image.Rect(522, 0, 526, 700), white)    // gap between columns
	wantBlock(t, img, image.Rect(0, 348, 1048, 352), white)   // gap between rows
	wantBlock(t, img, image.Rect(526, 352, 1048, 700), white) // the place of a fourth image
}

func TestGridIsAboutAThousandPixelsWideForMNIST(t *testing.T) {
	for columns, want := range map[int]int{
		// columns*(28*scale + gap) - gap at the scale that brings it nearest to 1050
		5:  5*(28*7+4) - 4,
		8:  8*(28*5+4) - 4,
		10: 10*(28*4+4) - 4,
		12: 12*(28*3+3) - 3,
		16: 16*(28*2+2) - 2,
		20: 20*(28*2+2) - 2,
	} {
		if want < 900 || want > 1200 {
			t.Fatalf("%d columns: the test wants a width of %d, not within 900 to 1200", columns, want)
		}
		img := Grid(make([]float32, 28*28*3), 28, 28, 1, columns)
		if got := img.Bounds().Dx(); got != want {
			t.Errorf("%d columns: %d pixels wide, want %d", columns, got, want)
		}
	}
}

// Five 2 x 3 images in two columns: the scale is 174, as for Grid above. A row is 2*174 pixels of images and a strip of
// 1.5 * 8 points at 192 dots per inch, which is 32 pixels.
func TestCaptionedCentresEachCaptionUnderItsImage(t *testing.T) {
	const wide, high, strip, gap = 3 * 174, 2 * 174, 32, 4
	images := make([]float32, 5*2*3)
	for i := range 5 { // black but for the last pixel, whose grey, 51 (i + 1), tells the images apart
		images[6*i+5] = float32(i+1) / 5
	}
	captions := []string{"1.3 %", "", "98.7 %"}
	img := Captioned(images, 2, 3, 1, 2, captions)
	wantSize(t, img, 2*wide+gap, 3*(high+strip)+2*gap)

	for i := range 5 {
		x, y := i%2*(wide+gap), i/2*(high+strip+gap)
		for p := range 5 {
			wantBlock(t, img, block(x+p%3*174, y+p/3*174, 174), black)
		}
		grey := uint8(51 * (i + 1))
		wantBlock(t, img, block(x+2*174, y+174, 174), color.RGBA{grey, grey, grey, 255})

		under := image.Rect(x, y+high, x+wide, y+high+strip)
		if i >= len(captions) || captions[i] == "" {
			wantBlock(t, img, under, white)
			continue
		}
		drawn := inkIn(img, under)
		if drawn.Empty() {
			t.Errorf("image %d has no caption", i)
			continue
		}
		// The text is centred with the space that its first and last letters keep to their sides, at most a tenth of 8 points
		// (2 pixels) each; the edges may be blurred by a pixel.
		if left, right := drawn.Min.X-under.Min.X, under.Max.X-drawn.Max.X; max(left-right, right-left) > 2*(2+1) {
			t.Errorf("caption %d keeps %d pixels at its left and %d at its right, want it centred", i, left, right)
		}
		if above, below := drawn.Min.Y-under.Min.Y, under.Max.Y-drawn.Max.Y; above < 1 || below < above {
			t.Errorf("caption %d keeps %d pixels to its image and %d to the next, want it apart from both and nearer to its own", i, above, below)
		}
	}
	wantBlock(t, img, image.Rect(wide, 0, wide+gap, img.Bounds().Dy()), white)
	for _, y := range []int{high + strip, 2*(high+strip) + gap} {
		wantBlock(t, img, image.Rect(0, y, img.Bounds().Dx(), y+gap), white)
	}
	wantBlock(t, img, image.Rect(wide, 2*(high+strip+gap), img.Bounds().Dx(), img.Bounds().Dy()), white) // the place of a sixth
}

func TestCaptionedIgnoresCaptionsWithoutAnImage(t *testing.T) {
	images, captions := make([]float32, 3), []string{"a", "b", "c", "d", "e"}
	if !same(Captioned(images, 1, 1, 1, 2, captions), Captioned(images, 1, 1, 1, 2, captions[:3])) {
		t.Error("captions beyond the last image change the picture")
	}
	if !same(Captioned(images, 1, 1, 1, 2, []string{}), Grid(images, 1, 1, 1, 2)) {
		t.Error("without captions the picture is not that of Grid")
	}
}

// same reports whether two sheets have the same size and the same pixels.
func same(a, b image.Image) bool {
	return a.Bounds() == b.Bounds() && bytes.Equal(a.(*image.RGBA).Pix, b.(*image.RGBA).Pix)
}

// Ten columns of 28 x 28 images at scale 4: images 112 pixels wide with gaps of 4. The captions would be wider than that by
// far, and higher than one line.
func TestCaptionsStayUnderTheirOwnImage(t *testing.T) {
	const side, strip, gap = 28 * 4, 32, 4
	captions := make([]string, 20)
	for i := range captions {
		captions[i] = "a weight\nof many words and of more than one line"
	}
	img := Captioned(make([]float32, len(captions)*28*28), 28, 28, 1, 10, captions)
	wantSize(t, img, 10*(side+gap)-gap, 2*(side+strip+gap)-gap)
	for i := range captions {
		x, y := i%10*(side+gap), i/10*(side+strip+gap)
		wantBlock(t, img, block(x, y, side), black)
		wantBlock(t, img, image.Rect(x+side, y, x+side+gap, y+side+strip).Intersect(img.Bounds()), white)
		if drawn := inkIn(img, image.Rect(x, y+side, x+side, y+side+strip)); drawn.Dx() < side/2 {
			t.Errorf("caption %d is %d pixels wide, want it shortened to no less than half of %d", i, drawn.Dx(), side)
		}
	}
	wantBlock(t, img, image.Rect(0, side+strip, img.Bounds().Dx(), side+strip+gap), white)
}

// inkIn returns the smallest rectangle around what is drawn within r, empty if nothing is.
func inkIn(img image.Image, r image.Rectangle) (drawn image.Rectangle) {
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			if at(img, x, y) != white {
				drawn = drawn.Union(block(x, y, 1))
			}
		}
	}
	return drawn
}

// A pair of 1 x 1 images in 3 columns: beside the captions the sheet is 3*2 - 1 image pixels wide.
func TestPairsPutsEachReconstructionUnderItsOriginal(t *testing.T) {
	img := Pairs([]float32{0, 1, 0, 0}, []float32{0, 0.2, 1}, 1, 1, 1, 3)
	b := img.Bounds()

	// The images start where the first column that is black from the top does: captions are lower than the corner.
	left := 0
	for at(img, left, 0) != black {
		left++
	}
	side := 0
	for at(img, left, side) == black {
		side++
	}
	if left < 50 || left > 250 || b.Dx() < 900 || b.Dx() > 1200 {
		t.Fatalf("images start at %d in a picture %d wide, want room for captions in one of 900 to 1200", left, b.Dx())
	}
	wantSize(t, img, left+3*side+2*4, 4*side+2*4+4*4) // two gaps across; down, two within pairs and one fourfold
	col := func(i int) int { return left + i*(side+4) }
	row := []int{0, side + 4, 2*side + 4 + 16, 3*side + 8 + 16}

	wantBlock(t, img, block(col(1), row[0], side), white)
	wantBlock(t, img, block(col(2), row[0], side), black)
	wantBlock(t, img, block(col(0), row[1], side), black)
	wantBlock(t, img, block(col(1), row[1], side), color.RGBA{51, 51, 51, 255})
	wantBlock(t, img, block(col(2), row[1], side), white)
	wantBlock(t, img, block(col(0), row[2], side), black)
	wantBlock(t, img, image.Rect(left, row[3], b.Dx(), b.Dy()), white)      // no reconstruction of the fourth
	wantBlock(t, img, image.Rect(left, row[1]+side, b.Dx(), row[2]), white) // the wider gap
	for i, y := range row {
		if !inked(img, image.Rect(0, y, left-4, y+side)) {
			t.Errorf("row %d has no caption", i)
		}
	}
}

// inked reports whether anything is drawn within the rectangle.
func inked(img image.Image, r image.Rectangle) bool {
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			if at(img, x, y) != white {
				return true
			}
		}
	}
	return false
}

func both(lo, hi float64) chart.Span { return chart.Span{Lo: lo, Hi: hi} }

func TestManifoldCodesRunAsOneReadsAPage(t *testing.T) {
	want := []float32{
		-2, 2, 0, 2, 2, 2,
		-2, 0, 0, 0, 2, 0,
		-2, -2, 0, -2, 2, -2,
	}
	if diff := cmp.Diff(want, ManifoldCodes(3, both(-2, 2), both(-2, 2))); diff != "" {
		t.Errorf("codes (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]float32{1, 1}, ManifoldCodes(1, both(-2, 4), both(-2, 4))); diff != "" {
		t.Errorf("the only code is the midpoint (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]float32{0, 6, 1, 6, 0, 5, 1, 5}, ManifoldCodes(2, both(0, 1), both(5, 6))); diff != "" {
		t.Errorf("spans of their own (-want +got):\n%s", diff)
	}
	if got := ManifoldCodes(0, both(-2, 2), both(-2, 2)); len(got) != 0 {
		t.Errorf("no codes wanted, got %v", got)
	}
}

// Over [0, 2.9] the ticks are at multiples of 0.5: the first at the centre of the first images, the last not at that of
// the last, so that a flipped axis would show.
func TestManifoldHasItsTicksAtTheCentresOfTheImages(t *testing.T) {
	const n = 4
	images := make([]float32, n*n) // 1 x 1, all black but the first and the last
	images[0], images[n*n-1] = 1, 0.2
	img := Manifold(images, 1, 1, 1, n, both(0, 2.9), both(0, 2.9))
	left, top, side := findBlack(img, n)

	corner := func(i int) (x, y int) { return left + i%n*side, top + i/n*side }
	for i, v := range images {
		x, y := corner(i)
		wantBlock(t, img, block(x, y, side), shade(v))
	}

	place := func(v float64) int { return int(math.Round((v/2.9*(n-1) + 0.5) * float64(side))) }
	var acrossWant, downWant []int
	for _, v := range []float64{0, 0.5, 1, 1.5, 2, 2.5} {
		acrossWant = append(acrossWant, left+place(v))
		downWant = append([]int{top + n*side - place(v)}, downWant...)
	}
	across := runs(img, image.Rect(left, top+n*side+4, left+n*side, top+n*side+5), true)
	down := runs(img, image.Rect(left-5, top, left-4, top+n*side), false)
	near := cmp.Comparer(func(a, b int) bool { return max(a-b, b-a) <= 2 }) // a line 1.3 pixels wide, and rounding
	if diff := cmp.Diff(acrossWant, across, near); diff != "" {
		t.Errorf("ticks under the images (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(downWant, down, near); diff != "" {
		t.Errorf("ticks beside the images (-want +got):\n%s", diff)
	}
}

// findBlack returns where n x n images start and the side of one, given that those on the diagonal from the lower left to
// the upper right are black and fill the area.
func findBlack(img image.Image, n int) (left, top, side int) {
	b := img.Bounds()
	right, bottom := 0, 0
	left, top = b.Max.X, b.Max.Y
	for y := range b.Max.Y {
		for x := range b.Max.X {
			if at(img, x, y) == black {
				left, top, right, bottom = min(left, x), min(top, y), max(right, x+1), max(bottom, y+1)
			}
		}
	}
	return left, top, (bottom - top) / n
}

// runs returns the first pixel of each run of drawn pixels along a strip one pixel thick.
func runs(img image.Image, strip image.Rectangle, across bool) (starts []int) {
	drawn := false
	for i := range max(strip.Dx(), strip.Dy()) {
		p := strip.Min.Add(image.Pt(0, i))
		if across {
			p = strip.Min.Add(image.Pt(i, 0))
		}
		now := at(img, p.X, p.Y) != white
		if now && !drawn {
			starts = append(starts, p.X*b2i(across)+p.Y*b2i(!across))
		}
		drawn = now
	}
	return starts
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestSheetsThatCannotBeLaidOutSayWhy(t *testing.T) {
	const huge = 1 << 40
	one := []float32{1}
	for name, img := range map[string]image.Image{
		"no images":              Grid(nil, 28, 28, 1, 10),
		"no columns":             Grid(one, 1, 1, 1, 0),
		"negative columns":       Grid(one, 1, 1, 1, -1),
		"no rows":                Grid(one, 0, 1, 1, 1),
		"negative cols":          Grid(one, 1, -1, 1, 1),
		"left over":              Grid(make([]float32, 785), 28, 28, 1, 10),
		"rows x cols overflows":  Grid(one, huge, huge, 1, 1),
		"too many columns":       Grid(one, 1, 1, 1, math.MaxInt),
		"captioned: none":        Captioned(nil, 28, 28, 1, 10, []string{"a"}),
		"captioned: no columns":  Captioned(one, 1, 1, 1, 0, []string{"a"}),
		"captioned: left over":   Captioned(make([]float32, 785), 28, 28, 1, 10, []string{"a"}),
		"captioned: too high":    Captioned(make([]float32, 1<<21), 1, 1, 1, 1, []string{"a"}), // 2^21 strips of 32 pixels, and images
		"pairs: none":            Pairs(nil, nil, 28, 28, 1, 10),
		"pairs: no columns":      Pairs(one, one, 1, 1, 1, 0),
		"pairs: originals":       Pairs(make([]float32, 3), nil, 2, 2, 1, 1),
		"pairs: reconstructions": Pairs(nil, make([]float32, 3), 2, 2, 1, 1),
		"pairs: too large":       Pairs(one, one, 1, 1, 1, math.MaxInt),
		"manifold: none":         Manifold(nil, 1, 1, 1, 0, both(-1, 1), both(-1, 1)),
		"manifold: too few":      Manifold(one, 1, 1, 1, 2, both(-1, 1), both(-1, 1)),
		"manifold: n overflows":  Manifold(nil, 1, 1, 1, 1<<32, both(-1, 1), both(-1, 1)),
		"manifold: no rows":      Manifold(one, 0, 1, 1, 1, both(-1, 1), both(-1, 1)),
	} {
		if img.Bounds() != image.Rect(0, 0, 1200, 80) || !inked(img, img.Bounds()) {
			t.Errorf("%s: picture of %v, want one line of text in 1200 x 80", name, img.Bounds())
		}
	}
	if _, err := count(make([]float32, 785), 28, 28, 1); err == nil || err.Error() != "785 values are not a whole number of 28×28 images: 1 left over" {
		t.Errorf("count: %v", err)
	}
}

func TestManifoldTakesAnyAxis(t *testing.T) {
	one := []float32{1, 0, 0, 1}
	nan, inf := math.NaN(), math.Inf(1)
	for _, ends := range [][2]float64{
		{0, 0}, {1, -1}, {nan, 1}, {-1, nan}, {-inf, inf}, {-math.MaxFloat64, math.MaxFloat64}, {-1e300, 1e300},
		{0, 5e-324}, {1e16, 1e16 + 2}, {1, math.Nextafter(1, 2)},
	} {
		if got := Manifold(one, 1, 1, 1, 2, both(ends[0], ends[1]), both(ends[0], ends[1])).Bounds().Dx(); got < 900 || got > 1200 {
			t.Errorf("ends %v: %d pixels wide, want 900 to 1200", ends, got)
		}
	}
}

func TestSheetsNeverPanicNorOutgrowTheirBound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows, cols := rapid.IntRange(-1, 5).Draw(t, "rows"), rapid.IntRange(-1, 5).Draw(t, "cols")
		columns := rapid.IntRange(-1, 7).Draw(t, "columns")
		a := rapid.SliceOfN(rapid.Float32(), 0, 40).Draw(t, "a")
		b := rapid.SliceOfN(rapid.Float32(), 0, 40).Draw(t, "b")
		captions := rapid.SliceOfN(rapid.String(), 0, 10).Draw(t, "captions")
		for _, img := range []image.Image{
			Grid(a, rows, cols, 1, columns), Captioned(a, rows, cols, 1, columns, captions), Pairs(a, b, rows, cols, 1, columns),
		} {
			if s := img.Bounds().Size(); s.X < 1 || s.Y < 1 || s.X*s.Y > maxPixels {
				t.Fatalf("picture of %v", s)
			}
		}
	})
}

func TestStackKeepsThePanelsInOrderAndFillsWithPage(t *testing.T) {
	wide, tall := blank(3, 1), blank(1, 2)
	wide.SetRGBA(2, 0, black)
	tall.SetRGBA(0, 1, black)
	img := Stack(nil, wide, tall.SubImage(image.Rect(0, 1, 1, 2)), nil, wide)
	wantSize(t, img, 3, 3)
	for y, row := range [][]color.RGBA{{white, white, black}, {black, white, white}, {white, white, black}} {
		for x, want := range row {
			if got := at(img, x, y); got != want {
				t.Errorf("pixel (%d, %d) is %v, want %v", x, y, got, want)
			}
		}
	}
	wantSize(t, Stack(), 1, 1)
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

func TestEncodeWritesThePixelsAndReportsFailure(t *testing.T) {
	img := Grid([]float32{0, 0.5, 1, float32(math.NaN())}, 2, 2, 1, 1)
	var b bytes.Buffer
	if err := Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	back, err := png.Decode(&b)
	if err != nil {
		t.Fatal(err)
	}
	wantSize(t, back, img.Bounds().Dx(), img.Bounds().Dy())
	for _, p := range []image.Point{{0, 0}, {1049, 0}, {0, 1049}, {1049, 1049}} {
		if got, want := at(back, p.X, p.Y), at(img, p.X, p.Y); got != want {
			t.Errorf("pixel %v is %v, want %v", p, got, want)
		}
	}

	for want, err := range map[string]error{
		"picture: encode: no image":                               Encode(&b, nil),
		"picture: encode: image of 0×0 pixels, want at least 1×1": Encode(&b, image.NewGray(image.Rect(0, 0, 0, 0))),
		"picture: encode: no space left on device":                Encode(full{}, img),
	} {
		if err == nil || err.Error() != want {
			t.Errorf("error %v, want %s", err, want)
		}
	}
}

// In colour the three levels of a pixel are one pixel of the picture, and NaN in one of
// them is as red as it is in grey.
func TestColourImagesAreDrawnInColour(t *testing.T) {
	nan := float32(math.NaN())
	values := []float32{1, 0, 0.5, 0, 1, 0, 0.2, nan, 0.2, 0, 0, 0}
	img := Grid(values, 1, 2, 3, 2)
	side := img.Bounds().Dy()
	fault := color.RGBAModel.Convert(chart.Fault)
	for i, want := range []color.Color{color.RGBA{255, 0, 128, 255}, color.RGBA{0, 255, 0, 255}, fault, color.RGBA{0, 0, 0, 255}} {
		at := i*side + side/2
		if i > 1 {
			at += gapAt(side)
		}
		if got := img.At(at, side/2); got != want {
			t.Errorf("pixel %d is %v, want %v", i, got, want)
		}
	}
	if _, err := count(values, 2, 2, 3); err != nil {
		t.Errorf("12 values for an image of 2×2 in colour: %v", err)
	}
	if _, err := count(values, 2, 2, 2); err == nil {
		t.Error("two channels are drawn")
	}
}
