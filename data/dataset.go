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

// Images are N images of Rows × Cols pixels, stored row by row and image after
// image; in colour, the levels of red, green and blue stand side by side, so that an
// image is [Rows, Cols, Channels]. Exactly one of Bytes (level · 255) and Floats
// (level in [0, 1]) is non-nil, of length N·D; 0 is background. Both are nil where
// Open leaves the pixels in their file, see Open. They must not be changed once they
// are part of a Dataset.
type Images struct {
	N, Rows, Cols int
	Channels      int // 0 or 1: grey; 3: colour
	Bytes         []uint8
	Floats        []float32
	Labels        []uint8  // one for each image, or nil
	Classes       []string // the name of each label, or nil
	Names         []string // of each image, its file under the source; or nil

	outcomes outcomes // the answer of Binary, where it was worked out already
	disk     *disk    // has the pixels, where they are left in their file; or nil
}

// outcomes says whether pixels are outcomes or grey.
type outcomes uint8

const (
	outcomesUnknown outcomes = iota
	outcomesOnly
	outcomesNot
)

// D returns the number of levels of an image, Rows · Cols · Channels: of a grey one
// its pixels.
func (im *Images) D() int { return im.Rows * im.Cols * im.channels() }

// channels is Channels, for which 0 is short for 1.
func (im *Images) channels() int { return max(1, im.Channels) }

// size says how large an image is, as "28×28" or, in colour, "32×32×3".
func (im *Images) size() string { return sizeText(im.Rows, im.Cols, im.channels()) }

func sizeText(rows, cols, channels int) string {
	if channels > 1 {
		return fmt.Sprintf("%d×%d×%d", rows, cols, channels)
	}
	return fmt.Sprintf("%d×%d", rows, cols)
}

// Binary reports whether every grey level is exactly 0 or 1, so that the pixels
// are Bernoulli outcomes as they stand.
func (im *Images) Binary() bool {
	if im.outcomes != outcomesUnknown {
		return im.outcomes == outcomesOnly
	}
	binary := true
	im.blocks(func(bytes []uint8, floats []float32) bool {
		for _, g := range bytes {
			if g != 0 && g != 255 {
				binary = false
				return false
			}
		}
		for _, g := range floats {
			if g != 0 && g != 1 {
				binary = false
				return false
			}
		}
		return true
	})
	return binary
}

// blocks shows all pixels, in order and some at a time, until show returns false.
func (im *Images) blocks(show func(bytes []uint8, floats []float32) bool) {
	if im.disk != nil {
		im.disk.blocks(int64(im.N), show)
	} else {
		show(im.Bytes, im.Floats)
	}
}

// EightBit reports whether every pixel is one of 256 grey levels, v/255, as the source has
// whole numbers from 0 to 255.
func (im *Images) EightBit() bool { return im.isBytes() }

// isBytes tells whether the pixels are bytes.
func (im *Images) isBytes() bool {
	if im.disk != nil {
		return im.disk.isBytes()
	}
	return im.Bytes != nil
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
	// with KIND uint8 or float32, and in colour " channels 3" before its end, followed
	// by the pixels of the training part and then of the test part, as bytes or as
	// little-endian float32. Labels, file names, compression and Validation do not
	// enter.
	SHA256 string
	// Notes say, in a sentence each, what the source left open and how it was read.
	Notes []string

	order []int32 // of the training images, when they are split; nil: as they are stored
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
	if test.N > 0 && test.size() != train.size() {
		errs = append(errs, fault(source, "train images are %s, test images %s, want one size: the parts belong to different data sets", train.size(), test.size()))
	}
	if test.N > 0 && test.isBytes() != train.isBytes() {
		errs = append(errs, fault(source, "one part has bytes and the other floats, want the same in both"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	train.note()
	test.note()
	d := &Dataset{Name: name, Train: train, Test: test}
	d.SHA256 = d.sum()
	return d, d.Err() // of files that could not be read to their end
}

// validate checks one part; see New.
func (im *Images) validate(name string) error {
	if im.N == 0 && im.Bytes == nil && im.Floats == nil && im.disk == nil {
		return nil
	}
	var errs []error
	if im.N < 0 || im.Rows < 1 || im.Cols < 1 || im.N > math.MaxInt32 {
		return fault(name, "%d images of %d×%d, want up to 2³¹-1 images of at least 1×1", im.N, im.Rows, im.Cols)
	}
	if im.Channels != 0 && im.Channels != 1 && im.Channels != 3 {
		return fault(name, "images of %d channels, want 1 (grey) or 3 (colour)", im.Channels)
	}
	if im.Labels != nil && len(im.Labels) != im.N {
		errs = append(errs, fault(name, "%d labels for %d images, want one each", len(im.Labels), im.N))
	}
	for _, label := range im.Labels {
		if im.Classes != nil && int(label) >= len(im.Classes) {
			errs = append(errs, fault(name, "label %d, and %d classes have a name, want one for each label", label, len(im.Classes)))
			break
		}
	}
	if im.Names != nil && len(im.Names) != im.N {
		errs = append(errs, fault(name, "%d names for %d images, want one each", len(im.Names), im.N))
	}
	if im.disk != nil { // its reader has checked the rest
		return errors.Join(errs...)
	}
	if (im.Bytes == nil) == (im.Floats == nil) {
		errs = append(errs, fault(name, "want either Bytes or Floats"))
	}
	size, ok := product(int64(im.N), int64(im.Rows), int64(im.Cols), int64(im.channels()))
	if found := len(im.Bytes) + len(im.Floats); !ok || int64(found) != size {
		channels := ""
		if im.channels() > 1 {
			channels = fmt.Sprintf("·%d", im.Channels)
		}
		errs = append(errs, fault(name, "%d pixels, want %d·%d·%d%s", found, im.N, im.Rows, im.Cols, channels))
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
		hint = ": for grey levels up to 255, say --range 0,255"
	}
	return fmt.Sprintf("image %d, pixel %d is %v, want a grey level in [0, 1]%s", k/int64(d), k%int64(d), g, hint)
}

// Rows returns the height of an image in pixels.
func (d *Dataset) Rows() int { return d.Train.Rows }

// Cols returns the width of an image in pixels.
func (d *Dataset) Cols() int { return d.Train.Cols }

// Channels returns 1 for grey images, 3 for colour.
func (d *Dataset) Channels() int { return d.Train.channels() }

// D returns the number of levels of an image, Rows · Cols · Channels.
func (d *Dataset) D() int { return d.Train.D() }

// Err returns what went wrong since with the pixels that were left in their file: it
// could not be read, or is not what it was. Pixels that could not be read are shown as
// 0, so that figures count for nothing once there is an error. It is nil for images in
// memory.
func (d *Dataset) Err() error {
	for _, im := range []*Images{&d.Train, &d.Test} {
		if im.disk != nil {
			if err := im.disk.check(); err != nil {
				return err
			}
		}
	}
	return nil
}

// sum computes SHA256.
func (d *Dataset) sum() string {
	kind, channels := "uint8", ""
	if !d.Train.isBytes() {
		kind = "float32"
	}
	if d.Channels() > 1 {
		channels = fmt.Sprintf(" channels %d", d.Channels())
	}
	h := sha256.New()
	fmt.Fprintf(h, "elbo images 1 %s train %d %d %d test %d %d %d%s\n", kind,
		d.Train.N, d.Train.Rows, d.Train.Cols, d.Test.N, d.Test.Rows, d.Test.Cols, channels)
	for _, im := range []*Images{&d.Train, &d.Test} {
		im.blocks(func(bytes []uint8, floats []float32) bool {
			h.Write(bytes)
			writeFloats(h, floats)
			return true
		})
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
