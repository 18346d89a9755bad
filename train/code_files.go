package train

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"elbo/data"
	"elbo/graph/elementary"
)

// CodeFile is what a file of codes holds: the codes, and of which images they are.
type CodeFile struct {
	Codes
	Images []string // their names, [N]
	Labels []string // [N]; "" for one that is not known
	Index  []int64  // the images' numbers in their part of the data set, [N]
	Label  []int64  // Labels as numbers, [N]; nil where one is not known
}

// NewCodeFile says of which images of v the codes are.
func NewCodeFile(c *Codes, v data.View) *CodeFile {
	f := &CodeFile{Codes: *c, Label: make([]int64, 0, v.N())}
	for i := range v.N() {
		f.Images = append(f.Images, v.Name(i))
		f.Labels = append(f.Labels, v.Class(i))
		f.Index = append(f.Index, int64(v.Index(i)))
		if label, ok := v.Label(i); ok && f.Label != nil {
			f.Label = append(f.Label, int64(label))
		} else {
			f.Label = nil
		}
	}
	return f
}

// LogVariance returns log Var[z|x] of each dimension, [N, Z], nil where it is not known;
// minus infinity where a table has one state alone.
func (c *Codes) LogVariance() []float32 {
	var logs []float32
	for _, v := range c.Variance {
		logs = append(logs, float32(elementary.Log(float64(v))))
	}
	return logs
}

// Likeliest returns of each row of the table the top likeliest states, [N, top], and their
// probabilities, the likeliest first.
func (c *Codes) Likeliest(top int) (states []int64, probabilities []float32) {
	order := make([]int, c.States)
	for row := range slices.Chunk(c.Table, max(1, c.States)) {
		for k := range order {
			order[k] = k
		}
		slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(row[b], row[a]) })
		for _, k := range order[:top] {
			states, probabilities = append(states, int64(k)), append(probabilities, row[k])
		}
	}
	return states, probabilities
}

// WriteCSV writes a row for each image,
//
//	image,label,mu_1..mu_Z,logvar_1..logvar_Z
//
// and of a table p_0..p_K-1, the probabilities of its states, or with top > 0
// state_1..state_top,prob_1..prob_top, the likeliest of them. Numbers are written so that
// they are read as the same float32.
func (f *CodeFile) WriteCSV(w io.Writer, top int) error {
	buffered := bufio.NewWriterSize(w, 1<<16)
	table := csv.NewWriter(buffered)
	logVariance := f.LogVariance()
	header := []string{"image", "label"}
	header = appendNames(header, "mu_", 1, f.Latent)
	if logVariance != nil {
		header = appendNames(header, "logvar_", 1, f.Latent)
	}
	var states []int64
	var probabilities []float32
	switch {
	case f.States > 0 && top > 0:
		states, probabilities = f.Likeliest(top)
		header = appendNames(appendNames(header, "state_", 1, top), "prob_", 1, top)
	case f.States > 0:
		header = appendNames(header, "p_", 0, f.States)
	}
	table.Write(header)
	for i := range f.N {
		row := append(make([]string, 0, len(header)), f.Images[i], f.Labels[i])
		row = appendNumbers(row, rowOf(f.Mean, i, f.Latent))
		if logVariance != nil {
			row = appendNumbers(row, rowOf(logVariance, i, f.Latent))
		}
		if states != nil {
			for _, k := range rowOf(states, i, top) {
				row = append(row, strconv.FormatInt(k, 10))
			}
			row = appendNumbers(row, rowOf(probabilities, i, top))
		} else {
			row = appendNumbers(row, rowOf(f.Table, i, f.States))
		}
		table.Write(row)
	}
	table.Flush()
	return cmp.Or(table.Error(), buffered.Flush())
}

func appendNames(to []string, prefix string, first, n int) []string {
	for k := range n {
		to = append(to, prefix+strconv.Itoa(first+k))
	}
	return to
}

func appendNumbers(to []string, values []float32) []string {
	for _, v := range values {
		to = append(to, strconv.FormatFloat(float64(v), 'g', -1, 32))
	}
	return to
}

// rowOf is the i-th row of a matrix of a width; nothing where there is no matrix.
func rowOf[T any](matrix []T, i, width int) []T {
	if matrix == nil {
		return nil
	}
	return matrix[i*width:][:width]
}

// WriteNPY writes the means, [N, Z], as a .npy file of float32; of a model without a latent
// space the table, [N, K].
func (f *CodeFile) WriteNPY(w io.Writer) error {
	a := data.Array{Shape: []int{f.N, f.Latent}, Floats: f.Mean}
	if f.Latent == 0 {
		a = data.Array{Shape: []int{f.N, f.States}, Floats: f.Table}
	}
	return a.Write(w)
}

// WriteNPZ writes an archive of the arrays image, index and, where they are known, label,
// each [N]; mean and logvar, [N, Z]; and table, [N, K], or with top > 0 state and
// probability, [N, top].
func (f *CodeFile) WriteNPZ(w io.Writer, top int) error {
	arrays := []*data.Array{
		{Name: "image", Shape: []int{f.N}, Texts: f.Images},
		{Name: "index", Shape: []int{f.N}, Ints: f.Index},
	}
	if f.Label != nil {
		arrays = append(arrays, &data.Array{Name: "label", Shape: []int{f.N}, Ints: f.Label})
	}
	floats := func(name string, values []float32, width int) {
		if values != nil {
			arrays = append(arrays, &data.Array{Name: name, Shape: []int{f.N, width}, Floats: values})
		}
	}
	floats("mean", f.Mean, f.Latent)
	floats("logvar", f.LogVariance(), f.Latent)
	if f.States > 0 && top > 0 {
		states, probabilities := f.Likeliest(top)
		arrays = append(arrays, &data.Array{Name: "state", Shape: []int{f.N, top}, Ints: states})
		floats("probability", probabilities, top)
	} else {
		floats("table", f.Table, f.States)
	}
	return data.WriteNPZ(w, arrays...)
}

// ReadCodes reads codes for the model from a .npy, .npz or .csv file, or as CSV from stdin
// where path is "-": what WriteNPY, WriteNPZ and WriteCSV write, or numbers of your own,
// codes of a model with a latent space, [N, Z], and tables of another, [N, K]. Every error
// is a *data.FormatError.
func (s *Setup) ReadCodes(path string, stdin io.Reader) (*CodeFile, error) {
	want, err := s.codeForm()
	if err != nil {
		return nil, err
	}
	switch ext := strings.ToLower(filepath.Ext(path)); {
	case path == "-":
		return want.readCSV("standard input", stdin)
	case ext == ".csv":
		content, err := os.ReadFile(path)
		if err != nil {
			return nil, &data.FormatError{File: path, Problem: "cannot be read, want a file of codes, as `elbo encode` writes it", Err: errors.Unwrap(err)}
		}
		return want.readCSV(path, bytes.NewReader(content))
	case ext == ".npy" || ext == ".npz":
		return want.readArrays(path)
	}
	return nil, &data.FormatError{File: path, Problem: "want codes in a file that ends in .npy, .npz or .csv, or - for CSV from standard input"}
}

// codeForm is the form in which a model takes codes.
type codeForm struct {
	array, prefix string // what the array is called in an archive, and how the names of columns begin
	first, width  int    // number of the first column, and how many
	what          string
}

func (s *Setup) codeForm() (codeForm, error) {
	switch m := s.Model.(type) {
	case Latent:
		z := m.Joint().Latent
		return codeForm{array: "mean", prefix: "mu_", first: 1, width: z, what: fmt.Sprintf("the model has %d latent dimensions", z)}, nil
	case Tabular:
		k := m.Table().Config.States
		return codeForm{array: "table", prefix: "p_", first: 0, width: k, what: fmt.Sprintf("the model has %d states, and a code is the probability of each", k)}, nil
	}
	return codeForm{}, &ConfigError{fmt.Errorf("a %s has no decoder for codes: want a model with a latent space or with a table", s.Config.Model)}
}

// file makes a CodeFile of numbers, [N, width], after checking them.
func (c codeForm) file(name string, values []float32) (*CodeFile, error) {
	f := &CodeFile{Codes: Codes{N: len(values) / c.width}}
	for i := range f.N {
		sum := 0.0
		for j, v := range rowOf(values, i, c.width) {
			if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
				return nil, &data.FormatError{File: name, Problem: fmt.Sprintf("row %d, %s%d is %v, want a number", i, c.prefix, c.first+j, v)}
			}
			if sum += float64(v); c.array == "table" && v < 0 {
				return nil, &data.FormatError{File: name, Problem: fmt.Sprintf("row %d, %s%d is %v, want a probability", i, c.prefix, c.first+j, v)}
			}
		}
		if c.array == "table" && math.Abs(sum-1) > 1e-3 {
			return nil, &data.FormatError{File: name, Problem: fmt.Sprintf("row %d: probabilities that sum to %.6g, want 1", i, sum)}
		}
	}
	if f.N == 0 {
		return nil, &data.FormatError{File: name, Problem: "no codes, want at least one"}
	}
	if c.array == "table" {
		f.States, f.Table = c.width, values
	} else {
		f.Latent, f.Mean = c.width, values
	}
	for i := range f.N {
		f.Images = append(f.Images, strconv.Itoa(i))
	}
	return f, nil
}

// readCSV reads the columns of the form, and the images' names where there is a column of
// them.
func (c codeForm) readCSV(name string, r io.Reader) (*CodeFile, error) {
	fault := func(err error, format string, args ...any) error {
		return &data.FormatError{File: name, Problem: fmt.Sprintf(format, args...), Err: err}
	}
	rows := csv.NewReader(r)
	header, err := rows.Read()
	if errors.Is(err, io.EOF) {
		return nil, fault(nil, "empty, want a header and a row for each image")
	}
	if err != nil {
		return nil, fault(err, "the header cannot be read, want CSV as `elbo encode` writes it")
	}
	place, named, found := make([]int, c.width), slices.Index(header, "image"), 0
	for _, column := range header {
		if number, ok := strings.CutPrefix(column, c.prefix); ok {
			if _, err := strconv.Atoi(number); err == nil {
				found++
			}
		}
	}
	for j := range place {
		place[j] = slices.Index(header, c.prefix+strconv.Itoa(c.first+j))
		if found != c.width || place[j] < 0 {
			hint := ""
			if c.array == "table" && slices.Contains(header, "prob_1") {
				hint = "; those of the likeliest states alone do not do: `elbo encode --top 0` writes all"
			}
			return nil, fault(nil, "%d columns %s%d, %s%d, ..., want %d: %s%s", found, c.prefix, c.first, c.prefix, c.first+1, c.width, c.what, hint)
		}
	}
	var values []float32
	var images []string
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fault(err, "damaged CSV after %d rows", len(images))
		}
		for _, at := range place {
			v, err := strconv.ParseFloat(row[at], 32)
			if err != nil {
				return nil, fault(nil, "row %d, %s is %.40q, want a number", len(images), header[at], row[at])
			}
			values = append(values, float32(v))
		}
		image := strconv.Itoa(len(images))
		if named >= 0 {
			image = row[named]
		}
		images = append(images, image)
	}
	f, err := c.file(name, values)
	if err == nil {
		f.Images = images
	}
	return f, err
}

// readArrays reads the one array of a .npy file, or that of the form from an archive, with
// the images' names.
func (c codeForm) readArrays(path string) (*CodeFile, error) {
	arrays, err := data.ReadArrays(path, c.array, "image")
	if err != nil {
		return nil, err
	}
	var values *data.Array
	var images []string
	for _, a := range arrays {
		if a.Name == "image" {
			images = a.Texts
		} else {
			values = a
		}
	}
	fault := func(format string, args ...any) error {
		return &data.FormatError{File: path, Problem: fmt.Sprintf(format, args...)}
	}
	if values == nil {
		return nil, fault("an archive without the array %q, want it: %s", c.array, c.what)
	}
	shape := values.Shape
	if len(shape) == 1 && c.width > 1 && shape[0] == c.width || len(shape) == 1 && c.width == 1 { // one code, or codes of one number
		shape = []int{shape[0] / c.width, c.width}
	}
	if len(shape) != 2 || shape[1] != c.width {
		return nil, fault("an array of shape %s, want [N, %d]: %s; are they codes of another run?", shapeOf(values.Shape), c.width, c.what)
	}
	floats := values.Floats
	for _, v := range values.Ints {
		floats = append(floats, float32(v))
	}
	f, err := c.file(path, floats)
	if err == nil && images != nil {
		if len(images) != f.N {
			return nil, fault("%d names for %d codes, want one each", len(images), f.N)
		}
		f.Images = images
	}
	return f, err
}

// shapeOf writes a shape as Python does, in brackets.
func shapeOf(shape []int) string {
	return strings.ReplaceAll(fmt.Sprint(shape), " ", ", ")
}

// DecodeCodes returns E[x|z], [N, D], of the codes of a file; of a model without a latent
// space its mean over the states, Σ_z p(z|x) E[x|z]. From what the same model made of
// images, codes of a VAE or tables of a mixture, come the images that Reconstruct makes.
func (s *Setup) DecodeCodes(f *CodeFile) ([]float32, error) {
	switch m := s.Model.(type) {
	case Latent:
		return s.Decode(f.Mean)
	case Tabular:
		return expected(f.Table, m.Table().Means(), s.Dataset.D()), nil
	}
	_, err := s.codeForm()
	return nil, err
}
