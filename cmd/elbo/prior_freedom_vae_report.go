package main

import (
	"cmp"
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"elbo/cmd/elbo/internal/chart"
	"elbo/model"
	"elbo/model/infer"
)

// vaeFreedomReport is what the experiment with VAEs prints as JSON, and keeps in report.json.
type vaeFreedomReport struct {
	Out      string             `json:"out"`
	Settings vaeFreedomSettings `json:"settings"`
	Arms     []vaeArmResult     `json:"arms"`
	Findings []string           `json:"findings"`
}

// report writes the files of the experiment and prints what was found.
func (x *vaeFreedom) report() error {
	r := vaeFreedomReport{Out: x.out, Settings: x.settings, Arms: x.results, Findings: vaeFindings(x.results)}
	for _, a := range r.Arms {
		for _, f := range []*vaeFigures{a.Train, a.Test} {
			if f != nil {
				f.Bounds, f.LogPs = nil, nil // what they were for is said
			}
		}
	}
	return x.p.reportExperiment(x.out, r, x.json)
}

// vaeColumns are those of the printed table: nats per image where nothing else is said.
func vaeColumns() []tableColumn[vaeArmResult] {
	figure := func(of func(vaeArmResult) *vaeFigures, value func(*vaeFigures) string) func(vaeArmResult) string {
		return func(r vaeArmResult) string {
			if f := of(r); f != nil {
				return value(f)
			}
			return "-"
		}
	}
	train := func(r vaeArmResult) *vaeFigures { return r.Train }
	test := func(r vaeArmResult) *vaeFigures { return r.Test }
	estimate := func(e infer.Estimate) string { return roughEstimate(e.Value, e.SE) }
	return []tableColumn[vaeArmResult]{
		{"Z", 0, func(r vaeArmResult) string { return strconv.Itoa(r.Latent) }},
		{"images", 0, func(r vaeArmResult) string { return strconv.Itoa(r.Images) }},
		{"prior", 0, func(r vaeArmResult) string { return r.Prior }},
		{"parameters", 5, func(r vaeArmResult) string { return strconv.Itoa(r.Parameters) }},
		{"train", 3, figure(train, func(f *vaeFigures) string { return roughNats(f.Bound.Value) })},
		{"test", 0, figure(test, func(f *vaeFigures) string { return estimate(f.Bound) })},
		{"train - test", 0, func(r vaeArmResult) string {
			if !r.measured() {
				return "-"
			}
			return roughNats(r.Difference())
		}},
		{"recon", 4, figure(test, func(f *vaeFigures) string { return nats(f.Recon.Value) })},
		{"I_q", 1, figure(test, func(f *vaeFigures) string {
			return rated(f, func(r *infer.Rate) infer.Estimate { return r.MutualInformation })
		})},
		{"KL(q‖p)", 0, figure(test, func(f *vaeFigures) string { return rated(f, func(r *infer.Rate) infer.Estimate { return r.Marginal }) })},
		{"log p train", 2, figure(train, func(f *vaeFigures) string { return nats(f.LogP.Value) })},
		{"log p test", 0, figure(test, func(f *vaeFigures) string { return estimate(f.LogP) })},
		{"AIS", 0, figure(test, func(f *vaeFigures) string {
			if f.AISAbove == nil {
				return "-"
			}
			if f.AISAbove.Value < 0 {
				return estimate(*f.AISAbove)
			}
			return "+" + estimate(*f.AISAbove)
		})},
	}
}

// measured reports whether both sets have figures.
func (r vaeArmResult) measured() bool { return r.Train != nil && r.Test != nil }

func rated(f *vaeFigures, part func(*infer.Rate) infer.Estimate) string {
	if f.Rate == nil {
		return "-"
	}
	return nats(part(f.Rate).Value)
}

// legend says what the columns are.
func (r vaeFreedomReport) legend() string {
	var of []string
	bounded, annealed := "", 0
	for _, a := range r.Arms {
		switch {
		case a.Test == nil:
		case a.Latent <= 2:
			of = append(of, "by quadrature")
		default:
			of = append(of, "with more than 2 latent dimensions "+a.Test.Method)
			bounded = strings.TrimSuffix(a.Test.Method, ", a lower bound")
			if a.Test.AIS != nil {
				annealed = min(a.Test.Images, vaeFreedomAIS)
			}
		}
	}
	of = slices.Compact(of)
	if len(of) == 1 {
		of[0] = strings.TrimPrefix(of[0], "with more than 2 latent dimensions ")
	}
	text := fmt.Sprintf(`train, test: the ELBO after the last epoch, nats per image, of the first %d images of each; where each image has
its own p(z) = q(z|x), train is the reconstruction, and test has for p(z) the mean posterior of the training
images. parameters: numbers of p(z) that training changes. Of test images recon = E_q[log p(x|z)], and the two
parts of KL: I_q(x; z), at most log %[1]d, and KL(q‖p) = KL(q(z) ‖ p(z)), q(z) their mean posterior. log p: log p(x)
under the model's p(z), N(0, I) where each image has its own: %s.`, r.scored(), strings.Join(of, "; "))
	if bounded != "" && annealed > 0 {
		text += fmt.Sprintf("\nAIS: what annealed importance sampling adds to %s on the first %s, a lower bound in expectation too.", bounded, count(annealed, "test image"))
	}
	return text
}

// scored is how many images of a set were measured.
func (r vaeFreedomReport) scored() int {
	for _, a := range r.Arms {
		if a.Test != nil {
			return a.Test.Images
		}
	}
	return r.Settings.Scored
}

func (r vaeFreedomReport) writeText(w io.Writer, width int) {
	writeExperimentText(w, width, vaeColumns(), r.Arms, r.legend(), append(r.Findings, r.stops()...))
}

// stops says why arms ended early, or have no figures.
func (r vaeFreedomReport) stops() (notes []string) {
	for _, a := range r.Arms {
		switch {
		case a.Stopped != "":
			notes = append(notes, fmt.Sprintf("%s has no figures: it was stopped, as %s", a.Arm, a.Stopped))
		case !a.measured():
			notes = append(notes, a.Arm+" has no figures: one of them is not finite")
		}
	}
	return notes
}

func (r vaeFreedomReport) writeMarkdown(w io.Writer) error {
	set := r.Settings
	data := fmt.Sprintf("Data %s (SHA-256 %s), pixels drawn once, seed %d; a hidden layer of %d, batches of %d, at least %d steps an arm, %d components; an arm's settings are in its `config.json`.",
		set.Data, r.Arms[0].DataSHA256, set.Seed, vaeFreedomHidden, vaeFreedomBatch, set.Steps, set.Components)
	return writeExperimentMarkdown(w, "Does a p(z) that the data choose overfit, in a VAE?", r.Findings, vaeColumns(), r.Arms, r.legend(), r.stops(), data,
		"train - test, test and the second part of KL over the number of training images, by prior; a p(z) of each image's own beside N(0, I)")
}

// writeCSV writes the table with all digits.
func (r vaeFreedomReport) writeCSV(w io.Writer) error {
	c := csv.NewWriter(w)
	c.Write([]string{"arm", "latent", "images", "prior", "prior_parameters", "epochs", "stopped",
		"train", "test", "test_se", "train_minus_test", "train_recon", "test_recon", "train_kl", "test_kl",
		"train_i_q", "test_i_q", "train_marginal_kl", "test_marginal_kl", "train_log_p", "test_log_p", "test_log_p_se", "test_ais", "test_ais_se", "test_ais_above", "test_ais_above_se"})
	g := func(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
	for _, a := range r.Arms {
		row := []string{a.Arm, strconv.Itoa(a.Latent), strconv.Itoa(a.Images), a.Prior, strconv.Itoa(a.Parameters), strconv.Itoa(a.Epochs), a.Stopped}
		if !a.measured() {
			c.Write(append(row, make([]string, 19)...))
			continue
		}
		train, test := a.Train, a.Test
		rates, ais := make([]string, 4), make([]string, 4)
		for i, f := range []*vaeFigures{train, test} {
			if f.Rate != nil {
				rates[i], rates[2+i] = g(f.Rate.MutualInformation.Value), g(f.Rate.Marginal.Value)
			}
		}
		if test.AIS != nil {
			ais[0], ais[1] = g(test.AIS.Value), g(test.AIS.SE)
		}
		if test.AISAbove != nil {
			ais[2], ais[3] = g(test.AISAbove.Value), g(test.AISAbove.SE)
		}
		row = append(row, g(train.Bound.Value), g(test.Bound.Value), g(test.Bound.SE), g(a.Difference()),
			g(train.Recon.Value), g(test.Recon.Value), g(train.KL.Value), g(test.KL.Value))
		row = append(append(row, rates...), g(train.LogP.Value), g(test.LogP.Value), g(test.LogP.SE))
		c.Write(append(row, ais...))
	}
	c.Flush()
	return c.Error()
}

// vaeGroup is arms that differ in the prior alone.
type vaeGroup struct {
	latent, images int
	arms           []vaeArmResult
}

func (g vaeGroup) find(prior string) *vaeArmResult {
	for i, a := range g.arms {
		if a.Prior == prior && a.measured() {
			return &g.arms[i]
		}
	}
	return nil
}

// vaeGroups are the groups in order.
func vaeGroups(results []vaeArmResult) (groups []vaeGroup) {
	for _, r := range results {
		at := slices.IndexFunc(groups, func(g vaeGroup) bool { return g.latent == r.Latent && g.images == r.Images })
		if at < 0 {
			groups, at = append(groups, vaeGroup{latent: r.Latent, images: r.Images}), len(groups)
		}
		groups[at].arms = append(groups[at].arms, r)
	}
	return groups
}

// vaeFindings are sentences on each group: whether a shared prior that the data choose
// overfits more than N(0, I), and what becomes of the penalty where each image has its own.
// All are read off the figures.
func vaeFindings(results []vaeArmResult) (sentences []string) {
	for _, g := range vaeGroups(results) {
		at := fmt.Sprintf("With %s and %s", count(g.latent, "latent dimension"), count(g.images, "training image"))
		fixed := g.find(string(model.NormalPrior))
		if fixed == nil {
			sentences = append(sentences, at+" the prior N(0, I) has no figures to compare with.")
			continue
		}
		sentences = append(sentences, at+" "+g.shared(fixed))
		if own := g.find(perImagePrior); own != nil {
			sentences = append(sentences, at+" "+g.own(fixed, own))
		}
	}
	return sentences
}

// shared says what the priors that the data choose do. Standard errors are those of differences,
// image by image.
func (g vaeGroup) shared(fixed *vaeArmResult) string {
	var chosen []*vaeArmResult
	var words []string
	for i := range g.arms {
		if a := &g.arms[i]; a.Prior != fixed.Prior && a.Prior != perImagePrior && a.measured() {
			chosen = append(chosen, a)
			words = append(words, fmt.Sprintf("%s %.2f", a.Prior, a.Difference()))
		}
	}
	if len(chosen) == 0 {
		return fmt.Sprintf("train - test is %.2f under N(0, I), and no prior that the data choose has figures.", fixed.Difference())
	}
	more := exceeding(chosen, func(a *vaeArmResult) infer.Estimate { return a.Excess(fixed, elbos) })
	verdict := "no prior that the data choose overfits more than N(0, I) by two standard errors"
	if len(more) > 0 {
		verdict = "a prior that the data choose overfits more than N(0, I): " + strings.Join(more, ", ")
	}
	if fixed.Train.LogPs != nil {
		byLogP := exceeding(chosen, func(a *vaeArmResult) infer.Estimate { return a.Excess(fixed, logPs) })
		of := "log p(x)"
		if strings.HasPrefix(fixed.Test.Method, "L_") {
			of = strings.TrimSuffix(fixed.Test.Method, ", a lower bound")
		}
		which := strings.Join(byLogP, ", ")
		switch {
		case len(byLogP) == 0:
			which = "none does"
		case slices.Equal(byLogP, more):
			which = "the same do"
		}
		words = append(words[:len(words):len(words)], fmt.Sprintf("by %s %s", of, which))
	}
	return fmt.Sprintf("%s (train - test: normal %.2f, %s); %s.", verdict, fixed.Difference(), strings.Join(words, ", "), g.gain(fixed, chosen))
}

// exceeding names the arms whose excess is more than two standard errors.
func exceeding(arms []*vaeArmResult, excess func(*vaeArmResult) infer.Estimate) (names []string) {
	for _, a := range arms {
		if e := excess(a); e.Value > 2*e.SE {
			names = append(names, a.Prior)
		}
	}
	return names
}

// gain says whether the best of the priors that the data choose is better than N(0, I) on test images.
func (g vaeGroup) gain(fixed *vaeArmResult, chosen []*vaeArmResult) string {
	best := slices.MaxFunc(chosen, func(a, b *vaeArmResult) int { return cmp.Compare(a.Test.Bound.Value, b.Test.Bound.Value) })
	against := best.Test.less(fixed.Test, elbos)
	switch {
	case against.Value < -2*against.SE:
		return fmt.Sprintf("N(0, I) has the best test images, %+.2f ± %.2f against the next, %s", -against.Value, against.SE, best.Prior)
	case against.Value <= 2*against.SE:
		return fmt.Sprintf("on test images none is two standard errors from N(0, I), the best of them, %s, %+.2f ± %.2f", best.Prior, against.Value, against.SE)
	}
	gain := fmt.Sprintf("the best test images are those of %s, %+.2f ± %.2f against N(0, I)", best.Prior, against.Value, against.SE)
	if b, f := best.Test.Rate, fixed.Test.Rate; b != nil && f != nil {
		gain += fmt.Sprintf(", with KL(q(z) ‖ p(z)) of %.2f for %.2f, I_q of %.2f for %.2f and a reconstruction of %.2f for %.2f",
			b.Marginal.Value, f.Marginal.Value, b.MutualInformation.Value, f.MutualInformation.Value, best.Test.Recon.Value, fixed.Test.Recon.Value)
	}
	return gain
}

// own says what a prior of each image's own comes to.
func (g vaeGroup) own(fixed, own *vaeArmResult) string {
	verdict := "a p(z) of each image's own, which leaves no KL, does not overfit more than N(0, I) by two standard errors"
	if excess := own.Excess(fixed, elbos); excess.Value > 2*excess.SE {
		verdict = "a p(z) of each image's own, which leaves no KL, overfits"
	}
	penalty := "the KL of the fixed prior was no help to test images"
	if against := fixed.Test.less(own.Test, elbos); against.Value > 2*against.SE {
		penalty = "the KL is what holds it back"
	}
	return fmt.Sprintf("%s: training images come to %.2f, against %.2f under N(0, I), and test images under the mean of the training posteriors to %.2f, against %.2f: %s.",
		verdict, own.Train.Bound.Value, fixed.Train.Bound.Value, own.Test.Bound.Value, fixed.Test.Bound.Value, penalty)
}

// plot draws, for each number of latent dimensions, over the number of training images: of the
// shared priors train - test, the test images' bound and the second part of their KL; and
// train - test of a p(z) of each image's own, which lies far from N(0, I).
func (r vaeFreedomReport) plot() chart.Sheet {
	var sheet chart.Sheet
	curve := func(i, latent int, prior, name string, value func(vaeArmResult) float64) chart.Layer {
		var x, y []float64
		for _, a := range r.Arms {
			if a.Latent == latent && a.Prior == prior && a.measured() {
				x, y = append(x, float64(a.Images)), append(y, value(a))
			}
		}
		return chart.Curve(i, name, x, y)
	}
	tested := func(a vaeArmResult) float64 { return a.Test.Bound.Value }
	marginal := func(a vaeArmResult) float64 {
		if a.Test.Rate == nil {
			return math.NaN()
		}
		return a.Test.Rate.Marginal.Value
	}
	for _, latent := range r.Settings.Latents {
		panel := func(title string, layers []chart.Layer) chart.Chart {
			return chart.Chart{Title: fmt.Sprintf("%s, Z = %d: %s", r.Settings.Data, latent, title), Width: 440, Height: 340,
				X: chart.Axis{Label: "training images", Log: true}, Y: chart.Axis{Label: "nats per image"}, Layers: layers}
		}
		shared := func(value func(vaeArmResult) float64) (layers []chart.Layer) {
			for i, prior := range r.priors() {
				if prior != perImagePrior {
					layers = append(layers, curve(i, latent, prior, prior, value))
				}
			}
			return layers
		}
		normal := string(model.NormalPrior)
		own := panel("train - test, ELBO", []chart.Layer{
			curve(0, latent, normal, normal, vaeArmResult.Difference), curve(1, latent, perImagePrior, "a p(z) of each image's own", vaeArmResult.Difference),
		})
		own.Y = chart.Axis{Label: "nats per image, logarithmic", Log: true}
		sheet = append(sheet, []chart.Chart{
			panel("train - test, ELBO", shared(vaeArmResult.Difference)),
			panel("test images, ELBO", shared(tested)),
			panel("test images, KL(q(z) ‖ p(z))", shared(marginal)),
			own,
		})
	}
	return sheet
}

// priors are the names of the arms' priors, in order.
func (r vaeFreedomReport) priors() (names []string) {
	for _, a := range r.Arms {
		if !slices.Contains(names, a.Prior) {
			names = append(names, a.Prior)
		}
	}
	return names
}
