package data

import (
	"math"

	"elbo/graph/elementary"
)

// NormFloat64 returns a draw from N(0, 1): those of math/rand/v2, but with the same bits on
// every CPU also where a logarithm or an exponential decides, which is one draw in a hundred.
//
// The density exp(-x²/2) is covered by 128 strips of equal area, each wider than the one
// above it. A draw is a strip and a uniform place in it. It stands if the strip above covers
// the place as well; else it stands with the share of the density at that place, or it is
// drawn from the tail, beyond the lowest strip.
//
// Source: Marsaglia and Tsang 2000.
func (s *Stream) NormFloat64() float64 {
	bits := s.Uint64()
	if x, stands := inStrip(bits); stands {
		return x
	}
	return s.between(bits)
}

// Normals fills to with draws from N(0, 1), rounded: those that NormFloat64 would return one
// after the other.
func (s *Stream) Normals(to []float32) {
	for j := range to {
		bits := s.Uint64()
		x, stands := inStrip(bits)
		if !stands {
			x = s.between(bits)
		}
		to[j] = float32(x)
	}
}

// inStrip is the place that 64 bits say, and whether the strip above covers it, as it does for 99
// draws in a hundred.
func inStrip(bits uint64) (x float64, stands bool) {
	place, i := int32(bits), bits>>32%strips
	size := uint32(max(place, -place))
	return float64(place) * float64(zigzag.width[i]), size < zigzag.covered[i]
}

// between decides about a place that the strip above does not cover, and draws again until
// one stands.
func (s *Stream) between(bits uint64) float64 {
	for {
		x, stands := inStrip(bits)
		if stands {
			return x
		}
		place, i := int32(bits), bits>>32%strips
		if i == 0 {
			return math.Copysign(tailFrom+s.beyond(), float64(place))
		}
		low, high := zigzag.density[i], zigzag.density[i-1]
		if low+float32(float32(s.Float64())*(high-low)) < float32(elementary.Exp(-x*x/2)) {
			return x
		}
		bits = s.Uint64()
	}
}

const (
	strips    = 128
	tailFrom  = 3.442619855899       // where the lowest strip's tail begins: with it the areas are equal
	stripArea = 9.91256303526217e-03 // of one strip, the lowest with its tail
)

// beyond is how far beyond tailFrom a draw from the tail lies.
func (s *Stream) beyond() float64 {
	for {
		x := float64(-elementary.Log(s.Float64()) * (1 / tailFrom))
		y := -elementary.Log(s.Float64())
		if y+y >= x*x {
			return x
		}
	}
}

// ziggurat are the strips, from 0, the lowest and widest, then upwards from 127 to 1.
type ziggurat struct {
	covered [strips]uint32  // how many places of 2³¹ the strip above covers
	width   [strips]float32 // of a place
	density [strips]float32 // exp(-x²/2) at the end of the strip
}

var zigzag = newZiggurat()

func newZiggurat() *ziggurat {
	const places = 1 << 31
	z := new(ziggurat)
	x := tailFrom
	y := elementary.Exp(-x * x / 2)
	base := stripArea / y // the width that the lowest strip had if it were a rectangle
	z.covered[0], z.width[0], z.density[0] = uint32(x/base*places), float32(base/places), 1
	z.width[strips-1], z.density[strips-1] = float32(x/places), float32(y)
	for i := strips - 2; i > 0; i-- {
		last := x
		x = math.Sqrt(-2 * elementary.Log(stripArea/last+y))
		y = elementary.Exp(-x * x / 2)
		z.covered[i+1] = uint32(x / last * places)
		z.width[i], z.density[i] = float32(x/places), float32(y)
	}
	return z
}
