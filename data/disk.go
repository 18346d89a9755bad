package data

import (
	"encoding/binary"
	"math"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// disk has the pixels of images that are left in their file, and reads those of an image
// each time that it is wanted: the system keeps of the file what memory there is for, and
// the process holds none of it.
//
// The file is read, not mapped. A file that is cut short under a mapping ends the
// process; here it is an error, which check returns, and the pixels are 0.
type disk struct {
	f        randomAccess
	stat     func() (os.FileInfo, error) // of the file
	name     string
	start    int64 // of the first pixel in the file
	d        int   // levels of an image
	float    bool  // they are little-endian float32
	outcomes bool  // they are 0 and 1, and shown as the bytes 0 and 255
	size     int64 // of the file when it was opened
	modified time.Time
	rows     sync.Pool // of *diskRow
	failed   atomic.Pointer[FormatError]
}

// diskRow is room for one image.
type diskRow struct {
	of     *disk
	raw    []byte
	floats []float32
}

// leaveAbove is from how many bytes on the pixels of a file are left in it.
const leaveAbove = 256 << 20

// leave returns the pixels of an input that is a file on disk, not compressed, and so
// large that they are left there; nil where they are to be read.
func (in *input) leave(start, size int64, d int, float bool) *disk {
	f, ok := in.file.(interface {
		randomAccess
		Stat() (os.FileInfo, error)
	})
	if !ok || in.compressed || size < in.mem.leaveAbove {
		return nil
	}
	info, err := f.Stat()
	if err != nil {
		return nil
	}
	return &disk{f: f, stat: f.Stat, name: in.name, start: start, d: d, float: float, size: info.Size(), modified: info.ModTime()}
}

// isBytes tells whether the pixels are shown as bytes.
func (k *disk) isBytes() bool { return !k.float || k.outcomes }

// width is the number of bytes of a level in the file.
func (k *disk) width() int {
	if k.float {
		return 4
	}
	return 1
}

// row reads image i.
func (k *disk) row(i int) ([]uint8, []float32, *diskRow) {
	row, _ := k.rows.Get().(*diskRow)
	if row == nil {
		row = &diskRow{of: k, raw: make([]byte, k.d*k.width())}
		if k.float {
			row.floats = make([]float32, k.d)
		}
	}
	k.read(row.raw, int64(i)*int64(k.d))
	bytes, floats := k.shown(row.raw, row.floats)
	return bytes, floats, row
}

// free gives the room of a row back.
func (r *diskRow) free() {
	if r != nil {
		r.of.rows.Put(r)
	}
}

// read reads levels from the first one on. What cannot be read is 0.
func (k *disk) read(raw []byte, first int64) {
	n, err := k.f.ReadAt(raw, k.start+first*int64(k.width()))
	if n < len(raw) {
		clear(raw[n:])
		k.failed.CompareAndSwap(nil, &FormatError{File: k.name, Problem: "its pixels, which are read as they are needed, can no longer be read: was it cut short or replaced, or is its disk gone? What was done since it was opened counts for nothing; run the command again", Err: err})
	}
}

// shown turns what was read into what is shown; floats is room for it.
func (k *disk) shown(raw []byte, floats []float32) ([]uint8, []float32) {
	switch {
	case k.float && k.outcomes:
		for p := range floats {
			raw[p] = uint8(255 * math.Float32frombits(binary.LittleEndian.Uint32(raw[4*p:])))
		}
		return raw[:len(floats)], nil
	case k.float:
		for p := range floats {
			floats[p] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*p:]))
		}
		return nil, floats
	case k.outcomes:
		for p := range raw {
			raw[p] *= 255
		}
	}
	return raw, nil
}

// blocks shows the pixels of n images, in order and some at a time, until show returns
// false or they cannot be read.
func (k *disk) blocks(n int64, show func(bytes []uint8, floats []float32) bool) {
	const most = 1 << 18 // levels
	raw := make([]byte, most*k.width())
	var floats []float32
	if k.float {
		floats = make([]float32, most)
	}
	for first, count := int64(0), n*int64(k.d); first < count && k.failed.Load() == nil; first += most {
		size := int(min(most, count-first))
		part := raw[:size*k.width()]
		k.read(part, first)
		if !show(k.shown(part, floats[:min(size, len(floats))])) {
			return
		}
	}
}

// check returns what went wrong since the file was opened.
func (k *disk) check() error {
	if err := k.failed.Load(); err != nil {
		return err
	}
	info, err := k.stat()
	if err != nil {
		return accessFault(k.name, err)
	}
	if info.Size() != k.size || !info.ModTime().Equal(k.modified) {
		return fault(k.name, "changed while it was in use: %d bytes of %s, opened as %d bytes of %s. Its pixels are read as they are needed, so what was done since counts for nothing; run the command again, on a file that stays as it is",
			info.Size(), info.ModTime().Format(time.DateTime), k.size, k.modified.Format(time.DateTime))
	}
	return nil
}

// checkLevels checks that floats are levels.
func (k *disk) checkLevels(n int64) (err error) {
	if !k.float {
		return nil
	}
	at := int64(0)
	k.blocks(n, func(_ []uint8, floats []float32) bool {
		for p, g := range floats {
			if !(g >= 0 && g <= 1) {
				err = fault(k.name, "%s", greyProblem(float64(g), at+int64(p), k.d))
				return false
			}
		}
		at += int64(len(floats))
		return true
	})
	return err
}
