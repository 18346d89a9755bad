package main

import (
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

	"elbo/cmd/elbo/internal/sparkline"
	"elbo/train"
	"elbo/train/run"
)

// frame is what is to be seen of a run, in lines of at most so many columns.
func (s *sight) frame(columns int, unicode bool) []string {
	marks := sparkline.Blocks
	if !unicode {
		marks = sparkline.ASCII
	}
	lines := append([]string{s.what()}, s.where()...)
	if len(s.metrics) > 0 {
		lines = append(lines, "")
		lines = append(lines, s.table(columns, marks)...)
	}
	for i, line := range lines {
		if !unicode {
			line = asciiOf(line)
		}
		if utf8.RuneCountInString(line) > columns {
			line = string([]rune(line)[:max(0, columns)])
		}
		lines[i] = line
	}
	return lines
}

// what says which run it is.
func (s *sight) what() string {
	restart := ""
	if restarts := train.SettingsOf[train.MixtureSettings](s.config).Restarts; restarts > 1 && s.restart > 0 {
		restart = fmt.Sprintf(", restart %d of %d", s.restart, restarts)
	}
	return fmt.Sprintf("%s%s: %s, %s on %s", s.state, restart, run.ShellPath(s.path), s.config.Model, filepath.Base(s.config.Data))
}

// where says how far it is, and what is the best so far.
func (s *sight) where() []string {
	unit, of := s.config.PassUnit(), s.config.Epochs
	if len(s.metrics) == 0 {
		return []string{fmt.Sprintf("no %s of %d has ended yet", unit, of)}
	}
	done := s.metrics[len(s.metrics)-1].Epoch
	text := fmt.Sprintf("%s %d/%d", unit, done, of)
	switch left := s.left(); {
	case s.ended:
	case done >= of:
		text += ", trained: it is being tested"
	case left > 0:
		text += ", " + s.leftText(left)
		if s.restart > 0 {
			text += " of this restart"
		}
	}
	lines := []string{text}
	for _, terms := range []func(run.Metrics) *run.EpochTerms{validationTerms, trainTerms} {
		if best := bestOf(s.metrics, terms); best != nil {
			t := terms(*best)
			return append(lines, fmt.Sprintf("best %s at %s %d", withError(t), unit, best.Epoch))
		}
	}
	return lines
}

// bestOf is the line whose bound is the highest, nil where none has one. It is the first of equal
// ones, as it is the one that a run keeps.
func bestOf(metrics []run.Metrics, terms func(run.Metrics) *run.EpochTerms) *run.Metrics {
	var best *run.Metrics
	for i, m := range metrics {
		if t := terms(m); t != nil && (best == nil || t.Bound > terms(*best).Bound) {
			best = &metrics[i]
		}
	}
	return best
}

// withError writes a bound with its standard error, where that is known.
func withError(t *run.EpochTerms) string {
	if t.BoundSE == 0 {
		return fmt.Sprintf("%.2f", t.Bound)
	}
	return fmt.Sprintf("%.2f ± %.2f", t.Bound, t.BoundSE)
}

// pacedBy is how many of the last passes say how long one takes.
const pacedBy = 5

// left is how long training still takes, without validation: by the seconds of the last passes,
// less the time since the last of them has ended. 0 is not known.
func (s *sight) left() time.Duration {
	last := s.metrics[max(0, len(s.metrics)-pacedBy):]
	seconds := 0.0
	for _, m := range last {
		seconds += m.Seconds / float64(len(last))
	}
	left := seconds * float64(s.config.Epochs-last[len(last)-1].Epoch)
	left -= min(max(0, s.now().Sub(s.grown).Seconds()), seconds)
	return time.Duration(left * float64(time.Second))
}

// leftText says how long that is, at most where the run may end before its last pass.
func (s *sight) leftText(left time.Duration) string {
	about := "about"
	if train.SettingsOf[train.VAESettings](s.config).Patience > 0 || s.config.HasTable() && s.config.Table().Tolerance > 0 {
		about = "at most"
	}
	switch minutes := int(math.Round(left.Minutes())); {
	case minutes < 1:
		return "less than a minute left"
	case minutes < 120:
		return fmt.Sprintf("%s %s left", about, count(minutes, "minute"))
	default:
		return fmt.Sprintf("%s %d h %d min left", about, minutes/60, minutes%60)
	}
}

// series is a figure over the passes, NaN where there is none.
type series struct {
	name   string
	values []float64
	format string // of a value
	now    string // the last one, where more is to be said of it
}

// series are the figures of the run, that which matters most first.
func (s *sight) series() []series {
	bound := boundName(s.config)
	terms, of := trainTerms, ""
	var all []series
	if last := s.metrics[len(s.metrics)-1].Validation; last != nil {
		terms, of = validationTerms, "validation "
		all = append(all, series{of + bound, s.over(ofTerms(terms, func(t *run.EpochTerms) float64 { return t.Bound })), "%.2f", withError(last)})
	}
	all = append(all,
		series{"train " + bound, s.over(ofTerms(trainTerms, func(t *run.EpochTerms) float64 { return t.Bound })), "%.2f", ""},
		series{of + "recon", s.over(ofTerms(terms, func(t *run.EpochTerms) float64 { return t.Recon })), "%.2f", ""},
		series{of + "KL", s.over(ofTerms(terms, func(t *run.EpochTerms) float64 { return t.KL })), "%.2f", ""},
		series{"images/s", s.over(func(m run.Metrics) float64 { return m.ImagesPerSecond }), "%.0f", ""})
	if vae := train.SettingsOf[train.VAESettings](s.config); vae.Warmup > 0 {
		all = append(all, series{"beta", s.over(func(m run.Metrics) float64 { return m.Beta }), "%.3g", ""})
	}
	if s.config.HasTable() {
		all = append(all, series{"states used", s.over(func(m run.Metrics) float64 {
			if m.EM == nil {
				return math.NaN()
			}
			return float64(m.EM.Used)
		}), "%.0f", ""})
	}
	return all
}

// ofTerms is a term of a line, NaN where the line has none.
func ofTerms(terms func(run.Metrics) *run.EpochTerms, value func(*run.EpochTerms) float64) func(run.Metrics) float64 {
	return func(m run.Metrics) float64 {
		if t := terms(m); t != nil {
			return value(t)
		}
		return math.NaN()
	}
}

// over is a figure of each pass from the first to the last that there is a line of. A pass
// whose line is damaged leaves a gap, of which no more is shown than there are lines.
func (s *sight) over(value func(run.Metrics) float64) []float64 {
	var values []float64
	for i, m := range s.metrics {
		for missing := 0; i > 0 && missing < min(m.Epoch-s.metrics[i-1].Epoch-1, len(s.metrics)); missing++ {
			values = append(values, math.NaN())
		}
		values = append(values, value(m))
	}
	return values
}

// Fewest columns of a sparkline that is worth a glance, and of one beside which there is room
// for its range.
const (
	leastSparkline = 4
	leastBeside    = 16
)

// table has a line for each figure: what it is now, its range, and its sparkline; and of these what
// there is room for.
func (s *sight) table(columns int, marks sparkline.Marks) []string {
	heading := []string{"", "now", "low", "high"}
	rows := [][]string{heading}
	figures := s.series()
	scales := make([]sparkline.Scale, len(figures))
	for i, f := range figures {
		scales[i] = sparkline.Settled(f.values)
		now := f.now
		if now == "" {
			now = fmt.Sprintf(f.format, f.values[len(f.values)-1])
		}
		rows = append(rows, []string{f.name, now, fmt.Sprintf(f.format, scales[i].Low), fmt.Sprintf(f.format, scales[i].High)})
	}
	widths := make([]int, len(heading))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	taken := func(cells int) int {
		n := 0
		for _, w := range widths[:cells] {
			n += w + len(cellGap)
		}
		return n
	}
	cells := len(heading)
	if columns-taken(cells) < leastBeside {
		cells = 2
	}
	room := columns - taken(cells)
	lines := make([]string, len(rows))
	for i, row := range rows {
		var line strings.Builder
		for j, cell := range row[:cells] {
			pad := strings.Repeat(" ", widths[j]-utf8.RuneCountInString(cell))
			if j == 0 || j == 1 { // numbers with an error behind them stand under each other by their beginning
				line.WriteString(cell + pad + cellGap)
			} else {
				line.WriteString(pad + cell + cellGap)
			}
		}
		switch {
		case room < leastSparkline:
		case i == 0:
			line.WriteString(s.span(room))
		default:
			line.WriteString(scales[i-1].Line(figures[i-1].values, room, marks))
		}
		lines[i] = strings.TrimRight(line.String(), " ")
	}
	return lines
}

const cellGap = "  "

// span says what the columns of a sparkline are.
func (s *sight) span(columns int) string {
	first, last := s.metrics[0].Epoch, s.metrics[len(s.metrics)-1].Epoch
	text := fmt.Sprintf("%ss %d to %d", s.config.PassUnit(), first, last)
	if n := last - first + 1; n > columns {
		if long := fmt.Sprintf("%s, %.1f a column", text, float64(n)/float64(columns)); len(long) <= columns {
			return long
		}
	}
	return text
}
