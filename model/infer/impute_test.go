package infer

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"gonum.org/v1/gonum/mat"

	"elbo/data"
	"elbo/graph"
	"elbo/graph/graphtest"
	"elbo/model"
	"elbo/model/modeltest"
)

// someMissing is a mask for images of d pixels, another one for each of n.
func someMissing(n, d int, share float64) []bool {
	rng := rand.New(rand.NewPCG(3, 4))
	missing := make([]bool, n*d)
	for i := range missing {
		missing[i] = rng.Float64() < share
	}
	for i := range n { // some of each in every image
		missing[i*d], missing[i*d+1] = true, false
	}
	return missing
}

// TestImputedPixelsAreDrawsOfTheConditional: where p(x_mis|x_obs) is a Gaussian in closed
// form, draws have its mean and covariance, although the encoder is wrong.
//
// Whitened by the conditional of its image, u = L⁻¹(x_mis - m), a draw is N(0, I), and those
// of different images are independent. Of U numbers in all, the mean has the standard error
// 1/√U, and the mean square √(2/U); each must be within four. Without the correction both
// are off by more than that, as the encoder's means and variances are. So is the mean of the
// second half of the steps where the correction takes z's own encoding for the present one:
// its standard error is that of the images' own means.
func TestImputedPixelsAreDrawsOfTheConditional(t *testing.T) {
	const images, rows, cols, latent, variance, steps = 1500, 4, 4, 2, 0.05, 300
	v := plainView(t, images, rows, cols)
	v.Mode = data.None
	p := modeltest.RandomPPCA(t, rand.New(rand.NewPCG(7, 8)), rows*cols, latent, 0.3, variance, false)
	m := newVAE(t, model.VAEConfig{Pixels: rows * cols, Latent: latent, Activation: graph.ReLU, Likelihood: model.GaussianName, Variance: variance, Objective: model.ELBO, Draws: 1}, func(string) graph.Uniform { return half{} })
	p.Fill(t, m.Params())
	for _, param := range m.Params() {
		switch param.Name {
		case "encoder.0.weight": // does not follow x all the way
			for i := range latent * rows * cols {
				param.Value[i] *= 0.9
			}
		case "encoder.0.bias":
			for j := range latent {
				param.Value[j] = 0.9*param.Value[j] + 0.1 // and is off
				param.Value[latent+j] += 0.2              // and wider
			}
		}
	}
	d := rows * cols
	missing := someMissing(images, d, 0.75)
	got, err := Impute(context.Background(), m, v, missing, ImputeOptions{Steps: steps, Seed: 5})
	if err != nil {
		t.Fatal(err)
	}
	if !(got.Acceptance > 0.1 && got.Acceptance < 0.8) || got.Exact {
		t.Errorf("acceptance %.3f of a wrong encoder, want one between 0.1 and 0.8", got.Acceptance)
	}
	x := v.AllEvaluated()
	var draws, squares, means Running
	for i := range images {
		image, mask := modeltest.Floats(x[i*d:][:d]), missing[i*d:][:d]
		mean, covariance := p.Conditional(t, image, mask)
		var factor mat.Cholesky
		if !factor.Factorize(covariance) {
			t.Fatal("the conditional's covariance is not positive definite")
		}
		var lower mat.TriDense
		factor.LTo(&lower)
		off, offMean := mat.NewVecDense(len(mean), nil), mat.NewVecDense(len(mean), nil)
		k := 0
		for j, m := range mask {
			if !m {
				if got.Draw[i*d+j] != x[i*d+j] || got.Mean[i*d+j] != x[i*d+j] {
					t.Fatalf("image %d, pixel %d was observed and is changed", i, j)
				}
				continue
			}
			off.SetVec(k, float64(got.Draw[i*d+j])-mean[k])
			offMean.SetVec(k, float64(got.Mean[i*d+j])-mean[k])
			k++
		}
		var u, uMean mat.VecDense
		if err := errors.Join(u.SolveVec(&lower, off), uMean.SolveVec(&lower, offMean)); err != nil {
			t.Fatal(err)
		}
		sum := 0.0
		for j := range u.Len() {
			draws.Add(u.AtVec(j))
			squares.Add(u.AtVec(j) * u.AtVec(j))
			sum += uMean.AtVec(j) / float64(u.Len())
		}
		means.Add(sum)
	}
	n := float64(draws.N)
	t.Logf("%d pixels, acceptance %.3f: draws %.4f ± %.4f, squares %.4f ± %.4f, means %.4f ± %.4f", draws.N, got.Acceptance, draws.Mean, 1/math.Sqrt(n), squares.Mean, math.Sqrt(2/n), means.Mean, means.StandardError())
	if math.Abs(draws.Mean) > 4/math.Sqrt(n) || math.Abs(squares.Mean-1) > 4*math.Sqrt(2/n) {
		t.Errorf("whitened draws have the mean %.4f and the mean square %.4f, want 0 ± %.4f and 1 ± %.4f", draws.Mean, squares.Mean, 1/math.Sqrt(n), math.Sqrt(2/n))
	}
	if math.Abs(means.Mean) > 4*means.StandardError() {
		t.Errorf("whitened means have the mean %.4f, want 0 ± %.4f", means.Mean, means.StandardError())
	}

	first := v
	first.Subset = v.First(7)
	again, err := Impute(context.Background(), m, first, missing[:7*d], ImputeOptions{Steps: 10, Seed: 5})
	if err != nil {
		t.Fatal(err)
	}
	whole, err := Impute(context.Background(), m, v, missing, ImputeOptions{Steps: 10, Seed: 5})
	if err != nil {
		t.Fatal(err)
	}
	// Random numbers belong to the image; products of another number of rows may round
	// otherwise, by some 2⁻²³.
	for i := range again.Draw {
		if math.Abs(float64(again.Draw[i]-whole.Draw[i])) > 1e-4 {
			t.Fatalf("number %d is %v among 7 images and %v among %d", i, again.Draw[i], whole.Draw[i], images)
		}
	}
}

// TestATablesImputationIsExact compares with the sum over all that the missing pixels can
// be, each weighted by p(x) of the whole image, as EvaluateTable has it; float32 knows log
// p(x) to some 1e-6, and so the weights. Draws are right on average: 1200 of them, within
// four standard errors.
func TestATablesImputationIsExact(t *testing.T) {
	const images, rows, cols, states = 5, 2, 4, 3
	v := plainView(t, images, rows, cols)
	m, err := model.NewMixture(model.EMConfig{Pixels: rows * cols, States: states, Likelihood: model.BernoulliName, Prior: model.Shared, Smoothing: 0.1}, graphtest.Engine(2))
	if err != nil {
		t.Fatal(err)
	}
	point := m.Point()
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range point {
		point[i] = 0.05 + 0.9*rng.Float64()
	}
	m.SetPoint(point)
	d := rows * cols
	missing := someMissing(images, d, 0.4)
	got, err := ImputeTable(context.Background(), m.EM, v, missing, 1)
	if err != nil || !got.Exact {
		t.Fatal(err)
	}
	x := v.AllEvaluated()
	want := slices.Clone(x)
	for i := range images {
		var at []int
		for j := range d {
			if missing[i*d+j] {
				at = append(at, j)
				want[i*d+j] = 0
			}
		}
		filled := data.Images{N: 1 << len(at), Rows: rows, Cols: cols}
		for k := range filled.N {
			image := slices.Clone(x[i*d:][:d])
			for b, j := range at {
				image[j] = float32(k >> b & 1)
			}
			filled.Floats = append(filled.Floats, image...)
		}
		ds, err := data.New("filled", filled, data.Images{})
		if err != nil {
			t.Fatal(err)
		}
		all, _, _, err := ds.Split(filled.N, 0)
		if err != nil {
			t.Fatal(err)
		}
		e, err := EvaluateTable(context.Background(), m.EM, data.View{Subset: all, Mode: data.None}, nil)
		if err != nil {
			t.Fatal(err)
		}
		sum := 0.0
		for _, s := range e.PerImage {
			sum += math.Exp(s.LogP)
		}
		for k, s := range e.PerImage {
			for b, j := range at {
				want[i*d+j] += float32(math.Exp(s.LogP) / sum * float64(k>>b&1))
			}
		}
	}
	for i, w := range want {
		if math.Abs(float64(got.Mean[i]-w)) > 1e-5 {
			t.Errorf("image %d, pixel %d is %v, want %v", i/d, i%d, got.Mean[i], w)
		}
	}
	const draws = 1200
	sums := make([]float64, len(want))
	for seed := range uint64(draws) {
		g, err := ImputeTable(context.Background(), m.EM, v, missing, seed)
		if err != nil {
			t.Fatal(err)
		}
		for i, x := range g.Draw {
			sums[i] += float64(x)
		}
	}
	for i, w := range want {
		p := float64(w)
		if se := math.Sqrt(p * (1 - p) / draws); math.Abs(sums[i]/draws-p) > 4*se+1e-6 {
			t.Errorf("image %d, pixel %d is 1 in %.4f of the draws, want %.4f ± %.4f", i/d, i%d, sums[i]/draws, p, se)
		}
	}
}

// TestTheLogLikelihoodOfObservedPixelsOfAllIsTheGraphs: with none missing it is what the
// E-graph computes in float32, known there to 2⁻²⁴ √D of its size.
func TestTheLogLikelihoodOfObservedPixelsOfAllIsTheGraphs(t *testing.T) {
	const states = 3
	v := plainView(t, 4, 3, 3)
	v.Mode = data.None
	m, err := model.NewMixture(model.EMConfig{Pixels: 9, States: states, Likelihood: model.GaussianName, Prior: model.Shared, VarianceFloor: 1e-3}, graphtest.Engine(1))
	if err != nil {
		t.Fatal(err)
	}
	point := m.Point()
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range point {
		point[i] = 0.1 + rng.Float64()
	}
	m.SetPoint(point)
	e, err := m.NewEStep(4, false, false)
	if err != nil {
		t.Fatal(err)
	}
	err = e.Each(context.Background(), v.Evaluated, 4, func(int) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	x, logs := v.AllEvaluated(), make([]float64, states)
	for i := range 4 {
		m.LogLikObserved(logs, x[i*9:][:9], make([]bool, 9))
		for k, l := range logs {
			if graph := float64(e.LogLik()[i*states+k]); math.Abs(l-graph) > 1e-5*(1+math.Abs(graph)) {
				t.Errorf("image %d, state %d: %g, the graph has %g", i, k, l, graph)
			}
		}
	}
}

// TestImputationsThatMakeNoSenseAreOptionErrors.
func TestImputationsThatMakeNoSenseAreOptionErrors(t *testing.T) {
	v := plainView(t, 3, 6, 6)
	grey := newVAE(t, model.VAEConfig{Pixels: 36, Latent: 2, Activation: graph.ReLU, Likelihood: model.GreyBernoulliName, Objective: model.ELBO, Draws: 1}, drawn(1))
	for name, c := range map[string]struct {
		m       *model.VAE
		missing int
		steps   int
	}{"a mask of another size": {smallVAE(t), 35, 5}, "no steps": {smallVAE(t), 36, 0}, "no likelihood": {grey, 36, 5}} {
		_, err := Impute(context.Background(), c.m, v, make([]bool, c.missing), ImputeOptions{Steps: c.steps})
		if _, ok := errors.AsType[*OptionError](err); !ok {
			t.Errorf("%s: %v, want an OptionError", name, err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Impute(ctx, smallVAE(t), v, make([]bool, 36), ImputeOptions{Steps: 5}); !errors.Is(err, context.Canceled) {
		t.Errorf("after the context's end: %v", err)
	}
}
