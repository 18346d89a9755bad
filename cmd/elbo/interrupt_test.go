package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"
)

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
			clock := time.Unix(0, 0)
			w := &watched{Context: ctx, now: func() time.Time { return clock }, noticed: make(chan struct{})}
			for _, step := range append([]time.Duration{0}, test.steps...) {
				clock = clock.Add(step)
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
