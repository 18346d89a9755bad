package run

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"

	"elbo/train/safetensors"
)

// FormatVersion is the version of the checkpoint format that this program writes.
// It reads this version and every earlier one.
const FormatVersion = 1

// What can be wrong with a checkpoint, for errors.Is. A file that is missing
// or unreadable gives the operating system's error (fs.ErrNotExist, ...).
var (
	// ErrNotCheckpoint: something else, perhaps a safetensors file of another program.
	ErrNotCheckpoint = errors.New("not an elbo checkpoint")
	// ErrNewerFormat: a FormatVersion above ours.
	ErrNewerFormat = errors.New("written by a newer elbo")
	// ErrDamaged: cut short, or a header that cannot be right.
	ErrDamaged = errors.New("damaged checkpoint")
	// ErrDamagedConfig: a run directory whose configuration cannot be read.
	ErrDamagedConfig = errors.New("damaged configuration")
	// ErrChecksum: complete, but not the bytes that were written.
	ErrChecksum = errors.New("checksum mismatch")
	// ErrNotFinite: a value that is NaN or infinite. Such a state is not saved; in a
	// file it comes with ErrDamaged.
	ErrNotFinite = errors.New("not finite")
)

// State is all that a run needs to continue bit for bit.
//
// On disk it is one safetensors file: Params, Tables, Moments, as F32 tensors, and the
// rest as text in the header's __metadata__:
//
//	elbo.format         version of this format, "1"
//	elbo.sha256         SHA-256 of the data section (everything after the header), hex
//	elbo.header_sha256  SHA-256, hex, of the header as elbo writes it but without this
//	                    key and without padding: __metadata__ first, its keys sorted,
//	                    the tensors in the order of their data, no spaces
//	elbo.step           Step
//	elbo.epoch          Epoch
//	elbo.position       Position
//	elbo.sums.images    Sums.Images, and so on: elbo.sums.recon, .kl, .bound; where the
//	                    position is 0 and images is 1, bound is Objective
//	elbo.best.bound     Best.Bound, elbo.best.epoch, elbo.best.step; absent without Best
//	elbo.config         Config, byte for byte (the seeds are in it)
//	elbo.data           Data
//	elbo.numerics       Numerics, byte for byte
//	elbo.m_step         MStep, a JSON object; absent where all of it is zero
//
// A float64 is written in the shortest decimal form that reads back to the same
// bits. A tensor whose name begins with "adam." is a moment, one whose name is that of
// a table is a table, every other one a parameter. Nothing else is stored, neither time nor place: equal states give equal
// files, and loading and saving again changes no byte.
type State struct {
	Step     int64                // optimiser steps taken (EM: iterations)
	Epoch    int                  // the epoch the next step belongs to, from 1
	Position int                  // images of that epoch already seen
	Sums     Sums                 // running sums of the unfinished epoch
	Best     *Best                // best validation bound so far, nil before the first
	Config   json.RawMessage      // resolved configuration; empty for none
	Data     string               // SHA-256 of the data set
	Numerics json.RawMessage      // numerics identity, a JSON object of strings; empty for none
	Params   []safetensors.Tensor // of the model, under their PyTorch names
	Moments  []safetensors.Tensor // optimiser state: adam.m.<param>, adam.v.<param>
	Average  []safetensors.Tensor // running average of the parameters where there is one: ema.<param>

	// Of a fit by EM.
	Objective *float64             // evidence plus penalty that the iteration before came to, nats per image; nil before the first
	MStep     MStep                // what the last M-step leaves behind besides parameters
	Tables    []safetensors.Tensor // tables over images, and statistics: see the names of tables

	FileSHA256 string // of the whole file that it was loaded from, hexadecimal; "" of a state that was not. Not stored
}

// MStep is what an M-step leaves behind besides parameters: for the line of metrics after
// it, and for the next M-step.
type MStep struct {
	Stalled  bool    `json:"stalled,omitempty"`  // by gradients, it found nothing better
	Reseeded int     `json:"reseeded,omitempty"` // components that it moved
	Slow     bool    `json:"slow,omitempty"`     // under acceleration: the gain before it was below the tolerance
	Shorter  float64 `json:"shorter,omitempty"`  // by gradients: the learning rate is divided by 1 + this

	// Bound of the table of the E-step before, at the parameters after: see EMTerms.
	Bound *float64 `json:"old_table,omitempty"`
}

// The names of tables begin with one of these. No parameter's does.
const (
	PriorTable       = "prior.log_table" // log p_n(z) of each image n, [N, K]
	IncrementalTable = "incremental."    // statistics of the batches of incremental EM
)

// isTable reports whether a tensor is one of Tables.
func isTable(name string) bool {
	return name == PriorTable || strings.HasPrefix(name, IncrementalTable)
}

// Sums are sums over the images of an epoch, in nats; Images counts them.
type Sums struct{ Images, Recon, KL, Bound float64 }

// Best is the best validation bound (nats per image) and where the run stood then.
type Best struct {
	Bound float64 `json:"bound"`
	Epoch int     `json:"epoch"`
	Step  int64   `json:"step"`
}

const (
	checkpointFormat       = "elbo.format"
	checkpointSHA256       = "elbo.sha256"
	checkpointHeaderSHA256 = "elbo.header_sha256"
	checkpointStep         = "elbo.step"
	checkpointEpoch        = "elbo.epoch"
	checkpointPosition     = "elbo.position"
	checkpointSumsImages   = "elbo.sums.images"
	checkpointSumsRecon    = "elbo.sums.recon"
	checkpointSumsKL       = "elbo.sums.kl"
	checkpointSumsBound    = "elbo.sums.bound"
	checkpointBestBound    = "elbo.best.bound"
	checkpointBestEpoch    = "elbo.best.epoch"
	checkpointBestStep     = "elbo.best.step"
	checkpointConfig       = "elbo.config"
	checkpointData         = "elbo.data"
	checkpointNumerics     = "elbo.numerics"
	checkpointMStep        = "elbo.m_step"

	checkpointMoment  = "adam."
	checkpointMomentM = checkpointMoment + "m."
	checkpointMomentV = checkpointMoment + "v."

	// Names of averages: "ema." and the parameter's name.
	checkpointAverage = "ema."
)

// Save writes s to path atomically (see WriteAtomic). It refuses a state
// that could not be resumed from, naming every fault at once: a value that is not
// finite, a moment without its parameter, a name that is used twice.
func Save(path string, s *State) error {
	return saveCheckpoint(OSFiles(), path, s)
}

func saveCheckpoint(ops Files, path string, s *State) error {
	if err := s.check(); err != nil {
		return fmt.Errorf("%s: state of step %d not saved: %w", path, s.Step, err)
	}
	return ops.write(path, func(w io.Writer) error { return writeCheckpoint(w, s) })
}

// Check is what the reader of a checkpoint asks of it besides: of its configuration, that
// it is one. It may be nil.
type Check func(*State) error

// Load reads and verifies the checkpoint at path. The error says which of
// ErrNotCheckpoint, ErrNewerFormat, ErrDamaged and ErrChecksum it is.
func Load(path string, check Check) (*State, error) {
	s, err := loadCheckpoint(path)
	if err == nil && check != nil && len(s.Config) > 0 {
		err = check(s)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w%s", path, err, checkpointHint(err))
	}
	return s, nil
}

// Encode returns the bytes of a checkpoint's file.
func Encode(s *State) ([]byte, error) {
	var file bytes.Buffer
	err := writeCheckpoint(&file, s)
	return file.Bytes(), err
}

// Decode is Load of the bytes of a checkpoint's file.
func Decode(file []byte, check Check) (*State, error) {
	s, err := readCheckpoint(bytes.NewReader(file), int64(len(file)))
	if err == nil && check != nil && len(s.Config) > 0 {
		err = check(s)
	}
	return s, err
}

func loadCheckpoint(path string) (*State, error) {
	info, err := os.Stat(path) // before Open, which would wait for ever on a pipe
	switch {
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, fmt.Errorf("%w: a directory, want a file such as best.safetensors in it", ErrNotCheckpoint)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%w: not a regular file", ErrNotCheckpoint)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readCheckpoint(f, info.Size())
}

// checkpointHint is the next thing to try.
func checkpointHint(err error) string {
	switch {
	case errors.Is(err, ErrNewerFormat):
		return ": update elbo"
	case errors.Is(err, ErrDamaged), errors.Is(err, ErrChecksum):
		return ": use another checkpoint of the run or a copy of this one"
	case errors.Is(err, fs.ErrNotExist):
		return ": want best, last or a checkpoint's file"
	case errors.Is(err, ErrNotCheckpoint):
		return ": give a file that elbo train has written"
	}
	return ""
}

// CheckParams compares the parameters with those of a model: want holds their names
// and shapes, data is not looked at. The error names everything that differs.
func (s *State) CheckParams(want []safetensors.Tensor) error {
	found := checkpointShapes(s.Params)
	var faults []error
	for _, w := range want {
		shape, ok := found[w.Name]
		switch {
		case !ok:
			faults = append(faults, fmt.Errorf("checkpoint has no %s, the configuration asks for %v", w.Name, w.Shape))
		case !slices.Equal(shape, w.Shape):
			faults = append(faults, fmt.Errorf("checkpoint has %s %v, the configuration asks for %v", w.Name, shape, w.Shape))
		}
		delete(found, w.Name)
	}
	for _, p := range s.Params {
		if shape, left := found[p.Name]; left {
			faults = append(faults, fmt.Errorf("checkpoint has %s %v, the configuration has no such parameter", p.Name, shape))
		}
	}
	if len(faults) == 0 {
		return nil
	}
	return fmt.Errorf("%w: the checkpoint %w: use the configuration of the run that wrote it and images of that size, or start a new run with another --out", errors.Join(faults...), ErrMismatch)
}

func checkpointShapes(tensors []safetensors.Tensor) map[string][]int {
	shapes := make(map[string][]int, len(tensors))
	for _, t := range tensors {
		shapes[t.Name] = t.Shape
	}
	return shapes
}

// check finds what would keep a run from continuing from s.
func (s *State) check() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if s.Step < 0 || s.Epoch < 1 || s.Position < 0 {
		fault("step %d, epoch %d, position %d: want at least 0, 1, 0", s.Step, s.Epoch, s.Position)
	}
	if s.Position == 0 && s.Sums != (Sums{}) {
		fault("sums %v of an epoch that has not begun: want none", s.Sums)
	}
	if s.Best != nil && (s.Best.Step < 0 || s.Best.Epoch < 0) {
		fault("best at epoch %d, step %d: want at least 0", s.Best.Epoch, s.Best.Step)
	}
	sums := s.savedSums()
	for _, f := range s.floats(&sums) {
		if !checkpointFinite(*f.value) {
			fault("%s is %w: %v", f.key, ErrNotFinite, *f.value)
		}
	}
	for _, text := range []struct {
		key   string
		value json.RawMessage
	}{{checkpointConfig, s.Config}, {checkpointNumerics, s.Numerics}} {
		if len(text.value) > 0 && !json.Valid(text.value) {
			fault("%s is not JSON", text.key)
		}
	}
	for _, t := range s.tensors() {
		if i := slices.IndexFunc(t.Data, func(v float32) bool { return !checkpointFinite(float64(v)) }); i >= 0 {
			fault("%s is %w: %v at index %d of %d", t.Name, ErrNotFinite, t.Data[i], i, len(t.Data))
		}
	}
	if _, err := safetensors.Layout(s.tensors()); err != nil {
		faults = append(faults, err)
	}
	if err := safetensors.CheckText(s.metadata()); err != nil {
		faults = append(faults, err)
	}
	return errors.Join(append(faults, s.checkNames()...)...)
}

func (s *State) checkNames() []error {
	var faults []error
	shapes := checkpointShapes(s.Params)
	for _, p := range s.Params {
		if strings.HasPrefix(p.Name, checkpointMoment) {
			faults = append(faults, fmt.Errorf("parameter %q has a name reserved for moments (%s...)", p.Name, checkpointMoment))
		}
		if strings.HasPrefix(p.Name, checkpointAverage) {
			faults = append(faults, fmt.Errorf("parameter %q has a name reserved for averages (%s...)", p.Name, checkpointAverage))
		}
		if isTable(p.Name) {
			faults = append(faults, fmt.Errorf("parameter %q has a name reserved for tables", p.Name))
		}
	}
	for _, t := range s.Tables {
		if !isTable(t.Name) {
			faults = append(faults, fmt.Errorf("table %q: want a name that begins with %s or %s", t.Name, PriorTable, IncrementalTable))
		}
	}
	for _, m := range s.Moments {
		param, ok := strings.CutPrefix(m.Name, checkpointMomentM)
		if !ok {
			param, ok = strings.CutPrefix(m.Name, checkpointMomentV)
		}
		shape, known := shapes[param]
		switch {
		case !ok:
			faults = append(faults, fmt.Errorf("moment %q: want a name that begins with %s or %s", m.Name, checkpointMomentM, checkpointMomentV))
		case !known:
			faults = append(faults, fmt.Errorf("moment %q: there is no parameter %q", m.Name, param))
		case !slices.Equal(shape, m.Shape):
			faults = append(faults, fmt.Errorf("moment %q has shape %v, its parameter %v", m.Name, m.Shape, shape))
		}
	}
	for _, a := range s.Average {
		param, ok := strings.CutPrefix(a.Name, checkpointAverage)
		shape, known := shapes[param]
		switch {
		case !ok:
			faults = append(faults, fmt.Errorf("average %q: want a name that begins with %s", a.Name, checkpointAverage))
		case !known || !slices.Equal(shape, a.Shape):
			faults = append(faults, fmt.Errorf("average %q has shape %v: there is no parameter %q of that shape", a.Name, a.Shape, param))
		}
	}
	return faults
}

func checkpointFinite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// bytes is the size of the tensors.
func (s *State) bytes() int64 {
	total := int64(0)
	for _, t := range s.tensors() {
		total += 4 * int64(len(t.Data))
	}
	return total
}

func (s *State) tensors() []safetensors.Tensor {
	return slices.Concat(s.Params, s.Tables, s.Moments, s.Average)
}

// checkpointFloat is a float64 of the state under its key.
type checkpointFloat struct {
	key   string
	value *float64
}

// savedSums are the sums as a file holds them: an objective goes as that of one image.
func (s *State) savedSums() Sums {
	if s.Objective != nil {
		return Sums{Images: 1, Bound: *s.Objective}
	}
	return s.Sums
}

func (s *State) floats(sums *Sums) []checkpointFloat {
	floats := []checkpointFloat{
		{checkpointSumsImages, &sums.Images},
		{checkpointSumsRecon, &sums.Recon},
		{checkpointSumsKL, &sums.KL},
		{checkpointSumsBound, &sums.Bound},
	}
	if s.Best != nil {
		floats = append(floats, checkpointFloat{checkpointBestBound, &s.Best.Bound})
	}
	return floats
}

// writeCheckpoint writes a state that check has passed.
func writeCheckpoint(w io.Writer, s *State) error {
	tensors := s.tensors()
	entries, err := safetensors.Layout(tensors)
	if err != nil {
		return err
	}
	data := sha256.New()
	if err := safetensors.WriteData(data, tensors); err != nil {
		return err
	}
	metadata := s.metadata()
	metadata[checkpointSHA256] = hex.EncodeToString(data.Sum(nil))
	metadata[checkpointHeaderSHA256] = checkpointHeaderSum(entries, metadata)
	return safetensors.Encode(w, tensors, metadata)
}

// metadata is the header's text, without the two checksums.
func (s *State) metadata() map[string]string {
	m := map[string]string{
		checkpointFormat:   strconv.Itoa(FormatVersion),
		checkpointStep:     strconv.FormatInt(s.Step, 10),
		checkpointEpoch:    strconv.Itoa(s.Epoch),
		checkpointPosition: strconv.Itoa(s.Position),
		checkpointConfig:   string(s.Config),
		checkpointData:     s.Data,
		checkpointNumerics: string(s.Numerics),
	}
	if s.MStep != (MStep{}) {
		text, _ := json.Marshal(s.MStep) // plain numbers, and finite: they always have a JSON form
		m[checkpointMStep] = string(text)
	}
	if s.Best != nil {
		m[checkpointBestEpoch] = strconv.Itoa(s.Best.Epoch)
		m[checkpointBestStep] = strconv.FormatInt(s.Best.Step, 10)
	}
	sums := s.savedSums()
	for _, f := range s.floats(&sums) {
		m[f.key] = strconv.FormatFloat(*f.value, 'g', -1, 64)
	}
	return m
}

// checkpointHeaderSum is elbo.header_sha256: the data section's own checksum does
// not cover the header, and a flipped digit of a step would go unseen.
func checkpointHeaderSum(entries []safetensors.Entry, metadata map[string]string) string {
	rest := maps.Clone(metadata)
	delete(rest, checkpointHeaderSHA256)
	sum := sha256.Sum256(safetensors.HeaderJSON(entries, rest))
	return hex.EncodeToString(sum[:])
}

func readCheckpoint(r io.ReaderAt, size int64) (*State, error) {
	header, err := safetensors.ParseHeader(r, size)
	if errors.Is(err, safetensors.ErrNot) {
		return nil, fmt.Errorf("%w: %w", ErrNotCheckpoint, err)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	// The version comes first: a newer format may have other rules in all that follows.
	if err := checkCheckpointFormat(header.Metadata); err != nil {
		return nil, err
	}
	if err := header.Check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	fileSum, err := checkCheckpointSums(r, header)
	if err != nil {
		return nil, err
	}
	tensors, err := header.Read(r)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	s, err := stateFromMetadata(header.Metadata)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	for _, t := range tensors {
		switch {
		case strings.HasPrefix(t.Name, checkpointMoment):
			s.Moments = append(s.Moments, t)
		case strings.HasPrefix(t.Name, checkpointAverage):
			s.Average = append(s.Average, t)
		case isTable(t.Name):
			s.Tables = append(s.Tables, t)
		default:
			s.Params = append(s.Params, t)
		}
	}
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	s.FileSHA256 = fileSum
	return s, nil
}

func checkCheckpointFormat(metadata map[string]string) error {
	text, ok := metadata[checkpointFormat]
	if !ok {
		return fmt.Errorf("%w: a safetensors file without %s in its metadata", ErrNotCheckpoint, checkpointFormat)
	}
	format, err := strconv.Atoi(text)
	if err != nil || format < 1 {
		return fmt.Errorf("%w: %s is %.80q, want a number from 1", ErrDamaged, checkpointFormat, text)
	}
	if format > FormatVersion {
		return fmt.Errorf("%w (format %d; this program reads up to %d)", ErrNewerFormat, format, FormatVersion)
	}
	return nil
}

// checkCheckpointSums compares the checksums, and returns that of the whole file.
func checkCheckpointSums(r io.ReaderAt, header *safetensors.Header) (file string, err error) {
	data, whole := sha256.New(), sha256.New()
	_, err = io.Copy(whole, io.NewSectionReader(r, 0, header.Start))
	if err == nil {
		_, err = io.Copy(io.MultiWriter(data, whole), io.NewSectionReader(r, header.Start, header.Size))
	}
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	for _, sum := range []struct{ what, key, found string }{
		{"header", checkpointHeaderSHA256, checkpointHeaderSum(header.Entries, header.Metadata)},
		{"data section", checkpointSHA256, hex.EncodeToString(data.Sum(nil))},
	} {
		if want := header.Metadata[sum.key]; sum.found != want {
			return "", fmt.Errorf("%w: %s has SHA-256 %.12s…, %s says %.12q…", ErrChecksum, sum.what, sum.found, sum.key, want)
		}
	}
	return hex.EncodeToString(whole.Sum(nil)), nil
}

// stateFromMetadata reads all of the state but its tensors, and names every fault.
func stateFromMetadata(metadata map[string]string) (*State, error) {
	m := checkpointMetadata{left: maps.Clone(metadata)}
	for _, key := range []string{checkpointFormat, checkpointSHA256, checkpointHeaderSHA256} {
		m.text(key) // seen to already
	}
	s := &State{
		Step:     m.integer(checkpointStep),
		Epoch:    int(m.integer(checkpointEpoch)),
		Position: int(m.integer(checkpointPosition)),
		Config:   m.json(checkpointConfig),
		Data:     m.text(checkpointData),
		Numerics: m.json(checkpointNumerics),
	}
	if _, ok := metadata[checkpointMStep]; ok {
		s.MStep = m.mStep(checkpointMStep)
	}
	if _, ok := metadata[checkpointBestBound]; ok {
		s.Best = &Best{Epoch: int(m.integer(checkpointBestEpoch)), Step: m.integer(checkpointBestStep)}
	}
	var sums Sums
	for _, f := range s.floats(&sums) {
		*f.value = m.float(f.key)
	}
	if s.Position == 0 && sums.Images == 1 {
		s.Objective = &sums.Bound
	} else {
		s.Sums = sums
	}
	for _, key := range slices.Sorted(maps.Keys(m.left)) {
		m.fault("unknown metadata %.80q", key)
	}
	return s, errors.Join(m.faults...)
}

// checkpointMetadata hands out metadata once each and gathers what is wrong.
type checkpointMetadata struct {
	left   map[string]string
	faults []error
}

func (m *checkpointMetadata) fault(format string, args ...any) {
	m.faults = append(m.faults, fmt.Errorf(format, args...))
}

func (m *checkpointMetadata) take(key string) (string, bool) {
	text, ok := m.left[key]
	if !ok {
		m.fault("metadata %s is missing", key)
	}
	delete(m.left, key)
	return text, ok
}

func (m *checkpointMetadata) text(key string) string {
	text, _ := m.take(key)
	return text
}

func (m *checkpointMetadata) json(key string) json.RawMessage {
	if text := m.text(key); text != "" {
		return json.RawMessage(text)
	}
	return nil
}

func (m *checkpointMetadata) mStep(key string) MStep {
	var s MStep
	text := m.text(key)
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		m.fault("metadata %s is %.80q: %w", key, text, err)
	}
	return s
}

func (m *checkpointMetadata) integer(key string) int64 {
	text, ok := m.take(key)
	n, err := strconv.ParseInt(text, 10, strconv.IntSize)
	if ok && err != nil {
		m.fault("metadata %s is %.80q, want a whole number", key, text)
	}
	return n
}

func (m *checkpointMetadata) float(key string) float64 {
	text, ok := m.take(key)
	v, err := strconv.ParseFloat(text, 64)
	if ok && err != nil {
		m.fault("metadata %s is %.80q, want a number", key, text)
	}
	return v
}
