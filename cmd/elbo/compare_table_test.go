package main

import (
	"strings"
	"testing"
	"unicode/utf8"

	"elbo/cmd/elbo/internal/report"
	"elbo/model/infer"
)

// TestTheTableOfAComparisonFitsItsLine: at every width from that of its narrowest form, no
// line of the table is wider; what is left out is named; the best model is first, and marked.
func TestTheTableOfAComparisonFitsItsLine(t *testing.T) {
	logP := func(v float64, how string) infer.Evidence {
		return infer.Evidence{Estimate: infer.Estimate{Value: v, SE: 0.44}, How: how}
	}
	figure := report.Figure{Value: -131.51, SE: 0.44}
	c := report.Comparison{Samples: 100, Reference: "mixture", Models: []report.Model{
		{Name: "vae", Parameters: 651_000, LogP: logP(-135.01, infer.LowerBound), ELBO: figure, DiffELBO: &figure, DiffLogP: &figure, IW: &report.IW{Figure: figure}},
		{Name: "mixture", Parameters: 157_000, LogP: logP(-131.51, infer.ExactSum), ELBO: figure},
	}}
	for _, width := range []int{0, 220, 120, 100, 80, 60, 32} {
		var b strings.Builder
		writeTable(&b, c, width)
		lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
		if len(lines) != 4 {
			t.Fatalf("width %d: %q", width, lines)
		}
		for _, line := range lines[:3] {
			if n := utf8.RuneCountInString(line); width > 0 && n > width {
				t.Errorf("width %d: a line of %d: %q", width, n, line)
			}
		}
		if !strings.Contains(lines[1], "* mixture") || !strings.Contains(lines[2], "≥ -135.01 ± 0.44") {
			t.Errorf("width %d: %q", width, lines)
		}
		for _, title := range []string{"model", "parameters", "ELBO", "bits/dim", "seconds"} {
			if !strings.Contains(lines[0]+lines[3], title) {
				t.Errorf("width %d: %s is neither shown nor named", width, title)
			}
		}
	}
}
