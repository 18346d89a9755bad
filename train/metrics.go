package train

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// EpochTerms are the terms of the bound, averages over the images of one pass, in
// nats per image: Bound = Recon - KL, at beta = 1. BoundSE is the standard error of
// Bound over the images, 0 if it was not computed.
type EpochTerms struct {
	Recon   float64 `json:"recon"`
	KL      float64 `json:"kl"`
	Bound   float64 `json:"bound"`
	BoundSE float64 `json:"bound_se,omitempty"`
}

// Metrics is one line of metrics.jsonl: what an epoch (EM: an iteration) came to.
type Metrics struct {
	Epoch           int         `json:"epoch"`                // from 1; EM: iterations, from 0
	Step            int64       `json:"step"`                 // optimiser steps at its end
	Train           *EpochTerms `json:"train,omitempty"`      // while training
	Validation      *EpochTerms `json:"validation,omitempty"` // at its end; nil without a validation split
	Beta            float64     `json:"beta"`                 // weight of KL in the objective
	Seconds         float64     `json:"seconds"`              // of this epoch
	ImagesPerSecond float64     `json:"images_per_second"`
	EM              *EMTerms    `json:"em,omitempty"` // of a model with a table
}

// EMTerms are what an E-step knows besides, in nats per image of the training images.
// There the bound is the evidence, as the table is the exact posterior.
type EMTerms struct {
	Note    float64 `json:"note"`    // E_p(z)[log p(x|z)], the bound at q = p(z)
	NoteKL  float64 `json:"note_kl"` // KL(p(z) ‖ p(z|x)) = evidence - Note
	Penalty float64 `json:"penalty"` // log-density of the parameters under the smoothing prior
	Used    int     `json:"used"`    // states that hold at least half an image
	// Rounding is what float32 may take from the bound; 0 in lines of earlier versions.
	Rounding float64 `json:"rounding,omitempty"`
	// Table: the bound is that of a table whose rows are of different ages
	// (incremental EM), and below the evidence; note and note_kl are not known.
	Table    bool `json:"table,omitempty"`
	Stalled  bool `json:"stalled,omitempty"`  // the M-step before found nothing better
	Reseeded int  `json:"reseeded,omitempty"` // dead components that the M-step before moved
	// OldTable is the ELBO at these parameters with the table of the iteration before:
	// the M-step raised it to here from the evidence before, and this E-step raises it to
	// the evidence, by KL(old table ‖ new table). Nil where that table is not known:
	// at iteration 0, and under a prior per image, acceleration, increments or moves.
	OldTable *float64 `json:"old_table,omitempty"`
}

// check finds the numbers that JSON has no form for.
func (m *Metrics) check() error {
	type number struct {
		key   string
		value float64
	}
	numbers := []number{{"beta", m.Beta}, {"seconds", m.Seconds}, {"images_per_second", m.ImagesPerSecond}}
	for _, t := range []struct {
		key   string
		terms *EpochTerms
	}{{"train", m.Train}, {"validation", m.Validation}} {
		if t.terms != nil {
			numbers = append(numbers, number{t.key + ".recon", t.terms.Recon}, number{t.key + ".kl", t.terms.KL},
				number{t.key + ".bound", t.terms.Bound}, number{t.key + ".bound_se", t.terms.BoundSE})
		}
	}
	var faults []error
	for _, n := range numbers {
		if !checkpointFinite(n.value) {
			faults = append(faults, fmt.Errorf("%s is %v, want a finite number", n.key, n.value))
		}
	}
	return errors.Join(faults...)
}

// metricsLog is metrics.jsonl, open for reading and writing.
type metricsLog interface {
	io.ReaderAt
	io.WriterAt
	Truncate(size int64) error
	Stat() (fs.FileInfo, error)
	Sync() error
	Close() error
}

func openMetricsLog(path string) (metricsLog, error) {
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
}

// AppendMetrics adds a line to metrics.jsonl in one write and flushes it to the
// disk. A line that an earlier crash cut short is removed first. On an error the
// file holds the lines it held before.
func (r *RunDir) AppendMetrics(m Metrics) (err error) {
	if err := r.writable(); err != nil {
		return err
	}
	path := r.File(MetricsFile)
	defer func() {
		if err != nil {
			err = fmt.Errorf("train: %s: metrics of epoch %d not written: %w%s", path, m.Epoch, err, atomicHint(err))
		}
	}()
	if err := m.check(); err != nil {
		return err
	}
	line, err := json.Marshal(m)
	if err != nil {
		return err
	}
	log, err := r.openLog(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	end, err := metricsEnd(log)
	if err != nil {
		return err
	}
	if err := appendMetricsLine(log, end, append(line, '\n')); err != nil {
		return err
	}
	if end == 0 {
		return r.ops.syncDir(r.Path) // the file may be new
	}
	return nil
}

func appendMetricsLine(log metricsLog, end int64, line []byte) error {
	if err := log.Truncate(end); err != nil {
		return err
	}
	_, err := log.WriteAt(line, end)
	if err == nil {
		err = log.Sync()
	}
	if err != nil {
		return errors.Join(err, log.Truncate(end))
	}
	return nil
}

// metricsEnd is the length of the file up to its last whole line.
func metricsEnd(log metricsLog) (int64, error) {
	info, err := log.Stat()
	if err != nil || info.Size() == 0 {
		return 0, err
	}
	size := info.Size()
	last := make([]byte, 1)
	if _, err := log.ReadAt(last, size-1); err != nil {
		return 0, err
	}
	if last[0] == '\n' {
		return size, nil
	}
	text := make([]byte, size)
	if _, err := io.ReadFull(io.NewSectionReader(log, 0, size), text); err != nil {
		return 0, err
	}
	return int64(bytes.LastIndexByte(text, '\n') + 1), nil
}

// ReadMetrics returns the lines of metrics.jsonl, none if there is no such file yet.
// A last line without its end, as a crash leaves it, is ignored. Any other line that
// is not Metrics is an error that gives its number. Keys that are not known are
// skipped.
func (r *RunDir) ReadMetrics() ([]Metrics, error) {
	lines, _, err := r.readMetricsLines()
	if err != nil {
		return nil, err
	}
	var metrics []Metrics
	for _, line := range lines {
		metrics = append(metrics, line.Metrics)
	}
	return metrics, nil
}

// TruncateMetrics removes the lines of steps after step, and a last line without its
// end. A run that continues from an older checkpoint writes those epochs again. The
// file is replaced atomically, or left alone if there is nothing to remove.
func (r *RunDir) TruncateMetrics(step int64) error {
	if err := r.writable(); err != nil {
		return err
	}
	lines, size, err := r.readMetricsLines()
	if err != nil {
		return err
	}
	var kept []byte
	for _, line := range lines {
		if line.Step <= step {
			kept = append(kept, line.text...)
		}
	}
	if len(kept) == size {
		return nil
	}
	return r.ops.write(r.File(MetricsFile), func(w io.Writer) error {
		_, err := w.Write(kept)
		return err
	})
}

// metricsLine is a line as it stands in the file, with its newline, and its meaning.
type metricsLine struct {
	Metrics
	text []byte
}

// readMetricsLines returns the whole lines, and the size of the file in bytes.
func (r *RunDir) readMetricsLines() ([]metricsLine, int, error) {
	path := r.File(MetricsFile)
	file, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("train: read the metrics of the run: %w", err)
	}
	lines, err := parseMetricsLines(file)
	if err != nil {
		return nil, 0, fmt.Errorf("train: %s: %w: want one JSON object an epoch: repair or remove the line", path, err)
	}
	return lines, len(file), nil
}

func parseMetricsLines(file []byte) ([]metricsLine, error) {
	var lines []metricsLine
	for text := range bytes.Lines(file) {
		if !bytes.HasSuffix(text, []byte("\n")) {
			break // the last, cut short
		}
		line := metricsLine{text: text}
		err := json.Unmarshal(text, &line.Metrics)
		if err == nil && text[0] != '{' { // null would pass
			err = errors.New("not a JSON object")
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", len(lines)+1, err)
		}
		lines = append(lines, line)
	}
	return lines, nil
}
