package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"elbo/data"
	"elbo/train"
	"elbo/train/run"
)

// watchable is a run that this process has open, as if it trained it.
func watchable(t *testing.T, path string, epochs int) *run.Dir {
	t.Helper()
	c := train.DefaultConfig(train.VAEModel)
	c.Epochs, c.Binarise = epochs, data.Static
	dir, err := train.CreateRun(path, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dir.Close() })
	return dir
}

// appendEpoch appends the line of an epoch, whose bound is that of the validation images.
func appendEpoch(t *testing.T, dir *run.Dir, epoch int, bound float64) {
	t.Helper()
	err := dir.AppendMetrics(run.Metrics{
		Epoch: epoch, Step: int64(10 * epoch), Beta: 1, Seconds: 60, ImagesPerSecond: 1000 + float64(epoch),
		Train:      &run.EpochTerms{Recon: bound + 9, KL: 10, Bound: bound - 1},
		Validation: &run.EpochTerms{Recon: bound + 11, KL: 11, Bound: bound, BoundSE: 0.25},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// watching is a watcher of a run on a terminal of so many columns and rows, whose clock stands
// at the last line of the metrics, and what it draws.
func watching(path string, columns, rows int) (*watcher, *bytes.Buffer) {
	out := new(bytes.Buffer)
	w := &watcher{sight: sight{path: path}, out: out}
	w.now = func() time.Time { return w.grown }
	w.screen = screen{size: func() (int, int) { return columns, rows }, moves: true, unicode: true}
	return w, out
}

// TestAWatcherShowsWhereARunStands: its state, how far it is, how long it takes by the seconds of
// its epochs, the best bound, and a line for each figure.
func TestAWatcherShowsWhereARunStands(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vae-001")
	dir := watchable(t, path, 20)
	w, _ := watching(path, 90, 24)
	if _, err := w.look(); err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(w.frame(89, true), "\n"), "in training: "+run.ShellPath(path)+", vae on mnist\nno epoch of 20 has ended yet"; got != want {
		t.Errorf("at the beginning:\n%s\nwant\n%s", got, want)
	}
	for i, bound := range []float64{-120, -100, -110} {
		appendEpoch(t, dir, i+1, bound)
	}
	if changed, err := w.look(); err != nil || !changed {
		t.Fatalf("changed %v, %v", changed, err)
	}
	frame := w.frame(200, true)[1:]
	want := []string{
		"epoch 3/20, about 17 minutes left",
		"best -100.00 ± 0.25 at epoch 2",
		"",
		"                  now                 low     high  epochs 1 to 3",
		"validation ELBO   -110.00 ± 0.25  -120.00  -100.00  ▁█▅",
		"train ELBO        -111.00         -121.00  -101.00  ▁█▅",
		"validation recon  -99.00          -109.00   -89.00  ▁█▅",
		"validation KL     11.00             11.00    11.00  ▅▅▅",
		"images/s          1003               1001     1003  ▁▅█",
	}
	if !slices.Equal(frame, want) {
		t.Errorf("frame\n%s\nwant\n%s", strings.Join(frame, "\n"), strings.Join(want, "\n"))
	}
	w.now = func() time.Time { return w.grown.Add(40 * time.Second) }
	if got := w.frame(200, true)[1]; got != "epoch 3/20, about 16 minutes left" {
		t.Errorf("40 s later: %q", got)
	}
	w.now = func() time.Time { return w.grown.Add(time.Hour) } // an epoch, or a clock, that is far off
	if got := w.frame(200, true)[1]; got != "epoch 3/20, about 16 minutes left" {
		t.Errorf("an hour later: %q", got)
	}
	w.config, w.restart = train.With(train.DefaultConfig(train.MixtureModel), func(m *train.MixtureSettings) { m.Restarts, m.Tolerance = 3, 0.1 }), 2
	if got := strings.Join(w.frame(200, true)[:2], "\n"); !strings.HasPrefix(got, "in training, restart 2 of 3: ") || !strings.HasSuffix(got, "\niteration 3/100, at most 96 minutes left of this restart") {
		t.Errorf("a restart of a mixture: %q", got)
	}
	w.config, w.restart = train.DefaultConfig(train.VAEModel), 0
	w.config.Epochs = 20
	w.metrics[2].Epoch = 20
	if got := w.frame(200, true)[1]; got != "epoch 20/20, trained: it is being tested" {
		t.Errorf("after the last epoch: %q", got)
	}
}

// TestADamagedLineLeavesAGap where its epoch would be, and figures that a run has not are not shown.
func TestADamagedLineLeavesAGap(t *testing.T) {
	terms := func(bound float64) *run.EpochTerms { return &run.EpochTerms{Bound: bound} }
	s := sight{config: train.DefaultConfig(train.VAEModel), now: time.Now, metrics: []run.Metrics{
		{Epoch: 2, Train: terms(-2)}, {Epoch: 4, Train: terms(-1)}}}
	all := s.series()
	if v := all[0].values; all[0].name != "train ELBO" || len(v) != 3 || v[0] != -2 || !math.IsNaN(v[1]) || v[2] != -1 {
		t.Errorf("%+v, want the bounds while training with a gap at epoch 3", all[0])
	}
	var names []string
	for _, f := range all {
		names = append(names, f.name)
	}
	if want := []string{"train ELBO", "recon", "KL", "images/s"}; !slices.Equal(names, want) {
		t.Errorf("figures %q, want %q", names, want)
	}
	s.config = train.DefaultConfig(train.MixtureModel)
	s.metrics[1].EM = &run.EMTerms{Used: 9}
	if got := strings.Join(s.frame(80, false), "\n"); !strings.Contains(got, "train log p(x)") || !regexp.MustCompile(`states used +9 `).MatchString(got) || !strings.Contains(got, "iteration 4/100\n") {
		t.Errorf("of a mixture:\n%s", got)
	}
	s.metrics = []run.Metrics{{Epoch: 1, Train: terms(-2)}, {Epoch: math.MaxInt, Train: terms(-1)}}
	if n := len(s.series()[0].values); n > 5 {
		t.Errorf("two lines are drawn as %d values", n)
	}
}

// TestAFrameFitsItsTerminal: no line is as wide as the terminal, none of the rows scrolls, and
// where there is no Unicode all of it is ASCII.
func TestAFrameFitsItsTerminal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "größe")
	dir := watchable(t, path, 2000)
	for epoch := 1; epoch <= 300; epoch++ {
		appendEpoch(t, dir, epoch, -100-50/float64(epoch))
	}
	for _, columns := range []int{1, 2, 10, 30, 40, 60, 80, 81, 200, 1000} {
		for _, unicode := range []bool{true, false} {
			w, out := watching(path, columns, 6)
			w.screen.unicode = unicode
			if err := w.step(); err != nil {
				t.Fatal(err)
			}
			lines := strings.Split(strings.TrimSuffix(out.String(), "\x1b[J"), "\x1b[K\n")
			lines = lines[:len(lines)-1]
			if len(lines) != 5 {
				t.Errorf("%d columns: %d lines on a terminal of 6: %q", columns, len(lines), lines)
			}
			for _, line := range append(lines, w.frame(columns-1, unicode)...) {
				if n := utf8.RuneCountInString(line); n >= columns && n > 0 {
					t.Errorf("%d columns: a line of %d: %q", columns, n, line)
				}
				if !unicode && strings.ContainsFunc(line, func(r rune) bool { return r > '~' }) {
					t.Errorf("not in ASCII: %q", line)
				}
			}
		}
	}
}

// TestAWatcherDrawsWhatHasChanged, over the frame before, and ends with the run.
func TestAWatcherDrawsWhatHasChanged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vae-001")
	dir := watchable(t, path, 20)
	appendEpoch(t, dir, 1, -120)
	w, out := watching(path, 100, 24)
	next := func() string {
		t.Helper()
		out.Reset()
		if err := w.step(); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	if first := next(); strings.Contains(first, "A\r") || !strings.Contains(first, "epoch 1/20") {
		t.Errorf("the first frame is %q", first)
	}
	if again := next(); again != "" {
		t.Errorf("without a change it draws %q", again)
	}
	appendEpoch(t, dir, 2, -110)
	if second := next(); !strings.HasPrefix(second, "\x1b[10A\r") || !strings.Contains(second, "epoch 2/20") || strings.Count(second, "\n") != 10 {
		t.Errorf("the second frame is %q, want it over the 10 lines of the first", second)
	}
	tick := make(chan time.Time)
	done := make(chan error)
	go func() { done <- w.follow(t.Context(), tick) }()
	tick <- time.Time{}
	if err := dir.Close(); err != nil { // as a process that ends does
		t.Fatal(err)
	}
	out.Reset()
	tick <- time.Time{}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if last := out.String(); !strings.Contains(last, "no checkpoint: ") || w.state != train.RunEmpty {
		t.Errorf("the last frame is %q, %q", last, w.state)
	}
}

// TestAWatcherIsInterrupted: it looks at the context, so that nothing waits for it.
func TestAWatcherIsInterrupted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vae-001")
	watchable(t, path, 20)
	w, _ := watching(path, 100, 24)
	ctx, cancel := context.WithCancel(t.Context())
	seen := &watched{Context: ctx, now: time.Now, noticed: make(chan struct{})}
	quietly(seen)
	cancel()
	if err := w.follow(seen, nil); !errors.Is(err, context.Canceled) || codeOf(err) != exitInterrupted {
		t.Errorf("it ends with %v", err)
	}
	if !seen.heeded() || !seen.quiet.Load() {
		t.Error("the interrupt was not heeded, or is spoken of")
	}
}

// TestFramesStandBelowEachOtherWhereNothingCanBeDrawnOver, and only those of a change.
func TestFramesStandBelowEachOtherWhereNothingCanBeDrawnOver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vae-001")
	dir := watchable(t, path, 20)
	w, out := watching(path, 100, 24)
	w.screen.moves = false
	for epoch := range 3 {
		if epoch > 0 {
			appendEpoch(t, dir, epoch, -100)
		}
		for range 2 {
			if err := w.step(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := out.String(); strings.Count(got, "in training") != 3 || strings.ContainsAny(got, "\x1b\r") || strings.Count(got, "\n\n") != 2+2 {
		t.Errorf("drawn %q", got)
	}
}

// TestATerminalThatBecameNarrowerHasBrokenTheLines: each takes several rows then.
func TestATerminalThatBecameNarrowerHasBrokenTheLines(t *testing.T) {
	lines := []string{"", "1234567890", "±±±±±±±±±±±"}
	for columns, want := range map[int]int{20: 3, 11: 3, 10: 4, 5: 6, 1: 22} {
		if got := rowsOf(lines, columns); got != want {
			t.Errorf("%d columns: %d rows, want %d", columns, got, want)
		}
	}
}

// TestOfADirectoryTheNewestRunThatTrainsIsWatched, and where none does the newest.
func TestOfADirectoryTheNewestRunThatTrainsIsWatched(t *testing.T) {
	runs := t.TempDir()
	var said bytes.Buffer
	p := &program{name: "elbo", stderr: &said}
	if _, err := p.runToWatch(runs); !errors.Is(err, run.ErrNotRun) || codeOf(err) != 3 || !strings.Contains(err.Error(), "`elbo train` makes one") {
		t.Errorf("of no run: %v", err)
	}
	var dirs []*run.Dir
	for i := range 4 {
		dir := watchable(t, filepath.Join(runs, fmt.Sprint("sweep/vae-", i)), 2)
		began := time.Unix(int64(1000+i), 0)
		if err := os.Chtimes(dir.File(run.ConfigFile), began, began); err != nil {
			t.Fatal(err)
		}
		dirs = append(dirs, dir)
	}
	if err := os.Remove(dirs[3].File(run.ConfigFile)); err != nil { // as a run that lost it
		t.Fatal(err)
	}
	if err := os.WriteFile(dirs[3].File(run.MetricsFile), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	newest := func() string {
		t.Helper()
		path, err := p.runToWatch(runs)
		if err != nil {
			t.Fatal(err)
		}
		return filepath.Base(path)
	}
	if got := newest(); got != "vae-2" || said.Len() > 0 {
		t.Errorf("of three in training %s, said %q", got, said.String())
	}
	dirs[2].Close()
	if got := newest(); got != "vae-1" || said.Len() > 0 {
		t.Errorf("of two in training %s, said %q", got, said.String())
	}
	dirs[1].Close()
	dirs[0].Close()
	if got := newest(); got != "vae-2" || !strings.Contains(said.String(), "is in training; the newest is") {
		t.Errorf("of none in training %s, said %q", got, said.String())
	}
	if got, err := p.runToWatch(dirs[0].Path); err != nil || got != dirs[0].Path {
		t.Errorf("a run by itself: %s, %v", got, err)
	}
}

// TestARunThatGoesAwayIsSaidToHave.
func TestARunThatGoesAwayIsSaidToHave(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vae-001")
	watchable(t, path, 2)
	w, _ := watching(path, 80, 24)
	if _, err := w.look(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	if _, err := w.look(); !errors.Is(err, run.ErrNotRun) || !strings.Contains(err.Error(), "it was removed while it was watched") {
		t.Errorf("%v", err)
	}
}

// TestTheLocaleDecidesOnCharacters: the first variable that is set, as POSIX has it.
func TestTheLocaleDecidesOnCharacters(t *testing.T) {
	for _, c := range []struct {
		env  map[string]string
		want bool
	}{
		{map[string]string{}, false},
		{map[string]string{"LANG": "C"}, false},
		{map[string]string{"LANG": "de_DE.UTF-8"}, true},
		{map[string]string{"LANG": "C.utf8"}, true},
		{map[string]string{"LANG": "C.UTF-8", "LC_ALL": "POSIX"}, false},
		{map[string]string{"LANG": "C", "LC_CTYPE": "en_GB.UTF-8"}, true},
	} {
		if got := inUTF8(func(name string) string { return c.env[name] }); got != c.want {
			t.Errorf("%v: %v, want %v", c.env, got, c.want)
		}
	}
	dumb := map[string]string{"LANG": "C.UTF-8", "TERM": "dumb"}
	if s := screenOf(new(bytes.Buffer), func(name string) string { return dumb[name] }); s.unicode || s.moves || s.size != nil {
		t.Errorf("a dumb terminal's pipe is %+v", s)
	}
}
