package main

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"elbo/cmd/elbo/internal/chart"
	"elbo/train/run"
)

// experimentReport is what an experiment came to, in all forms. It is its own JSON.
type experimentReport interface {
	writeText(w io.Writer, width int) // for a terminal of so many columns
	writeMarkdown(w io.Writer) error
	writeCSV(w io.Writer) error
	plot() chart.Sheet
}

// experimentWidth is how wide the table of an experiment is where no terminal says so.
const experimentWidth = 100

// reportExperiment writes the files of an experiment to out, and prints the report.
func (p *program) reportExperiment(out string, r experimentReport, asJSON bool) error {
	file := func(name string) string { return filepath.Join(out, name) }
	if err := writeJSONFile(file("report.json"), r); err != nil {
		return err
	}
	if err := run.WriteAtomic(file("table.csv"), r.writeCSV); err != nil {
		return err
	}
	if err := run.WriteAtomic(file("report.md"), r.writeMarkdown); err != nil {
		return err
	}
	if err := writeChart(file("prior-freedom.png"), r.plot()); err != nil {
		return err
	}
	if asJSON {
		return writeJSON(p.stdout, r)
	}
	width := p.columns()
	if width == 0 {
		width = experimentWidth
	}
	r.writeText(p.stdout, width)
	fmt.Fprintf(p.stdout, "report %s\n", file("report.md"))
	return nil
}

// writeExperimentText prints a table that fits, what its columns are, and sentences.
func writeExperimentText[R any](w io.Writer, width int, columns []tableColumn[R], results []R, legend string, sentences []string) {
	if left := writeFitted(w, columns, results, width); len(left) > 0 {
		fmt.Fprintf(w, "left out, as lines are narrow: %s; table.csv has all\n", strings.Join(left, ", "))
	}
	fmt.Fprintf(w, "%s\n\n", legend)
	for _, sentence := range sentences {
		fmt.Fprintln(w, sentence)
	}
}

// writeExperimentMarkdown writes title, findings, table, notes and picture.
func writeExperimentMarkdown[R any](w io.Writer, title string, findings []string, columns []tableColumn[R], results []R, legend string, notes []string, data, picture string) error {
	var s strings.Builder
	fmt.Fprintf(&s, "# %s\n\n", title)
	for _, sentence := range findings {
		fmt.Fprintln(&s, sentence)
	}
	s.WriteString("\n")
	writeMarkdownTable(&s, columns, results)
	fmt.Fprintf(&s, "\n%s\n", legend)
	for _, note := range notes {
		fmt.Fprintf(&s, "\n%s\n", note)
	}
	fmt.Fprintf(&s, "\n%s\n\n![%s](prior-freedom.png)\n", data, picture)
	_, err := io.WriteString(w, s.String())
	return err
}
