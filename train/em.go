package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"elbo/data"
	"elbo/graph"
	"elbo/model"
	"elbo/train/run"
	"elbo/train/safetensors"
)

// emChunk is how many images the E-graph takes at once: enough for its products to run
// at full speed.
const emChunk = 1000

// emRun is the state of RunEM.
type emRun struct {
	*Setup
	dir      *run.Dir
	recorder Recorder
	now      func() time.Time

	fit        *model.EStep // with statistics
	validation *model.EStep // or nil
	kept       *data.Kept   // the training images' outcomes; nil for grey levels
	stats      *model.Statistics
	table      []float32 // log p_n(z), [N, K], for a prior per image
	posteriors []float32 // log p(z|x_n), [N, K], which the M-step makes the priors
	adam       *Adam     // of a grid's decoder

	step      int64   // M-steps taken
	last      float64 // objective after the step before, NaN for none
	reached   float64 // evidence of the last E-step
	rounding  float64 // of it
	best      *run.Best
	saved     int64
	mStep     run.MStep
	strangers []stranger
	variance  float64 // of a pixel, over all; of a Gaussian mixture
	jump      squarem
	trial     trial
	inc       *incremental // or nil
	seconds   float64      // of the last M-step
}

// RunEM fits the model of s by alternating the E-graph and the M-graph, from a state,
// or from the beginning where from is nil:
//
//	E  table q, evidence, statistics of all training images at the present parameters
//	M  parameters from the statistics
//
// Line t of the metrics, from 0, is the E-step after t M-steps. It ends after the
// configured number of M-steps, or when a step gains less than the tolerance in
// evidence plus penalty per image; under acceleration, when two in a row do, as a jump may
// gain anything from 0 on where EM's own step gains more. It is as deterministic as Run, and ends as Run does
// when ctx is cancelled or a bound is not finite.
func RunEM(ctx context.Context, s *Setup, dir *run.Dir, from *run.State, recorder Recorder, now func() time.Time) (Result, error) {
	r := &emRun{Setup: s, dir: dir, recorder: recorder, now: now, last: math.NaN(), saved: -1}
	if err := r.compile(); err != nil {
		return Result{}, err
	}
	if err := r.begin(from); err != nil {
		return Result{}, err
	}
	for {
		m, err := r.expect()
		if err != nil {
			return Result{}, err
		}
		objective := m.Train.Bound + m.EM.Penalty
		if r.trial.fallback != nil {
			refused := r.refuse(objective)
			if err := r.settle(ctx); err != nil {
				return Result{}, err
			}
			if refused {
				continue
			}
		}
		if err := r.finite(m.Train.Bound); err != nil {
			return Result{}, err
		}
		if err := r.record(m); err != nil {
			return Result{}, err
		}
		gain := objective - r.last
		small := s.Config.Table().Tolerance > 0 && smallGain(s.Config, gain, m.EM.Rounding) && r.step > 0 && !shortening(r.mStep)
		converged := small && (r.mStep.Slow || !SettingsOf[MixtureSettings](s.Config).Accelerate)
		if r.step >= int64(s.Config.Epochs) || converged {
			if err := r.save(); err != nil { // the E-step may have found the best
				return Result{}, err
			}
			return Result{Step: r.step, Best: r.best, Converged: converged}, nil
		}
		if SettingsOf[MixtureSettings](r.Config).Accelerate && len(r.jump.points) == 0 {
			// Where a cycle begins, the parameters are all there is to save.
			if err := r.save(); err != nil {
				return Result{}, err
			}
		}
		r.last, r.reached, r.rounding = objective, m.Train.Bound, m.EM.Rounding
		r.mStep.Slow = small && SettingsOf[MixtureSettings](s.Config).Accelerate
		if err := r.maximise(); err != nil {
			return Result{}, err
		}
		r.step++
		if r.trial.fallback == nil {
			if err := r.settle(ctx); err != nil {
				return Result{}, err
			}
		}
	}
}

// settle judges parameters that stand, and saves them: under acceleration not here, but
// where a cycle begins. It ends the run where that was asked for.
func (r *emRun) settle(ctx context.Context) error {
	if err := r.degeneracy(); err != nil {
		return err
	}
	if !SettingsOf[MixtureSettings](r.Config).Accelerate {
		if err := r.save(); err != nil {
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
	mStep    run.MStep
	least    float64 // evidence plus penalty that they must reach
}

// try puts the parameters that are about to change on trial.
func (r *emRun) try(least float64) {
	r.trial = trial{fallback: r.snapshot(), mStep: r.mStep, least: least}
}

// refuse goes back from a point on trial whose bound is too low, or no number; the E-step
// is then made once more.
func (r *emRun) refuse(objective float64) bool {
	back := r.trial
	r.trial = trial{}
	if objective >= back.least && !math.IsInf(objective, 1) {
		return false
	}
	for i, p := range r.EM.Params() {
		copy(p.Value, back.fallback[i])
	}
	r.mStep = back.mStep
	return true
}

// degeneracy is the error of parameters that stand, and not of a point on trial, where a
// component has shrunk to nothing.
func (r *emRun) degeneracy() error {
	k := degenerate(r.EM)
	if k < 0 {
		return nil
	}
	return &DivergedError{Step: r.step, Epoch: int(r.step), Position: r.Train.N(), LastGood: r.saved, Degenerate: true,
		Reason: fmt.Sprintf("a pixel of component %d has a variance below %g, as it is the same in all its images: the density grows without end; --variance-floor bounds it", k, narrowest)}
}

// snapshot copies the parameters.
func (r *emRun) snapshot() [][]float32 {
	var values [][]float32
	for _, p := range r.EM.Params() {
		values = append(values, slices.Clone(p.Value))
	}
	return values
}

// shortening reports whether the M-step found nothing better, and shorter steps
// are still to be tried: no gain then says nothing about convergence.
func shortening(n run.MStep) bool { return n.Stalled && n.Shorter < 1000 }

func (r *emRun) compile() error {
	perImage := r.EM.Config.Prior == model.PerImage
	r.kept = r.Train.Keep()
	var err error
	chunk := emChunk
	if SettingsOf[MixtureSettings](r.Config).Incremental > 0 {
		chunk = SettingsOf[MixtureSettings](r.Config).Incremental
	}
	if r.fit, err = r.EM.NewEStep(min(chunk, r.Train.N()), true, perImage); err != nil {
		return err
	}
	if SettingsOf[MixtureSettings](r.Config).Incremental > 0 {
		r.inc = newIncremental(r.EM, (r.Train.N()+r.fit.Chunk()-1)/r.fit.Chunk())
	}
	if n := r.Validation.N(); n > 0 {
		if r.validation, err = r.EM.NewEStep(min(emChunk, n), false, false); err != nil {
			return err
		}
	}
	r.stats = r.EM.NewStatistics()
	if r.Config.Likelihood == model.GaussianName {
		r.variance = r.pixelVariance()
	}
	if decoder := r.EM.Decoder(); decoder != nil {
		r.adam = NewAdam(r.Config.Network().LR, decoder, r.Engine)
	}
	return nil
}

// begin sets the parameters to those of a state, or to the first ones.
func (r *emRun) begin(from *run.State) error {
	if r.EM.Config.Prior == model.PerImage {
		r.table = make([]float32, r.Train.N()*r.EM.Config.States)
		r.posteriors = make([]float32, len(r.table))
	}
	if from == nil {
		if r.adam == nil {
			if err := r.EM.Maximise(r.initialStatistics(r.variance)); err != nil {
				return err
			}
			if err := r.degeneracy(); err != nil {
				return err
			}
		}
		for i := range r.table {
			r.table[i] = r.EM.LogPrior()[i%r.EM.Config.States]
		}
		if err := r.dir.TruncateMetrics(0); err != nil || r.Config.Network().InitFrom == "" {
			return err
		}
		if err := r.LoadInitial(); err != nil {
			return err
		}
		return r.save() // from here on the run needs its source no more
	}
	if err := r.Load(from); err != nil {
		return err
	}
	if r.adam != nil {
		if err := r.adam.Restore(from.Moments, from.Step*int64(SettingsOf[GridSettings](r.Config).MSteps)); err != nil {
			return err
		}
	}
	if r.table != nil {
		table, ok := findTensor(from.Tables, run.PriorTable, len(r.table))
		if !ok {
			return fmt.Errorf("checkpoint has no %s of %d images and %d states: it was written for other data or another model", run.PriorTable, r.Train.N(), r.EM.Config.States)
		}
		copy(r.table, table)
	}
	if r.inc != nil && from.Step > 0 {
		if err := r.inc.restore(r.Setup, r.fit.Chunk(), from.Tables); err != nil {
			return err
		}
	}
	r.mStep = from.MStep
	r.step, r.best, r.saved = from.Step, from.Best, from.Step
	if from.Objective != nil {
		r.last = *from.Objective
	}
	return r.dir.TruncateMetrics(int(from.Step)) // the E-step of this step comes once more
}

// expect is the E-step over all training images. It leaves the statistics for the
// M-step, and returns what it came to.
func (r *emRun) expect() (run.Metrics, error) {
	began := r.now()
	if r.inc != nil && r.step > 0 { // the sweep before has left the table, and with it F
		r.inc.total(r.stats)
		totals := r.inc.terms(r.EM, r.stats)
		mean := totals.Mean()
		m := run.Metrics{Epoch: int(r.step), Step: r.step, Beta: 1,
			Train: &run.EpochTerms{Recon: mean.Recon, KL: mean.KL, Bound: mean.Bound},
			EM:    &run.EMTerms{Penalty: r.EM.LogPenalty() / totals.Images, Used: usedStates(r.stats.Counts), Rounding: r.EM.Rounding(r.stats, mean.Recon), Table: true}}
		m.Seconds = r.seconds + r.now().Sub(began).Seconds()
		return m, nil
	}
	r.stats.Clear()
	r.strangers = r.strangers[:0]
	n, k := r.Train.N(), r.EM.Config.States
	var totals model.Totals
	note := 0.0
	for first := 0; first < n; first += r.fit.Chunk() {
		count := min(r.fit.Chunk(), n-first)
		r.fillPixels(r.fit, r.Train, r.kept, first, count)
		if r.table != nil {
			copy(r.fit.LogPriors(), r.table[first*k:][:count*k])
		}
		if err := r.fit.Run(count); err != nil {
			return run.Metrics{}, err
		}
		if r.inc != nil {
			r.inc.replace(r.stats, first/r.fit.Chunk(), r.fit, r.EM.LogPrior(), count)
		} else {
			r.fit.AddStatistics(r.stats, count)
		}
		totals.Add(chunkTotals(r.fit, count))
		for _, b := range r.fit.Note()[:count] {
			note += float64(b)
		}
		if r.table != nil {
			r.keepPosteriors(first, count)
		} else if r.adam == nil {
			r.strangers = keepStrangers(r.strangers, first, r.fit.Evidence()[:count], min(k, mostReseeded))
		}
	}
	mean := totals.Mean()
	penalty := r.EM.LogPenalty() / float64(n)
	m := run.Metrics{
		Epoch: int(r.step), Step: r.step, Beta: 1,
		Train: &run.EpochTerms{Recon: mean.Recon, KL: mean.KL, Bound: mean.Bound},
		EM:    &run.EMTerms{Note: note / float64(n), NoteKL: mean.Bound - note/float64(n), Penalty: penalty, Used: usedStates(r.stats.Counts), Rounding: r.EM.Rounding(r.stats, mean.Recon), Stalled: r.mStep.Stalled, Reseeded: r.mStep.Reseeded, OldTable: r.mStep.Bound},
	}
	m.Seconds = r.seconds + r.now().Sub(began).Seconds() // with the M-step that led here
	return m, nil
}

// mostReseeded bounds the components that one M-step moves.
const mostReseeded = 20

// record validates, writes a line of metrics and keeps the best state.
func (r *emRun) record(m run.Metrics) error {
	if r.validation != nil {
		began := r.now()
		var err error
		if m.Validation, err = r.evidence(r.validation, r.Validation); err != nil {
			return err
		}
		if err := r.finite(m.Validation.Bound); err != nil {
			return err
		}
		m.Seconds += r.now().Sub(began).Seconds()
	}
	m.ImagesPerSecond = float64(r.Train.N()) / max(m.Seconds, 1e-9)
	if err := r.dir.AppendMetrics(m); err != nil {
		return err
	}
	if v := m.Validation; v != nil && (r.best == nil || v.Bound > r.best.Bound) {
		r.best = &run.Best{Bound: v.Bound, Epoch: int(r.step), Step: r.step}
		if err := r.dir.SaveBest(r.state()); err != nil {
			return r.notSaved(err)
		}
	}
	r.recorder.Epoch(m)
	return nil
}

// fillPixels copies images, as evaluation sees them, into a chunk. kept are those of v, if
// they were kept.
func (s *Setup) fillPixels(e *model.EStep, v data.View, kept *data.Kept, first, count int) {
	d := v.D()
	s.Engine.Split(count, 100, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			x := e.X()[i*d:][:d]
			if kept != nil {
				kept.Pixels(x, first+i)
			} else {
				v.Pixels(x, first+i, 0)
			}
		}
	})
}

// eachChunk runs the E-graph over the images of v, as evaluation sees them, and calls f
// after each chunk with its number of images, until f returns false.
func (s *Setup) eachChunk(ctx context.Context, e *model.EStep, v data.View, f func(count int) bool) error {
	for first := 0; first < v.N(); first += e.Chunk() {
		if err := ctx.Err(); err != nil {
			return err
		}
		count := min(e.Chunk(), v.N()-first)
		s.fillPixels(e, v, nil, first, count)
		if err := e.Run(count); err != nil {
			return err
		}
		if !f(count) {
			return nil
		}
	}
	return nil
}

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

// keepPosteriors keeps those of a chunk.
func (r *emRun) keepPosteriors(first, count int) {
	k := r.EM.Config.States
	joint, evidence := r.fit.Joint(), r.fit.Evidence()
	for i := range count {
		row := r.posteriors[(first+i)*k:][:k]
		for j := range row {
			row[j] = max(joint[i*k+j]-evidence[i], graph.LogZero)
		}
	}
}

// sharpen makes every image's posterior its prior, and log p(z) their average: what stands
// for an image that was not in training. It is left to the M-step, so that whatever is said
// or saved of an E-step's parameters comes with the priors that it found.
func (r *emRun) sharpen() {
	r.table, r.posteriors = r.posteriors, r.table
	for k, n := range r.stats.Counts {
		r.EM.LogPrior()[k] = graph.LogProbability(n / r.stats.Images)
	}
}

// usedStates counts the states that hold at least half an image.
func usedStates(counts []float64) int {
	used := 0
	for _, n := range counts {
		if n >= 0.5 {
			used++
		}
	}
	return used
}

// evidence returns the terms of a split under the model's own p(z).
func (s *Setup) evidence(e *model.EStep, v data.View) (*run.EpochTerms, error) {
	var totals model.Totals
	var bound moments
	err := s.eachChunk(context.Background(), e, v, func(count int) bool {
		totals.Add(chunkTotals(e, count))
		for _, evidence := range e.Evidence()[:count] {
			bound.add(float64(evidence))
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	mean := totals.Mean()
	return &run.EpochTerms{Recon: mean.Recon, KL: mean.KL, Bound: mean.Bound, BoundSE: bound.standardError()}, nil
}

// maximise is the M-step: in closed form for a mixture, by gradient steps for a grid,
// of which the best is kept.
func (r *emRun) maximise() error {
	began := r.now()
	defer func() { r.seconds = r.now().Sub(began).Seconds() }()
	if r.table != nil {
		r.sharpen()
	}
	if r.inc != nil && r.step > 0 {
		return r.sweep()
	}
	if r.adam == nil {
		return r.maximiseMixture()
	}
	prior := expectedLogPrior(r.EM, r.stats)
	r.EM.Expect(r.stats)
	prior = expectedLogPrior(r.EM, r.stats) - prior
	r.adam.LR = r.Config.Network().LR / (1 + r.mStep.Shorter)
	decoder := r.EM.Decoder()
	start, err := r.EM.Expected()
	if err != nil {
		return err
	}
	best := start
	kept := make([][]float32, len(decoder))
	keep := func() {
		for i, p := range decoder {
			kept[i] = append(kept[i][:0], p.Value...)
		}
	}
	keep()
	for range SettingsOf[GridSettings](r.Config).MSteps {
		r.adam.Step(r.EM.DecoderGrad)
		q, err := r.EM.Expected()
		if err != nil {
			return err
		}
		if q > best {
			best = q
			keep()
		}
	}
	for i, p := range decoder {
		copy(p.Value, kept[i])
	}
	r.mStep.Stalled = best == start
	r.noteOldTable(best - start + prior/r.stats.Images)
	// Near a maximum the steps are too long, and momentum carries them astray.
	if r.mStep.Stalled {
		r.adam.Stop()
		r.mStep.Shorter = 2*r.mStep.Shorter + 1
	} else {
		r.mStep.Shorter *= 0.9
	}
	return r.EM.Refresh()
}

// maximiseMixture is the M-step in closed form. Dead components are moved after it, and
// under acceleration every second one is followed by a jump: the next E-step may refuse
// either.
func (r *emRun) maximiseMixture() error {
	if SettingsOf[MixtureSettings](r.Config).Accelerate {
		r.jump.points = append(r.jump.points, r.EM.Point())
	}
	logLik, logPrior := r.EM.ExpectedLogJoint(r.stats)
	before := logLik + logPrior
	r.mStep.Reseeded = 0
	if err := r.EM.Maximise(r.stats); err != nil {
		return err
	}
	logLik, logPrior = r.EM.ExpectedLogJoint(r.stats)
	r.noteOldTable((logLik + logPrior - before) / r.stats.Images)
	if moved := r.reseed(); moved > 0 {
		// Of both bounds, each a mean of so many roundings that have nothing to do with
		// each other.
		r.try(r.last - 2*r.rounding/math.Sqrt(r.stats.Images))
		r.mStep.Reseeded, r.mStep.Bound = moved, nil
		if err := r.EM.Maximise(r.stats); err != nil {
			return err
		}
	}
	if len(r.jump.points) < 2 {
		return nil
	}
	t0, t1, t2 := r.jump.points[0], r.jump.points[1], r.EM.Point()
	r.jump.points = nil
	if r.mStep.Reseeded > 0 { // the three points are not of one path
		return nil
	}
	point := extrapolate(t0, t1, t2)
	if point == nil {
		return nil
	}
	r.try(r.last)
	if err := r.EM.SetPoint(point); err != nil {
		return err
	}
	if degenerate(r.EM) >= 0 { // no place to go, whatever its bound
		r.refuse(math.Inf(-1))
	}
	return nil
}

func (r *emRun) finite(bound float64) error {
	if math.IsNaN(bound) || math.IsInf(bound, 0) {
		// The parameters of this very step may have been saved: not those.
		return &DivergedError{Step: r.step, Epoch: int(r.step), Position: r.Train.N(), LastGood: min(r.saved, r.step-1),
			Reason: fmt.Sprintf("the evidence is %v nats per image", bound)}
	}
	return nil
}

func (r *emRun) save() error {
	if err := r.dir.Save(r.state()); err != nil {
		return r.notSaved(err)
	}
	r.saved = r.step
	return nil
}

func (r *emRun) notSaved(err error) error {
	if errors.Is(err, run.ErrNotFinite) {
		return &DivergedError{Step: r.step, Epoch: int(r.step), Position: r.Train.N(), LastGood: r.saved, Reason: err.Error()}
	}
	return err
}

func (r *emRun) state() *run.State {
	s := r.Setup.state(r.step, int(r.step)+1, r.best)
	if !math.IsNaN(r.last) {
		last := r.last
		s.Objective = &last
	}
	if r.adam != nil {
		s.Moments = r.adam.Moments()
	}
	s.MStep = r.mStep
	if r.inc != nil {
		s.Tables = append(s.Tables, r.inc.tensors(r.EM.Config.States, r.EM.Config.Pixels)...)
	}
	if r.table != nil {
		s.Tables = append(s.Tables, safetensors.Tensor{Name: run.PriorTable, Shape: []int{r.Train.N(), r.EM.Config.States}, Data: r.table})
	}
	return s
}
