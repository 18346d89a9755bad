package main

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"path/filepath"
	"strings"

	"elbo/cmd/elbo/internal/chart"
	"elbo/cmd/elbo/internal/picture"
	"elbo/data"
	"elbo/model"
	"elbo/train"
	"elbo/train/run"
)

// The sizes of the pictures of a run.
const (
	sampledImages     = 100 // samples.png
	pairedImages      = 40  // reconstructions.png
	manifoldSide      = 20  // manifold.png, images along each axis
	manifoldReach     = 3   // manifold.png, standard deviations of N(0, I) in each direction; see regionOf
	plottedCodes      = 10000
	shownComponents   = 200 // components.png
	gridColumns       = 10
	pairColumns       = 20
	samplesFile       = "samples.png"
	componentsFile    = "components.png"
	reconstructedFile = "reconstructions.png"
)

// gallery draws the pictures of a run.
type gallery struct {
	s       *train.Setup
	dir     string   // to draw in
	formats []string // of charts, as extensions; images are PNG in any case
	title   string   // above each; "": the model and its data
}

func newGallery(s *train.Setup, dir *run.Dir) gallery {
	return gallery{s: s, dir: dir.Path, formats: []string{"png"}}
}

// draw makes all pictures of a run in its directory.
func (p *program) draw(s *train.Setup, dir *run.Dir) error {
	metrics, err := dir.ReadMetrics()
	if err != nil {
		return err
	}
	return newGallery(s, dir).all(metrics)
}

// all draws all pictures.
func (g gallery) all(metrics []run.Metrics) error {
	if err := g.during(metrics); err != nil {
		return err
	}
	s := g.s
	originals, reconstructions, err := reconstruct(s, pictured(s), pairedImages)
	if err != nil {
		return err
	}
	err = g.images(reconstructedFile, picture.Pairs(originals, reconstructions, s.Dataset.Rows(), s.Dataset.Cols(), s.Dataset.Channels(), pairColumns),
		pairsAre)
	if n := s.Config.Network(); err == nil && n.Latent == 2 && !n.Stochastic.Several() { // a plane of codes, which the decoder reads
		err = g.plane()
	}
	return err
}

// during draws what changes while the model is trained: samples, components and curves.
func (g gallery) during(metrics []run.Metrics) error {
	samples, what, err := drawSamples(g.s)
	if err != nil {
		return err
	}
	if err := g.images(samplesFile, samples, what); err != nil {
		return err
	}
	if m, ok := g.s.Model.(train.Tabular); ok {
		sheet, what := drawComponents(g.s, m)
		if err := g.images(componentsFile, sheet, what); err != nil {
			return err
		}
	}
	if len(metrics) == 0 {
		return nil
	}
	sheet := curvesOf(g.s, metrics)
	if g.title != "" {
		sheet[0][0].Title = g.title
	}
	return g.chart("curves", sheet)
}

// images writes a sheet of images under a line that says what they are.
func (g gallery) images(name string, sheet image.Image, what string) error {
	title := g.title
	if title == "" {
		title = titleOf(g.s, what)
	}
	return writePicture(filepath.Join(g.dir, name), picture.Titled(sheet, title))
}

// What sheets of images are.
const (
	drawsAre = "means E[x|z] of draws from the prior"
	pairsAre = "images, and their reconstructions below"
)

// titleOf says what a picture shows, and of which model and data.
func titleOf(s *train.Setup, what string) string {
	return fmt.Sprintf("%s; %s, on %s", what, describeModel(s), s.Dataset.Name)
}

// chart writes a chart in every format.
func (g gallery) chart(name string, sheet chart.Sheet) error {
	var errs []error
	for _, format := range g.formats {
		errs = append(errs, writeChart(filepath.Join(g.dir, name+"."+format), sheet))
	}
	return errors.Join(errs...)
}

// drawSamples draws images from the prior, and of a grid all its states in their order. what
// says which.
func drawSamples(s *train.Setup) (sheet image.Image, what string, err error) {
	rows, cols := s.Dataset.Rows(), s.Dataset.Cols()
	if extent := train.SettingsOf[train.GridSettings](s.Config).Grid; extent != nil {
		means, d := s.Model.(train.Tabular).Table().Means(), s.Dataset.D()
		if len(extent) == 2 {
			return picture.Grid(upright(means, extent[0], extent[1], d), rows, cols, s.Dataset.Channels(), extent[0]), "means E[x|z] at the points of the grid", nil
		}
		return picture.Grid(means, rows, cols, s.Dataset.Channels(), extent[len(extent)-1]), "means E[x|z] at the points of the grid", nil
	}
	samples, err := s.Sample(sampledImages, s.Config.Seed)
	return picture.Grid(samples, rows, cols, s.Dataset.Channels(), gridColumns), drawsAre, err
}

// drawComponents draws each state of a table once, the heaviest first, with its number and its
// weight. what says so.
func drawComponents(s *train.Setup, m train.Tabular) (sheet image.Image, what string) {
	components := train.Components(m)
	var images []float32
	var captions []string
	for _, c := range components[:min(len(components), shownComponents)] {
		images = append(images, c.Mean...)
		captions = append(captions, fmt.Sprintf("%d: %.1f%%", c.State, 100*c.Weight))
	}
	what = "states z by weight: number, p(z), E[x|z]"
	if len(components) > shownComponents {
		what = fmt.Sprintf("the %d heaviest of %d %s", shownComponents, len(components), what)
	}
	return picture.Captioned(images, s.Dataset.Rows(), s.Dataset.Cols(), s.Dataset.Channels(), gridColumns, captions), what
}

// pictured is the split whose images are shown: the test images, where there are any.
func pictured(s *train.Setup) data.View {
	for _, v := range []data.View{s.Test, s.Validation} {
		if v.N() > 0 {
			return v
		}
	}
	return s.Train
}

// curvesOf are the bounds over epochs, and their parts below.
func curvesOf(s *train.Setup, metrics []run.Metrics) chart.Sheet {
	bound, pass := boundName(s.Config), s.Config.PassUnit()
	var sheet chart.Sheet
	for _, part := range []struct {
		name  string
		value func(*run.EpochTerms) float64
	}{
		{bound, func(t *run.EpochTerms) float64 { return t.Bound }},
		{"E[log p(x|z)]", func(t *run.EpochTerms) float64 { return t.Recon }},
		{"KL(q(z|x) ‖ p(z))", func(t *run.EpochTerms) float64 { return t.KL }},
	} {
		c := chart.Chart{Height: 270, X: chart.Axis{Each: pass, Whole: true}, Y: chart.Axis{Label: part.name + ", nats per image"}, LeaveOutFirst: true}
		training, validation := curveOf(metrics, trainTerms, part.value), curveOf(metrics, validationTerms, part.value)
		c.Layers = []chart.Layer{chart.Curve(0, "", training.x, training.y)}
		if validation.x != nil {
			c.Layers = append(c.Layers, chart.Curve(1, "", validation.x, validation.y))
		}
		sheet = append(sheet, []chart.Chart{c})
	}
	describeBounds(&sheet[0][0], s, metrics)
	sheet[len(sheet)-1][0].X.Label = pass
	return sheet
}

// boundName is what the bound of a run is called.
func boundName(c train.Config) string {
	vae := train.SettingsOf[train.VAESettings](c)
	switch {
	case c.HasTable():
		return "log p(x)"
	case vae.Objective == model.IWAE:
		return fmt.Sprintf("L_%d", vae.K)
	}
	return "ELBO"
}

// describeBounds gives the panel of the bounds what holds for the sheet, a title and a legend, and what is known of
// validation bounds alone: their standard errors, and which is best.
func describeBounds(c *chart.Chart, s *train.Setup, metrics []run.Metrics) {
	c.Title, c.Height = describeModel(s)+", on "+s.Dataset.Name, 340
	training := c.Layers[0].(chart.Line)
	training.Name = "train"
	c.Layers[0] = training
	if len(c.Layers) < 2 {
		return
	}
	validation := c.Layers[1].(chart.Line)
	validation.Name = "validation"
	errors := chart.Band{Ink: validation.Ink, X: validation.X}
	best := 0
	for i, se := range curveOf(metrics, validationTerms, func(t *run.EpochTerms) float64 { return t.BoundSE }).y {
		errors.Low, errors.High = append(errors.Low, validation.Y[i]-se), append(errors.High, validation.Y[i]+se)
		if validation.Y[i] > validation.Y[best] {
			best = i
		}
	}
	c.Layers = []chart.Layer{errors, training, validation, chart.Band{Name: "± standard error", Ink: validation.Ink}, chart.Points{
		Name: fmt.Sprintf("best, %s %g", c.X.Each, validation.X[best]), Look: chart.Look{Ink: chart.Black, Form: chart.Ring}, Radius: 6,
		X: validation.X[best : best+1], Y: validation.Y[best : best+1],
	}}
}

// curve is a figure over the epochs that have it.
type curve struct{ x, y []float64 }

func trainTerms(m run.Metrics) *run.EpochTerms      { return m.Train }
func validationTerms(m run.Metrics) *run.EpochTerms { return m.Validation }

func curveOf(metrics []run.Metrics, terms func(run.Metrics) *run.EpochTerms, value func(*run.EpochTerms) float64) (c curve) {
	for _, m := range metrics {
		if t := terms(m); t != nil {
			c.x, c.y = append(c.x, float64(m.Epoch)), append(c.y, value(t))
		}
	}
	return c
}

// upright puts the images of a grid of n1 x n2 points, the first dimension slowest, in
// the order of a plot: z1 from left to right, z2 from bottom to top.
func upright(images []float32, n1, n2, d int) []float32 {
	var out []float32
	for i2 := n2 - 1; i2 >= 0; i2-- {
		for i1 := range n1 {
			out = append(out, images[(i1*n2+i2)*d:][:d]...)
		}
	}
	return out
}

// plane draws what only a two-dimensional latent space can show.
func (g gallery) plane() error {
	s := g.s
	if !s.Config.HasTable() { // the states of a grid are in samples.png
		joint, err := s.Joint()
		if err != nil {
			return err
		}
		r, err := regionOf(joint)
		if err != nil {
			return err
		}
		codes := picture.ManifoldCodes(manifoldSide, r.z1, r.z2)
		images, err := s.Decode(codes)
		if err != nil {
			return err
		}
		if err := r.dim(images, codes); err != nil {
			return err
		}
		what := "means E[x|z] over the plane"
		if r.density != nil {
			what += ", dark outside 99 % of p(z)"
		}
		err = g.images("manifold.png", picture.Manifold(images, s.Dataset.Rows(), s.Dataset.Cols(), s.Dataset.Channels(), manifoldSide, r.z1, r.z2), what)
		if err != nil {
			return err
		}
	}
	v := pictured(s)
	v.Subset = v.First(plottedCodes)
	codes, err := s.Encode(context.Background(), v)
	if err != nil {
		return err
	}
	labels := make([]uint8, v.N())
	for i := range labels {
		label, ok := v.Label(i)
		if !ok {
			labels = nil
			break
		}
		labels[i] = label
	}
	c, err := chart.Codes(codes.Mean, labels, fmt.Sprintf("E[z|x] of %d images of %s; %s", v.N(), s.Dataset.Name, describeModel(s)))
	if err != nil {
		return err
	}
	if m, ok := s.Model.(train.Amortised); ok {
		if _, ok := m.Joint().Prior.(model.StandardNormal); ok {
			for i, name := range []string{"p(z): 1 and 2 standard deviations", ""} {
				c.Layers = append(c.Layers, chart.Ellipse{Name: name, Look: chart.Look{Ink: chart.Black, Dashed: true, Thin: true}, RadiusX: float64(i + 1), RadiusY: float64(i + 1)})
			}
		}
	}
	if g.title != "" {
		c.Title = g.title
	}
	return g.chart("latent", chart.Sheet{{c}})
}

// reconstruct returns the first n images of v, and their reconstructions.
func reconstruct(s *train.Setup, v data.View, n int) (originals, reconstructions []float32, err error) {
	v.Subset = v.First(n)
	reconstructions, err = s.Reconstruct(context.Background(), v)
	return v.AllEvaluated(), reconstructions, err
}

// writePicture writes a PNG file.
func writePicture(path string, img image.Image) error {
	return run.WriteAtomic(path, func(w io.Writer) error { return picture.Encode(w, img) })
}

// writeChart writes a chart as what the file's name asks for: .svg, .pdf, or .png.
func writeChart(path string, sheet chart.Sheet) error {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".svg":
		return run.WriteAtomic(path, sheet.SVG)
	case ".pdf":
		return run.WriteAtomic(path, sheet.PDF)
	}
	img, err := sheet.PNG()
	if err != nil {
		return err
	}
	return writePicture(path, img)
}

// writeImages writes images as what the file's name asks for: .png, laid out by
// layout, or .npy, float32 [N, D].
func writeImages(path string, images []float32, d int, layout func() image.Image) error {
	if strings.ToLower(filepath.Ext(path)) == ".npy" {
		return run.WriteAtomic(path, func(w io.Writer) error {
			return data.WriteFloatsNPY(w, len(images)/d, d, func(yield func([]float32) bool) { yield(images) })
		})
	}
	return writePicture(path, layout())
}
