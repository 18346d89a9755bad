package train

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"
)

// Tensor is a named array of float32, row-major: the last index varies fastest.
// A Shape of no dimensions is a scalar, a dimension of 0 an empty tensor.
type Tensor struct {
	Name  string
	Shape []int
	Data  []float32 // as many values as the product of Shape
}

// The safetensors format, as published by its authors (huggingface/safetensors):
//
//	8 bytes   N, the length of the header, little-endian
//	N bytes   a JSON object, UTF-8, starting with "{", padded with spaces:
//	            name -> {"dtype": "F32", "shape": [2,3], "data_offsets": [begin,end]}
//	            "__metadata__" -> {text: text}                       (optional)
//	the rest  the data section, little-endian; offsets count from its start.
//	          Every byte of it belongs to exactly one tensor.
const (
	// safetensorsMaxHeader is the longest header that the reference reader takes.
	safetensorsMaxHeader = 100_000_000
	// safetensorsAlign: the data section starts at a multiple of it.
	safetensorsAlign     = 8
	safetensorsMetadata  = "__metadata__"
	safetensorsFloat32   = "F32"
	safetensorsFloatSize = 4
	// safetensorsChunk is how many bytes are converted at a time.
	safetensorsChunk = 1 << 16
)

// errNotSafetensors means that the bytes cannot be the start of a safetensors file.
var errNotSafetensors = errors.New("not a safetensors file")

// safetensorsEntry is what the header says of one tensor.
type safetensorsEntry struct {
	name       string
	dtype      string
	shape      []int
	begin, end int64 // bytes, from the start of the data section
}

// safetensorsHeader is a parsed header. Its entries are in the order of their data.
type safetensorsHeader struct {
	entries  []safetensorsEntry
	metadata map[string]string
	start    int64 // of the data section, from the start of the file
	size     int64 // of the data section
}

// encodeSafetensors writes the tensors in the given order. The same arguments
// always give the same bytes. It fails, before the first byte, on a name that is
// used twice, reserved or not UTF-8, on metadata that is not UTF-8, and on a shape
// that does not fit its data.
func encodeSafetensors(w io.Writer, tensors []Tensor, metadata map[string]string) error {
	entries, err := layoutSafetensors(tensors)
	if err != nil {
		return err
	}
	if err := checkSafetensorsText(metadata); err != nil {
		return err
	}
	header := safetensorsHeaderJSON(entries, metadata)
	for len(header)%safetensorsAlign != 0 {
		header = append(header, ' ')
	}
	if len(header) > safetensorsMaxHeader {
		return fmt.Errorf("safetensors: header of %d bytes, readers take at most %d", len(header), safetensorsMaxHeader)
	}
	if _, err := w.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(header)))); err != nil {
		return err
	}
	if _, err := w.Write(header); err != nil {
		return err
	}
	return writeSafetensorsData(w, tensors)
}

// decodeSafetensors reads a file of the given size in bytes. The tensors come in
// the order of their data, whatever the order of the header's keys. It fails on
// anything the format forbids and on any dtype other than F32. What it allocates is
// proportional to size: no number in the file is believed before it is checked.
func decodeSafetensors(r io.ReaderAt, size int64) ([]Tensor, map[string]string, error) {
	header, err := parseSafetensorsHeader(r, size)
	if err != nil {
		return nil, nil, err
	}
	if err := header.check(); err != nil {
		return nil, nil, err
	}
	tensors, err := header.read(r)
	if err != nil {
		return nil, nil, err
	}
	return tensors, header.metadata, nil
}

// layoutSafetensors checks the tensors and places them one after another.
func layoutSafetensors(tensors []Tensor) ([]safetensorsEntry, error) {
	entries := make([]safetensorsEntry, 0, len(tensors))
	seen := make(map[string]bool, len(tensors))
	var end int64
	for _, t := range tensors {
		switch {
		case t.Name == safetensorsMetadata:
			return nil, fmt.Errorf("safetensors: tensor name %q is reserved by the format", t.Name)
		case !utf8.ValidString(t.Name):
			return nil, fmt.Errorf("safetensors: tensor name %q is not UTF-8", t.Name)
		case seen[t.Name]:
			return nil, fmt.Errorf("safetensors: tensor %q is there twice", t.Name)
		}
		seen[t.Name] = true
		if n, ok := safetensorsElements(t.Shape, int64(len(t.Data))); !ok || n != int64(len(t.Data)) {
			return nil, fmt.Errorf("safetensors: tensor %q: shape %v does not fit its %d values", t.Name, t.Shape, len(t.Data))
		}
		begin := end
		end += safetensorsFloatSize * int64(len(t.Data))
		entries = append(entries, safetensorsEntry{t.Name, safetensorsFloat32, t.Shape, begin, end})
	}
	return entries, nil
}

func checkSafetensorsText(metadata map[string]string) error {
	for _, key := range slices.Sorted(maps.Keys(metadata)) {
		if !utf8.ValidString(key) || !utf8.ValidString(metadata[key]) {
			return fmt.Errorf("safetensors: metadata %q is not UTF-8", key)
		}
	}
	return nil
}

// safetensorsElements returns the product of shape, or false if a dimension is
// negative or the product is above limit.
func safetensorsElements(shape []int, limit int64) (int64, bool) {
	if slices.ContainsFunc(shape, func(d int) bool { return d < 0 }) {
		return 0, false
	}
	if slices.Contains(shape, 0) {
		return 0, true // before the product, which may overflow: [0, 2^62, 4] is empty
	}
	n := int64(1)
	for _, d := range shape {
		if int64(d) > limit/n {
			return 0, false
		}
		n *= int64(d)
	}
	return n, n <= limit
}

// safetensorsHeaderJSON is the header without padding: metadata first, its keys
// sorted, then the entries in their order.
func safetensorsHeaderJSON(entries []safetensorsEntry, metadata map[string]string) []byte {
	b := []byte{'{'}
	if len(metadata) > 0 {
		b = append(appendSafetensorsString(b, safetensorsMetadata), ":{"...)
		for i, key := range slices.Sorted(maps.Keys(metadata)) {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(appendSafetensorsString(b, key), ':')
			b = appendSafetensorsString(b, metadata[key])
		}
		b = append(b, '}')
	}
	for i, e := range entries {
		if i > 0 || len(metadata) > 0 {
			b = append(b, ',')
		}
		b = append(appendSafetensorsString(b, e.name), `:{"dtype":`...)
		b = append(appendSafetensorsString(b, e.dtype), `,"shape":[`...)
		for j, d := range e.shape {
			if j > 0 {
				b = append(b, ',')
			}
			b = strconv.AppendInt(b, int64(d), 10)
		}
		b = append(b, `],"data_offsets":[`...)
		b = append(strconv.AppendInt(b, e.begin, 10), ',')
		b = append(strconv.AppendInt(b, e.end, 10), "]}"...)
	}
	return append(b, '}')
}

func appendSafetensorsString(b []byte, s string) []byte {
	quoted, _ := json.Marshal(s) // cannot fail for a string
	return append(b, quoted...)
}

// writeSafetensorsData writes the data section.
func writeSafetensorsData(w io.Writer, tensors []Tensor) error {
	buf := make([]byte, 0, safetensorsChunk)
	for _, t := range tensors {
		for values := range slices.Chunk(t.Data, safetensorsChunk/safetensorsFloatSize) {
			buf = buf[:0]
			for _, v := range values {
				buf = binary.LittleEndian.AppendUint32(buf, math.Float32bits(v))
			}
			if _, err := w.Write(buf); err != nil {
				return err
			}
		}
	}
	return nil
}

// parseSafetensorsHeader reads the header as JSON: right keys, right types, no key
// twice. Whether the numbers fit together is for check to say, so that a caller can
// look at the metadata first.
func parseSafetensorsHeader(r io.ReaderAt, size int64) (*safetensorsHeader, error) {
	first := make([]byte, 9)
	if size < int64(len(first)) {
		return nil, fmt.Errorf("safetensors: the file has %d bytes, want 8 for the header's length and a header: cut short?", size)
	}
	if _, err := io.ReadFull(io.NewSectionReader(r, 0, size), first); err != nil {
		return nil, fmt.Errorf("safetensors: read the header's length: %w", err)
	}
	if first[8] != '{' {
		return nil, fmt.Errorf("%w: byte 8 is 0x%02x, want 0x7b, the brace that opens the header", errNotSafetensors, first[8])
	}
	length := binary.LittleEndian.Uint64(first)
	if length > uint64(size-8) {
		return nil, fmt.Errorf("safetensors: header of %d bytes promised at byte 0, %d bytes follow: cut short?", length, size-8)
	}
	if length > safetensorsMaxHeader {
		return nil, fmt.Errorf("safetensors: header of %d bytes promised at byte 0, want at most %d", length, safetensorsMaxHeader)
	}
	text := make([]byte, length)
	if _, err := io.ReadFull(io.NewSectionReader(r, 8, int64(length)), text); err != nil {
		return nil, fmt.Errorf("safetensors: read the header: %w", err)
	}
	header := &safetensorsHeader{start: 8 + int64(length), size: size - 8 - int64(length)}
	if err := header.parse(text); err != nil {
		return nil, fmt.Errorf("safetensors: header: %w", err)
	}
	return header, nil
}

func (h *safetensorsHeader) parse(text []byte) error {
	if !utf8.Valid(text) {
		return errors.New("not UTF-8")
	}
	if !json.Valid(text) {
		var raw json.RawMessage
		return fmt.Errorf("not JSON: %w", json.Unmarshal(text, &raw))
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber() // offsets are exact, and 1.0 is not 1
	err := walkSafetensorsObject(dec, func(key string) (err error) {
		if key == safetensorsMetadata {
			h.metadata, err = parseSafetensorsMetadata(dec)
			return err
		}
		entry, err := parseSafetensorsEntry(dec, key)
		h.entries = append(h.entries, entry)
		return err
	})
	slices.SortStableFunc(h.entries, func(a, b safetensorsEntry) int {
		return cmp.Or(cmp.Compare(a.begin, b.begin), cmp.Compare(a.end, b.end))
	})
	return err
}

func parseSafetensorsMetadata(dec *json.Decoder) (map[string]string, error) {
	metadata := map[string]string{}
	err := walkSafetensorsObject(dec, func(key string) (err error) {
		metadata[key], err = safetensorsText(dec)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", safetensorsMetadata, err)
	}
	return metadata, nil
}

func parseSafetensorsEntry(dec *json.Decoder, name string) (safetensorsEntry, error) {
	entry := safetensorsEntry{name: name}
	var offsets []int
	found := 0
	err := walkSafetensorsObject(dec, func(key string) (err error) {
		found++
		switch key {
		case "dtype":
			entry.dtype, err = safetensorsText(dec)
		case "shape":
			entry.shape, err = safetensorsInts(dec)
		case "data_offsets":
			offsets, err = safetensorsInts(dec)
			if err == nil && len(offsets) != 2 {
				err = fmt.Errorf("%d numbers, want 2", len(offsets))
			}
		default:
			return fmt.Errorf("unknown key %.80q, want dtype, shape, data_offsets", key)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		return nil
	})
	if err == nil && found != 3 {
		err = fmt.Errorf("%d of the keys dtype, shape, data_offsets, want all 3", found)
	}
	if err != nil {
		return entry, fmt.Errorf("tensor %.80q: %w", name, err)
	}
	entry.begin, entry.end = int64(offsets[0]), int64(offsets[1])
	return entry, nil
}

// walkSafetensorsObject calls value once for each key of the object that comes
// next; value reads what belongs to the key. A repeated key is an error, because
// readers differ in which of the two they take.
func walkSafetensorsObject(dec *json.Decoder, value func(key string) error) error {
	if err := safetensorsOpen(dec, '{'); err != nil {
		return err
	}
	seen := map[string]bool{}
	for dec.More() {
		key, err := safetensorsText(dec)
		if err != nil {
			return err
		}
		if seen[key] {
			return fmt.Errorf("key %.80q is there twice", key)
		}
		seen[key] = true
		if err := value(key); err != nil {
			return err
		}
	}
	_, err := dec.Token() // the closing brace
	return err
}

func safetensorsOpen(dec *json.Decoder, want json.Delim) error {
	token, err := dec.Token()
	if err != nil {
		return err
	}
	if token != want {
		return fmt.Errorf("%.80q where %q should open", fmt.Sprint(token), want.String())
	}
	return nil
}

func safetensorsText(dec *json.Decoder) (string, error) {
	token, err := dec.Token()
	if err != nil {
		return "", err
	}
	text, ok := token.(string)
	if !ok {
		return "", fmt.Errorf("%.80q is not a string", fmt.Sprint(token))
	}
	return text, nil
}

// safetensorsInts reads an array of integers from 0 to the largest int.
func safetensorsInts(dec *json.Decoder) ([]int, error) {
	if err := safetensorsOpen(dec, '['); err != nil {
		return nil, err
	}
	ints := []int{}
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return nil, err
		}
		number, ok := token.(json.Number)
		n, err := strconv.ParseUint(string(number), 10, strconv.IntSize-1)
		if !ok || err != nil {
			return nil, fmt.Errorf("%.80q is not a whole number from 0 to %d", fmt.Sprint(token), math.MaxInt)
		}
		ints = append(ints, int(n))
	}
	_, err := dec.Token() // the closing bracket
	return ints, err
}

// check says whether the entries are float32, fill the data section without gap or
// overlap, and have the shapes that their bytes allow.
func (h *safetensorsHeader) check() error {
	var end int64
	for _, e := range h.entries {
		switch {
		case e.dtype != safetensorsFloat32:
			return fmt.Errorf("safetensors: tensor %.80q: dtype %.80q, want %s", e.name, e.dtype, safetensorsFloat32)
		case e.begin < end:
			return fmt.Errorf("safetensors: tensor %.80q begins at byte %d of the data, inside the tensor before it, which ends at %d", e.name, e.begin, end)
		case e.begin > end:
			return fmt.Errorf("safetensors: tensor %.80q begins at byte %d of the data, %d bytes after the tensor before it, want none", e.name, e.begin, e.begin-end)
		case e.end < e.begin:
			return fmt.Errorf("safetensors: tensor %.80q ends at byte %d of the data, before its beginning at %d", e.name, e.end, e.begin)
		case e.end > h.size:
			return fmt.Errorf("safetensors: tensor %.80q ends at byte %d of the data, the file has %d: cut short?", e.name, e.end, h.size)
		}
		size := e.end - e.begin
		n, ok := safetensorsElements(e.shape, size/safetensorsFloatSize)
		if !ok || n*safetensorsFloatSize != size {
			return fmt.Errorf("safetensors: tensor %.80q: shape %.80s does not fit its %d bytes", e.name, fmt.Sprint(e.shape), size)
		}
		end = e.end
	}
	if end != h.size {
		return fmt.Errorf("safetensors: %d bytes of data, the header describes %d: something was appended?", h.size, end)
	}
	return nil
}

// read loads the tensors of a header that check has passed.
func (h *safetensorsHeader) read(r io.ReaderAt) ([]Tensor, error) {
	tensors := make([]Tensor, 0, len(h.entries))
	buf := make([]byte, min(safetensorsChunk, h.size))
	for _, e := range h.entries {
		data := make([]float32, (e.end-e.begin)/safetensorsFloatSize)
		section := io.NewSectionReader(r, h.start+e.begin, e.end-e.begin)
		for values := range slices.Chunk(data, safetensorsChunk/safetensorsFloatSize) {
			raw := buf[:safetensorsFloatSize*len(values)]
			if _, err := io.ReadFull(section, raw); err != nil {
				return nil, fmt.Errorf("safetensors: tensor %.80q: %w", e.name, err)
			}
			for i := range values {
				values[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[safetensorsFloatSize*i:]))
			}
		}
		tensors = append(tensors, Tensor{Name: e.name, Shape: e.shape, Data: data})
	}
	return tensors, nil
}
