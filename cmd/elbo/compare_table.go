package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"elbo/cmd/elbo/internal/report"
	"elbo/model/infer"
)

// figureColumn is a column of the table of a comparison.
type figureColumn struct {
	title string
	rank  int // those of the highest ranks are left out first where a line is too narrow
	cell  func(report.Model) string
}

// comparisonColumns are those of a comparison, from left to right.
func comparisonColumns(c report.Comparison) []figureColumn {
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
	return []figureColumn{
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
	columns := comparisonColumns(c)
	cells, widths := make([][]string, len(columns)), make([]int, len(columns))
	for i, col := range columns {
		cells[i] = []string{col.title}
		for _, m := range models {
			cells[i] = append(cells[i], col.cell(m))
		}
		for _, cell := range cells[i] {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	shown := make([]bool, len(columns))
	total := -columnGap
	for i := range columns {
		shown[i], total = true, total+widths[i]+columnGap
	}
	for rank := 9; rank > 0 && width > 0; rank-- {
		for i, col := range columns {
			if col.rank == rank && total > width {
				shown[i], total = false, total-widths[i]-columnGap
			}
		}
	}
	var left []string
	for i, col := range columns {
		if !shown[i] {
			left = append(left, col.title)
		}
	}
	for row := range len(models) + 1 {
		var line []string
		for i := range columns {
			if shown[i] {
				line = append(line, strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cells[i][row]))+cells[i][row])
			}
		}
		fmt.Fprintln(w, strings.Join(line, strings.Repeat(" ", columnGap)))
	}
	note := "* the highest log p(x)"
	if len(left) > 0 {
		note += "; left out, as the terminal is narrow: " + strings.Join(left, ", ") + "; --json has them"
	}
	fmt.Fprintln(w, note)
}

// columnGap is the room between two columns of a table.
const columnGap = 2
