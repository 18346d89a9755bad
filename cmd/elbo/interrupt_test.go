package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// clock is a time that a test sets, and others read.
type clock struct{ at atomic.Int64 }

func (c *clock) now() time.Time       { return time.Unix(0, c.at.Load()) }
func (c *clock) pass(d time.Duration) { c.at.Add(int64(d)) }

// TestAnInterruptThatNothingHeedsEndsTheProgram: after the longest step so far, twice; but
// a program that has heeded it may save as long as it takes.
func TestAnInterruptThatNothingHeedsEndsTheProgram(t *testing.T) {
	for _, test := range []struct {
		name     string
		steps    []time.Duration // between looks at the context
		heeded   bool            // before the time is over
		signals  int
		patience time.Duration
		exits    bool
		says     string
	}{
		{"nothing has been done", nil, false, 1, 10 * time.Second, true, "interrupted: no step has ended within 10 s: stopped without saving; what was saved before stands\n"},
		{"short steps", []time.Duration{time.Second, 2 * time.Second}, false, 1, 10 * time.Second, true, "no step has ended within 10 s"},
		{"a long step", []time.Duration{time.Second, 40 * time.Second, time.Second}, false, 1, 80 * time.Second, true, "no step has ended within 80 s"},
		{"heeded", []time.Duration{time.Second}, true, 1, 10 * time.Second, false, "stopping when this step ends, or in 10 s (once more to stop at once)\n"},
		{"heeded, and once more", nil, true, 2, 10 * time.Second, true, "or in 10 s (once more to stop at once)\n"},
		{"once more", nil, false, 2, 10 * time.Second, true, "or in 10 s (once more to stop at once)\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			var c clock
			w := &watched{Context: ctx, now: c.now, noticed: make(chan struct{})}
			for _, step := range append([]time.Duration{0}, test.steps...) {
				c.pass(step)
				if err := w.Err(); err != nil {
					t.Fatal(err)
				}
			}
			var stderr bytes.Buffer
			signals, late, waiting, exited := make(chan os.Signal), make(chan time.Time, 1), make(chan time.Duration, 1), make(chan int, 1)
			i := interrupter{
				signals: signals, stderr: &stderr, cancel: cancel, watched: w,
				after: func(d time.Duration) <-chan time.Time { waiting <- d; return late },
				exit:  func(code int) { exited <- code },
			}
			ended, done := make(chan struct{}), make(chan struct{})
			go func() { i.wait(ended); close(done) }()
			signals <- os.Interrupt
			if got := <-waiting; got != test.patience {
				t.Errorf("waits %v, want %v", got, test.patience)
			}
			if test.heeded {
				if err := w.Err(); !errors.Is(err, context.Canceled) {
					t.Fatalf("the context has %v", err)
				}
			}
			switch {
			case test.signals == 2:
				c.pass(oneInterrupt)
				signals <- os.Interrupt
			case test.heeded:
				late <- time.Time{}
				close(ended)
			default:
				late <- time.Time{}
			}
			<-done
			if got := len(exited) == 1 && <-exited == exitInterrupted; got != test.exits {
				t.Errorf("ended the program: %v, want %v", got, test.exits)
			}
			if !strings.Contains(stderr.String(), test.says) {
				t.Errorf("said %q, want %q", &stderr, test.says)
			}
		})
	}
}

// TestAnInterruptThatArrivesTwiceAtOnceIsOne: a process and its group are sent the same signal
// by timeout and by launchers, and the run is to save. Later another one ends the program.
func TestAnInterruptThatArrivesTwiceAtOnceIsOne(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var c clock
	signals, waiting, exited := make(chan os.Signal), make(chan struct{}, 1), make(chan int, 1)
	i := interrupter{
		signals: signals, stderr: io.Discard, cancel: cancel,
		watched: &watched{Context: ctx, now: c.now, noticed: make(chan struct{})},
		after:   func(time.Duration) <-chan time.Time { waiting <- struct{}{}; return nil },
		exit:    func(code int) { exited <- code },
	}
	done := make(chan struct{})
	go func() { i.wait(nil); close(done) }()
	interrupt := func() {
		select {
		case signals <- os.Interrupt:
		case <-done:
		}
	}
	interrupt()
	<-waiting // the moment has begun
	for range 3 {
		interrupt()
	}
	c.pass(oneInterrupt - 1)
	interrupt()
	interrupt() // which is taken once the one before has done nothing
	if len(exited) > 0 {
		t.Fatal("an interrupt that came with the first ended the program")
	}
	c.pass(1)
	interrupt()
	<-done
	if code := <-exited; code != exitInterrupted {
		t.Errorf("exit code %d, want %d", code, exitInterrupted)
	}
}
