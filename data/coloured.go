package data

import (
	"archive/zip"
	"fmt"
	"io"
)

const (
	// colouredSide is the side of an image of ColouredDigits.
	colouredSide = 32
	// noiseLevels is how many levels the noise around a digit takes, from black up: 5 bits a
	// value, which no model can say in less.
	noiseLevels = 32
)

// ColouredDigits turns grey digits of at most 32×32 pixels, held as bytes, into images of
// 32×32×3: each somewhere on the image, in a colour of its own, on noise. Image i draws its
// place, its colour and its noise from stream(seed, "coloured digits "+part, i), so that fewer
// images are the first of more. With ink g from 0 to 255, a colour c, whose brightest channel
// is 255 and whose darkest is at most 96, and noise u, from 0 to 31 and of each value its own,
//
//	x = (g c + (255 - g) u + 127) div 255
//
// All arithmetic is on integers: every platform makes the same bytes. Labels stay.
func ColouredDigits(digits Images, part string, seed uint64) (Images, error) {
	if digits.Bytes == nil || digits.channels() != 1 || digits.Rows > colouredSide || digits.Cols > colouredSide {
		return Images{}, fmt.Errorf("images are %s, want grey ones of 8 bits, of at most %d×%[2]d", digits.size(), colouredSide)
	}
	const size = colouredSide * colouredSide * 3
	im := Images{N: digits.N, Rows: colouredSide, Cols: colouredSide, Channels: 3, Bytes: make([]uint8, digits.N*size), Labels: digits.Labels}
	var s Stream
	for i := range digits.N {
		s.Reset(seed, "coloured digits "+part, uint64(i))
		x, digit := im.Bytes[i*size:][:size], digits.Bytes[i*digits.D():][:digits.D()]
		top, left := s.IntN(colouredSide-digits.Rows+1), s.IntN(colouredSide-digits.Cols+1)
		colour := drawColour(&s)
		for at := range x {
			row, col, channel := at/3/colouredSide-top, at/3%colouredSide-left, at%3
			ink := 0
			if row >= 0 && row < digits.Rows && col >= 0 && col < digits.Cols {
				ink = int(digit[row*digits.Cols+col])
			}
			x[at] = uint8((ink*colour[channel] + (255-ink)*s.IntN(noiseLevels) + 127) / 255)
		}
	}
	return im, nil
}

// drawColour draws a colour: of its channels, in any order, one is 255, one at most 96, and
// one anything.
func drawColour(s *Stream) (colour [3]int) {
	bright := s.IntN(3)
	dark := (bright + 1 + s.IntN(2)) % 3
	colour[bright], colour[dark], colour[3-bright-dark] = 255, s.IntN(97), s.IntN(256)
	return colour
}

// WriteImages writes a data set of bytes as a NumPy archive, not compressed: x_train and x_test
// are its images, [N, rows, cols] or, in colour, [N, rows, cols, channels], y_train and y_test
// their labels, where there are any. Equal data have equal bytes.
func WriteImages(w io.Writer, train, test Images) error {
	archive := zip.NewWriter(w)
	write := func(name string, values []uint8, shape ...int) error {
		if len(values) == 0 {
			return nil
		}
		member, err := archive.CreateHeader(&zip.FileHeader{Name: name + ".npy", Method: zip.Store})
		if err == nil {
			_, err = io.WriteString(member, npyHeader("|u1", shape...))
		}
		if err == nil {
			_, err = member.Write(values)
		}
		return err
	}
	for _, part := range []struct {
		name string
		Images
	}{{"train", train}, {"test", test}} {
		if part.N > 0 && part.Bytes == nil {
			return fmt.Errorf("export: the %s images are no bytes in memory", part.name)
		}
		shape := []int{part.N, part.Rows, part.Cols}
		if part.channels() > 1 {
			shape = append(shape, part.Channels)
		}
		if err := write("x_"+part.name, part.Bytes, shape...); err != nil {
			return err
		}
		if err := write("y_"+part.name, part.Labels, part.N); err != nil {
			return err
		}
	}
	return archive.Close()
}
