package train

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"elbo/data"
	"elbo/model/infer"
)

func writeMask(t *testing.T, a *data.Array) string {
	t.Helper()
	var content bytes.Buffer
	if err := a.Write(&content); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "mask.npy")
	if err := os.WriteFile(path, content.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestAMaskIsOfOneImageOrOfEach: in the shapes that people have, and others are named.
func TestAMaskIsOfOneImageOrOfEach(t *testing.T) {
	s := newTestSetup(t, smallConfig(t)) // 6 x 6
	v := s.Validation
	v.Subset = v.First(2)
	half := make([]int64, 36)
	for i := range 18 {
		half[i] = 1
	}
	both := append(slices.Clone(half), half...)
	for _, shape := range [][]int{{36}, {6, 6}, {2, 36}, {2, 6, 6}} {
		values := half
		if shape[0] == 2 {
			values = both
		}
		missing, err := ReadMask(writeMask(t, &data.Array{Shape: shape, Ints: values}), v)
		if err != nil || len(missing) != len(values) || !missing[17] || missing[18] {
			t.Errorf("shape %v: %v, %v", shape, missing, err)
		}
	}
	for want, a := range map[string]*data.Array{
		"a mask of shape [3, 6, 6], want [6, 6] or [36], one for all images, or [2, 6, 6]": {Shape: []int{3, 6, 6}, Ints: make([]int64, 108)},
		"element 1 is 0.5, want 1 (missing) or 0 (observed)":                               {Shape: []int{36}, Floats: append([]float32{1, 0.5}, make([]float32, 34)...)},
		"no pixel is missing": {Shape: []int{36}, Ints: make([]int64, 36)},
	} {
		_, err := ReadMask(writeMask(t, a), v)
		if _, ok := errors.AsType[*data.FormatError](err); !ok || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want a FormatError with %q", err, want)
		}
	}
}

// TestEveryModelFillsInPixels: observed pixels stay, whatever the model.
func TestEveryModelFillsInPixels(t *testing.T) {
	for name, c := range map[string]Config{"vae": smallConfig(t), "mixture": emConfig(t, MixtureModel), "grid": emConfig(t, GridModel)} {
		s := newTestSetup(t, c)
		missing := make([]bool, 36)
		missing[14], missing[20] = true, true
		got, err := s.Impute(context.Background(), s.Validation, missing, infer.ImputeOptions{Steps: 5, Seed: 1})
		if err != nil || got.Exact != (name != "vae") {
			t.Fatalf("%s: %+v, %v", name, got, err)
		}
		for i, x := range s.Validation.AllEvaluated() {
			if !missing[i%36] && (got.Mean[i] != x || got.Draw[i] != x) {
				t.Fatalf("%s: pixel %d of image %d was observed and is changed", name, i%36, i/36)
			}
			if missing[i%36] && got.Draw[i] != 0 && got.Draw[i] != 1 {
				t.Fatalf("%s: drawn pixel %v, want 0 or 1", name, got.Draw[i])
			}
		}
	}
}
