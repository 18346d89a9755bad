package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"elbo/model"
	"elbo/model/infer"
	"elbo/train/run"
)

// Recorder hears how a run goes, in the goroutine of Run.
type Recorder interface {
	Step(Progress)
	Epoch(run.Metrics)
}

// unheard is the Recorder of a run that nobody listens to.
type unheard struct{}

func (unheard) Step(Progress)     {}
func (unheard) Epoch(run.Metrics) {}

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
	last := "there is no checkpoint yet, begin again"
	if e.LastGood >= 0 {
		last = fmt.Sprintf("the last good checkpoint is that of step %d", e.LastGood)
	}
	if e.Degenerate {
		return fmt.Sprintf("iteration %d: %s; %s", e.Step, e.Reason, last)
	}
	return fmt.Sprintf("step %d (epoch %d, image %d): %s; %s; a smaller --lr, or --warmup, is the first thing to try", e.Step, e.Epoch, e.Position, e.Reason, last)
}

// Result is how a run ended.
type Result struct {
	Status Status // Finished, Converged or OutOfPatience
	Step   int64
	Best   *run.Best // nil without validation images

	// Rise is what the last epoch added to the validation bound, nats per image. Both
	// epochs are scored with the same draws, so its standard error is that of the
	// images' differences. Nil where there is no epoch, or no state of it, to compare,
	// and for EM.
	Rise *infer.Estimate
}

// Run fits the model of s from a state, or from the beginning where from is nil, until its
// method is at its end. After each pass it appends to the run's metrics, and keeps the best
// state by the validation bound.
//
// A configuration that asks for several restarts gets them, each in a run of its own within
// dir; the best becomes the run, and its parameters those of s.
//
// It is deterministic: from any checkpoint of a run it comes, under equal numerics,
// to the same bits as the run left alone. now is read for the metrics' seconds only.
// recorder may be nil.
//
// When ctx is cancelled, a checkpoint is written, and the error is ErrInterrupted. A bound
// that is not finite ends it with a *DivergedError.
func Run(ctx context.Context, s *Setup, dir *run.Dir, from *run.State, recorder Recorder, now func() time.Time) (Result, error) {
	if recorder == nil {
		recorder = unheard{}
	}
	if SettingsOf[MixtureSettings](s.Config).Restarts > 1 {
		return runRestarts(ctx, s, dir, recorder, now)
	}
	k := &Fitting{Setup: s, Dir: dir, Recorder: recorder, Now: now, Saved: -1}
	if from != nil {
		k.Best, k.Saved = from.Best, from.Step
	}
	kind := s.Config.Settings.Kind()
	if kind.Method == nil {
		return Result{}, fmt.Errorf("there is no way to fit a %s", kind.Name)
	}
	method := kind.Method(k)
	k.method = method
	if err := method.Begin(from); err != nil {
		return Result{}, err
	}
	status := method.Status()
	for status == Unfinished {
		var err error
		if status, err = k.pass(ctx); err != nil {
			return Result{}, err
		}
	}
	result := Result{Status: status, Best: k.Best}
	result.Step, _, _ = method.At()
	method.Result(&result)
	return result, nil
}

// Fitting is a run that is being made, whatever its method: it keeps the run's files.
type Fitting struct {
	*Setup
	Dir      *run.Dir
	Recorder Recorder
	Now      func() time.Time // for the metrics' seconds only
	Best     *run.Best        // nil until there are validation terms
	Saved    int64            // step of the last checkpoint, -1 for none

	method Method
}

// pass makes one pass, and writes down what it came to.
func (k *Fitting) pass(ctx context.Context) (Status, error) {
	m, candidate, err := k.method.Pass(ctx)
	if err == nil {
		err = k.Dataset.Err()
	}
	if err != nil {
		return Unfinished, err
	}
	if err := k.Dir.AppendMetrics(m); err != nil {
		return Unfinished, err
	}
	improved := candidate && m.Validation != nil && (k.Best == nil || m.Validation.Bound > k.Best.Bound)
	if improved {
		k.Best = &run.Best{Bound: m.Validation.Bound, Epoch: m.Epoch, Step: m.Step}
	}
	status, save := k.method.Turn(m)
	apart, ok := k.method.(bestApart)
	switch {
	case improved && ok && m.Averaged:
		if err = k.notSaved(k.Dir.SaveBest(apart.BestState(m))); err == nil && save {
			err = k.Save()
		}
	case improved && save:
		err = k.saveBy(k.Dir.SaveAsBest)
	case improved:
		var state *run.State
		if state, err = k.method.State(); err == nil {
			err = k.notSaved(k.Dir.SaveBest(state))
		}
	case save:
		err = k.Save()
	}
	if err != nil {
		return Unfinished, err
	}
	k.Recorder.Epoch(m)
	return status, nil
}

// bestApart is a method whose best state is not always one that it goes on from.
type bestApart interface {
	// BestState is the state to keep as the best after the pass of m.
	BestState(m run.Metrics) *run.State
}

// Save writes a checkpoint of the method's state.
func (k *Fitting) Save() error { return k.saveBy(k.Dir.Save) }

func (k *Fitting) saveBy(save func(*run.State) error) error {
	state, err := k.method.State()
	if err != nil {
		return err
	}
	if err := save(state); err != nil {
		return k.notSaved(err)
	}
	k.Saved, _, _ = k.method.At()
	return nil
}

// Interrupted saves, and returns the error that ends the run.
func (k *Fitting) Interrupted() error {
	if err := k.Save(); err != nil {
		return err
	}
	return ErrInterrupted
}

// notSaved tells a model that cannot be saved, as a parameter is not finite, from a
// disk that cannot be written to.
func (k *Fitting) notSaved(err error) error {
	if errors.Is(err, run.ErrNotFinite) {
		return k.Diverged(err.Error())
	}
	return err // nil as well
}

// Diverged is the error of a model whose numbers are not finite, as reason has it.
func (k *Fitting) Diverged(reason string) *DivergedError {
	step, epoch, position := k.method.At()
	return &DivergedError{Step: step, Epoch: epoch, Position: position, Reason: reason, LastGood: k.Saved}
}

// notNumber names the first of some terms that is not finite, "" where all are.
func notNumber(t model.Terms) string {
	for _, term := range []struct {
		name  string
		value float64
	}{{"the reconstruction", t.Recon}, {"KL", t.KL}, {"the bound", t.Bound}} {
		if math.IsNaN(term.value) || math.IsInf(term.value, 0) {
			return fmt.Sprintf("%s is %v (recon %.6g, KL %.6g nats per image)", term.name, term.value, t.Recon, t.KL)
		}
	}
	return ""
}
