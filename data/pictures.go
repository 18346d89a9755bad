package data

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	stddraw "image/draw"
	"image/jpeg"
	"image/png"
	"io"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/image/draw"
)

const (
	// largestSide and largestPicture bound a picture before it is decoded: its header is a
	// few bytes, and can promise any size.
	largestSide    = 1 << 16
	largestPicture = 1 << 26 // pixels
	// largestFile bounds the file of a picture.
	largestFile = 1 << 28
	// mostClasses is how many labels there can be.
	mostClasses = 256
)

// picture is one file of a folder of pictures.
type picture struct {
	path  string // on disk
	name  string // under the folder, with '/' between
	part  string
	class string // "" for none

	rows, cols int  // as it is to be seen, turned
	turned     int  // EXIF orientation, 1 to 8
	grey       bool // by its header
}

// held is what one folder holds.
type held struct {
	pictures, folders []string
	others            map[string]int // files that are none, by extension
}

// list lists a folder, but for what is hidden.
func list(folder string) (l held, err error) {
	entries, err := os.ReadDir(folder) // sorted by name, byte by byte
	if err != nil {
		return l, accessFault(folder, err)
	}
	l.others = map[string]int{}
	for _, e := range entries {
		name := e.Name()
		if strings.HasPrefix(name, ".") || name == "__MACOSX" {
			continue
		}
		isFolder := e.IsDir()
		if e.Type()&os.ModeSymlink != 0 {
			info, err := os.Stat(filepath.Join(folder, name))
			isFolder = err == nil && info.IsDir()
		}
		switch extension := strings.ToLower(filepath.Ext(name)); {
		case isFolder:
			l.folders = append(l.folders, name)
		case extension == ".png" || extension == ".jpg" || extension == ".jpeg":
			l.pictures = append(l.pictures, name)
		default:
			l.others[extension]++
		}
	}
	return l, nil
}

// partOf returns the part that a sub-folder's name stands for, "" for none.
func partOf(name string) string {
	switch strings.ToLower(name) {
	case "train", "training":
		return partTrain
	case "val", "valid", "validation":
		return partValid
	case "test", "testing":
		return partTest
	}
	return ""
}

// findPictures finds the pictures of a folder, sorted by part and then by name, byte by
// byte; none where it has none.
func findPictures(folder string) (all []picture, notes []string, err error) {
	top, err := list(folder)
	if err != nil {
		return nil, nil, err
	}
	s := search{folder: folder, others: map[string]int{}}
	parts := map[string]string{} // the sub-folder of each
	for _, name := range top.folders {
		part := partOf(name)
		if part == "" {
			continue
		}
		if parts[part] != "" {
			return nil, nil, fault(folder, "found both %s/ and %s/, want one of them: move the pictures of one into the other", plain(parts[part]), plain(name))
		}
		parts[part] = name
	}
	if parts[partTrain] == "" {
		if err := s.part("", partTrain); err != nil {
			return nil, nil, err
		}
		return s.found, s.notes(), nil
	}
	for _, name := range top.folders {
		if err := s.part(name, cmp.Or(partOf(name), "beside")); err != nil {
			return nil, nil, err
		}
	}
	stray := slices.IndexFunc(s.found, func(p picture) bool { return p.part == "beside" })
	if stray >= 0 {
		top.pictures = append(top.pictures, s.found[stray].name)
	}
	if len(s.found) > 0 && len(top.pictures) > 0 {
		return nil, nil, fault(folder, "found %s beside %s/, want all pictures in %[2]s/ and, where there are any, val/ and test/: move it there, or rename %[2]s/ where it is a class", plain(cut(top.pictures[0], 60)), plain(parts[partTrain]))
	}
	order := []string{partTrain, partValid, partTest}
	slices.SortStableFunc(s.found, func(a, b picture) int { return slices.Index(order, a.part) - slices.Index(order, b.part) })
	return s.found, s.notes(), nil
}

// search is a search for pictures under a folder.
type search struct {
	folder string
	found  []picture
	others map[string]int
	deeper string // a folder in a class, which is not looked into
}

// part finds the pictures of a folder under that of the search: in it, or in its
// sub-folders, which then are classes.
func (s *search) part(under, part string) error {
	l, err := list(filepath.Join(s.folder, under))
	if err != nil {
		return err
	}
	s.leftOut(l)
	first := len(s.found)
	for _, name := range l.folders {
		if err := s.class(path.Join(under, name), name, part); err != nil {
			return err
		}
	}
	if len(l.pictures) > 0 && len(s.found) > first {
		return fault(filepath.Join(s.folder, under), "found pictures both in the folder, as %s, and in sub-folders, as %s, want all in sub-folders that are classes, or none: move them", plain(cut(l.pictures[0], 60)), plain(cut(s.found[first].name, 60)))
	}
	s.add(under, l.pictures, "", part)
	return nil
}

func (s *search) class(under, class, part string) error {
	l, err := list(filepath.Join(s.folder, under))
	if err != nil {
		return err
	}
	if len(l.pictures) == 0 {
		if len(l.folders) > 0 && s.deeper == "" {
			s.deeper = path.Join(under, l.folders[0])
		}
		return nil
	}
	s.leftOut(l)
	s.add(under, l.pictures, class, part)
	return nil
}

func (s *search) leftOut(l held) {
	for extension, n := range l.others {
		s.others[extension] += n
	}
}

func (s *search) add(under string, names []string, class, part string) {
	for _, name := range names {
		s.found = append(s.found, picture{path: filepath.Join(s.folder, under, name), name: path.Join(under, name), part: part, class: class})
	}
}

// notes say what was left out.
func (s *search) notes() (notes []string) {
	if len(s.found) == 0 {
		return nil
	}
	for _, extension := range []string{".gif", ".webp", ".bmp", ".tif", ".tiff", ".heic", ".avif"} {
		if n := s.others[extension]; n > 0 {
			notes = append(notes, fmt.Sprintf("%s: %d files %s are left out: PNG and JPEG are read", plain(s.folder), n, extension))
		}
	}
	if s.deeper != "" {
		notes = append(notes, fmt.Sprintf("%s: %s is left out: a class is a folder of pictures, and folders in it are not looked into", plain(s.folder), plain(cut(s.deeper, 60))))
	}
	return notes
}

// readPictures reads all pictures of a folder, on all cores, into a member for each part.
// In grey pictures, and where grey is wanted, a level is that of ITU-R BT.601,
// 0.299 R + 0.587 G + 0.114 B.
func readPictures(folder string, pictures []picture, notes []string, mem *memory) ([]member, error) {
	if err := mem.onlyBytes(folder); err != nil {
		return nil, err
	}
	background, err := mem.background()
	if err != nil {
		return nil, fault(folder, "%v", err)
	}
	looked := make([]error, len(pictures))
	err = each(folder, pictures, func(i int, p *picture) error {
		looked[i] = p.look()
		return looked[i]
	})
	if err != nil { // what is damaged further on is told with it
		return nil, each(folder, pictures, func(i int, p *picture) error {
			if looked[i] != nil {
				return looked[i]
			}
			_, _, err := p.decode(background)
			return err
		})
	}
	rows, cols, scaled, err := oneSize(folder, pictures, mem.Size)
	if err != nil {
		return nil, err
	}
	channels, colourful := mem.Channels, background.R != background.G || background.G != background.B
	if channels == 0 {
		channels = 1
		if colourful || slices.ContainsFunc(pictures, func(p picture) bool { return !p.grey }) {
			channels = 3 // to be seen
		}
	}
	d, ok := product(int64(rows), int64(cols), int64(channels))
	held := d * int64(len(pictures))
	if ok {
		held, ok = product(d, int64(len(pictures)))
	}
	if !ok {
		return nil, fault(folder, "%d pictures of %s need more than any memory: scale them with --size 32x32", len(pictures), sizeText(rows, cols, channels))
	}
	largest := int64(0)
	for _, p := range pictures {
		largest = max(largest, int64(p.rows)*int64(p.cols))
	}
	// Of one that is decoded, 8 bytes a pixel, and two copies of 4.
	working := 16 * largest * int64(min(runtime.GOMAXPROCS(0), len(pictures)))
	if !mem.take(held + working) {
		return nil, fault(folder, "%d pictures of %s need %d bytes, with those that are being decoded, and %d bytes of memory are available: scale them with a smaller --size, or use fewer", len(pictures), sizeText(rows, cols, channels), held+working, max(0, mem.left.Load()))
	}
	defer mem.left.Add(working)
	pixels := make([]uint8, held)
	var coloured atomic.Int64 // pictures that are
	var transparent atomic.Bool
	err = each(folder, pictures, func(i int, p *picture) error {
		img, opaque, err := p.decode(background)
		if err != nil {
			return err
		}
		if !opaque {
			transparent.Store(true)
		}
		if img.Rect.Dx() != cols || img.Rect.Dy() != rows {
			to := image.NewRGBA(image.Rect(0, 0, cols, rows))
			draw.CatmullRom.Scale(to, to.Rect, img, img.Rect, draw.Src, nil)
			img = to
		}
		if put(pixels[int64(i)*d:][:d], img, channels) {
			coloured.Add(1)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if grey := len(pictures) - int(coloured.Load()); channels == 3 && mem.Channels == 0 && grey == len(pictures) {
		channels = 1
		pixels = firstOfThree(pixels)
	} else if channels == 3 && mem.Channels == 0 && grey > 0 {
		notes = append(notes, fmt.Sprintf("%s: %d of %d pictures are grey, and are read in colour as the others are (--grey makes all grey)", plain(folder), grey, len(pictures)))
	}
	if transparent.Load() {
		notes = append(notes, fmt.Sprintf("%s: some pictures are transparent: they lie on %s (--background)", plain(folder), cmp.Or(mem.Background, "white")))
	}
	if scaled != "" {
		notes = append(notes, fmt.Sprintf("%s: pictures are scaled to %d×%d from %s", plain(folder), rows, cols, scaled))
	}
	return membersOf(folder, pictures, pixels, rows, cols, channels, notes), nil
}

// each calls f for all pictures, on all cores. Its error names the first pictures, in
// their order, that f fails for, and how many there are.
func each(folder string, pictures []picture, f func(i int, p *picture) error) error {
	errs := make([]error, len(pictures))
	var next atomic.Int64
	var wait sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(pictures)) {
		wait.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(pictures) {
					return
				}
				errs[i] = f(i, &pictures[i])
			}
		})
	}
	wait.Wait()
	const most = 3
	var bad []string
	var first error
	for i, err := range errs {
		if err == nil {
			continue
		}
		first = cmp.Or(first, err)
		bad = append(bad, fmt.Sprintf("%s (%s)", plain(cut(pictures[i].name, 80)), plain(cut(err.Error(), 160))))
	}
	if len(bad) == 0 {
		return nil
	}
	more := ""
	if len(bad) > most {
		more = fmt.Sprintf(" and %d more", len(bad)-most)
	}
	return &FormatError{File: folder, Problem: fmt.Sprintf("%d of %d pictures cannot be read: %s%s: mend them, or move them out of the folder", len(bad), len(pictures), strings.Join(bad[:min(most, len(bad))], ", "), more)}
}

// oneSize returns the size that all pictures come to, and what they have where they are
// scaled to it.
func oneSize(folder string, pictures []picture, size []int) (rows, cols int, from string, err error) {
	first := pictures[0]
	for _, p := range pictures {
		if p.rows == first.rows && p.cols == first.cols {
			continue
		}
		if size != nil {
			return size[0], size[1], "sizes of their own", nil
		}
		side := min(first.rows, first.cols, p.rows, p.cols, 32)
		return 0, 0, "", fault(folder, "%s has %d×%d pixels, %s has %d×%d, want one size: scale all with --size %dx%d, or another height and width",
			plain(cut(first.name, 60)), first.rows, first.cols, plain(cut(p.name, 60)), p.rows, p.cols, side, side)
	}
	if size != nil && (first.rows != size[0] || first.cols != size[1]) {
		return size[0], size[1], fmt.Sprintf("%d×%d", first.rows, first.cols), nil
	}
	return first.rows, first.cols, "", nil
}

// membersOf parts pictures that were read into members.
func membersOf(folder string, pictures []picture, pixels []uint8, rows, cols, channels int, notes []string) []member {
	var classes []string
	for _, p := range pictures {
		if p.class != "" {
			classes = append(classes, p.class)
		}
	}
	slices.Sort(classes)
	classes = slices.Compact(classes)
	if len(classes) > mostClasses {
		notes = append(notes, fmt.Sprintf("%s: %d sub-folders, and at most %d classes are told apart: images have no labels, their names say the folder", plain(folder), len(classes), mostClasses))
		classes = nil
	}
	var members []member
	for len(pictures) > 0 {
		part := pictures[0].part
		n := slices.IndexFunc(pictures, func(p picture) bool { return p.part != part })
		if n < 0 {
			n = len(pictures)
		}
		d := rows * cols * channels
		im := &Images{N: n, Rows: rows, Cols: cols, Channels: channels, Bytes: pixels[: n*d : n*d]}
		for _, p := range pictures[:n] {
			im.Names = append(im.Names, p.name)
			if label, ok := slices.BinarySearch(classes, p.class); ok {
				im.Labels = append(im.Labels, uint8(label))
			}
		}
		if len(im.Labels) == n {
			im.Classes = classes
		} else {
			im.Labels = nil
		}
		m := member{name: folder, part: part, format: "pictures", shape: []int{n, rows, cols}, element: "uint8", images: im, labels: im.Labels, notes: notes}
		if channels > 1 {
			m.shape = append(m.shape, channels)
		}
		members, notes = append(members, m), nil
		pictures, pixels = pictures[n:], pixels[n*d:]
	}
	return members
}

// firstOfThree keeps the first of three equal channels.
func firstOfThree(pixels []uint8) []uint8 {
	grey := make([]uint8, len(pixels)/3)
	for p := range grey {
		grey[p] = pixels[3*p]
	}
	return grey
}

// put writes a picture as levels, and says whether it has colour.
func put(dst []uint8, img *image.RGBA, channels int) (coloured bool) {
	for y := range img.Rect.Dy() {
		row := img.Pix[y*img.Stride:][:4*img.Rect.Dx()]
		for ; len(row) > 0; row = row[4:] {
			r, g, b := row[0], row[1], row[2]
			coloured = coloured || r != g || g != b
			if channels == 1 {
				dst[0], dst = luma(r, g, b), dst[1:]
			} else {
				dst[0], dst[1], dst[2] = r, g, b
				dst = dst[3:]
			}
		}
	}
	return coloured
}

// luma is the grey level of a colour. The weights sum to 2¹⁶, so grey keeps its level.
func luma(r, g, b uint8) uint8 {
	return uint8((19595*uint32(r) + 38470*uint32(g) + 7471*uint32(b) + 1<<15) >> 16)
}

// look reads the header of a picture.
func (p *picture) look() error {
	f, size, err := openRegular(p.name, p.path)
	if err != nil {
		return bare(err)
	}
	defer f.Close()
	if size > largestFile {
		return fmt.Errorf("a file of %d bytes, want at most %d", size, largestFile)
	}
	var head bytes.Buffer
	config, format, err := headOf(io.TeeReader(f, &head))
	if err != nil {
		return err
	}
	p.rows, p.cols, p.turned = config.Height, config.Width, 1
	if format == "jpeg" {
		p.turned = orientation(head.Bytes())
	}
	if p.turned >= 5 { // lies on its side
		p.rows, p.cols = p.cols, p.rows
	}
	p.grey = config.ColorModel == color.GrayModel || config.ColorModel == color.Gray16Model
	return checkPicture(config.Width, config.Height)
}

func checkPicture(width, height int) error {
	if width < 1 || height < 1 || width > largestSide || height > largestSide || width*height > largestPicture {
		return fmt.Errorf("its header promises %d×%d pixels, want at most %d in all: a damaged header?", height, width, largestPicture)
	}
	return nil
}

// headOf reads the size and the format of a picture, by its content.
func headOf(r io.Reader) (image.Config, string, error) {
	start := make([]byte, 8)
	n, err := io.ReadFull(r, start)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		if errors.Is(err, io.EOF) {
			return image.Config{}, "", errors.New("the file is empty")
		}
		return image.Config{}, "", err
	}
	r = io.MultiReader(bytes.NewReader(start[:n]), r)
	switch formatOf(start[:n]) {
	case "png":
		config, err := png.DecodeConfig(r)
		return config, "png", err
	case "jpeg":
		config, err := jpeg.DecodeConfig(r)
		return config, "jpeg", err
	}
	return image.Config{}, "", fmt.Errorf("starts with the bytes % x, want PNG or JPEG", start[:min(n, 4)])
}

func formatOf(start []byte) string {
	switch {
	case bytes.HasPrefix(start, []byte("\x89PNG")):
		return "png"
	case bytes.HasPrefix(start, []byte("\xff\xd8\xff")):
		return "jpeg"
	}
	return ""
}

// decode reads a picture as it is to be seen, on a background, and says whether that
// shows nowhere.
func (p *picture) decode(background color.RGBA) (_ *image.RGBA, opaque bool, err error) {
	f, size, err := openRegular(p.name, p.path)
	if err != nil {
		return nil, false, bare(err)
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, min(size, largestFile)))
	if err != nil {
		return nil, false, err
	}
	img, opaque, err := decodePicture(raw, background)
	if err == nil && (img.Rect.Dx() != p.cols || img.Rect.Dy() != p.rows) {
		err = errors.New("changed while it was read")
	}
	return img, opaque, err
}

// decodePicture decodes the bytes of a PNG or JPEG file.
func decodePicture(raw []byte, background color.RGBA) (_ *image.RGBA, opaque bool, err error) {
	config, format, err := headOf(bytes.NewReader(raw))
	if err == nil {
		err = checkPicture(config.Width, config.Height)
	}
	if err != nil {
		return nil, false, err
	}
	var img image.Image
	turn := 1
	if format == "png" {
		img, err = png.Decode(bytes.NewReader(raw))
	} else {
		turn = orientation(raw)
		img, err = jpeg.Decode(bytes.NewReader(raw))
	}
	if err != nil {
		return nil, false, err
	}
	opaque = true
	if o, ok := img.(interface{ Opaque() bool }); ok {
		opaque = o.Opaque()
	}
	return turned(on(background, img), turn), opaque, nil
}

// on lays a picture on a background. Levels of 16 bits are rounded to the nearest of 8.
func on(background color.RGBA, img image.Image) *image.RGBA {
	b := img.Bounds()
	flat := image.NewRGBA(image.Rect(0, 0, b.Dx(), b.Dy()))
	switch img.(type) {
	case *image.Gray16, *image.RGBA64, *image.NRGBA64:
		under := [3]uint32{uint32(background.R) * 0x101, uint32(background.G) * 0x101, uint32(background.B) * 0x101}
		for y := range b.Dy() {
			row := flat.Pix[y*flat.Stride:]
			for x := range b.Dx() {
				r, g, blue, a := img.At(b.Min.X+x, b.Min.Y+y).RGBA() // multiplied by a
				for c, v := range [3]uint32{r, g, blue} {
					v += (under[c]*(0xffff-a) + 0x7fff) / 0xffff
					row[4*x+c] = uint8((min(v, 0xffff) + 128) / 257)
				}
				row[4*x+3] = 255
			}
		}
	default:
		stddraw.Draw(flat, flat.Rect, image.NewUniform(background), image.Point{}, stddraw.Src)
		stddraw.Draw(flat, flat.Rect, img, b.Min, stddraw.Over)
	}
	return flat
}

// turned returns a picture that was stored in one of the eight orientations of EXIF as it
// is to be seen.
//
// Source: CIPA DC-008 (Exif 2.3), tag 0x0112.
func turned(img *image.RGBA, orientation int) *image.RGBA {
	if orientation <= 1 || orientation > 8 {
		return img
	}
	w, h := img.Rect.Dx(), img.Rect.Dy()
	size := image.Rect(0, 0, w, h)
	if orientation >= 5 {
		size = image.Rect(0, 0, h, w)
	}
	to := image.NewRGBA(size)
	for y := range h {
		for x := range w {
			X, Y := x, y
			switch orientation {
			case 2:
				X = w - 1 - x
			case 3:
				X, Y = w-1-x, h-1-y
			case 4:
				Y = h - 1 - y
			case 5:
				X, Y = y, x
			case 6:
				X, Y = h-1-y, x
			case 7:
				X, Y = h-1-y, w-1-x
			case 8:
				X, Y = y, w-1-x
			}
			copy(to.Pix[Y*to.Stride+4*X:][:4], img.Pix[y*img.Stride+4*x:][:4])
		}
	}
	return to
}

// orientation returns the EXIF orientation of a JPEG file, 1 where it says none.
//
// Sources: CIPA DC-008 (Exif 2.3), sections 4.5 and 4.6; TIFF 6.0, section 2.
func orientation(raw []byte) int {
	for at := 2; at+4 <= len(raw) && raw[at] == 0xff; {
		marker := raw[at+1]
		if marker == 0xff { // padding
			at++
			continue
		}
		length := int(binary.BigEndian.Uint16(raw[at+2:]))
		if marker == 0xda || marker == 0xd9 || length < 2 || at+2+length > len(raw) {
			return 1
		}
		segment := raw[at+4 : at+2+length]
		if tiff, ok := bytes.CutPrefix(segment, []byte("Exif\x00\x00")); ok && marker == 0xe1 {
			return orientationIn(tiff)
		}
		at += 2 + length
	}
	return 1
}

// orientationIn finds tag 0x0112 among the entries of the first directory.
func orientationIn(tiff []byte) int {
	var order binary.ByteOrder = binary.BigEndian
	if bytes.HasPrefix(tiff, []byte("II")) {
		order = binary.LittleEndian
	}
	if len(tiff) < 8 {
		return 1
	}
	at := int64(order.Uint32(tiff[4:]))
	if at+2 > int64(len(tiff)) {
		return 1
	}
	entries := tiff[at+2:]
	for range order.Uint16(tiff[at:]) {
		if len(entries) < 12 {
			return 1
		}
		if order.Uint16(entries) == 0x0112 {
			if v := int(order.Uint16(entries[8:])); v >= 1 && v <= 8 {
				return v
			}
			return 1
		}
		entries = entries[12:]
	}
	return 1
}

// bare returns what a FormatError says, without the file that it names.
func bare(err error) error {
	if f, ok := errors.AsType[*FormatError](err); ok {
		if f.Err != nil {
			return fmt.Errorf("%s (%w)", f.Problem, f.Err)
		}
		return errors.New(f.Problem)
	}
	return err
}
