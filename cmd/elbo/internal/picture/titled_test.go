package picture

import (
	"image"
	"strings"
	"testing"
)

// TestATitleIsNotCutOffByANarrowSheet: its letters shrink a little, then the page grows with it, up to a
// bound, and the sheet stands below it, pixel by pixel.
func TestATitleIsNotCutOffByANarrowSheet(t *testing.T) {
	sheet := Grid([]float32{0, 1, 0.5, 1}, 2, 2, 1, 1)
	for title, wide := range map[string][2]int{
		"short":                   {sheet.Bounds().Dx(), sheet.Bounds().Dx()},
		strings.Repeat("m", 60):   {sheet.Bounds().Dx(), sheet.Bounds().Dx()}, // in smaller letters
		strings.Repeat("m", 100):  {sheet.Bounds().Dx() + 1, widestTitle},
		strings.Repeat("m", 6000): {widestTitle, widestTitle},
	} {
		page := Titled(sheet, title)
		size := page.Bounds().Size()
		if size.X < wide[0] || size.X > max(wide[1], sheet.Bounds().Dx()) {
			t.Errorf("a title of %d letters: a page %d wide, want %d to %d", len(title), size.X, wide[0], wide[1])
		}
		top := size.Y - sheet.Bounds().Dy()
		for _, at := range []image.Point{{0, 0}, {sheet.Bounds().Dx() - 1, sheet.Bounds().Dy() - 1}} {
			if page.At(at.X, top+at.Y) != sheet.At(at.X, at.Y) {
				t.Errorf("a title of %d letters: the sheet is not below it", len(title))
			}
		}
	}
}
