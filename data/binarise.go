package data

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
)

// Binarisation says how grey pixels become the outcomes 0 and 1.
//
// A threshold, one draw and a fresh draw are different data sets: bounds
// reached on one cannot be compared with bounds reached on another.
type Binarisation string

const (
	// Threshold: x = 1 where the grey level is above one half (byte ≥ 128).
	Threshold Binarisation = "threshold"
	// Static: x ~ Bernoulli(grey), drawn once for each image. The draw is the
	// one Dynamic makes for epoch 0.
	Static Binarisation = "static"
	// Dynamic: x ~ Bernoulli(grey), drawn afresh in every epoch of training.
	// Evaluation uses the one draw of epoch 0.
	Dynamic Binarisation = "dynamic"
	// None leaves the grey levels in [0, 1] as they are.
	None Binarisation = "none"
)

// ParseBinarisation returns the binarisation of that name.
func ParseBinarisation(s string) (Binarisation, error) {
	switch b := Binarisation(s); b {
	case Threshold, Static, Dynamic, None:
		return b, nil
	}
	return "", fmt.Errorf("binarisation %q, want threshold, static, dynamic or none", s)
}

// View is a subset as a model sees it: its pixels are a pure function of the
// grey levels and (Seed, part, index of the image in its part, epoch), and
// depend on no batch, order, worker or process. A View is safe for concurrent
// use.
type View struct {
	Subset
	Mode Binarisation
	Seed uint64
}

// Pixels fills dst[:D] with image i as seen in an epoch: 0 and 1, or the grey
// levels for None. Epochs count from 1 while training; 0 is the draw that
// evaluation uses. Only Dynamic depends on the epoch.
//
// The draws of Static and Dynamic come from
//
//	stream(Seed, "binarise/" + part, epoch, index)
//
// whose 64-bit words are cut into lanes, lowest bits first. For 8-bit grey
// levels g, the pixels are taken in groups of four; groups take one word each,
// in order, except that a group whose levels are all 0, which no draw can
// change, takes none. The k-th pixel of a group has the 16-bit lane k of its
// word as u, and
//
//	x = 1  iff  u·255 < g·2¹⁶,    P(x = 1) = ⌈g·2¹⁶/255⌉ / 2¹⁶
//
// which is exact for 0 and 255 and otherwise above g/255 by less than 2⁻¹⁶. For
// grey levels g in floating point, pixel p has lane p mod 2, of 32 bits, of word
// ⌊p/2⌋ as u, and x = 1 iff u < g·2³², off by less than 2⁻³².
//
// It allocates nothing. It panics where dst is shorter than D, i is not in
// [0, N), or Mode is none of the four constants.
func (v View) Pixels(dst []float32, i, epoch int) {
	switch v.Mode {
	case None:
		v.Grey(dst, i)
	case Threshold:
		im, _, k := v.stored(i)
		dst = dst[:im.D()]
		bytes, floats, row := im.pixels(k)
		if bytes != nil {
			thresholdBytes(dst, bytes)
		} else {
			thresholdFloats(dst, floats)
		}
		row.free()
	case Static:
		v.draw(dst[:v.D()], i, 0)
	case Dynamic:
		v.draw(dst[:v.D()], i, epoch)
	default:
		panic(fmt.Sprintf("data: View.Mode is %q, want one of the constants", string(v.Mode)))
	}
}

// Evaluated fills dst[:D] with image i of the view as evaluation sees it, see Pixels:
// pixels that are drawn are those of epoch 0.
func (v View) Evaluated(dst []float32, i int) { v.Pixels(dst, i, 0) }

// EvaluatedRows fills dst[:n·D] with images first to first+n-1 as evaluation sees them.
func (v View) EvaluatedRows(dst []float32, first, n int) {
	for i, d := 0, v.D(); i < n; i++ {
		v.Evaluated(dst[i*d:][:d], first+i)
	}
}

// AllEvaluated returns all images as evaluation sees them, [N, D].
func (v View) AllEvaluated() []float32 {
	x := make([]float32, v.N()*v.D())
	v.EvaluatedRows(x, 0, v.N())
	return x
}

// draw makes the Bernoulli draw of image i that belongs to an epoch. The
// generator stays on the stack, as a Stream would not.
func (v View) draw(dst []float32, i, epoch int) {
	im, part, k := v.stored(i)
	var pcg rand.PCG
	pcg.Seed(streamKey(v.Seed, binarisePurpose(part), uint64(epoch), uint64(k)))
	bytes, floats, row := im.pixels(k)
	if bytes != nil {
		drawBytes(dst, bytes, &pcg)
	} else {
		drawFloats(dst, floats, &pcg)
	}
	row.free()
}

// binarisePurpose is "binarise/" + part, without the allocation for the parts
// that exist.
func binarisePurpose(part string) string {
	switch part {
	case partTrain:
		return "binarise/" + partTrain
	case partTest:
		return "binarise/" + partTest
	}
	return "binarise/" + part
}

func thresholdBytes(dst []float32, grey []uint8) {
	for p, g := range grey {
		dst[p] = outcome(uint32(g) >> 7)
	}
}

func thresholdFloats(dst, grey []float32) {
	for p, g := range grey {
		dst[p] = 0
		if g > 0.5 {
			dst[p] = 1
		}
	}
}

// drawBytes draws dst[p] ~ Bernoulli(grey[p]/255), four pixels a word and none
// for four that are 0; most of a drawing is background.
func drawBytes(dst []float32, grey []uint8, pcg *rand.PCG) {
	dst = dst[:len(grey)]
	clear(dst)
	p := 0
	for ; p+4 <= len(grey) && p+4 <= len(dst); p += 4 {
		g := binary.LittleEndian.Uint32(grey[p : p+4 : p+4])
		if g == 0 {
			continue
		}
		w := pcg.Uint64()
		d := dst[p : p+4 : p+4]
		d[0] = bernoulli16(w, uint8(g))
		d[1] = bernoulli16(w>>16, uint8(g>>8))
		d[2] = bernoulli16(w>>32, uint8(g>>16))
		d[3] = bernoulli16(w>>48, uint8(g>>24))
	}
	if p == len(grey) {
		return
	}
	w := pcg.Uint64()
	for ; p < len(grey); p++ {
		dst[p] = bernoulli16(w, grey[p])
		w >>= 16
	}
}

// bernoulli16 returns 1 iff u·255 < g·2¹⁶, u the lowest 16 bits of w. Both sides
// are below 2²⁴, so the sign of their difference in 32 bits decides, without a
// branch.
func bernoulli16(w uint64, g uint8) float32 {
	u := uint32(uint16(w))
	return outcome((u*255 - uint32(g)<<16) >> 31)
}

// outcome returns bit, 0 or 1, as a float32.
func outcome(bit uint32) float32 {
	return math.Float32frombits(-bit & 0x3f800000)
}

// drawFloats draws dst[p] ~ Bernoulli(grey[p]), two pixels a word.
func drawFloats(dst, grey []float32, pcg *rand.PCG) {
	var w uint64
	for p, g := range grey {
		if p%2 == 0 {
			w = pcg.Uint64()
		}
		dst[p] = 0
		// Both sides are exact in float64.
		if float64(uint32(w)) < float64(g)*(1<<32) {
			dst[p] = 1
		}
		w >>= 32
	}
}

// Hash returns the SHA-256, in hex, of the pixels an evaluation sees: those of
// epoch 0, image after image, one byte 0 or 1 each; for None the grey bytes, or
// for a floating-point source the grey levels as little-endian float32. It is
// the SHA-256 of what follows the header in WriteNPY's file for epoch 0.
func (v View) Hash() string {
	h := sha256.New()
	v.writePixels(h, 0) // a hash never fails to take bytes
	return hex.EncodeToString(h.Sum(nil))
}
