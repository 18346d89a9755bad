package train

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"elbo/data"
)

// codesOf is what a model makes of its test images, as a file has it.
func codesOf(t *testing.T, s *Setup) *CodeFile {
	t.Helper()
	codes, err := s.Encode(context.Background(), s.Validation)
	if err != nil {
		t.Fatal(err)
	}
	return NewCodeFile(codes, s.Validation)
}

// TestCodesInFilesDecodeToTheReconstructions: encode, write, read and decode, and the images
// are those of Reconstruct to the bit, whatever the file.
func TestCodesInFilesDecodeToTheReconstructions(t *testing.T) {
	for name, c := range map[string]Config{"vae": smallConfig(t), "mixture": emConfig(t, MixtureModel)} {
		s := newTestSetup(t, c)
		if name == "mixture" { // components that differ
			s, _, _ = runEM(t, c, newHastyRun(t, c), nil)
		}
		want, err := s.Reconstruct(context.Background(), s.Validation)
		if err != nil {
			t.Fatal(err)
		}
		f := codesOf(t, s)
		for ext, write := range map[string]func(*bytes.Buffer) error{
			".csv": func(b *bytes.Buffer) error { return f.WriteCSV(b, 0) },
			".npy": func(b *bytes.Buffer) error { return f.WriteNPY(b) },
			".npz": func(b *bytes.Buffer) error { return f.WriteNPZ(b, 0) },
		} {
			var content bytes.Buffer
			if err := write(&content); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(t.TempDir(), "codes"+ext)
			if err := os.WriteFile(path, content.Bytes(), 0o666); err != nil {
				t.Fatal(err)
			}
			read, err := s.ReadCodes(path, nil)
			if err != nil {
				t.Fatalf("%s, %s: %v", name, ext, err)
			}
			if ext != ".npy" && !slices.Equal(read.Images, f.Images) {
				t.Errorf("%s, %s: the images are %v, want %v", name, ext, read.Images, f.Images)
			}
			got, err := s.DecodeCodes(read)
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("%s, %s: decoded images differ from the reconstructions (%v)", name, ext, err)
			}
		}
		var content bytes.Buffer
		if err := f.WriteCSV(&content, 0); err != nil {
			t.Fatal(err)
		}
		if read, err := s.ReadCodes("-", &content); err != nil || !slices.Equal(read.Mean, f.Mean) {
			t.Errorf("%s from standard input: %v", name, err)
		}
	}
}

// TestTheLogVarianceInAFileIsTheEncoders: to the rounding of float32 in σ², 2⁻²⁴ of it, and
// in the logarithm.
func TestTheLogVarianceInAFileIsTheEncoders(t *testing.T) {
	s := newTestSetup(t, smallConfig(t))
	f := codesOf(t, s)
	for i, l := range f.LogVariance() {
		if v := math.Exp(float64(l)); math.Abs(v/float64(f.Variance[i])-1) > math.Exp2(-23)*(1+math.Abs(float64(l))) {
			t.Errorf("log variance %v, variance %v", l, f.Variance[i])
		}
	}
}

// TestTheLikeliestStatesOfATableAreInTheirFile: states by their numbers, and the columns as
// the header says.
func TestTheLikeliestStatesOfATableAreInTheirFile(t *testing.T) {
	f := &CodeFile{Codes: Codes{N: 2, States: 3, Table: []float32{0.25, 0.5, 0.25, 0, 0, 1}}, Images: []string{"a", "b"}, Labels: []string{"4", ""}, Index: []int64{0, 1}}
	var content bytes.Buffer
	if err := f.WriteCSV(&content, 2); err != nil {
		t.Fatal(err)
	}
	if want := "image,label,state_1,state_2,prob_1,prob_2\na,4,1,0,0.5,0.25\nb,,2,0,1,0\n"; content.String() != want {
		t.Errorf("wrote\n%swant\n%s", content.String(), want)
	}
	content.Reset()
	if err := f.WriteCSV(&content, 0); err != nil {
		t.Fatal(err)
	}
	if want := "image,label,p_0,p_1,p_2\na,4,0.25,0.5,0.25\nb,,0,0,1\n"; content.String() != want {
		t.Errorf("wrote\n%swant\n%s", content.String(), want)
	}
}

// TestCodesThatDoNotFitAreNamed: each fault of a file of codes is a FormatError that says
// what was found.
func TestCodesThatDoNotFitAreNamed(t *testing.T) {
	vae, mixture := newTestSetup(t, smallConfig(t)), newTestSetup(t, emConfig(t, MixtureModel))
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
		return path
	}
	array := func(name string, a *data.Array) string {
		var content bytes.Buffer
		if err := a.Write(&content); err != nil {
			t.Fatal(err)
		}
		return file(name, content.String())
	}
	var archive bytes.Buffer
	if err := data.WriteNPZ(&archive, &data.Array{Name: "z", Shape: []int{1, 2}, Floats: []float32{1, 2}}); err != nil {
		t.Fatal(err)
	}
	nan := float32(math.NaN())
	for _, c := range []struct {
		setup      *Setup
		path, want string
	}{
		{vae, file("empty.csv", ""), "empty, want a header"},
		{vae, file("three.csv", "image,mu_1,mu_2,mu_3\n0,1,2,3\n"), "3 columns mu_1, mu_2, ..., want 2: the model has 2 latent dimensions"},
		{vae, file("none.csv", "image,mu_1,mu_2\n"), "no codes"},
		{vae, file("text.csv", "mu_1,mu_2\n1,two\n"), `row 0, mu_2 is "two", want a number`},
		{vae, file("ragged.csv", "mu_1,mu_2\n1,2\n3\n"), "damaged CSV after 1 rows"},
		{vae, file("nan.csv", "mu_1,mu_2\n1,NaN\n"), "row 0, mu_2 is NaN"},
		{vae, filepath.Join(dir, "missing.csv"), "cannot be read"},
		{vae, file("codes.txt", "1 2"), "ends in .npy, .npz or .csv"},
		{vae, array("wide.npy", &data.Array{Shape: []int{1, 3}, Floats: []float32{1, 2, 3}}), "shape [1, 3], want [N, 2]: the model has 2 latent dimensions"},
		{vae, array("inf.npy", &data.Array{Shape: []int{1, 2}, Floats: []float32{1, nan}}), "row 0, mu_2 is NaN"},
		{vae, file("z.npz", archive.String()), `without the array "mean"`},
		{mixture, file("top.csv", "image,state_1,prob_1\n0,1,0.5\n"), "`elbo encode --top 0` writes all"},
		{mixture, file("sum.csv", "p_0,p_1,p_2,p_3,p_4,p_5\n1,1,0,0,0,0\n"), "probabilities that sum to 2"},
		{mixture, file("minus.csv", "p_0,p_1,p_2,p_3,p_4,p_5\n2,-1,0,0,0,0\n"), "p_1 is -1, want a probability"},
	} {
		_, err := c.setup.ReadCodes(c.path, nil)
		if _, ok := errors.AsType[*data.FormatError](err); !ok || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want a FormatError with %q", filepath.Base(c.path), err, c.want)
		}
	}
}
