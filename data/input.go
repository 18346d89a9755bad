package data

import (
	"archive/zip"
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"
	"sync/atomic"
)

// input is a file being read, decompressed where it was compressed.
type input struct {
	name       string // for errors
	r          *bufio.Reader
	size       int64 // bytes after decompression, or -1 where only the end tells
	most       int64 // bytes that there can be at most after decompression
	compressed bool
	mem        *memory
	file       io.Reader // as it is on disk
}

// unpacked returns how many bytes n bytes of deflate can hold at most: 258 in the
// two bits of one length and one distance.
//
// Source: RFC 1951, section 3.2.5.
func unpacked(n int64) int64 {
	const most = 258 * 8 / 2
	if n > math.MaxInt64/most {
		return math.MaxInt64
	}
	return most * n
}

// newInput prepares to read r, which says that it has size bytes and can have most,
// and looks through gzip by its content.
func newInput(name string, r io.Reader, size, most int64, mem *memory) (*input, error) {
	in := &input{name: name, r: bufio.NewReaderSize(r, 1<<16), size: size, most: most, mem: mem, file: r}
	magic, err := in.r.Peek(2)
	if len(magic) == 0 && errors.Is(err, io.EOF) {
		return nil, fault(name, "the file is empty, want IDX, .npy, .npz, .csv or .amat")
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, in.readFault(err)
	}
	if !bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		return in, nil
	}
	z, err := gzip.NewReader(in.r)
	if err != nil {
		return nil, in.readFault(err)
	}
	in.r, in.size, in.most, in.compressed = bufio.NewReaderSize(z, 1<<16), -1, unpacked(most), true
	return in, nil
}

// full reads into buf until it is full or the data end, without an error for
// the latter, and says how many bytes it read. Unlike io.ReadFull it keeps a
// clean end apart from a compressed stream that was cut.
func (in *input) full(buf []byte) (int, error) {
	n := 0
	for n < len(buf) {
		k, err := in.r.Read(buf[n:])
		n += k
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, in.readFault(err)
		}
	}
	return n, nil
}

// readFault explains an error of the reader below.
func (in *input) readFault(err error) error {
	problem := "cannot be read"
	var corrupt flate.CorruptInputError
	switch {
	case errors.As(err, &corrupt):
		problem = "the compressed data are damaged: fetch the file again"
	case errors.Is(err, io.ErrUnexpectedEOF):
		problem = "the compressed data are cut short: an incomplete download? Fetch the file again"
	case errors.Is(err, gzip.ErrHeader):
		problem = "the gzip header is damaged, or bytes follow the gzip data: fetch the file again"
	case errors.Is(err, gzip.ErrChecksum):
		problem = "the gzip checksum differs: the file is damaged, fetch it again"
	case errors.Is(err, zip.ErrChecksum):
		problem = "the zip checksum differs: the file is damaged, fetch it again"
	}
	return &FormatError{File: in.name, Problem: problem, Err: err}
}

// follows holds the payload's size against that of the file, where it is known.
func (in *input) follows(what string, header, payload int64) error {
	if in.size < 0 {
		return nil
	}
	switch found := max(0, in.size-header); {
	case found < payload:
		return in.short(what, payload, found)
	case found > payload:
		return fault(in.name, "header promises %s (%d bytes), and %d bytes follow them: a wrong header, or files run together?", what, payload, found-payload)
	}
	return nil
}

// promise holds what a header announces against what there is, before anything
// is allocated: the payload's size in the file against the file's, or against the
// most that compressed data can hold, and its size in memory against the memory.
// what names the payload in errors. What was promised may be allocated at once, and
// so is held once: a buffer that grows is held twice while it is copied.
func (in *input) promise(what string, header, payload, held int64) error {
	if err := in.follows(what, header, payload); err != nil {
		return err
	}
	if err := in.reserve(what, held); err != nil {
		return err
	}
	if payload > in.most {
		return fault(in.name, "header promises %s (%d bytes), and the compressed data cannot hold more than %d: a damaged header?", what, payload, in.most)
	}
	return nil
}

// reserve takes held bytes from the memory.
func (in *input) reserve(what string, held int64) error {
	return in.mem.reserve(in.name, what, held)
}

// reserve takes held bytes, or says that what, of the given file, needs more than
// there are.
func (m *memory) reserve(file, what string, held int64) error {
	if m.take(held) {
		return nil
	}
	taken := ""
	if n := m.total - m.left.Load(); n > 0 {
		taken = fmt.Sprintf(", %d of them taken already", n)
	}
	return fault(file, "%s need %d bytes, and %d bytes of memory are available%s: a damaged header? Otherwise use a smaller file", what, held, m.total, taken)
}

// short is the error for a payload that ends too early.
func (in *input) short(what string, payload, found int64) error {
	return fault(in.name, "header promises %s (%d bytes), file has %d: truncated download?", what, payload, found)
}

// payload reads the rest of the input, which must be exactly size bytes, as was
// promised.
func (in *input) payload(what string, size int64) ([]byte, error) {
	buf := make([]byte, size)
	n, err := in.full(buf)
	if err != nil {
		return nil, err
	}
	if n < len(buf) {
		return nil, in.short(what, size, int64(n))
	}
	return buf, in.end(what, size)
}

// end checks that nothing follows the payload. Reading on to the end is also
// what makes gzip and zip compare their checksums.
func (in *input) end(what string, size int64) error {
	var one [1]byte
	n, err := in.full(one[:])
	if err != nil {
		return err
	}
	if n > 0 {
		return fault(in.name, "header promises %s (%d bytes), and more bytes follow them: a wrong header, or files run together?", what, size)
	}
	return nil
}

// product multiplies sizes that are not negative; ok is false where the product
// passes 2⁶³-1 or the largest int.
func product(sizes ...int64) (p int64, ok bool) {
	u := uint64(1)
	for _, n := range sizes {
		hi, lo := bits.Mul64(u, uint64(n))
		if hi != 0 || lo > uint64(min(1<<63-1, uint64(^uint(0)>>1))) {
			return 0, false
		}
		u = lo
	}
	return int64(u), true
}

// memory is what may be allocated for images, shared by the files of a source
// that are read at the same time, and how they are to be read.
type memory struct {
	Reading
	total      int64
	left       atomic.Int64
	leaveAbove int64 // from how many bytes on pixels are left in their file
}

func newMemory(total int64) *memory {
	m := &memory{total: total, leaveAbove: leaveAbove}
	m.left.Store(total)
	return m
}

// take reports whether n more bytes fit, and if so counts them.
func (m *memory) take(n int64) bool {
	for {
		left := m.left.Load()
		if n > left {
			return false
		}
		if m.left.CompareAndSwap(left, left-n) {
			return true
		}
	}
}
