package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"elbo/data"
)

// One image saved without the axis of the batch is read as its rows, and the description
// says so in words.
func TestInfoShowsAMissingAxis(t *testing.T) {
	const side = 28
	var file, out bytes.Buffer
	grey := make([]float32, side*side)
	if err := data.WriteFloatsNPY(&file, side, side, func(yield func([]float32) bool) { yield(grey) }); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "one.npy")
	if err := os.WriteFile(path, file.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
	infos, err := data.Describe(path)
	if err != nil {
		t.Fatal(err)
	}
	writeInfos(&out, infos)
	if want := "read as      28 images of 28 pixels each (a single image would be saved as [1 28 28])\n"; !strings.Contains(out.String(), want) {
		t.Errorf("found\n%swant a line\n  %s", out.String(), want)
	}
}
