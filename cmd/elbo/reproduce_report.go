package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"elbo/model/infer"
	"elbo/train/run"
)

// reproduceReport is report.json of a reproduction.
type reproduceReport struct {
	Anchor      string             `json:"anchor"`
	Protocol    string             `json:"protocol"`
	Passes      int                `json:"passes"` // epochs, or iterations of EM, at most
	Of          int                `json:"of"`     // those of the whole protocol
	Figures     []reproducedFigure `json:"figures"`
	Minutes     float64            `json:"minutes"` // of training a run, in the mean
	Runs        []reproducedRun    `json:"runs"`
	Source      string             `json:"source"`
	Differences []string           `json:"differences"`
}

// reproducedFigure is a figure beside the published one; of ours there is none.
type reproducedFigure struct {
	Name      string     `json:"name"`
	Published []float64  `json:"published,omitempty"` // one, or the lowest and the highest of several runs
	Recalled  bool       `json:"recalled,omitempty"`
	Source    string     `json:"source,omitempty"`
	Band      []float64  `json:"band,omitempty"`
	BandFrom  string     `json:"band_from,omitempty"`
	Obtained  seedSpread `json:"obtained"`
	SE        float64    `json:"se"`               // over images, of one run
	Inside    *bool      `json:"inside,omitempty"` // the mean, of the band
}

// made is the report of what the runs came to.
func (x *reproduction) made() reproduceReport {
	r := reproduceReport{Anchor: x.name, Protocol: x.titled() + ": " + x.title, Passes: x.config.Epochs, Of: x.of, Runs: x.results, Source: x.source, Differences: x.differs}
	if x.config.Data != "mnist" {
		r.Differences = append([]string{"images are those of " + x.config.Data}, r.Differences...)
	}
	if r.Passes < r.Of {
		r.Differences = append([]string{fmt.Sprintf("training is cut to %d of %d %ss, and its schedule with it", r.Passes, r.Of, x.config.PassUnit())}, r.Differences...)
	}
	for _, one := range x.results {
		r.Minutes += one.Minutes / float64(len(x.results))
	}
	for i, m := range x.measures() {
		f := reproducedFigure{Name: m.String()}
		var over infer.Running
		for _, one := range x.results {
			over.Add(one.Figures[i].Value)
			f.SE = one.Figures[i].SE
		}
		f.Obtained = spreadOf(over)
		if i < len(x.figures) {
			from := x.figures[i]
			f.Published, f.Recalled, f.Source, f.Band, f.BandFrom = from.values, from.recalled, from.source, from.band[:], from.bandFrom
			inside := from.holds(over.Mean)
			f.Inside = &inside
		}
		r.Figures = append(r.Figures, f)
	}
	return r
}

// holds reports whether a value is in the band.
func (f published) holds(value float64) bool { return value >= f.band[0] && value <= f.band[1] }

// report writes and prints what the runs came to.
func (x *reproduction) report(o reproduceOptions) error {
	r := x.made()
	if err := writeJSONFile(filepath.Join(x.out, reportFile), r); err != nil {
		return err
	}
	var runs []timedRun
	for _, a := range x.arms {
		runs = append(runs, timedRun{a.name, a.config, x.curves[a.name]})
	}
	if err := writeMinutes(x.out, []string{"png"}, runs, x.titled()+": "+x.title); err != nil {
		return err
	}
	if o.json {
		return writeJSON(x.p.stdout, r)
	}
	r.write(x.p.stdout)
	x.writeSources(x.p.stdout)
	fmt.Fprintf(x.p.stdout, "runs   %s\n", x.out)
	return nil
}

// reportFile holds the report of a reproduction.
const reportFile = "report.json"

func (r reproduceReport) write(w io.Writer) {
	fmt.Fprintln(w, r.Protocol)
	t := newTable(w, tabwriter.AlignRight)
	fmt.Fprintln(t, "\tpublished\tband\tobtained\t\t")
	for _, f := range r.Figures {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t\n", f.Name, f.publishedText(), f.bandText(), f.obtainedText(), f.verdict())
	}
	t.Flush()
	over := "± standard error over images"
	if len(r.Runs) > 1 {
		over = fmt.Sprintf("mean and standard deviation over %d seeds; over images a run has a standard error of %.2f", len(r.Runs), r.Figures[0].SE)
	}
	fmt.Fprintf(w, "nats per image, lower is better; %s\n", over)
	fmt.Fprintf(w, "%.3g minutes of training", r.Minutes)
	if len(r.Runs) > 1 {
		fmt.Fprint(w, " a run")
	}
	fmt.Fprintln(w)
	for _, f := range r.Figures {
		if f.Inside != nil && !*f.Inside {
			fmt.Fprintf(w, "%s is %s. %s\n", f.Name, f.offText(), r.advice())
		}
	}
	fmt.Fprintln(w, "differs from the paper's program:")
	for _, d := range r.Differences {
		fmt.Fprintf(w, "  %s\n", d)
	}
}

// advice is what to look at where a figure is out of its band.
func (r reproduceReport) advice() string {
	var first []string
	if r.Passes < r.Of {
		first = append(first, "that training was cut short, to begin with")
	}
	if len(r.Runs) == 1 {
		first = append(first, "other seeds (--seeds 3)")
	}
	return "Look at " + strings.Join(append(first, "what differs, below", fmt.Sprintf("and whether the bound still rose or had fallen again: curves by `elbo plot %s`", run.ShellPath(r.Runs[0].Run))), ", ")
}

// offText says how far a figure is from its band.
func (f reproducedFigure) offText() string {
	off, side := f.Obtained.Mean-f.Band[1], "above"
	if off < 0 {
		off, side = f.Band[0]-f.Obtained.Mean, "below"
	}
	if f.SE == 0 {
		return fmt.Sprintf("%.2f nats %s its band", off, side)
	}
	return fmt.Sprintf("%.2f nats %s its band, %.1f standard errors", off, side, off/f.SE)
}

func (f reproducedFigure) publishedText() string {
	if len(f.Published) == 0 {
		return "-"
	}
	return publishedText(f.Published, f.Recalled)
}

// publishedText is one figure, or the lowest and the highest.
func publishedText(values []float64, recalled bool) string {
	text := fmt.Sprintf("%.2f", values[0])
	if len(values) > 1 {
		text += fmt.Sprintf("-%.2f", values[1])
	}
	if recalled {
		text += " recalled"
	}
	return text
}

func (f reproducedFigure) bandText() string {
	if f.Band == nil {
		return "-"
	}
	return bandText([2]float64(f.Band))
}

func bandText(band [2]float64) string { return fmt.Sprintf("%.1f-%.1f", band[0], band[1]) }

func (f reproducedFigure) obtainedText() string {
	if f.Obtained.SD != nil {
		return f.Obtained.String()
	}
	return fmt.Sprintf("%.2f ± %.2f", f.Obtained.Mean, f.SE)
}

func (f reproducedFigure) verdict() string {
	switch {
	case f.Inside == nil:
		return ""
	case *f.Inside:
		return "inside"
	}
	return "outside"
}

// writeSources says where figures, bands and the protocol are from.
func (a anchor) writeSources(w io.Writer) {
	fmt.Fprintf(w, "protocol: %s\n", a.source)
	for _, f := range a.figures {
		recalled := ""
		if f.recalled {
			recalled = ", and not read again"
		}
		fmt.Fprintf(w, "%s: published %s (%s%s); band %s from %s\n", f, publishedText(f.values, f.recalled), f.source, recalled, bandText(f.band), f.bandFrom)
	}
}

// anchorListed is an element of reproduce --json without an anchor.
type anchorListed struct {
	Anchor   string             `json:"anchor"`
	Protocol string             `json:"protocol"`
	Figures  []anchorFigure     `json:"figures"`
	Minutes  float64            `json:"minutes"` // of training, by a short measurement; of EM at most
	Last     []reproducedFigure `json:"last,omitempty"`
	Of       string             `json:"last_of,omitempty"` // what Last is of: the anchor, or the anchor cut short
}

// anchorFigure is a published figure, as it is listed.
type anchorFigure struct {
	Name      string    `json:"name"`
	Published []float64 `json:"published"`
	Recalled  bool      `json:"recalled,omitempty"`
	Source    string    `json:"source"`
	Band      []float64 `json:"band"`
	BandFrom  string    `json:"band_from"`
}

// listAnchors prints what can be reproduced.
func listAnchors(ctx context.Context, p *program, o reproduceOptions) error {
	bar := newBar(p)
	var all []anchorListed
	for i, a := range o.anchors {
		bar.at("measuring", i, len(o.anchors))
		one, err := p.listed(o, a)
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			bar.done()
			return err
		}
		all = append(all, one)
	}
	bar.done()
	if o.json {
		return writeJSON(p.stdout, all)
	}
	t := newTable(p.stdout, 0)
	fmt.Fprintln(t, "anchor\tfigure\tpublished\tband\tminutes\tlast result")
	for _, a := range all {
		for i, f := range a.Figures {
			name, minutes, last := "", "", "-"
			if i == 0 {
				name, minutes = a.Anchor, minutesText(a.Minutes)
			}
			if i < len(a.Last) {
				last = a.Last[i].obtainedText() + " " + a.Last[i].verdict()
				if a.Of != a.Anchor {
					last += " (" + strings.TrimPrefix(a.Of, a.Anchor+" ") + ")"
				}
			}
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", name, f.Name, publishedText(f.Published, f.Recalled), bandText([2]float64(f.Band)), minutes, last)
		}
	}
	t.Flush()
	fmt.Fprintf(p.stdout, "nats per image, lower is better. Minutes are of training on this machine, by a short measurement; of mixtures, at most.\nLast results are those in %s. `%s reproduce ANCHOR --dry-run` says what is trained, and where its figures are from.\n", reproduced, p.name)
	return nil
}

func minutesText(minutes float64) string {
	if minutes < 10 {
		return fmt.Sprintf("%.1f", minutes)
	}
	return fmt.Sprintf("%.0f", minutes)
}

// listed is an anchor with what it takes here, and what came of it last.
func (p *program) listed(o reproduceOptions, a anchor) (anchorListed, error) {
	l := anchorListed{Anchor: a.name, Protocol: a.title}
	for _, f := range a.figures {
		l.Figures = append(l.Figures, anchorFigure{f.String(), f.values, f.recalled, f.source, f.band[:], f.bandFrom})
	}
	c, err := o.configOf(a)
	if err != nil {
		return l, err
	}
	s, err := p.setup(c)
	if err != nil {
		return l, p.moved(err, o.data)
	}
	seconds, err := s.EpochSeconds(p.now)
	if err != nil {
		return l, err
	}
	l.Minutes = seconds * float64(c.Epochs) / 60
	if r := lastOf(a.name); r != nil {
		l.Last = r.Figures
		l.Of, _, _ = strings.Cut(r.Protocol, ":")
	}
	return l, nil
}

// lastOf returns the last report on an anchor, nil where there is none.
func lastOf(name string) *reproduceReport {
	files, _ := filepath.Glob(filepath.Join(reproduced, name+"*", reportFile))
	var last *reproduceReport
	var at int64
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil || info.ModTime().UnixNano() < at {
			continue
		}
		text, err := os.ReadFile(file)
		var r reproduceReport
		if err == nil && json.Unmarshal(text, &r) == nil && r.Anchor == name {
			last, at = &r, info.ModTime().UnixNano()
		}
	}
	return last
}
