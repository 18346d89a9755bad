package report

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"image"
	"io"
	"strconv"
	"strings"

	"elbo/cmd/elbo/internal/chart"
	"elbo/model/infer"
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
		"css":     func() template.CSS { return template.CSS(chart.CSS() + pageCSS) },
		"nats":    func(v float64) string { return number(v, 2) },
		"signed":  signed,
		"bits":    func(v float64) string { return number(v, 4) },
		"se":      func(v float64) string { return number(v, 2) },
		"seconds": func(v float64) string { return number(v, 1) },
		"count":   count,
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

func (p Page) Ladder() (template.HTML, error)      { return drawn(p.ladder()) }
func (p Page) OverSeconds() (template.HTML, error) { return drawn(p.curves(true)) }
func (p Page) OverPasses() (template.HTML, error)  { return drawn(p.curves(false)) }
func (p Page) Gaps() (template.HTML, error)        { return drawn(p.gaps()) }
func (p Page) Stairs(i int) (template.HTML, error) { return drawn(p.stairs(i)) }
func (p Page) Gains(i int) (template.HTML, error)  { return drawn(p.gains(i)) }
func (p Page) Climb(i int) (template.HTML, error)  { return drawn(p.climb(i)) }
func (p Page) Plane(i int) (template.HTML, error)  { return drawn(p.plane(i)) }
func (p Page) IsReference(m Model) bool            { return m.Name == p.Reference }
func (p Page) Seeded() bool                        { return p.Data.Binarise == "static" || p.Data.Binarise == "dynamic" }
func (p Page) HasTable(m Model) bool               { return m.LogP.How == infer.ExactSum }
func (p Page) BoundOnly(m Model) bool              { return m.LogP.How == infer.LowerBound }
func (p Page) ImageOf(o Posterior) Image           { return p.Models[o.Model].Images[o.Image] }
func (p Page) ModelOf(o Posterior) Model           { return p.Models[o.Model] }
func (p Page) GapOf(o Posterior) float64           { return p.ImageOf(o).LogP - p.ImageOf(o).ELBO }
func (p Page) PicturesOf(i int) Pictures           { return p.Pictures[i] }
func (p Page) Key(i int) template.HTML             { return key(i) }
func (p Page) IsMass() bool                        { return p.Data.Measure == Mass }
func (p Page) IsDensity() bool                     { return p.Data.Measure == Density }
func (p Page) NoLikelihood() bool                  { return p.Data.Measure == NoLikelihood }
func (p Page) Thumbnail(o Posterior) template.HTML {
	side := 1
	for side*side < len(o.Pixel) {
		side++
	}
	img := image.NewGray(image.Rect(0, 0, side, (len(o.Pixel)+side-1)/side))
	for i, v := range o.Pixel {
		img.Pix[i] = uint8(255 * min(max(v, 0), 1))
	}
	return template.HTML(fmt.Sprintf(`<img class="thumb" src="%s" alt="image %d as it was scored" width="56" height="56">`, chart.DataURI(img), p.ImageOf(o).Number))
}

// key is a piece of a model's line, beside its name.
func key(i int) template.HTML {
	return template.HTML(fmt.Sprintf(`<svg class="key" viewBox="0 0 24 10" aria-hidden="true"><path class="s-%s" stroke-width="2" d="M1 5H23"/></svg>`, look(i).Ink))
}

// picture is an image in the page. Pictures are made for 192 dots per inch.
func picture(img image.Image, alt string) template.HTML {
	if img == nil {
		return ""
	}
	return template.HTML(fmt.Sprintf(`<img class="sheet" src="%s" alt="%s" width="%d" height="%d">`,
		chart.DataURI(img), template.HTMLEscapeString(alt), img.Bounds().Dx()/2, img.Bounds().Dy()/2))
}

// number writes a figure with a minus sign in front where there is one, and none in front of nought.
func number(v float64, decimals int) string {
	return chart.Minus(strconv.FormatFloat(v, 'f', decimals, 64))
}

// signed writes a difference.
func signed(v float64) string {
	text := number(v, 2)
	if v > 0 && strings.Trim(text, "0.") != "" {
		return "+" + text
	}
	return text
}

// count writes a number with thin spaces.
func count(n int) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "\u202f" + text[i:]
	}
	return text
}
