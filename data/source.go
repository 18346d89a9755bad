package data

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"elbo/data/mnist"
)

// partValid is a part only while reading: its images follow those of the
// training part.
const partValid = "valid"

// slot is one file of a source and what it is for.
type slot struct {
	name string // for errors and descriptions
	path string // on disk, or "" for an embedded file
	file string // of package mnist, where path is ""
	part string
	want content

	pictures []picture // of a folder, which is one slot; the others are files
	notes    []string
}

// member is what one file, or one array of an archive, holds.
type member struct {
	name       string
	part       string
	format     string
	compressed bool
	shape      []int
	element    string
	images     *Images // or nil
	labels     []uint8 // or nil
	sha256     string  // of the file's bytes, where asked for
	notes      []string
}

// Open reads a data set: "mnist", which is in the program, a folder, or a file.
//
// A folder holds PNG and JPEG pictures (.png, .jpg, .jpeg), in itself or in
// sub-folders, each of which is a class, its name the label's; or sub-folders train,
// val (valid, validation) and test that do. Pictures are sorted by their path, byte by
// byte, and so are classes. Or it holds MNIST's four IDX files under their names
// (train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and
// t10k-labels-idx1-ubyte, also with .gz, also with '.' for the '-' before idx; labels
// and t10k may be missing), or binarized_mnist_train.amat with _valid and _test. A file
// is IDX images, .npy, .npz, .csv or .amat, told apart by content. Compressed by gzip
// or not makes no difference. Of two forms of one file the uncompressed is read.
//
// The pixels of IDX and .npy files (uint8 in C order, float32 also little-endian) of
// 256 MiB and more, not compressed, are left in the file and read from it image by image
// as they are wanted, so that a data set may be larger than the memory; see
// Dataset.Err for what happens to the file meanwhile.
//
// Validation images of their own (_valid.amat, x_valid) are appended to the
// training part, and Dataset.Validation counts them. Byte arrays whose largest value is 1 are outcomes, and held as
// 0 and 255; float images of 0 and 1 only are held as bytes too.
//
// What a header promises is held against the file and the available memory
// before anything is allocated for it. Every error is a FormatError, or joins
// several.
func Open(source string) (*Dataset, error) { return Reading{}.Open(source) }

// Open is the function Open for a source that is read as r says.
func (r Reading) Open(source string) (*Dataset, error) {
	mem, err := r.memory()
	if err != nil {
		return nil, fault(source, "%v", err)
	}
	return open(source, mem)
}

// memory is what r may use.
func (r Reading) memory() (*memory, error) {
	mem := newMemory(AvailableMemory())
	mem.Reading = r
	return mem, r.Validate()
}

// open is Open with a given amount of memory.
func open(source string, mem *memory) (*Dataset, error) {
	slots, err := locate(source)
	if err != nil {
		return nil, err
	}
	members, err := load(slots, mem, false)
	if err != nil {
		return nil, err
	}
	return assemble(source, members, mem)
}

// locate finds the files of a source.
func locate(source string) ([]slot, error) {
	if source == "mnist" {
		return []slot{
			{name: "mnist/" + mnist.TrainImages, file: mnist.TrainImages, part: partTrain},
			{name: "mnist/" + mnist.TrainLabels, file: mnist.TrainLabels, part: partTrain, want: labelsWanted},
			{name: "mnist/" + mnist.TestImages, file: mnist.TestImages, part: partTest},
			{name: "mnist/" + mnist.TestLabels, file: mnist.TestLabels, part: partTest, want: labelsWanted},
		}, nil
	}
	info, err := os.Stat(source)
	if err != nil {
		return nil, accessFault(source, err)
	}
	if info.IsDir() {
		return locateFolder(source)
	}
	return []slot{{name: source, path: source, part: partTrain}}, nil
}

// locateFolder finds the files of a folder that has MNIST's IDX files or the
// .amat files of binarised MNIST.
func locateFolder(folder string) ([]slot, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, accessFault(folder, err)
	}
	var found []string
	present := map[string]bool{}
	for _, e := range entries {
		if e.IsDir() {
			found = append(found, e.Name()+string(filepath.Separator))
			continue
		}
		found = append(found, e.Name())
		present[e.Name()] = true
	}
	idx := pick(folder, present, []slot{
		{file: "train-images-idx3-ubyte", part: partTrain},
		{file: "train-labels-idx1-ubyte", part: partTrain, want: labelsWanted},
		{file: "t10k-images-idx3-ubyte", part: partTest},
		{file: "t10k-labels-idx1-ubyte", part: partTest, want: labelsWanted},
	})
	amat := pick(folder, present, []slot{
		{file: "binarized_mnist_train.amat", part: partTrain},
		{file: "binarized_mnist_valid.amat", part: partValid},
		{file: "binarized_mnist_test.amat", part: partTest},
	})
	switch {
	case len(idx) > 0 && len(amat) > 0:
		return nil, fault(folder, "found %s and %s, want one data set in a folder: move the others to a folder of their own", filepath.Base(idx[0].path), filepath.Base(amat[0].path))
	case len(idx) > 0 && idx[0].part == partTrain && idx[0].want == imagesWanted:
		return idx, nil
	case len(amat) > 0 && amat[0].part == partTrain:
		return amat, nil
	}
	pictures, notes, err := findPictures(folder)
	if err != nil {
		return nil, err
	}
	if len(pictures) > 0 {
		return []slot{{name: folder, path: folder, pictures: pictures, notes: notes}}, nil
	}
	return nil, fault(folder, "looked for pictures (.png, .jpg, also in sub-folders), train-images-idx3-ubyte (also .gz, also train-images.idx3-ubyte) and binarized_mnist_train.amat, found %s: name a folder that has one of them, or a .npy, .npz, .csv, .amat or IDX file", kindsText(found))
}

// kindsText says what kinds of files a folder has, or which ones where they are few.
func kindsText(names []string) string {
	const few = 6
	if len(names) <= few {
		return listText(names)
	}
	kinds := map[string]int{}
	for _, name := range names {
		switch extension := strings.ToLower(filepath.Ext(name)); {
		case strings.HasSuffix(name, string(filepath.Separator)):
			kinds["folders"]++
		case extension == "":
			kinds["files without an ending"]++
		default:
			kinds[extension]++
		}
	}
	var words []string
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		words = append(words, fmt.Sprintf("%d %s", kinds[kind], kind))
	}
	return listText(words)
}

// pick returns those of the wanted files that a folder has, in their order.
func pick(folder string, present map[string]bool, wanted []slot) []slot {
	var picked []slot
	for _, w := range wanted {
		dotted := strings.Replace(w.file, "-idx", ".idx", 1)
		for _, name := range []string{w.file, dotted, w.file + ".gz", dotted + ".gz"} {
			if present[name] {
				w.path = filepath.Join(folder, name)
				w.name, w.file = w.path, ""
				picked = append(picked, w)
				break
			}
		}
	}
	return picked
}

// load reads the files of a source side by side. It returns what could be read
// in the order of the slots, and the errors of all files that could not.
func load(slots []slot, mem *memory, sums bool) ([]member, error) {
	members := make([][]member, len(slots))
	errs := make([]error, len(slots))
	var wait sync.WaitGroup
	for i, s := range slots {
		wait.Go(func() { members[i], errs[i] = s.read(mem, sums) })
	}
	wait.Wait()
	var all []member
	for _, m := range members {
		all = append(all, m...)
	}
	return all, errors.Join(errs...)
}

// read reads one file. With sum it adds the SHA-256 of the file's bytes.
func (s slot) read(mem *memory, sum bool) ([]member, error) {
	if s.pictures != nil {
		return readPictures(s.path, s.pictures, s.notes, mem)
	}
	members, err := s.readMembers(mem)
	if err != nil {
		return nil, err
	}
	digest := mnist.SHA256(s.file)
	if sum && s.path != "" {
		if digest, err = fileSum(s.path); err != nil {
			return nil, accessFault(s.name, err)
		}
	}
	for i := range members {
		m := &members[i]
		m.sha256 = digest
		if m.name == "" {
			m.name = s.name
		}
		if m.part == "" {
			m.part = s.part
		}
	}
	return members, nil
}

func (s slot) readMembers(mem *memory) ([]member, error) {
	if s.path == "" {
		content, err := mnist.File(s.file)
		if err != nil {
			return nil, &FormatError{File: s.name, Problem: "cannot be used", Err: err}
		}
		in, err := newInput(s.name, bytes.NewReader(content), int64(len(content)), int64(len(content)), mem)
		if err != nil {
			return nil, err
		}
		m, err := readIDX(in, s.want)
		return []member{m}, err
	}
	f, size, err := openRegular(s.name, s.path)
	if err != nil {
		return nil, err
	}
	members, err := readFile(s.name, f, size, s.want, mem)
	if !slices.ContainsFunc(members, func(m member) bool { return m.images != nil && m.images.disk != nil }) {
		f.Close() // it was read; an image that is left in it keeps it open
	}
	return members, err
}

// openRegular opens a regular file, and says how long it is. Anything else is
// refused before it is opened: to open a pipe that nobody writes to would wait for
// ever.
func openRegular(name, path string) (f *os.File, size int64, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, 0, accessFault(name, err)
	}
	kind := ""
	switch mode := info.Mode(); {
	case mode.IsDir():
		return nil, 0, fault(name, "is a folder, want a file")
	case mode&os.ModeNamedPipe != 0:
		kind = " but a pipe"
	case mode&os.ModeSocket != 0:
		kind = " but a socket"
	case mode&os.ModeDevice != 0:
		kind = " but a device"
	}
	if !info.Mode().IsRegular() {
		return nil, 0, fault(name, "not a regular file%s, want a file on disk: save the data to one and name that", kind)
	}
	if f, err = os.Open(path); err != nil {
		return nil, 0, accessFault(name, err)
	}
	return f, info.Size(), nil
}

// randomAccess is what a file on disk can do; also a bytes.Reader, for tests.
type randomAccess interface {
	io.Reader
	io.ReaderAt
}

// readFile reads a file in whichever of the formats its first bytes show.
func readFile(name string, f randomAccess, size int64, want content, mem *memory) ([]member, error) {
	in, err := newInput(name, f, size, size, mem)
	if err != nil {
		return nil, err
	}
	var m member
	switch sniff(in.r, name) {
	case "idx":
		m, err = readIDX(in, want)
	case "npy":
		m, err = readNPY(in, want)
	case "csv":
		var text textSize
		if text, err = measureText(name, io.NewSectionReader(f, 0, size), size, mem); err == nil {
			m, err = readCSV(in, text)
		}
	case "amat":
		var text textSize
		if text, err = measureText(name, io.NewSectionReader(f, 0, size), size, mem); err == nil {
			m, err = readAMAT(in, text)
		}
	case "npz":
		if in.compressed {
			return nil, fault(name, "an .npz archive under gzip, want it as a plain file: unpack it first")
		}
		return readNPZ(name, f, size, mem)
	default:
		start, err := in.r.Peek(4)
		if len(start) == 0 && !errors.Is(err, io.EOF) {
			return nil, in.readFault(err)
		}
		if len(start) == 0 {
			return nil, fault(name, "the gzip data are empty, want IDX, .npy, .csv or .amat in them")
		}
		return nil, fault(name, "starts with the bytes % x%s, want IDX, .npy, .npz, .csv or .amat", start, foreign(start))
	}
	if err != nil {
		return nil, err
	}
	return []member{m}, nil
}

// foreign names a format that is not read, by its first bytes, and says what to do.
func foreign(start []byte) string {
	switch {
	case bytes.HasPrefix(start, []byte("\x89PNG")), bytes.HasPrefix(start, []byte("\xff\xd8\xff")):
		return " (a picture: name the folder that it is in)"
	case bytes.HasPrefix(start, []byte("\x89HDF")):
		return " (HDF5: save the array of images with numpy.save)"
	}
	return ""
}

// sniff tells the format by the first bytes, and by the name where they say
// nothing, so that a damaged file is refused by the reader it was meant for.
func sniff(r *bufio.Reader, name string) string {
	start, _ := r.Peek(512) // an error comes again when the bytes are read
	switch {
	case bytes.HasPrefix(start, []byte{0, 0}):
		return "idx"
	case bytes.HasPrefix(start, []byte("\x93NUMPY")):
		return "npy"
	case bytes.HasPrefix(start, []byte("PK\x03\x04")), bytes.HasPrefix(start, []byte("PK\x05\x06")):
		return "npz"
	}
	base := strings.TrimSuffix(filepath.Base(name), ".gz")
	switch {
	case strings.Contains(base, "-ubyte"):
		return "idx"
	case strings.HasSuffix(base, ".npy"):
		return "npy"
	case strings.HasSuffix(base, ".npz"):
		return "npz"
	case strings.HasSuffix(base, ".csv"):
		return "csv"
	case strings.HasSuffix(base, ".amat"):
		return "amat"
	}
	text := bytes.TrimLeft(start, " \t\r\n")
	if line, _, _ := bytes.Cut(text, []byte("\n")); len(text) > 0 && bytes.Count(line, []byte(",")) > 0 && bytes.IndexByte([]byte("0123456789.+-\""), text[0]) >= 0 {
		return "csv"
	}
	if len(text) > 0 && bytes.IndexByte([]byte("0123456789.+-"), text[0]) >= 0 {
		return "amat"
	}
	return ""
}

// assemble puts the members of a source together.
func assemble(source string, members []member, mem *memory) (*Dataset, error) {
	parts := map[string]*Images{}
	for _, part := range []string{partTrain, partValid, partTest} {
		im, err := joinPart(source, part, members)
		if err != nil {
			return nil, err
		}
		parts[part] = im
	}
	train, valid, test := parts[partTrain], parts[partValid], parts[partTest]
	for _, im := range parts {
		if err := im.recolour(source, mem); err != nil {
			return nil, err
		}
	}
	if train.N == 0 {
		return nil, fault(source, "no training images, want x_train or train")
	}
	if want := mem.Size; len(want) == 2 && train.Names == nil && (train.Rows != want[0] || train.Cols != want[1]) {
		return nil, fault(source, "images of %s pixels, want %d×%d, and only pictures in a folder are scaled: leave --size out, or save the images in that size", sizeText(train.Rows, train.Cols, 1), want[0], want[1])
	}
	if err := agree(source, mem, train, valid, test); err != nil {
		return nil, err
	}
	if err := train.extend(source, valid, mem); err != nil {
		return nil, err
	}
	d, err := newDataset(sourceName(source), source, *train, *test)
	if err != nil {
		return nil, err
	}
	d.Validation = valid.N
	for _, m := range members {
		d.Notes = append(d.Notes, m.notes...)
	}
	return d, nil
}

// joinPart returns the images of a part with their labels, or none.
func joinPart(source, part string, members []member) (*Images, error) {
	im := &Images{}
	var images, labels member
	for _, m := range members {
		if m.part == part && m.images != nil {
			images, im = m, m.images
		}
		if m.part == part && m.labels != nil {
			labels = m
		}
	}
	if images.images == nil && labels.labels != nil {
		return nil, fault(source, "found %d labels of the part %q and no images for them: fetch the images, or remove %s", len(labels.labels), part, labels.name)
	}
	if labels.labels != nil && len(labels.labels) != im.N {
		return nil, fault(labels.name, "%d labels for the %d images of %s, want one each: the files belong to different data sets", len(labels.labels), im.N, images.name)
	}
	im.Labels = labels.labels
	return im, nil
}

// extend appends the images of valid to those of im.
func (im *Images) extend(source string, valid *Images, mem *memory) error {
	if valid.N == 0 {
		return nil
	}
	if valid.size() != im.size() {
		return fault(source, "train images are %s, validation images %s, want one size: the parts belong to different data sets", im.size(), valid.size())
	}
	if (valid.Labels == nil) != (im.Labels == nil) {
		return fault(source, "of the training and the validation images one part has labels, want labels for both or for none")
	}
	held := int64(len(im.Bytes)+len(valid.Bytes)) + 4*int64(len(im.Floats)+len(valid.Floats))
	if err := mem.reserve(source, "training and validation images in one piece", held); err != nil {
		return err
	}
	im.N += valid.N
	im.Bytes = join(im.Bytes, valid.Bytes)
	im.Floats = join(im.Floats, valid.Floats)
	im.Labels = append(im.Labels, valid.Labels...)
	im.Names = append(im.Names, valid.Names...)
	return nil
}

// join returns a and b in one piece, no longer than it must be; nil where both are.
func join[T any](a, b []T) []T {
	if a == nil && b == nil {
		return nil
	}
	return append(append(make([]T, 0, len(a)+len(b)), a...), b...)
}

// agree gives all parts the same kind of pixels: bytes that reach 1 at most are
// outcomes and become 0 and 255; floats become bytes if every part has only 0
// and 1; and where kinds still differ, all become floats. Bytes of two scales
// are an error.
func agree(source string, mem *memory, parts ...*Images) error {
	var scales [3]bool // of parts whose largest byte is 0, 1 and more
	floats, outcomes := false, true
	for _, im := range parts {
		if im.N > 0 && im.isBytes() && !mem.upTo255() {
			scales[im.byteScale()] = true
		}
		floats = floats || im.N > 0 && !im.isBytes()
	}
	if scales[1] && scales[2] {
		return fault(source, "the bytes of one part are 0 and 1, those of another reach beyond, want one scale: save both as 0 and 1, or both as 0 to 255")
	}
	for _, im := range parts {
		if scales[1] {
			im.scale()
		}
		outcomes = outcomes && im.Binary()
	}
	if !floats {
		return nil
	}
	if train := parts[0]; train.disk != nil { // a file by itself: a set of several has bytes
		train.disk.outcomes = outcomes
		return nil
	}
	for _, im := range parts {
		held := 4 * int64(len(im.Bytes))
		if outcomes {
			held = int64(len(im.Floats))
		}
		if err := mem.reserve(source, "all parts as one kind of pixels", held); err != nil {
			return err
		}
		switch {
		case outcomes:
			im.toBytes()
		case im.N > 0:
			im.toFloats()
		}
	}
	return nil
}

// scale turns the bytes 0 and 1 into 0 and 255.
func (im *Images) scale() {
	if im.disk != nil {
		im.disk.outcomes = true
		return
	}
	for k := range im.Bytes {
		im.Bytes[k] *= 255
	}
}

// byteScale returns the largest of Bytes, or 2 where that is above 1.
func (im *Images) byteScale() uint8 {
	largest := uint8(0)
	im.blocks(func(bytes []uint8, _ []float32) bool {
		for _, g := range bytes {
			if largest = max(largest, g); largest > 1 {
				largest = 2
				return false
			}
		}
		return true
	})
	return largest
}

// recolour gives images the channels that are wanted.
func (im *Images) recolour(source string, mem *memory) error {
	from, to := im.channels(), mem.Channels
	if im.N == 0 || to == 0 || to == from {
		return nil
	}
	if im.disk != nil {
		return fault(source, "images of %s are too large to be given %d channels in memory: save them so", im.size(), to)
	}
	pixels := im.N * im.Rows * im.Cols
	width := 1
	if im.Floats != nil {
		width = 4
	}
	if err := mem.reserve(source, fmt.Sprintf("%d images with %d channels", im.N, to), int64(pixels*to*width)); err != nil {
		return err
	}
	im.Bytes = recoloured(im.Bytes, to, luma)
	im.Floats = recoloured(im.Floats, to, func(r, g, b float32) float32 { return min(1, float32(0.299*r)+float32(0.587*g)+float32(0.114*b)) })
	im.Channels = to
	return nil
}

// recoloured turns one channel into three, or three into one.
func recoloured[T any](pixels []T, channels int, grey func(r, g, b T) T) []T {
	if pixels == nil {
		return nil
	}
	if channels == 3 {
		colour := make([]T, 0, 3*len(pixels))
		for _, g := range pixels {
			colour = append(colour, g, g, g)
		}
		return colour
	}
	greys := make([]T, 0, len(pixels)/3)
	for ; len(pixels) > 0; pixels = pixels[3:] {
		greys = append(greys, grey(pixels[0], pixels[1], pixels[2]))
	}
	return greys
}

// toBytes turns floats 0 and 1 into bytes 0 and 255.
func (im *Images) toBytes() {
	if im.Floats == nil {
		return
	}
	im.Bytes = make([]uint8, len(im.Floats))
	for k, g := range im.Floats {
		im.Bytes[k] = uint8(255 * g)
	}
	im.Floats = nil
}

// toFloats turns bytes into floats.
func (im *Images) toFloats() {
	if im.Floats != nil {
		return
	}
	im.Floats = make([]float32, len(im.Bytes), max(1, len(im.Bytes)))
	for k, g := range im.Bytes {
		im.Floats[k] = float32(g) / 255
	}
	im.Bytes = nil
}

// sourceName is the short name of a source: the last element of its path.
func sourceName(source string) string {
	if source == "mnist" {
		return source
	}
	if full, err := filepath.Abs(source); err == nil {
		source = full
	}
	return filepath.Base(source)
}

// fileSum returns the SHA-256 of a file, in hex.
func fileSum(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
