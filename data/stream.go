package data

import (
	"math/bits"
	"math/rand/v2"
)

// Stream is a random generator that is a pure function of its key: a seed, what
// the numbers are for, and counters such as epoch and image. Whoever knows the
// key can make the same numbers again, in any order, process or goroutine.
//
// The key becomes the 128-bit seed of the PCG-DXSM generator of math/rand/v2.
// With mix the output function of splitmix64, rotl the rotation to the left,
// fnv1a the 64-bit FNV-1a hash, all arithmetic modulo 2⁶⁴, and the constants
// G = 0x9e3779b97f4a7c15 and M = 0xd1342543de82ef95:
//
//	(a, b) := (mix(seed + G), mix(rotl(seed, 32) + M))
//	for w in fnv1a(purpose), number of counters, counters in order:
//	    (a, b) := (mix((a xor w) + G), mix(b + w·M + G))
//	mix(x):  x := (x xor x>>30)·0xbf58476d1ce4e5b9
//	         x := (x xor x>>27)·0x94d049bb133111eb;  x xor x>>31
//
// Both words depend on every part of the key and on the order of the counters.
//
// A Stream is a value: a copy continues from the same place independently of
// the original. The zero Stream is usable but has no key. A Stream must not be
// used by two goroutines at once.
//
// Sources: splitmix64, Steele, Lea and Flood 2014; FNV-1a, Fowler, Noll and Vo;
// PCG, O'Neill 2014.
type Stream struct {
	pcg rand.PCG
}

// NewStream returns the stream with the given key.
func NewStream(seed uint64, purpose string, counters ...uint64) *Stream {
	s := new(Stream)
	s.pcg.Seed(streamKey(seed, purpose, counters...))
	return s
}

// Reset makes s the stream with the given key, at its beginning. It allocates
// nothing.
func (s *Stream) Reset(seed uint64, purpose string, counters ...uint64) {
	s.pcg.Seed(streamKey(seed, purpose, counters...))
}

// Uint64 returns 64 uniform bits. It makes a Stream a rand.Source.
func (s *Stream) Uint64() uint64 { return s.pcg.Uint64() }

// Float64 returns a uniform number in [0, 1).
func (s *Stream) Float64() float64 { return rand.New(&s.pcg).Float64() }

// IntN returns a uniform integer in [0, n). It panics where n < 1.
func (s *Stream) IntN(n int) int { return rand.New(&s.pcg).IntN(n) }

const (
	// golden is 2⁶⁴ divided by the golden ratio, the step of splitmix64.
	golden = 0x9e3779b97f4a7c15
	// spread is an odd multiplier, so w ↦ w·spread loses no bit of w.
	spread = 0xd1342543de82ef95
)

// streamKey returns the two words that seed the generator; see Stream.
func streamKey(seed uint64, purpose string, counters ...uint64) (a, b uint64) {
	a, b = mix(seed+golden), mix(bits.RotateLeft64(seed, 32)+spread)
	a, b = absorb(a, b, fnv1a(purpose))
	a, b = absorb(a, b, uint64(len(counters)))
	for _, c := range counters {
		a, b = absorb(a, b, c)
	}
	return a, b
}

// absorb is one step of streamKey. Each half is a bijection of w for a given
// state, and the two are different ones, so that keys collide as rarely as
// 128-bit words do.
func absorb(a, b, w uint64) (uint64, uint64) {
	return mix((a ^ w) + golden), mix(b + w*spread + golden)
}

// mix is the output function of splitmix64, a bijection.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// fnv1a is the 64-bit FNV-1a hash, written out since hash/fnv allocates.
func fnv1a(s string) uint64 {
	h := uint64(0xcbf29ce484222325)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 0x100000001b3
	}
	return h
}
