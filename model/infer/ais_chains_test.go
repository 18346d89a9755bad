package infer

import (
	"math"
	"math/rand/v2"
	"testing"

	"elbo/graph"
	"elbo/model"
)

func TestTemperaturesRiseFromPriorToPosterior(t *testing.T) {
	for _, steps := range []int{1, 2, 7, 500} {
		if lo, hi := Temperature(0, steps), Temperature(steps, steps); lo != 0 || hi != 1 {
			t.Errorf("%d steps go from %g to %g, want 0 to 1", steps, lo, hi)
		}
		for i := range steps {
			if Temperature(i+1, steps) <= Temperature(i, steps) {
				t.Errorf("temperature %d of %d does not rise", i+1, steps)
			}
			// σ(-u) = 1 - σ(u).
			if sum := Temperature(i, steps) + Temperature(steps-i, steps); math.Abs(sum-1) > 1e-14 {
				t.Errorf("temperatures %d and %d of %d sum to %g, want 1", i, steps-i, steps, sum)
			}
		}
	}
}

// TestTheSlopeIsThatOfTheLogLikelihood compares log p(x|z) and its gradient in z with a
// decoder in float64 and its central differences.
func TestTheSlopeIsThatOfTheLogLikelihood(t *testing.T) {
	const images, codes = 3, 4
	for _, likelihood := range []model.LikelihoodName{model.BernoulliName, model.ContinuousBernoulliName, model.GaussianName} {
		c := model.VAEConfig{Pixels: 9, Hidden: []int{7, 5}, Latent: 3, Activation: graph.Tanh, Likelihood: model.BernoulliName, Objective: model.ELBO, Draws: 1}
		c.Likelihood = likelihood
		m := newVAE(t, c, drawn(1))
		for _, p := range m.Likelihood.Params() { // log σ², where it has one
			p.Value[0] = -1
		}
		s, err := NewSlope(m.Joint, images, codes)
		if err != nil {
			t.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(8, 9))
		for i := range s.X() {
			s.X()[i] = float32(rng.IntN(2))
		}
		z := make([]float64, images*codes*c.Latent)
		for i := range z {
			z[i] = float64(float32(rng.NormFloat64()))
		}
		logLik, slope, err := s.At(z)
		if err != nil {
			t.Fatal(err)
		}
		for r := range images * codes {
			x, at := s.X()[r/codes*c.Pixels:][:c.Pixels], z[r*c.Latent:][:c.Latent]
			// 9 pixels and sums of at most 7 products in three layers, each rounded by
			// 2^-24 of numbers below 10: below 1e-5 together.
			if want := logLikTwin(m, x, at); math.Abs(float64(logLik[r])-want) > 1e-5 {
				t.Errorf("%s: log p(x|z) = %.6f, want %.6f", likelihood, logLik[r], want)
			}
			for j := range at {
				const h = 1e-5
				here := at[j]
				at[j] = here + h
				above := logLikTwin(m, x, at)
				at[j] = here - h
				below := logLikTwin(m, x, at)
				at[j] = here
				if want, got := (above-below)/(2*h), float64(slope[r*c.Latent+j]); math.Abs(got-want) > 1e-5 {
					t.Errorf("%s: gradient %.7f, central differences %.7f", likelihood, got, want)
				}
			}
		}
	}
}

// logLikTwin is log p(x|z) of a decoder with tanh, in float64.
func logLikTwin(m *model.VAE, x []float32, z []float64) float64 {
	a := z
	params := m.Decoder.Params()
	for l := 0; l < len(params); l += 2 {
		w, b := params[l], params[l+1]
		y := make([]float64, len(b.Value))
		for i := range y {
			y[i] = float64(b.Value[i])
			for j, v := range a {
				y[i] += float64(w.Value[i*len(a)+j]) * v
			}
			if l+2 < len(params) {
				y[i] = math.Tanh(y[i])
			}
		}
		a = y
	}
	sum := 0.0
	for i, l := range a {
		v := float64(x[i])
		switch likelihood := m.Likelihood; likelihood.Name() {
		case model.GaussianName:
			logVar := float64(likelihood.Params()[0].Value[0])
			sum -= ((v-l)*(v-l)*math.Exp(-logVar) + logVar + math.Log(2*math.Pi)) / 2
		case model.ContinuousBernoulliName:
			sum += v*l - math.Log(math.Expm1(l)/l)
		default:
			sum += v*l - math.Log1p(math.Exp(l))
		}
	}
	return sum
}

// gaussianTarget is log p(x|z) = -|z - 1|²/(2 s²), whose p_β is N(β/(s²+β), s²/(s²+β)) in
// every dimension.
type gaussianTarget struct{ variance float64 }

func (g gaussianTarget) At(z []float64) (logLik, slope []float32, err error) {
	const dims = 2
	logLik, slope = make([]float32, len(z)/dims), make([]float32, len(z))
	for i, v := range z {
		logLik[i/dims] -= float32((v - 1) * (v - 1) / (2 * g.variance))
		slope[i] = float32((1 - v) / g.variance)
	}
	return logLik, slope, nil
}

// TestMovesLeaveTheDistributionAsItIs starts chains at exact draws of p_β and moves them
// with steps so long that every third trial is refused: means and variances stay, and
// the mean of exp(H_before - H_after) is 1, as a map that keeps volume has it.
func TestMovesLeaveTheDistributionAsItIs(t *testing.T) {
	const chains, dims, beta, variance = 20000, 2, 0.7, 0.1
	mean, sd := beta/(variance+beta), math.Sqrt(variance/(variance+beta))
	rng := rand.New(rand.NewPCG(1, 1))
	noise, step, start := make([]model.Noise, chains), make([]float64, chains), make([]float64, chains*dims)
	for r := range noise {
		noise[r], step[r] = rng, 1.6*sd
	}
	for i := range start {
		start[i] = mean + sd*rng.NormFloat64()
	}
	c, err := NewChains(&model.Joint{Latent: dims, Prior: model.StandardNormal{}}, gaussianTarget{variance}, noise, 3)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(start); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		before := append([]float64(nil), c.at.z...)
		rate, err := c.Move(beta, step)
		if err != nil {
			t.Fatal(err)
		}
		var accepted, first, second, ratio, square float64
		moved := 0
		for r := range chains {
			accepted += rate[r] / chains
			e := math.Exp(c.energy[r] - c.hamiltonian(r, beta))
			ratio += e / chains
			square += e * e / chains
			for i := r * dims; i < (r+1)*dims; i++ {
				u := (c.at.z[i] - mean) / sd
				first += u / (chains * dims)
				second += u * u / (chains * dims)
				if c.at.z[i] != before[i] {
					moved++
				}
			}
		}
		if accepted < 0.5 || accepted > 0.9 {
			t.Errorf("acceptance %.3f: the test means to refuse some", accepted)
		}
		if share := float64(moved) / (chains * dims); math.Abs(share-accepted) > 5*math.Sqrt(0.25/chains) {
			t.Errorf("%.3f of the chains moved, with acceptance %.3f", share, accepted)
		}
		// Of n standard normal numbers: standard deviations 1/√n and √(2/n).
		n := float64(chains * dims)
		if math.Abs(first) > 5/math.Sqrt(n) || math.Abs(second-1) > 5*math.Sqrt(2/n) {
			t.Errorf("mean %.4f and mean square %.4f of standardised positions, want 0 and 1", first, second)
		}
		if sd := math.Sqrt((square - ratio*ratio) / chains); math.Abs(ratio-1) > 5*sd {
			t.Errorf("mean of exp(H before - H after) %.4f ± %.4f, want 1", ratio, sd)
		}
	}
}

// TestATrajectoryRunsBack: with the momenta turned round it ends where it began, and
// half the step makes a quarter of the error in energy.
func TestATrajectoryRunsBack(t *testing.T) {
	c := model.VAEConfig{Pixels: 9, Hidden: []int{7, 5}, Latent: 3, Activation: graph.Tanh, Likelihood: model.BernoulliName, Objective: model.ELBO, Draws: 1}
	m := newVAE(t, c, drawn(1))
	const images, codes = 2, 50
	s, err := NewSlope(m.Joint, images, codes)
	if err != nil {
		t.Fatal(err)
	}
	for i := range s.X() {
		s.X()[i] = float32(i % 2)
	}
	energyError := func(leapfrogs int) float64 {
		noise, step := make([]model.Noise, images*codes), make([]float64, images*codes)
		for r := range noise {
			noise[r], step[r] = rand.New(rand.NewPCG(uint64(r), 1)), 2/float64(leapfrogs)
		}
		chains, err := NewChains(m.Joint, s, noise, leapfrogs)
		if err != nil {
			t.Fatal(err)
		}
		if err := chains.Start(nil); err != nil {
			t.Fatal(err)
		}
		start := append([]float64(nil), chains.at.z...)
		if _, err := chains.Move(0.8, step); err != nil {
			t.Fatal(err)
		}
		sum := 0.0
		for r := range noise {
			sum += math.Abs(chains.energy[r]-chains.hamiltonian(r, 0.8)) / float64(len(noise))
		}
		for i := range chains.momentum {
			chains.momentum[i] *= -1
		}
		if err := chains.leap(0.8); err != nil {
			t.Fatal(err)
		}
		for i, v := range chains.trial.z {
			// The gradients on the way back are those of the way there, but where the
			// rounding of positions to float32 falls otherwise.
			if math.Abs(v-start[i]) > 1e-5 {
				t.Fatalf("back at %.9f, from %.9f", v, start[i])
			}
		}
		return sum
	}
	coarse, fine := energyError(8), energyError(16)
	if ratio := coarse / fine; ratio < 3 || ratio > 5 {
		t.Errorf("energy errors %.3g and %.3g: a ratio of %.2f, want about 4", coarse, fine, ratio)
	}
}
