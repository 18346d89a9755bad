package model

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"elbo/graph"
)

// normalCDF is the distribution function of N(0, 1).
func normalCDF(x float64) float64 { return math.Erfc(-x/math.Sqrt2) / 2 }

// TestEqualMassPointsAreMediansOfTheirSlices: below point i lie the mass of i slices
// and half of its own.
func TestEqualMassPointsAreMediansOfTheirSlices(t *testing.T) {
	for _, n := range []int{1, 2, 3, 20, 1000} {
		points, logWeights, err := EqualMass.line(n)
		if err != nil {
			t.Fatal(err)
		}
		for i, x := range points {
			if got, want := normalCDF(x), (float64(i)+0.5)/float64(n); math.Abs(got-want) > 1e-13 {
				t.Errorf("%d points: the mass below point %d is %.15f, want %.15f", n, i, got, want)
			}
			if got := math.Exp(logWeights[i]) * float64(n); math.Abs(got-1) > 1e-12 {
				t.Errorf("%d points: point %d weighs %g of its slice", n, i, got)
			}
		}
	}
}

// TestGaussHermiteIntegratesPolynomialsExactly: with n points all moments of N(0, 1)
// up to the degree 2n - 1 are right, and the one of degree 2n is not.
func TestGaussHermiteIntegratesPolynomialsExactly(t *testing.T) {
	for n := 1; n <= 12; n++ {
		points, logWeights, err := Hermite.line(n)
		if err != nil {
			t.Fatal(err)
		}
		moment := 1.0 // E[x^degree] for even degrees: (degree - 1)!!
		for degree := 0; degree <= 2*n; degree++ {
			if degree > 0 && degree%2 == 0 {
				moment *= float64(degree - 1)
			}
			want := moment
			if degree%2 == 1 {
				want = 0
			}
			got := 0.0
			for i, x := range points {
				got += math.Exp(logWeights[i]) * math.Pow(x, float64(degree))
			}
			// Points have errors of about 1e-15, which their powers multiply by the
			// degree; odd moments are differences of numbers as large as even ones.
			if exact := math.Abs(got-want) <= 1e-12*moment*float64(1+degree*degree); exact != (degree < 2*n) {
				t.Errorf("%d points: E[x^%d] = %.12g, N(0, 1) has %.12g", n, degree, got, want)
			}
		}
	}
}

// TestALatticeIsEvenlySpaced from -3 to 3, with weights in proportion to exp(-x²/2).
func TestALatticeIsEvenlySpaced(t *testing.T) {
	for _, n := range []int{1, 2, 7, 50} {
		points, logWeights, err := Lattice.line(n)
		if err != nil {
			t.Fatal(err)
		}
		for i, x := range points {
			want := 0.0
			if n > 1 {
				want = -3 + 6*float64(i)/float64(n-1)
			}
			ratio := logWeights[i] - logWeights[0] + (x*x-points[0]*points[0])/2
			if math.Abs(x-want) > 1e-14 || math.Abs(ratio) > 1e-13 {
				t.Errorf("%d points: point %d is %g with log weight %g; want %g", n, i, x, logWeights[i], want)
			}
		}
	}
}

// TestAGridIsAProductOfItsLines, the first dimension slowest, with weights that sum to 1.
func TestAGridIsAProductOfItsLines(t *testing.T) {
	for _, rule := range GridRules {
		for _, extent := range [][]int{{1}, {6}, {3, 4}, {1, 5}, {4, 1, 3}, {2, 3, 5}} {
			g, err := NewGrid(rule, extent)
			if err != nil {
				t.Fatal(err)
			}
			z, k := len(extent), 1
			for _, n := range extent {
				k *= n
			}
			if !slices.Equal(g.Extent, extent) || len(g.Points) != k*z || len(g.LogWeights) != k {
				t.Fatalf("%s %v: extent %v, %d coordinates, %d weights", rule, extent, g.Extent, len(g.Points), len(g.LogWeights))
			}
			sum := 0.0
			for i := range k {
				logWeight, rest := 0.0, i
				for axis := z - 1; axis >= 0; axis-- { // the last dimension is the fastest
					points, logWeights, err := rule.line(extent[axis])
					if err != nil {
						t.Fatal(err)
					}
					at := rest % extent[axis]
					rest /= extent[axis]
					logWeight += logWeights[at]
					if got := g.Points[i*z+axis]; got != float32(points[at]) {
						t.Errorf("%s %v: point %d is %g along dimension %d, want %g", rule, extent, i, got, axis+1, points[at])
					}
				}
				sum += math.Exp(float64(g.LogWeights[i]))
				// As many roundings as dimensions, of logarithms below 30.
				if math.Abs(float64(g.LogWeights[i])-logWeight) > 3*30*roundoff {
					t.Errorf("%s %v: point %d has the log weight %g, want %g", rule, extent, i, g.LogWeights[i], logWeight)
				}
			}
			// Weights have the relative errors of that, the large ones smaller.
			if math.Abs(sum-1) > 1e-6 {
				t.Errorf("%s %v: weights sum to %.8f", rule, extent, sum)
			}
		}
	}
}

func TestAnImpossibleGridIsNamed(t *testing.T) {
	for _, test := range []struct {
		rule   GridRule
		extent []int
		want   string
	}{
		{EqualMass, nil, "grid has 0 dimensions, want 1 to 3"},
		{EqualMass, []int{2, 2, 2, 2}, "grid has 4 dimensions, want 1 to 3"},
		{EqualMass, []int{5, 0}, "grid has 0 points along dimension 2, want 1 to 100000"},
		{Lattice, []int{-3}, "grid has -3 points along dimension 1, want 1 to 100000"},
		{Lattice, []int{100001}, "grid has 100001 points along dimension 1, want 1 to 100000"},
		{EqualMass, []int{5000, 5000}, "grid has more than 16777216 points: take fewer along a dimension, or fewer dimensions"},
		{"spiral", []int{5}, `unknown grid-rule "spiral", want one of equal-mass, gauss-hermite, lattice`},
	} {
		if _, err := NewGrid(test.rule, test.extent); err == nil || err.Error() != test.want {
			t.Errorf("NewGrid(%s, %v) = %v, want %q", test.rule, test.extent, err, test.want)
		}
	}
}

// TestWhatAGridRaisesMatchesItsTwin compares Q with the sum over states and pixels, by
// plain loops over float64, and its gradient with central differences of that.
func TestWhatAGridRaisesMatchesItsTwin(t *testing.T) {
	for i, f := range graph.Activations {
		for _, hidden := range [][]int{nil, {5}, {4, 3}} {
			t.Run(fmt.Sprint(f, hidden), func(t *testing.T) {
				const n, d = 30, 6
				fit := newGridFit(t, EMConfig{Pixels: d, Prior: Shared}, []int{3, 2}, hidden, f, uint64(21+i), n)
				m, k := fit.grid, 6
				s := randomStatistics(rand.New(rand.NewPCG(8, 8)), m.EM, fit.x)
				// A state without weight counts nothing.
				s.Counts[2] = 0
				clear(s.Sums[2*d:][:d])
				s.Images = 0
				for _, c := range s.Counts {
					s.Images += c
				}
				m.Maximising(s)
				q := expectedOf(t, m)

				var decoder [][]float64
				for _, p := range m.Decoder() {
					decoder = append(decoder, widen(p.Value))
				}
				twin := func() float64 {
					sum := 0.0
					for i, l := range decode64(m.Config.Grid, decoder) {
						sum += s.Sums[i]*l - s.Counts[i/d]*softplus64(l)
					}
					return sum / s.Images
				}
				// Two layers of at most 5 terms, then sums over 6 pixels and 6 states:
				// below 40 float32 roundings of numbers of the size of Q, or of the
				// largest gradient. Central differences add 1e-9.
				const tolerance = 40
				if want := twin(); math.Abs(q-want) > tolerance*roundoff*math.Abs(want) {
					t.Errorf("Q = %.8f, want %.8f", q, want)
				}
				for i, p := range m.Decoder() {
					var want []float64
					scale := 0.0
					for j := range decoder[i] {
						at, step := decoder[i][j], 1e-5
						decoder[i][j] = at + step
						up := twin()
						decoder[i][j] = at - step
						want = append(want, -(up-twin())/(2*step)) // of -Q
						decoder[i][j] = at
						scale = max(scale, math.Abs(want[j]))
					}
					for j, g := range m.DecoderGrad(i) {
						if math.Abs(float64(g)-want[j]) > tolerance*roundoff*max(scale, 1)+1e-9 {
							t.Errorf("gradient of %s, element %d: %.8f, want %.8f", p.Name, j, g, want[j])
						}
					}
				}
				// The M-step of a shared prior is the share of each state.
				for i := range k {
					if got, want := math.Exp(float64(m.LogPrior()[i])), s.Counts[i]/s.Images; math.Abs(got-want) > 1e-6 {
						t.Errorf("p(z=%d) = %g, want %g", i, got, want)
					}
				}
			})
		}
	}
}

// TestAGridHasTheDecoderOfAVAE: the same names and shapes, so that weights can go from
// one to the other, and then the same images.
func TestAGridHasTheDecoderOfAVAE(t *testing.T) {
	for _, f := range graph.Activations {
		c := smallConfig()
		c.Latent, c.Activation = 2, f
		vae := testVAE(t, c)
		fit := newGridFit(t, EMConfig{Pixels: c.Pixels, Prior: Fixed}, []int{4, 3}, c.Hidden, f, 23, 5)
		values := map[string]*graph.Param{}
		for _, p := range vae.Params() {
			values[p.Name] = p
		}
		before := fit.m.Means()
		for _, p := range fit.grid.Decoder() {
			from := values[p.Name]
			if from == nil || !slices.Equal(from.Shape, p.Shape) {
				t.Fatalf("the VAE has no %s of the shape %v", p.Name, p.Shape)
			}
			copy(p.Value, from.Value)
			delete(values, p.Name)
		}
		for name := range values {
			if name[:7] == "decoder" {
				t.Errorf("the grid has no %s", name)
			}
		}
		if err := fit.grid.Refresh(); err != nil {
			t.Fatal(err)
		}
		points := fit.m.Config.Grid.Points
		d, err := vae.NewDecoder(len(points) / 2)
		if err != nil {
			t.Fatal(err)
		}
		want, err := d.Decode(points)
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range fit.m.Means() {
			if math.Abs(float64(v-want[i])) > 20*roundoff { // layers of at most 7 terms; a mean is below 1
				t.Fatalf("%s: mean %d is %g, the VAE's decoder gives %g", f, i, v, want[i])
			}
		}
		if slices.Equal(before, want) {
			t.Errorf("%s: the weights were the same before", f)
		}
	}
}
