package data

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// csvReader turns the lines of a table into images.
type csvReader struct {
	in      *input
	text    textSize
	names   []string // of the columns, or nil
	columns int
	first   int // line of the first image
	label   int // its column, or -1
	levels  *levels
	im      *Images
	notes   []string
	count   int64 // numbers so far
}

// readCSV reads a table with commas, one image a line, after a line with names of columns
// or none. A column that is called label (or class, target, y) has labels; without names,
// the first column does where the others are a square and all of them are not. A square
// number of pixels is an image of that side, any other one a line. Levels are 0 to 1
// where none is above 1, and 0 to 255 otherwise, unless a range says what they are.
func readCSV(in *input, text textSize) (member, error) {
	t := &csvReader{in: in, text: text, label: -1, im: &Images{}}
	lines := linesOf(in)
	number := 0
	for lines.Scan() && lines.Err() == nil {
		number++
		line := bytes.TrimPrefix(lines.Bytes(), []byte("\ufeff"))
		if len(bytes.TrimLeft(line, blanks)) == 0 {
			continue
		}
		if err := t.line(line, number); err != nil {
			return member{}, err
		}
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return member{}, fault(in.name, "line %d is longer than %d bytes, want one image a line: this is no table of images", number+1, longestLine)
	} else if err != nil {
		return member{}, in.readFault(err)
	}
	if t.im.N == 0 {
		return member{}, fault(in.name, "no line has numbers, want one image a line")
	}
	t.im.Bytes, t.im.Floats = t.levels.done()
	if !t.levels.asked {
		white := "255"
		if t.levels.most <= 1 {
			white = "1"
		}
		t.note("levels are taken as 0 to %s, by the largest one, %v; --range says otherwise", white, t.levels.most)
	}
	return member{
		format: "csv", compressed: in.compressed, element: "text", shape: []int{t.im.N, t.columns},
		images: t.im, labels: t.im.Labels, notes: t.notes,
	}, nil
}

func (t *csvReader) note(format string, args ...any) {
	t.notes = append(t.notes, plain(t.in.name)+": "+fmt.Sprintf(format, args...))
}

// line adds one image, or the names of columns.
func (t *csvReader) line(line []byte, number int) error {
	if t.columns == 0 {
		names, err := t.namesIn(line, number)
		if err != nil || names {
			return err
		}
		t.columns = bytes.Count(line, []byte(",")) + 1
	}
	if t.levels == nil {
		if err := t.layout(number); err != nil {
			return err
		}
	}
	if found := bytes.Count(line, []byte(",")) + 1; found != t.columns {
		return fault(t.in.name, "line %d has %d columns, line %d has %d: cut short, or two tables in one?", number, found, t.first, t.columns)
	}
	for column := range t.columns {
		field, rest, _ := bytes.Cut(line, []byte(","))
		line = rest
		value, err := numberIn(field)
		if err != nil {
			return t.notNumber(field, number, column)
		}
		if column == t.label {
			if !(value >= 0 && value <= 255) || value != math.Trunc(value) {
				return fault(t.in.name, "line %d, column %d: the label is %v, want a whole number from 0 to 255", number, column+1, value)
			}
			t.im.Labels = append(t.im.Labels, uint8(value))
			continue
		}
		if err := t.levels.add(t.count, value); err != nil {
			return fault(t.in.name, "line %d, column %d: %s", number, column+1, strings.TrimPrefix(err.Error(), "data: "+t.in.name+": "))
		}
		t.count++
	}
	t.im.N++
	return nil
}

// numberIn reads a number, in quotes or not.
func numberIn(field []byte) (float64, error) {
	field = bytes.Trim(field, blanks+`"`)
	if len(field) > 0 && len(field) < 4 { // nearly all are bytes
		v := 0
		for _, c := range field {
			if c < '0' || c > '9' {
				v = -1
				break
			}
			v = 10*v + int(c-'0')
		}
		if v >= 0 {
			return float64(v), nil
		}
	}
	if bytes.ContainsAny(field, "xX_") { // Go's own forms of numbers, 0x1p0 and 1_0
		return 0, strconv.ErrSyntax
	}
	return strconv.ParseFloat(string(field), 64)
}

func (t *csvReader) notNumber(field []byte, number, column int) error {
	called, hint := "", ""
	if t.names != nil {
		called = fmt.Sprintf(" (%s)", plain(clip(t.names[column])))
	}
	switch {
	case bytes.ContainsAny(field, ";\t"):
		hint = ": want commas between the columns"
	case len(bytes.Trim(field, blanks)) == 0:
		hint = ": a pixel is missing"
	case t.names != nil:
		hint = ": leave out columns that are neither pixels nor called label"
	}
	return fault(t.in.name, "line %d, column %d%s is %q, want a number%s", number, column+1, called, clip(string(field)), hint)
}

// namesIn reads the first line, where it has a name among its fields.
func (t *csvReader) namesIn(line []byte, number int) (bool, error) {
	if t.names != nil {
		return false, nil
	}
	name := false
	for field := range bytes.SplitSeq(line, []byte(",")) {
		if _, err := numberIn(field); err != nil && len(bytes.Trim(field, blanks)) > 0 {
			name = true
			break
		}
	}
	if !name {
		return false, nil
	}
	r := csv.NewReader(bytes.NewReader(line))
	r.LazyQuotes = true
	names, err := r.Read()
	if err != nil {
		return false, &FormatError{File: t.in.name, Problem: fmt.Sprintf("line %d, the names of the columns, cannot be read, want them with commas between", number), Err: err}
	}
	if len(names) == 1 && strings.ContainsAny(names[0], ";\t") {
		return false, fault(t.in.name, "line %d has no comma, want commas between the columns", number)
	}
	t.names, t.columns = names, len(names)
	for i, name := range names {
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "label", "labels", "class", "target", "y":
			if t.label >= 0 {
				return false, fault(t.in.name, "the columns %d and %d are both labels (%s, %s), want one: leave one out", t.label+1, i+1, plain(clip(names[t.label])), plain(clip(name)))
			}
			t.label = i
		}
	}
	return true, nil
}

// layout settles the size of the images by the first of them.
func (t *csvReader) layout(number int) error {
	t.first = number
	pixels := t.columns
	if t.label >= 0 {
		pixels--
	}
	side, square := squareRoot(pixels)
	if !square && t.names == nil {
		if s, ok := squareRoot(pixels - 1); ok && s > 0 {
			t.label, pixels, side, square = 0, pixels-1, s, true
			t.note("%d columns without names: the first is taken for the label, the others for %d×%d pixels", t.columns, side, side)
		}
	}
	if pixels < 1 {
		return fault(t.in.name, "line %d has %d columns and no pixel among them, want one image a line", number, t.columns)
	}
	t.im.Rows, t.im.Cols = side, side
	if !square {
		t.im.Rows, t.im.Cols = 1, pixels
		colour := ""
		if s, ok := squareRoot(pixels / 3); ok && pixels%3 == 0 {
			colour = fmt.Sprintf("; for colour images of %[1]d×%[1]d save an .npy array of shape [N, %[1]d, %[1]d, 3]", s)
		}
		t.note("%d pixels are no square: an image is taken as a line of them%s", pixels, colour)
	}
	return t.allocate(pixels)
}

// allocate makes room for all images. The text bounds their number: each number takes a
// character and a comma.
func (t *csvReader) allocate(pixels int) error {
	n := min(t.text.lines, t.text.bytes/(2*int64(pixels)))
	what := fmt.Sprintf("%d images of %d×%d", n, t.im.Rows, t.im.Cols)
	held := n * int64(pixels)
	if t.label >= 0 {
		held += n
		t.im.Labels = make([]uint8, 0, n)
	}
	if err := t.in.reserve(what, held); err != nil {
		return err
	}
	t.levels = newLevels(t.in, what, n*int64(pixels), pixels)
	return nil
}
