package train

import (
	"context"
	"fmt"
	"slices"

	"elbo/data"
	"elbo/model/infer"
)

// Impute fills in the missing pixels of the images of v, [D] for all alike or [N, D]: of a
// model with a table exactly, see [infer.ImputeTable], of a VAE by a chain, see
// [infer.Impute].
func (s *Setup) Impute(ctx context.Context, v data.View, missing []bool, o infer.ImputeOptions) (*infer.Imputed, error) {
	switch m := s.Model.(type) {
	case Tabular:
		return infer.ImputeTable(ctx, m.Table(), v, missing, o.Seed)
	case Amortised:
		return infer.Impute(ctx, m.VAE(), v, missing, o)
	}
	return nil, &ConfigError{fmt.Errorf("a %s has neither a table nor an encoder: its missing pixels cannot be filled in", s.Config.Model)}
}

// ReadMask reads which pixels are missing from a .npy file, 1 or True where one is, as
// numpy.ma has it: of one image, [D], [R, C] or in colour [R, C, 3], or of each image of v, with
// N before it.
// The result is [D] or [N, D]. Every error is a *data.FormatError.
func ReadMask(path string, v data.View) ([]bool, error) {
	fault := func(format string, args ...any) error {
		return &data.FormatError{File: path, Problem: fmt.Sprintf(format, args...)}
	}
	arrays, err := data.ReadArrays(path)
	if err != nil {
		return nil, err
	}
	if len(arrays) != 1 {
		return nil, fault("an archive of %d arrays, want one: save the mask alone with numpy.save", len(arrays))
	}
	a := arrays[0]
	plane, channels := []int{v.Rows(), v.Cols()}, v.Channels()
	one := [][]int{{v.D()}, plane}
	if channels > 1 {
		one = append(one, []int{v.Rows(), v.Cols(), channels})
	}
	fits := slices.ContainsFunc(one, func(shape []int) bool {
		return slices.Equal(a.Shape, shape) || slices.Equal(a.Shape, append([]int{v.N()}, shape...))
	})
	if !fits {
		of := func(shape []int) string { return shapeOf(shape) }
		return nil, fault("a mask of shape %s, want %s or %s, one for all images, or %s, one for each of the %d: choose as many images with --n as the mask has",
			of(a.Shape), of(one[1]), of(one[0]), of(append([]int{v.N()}, one[1]...)), v.N())
	}
	missing, any := make([]bool, a.Len()), false
	for i := range missing {
		value := 0.0
		if a.Ints != nil {
			value = float64(a.Ints[i])
		} else if a.Floats != nil {
			value = float64(a.Floats[i])
		}
		if value != 0 && value != 1 {
			return nil, fault("element %d is %g, want 1 (missing) or 0 (observed)", i, value)
		}
		missing[i] = value == 1
		any = any || missing[i]
	}
	if channels > 1 && slices.Equal(a.Shape[max(0, len(a.Shape)-2):], plane) { // of pixels, for all their channels
		levels := make([]bool, 0, len(missing)*channels)
		for _, m := range missing {
			for range channels {
				levels = append(levels, m)
			}
		}
		missing = levels
	}
	if !any {
		return nil, fault("no pixel is missing, want 1 (True) where one is, as numpy.ma has it: was the mask of the observed pixels meant? Save 1 - mask")
	}
	return missing, nil
}
