package data

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// longestLine bounds a line of text, so that a file without line ends is not
// read into memory whole.
const longestLine = 16 << 20

// amatReader turns lines of numbers into images. It holds bytes, 0 and 255, as
// long as every pixel is 0 or 1, and floats from the first other grey level on.
type amatReader struct {
	in        *input
	text      textSize
	im        *Images
	columns   int // of the first line
	firstLine int
	labelled  bool // the last column is the label
	row       []float64
}

// textSize is the size of a text: its lines, without blank ones, and its bytes.
type textSize struct {
	lines, bytes int64
}

// measureText goes through a text once, so that the pixels can be allocated in one
// piece when it is read. What is wrong with the text is found again then.
func measureText(name string, r io.Reader, size int64, mem *memory) (t textSize, err error) {
	in, err := newInput(name, r, size, size, mem)
	if err != nil {
		return t, err
	}
	for lines := linesOf(in); lines.Scan() && lines.Err() == nil; {
		t.bytes += int64(len(lines.Bytes())) + 1
		if len(bytes.TrimLeft(lines.Bytes(), blanks)) > 0 {
			t.lines++
		}
	}
	return t, nil
}

// blanks part the numbers of a line.
const blanks = " \t\r\v\f"

// linesOf goes through the lines of a text.
func linesOf(in *input) *bufio.Scanner {
	lines := bufio.NewScanner(in.r)
	lines.Buffer(make([]byte, 0, 1<<14), longestLine)
	return lines
}

// readAMAT reads a text of white-space separated numbers, one image a line, of
// grey levels in [0, 1]. A line has D numbers, D a square, or D+1, the last one
// being the label.
//
// Source: the .amat files of Larochelle and Murray 2011 (binarised MNIST).
func readAMAT(in *input, text textSize) (member, error) {
	a := &amatReader{in: in, text: text, im: &Images{Bytes: []uint8{}}}
	lines := linesOf(in)
	number := 0
	// Where reading failed, the last line is only the start of one.
	for lines.Scan() && lines.Err() == nil {
		number++
		if err := a.line(lines.Bytes(), number); err != nil {
			return member{}, err
		}
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return member{}, fault(in.name, "line %d is longer than %d bytes, want one image a line: this is no .amat text", number+1, longestLine)
	} else if err != nil {
		return member{}, in.readFault(err)
	}
	if a.im.N == 0 {
		return member{}, fault(in.name, "no line has numbers, want one image a line")
	}
	return member{
		format: "amat", compressed: in.compressed, element: "text",
		shape: []int{a.im.N, a.columns}, images: a.im, labels: a.im.Labels,
	}, nil
}

// line adds one image, or nothing for a blank line.
func (a *amatReader) line(text []byte, number int) error {
	if err := a.parse(text, number); err != nil {
		return err
	}
	if len(a.row) == 0 {
		return nil
	}
	if a.im.N == 0 {
		if err := a.layout(number); err != nil {
			return err
		}
	}
	if len(a.row) != a.columns {
		return fault(a.in.name, "line %d has %d numbers, line %d has %d: cut short, or two files in one?", number, len(a.row), a.firstLine, a.columns)
	}
	d := a.im.D()
	if err := a.add(a.row[:d], number); err != nil {
		return err
	}
	if a.labelled {
		label := a.row[d]
		if !(label >= 0 && label <= 255) || label != float64(uint8(label)) {
			return fault(a.in.name, "line %d ends in the label %v, want an integer from 0 to 255", number, label)
		}
		a.im.Labels = append(a.im.Labels, uint8(label))
	}
	return nil
}

// parse splits a line into a.row.
func (a *amatReader) parse(text []byte, number int) error {
	a.row = a.row[:0]
	for {
		text = bytes.TrimLeft(text, blanks)
		if len(text) == 0 {
			return nil
		}
		end := bytes.IndexAny(text, blanks)
		if end < 0 {
			end = len(text)
		}
		word := text[:end]
		text = text[end:]
		var value float64
		var err error
		if len(word) == 1 && word[0] >= '0' && word[0] <= '9' {
			value = float64(word[0] - '0') // the usual case, and much the fastest
		} else if bytes.ContainsAny(word, "xX_") { // Go's own forms of numbers, 0x1p0 and 1_0
			err = strconv.ErrSyntax
		} else {
			value, err = strconv.ParseFloat(string(word), 64)
		}
		if err != nil {
			hint := ""
			if bytes.IndexByte(word, ',') >= 0 {
				hint = `: commas part the numbers, want spaces, or a name that ends in .csv`
			}
			return fault(a.in.name, "line %d, column %d is %q, want a number%s", number, len(a.row)+1, clip(string(word)), hint)
		}
		a.row = append(a.row, value)
	}
}

// layout settles the size of the images by the first line.
func (a *amatReader) layout(number int) error {
	a.columns, a.firstLine = len(a.row), number
	side, square := squareRoot(a.columns)
	if !square {
		if side, square = squareRoot(a.columns - 1); !square || side == 0 {
			return fault(a.in.name, "line %d has %d numbers, want a square such as 784, or one more for a label", number, a.columns)
		}
		a.labelled = true
	}
	a.im.Rows, a.im.Cols = side, side
	return nil
}

// add appends the pixels of one image.
func (a *amatReader) add(pixels []float64, number int) error {
	outcomes := true
	if r := a.in.mem.Range; r != nil {
		for p, g := range pixels {
			if !(g >= r[0] && g <= r[1]) {
				return fault(a.in.name, "line %d: image %d, pixel %d is %v, want %g to %g, as the range says: was another one meant?", number, a.im.N, p, g, r[0], r[1])
			}
			pixels[p] = (g - r[0]) / (r[1] - r[0])
		}
	}
	for p, g := range pixels {
		if problem := greyProblem(g, int64(a.im.N)*int64(len(pixels))+int64(p), len(pixels)); problem != "" {
			return fault(a.in.name, "line %d: %s", number, problem)
		}
		outcomes = outcomes && (g == 0 || g == 1)
	}
	if a.im.N == 0 || a.im.Floats == nil && !outcomes {
		if err := a.allocate(outcomes); err != nil {
			return err
		}
	}
	a.im.N++
	for _, g := range pixels {
		if a.im.Floats != nil {
			a.im.Floats = append(a.im.Floats, float32(g))
		} else {
			a.im.Bytes = append(a.im.Bytes, uint8(255*g))
		}
	}
	return nil
}

// allocate makes room for all images, as bytes or as floats; what was read so far is
// kept. The text bounds their number: each takes a character and a blank.
func (a *amatReader) allocate(outcomes bool) error {
	d := int64(a.im.D())
	n := min(a.text.lines, a.text.bytes/(2*d))
	held := n * d
	if !outcomes {
		held *= 4
	}
	if a.labelled && a.im.Labels == nil {
		held += n
		a.im.Labels = make([]uint8, 0, n)
	}
	if err := a.in.reserve(fmt.Sprintf("%d images of %d×%d", n, a.im.Rows, a.im.Cols), held); err != nil {
		return err
	}
	if outcomes {
		a.im.Bytes = make([]uint8, 0, n*d)
		return nil
	}
	floats := make([]float32, 0, n*d)
	for _, g := range a.im.Bytes {
		floats = append(floats, float32(g)/255)
	}
	a.im.Bytes, a.im.Floats = nil, floats
	return nil
}
