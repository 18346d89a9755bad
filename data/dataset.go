package data

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
)

// Images are N grey images of Rows × Cols pixels, stored row by row and image
// after image. Exactly one of Bytes (grey level · 255) and Floats (grey level in
// [0, 1]) is non-nil, of length N·D; 0 is background. They must not be changed
// once they are part of a Dataset.
type Images struct {
	N, Rows, Cols int
	Bytes         []uint8
	Floats        []float32
	Labels        []uint8 // one for each image, or nil

	outcomes outcomes // the answer of Binary, where it was worked out already
}

// outcomes says whether pixels are outcomes or grey.
type outcomes uint8

const (
	outcomesUnknown outcomes = iota
	outcomesOnly
	outcomesNot
)

// D returns the number of pixels of an image, Rows · Cols.
func (im *Images) D() int { return im.Rows * im.Cols }

// Binary reports whether every grey level is exactly 0 or 1, so that the pixels
// are Bernoulli outcomes as they stand.
func (im *Images) Binary() bool {
	if im.outcomes != outcomesUnknown {
		return im.outcomes == outcomesOnly
	}
	for _, g := range im.Bytes {
		if g != 0 && g != 255 {
			return false
		}
	}
	for _, g := range im.Floats {
		if g != 0 && g != 1 {
			return false
		}
	}
	return true
}

// note keeps the answer of Binary.
func (im *Images) note() {
	if im.Binary() {
		im.outcomes = outcomesOnly
	} else {
		im.outcomes = outcomesNot
	}
}

// Dataset is a training part and, where the source has one, a test part, of the
// same size of image. Test.N is 0 where there is none.
type Dataset struct {
	Name        string
	Train, Test Images
	// Validation says how many images at the end of Train the source keeps for
	// validation; 0 where it leaves that open.
	Validation int
	// SHA256 identifies the pixels, in hex. It is the SHA-256 of the line
	//
	//	elbo images 1 KIND train N ROWS COLS test N ROWS COLS\n
	//
	// with KIND uint8 or float32, followed by the pixels of the training part and
	// then of the test part, as bytes or as little-endian float32. Labels, file
	// names, compression and Validation do not enter.
	SHA256 string
}

// New makes a data set of images that are in memory already; test may be the
// zero Images. It returns every fault at once: no training image, lengths that
// do not fit N, Rows and Cols, grey levels that are not in [0, 1], and parts
// that differ in size or in the kind of their pixels.
func New(name string, train, test Images) (*Dataset, error) {
	return newDataset(name, name, train, test)
}

// newDataset is New for images from a source, which its errors name.
func newDataset(name, source string, train, test Images) (*Dataset, error) {
	errs := []error{train.validate(source + ": train"), test.validate(source + ": test")}
	if train.N == 0 {
		errs = append(errs, fault(source, "no training images, want at least one"))
	}
	if test.N > 0 && (test.Rows != train.Rows || test.Cols != train.Cols) {
		errs = append(errs, fault(source, "train images are %d×%d, test images %d×%d, want one size: the parts belong to different data sets", train.Rows, train.Cols, test.Rows, test.Cols))
	}
	if test.N > 0 && (test.Bytes == nil) != (train.Bytes == nil) {
		errs = append(errs, fault(source, "one part has bytes and the other floats, want the same in both"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	train.note()
	test.note()
	d := &Dataset{Name: name, Train: train, Test: test}
	d.SHA256 = d.sum()
	return d, nil
}

// validate checks one part; see New.
func (im *Images) validate(name string) error {
	if im.N == 0 && im.Bytes == nil && im.Floats == nil {
		return nil
	}
	var errs []error
	if im.N < 0 || im.Rows < 1 || im.Cols < 1 || im.N > math.MaxInt32 {
		return fault(name, "%d images of %d×%d, want up to 2³¹-1 images of at least 1×1", im.N, im.Rows, im.Cols)
	}
	if (im.Bytes == nil) == (im.Floats == nil) {
		errs = append(errs, fault(name, "want either Bytes or Floats"))
	}
	size, ok := product(int64(im.N), int64(im.Rows), int64(im.Cols))
	if found := len(im.Bytes) + len(im.Floats); !ok || int64(found) != size {
		errs = append(errs, fault(name, "%d pixels, want %d·%d·%d", found, im.N, im.Rows, im.Cols))
	}
	if im.Labels != nil && len(im.Labels) != im.N {
		errs = append(errs, fault(name, "%d labels for %d images, want one each", len(im.Labels), im.N))
	}
	for k, g := range im.Floats {
		if problem := greyProblem(float64(g), int64(k), im.D()); problem != "" {
			errs = append(errs, fault(name, "%s", problem))
			break
		}
	}
	return errors.Join(errs...)
}

// greyProblem says what is wrong with grey level g, the k-th number of images of
// d pixels, or returns "". Written so that NaN is a problem.
func greyProblem(g float64, k int64, d int) string {
	if g >= 0 && g <= 1 {
		return ""
	}
	hint := ""
	if g > 1 && g <= 255 {
		hint = ": for grey levels up to 255, divide by 255 or save as uint8"
	}
	return fmt.Sprintf("image %d, pixel %d is %v, want a grey level in [0, 1]%s", k/int64(d), k%int64(d), g, hint)
}

// Rows returns the height of an image in pixels.
func (d *Dataset) Rows() int { return d.Train.Rows }

// Cols returns the width of an image in pixels.
func (d *Dataset) Cols() int { return d.Train.Cols }

// D returns the number of pixels of an image.
func (d *Dataset) D() int { return d.Train.D() }

// sum computes SHA256.
func (d *Dataset) sum() string {
	kind := "uint8"
	if d.Train.Bytes == nil {
		kind = "float32"
	}
	h := sha256.New()
	fmt.Fprintf(h, "elbo images 1 %s train %d %d %d test %d %d %d\n", kind,
		d.Train.N, d.Train.Rows, d.Train.Cols, d.Test.N, d.Test.Rows, d.Test.Cols)
	for _, im := range []*Images{&d.Train, &d.Test} {
		h.Write(im.Bytes)
		writeFloats(h, im.Floats)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// writeFloats writes little-endian float32 in chunks.
func writeFloats(w io.Writer, floats []float32) {
	chunk := make([]byte, 0, 1<<14)
	for len(floats) > 0 {
		k := min(len(floats), cap(chunk)/4)
		chunk = chunk[:0]
		for _, g := range floats[:k] {
			chunk = binary.LittleEndian.AppendUint32(chunk, math.Float32bits(g))
		}
		w.Write(chunk)
		floats = floats[k:]
	}
}
