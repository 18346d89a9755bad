package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"elbo/data"
	"elbo/model"
	"elbo/model/infer"
	"elbo/train/run"
)

// emChunk is how many images the E-graph takes at once: enough for its products to run
// at full speed.
const emChunk = 1000

// em is the method that fits a model with a table, by alternating the E-graph and the
// M-graph:
//
//	E  table q, evidence, statistics of all training images at the present parameters
//	M  parameters from the statistics
//
// A pass is an M-step (but the first) and the E-step after it: line t of the metrics, from
// 0, is the E-step after t M-steps. It ends after the configured number of M-steps, or when
// a step gains less than the tolerance in evidence plus penalty per image; under
// acceleration, when two in a row do, as a jump may gain anything from 0 on where EM's own
// step gains more.
type em struct {
	*Fitting
	model *model.EM
	mStep MStep
	prior tablePrior

	fit        *model.EStep             // with statistics
	validation *model.EStep             // or nil
	pixels     func(x []float32, i int) // those of training image i, one of this process' share
	stats      *model.Statistics

	step    int64     // M-steps taken
	last    float64   // objective that the step before came to, NaN for none
	note    run.MStep // what the last M-step leaves behind
	trial   trial
	seconds float64 // of the last M-step

	reached struct { // what the last E-step came to
		begun     bool
		objective float64 // evidence plus penalty, nats per image
		evidence  float64
		rounding  float64 // of it
	}
}

// MStep is a way to raise the bound of a table in the parameters.
type MStep interface {
	// begin sets the first parameters.
	begin(e *em) error
	// chunk is how many images an E-step takes at once.
	chunk() int
	// expect is told of each chunk after its E-step: its first image, and how many it has.
	// It adds the chunk to the statistics.
	expect(e *em, first, count int)
	// sum completes what expect has kept by what other processes have of their images.
	sum(r Reducer) error
	// bound returns the line of metrics of the present table where the M-step has left one
	// that needs no E-step; false where it does.
	bound(e *em) (run.Metrics, bool)
	// maximise is the M-step.
	maximise(e *em) error
	// degenerate is the component that has shrunk to nothing, -1 for none.
	degenerate() int
	// saves reports whether the parameters that an M-step has left are to be saved; of the
	// others, saveBefore says it of those before one.
	saves() bool
	saveBefore() bool
	// save adds what the M-step needs to go on, and load takes it over.
	save(s *run.State)
	load(e *em, s *run.State) error
}

// NewEM is the method that fits a model with a table by EM with the given M-step.
func NewEM(f *Fitting, m *model.EM, step MStep) Method { return newEM(f, m, step) }

func newEM(f *Fitting, m *model.EM, step MStep) *em {
	e := &em{Fitting: f, model: m, mStep: step, last: math.NaN(), prior: commonPrior{}}
	if f.Config.Table().Prior == model.PerImage {
		e.prior = newPriorPerImage(f.Reducer, f.Train.N(), m.Config.States)
	}
	return e
}

// Begin compiles the E-graph, and sets the parameters to those of a state or to the first
// ones.
func (e *em) Begin(from *run.State) error {
	e.pixels = e.Train.Evaluated
	lo, hi := infer.Share(e.Reducer, e.Train.N())
	own := e.Train
	own.Subset = own.Slice(lo, hi)
	if kept := own.Bits(); kept != nil {
		e.pixels = func(x []float32, i int) { kept.Pixels(x, i-lo) }
	}
	var err error
	if e.fit, err = e.model.NewEStep(min(e.mStep.chunk(), e.Train.N()), true, e.prior.perImage()); err != nil {
		return err
	}
	if n := e.Validation.N(); n > 0 {
		if e.validation, err = e.model.NewEStep(min(emChunk, n), false, false); err != nil {
			return err
		}
	}
	e.stats = e.model.NewStatistics()
	if from != nil {
		return e.restore(from)
	}
	if err := e.mStep.begin(e); err != nil {
		return err
	}
	e.prior.begin(e.model.LogPrior())
	if err := e.Dir.TruncateMetrics(0); err != nil || e.Config.Network().InitFrom == "" {
		return err
	}
	if err := e.WarmStart(); err != nil {
		return err
	}
	return e.Save() // from here on the run needs its source no more
}

func (e *em) restore(from *run.State) error {
	if err := e.Load(from); err != nil {
		return err
	}
	if err := e.mStep.load(e, from); err != nil {
		return err
	}
	if err := e.prior.load(from); err != nil {
		return err
	}
	e.note, e.step = from.MStep, from.Step
	if from.Objective != nil {
		e.last = *from.Objective
	}
	return e.Dir.TruncateMetrics(int(from.Step)) // the E-step of this step comes once more
}

// Status is Unfinished: even of the last parameters the E-step is still to be made.
func (e *em) Status() Status { return Unfinished }

// Pass takes an M-step, unless it is the first, and makes E-steps until one stands.
func (e *em) Pass(ctx context.Context) (run.Metrics, bool, error) {
	if e.reached.begun {
		if err := e.maximise(ctx); err != nil {
			return run.Metrics{}, false, err
		}
	}
	for {
		m, err := e.expect()
		if err != nil {
			return m, false, err
		}
		objective := m.Train.Bound + m.EM.Penalty
		if e.trial.fallback != nil {
			refused := e.refuse(objective)
			if err := e.settle(ctx); err != nil {
				return m, false, err
			}
			if refused {
				continue
			}
		}
		if err := e.finite(m.Train.Bound); err != nil {
			return m, false, err
		}
		e.reached.begun, e.reached.objective, e.reached.evidence, e.reached.rounding = true, objective, m.Train.Bound, m.EM.Rounding
		return m, true, e.validate(&m)
	}
}

// validate adds the terms of the validation images, and the time of it all.
func (e *em) validate(m *run.Metrics) error {
	if e.validation != nil {
		began := e.Now()
		var err error
		if m.Validation, err = evidence(context.Background(), e.validation, e.Validation, e.Reducer); err != nil {
			return err
		}
		if err := e.finite(m.Validation.Bound); err != nil {
			return err
		}
		m.Seconds += e.Now().Sub(began).Seconds()
	}
	m.ImagesPerSecond = float64(e.Train.N()) / max(m.Seconds, 1e-9)
	return nil
}

// Turn says whether the fit is at its end. If so, its state is to be saved: the E-step may
// have found the best.
func (e *em) Turn(run.Metrics) (Status, bool) {
	switch {
	case e.small() && (e.note.Slow || smallGains(e.Config) == 1):
		return Converged, true
	case e.step >= int64(e.Config.Epochs):
		return Finished, true
	}
	return Unfinished, false
}

// small reports whether the last step of EM gained little.
func (e *em) small() bool {
	return e.Config.Table().Tolerance > 0 && smallGain(e.Config, e.reached.objective-e.last, e.reached.rounding) && e.step > 0 && !shortening(e.note)
}

// maximise is the M-step.
func (e *em) maximise(ctx context.Context) error {
	if e.mStep.saveBefore() {
		if err := e.Save(); err != nil {
			return err
		}
	}
	e.note.Slow = e.small() && smallGains(e.Config) > 1
	e.last = e.reached.objective
	began := e.Now()
	e.prior.sharpen(e)
	if err := e.mStep.maximise(e); err != nil {
		return err
	}
	e.seconds = e.Now().Sub(began).Seconds()
	e.step++
	if e.trial.fallback != nil {
		return nil
	}
	return e.settle(ctx)
}

// settle judges parameters that stand, and saves them. It ends the run where that was
// asked for.
func (e *em) settle(ctx context.Context) error {
	if err := e.degeneracy(); err != nil {
		return err
	}
	if e.mStep.saves() {
		if err := e.Save(); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return ErrInterrupted
	}
	return nil
}

// trial is what to go back to from parameters that the next E-step may refuse; none where
// they stand.
type trial struct {
	fallback [][]float32
	note     run.MStep
	least    float64 // evidence plus penalty that they must reach
}

// try puts the parameters that are about to change on trial.
func (e *em) try(least float64) {
	var values [][]float32
	for _, p := range e.model.Params() {
		values = append(values, slices.Clone(p.Value))
	}
	e.trial = trial{fallback: values, note: e.note, least: least}
}

// refuse goes back from a point on trial whose bound is too low, or no number; the E-step
// is then made once more.
func (e *em) refuse(objective float64) bool {
	back := e.trial
	e.trial = trial{}
	if objective >= back.least && !math.IsInf(objective, 1) {
		return false
	}
	for i, p := range e.model.Params() {
		copy(p.Value, back.fallback[i])
	}
	e.note = back.note
	return true
}

// degeneracy is the error of parameters that stand, and not of a point on trial, where a
// component has shrunk to nothing.
func (e *em) degeneracy() error {
	k := e.mStep.degenerate()
	if k < 0 {
		return nil
	}
	err := e.Diverged(fmt.Sprintf("a pixel of component %d has a variance below %g, as it is the same in all its images: the density grows without end; --variance-floor bounds it", k, narrowest))
	err.Degenerate = true
	return err
}

// shortening reports whether the M-step found nothing better, and shorter steps
// are still to be tried: no gain then says nothing about convergence.
func shortening(n run.MStep) bool { return n.Stalled && n.Shorter < 1000 }

// expect is the E-step over all training images. It leaves the statistics for the
// M-step, and returns what it came to.
func (e *em) expect() (run.Metrics, error) {
	began := e.Now()
	m, known := e.mStep.bound(e)
	if !known {
		var err error
		if m, err = e.passOver(); err != nil {
			return m, err
		}
	}
	m.Epoch, m.Step, m.Beta = int(e.step), e.step, 1
	m.EM.Penalty = e.model.LogPenalty() / e.stats.Images
	m.EM.Used, m.EM.Rounding = model.UsedStates(e.stats.Counts), e.model.Rounding(e.stats, m.Train.Recon)
	m.Seconds = e.seconds + e.Now().Sub(began).Seconds() // with the M-step that led here
	return m, nil
}

// passOver runs the E-graph over all training images.
func (e *em) passOver() (run.Metrics, error) {
	e.stats.Clear()
	var totals model.Totals
	priorBound := 0.0
	lo, hi := infer.Share(e.Reducer, e.Train.N())
	for first := lo; first < hi; first += e.fit.Chunk() {
		count := min(e.fit.Chunk(), hi-first)
		e.fit.Load(e.pixels, first, count)
		e.prior.fill(e.fit, first, count)
		if err := e.fit.Run(count); err != nil {
			return run.Metrics{}, err
		}
		e.mStep.expect(e, first, count)
		totals.Add(chunkTotals(e.fit, count))
		for _, b := range e.fit.PriorBound()[:count] {
			priorBound += float64(b)
		}
		e.prior.keep(e.fit, first, count)
	}
	bound := []float64{priorBound}
	if err := errors.Join(sumTotals(e.Reducer, &totals), sumStatistics(e.Reducer, e.stats), e.Reducer.Sum(bound), e.mStep.sum(e.Reducer)); err != nil {
		return run.Metrics{}, err
	}
	priorBound = bound[0]
	mean := totals.Mean()
	priorBound /= totals.Images
	priorKL := mean.Bound - priorBound
	return run.Metrics{
		Train: &run.EpochTerms{Recon: mean.Recon, KL: mean.KL, Bound: mean.Bound},
		EM:    &run.EMTerms{PriorBound: &priorBound, PriorKL: &priorKL, Stalled: e.note.Stalled, Reseeded: e.note.Reseeded, AfterMStep: e.note.Bound},
	}, nil
}

// noteBound keeps, for the line of metrics that follows, what an M-step has made of the
// bound of its table q: at the old parameters that is the evidence, as q is exact there, and
//
//	ELBO(q, θ') = log p(x|θ) + E_q[log p(x,z|θ')] - E_q[log p(x,z|θ)]
//
// at the new ones, as the entropy of q stays. gain is the difference of the two
// expectations, in nats per image.
func (e *em) noteBound(gain float64) {
	bound := e.reached.evidence + gain
	e.note.Bound = nil
	if e.prior.perImage() || math.IsNaN(bound) || math.IsInf(bound, 0) {
		return
	}
	e.note.Bound = &bound
}

func (e *em) finite(bound float64) error {
	if math.IsNaN(bound) || math.IsInf(bound, 0) {
		err := e.Diverged(fmt.Sprintf("the evidence is %v nats per image", bound))
		err.LastGood = min(e.Saved, e.step-1) // the parameters of this very step may have been saved: not those
		return err
	}
	return nil
}

// At is where the fit stands: an iteration is a whole pass.
func (e *em) At() (int64, int, int) { return e.step, int(e.step), e.Train.N() }

// State is a checkpoint's.
func (e *em) State() (*run.State, error) {
	s := e.Setup.state(e.step, int(e.step)+1, e.Best)
	if !math.IsNaN(e.last) {
		last := e.last
		s.Objective = &last
	}
	s.MStep = e.note
	e.mStep.save(s)
	return s, e.prior.save(s)
}

// Result has nothing to add.
func (e *em) Result(*Result) {}

// chunkTotals sums the terms of a chunk: the bound at the exact posterior is the
// evidence.
func chunkTotals(e *model.EStep, count int) model.Totals {
	t := model.Totals{Images: float64(count)}
	recon := e.Recon()
	for i, evidence := range e.Evidence()[:count] {
		t.Bound += float64(evidence)
		t.Recon += float64(recon[i])
	}
	t.KL = t.Recon - t.Bound
	return t
}

// evidence returns the terms of images under the model's own p(z). Peers score a part of them
// each; nil is for none.
func evidence(ctx context.Context, e *model.EStep, v data.View, p infer.Peers) (*run.EpochTerms, error) {
	own := infer.Dealt(p, v)
	const fields = 2 // evidence, reconstruction
	var rows []float64
	err := e.Each(ctx, own.Evaluated, own.N(), func(count int) bool {
		recon := e.Recon()
		for i, evidence := range e.Evidence()[:count] {
			rows = append(rows, float64(evidence), float64(recon[i]))
		}
		return true
	})
	if rows, err = infer.Together(p, v.N(), fields, rows, err); err != nil {
		return nil, err
	}
	var totals model.Totals
	var bound infer.Running
	for chunk := range slices.Chunk(rows, emChunk*fields) {
		var t model.Totals
		for row := range slices.Chunk(chunk, fields) {
			t.Images++
			t.Bound += row[0]
			t.Recon += row[1]
			bound.Add(row[0])
		}
		t.KL = t.Recon - t.Bound
		totals.Add(t)
	}
	mean := totals.Mean()
	return &run.EpochTerms{Recon: mean.Recon, KL: mean.KL, Bound: mean.Bound, BoundSE: bound.StandardError()}, nil
}
