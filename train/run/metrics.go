package run

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"regexp"
	"strings"
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
	Averaged        bool        `json:"averaged,omitempty"`   // the average of the parameters was better there than they are, and Validation is of it
	Beta            float64     `json:"beta"`                 // weight of KL in the objective
	Seconds         float64     `json:"seconds"`              // of this epoch
	ImagesPerSecond float64     `json:"images_per_second"`
	EM              *EMTerms    `json:"em,omitempty"` // of a model with a table
}

// EMTerms are what an E-step knows besides, in nats per image of the training images.
// There the bound is the evidence, as the table is the exact posterior.
type EMTerms struct {
	PriorBound *float64 `json:"prior_bound,omitempty"` // E_p(z)[log p(x|z)], the bound at q = p(z); nil where it is not known
	PriorKL    *float64 `json:"prior_kl,omitempty"`    // KL(p(z) ‖ p(z|x)) = evidence - PriorBound; nil likewise
	Penalty    float64  `json:"penalty"`               // log-density of the parameters under the smoothing prior
	Used       int      `json:"used"`                  // states that hold at least half an image
	// Rounding is what float32 may take from the bound; 0 in lines of earlier versions.
	Rounding float64 `json:"rounding,omitempty"`
	// Table: the bound is that of a table whose rows are of different ages
	// (incremental EM), and below the evidence; PriorBound and PriorKL are not known,
	// and were 0 in lines of earlier versions.
	Table    bool `json:"table,omitempty"`
	Stalled  bool `json:"stalled,omitempty"`  // the M-step before found nothing better
	Reseeded int  `json:"reseeded,omitempty"` // dead components that the M-step before moved
	// AfterMStep is the ELBO at these parameters with the table of the iteration before:
	// the M-step raised it to here from the evidence before, and this E-step raises it to
	// the evidence, by KL(old table ‖ new table). Nil where that table is not known:
	// at iteration 0, and under a prior per image, acceleration, increments or moves.
	AfterMStep *float64 `json:"bound_after_m_step,omitempty"`
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

// A line ends with the CRC-32C (Castagnoli) of its bytes before that key. Lines of older
// programs have none.
const metricsSumFormat = `,"crc32c":"%08x"}`

var (
	metricsSum   = regexp.MustCompile(`,"crc32c":"([0-9a-f]{8})"}\n$`)
	metricsTable = crc32.MakeTable(crc32.Castagnoli)
)

// sealMetrics adds its checksum to a JSON object, and the end of the line.
func sealMetrics(object []byte) []byte {
	body := object[:len(object)-1] // without its brace
	return append(fmt.Appendf(bytes.Clone(body), metricsSumFormat, crc32.Checksum(body, metricsTable)), '\n')
}

// MetricsLog is metrics.jsonl, open for reading and writing.
type MetricsLog interface {
	io.ReaderAt
	io.WriterAt
	Truncate(size int64) error
	Stat() (fs.FileInfo, error)
	Sync() error
	Close() error
}

func openMetricsLog(path string) (MetricsLog, error) {
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
}

// AppendMetrics adds a line to metrics.jsonl in one write and flushes it to the
// disk. A line that an earlier crash cut short is removed first. On an error the
// file holds the lines it held before.
func (r *Dir) AppendMetrics(m Metrics) (err error) {
	if r.unwritten {
		return m.check()
	}
	if err := r.writable(); err != nil {
		return err
	}
	path := r.File(MetricsFile)
	defer func() {
		if err != nil {
			err = fmt.Errorf("%s: metrics of epoch %d not written: %w%s", path, m.Epoch, err, atomicHint(err))
		}
	}()
	if err := m.check(); err != nil {
		return err
	}
	line, err := json.Marshal(m)
	if err != nil {
		return err
	}
	log, err := r.Files.OpenLog(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	end, err := metricsEnd(log)
	if err != nil {
		return err
	}
	if err := appendMetricsLine(log, end, sealMetrics(line)); err != nil {
		return err
	}
	if end == 0 {
		return r.Files.SyncDir(r.Path) // the file may be new
	}
	return nil
}

func appendMetricsLine(log MetricsLog, end int64, line []byte) error {
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
func metricsEnd(log MetricsLog) (int64, error) {
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
// Damaged lines are passed over, see MetricsFaults, and so is a last line without its
// end, as a crash leaves it. Keys that are not known are skipped in lines that have a
// checksum, as a later program wrote them.
func (r *Dir) ReadMetrics() ([]Metrics, error) {
	lines, _, err := r.readMetricsLines()
	if err != nil {
		return nil, err
	}
	var metrics []Metrics
	for _, line := range lines {
		if line.fault == nil {
			metrics = append(metrics, line.Metrics)
		}
	}
	return metrics, nil
}

// namedFaults is how many damaged lines are named one by one.
const namedFaults = 5

// Span is the passes that a checkpoint has behind it, each of which has left a line of
// metrics: from First to End - 1. Unit is what one is called.
type Span struct {
	Unit       string // "epoch", "iteration"
	First, End int
}

// MetricsFaults says which lines of metrics.jsonl are damaged, and which of a span are
// missing.
func (r *Dir) MetricsFaults(behind Span) ([]error, error) {
	lines, _, err := r.readMetricsLines()
	if err != nil {
		return nil, err
	}
	path := r.File(MetricsFile)
	var faults []error
	damaged := 0
	seen := map[int]bool{}
	for i, line := range lines {
		if line.fault == nil {
			seen[line.Epoch] = true
			continue
		}
		if damaged++; damaged <= namedFaults {
			faults = append(faults, fmt.Errorf("%s: line %d is damaged: %w", path, i+1, line.fault))
		}
	}
	if more := damaged - namedFaults; more > 0 {
		faults = append(faults, fmt.Errorf("%s: so are %d more lines", path, more))
	}
	if missing := behind.missing(seen); missing != "" {
		faults = append(faults, fmt.Errorf("%s: there is no whole line of %s, though the checkpoint is later", path, missing))
	}
	return faults, nil
}

// missing names the passes of a span that were not seen.
func (s Span) missing(seen map[int]bool) string {
	var ranges []string
	for e := s.First; e < s.End; e++ {
		from := e
		for e < s.End && !seen[e] {
			e++
		}
		switch e - from {
		case 0:
		case 1:
			ranges = append(ranges, fmt.Sprint(from))
		default:
			ranges = append(ranges, fmt.Sprintf("%d to %d", from, e-1))
		}
	}
	if len(ranges) == 0 {
		return ""
	}
	return s.Unit + " " + strings.Join(ranges, ", ")
}

// TruncateMetrics removes the lines from an epoch on, and a last line without its end:
// a run that is in that epoch writes them again. It is the epoch that counts, as a
// checkpoint of an epoch's last step may be from before its line was written. Damaged
// lines are set aside: they are moved to the end of metrics.damaged.jsonl. Files are
// replaced atomically, or left alone if there is nothing to remove.
func (r *Dir) TruncateMetrics(epoch int) error {
	if r.unwritten {
		return nil
	}
	if err := r.writable(); err != nil {
		return err
	}
	lines, size, err := r.readMetricsLines()
	if err != nil {
		return err
	}
	var kept, damaged []byte
	for _, line := range lines {
		switch {
		case line.fault != nil:
			damaged = append(damaged, line.text...)
		case line.Epoch < epoch:
			kept = append(kept, line.text...)
		}
	}
	if len(kept) == size {
		return nil
	}
	if err := r.setAside(damaged); err != nil {
		return err
	}
	return r.Files.write(r.File(MetricsFile), func(w io.Writer) error {
		_, err := w.Write(kept)
		return err
	})
}

// setAside appends damaged lines to metrics.damaged.jsonl, unless they are there, as a
// crash between the two files leaves them.
func (r *Dir) setAside(damaged []byte) error {
	path := r.File(MetricsDamagedFile)
	before, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("set damaged metrics aside: %w", err)
	}
	if len(damaged) == 0 || bytes.HasSuffix(before, damaged) {
		return nil
	}
	return r.Files.write(path, func(w io.Writer) error {
		_, err := w.Write(append(before, damaged...))
		return err
	})
}

// metricsLine is a line as it stands in the file, with its newline, and its meaning or
// what is wrong with it.
type metricsLine struct {
	Metrics
	text  []byte
	fault error
}

// readMetricsLines returns the whole lines, and the size of the file in bytes.
func (r *Dir) readMetricsLines() ([]metricsLine, int, error) {
	file, err := os.ReadFile(r.File(MetricsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read the metrics of the run: %w", err)
	}
	return parseMetricsLines(file), len(file), nil
}

func parseMetricsLines(file []byte) []metricsLine {
	var lines []metricsLine
	last := -1 // epoch
	for text := range bytes.Lines(file) {
		if !bytes.HasSuffix(text, []byte("\n")) {
			break // the last, cut short
		}
		line := metricsLine{text: text}
		line.fault = line.parse()
		if line.fault == nil && line.Epoch <= last {
			line.fault = fmt.Errorf("epoch %d comes after epoch %d", line.Epoch, last)
		}
		if line.fault == nil {
			last = line.Epoch
		}
		lines = append(lines, line)
	}
	return lines
}

// anyMetrics takes a line of this program, and of earlier ones, which had other names for
// some keys of em. An UnmarshalJSON of EMTerms would take them as well, but let pass what
// DisallowUnknownFields finds: a damaged key in a line without a checksum.
type anyMetrics struct {
	*Metrics
	EM *anyEMTerms `json:"em"` // stands before the one of Metrics
}

type anyEMTerms struct {
	EMTerms
	Note     *float64 `json:"note"`      // PriorBound
	NoteKL   *float64 `json:"note_kl"`   // PriorKL
	OldTable *float64 `json:"old_table"` // AfterMStep
}

func (a *anyEMTerms) terms() *EMTerms {
	if a == nil {
		return nil
	}
	t := a.EMTerms
	if a.Note != nil {
		t.PriorBound = a.Note
	}
	if a.NoteKL != nil {
		t.PriorKL = a.NoteKL
	}
	if a.OldTable != nil {
		t.AfterMStep = a.OldTable
	}
	if t.Table {
		t.PriorBound, t.PriorKL = nil, nil
	}
	return &t
}

// parse reads the text of a line and checks its checksum. Without one it is of an older
// program, all of whose keys are known.
func (l *metricsLine) parse() error {
	decoder := json.NewDecoder(bytes.NewReader(l.text))
	if at := metricsSum.FindSubmatchIndex(l.text); at != nil {
		want, got := string(l.text[at[2]:at[3]]), fmt.Sprintf("%08x", crc32.Checksum(l.text[:at[0]], metricsTable))
		if got != want {
			return fmt.Errorf("its checksum says %s, its bytes have %s", want, got)
		}
	} else {
		decoder.DisallowUnknownFields()
	}
	if l.text[0] != '{' { // null would pass
		return errors.New("not a JSON object")
	}
	read := anyMetrics{Metrics: &l.Metrics}
	if err := decoder.Decode(&read); err != nil {
		return err
	}
	l.EM = read.EM.terms()
	if _, err := decoder.Token(); err != io.EOF {
		return errors.New("something follows the JSON object")
	}
	if l.Train == nil {
		return errors.New("it has no terms of training")
	}
	return nil
}
