package main

import (
	"time"

	"github.com/schollz/progressbar/v3"
)

// counter shows how far a long computation is: a bar on a terminal, a plain line now
// and then otherwise.
type counter struct {
	p     *program
	total int
	unit  string
	bar   *progressbar.ProgressBar
	spoke time.Time
}

// newCounter counts up to a total of units.
func newCounter(p *program, unit string, total int) *counter {
	c := &counter{p: p, unit: unit, total: total, spoke: p.now()}
	if p.live {
		c.bar = progressbar.NewOptions(total,
			progressbar.OptionSetWriter(oneLine{p.stderr, p.width}),
			progressbar.OptionSetItsString(unit),
			progressbar.OptionSetWidth(8),
			progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionClearOnFinish(),
			progressbar.OptionSetTheme(progressbar.ThemeASCII),
		)
	}
	return c
}

// at says what is being done, and for how many units it is done.
func (c *counter) at(what string, n int) {
	if c.bar != nil {
		c.bar.Describe(what)
		c.bar.Set(min(n, c.total-1)) // a bar that was full would not come back for what follows
		return
	}
	if now := c.p.now(); now.Sub(c.spoke) >= plainEvery {
		c.spoke = now
		c.p.say("%s: %d of %d %s", what, n, c.total, c.unit)
	}
}

// done takes the bar away.
func (c *counter) done() {
	if c.bar != nil {
		c.bar.Clear()
	}
}
