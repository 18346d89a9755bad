package data

import "fmt"

// The parts of a data set. They enter the keys of random streams, and so never
// change.
const (
	partTrain = "train"
	partTest  = "test"
)

// Subset is a run of neighbouring images of one part. It shares the pixels with
// its Dataset. The zero Subset is empty.
type Subset struct {
	im    *Images
	part  string
	first int // of the part
	n     int
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

// D returns the number of pixels of an image.
func (s Subset) D() int { return s.Rows() * s.Cols() }

// Part returns the part the images were stored in, "train" or "test". Images
// taken from the training part stay "train", also when they serve for
// validation or testing.
func (s Subset) Part() string { return s.part }

// Index returns the place of image i in its part, counted from 0: its place in
// the file, where the part is one file.
func (s Subset) Index(i int) int {
	if i < 0 || i >= s.n {
		panic(fmt.Sprintf("data: image %d of a subset of %d", i, s.n))
	}
	return s.first + i
}

// Label returns the label of image i, and false where the source has none.
func (s Subset) Label(i int) (uint8, bool) {
	k := s.Index(i)
	if s.im.Labels == nil {
		return 0, false
	}
	return s.im.Labels[k], true
}

// Grey fills dst[:D] with the grey levels of image i, in [0, 1].
func (s Subset) Grey(dst []float32, i int) {
	if bytes := s.bytes(i); bytes != nil {
		dst = dst[:len(bytes)]
		for p, g := range bytes {
			dst[p] = float32(g) / 255
		}
		return
	}
	copy(dst[:s.D()], s.floats(i))
}

// First returns the first n images of s, or all where there are fewer; none for
// n below 0.
func (s Subset) First(n int) Subset {
	s.n = max(0, min(n, s.n))
	return s
}

// bytes returns the pixels of image i, or nil for a floating-point source.
func (s Subset) bytes(i int) []uint8 {
	k, d := s.Index(i), s.D()
	if s.im.Bytes == nil {
		return nil
	}
	return s.im.Bytes[k*d : (k+1)*d]
}

// floats returns the pixels of image i of a floating-point source.
func (s Subset) floats(i int) []float32 {
	k, d := s.Index(i), s.D()
	return s.im.Floats[k*d : (k+1)*d]
}

// Split parts the images in the order of the source: the first train training
// images, the next validation ones, and for testing the test part, or the rest
// of the training part where the source has no test part. Validation may be 0.
// It is an error to ask for no training image or for more than there are.
func (d *Dataset) Split(train, validation int) (tr, va, te Subset, err error) {
	n := d.Train.N
	if train < 1 || validation < 0 || train > n || validation > n-train {
		return tr, va, te, fmt.Errorf("split %d,%d of %d training images of %s, want at least 1 for training, 0 for validation, and no more than %d together", train, validation, n, d.Name, n)
	}
	tr = Subset{im: &d.Train, part: partTrain, n: train}
	va = Subset{im: &d.Train, part: partTrain, first: train, n: validation}
	te = Subset{im: &d.Test, part: partTest, n: d.Test.N}
	if d.Test.N == 0 {
		te = Subset{im: &d.Train, part: partTrain, first: train + validation, n: n - train - validation}
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
