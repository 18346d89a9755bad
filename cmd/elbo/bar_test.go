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
	"elbo/train/run"
)

// clocked is a program whose clock the test sets, in seconds, and what it says.
func clocked(columns int) (p *program, said *bytes.Buffer, clock func(second float64)) {
	said = new(bytes.Buffer)
	now := time.Unix(0, 0)
	p = &program{stderr: said, now: func() time.Time { return now }, live: columns > 0, width: func() int { return columns }}
	return p, said, func(second float64) { now = time.Unix(0, 0).Add(time.Duration(second * float64(time.Second))) }
}

// frames are what was drawn between carriage returns and line ends, without blanks.
func frames(said *bytes.Buffer) []string {
	var all []string
	for _, line := range regexp.MustCompile(`[\r\n]`).Split(said.String(), -1) {
		if line = strings.TrimSpace(line); line != "" {
			all = append(all, line)
		}
	}
	return all
}

// TestALongWaitSaysHowLong: not before two seconds have passed, then now and then, with
// the time left at the pace so far.
func TestALongWaitSaysHowLong(t *testing.T) {
	p, said, clock := clocked(0)
	b := newBar(p)
	for second := range 40 {
		clock(float64(second))
		b.at("testing", 25*second, 1000)
	}
	b.at("testing", 1000, 1000)
	want := "testing: 5 % done, about 38s left\ntesting: 42 % done, about 23s left\ntesting: 80 % done, about 8s left\n"
	if said.String() != want {
		t.Errorf("said\n%swant\n%s", said.String(), want)
	}
	p, said, clock = clocked(0)
	b = newBar(p)
	clock(1)
	b.at("testing", 900, 1000)
	b.at("testing", 1000, 1000)
	if said.Len() > 0 {
		t.Errorf("a short wait said %q", said.String())
	}
	p, said, clock = clocked(80)
	b = newBar(p)
	clock(4)
	b.at("testing", 500, 1000)
	if all := frames(said); len(all) == 0 || !strings.HasPrefix(all[len(all)-1], "testing  4s left   50% [") {
		t.Errorf("the bar is %q", said.String())
	}
}

// TestEachPhaseHasItsOwnPace: the first takes 10 s a unit, the second 1 s.
func TestEachPhaseHasItsOwnPace(t *testing.T) {
	p, said, clock := clocked(0)
	b := newBar(p)
	for n := range 11 {
		clock(10 * float64(n))
		b.at("draws", n, 10)
	}
	said.Reset()
	for n := 1; n <= 5; n++ {
		clock(100 + float64(n))
		b.at("quadrature", n, 30)
	}
	if want := "quadrature: 16 % done, about 25s left\n"; said.String() != want {
		t.Errorf("said %q, want %q", said.String(), want)
	}
}

// tinySetup is that of a small VAE on MNIST.
func tinySetup(t *testing.T) *train.Setup {
	c := train.DefaultConfig(train.VAEModel)
	c.Binarise, c.Settings.(*train.VAESettings).Hidden, c.Limit = data.Threshold, []int{2}, 1000
	s, err := train.NewSetup(c, 2, graphtest.Engine)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestAPaceCountsWhatWasDoneHere: a run that is resumed in the middle of its third epoch
// has 2500 of 10000 images behind it; 100 more in two seconds are 50 images/s, and the
// other 7400 take 148 s.
func TestAPaceCountsWhatWasDoneHere(t *testing.T) {
	p, said, clock := clocked(120)
	g := newProgress(p, tinySetup(t), &run.State{Epoch: 3, Position: 500})
	clock(2)
	g.Step(train.Progress{Epoch: 3, Epochs: 10, Position: 600, Images: 1000})
	if all := frames(said); len(all) == 0 || !strings.Contains(all[len(all)-1], "2m28s left  50 images/s") {
		t.Errorf("drawn %q", all)
	}
}

// TestTheFirstFrameHasNoPaceYet: after a moment there is none that means anything.
func TestTheFirstFrameHasNoPaceYet(t *testing.T) {
	p, said, clock := clocked(120)
	g := newProgress(p, tinySetup(t), nil)
	clock(0.01)
	g.Step(train.Progress{Epoch: 1, Epochs: 10, Position: 1, Images: 1000})
	all := frames(said)
	if len(all) == 0 || !strings.HasPrefix(all[0], "epoch 1/10") {
		t.Fatalf("drawn %q", all)
	}
	for _, frame := range all {
		if strings.Contains(frame, "images/") || strings.Contains(frame, "left") || strings.Contains(frame, "0s") {
			t.Errorf("drawn %q", frame)
		}
	}
}

// TestATerminalsBarFitsItsLine: nothing between two carriage returns is as wide as the
// terminal, down to widths that hold little of it, and what is there is whole fields.
func TestATerminalsBarFitsItsLine(t *testing.T) {
	s := tinySetup(t)
	for _, columns := range []int{200, 79, 60, 40, 20, 10, 1} {
		p, said, clock := clocked(columns)
		bar := newProgress(p, s, nil)
		for i, position := range []int{128, 640, 650} {
			clock(float64(i + 1))
			bar.Step(train.Progress{Epoch: 3, Epochs: 10, Position: position, Images: 1000, Terms: model.Terms{Recon: -76.41, KL: 26.61, Bound: -103.02}})
		}
		bar.done()
		for _, line := range regexp.MustCompile(`[\r\n]`).Split(said.String(), -1) {
			if n := len([]rune(line)); n >= columns && n > 0 {
				t.Errorf("%d columns: a line of %d: %q", columns, n, line)
			}
		}
		all := frames(said)
		if columns < 20 {
			continue
		}
		drawn := all[len(all)-1]
		if !strings.HasPrefix(drawn, "epoch 3/10") {
			t.Errorf("%d columns: drawn %q", columns, drawn)
		}
		if columns == 40 && drawn != "epoch 3/10  -103.02 = -76.41 - 26.61" {
			t.Errorf("%d columns: drawn %q", columns, drawn)
		}
		if columns == 60 && drawn != "epoch 3/10  -103.02 = -76.41 - 26.61  8s left" {
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
