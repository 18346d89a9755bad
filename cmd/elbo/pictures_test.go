package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"elbo/cmd/elbo/internal/chart"
	"elbo/data"
	"elbo/graph/graphtest"
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

// TestAChartIsWrittenAsItsNameSays, as SVG, PDF or PNG.
func TestAChartIsWrittenAsItsNameSays(t *testing.T) {
	dir := t.TempDir()
	for name, begins := range map[string]string{"a.svg": "<svg xmlns=", "a.png": "\x89PNG", "a.pdf": "%PDF-"} {
		path := filepath.Join(dir, name)
		if err := writeChart(path, chart.Sheet{{{Title: "t"}}}); err != nil {
			t.Fatal(err)
		}
		if text, err := os.ReadFile(path); err != nil || !bytes.HasPrefix(text, []byte(begins)) {
			t.Errorf("%s: %v, begins with %.10q, want %q", name, err, text, begins)
		}
	}
}

// TestARunInTrainingIsDrawnEveryFewEpochs: once a while has passed since the last drawing,
// the next epoch draws samples and curves; before, it does not.
func TestARunInTrainingIsDrawnEveryFewEpochs(t *testing.T) {
	var said bytes.Buffer
	p, at := tinyProgram(t, &said, &said)
	clock := time.Unix(0, 0)
	p.now = func() time.Time { return clock }
	c := train.DefaultConfig(train.VAEModel)
	c.Data, c.Binarise, c.Epochs = filepath.Join(at, "data"), data.Static, 2
	c.Settings.(*train.VAESettings).Hidden = []int{4}
	s, err := train.NewSetup(c, 1, graphtest.Engine)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := train.CreateRun(filepath.Join(at, "run"), s.Config)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	r := newIllustrated(p, s, dir)
	for epoch, passed := range []time.Duration{drawEvery / 2, drawEvery} {
		m := run.Metrics{Epoch: epoch + 1, Step: int64(epoch + 1), Train: &run.EpochTerms{Bound: -3}}
		if err := dir.AppendMetrics(m); err != nil {
			t.Fatal(err)
		}
		clock = time.Unix(0, 0).Add(passed)
		r.Epoch(m)
		for _, name := range []string{"samples.png", "curves.png"} {
			if _, err := os.Stat(dir.File(name)); (err == nil) != (epoch == 1) {
				t.Errorf("after %v: %s: %v", passed, name, err)
			}
		}
	}
}
