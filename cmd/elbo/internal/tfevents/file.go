package tfevents

import (
	"bufio"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// version is that of the format: what a file begins with. In this one an Event with Restart takes
// back events of its step and of later ones.
const version = "brain.Event:2"

// Writer writes a file of events.
type Writer struct{ file *os.File }

// prefix is what names of event files begin with; then comes the second in which the file was
// made, and a name.
const (
	prefix = "events.out.tfevents."
	suffix = ".elbo"
)

// Create makes an event file in a directory. Its name sorts behind those of the event files there,
// as TensorBoard reads them in the order of their names.
func Create(dir string, now time.Time) (*Writer, error) {
	names, err := Files(dir)
	if err != nil {
		return nil, err
	}
	second := now.Unix()
	for _, name := range names {
		digits, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(name), prefix), ".")
		if taken, err := strconv.ParseInt(digits, 10, 64); err == nil && taken >= second && len(digits) <= 10 {
			second = taken + 1
		}
	}
	file, err := os.OpenFile(filepath.Join(dir, fmt.Sprintf("%s%010d%s", prefix, second, suffix)), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return nil, err
	}
	w := &Writer{file}
	if err := w.Write(Event{Time: now, Version: version}); err != nil {
		file.Close()
		return nil, err
	}
	return w, nil
}

// Write appends events, in one write: a process that is killed leaves all of them, or its last
// record unfinished, where readers stop.
func (w *Writer) Write(events ...Event) error {
	var b []byte
	for _, e := range events {
		b = appendRecord(b, e.encode())
	}
	_, err := w.file.Write(b)
	return err
}

// Close closes the file.
func (w *Writer) Close() error { return w.file.Close() }

// Files are the event files of a directory, in the order in which they are read.
func Files(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir) // by name
	if err != nil {
		return nil, err
	}
	var names []string
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), prefix) && !entry.IsDir() {
			names = append(names, filepath.Join(dir, entry.Name()))
		}
	}
	return names, nil
}

// Read yields the events of a file, in their order. Where it meets a record that is damaged, as one
// whose writing was cut short, it ends with an ErrDamaged.
func Read(r io.Reader) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		buffered := bufio.NewReader(r)
		for {
			data, err := readRecord(buffered)
			if err == io.EOF {
				return
			}
			var e Event
			if err == nil {
				if err = e.decode(data); err != nil {
					err = fmt.Errorf("%w: %w", ErrDamaged, err)
				}
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}
