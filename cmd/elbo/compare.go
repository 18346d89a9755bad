package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"elbo/cmd/elbo/internal/report"
	"elbo/data"
	"elbo/model"
	"elbo/train"
	"elbo/train/run"
)

// compareFile marks the directory of a comparison, and keeps what was asked.
const compareFile = "compare.json"

// compareOptions is what the command line of compare says.
type compareOptions struct {
	compareSettings
	given    []string // the flags that were given
	scoring  string   // those that say what models are scored on, as they would be given again
	out      string   // "": the first free name under runs/
	split    string
	limit    int // images that are scored
	samples  int
	binarise string // "": as the runs were trained
	ais      aisFlags
	workers  int
	json     bool
}

// compareSettings are what a directory of a comparison was made for: the runs, or how to
// train them. What they are scored on may change from call to call.
type compareSettings struct {
	Runs       []string `json:"runs,omitempty"`
	Data       string   `json:"data,omitempty"`
	TrainLimit int      `json:"train_limit"`
	Components int      `json:"components"`
	Grid       string   `json:"grid"`
	Hidden     string   `json:"hidden"`
	Iterations int      `json:"iterations"`
	Epochs     int      `json:"epochs"`
	Seed       uint64   `json:"seed"`
}

// trainedFlags are the flags of the comparison that trains its models itself.
var trainedFlags = []string{"train-limit", "components", "grid", "hidden", "iterations", "epochs"}

func newCompareCmd(p *program) *cobra.Command {
	var o compareOptions
	cmd := &cobra.Command{
		Use:   "compare [RUN...]",
		Short: "Bounds of several models on the same images, side by side",
		Long: `Score finished runs of any kind (vae, mixture, grid) on the same images, binarised
the same way, and put them in one table and one page: reconstruction, KL, ELBO, L_k,
log p(x) and how it was obtained, the gap between ELBO and log p(x), bits per
dimension, differences with paired standard errors, seconds of training.

log p(x) is a sum over states for a mixture or a grid, a quadrature for a VAE of up to
three latent dimensions, and bounded by L_k for others, or estimated with --ais.

Without runs it trains its own first, in a few minutes: a mixture, a grid decoder by
EM, and a VAE of two latent dimensions with the same decoder, on MNIST, drawn once.
Interrupted, it goes on when it is called with the same --out.

--out gets report.html, one page that needs nothing else; report.json; and
per-image.csv, a row for each image and model.`,
		Example: "  elbo compare\n  elbo compare runs/vae-001 runs/mixture-001 --samples 1000\n  elbo compare runs/vae-001 runs/grid-001 --binarise static --out runs/both",
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Runs = args
			for _, name := range append([]string{"data", "seed", "binarise"}, trainedFlags...) {
				if cmd.Flags().Changed(name) {
					o.given = append(o.given, name)
				}
			}
			for _, name := range scoringFlags {
				if f := cmd.Flags().Lookup(name); f.Changed && f.Value.Type() == "bool" {
					o.scoring += " --" + name
				} else if f.Changed {
					o.scoring += fmt.Sprintf(" --%s %s", name, f.Value)
				}
			}
			if err := o.validate(); err != nil {
				return &train.ConfigError{Err: err}
			}
			if err := o.ais.check(cmd); err != nil {
				return err
			}
			if len(args) == 0 {
				return runOwnComparison(cmd.Context(), p, o)
			}
			return runCompare(cmd.Context(), p, o)
		},
	}
	cmd.Flags().StringVar(&o.out, "out", "", "directory of the report, to make or to go on with (default: the first free runs/compare)")
	cmd.Flags().StringVar(&o.split, "split", "", "images to score: train, validation, test or all (default: test; of --data that no run was trained on, all)")
	cmd.Flags().IntVar(&o.limit, "limit", 0, "only the first N images of the split (0: all)")
	cmd.Flags().IntVar(&o.samples, "samples", 100, "draws of z for each image: the k of L_k")
	cmd.Flags().StringVar(&o.Data, "data", "", "score all runs on these data, whatever they were trained on; without runs: what to train on (default mnist)")
	cmd.Flags().StringVar(&o.binarise, "binarise", "", "score all runs on threshold, static or none, whatever they were trained on")
	cmd.Flags().Uint64Var(&o.Seed, "seed", 1, "seed of the draws of z and of --binarise (default with runs: the first run's); without runs: of all randomness")
	o.ais.add(cmd)
	cmd.Flags().BoolVar(&o.json, "json", false, "print the report as JSON")
	cmd.Flags().IntVar(&o.workers, "workers", 0, "goroutines that share the work (0: one for each CPU)")
	cmd.Flags().IntVar(&o.Components, "components", 200, "without runs: components of the mixture")
	cmd.Flags().StringVar(&o.Grid, "grid", "20x20", "without runs: points of the grid")
	cmd.Flags().StringVar(&o.Hidden, "hidden", "200,200", "without runs: hidden layers of the decoder that grid and VAE share")
	cmd.Flags().IntVar(&o.Iterations, "iterations", 60, "without runs: iterations of EM, at most")
	cmd.Flags().IntVar(&o.Epochs, "epochs", 40, "without runs: epochs of the VAE")
	cmd.Flags().IntVar(&o.TrainLimit, "train-limit", 0, "without runs: first N training images only (0: all)")
	cmd.Flags().SortFlags = false
	return cmd
}

// scoringFlags say what models are scored on. A comparison that is interrupted while it
// trains them does not keep these: who goes on gives them again.
var scoringFlags = [...]string{"split", "limit", "samples", "binarise", "ais", "ais-steps", "ais-chains", "ais-leapfrogs", "ais-simulated", "json", "workers"}

// validate returns every fault that can be seen without runs and data.
func (o compareOptions) validate() error {
	var faults []error
	fault := func(bad bool, format string, args ...any) {
		if bad {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	fault(!slices.Contains([]string{"", "train", "validation", "test", "all"}, o.split), "split is %q, want train, validation, test or all", o.split)
	fault(o.limit < 0, "limit is %d, want 0 (all) or more", o.limit)
	fault(o.samples < 1, "samples is %d, want at least 1", o.samples)
	fault(o.workers < 0, "workers is %d, want 0 (one for each CPU) or more", o.workers)
	fault(o.workers > train.MaxWorkers, "workers is %d, want at most %d", o.workers, train.MaxWorkers)
	fault(o.binarise == string(data.Dynamic), "binarise is dynamic, but images are scored on one draw: want static, which is that draw, threshold or none")
	if _, err := data.ParseBinarisation(o.binarise); err != nil && o.binarise != "" {
		fault(true, "binarise is %q, want threshold, static or none", o.binarise)
	}
	fault(slices.Contains(o.given, "data") && o.Data == "", "data is empty, want mnist, a directory or a file")
	for _, name := range trainedFlags {
		fault(len(o.Runs) > 0 && slices.Contains(o.given, name), "--%s is for the models that compare trains itself, but runs were named: leave it, or them, out", name)
	}
	for i, run := range o.Runs {
		fault(slices.IndexFunc(o.Runs, func(other string) bool { return filepath.Clean(other) == filepath.Clean(run) }) < i, "%s is named twice", run)
	}
	return errors.Join(faults...)
}

// contestant is a run that is compared.
type contestant struct {
	name   string
	dir    *run.Dir
	state  *run.State
	file   string // its checkpoint
	config train.Config
	setup  *train.Setup
	view   data.View // what is scored
}

// runCompare compares runs that exist.
func runCompare(ctx context.Context, p *program, o compareOptions) error {
	ctx, err := p.join(ctx)
	if err != nil {
		return err
	}
	begun, err := fromFirstAs(p, func() (*compareSettings, error) { return begunIn[compareSettings](o.out, compareFile, "comparison") })
	if err != nil {
		return err
	}
	if begun != nil && len(begun.Runs) == 0 {
		return usagef("%s holds the comparison that `%s compare` trains itself: choose another --out", o.out, p.name)
	}
	x := comparison{p: p, options: o, models: oneEngine{p: p}}
	if err := x.open(); err != nil {
		return err
	}
	settings := compareSettings{Runs: o.Runs, Data: o.Data, Seed: x.report.Seed}
	if begun != nil && !slices.Equal(begun.Runs, o.Runs) {
		return usagef("%s holds the comparison of %s: choose another --out", o.out, strings.Join(begun.Runs, ", "))
	}
	if x.options.out, err = fromFirstAs(p, func() (string, error) { return makeMarked(o.out, "compare", compareFile, settings) }); err != nil {
		return err
	}
	if err := x.score(ctx); err != nil {
		return err
	}
	return x.write(ctx)
}

// comparison is a comparison as it is made.
type comparison struct {
	p       *program
	options compareOptions
	models  oneEngine
	runs    []*contestant
	report  report.Comparison
}

// open reads the runs, and refuses those that cannot be compared before any work is
// done: all that is wrong is said at once.
func (x *comparison) open() error {
	if err := x.p.onFirst(x.find); err != nil {
		return err
	}
	if err := x.spread(); err != nil {
		return err
	}
	x.report.Samples, x.report.Seed = x.options.samples, x.runs[0].config.Seed
	if slices.Contains(x.options.given, "seed") || len(x.options.Runs) == 0 {
		x.report.Seed = x.options.Seed
	}
	for _, c := range x.runs {
		if err := x.p.agree(x.prepare(c), c.setup); err != nil {
			return err
		}
	}
	return x.p.agree(x.samePixels(), nil)
}

// find reads the runs, as the first of several processes.
func (x *comparison) find() error {
	names := runNames(x.options.Runs)
	var faults []error
	for i, path := range x.options.Runs {
		dir, err := train.ReadRun(path)
		if err != nil {
			return err
		}
		at, err := train.Stands(dir)
		if err != nil {
			return err
		}
		if !at.Status.Ended() {
			if s, _, passed := dir.Latest(); s == nil && len(passed) > 0 {
				x.p.sayPassedOver(passed)
				return x.p.noCheckpoint(dir, true)
			}
			why := at.String()
			if at.Status != train.InUse { // else its lock is held, and resume would be refused
				why += fmt.Sprintf(": `%s resume %s` goes on with it, `--epochs N` there changes its end", x.p.name, run.ShellPath(path))
			}
			faults = append(faults, fmt.Errorf("%s %s", path, why))
			continue
		}
		c := &contestant{name: names[i], dir: dir}
		if c.state, c.file, err = x.p.loadUsed(path, "best"); err != nil {
			return err
		}
		if c.config, err = train.Configuration(c.state); err != nil {
			return fmt.Errorf("%s: %w", c.file, err)
		}
		x.runs = append(x.runs, c)
	}
	if len(x.runs) > 0 {
		faults = append(faults, x.comparable()...)
	}
	if len(faults) > 0 {
		return &usageError{errors.Join(faults...)}
	}
	return nil
}

// spread gives the other processes what the first has found.
func (x *comparison) spread() error {
	for i, path := range x.options.Runs {
		state, file, err := x.p.fromFirst(func() (*run.State, string, error) { return x.runs[i].state, x.runs[i].file, nil })
		if err != nil {
			return err
		}
		if x.p.first() {
			continue
		}
		c := &contestant{dir: run.Unwritten(path, train.CheckState()), state: state, file: file}
		if c.config, err = train.Configuration(state); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		x.runs = append(x.runs, c)
	}
	return nil
}

// comparable returns what makes a run incomparable with the first one, and no flag settles.
func (x *comparison) comparable() []error {
	first := x.runs[0]
	var faults []error
	for _, c := range x.runs[1:] {
		for _, d := range train.Differences(first.scored(), c.scored()) {
			switch {
			case d == train.OtherMeasure:
				faults = append(faults, fmt.Errorf("%s has the likelihood %s (%s), %s has %s (%s): nats of one do not compare with nats of the other",
					first.dir.Path, first.config.Likelihood, first.config.Likelihood.Measure(), c.dir.Path, c.config.Likelihood, c.config.Likelihood.Measure()))
			case d == train.OtherData && x.options.Data == "":
				faults = append(faults, fmt.Errorf("%s was trained on %s (SHA-256 %.12s…), %s on %s (SHA-256 %.12s…): --data PATH scores all on one data set",
					first.dir.Path, first.config.Data, first.state.Data, c.dir.Path, c.config.Data, c.state.Data))
			case d == train.OtherPixels && x.options.binarise == "":
				faults = append(faults, fmt.Errorf("%s was trained with %s, %s with %s: --binarise static (or threshold) scores all on the same pixels",
					first.dir.Path, train.BinarisedAs(first.config), c.dir.Path, train.BinarisedAs(c.config)))
			}
		}
	}
	return faults
}

// scored is what decides what the run compares with.
func (c *contestant) scored() train.Scored {
	return train.Scored{Config: c.config, DataSHA256: c.state.Data}
}

// prepare makes the model of a run, on the data that are to be scored.
func (x *comparison) prepare(c *contestant) error {
	config := c.config
	if x.options.binarise != "" {
		config.Binarise, config.Seed = data.Binarisation(x.options.binarise), x.report.Seed
	}
	if x.options.workers > 0 {
		config.Workers = x.options.workers
	}
	t, err := x.p.trainedOn(x.options.Data, &trained{Path: c.file, State: c.state}, c.dir.Path, config, x.models.make)
	if err != nil {
		return fmt.Errorf("%s: %w", c.dir.Path, err)
	}
	c.setup = t.Setup
	if x.options.split == "" {
		for _, c := range x.runs { // one run's training images must not be among them
			t.other = t.other && c.state.Data != t.Dataset.SHA256
		}
		x.options.split = t.chosenSplit("")
	}
	c.view, err = t.view(x.options.split, x.options.limit)
	return err
}

// samePixels makes sure of what all else rests on: the very same pixels for every model.
func (x *comparison) samePixels() error {
	first := x.runs[0].view
	for _, c := range x.runs[1:] {
		if !train.SamePixels(first, c.view) {
			return usagef("the %s images of %s (%d, SHA-256 of their pixels %.12s…) are not those of %s (%d, %.12s…), as the runs split the data differently: choose another --split",
				x.options.split, x.runs[0].dir.Path, first.N(), first.Hash(), c.dir.Path, c.view.N(), c.view.Hash())
		}
	}
	s := x.runs[0].setup
	x.report.Data = report.Data{
		Name: s.Dataset.Name, SHA256: s.Dataset.SHA256, Split: x.options.split, Images: first.N(), Pixels: first.D(),
		Binarise: string(first.Mode), BinariseSeed: first.Seed, PixelsSHA256: first.Hash(), Measure: string(s.Config.Likelihood.Measure()),
	}
	return nil
}

// score has every model score the images.
func (x *comparison) score(ctx context.Context) error {
	for _, c := range x.runs {
		how := ""
		if !c.setup.Config.HasTable() {
			how = fmt.Sprintf(", %s of z each", count(x.options.samples, "draw"))
		}
		x.p.say("scoring %s: %s%s", c.name, count(c.view.N(), x.options.split+" image"), how)
		m, err := x.scoreOne(ctx, c)
		if err != nil {
			return fmt.Errorf("%s: %w", c.dir.Path, err)
		}
		x.report.Models = append(x.report.Models, m)
	}
	x.report.Refer()
	x.report.Findings = compareFindings(x.report)
	return nil
}

func (x *comparison) scoreOne(ctx context.Context, c *contestant) (report.Model, error) {
	s := c.setup
	ask := train.ScoreOptions{Samples: x.options.samples, Seed: x.report.Seed, Peers: s.Reducer}
	if x.options.ais.on {
		ask.AIS = &x.options.ais.AISOptions
	}
	ask = train.BestScore(s, ask)
	bar := newBar(x.p)
	defer bar.done()
	bar.assessing(&ask, c.view.N())
	e, err := s.Score(ctx, c.view, ask)
	if err != nil {
		return report.Model{}, err
	}
	m := report.Model{
		Name: c.name, Run: c.dir.Path, Checkpoint: c.file, Kind: s.Config.Model, Description: describeModel(s),
		Likelihood: string(s.Config.Likelihood), Binarise: string(c.config.Binarise),
		Recon: report.Figure{Value: e.Recon, SE: e.ReconSE}, KL: report.Figure{Value: e.KL, SE: e.KLSE}, ELBO: report.Figure{Value: e.ELBO, SE: e.ELBOSE},
	}
	m.Parameters, m.Encoder = s.Free()
	if e.IW != nil {
		m.IW = &report.IW{K: e.IW.K, Figure: report.Figure{Value: e.IW.Bound, SE: e.IW.SE}, ESS: e.IW.ESS}
	}
	m.LogP = e.Evidence()
	gaps := make([]float64, 0, len(e.PerImage))
	for i, score := range e.PerImage {
		image := report.Image{Number: score.Image, Label: -1, Recon: score.Recon, KL: score.KL, ELBO: score.ELBO, IW: score.IW, ESS: score.ESS, LogP: e.EvidenceOf(i), Error: score.Error}
		if label, ok := c.view.Label(i); ok {
			image.Label = int(label)
		}
		gaps = append(gaps, image.LogP-image.ELBO)
		m.Images = append(m.Images, image)
	}
	m.Gap = report.NewFigure(gaps)
	d := c.view.D()
	m.BitsPD = report.Figure{Value: model.BitsPerDim(m.LogP.Value, d), SE: -model.BitsPerDim(m.LogP.SE, d)}
	if x.p.first() {
		err = c.addHistory(x.p, &m)
	}
	return m, err
}

// addHistory adds how a run was trained.
func (c *contestant) addHistory(p *program, m *report.Model) error {
	metrics, err := c.dir.ReadMetrics()
	if err != nil {
		return err
	}
	faults, err := c.dir.MetricsFaults(train.Behind(c.state))
	if err != nil {
		return err
	}
	for _, fault := range faults {
		p.say("warning: %v; times and curves are without it", fault)
	}
	m.Passes = c.setup.Config.PassUnit()
	for _, line := range metrics {
		m.Seconds += line.Seconds
		pass := report.Pass{Pass: line.Epoch, Seconds: m.Seconds}
		if line.Train == nil {
			continue
		}
		pass.Train = line.Train.Bound
		if v := line.Validation; v != nil {
			pass.Validation = &report.Figure{Value: v.Bound, SE: v.BoundSE}
		}
		if line.EM != nil {
			pass.AfterMStep = line.EM.AfterMStep
		}
		m.History = append(m.History, pass)
	}
	// A run with restarts took the time of all its restarts.
	others, err := filepath.Glob(filepath.Join(c.dir.Path, "restart-*"))
	if err != nil || len(others) == 0 {
		return err
	}
	m.Seconds = 0
	for _, path := range others {
		restart, err := train.ReadRun(path)
		if err != nil {
			return err
		}
		lines, err := restart.ReadMetrics()
		if err != nil {
			return err
		}
		for _, line := range lines {
			m.Seconds += line.Seconds
		}
	}
	return nil
}

// runNames are the last elements of paths, or whole paths where those are not all
// different.
func runNames(paths []string) []string {
	names := make([]string, len(paths))
	seen := map[string]bool{}
	for i, path := range paths {
		names[i] = filepath.Base(filepath.Clean(path))
		if seen[names[i]] || names[i] == "." || names[i] == ".." {
			return slices.Clone(paths)
		}
		seen[names[i]] = true
	}
	return names
}
