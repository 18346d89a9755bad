package main

import (
	"fmt"
	"io"
	"math"
	"strings"
	"unicode/utf8"
)

// tableColumn is a column of a table of results of type R.
type tableColumn[R any] struct {
	title string
	rank  int // those of the highest ranks are left out first where a line is too narrow; 0: never
	cell  func(R) string
}

// columnGap is the room between two columns of a table.
const columnGap = 2

// writeFitted prints a row for each result, in lines of at most width columns, 0 for as many as
// it takes, and returns the titles of the columns that it left out.
func writeFitted[R any](w io.Writer, columns []tableColumn[R], results []R, width int) (left []string) {
	cells, widths := make([][]string, len(columns)), make([]int, len(columns))
	highest, total := 0, -columnGap
	for i, col := range columns {
		cells[i] = []string{col.title}
		for _, r := range results {
			cells[i] = append(cells[i], col.cell(r))
		}
		for _, cell := range cells[i] {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
		highest, total = max(highest, col.rank), total+widths[i]+columnGap
	}
	shown := make([]bool, len(columns))
	for i := range shown {
		shown[i] = true
	}
	for rank := highest; rank > 0 && width > 0; rank-- {
		for i, col := range columns {
			if col.rank == rank && total > width {
				shown[i], total = false, total-widths[i]-columnGap
			}
		}
	}
	for i, col := range columns {
		if !shown[i] {
			left = append(left, col.title)
		}
	}
	for row := range len(results) + 1 {
		var line []string
		for i := range columns {
			if shown[i] {
				line = append(line, strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cells[i][row]))+cells[i][row])
			}
		}
		fmt.Fprintln(w, strings.Join(line, strings.Repeat(" ", columnGap)))
	}
	return left
}

// writeMarkdownTable writes all columns in Markdown.
func writeMarkdownTable[R any](w io.Writer, columns []tableColumn[R], results []R) {
	for _, c := range columns {
		fmt.Fprintf(w, "| %s ", c.title)
	}
	fmt.Fprint(w, "|\n"+strings.Repeat("|---", len(columns))+"|\n")
	for _, r := range results {
		for _, c := range columns {
			fmt.Fprintf(w, "| %s ", c.cell(r))
		}
		fmt.Fprint(w, "|\n")
	}
}

// nats writes a figure, and a zero without a sign.
func nats(v float64) string {
	text := fmt.Sprintf("%.2f", v)
	if text == "-0.00" {
		return "0.00"
	}
	return text
}

// roughNats is nats, but without decimals where a figure is so large that they say nothing.
func roughNats(v float64) string {
	if math.Abs(v) >= 1e4 {
		return fmt.Sprintf("%.0f", v)
	}
	return nats(v)
}

// roughEstimate is a figure with its standard error, both written alike.
func roughEstimate(v, se float64) string {
	if math.Abs(v) >= 1e4 || se >= 10 {
		return fmt.Sprintf("%.0f ± %.0f", v, se)
	}
	return fmt.Sprintf("%s ± %.2f", nats(v), se)
}
