package report

import (
	"fmt"
	"html/template"
	"math"
	"slices"
	"strings"
)

// class is the colour of the i-th model.
func class(i int) string { return fmt.Sprintf("c%d", i%6) }

// ladder draws, for every model, its ELBO, L_k and log p(x) on one axis, each with an
// interval of 95 % over images, and the gap between the first and the last filled.
func (p Page) ladder() template.HTML {
	c := chart{label: "ELBO, L_k and log p(x) of each model in nats per image", x: "nats per image"}
	c.xs = empty()
	for _, m := range p.Models {
		for _, f := range []Figure{m.ELBO, m.LogP.Figure} {
			c.xs.add(f.Value - 2*f.SE)
			c.xs.add(f.Value + 2*f.SE)
		}
		if m.IW != nil {
			c.xs.add(m.IW.Value)
		}
	}
	c.xs = c.xs.wider(0.06)
	const row = 58
	c.height = float64(row*len(p.Models)) + 56
	bottom := c.bottom()
	x := func(v float64) float64 { return 12 + (v-c.xs.lo)/(c.xs.hi-c.xs.lo)*(chartWidth-24) }
	var b strings.Builder
	fmt.Fprintf(&b, `<svg viewBox="0 0 %d %g" role="img" aria-label="%s">`, chartWidth, c.height, c.label)
	for _, t := range ticks(c.xs, 6) {
		fmt.Fprintf(&b, `<path class="hair" d="M%.1f 4V%g"/><text x="%.1f" y="%g" text-anchor="middle">%s</text>`, x(t.value), bottom, x(t.value), bottom+14, t.label)
	}
	fmt.Fprintf(&b, `<path class="axis" d="M12 %gH%d"/><text x="%d" y="%g" text-anchor="middle">nats per image, higher is better →</text>`, bottom, chartWidth-12, chartWidth/2, bottom+32)
	for i, m := range p.Models {
		top := float64(row*i) + 8
		y := top + 34
		from, to := x(m.ELBO.Value), x(m.LogP.Value)
		anchor, at := "start", from
		if from > chartWidth/2 {
			anchor, at = "end", max(from, to)
		}
		fmt.Fprintf(&b, `<text class="name" x="%.1f" y="%.1f" text-anchor="%s">%s</text>`, at, top+10, anchor, template.HTMLEscapeString(m.Name))
		fmt.Fprintf(&b, `<rect class="band %s" x="%.1f" y="%.1f" width="%.1f" height="16"/>`, class(i), from, y-8, max(to-from, 0))
		// Whiskers stand apart, so that each is seen: log p(x)'s above, the ELBO's below.
		whisker := func(f Figure, y float64) {
			lo, hi := x(f.Value-1.96*f.SE), x(f.Value+1.96*f.SE)
			fmt.Fprintf(&b, `<path class="line thin %s" d="M%.1f %.1fH%.1fM%.1f %.1fv6M%.1f %.1fv6"/>`, class(i), lo, y, hi, lo, y-3, hi, y-3)
		}
		const disc, diamond, bar = "m-4.5,0a4.5,4.5 0 1 0 9,0a4.5,4.5 0 1 0 -9,0", "m0,-5.5l4.5,5.5l-4.5,5.5l-4.5,-5.5z", "m-1.2,-8h2.4v16h-2.4z"
		mark := func(f Figure, shape string) {
			fmt.Fprintf(&b, `<path class="dot %s" d="M%.1f %.1f%s"/>`, class(i), x(f.Value), y, shape)
		}
		whisker(m.LogP.Figure, y-12)
		whisker(m.ELBO, y+12)
		mark(m.ELBO, disc)
		if m.IW != nil {
			mark(m.IW.Figure, diamond)
		}
		if m.LogP.How != LowerBound {
			mark(m.LogP.Figure, bar)
		}
	}
	b.WriteString("</svg>")
	return template.HTML(b.String())
}

// curves draws the bounds of all models while they were trained, over seconds or passes.
func (p Page) curves(seconds bool) template.HTML {
	c := chart{label: "bounds of all models while they were trained", x: "passes over the training images", y: "nats per image", xs: span{0, 1}, ys: empty()}
	if seconds {
		c.label, c.x = c.label+", over seconds", "seconds of training"
	}
	for i, m := range p.Models {
		var trained, validated line
		trained, validated = line{class: class(i), thin: true, dashed: true}, line{class: class(i)}
		late := firstShown(m)
		for j, h := range m.History {
			x := float64(h.Pass)
			if seconds {
				x = h.Seconds
			}
			c.xs.add(x)
			trained.points = append(trained.points, point{x, h.Train})
			if h.Validation != nil {
				validated.points = append(validated.points, point{x, h.Validation.Value})
			}
			if j >= late {
				c.ys.add(h.Train)
				if h.Validation != nil {
					c.ys.add(h.Validation.Value)
				}
			}
		}
		c.lines = append(c.lines, trained, validated)
	}
	c.ys = c.ys.wider(0.06)
	return c.svg(fmt.Sprintf("curves-%t", seconds))
}

// firstShown is the first line of a run's history that a picture makes room for: the
// rise of the first ones would flatten the rest.
func firstShown(m Model) int { return min((len(m.History)+7)/8, len(m.History)-1) }

// stairs draws the evidence of an EM run and, below it, the bound that the table of the
// iteration before has come to by the M-step; the E-step takes it up to the evidence.
// It begins where a gap is still to be seen.
func (p Page) stairs(i int) template.HTML {
	m := p.Models[i]
	shown := slices.DeleteFunc(slices.Clone(m.History), func(h Pass) bool { return h.Pass > 0 && h.OldTable == nil })
	if len(shown) < 3 {
		return ""
	}
	shown = shown[1:min(len(shown), 10)]
	c := chart{label: "evidence and bound of " + m.Name + " in its first iterations", x: "iteration", y: "nats per image", xs: empty(), ys: empty()}
	evidence, bound := line{class: class(i), dots: true}, line{class: class(i), thin: true}
	var gap band
	gap.class = class(i)
	for j, h := range shown {
		x := float64(h.Pass)
		c.xs.add(x)
		c.ys.add(h.Train)
		evidence.points = append(evidence.points, point{x, h.Train})
		gap.upper = append(gap.upper, point{x, h.Train})
		if j > 0 {
			bound.points = append(bound.points, point{x, *h.OldTable})
			gap.lower = append(gap.lower, point{x, *h.OldTable})
			c.ys.add(*h.OldTable)
		}
		bound.points = append(bound.points, point{x, h.Train})
		gap.lower = append(gap.lower, point{x, h.Train})
	}
	c.xs, c.ys = c.xs.wider(0.03), c.ys.wider(0.06)
	c.bands, c.lines = []band{gap}, []line{evidence, bound}
	return c.svg(fmt.Sprintf("stairs-%d", i))
}

// gains draws, on a logarithmic axis, what each M-step and each E-step of an EM run has
// added to the bound.
func (p Page) gains(i int) template.HTML {
	m := p.Models[i]
	c := chart{label: "what each step of " + m.Name + " adds to the bound", x: "iteration", y: "nats per image, logarithmic", xs: empty(), ys: empty(), log: true}
	mSteps, eSteps := line{class: class(i)}, line{class: class(i), dashed: true}
	for j, h := range m.History {
		if j == 0 || h.OldTable == nil {
			continue
		}
		x := float64(h.Pass)
		for _, s := range []struct {
			l    *line
			gain float64
		}{{&mSteps, *h.OldTable - m.History[j-1].Train}, {&eSteps, h.Train - *h.OldTable}} {
			if s.gain > 0 { // rounding, else
				c.xs.add(x)
				c.ys.add(s.gain)
				s.l.points = append(s.l.points, point{x, s.gain})
			}
		}
	}
	if len(mSteps.points) < 2 {
		return ""
	}
	c.xs, c.ys = c.xs.wider(0.03), span{c.ys.lo / 1.5, c.ys.hi * 1.5}
	c.lines = []line{mSteps, eSteps}
	return c.svg(fmt.Sprintf("gains-%d", i))
}

// climb draws the ELBO of a VAE over its epochs, and the gap that is left to log p(x)
// at its end.
func (p Page) climb(i int) template.HTML {
	m := p.Models[i]
	if len(m.History) < 2 {
		return ""
	}
	c := chart{label: "ELBO of " + m.Name + " over its epochs, and log p(x) at the end", x: "epoch", y: "nats per image", xs: empty(), ys: empty()}
	trained, validated := line{class: class(i), thin: true, dashed: true}, line{class: class(i), dots: len(m.History) <= 30}
	late := firstShown(m)
	for j, h := range m.History {
		x := float64(h.Pass)
		c.xs.add(x)
		trained.points = append(trained.points, point{x, h.Train})
		if j >= late {
			c.ys.add(h.Train)
		}
		if h.Validation != nil {
			validated.points = append(validated.points, point{x, h.Validation.Value})
			if j >= late {
				c.ys.add(h.Validation.Value)
			}
		}
	}
	c.xs = c.xs.wider(0.02)
	for _, f := range []Figure{m.ELBO, m.LogP.Figure} {
		c.ys.add(f.Value - 2*f.SE)
		c.ys.add(f.Value + 2*f.SE)
	}
	level := func(v float64) []point { return []point{{c.xs.lo, v}, {c.xs.hi, v}} }
	c.bands = []band{
		{class(i), level(m.ELBO.Value), level(m.LogP.Value)},
		{class(i), level(m.LogP.Value - 1.96*m.LogP.SE), level(m.LogP.Value + 1.96*m.LogP.SE)},
	}
	c.lines = []line{trained, validated, {class: class(i), points: level(m.LogP.Value)}, {class: class(i), thin: true, points: level(m.ELBO.Value)}}
	c.ys = c.ys.wider(0.06)
	return c.svg(fmt.Sprintf("climb-%d", i))
}

// gaps draws the distribution over images of log p(x) - ELBO of the models that have a
// gap.
func (p Page) gaps() template.HTML {
	var values [][]float64
	var of []int
	all := []float64{}
	for i, m := range p.Models {
		if m.LogP.How == ExactSum {
			continue
		}
		var gaps []float64
		for _, image := range m.Images {
			gaps = append(gaps, image.LogP-image.ELBO)
		}
		values, of, all = append(values, gaps), append(of, i), append(all, gaps...)
	}
	if len(all) < 2 {
		return ""
	}
	slices.Sort(all)
	const bins = 40
	c := chart{label: "distribution of the gap over images", x: "log p(x) − ELBO of an image, nats", y: "images", ys: span{0, 1}}
	c.xs = span{min(0, all[0]), all[len(all)-1-len(all)/20]} // the largest twentieth stands in the last bin
	c.xs = span{c.xs.lo, max(c.xs.hi, c.xs.lo+1e-3)}
	for k, gaps := range values {
		counts := histogram(gaps, c.xs, bins)
		var step []point
		for i, n := range counts {
			c.ys.add(float64(n))
			for _, edge := range []int{i, i + 1} {
				step = append(step, point{c.xs.lo + (c.xs.hi-c.xs.lo)*float64(edge)/bins, float64(n)})
			}
		}
		floor := []point{{c.xs.lo, 0}, {c.xs.hi, 0}}
		c.bands = append(c.bands, band{class(of[k]), floor, step})
		c.lines = append(c.lines, line{class: class(of[k]), points: step})
	}
	c.ys.hi *= 1.05
	return c.svg("gaps")
}

// Posterior is p(z|x) of one image over a two-dimensional latent space.
type Posterior struct {
	Model int // of Page.Models
	Image int // of Model.Images
	Pixel []float32

	// Of a VAE: the density of p(z|x) on W x H points that are evenly spaced over
	// [Lo, Hi] in each dimension, first dimension along a row, last row uppermost; and the
	// encoder's Gaussian.
	Lo, Hi   [2]float64
	W, H     int
	Density  []float64
	Mean, SD [2]float64

	// Of a grid: its points, with p(z|x) of each.
	Points []float32 // [K, 2]
	Table  []float32 // [K]
}

// Levels of mass that contours enclose, of a posterior and of the encoder's Gaussian alike.
var contourMass = [2]float64{0.5, 0.95}

// plane draws a posterior.
func (p Posterior) plane(id string) template.HTML {
	const size, left, bottom, top = 240, 46, 40, 8
	w := func(v float64) float64 { return left + (v-p.Lo[0])/(p.Hi[0]-p.Lo[0])*(size-left-6) }
	h := func(v float64) float64 {
		return size - bottom - (v-p.Lo[1])/(p.Hi[1]-p.Lo[1])*(size-bottom-top)
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg viewBox="0 0 %d %d" role="img" aria-label="posterior of image %d under model %d">`, size, size, p.Image, p.Model)
	fmt.Fprintf(&b, `<clipPath id="%s"><rect x="%d" y="%d" width="%d" height="%d"/></clipPath>`, id, left, top, size-left-6, size-bottom-top)
	for _, t := range ticks(span{p.Lo[0], p.Hi[0]}, 4) {
		fmt.Fprintf(&b, `<path class="hair" d="M%.1f %dV%d"/><text x="%.1f" y="%d" text-anchor="middle">%s</text>`, w(t.value), top, size-bottom, w(t.value), size-bottom+14, t.label)
	}
	for _, t := range ticks(span{p.Lo[1], p.Hi[1]}, 4) {
		fmt.Fprintf(&b, `<path class="hair" d="M%d %.1fH%d"/><text x="%d" y="%.1f" text-anchor="end">%s</text>`, left, h(t.value), size-6, left-5, h(t.value)+4, t.label)
	}
	fmt.Fprintf(&b, `<path class="axis" d="M%d %dV%dH%d"/><text x="%d" y="%d" text-anchor="middle">z₁</text><text transform="translate(11 %d) rotate(-90)" text-anchor="middle">z₂</text>`,
		left, top, size-bottom, size-6, (left+size-6)/2, size-bottom+31, (size-bottom+top)/2)
	fmt.Fprintf(&b, `<g clip-path="url(#%s)">`, id)
	c := class(p.Model)
	if p.Table != nil {
		for k, q := range p.Table {
			if q > 1e-4 {
				fmt.Fprintf(&b, `<circle class="state %s" cx="%.1f" cy="%.1f" r="%.1f"/>`, c, w(float64(p.Points[2*k])), h(float64(p.Points[2*k+1])), max(1.2, 16*math.Sqrt(float64(q))))
			} else {
				fmt.Fprintf(&b, `<circle class="point" cx="%.1f" cy="%.1f" r="0.9"/>`, w(float64(p.Points[2*k])), h(float64(p.Points[2*k+1])))
			}
		}
	} else {
		at := func(x, y float64) (float64, float64) {
			return w(p.Lo[0] + x/float64(p.W-1)*(p.Hi[0]-p.Lo[0])), h(p.Lo[1] + y/float64(p.H-1)*(p.Hi[1]-p.Lo[1]))
		}
		levels := massLevels(p.Density, contourMass[:])
		x0, y1 := at(-0.5, -0.5)
		x1, y0 := at(float64(p.W)-0.5, float64(p.H)-0.5)
		fmt.Fprintf(&b, `<image href="%s" x="%.1f" y="%.1f" width="%.1f" height="%.1f" preserveAspectRatio="none"/>`, dataURI(heat(p.Density, p.W, p.H)), x0, y0, x1-x0, y1-y0)
		for _, level := range levels {
			fmt.Fprintf(&b, `<path class="contour" d="%s"/>`, contour(p.Density, p.W, p.H, level, at))
		}
		for _, mass := range contourMass {
			r := math.Sqrt(-2 * math.Log(1-mass))
			rx, ry := w(r*p.SD[0])-w(0), h(0)-h(r*p.SD[1])
			fmt.Fprintf(&b, `<ellipse class="encoder %s" cx="%.1f" cy="%.1f" rx="%.1f" ry="%.1f"/>`, c, w(p.Mean[0]), h(p.Mean[1]), rx, ry)
		}
	}
	b.WriteString("</g></svg>")
	return template.HTML(b.String())
}

// massLevels returns the levels of a density on an even lattice whose upper sets hold the
// given shares of the whole.
func massLevels(density, shares []float64) []float64 {
	sorted := slices.Clone(density)
	slices.Sort(sorted)
	slices.Reverse(sorted)
	total := 0.0
	for _, d := range sorted {
		total += d
	}
	levels := make([]float64, len(shares))
	for i, share := range shares {
		sum := 0.0
		for _, d := range sorted {
			levels[i] = d
			if sum += d; sum >= share*total {
				break
			}
		}
	}
	return levels
}
