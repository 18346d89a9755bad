package data

// BitImages are the images of a view as evaluation sees them, drawn once and kept, one bit a
// pixel: for a method that goes over the same outcomes again and again, and would draw
// them anew each time. It is safe for concurrent use.
type BitImages struct {
	d, stride int // pixels, and bytes, of an image
	bits      []byte
	outcomes  [256][8]float32 // of a byte, its lowest bit first
}

// Bits draws the images of v; nil where Mode is None and there is nothing to draw, and where
// they are too many to be kept: as pixels are left in their file from 256 MiB on, so are as many
// bits not kept, but drawn anew each time.
func (v View) Bits() *BitImages {
	if !v.keepsBits() {
		return nil
	}
	k := v.noBits()
	x := make([]float32, k.d)
	for i := range v.N() {
		v.Pixels(x, i, 0)
		k.keep(x, i)
	}
	return k
}

// keepsBits tells whether outcomes are drawn, and few enough to be kept.
func (v View) keepsBits() bool {
	return v.Mode != None && int64(v.N())*int64((v.D()+7)/8) < leaveAbove
}

// noBits is Bits before anything is drawn.
func (v View) noBits() *BitImages {
	d := v.D()
	k := &BitImages{d: d, stride: (d + 7) / 8}
	for b := range k.outcomes {
		for j := range k.outcomes[b] {
			k.outcomes[b][j] = float32(b >> j & 1)
		}
	}
	k.bits = make([]byte, v.N()*k.stride)
	return k
}

// keep keeps the outcomes x of image i.
func (k *BitImages) keep(x []float32, i int) {
	image := k.bits[i*k.stride:][:k.stride]
	for p, outcome := range x {
		image[p/8] |= byte(outcome) << (p % 8)
	}
}

// Pixels fills dst[:D] with image i of the view, as View.Pixels does for epoch 0.
func (k *BitImages) Pixels(dst []float32, i int) {
	dst = dst[:k.d]
	for _, b := range k.bits[i*k.stride:][:k.stride] {
		if len(dst) < 8 {
			copy(dst, k.outcomes[b][:])
			return
		}
		*(*[8]float32)(dst) = k.outcomes[b]
		dst = dst[8:]
	}
}

// DrawnBits are BitImages that are drawn one by one, each when it is first wanted, so that
// the first of many is there at once. Different images are safe to take concurrently.
type DrawnBits struct {
	v     View
	bits  *BitImages
	drawn []bool
}

// DrawnBits returns the images of v, none drawn yet; nil where Bits is.
func (v View) DrawnBits() *DrawnBits {
	if !v.keepsBits() {
		return nil
	}
	return &DrawnBits{v: v, bits: v.noBits(), drawn: make([]bool, v.N())}
}

// Pixels fills dst[:D] with image i of the view, as View.Pixels does for epoch 0.
func (k *DrawnBits) Pixels(dst []float32, i int) {
	if k.drawn[i] {
		k.bits.Pixels(dst, i)
		return
	}
	k.v.Pixels(dst, i, 0)
	k.bits.keep(dst[:k.bits.d], i)
	k.drawn[i] = true
}
