package main

import (
	"fmt"
	"time"

	"github.com/schollz/progressbar/v3"
)

// waiting says how far something is whose units take much the same time, and how long
// it will go on, where it takes longer than patience: a bar on a terminal, plain lines
// otherwise.
type waiting struct {
	p     *program
	what  string
	total int
	bar   *progressbar.ProgressBar
	began time.Time
	spoke time.Time // when the last plain line was written
}

// patience is how long nothing need be said.
const patience = 2 * time.Second

func newWaiting(p *program, what string, total int) *waiting {
	return &waiting{p: p, what: what, total: total, began: p.now()}
}

// at says that n units are done. With the last of them the bar is taken away.
func (w *waiting) at(n int) {
	now := w.p.now()
	passed := now.Sub(w.began)
	switch {
	case n >= w.total:
		w.done()
		return
	case passed < patience || n < 1:
		return
	}
	left := max(time.Second, time.Duration(float64(passed)/float64(n)*float64(w.total-n)).Round(time.Second))
	if w.p.live {
		if w.bar == nil {
			w.bar = progressbar.NewOptions(w.total,
				progressbar.OptionSetWriter(oneLine{w.p.stderr, w.p.width}),
				progressbar.OptionSetWidth(20),
				progressbar.OptionSetPredictTime(false),
				progressbar.OptionThrottle(100*time.Millisecond),
				progressbar.OptionClearOnFinish(),
				progressbar.OptionSetTheme(progressbar.ThemeASCII),
			)
		}
		w.bar.Describe(fmt.Sprintf("%s  about %v left ", w.what, left))
		w.bar.Set(n)
		return
	}
	if w.spoke.IsZero() || now.Sub(w.spoke) >= plainEvery {
		w.spoke = now
		w.p.say("%s: %d %% done, about %v left", w.what, 100*n/w.total, left)
	}
}

// done takes the bar away.
func (w *waiting) done() {
	if w.bar != nil {
		w.bar.Clear()
		w.bar = nil
	}
}
