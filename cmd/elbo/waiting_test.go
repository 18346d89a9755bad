package main

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"elbo/data"
	"elbo/graph/graphtest"
	"elbo/model"
	"elbo/train"
)

// TestALongWaitSaysHowLong: not before two seconds have passed, then now and then, with
// the time left at the pace so far.
func TestALongWaitSaysHowLong(t *testing.T) {
	var said bytes.Buffer
	clock := time.Time{}
	p := &program{stderr: &said, now: func() time.Time { return clock }}
	w := newWaiting(p, "testing", 1000)
	for second := range 40 {
		clock = time.Time{}.Add(time.Duration(second) * time.Second)
		w.at(25 * second)
	}
	w.at(1000)
	want := "testing: 5 % done, about 38s left\ntesting: 42 % done, about 23s left\ntesting: 80 % done, about 8s left\n"
	if said.String() != want {
		t.Errorf("said\n%swant\n%s", said.String(), want)
	}
	said.Reset()
	clock = time.Time{}
	w = newWaiting(p, "testing", 1000)
	clock = clock.Add(time.Second)
	w.at(900)
	w.at(1000)
	if said.Len() > 0 {
		t.Errorf("a short wait said %q", said.String())
	}
	p.live, p.width = true, func() int { return 40 }
	clock = time.Time{}
	w = newWaiting(p, "testing", 1000)
	clock = clock.Add(4 * time.Second)
	w.at(500)
	if !strings.Contains(said.String(), "testing  about 4s left") {
		t.Errorf("the bar is %q", said.String())
	}
	w.at(1000)
}

// TestATerminalsBarFitsItsLine: nothing between two carriage returns is as wide as the
// terminal, down to widths that hold little of it, and what is there is whole fields.
func TestATerminalsBarFitsItsLine(t *testing.T) {
	c := train.DefaultConfig(train.VAEModel)
	c.Binarise, c.Settings.(*train.VAESettings).Hidden, c.Limit = data.Threshold, []int{2}, 1000
	s, err := train.NewSetup(c, 2, graphtest.Engine)
	if err != nil {
		t.Fatal(err)
	}
	for _, columns := range []int{200, 79, 60, 40, 20, 10, 1} {
		var said bytes.Buffer
		p := &program{stderr: &said, live: true, width: func() int { return columns }, now: time.Now}
		bar := newProgress(p, s, nil)
		for _, position := range []int{128, 640} {
			bar.Step(train.Progress{Epoch: 3, Epochs: 10, Position: position, Images: 1000, Terms: model.Terms{Recon: -76.41, KL: 26.61, Bound: -103.02}})
			time.Sleep(110 * time.Millisecond) // the bar is drawn ten times a second
		}
		bar.done()
		drawn := ""
		for _, line := range regexp.MustCompile(`[\r\n]`).Split(said.String(), -1) {
			if n := len([]rune(line)); n >= columns && n > 0 {
				t.Errorf("%d columns: a line of %d: %q", columns, n, line)
			}
			if strings.TrimSpace(line) != "" {
				drawn = line
			}
		}
		if columns >= 20 && !strings.HasPrefix(drawn, "epoch 3/10") {
			t.Errorf("%d columns: drawn %q", columns, drawn)
		}
		if columns == 40 && strings.TrimSpace(drawn) != "epoch 3/10  -103.02 = -76.41 - 26.61" {
			t.Errorf("%d columns: drawn %q", columns, drawn)
		}
		if columns == 200 && !strings.Contains(drawn, "images/s") {
			t.Errorf("%d columns: drawn %q", columns, drawn)
		}
	}
}

func TestALineIsCutBeforeAField(t *testing.T) {
	const line = "epoch 1/2  -1.0 = -0.5 - 0.5  45% |###   | (12/30, 5 images/s) [1s:2s]"
	for columns, want := range map[int]string{
		100: line,
		65:  "epoch 1/2  -1.0 = -0.5 - 0.5  45% |###   | (12/30, 5 images/s)",
		50:  "epoch 1/2  -1.0 = -0.5 - 0.5  45% |###   |",
		35:  "epoch 1/2  -1.0 = -0.5 - 0.5  45%",
		30:  "epoch 1/2  -1.0 = -0.5 - 0.5",
		15:  "epoch 1/2",
		5:   "epoch",
		0:   "",
	} {
		if got := fit(line, columns); got != want {
			t.Errorf("%d columns: %q, want %q", columns, got, want)
		}
	}
	if got := fit(fmt.Sprintf("%80s", ""), 30); len(got) != 30 {
		t.Errorf("blanks: %d, want 30", len(got))
	}
}
