package data

import (
	"errors"
	"fmt"
	"image/color"
	"math"
	"strconv"
	"strings"
)

// Reading says how a source is read where it leaves that open. The zero Reading leaves
// it to the source.
type Reading struct {
	// Size is the height and width that pictures are scaled to; nil for what they have,
	// which then must be one for all.
	Size []int
	// Channels is 1 for grey images, into which colour is turned, or 3 for colour; 0 for
	// what the source has: pictures are grey if all of them are.
	Channels int
	// Background is what transparent pictures lie on: white, black, or #RRGGBB; "" is
	// white.
	Background string
	// Range has the numbers for black and white in arrays and tables; nil for 0 and 255
	// of whole numbers, 0 and 1 of others.
	Range []float64
}

// Validate returns every fault of r.
func (r Reading) Validate() error {
	var errs []error
	if len(r.Size) != 0 && (len(r.Size) != 2 || min(r.Size[0], r.Size[1]) < 1 || max(r.Size[0], r.Size[1]) > largestSide) {
		errs = append(errs, fmt.Errorf("size is %s, want height and width, each 1 to %d, as in 32x32", shapeText(r.Size, "x"), largestSide))
	}
	if r.Channels != 0 && r.Channels != 1 && r.Channels != 3 {
		errs = append(errs, fmt.Errorf("channels is %d, want 1 (grey), 3 (colour) or 0 (what the source has)", r.Channels))
	}
	if _, err := r.background(); err != nil {
		errs = append(errs, err)
	}
	if r.Range != nil && (len(r.Range) != 2 || !(r.Range[0] < r.Range[1]) || math.IsInf(r.Range[1]-r.Range[0], 0)) {
		errs = append(errs, fmt.Errorf("range is %v, want the numbers for black and for white, the lower one first, as in 0,255", r.Range))
	}
	return errors.Join(errs...)
}

// upTo255 tells whether black is 0 and white 255.
func (r Reading) upTo255() bool { return len(r.Range) == 2 && r.Range[0] == 0 && r.Range[1] == 255 }

// onlyBytes refuses another range for what has bytes by its format.
func (r Reading) onlyBytes(file string) error {
	if r.Range == nil || r.upTo255() {
		return nil
	}
	return fault(file, "has levels from 0 to 255 by its format, and the range is %g,%g: leave --range out, it is for arrays and tables", r.Range[0], r.Range[1])
}

// background is the colour that transparent pictures lie on.
func (r Reading) background() (color.RGBA, error) {
	switch name := strings.ToLower(r.Background); name {
	case "", "white":
		return color.RGBA{255, 255, 255, 255}, nil
	case "black":
		return color.RGBA{0, 0, 0, 255}, nil
	default:
		hex, ok := strings.CutPrefix(name, "#")
		v, err := strconv.ParseUint(hex, 16, 32)
		if !ok || err != nil || len(hex) != 6 {
			return color.RGBA{}, fmt.Errorf("background is %.40q, want white, black or a colour as #RRGGBB", r.Background)
		}
		return color.RGBA{uint8(v >> 16), uint8(v >> 8), uint8(v), 255}, nil
	}
}

// levels turns numbers into levels. It holds a byte for each as long as they are whole
// numbers from 0 to 255 and that is their range, and floats from the first other one on.
type levels struct {
	in       *input
	what     string
	count, d int64
	lo, hi   float64
	asked    bool // for that range
	most     float64
	bytes    []uint8
	floats   []float32
}

// newLevels makes room for count numbers, of images of d. Without a range that was asked
// for, it is 0 to 255.
func newLevels(in *input, what string, count int64, d int) *levels {
	l := &levels{in: in, what: what, count: count, d: int64(d), lo: 0, hi: 255}
	if r := in.mem.Range; r != nil {
		l.lo, l.hi, l.asked = r[0], r[1], true
	}
	if l.lo == 0 && l.hi == 255 {
		l.bytes = make([]uint8, 0, count)
	}
	return l
}

// add adds the k-th number.
func (l *levels) add(k int64, v float64) error {
	if !(v >= l.lo && v <= l.hi) {
		hint := "; if that is right, name the numbers for black and white, as in --range 0,65535"
		if l.asked {
			hint = ", as the range says: was another one meant?"
		}
		return fault(l.in.name, "image %d, pixel %d is %v, want %g to %g%s", k/l.d, k%l.d, v, l.lo, l.hi, hint)
	}
	l.most = max(l.most, v)
	if l.floats == nil {
		if l.bytes != nil && v == math.Trunc(v) {
			l.bytes = append(l.bytes, uint8(v))
			return nil
		}
		if err := l.in.reserve(l.what, 4*l.count); err != nil {
			return err
		}
		l.floats = make([]float32, 0, l.count)
		for _, b := range l.bytes {
			l.floats = append(l.floats, float32(b))
		}
		l.bytes = nil
	}
	l.floats = append(l.floats, float32(v))
	return nil
}

// done returns the levels, as bytes or as floats. Numbers up to 1 in a range that nobody
// asked for are from 0 to 1.
func (l *levels) done() ([]uint8, []float32) {
	if !l.asked && l.most <= 1 {
		return l.bytes, l.floats // bytes of 0 and 1 are outcomes, which agree sees
	}
	for k, g := range l.floats {
		l.floats[k] = float32(min(1, max(0, (float64(g)-l.lo)/(l.hi-l.lo))))
	}
	return l.bytes, l.floats
}
