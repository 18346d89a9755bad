package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"image/png"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"elbo/cmd/elbo/internal/tfevents"
	"elbo/train"
	"elbo/train/run"
)

// eventsDir is the folder of a run with its event files, for TensorBoard. That it is there says that
// they are to be written: by no setting, as a setting decides on what a run computes.
const eventsDir = "tensorboard"

// eventLog is a recorder that writes event files: every number of a line of metrics by its step, and
// samples.png as it changes. What it cannot write ends no run.
type eventLog struct {
	p     *program
	whole *run.Dir // the run, which the restarts are part of
	files *eventFiles
}

// openEvents begins to write events of a run where it is asked for or was when the run began, nil
// where it was not.
func (p *program) openEvents(dir *run.Dir, wanted bool) (*eventLog, error) {
	if !p.first() {
		return nil, nil
	}
	folder := dir.File(eventsDir)
	if wanted { // now, so that a run that is interrupted before its first epoch goes on with it
		if err := os.Mkdir(folder, 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("--tensorboard: %w", err)
		}
	}
	if info, err := os.Stat(folder); err != nil || !info.IsDir() {
		if wanted {
			return nil, fmt.Errorf("--tensorboard: %s is a file, want a folder: move it away", folder)
		}
		return nil, nil
	}
	return &eventLog{p, dir, &eventFiles{folder: folder, run: dir, now: p.now}}, nil
}

// warn says that events were not written, and has no more of this folder written: a process that
// resumes the run makes up for it.
func (l *eventLog) warn(err error) {
	if err != nil {
		l.p.say("warning: no more events are written to %s: %v", l.files.folder, err)
		l.files.closed = true
	}
}

// Step does nothing: an event is of an epoch.
func (l *eventLog) Step(train.Progress) {}

// Epoch writes the line of an epoch.
func (l *eventLog) Epoch(m run.Metrics) {
	if !l.files.closed {
		l.warn(l.files.epoch(m))
	}
}

// Restart goes on in the folder of a restart, which TensorBoard takes for a run of its own.
func (l *eventLog) Restart(_, _ int, _ *train.Setup, dir *run.Dir, _ *run.State, _ []error) error {
	l.warn(l.files.close())
	l.files = &eventFiles{folder: filepath.Join(l.whole.File(eventsDir), filepath.Base(dir.Path)), run: dir, now: l.p.now}
	return nil
}

// Restarted goes on in the folder of the run, whose metrics will be those of the best.
func (l *eventLog) Restarted([]train.Restarted) {
	l.warn(l.files.close())
	l.files = &eventFiles{folder: l.whole.File(eventsDir), run: l.whole, now: l.p.now}
}

// final writes the pictures of the model that the run has come to, at its step.
func (l *eventLog) final(result train.Result) {
	step := result.Step
	if result.Best != nil {
		step = result.Best.Step
	}
	if !l.files.closed {
		l.warn(l.files.final(step))
	}
}

// done closes what is open.
func (l *eventLog) done() { l.warn(l.files.close()) }

// withoutEvents calls f while the folder for events is away, where it has none, and puts it back
// unless the run is gone then.
func withoutEvents(dir *run.Dir, f func() (gone bool, err error)) (bool, error) {
	removed := os.Remove(dir.File(eventsDir)) == nil // fails where it holds something
	gone, err := f()
	if removed && !gone {
		err = errors.Join(err, os.Mkdir(dir.File(eventsDir), 0o777))
	}
	return gone, err
}

// eventFiles are those of one folder. The first event of a process begins a file of its own, as a
// file that was cut short cannot be gone on with.
type eventFiles struct {
	folder string
	run    *run.Dir
	now    func() time.Time
	closed bool

	writer   *tfevents.Writer // nil before the first event
	recalled bool             // what follows is known
	last     int64            // step whose numbers are written, -1 for none
	pictured int64            // step of the last samples while training, 0 for none
	shown    map[string]shown // the last picture of each tag
}

// shown is a picture that was written.
type shown struct {
	step int64
	png  []byte
}

// Tags of pictures: in training, and at the end of the best state.
const (
	samplesTag              = "samples"
	finalSamplesTag         = "final/samples"
	finalReconstructionsTag = "final/reconstructions"
)

// recall reads, once, what the files hold.
func (f *eventFiles) recall() error {
	if f.recalled {
		return nil
	}
	f.recalled, f.last, f.pictured, f.shown = true, -1, 0, map[string]shown{}
	names, err := tfevents.Files(f.folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // that of a restart
	}
	for _, name := range names {
		if err := f.recallFile(name); err != nil {
			return err
		}
	}
	return err
}

// recallFile reads a file up to where it was cut short, if it was.
func (f *eventFiles) recallFile(name string) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	for e, err := range tfevents.Read(file) {
		switch {
		case errors.Is(err, tfevents.ErrDamaged):
			return nil
		case err != nil:
			return err
		}
		if e.Restart {
			f.takeBack(e.Step)
		}
		if len(e.Scalars) > 0 {
			f.last = e.Step
		}
		for _, i := range e.Images {
			f.shown[i.Tag] = shown{e.Step, i.PNG}
			if i.Tag == samplesTag {
				f.pictured = e.Step
			}
		}
	}
	return nil
}

// takeBack forgets what was written of a step and of later ones.
func (f *eventFiles) takeBack(step int64) {
	f.last, f.pictured = min(f.last, step-1), min(f.pictured, step-1)
	maps.DeleteFunc(f.shown, func(_ string, s shown) bool { return s.step >= step })
}

// epoch writes all lines of metrics up to m, the newest, that the folder does not have: one, or those
// of a run that was killed between its metrics and its events, or began without events. Where it has
// the step of m, the run has gone back, and what is there of it and of later ones is taken back.
func (f *eventFiles) epoch(m run.Metrics) error {
	lines := []run.Metrics{m}
	var events []tfevents.Event
	if !f.recalled {
		if err := f.recall(); err != nil {
			return err
		}
		var err error
		if lines, err = f.run.ReadMetrics(); err != nil {
			return err
		}
		if f.last >= m.Step {
			events = append(events, tfevents.Event{Time: f.now(), Step: m.Step, Restart: true})
			f.takeBack(m.Step)
		}
	}
	events = append(events, f.since(lines)...)
	f.last = m.Step
	due := f.pictured == 0 || 10*(m.Step-f.pictured) >= f.pictured // at most some 24 pictures for ten times the steps
	if due && m.Step > 0 {
		images, err := f.pictures(m.Step, map[string]string{samplesTag: samplesFile})
		if err != nil {
			return err
		}
		if len(images) > 0 {
			events, f.pictured = append(events, images...), m.Step
		}
	}
	return f.write(events)
}

// since are the events of lines after the last step. When they were written is not known but for the
// last: they are as far apart as their seconds say.
func (f *eventFiles) since(lines []run.Metrics) []tfevents.Event {
	var events []tfevents.Event
	at := f.now()
	for _, m := range slices.Backward(lines) {
		if m.Step <= f.last {
			break
		}
		events = append(events, tfevents.Event{Time: at, Step: m.Step, Scalars: scalarsOf(m)})
		at = at.Add(-time.Duration(m.Seconds * float64(time.Second)))
	}
	slices.Reverse(events)
	return events
}

// final writes the last pictures, after whatever lines of metrics are not yet written.
func (f *eventFiles) final(step int64) error {
	if err := f.recall(); err != nil {
		return err
	}
	lines, err := f.run.ReadMetrics()
	if err != nil {
		return err
	}
	events := f.since(lines)
	if len(lines) > 0 {
		f.last = lines[len(lines)-1].Step
	}
	images, err := f.pictures(step, map[string]string{finalSamplesTag: samplesFile, finalReconstructionsTag: reconstructedFile})
	if err != nil {
		return err
	}
	return f.write(append(events, images...))
}

// pictures are an event with those of some pictures, files of the run by their tags, that have
// changed, and none where none has.
func (f *eventFiles) pictures(step int64, files map[string]string) ([]tfevents.Event, error) {
	e := tfevents.Event{Time: f.now(), Step: step}
	for _, tag := range slices.Sorted(maps.Keys(files)) {
		content, err := os.ReadFile(f.run.File(files[tag]))
		if errors.Is(err, fs.ErrNotExist) {
			continue // not drawn yet
		}
		if err != nil {
			return nil, err
		}
		if bytes.Equal(content, f.shown[tag].png) {
			continue
		}
		size, err := png.DecodeConfig(bytes.NewReader(content))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.run.File(files[tag]), err)
		}
		f.shown[tag] = shown{step, content}
		e.Images = append(e.Images, tfevents.Image{Tag: tag, Height: size.Height, Width: size.Width, PNG: content})
	}
	if e.Images == nil {
		return nil, nil
	}
	return []tfevents.Event{e}, nil
}

// write appends events to a file of this process, which it makes.
func (f *eventFiles) write(events []tfevents.Event) error {
	if len(events) == 0 {
		return nil
	}
	if f.writer == nil {
		err := os.MkdirAll(f.folder, 0o777)
		if err == nil {
			f.writer, err = tfevents.Create(f.folder, f.now())
		}
		if err != nil {
			return err
		}
	}
	return f.writer.Write(events...)
}

func (f *eventFiles) close() error {
	if f.writer == nil {
		return nil
	}
	defer func() { f.writer = nil }()
	return f.writer.Close()
}

// scalarsOf are the numbers of a line of metrics but for its step, each by its way through the line:
// train/bound, em/prior_kl.
func scalarsOf(m run.Metrics) []tfevents.Scalar {
	text, err := json.Marshal(m)
	if err != nil {
		return nil // a line that was written can be
	}
	var line map[string]any
	if err := json.Unmarshal(text, &line); err != nil {
		return nil
	}
	delete(line, "step")
	var scalars []tfevents.Scalar
	var add func(tag string, value any)
	add = func(tag string, value any) {
		switch v := value.(type) {
		case float64:
			scalars = append(scalars, tfevents.Scalar{Tag: tag, Value: float32(v)})
		case map[string]any:
			for _, key := range slices.Sorted(maps.Keys(v)) {
				add(tag+"/"+key, v[key])
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(line)) {
		add(key, line[key])
	}
	return scalars
}
