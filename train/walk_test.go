package train

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"

	"elbo/model"
)

// TestASphericalWayTurnsEvenlyAndKeepsToTheNorms: every step turns by the same angle, and
// its length is on the line between those of the ends. Codes are float32, so 1e-6 of a
// length of some units.
func TestASphericalWayTurnsEvenlyAndKeepsToTheNorms(t *testing.T) {
	a, b := []float32{3, 0, 0}, []float32{0, 1, 1}
	const steps = 7
	z, err := Between(a, b, steps, Spherical)
	if err != nil || len(z) != 3*steps || !slices.Equal(z[:3], a) {
		t.Fatalf("%v, %v", z, err)
	}
	for i := range steps {
		length := 3 + (math.Sqrt2-3)*float64(i)/(steps-1)
		angle := math.Pi / 2 * float64(i) / (steps - 1)
		row := z[3*i:][:3]
		if math.Abs(norm(row)-length) > 1e-5 || math.Abs(float64(row[0])-length*math.Cos(angle)) > 1e-5 {
			t.Errorf("step %d is %v, want length %g at angle %g", i, row, length, angle)
		}
	}
	z, err = Between(a, b, 3, Linear)
	if want := []float32{3, 0, 0, 1.5, 0.5, 0.5, 0, 1, 1}; err != nil || !slices.Equal(z, want) {
		t.Errorf("linear %v, %v, want %v", z, err, want)
	}
	parallel := []float32{6, 0, 0}
	if z, err = Between(a, parallel, 3, Spherical); err != nil || !slices.Equal(z, []float32{3, 0, 0, 4.5, 0, 0, 6, 0, 0}) {
		t.Errorf("between parallel codes %v, %v", z, err)
	}
	for name, c := range map[string]struct {
		to    []float32
		steps int
		path  Path
	}{
		"the same code": {a, 5, Linear}, "opposite codes": {[]float32{-1, 0, 0}, 5, Spherical},
		"the code 0": {[]float32{0, 0, 0}, 5, Spherical}, "one step": {b, 1, Linear}, "no such path": {b, 5, "straight"},
	} {
		if _, err := Between(a, c.to, c.steps, c.path); err == nil {
			t.Errorf("%s: no error", name)
		} else if _, ok := errors.AsType[*ConfigError](err); !ok {
			t.Errorf("%s: %v is no ConfigError", name, err)
		}
	}
}

// TestTheKLOfDimensionsIsThatOfTheScore: of a VAE each is the one of its evaluation, to
// rounding; of a grid of one dimension it is the whole KL, which float32 knows to 1e-4.
func TestTheKLOfDimensionsIsThatOfTheScore(t *testing.T) {
	ctx := context.Background()
	s := newTestSetup(t, smallConfig(t))
	kl, err := s.KLPerDimension(ctx, s.Validation)
	if err != nil {
		t.Fatal(err)
	}
	for j, want := range score(t, s, s.Validation, ScoreOptions{Samples: 1, Seed: 1}).KLPerDim {
		if math.Abs(kl[j]-want) > 1e-9 {
			t.Errorf("dimension %d: %g, want %g", j, kl[j], want)
		}
	}
	c := emConfig(t, GridModel)
	c.grid().Grid, c.network().Latent = []int{7}, 1
	s, _, _ = runEM(t, c, newHastyRun(t, c), nil)
	if kl, err = s.KLPerDimension(ctx, s.Validation); err != nil || math.Abs(kl[0]-score(t, s, s.Validation, ScoreOptions{}).KL) > 1e-4 {
		t.Errorf("grid: %v, %v", kl, err)
	}
	if _, err = newTestSetup(t, emConfig(t, MixtureModel)).KLPerDimension(ctx, s.Validation); !errors.Is(err, ErrNoCodes) {
		t.Errorf("mixture: %v", err)
	}
}

// TestATraversalMovesOneDimension: sorted by KL, with the images that Decode makes of the
// codes, and of a grid within its points.
func TestATraversalMovesOneDimension(t *testing.T) {
	ctx := context.Background()
	c := emConfig(t, GridModel)
	c.grid().GridRule = model.Lattice // from -3 to 3
	for name, s := range map[string]*Setup{"vae": newTestSetup(t, smallConfig(t)), "grid": newTestSetup(t, c)} {
		rows, err := s.Traverse(ctx, s.Validation, []float32{0.5, -1}, 2, 5, 4)
		if err != nil || len(rows) != 2 || !(rows[0].KL >= rows[1].KL) {
			t.Fatalf("%s: %v, %v", name, rows, err)
		}
		reach := map[string]float64{"vae": 4, "grid": 3}[name]
		for _, row := range rows {
			if row.At[0] != -reach || row.At[4] != reach || row.At[2] != 0 {
				t.Errorf("%s: at %v, want from %g to %[3]g", name, row.At, -reach)
			}
			code := []float32{0.5, -1}
			code[row.Dimension] = float32(row.At[1])
			want, err := s.Decode(code)
			// Blocks of another size may round otherwise: by 2⁻²³ of a sum of some terms near 1.
			for p, v := range row.Images[s.Dataset.D():][:s.Dataset.D()] {
				if err != nil || math.Abs(float64(v-want[p])) > 1e-5 {
					t.Fatalf("%s: dimension %d, pixel %d is %v, want %v (%v)", name, row.Dimension, p, v, want[p], err)
				}
			}
		}
	}
}
