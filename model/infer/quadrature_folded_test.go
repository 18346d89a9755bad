package infer

import (
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/mat"

	"elbo/graph"
	"elbo/model"
	"elbo/model/modeltest"
)

// foldedVAE is a VAE whose posteriors have two modes, of about the given standard
// deviation and of a gain-th of it, and a few images drawn from it, [n, D].
func foldedVAE(t *testing.T, rng *rand.Rand, pixels, latent int, sd, gain float64, correlated bool, n int) (f *modeltest.Folded, m *model.VAE, x []float32) {
	t.Helper()
	w, b := mat.NewDense(pixels, latent, nil), make([]float64, pixels)
	for i := range pixels {
		common := rng.NormFloat64()
		for j := range latent {
			v := rng.NormFloat64()
			if correlated {
				v = 0.7*v + 0.7*common
			}
			w.Set(i, j, v/math.Sqrt(float64(pixels)))
		}
		b[i] = rng.NormFloat64()
	}
	f = modeltest.NewFolded(t, modeltest.NewPPCA(t, w, b, sd*sd), 2*rng.Float64()-1, gain)
	m = newVAE(t, model.VAEConfig{Pixels: pixels, Hidden: []int{2 * latent}, Latent: latent, Activation: graph.ReLU, Likelihood: model.GaussianName, Variance: sd * sd, Objective: model.ELBO, Draws: 1}, func(string) graph.Uniform { return half{} })
	f.Fill(t, m.Params())
	for range n {
		for _, v := range f.Sample(rng) {
			x = append(x, float32(v))
		}
	}
	return f, m, x
}

// TestQuadratureFindsASecondModeBetweenItsNodes: against the closed form of a decoder that
// folds the latent space, whose posteriors have two modes, down to a sixtieth of the
// lattice's spacing wide, so that the nodes next to one may lie hundreds of nats below
// those next to the other. The modes are as wide as each other, or one is a quarter of the
// other, which alone decides how fine the first lattice looks. To lose a mode that holds
// half of p(x) costs log 2.
func TestQuadratureFindsASecondModeBetweenItsNodes(t *testing.T) {
	const pixels, models, images = 12, 4, 6
	for _, c := range []struct {
		latent     int
		correlated bool
	}{{1, false}, {2, false}, {2, true}, {3, false}, {3, true}} {
		o := DefaultQuadrature(c.latent)
		for _, s := range []struct{ narrow, gain float64 }{{8, 1}, {25, 1}, {60, 1}, {8, 4}} {
			sd, both := o.Spacing/s.narrow, 0
			for k := range models {
				f, m, x := foldedVAE(t, rand.New(rand.NewPCG(uint64(100*c.latent+k), uint64(s.narrow))), pixels, c.latent, sd, s.gain, c.correlated, images)
				few := o
				few.MaxNodes = 192 << (2 * (c.latent - 1)) // no more than a few tiles
				hurried := quadrature(t, m.Joint, few, x)
				for i, e := range quadrature(t, m.Joint, o, x) {
					image := modeltest.Floats(x[i*pixels:][:pixels])
					right, left, share := f.Modes(image)
					if min(right[0]-f.C, f.C-left[0]) < o.Spacing {
						continue // one mode, or two with no node of its own for each
					}
					if math.Min(share, 1-share) > 0.05 {
						both++
					}
					// The decoder's output, of size 4 at most, is rounded to float32, and the
					// residuals of D pixels, each about one deviation of the noise, add up.
					rounding := 4 * math.Exp2(-24) * math.Sqrt(pixels) * 4 / sd
					truth := f.LogEvidence(image)
					off := math.Abs(e.LogP - truth)
					if h := hurried[i]; math.Abs(h.LogP-truth) > h.Error+rounding {
						t.Errorf("few nodes allowed: %+v, spacing/%g, gain %g, model %d, image %d: off by %.3g, stated error %.3g", c, s.narrow, s.gain, k, i, math.Abs(h.LogP-truth), h.Error)
					}
					if off > e.Error+rounding {
						t.Errorf("%+v, spacing/%g, gain %g, model %d, image %d: off by %.3g, stated error %.3g", c, s.narrow, s.gain, k, i, off, e.Error)
					}
					// Whatever is stated: both modes are found. Halvings that do not suffice for
					// modes as narrow leave less than a tenth of what losing one costs.
					if off > 0.05+rounding {
						t.Errorf("%+v, spacing/%g, gain %g, model %d, image %d: off by %.3g", c, s.narrow, s.gain, k, i, off)
					}
				}
			}
			if both < models {
				t.Errorf("%+v, spacing/%g, gain %g: %d images with two modes that count: too few to test anything", c, s.narrow, s.gain, both)
			}
		}
	}
}
