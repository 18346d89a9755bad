package data

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// numbered returns n images of one pixel each, image i of grey byte first+i,
// labelled likewise.
func numbered(first, n int) Images {
	im := Images{N: n, Rows: 1, Cols: 1}
	for i := range n {
		im.Bytes = append(im.Bytes, uint8(first+i))
		im.Labels = append(im.Labels, uint8(first+i))
	}
	return im
}

func TestSplitKeepsOrderAndSharesNoImage(t *testing.T) {
	tests := []struct {
		name              string
		test              Images
		train, validation int
		want              string // part and labels of train, validation and test
	}{
		{"own test part", numbered(100, 3), 6, 2, "train 0 1 2 3 4 5 | train 6 7 | test 100 101 102"},
		{"rest is the test", Images{}, 6, 2, "train 0 1 2 3 4 5 | train 6 7 | train 8 9"},
		{"no validation", numbered(100, 1), 10, 0, "train 0 1 2 3 4 5 6 7 8 9 | train | test 100"},
		{"no test", Images{}, 7, 3, "train 0 1 2 3 4 5 6 | train 7 8 9 | train"},
	}
	for _, tt := range tests {
		d, err := New("numbers", numbered(0, 10), tt.test)
		if err != nil {
			t.Fatal(err)
		}
		tr, va, te, err := d.Split(tt.train, tt.validation)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if found := listing(tr) + " | " + listing(va) + " | " + listing(te); found != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, found, tt.want)
		}
	}
}

// listing names part and labels of a subset, after checking that the label
// belongs to the pixel.
func listing(s Subset) string {
	words := []string{s.Part()}
	for i := range s.N() {
		label, ok := s.Label(i)
		grey := make([]float32, 1)
		s.Grey(grey, i)
		if !ok || grey[0] != float32(label)/255 || s.Index(i) != int(label)%100 {
			return "label, pixel and index disagree"
		}
		words = append(words, strconv.Itoa(int(label)))
	}
	return strings.Join(words, " ")
}

func TestSplitRefusesWhatIsNotThere(t *testing.T) {
	d, err := New("numbers", numbered(0, 10), Images{})
	if err != nil {
		t.Fatal(err)
	}
	const maxInt = int(^uint(0) >> 1)
	tests := []struct {
		train, validation int
		want              string
	}{
		{0, 5, "split 0,5 of 10 training images of numbers, want at least 1 for training, 0 for validation, and no more than 10 together"},
		{5, -1, "split 5,-1 of 10 training images of numbers, want at least 1 for training, 0 for validation, and no more than 10 together"},
		{8, 3, "split 8,3 of 10 training images of numbers, want at least 1 for training, 0 for validation, and no more than 10 together"},
		{maxInt, maxInt, ""},
		{5, maxInt, ""},
	}
	for _, tt := range tests {
		_, _, _, err := d.Split(tt.train, tt.validation)
		if err == nil || tt.want != "" && err.Error() != tt.want {
			t.Errorf("Split(%d, %d): found error %v\nwant %s", tt.train, tt.validation, err, tt.want)
		}
	}
}

func TestDefaultSplitIsAlwaysASplit(t *testing.T) {
	for n := 1; n <= 40; n++ {
		for _, test := range []Images{{}, numbered(100, 2)} {
			d := &Dataset{Train: numbered(0, n), Test: test}
			if _, _, _, err := d.Split(d.DefaultSplit()); err != nil {
				t.Errorf("%d training and %d test images: %v", n, test.N, err)
			}
		}
	}
	tests := []struct{ n, test, train, validation int }{
		{60000, 10000, 50000, 10000}, {60000, 0, 48000, 6000}, {5, 1, 5, 0}, {19, 0, 17, 1},
	}
	for _, tt := range tests {
		d := &Dataset{Train: Images{N: tt.n}, Test: Images{N: tt.test}}
		if train, validation := d.DefaultSplit(); train != tt.train || validation != tt.validation {
			t.Errorf("%d training and %d test images: split %d,%d, want %d,%d", tt.n, tt.test, train, validation, tt.train, tt.validation)
		}
	}
}

// The images that a source keeps for validation validate, however many they are, and
// none of them trains.
func TestValidationImagesOfTheSourceValidate(t *testing.T) {
	part := func(name string, n int, grey byte) array {
		return array{name, npyFile("|u1", fmt.Sprintf("(%d, 1)", n), bytes.Repeat([]byte{grey}, n))}
	}
	amat := func(n int, line string) []byte { return []byte(strings.Repeat(line, n)) }
	sources := map[string]string{
		"npz":                     filepath.Join(folder(t, map[string][]byte{"a.npz": npzFile(part("x_train", 10, 10), part("x_valid", 5, 200), part("x_test", 4, 50))}), "a.npz"),
		"npz without a test part": filepath.Join(folder(t, map[string][]byte{"a.npz": npzFile(part("x_train", 10, 10), part("x_valid", 5, 200))}), "a.npz"),
		"amat":                    folder(t, map[string][]byte{"binarized_mnist_train.amat": amat(10, "0\n"), "binarized_mnist_valid.amat": amat(5, "1\n"), "binarized_mnist_test.amat": amat(4, "1\n")}),
	}
	for name, source := range sources {
		d, err := open(source, plenty())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		tr, va, te, err := d.Split(d.DefaultSplit())
		if err != nil || tr.N() != 10 || va.N() != 5 || te.N() != d.Test.N {
			t.Errorf("%s: %d training, %d validation, %d test images (%v), want 10, 5, %d", name, tr.N(), va.N(), te.N(), err, d.Test.N)
			continue
		}
		for i := range va.N() {
			if grey := bytesOf(va, i)[0]; grey < 200 {
				t.Errorf("%s: validation image %d is training image %d", name, i, va.Index(i))
			}
		}
		if tr, va, _, err := d.Split(12, 2); err != nil || tr.N() != 12 || va.N() != 2 {
			t.Errorf("%s: a named split of 12,2 gives %d and %d (%v)", name, tr.N(), va.N(), err)
		}
	}
}

func TestFirstIsAPrefix(t *testing.T) {
	d := &Dataset{Train: numbered(0, 10)}
	_, va, _, err := d.Split(4, 6)
	if err != nil {
		t.Fatal(err)
	}
	for n, want := range map[int]string{-1: "train", 0: "train", 2: "train 4 5", 6: "train 4 5 6 7 8 9", 99: "train 4 5 6 7 8 9"} {
		if found := listing(va.First(n)); found != want {
			t.Errorf("First(%d): %s, want %s", n, found, want)
		}
	}
	if found := listing(va.First(2).First(5)); found != "train 4 5" {
		t.Errorf("First(2).First(5): %s, want train 4 5", found)
	}
	if s := (Subset{}); s.N() != 0 || s.D() != 0 || s.First(3).N() != 0 {
		t.Error("the zero Subset is not empty")
	}
}

func TestSubsetDoesNotReachBeyondItself(t *testing.T) {
	d := &Dataset{Train: numbered(0, 10)}
	tr, _, _, err := d.Split(4, 6)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if recover() == nil {
			t.Error("image 4 of a subset of 4 was shown, want a panic")
		}
	}()
	tr.Grey(make([]float32, 1), 4)
}

func TestGreyLevelsAreExact(t *testing.T) {
	d := &Dataset{Train: Images{N: 1, Rows: 16, Cols: 16, Bytes: make([]uint8, 256)}}
	for g := range 256 {
		d.Train.Bytes[g] = uint8(g)
	}
	s, _, _, err := d.Split(1, 0)
	if err != nil {
		t.Fatal(err)
	}
	grey := make([]float32, 256)
	s.Grey(grey, 0)
	for g, found := range grey {
		if want := float32(float64(g) / 255); found != want { // the nearest float32
			t.Errorf("grey byte %d is %v, want %v", g, found, want)
		}
	}
	if _, ok := s.Label(0); ok {
		t.Error("a label where the source has none")
	}
}

func TestNewReturnsEveryFaultAtOnce(t *testing.T) {
	_, err := New("made up",
		Images{N: 2, Rows: 2, Cols: 2, Floats: []float32{0, 0, 0, 0, 0, 1.5, 0, 0}, Labels: []uint8{1}},
		Images{N: 1, Rows: 3, Cols: 2, Bytes: make([]uint8, 5)})
	want := `data: made up: train: 1 labels for 2 images, want one each
data: made up: train: image 1, pixel 1 is 1.5, want a grey level in [0, 1]: for grey levels up to 255, say --range 0,255
data: made up: test: 5 pixels, want 1·3·2
data: made up: train images are 2×2, test images 3×2, want one size: the parts belong to different data sets
data: made up: one part has bytes and the other floats, want the same in both`
	if err == nil || err.Error() != want {
		t.Errorf("found error %v\nwant %s", err, want)
	}
	_, err = New("empty", Images{}, Images{})
	if want := "data: empty: no training images, want at least one"; err == nil || err.Error() != want {
		t.Errorf("found error %v\nwant %s", err, want)
	}
}

func TestSHA256IdentifiesPixelsAndShapeButNotLabels(t *testing.T) {
	sum := func(train, test Images) string {
		d, err := New("test", train, test)
		if err != nil {
			t.Fatal(err)
		}
		return d.SHA256
	}
	im := Synthetic(4, 2, 6, 1)
	base := sum(im, Images{})
	relabelled, reshaped, changed := im, im, im
	relabelled.Labels = nil
	reshaped.Rows, reshaped.Cols = 3, 4
	changed.Bytes = bytes.Clone(im.Bytes)
	changed.Bytes[7] ^= 1
	if sum(relabelled, Images{}) != base {
		t.Error("the hash depends on labels")
	}
	seen := []string{base}
	for name, found := range map[string]string{
		"another shape": sum(reshaped, Images{}), "another pixel": sum(changed, Images{}),
		"as a test part too": sum(im, im), "as floats": sum(floatImages(im), Images{}),
	} {
		if slices.Contains(seen, found) {
			t.Errorf("%s: hash %s was seen before", name, found)
		}
		seen = append(seen, found)
	}
}

func TestBinaryHoldsForOutcomesOnly(t *testing.T) {
	tests := []struct {
		im   Images
		want bool
	}{
		{Images{N: 1, Rows: 1, Cols: 2, Bytes: []uint8{0, 255}}, true},
		{Images{N: 1, Rows: 1, Cols: 2, Bytes: []uint8{0, 254}}, false},
		{Images{N: 1, Rows: 1, Cols: 2, Bytes: []uint8{1, 255}}, false},
		{Images{N: 1, Rows: 1, Cols: 2, Floats: []float32{0, 1}}, true},
		{Images{N: 1, Rows: 1, Cols: 2, Floats: []float32{0, 0.5}}, false},
	}
	for _, tt := range tests {
		d, err := New("test", tt.im, Images{})
		if err != nil {
			t.Fatal(err)
		}
		if tt.im.Binary() != tt.want || d.Train.Binary() != tt.want {
			t.Errorf("%v %v: Binary is %v, and %v in a data set, want %v", tt.im.Bytes, tt.im.Floats, tt.im.Binary(), d.Train.Binary(), tt.want)
		}
	}
}

// bytesOf returns the pixels of image i of a subset in memory.
func bytesOf(s Subset, i int) []uint8 {
	im, _, k := s.stored(i)
	bytes, _, _ := im.pixels(k)
	return bytes
}

// floatsOf does so where they are floats.
func floatsOf(s Subset, i int) []float32 {
	im, _, k := s.stored(i)
	_, floats, _ := im.pixels(k)
	return floats
}
