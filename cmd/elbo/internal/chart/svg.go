package chart

import (
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"html/template"
	"image"
	"image/png"
	"io"
	"strconv"
	"strings"
)

// SVG writes the sheet as a file of its own, for a white page. It fails where a layer's slices differ in length, and
// where w fails.
func (s Sheet) SVG(w io.Writer) error {
	shapes, width, height, err := s.shapes()
	if err != nil {
		return err
	}
	var d svg
	fmt.Fprintf(&d, `<svg xmlns="http://www.w3.org/2000/svg" width="%g" height="%g" viewBox="0 0 %g %g" font-family="%s">`, width, height, width, height, svgFonts)
	fmt.Fprintf(&d, `<title>%s</title><rect width="100%%" height="100%%"%s/>`, escape(s[0][0].alt()), d.paint(Paint{Fill: Paper}))
	d.draw(shapes)
	d.WriteString("</svg>\n")
	_, err = io.WriteString(w, d.String())
	return err
}

// Inline returns the chart as an element of an HTML page with the style sheet [CSS]: it has the page's width, and by
// night other colours.
func (c Chart) Inline() (template.HTML, error) {
	if err := c.check(); err != nil {
		return "", err
	}
	d := svg{classes: true}
	width, height := c.size()
	fmt.Fprintf(&d, `<svg viewBox="0 0 %g %g" role="img" aria-label="%s" font-family="%s">`, width, height, escape(c.alt()), svgFonts)
	d.draw(c.shapes(2)) // what it stands in has a margin
	d.WriteString("</svg>")
	return template.HTML(d.String()), nil
}

func (c Chart) alt() string {
	if c.Alt != "" {
		return c.Alt
	}
	return c.Title
}

// svgFonts have the widths that texts are laid out by. Where there are none of them, textLength fits another in.
const svgFonts = "Liberation Sans, Arial, Helvetica, sans-serif"

// svg is an SVG document.
type svg struct {
	strings.Builder
	classes bool // colours are those of a style sheet
}

func (d *svg) draw(shapes []Shape) {
	for _, s := range shapes {
		switch s := s.(type) {
		case Path:
			fmt.Fprintf(d, `<path d="%s"%s/>`, directions(s.Pieces, s.Paint.Fill != ""), d.paint(s.Paint))
		case Mark:
			if outline := s.Form.outline(s.At, s.Radius); outline != nil {
				fmt.Fprintf(d, `<path d="%s"%s/>`, directions([][]Point{outline}, true), d.paint(s.Paint))
			} else {
				fmt.Fprintf(d, `<circle cx="%s" cy="%s" r="%s"%s/>`, length(s.At.X), length(s.At.Y), length(s.Radius), d.paint(s.Paint))
			}
		case Text:
			d.text(s)
		case Picture:
			size := s.Max.Sub(s.Min)
			fmt.Fprintf(d, `<image href="%s" x="%s" y="%s" width="%s" height="%s" preserveAspectRatio="none"/>`, DataURI(s.Image), length(s.Min.X), length(s.Min.Y), length(size.X), length(size.Y))
		}
	}
}

// paint returns the attributes of a paint: of colours that differ by night, their class.
func (d *svg) paint(p Paint) string {
	var b strings.Builder
	var classes []string
	for _, part := range []struct {
		name string
		ink  Ink
	}{{"fill", p.Fill}, {"stroke", p.Stroke}} {
		switch {
		case part.ink == "" && part.name == "fill":
			b.WriteString(` fill="none"`)
		case part.ink == "":
		case d.classes && part.ink.byNight():
			classes = append(classes, part.name[:1]+"-"+string(part.ink))
		default:
			fmt.Fprintf(&b, ` %s="%s"`, part.name, hex(part.ink.light()))
		}
	}
	if classes != nil {
		fmt.Fprintf(&b, ` class="%s"`, strings.Join(classes, " "))
	}
	if p.Stroke != "" {
		fmt.Fprintf(&b, ` stroke-width="%s"`, length(p.Width))
	}
	if p.Dashed {
		fmt.Fprintf(&b, ` stroke-dasharray="%g %g"`, dash, gap)
	}
	if p.Opacity != 0 {
		fmt.Fprintf(&b, ` opacity="%g"`, p.Opacity)
	}
	return b.String()
}

func (d *svg) text(s Text) {
	if s.Value == "" {
		return
	}
	p := Paint{Fill: s.Ink}
	place := fmt.Sprintf(`x="%s" y="%s"`, length(s.At.X), length(s.At.Y))
	if s.Turned {
		place = fmt.Sprintf(`transform="translate(%s %s) rotate(-90)"`, length(s.At.X), length(s.At.Y))
	}
	if s.Bold {
		place += ` font-weight="700"`
	}
	if s.Halo {
		p.Stroke, p.Width = Paper, 2*halo
		place += ` paint-order="stroke" stroke-linejoin="round"`
	}
	anchor := map[float64]string{0.5: ` text-anchor="middle"`, 1: ` text-anchor="end"`}[s.Anchor]
	fmt.Fprintf(d, `<text %s%s font-size="%s" textLength="%s" lengthAdjust="spacingAndGlyphs"%s>%s</text>`, place, anchor, length(s.Size), length(s.Width()), d.paint(p), escape(s.Value))
}

// directions are the way along pieces.
func directions(pieces [][]Point, closed bool) string {
	var b strings.Builder
	for _, piece := range pieces {
		for i, p := range piece {
			command := "L"
			if i == 0 {
				command = "M"
			}
			b.WriteString(command + length(p.X) + " " + length(p.Y))
		}
		if closed {
			b.WriteString("Z")
		}
	}
	return b.String()
}

// length writes a length, to a hundredth of a pixel.
func length[T ~float64](v T) string {
	text := strconv.FormatFloat(float64(v), 'f', 2, 64)
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
}

// escape makes text of a string.
func escape(s string) string {
	var b strings.Builder
	xml.EscapeText(&b, []byte(s)) // a Builder does not fail
	return b.String()
}

// DataURI is an image as a PNG in text.
func DataURI(img image.Image) string {
	var b bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	if err := encoder.Encode(&b, img); err != nil {
		return ""
	}
	return "data:image/png;base64," + base64.StdEncoding.EncodeToString(b.Bytes())
}
