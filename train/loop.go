package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"elbo/model"
	"elbo/train/run"
)

// Recorder hears how a run goes, in the goroutine of Run.
type Recorder interface {
	Step(Progress)
	Epoch(run.Metrics)
}

// Progress is where a run stands after a step.
type Progress struct {
	Epoch, Epochs    int
	Position, Images int         // images of the epoch seen, and all of them
	Terms            model.Terms // means over the epoch so far
}

// ErrInterrupted: the context was cancelled. A checkpoint was written.
var ErrInterrupted = errors.New("interrupted")

// DivergedError: a term of the bound, or a parameter, is not finite. Nothing of it
// was saved.
type DivergedError struct {
	Step            int64
	Epoch, Position int
	Reason          string
	LastGood        int64 // step of the last checkpoint, -1 for none
	Degenerate      bool  // EM: a component's density grows without end
}

func (e *DivergedError) Error() string {
	last := "there is no checkpoint yet, begin again in another --out"
	if e.LastGood >= 0 {
		last = fmt.Sprintf("the last good checkpoint is that of step %d", e.LastGood)
	}
	if e.Degenerate {
		return fmt.Sprintf("iteration %d: %s; %s", e.Step, e.Reason, last)
	}
	return fmt.Sprintf("step %d (epoch %d, image %d): %s; %s; a smaller --lr, or --warmup, is the first thing to try", e.Step, e.Epoch, e.Position, e.Reason, last)
}

// Result is how a finished run ended.
type Result struct {
	Step int64
	Best *run.Best // nil without validation images

	// Rise is what the last epoch added to the validation bound, nats per image. Both
	// epochs are scored with the same draws, so its standard error is that of the
	// images' differences. Nil where there is no epoch, or no state of it, to compare.
	Rise *Estimate

	Converged bool // EM: an iteration gained less than the tolerance
}

// vaeRun is the state of Run.
type vaeRun struct {
	*Setup
	dir       *run.Dir
	recorder  Recorder
	now       func() time.Time
	adam      *Adam
	evaluator *Evaluator // nil without validation images

	step     int64
	epoch    int
	position int
	totals   model.Totals
	best     *run.Best
	saved    int64     // step of the last checkpoint, -1 for none
	bounds   []float64 // of each validation image at the end of the last epoch, where known
	rise     *Estimate // of the last epoch of all

	began   time.Time // when this process began the epoch
	counted float64   // images of the epoch that this process did not train on
}

// Run trains the model of s from a state, or from the beginning where from is nil,
// to the last epoch of the configuration. After each epoch it appends to the run's
// metrics, keeps the best state by the validation bound (at weight 1 of the
// divergence, after warm-up) and writes a checkpoint.
//
// It is deterministic: from any checkpoint of a run it comes, under equal numerics,
// to the same bits as the run left alone. now is read for the metrics' seconds only.
//
// When ctx is cancelled, the step is finished, a checkpoint is written, and the error
// is ErrInterrupted. A bound that is not finite ends it with a *DivergedError.
func Run(ctx context.Context, s *Setup, dir *run.Dir, from *run.State, recorder Recorder, now func() time.Time) (Result, error) {
	r := &vaeRun{Setup: s, dir: dir, recorder: recorder, now: now, epoch: 1, saved: -1}
	own := SettingsOf[VAESettings](s.Config)
	r.adam = NewAdam(own.LR, s.VAE.Trained(), s.Engine)
	if from != nil {
		if err := r.restore(from); err != nil {
			return Result{}, err
		}
	}
	if err := dir.TruncateMetrics(r.epoch); err != nil {
		return Result{}, err
	}
	if from == nil && s.VAE.Solves() {
		s.VAE.Likelihood.(model.Solved).Begin(s.meanSquare())
	}
	if from == nil && own.InitFrom != "" {
		if err := r.adopt(); err != nil {
			return Result{}, err
		}
	}
	if err := s.VAE.CompileStep(own.Batch); err != nil {
		return Result{}, err
	}
	if s.Validation.N() > 0 {
		var err error
		if r.evaluator, err = NewEvaluator(s.VAE, own.K); err != nil {
			return Result{}, err
		}
	}
	batches := newFeed(s, r.epoch, r.position)
	defer batches.close()
	for r.beginEpoch(); r.epoch <= s.Config.Epochs; r.beginEpoch() {
		if err := r.trainEpoch(ctx, batches); err != nil {
			return Result{}, err
		}
		if err := r.endEpoch(ctx); err != nil {
			return Result{}, err
		}
	}
	return Result{Step: r.step, Best: r.best, Rise: r.rise}, nil
}

// meanSquare is the mean of the training pixels' squares.
func (s *Setup) meanSquare() float64 {
	x, sum := make([]float32, s.Train.D()), 0.0
	for i := range s.Train.N() {
		s.Train.Pixels(x, i, 0)
		for _, v := range x {
			sum += float64(v) * float64(v)
		}
	}
	return sum / float64(s.Train.N()*len(x))
}

// solvedWindow is how many images what a likelihood solves for reaches back, as a running
// mean of squared residuals. Too few, and σ² scatters with them: the residuals of
// MNIST's images vary by 40 %, which over 5000 costs a bound of 784 pixels
// 784/4 · 0.4²/10000 = 0.003 nats. Too many, and σ² is that of a decoder long gone.
const solvedWindow = 5000

// solvedShare is how far a step with that many images takes what is solved for to its best
// value for them.
func (r *vaeRun) solvedShare(images int) float64 {
	return min(1, float64(images)/float64(min(solvedWindow, r.Train.N())))
}

// adopt begins with the parameters that the configuration names, and saves them: from
// here on the run needs its source no more.
func (r *vaeRun) adopt() error {
	if err := r.LoadInitial(); err != nil {
		return err
	}
	return r.save()
}

func (r *vaeRun) restore(from *run.State) error {
	if err := r.Load(from); err != nil {
		return err
	}
	if err := r.adam.Restore(from.Moments, from.Step); err != nil {
		return err
	}
	r.step, r.epoch, r.position = from.Step, from.Epoch, from.Position
	r.totals, r.best, r.saved = model.Totals(from.Sums), from.Best, from.Step
	return nil
}

func (r *vaeRun) beginEpoch() {
	r.began, r.counted = r.now(), r.totals.Images
}

// trainEpoch takes the steps from the present position to the end of the epoch.
func (r *vaeRun) trainEpoch(ctx context.Context, batches *feed) error {
	for n := r.Train.N(); r.position < n; {
		batch := batches.next()
		totals, err := r.VAE.Step(&batch.Batch)
		if err != nil {
			return err
		}
		// Look before telling others: a bound that is not finite reaches neither
		// the parameters nor a checkpoint.
		if err := r.finite(totals); err != nil {
			return err
		}
		r.adam.Step(r.VAE.Grad)
		if r.VAE.Solves() {
			r.VAE.Solve(r.solvedShare(batch.Images))
		}
		r.step++
		r.position += batch.Images
		r.totals.Add(totals)
		batches.recycle(batch)
		r.recorder.Step(Progress{Epoch: r.epoch, Epochs: r.Config.Epochs, Position: r.position, Images: n, Terms: r.totals.Mean()})
		if ctx.Err() != nil {
			return r.interrupted()
		}
		if every := int64(SettingsOf[VAESettings](r.Config).CheckpointEvery); every > 0 && r.step%every == 0 && r.position < n {
			if err := r.save(); err != nil {
				return err
			}
		}
	}
	return nil
}

// endEpoch validates, and writes down what the epoch came to.
func (r *vaeRun) endEpoch(ctx context.Context) error {
	seconds := r.now().Sub(r.began).Seconds()
	mean := r.totals.Mean()
	m := run.Metrics{
		Epoch: r.epoch, Step: r.step,
		Train:           &run.EpochTerms{Recon: mean.Recon, KL: mean.KL, Bound: mean.Bound},
		Beta:            float64(float32(SettingsOf[VAESettings](r.Config).betaAt(r.epoch, r.Train.N()-1, r.Train.N()))),
		Seconds:         seconds,
		ImagesPerSecond: (r.totals.Images - r.counted) / max(seconds, 1e-9),
	}
	if r.evaluator != nil {
		v, bounds, err := r.validate(ctx, r.evaluator)
		if err == nil && r.epoch == r.Config.Epochs {
			r.rise, err = r.riseTo(ctx, bounds)
		}
		if ctx.Err() != nil {
			return r.interrupted()
		}
		if err != nil {
			return err
		}
		m.Validation, r.bounds = v, bounds
		if err := r.finite(model.Totals{Images: 1, Recon: v.Recon, KL: v.KL, Bound: v.Bound}); err != nil {
			return err
		}
	}
	if err := r.dir.AppendMetrics(m); err != nil {
		return err
	}
	warm := r.epoch >= SettingsOf[VAESettings](r.Config).Warmup // whatever the number of epochs: a run may be resumed for more
	improved := m.Validation != nil && warm && (r.best == nil || m.Validation.Bound > r.best.Bound)
	if improved {
		r.best = &run.Best{Bound: m.Validation.Bound, Epoch: r.epoch, Step: r.step}
	}
	r.epoch, r.position, r.totals = r.epoch+1, 0, model.Totals{}
	save := r.dir.Save
	if improved {
		save = r.dir.SaveAsBest
	}
	if err := r.saveBy(save); err != nil {
		return err
	}
	r.recorder.Epoch(m)
	return nil
}

// riseTo compares the bounds of the validation images with those of the epoch before.
func (r *vaeRun) riseTo(ctx context.Context, bounds []float64) (*Estimate, error) {
	before := r.bounds
	if before == nil { // this process has not seen the end of that epoch
		var err error
		if before, err = r.boundsBefore(ctx); before == nil || err != nil {
			return nil, err
		}
	}
	var rise moments
	for i, b := range bounds {
		rise.add(b - before[i])
	}
	return &Estimate{Value: rise.mean, SE: rise.standardError()}, nil
}

// boundsBefore scores the validation images with the checkpoint of the end of the epoch
// before, nil if there is none. The model is then as it was.
func (r *vaeRun) boundsBefore(ctx context.Context) ([]float64, error) {
	names, err := r.dir.Checkpoints()
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		state, err := LoadCheckpoint(r.dir.File(name))
		if err != nil || state.Epoch != r.epoch || state.Position != 0 {
			continue // damaged ones are the business of who resumes
		}
		now := r.Tensors()
		for i, t := range now {
			now[i].Data = slices.Clone(t.Data)
		}
		if err := r.Load(state); err != nil {
			return nil, err
		}
		_, bounds, err := r.validate(ctx, r.evaluator)
		return bounds, errors.Join(err, r.Load(&run.State{Params: now}))
	}
	return nil, nil
}

// finite returns a *DivergedError if a term is not finite.
func (r *vaeRun) finite(t model.Totals) error {
	mean := t.Mean()
	for _, term := range []struct {
		name  string
		value float64
	}{{"the reconstruction", mean.Recon}, {"KL", mean.KL}, {"the bound", mean.Bound}} {
		if math.IsNaN(term.value) || math.IsInf(term.value, 0) {
			return r.diverged(fmt.Sprintf("%s is %v (recon %.6g, KL %.6g nats per image)", term.name, term.value, mean.Recon, mean.KL))
		}
	}
	return nil
}

func (r *vaeRun) diverged(reason string) error {
	return &DivergedError{Step: r.step, Epoch: r.epoch, Position: r.position, Reason: reason, LastGood: r.saved}
}

func (r *vaeRun) interrupted() error {
	if err := r.save(); err != nil {
		return err
	}
	return ErrInterrupted
}

func (r *vaeRun) save() error { return r.saveBy(r.dir.Save) }

func (r *vaeRun) saveBy(save func(*run.State) error) error {
	if err := save(r.state()); err != nil {
		return r.notSaved(err)
	}
	r.saved = r.step
	return nil
}

// notSaved tells a model that cannot be saved, as a parameter is not finite, from a
// disk that cannot be written to.
func (r *vaeRun) notSaved(err error) error {
	if errors.Is(err, run.ErrNotFinite) {
		return r.diverged(err.Error())
	}
	return err
}

func (r *vaeRun) state() *run.State {
	s := r.Setup.state(r.step, r.epoch, r.best)
	s.Position, s.Sums, s.Moments = r.position, run.Sums(r.totals), r.adam.Moments()
	return s
}
