package serve

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"elbo/train"
	"elbo/train/run"
)

// listed is a run as the page lists it.
type listed struct {
	Name string `json:"name"` // its path below the directory, with slashes
	train.Summary
	Version string `json:"version"` // another one where anything of it has changed

	look int // by which it was read
}

// looksBetween is how many looks a run in training is left alone for after it was read: reading it
// reads its checkpoints, on the cores that train it.
const looksBetween = 3

// runs is a directory of runs, looked at from time to time. A run is read again only where a
// file of it has changed, and none is written to or locked: the program that trains it does not
// notice.
type runs struct {
	dir string

	mu    sync.Mutex
	known map[string]listed // by name
	order []string
	fault string // why the directory cannot be read
	looks int
}

// look reads the directory again, and reports whether anything is new.
func (d *runs) look() bool {
	found, err := train.FindRuns(d.dir)
	d.mu.Lock()
	defer d.mu.Unlock()
	fault := ""
	if err != nil {
		fault = err.Error()
	}
	changed := fault != d.fault
	d.looks++
	known, order := map[string]listed{}, []string{}
	for _, path := range found {
		name := nameOf(d.dir, path)
		version := versionOf(path)
		r, ok := d.known[name]
		rests := ok && r.State == train.RunInTraining && d.looks-r.look < looksBetween
		if !ok || r.Version != version && !rests {
			r = listed{Name: name, Summary: train.Summarise(path), Version: version, look: d.looks}
			changed = true
		}
		known[name], order = r, append(order, name)
	}
	changed = changed || !slices.Equal(order, d.order)
	d.known, d.order, d.fault = known, order, fault
	return changed
}

// nameOf is the name of a run at a path below dir.
func nameOf(dir, path string) string {
	name, err := filepath.Rel(dir, path)
	if err != nil || name == "." { // the directory is the run
		return filepath.Base(path)
	}
	return filepath.ToSlash(name)
}

// versionOf tells the states of a run's files apart. Whether a run is in training shows in its
// lock alone, and so a run that does not change is looked at again each half minute.
func versionOf(path string) string {
	sum := fnv.New64a()
	entries, _ := os.ReadDir(path)
	for _, entry := range entries {
		if info, err := entry.Info(); err == nil && info.Mode().IsRegular() && !strings.HasPrefix(entry.Name(), ".") {
			fmt.Fprintf(sum, "%s %d %d\n", entry.Name(), info.Size(), info.ModTime().UnixNano())
		}
	}
	return fmt.Sprintf("%016x", sum.Sum64())
}

// list is all that is known.
func (d *runs) list() (all []listed, fault string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	all = []listed{}
	for _, name := range d.order {
		all = append(all, d.known[name])
	}
	return all, d.fault
}

// forget has runs that look as if they trained looked at again, as one that was killed changes
// no file.
func (d *runs) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for name, r := range d.known {
		if r.State == train.RunInTraining {
			delete(d.known, name)
		}
	}
}

// find returns a run of the list: no other path is ever opened.
func (d *runs) find(name string) (listed, error) {
	d.mu.Lock()
	r, ok := d.known[name]
	d.mu.Unlock()
	if !ok && d.look() {
		d.mu.Lock()
		r, ok = d.known[name]
		d.mu.Unlock()
	}
	if !ok {
		return r, &badRequest{http.StatusNotFound, fmt.Sprintf("there is no run %.80q in the directory", name)}
	}
	return r, nil
}

// file opens a file of a run, which no link leads out of it.
func (r listed) file(name string) (*os.File, error) {
	root, err := os.OpenRoot(r.Run)
	if err != nil {
		return nil, &badRequest{http.StatusNotFound, fmt.Sprintf("the run %.80q is there no more", r.Name)}
	}
	defer root.Close()
	f, err := root.Open(name)
	if err != nil {
		return nil, &badRequest{http.StatusNotFound, fmt.Sprintf("the run %.80q has no %s", r.Name, name)}
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		f.Close()
		return nil, &badRequest{http.StatusNotFound, fmt.Sprintf("the run %.80q has no %s", r.Name, name)}
	}
	return f, nil
}

// metrics reads the lines of a run that are whole.
func (r listed) metrics() ([]run.Metrics, error) {
	dir, err := train.ReadRun(r.Run)
	if err != nil {
		return nil, err
	}
	metrics, err := dir.ReadMetrics()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return metrics, err
}

// Times of the stream of events.
const (
	lookEvery   = time.Second      // at files, while anybody watches
	forgetEvery = 30 * time.Second // what is in training
	beatEvery   = 15 * time.Second // a comment, so that nobody on the way ends a silent connection
)

// events streams the list of runs, now and whenever it changes.
func (p *Page) events(w http.ResponseWriter, r *http.Request) {
	stream := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	send := func() error {
		all, fault := p.runs.list()
		text, err := json.Marshal(map[string]any{"runs": all, "fault": fault})
		if err != nil {
			return err
		}
		stream.SetWriteDeadline(time.Now().Add(timeToRead)) // of this event: the stream has no end
		if _, err := fmt.Fprintf(w, "event: runs\ndata: %s\n\n", text); err != nil {
			return err
		}
		return stream.Flush()
	}
	changes, leave := p.watchers.join()
	defer leave()
	p.runs.look()
	if send() != nil {
		return
	}
	beat := time.NewTicker(beatEvery)
	defer beat.Stop()
	for {
		select {
		case <-r.Context().Done():
			return
		case <-p.closed:
			return
		case <-changes:
			if send() != nil {
				return
			}
		case <-beat.C:
			stream.SetWriteDeadline(time.Now().Add(timeToRead))
			if _, err := fmt.Fprint(w, ": still here\n\n"); err != nil {
				return
			}
			if stream.Flush() != nil {
				return
			}
		}
	}
}

// watchers are the streams that want to hear of changes.
type watchers struct {
	mu  sync.Mutex
	all map[chan struct{}]bool
}

func (w *watchers) join() (changes <-chan struct{}, leave func()) {
	c := make(chan struct{}, 1) // one that was not heard yet stands for all
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.all == nil {
		w.all = map[chan struct{}]bool{}
	}
	w.all[c] = true
	return c, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.all, c)
	}
}

func (w *watchers) tell() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.all {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

func (w *watchers) any() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.all) > 0
}

// Follow looks at the directory while anybody watches, until the page is closed.
func (p *Page) Follow() {
	look, forget := time.NewTicker(lookEvery), time.NewTicker(forgetEvery)
	defer look.Stop()
	defer forget.Stop()
	for {
		select {
		case <-p.closed:
			return
		case <-forget.C:
			p.runs.forget()
		case <-look.C:
			if p.watchers.any() && p.runs.look() {
				p.watchers.tell()
			}
		}
	}
}
