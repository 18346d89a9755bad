package data

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"strings"
)

// WriteNPY writes the very pixels that a run sees in an epoch (0: in evaluation)
// as a NumPy .npy array of shape (N, D), in C order: uint8 0 and 1 for a
// binarised view; for None uint8 grey levels where the source has bytes, and
// float32 in [0, 1] otherwise. It is an error to export no images.
//
// Source: NumPy, NEP 1, "A simple file format for NumPy arrays", version 1.0.
func WriteNPY(w io.Writer, v View, epoch int) error {
	if v.N() == 0 {
		return errors.New("export: the subset has no images, want at least one: choose another split")
	}
	descr := "|u1"
	if v.greyFloats() {
		descr = "<f4"
	}
	buffered := bufio.NewWriterSize(w, 1<<16)
	if _, err := buffered.WriteString(npyHeader(descr, v.N(), v.D())); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	if err := v.writePixels(buffered, epoch); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	if err := buffered.Flush(); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	return nil
}

// WriteFloatsNPY writes n rows of d numbers, which arrive a few rows at a time, as a
// NumPy .npy array of shape (n, d), float32 in C order.
func WriteFloatsNPY(w io.Writer, n, d int, rows iter.Seq[[]float32]) error {
	buffered := bufio.NewWriterSize(w, 1<<16)
	// The buffer keeps the first error and returns it from Flush.
	buffered.WriteString(npyHeader("<f4", n, d))
	written := 0
	for values := range rows {
		var word [4]byte
		for _, v := range values {
			binary.LittleEndian.PutUint32(word[:], math.Float32bits(v))
			buffered.Write(word[:])
		}
		written += len(values)
	}
	if written != n*d {
		return fmt.Errorf("export: %d numbers, want %d rows of %d", written, n, d)
	}
	if err := buffered.Flush(); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	return nil
}

// npyHeader returns everything before the elements: magic, version 1.0, length
// and the dictionary, padded so that the elements start at a multiple of 64.
func npyHeader(descr string, shape ...int) string {
	tuple := fmt.Sprintf("%d,", shape[0])
	if len(shape) > 1 {
		tuple = strings.Trim(strings.Join(strings.Fields(fmt.Sprint(shape)), ", "), "[]")
	}
	dict := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", descr, tuple)
	const prefix = len("\x93NUMPY\x01\x00") + 2
	padding := 63 - (prefix+len(dict))%64
	dict += strings.Repeat(" ", padding) + "\n"
	length := binary.LittleEndian.AppendUint16(nil, uint16(len(dict)))
	return "\x93NUMPY\x01\x00" + string(length) + dict
}

// greyFloats tells whether the view shows grey levels in floating point.
func (v View) greyFloats() bool {
	return v.Mode == None && v.im != nil && !v.im.isBytes()
}

// writePixels writes the images of an epoch one after another; see Hash for the
// bytes.
func (v View) writePixels(w io.Writer, epoch int) error {
	pixels := make([]float32, v.D())
	row := make([]byte, 0, 4*v.D())
	for i := range v.N() {
		row = row[:0]
		switch {
		case v.Mode == None:
			im, _, k := v.stored(i)
			bytes, floats, held := im.pixels(k)
			for _, g := range floats {
				row = binary.LittleEndian.AppendUint32(row, math.Float32bits(g))
			}
			row = append(row, bytes...)
			held.free()
		default:
			v.Pixels(pixels, i, epoch)
			for _, x := range pixels {
				row = append(row, uint8(x))
			}
		}
		if _, err := w.Write(row); err != nil {
			return err
		}
	}
	return nil
}
