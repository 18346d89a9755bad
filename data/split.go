package data

import (
	"fmt"
	"strconv"
)

// The parts of a data set. They enter the keys of random streams, and so never
// change.
const (
	partTrain = "train"
	partTest  = "test"
	partAll   = "all" // of both; its pixels are drawn as those of the part that they are stored in
)

// Subset is a run of images of one part, neighbours as they are stored or as they were
// shuffled, or all images of a data set. It shares the pixels with its Dataset. The zero
// Subset is empty.
type Subset struct {
	im    *Images
	part  string
	first int // of the part, or of order
	n     int
	order []int32 // places in the part, where it was shuffled
	test  *Images // its images come after those of im, or nil
}

// N returns the number of images.
func (s Subset) N() int { return s.n }

// Rows returns the height of an image in pixels.
func (s Subset) Rows() int {
	if s.im == nil {
		return 0
	}
	return s.im.Rows
}

// Cols returns the width of an image in pixels.
func (s Subset) Cols() int {
	if s.im == nil {
		return 0
	}
	return s.im.Cols
}

// Channels returns 1 for grey images, 3 for colour, 0 for the zero Subset.
func (s Subset) Channels() int {
	if s.im == nil {
		return 0
	}
	return s.im.channels()
}

// D returns the number of levels of an image, Rows · Cols · Channels.
func (s Subset) D() int { return s.Rows() * s.Cols() * s.Channels() }

// Part returns the part the images were stored in, "train" or "test", or "all" where
// they are those of both. Images taken from the training part stay "train", also when
// they serve for validation or testing.
func (s Subset) Part() string { return s.part }

// Index returns the place of image i in its part, counted from 0: its place in
// the file, where the part is one file. Where the part is "all", the images of the
// test part are counted after those of the training part.
func (s Subset) Index(i int) int {
	if i < 0 || i >= s.n {
		panic(fmt.Sprintf("data: image %d of a subset of %d", i, s.n))
	}
	if s.order != nil {
		return int(s.order[s.first+i])
	}
	return s.first + i
}

// stored returns where image i is stored: the images of a part, its name, and the place
// among them.
func (s Subset) stored(i int) (im *Images, part string, k int) {
	k = s.Index(i)
	switch {
	case s.part != partAll:
		return s.im, s.part, k
	case k < s.im.N:
		return s.im, partTrain, k
	}
	return s.test, partTest, k - s.im.N
}

// Label returns the label of image i, and false where the source has none.
func (s Subset) Label(i int) (uint8, bool) {
	im, _, k := s.stored(i)
	if im.Labels == nil {
		return 0, false
	}
	return im.Labels[k], true
}

// Class returns the label of image i by its name, where labels have names, or else as a
// number; "" where the source has no labels.
func (s Subset) Class(i int) string {
	im, _, _ := s.stored(i)
	label, ok := s.Label(i)
	switch {
	case !ok:
		return ""
	case im.Classes != nil:
		return im.Classes[label]
	}
	return strconv.Itoa(int(label))
}

// Name returns the file of image i, as a path under the source with '/' between; where
// images are not files of their own, its Index.
func (s Subset) Name(i int) string {
	if im, _, k := s.stored(i); im.Names != nil {
		return im.Names[k]
	}
	return strconv.Itoa(s.Index(i))
}

// Classes returns the names of the labels, nil where they have none.
func (s Subset) Classes() []string {
	if s.im == nil {
		return nil
	}
	return s.im.Classes
}

// Grey fills dst[:D] with the levels of image i, in [0, 1].
func (s Subset) Grey(dst []float32, i int) {
	im, _, k := s.stored(i)
	dst = dst[:im.D()]
	bytes, floats, row := im.pixels(k)
	if bytes != nil {
		for p, g := range bytes {
			dst[p] = float32(g) / 255
		}
	} else {
		copy(dst, floats)
	}
	row.free()
}

// First returns the first n images of s, or all where there are fewer; none for
// n below 0.
func (s Subset) First(n int) Subset {
	s.n = max(0, min(n, s.n))
	return s
}

// Slice returns the images of s from lo to before hi.
func (s Subset) Slice(lo, hi int) Subset {
	if lo < 0 || lo > hi || hi > s.n {
		panic(fmt.Sprintf("data: images %d to %d of a subset of %d", lo, hi, s.n))
	}
	s.first, s.n = s.first+lo, hi-lo
	return s
}

// pixels returns the pixels of image k, as bytes or as floats. They are good until the
// row, nil for images in memory, is freed.
func (im *Images) pixels(k int) (bytes []uint8, floats []float32, row *diskRow) {
	d := im.D()
	switch {
	case im.disk != nil:
		return im.disk.row(k)
	case im.Bytes != nil:
		return im.Bytes[k*d : (k+1)*d], nil, nil
	}
	return nil, im.Floats[k*d : (k+1)*d], nil
}

// All returns all images, those of the training part as they are stored before those of
// the test part.
func (d *Dataset) All() Subset {
	if d.Test.N == 0 {
		return Subset{im: &d.Train, part: partTrain, n: d.Train.N}
	}
	return Subset{im: &d.Train, part: partAll, n: d.Train.N + d.Test.N, test: &d.Test}
}

// OwnSplit reports whether the source has a test part or validation images.
func (d *Dataset) OwnSplit() bool { return d.Test.N > 0 || d.Validation > 0 }

// Shuffled returns the same data set, whose Split takes the training images in an order
// drawn from stream(seed, "split"), as Order draws it. Where the source has images for
// validation these would be mixed with the rest: then it is d itself.
func (d *Dataset) Shuffled(seed uint64) *Dataset {
	if d.Validation > 0 {
		return d
	}
	shuffled := *d
	shuffled.order = permutation(nil, d.Train.N, NewStream(seed, "split"))
	return &shuffled
}

// Split parts the images in the order of the source, or that of Shuffled: the first train training
// images, the next validation ones, and for testing the test part, or the rest
// of the training part where the source has no test part. Validation may be 0.
// It is an error to ask for no training image or for more than there are.
func (d *Dataset) Split(train, validation int) (tr, va, te Subset, err error) {
	n := d.Train.N
	if train < 1 || validation < 0 || train > n || validation > n-train {
		return tr, va, te, fmt.Errorf("split %d,%d of %d training images of %s, want at least 1 for training, 0 for validation, and no more than %d together", train, validation, n, d.Name, n)
	}
	tr = Subset{im: &d.Train, part: partTrain, n: train, order: d.order}
	va = Subset{im: &d.Train, part: partTrain, first: train, n: validation, order: d.order}
	te = Subset{im: &d.Test, part: partTest, n: d.Test.N}
	if d.Test.N == 0 {
		te = Subset{im: &d.Train, part: partTrain, first: train + validation, n: n - train - validation, order: d.order}
	}
	return tr, va, te, nil
}

// DefaultSplit returns the split to use where none is asked for. Where the source
// has validation images they validate, and all others train. Otherwise, with a
// test part, the last sixth of the training part validates (MNIST: 50000 and
// 10000); without, a tenth validates and a tenth tests.
func (d *Dataset) DefaultSplit() (train, validation int) {
	n := d.Train.N
	if d.Validation > 0 {
		return n - d.Validation, d.Validation
	}
	if d.Test.N > 0 {
		return n - n/6, n / 6
	}
	return n - 2*(n/10), n / 10
}
