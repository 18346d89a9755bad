package data

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func pngOf(t testing.TB, img image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func jpegOf(t testing.TB, img image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: 100}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// greyPNG is a picture of 2×3 whose first pixel is g.
func greyPNG(t testing.TB, g uint8) []byte {
	img := image.NewGray(image.Rect(0, 0, 3, 2))
	img.Pix[0] = g
	return pngOf(t, img)
}

// tree writes files into folders under a new one.
func tree(t *testing.T, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, content, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func firsts(im Images) (g []uint8) {
	for i := range im.N {
		g = append(g, im.Bytes[i*im.D()])
	}
	return g
}

func TestAFolderOfPicturesIsADataSet(t *testing.T) {
	flat, err := Open(tree(t, map[string][]byte{
		"b.png": greyPNG(t, 2), "a.PNG": greyPNG(t, 1), "img10.png": greyPNG(t, 10), "img2.png": greyPNG(t, 3),
		".hidden.png": {1}, "notes.txt": {1}, "c.webp": {1},
	}))
	if err != nil {
		t.Fatal(err)
	}
	im := flat.Train
	if found := firsts(im); !slices.Equal(found, []uint8{1, 2, 10, 3}) || im.Rows != 2 || im.Cols != 3 || im.channels() != 1 || im.Labels != nil {
		t.Errorf("pixels %v, %s, labels %v", found, im.size(), im.Labels)
	}
	if !slices.Equal(im.Names, []string{"a.PNG", "b.png", "img10.png", "img2.png"}) {
		t.Errorf("names %v", im.Names)
	}
	if len(flat.Notes) != 1 || !strings.Contains(flat.Notes[0], "1 files .webp are left out: PNG and JPEG are read") {
		t.Errorf("notes %q", flat.Notes)
	}

	classes, err := Open(tree(t, map[string][]byte{
		"dog/1.png": greyPNG(t, 3), "cat/2.png": greyPNG(t, 2), "cat/1.png": greyPNG(t, 1), "empty/readme.txt": nil, "dog/more/3.png": nil,
	}))
	if err != nil {
		t.Fatal(err)
	}
	im = classes.Train
	if !slices.Equal(im.Labels, []uint8{0, 0, 1}) || !slices.Equal(im.Classes, []string{"cat", "dog"}) || !slices.Equal(firsts(im), []uint8{1, 2, 3}) {
		t.Errorf("labels %v of %v", im.Labels, im.Classes)
	}
	all := classes.All()
	if all.Name(2) != "dog/1.png" || all.Class(2) != "dog" {
		t.Errorf("image 2 is %s of class %s", all.Name(2), all.Class(2))
	}

	parts, err := Open(tree(t, map[string][]byte{
		"Train/dog/1.png": greyPNG(t, 2), "Train/cat/1.png": greyPNG(t, 1), "val/dog/3.png": greyPNG(t, 3), "test/cow/4.png": greyPNG(t, 4), "test/dog/9.png": greyPNG(t, 5),
	}))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(firsts(parts.Train), []uint8{1, 2, 3}) || parts.Validation != 1 || !slices.Equal(firsts(parts.Test), []uint8{4, 5}) {
		t.Errorf("parts %v, %d of them for validation, and %v", firsts(parts.Train), parts.Validation, firsts(parts.Test))
	}
	// Classes are those of all parts, so a label means the same in each.
	if want := []string{"cat", "cow", "dog"}; !slices.Equal(parts.Train.Classes, want) || !slices.Equal(parts.Train.Labels, []uint8{0, 2, 2}) || !slices.Equal(parts.Test.Labels, []uint8{1, 2}) {
		t.Errorf("labels %v and %v of %v", parts.Train.Labels, parts.Test.Labels, parts.Train.Classes)
	}
	tr, va, te, err := parts.Split(parts.DefaultSplit())
	if err != nil || va.Name(0) != "val/dog/3.png" || te.Name(1) != "test/dog/9.png" || tr.N() != 2 {
		t.Errorf("%v: %d, %s, %s", err, tr.N(), va.Name(0), te.Name(1))
	}
	if all := parts.All(); all.N() != 5 || all.Name(3) != "test/cow/4.png" || all.Class(3) != "cow" || all.Part() != "all" || all.Index(3) != 3 {
		t.Errorf("all: %d images, the fourth %s of %s", all.N(), all.Name(3), all.Class(3))
	}
}

// Every kind of PNG that the encoder writes is read to the levels that it has.
func TestPicturesOfEveryKindKeepTheirLevels(t *testing.T) {
	at := image.Rect(0, 0, 2, 1)
	grey, grey16, colour := image.NewGray(at), image.NewGray16(at), image.NewRGBA(at)
	palette := image.NewPaletted(at, color.Palette{color.Gray{7}, color.RGBA{200, 100, 50, 255}})
	alpha, alpha16 := image.NewNRGBA(at), image.NewNRGBA64(at)
	copy(grey.Pix, []uint8{7, 255})
	grey16.SetGray16(0, 0, color.Gray16{7*257 + 128}) // halfway to 8, and a bit below
	grey16.SetGray16(1, 0, color.Gray16{0xffff})
	colour.Set(0, 0, color.RGBA{7, 8, 9, 255})
	colour.Set(1, 0, color.RGBA{255, 0, 0, 255})
	copy(palette.Pix, []uint8{0, 1})
	alpha.Set(0, 0, color.NRGBA{7, 8, 9, 255})
	alpha.Set(1, 0, color.NRGBA{255, 0, 0, 0})
	alpha16.Set(0, 0, color.NRGBA64{0xffff, 0, 0, 0x8000})
	alpha16.Set(1, 0, color.NRGBA64{0, 0, 0, 0})
	for _, tt := range []struct {
		name     string
		file     []byte
		reading  Reading
		channels int
		want     []uint8
	}{
		{"grey", pngOf(t, grey), Reading{}, 1, []uint8{7, 255}},
		{"16 bits", pngOf(t, grey16), Reading{}, 1, []uint8{7, 255}},
		{"colour", pngOf(t, colour), Reading{}, 3, []uint8{7, 8, 9, 255, 0, 0}},
		// 0.299 R + 0.587 G + 0.114 B: 7.815 and 76.245, rounded
		{"colour as grey", pngOf(t, colour), Reading{Channels: 1}, 1, []uint8{8, 76}},
		{"grey as colour", pngOf(t, grey), Reading{Channels: 3}, 3, []uint8{7, 7, 7, 255, 255, 255}},
		{"palette", pngOf(t, palette), Reading{}, 3, []uint8{7, 7, 7, 200, 100, 50}},
		{"transparent", pngOf(t, alpha), Reading{}, 3, []uint8{7, 8, 9, 255, 255, 255}},
		{"transparent on black", pngOf(t, alpha), Reading{Background: "black"}, 3, []uint8{7, 8, 9, 0, 0, 0}},
		{"transparent on a colour", pngOf(t, alpha), Reading{Background: "#0102fE"}, 3, []uint8{7, 8, 9, 1, 2, 254}},
		// Half of red lies on white: green and blue are half of 255.
		{"half transparent, 16 bits", pngOf(t, alpha16), Reading{}, 3, []uint8{255, 127, 127, 255, 255, 255}},
	} {
		d, err := tt.reading.Open(tree(t, map[string][]byte{"x.png": tt.file}))
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if d.Channels() != tt.channels || !slices.Equal(d.Train.Bytes, tt.want) {
			t.Errorf("%s: %d channels, %v, want %d and %v", tt.name, d.Channels(), d.Train.Bytes, tt.channels, tt.want)
		}
	}
	// Colour files without colour are grey, and the same data set as grey ones.
	plainGrey := image.NewRGBA(at)
	for x := range 2 {
		plainGrey.Set(x, 0, color.Gray{grey.Pix[x]})
	}
	a, err := Open(tree(t, map[string][]byte{"x.png": pngOf(t, grey)}))
	b, berr := Open(tree(t, map[string][]byte{"x.png": pngOf(t, plainGrey)}))
	if err := errors.Join(err, berr); err != nil || a.SHA256 != b.SHA256 || b.Channels() != 1 {
		t.Errorf("%v: grey in colour files is not what it is in grey ones", err)
	}
}

// exifJPEG puts an orientation into a JPEG file.
func exifJPEG(file []byte, order binary.AppendByteOrder, mark string, orientation uint16) []byte {
	tiff := order.AppendUint32(order.AppendUint16([]byte(mark), 42), 8)
	tiff = order.AppendUint16(tiff, 2) // entries
	for _, e := range [][2]uint16{{0x0100, 9}, {0x0112, orientation}} {
		tiff = order.AppendUint32(order.AppendUint16(order.AppendUint16(tiff, e[0]), 3), 1)
		tiff = order.AppendUint16(order.AppendUint16(tiff, e[1]), 0)
	}
	segment := append([]byte("Exif\x00\x00"), tiff...)
	out := binary.BigEndian.AppendUint16([]byte{0xff, 0xd8, 0xff, 0xe1}, uint16(len(segment)+2))
	return append(append(out, segment...), file[2:]...)
}

// The dark corner of a picture, stored at the upper left, is where each of the eight
// orientations says that the first row and the first column are.
func TestJPEGIsTurnedAsItsEXIFSays(t *testing.T) {
	img := image.NewGray(image.Rect(0, 0, 32, 16)) // blocks of 8×8, so that no level leaks
	for i := range img.Pix {
		img.Pix[i] = 255
	}
	for y := range 8 {
		for x := range 8 {
			img.SetGray(x, y, color.Gray{0})
		}
	}
	file := jpegOf(t, img)
	for orientation, want := range map[uint16]string{
		1: "upper left", 2: "upper right", 3: "lower right", 4: "lower left",
		5: "upper left", 6: "upper right", 7: "lower right", 8: "lower left",
		9: "upper left",
	} {
		for mark, order := range map[string]binary.AppendByteOrder{"II": binary.LittleEndian, "MM": binary.BigEndian} {
			d, err := Open(tree(t, map[string][]byte{"x.jpg": exifJPEG(file, order, mark, orientation)}))
			if err != nil {
				t.Fatal(err)
			}
			rows, cols := 16, 32
			if orientation >= 5 && orientation <= 8 {
				rows, cols = 32, 16
			}
			if d.Rows() != rows || d.Cols() != cols {
				t.Errorf("orientation %d: %d×%d, want %d×%d", orientation, d.Rows(), d.Cols(), rows, cols)
				continue
			}
			corners := map[string]int{"upper left": 0, "upper right": cols - 1, "lower left": (rows - 1) * cols, "lower right": rows*cols - 1}
			for name, p := range corners {
				if dark := d.Train.Bytes[p] < 128; dark != (name == want) {
					t.Errorf("orientation %d (%s): dark %v at the %s, want dark at the %s", orientation, mark, dark, name, want)
				}
			}
		}
	}
}

func TestPicturesAreScaledToOneSize(t *testing.T) {
	wide := image.NewGray(image.Rect(0, 0, 8, 4))
	for i := range wide.Pix {
		wide.Pix[i] = 100
	}
	dir := tree(t, map[string][]byte{"a.png": pngOf(t, wide), "b.png": greyPNG(t, 0)})
	_, err := Open(dir)
	if found, want := message(err, dir), "data: DIR: a.png has 4×8 pixels, b.png has 2×3, want one size: scale all with --size 2x2, or another height and width"; found != want {
		t.Errorf("found %s\nwant %s", found, want)
	}
	d, err := Reading{Size: []int{3, 5}}.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if d.Rows() != 3 || d.Cols() != 5 || !slices.Equal(d.Train.Bytes[:15], bytes.Repeat([]byte{100}, 15)) {
		t.Errorf("%s: %v", d.Train.size(), d.Train.Bytes[:15])
	}
	same, err := Reading{Size: []int{2, 3}}.Open(tree(t, map[string][]byte{"b.png": greyPNG(t, 77)}))
	if err != nil || same.Train.Bytes[0] != 77 || len(same.Notes) > 0 {
		t.Errorf("%v: scaled to its own size, a picture has %v; notes %q", err, same.Train.Bytes, same.Notes)
	}
}

func TestDamagedPicturesAreNamedAndExplained(t *testing.T) {
	good := greyPNG(t, 1)
	for _, tt := range []struct {
		name  string
		files map[string][]byte
		want  string // begins so
	}{
		{"damaged", map[string][]byte{"1.png": good, "2.png": good[:50], "3.png": []byte("GIF89a"), "4.png": {}, "5.jpg": {0xff, 0xd8, 0xff}, "6.png": good},
			"data: DIR: 4 of 6 pictures cannot be read: 2.png (png: invalid format: unexpected EOF), 3.png (starts with the bytes 47 49 46 38, want PNG or JPEG), 4.png (the file is empty) and 1 more: mend them, or move them out of the folder"},
		{"too large", map[string][]byte{"huge.png": hugePNG()}, "data: DIR: 1 of 1 pictures cannot be read: huge.png (its header promises 65536×65536 pixels, want at most 67108864 in all: a damaged header?)"},
		{"both", map[string][]byte{"a.png": good, "cat/b.png": good}, "data: DIR: found pictures both in the folder, as a.png, and in sub-folders, as cat/b.png, want all in sub-folders that are classes, or none: move them"},
		{"beside", map[string][]byte{"a.png": good, "train/b.png": good}, "data: DIR: found a.png beside train/, want all pictures in train/ and, where there are any, val/ and test/: move it there, or rename train/ where it is a class"},
		{"class beside", map[string][]byte{"cat/a.png": good, "train/b.png": good}, "data: DIR: found cat/a.png beside train/, want"},
		{"two", map[string][]byte{"train/a.png": good, "val/b.png": good, "validation/c.png": good}, "data: DIR: found both val/ and validation/, want one of them"},
		{"only test", map[string][]byte{"train/a.txt": good, "test/b.png": good}, "data: DIR: no training images"},
		{"other kinds", map[string][]byte{"a.gif": nil, "b.gif": nil, "c.gif": nil, "d.txt": nil, "e": nil, "f.gif": nil, "g.csv": nil, "h/i": nil},
			"data: DIR: looked for pictures (.png, .jpg, also in sub-folders), train-images-idx3-ubyte (also .gz, also train-images.idx3-ubyte) and binarized_mnist_train.amat, found 1 .csv, 4 .gif, 1 .txt, 1 files without an ending, 1 folders: name a folder"},
	} {
		dir := tree(t, tt.files)
		_, err := Open(dir)
		var format *FormatError
		if found := message(err, dir); !errors.As(err, &format) || !strings.HasPrefix(found, tt.want) {
			t.Errorf("%s\nfound %s\nwant  %s", tt.name, found, tt.want)
		}
	}
	// A header that promises much is refused before anything is decoded for it.
	used, err := allocated(func() error { _, _, err := decodePicture(hugePNG(), color.RGBA{}); return err })
	if err == nil || !strings.Contains(err.Error(), "promises 65536×65536 pixels, want at most 67108864 in all") || used > 1<<20 {
		t.Errorf("%d bytes allocated; %v", used, err)
	}
	dir := tree(t, map[string][]byte{"a.png": good, "b.png": good})
	if _, err := open(dir, newMemory(100)); err == nil || !strings.Contains(err.Error(), "2 pictures of 2×3 need ") {
		t.Errorf("without memory: %v", err)
	}
}

// hugePNG is the header of a grey picture of 65536×65536.
func hugePNG() []byte {
	head := []byte("IHDR\x00\x01\x00\x00\x00\x01\x00\x00\x08\x00\x00\x00\x00")
	return binary.BigEndian.AppendUint32(append([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\r"), head...), crc32.ChecksumIEEE(head))
}

func TestMoreThan256ClassesHaveNoLabels(t *testing.T) {
	files := map[string][]byte{}
	for i := range 257 {
		files[fmt.Sprintf("c%d/x.png", i)] = greyPNG(t, uint8(i))
	}
	d, err := Open(tree(t, files))
	if err != nil || d.Train.Labels != nil || len(d.Notes) != 1 || !strings.Contains(d.Notes[0], "257 sub-folders, and at most 256 classes are told apart") {
		t.Errorf("%v: labels %v, notes %q", err, d.Train.Labels, d.Notes)
	}
}

func FuzzDecodePicture(f *testing.F) {
	img := image.NewNRGBA(image.Rect(0, 0, 9, 5))
	img.Set(3, 3, color.NRGBA{1, 2, 3, 4})
	f.Add(pngOf(f, img))
	f.Add(greyPNG(f, 3))
	f.Add(hugePNG())
	f.Add(jpegOf(f, img))
	f.Add(exifJPEG(jpegOf(f, img), binary.BigEndian, "MM", 6))
	f.Add(exifJPEG(jpegOf(f, img), binary.LittleEndian, "II", 8)[:40])
	f.Fuzz(func(t *testing.T, content []byte) {
		config, _, err := headOf(bytes.NewReader(content))
		if err == nil && config.Width*config.Height > 1<<20 {
			return // decoded with that much memory, and time
		}
		got, _, err := decodePicture(content, color.RGBA{255, 255, 255, 255})
		if err != nil {
			return
		}
		turn := 1
		if formatOf(content) == "jpeg" {
			turn = orientation(content)
		}
		w, h := got.Rect.Dx(), got.Rect.Dy()
		if turn >= 5 {
			w, h = h, w
		}
		if w != config.Width || h != config.Height {
			t.Errorf("%d×%d decoded, the header says %d×%d", h, w, config.Height, config.Width)
		}
		for p := 3; p < len(got.Pix); p += 4 {
			if got.Pix[p] != 255 {
				t.Fatalf("pixel %d is transparent", p/4)
			}
		}
	})
}

// However an array is laid out, it is the same data set.
func TestArraysOfEveryLayoutAreTheSameDataSet(t *testing.T) {
	grey := Images{N: 2, Rows: 2, Cols: 3, Bytes: []uint8{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}}
	colour := Images{N: 1, Rows: 2, Cols: 2, Channels: 3, Bytes: []uint8{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}}
	fortran := func(shape string, payload ...uint8) []byte {
		return npyFileOf("{'descr': '|u1', 'fortran_order': True, 'shape': "+shape+", }\n", payload)
	}
	wide := func(descr string, order binary.AppendByteOrder, size int) []byte {
		var b []byte
		for _, g := range grey.Bytes {
			switch size {
			case 2:
				b = order.AppendUint16(b, uint16(g))
			case 4:
				b = order.AppendUint32(b, uint32(g))
			default:
				b = order.AppendUint64(b, uint64(g))
			}
		}
		return npyFile(descr, "(2, 2, 3)", b)
	}
	floats := make([]float32, 12)
	for i, g := range grey.Bytes {
		floats[i] = float32(g)
	}
	to255 := Reading{Range: []float64{0, 255}}
	for _, tt := range []struct {
		name    string
		file    []byte
		reading Reading
		want    Images
	}{
		{"pytorch.npy", npyFile("|u1", "(2, 1, 2, 3)", grey.Bytes), Reading{}, grey},
		{"channel.npy", npyFile("|u1", "(2, 2, 3, 1)", grey.Bytes), Reading{}, grey},
		{"int64.npy", wide("<i8", binary.LittleEndian, 8), Reading{}, grey},
		{"int32.npy", wide(">i4", binary.BigEndian, 4), Reading{}, grey},
		{"uint16.npy", wide("<u2", binary.LittleEndian, 2), Reading{}, grey},
		{"float.npy", npyFile("<f4", "(2, 2, 3)", float32s(floats...)), to255, grey},
		{"table.csv", []byte("1,2,3,4,5,6\n7,8,9,10,11,12\n"), Reading{}, Images{N: 2, Rows: 1, Cols: 6, Bytes: grey.Bytes}},
		{"fortran.npy", fortran("(2, 2, 3)", 1, 7, 4, 10, 2, 8, 5, 11, 3, 9, 6, 12), Reading{}, grey},
		{"fortran4.npy", fortran("(2, 1, 2, 3)", 1, 7, 4, 10, 2, 8, 5, 11, 3, 9, 6, 12), Reading{}, grey},
		{"colour.npy", npyFile("|u1", "(1, 2, 2, 3)", colour.Bytes), Reading{}, colour},
		{"planes.npy", npyFile("|u1", "(1, 3, 2, 2)", []uint8{1, 4, 7, 10, 2, 5, 8, 11, 3, 6, 9, 12}), Reading{}, colour},
	} {
		want, err := New("want", tt.want, Images{})
		if err != nil {
			t.Fatal(err)
		}
		d, err := tt.reading.Open(filepath.Join(folder(t, map[string][]byte{tt.name: tt.file}), tt.name))
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if d.SHA256 != want.SHA256 || d.Channels() != want.Channels() {
			t.Errorf("%s: %d images of %s, %v, want %v", tt.name, d.Train.N, d.Train.size(), d.Train.Bytes, tt.want.Bytes)
		}
	}
	a, _ := New("grey", Images{N: 1, Rows: 2, Cols: 6, Bytes: colour.Bytes}, Images{})
	b, _ := New("colour", Images{N: 1, Rows: 2, Cols: 2, Channels: 3, Bytes: colour.Bytes}, Images{})
	if a.SHA256 == b.SHA256 {
		t.Error("colour has the hash of grey")
	}
}

func TestARangeSaysWhatIsBlackAndWhite(t *testing.T) {
	for _, tt := range []struct {
		name string
		file []byte
		rng  []float64
		want []float32
	}{
		{"x.npy", npyFile("<f4", "(1, 1, 2)", float32s(-1, 0.5)), []float64{-1, 1}, []float32{0, 0.75}},
		{"x.npy", npyFile("<u2", "(1, 1, 2)", []byte{0, 0, 255, 255}), []float64{0, 65535}, []float32{0, 1}},
		{"x.npy", npyFile("|u1", "(1, 1, 2)", []byte{4, 16}), []float64{0, 16}, []float32{0.25, 1}},
		{"x.npy", npyFile("|u1", "(1, 1, 2)", []byte{0, 1}), []float64{0, 255}, []float32{0, 1. / 255}},
		{"x.npy", npyFile("<f4", "(1, 1, 2)", float32s(0, 127.5)), []float64{0, 255}, []float32{0, 0.5}},
		{"x.csv", []byte("a,b\n0,8\n"), []float64{0, 16}, []float32{0, 0.5}},
		{"x.csv", []byte("a,b\n0,1\n"), []float64{0, 255}, []float32{0, 1. / 255}},
		{"x.csv", []byte("a,b\n0.5,1\n"), nil, []float32{0.5, 1}},
		{"x.csv", []byte("a,b\n51,127.5\n"), nil, []float32{0.2, 0.5}},
		{"x.amat", []byte("8 0 16 0\n"), []float64{0, 16}, []float32{0.5, 0, 1, 0}},
	} {
		file := filepath.Join(folder(t, map[string][]byte{tt.name: tt.file}), tt.name)
		d, err := Reading{Range: tt.rng}.Open(file)
		if err != nil {
			t.Errorf("%s, range %v: %v", tt.name, tt.rng, err)
			continue
		}
		got := make([]float32, d.D())
		d.All().Grey(got, 0)
		for p := range got { // one rounding of float32
			if math.Abs(float64(got[p]-tt.want[p])) > 1e-7 {
				t.Errorf("%s, range %v: %v, want %v", tt.name, tt.rng, got, tt.want)
				break
			}
		}
	}
	for _, tt := range []struct {
		name string
		file []byte
		rng  []float64
		want string
	}{
		{"x.npy", npyFile("<f4", "(1, 1, 2)", float32s(0, 2)), []float64{0, 1}, "image 0, pixel 1 is 2, want 0 to 1, as the range says: was another one meant?"},
		{"x.npy", npyFile("<f4", "(1, 1, 2)", float32s(0, nan32())), []float64{0, 255}, "image 0, pixel 1 is NaN, want 0 to 255"},
		{"x", idxOf(Synthetic(1, 2, 2, 1)), []float64{0, 1}, "has levels from 0 to 255 by its format, and the range is 0,1: leave --range out"},
		{"x.npy", npyFile("|u1", "(1, 2)", []byte{0, 1}), []float64{1, 0}, "range is [1 0], want the numbers for black and for white, the lower one first, as in 0,255"},
	} {
		file := filepath.Join(folder(t, map[string][]byte{tt.name: tt.file}), tt.name)
		if _, err := (Reading{Range: tt.rng}).Open(file); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s, range %v: %v, want %s", tt.name, tt.rng, err, tt.want)
		}
	}
}

func TestTablesAreReadByTheirColumns(t *testing.T) {
	type read struct {
		Rows, Cols int
		Bytes      []uint8
		Labels     []uint8
	}
	for _, tt := range []struct {
		name, text string
		want       read
		note       string
	}{
		{"kaggle", "label,pixel0,pixel1,pixel2,pixel3\r\n7,0,10,20,255\r\n2,1,2,3,4\r\n", read{2, 2, []uint8{0, 10, 20, 255, 1, 2, 3, 4}, []uint8{7, 2}}, "levels are taken as 0 to 255, by the largest one, 255; --range says otherwise"},
		{"label last, quoted, byte order mark", "\ufeff\"a\",\"b,c\",\"Class\"\n\"1\", 2,3\n", read{1, 2, []uint8{1, 2}, []uint8{3}}, "2 pixels are no square: an image is taken as a line of them"},
		{"no names, label first", "9,0,1,1,0\n3,1,1,1,1\n", read{2, 2, []uint8{0, 255, 255, 0, 255, 255, 255, 255}, []uint8{9, 3}}, "5 columns without names: the first is taken for the label, the others for 2×2 pixels"},
		{"no names, no label", "0,1,1,0\n\n1,1,1,1\n", read{2, 2, []uint8{0, 255, 255, 0, 255, 255, 255, 255}, nil}, "levels are taken as 0 to 1, by the largest one, 1; --range says otherwise"},
		{"a square and its colour", "a,b,c,d,e,f,g,h,i,j,k,l\n0,0,0,0,0,0,0,0,0,0,0,9\n", read{1, 12, []uint8{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9}, nil}, "for colour images of 2×2 save an .npy array of shape [N, 2, 2, 3]"},
	} {
		for _, gz := range []bool{false, true} {
			content := []byte(tt.text)
			if gz {
				content = gzipped(content)
			}
			d, err := Open(filepath.Join(folder(t, map[string][]byte{"x.csv": content}), "x.csv"))
			if err != nil {
				t.Errorf("%s: %v", tt.name, err)
				continue
			}
			if diff := cmp.Diff(tt.want, read{d.Rows(), d.Cols(), d.Train.Bytes, d.Train.Labels}); diff != "" {
				t.Errorf("%s: (-want +got)\n%s", tt.name, diff)
			}
			if !strings.Contains(strings.Join(d.Notes, "\n"), tt.note) {
				t.Errorf("%s: notes %q, want %s", tt.name, d.Notes, tt.note)
			}
		}
	}
}

func FuzzReadCSV(f *testing.F) {
	for _, seed := range []string{"label,a\n1,2\n", "0,1,1,0\n1,1,1,1\n", "1,2,3,4,5\n", "\"a\"\"b\",c\n0.5,1e2\n", ",\n,\n", "a,label,label\n", "nan,1\n", "255,0.5\n0,0\n", "1e400,-1\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		text, err := measureText("fuzz.csv", bytes.NewReader(content), int64(len(content)), newMemory(1<<22))
		if err != nil {
			return
		}
		in, err := newInput("fuzz.csv", bytes.NewReader(content), int64(len(content)), int64(len(content)), newMemory(1<<22))
		if err != nil {
			return
		}
		m, err := readCSV(in, text)
		if err != nil {
			if len(err.Error()) > 1000 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
			return
		}
		if err := m.images.validate("read"); err != nil || m.images.N == 0 {
			t.Errorf("read without an error: %d images, %v", m.images.N, err)
		}
	})
}

// A JPEG file for printing has four inks, which the decoder hands on: no ink is white, all
// of black is black, and cyan takes red away.
func TestInksBecomeColours(t *testing.T) {
	img := image.NewCMYK(image.Rect(0, 0, 3, 1))
	copy(img.Pix, []uint8{0, 0, 0, 0, 0, 0, 0, 255, 255, 0, 0, 0})
	got := make([]uint8, 9)
	if put(got, on(color.RGBA{1, 2, 3, 255}, img), 3); !slices.Equal(got, []uint8{255, 255, 255, 0, 0, 0, 0, 255, 255}) {
		t.Errorf("white, black and cyan are %v", got)
	}
}
