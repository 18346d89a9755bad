package data

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// openMNIST opens the embedded data set once for all tests.
var openMNIST = sync.OnceValues(func() (*Dataset, error) { return Open("mnist") })

// The hash was computed outside from the original files; the first labels are
// the best known ones of the field.
func TestEmbeddedMNISTIsMNIST(t *testing.T) {
	d, err := openMNIST()
	if err != nil {
		t.Fatal(err)
	}
	const want = "8a7bd3140d4f0de5af2a8308d6784387c71e1fcf40136f17b3863e1cb0d58297"
	if d.Name != "mnist" || d.SHA256 != want {
		t.Errorf("%s %s, want mnist %s", d.Name, d.SHA256, want)
	}
	if d.Train.N != 60000 || d.Test.N != 10000 || d.Rows() != 28 || d.Cols() != 28 || d.D() != 784 || d.Train.Binary() {
		t.Errorf("%d and %d images of %d×%d, binary %v", d.Train.N, d.Test.N, d.Rows(), d.Cols(), d.Train.Binary())
	}
	if found := d.Train.Labels[:8]; !slices.Equal(found, []uint8{5, 0, 4, 1, 9, 2, 1, 3}) {
		t.Errorf("training labels start with %d", found)
	}
	if found := d.Test.Labels[:4]; !slices.Equal(found, []uint8{7, 2, 1, 0}) {
		t.Errorf("test labels start with %d", found)
	}
	if cap(d.Train.Bytes) != 60000*784 {
		t.Errorf("%d bytes are held for 60000 images of 784", cap(d.Train.Bytes))
	}
}

// However the same images are stored, the data set is the same.
func TestEveryFormatGivesTheSameDataSet(t *testing.T) {
	train, test := Synthetic(7, 6, 6, 1), Synthetic(3, 6, 6, 2)
	want, err := New("want", train, test)
	if err != nil {
		t.Fatal(err)
	}
	alone, err := New("alone", train, Images{})
	if err != nil {
		t.Fatal(err)
	}
	folders := map[string]map[string][]byte{
		"plain": {trainImages: idxOf(train), trainLabels: idxLabelsOf(train), testImages: idxOf(test), testLabels: idxLabelsOf(test)},
		"gzip": {trainImages + ".gz": gzipped(idxOf(train)), trainLabels + ".gz": gzipped(idxLabelsOf(train)),
			testImages + ".gz": gzipped(idxOf(test)), testLabels + ".gz": gzipped(idxLabelsOf(test))},
		"dots, gzip without the name and the name without gzip": {"train-images.idx3-ubyte": gzipped(idxOf(train)), "train-labels.idx1-ubyte.gz": idxLabelsOf(train),
			"t10k-images.idx3-ubyte": idxOf(test), "t10k-labels.idx1-ubyte": idxLabelsOf(test)},
		"plain goes before gzip": {trainImages: idxOf(train), trainLabels: idxLabelsOf(train), testImages: idxOf(test), testLabels: idxLabelsOf(test),
			trainImages + ".gz": []byte("old")},
	}
	for name, files := range folders {
		d, err := Open(folder(t, files))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if d.SHA256 != want.SHA256 || !bytes.Equal(d.Train.Labels, train.Labels) || !bytes.Equal(d.Test.Labels, test.Labels) {
			t.Errorf("%s: another data set", name)
		}
	}

	npy := func(im Images, shape string) []byte { return npyFile("|u1", fmt.Sprintf(shape, im.N), im.Bytes) }
	labels := func(im Images) []byte { return npyFile("|u1", fmt.Sprintf("(%d,)", im.N), im.Labels) }
	wide := func(im Images) []byte {
		var b []byte
		for _, label := range im.Labels {
			b = binary.LittleEndian.AppendUint64(b, uint64(label))
		}
		return npyFile("<i8", fmt.Sprintf("(%d, 1)", im.N), b)
	}
	keras := npzFile(array{"x_test", npy(test, "(%d, 6, 6)")}, array{"x_train", npy(train, "(%d, 6, 6)")}, array{"y_train", labels(train)}, array{"y_test", wide(test)})
	files := []struct {
		name   string
		file   []byte
		want   *Dataset
		labels bool
	}{
		{"keras.npz", keras, want, true},
		{"plain.npz", npzFile(array{"train", npy(train, "(%d, 36)")}, array{"test", npy(test, "(%d, 6, 6, 1)")}), want, false},
		{"valid.npz", npzFile(array{"train", npyFile("|u1", "(4, 36)", train.Bytes[:4*36])}, array{"valid", npyFile("|u1", "(3, 36)", train.Bytes[4*36:])}, array{"test", npy(test, "(%d, 36)")}), want, false},
		{"single.npz", npzFile(array{"arr_0", npy(train, "(%d, 36)")}), alone, false},
		{"flat.npy", npy(train, "(%d, 36)"), alone, false},
		{"square.npy", npy(train, "(%d, 6, 6)"), alone, false},
		{"channel.npy", npy(train, "(%d, 6, 6, 1)"), alone, false},
		{"packed.npy.gz", gzipped(npy(train, "(%d, 6, 6, 1)")), alone, false},
		{"single", idxOf(train), alone, false},
		{"packed", gzipped(idxOf(train)), alone, false},
	}
	for _, tt := range files {
		dir := folder(t, map[string][]byte{tt.name: tt.file})
		d, err := Open(filepath.Join(dir, tt.name))
		if err != nil {
			t.Errorf("%s: %v", tt.name, message(err, dir))
			continue
		}
		if d.SHA256 != tt.want.SHA256 || d.Name != tt.name {
			t.Errorf("%s: another data set, named %s", tt.name, d.Name)
		}
		if tt.labels && (!bytes.Equal(d.Train.Labels, train.Labels) || !bytes.Equal(d.Test.Labels, test.Labels)) {
			t.Errorf("%s: labels %d and %d", tt.name, d.Train.Labels, d.Test.Labels)
		}
		if !tt.labels && d.Train.Labels != nil {
			t.Errorf("%s: labels %d, want none", tt.name, d.Train.Labels)
		}
	}
}

func TestLabelsAndTestPartAreOptional(t *testing.T) {
	d, err := Open(folder(t, map[string][]byte{trainImages: idxOf(Synthetic(5, 3, 2, 1))}))
	if err != nil {
		t.Fatal(err)
	}
	if d.Train.N != 5 || d.Rows() != 3 || d.Cols() != 2 || d.Train.Labels != nil || d.Test.N != 0 {
		t.Errorf("%d images of %d×%d, labels %d, %d test images", d.Train.N, d.Rows(), d.Cols(), d.Train.Labels, d.Test.N)
	}
}

// What a file holds, by element type and shape, in the terms of Images.
func TestElementsBecomeGreyLevels(t *testing.T) {
	tests := []struct {
		name       string
		file       []byte
		rows, cols int
		bytes      []uint8
		floats     []float32
	}{
		{"uint8.npy", npyFile("|u1", "(2, 3)", []byte{0, 1, 2, 253, 254, 255}), 1, 3, []uint8{0, 1, 2, 253, 254, 255}, nil},
		{"outcomes.npy", npyFile("|u1", "(2, 3)", []byte{0, 1, 0, 1, 1, 0}), 1, 3, []uint8{0, 255, 0, 255, 255, 0}, nil},
		{"bool.npy", npyFile("|b1", "(1, 2, 3)", []byte{0, 1, 0, 1, 1, 0}), 2, 3, []uint8{0, 255, 0, 255, 255, 0}, nil},
		{"black.npy", npyFile("|u1", "(1, 4)", []byte{0, 0, 0, 0}), 2, 2, []uint8{0, 0, 0, 0}, nil},
		{"outcomes.idx", idxFile(magicImages, []uint32{1, 1, 3}, []byte{0, 1, 1}), 1, 3, []uint8{0, 255, 255}, nil},
		{"float32.npy", npyFile("<f4", "(1, 4)", float32s(0, 0.25, 0.5, 1)), 2, 2, nil, []float32{0, 0.25, 0.5, 1}},
		{"float64.npy", npyFile("<f8", "(1, 4)", float64s(binary.LittleEndian, 0, 0.25, 0.5, 1)), 2, 2, nil, []float32{0, 0.25, 0.5, 1}},
		{"bigendian.npy", npyFile(">f8", "(1, 4)", float64s(binary.BigEndian, 0, 0.25, 0.5, 1)), 2, 2, nil, []float32{0, 0.25, 0.5, 1}},
		{"floatoutcomes.npy", npyFile("<f4", "(1, 3)", float32s(0, 1, 0)), 1, 3, []uint8{0, 255, 0}, nil},
		{"version2.npy", version2(npyFile("|u1", "(1, 2)", []byte{3, 4})), 1, 2, []uint8{3, 4}, nil},
		{"mixed.npz", npzFile(array{"train", npyFile("|u1", "(1, 2)", []byte{0, 255})}, array{"valid", npyFile("<f4", "(1, 2)", float32s(0.5, 1))}), 1, 2, nil, []float32{0, 1, 0.5, 1}},
		{"digits.amat", []byte("0 1 0 1\n1 1 1 0\n"), 2, 2, []uint8{0, 255, 0, 255, 255, 255, 255, 0}, nil},
		{"grey.amat", []byte("0 1 0.0 1.0\r\n\r\n  0.25\t1 5e-1 0  \r\n"), 2, 2, nil, []float32{0, 1, 0, 1, 0.25, 1, 0.5, 0}},
		{"packed.amat.gz", gzipped([]byte("0 1 0 1\n")), 2, 2, []uint8{0, 255, 0, 255}, nil},
		{"text", []byte("0 1 0 1"), 2, 2, []uint8{0, 255, 0, 255}, nil},
	}
	for _, tt := range tests {
		dir := folder(t, map[string][]byte{tt.name: tt.file})
		d, err := Open(filepath.Join(dir, tt.name))
		if err != nil {
			t.Errorf("%s: %s", tt.name, message(err, dir))
			continue
		}
		found, n := d.Train, (len(tt.bytes)+len(tt.floats))/(tt.rows*tt.cols)
		if found.N != n || found.Rows != tt.rows || found.Cols != tt.cols || !slices.Equal(found.Bytes, tt.bytes) || !slices.Equal(found.Floats, tt.floats) {
			t.Errorf("%s: %d of %d×%d, bytes %d, floats %v\nwant %d of %d×%d, bytes %d, floats %v", tt.name,
				found.N, found.Rows, found.Cols, found.Bytes, found.Floats, n, tt.rows, tt.cols, tt.bytes, tt.floats)
		}
	}
}

// version2 gives a .npy file of version 1.0 the longer length of version 2.0.
func version2(file []byte) []byte {
	b := append([]byte("\x93NUMPY\x02\x00"), file[8], file[9], 0, 0)
	return append(b, file[10:]...)
}

func TestBinarisedMNISTFolderAppendsValidation(t *testing.T) {
	d, err := Open(folder(t, map[string][]byte{
		"binarized_mnist_train.amat": []byte("0 0 0 1\n0 0 1 0\n"),
		"binarized_mnist_valid.amat": []byte("0 1 0 0\n"),
		"binarized_mnist_test.amat":  []byte("1 1 1 1\n"),
	}))
	if err != nil {
		t.Fatal(err)
	}
	if want := []uint8{0, 0, 0, 255, 0, 0, 255, 0, 0, 255, 0, 0}; !bytes.Equal(d.Train.Bytes, want) || d.Train.N != 3 {
		t.Errorf("train is %d, want %d", d.Train.Bytes, want)
	}
	if want := []uint8{255, 255, 255, 255}; !bytes.Equal(d.Test.Bytes, want) || !d.Test.Binary() {
		t.Errorf("test is %d, want %d", d.Test.Bytes, want)
	}
}

func TestLastAMATColumnIsTheLabel(t *testing.T) {
	dir := folder(t, map[string][]byte{"a.amat": []byte("0 0 0 1 7\n0 0 1 0 9.0\n")})
	d, err := Open(filepath.Join(dir, "a.amat"))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(d.Train.Labels, []uint8{7, 9}) || d.D() != 4 {
		t.Errorf("labels %d of images of %d pixels, want [7 9] of 4", d.Train.Labels, d.D())
	}
}

// Each file is damaged in one way. The texts are written out: they are what
// users see.
func TestDamagedFilesAreNamedAndExplained(t *testing.T) {
	im := Synthetic(3, 2, 2, 1)
	labelled := func(labels []byte) []byte {
		return npzFile(array{"x_train", npyFile("|u1", "(1, 1)", []byte{255})}, array{"y_train", labels})
	}
	const commas = `: commas part the numbers, want spaces, or a name that ends in .csv`
	tests := []struct {
		file    string
		content []byte
		want    string
	}{
		{"empty", nil, "data: empty: the file is empty, want IDX, .npy, .npz, .csv or .amat"},
		{"empty.gz", gzipped(nil), "data: empty.gz: the gzip data are empty, want IDX, .npy, .csv or .amat in them"},
		{"picture.png", []byte("\x89PNG\r\n"), "data: picture.png: starts with the bytes 89 50 4e 47 (a picture: name the folder that it is in), want IDX, .npy, .npz, .csv or .amat"},
		{"images.h5", []byte("\x89HDF\r\n"), "data: images.h5: starts with the bytes 89 48 44 46 (HDF5: save the array of images with numpy.save), want IDX, .npy, .npz, .csv or .amat"},

		{"labels", idxLabelsOf(im), "data: labels: magic 0x00000801 at byte 0, want 0x00000803 (images): this looks like the label file"},
		{"matrix", idxFile(0x0802, []uint32{1, 1}, []byte{0}), "data: matrix: magic 0x00000802 at byte 0, want 0x00000803 (images): this looks like IDX bytes with 2 dimensions"},
		{"floats", idxFile(0x0d03, []uint32{1, 1, 1}, []byte{0, 0, 0, 0}), "data: floats: magic 0x00000d03 at byte 0, want 0x00000803 (images): this looks like IDX of element type 0x0D, and only unsigned bytes (0x08) are read"},
		{"zeros", make([]byte, 100), "data: zeros: magic 0x00000000 at byte 0, want 0x00000803 (images): this is no IDX file"},
		{"train-images-idx3-ubyte", []byte("<!DOCTYPE html>"), "data: train-images-idx3-ubyte: magic 0x3c21444f at byte 0, want 0x00000803 (images): this is no IDX file"},
		{"t10k-images.idx3-ubyte", []byte("\x89PNG\r\n"), "data: t10k-images.idx3-ubyte: magic 0x89504e47 at byte 0, want 0x00000803 (images): this is no IDX file"},
		{"short", idxOf(im)[:3], "data: short: the IDX header ends at byte 3, want 4 bytes: truncated download?"},
		{"shorter", idxOf(im)[:13], "data: shorter: the IDX header ends at byte 13, want 16 bytes: truncated download?"},
		{"cut", idxOf(im)[:16+11], "data: cut: header promises 3 images of 2×2 (12 bytes), file has 11: truncated download?"},
		{"cut.gz", gzipped(idxOf(im)[:16+11]), "data: cut.gz: header promises 3 images of 2×2 (12 bytes), file has 11: truncated download?"},
		{"cutgzip.gz", gzipped(idxOf(Synthetic(100, 8, 8, 1)))[:300], "data: cutgzip.gz: the compressed data are cut short: an incomplete download? Fetch the file again (unexpected EOF)"},
		{"cuttrailer.gz", gzipped(idxOf(im))[:len(gzipped(idxOf(im)))-3], "data: cuttrailer.gz: the compressed data are cut short: an incomplete download? Fetch the file again (unexpected EOF)"},
		{"cuthead.gz", gzipped(idxOf(im))[:5], "data: cuthead.gz: the compressed data are cut short: an incomplete download? Fetch the file again (unexpected EOF)"},
		{"flipped.gz", flipped(gzipped(idxOf(im)), -6), "data: flipped.gz: the gzip checksum differs: the file is damaged, fetch it again (gzip: invalid checksum)"},
		{"long", append(idxOf(im), 1, 2, 3), "data: long: header promises 3 images of 2×2 (12 bytes), and 3 bytes follow them: a wrong header, or files run together?"},
		{"long.gz", gzipped(append(idxOf(im), 1, 2, 3)), "data: long.gz: header promises 3 images of 2×2 (12 bytes), and more bytes follow them: a wrong header, or files run together?"},
		{"appended.gz", append(gzipped(idxOf(im)), "garbage and more of it"...), "data: appended.gz: the gzip header is damaged, or bytes follow the gzip data: fetch the file again (gzip: invalid header)"},
		{"none", idxFile(magicImages, []uint32{0, 28, 28}, nil), "data: none: header promises 0 images, want at least one"},
		{"flat", idxFile(magicImages, []uint32{5, 0, 28}, nil), "data: flat: header promises images of 0×28, want at least 1×1"},
		{"huge", idxFile(magicImages, []uint32{1 << 30, 1 << 20, 1}, nil), "data: huge: header promises 1073741824 images of 1048576×1 (1125899906842624 bytes), file has 0: truncated download?"},
		{"huge.gz", gzipped(idxFile(magicImages, []uint32{1 << 30, 1 << 20, 1}, nil)), "data: huge.gz: 1073741824 images of 1048576×1 need 1125899906842624 bytes, and 1073741824 bytes of memory are available: a damaged header? Otherwise use a smaller file"},
		{"beyond.gz", gzipped(idxFile(magicImages, []uint32{1 << 30, 1 << 30, 1 << 30}, nil)), "data: beyond.gz: header promises 1073741824 images of 1073741824×1073741824, more than any memory: a damaged header?"},
		{"sign", idxFile(magicImages, []uint32{0xffffffff, 28, 28}, nil), "data: sign: IDX header has 4294967295 at byte 4, want less than 2³¹: a damaged header?"},

		{"text.npy", []byte("hello"), `data: text.npy: starts with "hello", want "\x93NUMPY": this is no .npy file`},
		{"version3.npy", []byte("\x93NUMPY\x03\x00\x10\x00\x00\x00"), "data: version3.npy: .npy version 3.0, which is for arrays with named fields, want 1.0 or 2.0: save an array of numbers alone, such as x.astype(numpy.uint8)"},
		{"version9.npy", []byte("\x93NUMPY\x09\x00\x10\x00\x00\x00"), "data: version9.npy: .npy version 9.0, want 1.0 or 2.0"},
		{"cutmagic.npy", []byte("\x93NUMPY\x01"), "data: cutmagic.npy: the .npy header ends at byte 7: truncated download?"},
		{"cutlength.npy", []byte("\x93NUMPY\x01\x00\x10"), "data: cutlength.npy: the .npy header ends at byte 9: truncated download?"},
		{"cuthead.npy", []byte("\x93NUMPY\x01\x00\x10\x00{'descr'"), "data: cuthead.npy: the .npy header promises 16 bytes and ends after 8: truncated download?"},
		{"longhead.npy", []byte("\x93NUMPY\x02\x00\xff\xff\xff\xff"), "data: longhead.npy: a .npy header of 4294967295 bytes, want at most 65536: a damaged header?"},
		{"badhead.npy", npyFileOf("{'shape': (1, 1)}\n", nil), "data: badhead.npy: the .npy header cannot be read, want the dictionary that NumPy writes: save the file anew (npy: invalid dictionary format)"},
		{"brace.npy", npyFileOf("{'descr': '|u1', 'fortran_order': False, 'shape': (1\n", nil), "data: brace.npy: the .npy header cannot be read, want the dictionary that NumPy writes: save the file anew (a damaged dictionary)"},
		{"headlength.npy", poked(npyFile("|u1", "(1, 1)", []byte{0}), 8, 30), "data: headlength.npy: the .npy header of 30 bytes does not end in a line end: a wrong header length? Save the file anew"},
		{"longer.npy", poked(npyFile("|u1", "(1, 1)", []byte{0}), 8, npyFile("|u1", "(1, 1)", nil)[8]+1), "data: longer.npy: the .npy header of 61 bytes does not end in a line end: a wrong header length? Save the file anew"},
		{"nested.npy", npyFile("|u1", strings.Repeat("(", 60000), nil), "data: nested.npy: the .npy header cannot be read, want the dictionary that NumPy writes: save the file anew (strconv.Atoi: parsing \"" + strings.Repeat("(", 77) + "...)"},
		{"order.npy", npyFileOf("{'descr': '|u1', 'fortran_order': "+strings.Repeat("0", 60000)+", 'shape': (1, 1), }\n", nil), "data: order.npy: the .npy header cannot be read, want the dictionary that NumPy writes: save the file anew (npy: invalid 'fortran_order' value (" + strings.Repeat("0", 64) + "...)"},
		{"dimensions.npy", npyFile("|u1", "("+strings.Repeat("1,", 10000)+")", []byte{0}), "data: dimensions.npy: array of shape [1, 1, 1, 1, 1, 1, 1, 1, ..., (10000 dimensions)], want [N, D], [N, R, C], with [N, R, C, 1] or [N, 1, R, C] for grey and [N, R, C, 3] or [N, 3, R, C] for colour"},
		{"dimensionslarge.npy", npyFile("|u1", "("+strings.Repeat("2,", 10000)+")", []byte{0}), "data: dimensionslarge.npy: header promises 2×2×2×2×2×2×2×2×...×(10000 dimensions) elements, more than any memory: a damaged header?"},
		{"objects.npy", npyFile("|O", "(1, 1)", []byte("\x80\x04N.")), `data: objects.npy: array of Python objects ("|O"), want numbers: save x.astype(numpy.uint8) or float32`},
		{"half.npy", npyFile("<f2", "(1, 1)", []byte{0, 0}), `data: half.npy: element type "<f2", want whole numbers, bool, float32 or float64: save x.astype(numpy.float32)`},
		{"vector.npy", npyFile("|u1", "(3,)", []byte{0, 0, 0}), "data: vector.npy: array of shape [3], want [N, D], [N, R, C], with [N, R, C, 1] or [N, 1, R, C] for grey and [N, R, C, 3] or [N, 3, R, C] for colour"},
		{"four.npy", npyFile("|u1", "(1, 2, 2, 4)", make([]byte, 16)), "data: four.npy: array of shape [1, 2, 2, 4], want [N, D], [N, R, C], with [N, R, C, 1] or [N, 1, R, C] for grey and [N, R, C, 3] or [N, 3, R, C] for colour: of four channels, save the three of colour, x[..., :3]"},
		{"int.npy", npyFile("<i2", "(1, 2)", []byte{7, 0, 0, 1}), "data: int.npy: image 0, pixel 1 is 256, want 0 to 255; if that is right, name the numbers for black and white, as in --range 0,65535"},
		{"one.npy", npyFile("|u1", "(3, 3)", make([]byte, 9)), "data: one.npy: array of shape [3, 3], which looks like a single image of 3×3: for that save x[None], of shape [1, 3, 3]; for 3 images of 3 pixels each, x[:, None, :], of shape [3, 1, 3]"},
		{"ragged.csv", []byte("0,0,0,1\n0,0,1\n"), "data: ragged.csv: line 2 has 3 columns, line 1 has 4: cut short, or two tables in one?"},
		{"word.csv", []byte("label,a,id\n1,2,3\n1,2,x9\n"), `data: word.csv: line 3, column 3 (id) is "x9", want a number: leave out columns that are neither pixels nor called label`},
		{"hole.csv", []byte("0,1,,1\n"), `data: hole.csv: line 1, column 3 is "", want a number: a pixel is missing`},
		{"semicolons.csv", []byte("label;a;b\n0;1;1\n"), "data: semicolons.csv: line 1 has no comma, want commas between the columns"},
		{"label.csv", []byte("label,a\n0.5,1\n"), "data: label.csv: line 2, column 1: the label is 0.5, want a whole number from 0 to 255"},
		{"labels.csv", []byte("label,class,a\n0,1,1\n"), "data: labels.csv: the columns 1 and 2 are both labels (label, class), want one: leave one out"},
		{"high.csv", []byte("a,b\n0,256\n"), "data: high.csv: line 2, column 2: image 0, pixel 1 is 256, want 0 to 255; if that is right, name the numbers for black and white, as in --range 0,65535"},
		{"names.csv", []byte("label,a,b\n"), "data: names.csv: no line has numbers, want one image a line"},
		{"only.csv", []byte("label\n5\n"), "data: only.csv: line 2 has 1 columns and no pixel among them, want one image a line"},
		{"negative.npy", npyFile("|u1", "(-1, 4)", nil), "data: negative.npy: shape has -1, want 0 to 2³¹-1: a damaged header?"},
		{"none.npy", npyFile("|u1", "(0, 4)", nil), "data: none.npy: header promises 0 images, want at least one"},
		{"beyond.npy", npyFile("|u1", "(2000000000, 2000000000, 2000000000)", nil), "data: beyond.npy: header promises 2000000000×2000000000×2000000000 elements, more than any memory: a damaged header?"},
		{"cut.npy", npyFile("<f4", "(2, 4)", float32s(0, 0, 0, 0, 0)), "data: cut.npy: header promises 2 images of 2×2 (32 bytes), file has 20: truncated download?"},
		{"cut.npy.gz", gzipped(npyFile("<f4", "(2, 4)", float32s(0, 0, 0, 0, 0))), "data: cut.npy.gz: header promises 2 images of 2×2 (32 bytes), file has 20: truncated download?"},
		{"long.npy", npyFile("<f4", "(1, 4)", float32s(0, 0, 0, 0, 0)), "data: long.npy: header promises 1 images of 2×2 (16 bytes), and 4 bytes follow them: a wrong header, or files run together?"},
		{"nan.npy", npyFile("<f4", "(2, 4)", float32s(0, 0, 0, 0, 0, 0, nan32(), 0)), "data: nan.npy: image 1, pixel 2 is NaN, want a grey level in [0, 1]"},
		{"inf.npy", npyFile("<f8", "(1, 1)", []byte{0, 0, 0, 0, 0, 0, 0xf0, 0x7f}), "data: inf.npy: image 0, pixel 0 is +Inf, want a grey level in [0, 1]"},
		{"scale.npy", npyFile("<f4", "(2, 4)", float32s(0, 0, 0, 0, 0, 254, 0, 0)), "data: scale.npy: image 1, pixel 1 is 254, want a grey level in [0, 1]: for grey levels up to 255, say --range 0,255"},
		{"centred.npy", npyFile("<f4", "(1, 4)", float32s(0, -1, 1, 0)), "data: centred.npy: image 0, pixel 1 is -1, want a grey level in [0, 1]"},
		{"bool.npy", npyFile("|b1", "(1, 4)", []byte{0, 1, 1, 7}), "data: bool.npy: image 0, pixel 3 is the byte 7, want a bool, 0 or 1: the file is damaged"},

		{"cut.npz", npzFile(array{"train", npyFile("|u1", "(1, 1)", []byte{0})})[:100], "data: cut.npz: the .npz archive cannot be read: an incomplete download? Fetch the file again (zip: not a valid zip file)"},
		{"none.npz", npzFile(), "data: none.npz: the archive is empty, want x_train and, if there are any, y_train, x_test, y_test"},
		{"names.npz", npzFile(array{"images", nil}, array{"classes", nil}), "data: names.npz: found the arrays images, classes, want x_train, y_train, x_test, y_test, or train, test, or x, y, or images, labels, or a single one: save an archive of those only"},
		{"twice.npz", npzFile(array{"train", npyFile("|u1", "(1, 1)", []byte{0})}, array{"x_train", nil}), "data: twice.npz: found the arrays train, x_train, want x_train, y_train, x_test, y_test, or train, test, or x, y, or images, labels, or a single one: save an archive of those only"},
		{"testonly.npz", npzFile(array{"test", npyFile("|u1", "(1, 1)", []byte{0})}, array{"y_test", npyFile("|u1", "(1,)", []byte{0})}), "data: testonly.npz: found the arrays test, y_test and no training images, want x_train or train: save them in the same archive"},
		{"labelsonly.npz", npzFile(array{"y_train", npyFile("|u1", "(1,)", []byte{0})}), "data: labelsonly.npz: found the arrays y_train and no training images, want x_train or train: save them in the same archive"},
		{"testlabels.npz", npzFile(array{"train", npyFile("|u1", "(1, 1)", []byte{0})}, array{"y_test", npyFile("|u1", "(1,)", []byte{0})}), "data: testlabels.npz: found the labels y_test and no images for them: save the images in the same archive, or leave the labels out"},
		{"encrypted.npz", encryptedNPZ("train", npyFile("|u1", "(1, 1)", []byte{0})), "data: encrypted.npz: the array train is encrypted, want an archive without a password: unpack it with the password, and save the arrays with numpy.savez"},
		{"control.npz", npzFile(array{"\x1b[2Jtrain", nil}, array{"x", nil}), "data: control.npz: found the arrays ?[2Jtrain, x, want x_train, y_train, x_test, y_test, or train, test, or x, y, or images, labels, or a single one: save an archive of those only"},
		{"promise.npz", npzFile(array{"train", npyFile("|u1", "(5, 1)", []byte{0})}), "data: promise.npz: train.npy: header promises 5 images of 1×1 (5 bytes), file has 1: truncated download?"},
		{"flipped.npz", bytes.Replace(storedNPZ("train", npyFile("|u1", "(4, 1)", []byte("grey"))), []byte("grey"), []byte("gray"), 1), "data: flipped.npz: train.npy: the zip checksum differs: the file is damaged, fetch it again (zip: checksum error)"},
		{"corrupt.gz", append(gzipped(idxOf(im))[:10], 0xff), // a block of the reserved type
			"data: corrupt.gz: the compressed data are damaged: fetch the file again (flate: corrupt input before offset 1)"},
		{"scales.npz", npzFile(array{"train", npyFile("|u1", "(1, 2)", []byte{0, 1})}, array{"test", npyFile("|u1", "(1, 2)", []byte{0, 255})}), "data: scales.npz: the bytes of one part are 0 and 1, those of another reach beyond, want one scale: save both as 0 and 1, or both as 0 to 255"},
		{"onehot.npz", labelled(npyFile("|u1", "(1, 10)", make([]byte, 10))), "data: onehot.npz: y_train.npy: array of shape [1, 10], want labels of shape [N]"},
		{"floatlabel.npz", labelled(npyFile("<f4", "(1,)", float32s(1))), "data: floatlabel.npz: y_train.npy: element type float32, want integer labels: save y.astype(numpy.uint8)"},
		{"biglabel.npz", labelled(npyFile("<i2", "(1,)", []byte{0, 1})), "data: biglabel.npz: y_train.npy: label 0 is 256, want 0 to 255"},
		{"morelabels.npz", labelled(npyFile("|u1", "(2,)", []byte{0, 1})), "data: morelabels.npz: y_train.npy: 2 labels for the 1 images of morelabels.npz: x_train.npy, want one each: the files belong to different data sets"},

		{"ragged.amat", []byte("0 0 0 1\n\n0 0 1\n"), "data: ragged.amat: line 3 has 3 numbers, line 1 has 4: cut short, or two files in one?"},
		{"word.amat", []byte("0 0 0 1\n0 0 x 1\n"), `data: word.amat: line 2, column 3 is "x", want a number`},
		{"hex.amat", []byte("0x1p0 0 0 1\n"), `data: hex.amat: line 1, column 1 is "0x1p0", want a number`},
		{"underscore.amat", []byte("0 0 0 0x_1p0\n"), `data: underscore.amat: line 1, column 4 is "0x_1p0", want a number`},
		{"label_.amat", []byte("0 0 0 1 1_0\n"), `data: label_.amat: line 1, column 5 is "1_0", want a number`},
		{"commas.amat", []byte("0,0,0,1\n"), `data: commas.amat: line 1, column 1 is "0,0,0,1", want a number` + commas},
		{"header.amat", []byte("pixel0 pixel1\n0 0\n"), `data: header.amat: line 1, column 1 is "pixel0", want a number`},
		{"scale.amat", []byte("0 0 0 1\n0 0 255 1\n"), "data: scale.amat: line 2: image 1, pixel 2 is 255, want a grey level in [0, 1]: for grey levels up to 255, say --range 0,255"},
		{"nan.amat", []byte("0 0 0 nan\n"), "data: nan.amat: line 1: image 0, pixel 3 is NaN, want a grey level in [0, 1]"},
		{"columns.amat", []byte("0 0 0\n"), "data: columns.amat: line 1 has 3 numbers, want a square such as 784, or one more for a label"},
		{"label.amat", []byte("0 0 0 1 0.5\n"), "data: label.amat: line 1 ends in the label 0.5, want an integer from 0 to 255"},
		{"blank.amat", []byte(" \n\n"), "data: blank.amat: no line has numbers, want one image a line"},
		{"line.amat", bytes.Repeat([]byte("0 "), longestLine/2+1), "data: line.amat: line 1 is longer than 16777216 bytes, want one image a line: this is no .amat text"},
		{"cut.amat.gz", gzipped(bytes.Repeat([]byte("0 1 1 0\n1 0 0 1\n"), 1000))[:40], "data: cut.amat.gz: the compressed data are cut short: an incomplete download? Fetch the file again (unexpected EOF)"},
	}
	for _, tt := range tests {
		dir := folder(t, map[string][]byte{tt.file: tt.content})
		_, err := open(filepath.Join(dir, tt.file), plenty())
		var format *FormatError
		if !errors.As(err, &format) {
			t.Errorf("%s: found %v, want a FormatError", tt.file, err)
			continue
		}
		if found := message(err, dir); found != tt.want {
			t.Errorf("%s\nfound %s\nwant  %s", tt.file, found, tt.want)
		}
	}
}

// flipped returns b with one bit changed; a negative place counts from the end.
func flipped(b []byte, place int) []byte {
	b = bytes.Clone(b)
	b[(place+len(b))%len(b)] ^= 1
	return b
}

// poked returns b with one byte set.
func poked(b []byte, place int, to byte) []byte {
	b = bytes.Clone(b)
	b[place] = to
	return b
}

// Labels alone are nothing to train on, and a description says so too. IDX labels are a
// file of their own everywhere.
func TestDescribeRefusesAnArchiveWithoutImages(t *testing.T) {
	labels := npyFile("|u1", "(1,)", []byte{0})
	dir := folder(t, map[string][]byte{"a.npz": npzFile(array{"y_train", labels}), "idx": idxLabelsOf(Synthetic(1, 1, 1, 1))})
	infos, err := Describe(filepath.Join(dir, "a.npz"))
	if want := "data: a.npz: found the arrays y_train and no training images, want x_train or train: save them in the same archive"; message(err, dir) != want || len(infos) != 0 {
		t.Errorf("%v, %s\nwant  %s", infos, message(err, dir), want)
	}
	if infos, err := Describe(filepath.Join(dir, "idx")); err != nil || len(infos) != 1 {
		t.Errorf("%v, %v, want the labels", infos, err)
	}
}

func TestFoldersThatDoNotFitAreExplained(t *testing.T) {
	im, other := Synthetic(3, 2, 2, 1), Synthetic(2, 3, 2, 1)
	tests := []struct {
		name  string
		files map[string][]byte
		want  string
	}{
		{"nothing known", map[string][]byte{"notes.txt": {1}, "a.npy": {1}},
			"data: DIR: looked for pictures (.png, .jpg, also in sub-folders), train-images-idx3-ubyte (also .gz, also train-images.idx3-ubyte) and binarized_mnist_train.amat, found a.npy, notes.txt: name a folder that has one of them, or a .npy, .npz, .csv, .amat or IDX file"},
		{"empty folder", nil,
			"data: DIR: looked for pictures (.png, .jpg, also in sub-folders), train-images-idx3-ubyte (also .gz, also train-images.idx3-ubyte) and binarized_mnist_train.amat, found nothing: name a folder that has one of them, or a .npy, .npz, .csv, .amat or IDX file"},
		{"pictures", map[string][]byte{"0.PNG": {1}},
			"data: DIR: 1 of 1 pictures cannot be read: 0.PNG (starts with the bytes 01, want PNG or JPEG): mend them, or move them out of the folder"},
		{"a table", map[string][]byte{"mnist_train.csv": {1}},
			"data: DIR: looked for pictures (.png, .jpg, also in sub-folders), train-images-idx3-ubyte (also .gz, also train-images.idx3-ubyte) and binarized_mnist_train.amat, found mnist_train.csv: name a folder that has one of them, or a .npy, .npz, .csv, .amat or IDX file"},
		{"test images only", map[string][]byte{testImages: idxOf(im)},
			"data: DIR: looked for pictures (.png, .jpg, also in sub-folders), train-images-idx3-ubyte (also .gz, also train-images.idx3-ubyte) and binarized_mnist_train.amat, found t10k-images-idx3-ubyte: name a folder that has one of them, or a .npy, .npz, .csv, .amat or IDX file"},
		{"two data sets", map[string][]byte{trainImages: idxOf(im), "binarized_mnist_train.amat": []byte("0 0 0 1\n")},
			"data: DIR: found train-images-idx3-ubyte and binarized_mnist_train.amat, want one data set in a folder: move the others to a folder of their own"},
		{"mislabelled", map[string][]byte{trainImages: idxOf(im), trainLabels: idxOf(im)},
			"data: train-labels-idx1-ubyte: magic 0x00000803 at byte 0, want 0x00000801 (labels): this looks like the image file"},
		{"exchanged", map[string][]byte{trainImages: idxLabelsOf(im), trainLabels: idxOf(im)},
			"data: train-images-idx3-ubyte: magic 0x00000801 at byte 0, want 0x00000803 (images): this looks like the label file\n" +
				"data: train-labels-idx1-ubyte: magic 0x00000803 at byte 0, want 0x00000801 (labels): this looks like the image file"},
		{"other labels", map[string][]byte{trainImages: idxOf(im), trainLabels: idxLabelsOf(other)},
			"data: train-labels-idx1-ubyte: 2 labels for the 3 images of train-images-idx3-ubyte, want one each: the files belong to different data sets"},
		{"no labels", map[string][]byte{trainImages: idxOf(im), trainLabels: idxFile(magicLabels, []uint32{0}, nil)},
			"data: train-labels-idx1-ubyte: header promises 0 labels, want at least one"},
		{"cut labels", map[string][]byte{trainImages: idxOf(im), trainLabels: idxFile(magicLabels, []uint32{3}, []byte{1, 2})},
			"data: train-labels-idx1-ubyte: header promises 3 labels (3 bytes), file has 2: truncated download?"},
		{"another size", map[string][]byte{trainImages: idxOf(im), testImages: idxOf(other)},
			"data: DIR: train images are 2×2, test images 3×2, want one size: the parts belong to different data sets"},
		{"labels alone", map[string][]byte{trainImages: idxOf(im), testLabels: idxLabelsOf(im)},
			`data: DIR: found 3 labels of the part "test" and no images for them: fetch the images, or remove t10k-labels-idx1-ubyte`},
		{"another validation", map[string][]byte{"binarized_mnist_train.amat": []byte("0 0 0 1\n"), "binarized_mnist_valid.amat": []byte("1\n")},
			"data: DIR: train images are 2×2, validation images 1×1, want one size: the parts belong to different data sets"},
		{"labelled validation", map[string][]byte{"binarized_mnist_train.amat": []byte("0 0 0 1\n"), "binarized_mnist_valid.amat": []byte("0 0 0 1 5\n")},
			"data: DIR: of the training and the validation images one part has labels, want labels for both or for none"},
	}
	for _, tt := range tests {
		dir := folder(t, tt.files)
		_, err := open(dir, plenty())
		if found := message(err, dir); found != tt.want {
			t.Errorf("%s\nfound %s\nwant  %s", tt.name, found, tt.want)
		}
	}
}

func TestLongListingsAreCutShort(t *testing.T) {
	files := map[string][]byte{}
	for i := range 20 {
		files[fmt.Sprintf("f%02d", i)] = nil
	}
	_, err := Open(folder(t, files))
	if want := "found 20 files without an ending: name"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("found %v, want it to contain %s", err, want)
	}
}

func TestMissingSourceIsANotExistError(t *testing.T) {
	dir := t.TempDir()
	for _, call := range []func(string) error{
		func(path string) error { _, err := Open(path); return err },
		func(path string) error { _, err := Describe(path); return err },
	} {
		err := call(filepath.Join(dir, "nowhere"))
		var format *FormatError
		if !errors.Is(err, fs.ErrNotExist) || !errors.As(err, &format) {
			t.Errorf("found %v, want a FormatError that is fs.ErrNotExist", err)
		}
		// What follows in parentheses is the system's own text.
		if want := `data: nowhere: not found, want "mnist", a folder or a file (`; !strings.HasPrefix(message(err, dir), want) {
			t.Errorf("found %s\nwant  %s...)", message(err, dir), want)
		}
	}
}

func TestFolderInPlaceOfAFileIsExplained(t *testing.T) {
	dir := folder(t, map[string][]byte{"real": nil})
	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("sub", filepath.Join(dir, trainImages)); err != nil {
		t.Skipf("no symbolic links here: %v", err)
	}
	_, err := Open(dir)
	if found, want := message(err, dir), "data: train-images-idx3-ubyte: is a folder, want a file"; found != want {
		t.Errorf("found %s\nwant  %s", found, want)
	}
}

// The budget is for all files together, so that four that fit one by one are
// refused where they do not fit side by side.
func TestMemoryIsSharedByTheFilesOfASource(t *testing.T) {
	im := Synthetic(10, 10, 10, 1) // 1000 bytes
	dir := folder(t, map[string][]byte{trainImages: idxOf(im), testImages: idxOf(im)})
	if _, err := open(dir, newMemory(2000)); err != nil {
		t.Errorf("with 2000 bytes: %v", err)
	}
	_, err := open(dir, newMemory(1999))
	want := "10 images of 10×10 need 1000 bytes, and 1999 bytes of memory are available, 1000 of them taken already: a damaged header? Otherwise use a smaller file"
	if err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("with 1999 bytes: found %v\nwant it to end in %s", err, want)
	}
	for name, file := range map[string][]byte{
		"floats.npy": npyFile("<f4", "(2, 125)", float32s(slices.Repeat([]float32{0.5}, 250)...)),
		"text.amat":  []byte(strings.Repeat(strings.Repeat("0 ", 100)+"\n", 10)),
		"grey.amat":  []byte(strings.Repeat(strings.Repeat("0.5 ", 25)+"\n", 10)),
	} {
		dir := folder(t, map[string][]byte{name: file})
		if _, err := open(filepath.Join(dir, name), newMemory(1000)); err != nil {
			t.Errorf("%s with 1000 bytes: %v", name, err)
		}
		if _, err := open(filepath.Join(dir, name), newMemory(999)); err == nil {
			t.Errorf("%s with 999 bytes: no error", name)
		}
	}
}

// Where parts are put in one piece or pixels change their kind, both copies are there
// for a while, and both are counted.
func TestMemoryIsCountedForCopies(t *testing.T) {
	black := func(n int) []byte { return npyFile("|u1", fmt.Sprintf("(%d, 10)", n), make([]byte, 10*n)) }
	for _, tt := range []struct {
		name string
		file []byte
		need int64
	}{
		{"joined.npz", npzFile(array{"train", black(60)}, array{"valid", black(40)}), 600 + 400 + 1000},
		{"outcomes.npy", npyFile("<f4", "(5, 50)", make([]byte, 1000)), 1000 + 250},
		{"mixed.npz", npzFile(array{"train", black(60)}, array{"test", npyFile("<f4", "(1, 10)", float32s(slices.Repeat([]float32{0.5}, 10)...))}), 600 + 40 + 4*600},
		{"late.amat", []byte("0 0 0 0\n0 0 0.5 0\n"), 8 + 4*8},
		{"labels.amat", []byte("0 0 0 0 7\n0 0 1 0 8\n"), 2*4 + 2},
	} {
		dir := folder(t, map[string][]byte{tt.name: tt.file})
		if _, err := open(filepath.Join(dir, tt.name), newMemory(tt.need)); err != nil {
			t.Errorf("%s with %d bytes: %v", tt.name, tt.need, err)
		}
		_, err := open(filepath.Join(dir, tt.name), newMemory(tt.need-1))
		if want := fmt.Sprintf(" and %d bytes of memory are available", tt.need-1); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s with %d bytes: %v", tt.name, tt.need-1, err)
		}
	}
}

// Float64 arrays are held as float32, so half their size is enough.
func TestFloat64NeedsTheMemoryOfFloat32(t *testing.T) {
	dir := folder(t, map[string][]byte{"a.npy": npyFile("<f8", "(5, 50)", float64s(binary.LittleEndian, slices.Repeat([]float64{0.5}, 250)...))})
	if _, err := open(filepath.Join(dir, "a.npy"), newMemory(1000)); err != nil {
		t.Error(err)
	}
}

func TestDescribeShowsWhatIsInTheFiles(t *testing.T) {
	im := Images{N: 2, Rows: 1, Cols: 2, Bytes: []uint8{0, 51, 102, 51}, Labels: []uint8{3, 1}}
	dir := folder(t, map[string][]byte{trainImages: idxOf(im), trainLabels + ".gz": gzipped(idxLabelsOf(im))})
	infos, err := Describe(dir)
	if err != nil {
		t.Fatal(err)
	}
	for i := range infos {
		infos[i].Name = filepath.Base(infos[i].Name)
		if len(infos[i].SHA256) != 64 {
			t.Errorf("%s: SHA-256 %q", infos[i].Name, infos[i].SHA256)
		}
	}
	want := []FileInfo{
		{Name: trainImages, Format: "idx", Part: "train", Shape: []int{2, 1, 2}, Element: "uint8", Images: 2, Rows: 1, Cols: 2, Grey: &GreyInfo{0, 0.4, 0.2}, SHA256: infos[0].SHA256},
		{Name: trainLabels + ".gz", Format: "idx", Part: "train", Compressed: true, Shape: []int{2}, Element: "uint8", Labels: []int{0, 1, 0, 1}, SHA256: infos[1].SHA256},
	}
	if diff := cmp.Diff(want, infos); diff != "" {
		t.Errorf("-want +found\n%s", diff)
	}

	tests := []struct {
		name string
		file []byte
		want []FileInfo
	}{
		{"labels", idxLabelsOf(im), []FileInfo{{Name: "labels", Format: "idx", Part: "train", Shape: []int{2}, Element: "uint8", Labels: []int{0, 1, 0, 1}}}},
		{"a.npy", npyFile("<f4", "(1, 2)", float32s(0.25, 0.75)), []FileInfo{{Name: "a.npy", Format: "npy", Part: "train", Shape: []int{1, 2}, Element: "float32", Images: 1, Rows: 1, Cols: 2, Grey: &GreyInfo{0.25, 0.75, 0.5}}}},
		{"a.amat", []byte("0 0 0 1 2\n"), []FileInfo{{Name: "a.amat", Format: "amat", Part: "train", Shape: []int{1, 5}, Element: "text", Images: 1, Rows: 2, Cols: 2, Grey: &GreyInfo{0, 1, 0.25}, Labels: []int{0, 0, 1}}}},
		{"a.npz", npzFile(array{"train", npyFile("|b1", "(1, 2)", []byte{0, 1})}, array{"y_train", npyFile("<i4", "(1,)", []byte{2, 0, 0, 0})}), []FileInfo{
			{Name: "a.npz: train.npy", Format: "npz member", Part: "train", Compressed: true, Shape: []int{1, 2}, Element: "bool", Images: 1, Rows: 1, Cols: 2, Grey: &GreyInfo{0, 1, 0.5}},
			{Name: "a.npz: y_train.npy", Format: "npz member", Part: "train", Compressed: true, Shape: []int{1}, Element: "int32", Labels: []int{0, 0, 1}}}},
	}
	for _, tt := range tests {
		dir := folder(t, map[string][]byte{tt.name: tt.file})
		infos, err := Describe(filepath.Join(dir, tt.name))
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		for i := range infos {
			infos[i].Name = filepath.Base(infos[i].Name)
			infos[i].SHA256 = ""
		}
		if diff := cmp.Diff(tt.want, infos); diff != "" {
			t.Errorf("%s: -want +found\n%s", tt.name, diff)
		}
	}
}

func TestDescribeShowsTheGoodFilesOfADamagedFolder(t *testing.T) {
	im := Synthetic(3, 2, 2, 1)
	dir := folder(t, map[string][]byte{trainImages: idxOf(im)[:20], trainLabels: idxLabelsOf(im)})
	infos, err := Describe(dir)
	if want := "data: train-images-idx3-ubyte: header promises 3 images of 2×2 (12 bytes), file has 4: truncated download?"; message(err, dir) != want {
		t.Errorf("found %s\nwant  %s", message(err, dir), want)
	}
	if len(infos) != 1 || filepath.Base(infos[0].Name) != trainLabels {
		t.Errorf("%v, want the label file", infos)
	}
}

// The figures are well known: mean grey level 0.1307, 6742 ones.
func TestDescribeMNIST(t *testing.T) {
	infos, err := Describe("mnist")
	if err != nil {
		t.Fatal(err)
	}
	if len(infos) != 4 {
		t.Fatalf("%d files, want 4", len(infos))
	}
	train, labels := infos[0], infos[1]
	if train.Name != "mnist/train-images-idx3-ubyte.gz" || !train.Compressed || !slices.Equal(train.Shape, []int{60000, 28, 28}) ||
		train.SHA256 != "0b367032e93c5d0cea0925647cfdb18614af8ee15f83e6f2fc2ad904a6835971" || fmt.Sprintf("%.4f", train.Grey.Mean) != "0.1307" {
		t.Errorf("%+v %+v", train, train.Grey)
	}
	if want := []int{5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949}; !slices.Equal(labels.Labels, want) || labels.Grey != nil {
		t.Errorf("%+v, want labels %d", labels, want)
	}
}

func TestLabelsOfEveryIntegerType(t *testing.T) {
	for descr, b := range map[string][]byte{
		"|u1": {7}, "|i1": {7}, "<u2": {7, 0}, ">i2": {0, 7}, "<u4": {7, 0, 0, 0}, ">i4": {0, 0, 0, 7},
		">u8": {0, 0, 0, 0, 0, 0, 0, 7}, "<i8": {7, 0, 0, 0, 0, 0, 0, 0},
	} {
		dir := folder(t, map[string][]byte{"a.npz": npzFile(array{"x_train", npyFile("|u1", "(1, 1)", []byte{255})}, array{"y_train", npyFile(descr, "(1,)", b)})})
		d, err := Open(filepath.Join(dir, "a.npz"))
		if err != nil {
			t.Errorf("%s: %s", descr, message(err, dir))
		} else if !slices.Equal(d.Train.Labels, []uint8{7}) {
			t.Errorf("%s: labels %d, want [7]", descr, d.Train.Labels)
		}
	}
	for descr, b := range map[string][]byte{"|i1": {0xff}, "<i2": {0xff, 0xff}, "<i8": bytes.Repeat([]byte{0xff}, 8)} {
		dir := folder(t, map[string][]byte{"a.npz": npzFile(array{"x_train", npyFile("|u1", "(1, 1)", []byte{255})}, array{"y_train", npyFile(descr, "(1,)", b)})})
		_, err := Open(filepath.Join(dir, "a.npz"))
		if found, want := message(err, dir), "data: a.npz: y_train.npy: label 0 is -1, want 0 to 255"; found != want {
			t.Errorf("%s\nfound %s\nwant  %s", descr, found, want)
		}
	}
}
