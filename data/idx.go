package data

import (
	"encoding/binary"
	"fmt"
	"math"
)

// The magic numbers of IDX: two zero bytes, the element type (0x08, unsigned
// byte), the number of dimensions. All numbers are big-endian.
//
// Source: LeCun, Cortes and Burges, "The MNIST database", section "File
// formats".
const (
	magicLabels = 0x00000801
	magicImages = 0x00000803
)

// content is what a file or an array inside it is expected to hold.
type content uint8

const (
	imagesWanted content = iota
	labelsWanted
	anythingWanted // for a description
)

// readIDX reads an IDX file of images (count, rows, columns, then one byte a
// pixel) or of labels (count, then one byte each), whichever is wanted.
func readIDX(in *input, want content) (member, error) {
	head, err := idxNumbers(in, 0, 1)
	if err != nil {
		return member{}, err
	}
	magic := head[0]
	if err := checkMagic(in.name, magic, want); err != nil {
		return member{}, err
	}
	m := member{format: "idx", compressed: in.compressed, element: "uint8"}
	if magic == magicLabels {
		if m.shape, err = idxDims(in, 1); err != nil {
			return member{}, err
		}
		m.labels, err = idxLabels(in, m.shape[0])
		return m, err
	}
	if m.shape, err = idxDims(in, 3); err != nil {
		return member{}, err
	}
	m.images, err = idxImages(in, m.shape[0], m.shape[1], m.shape[2])
	return m, err
}

// idxDims reads count dimensions, which follow the magic number.
func idxDims(in *input, count int) ([]int, error) {
	numbers, err := idxNumbers(in, 4, count)
	if err != nil {
		return nil, err
	}
	dims := make([]int, count)
	for i, u := range numbers {
		if u > math.MaxInt32 {
			return nil, fault(in.name, "IDX header has %d at byte %d, want less than 2³¹: a damaged header?", u, 4+4*i)
		}
		dims[i] = int(u)
	}
	return dims, nil
}

// idxNumbers reads count big-endian numbers at byte offset.
func idxNumbers(in *input, offset, count int) ([]uint32, error) {
	buf := make([]byte, 4*count)
	n, err := in.full(buf)
	if err != nil {
		return nil, err
	}
	if n < len(buf) {
		return nil, fault(in.name, "the IDX header ends at byte %d, want %d bytes: truncated download?", offset+n, offset+len(buf))
	}
	numbers := make([]uint32, count)
	for i := range numbers {
		numbers[i] = binary.BigEndian.Uint32(buf[4*i:])
	}
	return numbers, nil
}

// checkMagic compares the magic number with the one of the content wanted, and
// says what the file looks like instead.
func checkMagic(name string, magic uint32, want content) error {
	wanted := "0x00000803 (images)"
	switch want {
	case imagesWanted:
		if magic == magicImages {
			return nil
		}
	case labelsWanted:
		wanted = "0x00000801 (labels)"
		if magic == magicLabels {
			return nil
		}
	case anythingWanted:
		wanted += " or 0x00000801 (labels)"
		if magic == magicImages || magic == magicLabels {
			return nil
		}
	}
	guess := "this is no IDX file"
	switch kind := magic >> 8; {
	case magic == magicLabels:
		guess = "this looks like the label file"
	case magic == magicImages:
		guess = "this looks like the image file"
	case kind == 0x08:
		guess = fmt.Sprintf("this looks like IDX bytes with %d dimensions", magic&0xff)
	case kind >= 0x09 && kind <= 0x0e:
		guess = fmt.Sprintf("this looks like IDX of element type 0x%02X, and only unsigned bytes (0x08) are read", kind)
	}
	return fault(name, "magic 0x%08x at byte 0, want %s: %s", magic, wanted, guess)
}

func idxImages(in *input, n, rows, cols int) (_ *Images, err error) {
	if err := in.mem.onlyBytes(in.name); err != nil {
		return nil, err
	}
	if err := checkShape(in.name, n, rows, cols); err != nil {
		return nil, err
	}
	what := fmt.Sprintf("%d images of %d×%d", n, rows, cols)
	size, ok := product(int64(n), int64(rows), int64(cols))
	if !ok {
		return nil, fault(in.name, "header promises %s, more than any memory: a damaged header?", what)
	}
	const start = 16
	im := &Images{N: n, Rows: rows, Cols: cols}
	if im.disk = in.leave(start, size, im.D(), false); im.disk != nil {
		return im, in.follows(what, start, size)
	}
	if err := in.promise(what, start, size, size); err != nil {
		return nil, err
	}
	im.Bytes, err = in.payload(what, size)
	if err != nil {
		return nil, err
	}
	return im, nil
}

func idxLabels(in *input, n int) ([]uint8, error) {
	if n == 0 {
		return nil, fault(in.name, "header promises 0 labels, want at least one")
	}
	what := fmt.Sprintf("%d labels", n)
	if err := in.promise(what, 8, int64(n), int64(n)); err != nil {
		return nil, err
	}
	return in.payload(what, int64(n))
}

// checkShape refuses images that are not there.
func checkShape(name string, n, rows, cols int) error {
	if n == 0 {
		return fault(name, "header promises 0 images, want at least one")
	}
	if rows == 0 || cols == 0 {
		return fault(name, "header promises images of %d×%d, want at least 1×1", rows, cols)
	}
	return nil
}
