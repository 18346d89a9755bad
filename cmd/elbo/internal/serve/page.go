package serve

import (
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"elbo/cmd/elbo/internal/chart"
	"elbo/model"
	"elbo/train"
	"elbo/train/run"
)

// PageOptions are what a page is told.
type PageOptions struct {
	Dir  string // of runs
	Open Open
	Say  func(format string, args ...any)
}

// Page shows the runs of a directory.
type Page struct {
	o        PageOptions
	runs     *runs
	watchers watchers
	gate     *gate
	opened   opened
	mux      *http.ServeMux

	closed    chan struct{}
	closeOnce sync.Once
}

var (
	//go:embed page.html
	pageHTML []byte
	//go:embed page.css
	pageCSS string
	//go:embed page.js
	pageJS []byte
)

// explorers is how many requests of explorers may compute or wait.
const explorers = 32

// NewPage makes the page of a directory of runs. Follow is to be called beside it.
func NewPage(o PageOptions) *Page {
	p := &Page{o: o, runs: &runs{dir: o.Dir, known: map[string]listed{}}, gate: newGate(explorers), mux: http.NewServeMux(), closed: make(chan struct{})}
	file := func(kind string, body []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.Write(body)
		}
	}
	p.mux.HandleFunc("GET /{$}", file("text/html; charset=utf-8", pageHTML))
	p.mux.HandleFunc("GET /page.css", file("text/css; charset=utf-8", []byte(chart.CSS()+pageCSS)))
	p.mux.HandleFunc("GET /page.js", file("text/javascript; charset=utf-8", pageJS))
	p.mux.HandleFunc("GET /favicon.ico", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	p.mux.HandleFunc("GET /events", p.events)
	for path, f := range map[string]func(context.Context, http.ResponseWriter, *http.Request) error{
		"GET /run": p.run, "GET /chart": p.chart, "GET /picture": p.picture, "GET /report": p.report,
		"POST /explore": p.explore, "POST /decode": p.decode, "POST /infer": p.infer, "POST /between": p.between, "GET /plane": p.plane, "GET /kl": p.kl,
	} {
		p.mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			ctx, cancel := context.WithTimeout(r.Context(), timeToAnswer)
			defer cancel()
			if err := f(ctx, w, r); err != nil {
				failWith(w, err, o.Say)
			}
		})
	}
	p.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fail(w, http.StatusNotFound, "there is no %s %.80s", r.Method, r.URL.Path)
	})
	return p
}

func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) { p.mux.ServeHTTP(w, r) }

// Public: nothing of the page may be asked for without a token.
func (p *Page) Public(string) bool { return false }

// Close ends the streams of events.
func (p *Page) Close() { p.closeOnce.Do(func() { close(p.closed) }) }

// shown are the pictures of a run directory, in the order of the page.
var shown = []string{"samples.png", "reconstructions.png", "manifold.png", "latent.png", "components.png", "traverse.png", "interpolation.png", "imputed.png", "gap.png"}

// runAnswer is all that the page says of a run.
type runAnswer struct {
	listed
	Config   string     `json:"config"` // config.json, as it is
	Pictures []string   `json:"pictures"`
	Last     *figures   `json:"last,omitempty"`
	Best     *figures   `json:"best,omitempty"` // on validation images
	Messages []string   `json:"messages"`       // a line for each pass, the newest first
	Explore  bool       `json:"explore"`        // it has a checkpoint that can be opened
	Report   bool       `json:"report"`         // it is of a comparison that has one
	Speed    [2]float64 `json:"speed"`          // images/s of the last pass; seconds until the last one
}

// figures are those of one pass.
type figures struct {
	Pass  int     `json:"pass"`
	Bound float64 `json:"bound"`
	Recon float64 `json:"recon"`
	KL    float64 `json:"kl"`
	SE    float64 `json:"se"`
	On    string  `json:"on"` // which images
}

func figuresOf(m run.Metrics) *figures {
	terms, on := m.Validation, "validation"
	if terms == nil {
		terms, on = m.Train, "train"
	}
	if terms == nil {
		return nil
	}
	return &figures{Pass: m.Epoch, Bound: terms.Bound, Recon: terms.Recon, KL: terms.KL, SE: terms.BoundSE, On: on}
}

// newestMessages is how many lines the page has.
const newestMessages = 200

func (p *Page) run(_ context.Context, w http.ResponseWriter, r *http.Request) error {
	l, err := p.runs.find(r.URL.Query().Get("run"))
	if err != nil {
		return err
	}
	a := runAnswer{listed: l, Pictures: []string{}, Messages: []string{}}
	if f, err := l.file(run.ConfigFile); err == nil {
		text, _ := io.ReadAll(io.LimitReader(f, 1<<20))
		f.Close()
		a.Config = string(text)
	}
	for _, name := range shown {
		if f, err := l.file(name); err == nil {
			f.Close()
			a.Pictures = append(a.Pictures, name)
		}
	}
	if f, err := l.file(run.BestFile); err == nil {
		f.Close()
		a.Explore = true
	}
	if f, err := p.reportOf(l); err == nil {
		f.Close()
		a.Report = true
	}
	metrics, err := l.metrics()
	if err != nil {
		return answer(w, a) // the list says what is damaged
	}
	for i, m := range metrics {
		f := figuresOf(m)
		if f == nil {
			continue
		}
		a.Last = f
		if m.Validation != nil && (a.Best == nil || f.Bound > a.Best.Bound) {
			a.Best = f
		}
		if len(metrics)-i <= newestMessages {
			a.Messages = append(a.Messages, message(l.Unit, m, f))
		}
	}
	slices.Reverse(a.Messages)
	if n := len(metrics); n > 0 && l.State == train.RunInTraining {
		a.Speed = [2]float64{metrics[n-1].ImagesPerSecond, metrics[n-1].Seconds * float64(max(0, l.Of-l.Done))}
	}
	return answer(w, a)
}

// message is a line of the log.
func message(unit string, m run.Metrics, f *figures) string {
	line := fmt.Sprintf("%s %d: %.2f = %.2f − %.2f nats per image (%s)", unit, m.Epoch, f.Bound, f.Recon, f.KL, f.On)
	if f.SE > 0 {
		line = strings.Replace(line, " = ", fmt.Sprintf(" ± %.2f = ", f.SE), 1)
	}
	if m.ImagesPerSecond > 0 {
		line += fmt.Sprintf("; %.0f images/s", m.ImagesPerSecond)
	}
	if m.EM != nil && m.EM.Reseeded > 0 {
		line += fmt.Sprintf("; %d dead components moved", m.EM.Reseeded)
	}
	return chart.Minus(line)
}

// picture sends a picture of a run.
func (p *Page) picture(_ context.Context, w http.ResponseWriter, r *http.Request) error {
	l, err := p.runs.find(r.URL.Query().Get("run"))
	if err != nil {
		return err
	}
	name := r.URL.Query().Get("file")
	if !slices.Contains(shown, name) {
		return &badRequest{http.StatusNotFound, fmt.Sprintf("there is no picture %.40q", name)}
	}
	f, err := l.file(name)
	if err != nil {
		return err
	}
	defer f.Close()
	w.Header().Set("Content-Type", "image/png")
	io.Copy(w, f)
	return nil
}

// reportFile is the page of a comparison.
const reportFile = "report.html"

// reportOf opens the report that lies in a run's directory, or in that of the comparison which
// trained it.
func (p *Page) reportOf(l listed) (*os.File, error) {
	f, err := l.file(reportFile)
	if err == nil || !strings.Contains(l.Name, "/") { // above is not below the page's directory
		return f, err
	}
	above := listed{Name: path.Dir(l.Name), Summary: train.Summary{Run: filepath.Dir(l.Run)}}
	return above.file(reportFile)
}

// report sends the report of a comparison. It is a page of its own, with its styles in it.
func (p *Page) report(_ context.Context, w http.ResponseWriter, r *http.Request) error {
	l, err := p.runs.find(r.URL.Query().Get("run"))
	if err != nil {
		return err
	}
	f, err := p.reportOf(l)
	if err != nil {
		return err
	}
	defer f.Close()
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	io.Copy(w, f)
	return nil
}

// drawn is a figure of the metrics.
type drawn struct {
	label string
	terms bool // of the terms of training and of validation, or else of the pass
	value func(*run.EpochTerms) float64
	pass  func(run.Metrics) float64
}

// ofMetrics are the charts that there are.
var ofMetrics = map[string]drawn{
	"bound": {label: "bound, nats per image", terms: true, value: func(t *run.EpochTerms) float64 { return t.Bound }},
	"recon": {label: "E[log p(x|z)], nats per image", terms: true, value: func(t *run.EpochTerms) float64 { return t.Recon }},
	"kl":    {label: "KL(q(z|x) ‖ p(z)), nats per image", terms: true, value: func(t *run.EpochTerms) float64 { return t.KL }},
	"speed": {label: "images/s", pass: func(m run.Metrics) float64 { return m.ImagesPerSecond }},
}

// mostCompared is how many runs a chart has at most: as many as there are colours to tell apart.
const mostCompared = 8

// chart sends a chart of one run, with training and validation, or of several, of each validation
// or else training, as an element of the page.
func (p *Page) chart(_ context.Context, w http.ResponseWriter, r *http.Request) error {
	names, of := r.URL.Query()["run"], r.URL.Query().Get("of")
	d, ok := ofMetrics[of]
	if !ok {
		return refuse("there is no chart of %.20q", of)
	}
	if len(names) < 1 || len(names) > mostCompared {
		return refuse("%d runs, want 1 to %d", len(names), mostCompared)
	}
	width, err := strconv.ParseFloat(cmp.Or(r.URL.Query().Get("width"), "560"), 64)
	if err != nil || !(width >= 200 && width <= 2000) {
		return refuse("width is %.20q, want 200 to 2000", r.URL.Query().Get("width"))
	}
	overMinutes := r.URL.Query().Get("over") == "minutes"
	c := chart.Chart{Height: 300, Width: width, LeaveOutFirst: true, Y: chart.Axis{Label: d.label}, X: chart.Axis{Label: "passes", Each: "pass", Whole: true}}
	if overMinutes {
		c.X = chart.Axis{Label: "minutes of training"}
	}
	var measure model.Measure
	for i, name := range names {
		l, err := p.runs.find(name)
		if err != nil {
			return err
		}
		if config, err := configOf(l); err == nil && len(names) > 1 && d.terms {
			if own := config.Likelihood.Measure(); i > 0 && own != measure {
				return refuse("%s and %s have likelihoods whose nats do not compare: choose runs of one kind", names[0], name)
			}
			measure = config.Likelihood.Measure()
		}
		metrics, err := l.metrics()
		if err != nil {
			return refuse("%s: its metrics cannot be read", name)
		}
		d.add(&c, i, len(names) > 1, name, metrics, overMinutes)
	}
	c.Alt = d.label + " of " + strings.Join(names, ", ")
	svg, err := c.Inline()
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	io.WriteString(w, string(svg))
	return nil
}

// configOf reads the configuration of a run.
func configOf(l listed) (train.Config, error) {
	dir, err := train.ReadRun(l.Run)
	if err != nil {
		return train.Config{}, err
	}
	text, err := dir.Config()
	if err != nil {
		return train.Config{}, err
	}
	return train.ReadConfig(text)
}

// add draws the i-th run into a chart: its validation with a band of standard errors, and
// training, which beside other runs is left out where there is validation.
func (d drawn) add(c *chart.Chart, i int, several bool, name string, metrics []run.Metrics, overMinutes bool) {
	type curve struct{ x, y, low, high []float64 }
	var training, validation curve
	minutes := 0.0
	for _, m := range metrics {
		at := float64(m.Epoch)
		if minutes += m.Seconds / 60; overMinutes {
			at = minutes
		}
		if !d.terms {
			training.x, training.y = append(training.x, at), append(training.y, d.pass(m))
			continue
		}
		if m.Train != nil {
			training.x, training.y = append(training.x, at), append(training.y, d.value(m.Train))
		}
		if m.Validation != nil {
			y, se := d.value(m.Validation), m.Validation.BoundSE
			validation.x, validation.y = append(validation.x, at), append(validation.y, y)
			validation.low, validation.high = append(validation.low, y-se), append(validation.high, y+se)
		}
	}
	trained, validated := "train", "validation"
	if several {
		trained, validated = name+", train", name
	}
	if !d.terms {
		trained = ""
		if several {
			trained = name
		}
	}
	if len(training.x) > 0 && !(several && len(validation.x) > 0) {
		c.Layers = append(c.Layers, chart.Curve(i, trained, training.x, training.y))
	}
	if len(validation.x) > 0 {
		if !several {
			i++
		}
		line := chart.Curve(i, validated, validation.x, validation.y)
		if d.label == ofMetrics["bound"].label { // the error of the others is not known
			c.Layers = append(c.Layers, chart.Band{Ink: line.Ink, X: validation.x, Low: validation.low, High: validation.high})
		}
		c.Layers = append(c.Layers, line)
	}
}

// opened are the models that explorers have asked last: one request at a time looks here, see gate.
type opened struct {
	all  map[string]*latest // by the name of the run
	used []string           // the last one last
}

// mostOpened is how many models are held in memory.
const mostOpened = 3

// model opens the model of a run, or the better one that there is since. It is called when it is
// the request's turn.
func (p *Page) model(name string) (*asked, error) {
	l, err := p.runs.find(name)
	if err != nil {
		return nil, err
	}
	m := p.opened.all[name]
	if m == nil {
		if m, err = newLatest(l.Run, p.o.Open); err != nil {
			return nil, notOpened(name, err)
		}
		if p.opened.all == nil {
			p.opened.all = map[string]*latest{}
		}
		p.opened.all[name] = m
	} else if _, err := m.refresh(); err != nil {
		p.o.Say("%s", err)
	}
	p.opened.used = append(slices.DeleteFunc(p.opened.used, func(n string) bool { return n == name }), name)
	if len(p.opened.used) > mostOpened {
		delete(p.opened.all, p.opened.used[0])
		p.opened.used = p.opened.used[1:]
	}
	return m.now.Load(), nil
}

// notOpened says why a run cannot be explored: as a rule its data are elsewhere.
func notOpened(name string, err error) error {
	if errors.Is(err, train.ErrNoCheckpoint) {
		return refuse("%s has no checkpoint yet: wait for its first one", name)
	}
	return refuse("%s cannot be opened: %s", name, err)
}
