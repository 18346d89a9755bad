package main

import (
	"fmt"

	"elbo/cmd/elbo/internal/chart"
	"elbo/train"
	"elbo/train/run"
)

// timedRun is a run whose bound is drawn over the minutes that its training took.
type timedRun struct {
	name    string
	config  train.Config
	metrics []run.Metrics
}

// timedRunOf reads a run.
func timedRunOf(path string) (timedRun, error) {
	dir, err := train.ReadRun(path)
	if err != nil {
		return timedRun{}, err
	}
	c, err := runConfig(dir)
	if err != nil {
		return timedRun{}, err
	}
	metrics, err := dir.ReadMetrics()
	if err == nil && len(metrics) == 0 {
		err = fmt.Errorf("%s has no metrics yet: nothing is there to draw", path)
	}
	return timedRun{path, c, metrics}, err
}

// onOneFooting fails where the bounds of two runs do not compare.
func onOneFooting(runs []timedRun) error {
	first := runs[0]
	for _, r := range runs[1:] {
		switch {
		case r.config.Likelihood.Measure() != first.config.Likelihood.Measure():
			return usagef("%s has the likelihood %s, and %s %s: their nats do not compare, draw them apart", r.name, r.config.Likelihood, first.name, first.config.Likelihood)
		case r.config.Data != first.config.Data:
			return usagef("%s is trained on %s, and %s on %s: their bounds do not compare, draw them apart", r.name, r.config.Data, first.name, first.config.Data)
		case r.config.Binarise != first.config.Binarise:
			return usagef("%s has binarise %s, and %s %s: their bounds do not compare, draw them apart", r.name, r.config.Binarise, first.name, first.config.Binarise)
		}
	}
	return nil
}

// logFrom is how many times longer than the first epoch training is before minutes stand on a
// logarithmic axis.
const logFrom = 20

// overMinutes draws the validation bounds of runs over the minutes of training that it took to
// come to them, of a run without validation images those while training.
func overMinutes(runs []timedRun, title string) chart.Sheet {
	c := chart.Chart{
		Title: title, Height: 400, LeaveOutFirst: true,
		X: chart.Axis{Label: "minutes of training, without validation"},
		Y: chart.Axis{Label: "bound on validation images, nats per image"},
	}
	if title == "" {
		c.Title = "bounds over minutes of training"
	}
	validated := true
	for _, r := range runs {
		validated = validated && r.metrics[0].Validation != nil
	}
	if !validated {
		c.Y.Label = "bound while training, nats per image"
	}
	first, last := 0.0, 0.0
	for i, r := range runs {
		var at curve
		minutes := 0.0
		for _, m := range r.metrics {
			minutes += m.Seconds / 60
			terms := m.Validation
			if !validated {
				terms = m.Train
			}
			if terms == nil || !(minutes > 0) {
				continue
			}
			at.x, at.y = append(at.x, minutes), append(at.y, terms.Bound)
		}
		if len(at.x) == 0 {
			continue
		}
		if first == 0 || at.x[0] < first {
			first = at.x[0]
		}
		last = max(last, minutes)
		line := chart.Curve(i, r.name, at.x, at.y)
		c.Layers = append(c.Layers, line)
	}
	c.X.Log = first > 0 && last > logFrom*first
	return chart.Sheet{{c}}
}

// writeMinutes writes the chart of runs as minutes.<format>.
func writeMinutes(dir string, formats []string, runs []timedRun, title string) error {
	g := gallery{dir: dir, formats: formats}
	return g.chart("minutes", overMinutes(runs, title))
}
