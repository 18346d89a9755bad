package data

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestColouredDigitsAreTheSameEverywhere: the bytes of the first hundred of each part, as a
// file, are those of the recipe when it was written, and are read as what they are.
func TestColouredDigitsAreTheSameEverywhere(t *testing.T) {
	mnist, err := Open("mnist")
	if err != nil {
		t.Fatal(err)
	}
	first := func(im Images, part string) Images {
		im.N, im.Bytes, im.Labels = 100, im.Bytes[:100*im.D()], im.Labels[:100]
		made, err := ColouredDigits(im, part, 1)
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	train, test := first(mnist.Train, "train"), first(mnist.Test, "test")
	var file bytes.Buffer
	if err := WriteImages(&file, train, test); err != nil {
		t.Fatal(err)
	}
	const want = "bc471859f4e766a95b9314d1720b6410f84ade4060a3f4a74348645b5d933a8d"
	if got := fmt.Sprintf("%x", sha256.Sum256(file.Bytes())); got != want {
		t.Errorf("the file has SHA-256 %s, want %s", got, want)
	}
	path := filepath.Join(t.TempDir(), "digits.npz")
	if err := os.WriteFile(path, file.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	read, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if read.Channels() != 3 || !slices.Equal(read.Train.Bytes, train.Bytes) || !slices.Equal(read.Test.Bytes, test.Bytes) || !slices.Equal(read.Train.Labels, mnist.Train.Labels[:100]) {
		t.Error("what is read is not what was written")
	}
}

// TestColouredDigitsAreDigitsOnNoise: without ink every value is below the levels of the
// noise, each of which occurs, and full ink has the image's colour.
func TestColouredDigitsAreDigitsOnNoise(t *testing.T) {
	digit := Images{N: 1, Rows: 2, Cols: 2, Bytes: []uint8{255, 255, 255, 255}}
	im, err := ColouredDigits(digit, "train", 3)
	if err != nil {
		t.Fatal(err)
	}
	var seen [256]int
	ink := map[[3]uint8]int{}
	for ; len(im.Bytes) > 0; im.Bytes = im.Bytes[3:] {
		pixel := [3]uint8(im.Bytes)
		if slices.Max(pixel[:]) == 255 {
			ink[pixel]++
			continue
		}
		for _, v := range pixel {
			seen[v]++
		}
	}
	if len(ink) != 1 {
		t.Errorf("colours of ink: %v, want one", ink)
	}
	for pixel, n := range ink {
		if n != 4 || slices.Min(pixel[:]) > 96 {
			t.Errorf("%d pixels of %v, want 4 of a colour", n, pixel)
		}
	}
	for v, n := range seen {
		// 3060 values over 32 levels: a level that never occurs would do so once in 10⁴⁰.
		if (n > 0) != (v < noiseLevels) {
			t.Errorf("level %d occurs %d times", v, n)
		}
	}
	if _, err := ColouredDigits(Images{N: 1, Rows: 33, Cols: 2, Bytes: make([]uint8, 66)}, "train", 1); err == nil {
		t.Error("images of 33 rows are taken")
	}
}
