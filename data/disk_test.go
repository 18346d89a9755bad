package data

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// leaving is memory that leaves the pixels of every file in it, and has no room for them.
func leaving() *memory {
	mem := newMemory(100)
	mem.leaveAbove = 0
	return mem
}

// diskFiles are the same images in files that can be left where they are.
func diskFiles() map[string][]byte {
	im := Synthetic(40, 6, 7, 1)
	outcomes := make([]byte, len(im.Bytes))
	floats, zeroOne := make([]float32, len(im.Bytes)), make([]float32, len(im.Bytes))
	for k, g := range im.Bytes {
		outcomes[k] = g >> 7
		floats[k] = float32(g) / 300
		zeroOne[k] = float32(outcomes[k])
	}
	return map[string][]byte{
		"idx": idxOf(im), "bytes.npy": npyFile("|u1", "(40, 6, 7)", im.Bytes), "outcomes.npy": npyFile("|u1", "(40, 42)", outcomes),
		"floats.npy": npyFile("<f4", "(40, 1, 6, 7)", float32s(floats...)), "zeroone.npy": npyFile("<f4", "(40, 6, 7)", float32s(zeroOne...)),
	}
}

// What is left in its file is the same data set as in memory, hash, outcomes, draws and
// all, and takes no memory.
func TestPixelsLeftInTheirFileAreTheSame(t *testing.T) {
	dir := folder(t, diskFiles())
	for name := range diskFiles() {
		file := filepath.Join(dir, name)
		held, err := Open(file)
		if err != nil {
			t.Fatal(err)
		}
		left, err := open(file, leaving())
		if err != nil {
			t.Fatal(err)
		}
		if left.Train.disk == nil || left.Train.Bytes != nil || left.Train.Floats != nil {
			t.Fatalf("%s: the pixels are in memory", name)
		}
		if left.SHA256 != held.SHA256 || left.Train.Binary() != held.Train.Binary() {
			t.Errorf("%s: another hash, or binary %v instead of %v", name, left.Train.Binary(), held.Train.Binary())
		}
		for _, mode := range []Binarisation{None, Threshold, Static, Dynamic} {
			a, b := View{Subset: held.All(), Mode: mode, Seed: 3}, View{Subset: left.All(), Mode: mode, Seed: 3}
			if a.Hash() != b.Hash() {
				t.Errorf("%s: other pixels with %s", name, mode)
			}
			x, y := make([]float32, a.D()), make([]float32, a.D())
			a.Pixels(x, 17, 2)
			if b.Pixels(y, 17, 2); !slices.Equal(x, y) {
				t.Errorf("%s: image 17 in epoch 2 differs with %s", name, mode)
			}
			if n := testing.AllocsPerRun(20, func() { b.Pixels(y, 3, 1) }); n >= 1 && !raceDetector {
				t.Errorf("%s: %g allocations an image with %s", name, n, mode)
			}
		}
		mem := leaving()
		infos, err := describe(file, mem)
		want, werr := Describe(file)
		if err != nil || werr != nil || *infos[0].Grey != *want[0].Grey || infos[0].Images != want[0].Images {
			t.Errorf("%s: described as %+v, %v; in memory as %+v, %v", name, infos, err, want, werr)
		}
		if err := left.Err(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A file that changes, or is cut short, under its data set is an error, and no panic.
func TestAChangedFileIsAnError(t *testing.T) {
	for name, change := range map[string]func(file string) error{
		"cut short": func(file string) error { return os.Truncate(file, 500) },
		"written": func(file string) error {
			return os.Chtimes(file, time.Time{}, time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC))
		},
	} {
		file := filepath.Join(folder(t, diskFiles()), "bytes.npy")
		d, err := open(file, leaving())
		if err != nil {
			t.Fatal(err)
		}
		if err := change(file); err != nil {
			t.Fatal(err)
		}
		d.All().Grey(make([]float32, d.D()), 39)
		err = d.Err()
		if err == nil || !strings.Contains(err.Error(), "bytes.npy: ") || !strings.Contains(err.Error(), "run the command again") {
			t.Errorf("%s: %v", name, err)
		}
	}
	// At the start, what a header promises is held against the file, as it is in memory.
	for name, content := range map[string][]byte{
		"short.npy": npyFile("|u1", "(40, 6, 7)", make([]byte, 100)),
		"grey.npy":  npyFile("<f4", "(1, 1, 2)", float32s(0.5, 1.5)),
		"short":     idxFile(magicImages, []uint32{3, 2, 2}, make([]byte, 11)),
	} {
		file := filepath.Join(folder(t, map[string][]byte{name: content}), name)
		_, want := open(file, plenty())
		if _, err := open(file, leaving()); err == nil || err.Error() != want.Error() {
			t.Errorf("%s: %v, in memory %v", name, err, want)
		}
	}
}

func TestShufflingMovesNoImageBetweenIndices(t *testing.T) {
	d, err := New("synthetic", Synthetic(100, 3, 3, 1), Images{})
	if err != nil {
		t.Fatal(err)
	}
	s := d.Shuffled(1)
	tr, va, te, err := s.Split(80, 10)
	if err != nil || s.SHA256 != d.SHA256 {
		t.Fatalf("%v, or another hash", err)
	}
	seen := map[int]bool{}
	whole, x, y := View{Subset: d.All(), Mode: Static, Seed: 5}, make([]float32, 9), make([]float32, 9)
	inOrder := true
	for _, part := range []Subset{tr, va, te} {
		for i := range part.N() {
			k := part.Index(i)
			inOrder = inOrder && k == len(seen)
			seen[k] = true
			label, _ := part.Label(i)
			if want, _ := d.All().Label(k); label != want {
				t.Errorf("image %d has label %d, want %d", k, label, want)
			}
			// The draw of an image goes by its place in the file, however it was split.
			View{Subset: part, Mode: Static, Seed: 5}.Pixels(x, i, 0)
			if whole.Pixels(y, k, 0); !slices.Equal(x, y) {
				t.Errorf("image %d is drawn otherwise in a shuffled split", k)
			}
		}
	}
	if len(seen) != 100 || inOrder {
		t.Errorf("%d of 100 images are in a part, in the order of the file: %v", len(seen), inOrder)
	}
	again, _, _, _ := d.Shuffled(1).Split(80, 10)
	other, _, _, _ := d.Shuffled(2).Split(80, 10)
	if again.Index(0) != tr.Index(0) || again.Index(79) != tr.Index(79) || other.Index(0) == tr.Index(0) && other.Index(1) == tr.Index(1) {
		t.Error("a seed decides on more or less than the order")
	}
}
