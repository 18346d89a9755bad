package infer

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"elbo/data"
	"elbo/graph"
	"elbo/graph/elementary"
	"elbo/model"
)

// LocalQOptions say how hard to look for the best posterior of an image in a family.
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

// FitLocalQ returns q*, the best member of the family of each image of v by itself: h*,
// [N, H], found by gradient ascent on L[q] from h0, [N, H], or from the best of several
// starting points. done hears how many images are done.
//
// The search goes in rounds. In a round, Adam takes steps of falling length in the
// family's own coordinates, in which a step is as long as the posterior is wide
// (model.Scaled); its draws of z come in pairs ±ε, which take the odd part of the noise out
// of the gradient. What a round has found is kept if it is better than what was there by draws
// of its own, the same for both; a figure to be reported needs yet other draws, as the
// kept one was chosen by these. An image whose round gained less than the tolerance is
// done. Images do not influence each other.
func FitLocalQ(ctx context.Context, j *model.Joint, q model.Posterior, v data.View, seed uint64, o LocalQOptions, done func(images int), h0 ...[]float32) ([]float32, error) {
	if err := o.Validate(); err != nil {
		return nil, &OptionError{err}
	}
	width, _ := q.Sizes()
	if len(h0) == 0 {
		return nil, &OptionError{fmt.Errorf("the search for the best %s of each image has nowhere to begin: want the output of an encoder, or a family that can be chosen by its moments", q)}
	}
	for _, h := range h0 {
		if len(h) != v.N()*width {
			return nil, &OptionError{fmt.Errorf("the search for the best %s of %d images begins with %d numbers, want %d for each image", q, v.N(), len(h), width)}
		}
	}
	if v.N() == 0 {
		return nil, nil
	}
	f, err := newLocalFit(ctx, j, q, v, seed, o, h0)
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
	scaled model.Scaled
	v      data.View
	seed   uint64
	images int // a block
	width  int // H
	eps    int // E

	h        []float32 // the best so far, [N, H]
	best     []float64 // L of it by the selector's draws
	selector *scorer
	graph    *LocalQ      // of a block
	u        *graph.Param // the posteriors in the family's coordinates, [B, H]
	grad     []float32    // with respect to u
	noise    []*data.Stream
}

// plain are the coordinates of a family that has none of its own: h itself.
type plain struct{}

func (plain) Origin(u, from []float32) { copy(u, from) }
func (plain) At(h, u, _ []float32)     { copy(h, u) }
func (plain) Pull(du, dh, _ []float32) { copy(du, dh) }

// selection is the purpose of the draws that decide what is kept.
const selection = "eps/gap/select/"

func newLocalFit(ctx context.Context, j *model.Joint, q model.Posterior, v data.View, seed uint64, o LocalQOptions, h0 [][]float32) (*localFit, error) {
	f := &localFit{o: o, engine: j.Engine, scaled: plain{}, v: v, seed: seed, h: slices.Clone(h0[0])}
	f.width, f.eps = q.Sizes()
	if scaled, ok := q.(model.Scaled); ok {
		f.scaled = scaled
	}
	f.images = min(max(1, evaluationRows/o.Draws), v.N())
	f.u = graph.NewParam("u", f.images, f.width)
	f.grad = make([]float32, f.images*f.width)
	for range f.images {
		f.noise = append(f.noise, new(data.Stream))
	}
	var err error
	if f.graph, err = NewLocalQ(j, q, f.images, o.Draws); err != nil {
		return nil, err
	}
	images, block := blocks(o.Selection, j.Width())
	if f.selector, err = newScorer(j, q, o.Selection, images, block); err != nil {
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

// round looks for better posteriors of a block of images, and leaves them in the graph.
func (f *localFit) round(ctx context.Context, images []int, round int) error {
	d, w := f.v.D(), f.width
	begin := make([]float32, f.images*w)
	for slot, i := range images {
		f.v.Pixels(f.graph.X()[slot*d:][:d], i, 0)
		copy(begin[slot*w:][:w], f.h[i*w:][:w])
		f.noise[slot].Reset(f.seed, "eps/gap/fit/"+f.v.Part(), uint64(f.v.Index(i)), uint64(round))
	}
	// each calls do with every image's part of two vectors, and with where it began.
	each := func(do func(to, of, from []float32), to, of []float32) {
		for lo := 0; lo < len(begin); lo += w {
			do(to[lo:lo+w], of[lo:lo+w], begin[lo:lo+w])
		}
	}
	h, u := f.graph.H(), f.u.Value
	copy(h, begin)
	each(func(u, _, from []float32) { f.scaled.Origin(u, from) }, u, h)
	adam := graph.NewAdam(f.o.LR, []*graph.Param{f.u}, f.engine)
	for step := range f.o.Steps {
		if err := ctx.Err(); err != nil {
			return err
		}
		f.drawPairs(len(images))
		_, dh, err := f.graph.Run()
		if err != nil {
			return err
		}
		each(f.scaled.Pull, f.grad, dh)
		adam.LR = f.o.LR * (1 + elementary.Cos(math.Pi*float64(step)/float64(f.o.Steps))) / 2
		adam.Step(func(int) []float32 { return f.grad })
		each(f.scaled.At, h, u)
	}
	return nil
}

// drawPairs fills the noise of the first n rows with pairs ±ε.
func (f *localFit) drawPairs(n int) {
	row := f.o.Draws * f.eps
	for slot := range n {
		for pair := range slices.Chunk(f.graph.Eps()[slot*row:][:row], 2*f.eps) {
			f.noise[slot].Normals(pair[:f.eps])
			for j, eps := range pair[:f.eps] {
				pair[f.eps+j] = -eps
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
