package train

import (
	"context"
	"errors"
	"slices"
	"time"

	"elbo/model"
	"elbo/model/infer"
	"elbo/train/run"
)

// gradient is the method that trains a VAE: steps of Adam along the gradient of its bound.
// A pass is an epoch.
type gradient struct {
	*Fitting
	own       VAESettings
	vae       *model.VAE
	adam      *Adam
	average   *runningAverage  // nil where there is none
	evaluator *infer.Evaluator // nil without validation images
	batches   *feed
	distinct  [][]float32 // the gradients of the trained parameters, each once: parameters may share one
	summed    [][]float32 // and those of what the likelihood solves for, which processes sum

	step     int64
	epoch    int
	position int
	totals   model.Totals
	bounds   []float64       // of each validation image at the end of the last epoch, where known
	rise     *infer.Estimate // of the last epoch of all

	began   time.Time // when this process began the epoch
	counted float64   // images of the epoch that this process did not train on
}

// NewGradient is the method that trains a VAE as own has it.
func NewGradient(f *Fitting, own VAESettings, m *model.VAE) Method {
	g := &gradient{Fitting: f, own: own, vae: m, adam: NewAdam(own.LR, m.Trained(), f.Engine), epoch: 1}
	g.adam.Decay, g.adam.Beta1, g.adam.Epsilon = own.WeightDecay, own.AdamBeta1, own.AdamEpsilon
	return g
}

// Begin compiles a step, and feeds batches from where the state left off.
func (g *gradient) Begin(from *run.State) error {
	if from != nil {
		if err := g.restore(from); err != nil {
			return err
		}
	}
	if err := g.Dir.TruncateMetrics(g.epoch); err != nil {
		return err
	}
	if from == nil {
		if err := g.beginFromData(); err != nil {
			return err
		}
	}
	if from == nil && g.Config.Network().InitFrom != "" {
		// Saved at once: from here on the run needs its source no more.
		if err := g.WarmStart(); err != nil {
			return err
		}
		if err := g.Save(); err != nil {
			return err
		}
	}
	if err := g.vae.CompileStep(mostDealt(g.Reducer, g.own.Batch)); err != nil {
		return err
	}
	g.distinct, g.summed = g.gradients(len(g.vae.Trained())), g.gradients(g.vae.Gradients())
	if g.own.EMA > 0 { // of the parameters that training begins with
		g.average = newAverage(g.own.EMA, g.vae.Params(), g.Engine)
		if from != nil {
			if err := g.average.restore(from.Average); err != nil {
				return err
			}
		}
	}
	if g.Validation.N() > 0 {
		var err error
		if g.evaluator, err = infer.NewEvaluator(g.vae, g.own.K); err != nil {
			return err
		}
		g.evaluator.Peers = g.Reducer
	}
	g.batches = newFeed(g.Setup, g.own, g.vae, g.epoch, g.position)
	return nil
}

func (g *gradient) restore(from *run.State) error {
	if err := g.Load(from); err != nil {
		return err
	}
	if err := g.adam.Restore(from.Moments, from.Step); err != nil {
		return err
	}
	g.step, g.epoch, g.position, g.totals = from.Step, from.Epoch, from.Position, model.Totals(from.Sums)
	return nil
}

// Status is Finished after the last epoch of the configuration, and OutOfPatience before it
// where no epoch of late has raised the best validation bound.
func (g *gradient) Status() Status { return g.own.stands(g.Config, g.epoch-1, g.Best) }

// stands says whether training would go on after so many epochs, with this best validation
// bound.
func (s VAESettings) stands(c Config, done int, best *run.Best) Status {
	if done >= c.Epochs {
		return Finished
	}
	since := s.Warmup // what comes before has no part in the choice of the best
	if best != nil {
		since = max(since, best.Epoch)
	}
	if s.Patience > 0 && done-since >= s.Patience {
		return OutOfPatience
	}
	return Unfinished
}

// Pass takes the steps from the present position to the end of the epoch, and validates.
func (g *gradient) Pass(ctx context.Context) (run.Metrics, bool, error) {
	g.began, g.counted = g.Now(), g.totals.Images
	if err := g.steps(ctx); err != nil {
		return run.Metrics{}, false, err
	}
	seconds := g.Now().Sub(g.began).Seconds()
	mean := g.totals.Mean()
	m := run.Metrics{
		Epoch: g.epoch, Step: g.step,
		Train:           &run.EpochTerms{Recon: mean.Recon, KL: mean.KL, Bound: mean.Bound},
		Beta:            float64(float32(g.own.betaAt(g.epoch, g.Train.N()-1, g.Train.N()))),
		Seconds:         seconds,
		ImagesPerSecond: (g.totals.Images - g.counted) / max(seconds, 1e-9),
	}
	if g.evaluator != nil {
		v, bounds, err := g.validate(ctx)
		if err == nil && g.epoch == g.Config.Epochs {
			g.rise, err = g.riseTo(ctx, bounds)
		}
		if err == nil && g.average != nil {
			m.Averaged, v, err = g.betterAverage(ctx, v)
		}
		if ctx.Err() != nil {
			return m, false, g.Interrupted()
		}
		if err != nil {
			return m, false, err
		}
		m.Validation, g.bounds = v, bounds
		if why := notNumber(model.Terms{Recon: v.Recon, KL: v.KL, Bound: v.Bound}); why != "" {
			return m, false, g.Diverged(why)
		}
	}
	warm := g.epoch >= g.own.Warmup // whatever the number of epochs: a run may be resumed for more
	return m, warm, nil
}

// validate scores the validation images by the bound of the objective.
func (g *gradient) validate(ctx context.Context) (*run.EpochTerms, []float64, error) {
	return objectiveTerms(ctx, g.evaluator, g.own.Objective, g.Validation, g.Config.Seed)
}

// betterAverage validates the average of the parameters, and returns whether it is better than
// the parameters themselves, whose terms are v, and the terms of the better one.
func (g *gradient) betterAverage(ctx context.Context, v *run.EpochTerms) (bool, *run.EpochTerms, error) {
	g.average.Swap()
	averaged, _, err := g.validate(ctx)
	g.average.Swap()
	if err != nil || !(averaged.Bound > v.Bound) {
		return false, v, err
	}
	return true, averaged, nil
}

// steps takes the steps from the present position to the end of the epoch.
func (g *gradient) steps(ctx context.Context) error {
	if g.position == 0 && g.epoch > 1 && g.own.PriorUpdate == PriorByEM {
		if err := g.updatePrior(ctx); err != nil {
			if ctx.Err() != nil {
				return g.Interrupted()
			}
			return err
		}
	}
	for n := g.Train.N(); g.position < n; {
		batch := g.batches.next()
		totals, err := g.vae.Step(&batch.Batch)
		if err != nil {
			return err
		}
		if err := g.reduce(&totals); err != nil {
			return err
		}
		// Look before telling others: a bound that is not finite reaches neither
		// the parameters nor a checkpoint.
		if why := notNumber(totals.Mean()); why != "" {
			return g.Diverged(why)
		}
		g.move(batch.Of)
		if prior, ok := g.vae.Prior.(model.Projected); ok {
			prior.Project()
		}
		if g.vae.Solves() {
			g.vae.Solve(g.solvedShare(batch.Of))
		}
		if g.average != nil {
			g.average.Step()
		}
		g.step++
		g.position += batch.Of
		g.totals.Add(totals)
		g.Recorder.Step(Progress{Epoch: g.epoch, Epochs: g.Config.Epochs, Position: g.position, Images: n, Terms: g.totals.Mean()})
		if ctx.Err() != nil {
			return g.Interrupted()
		}
		if every := int64(g.own.CheckpointEvery); every > 0 && g.step%every == 0 && g.position < n {
			if err := g.Save(); err != nil {
				return err
			}
		}
	}
	return nil
}

// move takes a step of the optimiser along the gradients of so many images.
func (g *gradient) move(images int) {
	n := float64(g.Train.N())
	passed := float64(g.epoch-1) + float64(g.position)/n
	g.adam.LR = g.own.rateAt(passed, passed+float64(images)/n, g.Config.Epochs)
	if g.own.Clip > 0 {
		g.Engine.Clip(g.own.Clip, g.distinct)
	}
	g.adam.Step(g.vae.Grad)
}

// gradients are the first n, each once: parameters may share one.
func (g *gradient) gradients(n int) [][]float32 {
	var distinct [][]float32
	for i := range n {
		grad := g.vae.Grad(i)
		if !slices.ContainsFunc(distinct, func(other []float32) bool { return &other[0] == &grad[0] }) {
			distinct = append(distinct, grad)
		}
	}
	return distinct
}

// reduce sums the gradients and the terms of a step over all processes.
func (g *gradient) reduce(t *model.Totals) error {
	if g.Reducer.Size() == 1 {
		return nil
	}
	if err := g.Reducer.SumFloat32(g.summed...); err != nil {
		return err
	}
	return sumTotals(g.Reducer, t)
}

// Turn goes on to the next epoch, whose state is to be saved.
func (g *gradient) Turn(run.Metrics) (Status, bool) {
	g.epoch, g.position, g.totals = g.epoch+1, 0, model.Totals{}
	return g.Status(), true
}

// State is a checkpoint's.
func (g *gradient) State() (*run.State, error) { return g.state(), nil }

func (g *gradient) state() *run.State {
	s := g.Setup.state(g.step, g.epoch, g.Best)
	s.Position, s.Sums, s.Moments = g.position, run.Sums(g.totals), g.adam.Moments()
	if g.average != nil {
		s.Average = g.average.tensors()
	}
	return s
}

// BestState is State, but with the average of the parameters in their place where it was the
// better of the two. A run does not go on from it.
func (g *gradient) BestState(m run.Metrics) *run.State {
	s := g.state()
	if !m.Averaged {
		return s
	}
	s.Params, s.Moments, s.Average = g.average.inPlaceOf(s.Params), nil, nil
	return s
}

// At is where the run stands.
func (g *gradient) At() (int64, int, int) { return g.step, g.epoch, g.position }

// Result adds what the last epoch gained.
func (g *gradient) Result(r *Result) { r.Rise = g.rise }

// solvedWindow is how many images what a likelihood solves for reaches back, as a running
// mean of squared residuals. Too few, and σ² scatters with them: the residuals of
// MNIST's images vary by 40 %, which over 5000 costs a bound of 784 pixels
// 784/4 · 0.4²/10000 = 0.003 nats. Too many, and σ² is that of a decoder long gone.
const solvedWindow = 5000

// solvedShare is how far a step with that many images takes what is solved for to its best
// value for them.
func (g *gradient) solvedShare(images int) float64 {
	return min(1, float64(images)/float64(min(solvedWindow, g.Train.N())))
}

// riseTo compares the bounds of the validation images with those of the epoch before.
func (g *gradient) riseTo(ctx context.Context, bounds []float64) (*infer.Estimate, error) {
	before := g.bounds
	if before == nil { // this process has not seen the end of that epoch
		var err error
		if before, err = g.boundsBefore(ctx); before == nil || err != nil {
			return nil, err
		}
	}
	var rise infer.Running
	for i, b := range bounds {
		rise.Add(b - before[i])
	}
	e := rise.Estimate()
	return &e, nil
}

// boundsBefore scores the validation images with the checkpoint of the end of the epoch
// before, nil if there is none. The model is then as it was.
func (g *gradient) boundsBefore(ctx context.Context) ([]float64, error) {
	if g.Reducer.Size() > 1 { // which not every process could read
		return nil, nil
	}
	names, err := g.Dir.Checkpoints()
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		state, err := LoadCheckpoint(g.Dir.File(name))
		if err != nil || state.Epoch != g.epoch || state.Position != 0 {
			continue // damaged ones are the business of who resumes
		}
		now := g.Tensors()
		for i, t := range now {
			now[i].Data = slices.Clone(t.Data)
		}
		if err := g.Load(state); err != nil {
			return nil, err
		}
		_, bounds, err := g.validate(ctx)
		return bounds, errors.Join(err, g.Load(&run.State{Params: now}))
	}
	return nil, nil
}
