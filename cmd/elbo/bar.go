package main

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/schollz/progressbar/v3"
)

// bar shows how far a piece of work is and how long it will still take: in a line of a
// terminal that is drawn again and again, or in plain lines now and then otherwise. Work
// that ends within patience shows nothing.
//
// Work may have phases. Each is counted from 0, and its pace is its own.
type bar struct {
	p        *program
	unit     string        // whose number per second is shown, "" for none
	patience time.Duration // how long a phase goes on before anything is shown

	phase  string
	detail string    // what stands behind the phase, and may change at any time
	first  int       // units that were done before the phase began here, as before an interrupt
	began  time.Time // the phase
	heard  time.Time // last
	said   time.Time // the last plain line; zero before the first
	drawn  time.Time // the line of the terminal; zero where it is blank
	line   *progressbar.ProgressBar
}

// patience is how long nothing need be said.
const patience = 2 * time.Second

// plainEvery is how often there is a plain line where there is no terminal, and
// redrawEvery how often the line of a terminal is drawn.
const (
	plainEvery  = 15 * time.Second
	redrawEvery = 100 * time.Millisecond
)

// newBar begins to measure time. Its first phase begins now.
func newBar(p *program) *bar {
	now := p.now()
	return &bar{p: p, patience: patience, began: now, heard: now}
}

// at says that n of total units of a phase are done. A phase of another name than the last
// call's has begun when that call was made; with its last unit it is no longer shown.
func (b *bar) at(phase string, n, total int) {
	now := b.p.now()
	if phase != b.phase {
		if b.phase != "" {
			b.done()
			b.began, b.first = b.heard, 0
		}
		b.phase = phase
	}
	b.heard = now
	switch {
	case n >= total:
		b.done()
	case now.Sub(b.began) < b.patience:
	case b.p.live:
		b.draw(n, total, now)
	case now.Sub(b.said) >= plainEvery:
		b.said = now
		words := b.words()
		if left := b.left(n, total, now); left > 0 {
			b.p.say("%s: %d %% done, about %v left", words, 100*n/total, left)
		} else {
			b.p.say("%s: %d %% done", words, 100*n/total)
		}
	}
}

// words are the phase and its detail.
func (b *bar) words() string {
	if b.phase == "" || b.detail == "" {
		return b.phase + b.detail
	}
	return b.phase + "  " + b.detail
}

// draw draws the terminal's line, the field that matters most first.
func (b *bar) draw(n, total int, now time.Time) {
	if !b.drawn.IsZero() && now.Sub(b.drawn) < redrawEvery {
		return
	}
	b.drawn = now
	words := b.words()
	if left := b.left(n, total, now); left > 0 {
		words += fmt.Sprintf("  %v left", left)
		if pace := b.pace(n, now); b.unit != "" && pace >= 1 {
			words += fmt.Sprintf("  %.0f %s/s", pace, b.unit)
		}
	}
	if b.line == nil {
		b.line = progressbar.NewOptions(total,
			progressbar.OptionSetWriter(oneLine{b.p.stderr, b.p.width}),
			progressbar.OptionSetDescription(words+" "),
			progressbar.OptionSetElapsedTime(false),
			progressbar.OptionSetPredictTime(false),
			progressbar.OptionSetWidth(20),
			progressbar.OptionSetTheme(progressbar.ThemeASCII),
		)
	}
	b.line.Set(n)
	b.line.Describe(words + " ")
}

// pace is the number of units a second that were done here.
func (b *bar) pace(n int, now time.Time) float64 {
	return float64(n-b.first) / max(now.Sub(b.began).Seconds(), 1e-9)
}

// left is the time that the rest of the phase takes at its pace so far, 0 where that is
// not known yet.
func (b *bar) left(n, total int, now time.Time) time.Duration {
	const soonest = time.Second // before that, a pace is that of warming up
	if n <= b.first || now.Sub(b.began) < soonest {
		return 0
	}
	left := time.Duration(float64(total-n) / b.pace(n, now) * float64(time.Second))
	return max(time.Second, left.Round(time.Second))
}

// done blanks the terminal's line, for words that stay or because the work has ended.
func (b *bar) done() {
	if b.line != nil {
		b.line.Clear()
		b.line, b.drawn = nil, time.Time{}
	}
}

// oneLine is a terminal's line that a progress bar is drawn on again and again. What
// does not fit is left out, field by field from the right: a line that wraps is not
// drawn over, but leaves a copy of itself behind each time.
type oneLine struct {
	w     io.Writer
	width func() int // of the terminal, in columns
}

// Write draws what stands between carriage returns.
func (l oneLine) Write(text []byte) (int, error) {
	lines := strings.Split(string(text), "\r")
	for i, line := range lines {
		lines[i] = fit(line, l.width()-1) // the last column wraps on some terminals
	}
	_, err := io.WriteString(l.w, strings.Join(lines, "\r"))
	return len(text), err
}

// fit cuts a line to the given number of columns, before a field where there is one:
// fields are set apart by two spaces, or begin with a bracket, a bar or a percentage.
func fit(line string, columns int) string {
	if utf8.RuneCountInString(line) <= columns {
		return line
	}
	runes := []rune(line)
	cut := max(0, columns)
	if strings.TrimSpace(line) == "" { // blanks that wipe the line
		return string(runes[:cut])
	}
	for i := cut; i > 0; i-- {
		if runes[i-1] == ' ' && strings.ContainsRune(" ([|", runes[i]) {
			return strings.TrimRight(string(runes[:i]), " ")
		}
	}
	return string(runes[:cut])
}
