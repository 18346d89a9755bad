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

// linearPush is the prior of z = A u + c, u ~ N(0, I), which knows no density of z.
type linearPush struct{ a, c *graph.Param }

func (linearPush) String() string                                { return "A N(0, I) + c" }
func (p linearPush) Params() []*graph.Param                      { return []*graph.Param{p.a, p.c} }
func (linearPush) LogProb(*graph.Builder, graph.Node) graph.Node { panic("quadrature is over u") }
func (linearPush) Draw([]float64, model.Noise)                   { panic("nothing is drawn") }
func (p linearPush) Push(b *graph.Builder, u graph.Node) graph.Node {
	return b.Affine(u, b.Param(p.a), b.Param(p.c), graph.Identity)
}

// TestQuadratureUnderAPushForward: with z = A u + c a linear-Gaussian model in z is one in
// u, of weights W A and means W c + b. Evidence, and the mean and covariance of z itself,
// are those of its closed form, from posteriors as wide as the lattice to such as need
// halvings.
func TestQuadratureUnderAPushForward(t *testing.T) {
	const pixels = 12
	for latent := 1; latent <= 3; latent++ {
		for _, scale := range []float64{0.3, 3} {
			rng := rand.New(rand.NewPCG(uint64(latent), uint64(10*scale)))
			p := modeltest.RandomPPCA(t, rng, pixels, latent, scale, 0.25, false)
			prior := linearPush{graph.NewParam("a", latent, latent), graph.NewParam("c", latent)}
			a, c := mat.NewDense(latent, latent, nil), mat.NewVecDense(latent, nil)
			for i := range latent {
				prior.c.Value[i] = float32(rng.NormFloat64())
				c.SetVec(i, float64(prior.c.Value[i]))
				for j := range latent {
					prior.a.Value[i*latent+j] = float32(rng.NormFloat64())
					a.Set(i, j, float64(prior.a.Value[i*latent+j]))
				}
			}
			var w mat.Dense
			w.Mul(p.W, a)
			var shift mat.VecDense
			shift.MulVec(p.W, c)
			shift.AddVec(&shift, mat.NewVecDense(pixels, p.B))
			truth := modeltest.NewPPCA(t, &w, shift.RawVector().Data, p.Variance)
			m, _ := linearVAE(t, p, rng, 1)
			_, x := linearVAE(t, truth, rng, 10)
			m.Joint.Prior = prior
			for i, e := range quadrature(t, m.Joint, DefaultQuadrature(latent), x) {
				image := modeltest.Floats(x[i*pixels:][:pixels])
				// W A and W c are rounded to float32 by the closed form, and each pixel is off
				// by that of a number of size 10, at a residual of a deviation.
				rounding := 10 * math.Exp2(-24) * math.Sqrt(pixels) / math.Sqrt(p.Variance) * 8
				if off := math.Abs(e.LogP - truth.LogEvidence(image)); off > e.Error+rounding {
					t.Errorf("%d dimensions, weights of %g: off by %.3g, stated error %.3g", latent, scale, off, e.Error)
				}
				mean, covariance := truth.Posterior(image)
				var at mat.VecDense
				at.MulVec(a, mat.NewVecDense(latent, mean))
				at.AddVec(&at, c)
				var spread mat.Dense
				spread.Product(a, covariance, a.T())
				for j := range latent {
					sd := math.Sqrt(spread.At(j, j))
					if d := math.Abs(e.Mean[j] - at.AtVec(j)); d > 0.01*sd+1e-5 {
						t.Errorf("%d dimensions, weights of %g: E[z_%d|x] = %.5f, want %.5f", latent, scale, j, e.Mean[j], at.AtVec(j))
					}
					for k := range latent {
						if d := math.Abs(e.Covariance[j*latent+k] - spread.At(j, k)); d > 0.01*sd*math.Sqrt(spread.At(k, k))+1e-5 {
							t.Errorf("%d dimensions, weights of %g: Cov[z_%d, z_%d|x] = %.6f, want %.6f", latent, scale, j, k, e.Covariance[j*latent+k], spread.At(j, k))
						}
					}
				}
			}
		}
	}
}
