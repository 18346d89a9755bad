package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"elbo/train"
	"elbo/train/run"
)

// watchEvery is how often a run that is watched is looked at.
const watchEvery = time.Second

func newWatchCmd(p *program) *cobra.Command {
	var once bool
	cmd := &cobra.Command{
		Use:   "watch [RUN|DIR]",
		Short: "A run's figures in the terminal while it trains, as sparklines",
		Long: `Watch a run while another process trains it: its bounds, their parts, KL and images/s as
sparklines over the epochs (of EM iterations), the best bound so far, and how long training
still takes by the pace of the last epochs. Where there are more epochs than columns, a column
shows the mean of several. Up to a tenth of the epochs, the first ones, may lie beyond the range
from low to high, which they would flatten.

Of a directory of runs it watches the newest one that trains, else it shows the newest one;
without an argument the directory is runs, or this one where there is no runs.

It only reads, needs no more than a terminal (also over ssh), and ends when the run does or with
Ctrl-C. Where standard output is no terminal it prints once how the run stands.`,
		Example: "  elbo watch\n  elbo watch runs/vae-001 --once",
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("watch takes one run or directory, got %d", len(args))
			}
			return runWatch(cmd.Context(), p, runsOf(args), once)
		},
	}
	cmd.Flags().BoolVar(&once, "once", false, "print how the run stands now, and end")
	return cmd
}

func runWatch(ctx context.Context, p *program, path string, once bool) error {
	path, err := p.runToWatch(path)
	if err != nil {
		return err
	}
	quietly(ctx)
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	w := &watcher{sight: sight{path: path, now: p.now}, screen: p.screen, out: p.stdout, once: once || p.screen.size == nil}
	err = w.follow(ctx, ticker.C)
	if err == nil && w.ended && w.fault != "" {
		p.say("%s is damaged: %s", path, strings.ReplaceAll(w.fault, "\n", "; "))
	}
	if err == nil && w.state == train.RunInterrupted {
		p.say("`%s resume %s` goes on", p.name, run.ShellPath(path))
	}
	return err
}

// runToWatch is the run at path, or the one that trains among those in the directory; of several
// that which began, or was resumed, last.
func (p *program) runToWatch(path string) (string, error) {
	found, err := train.FindRuns(path)
	switch {
	case err != nil:
		return "", err
	case len(found) == 0:
		return "", fmt.Errorf("%s: %w: there is no run in it: `%s train` makes one", path, run.ErrNotRun, p.name)
	case len(found) == 1:
		return found[0], nil
	}
	newest, trains, at := "", false, time.Time{}
	for _, candidate := range found {
		dir, err := train.ReadRun(candidate)
		if err != nil {
			continue // damaged
		}
		info, err := os.Stat(dir.File(run.ConfigFile))
		if err != nil {
			continue
		}
		inUse, err := dir.InUse()
		if err != nil {
			return "", err
		}
		if began := info.ModTime(); newest == "" || inUse && !trains || inUse == trains && began.After(at) {
			newest, trains, at = candidate, inUse, began
		}
	}
	if newest == "" {
		return "", fmt.Errorf("%s: %w: none of the runs in it has a %s that can be read: `%s list %s` says more", path, run.ErrNotRun, run.ConfigFile, p.name, run.ShellPath(path))
	}
	if !trains {
		p.say("no run in %s is in training; the newest is %s", path, newest)
	}
	return newest, nil
}

// watcher draws how a run stands, again and again.
type watcher struct {
	sight
	screen screen
	out    io.Writer
	once   bool

	drawn []string // the lines on the screen
}

// follow draws the run at each tick until it has ended, or the context has.
func (w *watcher) follow(ctx context.Context, tick <-chan time.Time) error {
	for {
		if err := w.step(); err != nil || w.ended || w.once {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick:
		}
	}
}

// step looks, and draws what it sees.
func (w *watcher) step() error {
	changed, err := w.look()
	if err != nil {
		return err
	}
	return w.draw(changed)
}

// draw draws the frame over the one before, where it is another; where the cursor cannot be moved
// below it, and only where the run's files have changed.
func (w *watcher) draw(changed bool) error {
	columns, rows := usualColumns, 0
	if w.screen.size != nil {
		columns, rows = w.screen.size()
	}
	lines := w.frame(columns-1, w.screen.unicode) // the last column wraps on some terminals
	var s strings.Builder
	switch {
	case !w.screen.moves || w.once:
		if !changed {
			return nil
		}
		if w.drawn != nil {
			s.WriteString("\n")
		}
		s.WriteString(strings.Join(lines, "\n") + "\n")
	default:
		if len(lines) > rows-1 { // what has scrolled out of a terminal is not drawn over
			lines = lines[:max(1, rows-1)]
		}
		if slices.Equal(lines, w.drawn) {
			return nil
		}
		if up := rowsOf(w.drawn, columns); up > 0 {
			fmt.Fprintf(&s, "\x1b[%dA\r", up)
		}
		for _, line := range lines {
			s.WriteString(line + "\x1b[K\n") // and blanks to the end of the line
		}
		s.WriteString("\x1b[J") // and below
	}
	w.drawn = lines
	_, err := io.WriteString(w.out, s.String())
	return err
}

// rowsOf is how many rows of a terminal lines take, which may be narrower than when they were
// drawn.
func rowsOf(lines []string, columns int) int {
	rows := 0
	for _, line := range lines {
		rows += max(1, (utf8.RuneCountInString(line)+columns-1)/columns)
	}
	return rows
}

// sight is what is seen of a run from outside: by its files, and by its lock, without taking it.
type sight struct {
	path string // of the run
	now  func() time.Time

	config  train.Config
	metrics []run.Metrics
	restart int // of several restarts that which is being made, from 1; 0 for none
	ended   bool
	state   train.RunState
	fault   string    // what of it is damaged
	grown   time.Time // when its metrics last did

	read fileMark // of the metrics
}

// fileMark tells one content of a file from another.
type fileMark struct {
	path string
	size int64
	at   time.Time
}

// look reads what is new, and reports whether anything is.
func (s *sight) look() (changed bool, err error) {
	dir, err := train.ReadRun(s.path)
	if err != nil {
		if _, gone := os.Stat(s.path); errors.Is(gone, fs.ErrNotExist) && s.state != "" {
			return false, fmt.Errorf("%s: %w: it was removed while it was watched, as a run is that diverges before it has saved anything", s.path, run.ErrNotRun)
		}
		return false, err
	}
	inUse, err := dir.InUse() // first: what is read after it has ended is its last word
	if err != nil {
		return false, err
	}
	if s.config, err = runConfig(dir); err != nil {
		return false, err
	}
	at, restart := dir, 0
	if train.SettingsOf[train.MixtureSettings](s.config).Restarts > 1 {
		restarts, err := train.Restarts(s.path)
		if err != nil {
			return false, err
		}
		if restart = len(restarts); restart > 0 {
			if at, err = train.ReadRun(restarts[restart-1]); errors.Is(err, run.ErrNotRun) { // it is about to be made
				at, restart = dir, 0
			} else if err != nil {
				return false, err
			}
		}
	}
	mark := fileMark{path: at.File(run.MetricsFile)}
	if info, err := os.Stat(mark.path); err == nil {
		mark.size, mark.at = info.Size(), info.ModTime()
	}
	if s.state != "" && inUse && mark == s.read {
		return false, nil
	}
	s.read, s.restart, s.grown = mark, restart, mark.at
	if s.metrics, err = at.ReadMetrics(); err != nil {
		return false, err
	}
	s.state, s.ended = train.RunInTraining, !inUse
	if s.ended {
		summary := train.Summarise(s.path)
		s.state, s.fault = summary.State, summary.Fault
		s.ended = s.state != train.RunInTraining // unless it is resumed at this moment
	}
	return true, nil
}
