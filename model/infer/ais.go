package infer

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"elbo/data"
	"elbo/graph/elementary"
	"elbo/model"
)

// AISOptions are those of annealed importance sampling.
type AISOptions struct {
	Steps     int // T, from the prior to the posterior
	Chains    int // for each image
	Leapfrogs int // of a move of Hamiltonian Monte Carlo
	Simulated int // images drawn from the model to measure the method's own error; 0: none

	// Progress, if not nil, hears how much of this process' work is done. It is called often.
	Progress func(done, total int)

	Peers Peers // processes that anneal a part of the images each, all by the same call; nil for none
}

// DefaultAIS are options for some hundred images.
//
// At one cost, steps times leapfrogs, many steps of few leapfrogs left the smallest gap
// of a Sandwich: of 128 images from a VAE 784-200-200-50 of MNIST 0.90 ± 0.14 nats with
// 250 x 10 (64 images), 0.29 ± 0.05 with 500 x 5, 0.07 ± 0.05 with 800 x 3, 0.03 ± 0.03
// with 1250 x 2, 0.07 ± 0.04 with 2500 x 1; 0.06 ± 0.03 with 1000 x 2.
func DefaultAIS() AISOptions {
	return AISOptions{Steps: 1000, Chains: 8, Leapfrogs: 2, Simulated: 50}
}

// Validate returns every fault.
func (o AISOptions) Validate() error {
	var f faults
	f.add(o.Steps < 2, "ais-steps is %d, want at least 2", o.Steps)
	f.add(o.Chains < 2, "ais-chains is %d, want at least 2: their spread is the error bar", o.Chains)
	f.add(o.Leapfrogs < 1, "ais-leapfrogs is %d, want at least 1", o.Leapfrogs)
	f.add(o.Simulated < 0, "ais-simulated is %d, want at least 0", o.Simulated)
	return errors.Join(f...)
}

// AIS is log p(x) by annealed importance sampling, nats per image: of each image
//
//	log (1/C) Σ_C w,  log w = Σ_t (β_t - β_{t-1}) log p(x|z_{t-1}),  t = 1..T
//
// over C chains z_0 ~ p(z), z_t from z_{t-1} by a move that leaves p(z) p(x|z)^β_t as it
// is. The mean of w is p(x), so that the logarithm is a lower bound in expectation; it
// asks nothing of the encoder.
//
// Source: Neal 2001, "Annealed importance sampling"; for decoders Wu, Burda,
// Salakhutdinov, Grosse 2017. Theirs adapts the step sizes as it goes, so that the mean
// of w is p(x) no longer exactly. Here a pilot run with random numbers of its own does,
// and the run that counts holds them.
type AIS struct {
	Value      float64 `json:"value"`
	SE         float64 `json:"se"`       // over images
	ChainSE    float64 `json:"chain_se"` // of the value with these images, from the spread of their chains: without what all of them miss, and too small where ESS is near 1
	Chains     int     `json:"chains"`
	Steps      int     `json:"steps"`
	Leapfrogs  int     `json:"leapfrogs"`
	Acceptance float64 `json:"acceptance"` // of moves, mean
	ESS        float64 `json:"ess"`        // effective number of chains, mean over images

	Simulated *Sandwich `json:"simulated,omitempty"`

	PerImage []float64 `json:"-"` // log p(x) of each image, in the order of the view
}

// Sandwich holds the log p(x) of images that the model drew itself, nats per image, from
// both sides: the chains forward from p(z) give a lower bound in expectation; chains
// backward from the z that an image was drawn with, an exact draw from p(z|x), give
// 1/p(x) without bias and so an upper bound. What lies between bounds the error of the
// method on images like the model's own.
//
// Source: Grosse, Ghahramani, Adams 2015, "Sandwiching the marginal likelihood using
// bidirectional Monte Carlo".
type Sandwich struct {
	Images  int     `json:"images"`
	Lower   float64 `json:"lower"`
	LowerSE float64 `json:"lower_se"` // over images, as the next two
	Upper   float64 `json:"upper"`
	UpperSE float64 `json:"upper_se"`
	Gap     float64 `json:"gap"` // Upper - Lower
	GapSE   float64 `json:"gap_se"`
}

// aisRows is how many chains move at once: see evaluationRows. Fewer, as the gradient
// passes over the pixels of each row again and should find them in the cache.
const aisRows = 512

// EstimateAIS estimates log p(x) of the images of v. The estimates are a pure function of
// the seed, the image and the chain, up to rounding. It stops with the context's error, and
// fails with an *OptionError where the likelihood is none.
func EstimateAIS(ctx context.Context, j *model.Joint, v data.View, seed uint64, o AISOptions) (*AIS, error) {
	if err := o.Validate(); err != nil {
		return nil, &OptionError{err}
	}
	if j.Likelihood.Measure() == model.NoLikelihood {
		return nil, &OptionError{fmt.Errorf("annealed importance sampling estimates log p(x), and with %s there is none: it is no likelihood", j.Likelihood.Name())}
	}
	j, _, err := j.Fixed()
	if err != nil {
		return nil, err
	}
	own := Dealt(o.Peers, v)
	from, to := Share(o.Peers, o.Simulated)
	pace := &pace{report: o.Progress, total: own.N()*moves(o, 1) + (to-from)*moves(o, 2)}
	const fields = 4 // log p(x), effective chains, variance, acceptance
	rows, err := annealImages(ctx, j, own, seed, o, pace)
	if rows, err = Together(o.Peers, v.N(), fields, rows, err); err != nil {
		return nil, err
	}
	result := &AIS{Chains: o.Chains, Steps: o.Steps, Leapfrogs: o.Leapfrogs}
	var value, ess, accepted Running
	chainVariance := 0.0
	for row := range slices.Chunk(rows, fields) {
		result.PerImage = append(result.PerImage, row[0])
		value.Add(row[0])
		ess.Add(row[1])
		chainVariance += row[2]
		accepted.Add(row[3])
	}
	result.Value, result.SE, result.ESS = value.Mean, value.StandardError(), ess.Mean
	result.ChainSE = math.Sqrt(chainVariance) / float64(v.N())
	result.Acceptance = accepted.Mean
	if o.Simulated > 0 {
		if result.Simulated, err = sandwich(ctx, j, o, seed, pace); err != nil {
			return nil, err
		}
	}
	return result, nil
}

// annealImages anneals images from the prior to the posterior. It returns, for each of them,
// log p(x), the effective number of chains, the variance of log p(x) by their spread and the
// mean acceptance of their moves.
func annealImages(ctx context.Context, j *model.Joint, v data.View, seed uint64, o AISOptions, pace *pace) ([]float64, error) {
	if v.N() == 0 {
		return nil, nil
	}
	images, err := newAnnealing(ctx, j, o, v.N(), seed, pace)
	if err != nil {
		return nil, err
	}
	var rows []float64
	for first := 0; first < v.N(); first += images.block {
		n := min(images.block, v.N()-first)
		for i := range n {
			v.Pixels(images.slope.X()[i*v.D():][:v.D()], first+i, 0)
		}
		images.key = func(i int) uint64 { return uint64(v.Index(first + i)) }
		images.purpose = "ais/" + v.Part()
		steps, err := images.pilot(n)
		if err != nil {
			return nil, err
		}
		weights, err := images.anneal(n, steps, nil)
		if err != nil {
			return nil, err
		}
		for i, w := range weights {
			logP := w.Bound()
			if math.IsNaN(logP) || math.IsInf(logP, 0) {
				return nil, fmt.Errorf("annealed importance sampling gives image %d log p(x) = %g: its decoder overflows float32 somewhere under the prior; look at `elbo inspect`, or at a checkpoint of an earlier epoch", v.Index(first+i), logP)
			}
			rows = append(rows, logP, w.EffectiveSampleSize(), w.LogVariance(), images.accepted[i].Mean)
		}
	}
	return rows, nil
}

// sandwich anneals images from the model in both directions.
func sandwich(ctx context.Context, j *model.Joint, o AISOptions, seed uint64, pace *pace) (*Sandwich, error) {
	const fields = 2 // forward, backward
	from, to := Share(o.Peers, o.Simulated)
	rows, err := annealSimulated(ctx, j, from, to, o, seed, pace)
	if rows, err = Together(o.Peers, o.Simulated, fields, rows, err); err != nil {
		return nil, err
	}
	var lower, upper, gap Running
	for row := range slices.Chunk(rows, fields) {
		below, above := row[0], row[1]
		lower.Add(below)
		upper.Add(above)
		gap.Add(above - below)
	}
	return &Sandwich{
		Images: o.Simulated,
		Lower:  lower.Mean, LowerSE: lower.StandardError(),
		Upper: upper.Mean, UpperSE: upper.StandardError(),
		Gap: gap.Mean, GapSE: gap.StandardError(),
	}, nil
}

// annealSimulated draws images from the model, of which it returns, for those from one number
// to before another, log p(x) by chains forward and by chains backward.
func annealSimulated(ctx context.Context, j *model.Joint, from, to int, o AISOptions, seed uint64, pace *pace) ([]float64, error) {
	if from == to {
		return nil, nil
	}
	a, err := newAnnealing(ctx, j, o, to-from, seed, pace)
	if err != nil {
		return nil, err
	}
	var rows []float64
	for first := from; first < to; first += a.block {
		n := min(a.block, to-first)
		a.key = func(i int) uint64 { return uint64(first + i) }
		a.purpose = "ais/simulated"
		x, z, err := j.Simulate(a.streams("/draw", n, 1))
		if err != nil {
			return nil, err
		}
		copy(a.slope.X(), x)
		steps, err := a.pilot(n)
		if err != nil {
			return nil, err
		}
		forward, err := a.anneal(n, steps, nil)
		if err != nil {
			return nil, err
		}
		backward, err := a.anneal(n, steps, z)
		if err != nil {
			return nil, err
		}
		for i := range n {
			rows = append(rows, forward[i].Bound(), -backward[i].Bound())
		}
	}
	return rows, nil
}

// pace counts moves of the chains of one image.
type pace struct {
	report      func(done, total int)
	done, total int
}

func (p *pace) add(images int) {
	p.done += images
	if p.report != nil {
		p.report(p.done, p.total)
	}
}

// moves is how many moves the chains of an image make in the pilot and in a number of
// runs.
func moves(o AISOptions, runs int) int { return pilotSteps(o.Steps) - 1 + runs*(o.Steps-1) }

// pilotSteps is the number of temperatures of the pilot run.
func pilotSteps(steps int) int { return max(50, steps/4) }

// annealing moves the chains of a block of images.
type annealing struct {
	ctx      context.Context
	o        AISOptions
	seed     uint64
	joint    *model.Joint
	block    int // images at once
	slope    *Slope
	pace     *pace
	accepted []Running // moves of each image of the block, of the last run

	purpose string             // of the random numbers of the present block
	key     func(i int) uint64 // of its images
}

func newAnnealing(ctx context.Context, j *model.Joint, o AISOptions, images int, seed uint64, pace *pace) (*annealing, error) {
	a := &annealing{ctx: ctx, o: o, seed: seed, joint: j, pace: pace}
	a.block = min(images, max(1, aisRows/o.Chains))
	var err error
	a.slope, err = NewSlope(j, a.block, o.Chains)
	return a, err
}

// streams are random numbers for some chains of each of the first n images.
func (a *annealing) streams(purpose string, n, chains int) []model.Noise {
	noise := make([]model.Noise, 0, n*chains)
	for i := range n {
		for c := range chains {
			noise = append(noise, data.NewStream(a.seed, a.purpose+purpose, a.key(i), uint64(c)))
		}
	}
	return noise
}

// The step sizes of the pilot: where they begin, what acceptance they are drawn to, and
// how fast.
const (
	firstStep        = 0.5
	wantedAcceptance = 0.65 // Neal 2011, section 5.4.4, of trajectories that are long enough
	stepGain         = 0.3
)

// pilot anneals the chains of n images once, faster, to find step sizes: after each move
// log ε of an image rises by stepGain · (acceptance of its chains - wantedAcceptance). It
// returns log ε for each temperature of the pilot and image.
func (a *annealing) pilot(n int) ([][]float64, error) {
	chains, err := NewChains(a.joint, a.slope, a.streams("/pilot", n, a.o.Chains), a.o.Leapfrogs)
	if err != nil {
		return nil, err
	}
	if err := chains.Start(nil); err != nil {
		return nil, err
	}
	total := pilotSteps(a.o.Steps)
	logs, now, step := make([][]float64, total+1), make([]float64, n), make([]float64, n*a.o.Chains)
	for i := range now {
		now[i] = elementary.Log(firstStep)
	}
	logs[0] = append([]float64(nil), now...)
	for t := 1; t < total; t++ {
		for r := range step {
			step[r] = elementary.Exp(now[r/a.o.Chains])
		}
		rate, err := a.move(chains, Temperature(t, total), step, n)
		if err != nil {
			return nil, err
		}
		for i := range now {
			mean := 0.0
			for _, p := range rate[i*a.o.Chains:][:a.o.Chains] {
				mean += p / float64(a.o.Chains)
			}
			now[i] += float64(stepGain * (mean - wantedAcceptance))
		}
		logs[t] = append([]float64(nil), now...)
	}
	logs[total] = logs[total-1]
	return logs, nil
}

// anneal runs the chains of n images from the prior to the posterior and returns their
// weights w. From exact draws z of the posterior, [n, Z], it runs them backward through
// the same moves, and returns 1/w.
func (a *annealing) anneal(n int, logs [][]float64, z []float64) ([]Weights, error) {
	purpose, direction := "/forward", 1.0
	if z != nil {
		purpose, direction = "/backward", -1
	}
	chains, err := NewChains(a.joint, a.slope, a.streams(purpose, n, a.o.Chains), a.o.Leapfrogs)
	if err != nil {
		return nil, err
	}
	if err := chains.Start(a.repeat(z)); err != nil {
		return nil, err
	}
	logW, step := make([]float64, n*a.o.Chains), make([]float64, n*a.o.Chains)
	a.accepted = make([]Running, n)
	for k := range a.o.Steps {
		// The k-th increment of log w is between temperatures t-1 and t; the move after
		// it, if one comes, is at the one of the two that lies ahead.
		t, ahead := k+1, k+1
		if z != nil {
			t, ahead = a.o.Steps-k, a.o.Steps-k-1
		}
		rise := Temperature(t, a.o.Steps) - Temperature(t-1, a.o.Steps)
		for r, l := range chains.LogLik() {
			logW[r] += float64(direction * rise * l)
		}
		if k == a.o.Steps-1 {
			break
		}
		a.stepsAt(step, logs, float64(ahead)/float64(a.o.Steps))
		rate, err := a.move(chains, Temperature(ahead, a.o.Steps), step, n)
		if err != nil {
			return nil, err
		}
		for r, p := range rate {
			a.accepted[r/a.o.Chains].Add(p)
		}
	}
	weights := make([]Weights, n)
	for r, l := range logW {
		weights[r/a.o.Chains].Add(l)
	}
	return weights, nil
}

// repeat gives each chain of an image the image's z.
func (a *annealing) repeat(z []float64) []float64 {
	var all []float64
	for ; len(z) > 0; z = z[a.joint.Latent:] {
		for range a.o.Chains {
			all = append(all, z[:a.joint.Latent]...)
		}
	}
	return all
}

// stepsAt fills in the step size of each chain at a share of the way, from the pilot's.
func (a *annealing) stepsAt(step []float64, logs [][]float64, share float64) {
	at := float64(share * float64(len(logs)-1))
	before := min(int(at), len(logs)-2)
	part := at - float64(before)
	for r := range step {
		i := r / a.o.Chains
		step[r] = elementary.Exp(float64((1-part)*logs[before][i]) + float64(part*logs[before+1][i]))
	}
}

// move takes the chains of n images through one move, unless the context has ended.
func (a *annealing) move(chains *Chains, beta float64, step []float64, n int) ([]float64, error) {
	if err := a.ctx.Err(); err != nil {
		return nil, err
	}
	rate, err := chains.Move(beta, step)
	a.pace.add(n)
	return rate, err
}
