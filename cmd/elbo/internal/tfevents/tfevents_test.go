package tfevents

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// slowSum is the CRC-32C, bit by bit, as its polynomial 0x1edc6f41 defines it, and masked.
func slowSum(data []byte) uint32 {
	const reflected = 0x82f63b78
	sum := ^uint32(0)
	for _, b := range data {
		sum ^= uint32(b)
		for range 8 {
			sum = sum>>1 ^ reflected*(sum&1)
		}
	}
	sum = ^sum
	return (sum>>15 | sum<<17) + 0xa282ead8
}

// message is a protocol buffer as this test reads it, by the encoding's definition alone: for each
// field its values, a uint64 or bytes.
type message map[int][]any

func readMessage(t *testing.T, b []byte) message {
	t.Helper()
	m := message{}
	varint := func() (v uint64) {
		for shift := 0; ; shift += 7 {
			if len(b) == 0 || shift > 63 {
				t.Fatal("no varint")
			}
			c := b[0]
			b = b[1:]
			if v |= uint64(c&0x7f) << shift; c < 0x80 {
				return v
			}
		}
	}
	take := func(n uint64) []byte {
		if n > uint64(len(b)) {
			t.Fatalf("%d bytes of %d", n, len(b))
		}
		defer func() { b = b[n:] }()
		return b[:n]
	}
	for len(b) > 0 {
		key := varint()
		var v any
		switch key & 7 {
		case 0:
			v = varint()
		case 1:
			v = binary.LittleEndian.Uint64(take(8))
		case 2:
			v = take(varint())
		case 5:
			v = uint64(binary.LittleEndian.Uint32(take(4)))
		default:
			t.Fatalf("wire type %d", key&7)
		}
		m[int(key>>3)] = append(m[int(key>>3)], v)
	}
	return m
}

// readRecords reads the frames of a file by their definition.
func readRecords(t *testing.T, file []byte) (records []message) {
	t.Helper()
	for len(file) > 0 {
		length := binary.LittleEndian.Uint64(file)
		if got, want := binary.LittleEndian.Uint32(file[8:]), slowSum(file[:8]); got != want {
			t.Fatalf("checksum of a length: %08x, want %08x", got, want)
		}
		data := file[12:][:length]
		if got, want := binary.LittleEndian.Uint32(file[12+length:]), slowSum(data); got != want {
			t.Fatalf("checksum of a record: %08x, want %08x", got, want)
		}
		records = append(records, readMessage(t, data))
		file = file[12+length+4:]
	}
	return records
}

var written = []Event{
	{Time: time.UnixMicro(1700000000250000), Step: 391, Scalars: []Scalar{{"train/bound", -103.25}, {"beta", 1}}},
	{Time: time.UnixMicro(1700000001000000), Step: 782, Images: []Image{{"samples", 280, 300, []byte("\x89PNG…")}}},
	{Time: time.UnixMicro(1700000002000000), Step: 391, Restart: true},
}

// fileOf is an event file with these events, and its bytes.
func fileOf(t *testing.T, dir string, events ...Event) []byte {
	t.Helper()
	w, err := Create(dir, time.Unix(1700000000, 0))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Write(events...), w.Close()); err != nil {
		t.Fatal(err)
	}
	names, err := Files(dir)
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(names[len(names)-1])
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// TestAnIndependentReaderFindsWhatWasWritten: one that knows frames, checksums and protocol buffers
// by their definitions, and of the fields their numbers.
func TestAnIndependentReaderFindsWhatWasWritten(t *testing.T) {
	records := readRecords(t, fileOf(t, t.TempDir(), written...))
	double := func(x float64) any { return math.Float64bits(x) }
	sub := func(m message, field, i int) message { return readMessage(t, m[field][i].([]byte)) }
	if len(records) != 4 {
		t.Fatalf("%d records, want the version and 3 events", len(records))
	}
	if diff := cmp.Diff(message{1: {double(1.7e9)}, 2: {uint64(0)}, 3: {[]byte("brain.Event:2")}}, records[0]); diff != "" {
		t.Errorf("the first record: %s", diff)
	}
	scalars := sub(records[1], 5, 0)
	for i, want := range []message{
		{1: {[]byte("train/bound")}, 2: {uint64(math.Float32bits(-103.25))}},
		{1: {[]byte("beta")}, 2: {uint64(math.Float32bits(1))}},
	} {
		if diff := cmp.Diff(want, sub(scalars, 1, i)); diff != "" {
			t.Errorf("scalar %d: %s", i, diff)
		}
	}
	if records[1][2][0] != uint64(391) || records[1][1][0] != double(1700000000.25) {
		t.Errorf("step and time: %v", records[1])
	}
	value := sub(sub(records[2], 5, 0), 1, 0)
	image := sub(value, 4, 0)
	if diff := cmp.Diff(message{1: {uint64(280)}, 2: {uint64(300)}, 3: {uint64(3)}, 4: {[]byte("\x89PNG…")}}, image); diff != "" || string(value[1][0].([]byte)) != "samples" {
		t.Errorf("image %s: %s", value[1], diff)
	}
	if diff := cmp.Diff(message{1: {uint64(1)}}, sub(records[3], 7, 0)); diff != "" || records[3][5] != nil {
		t.Errorf("restart: %s", diff)
	}
}

// TestChecksumsAreThoseOfTheFormat: the check value of CRC-32C, and the head of the first record of
// every event file, whose data have 24 bytes.
func TestChecksumsAreThoseOfTheFormat(t *testing.T) {
	sum := uint32(0xe3069283)
	if got, want := maskedSum([]byte("123456789")), (sum>>15|sum<<17)+0xa282ead8; got != want {
		t.Errorf("%08x, want %08x", got, want)
	}
	file := fileOf(t, t.TempDir())
	// A step of 0 is written here, and left out by others: two bytes more than theirs.
	if got := hex.EncodeToString(appendRecord(nil, make([]byte, 24))[:12]); got != "1800000000000000a37f4b22" {
		t.Errorf("the head of a record of 24 bytes is %s", got)
	}
	if want := append([]byte{26}, make([]byte, 7)...); !bytes.HasPrefix(file, want) || !bytes.Contains(file, []byte("brain.Event:2")) {
		t.Errorf("a file begins with %q", file)
	}
}

func readAll(file []byte) (events []Event, err error) {
	for e, fault := range Read(bytes.NewReader(file)) {
		if fault != nil {
			return events, fault
		}
		events = append(events, e)
	}
	return events, nil
}

// TestWhatIsWrittenIsReadBack.
func TestWhatIsWrittenIsReadBack(t *testing.T) {
	file := fileOf(t, t.TempDir(), written...)
	want := append([]Event{{Time: time.Unix(1700000000, 0), Version: version}}, written...)
	got, err := readAll(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	events, err := readAll(appendRecord(nil, []byte("\x09\x00\x00\x00\x00\x00\x00\xf8\x7f"))) // a time that is no number
	if err != nil || len(events) != 1 || !events[0].Time.IsZero() {
		t.Errorf("%v, %v", events, err)
	}
}

// TestAFileThatWasCutShortIsReadUpToThere: at every byte, and one that has a bit flipped up to its
// record.
func TestAFileThatWasCutShortIsReadUpToThere(t *testing.T) {
	file := fileOf(t, t.TempDir(), written...)
	ends := map[int]int{0: 0} // of records, and how many end there
	for at := 0; at < len(file); {
		n := ends[at]
		at += headSize + int(binary.LittleEndian.Uint64(file[at:])) + tailSize
		ends[at] = n + 1
	}
	whole := 0
	for n := range file {
		if k, is := ends[n]; is {
			whole = k
		}
		events, err := readAll(file[:n])
		if _, atEnd := ends[n]; atEnd != (err == nil) || err != nil && !errors.Is(err, ErrDamaged) || len(events) != whole {
			t.Errorf("cut after %d bytes: %d events, want %d, %v", n, len(events), whole, err)
		}
		flipped := bytes.Clone(file)
		flipped[n] ^= 1 << (n % 8)
		if events, err := readAll(flipped); !errors.Is(err, ErrDamaged) || len(events) != whole {
			t.Errorf("byte %d flipped: %d events, want %d, %v", n, len(events), whole, err)
		}
	}
}

// TestFilesAreReadInTheOrderInWhichTheyWereMade, however the clock goes.
func TestFilesAreReadInTheOrderInWhichTheyWereMade(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "samples.png"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	for i, second := range []int64{1700000000, 1700000000, 1600000000, 1700000005} {
		w, err := Create(dir, time.Unix(second, 0))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(w.Write(Event{Step: int64(i)}), w.Close()); err != nil {
			t.Fatal(err)
		}
	}
	names, err := Files(dir)
	if err != nil || len(names) != 4 {
		t.Fatalf("%q, %v", names, err)
	}
	for i, name := range names {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if events, err := readAll(content); err != nil || events[1].Step != int64(i) {
			t.Errorf("%s: step %d, want %d, %v", name, events[1].Step, i, err)
		}
	}
	if want := "events.out.tfevents.1700000005.elbo"; filepath.Base(names[3]) != want {
		t.Errorf("the last is %s, want %s", names[3], want)
	}
}

// TestARecordThatSaysItIsHugeIsRefused, and takes no memory.
func TestARecordThatSaysItIsHugeIsRefused(t *testing.T) {
	for _, length := range []uint64{1 << 27, largest + 1, math.MaxUint64} {
		head := binary.LittleEndian.AppendUint64(nil, length)
		head = binary.LittleEndian.AppendUint32(head, maskedSum(head))
		if _, err := readAll(append(head, "few bytes"...)); !errors.Is(err, ErrDamaged) {
			t.Errorf("%d bytes: %v", length, err)
		}
	}
}

// FuzzRead: whatever a file holds, it is read or refused; and what is read is read again from what
// it is written as.
func FuzzRead(f *testing.F) {
	for _, e := range written {
		f.Add(e.encode(), true)
		f.Add(appendRecord(nil, e.encode()), false)
	}
	f.Add([]byte("\x2a\x05\x0a\x03\x0a\x01a"), true) // a value that is neither a number nor a picture
	f.Fuzz(func(t *testing.T, file []byte, framed bool) {
		if framed { // what stands in a frame is seldom met by chance
			file = appendRecord(nil, file)
		}
		events, err := readAll(file)
		if err != nil && !errors.Is(err, ErrDamaged) {
			t.Fatalf("refused with %v", err)
		}
		for _, e := range events {
			e.Time = time.Time{}.AddDate(1999, 0, 0)
			again, err := readAll(appendRecord(nil, e.encode()))
			if err != nil || len(again) != 1 {
				t.Fatalf("%v, %v", again, err)
			}
			again[0].Time = e.Time
			if got, want := fmt.Sprintf("%+v", again[0]), fmt.Sprintf("%+v", e); got != want {
				t.Fatalf("read %s\nwritten %s", got, want)
			}
		}
	})
}
