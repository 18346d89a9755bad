package data

import (
	"bytes"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func writeFile(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestArraysComeBackAsTheyWereWritten: of every type, alone and in an archive, to the bit.
func TestArraysComeBackAsTheyWereWritten(t *testing.T) {
	all := []*Array{
		{Name: "mean", Shape: []int{2, 3}, Floats: []float32{0, 1, -2.5, math.MaxFloat32, float32(math.Inf(-1)), 1e-45}},
		{Name: "label", Shape: []int{3}, Ints: []int64{-1, 1 << 52, 7}},
		{Name: "image", Shape: []int{3}, Texts: []string{"", "ü/1.png", "日本.jpg"}},
	}
	var archive bytes.Buffer
	if err := WriteNPZ(&archive, all...); err != nil {
		t.Fatal(err)
	}
	path := writeFile(t, "all.npz", archive.Bytes())
	got, err := ReadArrays(path)
	if err != nil || !reflect.DeepEqual(got, all) {
		t.Errorf("read %v (%v), want %v", got, err, all)
	}
	if got, err = ReadArrays(path, "label"); err != nil || len(got) != 1 || !reflect.DeepEqual(got[0], all[1]) {
		t.Errorf("read %v (%v), want the one that was named", got, err)
	}
	for _, a := range all {
		var file bytes.Buffer
		if err := a.Write(&file); err != nil {
			t.Fatal(err)
		}
		if start := file.Len() - a.Len()*map[bool]int{true: 4, false: 8}[a.Floats != nil]; a.Texts == nil && start%64 != 0 {
			t.Errorf("%s: its elements begin at byte %d, want a multiple of 64", a.Name, start)
		}
		alone := *a
		alone.Name = ""
		if got, err := ReadArrays(writeFile(t, "one.npy", file.Bytes())); err != nil || !reflect.DeepEqual(got, []*Array{&alone}) {
			t.Errorf("%s: read %v (%v)", a.Name, got, err)
		}
	}
}

// TestTheHeadersOfArraysAreNumPys: shapes of one and of several dimensions as Python
// writes a tuple.
func TestTheHeadersOfArraysAreNumPys(t *testing.T) {
	for want, a := range map[string]*Array{
		"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2, 1), }": {Shape: []int{1, 2, 1}, Floats: []float32{1, 2}},
		"{'descr': '<i8', 'fortran_order': False, 'shape': (2,), }":      {Shape: []int{2}, Ints: []int64{1, 2}},
		"{'descr': '<U3', 'fortran_order': False, 'shape': (1,), }":      {Shape: []int{1}, Texts: []string{"abc"}},
	} {
		var file bytes.Buffer
		if err := a.Write(&file); err != nil {
			t.Fatal(err)
		}
		if got := string(file.Bytes()[10:]); !strings.HasPrefix(got, want) {
			t.Errorf("header %q, want %q", got, want)
		}
	}
	if err := (&Array{Shape: []int{2}, Ints: []int64{1}}).Write(new(bytes.Buffer)); err == nil {
		t.Error("an array of one element was written as one of two")
	}
}

// TestArraysInFortranOrderAreRead: as numpy.save writes a transposed array.
func TestArraysInFortranOrderAreRead(t *testing.T) {
	var file bytes.Buffer
	if err := (&Array{Shape: []int{2, 3}, Ints: []int64{1, 4, 2, 5, 3, 6}}).Write(&file); err != nil {
		t.Fatal(err)
	}
	content := bytes.Replace(file.Bytes(), []byte("False, 'shape': (2, 3), }"), []byte("True, 'shape': (2, 3), } "), 1)
	got, err := ReadArrays(writeFile(t, "f.npy", content))
	if want := []int64{1, 2, 3, 4, 5, 6}; err != nil || !reflect.DeepEqual(got[0].Ints, want) {
		t.Errorf("read %v (%v), want %v", got, err, want)
	}
}

// TestDamagedArraysAreFormatErrors: cut, of no known type, or promising more than there is.
func TestDamagedArraysAreFormatErrors(t *testing.T) {
	var file, archive bytes.Buffer
	a := &Array{Name: "x", Shape: []int{2, 2}, Floats: []float32{1, 2, 3, 4}}
	texts := &Array{Shape: []int{2}, Texts: []string{"a", "bc"}}
	if err := errors.Join(a.Write(&file), WriteNPZ(&archive, a)); err != nil {
		t.Fatal(err)
	}
	whole := file.Bytes()
	var text bytes.Buffer
	if err := texts.Write(&text); err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(archive.Bytes())
	flipped[60] ^= 0xff // within the compressed elements
	for what, content := range map[string][]byte{
		"empty":             {},
		"cut":               whole[:len(whole)-1],
		"too long":          append(bytes.Clone(whole), 0),
		"no array":          []byte("image,label\n"),
		"cut texts":         text.Bytes()[:text.Len()-4],
		"promises too much": bytes.Replace(whole, []byte("(2, 2)"), []byte("(2, 9)"), 1),
		"cut archive":       archive.Bytes()[:archive.Len()-3],
		"damaged archive":   flipped,
		"complex":           bytes.Replace(whole, []byte("<f4"), []byte("<c4"), 1),
	} {
		got, err := ReadArrays(writeFile(t, "x.npy", content))
		if _, ok := errors.AsType[*FormatError](err); !ok {
			t.Errorf("%s: read %v with the error %v, want a FormatError", what, got, err)
		}
	}
	if _, err := ReadArrays(filepath.Join(t.TempDir(), "none.npy")); err == nil || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}
