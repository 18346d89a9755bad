package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"

	"elbo/data"
	"elbo/model"
	"elbo/model/infer"
	"elbo/train"
	"elbo/train/run"
)

// The experiment with VAEs: the same networks and images, and p(z) chosen by nobody (normal),
// by the data (the other priors), or by every image for itself: p_n := q(z|x_n), so that
// KL is 0 and what is maximised is the reconstruction, an autoencoder with noise.

// perImagePrior is the name of the arms in which each image has a p(z) of its own.
const perImagePrior = "per-image"

// vaeFreedomSettings are what decides the figures of the experiment with VAEs.
type vaeFreedomSettings struct {
	Model      string `json:"model"` // "vae"
	Data       string `json:"data"`
	Images     []int  `json:"images"`  // training images: an arm for each
	Latents    []int  `json:"latents"` // latent dimensions: an arm for each
	Steps      int    `json:"steps"`   // of Adam in each arm, at least
	Components int    `json:"components"`
	Scored     int    `json:"scored"` // training and test images that are measured, at most
	Seed       uint64 `json:"seed"`
}

// What the experiment does unless told otherwise, and with --quick.
func defaultVAEFreedom(quick bool) vaeFreedomSettings {
	s := vaeFreedomSettings{Model: train.VAEModel, Images: []int{1000, 10000}, Latents: []int{2, 20}, Steps: 2000, Components: 100, Scored: 1000}
	if quick {
		s.Images, s.Latents, s.Steps, s.Components, s.Scored = []int{1000}, []int{2}, 300, 50, 300
	}
	return s
}

const (
	vaeFreedomBatch  = 100
	vaeFreedomHidden = 200
	vaeFreedomHeld   = 500 // validation images, for the curves
	vaeFreedomDraws  = 200 // k of L_k
	vaeFreedomAIS    = 50  // test images of AIS
)

// vaeArm is one training.
type vaeArm struct {
	Prior  string
	Latent int
	Images int
	Config train.Config
}

// Name is that of the arm's run directory.
func (a vaeArm) Name() string { return fmt.Sprintf("z%d-n%d-%s", a.Latent, a.Images, a.Prior) }

// vaeArmResult is what an arm came to after its last epoch: means over images, in nats per
// image.
type vaeArmResult struct {
	Arm        string `json:"arm"`
	Prior      string `json:"prior"`
	Latent     int    `json:"latent"`
	Images     int    `json:"images"`
	DataSHA256 string `json:"data_sha256"`
	Parameters int    `json:"prior_parameters"` // numbers of p(z) that training changes
	Epochs     int    `json:"epochs"`

	Stopped string      `json:"stopped,omitempty"` // why it ended early
	Train   *vaeFigures `json:"train"`             // null where a figure is not finite
	Test    *vaeFigures `json:"test"`
}

// vaeFigures are those of one set of images.
type vaeFigures struct {
	Images int            `json:"images"`
	Bound  infer.Estimate `json:"bound"` // recon - KL(q(z|x) ‖ p(z)); per image: recon of training images; of others p(z) is the mean posterior of the training images
	Recon  infer.Estimate `json:"recon"`
	KL     infer.Estimate `json:"kl"`             // from the model's p(z), N(0, I) where each image has its own
	Rate   *infer.Rate    `json:"rate,omitempty"` // KL in two parts
	LogP   infer.Estimate `json:"log_p"`          // log p(x) under the model's p(z)
	Method string         `json:"method"`         // of log_p
	AIS    *infer.AIS     `json:"ais,omitempty"`

	AISAbove *infer.Estimate `json:"ais_above_log_p,omitempty"` // on the images of AIS, what it gives above log_p

	// Of each image, what arms are compared by; in result.json alone.
	Bounds []float64 `json:"bounds,omitempty"`
	LogPs  []float64 `json:"log_ps,omitempty"`
}

// elbos and logPs are the means of figures, and what they are means of.
func elbos(f *vaeFigures) (infer.Estimate, []float64) { return f.Bound, f.Bounds }
func logPs(f *vaeFigures) (infer.Estimate, []float64) { return f.LogP, f.LogPs }

// less is the mean over images of what f is above another arm of the same images. Arms share
// their images, so that what differs between images cancels.
func (f *vaeFigures) less(other *vaeFigures, of func(*vaeFigures) (infer.Estimate, []float64)) infer.Estimate {
	mean, mine := of(f)
	others, theirs := of(other)
	if len(mine) == 0 || len(mine) != len(theirs) {
		return infer.Estimate{Value: mean.Value - others.Value, SE: math.Inf(1)}
	}
	var difference infer.Running
	for i, v := range mine {
		difference.Add(v - theirs[i])
	}
	return difference.Estimate()
}

// Difference is what training images are better explained by than test images.
func (r vaeArmResult) Difference() float64 { return r.Train.Bound.Value - r.Test.Bound.Value }

// Excess is how much larger train - test is than that of another arm of the same images.
func (r vaeArmResult) Excess(other *vaeArmResult, of func(*vaeFigures) (infer.Estimate, []float64)) infer.Estimate {
	train, test := r.Train.less(other.Train, of), r.Test.less(other.Test, of)
	return infer.Estimate{Value: train.Value - test.Value, SE: math.Hypot(train.SE, test.SE)}
}

// vaeFreedom is the experiment with VAEs as it runs.
type vaeFreedom struct {
	armFits[vaeArmResult]
	settings vaeFreedomSettings
	json     bool
}

// validate returns every fault that can be seen without the data.
func (s vaeFreedomSettings) validate(workers int) error {
	var faults []error
	fault := func(bad bool, format string, args ...any) {
		if bad {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	fault(s.Data == "", "data is empty, want mnist, a directory or a file")
	fault(len(s.Images) == 0, "images is empty, want numbers of training images")
	fault(len(s.Latents) == 0, "latents is empty, want latent dimensions")
	for _, n := range s.Images {
		fault(n < 2, "images has %d, want at least 2 of each", n)
	}
	for _, n := range s.Latents {
		fault(n < 1, "latents has %d, want at least 1 of each", n)
	}
	fault(s.Steps < 1, "steps is %d, want at least 1", s.Steps)
	fault(s.Components < 2, "components is %d, want at least 2", s.Components)
	fault(s.Scored < 2, "scored is %d, want at least 2", s.Scored)
	fault(workers < 0, "workers is %d, want 0 (one for each CPU) or more", workers)
	fault(workers > train.MaxWorkers, "workers is %d, want at most %d", workers, train.MaxWorkers)
	return errors.Join(faults...)
}

// runVAEFreedom trains every arm and reports.
func runVAEFreedom(ctx context.Context, p *program, o priorFreedomOptions) error {
	begun, err := begunIn[vaeFreedomSettings](o.out, settingsFile, "experiment")
	if err != nil {
		return err
	}
	settings := o.vae
	if begun != nil {
		if settings, err = o.goOnVAE(*begun); err != nil {
			return err
		}
	}
	if err := settings.validate(o.workers); err != nil {
		return &train.ConfigError{Err: err}
	}
	x := &vaeFreedom{settings: settings, json: o.json, armFits: armFits[vaeArmResult]{
		p: p, out: o.out, again: "experiment prior-freedom --model vae", models: oneEngine{p: p},
		read: func(text []byte) (r vaeArmResult, _ string, err error) {
			err = json.Unmarshal(text, &r)
			return r, r.DataSHA256, err
		},
	}}
	arms, err := x.plan(slices.Contains(o.given, "data"), o.workers)
	if err != nil {
		return err
	}
	if begun == nil {
		if x.out, err = makeMarked(o.out, "prior-freedom-vae", settingsFile, settings); err != nil {
			return err
		}
	}
	for _, a := range arms {
		x.arms = append(x.arms, fitted[vaeArmResult]{
			name: a.Name(), config: a.Config,
			says: fmt.Sprintf("%s, %s, prior %s", count(a.Images, "image"), count(a.Latent, "latent dimension"), a.Prior),
			measure: func(ctx context.Context, s *train.Setup, dir *run.Dir, stopped *train.DivergedError) (vaeArmResult, error) {
				return x.measure(ctx, a, s, dir, stopped)
			},
		})
	}
	if err := x.run(ctx); err != nil {
		return err
	}
	return x.report()
}

// goOnVAE returns the settings of an experiment that was begun. A flag may repeat them, and
// say where the data are now.
func (o priorFreedomOptions) goOnVAE(begun vaeFreedomSettings) (vaeFreedomSettings, error) {
	if begun.Model != train.VAEModel {
		return begun, usagef("%s holds the experiment with mixtures: leave --model out, or choose another --out", o.out)
	}
	err := checkKept(o.out, "experiment", o.given,
		keptSetting{"images", begun.Images, o.vae.Images},
		keptSetting{"latents", begun.Latents, o.vae.Latents},
		keptSetting{"steps", begun.Steps, o.vae.Steps},
		keptSetting{"components", begun.Components, o.vae.Components},
		keptSetting{"seed", begun.Seed, o.vae.Seed},
	)
	if err != nil {
		return begun, &train.ConfigError{Err: err}
	}
	if slices.Contains(o.given, "data") {
		begun.Data = o.vae.Data
	}
	return begun, nil
}

// plan lists the arms, and fails if the data do not suffice.
func (x *vaeFreedom) plan(named bool, workers int) ([]vaeArm, error) {
	set := x.settings
	place := ""
	if named {
		place = set.Data
	}
	ds, err := data.Open(set.Data)
	if err != nil {
		return nil, x.p.moved(err, place)
	}
	images, validation := ds.DefaultSplit()
	var arms []vaeArm
	for _, latent := range set.Latents {
		for i, n := range set.Images {
			if n = min(n, images); slices.Contains(set.Images[:i], n) {
				continue
			}
			c := train.DefaultConfig(train.VAEModel)
			c.Data, c.Split, c.Limit, c.Binarise = set.Data, []int{images, min(validation, vaeFreedomHeld)}, n, data.Static
			c.Epochs, c.Seed, c.Workers = (set.Steps*vaeFreedomBatch+n-1)/n, set.Seed, workers
			c = train.With(c, func(s *train.VAESettings) {
				s.Hidden, s.Latent, s.Batch = []int{vaeFreedomHidden}, latent, min(n, vaeFreedomBatch)
			})
			for _, prior := range model.Priors {
				with := train.With(c, func(s *train.VAESettings) {
					s.Prior = prior
					switch prior {
					case model.GaussianPrior, model.ExemplarPrior:
						s.PriorComponents = min(set.Components, n)
					case model.PseudoPrior:
						s.PseudoInputs = min(set.Components, n)
					}
				})
				if err := with.Validate(); err != nil { // a flow, say, of one dimension
					x.p.say("without the prior %s of %s: %v", prior, count(latent, "latent dimension"), err)
					continue
				}
				arms = append(arms, vaeArm{string(prior), latent, n, with})
			}
			arms = append(arms, vaeArm{perImagePrior, latent, n, train.With(c, func(s *train.VAESettings) { s.Beta = 0 })})
		}
	}
	s, err := x.models.setup(arms[0].Config)
	if err == nil && s.Test.N() == 0 {
		err = &train.ConfigError{Err: fmt.Errorf("%s has no test images, and the experiment compares them with training images: give data with more images", ds.Name)}
	}
	return arms, err
}

// measure takes the figures of the parameters after the last epoch: none is chosen by images
// held out, so that what overfits is seen to.
func (x *vaeFreedom) measure(ctx context.Context, a vaeArm, s *train.Setup, dir *run.Dir, stopped *train.DivergedError) (vaeArmResult, error) {
	r := vaeArmResult{
		Arm: a.Name(), Prior: a.Prior, Latent: a.Latent, Images: s.Train.N(), DataSHA256: s.Dataset.SHA256,
		Epochs: a.Config.Epochs, Parameters: priorParameters(s.Model.(train.Amortised).VAE()),
	}
	if stopped != nil {
		r.Stopped = stopped.Reason
		x.p.say("       stopped: %s", r.Stopped)
		return r, nil
	}
	var err error
	if r.Train, err = x.figures(ctx, a, s, s.Train, true); err != nil {
		return r, err
	}
	r.Test, err = x.figures(ctx, a, s, s.Test, false)
	return r, err
}

// priorParameters counts the numbers of p(z) that an optimiser moves.
func priorParameters(m *model.VAE) (n int) {
	for _, p := range m.Prior.Params() {
		if slices.Contains(m.Trained(), p) {
			n += len(p.Value)
		}
	}
	return n
}

// figures measures the first images of a set.
func (x *vaeFreedom) figures(ctx context.Context, a vaeArm, s *train.Setup, v data.View, trained bool) (*vaeFigures, error) {
	v.Subset = v.First(x.settings.Scored)
	ask := train.ScoreOptions{Samples: vaeFreedomDraws, Seed: s.Config.Seed, Rate: true, Exact: a.Latent <= 2}
	x.bar = newBar(x.p)
	defer x.bar.done()
	x.bar.assessing(&ask, v.N())
	e, err := s.Score(ctx, v, ask)
	if err != nil {
		return nil, err
	}
	f := &vaeFigures{
		Images: e.Images, Recon: infer.Estimate{Value: e.Recon, SE: e.ReconSE}, KL: infer.Estimate{Value: e.KL, SE: e.KLSE}, Rate: e.Rate,
		Bound:  infer.Estimate{Value: e.ELBO, SE: e.ELBOSE},
		LogP:   infer.Estimate{Value: e.IW.Bound, SE: e.IW.SE},
		Method: fmt.Sprintf("L_%d, a lower bound", e.IW.K),
	}
	for _, score := range e.PerImage {
		if e.LogP != nil {
			f.LogPs = append(f.LogPs, score.LogP)
		} else {
			f.LogPs = append(f.LogPs, score.IW)
		}
	}
	if e.LogP != nil {
		f.LogP, f.Method = infer.Estimate{Value: e.LogP.Value, SE: e.LogP.SE}, e.LogP.Method
	} else if !trained {
		if f.AIS, err = x.anneal(ctx, s, v); err != nil {
			return nil, err
		}
		var above infer.Running
		for i, logP := range f.AIS.PerImage {
			above.Add(logP - f.LogPs[i])
		}
		estimate := above.Estimate()
		f.AISAbove = &estimate
	}
	for _, score := range e.PerImage {
		f.Bounds = append(f.Bounds, score.ELBO)
	}
	if a.Prior == perImagePrior {
		if f.Bounds, err = ownBounds(ctx, s, e, trained); err != nil {
			return nil, err
		}
		f.Bound = mean(f.Bounds)
	}
	for _, value := range []float64{f.Bound.Value, f.Recon.Value, f.KL.Value, f.LogP.Value} {
		if !finite(value) {
			return nil, nil
		}
	}
	return f, nil
}

// anneal estimates log p(x) of the first test images.
func (x *vaeFreedom) anneal(ctx context.Context, s *train.Setup, v data.View) (*infer.AIS, error) {
	v.Subset = v.First(min(v.N(), vaeFreedomAIS))
	o := infer.DefaultAIS()
	o.Steps, o.Chains, o.Simulated = 500, 4, 0
	o.Progress = x.bar.annealing(v.N())
	return infer.EstimateAIS(ctx, s.Model.(train.Amortised).VAE().Joint, v, s.Config.Seed, o)
}

// ownBounds are the bounds of images where each training image has its own p(z), p_n := q(z|x_n):
// of training images the reconstruction; of others the ELBO under the one p(z) that stands for an
// image not trained on, the mean of the p_n.
func ownBounds(ctx context.Context, s *train.Setup, e infer.Evaluation, trained bool) ([]float64, error) {
	var bounds []float64
	for _, score := range e.PerImage {
		bounds = append(bounds, score.Recon)
	}
	if trained {
		return bounds, nil
	}
	m := s.Model.(train.Amortised).VAE()
	members, err := infer.Encode(ctx, m, s.Train)
	if err != nil {
		return nil, err
	}
	evaluator, err := infer.NewEvaluator(m, 1)
	if err != nil {
		return nil, err
	}
	kl, err := evaluator.FromMembers(ctx, e, members, s.Config.Seed)
	for i, v := range kl {
		bounds[i] -= v
	}
	return bounds, err
}

// mean is that of one number an image.
func mean(values []float64) infer.Estimate {
	var m infer.Running
	for _, v := range values {
		m.Add(v)
	}
	return m.Estimate()
}
