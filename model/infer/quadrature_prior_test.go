package infer

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"

	"elbo/graph"
	"elbo/model"
	"elbo/model/modeltest"
)

// scaledNormal is the prior N(0, s² I), s of it.
type scaledNormal float64

func (s scaledNormal) String() string       { return fmt.Sprintf("N(0, %g² I)", float64(s)) }
func (scaledNormal) Params() []*graph.Param { return nil }
func (scaledNormal) LogProb(*graph.Builder, graph.Node) graph.Node {
	panic("its density needs no graph")
}

func (s scaledNormal) Draw(z []float64, noise model.Noise) {
	for j := range z {
		z[j] = float64(s) * noise.NormFloat64()
	}
}

func (s scaledNormal) LogDensity(z, slope []float64) float64 {
	sum := 0.0
	for j, v := range z {
		sum -= v*v/float64(2*s*s) + math.Log(2*math.Pi*float64(s*s))/2
		if slope != nil {
			slope[j] = -v / float64(s*s)
		}
	}
	return sum
}

func (s scaledNormal) MassOutside(dims int, reach float64) float64 {
	return float64(dims) * math.Erfc(reach/float64(s)/math.Sqrt2)
}

// TestQuadratureTakesItsPriorFromTheModel: a linear-Gaussian model with the prior
// N(0, s² I) and weights W is that with N(0, I) and s W. Weights near 0 leave the posterior
// as wide as the prior: with s = 4 a tenth or so of it lies outside the box, and the stated
// error must cover what is missing there.
func TestQuadratureTakesItsPriorFromTheModel(t *testing.T) {
	const pixels = 12
	for _, latent := range []int{1, 2} {
		for s, scales := range map[float64][]float64{0.5: {0.01, 1}, 4: {0.01}} {
			for _, scale := range scales { // of the weights
				rng := rand.New(rand.NewPCG(uint64(latent), uint64(10*s)))
				p := modeltest.RandomPPCA(t, rng, pixels, latent, scale, 0.25, false)
				var w mat.Dense
				w.Scale(s, p.W)
				truth := modeltest.NewPPCA(t, &w, p.B, p.Variance)
				m, _ := linearVAE(t, p, rng, 1)
				_, x := linearVAE(t, truth, rng, 10)
				m.Joint.Prior = scaledNormal(s)
				for i, e := range quadrature(t, m.Joint, DefaultQuadrature(latent), x) {
					want := truth.LogEvidence(modeltest.Floats(x[i*pixels:][:pixels]))
					off := math.Abs(e.LogP - want)
					if off > e.Error {
						t.Errorf("%d dimensions, s = %g, weights of %g: log p(x) = %.6f, want %.6f: off by %.3g, stated error %.3g", latent, s, scale, e.LogP, want, off, e.Error)
					}
					if s == 4 && off < 0.02 {
						t.Errorf("%d dimensions: off by %.3g only: this does not test mass outside the box", latent, off)
					}
				}
			}
		}
	}
}

// TestQuadratureRefusesAPriorWithoutABound by name, and says what there is instead.
func TestQuadratureRefusesAPriorWithoutABound(t *testing.T) {
	p := modeltest.RandomPPCA(t, rand.New(rand.NewPCG(1, 1)), 4, 1, 1, 1, true)
	m, _ := linearVAE(t, p, rand.New(rand.NewPCG(1, 2)), 1)
	m.Joint.Prior = struct{ model.Prior }{scaledNormal(2)} // with no more than a prior must have
	_, err := NewQuadrature(m.Joint, DefaultQuadrature(1), 1)
	if _, ok := errors.AsType[*OptionError](err); !ok || !strings.Contains(err.Error(), "N(0, 2² I)") || !strings.Contains(err.Error(), "--samples") {
		t.Errorf("NewQuadrature = %v, want an error of the options that names the prior and --samples", err)
	}
}
