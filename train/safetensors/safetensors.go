package safetensors

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
	// maxHeader is the longest header that the reference reader takes.
	maxHeader = 100_000_000
	// align: the data section starts at a multiple of it.
	align        = 8
	metadataName = "__metadata__"
	float32Type  = "F32"
	floatSize    = 4
	// chunk is how many bytes are converted at a time.
	chunk = 1 << 16
)

// ErrNot means that the bytes cannot be the start of a safetensors file.
var ErrNot = errors.New("not a safetensors file")

// Entry is what the header says of one tensor.
type Entry struct {
	Name       string
	Dtype      string
	Shape      []int
	Begin, End int64 // bytes, from the start of the data section
}

// Header is a parsed header. Its entries are in the order of their data.
type Header struct {
	Entries  []Entry
	Metadata map[string]string
	Start    int64 // of the data section, from the start of the file
	Size     int64 // of the data section
}

// Encode writes the tensors in the given order. The same arguments
// always give the same bytes. It fails, before the first byte, on a name that is
// used twice, reserved or not UTF-8, on metadata that is not UTF-8, and on a shape
// that does not fit its data.
func Encode(w io.Writer, tensors []Tensor, metadata map[string]string) error {
	entries, err := Layout(tensors)
	if err != nil {
		return err
	}
	if err := CheckText(metadata); err != nil {
		return err
	}
	header := HeaderJSON(entries, metadata)
	for len(header)%align != 0 {
		header = append(header, ' ')
	}
	if len(header) > maxHeader {
		return fmt.Errorf("safetensors: header of %d bytes, readers take at most %d", len(header), maxHeader)
	}
	if _, err := w.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(header)))); err != nil {
		return err
	}
	if _, err := w.Write(header); err != nil {
		return err
	}
	return WriteData(w, tensors)
}

// Decode reads a file of the given size in bytes. The tensors come in
// the order of their data, whatever the order of the header's keys. It fails on
// anything the format forbids and on any dtype other than F32. What it allocates is
// proportional to Size: no number in the file is believed before it is checked.
func Decode(r io.ReaderAt, size int64) ([]Tensor, map[string]string, error) {
	header, err := ParseHeader(r, size)
	if err != nil {
		return nil, nil, err
	}
	if err := header.Check(); err != nil {
		return nil, nil, err
	}
	tensors, err := header.Read(r)
	if err != nil {
		return nil, nil, err
	}
	return tensors, header.Metadata, nil
}

// Layout checks the tensors and places them one after another.
func Layout(tensors []Tensor) ([]Entry, error) {
	entries := make([]Entry, 0, len(tensors))
	seen := make(map[string]bool, len(tensors))
	var end int64
	for _, t := range tensors {
		switch {
		case t.Name == metadataName:
			return nil, fmt.Errorf("safetensors: tensor name %q is reserved by the format", t.Name)
		case !utf8.ValidString(t.Name):
			return nil, fmt.Errorf("safetensors: tensor name %q is not UTF-8", t.Name)
		case seen[t.Name]:
			return nil, fmt.Errorf("safetensors: tensor %q is there twice", t.Name)
		}
		seen[t.Name] = true
		if n, ok := elements(t.Shape, int64(len(t.Data))); !ok || n != int64(len(t.Data)) {
			return nil, fmt.Errorf("safetensors: tensor %q: shape %v does not fit its %d values", t.Name, t.Shape, len(t.Data))
		}
		begin := end
		end += floatSize * int64(len(t.Data))
		entries = append(entries, Entry{t.Name, float32Type, t.Shape, begin, end})
	}
	return entries, nil
}

func CheckText(metadata map[string]string) error {
	for _, key := range slices.Sorted(maps.Keys(metadata)) {
		if !utf8.ValidString(key) || !utf8.ValidString(metadata[key]) {
			return fmt.Errorf("safetensors: metadata %q is not UTF-8", key)
		}
	}
	return nil
}

// elements returns the product of shape, or false if a dimension is
// negative or the product is above limit.
func elements(shape []int, limit int64) (int64, bool) {
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

// HeaderJSON is the header without padding: metadata first, its keys
// sorted, then the entries in their order.
func HeaderJSON(entries []Entry, metadata map[string]string) []byte {
	b := []byte{'{'}
	if len(metadata) > 0 {
		b = append(appendString(b, metadataName), ":{"...)
		for i, key := range slices.Sorted(maps.Keys(metadata)) {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(appendString(b, key), ':')
			b = appendString(b, metadata[key])
		}
		b = append(b, '}')
	}
	for i, e := range entries {
		if i > 0 || len(metadata) > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, e.Name), `:{"dtype":`...)
		b = append(appendString(b, e.Dtype), `,"shape":[`...)
		for j, d := range e.Shape {
			if j > 0 {
				b = append(b, ',')
			}
			b = strconv.AppendInt(b, int64(d), 10)
		}
		b = append(b, `],"data_offsets":[`...)
		b = append(strconv.AppendInt(b, e.Begin, 10), ',')
		b = append(strconv.AppendInt(b, e.End, 10), "]}"...)
	}
	return append(b, '}')
}

func appendString(b []byte, s string) []byte {
	quoted, _ := json.Marshal(s) // cannot fail for a string
	return append(b, quoted...)
}

// WriteData writes the data section.
func WriteData(w io.Writer, tensors []Tensor) error {
	buf := make([]byte, 0, chunk)
	for _, t := range tensors {
		for values := range slices.Chunk(t.Data, chunk/floatSize) {
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

// ParseHeader reads the header as JSON: right keys, right types, no key
// twice. Whether the numbers fit together is for check to say, so that a caller can
// look at the metadata first.
func ParseHeader(r io.ReaderAt, size int64) (*Header, error) {
	first := make([]byte, 9)
	if size < int64(len(first)) {
		return nil, fmt.Errorf("safetensors: the file has %d bytes, want 8 for the header's length and a header: cut short?", size)
	}
	if _, err := io.ReadFull(io.NewSectionReader(r, 0, size), first); err != nil {
		return nil, fmt.Errorf("safetensors: read the header's length: %w", err)
	}
	if first[8] != '{' {
		return nil, fmt.Errorf("%w: byte 8 is 0x%02x, want 0x7b, the brace that opens the header", ErrNot, first[8])
	}
	length := binary.LittleEndian.Uint64(first)
	if length > uint64(size-8) {
		return nil, fmt.Errorf("safetensors: header of %d bytes promised at byte 0, %d bytes follow: cut short?", length, size-8)
	}
	if length > maxHeader {
		return nil, fmt.Errorf("safetensors: header of %d bytes promised at byte 0, want at most %d", length, maxHeader)
	}
	text := make([]byte, length)
	if _, err := io.ReadFull(io.NewSectionReader(r, 8, int64(length)), text); err != nil {
		return nil, fmt.Errorf("safetensors: read the header: %w", err)
	}
	header := &Header{Start: 8 + int64(length), Size: size - 8 - int64(length)}
	if err := header.parse(text); err != nil {
		return nil, fmt.Errorf("safetensors: header: %w", err)
	}
	return header, nil
}

func (h *Header) parse(text []byte) error {
	if !utf8.Valid(text) {
		return errors.New("not UTF-8")
	}
	if !json.Valid(text) {
		var raw json.RawMessage
		return fmt.Errorf("not JSON: %w", json.Unmarshal(text, &raw))
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber() // offsets are exact, and 1.0 is not 1
	err := walkObject(dec, func(key string) (err error) {
		if key == metadataName {
			h.Metadata, err = parseMetadata(dec)
			return err
		}
		entry, err := parseEntry(dec, key)
		h.Entries = append(h.Entries, entry)
		return err
	})
	slices.SortStableFunc(h.Entries, func(a, b Entry) int {
		return cmp.Or(cmp.Compare(a.Begin, b.Begin), cmp.Compare(a.End, b.End))
	})
	return err
}

func parseMetadata(dec *json.Decoder) (map[string]string, error) {
	metadata := map[string]string{}
	err := walkObject(dec, func(key string) (err error) {
		metadata[key], err = text(dec)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", metadataName, err)
	}
	return metadata, nil
}

func parseEntry(dec *json.Decoder, name string) (Entry, error) {
	entry := Entry{Name: name}
	var offsets []int
	found := 0
	err := walkObject(dec, func(key string) (err error) {
		found++
		switch key {
		case "dtype":
			entry.Dtype, err = text(dec)
		case "shape":
			entry.Shape, err = ints(dec)
		case "data_offsets":
			offsets, err = ints(dec)
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
	entry.Begin, entry.End = int64(offsets[0]), int64(offsets[1])
	return entry, nil
}

// walkObject calls value once for each key of the object that comes
// next; value reads what belongs to the key. A repeated key is an error, because
// readers differ in which of the two they take.
func walkObject(dec *json.Decoder, value func(key string) error) error {
	if err := openJSON(dec, '{'); err != nil {
		return err
	}
	seen := map[string]bool{}
	for dec.More() {
		key, err := text(dec)
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

func openJSON(dec *json.Decoder, want json.Delim) error {
	token, err := dec.Token()
	if err != nil {
		return err
	}
	if token != want {
		return fmt.Errorf("%.80q where %q should open", fmt.Sprint(token), want.String())
	}
	return nil
}

func text(dec *json.Decoder) (string, error) {
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

// ints reads an array of integers from 0 to the largest int.
func ints(dec *json.Decoder) ([]int, error) {
	if err := openJSON(dec, '['); err != nil {
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

// Check says whether the entries are float32, fill the data section without gap or
// overlap, and have the shapes that their bytes allow.
func (h *Header) Check() error {
	var end int64
	for _, e := range h.Entries {
		switch {
		case e.Dtype != float32Type:
			return fmt.Errorf("safetensors: tensor %.80q: dtype %.80q, want %s", e.Name, e.Dtype, float32Type)
		case e.Begin < end:
			return fmt.Errorf("safetensors: tensor %.80q begins at byte %d of the data, inside the tensor before it, which ends at %d", e.Name, e.Begin, end)
		case e.Begin > end:
			return fmt.Errorf("safetensors: tensor %.80q begins at byte %d of the data, %d bytes after the tensor before it, want none", e.Name, e.Begin, e.Begin-end)
		case e.End < e.Begin:
			return fmt.Errorf("safetensors: tensor %.80q ends at byte %d of the data, before its beginning at %d", e.Name, e.End, e.Begin)
		case e.End > h.Size:
			return fmt.Errorf("safetensors: tensor %.80q ends at byte %d of the data, the file has %d: cut short?", e.Name, e.End, h.Size)
		}
		size := e.End - e.Begin
		n, ok := elements(e.Shape, size/floatSize)
		if !ok || n*floatSize != size {
			return fmt.Errorf("safetensors: tensor %.80q: shape %.80s does not fit its %d bytes", e.Name, fmt.Sprint(e.Shape), size)
		}
		end = e.End
	}
	if end != h.Size {
		return fmt.Errorf("safetensors: %d bytes of data, the header describes %d: something was appended?", h.Size, end)
	}
	return nil
}

// read loads the tensors of a header that check has passed.
func (h *Header) Read(r io.ReaderAt) ([]Tensor, error) {
	tensors := make([]Tensor, 0, len(h.Entries))
	buf := make([]byte, min(chunk, h.Size))
	for _, e := range h.Entries {
		data := make([]float32, (e.End-e.Begin)/floatSize)
		section := io.NewSectionReader(r, h.Start+e.Begin, e.End-e.Begin)
		for values := range slices.Chunk(data, chunk/floatSize) {
			raw := buf[:floatSize*len(values)]
			if _, err := io.ReadFull(section, raw); err != nil {
				return nil, fmt.Errorf("safetensors: tensor %.80q: %w", e.Name, err)
			}
			for i := range values {
				values[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[floatSize*i:]))
			}
		}
		tensors = append(tensors, Tensor{Name: e.Name, Shape: e.Shape, Data: data})
	}
	return tensors, nil
}
