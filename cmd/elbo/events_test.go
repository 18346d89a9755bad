package main

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"elbo/cmd/elbo/internal/tfevents"
	"elbo/train"
	"elbo/train/run"
)

// eventsIn are what TensorBoard keeps of the event files of a folder: those of a step that is taken
// back are not among them. It fails where a file is damaged before its end.
func eventsIn(t *testing.T, folder string) []tfevents.Event {
	t.Helper()
	names, err := tfevents.Files(folder)
	if err != nil {
		t.Fatal(err)
	}
	var all []tfevents.Event
	for _, name := range names {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for e, err := range tfevents.Read(bytes.NewReader(content)) {
			if err != nil && !errors.Is(err, tfevents.ErrDamaged) {
				t.Fatal(err)
			}
			if e.Restart {
				all = slices.DeleteFunc(all, func(before tfevents.Event) bool { return before.Step >= e.Step })
			}
			all = append(all, e)
		}
	}
	return all
}

// stepsOf are the steps of the events that have numbers, and of those that have pictures by their tag.
func stepsOf(events []tfevents.Event) (numbers []int64, pictures map[string][]int64) {
	pictures = map[string][]int64{}
	for _, e := range events {
		if e.Scalars != nil {
			numbers = append(numbers, e.Step)
		}
		for _, i := range e.Images {
			pictures[i.Tag] = append(pictures[i.Tag], e.Step)
		}
	}
	return numbers, pictures
}

// eventLogOf is a log of a run by a clock that stands still.
func eventLogOf(t *testing.T, dir *run.Dir) (*eventLog, *bytes.Buffer) {
	t.Helper()
	var said bytes.Buffer
	p := &program{name: "elbo", stderr: &said, now: func() time.Time { return time.Unix(2e9, 0) }}
	l, err := p.openEvents(dir, true)
	if err != nil {
		t.Fatal(err)
	}
	return l, &said
}

// heard has a log hear of epochs, whose lines, with a bound, are written before.
func heard(t *testing.T, l *eventLog, dir *run.Dir, bound float64, epochs ...int) {
	t.Helper()
	for _, epoch := range epochs {
		appendEpoch(t, dir, epoch, bound)
		metrics, err := dir.ReadMetrics()
		if err != nil {
			t.Fatal(err)
		}
		l.Epoch(metrics[len(metrics)-1])
	}
}

// TestALineOfMetricsIsAnEventWithItsNumbers: each of them but the step, which is that of the event.
func TestALineOfMetricsIsAnEventWithItsNumbers(t *testing.T) {
	bound := -110.5
	scalars := scalarsOf(run.Metrics{
		Epoch: 2, Step: 782, Beta: 0.5, Seconds: 3, ImagesPerSecond: 20000, Averaged: true,
		Train: &run.EpochTerms{Recon: -90, KL: 10, Bound: -100}, Validation: &run.EpochTerms{Recon: -91, KL: 10, Bound: -101, BoundSE: 0.25},
		EM: &run.EMTerms{PriorBound: &bound, Penalty: -1, Used: 7},
	})
	var got []string
	for _, s := range scalars {
		got = append(got, fmt.Sprintf("%s %g", s.Tag, s.Value))
	}
	want := []string{
		"beta 0.5", "em/penalty -1", "em/prior_bound -110.5", "em/used 7", "epoch 2", "images_per_second 20000", "seconds 3",
		"train/bound -100", "train/kl 10", "train/recon -90", "validation/bound -101", "validation/bound_se 0.25", "validation/kl 10", "validation/recon -91",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestARunThatGoesOnWritesItsEventsOn: whatever the process before came to, each line of metrics has
// its event once, with its numbers, in the order of the steps.
func TestARunThatGoesOnWritesItsEventsOn(t *testing.T) {
	ten := func(epochs ...int) (steps []int64) {
		for _, e := range epochs {
			steps = append(steps, int64(10*e))
		}
		return steps
	}
	for _, c := range []struct {
		name   string
		before func(t *testing.T, dir *run.Dir, l *eventLog)
		from   int // the epoch that the second process begins with
		want   []int64
	}{
		{"it ended after an epoch", func(t *testing.T, dir *run.Dir, l *eventLog) { heard(t, l, dir, -100, 1, 2) }, 3, ten(1, 2, 3, 4)},
		{"it was killed between a line and its event", func(t *testing.T, dir *run.Dir, l *eventLog) {
			heard(t, l, dir, -100, 1)
			appendEpoch(t, dir, 2, -100)
		}, 3, ten(1, 2, 3, 4)},
		{"it was killed while it wrote an event", func(t *testing.T, dir *run.Dir, l *eventLog) {
			heard(t, l, dir, -100, 1, 2)
			names, err := tfevents.Files(dir.File(eventsDir))
			if err != nil {
				t.Fatal(err)
			}
			info, err := os.Stat(names[0])
			if err == nil {
				err = os.Truncate(names[0], info.Size()-5)
			}
			if err != nil {
				t.Fatal(err)
			}
		}, 3, ten(1, 2, 3, 4)},
		{"it goes on from an earlier checkpoint", func(t *testing.T, dir *run.Dir, l *eventLog) { heard(t, l, dir, -100, 1, 2, 3, 4, 5) }, 2, ten(1, 2, 3)},
		{"it goes on from the checkpoint before the last", func(t *testing.T, dir *run.Dir, l *eventLog) { heard(t, l, dir, -100, 1, 2) }, 2, ten(1, 2, 3)},
		{"it wrote no events", func(t *testing.T, dir *run.Dir, l *eventLog) {
			for epoch := 1; epoch <= 3; epoch++ {
				appendEpoch(t, dir, epoch, -100)
			}
		}, 4, ten(1, 2, 3, 4, 5)},
		{"it was killed before its first epoch", func(*testing.T, *run.Dir, *eventLog) {}, 1, ten(1, 2)},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := watchable(t, filepath.Join(t.TempDir(), "run"), 9)
			l, said := eventLogOf(t, dir)
			c.before(t, dir, l)
			l.done()
			if err := dir.TruncateMetrics(c.from); err != nil {
				t.Fatal(err)
			}
			l, err := l.p.openEvents(dir, false)
			if err != nil || l == nil {
				t.Fatalf("the run that goes on writes no events: %v", err)
			}
			heard(t, l, dir, -90, c.from, c.from+1)
			l.final(train.Result{Step: int64(10 * (c.from + 1))})
			l.done()
			events := eventsIn(t, dir.File(eventsDir))
			if got, _ := stepsOf(events); !slices.Equal(got, c.want) {
				t.Errorf("numbers at the steps %v, want %v", got, c.want)
			}
			metrics, err := dir.ReadMetrics()
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range metrics {
				i := slices.IndexFunc(events, func(e tfevents.Event) bool { return e.Step == m.Step && e.Scalars != nil })
				if diff := cmp.Diff(scalarsOf(m), events[i].Scalars); diff != "" {
					t.Errorf("step %d: %s", m.Step, diff)
				}
			}
			if said.Len() > 0 {
				t.Errorf("said %q", said)
			}
		})
	}
}

// TestEventsAreAsFarApartAsTheirEpochs, where they are written later: each epoch took a minute.
func TestEventsAreAsFarApartAsTheirEpochs(t *testing.T) {
	dir := watchable(t, filepath.Join(t.TempDir(), "run"), 9)
	appendEpoch(t, dir, 1, -100)
	l, _ := eventLogOf(t, dir)
	heard(t, l, dir, -100, 2)
	l.done()
	var at []int64
	for _, e := range eventsIn(t, dir.File(eventsDir)) {
		at = append(at, e.Time.Unix()-2e9)
	}
	if want := []int64{0, -60, 0}; !slices.Equal(at, want) { // the first is that of the file
		t.Errorf("%v s from now, want %v", at, want)
	}
}

// TestPicturesAreWrittenAsTheyChange: not again while they are the same, nor before a tenth of the steps so far has been made
// since, and at the end those of the best state.
func TestPicturesAreWrittenAsTheyChange(t *testing.T) {
	dir := watchable(t, filepath.Join(t.TempDir(), "run"), 99)
	draw := func(name string, width int) {
		t.Helper()
		var b bytes.Buffer
		if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, width, 7))); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dir.File(name), b.Bytes(), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	l, said := eventLogOf(t, dir)
	heard(t, l, dir, -100, 1) // nothing is drawn yet
	for epoch := 2; epoch <= 40; epoch++ {
		if epoch < 10 || epoch > 12 {
			draw(samplesFile, epoch)
		}
		if epoch == 20 { // a process that goes on knows what was drawn
			l.done()
			l, _ = eventLogOf(t, dir)
		}
		heard(t, l, dir, -100, epoch)
	}
	draw(reconstructedFile, 100)
	l.final(train.Result{Step: 400, Best: &run.Best{Step: 380}})
	l.done()
	if err := dir.TruncateMetrics(38); err != nil { // it goes back, and comes to the same pictures
		t.Fatal(err)
	}
	l, _ = eventLogOf(t, dir)
	heard(t, l, dir, -100, 38, 39)
	for range 2 { // once more, as elbo resume does of a run at its end
		l.final(train.Result{Step: 400, Best: &run.Best{Step: 380}})
		l.done()
		l, _ = eventLogOf(t, dir)
	}
	events := eventsIn(t, dir.File(eventsDir))
	_, got := stepsOf(events)
	want := map[string][]int64{
		"samples":               {20, 30, 40, 50, 60, 70, 80, 90, 130, 150, 170, 190, 210, 240, 270, 300, 330, 370},
		"final/samples":         {380},
		"final/reconstructions": {380},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	i := events[slices.IndexFunc(events, func(e tfevents.Event) bool { return e.Images != nil })].Images[0]
	if content, err := png.DecodeConfig(bytes.NewReader(i.PNG)); err != nil || content.Width != 2 || i.Width != 2 || i.Height != 7 {
		t.Errorf("the first picture is said to have %d×%d pixels, and has %+v, %v", i.Width, i.Height, content, err)
	}
	if names, err := tfevents.Files(dir.File(eventsDir)); len(names) != 3 || err != nil {
		t.Errorf("files %q, want one of each process that had something to write: %v", names, err)
	}
	if said.Len() > 0 {
		t.Errorf("said %q", said)
	}
}

// TestEventsThatCannotBeWrittenEndNoRun: it is said once.
func TestEventsThatCannotBeWrittenEndNoRun(t *testing.T) {
	dir := watchable(t, filepath.Join(t.TempDir(), "run"), 9)
	l, said := eventLogOf(t, dir)
	heard(t, l, dir, -100, 1)
	l.files.writer.Close()
	heard(t, l, dir, -100, 2, 3)
	l.final(train.Result{Step: 30})
	if got := said.String(); strings.Count(got, "warning: no more events are written to ") != 1 || strings.Count(got, "\n") != 1 {
		t.Errorf("said %q", got)
	}
	l, said = eventLogOf(t, dir) // and the next process makes up for it
	heard(t, l, dir, -100, 4)
	l.done()
	if steps, _ := stepsOf(eventsIn(t, dir.File(eventsDir))); !slices.Equal(steps, []int64{10, 20, 30, 40}) || said.Len() > 0 {
		t.Errorf("steps %v, said %q", steps, said)
	}
}

// TestOnlyWhoAsksForEventsHasThem, and a file in the place of their folder is an error before anything is trained.
func TestOnlyWhoAsksForEventsHasThem(t *testing.T) {
	dir := watchable(t, filepath.Join(t.TempDir(), "run"), 9)
	p := &program{name: "elbo", now: time.Now}
	if l, err := p.openEvents(dir, false); l != nil || err != nil {
		t.Errorf("unasked: %v, %v", l, err)
	}
	if err := os.WriteFile(dir.File(eventsDir), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if l, err := p.openEvents(dir, false); l != nil || err != nil {
		t.Errorf("unasked: %v, %v", l, err)
	}
	if _, err := p.openEvents(dir, true); err == nil || !strings.Contains(err.Error(), "is a file, want a folder") {
		t.Errorf("asked for: %v", err)
	}
}

// TestEachRecorderHearsOfARun, in its turn, until one fails at a restart.
func TestEachRecorderHearsOfARun(t *testing.T) {
	var calls []string
	a, b := &heardBy{"a", &calls, nil}, &heardBy{"b", &calls, errors.New("b fails")}
	all := recorders{a, b, a}
	all.Step(train.Progress{})
	all.Epoch(run.Metrics{})
	err := all.Restart(0, 2, nil, nil, nil, nil)
	all.Restarted(nil)
	want := []string{"a step", "b step", "a step", "a epoch", "b epoch", "a epoch", "a restart", "b restart", "a restarted", "b restarted", "a restarted"}
	if !slices.Equal(calls, want) || !errors.Is(err, b.fault) {
		t.Errorf("%q, %v", calls, err)
	}
}

type heardBy struct {
	name  string
	calls *[]string
	fault error
}

func (h *heardBy) Step(train.Progress)         { *h.calls = append(*h.calls, h.name+" step") }
func (h *heardBy) Epoch(run.Metrics)           { *h.calls = append(*h.calls, h.name+" epoch") }
func (h *heardBy) Restarted([]train.Restarted) { *h.calls = append(*h.calls, h.name+" restarted") }
func (h *heardBy) Restart(int, int, *train.Setup, *run.Dir, *run.State, []error) error {
	*h.calls = append(*h.calls, h.name+" restart")
	return h.fault
}
