package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"elbo/data"
	"elbo/model"
	"elbo/model/infer"
	"elbo/train"
	"elbo/train/run"
)

// trainOptions is what the command line of train says.
type trainOptions struct {
	config train.Config
	recipe string // by which config was made, "" for none
	out    string // "": the first free name under runs/
	json   bool
	tested int // importance samples for the test images at the end

	tensorboard bool // write event files
}

// addEventsFlag adds the flag of commands that train.
func addEventsFlag(cmd *cobra.Command, o *bool, also string) {
	cmd.Flags().BoolVar(o, "tensorboard", false, "write event files for TensorBoard to RUN/"+eventsDir+also)
}

// testedSamples is the k of the bound L_k that ends a run.
const testedSamples = 100

func newTrainCmd(p *program) *cobra.Command {
	o := trainOptions{tested: testedSamples}
	var file string
	var grey bool
	flags := train.Options()
	cmd := &cobra.Command{
		Use:   "train",
		Short: "Train a model; writes a run directory",
		Long: `Train a model on images and write a run directory: configuration, metrics,
checkpoints and pictures. Without flags it trains a VAE with 400 hidden units and
20 latent dimensions on MNIST, binarised afresh in every epoch.

Every flag is a key of the JSON file that --config names; flags win over it, as they do
over the settings of a --recipe.`,
		Example: `  elbo train
  elbo train --latent 2 --epochs 20 --out runs/plane
  elbo train --data PICTURES --size 32x32 --likelihood gaussian
  elbo train --data FOLDER --binarise threshold --hidden 200,200 --activation tanh
  elbo train --objective iwae --k 5 --batch 20
  elbo train --recipe fast`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if grey {
				if cmd.Flags().Changed("channels") {
					return usagef("--grey and --channels exclude each other: --grey is short for --channels 1")
				}
				if err := cmd.Flags().Set("channels", "1"); err != nil {
					return err
				}
			}
			var err error
			if o.config, err = mergeConfig(cmd, flags, file, o.recipe, &o.out); err != nil {
				return err
			}
			return runTrain(cmd.Context(), p, o)
		},
	}
	for _, option := range flags {
		usage := option.Usage
		if !strings.Contains(usage, "(default") { // in words
			usage += fmt.Sprintf(" (default %s)", option.Default)
		}
		cmd.Flags().Var(option.Value, option.Key, usage)
		cmd.Flags().Lookup(option.Key).DefValue = "" // said in usage
		if option.Value.Type() == "" {               // a switch: --accelerate alone is true
			cmd.Flags().Lookup(option.Key).NoOptDefVal = "true"
		}
	}
	var kinds []cobra.Completion
	for _, k := range train.Kinds() {
		kinds = append(kinds, cobra.CompletionWithDesc(k.Name, k.Usage))
	}
	_ = cmd.RegisterFlagCompletionFunc("model", cobra.FixedCompletions(kinds, cobra.ShellCompDirectiveNoFileComp)) // fails for a flag that is not there
	cmd.Flags().BoolVar(&grey, "grey", false, "turn colour into grey: short for --channels 1")
	var recipes, usages []string
	for _, r := range train.Recipes() {
		recipes, usages = append(recipes, r.Name), append(usages, r.Name+", "+r.Usage)
	}
	cmd.Flags().StringVar(&o.recipe, "recipe", "", "settings by a name, which other flags override: "+strings.Join(usages, "; "))
	_ = cmd.RegisterFlagCompletionFunc("recipe", cobra.FixedCompletions(recipes, cobra.ShellCompDirectiveNoFileComp))
	cmd.Flags().StringVar(&file, "config", "", "JSON file with the same keys as the flags")
	cmd.Flags().StringVar(&o.out, "out", "", "run directory to make (default: the first free runs/vae-NNN)")
	cmd.Flags().BoolVar(&o.json, "json", false, "print the result as JSON")
	addEventsFlag(cmd, &o.tensorboard, "; a run that is resumed goes on with them")
	cmd.Flags().SortFlags = false
	cmd.SetUsageFunc(func(cmd *cobra.Command) error { return writeGroupedUsage(cmd, flags) })
	for _, option := range flags {
		if option.Values != nil {
			_ = cmd.RegisterFlagCompletionFunc(option.Key, cobra.FixedCompletions(option.Values, cobra.ShellCompDirectiveNoFileComp))
		}
	}
	return cmd
}

// helpWidth is that of help, in columns.
const helpWidth = 80

// writeGroupedUsage writes the usage of a command whose flags are options, group by group.
// Flags that are no options end the last group.
func writeGroupedUsage(cmd *cobra.Command, options []train.Option) error {
	w := cmd.OutOrStderr()
	groups := train.OptionGroups()
	of := map[string]string{}
	for _, o := range options {
		of[o.Key] = o.Group
	}
	sets := map[string]*pflag.FlagSet{}
	for _, group := range groups {
		sets[group] = pflag.NewFlagSet(group, pflag.ContinueOnError)
		sets[group].SortFlags = false
	}
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		group, is := of[f.Name]
		if !is {
			group = groups[len(groups)-1]
		}
		sets[group].AddFlag(f)
	})
	fmt.Fprintf(w, "Usage:\n  %s\n\nExamples:\n%s\n", cmd.UseLine(), cmd.Example)
	for _, group := range groups {
		fmt.Fprintf(w, "\n%s:\n%s", group, sets[group].FlagUsagesWrapped(helpWidth))
	}
	return nil
}

func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("%s takes flags only, got %q", cmd.Name(), args[0])
	}
	return nil
}

// mergeConfig returns the defaults, changed by the recipe or by the file, changed by the flags
// that were given.
func mergeConfig(cmd *cobra.Command, flags []train.Option, file, recipe string, out *string) (train.Config, error) {
	c := train.Kinds()[0].Config()
	var faults []error
	if file != "" {
		text, err := run.ReadConfigFile(file)
		if err != nil {
			return c, usagef("--config: %w", err)
		}
		fileOut := pathValue(*out)
		if c, err = train.ReadConfigWith([]train.Option{{Key: "out", Value: &fileOut}}, text); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", file, err))
		}
		if !cmd.Flags().Changed("out") {
			*out = string(fileOut)
		}
	}
	if model := cmd.Flags().Lookup("model"); model.Changed && model.Value.String() != c.Model {
		if file != "" {
			return c, usagef("--model is %s, but %s configures a %s: name one of them", model.Value, file, c.Model)
		}
		c = train.DefaultConfig(model.Value.String())
	}
	if recipe != "" {
		if err := takeRecipe(&c, recipe, file); err != nil {
			return c, err
		}
	}
	own := map[string]train.Value{}
	for _, option := range c.Options() {
		own[option.Key] = option.Value
	}
	for _, given := range flags {
		switch value, ok := own[given.Key]; {
		case !cmd.Flags().Changed(given.Key):
		case !ok:
			faults = append(faults, given.NotOf(c.Model, "--"+given.Key))
		default:
			faults = append(faults, value.Set(given.Value.String()))
		}
	}
	if errors.Join(faults...) == nil && file == "" { // a file has every key
		if err := c.TakeArchitecture(cmd.Flags().Changed); err != nil {
			return c, err
		}
	}
	faults = append(faults, c.Validate())
	if err := errors.Join(faults...); err != nil {
		return c, &train.ConfigError{Err: err}
	}
	return c, nil
}

// takeRecipe applies a recipe to the defaults of a VAE.
func takeRecipe(c *train.Config, recipe, file string) error {
	r, err := train.FindRecipe(recipe)
	switch {
	case err != nil:
		return usagef("--recipe: %w", err)
	case file != "":
		return usagef("--recipe and --config exclude each other: both say what the flags do not")
	case c.Model != train.VAEModel:
		return usagef("--recipe %s is one of a %s, not of a %s: leave it out", recipe, train.VAEModel, c.Model)
	}
	return c.Apply(r.Settings)
}

// pathValue is the setting "out", which names no part of a run's configuration.
type pathValue string

func (v *pathValue) String() string        { return string(*v) }
func (v *pathValue) Set(text string) error { *v = pathValue(text); return nil }
func (v *pathValue) Type() string          { return "PATH" }

// runTrain is the first of the four hops from the command to the gradient.
func runTrain(ctx context.Context, p *program, o trainOptions) error {
	ctx, err := p.join(ctx)
	if err != nil {
		return err
	}
	s, err := p.setup(o.config)
	if err == nil && s.Config.Network().InitFrom != "" { // an error is better told before a directory is made
		err = s.WarmStart()
	}
	if err := p.agreeToFit(err, s); err != nil {
		return err
	}
	_, err = os.Stat(o.out)
	made := o.out == "" || err != nil // the directory: by this command
	dir, err := p.createRun(o.out, s.Config)
	if err := p.agree(err, nil); err != nil {
		return err
	}
	defer dir.Close()
	by := ""
	if o.recipe != "" {
		by = ", by the recipe " + o.recipe
	}
	p.say("training in %s%s", dir.Path, by)
	p.sayWhat(s)
	return p.discard(p.trainAndTest(ctx, s, dir, nil, o), dir, made)
}

// discard removes a run that diverged before it had saved anything: a directory that can only
// diverge again need not take the name. It returns the error of the run.
func (p *program) discard(err error, dir *run.Dir, made bool) error {
	if !p.first() || !isA[*train.DivergedError](err) {
		return err
	}
	gone, fault := withoutEvents(dir, func() (bool, error) { return train.DiscardUnsaved(dir, made) })
	if gone && fault == nil {
		p.say("%s is removed: nothing in it was saved", dir.Path)
	}
	return errors.Join(err, fault)
}

// trainAndTest trains from a state to the end, then tests the best model and draws
// the pictures.
func (p *program) trainAndTest(ctx context.Context, s *train.Setup, dir *run.Dir, from *run.State, o trainOptions) error {
	events, err := p.openEvents(dir, o.tensorboard)
	if err := p.agree(err, nil); err != nil {
		return err
	}
	heard := []train.RestartRecorder{}
	if events != nil {
		defer events.done()
		heard = append(heard, events)
	}
	result, err := p.fit(ctx, s, dir, from, heard...)
	if err == nil {
		err = p.finish(ctx, s, dir, result, o)
	}
	if err == nil && events != nil {
		events.final(result)
	}
	return err
}

// fit trains from a state to the end. What else hears of it comes after the bar and the pictures.
func (p *program) fit(ctx context.Context, s *train.Setup, dir *run.Dir, from *run.State, more ...train.RestartRecorder) (train.Result, error) {
	bar := newProgress(p, s, from)
	var recorder train.Recorder
	if p.first() {
		recorder = append(recorders{bar, newIllustrated(p, s, dir)}, more...)
	}
	result, err := train.Run(ctx, s, dir, from, recorder, p.now)
	bar.done()
	if errors.Is(err, train.ErrInterrupted) && p.first() {
		if metrics, err := dir.ReadMetrics(); err == nil && len(metrics) > 0 {
			newGallery(s, dir).chart("curves", curvesOf(s, metrics)) // as far as it came; resume draws it anew
		}
		p.say("interrupted; a checkpoint is saved. Go on with: %s resume %s", p.name, run.ShellPath(dir.Path))
	}
	return result, err
}

// finish tests the best model, draws its pictures and says what to do next.
func (p *program) finish(ctx context.Context, s *train.Setup, dir *run.Dir, result train.Result, o trainOptions) error {
	unit, check := s.Config.PassUnit(), " --samples 1000"+scoredSplit(s)
	if s.Config.HasTable() {
		check = " --split train"
	}
	model := "the last model"
	if result.Best != nil {
		state, _, err := p.fromFirst(dir.Best)
		if err != nil {
			return err
		}
		if err := s.Load(state); err != nil {
			return err
		}
		model = fmt.Sprintf("the model after %s, the best on validation images", count(result.Best.Epoch, unit))
	}
	if result.Status == train.Converged {
		p.say("converged after %s: the last gained less than %g nats per image", count(result.Step, "iteration"), s.Config.Table().Tolerance)
	}
	if result.Status == train.OutOfPatience {
		p.say("stopped early: the best validation bound is that of epoch %d, and %s brought no better one", result.Best.Epoch, count(train.SettingsOf[train.VAESettings](s.Config).Patience, "epoch"))
	}
	p.sayVariance(s)
	report := trainReport{Run: dir.Path, Steps: result.Step, Epochs: s.Config.Epochs, ValidationRise: result.Rise}
	if result.Best != nil {
		report.BestEpoch, report.ValidationBound = &result.Best.Epoch, &result.Best.Bound
	}
	if s.Test.N() > 0 {
		how := ""
		if !s.Config.HasTable() {
			how = fmt.Sprintf(", with %s of z for each image", count(o.tested, "draw"))
		}
		p.say("testing %s%s", model, how)
		bar := newBar(p)
		e, err := evaluate(ctx, s, s.Test, "test", train.ScoreOptions{Samples: o.tested, Seed: s.Config.Seed, Peers: s.Reducer, Scored: func(images int) { bar.at("testing", images, ownShare(s.Reducer, s.Test.N())) }})
		bar.done()
		if errors.Is(err, context.Canceled) {
			p.say("the run is trained and saved; to test it and draw its pictures: %s resume %s", p.name, run.ShellPath(dir.Path))
		}
		if err != nil {
			return err
		}
		report.Test = e
		if !o.json {
			e.write(p.stdout)
			if s.Config.HasTable() {
				e.writeMore(p.stdout)
			} else {
				e.writeTrust(p.stdout)
			}
		}
	}
	if !p.first() {
		return nil
	}
	if err := p.draw(s, dir); err != nil {
		return err
	}
	p.sayRise(result.Rise)
	if o.json {
		return writeJSON(p.stdout, report)
	}
	if !s.Config.HasTable() {
		check = report.check(s.Config) + scoredSplit(s)
	}
	fmt.Fprintf(p.stdout, "run    %s\n", dir.Path)
	run := run.ShellPath(dir.Path)
	p.say("next:  %[1]s eval %[2]s%[3]s\n       %[1]s sample %[2]s", p.name, run, check)
	if result.Status == train.Finished && !train.SettingsOf[train.VAESettings](s.Config).ToTheEnd() {
		p.say("       %s resume %s --epochs %d", p.name, run, 2*s.Config.Epochs)
	}
	return nil
}

// scoredSplit is the flag that has eval score images of a run where it has none to test.
func scoredSplit(s *train.Setup) string {
	switch {
	case s.Test.N() > 0:
		return ""
	case s.Validation.N() > 0:
		return " --split validation"
	}
	return " --split train"
}

// trainReport is what train --json prints.
type trainReport struct {
	Run             string      `json:"run"`
	Epochs          int         `json:"epochs"`
	Steps           int64       `json:"steps"`
	BestEpoch       *int        `json:"best_epoch,omitempty"` // nil without validation images; 0 is an iteration of EM
	ValidationBound *float64    `json:"validation_bound,omitempty"`
	Test            *evalReport `json:"test,omitempty"`

	ValidationRise *infer.Estimate `json:"validation_rise,omitempty"` // in the last epoch; of a VAE
}

// check is what eval is best asked for, of a VAE: log p(x) itself where it can be had, an
// estimate where L_k is known to be far from it, else L_k with more draws.
func (r *trainReport) check(c train.Config) string {
	switch {
	case !c.Likelihood.IsLikelihood():
		return ""
	case c.Network().Latent <= infer.MaxExactLatent:
		return " --exact"
	case r.Test != nil && r.Test.IW.KHat != nil && *r.Test.IW.KHat > hopeless:
		return " --ais --limit 300"
	}
	return " --samples 1000"
}

// sayVariance says what a learned variance has come to.
func (p *program) sayVariance(s *train.Setup) {
	m, ok := s.Model.(train.Latent)
	if !ok {
		return
	}
	gaussian, ok := m.Joint().Likelihood.(*model.Gaussian)
	if !ok || !gaussian.Learned() {
		return
	}
	variance := gaussian.Variance()
	p.say("learned variance: %.3g, a standard deviation of %.2g of the range from black to white", variance, math.Sqrt(variance))
	if gaussian.Held() != "" {
		p.say("warning: the variance is held at %.2g, that of rounding pixels to 256 grey levels: the model reproduces these images better than that, and the bound, a density, would grow without end; --variance X fixes it, and another likelihood may fit them", variance)
	}
}

// A rise is one if it is more than rising standard errors of its own, and leastRise nats.
const (
	rising    = 2
	leastRise = 0.01
)

// sayRise says that a model has not been trained to the end, where that is so.
func (p *program) sayRise(rise *infer.Estimate) {
	if rise != nil && rise.SE > 0 && rise.Value > max(rising*rise.SE, leastRise) {
		p.say("still rising: validation bound +%.2f nats in the last epoch (%.0f standard errors); more epochs may raise it further", rise.Value, rise.Value/rise.SE)
	}
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func writeJSONFile(path string, v any) error {
	return run.WriteAtomic(path, func(w io.Writer) error { return writeJSON(w, v) })
}

// createRun makes a run directory, as the first of several processes.
func (p *program) createRun(out string, c train.Config) (*run.Dir, error) {
	if !p.first() {
		return run.Unwritten(out, train.CheckState()), nil
	}
	return createRun(out, c)
}

// createRun makes the run directory of that name, or the first free one under runs/.
func createRun(out string, c train.Config) (*run.Dir, error) {
	if out != "" {
		return train.CreateRun(out, c)
	}
	for n := 1; ; n++ {
		dir, err := train.CreateRun(filepath.Join("runs", fmt.Sprintf("%s-%03d", c.Model, n)), c)
		if !errors.Is(err, run.ErrRunExists) && !errors.Is(err, run.ErrRunInUse) {
			return dir, err
		}
	}
}

// sayWhat says what a run computes, on what and with what.
func (p *program) sayWhat(s *train.Setup) {
	c := s.Config
	binarise := "not binarised"
	if c.Binarise != data.None {
		binarise = fmt.Sprintf("%s binarisation", c.Binarise)
	}
	p.say("  model  %s", describeModel(s))
	p.say("  data   %s: %d training, %d validation, %s, %s, seed %d", s.Dataset.Name, s.Train.N(), s.Validation.N(), count(s.Test.N(), "test image"), binarise, c.Seed)
	if split := splitText(s); split != "" {
		p.say("  split  %s", split)
	}
	p.say("  train  %s", describeTraining(c))
	p.say("  with   %s, workers: %d; bounds in nats per image", s.Engine.BLAS, c.Workers)
	p.sayCost(s)
	if size := s.Sizes(); size.Checkpoint >= run.LargeCheckpoint {
		p.say("  size   %.3g million parameters, %.2g GB a checkpoint (the last and the best are kept), about %.2g GB of memory; a smaller --hidden, or smaller images, take less", float64(size.Parameters)/1e6, size.Checkpoint/1e9, size.Memory/1e9)
	}
}

// sayCost says what a network takes where its weights do not tell, as with convolutions, and
// where a likelihood takes several numbers for each of a pixel's; the time by a step that is made
// and thrown away. Of EM that is its E-step, which tells too little where the M-step is no product.
func (p *program) sayCost(s *train.Setup) {
	levels := s.Config.Likelihood.Pixels() == model.LevelPixels
	if !levels && !s.Config.Network().Layers.Convolutional() && !severalNumbers(s) {
		return
	}
	size, words := s.Sizes(), ""
	if !(levels && s.Config.HasTable()) {
		if seconds, err := s.EpochSeconds(p.now); err == nil && seconds > 0 {
			words = epochWords(seconds)
		}
	}
	p.say("  cost   %.3g million parameters, about %.2g GB of memory%s", float64(size.Parameters)/1e6, size.Memory/1e9, words)
}

// severalNumbers reports whether a decoder gives several numbers for each of a pixel's.
func severalNumbers(s *train.Setup) bool {
	m, ok := s.Model.(train.Latent)
	return ok && m.Joint().Outputs() != s.Dataset.D()
}

func epochWords(seconds float64) string {
	switch {
	case seconds < 1:
		return ", less than a second an epoch"
	case seconds < 90:
		return fmt.Sprintf(", about %.2g s an epoch", seconds)
	}
	return fmt.Sprintf(", about %.2g minutes an epoch", seconds/60)
}

// describeTraining says how a model is fitted: for how long, how fast, and whatever is not as
// it is by default, but for what is said of model and data.
func describeTraining(c train.Config) string {
	said := []string{"model", "data", "limit", "split", "split-by", "split-seed", "seed", "binarise", "workers", "likelihood", "hidden", "latent", "activation", "network", "conv-channels", "kernel", "stride", "blocks",
		"objective", "k", "components", "prior", "grid", "grid-rule"}
	always := []string{"epochs", "batch", "lr", "m-steps", "tolerance"}
	byDefault := map[string]string{}
	defaults := c.Settings.Kind().Config()
	for _, o := range defaults.Options() {
		byDefault[o.Key] = o.Value.String()
	}
	var words []string
	for _, o := range c.Options() {
		value := o.Value.String()
		if slices.Contains(always, o.Key) || !slices.Contains(said, o.Key) && value != byDefault[o.Key] {
			words = append(words, o.Key+" "+value)
		}
	}
	return strings.Join(words, ", ")
}

// splitText says which images are tested where no file says so.
func splitText(s *train.Setup) string {
	c := s.Config
	switch {
	case s.Dataset.OwnSplit() && c.SplitBy == train.ByShuffle:
		return fmt.Sprintf("validation images are drawn from the training images, seed %d; test images are the data set's own", c.SplitSeed)
	case s.Dataset.OwnSplit():
		return ""
	case c.SplitBy == train.ByShuffle:
		return fmt.Sprintf("shuffled, seed %d: the images of each part are drawn from all %d (--split-by order: as they are stored)", c.SplitSeed, s.Dataset.Train.N)
	case s.Test.N() == 0:
		return "by order: no images are left to test"
	}
	return fmt.Sprintf("by order: test images are %d to %d, as they are stored, from 0", s.Test.Index(0), s.Test.Index(s.Test.N()-1))
}

// describeModel says in a line what is fitted.
func describeModel(s *train.Setup) string { return s.Config.Settings.Describe(s.Config, s.Dataset.D()) }

func joined(numbers []int, separator string) string {
	words := make([]string, len(numbers))
	for i, n := range numbers {
		words[i] = fmt.Sprint(n)
	}
	return strings.Join(words, separator)
}
