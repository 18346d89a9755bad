package model

import (
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat/distmv"

	"elbo/graph/graphtest"
)

// TestMembersOfAFullCovariance against gonum's multivariate normal: density, ratio, moments,
// and the way from moments to the member and back.
func TestMembersOfAFullCovariance(t *testing.T) {
	const latent = 4
	q := FullGaussian{latent}
	size, _ := q.Sizes()
	h := graphtest.Random("h", 1, 0.6, 2, size).Value
	var normals [2]*distmv.Normal
	for k := range normals {
		member := h[k*size:][:size]
		covariance := q.Covariance(member)
		normal, ok := distmv.NewNormal(q.Mean(member), mat.NewSymDense(latent, covariance), nil)
		if !ok {
			t.Fatal("not positive definite")
		}
		normals[k] = normal
		for j, v := range q.Variance(member) {
			if math.Abs(v-covariance[j*latent+j]) > 1e-12 {
				t.Errorf("variance %g, on the diagonal %g", v, covariance[j*latent+j])
			}
		}
		for i, v := range q.FromMoments(q.Mean(member), covariance) {
			if math.Abs(float64(v-member[i])) > 1e-5 {
				t.Errorf("number %d of a member by its own moments is %g, want %g", i, v, member[i])
			}
		}
	}
	rng := rand.New(rand.NewPCG(2, 3))
	for range 5 {
		eps, z := make([]float32, latent), q.Mean(h[:size])
		l := q.factor(h)
		for i := range eps {
			eps[i] = float32(rng.NormFloat64())
		}
		for i := range z {
			for j, v := range l.row(i) {
				z[i] += v * float64(eps[j])
			}
		}
		if got, want := q.LogProbRatio(h[size:], h[:size], eps), normals[1].LogProb(z)-normals[0].LogProb(z); math.Abs(got-want) > 1e-9*math.Max(1, math.Abs(want)) {
			t.Errorf("log ratio %.12g, want %.12g", got, want)
		}
		slope := make([]float64, latent)
		if got, want := q.LogDensity(h[size:], z, slope), normals[1].LogProb(z); math.Abs(got-want) > 1e-9*math.Max(1, math.Abs(want)) {
			t.Errorf("log density %.12g, want %.12g", got, want)
		}
		for j, want := range normals[1].ScoreInput(nil, z) {
			if math.Abs(slope[j]-want) > 1e-8*math.Max(1, math.Abs(want)) {
				t.Errorf("slope %.9g, want %.9g", slope[j], want)
			}
		}
	}
}

// TestACovarianceWithoutACholeskyFactorStillHasAMember: one that rounding, or a posterior on a
// line, has left singular or worse keeps its variances.
func TestACovarianceWithoutACholeskyFactorStillHasAMember(t *testing.T) {
	q := FullGaussian{3}
	for _, covariance := range [][]float64{
		{1, 1, 0, 1, 1, 0, 0, 0, 2},
		{1, 1.1, 0, 1.1, 1, 0, 0, 0, 2},
		{1, -5, 5, -5, 1, 5, 5, 5, 0},
	} {
		for i, v := range q.Variance(q.FromMoments([]float64{1, 2, 3}, covariance)) {
			if want := max(covariance[i*3+i], 1e-12); math.Abs(v-want) > 1e-5*want {
				t.Errorf("%v: variance %d is %g, want %g", covariance, i, v, want)
			}
		}
	}
}

// TestCoordinatesOfASearch: the origin is the member that a search begins with, and Pull is
// the transpose of At's derivative, by central differences, for each family that has
// coordinates of its own.
func TestCoordinatesOfASearch(t *testing.T) {
	const latent = 3
	for name, q := range map[string]Posterior{
		"diagonal": DiagonalGaussian{latent},
		"full":     FullGaussian{latent},
		"flow":     &FlowPosterior{latent: latent, context: 2, flow: bentFlow(CouplingFlow, latent, 2, 3)},
	} {
		size, _ := q.Sizes()
		scaled := q.(Scaled)
		from := graphtest.Random("from", 4, 0.5, 1, size).Value
		pull := graphtest.Random("pull", 5, 1, 1, size).Value
		u, h, du := make([]float32, size), make([]float32, size), make([]float32, size)
		scaled.Origin(u, from)
		scaled.At(h, u, from)
		for i := range h {
			if math.Abs(float64(h[i]-from[i])) > 1e-6 {
				t.Errorf("%s: number %d is %g at the origin, want %g", name, i, h[i], from[i])
			}
		}
		for i := range u { // anywhere
			u[i] += 0.3 * pull[size-1-i]
		}
		scaled.Pull(du, pull, from)
		along := func() float64 {
			scaled.At(h, u, from)
			sum := 0.0
			for i, v := range h {
				sum += float64(v) * float64(pull[i])
			}
			return sum
		}
		for i := range u {
			const step = 1. / 16 // At is linear: what is left is the rounding of float32
			u[i] += step
			up := along()
			u[i] -= 2 * step
			down := along()
			u[i] += step
			if got, want := float64(du[i]), (up-down)/(2*step); math.Abs(got-want) > 1e-4 {
				t.Errorf("%s: derivative %d is %g, want %g", name, i, got, want)
			}
		}
	}
}
