package main

import (
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"elbo/cmd/elbo/internal/chart"
	"elbo/model"
	"elbo/train/run"
)

// priorFreedomReport is what the experiment prints as JSON, and keeps in report.json.
type priorFreedomReport struct {
	Out      string               `json:"out"`
	Settings priorFreedomSettings `json:"settings"`
	Arms     []armResult          `json:"arms"`
	Findings []string             `json:"findings"`

	curves map[string][]run.Metrics // by arm
}

// report writes the files of the experiment and prints what was found.
func (x *priorFreedom) report() error {
	r := priorFreedomReport{Out: x.out, Settings: x.options.priorFreedomSettings, Arms: x.results, Findings: findings(x.results), curves: x.curves}
	return x.p.reportExperiment(x.out, r, x.options.json)
}

// columns returns the columns of the printed table: nats per image where nothing else
// is said.
func columns() []tableColumn[armResult] {
	number := func(f func(armResult) float64) func(armResult) string {
		return func(r armResult) string { return roughNats(f(r)) }
	}
	tested := func(f func(armResult) string) func(armResult) string {
		return func(r armResult) string {
			if r.Test == nil {
				return "-"
			}
			return f(r)
		}
	}
	return []tableColumn[armResult]{
		{"arm", 0, func(r armResult) string { return r.Group }},
		{"prior", 0, func(r armResult) string { return string(r.Prior) }},
		{"likelihood", 4, func(r armResult) string { return string(r.Likelihood) }},
		{"iterations", 3, func(r armResult) string {
			if r.Stopped != "" {
				return fmt.Sprintf("%d, stopped", r.Iterations)
			}
			return strconv.Itoa(r.Iterations)
		}},
		{"train", 0, number(func(r armResult) float64 { return r.Train })},
		{"test", 0, tested(func(r armResult) string { return roughEstimate(r.Test.LogP, r.Test.SE) })},
		{"hindsight", 1, tested(number(func(r armResult) float64 { return r.Test.Hindsight }))},
		{"train - test", 0, tested(number(armResult.Difference))},
		{"by p(z)", 1, tested(number(armResult.Choice))},
		{"B", 2, number(func(r armResult) float64 { return r.PriorBound })},
		{"KL(p‖q)", 2, number(func(r armResult) float64 { return r.PriorKL })},
		{"KL(q‖p)", 1, number(func(r armResult) float64 { return r.KL })},
	}
}

// legend says what the columns are.
const legend = `train, test: log p(x), nats per image; train under the p(z) that was trained, of a per-image prior each
image's own; test under the one p(z) that stands for an image not trained on, their mean. hindsight: the test
images' max over z of log p(x|z), which choosing p(z) with the test image in hand would reach. by p(z): what
choosing p(z) with the training image in hand is worth. B = E_p(z)[log p(x|z)] = train - KL(p‖q), and
KL(q‖p) = KL(p(z|x) ‖ p(z)), of training images.`

func (r priorFreedomReport) writeText(w io.Writer, width int) {
	writeExperimentText(w, width, columns(), r.Arms, legend, append(r.Findings, r.stops()...))
}

// stops says why arms ended early.
func (r priorFreedomReport) stops() (notes []string) {
	for _, arm := range r.Arms {
		if arm.Stopped != "" {
			notes = append(notes, fmt.Sprintf("%s: its figures are of iteration %d, the last before it was stopped: %s", arm.Arm, arm.Iterations, arm.Stopped))
		}
	}
	return notes
}

func (r priorFreedomReport) writeMarkdown(w io.Writer) error {
	set := r.Settings
	data := fmt.Sprintf("Data %s (SHA-256 %s), seed %d, at most %d iterations; an arm's images, components, smoothing and variance floor are in `table.csv`, its settings in its `config.json`.",
		set.Data, r.Arms[0].DataSHA256, set.Seed, set.Iterations)
	return writeExperimentMarkdown(w, "Does a free prior overfit?", r.Findings, columns(), r.Arms, legend, r.stops(), data, "log p(x) of training and held-out images over iterations")
}

// writeCSV writes the table with all digits.
func (r priorFreedomReport) writeCSV(w io.Writer) error {
	c := csv.NewWriter(w)
	c.Write([]string{"arm", "prior", "likelihood", "images", "components", "smoothing", "variance_floor", "iterations", "stopped",
		"train", "test", "test_se", "test_hindsight", "train_minus_test", "of_it_prior", "b", "kl_prior_posterior", "kl_posterior_prior"})
	g := func(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
	for _, a := range r.Arms {
		test := make([]string, 5)
		if t := a.Test; t != nil {
			test = []string{g(t.LogP), g(t.SE), g(t.Hindsight), g(a.Difference()), g(a.Choice())}
		}
		smoothing, floor := g(a.Smoothing), ""
		if a.Likelihood == model.GaussianName {
			smoothing, floor = "", g(a.VarianceFloor)
		}
		row := []string{a.Arm, string(a.Prior), string(a.Likelihood), strconv.Itoa(a.Images), strconv.Itoa(a.Components), smoothing, floor, strconv.Itoa(a.Iterations), a.Stopped, g(a.Train)}
		c.Write(append(append(row, test...), g(a.PriorBound), g(a.PriorKL), g(a.KL)))
	}
	c.Flush()
	return c.Error()
}

// findings are two sentences: whether a freer prior overfits more, and whether the
// evidence has a limit. Both are read off the figures.
func findings(results []armResult) []string {
	return []string{overfitting(results), limit(results)}
}

// find returns the arm of a group and a prior.
func find(results []armResult, group string, prior model.TablePrior) armResult {
	for _, r := range results {
		if r.Group == group && r.Prior == prior {
			return r
		}
	}
	return armResult{}
}

// overfitting says in which groups the per-image prior's train - test exceeds the fixed
// prior's by more than two standard errors, taken as if the test figures were
// independent, which makes them too large.
func overfitting(results []armResult) string {
	groups := []string{"bernoulli", "gaussian"}
	var more, not, differences, least, choices, changes []string
	for _, group := range groups {
		var three []string
		fixed, own := find(results, group, model.Fixed), find(results, group, model.PerImage)
		smallest := fixed
		for _, prior := range model.TablePriors {
			r := find(results, group, prior)
			if r.Test == nil {
				return "Whether a free prior overfits was not measured: " + r.Arm + " has no test figures."
			}
			three = append(three, fmt.Sprintf("%.2f", r.Difference()))
			if r.Difference() < smallest.Difference() {
				smallest = r
			}
		}
		if own.Difference()-fixed.Difference() > 2*math.Hypot(own.Test.SE, fixed.Test.SE) {
			more = append(more, group)
		} else {
			not = append(not, group)
		}
		differences = append(differences, strings.Join(three, ", "))
		least = append(least, fmt.Sprintf("%s ± %.2f", smallest.Prior, smallest.Test.SE))
		choices = append(choices, fmt.Sprintf("%.2f", own.Choice()))
		changes = append(changes, fmt.Sprintf("%+.2f and %+.2f", own.Train-fixed.Train, own.Test.LogP-fixed.Test.LogP))
	}
	verdict := "A free prior overfits, as guessed"
	switch {
	case len(more) == 0:
		verdict = "That a free prior overfits is not borne out (under the per-image prior train - test is not two standard errors above the fixed prior's)"
	case len(not) > 0:
		verdict = fmt.Sprintf("A free prior overfits, as guessed, with %s pixels, but not by two standard errors with %s ones", more[0], not[0])
	}
	return fmt.Sprintf("%s: train - test under the fixed, shared and per-image prior is %s (%s) and %s (%s; least: %s, %s), of which choosing p(z) with each training image in hand makes %s under the per-image prior (log K = %.2f); against the fixed prior it changes train and test by %s (%s), %s (%s).",
		verdict, differences[0], groups[0], differences[1], groups[1], least[0], least[1], strings.Join(choices, " and "),
		math.Log(float64(find(results, groups[0], model.PerImage).Components)), changes[0], groups[0], changes[1], groups[1])
}

// limit says whether the evidence of Bernoulli pixels passed 0, which a probability
// cannot, and whether that of Gaussian pixels grew as the variance floor was lowered.
func limit(results []armResult) string {
	return fmt.Sprintf("%s; %s, %s.", bernoulliLimit(results), gaussianLimit(results), withoutFloor(results))
}

// passed allows for the rounding of a sum of float32 terms that comes to 0.
const passed = 1e-3

func bernoulliLimit(results []armResult) string {
	var most armResult
	for _, r := range results {
		if r.Likelihood == model.BernoulliName && (most.Arm == "" || r.Train > most.Train) {
			most = r
		}
	}
	fixed, own := find(results, "memorise", model.Fixed), find(results, "memorise", model.PerImage)
	verdict := "For Bernoulli pixels the evidence has a limit: no arm's training evidence passed 0"
	if most.Train > passed {
		verdict = fmt.Sprintf("For Bernoulli pixels training evidence passed 0, which no probability can (%s: %.2f)", most.Arm, most.Train)
	}
	return fmt.Sprintf("%s, and with a component for each of %d images it came to %s under the per-image prior and %s under the fixed one (to name one of %d images costs log %d = %.2f)",
		verdict, own.Images, nats(own.Train), nats(fixed.Train), own.Images, own.Images, math.Log(float64(own.Images)))
}

// gaussianLimit compares the Gaussian arms from the main floor down to the lowest.
func gaussianLimit(results []armResult) string {
	floors := append([]float64{mainFloor}, lowerFloors...)
	growing := map[model.TablePrior]bool{}
	var gains []string
	for _, prior := range []model.TablePrior{model.Fixed, model.PerImage} {
		var steps []float64
		for i := 1; i < len(floors); i++ {
			steps = append(steps, find(results, floorGroup(floors[i]), prior).Train-find(results, floorGroup(floors[i-1]), prior).Train)
		}
		// It has found no end if the last lowering of the floor gained about what the
		// one before did.
		last := len(steps) - 1
		growing[prior] = steps[last] > 0.5*steps[last-1] && steps[last-1] > 1
		var words []string
		for _, s := range steps {
			words = append(words, fmt.Sprintf("%+.0f", s))
		}
		gains = append(gains, fmt.Sprintf("%s (%s prior)", strings.Join(words, ", then "), prior))
	}
	verdict := "for Gaussian pixels no limit shows, but under every prior: it is the variance that must be held, not p(z)"
	switch {
	case !growing[model.Fixed] && growing[model.PerImage]:
		verdict = "for Gaussian pixels no limit shows where p(z) is free, and one does where it is fixed"
	case growing[model.Fixed] && !growing[model.PerImage]:
		verdict = "for Gaussian pixels no limit shows where p(z) is fixed, and one does where it is free"
	case !growing[model.Fixed]:
		verdict = "for Gaussian pixels the evidence nears a limit too"
	}
	var names []string
	for _, f := range floors {
		names = append(names, fmt.Sprintf("%g", f))
	}
	return fmt.Sprintf("%s: lowering the variance floor from %s changed training evidence by %s", verdict, strings.Join(names, " to "), strings.Join(gains, ", "))
}

// withoutFloor says how the arms without a floor ended: after the last iteration, or at
// one whose evidence, or a parameter, was out of bounds.
func withoutFloor(results []armResult) string {
	end := func(r armResult) string {
		if r.Stopped != "" {
			return fmt.Sprintf("degenerated at iteration %d", r.Iterations+1)
		}
		return fmt.Sprintf("went on to %.0f in %s", r.Train, count(r.Iterations, "iteration"))
	}
	fixed, own := end(find(results, floorGroup(0), model.Fixed)), end(find(results, floorGroup(0), model.PerImage))
	if fixed == own {
		return "and without a floor both fits " + fixed
	}
	return fmt.Sprintf("and without a floor the fit %s (fixed prior), %s (per-image prior)", fixed, own)
}

// plot draws log p(x) of training and of held-out images over iterations, and of
// training images as the variance floor is lowered.
func (r priorFreedomReport) plot() chart.Sheet {
	var sheet chart.Sheet
	panel := func(title string, curves []chart.Layer) chart.Chart {
		return chart.Chart{Title: title, X: chart.Axis{Label: "iteration", Each: "iteration", Whole: true},
			Y: chart.Axis{Label: "log p(x), nats per image"}, LeaveOutFirst: true, Layers: curves}
	}
	for _, group := range []string{"bernoulli", "gaussian", "memorise"} {
		var fitted, held []chart.Layer
		for i, prior := range model.TablePriors {
			a := find(r.Arms, group, prior)
			fitted = append(fitted, r.curve(i, a, string(prior), trainTerms))
			held = append(held, r.curve(i, a, string(prior), validationTerms))
		}
		a := find(r.Arms, group, model.Fixed)
		sheet = append(sheet, []chart.Chart{
			panel(fmt.Sprintf("%s, K = %d: %d training images of %s, by prior", group, a.Components, a.Images, r.Settings.Data), fitted),
			panel(fmt.Sprintf("%s, K = %d: held-out images", group, a.Components), held),
		})
	}
	var row []chart.Chart
	for _, prior := range []model.TablePrior{model.Fixed, model.PerImage} {
		var curves []chart.Layer
		for i, floor := range append(append([]float64{mainFloor}, lowerFloors...), 0) {
			name := fmt.Sprintf("variance ≥ %g", floor)
			if floor == 0 {
				name = "no floor"
			}
			curves = append(curves, r.curve(i, find(r.Arms, floorGroup(floor), prior), name, trainTerms))
		}
		row = append(row, panel(fmt.Sprintf("gaussian, %s prior: training images, by variance floor", prior), curves))
	}
	return append(sheet, row)
}

// curve is the evidence of an arm over iterations, the i-th of its panel; where it was stopped, the next value is not a
// number.
func (r priorFreedomReport) curve(i int, a armResult, name string, terms func(run.Metrics) *run.EpochTerms) chart.Line {
	c := curveOf(r.curves[a.Arm], terms, func(t *run.EpochTerms) float64 { return t.Bound })
	if a.Stopped != "" {
		c.x, c.y = append(c.x, float64(a.Iterations+1)), append(c.y, math.NaN())
	}
	return chart.Curve(i, name, c.x, c.y)
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
