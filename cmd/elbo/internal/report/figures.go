package report

import (
	"fmt"
	"html/template"
	"math"
	"slices"

	"elbo/cmd/elbo/internal/chart"
	"elbo/model/infer"
)

// The size of a chart on the page, in its units: on a telephone, where a unit is a little less than a pixel, its text
// can be read, and elsewhere it is not too large.
const (
	chartWidth  = 390
	chartHeight = 290
	planeSide   = 250
)

// drawn is a chart on the page; the empty chart is nothing.
func drawn(c chart.Chart) (template.HTML, error) {
	if c.Layers == nil {
		return "", nil
	}
	if c.Width == 0 {
		c.Width, c.Height = chartWidth, chartHeight
	}
	return c.Inline()
}

// look is that of the i-th model.
func look(i int) chart.Look { return chart.Look{Ink: chart.CurveInk(i)} }

func thin(l chart.Look) chart.Look { l.Thin = true; return l }

func dashed(l chart.Look) chart.Look { l.Thin, l.Dashed = true, true; return l }

// ladder draws, for every model, its ELBO, L_k and log p(x) on one axis, each with an interval of 95 % over images, and
// the gap between the first and the last filled.
func (p Page) ladder() chart.Chart {
	neutral := chart.Look{Ink: chart.Soft}
	key := func(name string, form chart.Form) chart.Points {
		return chart.Points{Name: name, Look: chart.Look{Ink: chart.Soft, Form: form}, Radius: 4}
	}
	c := chart.Chart{
		Alt: "ELBO, L_k and log p(x) of each model in nats per image", Width: chartWidth, Height: float64(90 + 44*len(p.Models)),
		X: chart.Axis{Label: "nats per image, higher is better →"}, Y: chart.Axis{Range: chart.Span{Lo: -0.6, Hi: float64(len(p.Models)) - 0.4}},
	}
	var bands, whiskers, marks []chart.Layer
	anyIW := false
	for i, m := range p.Models {
		y := float64(len(p.Models) - 1 - i)
		c.Y.Ticks = append(c.Y.Ticks, chart.Tick{Value: y, Label: m.Name})
		bands = append(bands, chart.Band{Ink: look(i).Ink, X: []float64{m.ELBO.Value, m.LogP.Value}, Low: []float64{y - .2, y - .2}, High: []float64{y + .2, y + .2}})
		mark := func(f Figure, form chart.Form, radius float64) {
			whiskers = append(whiskers, chart.Whiskers{Look: thin(look(i)), Across: true, At: []float64{y}, Low: []float64{f.Value - 1.96*f.SE}, High: []float64{f.Value + 1.96*f.SE}})
			marks = append(marks, chart.Points{Look: chart.Look{Ink: look(i).Ink, Form: form}, Radius: radius, X: []float64{f.Value}, Y: []float64{y}})
		}
		mark(m.ELBO, chart.Disc, 4.5)
		if m.IW != nil {
			anyIW = true
			mark(m.IW.Figure, chart.Diamond, 4.5)
		}
		if m.LogP.How != infer.LowerBound {
			mark(Figure(m.LogP.Estimate), chart.Bar, 4.5)
		}
	}
	c.Layers = slices.Concat(bands, whiskers, marks, []chart.Layer{key("ELBO", chart.Disc)})
	if anyIW {
		c.Layers = append(c.Layers, key(fmt.Sprintf("L_%d", p.Samples), chart.Diamond))
	}
	c.Layers = append(c.Layers, key("log p(x)", chart.Bar), chart.Band{Name: "gap", Ink: chart.Soft}, chart.Whiskers{Name: "95 %", Look: thin(neutral)})
	return c
}

// trained returns the bounds of a run on training images, dashed, and on validation images, over passes or seconds.
func trained(m Model, l chart.Look, seconds bool) (training, validation chart.Line) {
	training.Look, validation.Look = dashed(l), l
	for _, h := range m.History {
		x := float64(h.Pass)
		if seconds {
			x = h.Seconds
		}
		training.X, training.Y = append(training.X, x), append(training.Y, h.Train)
		if h.Validation != nil {
			validation.X, validation.Y = append(validation.X, x), append(validation.Y, h.Validation.Value)
		}
	}
	return training, validation
}

// curves draws the bounds of all models while they were trained, over seconds or passes.
func (p Page) curves(seconds bool) chart.Chart {
	c := chart.Chart{Alt: "bounds of all models while they were trained", LeaveOutFirst: true,
		X: chart.Axis{Label: "passes over the training images", Each: "pass"}, Y: chart.Axis{Label: "nats per image"}}
	if seconds {
		c.Alt, c.X = c.Alt+", over seconds", chart.Axis{Label: "seconds of training", Each: "second"}
	}
	for i, m := range p.Models {
		training, validation := trained(m, look(i), seconds)
		validation.Name = m.Name
		if !seconds {
			validation.Name += ", " + m.Passes + "s"
		}
		c.Layers = append(c.Layers, training, validation)
	}
	return c
}

// stairs draws the evidence of an EM run and, below it, the bound that the table of the iteration before has come to by
// the M-step; the E-step takes it up to the evidence. It begins where a gap is still to be seen.
func (p Page) stairs(i int) chart.Chart {
	m := p.Models[i]
	shown := slices.DeleteFunc(slices.Clone(m.History), func(h Pass) bool { return h.Pass > 0 && h.AfterMStep == nil })
	if len(shown) < 3 {
		return chart.Chart{}
	}
	shown = shown[1:min(len(shown), 10)]
	evidence := chart.Line{Name: "evidence = bound, after the E-step", Look: look(i), Marked: true}
	bound := chart.Line{Name: "bound: along the M-step, then up the E-step", Look: thin(look(i))}
	gap := chart.Band{Ink: look(i).Ink}
	for j, h := range shown {
		x := float64(h.Pass)
		evidence.X, evidence.Y = append(evidence.X, x), append(evidence.Y, h.Train)
		ends := []float64{h.Train}
		if j > 0 {
			ends = []float64{*h.AfterMStep, h.Train}
		}
		for _, y := range ends {
			bound.X, bound.Y = append(bound.X, x), append(bound.Y, y)
			gap.X, gap.Low, gap.High = append(gap.X, x), append(gap.Low, y), append(gap.High, h.Train)
		}
	}
	return chart.Chart{Alt: "evidence and bound of " + m.Name + " in its first iterations",
		X: chart.Axis{Label: "iteration", Whole: true}, Y: chart.Axis{Label: "nats per image"}, Layers: []chart.Layer{gap, evidence, bound}}
}

// gains draws, on a logarithmic axis, what each M-step and each E-step of an EM run has added to the bound.
func (p Page) gains(i int) chart.Chart {
	m := p.Models[i]
	mSteps, eSteps := chart.Line{Name: "bound after the M-step", Look: look(i)}, chart.Line{Name: "the gap that the E-step closes", Look: dashed(look(i))}
	for j, h := range m.History {
		if j == 0 || h.AfterMStep == nil {
			continue
		}
		for _, s := range []struct {
			line *chart.Line
			gain float64
		}{{&mSteps, *h.AfterMStep - m.History[j-1].Train}, {&eSteps, h.Train - *h.AfterMStep}} {
			if s.gain > 0 { // rounding, else
				s.line.X, s.line.Y = append(s.line.X, float64(h.Pass)), append(s.line.Y, s.gain)
			}
		}
	}
	if len(mSteps.X) < 2 {
		return chart.Chart{}
	}
	return chart.Chart{Alt: "what each step of " + m.Name + " adds to the bound",
		X: chart.Axis{Label: "iteration", Whole: true}, Y: chart.Axis{Label: "nats per image, logarithmic", Log: true}, Layers: []chart.Layer{mSteps, eSteps}}
}

// climb draws the ELBO of a VAE over its epochs, and the gap that is left to log p(x) at its end.
func (p Page) climb(i int) chart.Chart {
	m := p.Models[i]
	if len(m.History) < 2 {
		return chart.Chart{}
	}
	training, validation := trained(m, look(i), false)
	training.Name, validation.Name, validation.Marked = "training bound", "validation bound", len(m.History) <= 30
	ends := []float64{float64(m.History[0].Pass), float64(m.History[len(m.History)-1].Pass)}
	level := func(v float64) []float64 { return []float64{v, v} }
	upper := "log p(x)"
	if p.BoundOnly(m) {
		upper = "below log p(x)"
	}
	return chart.Chart{Alt: "ELBO of " + m.Name + " over its epochs, and log p(x) at the end", LeaveOutFirst: true,
		X: chart.Axis{Label: "epoch", Each: "epoch", Whole: true}, Y: chart.Axis{Label: "nats per image"},
		Layers: []chart.Layer{
			chart.Band{Ink: look(i).Ink, X: ends, Low: level(m.ELBO.Value), High: level(m.LogP.Value)},
			chart.Band{Ink: look(i).Ink, X: ends, Low: level(m.LogP.Value - 1.96*m.LogP.SE), High: level(m.LogP.Value + 1.96*m.LogP.SE)},
			training, validation,
			chart.Line{Name: upper, Look: chart.Look{Ink: chart.Black}, X: ends, Y: level(m.LogP.Value)},
			chart.Line{Name: "ELBO", Look: chart.Look{Ink: chart.Black, Thin: true}, X: ends, Y: level(m.ELBO.Value)},
		}}
}

// gaps draws the distribution over images of log p(x) - ELBO of the models that have a gap.
func (p Page) gaps() chart.Chart {
	values := map[int][]float64{} // by model
	var all []float64
	for i, m := range p.Models {
		if m.LogP.How == infer.ExactSum {
			continue
		}
		for _, image := range m.Images {
			values[i] = append(values[i], image.LogP-image.ELBO)
		}
		all = append(all, values[i]...)
	}
	if len(all) < 2 {
		return chart.Chart{}
	}
	slices.Sort(all)
	lo := min(0, all[0])
	hi := max(all[len(all)-1-len(all)/20], lo+1e-3) // the largest twentieth stands in the last bin
	c := chart.Chart{Alt: "distribution of the gap over images", X: chart.Axis{Label: "log p(x) − ELBO of an image, nats"}, Y: chart.Axis{Label: "images"}}
	for i, m := range p.Models {
		if values[i] == nil {
			continue
		}
		step := chart.Line{Name: m.Name, Look: look(i)}
		const bins = 40
		for bin, n := range histogram(values[i], lo, hi, bins) {
			for _, edge := range []int{bin, bin + 1} {
				step.X, step.Y = append(step.X, lo+(hi-lo)*float64(edge)/bins), append(step.Y, float64(n))
			}
		}
		c.Layers = append(c.Layers, chart.Band{Ink: look(i).Ink, X: step.X, Low: make([]float64, len(step.X)), High: step.Y}, step)
	}
	return c
}

// histogram counts values in equal bins from lo to hi; those outside are in the first or the last one.
func histogram(values []float64, lo, hi float64, bins int) []int {
	counts := make([]int, bins)
	for _, v := range values {
		i := int((v - lo) / (hi - lo) * float64(bins))
		counts[min(max(i, 0), bins-1)]++
	}
	return counts
}

// Posterior is p(z|x) of one image over a two-dimensional latent space.
type Posterior struct {
	Model int // of Page.Models
	Image int // of Model.Images
	Pixel []float32

	// Of a VAE: the density of p(z|x) on W x H points that are evenly spaced over
	// [Lo, Hi] in each dimension, first dimension along a row, last row uppermost; and the
	// encoder's q, by outlines that hold ContourMass of it.
	Lo, Hi   [2]float64
	W, H     int
	Density  []float64
	Outlines []Outline

	// Of a grid: its points, with p(z|x) of each.
	Points []float32 // [K, 2]
	Table  []float32 // [K]
}

// plane draws a posterior.
func (p Page) plane(n int) chart.Chart {
	o := p.Posteriors[n]
	span := func(j int) chart.Span { return chart.Span{Lo: o.Lo[j], Hi: o.Hi[j]} }
	c := chart.Chart{Alt: "posterior of image " + count(p.ImageOf(o).Number) + " under " + p.ModelOf(o).Name, Width: planeSide, Height: planeSide, Equal: true,
		X: chart.Axis{Label: "z₁", Range: span(0)}, Y: chart.Axis{Label: "z₂", Range: span(1)}}
	if o.Table != nil {
		likely := chart.Points{Look: look(o.Model), Opacity: 0.65}
		rest := chart.Points{Look: chart.Look{Ink: chart.Rule}, Radius: 0.9, Opacity: 1}
		for k, q := range o.Table {
			x, y := float64(o.Points[2*k]), float64(o.Points[2*k+1])
			if q > 1e-4 {
				likely.X, likely.Y, likely.Radii = append(likely.X, x), append(likely.Y, y), append(likely.Radii, max(1.2, 16*math.Sqrt(float64(q))))
			} else {
				rest.X, rest.Y = append(rest.X, x), append(rest.Y, y)
			}
		}
		c.Layers = []chart.Layer{rest, likely}
		return c
	}
	density := chart.Field{W: o.W, H: o.H, X: span(0), Y: span(1), Values: o.Density}
	c.Layers = []chart.Layer{chart.Heat{Field: density}}
	for _, level := range chart.MassLevels(o.Density, ContourMass[:]...) {
		c.Layers = append(c.Layers, chart.Contour{Field: density, Look: chart.Look{Ink: chart.Black, Thin: true}, Level: level})
	}
	for _, outline := range o.Outlines {
		c.Layers = append(c.Layers, chart.Line{Look: chart.Look{Ink: look(o.Model).Ink, Dashed: true}, X: outline.X, Y: outline.Y})
	}
	return c
}
