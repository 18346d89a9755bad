package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// leastPatience is how long an interrupted program has, at least, to end its step.
const leastPatience = 10 * time.Second

// oneInterrupt is how long after an interrupt another signal still is the same one: who ends
// a process and its group, as timeout and launchers do, sends it twice.
const oneInterrupt = 500 * time.Millisecond

// interruptible returns a context that the first interrupt cancels, so that a run can
// finish its step and save. A second interrupt ends the program at once, and so does a
// step that does not end, as a library that hangs never looks at the context.
func interruptible(parent context.Context, stderr io.Writer, now func() time.Time) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) { // under nohup a lost terminal is no interrupt
		signal.Notify(signals, syscall.SIGHUP)
	}
	w := &watched{Context: ctx, now: now, noticed: make(chan struct{})}
	i := interrupter{signals: signals, after: time.After, exit: os.Exit, stderr: stderr, cancel: cancel, watched: w}
	go i.wait(parent.Done())
	return w, func() { signal.Stop(signals); cancel() }
}

// interrupter acts on signals.
type interrupter struct {
	signals <-chan os.Signal
	after   func(time.Duration) <-chan time.Time
	exit    func(code int)
	stderr  io.Writer
	cancel  func()
	watched *watched
}

func (i *interrupter) wait(ended <-chan struct{}) {
	select {
	case <-i.signals:
	case <-ended:
		return
	}
	began := i.watched.now()
	// What read our messages may have had the same interrupt, as in `elbo train | tee log`:
	// messages that nobody reads must not end the program before it has saved.
	signal.Ignore(syscall.SIGPIPE)
	patience := i.watched.patience()
	if !i.watched.quiet.Load() {
		fmt.Fprintf(i.stderr, "\ninterrupted: stopping when this step ends, or in %.0f s (once more to stop at once)\n", patience.Seconds())
	}
	i.cancel()
	late := i.after(patience)
	for noticed := i.watched.noticed; ; {
		select {
		case <-noticed: // from here on it ends by itself, however long it takes to save
			noticed, late = nil, nil
		case <-late:
			if i.watched.heeded() { // at the same moment
				continue
			}
			fmt.Fprintf(i.stderr, "interrupted: no step has ended within %.0f s: stopped without saving; what was saved before stands\n", patience.Seconds())
			i.exit(exitInterrupted)
			return
		case <-i.signals:
			if i.watched.now().Sub(began) < oneInterrupt {
				continue
			}
			i.exit(exitInterrupted)
			return
		case <-ended:
			return
		}
	}
}

// watched is a context that knows when it was looked at. What can be interrupted does so
// after each of its steps: a step of training, an iteration of EM, a block of images.
type watched struct {
	context.Context
	now     func() time.Time
	noticed chan struct{} // closed when somebody has seen that the context is at its end
	quiet   atomic.Bool   // an interrupt is how the command is meant to end, and nothing to speak of

	mu      sync.Mutex
	seen    bool
	last    time.Time
	longest time.Duration // between two looks
}

// quietly has a command end at an interrupt without a word, as one does that only looks on.
func quietly(ctx context.Context) {
	if w, is := ctx.(*watched); is {
		w.quiet.Store(true)
	}
}

// Err looks at the context.
func (w *watched) Err() error {
	err := w.Context.Err()
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.now()
	if !w.last.IsZero() {
		w.longest = max(w.longest, now.Sub(w.last))
	}
	w.last = now
	if err != nil && !w.seen {
		w.seen = true
		close(w.noticed)
	}
	return err
}

func (w *watched) heeded() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen
}

// patience is how long to wait for the end of a step: twice as long as the longest took
// so far. Where none has ended yet, nothing is lost but that step.
func (w *watched) patience() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return max(leastPatience, 2*w.longest)
}
