package data

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/sbinet/npyio/npy"
)

// export returns the .npy file of a view. It is called by goroutines, so it may
// not end the test.
func export(t *testing.T, v View, epoch int) []byte {
	t.Helper()
	var file bytes.Buffer
	if err := WriteNPY(&file, v, epoch); err != nil {
		t.Error(err)
	}
	return file.Bytes()
}

// payloadHash returns the SHA-256 of the elements in an exported file, which
// start at byte 128: a header of this size is padded to a multiple of 64.
func payloadHash(t *testing.T, v View, epoch int) string {
	t.Helper()
	file := export(t, v, epoch)
	if len(file) < 128 {
		t.Errorf("%d bytes exported, want a header of 128", len(file))
		return ""
	}
	sum := sha256.Sum256(file[128:])
	return hex.EncodeToString(sum[:])
}

func TestExportedPixelsComeBackThroughOpen(t *testing.T) {
	im := Synthetic(6, 5, 5, 1)
	for kind, im := range map[string]Images{"bytes": im, "floats": floatImages(im)} {
		for _, mode := range modes {
			v := viewOf(t, im, mode, 1)
			path := filepath.Join(t.TempDir(), "export.npy")
			if err := os.WriteFile(path, export(t, v, 2), 0o666); err != nil {
				t.Fatal(err)
			}
			d, err := Open(path)
			if err != nil {
				t.Fatal(err)
			}
			back, _, _, err := d.Split(im.N, 0)
			if err != nil {
				t.Fatal(err)
			}
			if d.Train.Binary() != (mode != None) {
				t.Errorf("%s, %s: Binary is %v", kind, mode, d.Train.Binary())
			}
			found, want := make([]float32, v.D()), make([]float32, v.D())
			for i := range v.N() {
				v.Pixels(want, i, 2)
				back.Grey(found, i)
				if !slices.Equal(found, want) {
					t.Errorf("%s, %s, image %d: read back %v, want %v", kind, mode, i, found, want)
				}
			}
		}
	}
}

// npyio is a reader that shares no code with the writer.
func TestExportHasTheDocumentedTypeAndShape(t *testing.T) {
	im := Synthetic(6, 5, 7, 1)
	tests := []struct {
		im   Images
		mode Binarisation
		want string
	}{
		{im, Dynamic, "|u1"}, {im, None, "|u1"},
		{floatImages(im), Dynamic, "|u1"}, {floatImages(im), None, "<f4"},
	}
	for _, tt := range tests {
		r, err := npy.NewReader(bytes.NewReader(export(t, viewOf(t, tt.im, tt.mode, 1), 0)))
		if err != nil {
			t.Fatal(err)
		}
		if d := r.Header.Descr; d.Type != tt.want || d.Fortran || !slices.Equal(d.Shape, []int{6, 35}) {
			t.Errorf("%s: %+v, want type %s and shape [6 35]", tt.mode, d, tt.want)
		}
	}
}

func TestHashIsThatOfTheExportedElements(t *testing.T) {
	im := Synthetic(6, 5, 5, 1)
	for kind, im := range map[string]Images{"bytes": im, "floats": floatImages(im)} {
		for _, mode := range modes {
			v := viewOf(t, im, mode, 1)
			if found, want := v.Hash(), payloadHash(t, v, 0); found != want {
				t.Errorf("%s, %s: Hash %s, exported elements %s", kind, mode, found, want)
			}
		}
	}
}

// full is a disk that takes a number of bytes and no more.
type full int

var errFull = errors.New("no space left on device")

func (f *full) Write(p []byte) (int, error) {
	if len(p) > int(*f) {
		return 0, errFull
	}
	*f -= full(len(p))
	return len(p), nil
}

func TestExportReportsAFullDisk(t *testing.T) {
	v := viewOf(t, Synthetic(100, 28, 28, 1), Threshold, 1) // 78400 bytes, more than the buffer
	for _, room := range []full{0, 70000} {
		err := WriteNPY(&room, v, 0)
		if want := "export: no space left on device"; err == nil || err.Error() != want || !errors.Is(err, errFull) {
			t.Errorf("found error %v\nwant %s", err, want)
		}
	}
}

func TestExportOfNothingIsAnError(t *testing.T) {
	err := WriteNPY(&bytes.Buffer{}, View{Mode: Threshold}, 0)
	want := "export: the subset has no images, want at least one: choose another split"
	if err == nil || err.Error() != want {
		t.Errorf("found error %v\nwant %s", err, want)
	}
}
