package chart

import (
	"image/color"
	"io"

	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/vgpdf"
)

// PDF writes the sheet as a page of its own size. It fails where a layer's slices differ in length, and where w fails.
func (s Sheet) PDF(w io.Writer) error {
	shapes, width, height, err := s.shapes()
	if err != nil {
		return err
	}
	page := vgpdf.New(vg.Length(width)*unit, vg.Length(height)*unit)
	pen{outlined{page}, vg.Length(height) * unit}.Draw(shapes...)
	_, err = page.WriteTo(w)
	return err
}

// outlined is a PDF page whose letters are drawn as outlines: its own fonts have the letters of Western Europe alone,
// no z₁, and no minus.
type outlined struct{ *vgpdf.Canvas }

// SetColor hands on what the page takes for a colour: its red, green and blue are not to be weakened by the opacity, as
// it does that itself.
func (p outlined) SetColor(c color.Color) {
	p.Canvas.SetColor(straight(color.NRGBAModel.Convert(c).(color.NRGBA)))
}

// straight is a colour whose RGBA is not multiplied by its opacity.
type straight color.NRGBA

func (c straight) RGBA() (r, g, b, a uint32) {
	const full = 0x101 // 8 bits to 16
	return uint32(c.R) * full, uint32(c.G) * full, uint32(c.B) * full, uint32(c.A) * full
}

// FillString draws txt from the left end of its base line.
func (p outlined) FillString(f font.Face, at vg.Point, txt string) {
	var (
		buf   sfnt.Buffer
		whole = fixed.Int26_6(f.Face.UnitsPerEm())
		scale = f.Font.Size / vg.Length(whole) // of the font's units
		x     fixed.Int26_6
		last  sfnt.GlyphIndex
	)
	for i, letter := range txt {
		glyph, err := f.Face.GlyphIndex(&buf, letter)
		if err != nil {
			continue
		}
		if i > 0 {
			if kern, err := f.Face.Kern(&buf, last, glyph, whole, 0); err == nil {
				x += kern
			}
		}
		if segments, err := f.Face.LoadGlyph(&buf, glyph, whole, nil); err == nil && len(segments) > 0 {
			p.Fill(outline(segments, func(q fixed.Point26_6) vg.Point {
				return vg.Point{X: at.X + vg.Length(x+q.X)*scale, Y: at.Y - vg.Length(q.Y)*scale}
			}))
		}
		if advance, err := f.Face.GlyphAdvance(&buf, glyph, whole, 0); err == nil {
			x += advance
		}
		last = glyph
	}
}

// outline is the path of a letter whose points are put where at says.
func outline(segments sfnt.Segments, at func(fixed.Point26_6) vg.Point) (path vg.Path) {
	for _, s := range segments {
		switch s.Op {
		case sfnt.SegmentOpMoveTo:
			if len(path) > 0 {
				path.Close()
			}
			path.Move(at(s.Args[0]))
		case sfnt.SegmentOpLineTo:
			path.Line(at(s.Args[0]))
		case sfnt.SegmentOpQuadTo:
			path.QuadTo(at(s.Args[0]), at(s.Args[1]))
		case sfnt.SegmentOpCubeTo:
			path.CubeTo(at(s.Args[0]), at(s.Args[1]), at(s.Args[2]))
		}
	}
	path.Close()
	return path
}
