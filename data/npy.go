package data

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"path"
	"slices"
	"strings"

	"github.com/sbinet/npyio/npy"
)

// element is a type of array element that can be read.
type element struct {
	name  string
	size  int64
	level bool // levels are as they stand: bytes 0 to 255, or floats 0 to 1; other whole numbers are 0 to 255
	value func([]byte) float64
}

// elementOf returns the element type of a NumPy type string such as "<f4".
func elementOf(descr string) (element, bool) {
	if len(descr) < 2 {
		return element{}, false
	}
	var order binary.ByteOrder = binary.LittleEndian
	if descr[0] == '>' {
		order = binary.BigEndian
	}
	switch strings.TrimLeft(descr, "<>|=") {
	case "u1":
		return element{"uint8", 1, true, func(b []byte) float64 { return float64(b[0]) }}, true
	case "b1":
		return element{"bool", 1, true, func(b []byte) float64 { return float64(b[0]) }}, true
	case "f4":
		return element{"float32", 4, true, func(b []byte) float64 { return float64(math.Float32frombits(order.Uint32(b))) }}, true
	case "f8":
		return element{"float64", 8, true, func(b []byte) float64 { return math.Float64frombits(order.Uint64(b)) }}, true
	case "i1":
		return element{"int8", 1, false, func(b []byte) float64 { return float64(int8(b[0])) }}, true
	case "u2":
		return element{"uint16", 2, false, func(b []byte) float64 { return float64(order.Uint16(b)) }}, true
	case "i2":
		return element{"int16", 2, false, func(b []byte) float64 { return float64(int16(order.Uint16(b))) }}, true
	case "u4":
		return element{"uint32", 4, false, func(b []byte) float64 { return float64(order.Uint32(b)) }}, true
	case "i4":
		return element{"int32", 4, false, func(b []byte) float64 { return float64(int32(order.Uint32(b))) }}, true
	case "u8":
		return element{"uint64", 8, false, func(b []byte) float64 { return float64(order.Uint64(b)) }}, true
	case "i8":
		return element{"int64", 8, false, func(b []byte) float64 { return float64(int64(order.Uint64(b))) }}, true
	}
	return element{}, false
}

// npyHead is a checked header: its length in the file, the element type, the
// shape and the number of elements.
type npyHead struct {
	length  int64
	elem    element
	shape   []int
	fortran bool // the first dimension is the fastest
	little  bool // the lowest byte of an element comes first
	count   int64
}

// readNPY reads a NumPy array of images, of shape [N, D], [N, R, C], [N, R, C, 1],
// [N, 1, R, C], or in colour [N, R, C, 3], [N, 3, R, C], in C or Fortran order; or of
// labels, [N] or [N, 1].
func readNPY(in *input, want content) (member, error) {
	head, err := readNPYHeader(in)
	if err != nil {
		return member{}, err
	}
	m := member{format: "npy", compressed: in.compressed, shape: head.shape, element: head.elem.name}
	if want == labelsWanted {
		m.labels, err = npyLabels(in, head)
	} else {
		m.images, err = npyImages(in, head)
	}
	return m, err
}

// readNPYHeader reads and checks everything before the elements.
//
// Source: NumPy, NEP 1, "A simple file format for NumPy arrays".
func readNPYHeader(in *input) (npyHead, error) {
	raw, err := npyHeaderBytes(in)
	if err != nil {
		return npyHead{}, err
	}
	header, err := parseNPYHeader(raw)
	if err != nil {
		return npyHead{}, &FormatError{File: in.name, Problem: "the .npy header cannot be read, want the dictionary that NumPy writes: save the file anew", Err: err}
	}
	head := npyHead{length: int64(len(raw)), shape: header.Descr.Shape}
	head.fortran = header.Descr.Fortran && len(head.shape) > 1
	head.little = !strings.HasPrefix(header.Descr.Type, ">")
	if strings.Contains(header.Descr.Type, "O") {
		return npyHead{}, fault(in.name, "array of Python objects (%q), want numbers: save x.astype(numpy.uint8) or float32", clip(header.Descr.Type))
	}
	var ok bool
	if head.elem, ok = elementOf(header.Descr.Type); !ok {
		return npyHead{}, fault(in.name, "element type %q, want whole numbers, bool, float32 or float64: save x.astype(numpy.float32)", clip(header.Descr.Type))
	}
	sizes := make([]int64, len(head.shape))
	for i, n := range head.shape {
		if n < 0 || n > math.MaxInt32 {
			return npyHead{}, fault(in.name, "shape has %d, want 0 to 2³¹-1: a damaged header?", n)
		}
		sizes[i] = int64(n)
	}
	if head.count, ok = product(sizes...); ok {
		_, ok = product(head.count, head.elem.size)
	}
	if !ok {
		return npyHead{}, fault(in.name, "header promises %s elements, more than any memory: a damaged header?", shapeText(head.shape, "×"))
	}
	return head, nil
}

// npyHeaderBytes reads magic, version, length and dictionary, no further, and
// believes no length beyond what any NumPy array needs.
func npyHeaderBytes(in *input) ([]byte, error) {
	const longest = 1 << 16
	raw := make([]byte, 8, 128)
	n, err := in.full(raw)
	if err != nil {
		return nil, err
	}
	if !bytes.HasPrefix(raw[:n], []byte("\x93NUMPY")) {
		return nil, fault(in.name, "starts with %q, want %q: this is no .npy file", raw[:min(n, 6)], "\x93NUMPY")
	}
	width := 2 // bytes of the length
	switch {
	case n < 8:
	case raw[6] == 2:
		width = 4
	case raw[6] == 3:
		return nil, fault(in.name, ".npy version 3.0, which is for arrays with named fields, want 1.0 or 2.0: save an array of numbers alone, such as x.astype(numpy.uint8)")
	case raw[6] != 1:
		return nil, fault(in.name, ".npy version %d.%d, want 1.0 or 2.0", raw[6], raw[7])
	}
	var field [4]byte
	k, err := in.full(field[:width])
	if err != nil {
		return nil, err
	}
	if n < 8 || k < width {
		return nil, fault(in.name, "the .npy header ends at byte %d: truncated download?", n+k)
	}
	length := int64(binary.LittleEndian.Uint32(field[:])) // the bytes not read are 0
	if length > longest {
		return nil, fault(in.name, "a .npy header of %d bytes, want at most %d: a damaged header?", length, longest)
	}
	raw = append(raw, field[:width]...)
	dict := make([]byte, length)
	if k, err = in.full(dict); err != nil {
		return nil, err
	}
	if int64(k) < length {
		return nil, fault(in.name, "the .npy header promises %d bytes and ends after %d: truncated download?", length, k)
	}
	if !bytes.HasSuffix(bytes.TrimRight(dict, " "), []byte("\n")) {
		return nil, fault(in.name, "the .npy header of %d bytes does not end in a line end: a wrong header length? Save the file anew", length)
	}
	return append(raw, dict...), nil
}

// parseNPYHeader lets npyio parse the dictionary. It slices the text without
// looking, so a damaged header may panic there, which says nothing to a user; and
// its errors quote the header.
func parseNPYHeader(raw []byte) (header npy.Header, err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("a damaged dictionary")
		}
	}()
	r, err := npy.NewReader(bytes.NewReader(raw))
	if err != nil {
		return npy.Header{}, errors.New(cut(err.Error(), 100))
	}
	return r.Header, nil
}

// layout is how the elements of an array are images: their number and size, and how far
// apart in the file the images, rows, columns and channels are, in elements.
type layout struct {
	n, rows, cols, channels                 int
	perImage, perRow, perColumn, perChannel int
}

// layoutOf reads the shape of an array of images; ok is false for a shape that is none.
func layoutOf(shape []int, fortran bool) (l layout, ok bool) {
	steps := make([]int, len(shape))
	for i, step := 0, 1; i < len(shape); i++ {
		axis := len(shape) - 1 - i
		if fortran {
			axis = i
		}
		steps[axis] = step
		step *= shape[axis]
	}
	l = layout{channels: 1}
	axes := []int{0, 1, 2, -1} // of images, rows, columns and channels
	switch {
	case len(shape) == 2:
		side, square := squareRoot(shape[1])
		if !square {
			side = shape[1]
		}
		l.n, l.rows, l.cols = shape[0], shape[1]/max(1, side), side
		l.perImage, l.perRow, l.perColumn = steps[0], side*steps[1], steps[1]
		return l, true
	case len(shape) == 3:
	case len(shape) == 4 && (shape[3] == 1 || shape[3] == 3 && shape[1] != 1):
		axes[3] = 3
	case len(shape) == 4 && (shape[1] == 1 || shape[1] == 3): // as PyTorch has them
		axes = []int{0, 2, 3, 1}
	default:
		return l, false
	}
	l.n, l.rows, l.cols = shape[axes[0]], shape[axes[1]], shape[axes[2]]
	l.perImage, l.perRow, l.perColumn = steps[axes[0]], steps[axes[1]], steps[axes[2]]
	if axes[3] >= 0 {
		l.channels, l.perChannel = shape[axes[3]], steps[axes[3]]
	}
	return l, true
}

// inOrder tells whether the elements stand in the order of Images.
func (l layout) inOrder() bool {
	next := 1
	for _, axis := range [][2]int{{l.channels, l.perChannel}, {l.cols, l.perColumn}, {l.rows, l.perRow}, {l.n, l.perImage}} {
		if axis[0] > 1 && axis[1] != next {
			return false
		}
		next *= axis[0]
	}
	return true
}

// inOrderOf returns the elements in the order of Images.
func inOrderOf[T any](l layout, stored []T) []T {
	if len(stored) == 0 {
		return stored
	}
	ordered := make([]T, 0, len(stored))
	for i := range l.n {
		for r := range l.rows {
			for c := range l.cols {
				for channel := range l.channels {
					ordered = append(ordered, stored[i*l.perImage+r*l.perRow+c*l.perColumn+channel*l.perChannel])
				}
			}
		}
	}
	return ordered
}

// squareRoot returns the integer root of n, and whether n is its square.
func squareRoot(n int) (root int, square bool) {
	root = int(math.Round(math.Sqrt(float64(n))))
	return root, root*root == n
}

// largestImage is up to which side a two-dimensional array with two equal sides is
// taken for a single image: a set of as many images as each has pixels is rare, and
// larger when it is there.
const largestImage = 512

func npyImages(in *input, head npyHead) (*Images, error) {
	l, ok := layoutOf(head.shape, head.fortran)
	if !ok {
		hint := ""
		if len(head.shape) == 4 && head.shape[3] == 4 {
			hint = ": of four channels, save the three of colour, x[..., :3]"
		}
		return nil, fault(in.name, "array of shape [%s], want [N, D], [N, R, C], with [N, R, C, 1] or [N, 1, R, C] for grey and [N, R, C, 3] or [N, 3, R, C] for colour%s", shapeText(head.shape, ", "), hint)
	}
	if err := checkShape(in.name, l.n, l.rows, l.cols); err != nil {
		return nil, err
	}
	if side := l.n; len(head.shape) == 2 && head.shape[1] == side && side > 1 && side <= largestImage {
		return nil, fault(in.name, "array of shape [%[1]d, %[1]d], which looks like a single image of %[1]d×%[1]d: for that save x[None], of shape [1, %[1]d, %[1]d]; for %[1]d images of %[1]d pixels each, x[:, None, :], of shape [%[1]d, 1, %[1]d]", side)
	}
	what := fmt.Sprintf("%d images of %s", l.n, sizeText(l.rows, l.cols, l.channels))
	im := &Images{N: l.n, Rows: l.rows, Cols: l.cols, Channels: l.channels}
	bytes := head.elem.size == 1 && head.elem.level && (in.mem.Range == nil || in.mem.upTo255())
	asIs := bytes || head.elem.level && in.mem.Range == nil
	if asIs && l.inOrder() && head.elem.name != "bool" && (bytes || head.elem.name == "float32" && head.little) {
		if im.disk = in.leave(head.length, head.count*head.elem.size, im.D(), !bytes); im.disk != nil {
			if err := in.follows(what, head.length, head.count*head.elem.size); err != nil {
				return nil, err
			}
			return im, im.disk.checkLevels(int64(im.N))
		}
	}
	held := head.count
	if asIs && !bytes {
		held *= 4
	}
	if !l.inOrder() { // in both orders at the same time
		held *= 2
	}
	if err := in.promise(what, head.length, head.count*head.elem.size, held); err != nil {
		return nil, err
	}
	var err error
	switch {
	case bytes:
		im.Bytes, err = in.payload(what, head.count)
	case asIs:
		im.Floats, err = greyFloats(in, what, head, im.D())
	default:
		levels := newLevels(in, what, head.count, im.D())
		if err = in.elements(what, head, levels.add); err == nil {
			im.Bytes, im.Floats = levels.done()
		}
	}
	if err != nil {
		return nil, err
	}
	if head.elem.name == "bool" {
		for k, b := range im.Bytes {
			if b > 1 {
				return nil, fault(in.name, "image %d, pixel %d is the byte %d, want a bool, 0 or 1: the file is damaged", k/im.D(), k%im.D(), b)
			}
		}
	}
	if !l.inOrder() {
		im.Bytes, im.Floats = inOrderOf(l, im.Bytes), inOrderOf(l, im.Floats)
	}
	return im, nil
}

// greyFloats reads the elements of an array in chunks and checks each of them.
func greyFloats(in *input, what string, head npyHead, d int) ([]float32, error) {
	floats := make([]float32, 0, head.count)
	err := in.elements(what, head, func(k int64, g float64) error {
		if problem := greyProblem(g, k, d); problem != "" {
			return fault(in.name, "%s", problem)
		}
		floats = append(floats, float32(g))
		return nil
	})
	return floats, err
}

// elements reads the elements of an array one after another, which must be all
// that follows.
func (in *input) elements(what string, head npyHead, each func(k int64, value float64) error) error {
	size := head.elem.size
	chunk := make([]byte, 1<<13)
	for k := int64(0); k < head.count; {
		part := chunk[:size*min(head.count-k, int64(len(chunk))/size)]
		n, err := in.full(part)
		if err != nil {
			return err
		}
		if n < len(part) {
			return in.short(what, head.count*size, k*size+int64(n))
		}
		for ; len(part) > 0; part = part[size:] {
			if err := each(k, head.elem.value(part)); err != nil {
				return err
			}
			k++
		}
	}
	return in.end(what, head.count*size)
}

// npyLabels reads an array of labels of any integer type, each 0 to 255.
func npyLabels(in *input, head npyHead) ([]uint8, error) {
	shape := head.shape
	if len(shape) != 1 && !(len(shape) == 2 && shape[1] == 1) {
		return nil, fault(in.name, "array of shape [%s], want labels of shape [N]", shapeText(shape, ", "))
	}
	if strings.HasPrefix(head.elem.name, "float") || head.elem.name == "bool" {
		return nil, fault(in.name, "element type %s, want integer labels: save y.astype(numpy.uint8)", head.elem.name)
	}
	if head.count == 0 {
		return nil, fault(in.name, "header promises 0 labels, want at least one")
	}
	what := fmt.Sprintf("%d labels", head.count)
	if err := in.promise(what, head.length, head.count*head.elem.size, head.count); err != nil {
		return nil, err
	}
	labels := make([]uint8, 0, head.count)
	err := in.elements(what, head, func(k int64, value float64) error {
		if value < 0 || value > 255 {
			return fault(in.name, "label %d is %v, want 0 to 255", k, value)
		}
		labels = append(labels, uint8(value))
		return nil
	})
	return labels, err
}

// readNPZ reads the arrays of a NumPy archive, whose names say what they are, see
// npzRoleOf; or a single array of any name, which is the training part. An array that
// would be left out is an error, and so are labels without images.
func readNPZ(name string, r io.ReaderAt, size int64, mem *memory) ([]member, error) {
	archive, err := zip.NewReader(r, size)
	if err != nil {
		return nil, &FormatError{File: name, Problem: "the .npz archive cannot be read: an incomplete download? Fetch the file again", Err: err}
	}
	var arrays []*zip.File
	for _, f := range archive.File {
		if !strings.HasSuffix(f.Name, "/") {
			arrays = append(arrays, f)
		}
	}
	var names []string
	for _, f := range arrays {
		names = append(names, plain(clip(strings.TrimSuffix(f.Name, ".npy"))))
	}
	if len(arrays) == 0 {
		return nil, fault(name, "the archive is empty, want x_train and, if there are any, y_train, x_test, y_test")
	}
	roles := make([]npzRole, len(arrays))
	for i, f := range arrays {
		const encrypted = 1 // of the flags
		if f.Flags&encrypted != 0 {
			return nil, fault(name, "the array %s is encrypted, want an archive without a password: unpack it with the password, and save the arrays with numpy.savez", names[i])
		}
		var ok bool
		roles[i], ok = npzRoleOf(names[i])
		if !ok && len(arrays) == 1 {
			roles[i], ok = npzRole{partTrain, imagesWanted}, true
		}
		if !ok || slices.Contains(roles[:i], roles[i]) {
			return nil, fault(name, "found the arrays %s, want x_train, y_train, x_test, y_test, or train, test, or x, y, or images, labels, or a single one: save an archive of those only", listText(names))
		}
	}
	if !slices.Contains(roles, npzRole{partTrain, imagesWanted}) {
		return nil, fault(name, "found the arrays %s and no training images, want x_train or train: save them in the same archive", listText(names))
	}
	for i, role := range roles {
		if role.want == labelsWanted && !slices.Contains(roles, npzRole{role.part, imagesWanted}) {
			return nil, fault(name, "found the labels %s and no images for them: save the images in the same archive, or leave the labels out", names[i])
		}
	}
	members := make([]member, len(arrays))
	for i, f := range arrays {
		if members[i], err = readNPZMember(name, f, size, roles[i].want, mem); err != nil {
			return nil, err
		}
		members[i].part = roles[i].part
	}
	return members, nil
}

// npzRole is what an array of an archive stands for.
type npzRole struct {
	part string
	want content
}

// npzRoleOf reads the role of an array from its name, in which capitals count for
// nothing: x_train, train_images or train, y_train or train_labels, and the same for
// valid (val, validation) and test; x, images, data or arr_0 for a training part alone,
// and y, labels, target or arr_1 for its labels.
func npzRoleOf(name string) (role npzRole, ok bool) {
	name = strings.ToLower(name)
	switch name {
	case "x", "images", "data", "arr_0":
		return npzRole{partTrain, imagesWanted}, true
	case "y", "labels", "target", "arr_1":
		return npzRole{partTrain, labelsWanted}, true
	}
	for _, part := range []struct{ word, part string }{
		{"train", partTrain}, {"valid", partValid}, {"val", partValid}, {"validation", partValid}, {"test", partTest},
	} {
		switch name {
		case part.word, "x_" + part.word, part.word + "_images":
			return npzRole{part.part, imagesWanted}, true
		case "y_" + part.word, part.word + "_labels":
			return npzRole{part.part, labelsWanted}, true
		}
	}
	return npzRole{}, false
}

func readNPZMember(archive string, f *zip.File, size int64, want content, mem *memory) (member, error) {
	name := archive + ": " + path.Base(plain(clip(f.Name)))
	if f.UncompressedSize64 > math.MaxInt64 {
		return member{}, fault(name, "an array of %d bytes: a damaged archive?", f.UncompressedSize64)
	}
	r, err := f.Open()
	if err != nil {
		return member{}, &FormatError{File: name, Problem: "cannot be unpacked", Err: err}
	}
	defer r.Close()
	// The sizes are promises as well; only that of the archive is known.
	packed := int64(min(f.CompressedSize64, uint64(size)))
	in, err := newInput(name, r, int64(f.UncompressedSize64), unpacked(packed), mem)
	if err != nil {
		return member{}, err
	}
	in.compressed = in.compressed || f.Method != zip.Store
	m, err := readNPY(in, want)
	m.format = "npz member"
	m.name = name
	return m, err
}
