package main

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"elbo/cmd/elbo/internal/chart"
	"elbo/cmd/elbo/internal/report"
	"elbo/train"
)

// sweepReport is report.json of a sweep.
type sweepReport struct {
	Axes       []train.Axis      `json:"axes"` // settings of several values
	Groups     []sweepGroup      `json:"groups"`
	Comparison report.Comparison `json:"comparison"`         // of all runs that came to their end
	Criteria   []sweepCriteria   `json:"criteria,omitempty"` // of models with a table
	Failed     []sweepFailure    `json:"failed,omitempty"`
}

// sweepCriteria are criteria of a run on the images that it was fitted to: see infer.Table.
type sweepCriteria struct {
	Run        string  `json:"run"`
	Images     int     `json:"images"`
	Parameters int     `json:"parameters"`
	AIC        float64 `json:"aic"`
	BIC        float64 `json:"bic"`
	ICL        float64 `json:"icl"`
}

// sweepGroup are runs that differ in nothing but their seed.
type sweepGroup struct {
	Settings   map[string]string `json:"settings"` // of the axes but seed
	Runs       []string          `json:"runs"`
	LogP       seedSpread        `json:"log_p"` // or the bound on it
	LowerBound bool              `json:"lower_bound,omitempty"`
	ELBO       seedSpread        `json:"elbo"`
	SE         float64           `json:"se"` // of log_p of one run, over images
}

// sweepFailure is a run that did not come to its end.
type sweepFailure struct {
	Run   string `json:"run"`
	Error string `json:"error"`
}

// write writes the files of the sweep, and prints its tables.
func (x *sweep) write() error {
	file := func(name string) string { return filepath.Join(x.options.out, name) }
	if err := writeJSONFile(file("report.json"), x.report); err != nil {
		return err
	}
	if err := writeChart(file("curve.png"), chart.Sheet{{x.curve()}}); err != nil {
		return err
	}
	if x.options.json {
		return writeJSON(x.p.stdout, x.report)
	}
	writeComparison(x.p.stdout, x.report.Comparison, x.p.columns())
	if x.Repeated() {
		x.writeGroups(x.p.stdout)
	}
	writeCriteria(x.p.stdout, x.report.Criteria)
	fmt.Fprintf(x.p.stdout, "curve  %s\n", file("curve.png"))
	return nil
}

// writeGroups prints means and standard deviations over seeds, the best first.
func (x *sweep) writeGroups(w io.Writer) {
	groups := slices.Clone(x.report.Groups)
	slices.SortStableFunc(groups, func(a, b sweepGroup) int { return cmp.Compare(b.LogP.Mean, a.LogP.Mean) })
	t := newTable(w, tabwriter.AlignRight)
	fmt.Fprintln(w, "mean and standard deviation over seeds, nats per image:")
	for _, a := range x.Axes[:len(x.Axes)-1] {
		fmt.Fprintf(t, "%s\t", a.Setting)
	}
	fmt.Fprintln(t, "seeds\tELBO\tlog p(x)\t")
	for _, g := range groups {
		for _, a := range x.Axes[:len(x.Axes)-1] {
			fmt.Fprintf(t, "%s\t", g.Settings[a.Setting])
		}
		sign := ""
		if g.LowerBound {
			sign = "≥ "
		}
		fmt.Fprintf(t, "%d\t%s\t%s\t\n", len(g.Runs), g.ELBO, sign+g.LogP.String())
	}
	t.Flush()
}

// writeCriteria names the runs of the lowest criteria.
func writeCriteria(w io.Writer, all []sweepCriteria) {
	if len(all) == 0 {
		return
	}
	fmt.Fprint(w, "lowest on the training images (-2 log p of all and a price for parameters):")
	for i, c := range []struct {
		name  string
		value func(sweepCriteria) float64
	}{
		{"AIC", func(c sweepCriteria) float64 { return c.AIC }},
		{"BIC", func(c sweepCriteria) float64 { return c.BIC }},
		{"ICL", func(c sweepCriteria) float64 { return c.ICL }},
	} {
		best := slices.MinFunc(all, func(a, b sweepCriteria) int { return cmp.Compare(c.value(a), c.value(b)) })
		separator := ";"
		if i == 0 {
			separator = ""
		}
		fmt.Fprintf(w, "%s %s %.0f, %s", separator, c.name, c.value(best), filepath.Base(best.Run))
	}
	fmt.Fprintln(w)
}

// mostCurves is how many lines a chart of a sweep has.
const mostCurves = 8

// across is the axis that a curve runs along: the first of numbers, else the first; seed only where
// it is the only one.
func (x *sweep) across() train.Axis {
	for _, a := range x.Axes {
		if a.Setting != "seed" && !slices.ContainsFunc(a.Values, func(v string) bool { return !isNumber(v) }) {
			return a
		}
	}
	return x.Axes[0]
}

func isNumber(value string) bool {
	_, err := strconv.ParseFloat(value, 64)
	return err == nil
}

// curve draws log p(x) across an axis, a line for each choice of the others: the mean over
// seeds with their standard deviation or, of single runs, the figure with its standard error.
func (x *sweep) curve() chart.Chart {
	axis := x.across()
	at, ticks, log := placesOf(axis.Values)
	nominal := axis.Setting == "seed" || slices.ContainsFunc(axis.Values, func(v string) bool { return !isNumber(v) })
	what, known := "log p(x)", true
	var names []string
	lines := map[string][][3]float64{} // x, y, error
	for _, g := range x.report.Groups {
		name, value := x.lineOf(g), g.Settings[axis.Setting]
		if _, seen := lines[name]; !seen {
			names = append(names, name)
		}
		bar := g.SE
		if g.LogP.SD != nil {
			bar = *g.LogP.SD
		}
		known = known && !g.LowerBound
		if axis.Setting != "seed" {
			lines[name] = append(lines[name], [3]float64{at[value], g.LogP.Mean, bar})
			continue
		}
		for _, m := range x.report.Comparison.Models { // of nothing but seeds each is a point
			i := slices.IndexFunc(x.Points, func(p train.Point) bool { return p.Name == m.Name })
			lines[name] = append(lines[name], [3]float64{at[x.Points[i].Values[0]], m.LogP.Value, m.LogP.SE})
		}
	}
	if !known {
		what = "log p(x) or the bound on it"
	}
	d := x.report.Comparison.Data
	c := chart.Chart{
		Title: fmt.Sprintf("%s of %d %s images of %s", what, d.Images, d.Split, d.Name), Height: 360,
		Notes: []string{"all runs: " + x.describe()},
		X:     chart.Axis{Label: axis.Setting, Ticks: ticks, Log: log},
		Y:     chart.Axis{Label: what + ", nats per image"},
	}
	bars := "± standard error over images"
	if x.Repeated() && axis.Setting != "seed" {
		bars = "± standard deviation over seeds"
	}
	if len(names) > mostCurves {
		c.Notes = append(c.Notes, fmt.Sprintf("the first %d of %d lines; report.json has all", mostCurves, len(names)))
	}
	for i, name := range names[:min(len(names), mostCurves)] {
		points := lines[name]
		slices.SortStableFunc(points, func(a, b [3]float64) int { return cmp.Compare(a[0], b[0]) })
		var xs, ys, low, high []float64
		for _, p := range points {
			xs, ys, low, high = append(xs, p[0]), append(ys, p[1]), append(low, p[1]-p[2]), append(high, p[1]+p[2])
		}
		whiskers := chart.Whiskers{Look: chart.Look{Ink: chart.CurveInk(i), Thin: true}, At: xs, Low: low, High: high}
		if i == 0 {
			whiskers.Name = bars
		}
		c.Layers = append(c.Layers, whiskers)
		if nominal { // nothing lies between two of the values
			c.Layers = append(c.Layers, chart.Points{Name: name, Look: chart.CurveLook(i), Radius: 4, X: xs, Y: ys})
			continue
		}
		line := chart.Curve(i, name, xs, ys)
		line.Marked = true
		c.Layers = append(c.Layers, line)
	}
	return c
}

// describe says what all runs have in common.
func (x *sweep) describe() string {
	parts := []string{x.first.Model}
	for _, a := range x.options.given {
		if len(a.Values) == 1 && a.Setting != "model" {
			parts = append(parts, a.Setting+" "+a.Values[0])
		}
	}
	if slices.ContainsFunc(x.Axes, func(a train.Axis) bool { return a.Setting == "model" }) {
		parts = parts[1:]
	}
	return strings.Join(parts, ", ")
}

// lineOf names what a group has in common with others of its line: its settings but that across.
func (x *sweep) lineOf(g sweepGroup) string {
	var parts []string
	for _, a := range x.Axes {
		if value, ok := g.Settings[a.Setting]; ok && a.Setting != x.across().Setting {
			parts = append(parts, a.Setting+" "+value)
		}
	}
	return strings.Join(parts, ", ")
}

// placesOf are the places of values on an axis: numbers at themselves, on a logarithmic axis where
// they span a factor of ten or more, and others side by side.
func placesOf(values []string) (at map[string]float64, ticks []chart.Tick, log bool) {
	at = map[string]float64{}
	lo, hi := math.Inf(1), math.Inf(-1)
	for i, value := range values {
		x, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return sideBySide(values)
		}
		value = strconv.FormatFloat(x, 'g', -1, 64)
		at[value], at[values[i]] = x, x
		lo, hi = min(lo, x), max(hi, x)
		ticks = append(ticks, chart.Tick{Value: x, Label: value})
	}
	if len(values) > 10 {
		ticks = nil
	}
	return at, ticks, lo > 0 && hi >= 10*lo
}

func sideBySide(values []string) (map[string]float64, []chart.Tick, bool) {
	at := map[string]float64{}
	var ticks []chart.Tick
	for i, value := range values {
		at[value] = float64(i + 1)
		ticks = append(ticks, chart.Tick{Value: float64(i + 1), Label: value})
	}
	return at, ticks, false
}
