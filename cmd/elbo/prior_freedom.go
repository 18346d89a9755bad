package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"elbo/data"
	"elbo/model"
	"elbo/model/infer"
	"elbo/train"
	"elbo/train/run"
)

const (
	memorised     = 200   // images, and components, of the arms that memorise
	heldOut       = 2000  // validation images, at most: for the curves
	freeSmoothing = 0.01  // of the Bernoulli arms: little, so as not to hide an excess
	mainFloor     = 0.001 // of the Gaussian arms
)

// lowerFloors are those of the arms that look for the end of the Gaussian's evidence.
// A component with a variance below 1e-7 counts as degenerate.
var lowerFloors = []float64{1e-5, 1e-7}

// arm is one fit of the experiment.
type arm struct {
	Group  string // arms of one group differ in the prior alone
	Config train.Config
}

// Name is that of the arm's run directory.
func (a arm) Name() string { return a.Group + "-" + string(a.settings().Prior) }

func (a arm) settings() train.MixtureSettings {
	return train.SettingsOf[train.MixtureSettings](a.Config)
}

// armResult is what an arm came to: means over images, in nats per image.
type armResult struct {
	Arm           string               `json:"arm"`
	Group         string               `json:"group"`
	Likelihood    model.LikelihoodName `json:"likelihood"`
	Prior         model.TablePrior     `json:"prior"`
	Images        int                  `json:"images"`
	Components    int                  `json:"components"`
	Smoothing     float64              `json:"smoothing"`
	VarianceFloor float64              `json:"variance_floor"`
	DataSHA256    string               `json:"data_sha256"`

	Iterations int    `json:"iterations"`        // M-steps before the last E-step, which the figures are of
	Stopped    string `json:"stopped,omitempty"` // why it ended before all iterations were made

	Train      float64  `json:"train"`       // log p(x) of the training images; per-image: each under its own p(z)
	PriorBound float64  `json:"prior_bound"` // B = E_p(z)[log p(x|z)] of them
	PriorKL    float64  `json:"prior_kl"`    // KL(p(z) ‖ p(z|x)) = Train - B
	KL         float64  `json:"kl"`          // KL(p(z|x) ‖ p(z)): the penalty in the ELBO
	Test       *armTest `json:"test"`        // null where the parameters of that step are not kept
}

// armTest is what the model of an arm makes of images with its own p(z), which for a
// per-image prior is the mean of the images'.
type armTest struct {
	Images    int     `json:"images"`
	LogP      float64 `json:"log_p"` // log p(x) of the test images
	SE        float64 `json:"se"`
	Hindsight float64 `json:"hindsight"`  // max over z of log p(x|z): p(z) chosen with the test image in hand
	TrainLogP float64 `json:"train_logp"` // log p(x) of the training images
}

// Difference is what the training images are better explained by than the test images.
func (r armResult) Difference() float64 { return r.Train - r.Test.LogP }

// Choice is the part of Difference that is p(z), chosen with each training image in
// hand; the rest is the components'. It is 0 but for a per-image prior.
func (r armResult) Choice() float64 { return r.Train - r.Test.TrainLogP }

// priorFreedom is the experiment with mixtures as it runs.
type priorFreedom struct {
	armFits[armResult]
	options priorFreedomOptions
	plans   []arm
}

// runPriorFreedom compares priors that are more and less free: it runs every arm, and
// reports.
func runPriorFreedom(ctx context.Context, p *program, o priorFreedomOptions) error {
	begun, err := begunIn[priorFreedomSettings](o.out, settingsFile, "experiment")
	if err != nil {
		return err
	}
	if begun != nil {
		if err := o.goOn(*begun); err != nil {
			return err
		}
	}
	x := &priorFreedom{options: o, armFits: armFits[armResult]{p: p, again: "experiment prior-freedom", models: oneEngine{p: p}, read: readArm}}
	if err := x.plan(); err != nil {
		return err
	}
	if x.out = o.out; begun == nil {
		if x.out, err = makeMarked(o.out, "prior-freedom", settingsFile, x.options.priorFreedomSettings); err != nil {
			return err
		}
	}
	for _, a := range x.plans {
		x.armFits.arms = append(x.armFits.arms, fitted[armResult]{
			name: a.Name(), config: a.Config,
			says: fmt.Sprintf("%s, %s, %s", count(a.Config.Limit, "image"), count(a.settings().Components, "component"), describeArm(a.Config)),
			measure: func(ctx context.Context, s *train.Setup, dir *run.Dir, stopped *train.DivergedError) (armResult, error) {
				return x.measure(ctx, a, s, dir, stopped)
			},
		})
	}
	if err := x.run(ctx); err != nil {
		return err
	}
	return x.report()
}

func describeArm(c train.Config) string {
	s := train.SettingsOf[train.MixtureSettings](c)
	if c.Likelihood == model.GaussianName {
		return fmt.Sprintf("gaussian with variance floor %g, %s prior", s.VarianceFloor, s.Prior)
	}
	return fmt.Sprintf("bernoulli smoothed by %g, %s prior", s.Smoothing, s.Prior)
}

// plan lists the arms, and fails if the data do not suffice.
func (x *priorFreedom) plan() error {
	o := x.options
	named := "" // the data, if they were named just now
	if slices.Contains(o.given, "data") {
		named = o.Data
	}
	ds, err := data.Open(o.Data)
	if err != nil {
		return x.p.moved(err, named)
	}
	images, validation := ds.DefaultSplit()
	split := []int{images, min(validation, heldOut)}
	if o.Limit > 0 {
		images = min(images, o.Limit)
	}
	x.plans = arms(o, split, images)
	s, err := x.models.setup(x.plans[0].Config)
	if err != nil {
		return err
	}
	if s.Test.N() == 0 {
		return &train.ConfigError{Err: fmt.Errorf("%s has no test images, and the experiment compares them with training images: give data with more images", ds.Name)}
	}
	return nil
}

// arms returns the fits that are compared.
func arms(o priorFreedomOptions, split []int, images int) []arm {
	base := train.DefaultConfig(train.MixtureModel)
	base.Data, base.Split, base.Limit = o.Data, split, images
	base.Epochs, base.Seed, base.Workers = o.Iterations, o.Seed, o.workers
	with := func(c train.Config, components int, smoothing, floor float64) train.Config {
		return train.With(c, func(s *train.MixtureSettings) {
			s.Components, s.Tolerance, s.Init, s.Smoothing, s.VarianceFloor = components, 0, train.FromImages, smoothing, floor
		})
	}
	bernoulli := with(base, o.Components, freeSmoothing, 0)
	bernoulli.Likelihood, bernoulli.Binarise = model.BernoulliName, data.Static
	memorise := with(bernoulli, min(images, memorised), 0, 0)
	memorise.Limit = min(images, memorised)
	gaussian := with(base, o.Components, 0, mainFloor)
	gaussian.Likelihood, gaussian.Binarise = model.GaussianName, data.None

	var all []arm
	group := func(name string, c train.Config, priors ...model.TablePrior) {
		for _, prior := range priors {
			all = append(all, arm{name, train.With(c, func(s *train.MixtureSettings) { s.Prior = prior })})
		}
	}
	group("bernoulli", bernoulli, model.TablePriors...)
	group("gaussian", gaussian, model.TablePriors...)
	group("memorise", memorise, model.TablePriors...)
	for _, floor := range lowerFloors {
		group(floorGroup(floor), with(gaussian, o.Components, 0, floor), model.Fixed, model.PerImage)
	}
	group(floorGroup(0), with(gaussian, o.Components, 0, 0), model.Fixed, model.PerImage)
	return all
}

// floorGroup names the Gaussian arms of a variance floor.
func floorGroup(floor float64) string {
	switch floor {
	case 0:
		return "no-floor"
	case mainFloor:
		return "gaussian"
	}
	return fmt.Sprintf("floor-%g", floor)
}

// readArm reads the result of an arm.
func readArm(text []byte) (r armResult, dataSHA256 string, err error) {
	before := struct { // the names of keys in earlier programs
		Note   *float64 `json:"note"`
		NoteKL *float64 `json:"note_kl"`
	}{&r.PriorBound, &r.PriorKL}
	err = errors.Join(json.Unmarshal(text, &r), json.Unmarshal(text, &before))
	return r, r.DataSHA256, err
}

// measure takes the figures of the last iteration whose evidence was finite.
func (x *priorFreedom) measure(ctx context.Context, a arm, s *train.Setup, dir *run.Dir, stopped *train.DivergedError) (armResult, error) {
	metrics, err := dir.ReadMetrics()
	if err != nil {
		return armResult{}, err
	}
	r := newArmResult(a, s, metrics[len(metrics)-1])
	kept := true
	if stopped != nil {
		r.Stopped = stopped.Reason
		x.p.say("       stopped after iteration %d: %s", r.Iterations, r.Stopped)
		if kept, err = backTo(s, dir, int64(r.Iterations)); err != nil {
			return r, err
		}
	}
	if kept {
		r.Test, err = testArm(ctx, s)
	}
	return r, err
}

func newArmResult(a arm, s *train.Setup, last run.Metrics) armResult {
	return armResult{
		Arm: a.Name(), Group: a.Group, Likelihood: a.Config.Likelihood, Prior: a.settings().Prior,
		Images: s.Train.N(), Components: a.settings().Components,
		Smoothing: a.settings().Smoothing, VarianceFloor: a.settings().VarianceFloor, DataSHA256: s.Dataset.SHA256,
		Iterations: last.Epoch, Train: last.Train.Bound, KL: last.Train.KL, PriorBound: *last.EM.PriorBound, PriorKL: *last.EM.PriorKL, // which only incremental EM does not know
	}
}

// backTo sets the model back to an iteration, if its parameters are still there.
func backTo(s *train.Setup, dir *run.Dir, step int64) (bool, error) {
	state, _, _ := dir.Latest()
	if state == nil || state.Step != step {
		var err error
		if state, _, err = dir.Best(); err != nil || state.Step != step {
			return false, nil
		}
	}
	return true, s.Load(state)
}

// testArm measures the model of s on test and on training images, with its own p(z).
func testArm(ctx context.Context, s *train.Setup) (*armTest, error) {
	test, err := infer.EvaluateTable(ctx, s.Model.(train.Tabular).Table(), s.Test, nil)
	if err != nil {
		return nil, err
	}
	trained, err := infer.EvaluateTable(ctx, s.Model.(train.Tabular).Table(), s.Train, nil)
	if err != nil {
		return nil, err
	}
	t := &armTest{Images: test.Images, LogP: test.LogP.Value, SE: test.LogP.SE, Hindsight: test.Table.BestState, TrainLogP: trained.LogP.Value}
	for _, v := range []float64{t.LogP, t.SE, t.Hindsight, t.TrainLogP} {
		if !finite(v) { // a component so narrow that float32 cannot hold a distance from it
			return nil, nil
		}
	}
	return t, nil
}
