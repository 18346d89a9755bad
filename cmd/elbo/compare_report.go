package main

import (
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"elbo/cmd/elbo/internal/report"
	"elbo/data"
	"elbo/model/infer"
	"elbo/train/run"
)

// write writes the files of the comparison, and prints its table.
func (x *comparison) write(ctx context.Context) error {
	if !x.p.first() {
		return nil
	}
	page := report.Page{Comparison: x.report}
	if err := x.picture(ctx, &page); err != nil {
		return err
	}
	file := func(name string) string { return filepath.Join(x.options.out, name) }
	if err := writeJSONFile(file("report.json"), x.report); err != nil {
		return err
	}
	if err := run.WriteAtomic(file("per-image.csv"), func(w io.Writer) error { return writeScores(w, x.report) }); err != nil {
		return err
	}
	if err := run.WriteAtomic(file("report.html"), page.Write); err != nil {
		return err
	}
	if x.options.json {
		return writeJSON(x.p.stdout, x.report)
	}
	writeComparison(x.p.stdout, x.report, x.p.columns())
	fmt.Fprintf(x.p.stdout, "report %s\n", file("report.html"))
	return nil
}

// writeComparison prints the table, in lines of at most width columns (0: any), and what was found.
func writeComparison(w io.Writer, c report.Comparison, width int) {
	writeTable(w, c, width)
	d := c.Data
	seeded := ""
	if d.Binarise == string(data.Static) || d.Binarise == string(data.Dynamic) {
		seeded = fmt.Sprintf(" (seed %d)", d.BinariseSeed)
	}
	drawn := ""
	if slices.ContainsFunc(c.Models, func(m report.Model) bool { return m.IW != nil }) {
		drawn = fmt.Sprintf("; %s of z an image (seed %d)", count(c.Samples, "draw"), c.Seed)
	}
	fmt.Fprintf(w, "%s of %s (SHA-256 %.12s…), binarise %s%s%s; nats per image ± standard error over images, of differences over pairs\n",
		count(d.Images, d.Split+" image"), d.Name, d.SHA256, d.Binarise, seeded, drawn)
	if d.Measure == report.NoLikelihood {
		fmt.Fprintln(w, "grey-bernoulli is the cross-entropy of grey levels, not a likelihood: these are no bounds on log p(x)")
	}
	for _, finding := range c.Findings {
		fmt.Fprintf(w, "- %s\n", finding)
	}
}

// howOf says in a word or two how log p(x) was obtained, with the error of the method.
func howOf(l infer.Evidence) string {
	switch l.How {
	case infer.LowerBound:
		return "bound only"
	case infer.Estimated:
		return fmt.Sprintf("AIS ± %.1g", l.Error)
	}
	return fmt.Sprintf("%s ± %.1g", strings.TrimPrefix(l.How, "exact "), l.Error)
}

// writeScores writes a row for each image and model.
func writeScores(w io.Writer, c report.Comparison) error {
	out := csv.NewWriter(w)
	out.Write([]string{"image", "label", "model", "recon", "kl", "elbo", "l_k", "ess", "log_p", "log_p_how", "log_p_error", "gap"})
	number := func(v float64) string { return strconv.FormatFloat(v, 'g', 9, 64) }
	for i := range c.Data.Images {
		for _, m := range c.Models {
			s := m.Images[i]
			label, iw, ess, stated := "", "", "", ""
			if s.Label >= 0 {
				label = strconv.Itoa(s.Label)
			}
			if m.IW != nil {
				iw, ess = number(s.IW), number(s.ESS)
			}
			if s.Error > 0 {
				stated = number(s.Error)
			}
			out.Write([]string{strconv.Itoa(s.Number), label, m.Name, number(s.Recon), number(s.KL), number(s.ELBO), iw, ess, number(s.LogP), m.LogP.How, stated, number(s.LogP - s.ELBO)})
		}
	}
	out.Flush()
	return out.Error()
}

// compareFindings says in sentences what the figures say.
func compareFindings(c report.Comparison) []string {
	var findings []string
	if c.Data.Measure == report.NoLikelihood {
		return []string{"grey-bernoulli is the cross-entropy of grey levels: no figure here is a bound on log p(x)."}
	}
	var touching, apart []string
	for _, m := range c.Models {
		switch {
		case m.LogP.How == infer.ExactSum:
			touching = append(touching, m.Name)
		case m.LogP.How == infer.Estimated:
			apart = append(apart, fmt.Sprintf("The ELBO of %s lies about %.2f ± %.2f nats below log p(x), by an estimate that is itself a lower bound in expectation.", m.Name, m.Gap.Value, m.Gap.SE))
		case m.LogP.Known():
			apart = append(apart, fmt.Sprintf("The ELBO of %s lies %.2f ± %.2f nats below log p(x), of which L_%d closes %.2f.", m.Name, m.Gap.Value, m.Gap.SE, m.IW.K, m.IW.Value-m.ELBO.Value))
		default:
			apart = append(apart, fmt.Sprintf("The ELBO of %s lies at least %.2f ± %.2f nats below log p(x), as L_%d is that much higher.", m.Name, m.Gap.Value, m.Gap.SE, m.IW.K))
		}
	}
	if len(touching) > 0 {
		findings = append(findings, fmt.Sprintf("The posterior table of %s is exact, so its ELBO is log p(x): the gap is 0.", strings.Join(touching, " and of ")))
	}
	findings = append(findings, apart...)
	for _, m := range c.Models {
		if m.DiffLogP == nil {
			continue
		}
		d, what, sure := m.DiffLogP, "The log p(x)", "by more than two paired standard errors"
		if d.Value > -2*d.SE && d.Value < 2*d.SE {
			sure = "within two paired standard errors"
		}
		for _, other := range c.Models {
			if (other.Name == m.Name || other.Name == c.Reference) && other.LogP.How == infer.LowerBound {
				what = "What is known of log p(x)"
			}
		}
		finding := fmt.Sprintf("%s of %s is %.2f ± %.2f nats lower than that of %s, %s", what, m.Name, -d.Value, d.SE, c.Reference, sure)
		if *m.DiffELBO != *d { // not both exact
			finding += fmt.Sprintf("; its ELBO is %.2f ± %.2f lower", -m.DiffELBO.Value, m.DiffELBO.SE)
		}
		findings = append(findings, finding+".")
	}
	return findings
}
