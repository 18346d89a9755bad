package data

import (
	"archive/zip"
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Array is a NumPy array in C order, of any shape. One of Floats, Ints and Texts holds its
// elements, as many as the product of Shape.
type Array struct {
	Name  string // in an archive; "" in a file of its own
	Shape []int

	Floats []float32
	Ints   []int64
	Texts  []string
}

// Len is the number of elements that the shape asks for.
func (a *Array) Len() int {
	n := 1
	for _, size := range a.Shape {
		n *= size
	}
	return n
}

// descr is the NumPy type of the elements, and the length of a text in characters.
func (a *Array) descr() (descr string, width int) {
	switch {
	case a.Ints != nil:
		return "<i8", 0
	case a.Texts != nil:
		for _, text := range a.Texts {
			width = max(width, utf8.RuneCountInString(text))
		}
		width = max(width, 1) // NumPy has no texts of no characters
		return fmt.Sprintf("<U%d", width), width
	}
	return "<f4", 0
}

// Write writes the array as a .npy file: float32, int64, or Unicode text, little-endian.
//
// Source: NumPy, NEP 1, "A simple file format for NumPy arrays", version 1.0.
func (a *Array) Write(w io.Writer) error {
	if n := len(a.Floats) + len(a.Ints) + len(a.Texts); n != a.Len() {
		return fmt.Errorf("array %q: %d elements, want those of the shape [%s]", a.Name, n, shapeText(a.Shape, ", "))
	}
	descr, width := a.descr()
	buffered := bufio.NewWriterSize(w, 1<<16) // keeps the first error for Flush
	buffered.WriteString(npyHeader(descr, a.Shape...))
	var word [8]byte
	for _, v := range a.Floats {
		buffered.Write(binary.LittleEndian.AppendUint32(word[:0], math.Float32bits(v)))
	}
	for _, v := range a.Ints {
		buffered.Write(binary.LittleEndian.AppendUint64(word[:0], uint64(v)))
	}
	for _, text := range a.Texts {
		missing := width
		for _, r := range text {
			buffered.Write(binary.LittleEndian.AppendUint32(word[:0], uint32(r)))
			missing--
		}
		buffered.Write(make([]byte, 4*missing))
	}
	return buffered.Flush()
}

// WriteNPZ writes arrays as a NumPy archive, compressed, in their order. The same arrays
// give the same bytes.
func WriteNPZ(w io.Writer, arrays ...*Array) error {
	archive := zip.NewWriter(w)
	for _, a := range arrays {
		member, err := archive.Create(a.Name + ".npy")
		if err == nil {
			err = a.Write(member)
		}
		if err != nil {
			return err
		}
	}
	return archive.Close()
}

// ReadArrays reads the array of a .npy file, or those of a .npz file that have one of the
// names, all where none is named. Numbers of any type are read: whole ones as Ints, others
// as Floats, which are float32. What a header promises is held against the file and the
// available memory first. Every error is a FormatError.
func ReadArrays(file string, names ...string) ([]*Array, error) {
	if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
		return nil, &FormatError{File: file, Problem: "not found, want a .npy or .npz file", Err: fs.ErrNotExist}
	}
	f, size, err := openRegular(file, file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	mem := newMemory(AvailableMemory())
	start := make([]byte, 2)
	if n, _ := f.ReadAt(start, 0); string(start[:n]) == "PK" {
		return readArchive(file, f, size, names, mem)
	}
	in, err := newInput(file, f, size, size, mem)
	if err != nil {
		return nil, err
	}
	a, err := readArray(in)
	if err != nil {
		return nil, err
	}
	return []*Array{a}, nil
}

// ParseArray reads an array from the bytes of a .npy file that is not compressed, as ReadArrays
// does; name is what errors call it.
func ParseArray(name string, npy []byte) (*Array, error) {
	if !bytes.HasPrefix(npy, []byte("\x93NUMPY")) {
		return nil, fault(name, "its first bytes are not those of a .npy file: want what numpy.save writes")
	}
	in, err := newInput(name, bytes.NewReader(npy), int64(len(npy)), int64(len(npy)), newMemory(AvailableMemory()))
	if err != nil {
		return nil, err
	}
	return readArray(in)
}

// readArchive reads the arrays of a .npz file.
func readArchive(file string, f *os.File, size int64, names []string, mem *memory) ([]*Array, error) {
	archive, err := zip.NewReader(f, size)
	if err != nil {
		return nil, &FormatError{File: file, Problem: "the .npz archive cannot be read: an incomplete download? Fetch the file again", Err: err}
	}
	var arrays []*Array
	for _, member := range archive.File {
		name := strings.TrimSuffix(member.Name, ".npy")
		if len(names) > 0 && !slices.Contains(names, name) {
			continue
		}
		a, err := readMember(file+": "+path.Base(plain(clip(member.Name))), member, size, mem)
		if err != nil {
			return nil, err
		}
		a.Name = name
		arrays = append(arrays, a)
	}
	return arrays, nil
}

func readMember(name string, member *zip.File, size int64, mem *memory) (*Array, error) {
	if member.UncompressedSize64 > math.MaxInt64 {
		return nil, fault(name, "an array of %d bytes: a damaged archive?", member.UncompressedSize64)
	}
	r, err := member.Open()
	if err != nil {
		return nil, &FormatError{File: name, Problem: "cannot be unpacked", Err: err}
	}
	defer r.Close()
	packed := int64(min(member.CompressedSize64, uint64(size)))
	in, err := newInput(name, r, int64(member.UncompressedSize64), unpacked(packed), mem)
	if err != nil {
		return nil, err
	}
	return readArray(in)
}

// readArray reads a .npy file of numbers or of text.
func readArray(in *input) (*Array, error) {
	if length, width, n, ok := in.textHeader(); ok {
		return readTexts(in, length, width, n)
	}
	head, err := readNPYHeader(in)
	if err != nil {
		return nil, err
	}
	a := &Array{Shape: head.shape}
	what := fmt.Sprintf("an array of shape [%s]", shapeText(head.shape, ", "))
	whole := !strings.HasPrefix(head.elem.name, "float")
	held := 4 * head.count
	if whole {
		held = 8 * head.count
	}
	if err := in.promise(what, head.length, head.count*head.elem.size, held); err != nil {
		return nil, err
	}
	if whole {
		a.Ints = make([]int64, 0, head.count)
	} else {
		a.Floats = make([]float32, 0, head.count)
	}
	err = in.elements(what, head, func(_ int64, v float64) error {
		if whole {
			a.Ints = append(a.Ints, int64(v))
		} else {
			a.Floats = append(a.Floats, float32(v))
		}
		return nil
	})
	if head.fortran {
		a.Ints, a.Floats = inCOrder(head.shape, a.Ints), inCOrder(head.shape, a.Floats)
	}
	return a, err
}

// inCOrder puts elements whose first dimension is the fastest in the order in which the last
// one is.
func inCOrder[T any](shape []int, elements []T) []T {
	if elements == nil {
		return nil
	}
	strides := make([]int, len(shape)) // of the elements as they are
	stride := 1
	for axis, n := range shape {
		strides[axis] = stride
		stride *= n
	}
	ordered := make([]T, 0, len(elements))
	for i := range elements {
		at, rest := 0, i
		for axis := len(shape) - 1; axis >= 0; axis-- {
			at += rest % shape[axis] * strides[axis]
			rest /= shape[axis]
		}
		ordered = append(ordered, elements[at])
	}
	return ordered
}

// textHeader looks for a header of Unicode text in one dimension: its length in the file,
// and how many texts of how many characters it promises. It is false for any other header.
func (in *input) textHeader() (length int64, width, n int, ok bool) {
	start, _ := in.r.Peek(1 << 10) // what cannot be read is said when it is read
	raw, err := npyHeaderBytes(&input{name: in.name, r: bufio.NewReader(bytes.NewReader(start))})
	if err != nil {
		return 0, 0, 0, false
	}
	header, err := parseNPYHeader(raw)
	if err != nil || len(header.Descr.Shape) != 1 {
		return 0, 0, 0, false
	}
	digits, ok := strings.CutPrefix(header.Descr.Type, "<U")
	if !ok {
		return 0, 0, 0, false
	}
	width, err = strconv.Atoi(digits)
	n = header.Descr.Shape[0]
	return int64(len(raw)), width, n, err == nil && width > 0 && width < 1<<16 && n >= 0
}

// readTexts reads the texts of an array after its header.
func readTexts(in *input, header int64, width, n int) (*Array, error) {
	if _, err := in.full(make([]byte, header)); err != nil {
		return nil, err
	}
	size, ok := product(int64(n), int64(width), 4)
	if !ok {
		return nil, fault(in.name, "header promises %d texts of %d characters, more than any memory: a damaged header?", n, width)
	}
	what := fmt.Sprintf("%d texts of %d characters", n, width)
	if err := in.promise(what, header, size, size); err != nil {
		return nil, err
	}
	raw, err := in.payload(what, size)
	if err != nil {
		return nil, err
	}
	a := &Array{Shape: []int{n}, Texts: make([]string, n)}
	for i := range a.Texts {
		var text strings.Builder
		for c := range width {
			if r := binary.LittleEndian.Uint32(raw[4*(i*width+c):]); r != 0 {
				text.WriteRune(rune(min(r, utf8.MaxRune+1))) // what is no character becomes U+FFFD
			}
		}
		a.Texts[i] = text.String()
	}
	return a, nil
}
