package model

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"elbo/graph"
	"elbo/graph/graphtest"
)

// roundoff is the largest relative error of one float32 operation.
var roundoff = math.Exp2(-24)

// fit is a model with the images that it is fitted to.
type fit struct {
	m      *EM
	mix    *Mixture   // or
	grid   *GridModel // is what m is part of
	e      *EStep
	x      []float32 // [N, D]
	n      int
	priors []float32 // log p_n(z), [N, K], for a prior per image
}

// expectation is what an E-step came to, for each image and state.
type expectation struct {
	evidence, recon, priorBound []float64 // [N]
	table, joint, logLik        []float64 // [N, K]
	stats                       *Statistics
}

// newFit compiles the E-graph for chunks of images. A prior per image begins at the
// model's own.
func newFit(t testing.TB, of any, x []float32, chunk int) *fit {
	t.Helper()
	f := &fit{x: x}
	switch of := of.(type) {
	case *Mixture:
		f.mix, f.m = of, of.EM
	case *GridModel:
		f.grid, f.m = of, of.EM
	case *fit:
		f.mix, f.grid, f.m = of.mix, of.grid, of.m
	}
	m := f.m
	perImage := m.Config.Prior == PerImage
	e, err := m.NewEStep(chunk, true, perImage)
	if err != nil {
		t.Fatal(err)
	}
	f.e, f.n = e, len(x)/m.Config.Pixels
	if perImage {
		for range f.n {
			f.priors = append(f.priors, m.LogPrior()...)
		}
	}
	return f
}

func (f *fit) expect(t testing.TB) expectation {
	t.Helper()
	x := expectation{stats: f.m.NewStatistics()}
	d, k, chunk := f.m.Config.Pixels, f.m.Config.States, f.e.Chunk()
	for first := 0; first < f.n; first += chunk {
		count := min(chunk, f.n-first)
		copy(f.e.X(), f.x[first*d:][:count*d]) // what is left of the chunk before is padding
		if f.priors != nil {
			copy(f.e.LogPriors(), f.priors[first*k:][:count*k])
		}
		if err := f.e.Run(count); err != nil {
			t.Fatal(err)
		}
		f.e.AddStatistics(x.stats, count)
		x.evidence = append(x.evidence, widen(f.e.Evidence()[:count])...)
		x.recon = append(x.recon, widen(f.e.Recon()[:count])...)
		x.priorBound = append(x.priorBound, widen(f.e.PriorBound()[:count])...)
		x.table = append(x.table, widen(f.e.Table()[:count*k])...)
		x.joint = append(x.joint, widen(f.e.Joint()[:count*k])...)
		x.logLik = append(x.logLik, widen(f.e.LogLik()[:count*k])...)
	}
	return x
}

// sharpen makes the posteriors the priors of their images.
func (f *fit) sharpen(x expectation) {
	for i := range f.priors {
		f.priors[i] = float32(max(x.joint[i]-x.evidence[i/f.m.Config.States], graph.LogZero))
	}
}

// maximise is the M-step: in closed form, or a few steps up the gradient, each shorter
// than the one before if that went down.
func (f *fit) maximise(t testing.TB, s *Statistics) {
	t.Helper()
	if f.mix != nil {
		if err := f.mix.Maximise(s); err != nil {
			t.Fatal(err)
		}
		return
	}
	decoder := f.grid.Decoder()
	f.grid.Maximising(s)
	best, step := expectedOf(t, f.grid), float32(0.3)
	for range 4 {
		var before [][]float32
		for i, p := range decoder {
			before = append(before, slices.Clone(p.Value))
			for j, g := range f.grid.DecoderGrad(i) {
				p.Value[j] -= step * g
			}
		}
		if q := expectedOf(t, f.grid); q >= best {
			best = q
			continue
		}
		for i, p := range decoder {
			copy(p.Value, before[i])
		}
		step /= 8
		expectedOf(t, f.grid)
	}
}

func expectedOf(t testing.TB, m *GridModel) float64 {
	t.Helper()
	q, err := m.Expected()
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func widen(x []float32) []float64 {
	wide := make([]float64, len(x))
	for i, v := range x {
		wide[i] = float64(v)
	}
	return wide
}

func meanOf(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v
	}
	return sum / float64(len(x))
}

func logSumExp(x []float64) float64 {
	top, sum := slices.Max(x), 0.0
	for _, v := range x {
		sum += math.Exp(v - top)
	}
	return top + math.Log(sum)
}

func paramOf(t testing.TB, m *EM, name string) []float32 {
	t.Helper()
	for _, p := range m.Params() {
		if p.Name == name {
			return p.Value
		}
	}
	t.Fatalf("no parameter %s", name)
	return nil
}

// logLik64 is log p(x|z=k), [N, K], in float64 at the parameters of the model, and a
// bound on the sum of the magnitudes of the terms that each is made of.
func logLik64(t testing.TB, m *EM, x []float32) (logLik []float64, terms float64) {
	t.Helper()
	c := m.Config
	d := c.Pixels
	logLik = make([]float64, len(x)/d*c.States)
	if c.Likelihood == GaussianName {
		mean, precision := paramOf(t, m, "states.mean"), paramOf(t, m, "states.precision")
		for i := range logLik {
			sum, size := 0.0, 0.0
			for j, v := range x[i/c.States*d:][:d] {
				at := i%c.States*d + j
				lambda, distance := float64(precision[at]), float64(v)-float64(mean[at])
				base := (math.Log(lambda) - math.Log(2*math.Pi)) / 2
				sum += base - lambda*distance*distance/2
				size += math.Abs(base)
			}
			logLik[i] = sum
			terms = max(terms, 2*size) // and the evidence itself
		}
		return logLik, terms
	}
	logits := logits64(t, m)
	for i := range logLik {
		size := 0.0
		for j, v := range x[i/c.States*d:][:d] {
			l := logits[i%c.States*d+j]
			logLik[i] += float64(v)*l - softplus64(l)
			size += math.Abs(l) + softplus64(l)
		}
		terms = max(terms, size)
	}
	return logLik, terms
}

func softplus64(l float64) float64 { return max(l, 0) + math.Log1p(math.Exp(-math.Abs(l))) }

// logits64 are the logits of all states, [K, D]: a mixture's own, or the decoder's
// output at the points of a grid, by plain loops.
func logits64(t testing.TB, m *EM) []float64 {
	t.Helper()
	if m.Config.Grid == nil {
		return widen(paramOf(t, m, "states.logits"))
	}
	var decoder [][]float64
	for _, p := range m.states.params() {
		decoder = append(decoder, widen(p.Value))
	}
	return decode64(m.Config.Grid, decoder)
}

func decode64(g *GridConfig, decoder [][]float64) []float64 {
	h := widen(g.Points)
	for layer := 0; layer < len(decoder); layer += 2 {
		weight, bias := decoder[layer], decoder[layer+1]
		in := len(weight) / len(bias)
		var out []float64
		for row := 0; row < len(h); row += in {
			for o, sum := range bias {
				for i, v := range h[row:][:in] {
					sum += weight[o*in+i] * v
				}
				if layer+2 < len(decoder) {
					sum = activate64(g.Activation, sum)
				}
				out = append(out, sum)
			}
		}
		h = out
	}
	return h
}

func activate64(f graph.Activation, a float64) float64 {
	switch f {
	case graph.Tanh:
		return math.Tanh(a)
	case graph.Softplus:
		return softplus64(a)
	case graph.ELU:
		if a < 0 {
			return math.Expm1(a)
		}
		return a
	}
	return max(a, 0)
}

// evidence64 is log p(x) of each image in float64 at the float32 parameters of the
// model and its priors; the second result bounds the error of the float32 graph.
func (f *fit) evidence64(t testing.TB) (evidence []float64, tolerance float64) {
	t.Helper()
	logLik, terms := logLik64(t, f.m, f.x)
	k := f.m.Config.States
	row, size := make([]float64, k), 0.0
	for i := range f.n {
		for j := range k {
			logPrior := f.m.LogPrior()[j]
			if f.priors != nil {
				logPrior = f.priors[i*k+j]
			}
			row[j] = logLik[i*k+j] + float64(logPrior)
		}
		evidence = append(evidence, logSumExp(row))
		size = max(size, math.Abs(evidence[i]))
	}
	// A sum of D terms in float32, the rounding of the parameters that it is made of,
	// and of what is added to it: D + 8 roundings of at most all terms together. The
	// posterior weighs the errors of states, so theirs is no larger.
	return evidence, float64(f.m.Config.Pixels+8) * roundoff * (terms + size + 1)
}

// randomImages are noisy copies of a few random images, of 0 and 1 or of grey levels.
func randomImages(rng *rand.Rand, n, d int, likelihood LikelihoodName) []float32 {
	prototypes := make([]float32, 3*d)
	for i := range prototypes {
		prototypes[i] = float32(rng.IntN(2))
	}
	x := make([]float32, n*d)
	for i := range n {
		p := rng.IntN(3)
		for j := range d {
			v := prototypes[p*d+j]
			if rng.IntN(6) == 0 {
				v = 1 - v
			}
			if likelihood == GaussianName {
				v = float32(math.Round(255*(0.2+0.6*float64(v)+0.2*rng.Float64()))) / 255
			}
			x[i*d+j] = v
		}
	}
	return x
}

// randomStatistics are those of random responsibilities.
func randomStatistics(rng *rand.Rand, m *EM, x []float32) *Statistics {
	s, k, d := m.NewStatistics(), m.Config.States, m.Config.Pixels
	for first := 0; first < len(x); first += d {
		q, total := make([]float64, k), 0.0
		for j := range q {
			q[j] = math.Pow(rng.Float64(), 3)
			total += q[j]
		}
		s.Images++
		for j := range q {
			share := q[j] / total
			s.Counts[j] += share
			for i, v := range x[first:][:d] {
				s.Sums[j*d+i] += share * float64(v)
				if s.Squares != nil {
					s.Squares[j*d+i] += share * float64(v) * float64(v)
				}
			}
		}
	}
	return s
}

// newMixtureFit is a mixture that begins at random responsibilities for its images.
func newMixtureFit(t testing.TB, c EMConfig, seed uint64, n int) *fit {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 1))
	x := randomImages(rng, n, c.Pixels, c.Likelihood)
	m, err := NewMixture(c, graphtest.Engine(2))
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Maximise(randomStatistics(rng, m.EM, x)); err != nil {
		t.Fatal(err)
	}
	return newFit(t, m, x, n)
}

func newGridFit(t testing.TB, c EMConfig, extent, hidden []int, f graph.Activation, seed uint64, n int) *fit {
	t.Helper()
	g, err := NewGrid(EqualMass, extent)
	if err != nil {
		t.Fatal(err)
	}
	c.States, c.Likelihood, c.Grid = len(g.LogWeights), BernoulliName, &GridConfig{Grid: g, Hidden: hidden, Activation: f}
	m, err := NewGridModel(c, graphtest.Engine(2), func(name string) graph.Uniform {
		return rand.New(rand.NewPCG(seed, uint64(len(name)+int(name[8]))))
	})
	if err != nil {
		t.Fatal(err)
	}
	return newFit(t, m, randomImages(rand.New(rand.NewPCG(seed, 1)), n, c.Pixels, BernoulliName), n)
}

// kinds are the models with a table, with the extents that the tests vary.
var kinds = []struct {
	name string
	fit  func(t testing.TB, prior TablePrior, seed uint64, n, d, k int) *fit
}{
	{"bernoulli mixture", bernoulliKind(0)},
	{"bernoulli mixture, smoothing 0.1", bernoulliKind(0.1)},
	{"bernoulli mixture, smoothing 1", bernoulliKind(1)},
	{"gaussian mixture", func(t testing.TB, prior TablePrior, seed uint64, n, d, k int) *fit {
		return newMixtureFit(t, EMConfig{Pixels: d, States: k, Likelihood: GaussianName, Prior: prior, VarianceFloor: 1e-3}, seed, n)
	}},
	{"grid", func(t testing.TB, prior TablePrior, seed uint64, n, d, k int) *fit {
		extents, activations := [][]int{{k}, {k, 2}, {2, 1, k}}, []graph.Activation{graph.ReLU, graph.Tanh, graph.ELU, graph.Softplus}
		return newGridFit(t, EMConfig{Pixels: d, Prior: prior}, extents[seed%3], []int{4, 3}[:seed/3%3], activations[seed%4], seed, n)
	}},
}

func bernoulliKind(smoothing float64) func(testing.TB, TablePrior, uint64, int, int, int) *fit {
	return func(t testing.TB, prior TablePrior, seed uint64, n, d, k int) *fit {
		return newMixtureFit(t, EMConfig{Pixels: d, States: k, Likelihood: BernoulliName, Prior: prior, Smoothing: smoothing}, seed, n)
	}
}

// TestEvidencePlusPenaltyNeverFalls alternates E- and M-steps on some hundreds of
// random small problems, and more states than images among them. The evidence is
// computed in float64 at the float32 parameters, and the E-graph's compared with it.
func TestEvidencePlusPenaltyNeverFalls(t *testing.T) {
	for _, kind := range kinds {
		for _, prior := range TablePriors {
			t.Run(fmt.Sprint(kind.name, "/", prior), func(t *testing.T) {
				t.Parallel()
				rose := 0.0
				for seed := range uint64(25) {
					rng := rand.New(rand.NewPCG(seed, 2))
					n, d, k := 1+rng.IntN(40), 1+rng.IntN(12), 1+rng.IntN(6)
					f := kind.fit(t, prior, seed, n, d, k)
					last := math.Inf(-1)
					for iteration := range 15 {
						exact, tolerance := f.evidence64(t)
						x := f.expect(t)
						size := 0.0
						for i, e := range exact {
							size = max(size, math.Abs(e))
							if diff := math.Abs(x.evidence[i] - e); !(diff <= tolerance) {
								t.Fatalf("seed %d, iteration %d: log p(x) of image %d is %.8f, float64 gives %.8f (tolerance %.1g)", seed, iteration, i, x.evidence[i], e, tolerance)
							}
						}
						objective := meanOf(exact) + f.m.LogPenalty()/float64(n)
						// At the maximum of the M-step errors of the statistics, sums of
						// N float32 terms, count twice over, but for pixels that a state has
						// seen in one value only: there each costs what it is. Errors of the
						// table count twice over everywhere. A prior per image sums to 1
						// up to the rounding of the evidence, a gradient step is
						// accepted up to that of Q.
						slack := roundoff * (float64(n+8)*float64(d+1) + 4*size)
						if kind.name == "grid" {
							slack += tolerance
						}
						if objective < last-slack {
							t.Errorf("seed %d (%d images, %d pixels, %d states): iteration %d takes evidence plus penalty from %.8f to %.8f nats", seed, n, d, k, iteration, last, objective)
						}
						if iteration > 0 {
							rose += objective - last
						}
						last = objective
						f.sharpen(x)
						weights := slices.Clone(f.m.LogPrior())
						f.maximise(t, x.stats)
						if prior != Shared && !slices.Equal(f.m.LogPrior(), weights) {
							t.Fatalf("seed %d, iteration %d: the M-step changes p(z)", seed, iteration)
						}
					}
				}
				if rose < 1 {
					t.Errorf("all problems together rose by %g nats: the M-step does nothing", rose)
				}
			})
		}
	}
}

// TestTheBoundOfATable: with q the posterior, E_q[log p(x|z)] - KL(q ‖ p) is log p(x);
// with any other it is lower by KL(q ‖ posterior), exactly.
func TestTheBoundOfATable(t *testing.T) {
	for _, kind := range kinds {
		for _, prior := range TablePriors {
			f := kind.fit(t, prior, 5, 20, 9, 4)
			x := f.expect(t)
			k, rng := f.m.Config.States, rand.New(rand.NewPCG(5, 5))
			for i := range f.n {
				evidence, post := x.evidence[i], x.table[i*k:][:k]
				bound := func(q []float64) (recon, kl, gap float64) {
					for j, p := range q {
						if p == 0 {
							continue
						}
						logPrior := float64(f.m.LogPrior()[j])
						recon += p * x.logLik[i*k+j]
						kl += p * (math.Log(p) - logPrior)
						gap += p * (math.Log(p) - (x.joint[i*k+j] - evidence))
					}
					return recon, kl, gap
				}
				size := 1 + math.Abs(evidence)
				for _, l := range x.logLik[i*k:][:k] {
					size = max(size, math.Abs(l))
				}
				// The evidence and log-likelihoods are float32. Entries of the table have
				// a relative error of 2⁻²³ (1 + |log q|), where q |log q| < 1: for K
				// states of at most size nats below 4 K 2⁻²⁴ size.
				tolerance := 4 * float64(k) * roundoff * size
				recon, kl, gap := bound(post)
				if math.Abs(recon-x.recon[i]) > tolerance || math.Abs(recon-kl-evidence) > tolerance || math.Abs(gap) > tolerance {
					t.Errorf("%s, %s: image %d: recon %.8f (graph %.8f) less KL %.8f is not log p(x) %.8f (tolerance %.1g)", kind.name, prior, i, recon, x.recon[i], kl, evidence, tolerance)
				}
				q := make([]float64, k)
				total := 0.0
				for j := range q {
					q[j] = rng.ExpFloat64()
					total += q[j]
				}
				for j := range q {
					q[j] /= total
				}
				recon, kl, gap = bound(q)
				if k > 1 && !(gap > 0) || math.Abs(evidence-(recon-kl)-gap) > tolerance {
					t.Errorf("%s, %s: image %d: a random table has the ELBO %.8f, want log p(x) %.8f less KL %.8f", kind.name, prior, i, recon-kl, evidence, gap)
				}
				// q = p: the bound of EStep.PriorBound.
				recon, gap = 0, 0
				for j := range q {
					logP := float64(f.m.LogPrior()[j])
					recon += math.Exp(logP) * x.logLik[i*k+j]
					gap += math.Exp(logP) * (logP - (x.joint[i*k+j] - evidence))
				}
				if math.Abs(x.priorBound[i]-recon) > tolerance || math.Abs(evidence-x.priorBound[i]-gap) > tolerance {
					t.Errorf("%s, %s: image %d: the bound at q = p is %.8f, want %.8f = %.8f - %.8f", kind.name, prior, i, x.priorBound[i], recon, evidence, gap)
				}
			}
		}
	}
}

// TestAPriorPerImageSharpens holds the parameters and makes each posterior the next
// prior, again and again.
func TestAPriorPerImageSharpens(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			f := kind.fit(t, PerImage, 9, 15, 6, 4)
			k, rng := f.m.Config.States, rand.New(rand.NewPCG(9, 9))
			for i := range f.priors {
				f.priors[i] = float32(-rng.ExpFloat64())
			}
			for i := range f.n {
				row := f.priors[i*k:][:k]
				total := logSumExp(widen(row))
				for j := range row {
					row[j] -= float32(total)
				}
			}
			first := widen(f.priors)
			before := f.expect(t)
			size := 1.0
			for _, v := range before.joint {
				size = max(size, math.Abs(v))
			}
			// One step rounds log p three times, at up to size; a table's entries, and
			// the exponentials of priors, have relative errors of 2⁻²³ (1 + |log p|).
			round := 4 * float64(k) * roundoff * size
			const steps = 12
			for step := 1; step <= steps; step++ {
				f.sharpen(before)
				after := f.expect(t)
				for i := range f.n {
					row := before.logLik[i*k:][:k]
					// (b) log E_post[p(x|z)] is the evidence under the new prior, and
					// not below the old one.
					moved := make([]float64, k)
					divergence := 0.0
					for j := range k {
						log := before.joint[i*k+j] - before.evidence[i]
						moved[j] = log + row[j]
						prior := before.joint[i*k+j] - row[j]
						divergence += math.Exp(log) * (log - prior)
					}
					if want := logSumExp(moved); math.Abs(after.evidence[i]-want) > round || after.evidence[i] < before.evidence[i]-round {
						t.Errorf("(b) step %d, image %d: evidence from %.7f to %.7f, want %.7f", step, i, before.evidence[i], after.evidence[i], want)
					}
					// (c) the bound at q = p after the E-step is above the old evidence.
					if want := before.evidence[i] + divergence; math.Abs(after.priorBound[i]-want) > float64(step)*round || math.Abs(after.priorBound[i]-before.recon[i]) > float64(step)*round {
						t.Errorf("(c) step %d, image %d: bound at q = p %.7f, want %.7f, E_post[log p(x|z)] is %.7f", step, i, after.priorBound[i], want, before.recon[i])
					}
					// (a) p^(t) ∝ p^(0) p(x|z)^t.
					power := make([]float64, k)
					for j := range k {
						power[j] = first[i*k+j] + float64(step)*row[j]
					}
					total := logSumExp(power)
					for j := range k {
						want, got := power[j]-total, float64(f.priors[i*k+j])
						// The errors of t steps add up, at magnitudes of up to t size.
						if math.Abs(got-want) > float64(step*step)*round {
							t.Errorf("(a) step %d, image %d, state %d: log p = %.6f, want %.6f", step, i, j, got, want)
						}
					}
				}
				before = after
			}
			// (d) the limit is a hard assignment. The difference between the best and the
			// second best state grows by itself in every step.
			for range 400 {
				f.sharpen(before)
				before = f.expect(t)
			}
			for i := range f.n {
				row := before.logLik[i*k:][:k]
				best := slices.Index(row, slices.Max(row))
				second := math.Inf(-1)
				for j, l := range row {
					if j != best {
						second = max(second, l)
					}
				}
				if 400*(row[best]-second) < 40+size {
					continue // not there yet
				}
				if q := before.table[i*k+best]; math.Abs(q-1) > 1e-6 || math.Abs(before.evidence[i]-row[best]) > round {
					t.Errorf("(d) image %d: q = %g at the best state, evidence %.7f, want 1 and max log p(x|z) = %.7f", i, q, before.evidence[i], row[best])
				}
			}
		})
	}
}

// TestOneComponentHasAClosedForm: the mean image with a pseudocount of each outcome, or
// the Gaussian of the pixels' means and variances.
func TestOneComponentHasAClosedForm(t *testing.T) {
	const n, d = 30, 7
	for _, kind := range kinds[:4] {
		for _, prior := range TablePriors {
			f := kind.fit(t, prior, 3, n, d, 1)
			x := f.expect(t)
			f.maximise(t, x.stats)
			got := meanOf(f.expect(t).evidence)
			a, want := f.m.Config.Smoothing, 0.0
			for j := range d {
				sum, sq := 0.0, 0.0
				for i := range n {
					v := float64(f.x[i*d+j])
					sum, sq = sum+v, sq+v*v
				}
				mean := sum / n
				if f.m.Config.Likelihood == GaussianName {
					variance := sq/n - mean*mean
					if variance < 2e-3 {
						t.Fatalf("the variance %g of pixel %d is near the floor: no closed form", variance, j)
					}
					want -= (math.Log(2*math.Pi*variance) + 1) / 2
				} else {
					mean = (sum + a) / (n + 2*a)
					want += xlogy(sum/n, mean) + xlogy(1-sum/n, 1-mean)
				}
				// A sum of n float32 terms, and one division.
				if m := float64(f.m.Means()[j]); math.Abs(m-mean) > (n+2)*roundoff {
					t.Errorf("%s, %s: pixel %d has the mean %.8f, want %.8f", kind.name, prior, j, m, mean)
				}
			}
			// D terms of at most 4 nats; the variance is a difference of squares that are
			// up to 100 times as large.
			if math.Abs(got-want) > 100*d*4*roundoff {
				t.Errorf("%s, %s: log p(x) is %.8f, want %.8f", kind.name, prior, got, want)
			}
		}
	}
}

func xlogy(x, y float64) float64 {
	if x == 0 {
		return 0
	}
	return x * math.Log(y)
}

// TestATableIsAProbabilityMass sums p(x) over all 512 images of 3 x 3 pixels, after a
// few iterations.
func TestATableIsAProbabilityMass(t *testing.T) {
	const images, pixels = 512, 9
	all := make([]float32, images*pixels)
	for i := range all {
		all[i] = float32(i / pixels >> (i % pixels) & 1)
	}
	for _, kind := range kinds {
		if kind.name == "gaussian mixture" {
			continue // a density
		}
		for _, prior := range []TablePrior{Fixed, Shared} {
			f := kind.fit(t, prior, 7, 25, pixels, 5)
			for range 5 {
				f.maximise(t, f.expect(t).stats)
			}
			sum := 0.0
			for _, e := range newFit(t, f, all, images).expect(t).evidence {
				sum += math.Exp(e)
			}
			// p(x) has the relative error of log p(x): with logits of up to 80 where
			// nothing smooths, 18 terms together below 1440 nats; else below 100.
			tolerance := 18 * 100 * roundoff
			if kind.name == "bernoulli mixture" {
				tolerance = 18 * 1440 * roundoff
			}
			if math.Abs(sum-1) > tolerance {
				t.Errorf("%s, %s: Σ p(x) = %.8f, want 1", kind.name, prior, sum)
			}
		}
	}
}

// TestOrderDoesNotMatter takes images and components in another order.
func TestOrderDoesNotMatter(t *testing.T) {
	const n, d, k = 24, 8, 4
	for _, likelihood := range []LikelihoodName{BernoulliName, GaussianName} {
		c := EMConfig{Pixels: d, States: k, Likelihood: likelihood, Prior: Shared, Smoothing: 0.1, VarianceFloor: 1e-3}
		f := newMixtureFit(t, c, 11, n)
		start := randomStatistics(rand.New(rand.NewPCG(4, 4)), f.m, f.x)
		run := func(images, components []int) (evidence, means, weights []float64) {
			x, s := make([]float32, n*d), f.m.NewStatistics()
			for i, from := range images {
				copy(x[i*d:][:d], f.x[from*d:][:d])
			}
			s.Images = start.Images
			for i, from := range components {
				s.Counts[i] = start.Counts[from]
				copy(s.Sums[i*d:][:d], start.Sums[from*d:][:d])
				if s.Squares != nil {
					copy(s.Squares[i*d:][:d], start.Squares[from*d:][:d])
					copy(s.Centre[i*d:][:d], start.Centre[from*d:][:d])
				}
			}
			g := newFit(t, f, x, n)
			g.maximise(t, s)
			for range 5 {
				g.maximise(t, g.expect(t).stats)
			}
			evidence, means, weights = make([]float64, n), make([]float64, k*d), make([]float64, k)
			e, m, w := g.expect(t).evidence, widen(f.m.Means()), widen(f.m.LogPrior())
			for i, from := range images {
				evidence[from] = e[i]
			}
			for i, from := range components {
				weights[from] = math.Exp(w[i])
				copy(means[from*d:][:d], m[i*d:][:d])
			}
			return evidence, means, weights
		}
		identity := func(n int) (order []int) {
			for i := range n {
				order = append(order, i)
			}
			return order
		}
		e0, m0, w0 := run(identity(n), identity(k))
		// Sums of n terms are rounded otherwise, and so d terms of each log p(x); an
		// iteration passes that on, five times over. Of a Gaussian it is the variance,
		// a difference of squares of at most 1 that may be as small as the floor.
		tolerance := 5 * n * d * roundoff
		if likelihood == GaussianName {
			tolerance /= 2 * c.VarianceFloor
		}
		rng := rand.New(rand.NewPCG(6, 6))
		for range 5 {
			e, m, w := run(rng.Perm(n), rng.Perm(k))
			for _, pair := range [][2][]float64{{e, e0}, {m, m0}, {w, w0}} {
				for i, v := range pair[0] {
					if want := pair[1][i]; math.Abs(v-want) > tolerance {
						t.Fatalf("%s: %.8f in another order, want %.8f", likelihood, v, want)
					}
				}
			}
		}
	}
}

// TestAStateOfNoProbabilityCountsNothing compares a model of four components, one of
// them without weight, with the three others.
func TestAStateOfNoProbabilityCountsNothing(t *testing.T) {
	const n, d = 18, 6
	for _, likelihood := range []LikelihoodName{BernoulliName, GaussianName} {
		for _, smoothing := range []float64{0, 0.1} {
			c := EMConfig{Pixels: d, States: 3, Likelihood: likelihood, Prior: Shared, Smoothing: smoothing, VarianceFloor: 1e-3}
			three := newMixtureFit(t, c, 13, n)
			s := three.expect(t).stats
			c.States = 4
			m, err := NewMixture(c, graphtest.Engine(2))
			if err != nil {
				t.Fatal(err)
			}
			four := newFit(t, m, three.x, n)
			dead := m.NewStatistics()
			dead.Images = s.Images
			copy(dead.Counts, s.Counts)
			copy(dead.Sums, s.Sums)
			copy(dead.Squares, s.Squares)
			copy(dead.Centre, s.Centre)
			three.maximise(t, s)
			four.maximise(t, dead)
			for range 4 {
				x, y := three.expect(t), four.expect(t)
				for i := range n {
					if x.evidence[i] != y.evidence[i] || x.priorBound[i] != y.priorBound[i] || math.Abs(x.recon[i]-y.recon[i]) > 1e-5 || y.table[i*4+3] != 0 {
						t.Fatalf("%s, smoothing %g: image %d: log p(x) %.7f, at q = p %.7f, recon %.7f, q of the dead state %g; want %.7f, %.7f, %.7f, 0", likelihood, smoothing, i,
							y.evidence[i], y.priorBound[i], y.recon[i], y.table[i*4+3], x.evidence[i], x.priorBound[i], x.recon[i])
					}
				}
				if got := m.LogPrior()[3]; got != graph.LogZero {
					t.Fatalf("the dead state has log p(z) = %g, want %g", got, float32(graph.LogZero))
				}
				three.maximise(t, x.stats)
				four.maximise(t, y.stats)
			}
			for _, p := range m.Params() {
				for _, v := range p.Value {
					if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
						t.Fatalf("%s, smoothing %g: %s is not finite", likelihood, smoothing, p.Name)
					}
				}
			}
		}
	}
}

// TestChunksAndPaddingChangeNothing: chunks that do not divide the number of images
// leave rows of padding, in which the images of the chunk before still stand.
func TestChunksAndPaddingChangeNothing(t *testing.T) {
	const n = 23
	for _, kind := range kinds {
		for _, prior := range TablePriors {
			f := kind.fit(t, prior, 17, n, 9, 4)
			want := f.expect(t)
			for _, chunk := range []int{1, 5, 7, 22, 40} {
				got := newFit(t, f, f.x, chunk).expect(t)
				if got.stats.Images != n {
					t.Errorf("%s, %s, chunks of %d: %g images, want %d", kind.name, prior, chunk, got.stats.Images, n)
				}
				for _, pair := range [][2][]float64{
					{got.evidence, want.evidence}, {got.recon, want.recon}, {got.priorBound, want.priorBound}, {got.table, want.table},
					{got.stats.Counts, want.stats.Counts}, {got.stats.Sums, want.stats.Sums}, {got.stats.Squares, want.stats.Squares},
				} {
					if len(pair[0]) != len(pair[1]) {
						t.Fatalf("%s, %s, chunks of %d: %d values, want %d", kind.name, prior, chunk, len(pair[0]), len(pair[1]))
					}
					for i, v := range pair[0] {
						// Products of another shape may round otherwise: 9 terms of
						// logits below 80, or sums of 23 images.
						if math.Abs(v-pair[1][i]) > 2*9*80*roundoff*max(1, math.Abs(pair[1][i])) {
							t.Fatalf("%s, %s, chunks of %d: %.8f, want %.8f", kind.name, prior, chunk, v, pair[1][i])
						}
					}
				}
			}
		}
	}
}

// twin is a mixture by plain loops over float64.
type twin struct {
	n, d, k      int
	x            []float64
	mean, spread [][]float64 // spread: variances of a Gaussian, else nil
	weight       []float64
	a, floor     float64
	shared       bool
}

func (w *twin) logLik(i, k int) float64 {
	sum := 0.0
	for j, v := range w.x[i*w.d:][:w.d] {
		m := w.mean[k][j]
		if w.spread == nil {
			sum += xlogy(v, m) + xlogy(1-v, 1-m)
		} else {
			sum -= (math.Log(2*math.Pi*w.spread[k][j]) + (v-m)*(v-m)/w.spread[k][j]) / 2
		}
	}
	return sum
}

// step is an iteration of EM; it returns the mean of log p(x) before it.
func (w *twin) step() float64 {
	q, total := make([][]float64, w.n), 0.0
	for i := range q {
		for k := range w.k {
			q[i] = append(q[i], math.Log(w.weight[k])+w.logLik(i, k))
		}
		evidence := logSumExp(q[i])
		for k := range q[i] {
			q[i][k] = math.Exp(q[i][k] - evidence)
		}
		total += evidence
	}
	w.maximise(func(i, k int) float64 { return q[i][k] })
	return total / float64(w.n)
}

func (w *twin) maximise(q func(i, k int) float64) {
	for k := range w.k {
		count := 0.0
		for i := range w.n {
			count += q(i, k)
		}
		if w.shared {
			w.weight[k] = count / float64(w.n)
		}
		for j := range w.d {
			sum := 0.0
			for i := range w.n {
				sum += q(i, k) * w.x[i*w.d+j]
			}
			if w.spread == nil {
				w.mean[k][j] = (sum + w.a) / (count + 2*w.a)
				continue
			}
			mean, variance := sum/count, 0.0
			for i := range w.n {
				variance += q(i, k) * math.Pow(w.x[i*w.d+j]-mean, 2) / count
			}
			w.mean[k][j], w.spread[k][j] = mean, max(variance, w.floor)
		}
	}
}

// TestEMAgreesWithATwinInFloat64 gives both the same start and ten iterations.
func TestEMAgreesWithATwinInFloat64(t *testing.T) {
	const n, d, k = 60, 10, 4
	for _, likelihood := range []LikelihoodName{BernoulliName, GaussianName} {
		for _, prior := range []TablePrior{Fixed, Shared} {
			c := EMConfig{Pixels: d, States: k, Likelihood: likelihood, Prior: prior, Smoothing: 0.1, VarianceFloor: 1e-3}
			f := newMixtureFit(t, c, 19, n)
			w := &twin{n: n, d: d, k: k, x: widen(f.x), a: c.Smoothing, floor: c.VarianceFloor, shared: prior == Shared}
			for range k {
				w.weight = append(w.weight, 1./k)
				w.mean = append(w.mean, make([]float64, d))
				if likelihood == GaussianName {
					w.spread = append(w.spread, make([]float64, d))
				}
			}
			// Every image belongs to one component, by its number.
			s := f.m.NewStatistics()
			for i := range n {
				s.Images++
				s.Counts[i%k]++
				for j, v := range f.x[i*d:][:d] {
					s.Sums[i%k*d+j] += float64(v)
					if s.Squares != nil {
						s.Squares[i%k*d+j] += float64(v) * float64(v)
					}
				}
			}
			f.maximise(t, s)
			w.maximise(func(i, k int) float64 {
				if i%4 == k {
					return 1
				}
				return 0
			})
			const tolerance = 1e-5 // about 100 float32 roundings
			for iteration := range 10 {
				x := f.expect(t)
				got, want := meanOf(x.evidence), w.step()
				if math.Abs(got-want) > tolerance*math.Abs(want) {
					t.Fatalf("%s, %s, iteration %d: log p(x) is %.8f, the twin's %.8f", likelihood, prior, iteration, got, want)
				}
				f.maximise(t, x.stats)
			}
			close := func(what string, got float32, want float64) {
				if math.Abs(float64(got)-want) > tolerance*max(math.Abs(want), 1) {
					t.Errorf("%s, %s: %s is %.8f, the twin's %.8f", likelihood, prior, what, got, want)
				}
			}
			for i := range k {
				close(fmt.Sprintf("weight %d", i), float32(math.Exp(float64(f.m.LogPrior()[i]))), w.weight[i])
				for j := range d {
					close(fmt.Sprintf("mean %d, %d", i, j), f.m.Means()[i*d+j], w.mean[i][j])
					if likelihood == GaussianName {
						// Of a variance's relative error: a difference of squares up to 1.
						close(fmt.Sprintf("variance %d, %d", i, j), 1/paramOf(t, f.m, "states.precision")[i*d+j], w.spread[i][j])
					}
				}
			}
		}
	}
}

func TestEveryFaultOfAnEMConfigurationIsNamed(t *testing.T) {
	err := EMConfig{Pixels: 0, States: 0, Likelihood: ContinuousBernoulliName, Prior: "flat", Smoothing: -1, VarianceFloor: math.Inf(1)}.Validate()
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		"pixels is 0, want at least 1",
		"components is 0, want at least 1",
		`likelihood is "continuous-bernoulli", want bernoulli, gaussian or a mass of 256 levels for a model with a table`,
		`prior: unknown prior "flat", want one of fixed, shared, per-image`,
		"smoothing is -1, want 0 or more",
		"variance-floor is +Inf, want 0 or more",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error lacks %q:\n%v", want, err)
		}
	}
	err = EMConfig{Pixels: 1, States: 1, Likelihood: GaussianName, Prior: Fixed, Smoothing: math.NaN(), Grid: &GridConfig{}}.Validate()
	if err == nil || !strings.Contains(err.Error(), `likelihood is "gaussian", want bernoulli or a mass of 256 levels for a grid`) || !strings.Contains(err.Error(), "smoothing is NaN, want 0 or more") {
		t.Errorf("Validate = %v", err)
	}
}
