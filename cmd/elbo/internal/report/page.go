package report

import (
	"bytes"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"image"
	"image/color"
	"image/png"
	"io"
	"strings"
)

// Page is a comparison with its pictures.
type Page struct {
	Comparison
	Pictures   []Pictures  // of each model, in the order of Models
	Posteriors []Posterior // grouped by image
}

// Pictures are those of one model.
type Pictures struct {
	Samples         image.Image
	SamplesAre      string // in words
	Reconstructions image.Image
}

//go:embed page.html
var pageHTML string

//go:embed page.css
var pageCSS string

// Write writes the page: one file of HTML that fetches nothing and runs nothing.
func (p Page) Write(w io.Writer) error {
	t, err := template.New("page").Funcs(template.FuncMap{
		"css":     func() template.CSS { return template.CSS(pageCSS) },
		"class":   class,
		"nats":    func(v float64) string { return number(v, 2) },
		"signed":  signed,
		"bits":    func(v float64) string { return number(v, 4) },
		"se":      func(v float64) string { return number(v, 2) },
		"seconds": func(v float64) string { return number(v, 1) },
		"count":   thousands,
		"error":   func(v float64) string { return fmt.Sprintf("%.1g", v) },
		"picture": picture,
		"sum":     func(a, b int) int { return a - b },
	}).Parse(pageHTML)
	if err != nil {
		return err
	}
	var b bytes.Buffer // whole or not at all
	if err := t.Execute(&b, p); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	_, err = w.Write(b.Bytes())
	return err
}

// Views of the page, for its template.

func (p Page) Ladder() template.HTML         { return p.ladder() }
func (p Page) OverSeconds() template.HTML    { return p.curves(true) }
func (p Page) OverPasses() template.HTML     { return p.curves(false) }
func (p Page) Gaps() template.HTML           { return p.gaps() }
func (p Page) Stairs(i int) template.HTML    { return p.stairs(i) }
func (p Page) Gains(i int) template.HTML     { return p.gains(i) }
func (p Page) Climb(i int) template.HTML     { return p.climb(i) }
func (p Page) IsReference(m Model) bool      { return m.Name == p.Reference }
func (p Page) Seeded() bool                  { return p.Data.Binarise == "static" || p.Data.Binarise == "dynamic" }
func (p Page) HasTable(m Model) bool         { return m.LogP.How == ExactSum }
func (p Page) BoundOnly(m Model) bool        { return m.LogP.How == LowerBound }
func (p Page) Plane(i int) template.HTML     { return p.Posteriors[i].plane(fmt.Sprintf("plane-%d", i)) }
func (p Page) ImageOf(o Posterior) Image     { return p.Models[o.Model].Images[o.Image] }
func (p Page) ModelOf(o Posterior) Model     { return p.Models[o.Model] }
func (p Page) GapOf(o Posterior) float64     { return p.ImageOf(o).LogP - p.ImageOf(o).ELBO }
func (p Page) PicturesOf(i int) Pictures     { return p.Pictures[i] }
func (p Page) Key(i int) template.HTML       { return key(i, "") }
func (p Page) KeyDashed(i int) template.HTML { return key(i, "dashed thin") }
func (p Page) KeyThin(i int) template.HTML   { return key(i, "thin") }
func (p Page) IsMass() bool                  { return p.Data.Measure == Mass }
func (p Page) IsDensity() bool               { return p.Data.Measure == Density }
func (p Page) NoLikelihood() bool            { return p.Data.Measure == NoLikelihood }
func (p Page) Thumbnail(o Posterior) template.HTML {
	side := 1
	for side*side < len(o.Pixel) {
		side++
	}
	img := image.NewGray(image.Rect(0, 0, side, (len(o.Pixel)+side-1)/side))
	for i, v := range o.Pixel {
		img.Pix[i] = uint8(255 * min(max(v, 0), 1))
	}
	return template.HTML(fmt.Sprintf(`<img class="thumb" src="%s" alt="image %d as it was scored" width="56" height="56">`, dataURI(img), p.ImageOf(o).Number))
}

// key is a piece of a model's line, for legends.
func key(i int, style string) template.HTML {
	return template.HTML(fmt.Sprintf(`<svg class="key" viewBox="0 0 24 10" aria-hidden="true"><path class="line %s %s" d="M1 5H23"/></svg>`, class(i), style))
}

// picture is an image in the page. Pictures are made for 192 dots per inch.
func picture(img image.Image, alt string) template.HTML {
	if img == nil {
		return ""
	}
	return template.HTML(fmt.Sprintf(`<img class="sheet" src="%s" alt="%s" width="%d" height="%d">`,
		dataURI(img), template.HTMLEscapeString(alt), img.Bounds().Dx()/2, img.Bounds().Dy()/2))
}

// dataURI is an image as a PNG in text.
func dataURI(img image.Image) string {
	var b bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	if err := encoder.Encode(&b, img); err != nil {
		return ""
	}
	return "data:image/png;base64," + base64.StdEncoding.EncodeToString(b.Bytes())
}

// heat draws a field of w x h values, the last row uppermost: the larger, the less
// transparent. The colour does on white and on black.
func heat(field []float64, w, h int) image.Image {
	top := 0.0
	for _, v := range field {
		top = max(top, v)
	}
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			share := 0.0
			if top > 0 {
				share = field[y*w+x] / top
			}
			img.SetNRGBA(x, h-1-y, color.NRGBA{0x3a, 0x86, 0xd8, uint8(235*share + 0.5)})
		}
	}
	return img
}

// signed writes a difference.
func signed(v float64) string {
	text := number(v, 2)
	if v > 0 && strings.Trim(text, "0.") != "" {
		return "+" + text
	}
	return text
}

// thousands writes a number with thin spaces.
func thousands(n int) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "\u202f" + text[i:]
	}
	return text
}
