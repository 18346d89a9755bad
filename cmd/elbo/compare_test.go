package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"elbo/cmd/elbo/internal/report"
	"elbo/train"
)

// tinyComparison returns a small comparison on synthetic digits.
func tinyComparison(t *testing.T, stdout, stderr io.Writer) (*program, compareOptions) {
	t.Helper()
	p, dir := tinyProgram(t, stdout, stderr)
	return p, compareOptions{
		compareSettings: compareSettings{Data: filepath.Join(dir, "data"), Components: 3, Grid: "3x2", Hidden: "6", Iterations: 4, Epochs: 3, Seed: 1},
		out:             filepath.Join(dir, "out"), split: "test", samples: 5, json: true,
	}
}

func compared(t *testing.T, stdout []byte) report.Comparison {
	t.Helper()
	var c report.Comparison
	if err := json.Unmarshal(stdout, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// withoutTime removes the only figures of a comparison that the clock decides.
func withoutTime(c report.Comparison) report.Comparison {
	for i := range c.Models {
		c.Models[i].Seconds = 0
		for j := range c.Models[i].History {
			c.Models[i].History[j].Seconds = 0
		}
		// The directory's name.
		c.Models[i].Run, c.Models[i].Checkpoint = "", ""
	}
	return c
}

// TestCompareGoesOnToTheSameFigures: a comparison that was interrupted within an arm, and
// then while it scored, ends as one left alone.
func TestCompareGoesOnToTheSameFigures(t *testing.T) {
	var alone, stdout bytes.Buffer
	p, o := tinyComparison(t, &alone, io.Discard)
	if err := runOwnComparison(t.Context(), p, o); err != nil {
		t.Fatal(err)
	}
	o.out += "-2"
	o.scoring = " --split validation --samples 7" // as a command line would leave it
	p.stdout = &stdout
	var told string
	for _, stop := range []struct {
		text string
		says string
	}{
		{"2/4", "interrupted: 0 of 3 models are trained. Go on with: elbo compare --out " + o.out + o.scoring + "\n"},
		{"3/3  ", "interrupted: 2 of 3 models are trained. Go on with: elbo compare --out " + o.out + o.scoring + "\n"},
		{"scoring vae", "interrupted: all models are trained. Go on with: elbo compare --out " + o.out + o.scoring + "\n"},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		stderr := &cancelling{text: stop.text, left: 1, cancel: cancel}
		p.stderr = stderr
		err := runOwnComparison(ctx, p, o)
		if !errors.Is(err, context.Canceled) && !errors.Is(err, train.ErrInterrupted) {
			t.Fatalf("interrupted at %q: %v", stop.text, err)
		}
		if told = stderr.told.String(); !strings.HasSuffix(told, stop.says) {
			t.Errorf("told:\n%swant at the end:\n%s", told, stop.says)
		}
		if _, err := os.Stat(filepath.Join(o.out, "report.html")); err == nil {
			t.Error("an interrupted comparison has a report")
		}
	}
	if strings.Count(told, "done before") != 2 {
		t.Errorf("the third time it said:\n%swant two arms done before", told)
	}
	if stdout.Len() > 0 {
		t.Errorf("an interrupted comparison printed %q", stdout.String())
	}
	p.stderr = io.Discard
	left := filepath.Join(o.out, train.MixtureModel, ".elbo-tmp-0-checkpoint-00000004.safetensors")
	if err := os.WriteFile(left, []byte("{"), 0o666); err != nil { // killed in the save that repeats the last
		t.Fatal(err)
	}
	if err := runOwnComparison(t.Context(), p, o); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is still there (%v)", left, err)
	}
	want, got := withoutTime(compared(t, alone.Bytes())), withoutTime(compared(t, stdout.Bytes()))
	if !reflect.DeepEqual(got, want) {
		t.Errorf("resumed: %+v\nleft alone: %+v", got, want)
	}
}

// TestTheComparisonsFiguresAreThoseOfItsImages: every mean, standard error and paired
// difference of report.json follows from the rows of per-image.csv.
func TestTheComparisonsFiguresAreThoseOfItsImages(t *testing.T) {
	var stdout bytes.Buffer
	p, o := tinyComparison(t, &stdout, io.Discard)
	if err := runOwnComparison(t.Context(), p, o); err != nil {
		t.Fatal(err)
	}
	c := compared(t, stdout.Bytes())
	file, err := os.Open(filepath.Join(o.out, "per-image.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil || len(rows) != 1+3*c.Data.Images || c.Data.Images != 12 {
		t.Fatalf("per-image.csv: %d rows for %d images, %v", len(rows), c.Data.Images, err)
	}
	column := func(model, name string) (values []float64) {
		for j, heading := range rows[0] {
			for _, row := range rows[1:] {
				if heading == name && row[2] == model {
					v, err := strconv.ParseFloat(row[j], 64)
					if err != nil {
						t.Fatal(err)
					}
					values = append(values, v)
				}
			}
		}
		return values
	}
	// The reference computes mean and error in another way: Σx and Σx².
	figure := func(values []float64) report.Figure {
		n, sum, squares := float64(len(values)), 0.0, 0.0
		for _, v := range values {
			sum, squares = sum+v, squares+v*v
		}
		return report.Figure{Value: sum / n, SE: math.Sqrt(max(0, squares-sum*sum/n) / (n - 1) / n)}
	}
	// The file has nine digits, of figures below 1000; Σx² of 12 of them loses a factor of
	// √(12·10⁶·2⁻⁵³) to an error near 0.
	check := func(what string, got, want report.Figure) {
		t.Helper()
		if math.Abs(got.Value-want.Value) > 1e-5 || math.Abs(got.SE-want.SE) > 1e-4 {
			t.Errorf("%s: %+v in report.json, %+v from per-image.csv", what, got, want)
		}
	}
	minus := func(a, b []float64) []float64 {
		d := make([]float64, len(a))
		for i := range a {
			d[i] = a[i] - b[i]
		}
		return d
	}
	for _, m := range c.Models {
		check(m.Name+" recon", m.Recon, figure(column(m.Name, "recon")))
		check(m.Name+" KL", m.KL, figure(column(m.Name, "kl")))
		check(m.Name+" ELBO", m.ELBO, figure(column(m.Name, "elbo")))
		check(m.Name+" log p(x)", report.Figure(m.LogP.Estimate), figure(column(m.Name, "log_p")))
		check(m.Name+" gap", m.Gap, figure(minus(column(m.Name, "log_p"), column(m.Name, "elbo"))))
		if m.Name == c.Reference {
			continue
		}
		check(m.Name+" ELBO difference", *m.DiffELBO, figure(minus(column(m.Name, "elbo"), column(c.Reference, "elbo"))))
		check(m.Name+" log p(x) difference", *m.DiffLogP, figure(minus(column(m.Name, "log_p"), column(c.Reference, "log_p"))))
		if m.DiffLogP.Value > 0 {
			t.Errorf("%s is above the reference %s", m.Name, c.Reference)
		}
		if vae := m.Kind == train.VAEModel; vae != (m.Gap.Value > 1e-6) {
			t.Errorf("%s has a gap of %g nats", m.Name, m.Gap.Value)
		}
	}
}

// TestWhatAKilledComparisonLeftIsRemoved when it goes on: of the directory's own files, as
// its runs see to theirs.
func TestWhatAKilledComparisonLeftIsRemoved(t *testing.T) {
	for _, marked := range []bool{false, true} { // killed before or after it had its mark
		out := t.TempDir()
		if marked {
			if _, err := makeMarked(out, "compare", compareFile, compareSettings{}); err != nil {
				t.Fatal(err)
			}
		}
		left := filepath.Join(out, ".elbo-tmp-0-report.html")
		if err := os.WriteFile(left, []byte("<ht"), 0o666); err != nil {
			t.Fatal(err)
		}
		begun, err := begunIn[compareSettings](out, compareFile, "comparison")
		if err != nil || (begun != nil) != marked {
			t.Errorf("begun: %v, %v", begun, err)
		}
		if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there (%v)", left, err)
		}
	}
}
