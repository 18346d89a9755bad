package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"elbo/cmd/elbo/internal/report"
	"elbo/data"
	"elbo/model/infer"
	"elbo/train"
	"elbo/train/run"
)

// sweepFile marks the directory of a sweep, and keeps what was asked.
const sweepFile = "sweep.json"

// sweepSettings are what a directory of a sweep was made for.
type sweepSettings struct {
	Base  json.RawMessage `json:"base"`  // a config.json: what the settings change
	Given []train.Axis    `json:"given"` // every setting that was given, with its values
}

// sweepOptions is what the command line of sweep says.
type sweepOptions struct {
	base    train.Config
	given   []train.Axis
	out     string // "": the first free name under runs/
	scoreOn string // "": validation images where there are any
	samples int
	scoring string // these, and json, as they would be given again
	json    bool
}

func newSweepCmd(p *program) *cobra.Command {
	var o sweepOptions
	var file string
	options := train.Options()
	texts := make([][]string, len(options))
	cmd := &cobra.Command{
		Use:   "sweep",
		Short: "Train over lists of settings, one run after another, and compare",
		Long: `Train a model for every combination of settings, each in a run directory of its own, and
compare all in a table and a curve; with several seeds, their mean and standard deviation.

Every flag of train may have several values, with commas between or the flag repeated.
Where a value has commas itself (--hidden 400,200, --split) repeat the flag, or put
semicolons between. Without --model it is the first that has all the settings given. Data,
their parts and their binarisation, and the likelihood, have one value in a sweep: bounds
on one do not compare with bounds on another.

Runs are compared on validation images, as the test images are for the setting that is
chosen. A run that fails or diverges is noted, and the sweep goes on. Interrupted, or with
runs that failed, it goes on when it is called with the same --out: what is trained and
scored is not trained and scored again.

--out gets a directory for each run, named by its settings; report.json; curve.png.`,
		Example: `  elbo sweep --components 10,20,50,100 --seed 1,2,3
  elbo sweep --latent 2,5,10,20 --hidden 400 --hidden 400,200 --epochs 20 --out runs/widths
  elbo sweep --out runs/widths`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for i, option := range options {
				if cmd.Flags().Changed(option.Key) {
					o.given = append(o.given, train.Axis{Setting: option.Key, Values: option.Several(texts[i])})
				}
			}
			for _, name := range []string{"score-on", "samples", "json"} {
				if f := cmd.Flags().Lookup(name); f.Changed && name == "json" {
					o.scoring += " --json"
				} else if f.Changed {
					o.scoring += fmt.Sprintf(" --%s %s", name, f.Value)
				}
			}
			if o.samples < 1 {
				return usagef("samples is %d, want at least 1", o.samples)
			}
			if !slices.Contains([]string{"", "train", "validation", "test"}, o.scoreOn) {
				return usagef("score-on is %q, want train, validation or test", o.scoreOn)
			}
			if err := o.setBase(p, file); err != nil {
				return err
			}
			return runSweep(cmd.Context(), p, o)
		},
	}
	for i, option := range options {
		cmd.Flags().Var(&several{&texts[i], option.Value.Type()}, option.Key, option.Usage)
		if option.Value.Type() == "" { // a switch: --accelerate alone is true
			cmd.Flags().Lookup(option.Key).NoOptDefVal = "true"
		}
	}
	cmd.Flags().StringVar(&file, "config", "", "JSON file with the same keys as the flags, one value each")
	cmd.Flags().StringVar(&o.out, "out", "", "directory of the sweep, to make or to go on with (default: the first free runs/sweep)")
	cmd.Flags().StringVar(&o.scoreOn, "score-on", "", "images that runs are compared on: train, validation or test (default: validation, where there are any)")
	cmd.Flags().IntVar(&o.samples, "samples", testedSamples, "draws of z for each image: the k of L_k")
	cmd.Flags().BoolVar(&o.json, "json", false, "print the report as JSON")
	cmd.Flags().SortFlags = false
	return cmd
}

// several are the texts that were given for a flag.
type several struct {
	texts *[]string
	kind  string
}

func (v *several) String() string {
	if v.texts == nil {
		return ""
	}
	return strings.Join(*v.texts, " ")
}
func (v *several) Set(text string) error { *v.texts = append(*v.texts, text); return nil }
func (v *several) Type() string {
	switch {
	case v.kind == "":
		return "BOOL,..."
	case v.kind == "PATH" || v.kind == "RUN|CHECKPOINT": // which may have commas
		return v.kind
	case strings.Contains(v.kind, ","):
		return v.kind + ";..."
	}
	return v.kind + ",..."
}

// setBase sets what the settings change: the file, or the defaults of the kind that has them all.
func (o *sweepOptions) setBase(p *program, file string) error {
	at := slices.IndexFunc(o.given, func(a train.Axis) bool { return a.Setting == "model" })
	if file != "" {
		text, err := run.ReadConfigFile(file)
		if err != nil {
			return usagef("--config: %w", err)
		}
		if o.base, err = train.ReadConfig(text); err != nil {
			return &train.ConfigError{Err: fmt.Errorf("%s: %w", file, err)}
		}
		if at >= 0 && !slices.Equal(o.given[at].Values, []string{o.base.Model}) {
			return usagef("--model is %s, but %s configures a %s: name one of them", strings.Join(o.given[at].Values, ","), file, o.base.Model)
		}
		return nil
	}
	kind := train.Kinds()[0]
	if at < 0 {
		var keys []string
		for _, a := range o.given {
			keys = append(keys, a.Setting)
		}
		if first, ok := train.KindWith(keys); ok {
			kind = first
		}
	}
	o.base = kind.Config()
	return nil
}

// runSweep trains and compares. The directory keeps what was asked: what was begun in it goes on.
func runSweep(ctx context.Context, p *program, o sweepOptions) error {
	begun, err := begunIn[sweepSettings](o.out, sweepFile, "sweep")
	if err != nil {
		return err
	}
	asked := sweepSettings{Base: o.base.JSON(), Given: o.given}
	if begun != nil {
		if len(o.given) > 0 && !sameSweep(*begun, asked) {
			return usagef("%s holds the sweep of %s: leave the settings out to go on with it, or choose another --out", o.out, describeAxes(begun.Given))
		}
		if o.base, err = train.ReadConfig(begun.Base); err != nil {
			return usagef("%s: %s: %w: choose another --out", o.out, sweepFile, err)
		}
		o.given = begun.Given
	}
	s, err := train.NewSweep(o.base, o.given)
	if err != nil {
		return err
	}
	x := &sweep{p: p, options: o, Sweep: s, models: oneEngine{p: p}}
	first, err := x.models.setup(s.Points[0].Config) // what no run can do without is said before anything is written
	if err != nil {
		return p.moved(err, o.base.Data)
	}
	x.first = first.Config
	if x.options.scoreOn == "" {
		x.options.scoreOn = comparedSplit(first)
	}
	view, err := (&trained{Setup: first}).view(x.options.scoreOn, 0)
	if err != nil {
		return err
	}
	x.pixels = view.Hash()
	if begun == nil {
		if x.options.out, err = makeMarked(o.out, "sweep", sweepFile, asked); err != nil {
			return err
		}
	}
	p.say("%d runs in %s: %s", len(s.Points), x.options.out, describeAxes(s.Axes))
	err = x.train(ctx)
	if err == nil {
		err = x.score(ctx)
	}
	if errors.Is(err, train.ErrInterrupted) || errors.Is(err, context.Canceled) {
		p.say("interrupted: %d of %d runs are trained. Go on with: %s sweep --out %s%s", x.trained, len(s.Points), p.name, run.ShellPath(x.options.out), x.options.scoring)
	}
	if err != nil {
		return err
	}
	return x.failures()
}

// comparedSplit is the part of the data that runs are compared on unless told otherwise.
func comparedSplit(s *train.Setup) string {
	switch {
	case s.Validation.N() > 0:
		return "validation"
	case s.Test.N() > 0:
		return "test"
	}
	return "train"
}

func sameSweep(a, b sweepSettings) bool {
	textOfA, _ := json.Marshal(a) // without spaces; it was read from JSON, or is written as such
	textOfB, _ := json.Marshal(b)
	return string(textOfA) == string(textOfB)
}

// describeAxes says what varies.
func describeAxes(axes []train.Axis) string {
	var parts []string
	for _, a := range axes {
		separator := ", "
		if slices.ContainsFunc(a.Values, func(v string) bool { return strings.Contains(v, ",") }) {
			separator = "; "
		}
		parts = append(parts, a.Setting+" "+strings.Join(a.Values, separator))
	}
	return strings.Join(parts, " | ")
}

// sweep is a sweep as it is made.
type sweep struct {
	*train.Sweep
	p       *program
	options sweepOptions
	models  oneEngine
	first   train.Config // of the first run, resolved
	pixels  string       // hash of those that are scored
	trained int
	failed  map[int]error // by the number of the point
	report  sweepReport
}

func (x *sweep) path(i int) string { return filepath.Join(x.options.out, x.Points[i].Name) }

// train takes every run to its end. One that fails is noted.
func (x *sweep) train(ctx context.Context) error {
	x.failed = map[int]error{}
	arms := comparison{p: x.p, models: x.models}
	for i, point := range x.Points {
		x.p.say("%d/%d  %s", i+1, len(x.Points), x.path(i))
		err := arms.train(ctx, ownArm{point.Name, point.Config}, x.path(i))
		if errors.Is(err, train.ErrInterrupted) || errors.Is(err, context.Canceled) {
			return err
		}
		if err != nil {
			x.p.say("     failed: %v", err)
			x.failed[i] = err
			if err := x.discard(err, i); err != nil {
				return err
			}
			continue
		}
		x.trained++
	}
	return nil
}

// discard removes a run that diverged before it had saved anything.
func (x *sweep) discard(diverged error, i int) error {
	if !isA[*train.DivergedError](diverged) {
		return nil
	}
	dir, err := train.OpenRun(x.path(i))
	if err != nil {
		return err
	}
	defer dir.Close()
	_, err = train.DiscardUnsaved(dir, true)
	return err
}

// failures is the error of a sweep whose runs did not all come to their end.
func (x *sweep) failures() error {
	if len(x.failed) == 0 {
		return nil
	}
	var one error
	for i := range x.Points {
		err := x.failed[i]
		if err == nil {
			continue
		}
		if one == nil || !isA[*train.DivergedError](err) {
			one = err
		}
	}
	const said = "%d of %d runs failed, as said above; `%s sweep --out %s` tries them again"
	if isA[*train.DivergedError](one) { // as did all the others
		return fmt.Errorf(said+": the last: %w", len(x.failed), len(x.Points), x.p.name, run.ShellPath(x.options.out), one)
	}
	return fmt.Errorf(said, len(x.failed), len(x.Points), x.p.name, run.ShellPath(x.options.out))
}

// score compares the runs that came to their end, on the same pixels.
func (x *sweep) score(ctx context.Context) error {
	x.report.Axes = x.Axes
	c := &x.report.Comparison
	names := make([]string, len(x.Points)) // "" where there is no score
	for i, point := range x.Points {
		if err := x.failed[i]; err != nil {
			x.report.Failed = append(x.report.Failed, sweepFailure{Run: x.path(i), Error: err.Error()})
			continue
		}
		one, err := x.scored(ctx, i)
		if err != nil {
			return fmt.Errorf("%s: %w", x.path(i), err)
		}
		m := one.Models[0]
		m.Name, names[i] = point.Name, point.Name
		if len(c.Models) == 0 {
			*c = one
			c.Models = nil
		} else if c.Data.PixelsSHA256 != one.Data.PixelsSHA256 {
			return usagef("the %s images of %s are not those of %s: choose another --score-on", x.options.scoreOn, m.Run, c.Models[0].Run)
		}
		c.Models = append(c.Models, m)
		criteria, err := x.criteria(ctx, i)
		if err != nil {
			return fmt.Errorf("%s: %w", x.path(i), err)
		}
		if criteria != nil {
			x.report.Criteria = append(x.report.Criteria, *criteria)
		}
	}
	if len(c.Models) == 0 {
		return x.failures()
	}
	c.Refer()
	c.Findings = []string{}
	x.report.Groups = x.groups(names)
	return x.write()
}

// scored returns the comparison of a run with itself: the one that was made before, if it is of
// the same model, pixels and draws and by the same program, else a new one, which is kept.
func (x *sweep) scored(ctx context.Context, i int) (report.Comparison, error) {
	file := filepath.Join(x.options.out, scoresDirectory, x.Points[i].Name+".json")
	state, _, err := x.p.loadUsed(x.path(i), "best")
	if err != nil {
		return report.Comparison{}, err
	}
	of := sweepScore{CheckpointSHA256: state.FileSHA256, PixelsSHA256: x.pixels, Samples: x.options.samples, Seed: x.first.Seed, Version: versionOf(debug.ReadBuildInfo()).Version}
	var before sweepScore
	if text, err := os.ReadFile(file); err == nil && json.Unmarshal(text, &before) == nil && before.sameAs(of) {
		before.Comparison.Models[0].Images = before.Images
		return before.Comparison, nil
	}
	x.p.say("scoring %s", x.Points[i].Name)
	if of.Comparison, err = x.scoreOne(ctx, i); err != nil {
		return of.Comparison, err
	}
	of.Images = of.Comparison.Models[0].Images
	if err := run.MakeDirectory(filepath.Dir(file)); err != nil {
		return of.Comparison, err
	}
	return of.Comparison, run.WriteAtomic(file, func(w io.Writer) error { return json.NewEncoder(w).Encode(of) }) // without spaces: it is large
}

// scoresDirectory is the part of a sweep's directory that keeps scores, so that they are not made
// again.
const scoresDirectory = "scores"

// sweepScore is what a run came to, and all that it depends on.
type sweepScore struct {
	CheckpointSHA256 string            `json:"checkpoint_sha256"`
	PixelsSHA256     string            `json:"pixels_sha256"`
	Samples          int               `json:"samples"`
	Seed             uint64            `json:"seed"`
	Version          string            `json:"version"` // of the program
	Comparison       report.Comparison `json:"comparison"`
	Images           []report.Image    `json:"images"`
}

func (s *sweepScore) sameAs(of sweepScore) bool {
	return s.CheckpointSHA256 == of.CheckpointSHA256 && s.PixelsSHA256 == of.PixelsSHA256 && s.Samples == of.Samples && s.Seed == of.Seed && s.Version == of.Version &&
		len(s.Comparison.Models) == 1 && len(s.Images) == s.Comparison.Data.Images
}

// scoreOne compares a run with itself: a comparison of all would hold all of them in memory.
func (x *sweep) scoreOne(ctx context.Context, i int) (report.Comparison, error) {
	o := compareOptions{split: x.options.scoreOn, samples: x.options.samples, given: []string{"seed"}}
	o.Runs, o.Seed = []string{x.path(i)}, x.first.Seed
	if x.first.Binarise == data.Static || x.first.Binarise == data.Dynamic {
		o.binarise = string(data.Static) // one draw, whatever the seeds of the runs
	}
	one := comparison{p: x.p, options: o, models: x.models}
	if err := one.open(); err != nil {
		return report.Comparison{}, err
	}
	m, err := one.scoreOne(ctx, one.runs[0])
	one.report.Models = []report.Model{m}
	return one.report, err
}

// criteria are those of a model with a table on the images that it was fitted to, nil where there
// are none: of a VAE, and where the runs were fitted to different numbers of images.
func (x *sweep) criteria(ctx context.Context, i int) (*sweepCriteria, error) {
	if !x.Points[i].Config.HasTable() || slices.ContainsFunc(x.Axes, func(a train.Axis) bool { return a.Setting == "limit" }) {
		return nil, nil
	}
	state, file, err := x.p.loadUsed(x.path(i), "best")
	if err != nil {
		return nil, err
	}
	c, err := train.Configuration(state)
	if err != nil {
		return nil, err
	}
	t, err := x.p.trainedOn("", &trained{Path: file, State: state}, x.path(i), c, x.models.make)
	if err != nil {
		return nil, err
	}
	e, err := t.Score(ctx, t.Train, train.ScoreOptions{})
	if err != nil {
		return nil, err
	}
	return &sweepCriteria{Run: x.path(i), Images: e.Images, Parameters: e.Table.Parameters, AIC: e.Table.AIC, BIC: e.Table.BIC, ICL: e.Table.ICL}, nil
}

// groups are the means over seeds.
func (x *sweep) groups(names []string) []sweepGroup {
	var groups []sweepGroup
	for _, g := range x.Groups() {
		group := sweepGroup{Settings: map[string]string{}}
		for i, value := range g.Values {
			group.Settings[x.Axes[i].Setting] = value
		}
		var logP, elbo infer.Running
		for _, i := range g.Points {
			at := slices.IndexFunc(x.report.Comparison.Models, func(m report.Model) bool { return names[i] != "" && m.Name == names[i] })
			if at < 0 {
				continue
			}
			m := x.report.Comparison.Models[at]
			group.Runs = append(group.Runs, m.Run)
			logP.Add(m.LogP.Value)
			elbo.Add(m.ELBO.Value)
			group.SE = m.LogP.SE // of one run; close to the same for all
			group.LowerBound = group.LowerBound || m.LogP.How == infer.LowerBound
		}
		if len(group.Runs) > 0 {
			group.LogP, group.ELBO = spreadOf(logP), spreadOf(elbo)
			groups = append(groups, group)
		}
	}
	return groups
}
