package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"elbo/cmd/elbo/internal/chart"
	"elbo/data"
	"elbo/train"
	"elbo/train/run"
)

// TestCurvesSayWhichEpochIsBestAndHowSureThatIs: the panel of the bounds rings the best validation bound and has a band
// of a standard error about it; names and the title are on it alone.
func TestCurvesSayWhichEpochIsBestAndHowSureThatIs(t *testing.T) {
	var metrics []run.Metrics
	for i, bound := range []float64{-120, -110, -112} {
		metrics = append(metrics, run.Metrics{Epoch: i + 1, Train: &run.EpochTerms{Bound: bound + 1}, Validation: &run.EpochTerms{Bound: bound, BoundSE: 0.5}})
	}
	s := &train.Setup{Config: train.DefaultConfig(train.VAEModel), Dataset: &data.Dataset{Name: "digits"}}
	sheet := curvesOf(s, metrics)
	var rings, bands []chart.Layer
	for _, l := range sheet[0][0].Layers {
		switch l := l.(type) {
		case chart.Points:
			rings = append(rings, l)
			if l.Name != "best, epoch 2" || !slices.Equal(l.X, []float64{2}) || !slices.Equal(l.Y, []float64{-110}) {
				t.Errorf("best is %+v, want epoch 2 at -110", l)
			}
		case chart.Band:
			if l.X != nil {
				bands = append(bands, l)
				if !slices.Equal(l.Low, []float64{-120.5, -110.5, -112.5}) || !slices.Equal(l.High, []float64{-119.5, -109.5, -111.5}) {
					t.Errorf("band %+v, want half a nat to either side", l)
				}
			}
		}
	}
	if len(rings) != 1 || len(bands) != 1 {
		t.Errorf("%d rings and %d bands, want one each", len(rings), len(bands))
	}
	for i, row := range sheet {
		if title := row[0].Title; (title != "") != (i == 0) {
			t.Errorf("panel %d has the title %q", i, title)
		}
	}
}

// TestAChartIsWrittenAsItsNameSays, as SVG or as PNG.
func TestAChartIsWrittenAsItsNameSays(t *testing.T) {
	dir := t.TempDir()
	for name, begins := range map[string]string{"a.svg": "<svg xmlns=", "a.png": "\x89PNG"} {
		path := filepath.Join(dir, name)
		if err := writeChart(path, chart.Sheet{{{Title: "t"}}}); err != nil {
			t.Fatal(err)
		}
		if text, err := os.ReadFile(path); err != nil || !bytes.HasPrefix(text, []byte(begins)) {
			t.Errorf("%s: %v, begins with %.10q, want %q", name, err, text, begins)
		}
	}
}
