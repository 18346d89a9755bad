package data

import (
	"math"
	"slices"
	"sync"
	"testing"
)

// modes are all binarisations.
var modes = []Binarisation{Threshold, Static, Dynamic, None}

// viewOf returns all images of im as a view.
func viewOf(t *testing.T, im Images, mode Binarisation, seed uint64) View {
	t.Helper()
	d, err := New("test", im, Images{})
	if err != nil {
		t.Fatal(err)
	}
	s, _, _, err := d.Split(im.N, 0)
	if err != nil {
		t.Fatal(err)
	}
	return View{Subset: s, Mode: mode, Seed: seed}
}

// floatImages returns the same images as floats.
func floatImages(im Images) Images {
	im.toFloats()
	return im
}

// The hashes were computed in another language from the original files and the
// comments of Stream and View.Pixels. They must never change.
func TestPixelsOfMNISTArePinned(t *testing.T) {
	d, err := openMNIST()
	if err != nil {
		t.Fatal(err)
	}
	tr, va, te, err := d.Split(d.DefaultSplit())
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		view View
		want string
	}{
		{View{tr.First(100), Threshold, 1}, "1afb6eca33d0cd5d0c8299f3166fefae4706ef7a377078800b231ffa48a4f705"},
		{View{tr.First(100), None, 1}, "c8d7b3ac57a59fa463cbbcdc21a53485e2990f12ca46d0fef62dd86cadfd67a3"},
		{View{tr.First(100), Static, 1}, "087d77659cd1e092e0cd7d3e2377b5c4fe21fbf22f925ad9c25d1d34099a2ca0"},
		{View{tr.First(100), Dynamic, 1}, "087d77659cd1e092e0cd7d3e2377b5c4fe21fbf22f925ad9c25d1d34099a2ca0"},
		{View{va.First(10), Static, 1}, "a1a9b836c306028cdd9fe42cfdc43fa521922bdfeb893aef82e09a5849644a7b"},
		{View{te.First(100), Static, 1}, "02d3cd34b86b96f10fcb482a22eb78a1efa2bb611c4e85ae80ea5df565eb1725"},
	}
	for _, tt := range tests {
		if found := tt.view.Hash(); found != tt.want {
			t.Errorf("%s images from %d on, %s: %s, want %s", tt.view.Part(), tt.view.Index(0), tt.view.Mode, found, tt.want)
		}
	}
	const epoch3 = "4c735b792900ff5bdb668ab92d9407f3346c6b2e7ca7a5566a40761e0da61af1"
	if found := payloadHash(t, View{tr.First(100), Dynamic, 1}, 3); found != epoch3 {
		t.Errorf("epoch 3, dynamic: %s, want %s", found, epoch3)
	}
}

// Every grey level against every lane: the fast comparison is the documented
// one, and the number of lanes that give 1 is the documented probability.
func TestBernoulli16HasTheDocumentedProbability(t *testing.T) {
	for g := range 256 {
		ones := 0
		for u := range 1 << 16 {
			x := bernoulli16(uint64(u)|0xabcd<<16, uint8(g))
			want := float32(0)
			if u*255 < g*65536 {
				want = 1
				ones++
			}
			if x != want {
				t.Fatalf("grey level %d, lane %d: %v, want %v", g, u, x, want)
			}
		}
		if want := (g*65536 + 254) / 255; ones != want {
			t.Errorf("grey level %d: %d lanes of 65536 give 1, want %d", g, ones, want)
		}
	}
}

// The loop over groups against the words as the comment of Pixels describes
// them, at sizes that leave 0 to 3 pixels over.
func TestPixelsFollowTheDocumentedWords(t *testing.T) {
	for cols := 1; cols <= 9; cols++ {
		im := Synthetic(12, 5, cols, 2)
		v := viewOf(t, im, Dynamic, 77)
		x := make([]float32, v.D())
		for i := range v.N() {
			v.Pixels(x, i, 4)
			s := NewStream(77, "binarise/train", 4, uint64(i))
			for start := 0; start < v.D(); start += 4 {
				group := bytesOf(v.Subset, i)[start:min(start+4, v.D())]
				var w uint64
				if slices.Max(group) > 0 {
					w = s.Uint64()
				}
				for k, g := range group {
					want := float32(0)
					if u := w >> (16 * k) & 0xffff; u*255 < uint64(g)<<16 {
						want = 1
					}
					if x[start+k] != want {
						t.Fatalf("5×%d, image %d, pixel %d: %v, want %v", cols, i, start+k, x[start+k], want)
					}
				}
			}
		}

		v = viewOf(t, floatImages(im), Dynamic, 77)
		for i := range v.N() {
			v.Pixels(x, i, 4)
			s := NewStream(77, "binarise/train", 4, uint64(i))
			var w uint64
			for p, g := range floatsOf(v.Subset, i) {
				if p%2 == 0 {
					w = s.Uint64()
				}
				want := float32(0)
				if u := w >> (32 * (p % 2)) & math.MaxUint32; float64(u)/(1<<32) < float64(g) {
					want = 1
				}
				if x[p] != want {
					t.Fatalf("floats 5×%d, image %d, pixel %d: %v, want %v", cols, i, p, x[p], want)
				}
			}
		}
	}
}

func TestDynamicDrawsHaveTheGreyLevelAsMean(t *testing.T) {
	const epochs = 4000
	im := Synthetic(4, 6, 6, 5)
	for name, im := range map[string]Images{"bytes": im, "floats": floatImages(im)} {
		v := viewOf(t, im, Dynamic, 3)
		x, grey, sum := make([]float32, v.D()), make([]float32, v.D()), make([]float64, v.D())
		for i := range v.N() {
			clear(sum)
			for epoch := 1; epoch <= epochs; epoch++ {
				v.Pixels(x, i, epoch)
				for p := range x {
					sum[p] += float64(x[p])
				}
			}
			v.Grey(grey, i)
			for p, g := range grey {
				// Five standard errors of a Bernoulli mean, and the 2⁻¹⁶ of the lanes;
				// exact at grey levels 0 and 1.
				tolerance := 5 * math.Sqrt(float64(g)*float64(1-g)/epochs)
				if g > 0 && g < 1 {
					tolerance += 1.0 / (1 << 16)
				}
				if math.Abs(sum[p]/epochs-float64(g)) > tolerance {
					t.Errorf("%s, image %d, pixel %d: mean %v, want %v ± %v", name, i, p, sum[p]/epochs, g, tolerance)
				}
			}
		}
	}
}

func TestEachModeShowsWhatItSays(t *testing.T) {
	im := Synthetic(8, 7, 7, 1)
	for kind, im := range map[string]Images{"bytes": im, "floats": floatImages(im)} {
		pixels := func(mode Binarisation, seed uint64, epoch int) []float32 {
			v := viewOf(t, im, mode, seed)
			all := make([]float32, v.N()*v.D())
			for i := range v.N() {
				v.Pixels(all[i*v.D():], i, epoch)
			}
			return all
		}
		grey := pixels(None, 1, 0)
		threshold := slices.Clone(grey)
		for k, g := range grey {
			threshold[k] = float32(math.Round(float64(g) + 1e-9)) // 1 iff g > 1/2: no byte is one half
		}
		same := []struct {
			claim string
			a, b  []float32
			want  bool
		}{
			{"threshold is grey above one half", pixels(Threshold, 1, 1), threshold, true},
			{"threshold knows no seed", pixels(Threshold, 1, 1), pixels(Threshold, 2, 3), true},
			{"none knows no epoch and no seed", pixels(None, 1, 1), pixels(None, 2, 3), true},
			{"static knows no epoch", pixels(Static, 1, 0), pixels(Static, 1, 5), true},
			{"static depends on the seed", pixels(Static, 1, 0), pixels(Static, 2, 0), false},
			{"dynamic in epoch 0 is static", pixels(Dynamic, 1, 0), pixels(Static, 1, 7), true},
			{"dynamic changes with the epoch", pixels(Dynamic, 1, 1), pixels(Dynamic, 1, 2), false},
			{"dynamic repeats itself", pixels(Dynamic, 1, 2), pixels(Dynamic, 1, 2), true},
		}
		for _, tt := range same {
			if slices.Equal(tt.a, tt.b) != tt.want {
				t.Errorf("%s: %s: equal is %v, want %v", kind, tt.claim, !tt.want, tt.want)
			}
		}
	}
}

func TestFloatThresholdIsStrict(t *testing.T) {
	v := viewOf(t, Images{N: 1, Rows: 1, Cols: 3, Floats: []float32{0.5, math.Nextafter32(0.5, 1), 0}}, Threshold, 0)
	x := make([]float32, 3)
	v.Pixels(x, 0, 0)
	if want := []float32{0, 1, 0}; !slices.Equal(x, want) {
		t.Errorf("grey levels 1/2, just above, 0 become %v, want %v", x, want)
	}
}

// Where an image stands in a split does not change its pixels; its part and its
// index do.
func TestPixelsDoNotDependOnTheSplit(t *testing.T) {
	d, err := New("test", Synthetic(10, 6, 6, 1), Synthetic(10, 6, 6, 1))
	if err != nil {
		t.Fatal(err)
	}
	draw := func(s Subset, i int) []float32 {
		x := make([]float32, d.D())
		View{s, Dynamic, 1}.Pixels(x, i, 3)
		return x
	}
	all, _, test, _ := d.Split(10, 0)
	_, validation, _, _ := d.Split(7, 3)
	for i := range validation.N() {
		if !slices.Equal(draw(validation, i), draw(all, 7+i)) {
			t.Errorf("image %d differs between validation and training", 7+i)
		}
	}
	differ := 0
	for i := range test.N() {
		if !slices.Equal(draw(test, i), draw(all, i)) {
			differ++
		}
	}
	// Equal grey images: a handful of draws may agree by chance, not half of them.
	if differ < 5 {
		t.Errorf("%d of 10 test images differ from the training images of the same grey levels and index, want most", differ)
	}
}

func TestPixelsAllocateNothing(t *testing.T) {
	im := Synthetic(4, 28, 28, 1)
	for kind, im := range map[string]Images{"bytes": im, "floats": floatImages(im)} {
		for _, mode := range modes {
			v := viewOf(t, im, mode, 1)
			x := make([]float32, v.D())
			if allocs := testing.AllocsPerRun(100, func() { v.Pixels(x, 1, 2) }); allocs != 0 {
				t.Errorf("%s, %s: %v allocations, want 0", kind, mode, allocs)
			}
		}
	}
}

func TestPixelsAreSafeForConcurrentUse(t *testing.T) {
	v := viewOf(t, Synthetic(16, 8, 8, 1), Dynamic, 1)
	want := payloadHash(t, v, 1)
	found := make([]string, 4)
	var wait sync.WaitGroup
	for k := range found {
		wait.Go(func() { found[k] = payloadHash(t, v, 1) })
	}
	wait.Wait()
	for k := range found {
		if found[k] != want {
			t.Errorf("goroutine %d: %s, want %s", k, found[k], want)
		}
	}
}

func TestParseBinarisation(t *testing.T) {
	for _, mode := range modes {
		if found, err := ParseBinarisation(string(mode)); found != mode || err != nil {
			t.Errorf("ParseBinarisation(%q) = %q, %v", mode, found, err)
		}
	}
	_, err := ParseBinarisation("Static")
	if want := `binarisation "Static", want threshold, static, dynamic or none`; err == nil || err.Error() != want {
		t.Errorf("found error %v\nwant %s", err, want)
	}
}

// TestRowsAreTheSingleImages: a block of images is what they are one by one.
func TestRowsAreTheSingleImages(t *testing.T) {
	for _, mode := range []Binarisation{None, Static, Threshold} {
		v := viewOf(t, Synthetic(9, 5, 4, 3), mode, 3)
		all := v.AllEvaluated()
		some, one := make([]float32, 4*v.D()), make([]float32, v.D())
		v.EvaluatedRows(some, 2, 4)
		for i := range v.N() {
			v.Evaluated(one, i)
			if !slices.Equal(one, all[i*v.D():][:v.D()]) || i >= 2 && i < 6 && !slices.Equal(one, some[(i-2)*v.D():][:v.D()]) {
				t.Errorf("%s: image %d differs", mode, i)
			}
		}
	}
}
