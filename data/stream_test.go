package data

import (
	"hash/fnv"
	"math"
	"math/bits"
	"math/rand/v2"
	"testing"
)

var _ rand.Source = (*Stream)(nil)

// The numbers were computed from the text of Stream's comment and the definition
// of PCG-DXSM in another language. They must never change: exported data sets
// depend on them.
func TestStreamIsPinned(t *testing.T) {
	tests := []struct {
		seed     uint64
		purpose  string
		counters []uint64
		want     [3]uint64
	}{
		{0, "", nil, [3]uint64{0xfd08179b582b60ad, 0x2383abbb9c2fb9dc, 0x174a4831a520db55}},
		{1, "init", nil, [3]uint64{0x88f7baf7701e5645, 0x7117aa393f466017, 0x03a1b42177e980ce}},
		{1, "binarise/train", []uint64{0, 0}, [3]uint64{0xc99ebe1f3acbd8e8, 0xc485cb991a67df13, 0xb06eff8b2965cc38}},
		{1, "binarise/train", []uint64{3, 17}, [3]uint64{0x8e3c8ffc4a1d22b5, 0x23c55630bdb16d2e, 0x0e0c6f0ce7edba3b}},
		{math.MaxUint64, "shuffle", []uint64{math.MaxUint64}, [3]uint64{0x6011fdd257050d8b, 0x8f31f70ddb397257, 0x45ae8870bdad57e8}},
	}
	for _, tt := range tests {
		s := NewStream(tt.seed, tt.purpose, tt.counters...)
		found := [3]uint64{s.Uint64(), s.Uint64(), s.Uint64()}
		if found != tt.want {
			t.Errorf("stream(%d, %q, %d) = %#x, want %#x", tt.seed, tt.purpose, tt.counters, found, tt.want)
		}
	}
}

// Pins what math/rand/v2 makes of the words: the noise of a training step
// depends on it.
func TestStreamDistributionsArePinned(t *testing.T) {
	s := NewStream(1, "pin")
	if found, want := s.NormFloat64(), 0.7404455914618278; found != want {
		t.Errorf("NormFloat64 = %v, want %v", found, want)
	}
	if found, want := s.Float64(), 0.9928698441774589; found != want {
		t.Errorf("Float64 = %v, want %v", found, want)
	}
	if found, want := s.IntN(1000), 459; found != want {
		t.Errorf("IntN(1000) = %v, want %v", found, want)
	}
}

func TestStreamsOfDifferentKeysDiffer(t *testing.T) {
	keys := map[string]*Stream{
		"seed 1":             NewStream(1, "a", 1, 2),
		"seed 2":             NewStream(2, "a", 1, 2),
		"seed 1<<32":         NewStream(1<<32, "a", 1, 2),
		"purpose b":          NewStream(1, "b", 1, 2),
		"no purpose":         NewStream(1, "", 1, 2),
		"counters swapped":   NewStream(1, "a", 2, 1),
		"one counter":        NewStream(1, "a", 1),
		"counter 0 appended": NewStream(1, "a", 1, 2, 0),
		"counter 0 before":   NewStream(1, "a", 0, 1, 2),
		"no counters":        NewStream(1, "a"),
	}
	seen := map[uint64]string{}
	for name, s := range keys {
		w := s.Uint64()
		if other, ok := seen[w]; ok {
			t.Errorf("%s and %s start with the same word %#x", name, other, w)
		}
		seen[w] = name
	}
}

func TestResetEqualsNewStreamAndAllocatesNothing(t *testing.T) {
	s := NewStream(9, "other")
	s.NormFloat64()
	s.Reset(1, "binarise/train", 3, 17)
	if found, want := s.Uint64(), NewStream(1, "binarise/train", 3, 17).Uint64(); found != want {
		t.Errorf("after Reset %#x, want %#x", found, want)
	}
	i := uint64(0)
	allocs := testing.AllocsPerRun(100, func() {
		s.Reset(1, "binarise/train", i, 17)
		s.Uint64()
		s.Float64()
		s.NormFloat64()
		s.IntN(10)
		i++
	})
	if allocs != 0 {
		t.Errorf("%v allocations, want 0", allocs)
	}
}

func TestCopiedStreamContinuesOnItsOwn(t *testing.T) {
	s := NewStream(1, "copy")
	s.Uint64()
	c := *s
	if a, b := s.NormFloat64(), c.NormFloat64(); a != b {
		t.Errorf("original %v, copy %v, want the same", a, b)
	}
	s.Uint64()
	s.Uint64()
	d := *NewStream(1, "copy")
	d.Uint64()
	d.NormFloat64()
	if a, b := c.Uint64(), d.Uint64(); a != b {
		t.Errorf("copy %#x after the original went on, want %#x", a, b)
	}
}

func TestPurposeHashIsFNV1a(t *testing.T) {
	for _, purpose := range []string{"", "init", "binarise/train"} {
		h := fnv.New64a()
		h.Write([]byte(purpose))
		if found, want := fnv1a(purpose), h.Sum64(); found != want {
			t.Errorf("fnv1a(%q) = %#x, want %#x", purpose, found, want)
		}
	}
}

// One flipped bit anywhere in the key must flip half the bits of what follows.
func TestStreamKeyHasAvalanche(t *testing.T) {
	flips := map[string]func(bit int, k uint64) uint64{
		"seed":           func(bit int, k uint64) uint64 { return NewStream(k^1<<bit, "a", 1, k).Uint64() },
		"first counter":  func(bit int, k uint64) uint64 { return NewStream(k, "a", 1^1<<bit, k).Uint64() },
		"second counter": func(bit int, k uint64) uint64 { return NewStream(k, "a", 1, k^1<<bit).Uint64() },
	}
	const keys = 64
	for name, flipped := range flips {
		for bit := range 64 {
			changed := 0
			for k := range uint64(keys) {
				changed += bits.OnesCount64(flipped(bit, k) ^ NewStream(k, "a", 1, k).Uint64())
			}
			// A sum of 64·keys fair bits has standard deviation √(64·keys)/2 = 32.
			// Of the 192 cases none lies 5 of them away but with probability 1e-4.
			if diff := math.Abs(float64(changed - 32*keys)); diff > 5*32 {
				t.Errorf("%s, bit %d: %d of %d bits changed, want %d ± 160", name, bit, changed, 64*keys, 32*keys)
			}
		}
	}
}

// Successive images use successive counters, so normality is tested across
// streams as well as within one.
func TestNormalsHaveNormalMoments(t *testing.T) {
	const n = 100000
	draws := map[string]func(i uint64, s *Stream) float64{
		"within a stream": func(i uint64, s *Stream) float64 { return s.NormFloat64() },
		"across streams": func(i uint64, s *Stream) float64 {
			s.Reset(1, "eps", 1, i)
			return s.NormFloat64()
		},
	}
	for name, draw := range draws {
		s := NewStream(1, "eps")
		var sum [5]float64
		for i := range uint64(n) {
			x := draw(i, s)
			for k, p := 1, x; k <= 4; k, p = k+1, p*x {
				sum[k] += p
			}
		}
		// E xᵏ = 0, 1, 0, 3 with variances E x²ᵏ − (E xᵏ)² = 1, 2, 15, 96; five
		// standard errors.
		for k, want := range []struct{ mean, variance float64 }{1: {0, 1}, 2: {1, 2}, 3: {0, 15}, 4: {3, 96}} {
			if tolerance := 5 * math.Sqrt(want.variance/n); k > 0 && math.Abs(sum[k]/n-want.mean) > tolerance {
				t.Errorf("%s: moment %d is %v, want %v ± %v", name, k, sum[k]/n, want.mean, tolerance)
			}
		}
	}
}
