package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"elbo/cmd/elbo/internal/report"
	"elbo/model/infer"
)

// comparisonColumns are those of a comparison, from left to right.
func comparisonColumns(c report.Comparison) []tableColumn[report.Model] {
	figure := func(f report.Figure) string { return fmt.Sprintf("%s ± %.2f", nats(f.Value), f.SE) }
	difference := func(f *report.Figure) string {
		if f == nil {
			return "-"
		}
		return fmt.Sprintf("%+.2f ± %.2f", f.Value, f.SE)
	}
	bound := func(m report.Model, sign, text string) string {
		if m.LogP.How == infer.LowerBound {
			return sign + text
		}
		return text
	}
	return []tableColumn[report.Model]{
		{"model", 0, func(m report.Model) string {
			if m.Name == c.Reference {
				return "* " + m.Name
			}
			return m.Name
		}},
		{"parameters", 7, func(m report.Model) string { return fmt.Sprint(m.Parameters) }},
		{"recon", 6, func(m report.Model) string { return figure(m.Recon) }},
		{"KL", 6, func(m report.Model) string { return figure(m.KL) }},
		{"ELBO", 1, func(m report.Model) string { return figure(m.ELBO) }},
		{fmt.Sprintf("L_%d", c.Samples), 4, func(m report.Model) string {
			if m.IW == nil {
				return "-"
			}
			return figure(m.IW.Figure)
		}},
		{"log p(x)", 0, func(m report.Model) string { return bound(m, "≥ ", figure(report.Figure(m.LogP.Estimate))) }},
		{"how", 2, func(m report.Model) string { return howOf(m.LogP) }},
		{"gap", 5, func(m report.Model) string { return bound(m, "≥ ", figure(m.Gap)) }},
		{"bits/dim", 8, func(m report.Model) string { return bound(m, "≤ ", fmt.Sprintf("%.4f", m.BitsPD.Value)) }},
		{"ELBO less *'s", 5, func(m report.Model) string { return difference(m.DiffELBO) }},
		{"log p less *'s", 3, func(m report.Model) string { return difference(m.DiffLogP) }},
		{"seconds", 7, func(m report.Model) string { return fmt.Sprintf("%.1f", m.Seconds) }},
	}
}

// writeTable prints a row for each model, the highest log p(x) first, in lines of at most
// width columns, 0 for as many as it takes: of what does not fit it names the columns.
func writeTable(w io.Writer, c report.Comparison, width int) {
	models := slices.Clone(c.Models)
	slices.SortStableFunc(models, func(a, b report.Model) int { return cmp.Compare(b.LogP.Value, a.LogP.Value) })
	left := writeFitted(w, comparisonColumns(c), models, width)
	note := "* the highest log p(x)"
	if len(left) > 0 {
		note += "; left out, as the terminal is narrow: " + strings.Join(left, ", ") + "; --json has them"
	}
	fmt.Fprintln(w, note)
}
