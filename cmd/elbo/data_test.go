package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"elbo/data"
	"elbo/graph"
	"elbo/graph/blas"
	"elbo/train"
)

// A set that is sorted by class is parted by a shuffle, and the description shows what
// each split has of each class: 8 of 10 in expectation for training, all of the last class
// for testing by order.
func TestInfoShowsTheClassesOfEachSplit(t *testing.T) {
	im := data.Images{N: 40, Rows: 1, Cols: 2, Bytes: make([]uint8, 80), Classes: []string{"cat", "dog"}}
	for i := range im.N {
		im.Labels = append(im.Labels, uint8(i/36)) // the last 4 are dogs
	}
	ds, err := data.New("pets", im, data.Images{})
	if err != nil {
		t.Fatal(err)
	}
	c := train.DefaultConfig(train.VAEModel)
	c.SplitBy = train.ByOrder
	var out bytes.Buffer
	if err := writeSplits(&out, ds, c); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"pets in training (in its order, ", "images     32           4     4", "   cat     32           4     0", "   dog      0           0     4"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("found\n%swant a line\n%s", out.String(), want)
		}
	}
	out.Reset()
	c.SplitBy = ""
	if err := writeSplits(&out, ds, c); err != nil {
		t.Fatal(err)
	}
	// That all four dogs, of 40 images, come into the 4 of the test split has the probability
	// 1 in 91390: it would show that nothing is shuffled. The seed is fixed.
	if strings.Contains(out.String(), "   dog      0           0     4") || !strings.Contains(out.String(), "shuffled") {
		t.Errorf("shuffled:\n%s", out.String())
	}
}

// The names of files and classes come through to a run's splits.
func TestARunOfPicturesKnowsItsFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "shapes")
	if err := writePNGs(dir, 20, 4, 5, "grey"); err != nil {
		t.Fatal(err)
	}
	c := train.DefaultConfig(train.VAEModel)
	c.Data, c.Binarise, c.Workers = dir, data.Threshold, 1
	s, err := train.NewSetup(c, 1, func(workers int) *graph.Engine { return graph.NewEngine(workers, blas.Gonum()) })
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, v := range []data.View{s.Train, s.Validation, s.Test} {
		for i := range v.N() {
			name, class := v.Name(i), v.Class(i)
			if !strings.HasPrefix(name, class+"/") {
				t.Errorf("%s is of class %q", name, class)
			}
			seen[name] = true
		}
	}
	if len(seen) != 20 || s.All.N() != 20 {
		t.Errorf("%d names of 20 files, and %d in all", len(seen), s.All.N())
	}
	if c := s.Config; c.Channels != 1 || len(c.Size) != 2 || c.Size[0] != 4 || c.Size[1] != 5 || c.Data != dir {
		t.Errorf("the run remembers %s of %v with %d channels", c.Data, c.Size, c.Channels)
	}
}
