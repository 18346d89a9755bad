package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"elbo/data"
	"elbo/model"
	"elbo/model/infer"
	"elbo/train"
	"elbo/train/run"
)

const (
	armFile = "result.json" // in the run directory of an arm that is done

	memorised     = 200   // images, and components, of the arms that memorise
	heldOut       = 2000  // validation images, at most: for the curves
	freeSmoothing = 0.01  // of the Bernoulli arms: little, so as not to hide an excess
	mainFloor     = 0.001 // of the Gaussian arms
	spokenEvery   = 10    // iterations between lines of progress
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

// priorFreedom is the experiment as it runs.
type priorFreedom struct {
	p       *program
	options priorFreedomOptions
	models  oneEngine
	arms    []arm

	results []armResult
	curves  map[string][]run.Metrics // by arm
	at      int                      // iterations of the arm that runs
	bar     *bar                     // of that arm
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
	x := &priorFreedom{p: p, options: o, models: oneEngine{p: p}, curves: map[string][]run.Metrics{}}
	if err := x.plan(); err != nil {
		return err
	}
	if begun == nil {
		if x.options.out, err = makeMarked(o.out, "prior-freedom", settingsFile, x.options.priorFreedomSettings); err != nil {
			return err
		}
	}
	p.say("%s in %s; log p(x) in nats per image", count(len(x.arms), "arm"), x.options.out)
	for i, a := range x.arms {
		p.say("%2d/%d  %s: %s, %s, %s", i+1, len(x.arms), a.Name(), count(a.Config.Limit, "image"), count(a.settings().Components, "component"), describeArm(a.Config))
		if err := x.run(ctx, a); err != nil {
			x.sayInterrupted(err, a)
			return fmt.Errorf("%s: %w", a.Name(), err)
		}
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
	x.arms = arms(o, split, images)
	s, err := x.models.setup(x.arms[0].Config)
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

// run takes an arm from where it stands to its end, and keeps its result.
func (x *priorFreedom) run(ctx context.Context, a arm) error {
	x.at = 0
	if err := ctx.Err(); err != nil {
		return err
	}
	s, err := x.models.setup(a.Config)
	if err != nil {
		return err
	}
	dir, err := openArm(filepath.Join(x.options.out, a.Name()), s.Config)
	if err != nil {
		return err
	}
	defer dir.Close()
	result, done, err := readArm(dir, s)
	if err != nil {
		return err
	}
	if done {
		x.p.say("       done before")
	} else if result, err = x.fit(ctx, a, s, dir); err != nil {
		return err
	}
	x.results = append(x.results, result)
	x.curves[a.Name()], err = dir.ReadMetrics()
	return err
}

// readArm returns the result of an arm that is done.
func readArm(dir *run.Dir, s *train.Setup) (r armResult, done bool, err error) {
	path := dir.File(armFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return r, false, nil
	}
	before := struct { // the names of keys in earlier programs
		Note   *float64 `json:"note"`
		NoteKL *float64 `json:"note_kl"`
	}{&r.PriorBound, &r.PriorKL}
	if err == nil {
		err = errors.Join(json.Unmarshal(text, &r), json.Unmarshal(text, &before))
	}
	if err != nil {
		return r, false, fmt.Errorf("%s: %w: remove it to have the arm measured again", path, err)
	}
	if r.DataSHA256 != s.Dataset.SHA256 {
		return r, false, fmt.Errorf("%s: the data %w: they have SHA-256 %.12s…, but the arm was run on %.12s…: name its own data with --data", path, run.ErrMismatch, s.Dataset.SHA256, r.DataSHA256)
	}
	return r, true, nil
}

// fit runs EM to the end, or to where the evidence is no longer finite, and measures.
func (x *priorFreedom) fit(ctx context.Context, a arm, s *train.Setup, dir *run.Dir) (armResult, error) {
	from, err := x.p.latestOf(dir, s)
	if err != nil {
		return armResult{}, err
	}
	if from != nil {
		x.p.say("       goes on at iteration %d", from.Step)
		x.p.sayNumerics(s, from)
	}
	x.bar = newBar(x.p)
	if from != nil {
		x.bar.first = int(from.Step)
	}
	_, err = train.Run(ctx, s, dir, from, x, x.p.now)
	x.bar.done()
	diverged, stopped := errors.AsType[*train.DivergedError](err)
	if err != nil && !stopped {
		return armResult{}, err
	}
	metrics, readErr := dir.ReadMetrics()
	if readErr != nil {
		return armResult{}, readErr
	}
	if len(metrics) == 0 { // diverged before there was a figure
		return armResult{}, err
	}
	r := newArmResult(a, s, metrics[len(metrics)-1])
	kept := true
	if stopped {
		r.Stopped = diverged.Reason
		x.p.say("       stopped after iteration %d: %s", r.Iterations, r.Stopped)
		if kept, err = backTo(s, dir, int64(r.Iterations)); err != nil {
			return r, err
		}
	}
	if kept {
		if r.Test, err = testArm(ctx, s); err != nil {
			return r, err
		}
	}
	return r, writeJSONFile(dir.File(armFile), r)
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
	test, err := infer.EvaluateTable(ctx, s.Model.(train.Tabular).Table(), s.Test)
	if err != nil {
		return nil, err
	}
	trained, err := infer.EvaluateTable(ctx, s.Model.(train.Tabular).Table(), s.Train)
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

// Step hears nothing: EM takes no steps but its iterations.
func (x *priorFreedom) Step(train.Progress) {}

// Epoch writes a line every few iterations.
func (x *priorFreedom) Epoch(m run.Metrics) {
	x.at = m.Epoch
	x.bar.detail = fmt.Sprintf("iteration %d/%d  train %s", m.Epoch, x.options.Iterations, nats(m.Train.Bound))
	defer func() { x.bar.at("", m.Epoch, x.options.Iterations) }()
	if m.Epoch%spokenEvery != 0 && m.Epoch != x.options.Iterations {
		return
	}
	x.bar.done()
	x.bar.said = x.p.now()
	line := fmt.Sprintf("       iteration %d/%d  train %s", m.Epoch, x.options.Iterations, nats(m.Train.Bound))
	if m.Validation != nil {
		line += "  held out " + nats(m.Validation.Bound)
	}
	x.p.say("%s", line)
}

// sayInterrupted says how far an interrupted experiment came.
func (x *priorFreedom) sayInterrupted(err error, a arm) {
	if !errors.Is(err, train.ErrInterrupted) && !errors.Is(err, context.Canceled) {
		return
	}
	x.p.say("interrupted: %d of %d arms are done, and %s has made %d of %s. Go on with: %s experiment prior-freedom --out %s",
		len(x.results), len(x.arms), a.Name(), x.at, count(x.options.Iterations, "iteration"), x.p.name, run.ShellPath(x.options.out))
}
