package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"elbo/data"
	"elbo/graph"
	"elbo/model"
)

// LocalQOptions say how hard to look for the best diagonal Gaussian of an image.
type LocalQOptions struct {
	Steps     int     // of Adam in a round
	Rounds    int     // at most
	Draws     int     // of z for an image in a step; even, as they come in pairs ±ε
	Selection int     // draws by which a round is judged
	LR        float64 // at the beginning of a round, in units of σ; it falls to 0
	Tolerance float64 // an image is done when a round gains less than this, nats
}

// DefaultLocalQ finds L[q*] of MNIST images to a few hundredths of a nat.
func DefaultLocalQ() LocalQOptions {
	return LocalQOptions{Steps: 100, Rounds: 20, Draws: 8, Selection: 200, LR: 0.1, Tolerance: 0.02}
}

// Validate returns every fault.
func (o LocalQOptions) Validate() error {
	var f faults
	f.add(o.Steps < 1, "steps is %d, want at least 1", o.Steps)
	f.add(o.Rounds < 1, "rounds is %d, want at least 1", o.Rounds)
	f.add(o.Draws < 2 || o.Draws%2 == 1, "draws is %d, want an even number from 2", o.Draws)
	f.add(o.Selection < 1, "selection is %d, want at least 1", o.Selection)
	f.add(!(o.LR > 0) || math.IsInf(o.LR, 0), "lr is %g, want a positive number", o.LR)
	f.add(!(o.Tolerance >= 0), "tolerance is %g, want 0 or more nats", o.Tolerance)
	return errors.Join(f...)
}

// Encode returns the encoder's h = [μ | log σ²], [N, 2Z], of the images of v as
// evaluation sees them.
func Encode(ctx context.Context, m *model.VAE, v data.View) ([]float32, error) {
	block, d, width := min(evaluationRows, v.N()), v.D(), 2*m.Config.Latent
	encoder, err := m.NewEncoder(block)
	if err != nil {
		return nil, err
	}
	x, all := make([]float32, block*d), make([]float32, 0, v.N()*width)
	for first := 0; first < v.N(); first += block {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		n := min(block, v.N()-first)
		for i := range n {
			v.Pixels(x[i*d:][:d], first+i, 0)
		}
		h, err := encoder.Encode(x)
		if err != nil {
			return nil, err
		}
		all = append(all, h[:n*width]...)
	}
	return all, nil
}

// FitLocalQ returns q*, the best diagonal Gaussian of each image of v by itself: h*,
// [N, 2Z], found by gradient ascent on L[q] from h0, [N, 2Z], or from the best of several
// beginnings. done hears how many images are done.
//
// The search goes in rounds. In a round, Adam takes steps of falling length on
// (δ, log σ²) with μ = μ₀ + σ₀ δ, so that a step is as long as the posterior is wide;
// its draws of z come in pairs μ ± σ ε, which take the odd part of the noise out of the
// gradient. What a round has found is kept if it is better than what was there by draws
// of its own, the same for both; a figure to be reported needs yet other draws, as the
// kept one was chosen by these. An image whose round gained less than the tolerance is
// done. Images do not influence each other.
func FitLocalQ(ctx context.Context, s *Setup, v data.View, seed uint64, o LocalQOptions, done func(images int), h0 ...[]float32) ([]float32, error) {
	if err := o.Validate(); err != nil {
		return nil, &ConfigError{err}
	}
	f, err := newLocalFit(ctx, s, v, seed, o, h0)
	if err != nil {
		return nil, err
	}
	left := upTo(v.N())
	for round := 1; round <= o.Rounds && len(left) > 0; round++ {
		var better []int
		for first := 0; first < len(left); first += f.images {
			images := left[first:min(first+f.images, len(left))]
			if err := f.round(ctx, images, round); err != nil {
				return nil, err
			}
			found, err := f.selector.bounds(ctx, v, images, f.graph.H(), seed, selection)
			if err != nil {
				return nil, err
			}
			for slot, i := range images {
				if f.keep(f.graph.H()[slot*f.width:], i, found[slot]) > o.Tolerance {
					better = append(better, i)
				}
			}
			done(v.N() - len(better) - (len(left) - min(first+f.images, len(left))))
		}
		left = better
	}
	return f.h, nil
}

// localFit is the state of FitLocalQ.
type localFit struct {
	o      LocalQOptions
	engine *graph.Engine
	v      data.View
	seed   uint64
	images int // a block
	width  int // 2Z

	h        []float32 // the best so far, [N, 2Z]
	best     []float64 // L of it by the selector's draws
	selector *Evaluator
	graph    *model.LocalQ // of a block
	u        *graph.Param  // [δ | log σ²], [B, 2Z]
	grad     []float32     // with respect to u
	noise    []*data.Stream
}

// selection is the purpose of the draws that decide what is kept.
const selection = "eps/gap/select/"

func newLocalFit(ctx context.Context, s *Setup, v data.View, seed uint64, o LocalQOptions, h0 [][]float32) (*localFit, error) {
	m := s.VAE
	f := &localFit{o: o, engine: s.Engine, v: v, seed: seed, width: 2 * m.Config.Latent, h: slices.Clone(h0[0])}
	f.images = min(max(1, evaluationRows/o.Draws), v.N())
	f.u = graph.NewParam("u", f.images, f.width)
	f.grad = make([]float32, f.images*f.width)
	for range f.images {
		f.noise = append(f.noise, new(data.Stream))
	}
	var err error
	if f.graph, err = m.NewLocalQ(f.images, o.Draws); err != nil {
		return nil, err
	}
	if f.selector, err = NewEvaluator(m, o.Selection); err != nil {
		return nil, err
	}
	for k, h := range h0 {
		bounds, err := f.selector.bounds(ctx, v, upTo(v.N()), h, seed, selection)
		if err != nil {
			return nil, err
		}
		if k == 0 {
			f.best = bounds
			continue
		}
		for i, bound := range bounds {
			f.keep(h[i*f.width:], i, bound)
		}
	}
	return f, nil
}

// upTo returns 0, 1, ..., n-1.
func upTo(n int) []int {
	numbers := make([]int, n)
	for i := range numbers {
		numbers[i] = i
	}
	return numbers
}

// round looks for better posteriors of a block of images, and leaves them in the graph.
func (f *localFit) round(ctx context.Context, images []int, round int) error {
	d, z, w := f.v.D(), f.width/2, f.width
	begin := make([]float32, f.images*w)
	for slot, i := range images {
		f.v.Pixels(f.graph.X()[slot*d:][:d], i, 0)
		copy(begin[slot*w:][:w], f.h[i*w:][:w])
		f.noise[slot].Reset(f.seed, "eps/gap/fit/"+f.v.Part(), uint64(f.v.Index(i)), uint64(round))
	}
	// each calls do for each latent dimension of each row: i is the place of the mean
	// in h, from which that of the log-variance is z further.
	each := func(do func(i int, sigma float32)) {
		for row := range f.images {
			for i := row * w; i < row*w+z; i++ {
				do(i, float32(math.Exp(float64(begin[i+z])/2)))
			}
		}
	}
	h, u := f.graph.H(), f.u.Value
	copy(h, begin)
	each(func(i int, _ float32) { u[i], u[i+z] = 0, begin[i+z] })
	adam := NewAdam(f.o.LR, []*graph.Param{f.u}, f.engine)
	for step := range f.o.Steps {
		if err := ctx.Err(); err != nil {
			return err
		}
		f.drawPairs(len(images))
		_, dh, err := f.graph.Run()
		if err != nil {
			return err
		}
		each(func(i int, sigma float32) { f.grad[i], f.grad[i+z] = dh[i]*sigma, dh[i+z] })
		adam.LR = f.o.LR * (1 + math.Cos(math.Pi*float64(step)/float64(f.o.Steps))) / 2
		adam.Step(func(int) []float32 { return f.grad })
		each(func(i int, sigma float32) { h[i], h[i+z] = begin[i]+sigma*u[i], u[i+z] })
	}
	return nil
}

// drawPairs fills the noise of the first n rows with pairs ±ε.
func (f *localFit) drawPairs(n int) {
	z := f.width / 2
	row := f.o.Draws * z
	for slot := range n {
		for pair := range slices.Chunk(f.graph.Eps()[slot*row:][:row], 2*z) {
			for j := range z {
				pair[j] = float32(f.noise[slot].NormFloat64())
				pair[z+j] = -pair[j]
			}
		}
	}
}

// keep takes over a posterior of an image if its bound is better, and returns the gain in
// nats.
func (f *localFit) keep(h []float32, image int, bound float64) float64 {
	gain := bound - f.best[image]
	if !finite(bound) || gain <= 0 {
		return 0
	}
	copy(f.h[image*f.width:][:f.width], h)
	f.best[image] = bound
	if !finite(gain) { // what was there had no bound
		return math.Inf(1)
	}
	return gain
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// bounds returns L[q] of some images of v, in nats, for their posteriors h, [images,
// 2Z], by draws of a purpose.
func (e *Evaluator) bounds(ctx context.Context, v data.View, images []int, h []float32, seed uint64, purpose string) ([]float64, error) {
	width := 2 * e.model.Config.Latent
	bounds := make([]float64, len(images))
	err := e.eachBlock(ctx, len(images), func(k *desk, first, end int) error {
		h := h[first*width : end*width]
		k.begin(v, images[first:end], seed, purpose)
		err := k.draw(h, func(i, _ int, logLik, _ float64) {
			bounds[first+i] += logLik / float64(k.draws)
		})
		for i := range end - first {
			bounds[first+i] -= divergence(h[i*width:][:width])
		}
		return err
	})
	return bounds, err
}

// eachBlock calls f for blocks of n images, from first to end, on all workers. It stops
// with the context's error.
func (e *Evaluator) eachBlock(ctx context.Context, n int, f func(k *desk, first, end int) error) error {
	blocks := (n + e.images - 1) / e.images
	faults := make([]error, blocks)
	e.model.Engine().Split(blocks, 1, func(lo, hi int) {
		k := <-e.desks
		defer func() { e.desks <- k }()
		for b := lo; b < hi && ctx.Err() == nil; b++ {
			faults[b] = f(k, b*e.images, min((b+1)*e.images, n))
		}
	})
	return errors.Join(append(faults, ctx.Err())...)
}

// begin fills in the pixels of a block of images and sets their noise to its beginning.
func (k *desk) begin(v data.View, images []int, seed uint64, purpose string) {
	d := v.D()
	for slot, i := range images {
		v.Pixels(k.x[slot*d:][:d], i, 0)
		k.noise[slot].Reset(seed, purpose+v.Part(), uint64(v.Index(i)))
	}
}

// draw draws from the posteriors h, [n, 2Z], of a block that has begun, and calls f for
// each draw of image i: its row in the noise, log p(x|z) and log p(z) - log q(z).
func (k *desk) draw(h []float32, f func(i, row int, logLik, ratio float64)) error {
	z := k.model.Config.Latent
	n, block := len(h)/(2*z), make([]float32, k.images*2*z)
	copy(block, h)
	for done := 0; done < k.draws; done += k.block {
		for i := range n {
			row := k.eps[i*k.block*z:][:k.block*z]
			for j := range row {
				row[j] = float32(k.noise[i].NormFloat64())
			}
		}
		logLik, ratio, err := k.scorer.Score(k.x, block, k.eps)
		if err != nil {
			return err
		}
		for i := range n {
			for r := i * k.block; r < i*k.block+min(k.block, k.draws-done); r++ {
				f(i, r, float64(logLik[r]), float64(ratio[r]))
			}
		}
	}
	return nil
}

// divergence is KL(N(μ, diag σ²) ‖ N(0, I)) for h = [μ | log σ²], in nats.
func divergence(h []float32) float64 {
	z, sum := len(h)/2, 0.0
	for j := range z {
		sum += graph.KLStdNormal(float64(h[j]), float64(h[z+j]))
	}
	return sum
}

// notFinite names the image whose figure is NaN or infinite.
func notFinite(v data.View, i int, what string, value float64) error {
	return fmt.Errorf("train: image %d (%s): %s is %v nats: the checkpoint's encoder or decoder is out of bounds; try another with --checkpoint", v.Index(i), v.Part(), what, value)
}
