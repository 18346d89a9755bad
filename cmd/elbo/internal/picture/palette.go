package picture

import (
	"image/color"

	xfont "golang.org/x/image/font"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	vgdraw "gonum.org/v1/plot/vg/draw"
)

// The colours of the page itself.
var (
	page    = color.RGBA{255, 255, 255, 255}
	ink     = color.RGBA{34, 34, 34, 255}    // titles
	softInk = color.RGBA{90, 90, 90, 255}    // axis labels, captions and notes
	rule    = color.RGBA{150, 150, 150, 255} // axis lines
	hair    = color.RGBA{230, 230, 230, 255} // grid lines
	fault   = color.RGBA{220, 0, 0, 255}     // what is not a number
)

// labelColours are the colours of the labels 0 to 9. They were found by a search that kept any two of them,
// and each of them and the page, as far apart as it could, to normal eyes and to the three kinds of
// dichromats, without leaving the neighbourhood of a muted scheme; a test holds the distance it reached.
// Digits that a two-dimensional code confuses (4, 7 and 9; 3, 5 and 8) are given colours that also differ in lightness.
var labelColours = [10]color.RGBA{
	{0x16, 0x23, 0x24, 255}, // ink
	{0xa8, 0x35, 0x98, 255}, // purple
	{0x0b, 0x7b, 0x21, 255}, // green
	{0xdc, 0xc0, 0x6b, 255}, // sand
	{0x84, 0xc2, 0xee, 255}, // sky
	{0x87, 0x09, 0x57, 255}, // wine
	{0x9f, 0xa0, 0x20, 255}, // olive
	{0xcc, 0x64, 0x6b, 255}, // rose
	{0x39, 0xb0, 0xaa, 255}, // teal
	{0x2d, 0x2f, 0x8c, 255}, // indigo
}

// curveColours are the colours of curves: fewer than the labels', because a thin line needs more contrast to
// the page than a dot, and the first two, training and validation as a rule, as different as can be. They are the
// darker colours of Okabe and Ito, "Color universal design" (2008), in another order.
var curveColours = [6]color.RGBA{
	{0x00, 0x72, 0xb2, 255}, // blue
	{0xd5, 0x5e, 0x00, 255}, // vermilion
	{0x00, 0x9e, 0x73, 255}, // green
	{0xcc, 0x79, 0xa7, 255}, // mauve
	{0x00, 0x00, 0x00, 255}, // black
	{0x56, 0xb4, 0xe9, 255}, // sky
}

// glyph returns the mark of the i-th curve or of the i-th group of ten labels, so that a picture in grey still tells
// three of them apart.
func glyph(i int) vgdraw.GlyphDrawer {
	switch i % 3 {
	case 1:
		return vgdraw.BoxGlyph{}
	case 2:
		return vgdraw.PyramidGlyph{}
	default:
		return vgdraw.CircleGlyph{}
	}
}

// labelGlyph returns the mark of a label: ten colours, then the same colours in another shape.
func labelGlyph(label uint8) vgdraw.GlyphStyle {
	n := len(labelColours)
	return vgdraw.GlyphStyle{Color: labelColours[int(label)%n], Shape: glyph(int(label) / n)}
}

// margin is the white border of a panel.
const margin = 9 * vg.Inch / 72

// titleStyle, labelStyle and noteStyle are the three styles of text there are. All are sans serif, which stays
// legible in the thin strokes of small print, and start at the lower left corner of the text.
func titleStyle() text.Style { return textStyle(11, xfont.WeightBold, ink) }
func labelStyle() text.Style { return textStyle(9, xfont.WeightNormal, softInk) }
func noteStyle() text.Style  { return textStyle(8, xfont.WeightNormal, softInk) }

func textStyle(points float64, weight xfont.Weight, c color.Color) text.Style {
	return text.Style{
		Color:   c,
		Font:    font.Font{Typeface: "Liberation", Variant: "Sans", Weight: weight, Size: vg.Points(points)},
		Handler: plot.DefaultTextHandler,
	}
}
