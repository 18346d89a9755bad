package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"elbo/model/infer"
	"elbo/train"
	"elbo/train/run"
)

// reproduceFile marks the directory of a reproduction, and keeps what was asked.
const reproduceFile = "reproduce.json"

// reproduceSettings are what a directory of a reproduction was made for.
type reproduceSettings struct {
	Anchor string `json:"anchor"`
	Passes int    `json:"passes"` // epochs, or iterations of EM: fewer than the protocol's where a budget cut it short
	Data   string `json:"data,omitempty"`
}

// reproduceOptions is what the command line of reproduce says.
type reproduceOptions struct {
	anchors []anchor // the table
	anchor  string   // "": list them
	budget  time.Duration
	seeds   int
	out     string
	data    string
	workers int
	dry     bool
	json    bool
}

// reproduced is where reproductions are, unless told otherwise.
var reproduced = filepath.Join("runs", "reproduce")

func newReproduceCmd(p *program) *cobra.Command {
	o := reproduceOptions{anchors: anchors()}
	cmd := &cobra.Command{
		Use:   "reproduce [ANCHOR]",
		Short: "Train what was published, and hold the figure against the published one",
		Long: `Without an argument, list models with published figures: the figure, the band in which a
run of the same protocol should fall, minutes of training on this machine, by a short
measurement, and what came of it last.

With the name of one, train it as its protocol says, evaluate it by the paper's estimator
and by ours, and print the published figure, the obtained one with its error, whether it is
in its band, and what differs from the paper's own program. Figures are in nats per image,
with the sign that papers give them: lower is better.

--budget cuts training short: it has as many epochs as fit, and what depends on their number,
as schedule and warm-up, shrinks in proportion. The name of the result says so. Evaluation
comes on top. --seeds trains several times; the figure is then the mean, with its
standard deviation over seeds.

Interrupted, it goes on when it is called again in the same way. --out gets a run directory
for each seed, report.json, and minutes.png: the bound over minutes of training.`,
		Example: `  elbo reproduce
  elbo reproduce pytorch-example
  elbo reproduce burda-1l-k1 --budget 30m
  elbo reproduce mob-100 --seeds 3 --json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				o.anchor = args[0]
			}
			switch {
			case o.seeds < 1:
				return usagef("seeds is %d, want at least 1", o.seeds)
			case cmd.Flags().Changed("budget") && o.budget <= 0:
				return usagef("budget is %v, want a positive time, as in 30m", o.budget)
			}
			if o.anchor == "" {
				for _, name := range []string{"budget", "seeds", "out", "dry-run"} {
					if cmd.Flags().Changed(name) {
						return usagef("--%s is given, but no anchor: `%s reproduce` lists them", name, p.name)
					}
				}
				return listAnchors(cmd.Context(), p, o)
			}
			return runReproduce(cmd.Context(), p, o)
		},
	}
	var names []cobra.Completion
	for _, a := range o.anchors {
		names = append(names, cobra.CompletionWithDesc(a.name, a.title))
	}
	cmd.ValidArgsFunction = func(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
	cmd.Flags().DurationVar(&o.budget, "budget", 0, "time to train in, of all seeds together, as in 30m (default: the whole protocol)")
	cmd.Flags().IntVar(&o.seeds, "seeds", 1, "runs with the seeds 1, 2, ...")
	cmd.Flags().StringVar(&o.out, "out", "", "directory, to make or to go on with (default: runs/reproduce/ANCHOR, with -in-30m of a budget)")
	cmd.Flags().StringVar(&o.data, "data", "", "other images than the built-in MNIST, split by their own default")
	cmd.Flags().IntVar(&o.workers, "workers", 0, "goroutines that share the work of a step (0: one for each CPU)")
	cmd.Flags().BoolVar(&o.dry, "dry-run", false, "only say what would be trained, as a command, and how long it would take")
	cmd.Flags().BoolVar(&o.json, "json", false, "print the report, or the list, as JSON")
	return cmd
}

// find returns the anchor that was asked for.
func (o reproduceOptions) find(p *program) (anchor, error) {
	i := slices.IndexFunc(o.anchors, func(a anchor) bool { return a.name == o.anchor })
	if i < 0 {
		return anchor{}, usagef("unknown anchor %q; `%s reproduce` lists them", o.anchor, p.name)
	}
	return o.anchors[i], nil
}

// configOf is what an anchor trains on the chosen data.
func (o reproduceOptions) configOf(a anchor) (train.Config, error) {
	c, err := a.config()
	if o.data != "" {
		c.Data, c.Split = o.data, nil
	}
	c.Workers = o.workers
	return c, err
}

// reproduction is an anchor as it is reproduced.
type reproduction struct {
	armFits[reproducedRun]
	anchor
	config train.Config // of seed 1
	of     int          // passes of the whole protocol
}

func runReproduce(ctx context.Context, p *program, o reproduceOptions) error {
	a, err := o.find(p)
	if err != nil {
		return err
	}
	c, err := o.configOf(a)
	if err != nil {
		return err
	}
	x := &reproduction{anchor: a, config: c, of: c.Epochs, armFits: armFits[reproducedRun]{p: p, again: "reproduce " + a.name, models: oneEngine{p: p}, read: readReproduced}}
	if o.seeds > 1 {
		x.again += fmt.Sprintf(" --seeds %d", o.seeds)
	}
	if o.data != "" {
		x.again += " --data " + run.ShellPath(o.data)
	}
	if err := x.settle(&o); err != nil || o.dry {
		return err
	}
	x.plan(o.seeds)
	if err := x.run(ctx); err != nil {
		return err
	}
	return x.report(o)
}

// settle decides on the directory and on the number of passes: those of a reproduction that was
// begun, or as many as the budget allows.
func (x *reproduction) settle(o *reproduceOptions) error {
	var tried []string
	if whole := filepath.Join(reproduced, x.name); o.out != "" {
		tried = []string{o.out}
	} else if o.budget > 0 {
		tried = []string{whole + "-in-" + durationText(o.budget), whole}
	} else {
		tried = []string{whole}
	}
	for _, out := range tried {
		begun, err := begunIn[reproduceSettings](out, reproduceFile, "reproduction")
		if err != nil {
			return err
		}
		if begun == nil {
			continue
		}
		if begun.Anchor != x.name {
			return usagef("%s holds the reproduction of %s: choose another --out", out, begun.Anchor)
		}
		if begun.Data != o.data {
			return usagef("%s was begun with the data %q: give it as --data, or choose another --out", out, begun.Data)
		}
		x.out, x.config = out, x.shortened(begun.Passes)
		if o.dry {
			return x.sayDry()
		}
		return nil
	}
	if o.budget > 0 {
		if err := x.cut(o); err != nil {
			return err
		}
	}
	x.out = tried[0]
	if x.config.Epochs == x.of { // the budget is enough for all
		x.out = tried[len(tried)-1]
	}
	if o.dry {
		return x.sayDry()
	}
	if _, err := x.models.setup(x.config); err != nil { // what cannot be trained is said before anything is written
		return x.p.moved(err, o.data)
	}
	_, err := makeMarked(x.out, "", reproduceFile, reproduceSettings{Anchor: x.name, Passes: x.config.Epochs, Data: o.data})
	return err
}

// durationText is a time without parts that are zero: 30m.
func durationText(d time.Duration) string {
	text := d.String()
	for _, part := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, part) {
			text = text[:len(text)-2]
		}
	}
	return text
}

// cut cuts the protocol to what fits in the budget.
func (x *reproduction) cut(o *reproduceOptions) error {
	seconds, err := x.passSeconds()
	if err != nil {
		return err
	}
	each := o.budget.Seconds() / float64(o.seeds)
	passes := int(min(each/seconds, float64(x.of)))
	if passes < 1 {
		each := ""
		if o.seeds > 1 {
			each = fmt.Sprintf(", of which each of %d seeds has one", o.seeds)
		}
		return usagef("budget is %v, but one %s takes about %.3g s here%s: want at least %v", o.budget, x.config.PassUnit(), seconds, each,
			time.Duration(math.Ceil(seconds)*float64(o.seeds))*time.Second)
	}
	x.config = x.shortened(passes)
	return nil
}

// passSeconds measures what a pass takes.
func (x *reproduction) passSeconds() (float64, error) {
	s, err := x.models.setup(x.config)
	if err != nil {
		return 0, err
	}
	return s.EpochSeconds(x.p.now)
}

// shortened is the protocol in so many passes: what depends on their number shrinks with it.
func (x *reproduction) shortened(passes int) train.Config {
	c := x.config.Clone()
	c.Epochs = passes
	if passes == x.of {
		return c
	}
	shrink := func(n int) int {
		if n == 0 {
			return 0
		}
		return max(1, int(math.Round(float64(n)*float64(passes)/float64(x.of))))
	}
	if own, ok := c.Settings.(*train.VAESettings); ok {
		own.Warmup, own.LRWarmup = shrink(own.Warmup), shrink(own.LRWarmup)
		for i, epoch := range own.LRSteps {
			own.LRSteps[i] = shrink(epoch)
		}
	}
	return c
}

// title names what is reproduced, and says where it is cut short.
func (x *reproduction) titled() string {
	if x.config.Epochs < x.of {
		return fmt.Sprintf("%s cut to %d of %d %ss", x.name, x.config.Epochs, x.of, x.config.PassUnit())
	}
	return x.name
}

// sayDry says what would be done.
func (x *reproduction) sayDry() error {
	seconds, err := x.passSeconds()
	if err != nil {
		return err
	}
	var flags []string
	byDefault := train.DefaultConfig(x.config.Model)
	for i, option := range byDefault.Options() {
		value := x.config.Options()[i].Value.String()
		if value == option.Value.String() && option.Key != "model" || option.Key == "model" && value == train.Kinds()[0].Name {
			continue
		}
		if option.Key == "grid" {
			value = strings.ReplaceAll(value, ",", "x")
		}
		flags = append(flags, fmt.Sprintf("--%s %s", option.Key, run.ShellPath(value)))
	}
	fmt.Fprintf(x.p.stdout, "%s: %s\n", x.titled(), x.title)
	fmt.Fprintf(x.p.stdout, "%s train %s\n", x.p.name, strings.Join(flags, " "))
	fmt.Fprintf(x.p.stdout, "about %.2g minutes here, in %s\n", seconds*float64(x.config.Epochs)/60, x.out)
	x.writeSources(x.p.stdout)
	return nil
}

// plan makes an arm of each seed.
func (x *reproduction) plan(seeds int) {
	for seed := 1; seed <= seeds; seed++ {
		c := x.config.Clone()
		c.Seed = uint64(seed)
		x.arms = append(x.arms, fitted[reproducedRun]{name: fmt.Sprintf("seed-%d", seed), config: c, says: x.titled() + ", " + x.title, measure: x.measure})
	}
}

// reproducedRun is result.json of a seed.
type reproducedRun struct {
	Run        string     `json:"run"`
	Seed       uint64     `json:"seed"`
	DataSHA256 string     `json:"data_sha256"`
	Passes     int        `json:"passes"`  // that were made
	Minutes    float64    `json:"minutes"` // of training, without validation and evaluation
	Step       int64      `json:"step"`    // of the model that is scored
	Figures    []obtained `json:"figures"`
}

// obtained is a figure of a run.
type obtained struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"` // nats per image; bounds with their sign changed
	SE    float64 `json:"se"`    // over images
}

func readReproduced(text []byte) (r reproducedRun, dataSHA256 string, err error) {
	err = json.Unmarshal(text, &r)
	return r, r.DataSHA256, err
}

// measure takes the figures of the run that an arm has come to.
func (x *reproduction) measure(ctx context.Context, s *train.Setup, dir *run.Dir, stopped *train.DivergedError) (r reproducedRun, err error) {
	if stopped != nil {
		return r, stopped
	}
	metrics, err := dir.ReadMetrics()
	if err != nil {
		return r, err
	}
	state, err := x.scored(dir)
	if err != nil {
		return r, err
	}
	if err := s.Load(state); err != nil {
		return r, err
	}
	r = reproducedRun{Run: dir.Path, Seed: s.Config.Seed, DataSHA256: s.Dataset.SHA256, Passes: metrics[len(metrics)-1].Epoch, Step: state.Step}
	for _, m := range metrics {
		r.Minutes += m.Seconds / 60
	}
	scores := scores{p: x.p, s: s, bounds: map[measure]*evalReport{}, gaps: map[measure]*infer.Gap{}}
	for _, m := range x.measures() {
		e, err := scores.of(ctx, m)
		if err != nil {
			return r, err
		}
		r.Figures = append(r.Figures, obtained{m.String(), e.Value, e.SE})
	}
	return r, nil
}

// scored is the state that the protocol scores: the last, or the best on validation images.
func (x *reproduction) scored(dir *run.Dir) (*run.State, error) {
	if !x.last {
		state, _, err := dir.Best()
		if err == nil || !errors.Is(err, os.ErrNotExist) {
			return state, err
		}
	}
	state, _, passed := dir.Latest()
	if state == nil {
		return nil, errors.Join(append(passed, fmt.Errorf("%s: %w", dir.Path, train.ErrNoCheckpoint))...)
	}
	return state, nil
}

// measures are all that is measured, the published ones first.
func (a anchor) measures() []measure {
	var all []measure
	for _, f := range a.figures {
		all = append(all, f.measure)
	}
	return append(all, a.ours...)
}

// scores are those of a model, each made once.
type scores struct {
	p      *program
	s      *train.Setup
	bounds map[measure]*evalReport // by what is asked of the draws
	gaps   map[measure]*infer.Gap
}

// of returns what is measured.
func (c *scores) of(ctx context.Context, m measure) (infer.Estimate, error) {
	key := m
	key.what = ""
	v, err := (&trained{Setup: c.s}).view(m.splitOr("test"), m.limit)
	if err != nil {
		return infer.Estimate{}, err
	}
	bar := newBar(c.p)
	defer bar.done()
	if m.what.gaps() {
		if c.gaps[key] == nil {
			vae := c.s.Model.(train.Amortised).VAE()
			c.gaps[key], err = infer.MeasureGap(ctx, vae, v, infer.GapOptions{Samples: m.samples, Seed: c.s.Config.Seed, LocalQ: infer.DefaultLocalQ()}, func(what string, n int) { bar.at(what, n, v.N()) })
			if err != nil {
				return infer.Estimate{}, err
			}
		}
		if m.what == approxGap {
			return c.gaps[key].Approximation, nil
		}
		return c.gaps[key].Amortisation, nil
	}
	if c.bounds[key] == nil {
		ask := train.ScoreOptions{Samples: max(1, m.samples), Seed: c.s.Config.Seed}
		bar.assessing(&ask, v.N())
		if c.bounds[key], err = evaluate(ctx, c.s, v, m.splitOr("test"), ask); err != nil {
			return infer.Estimate{}, err
		}
	}
	switch e := c.bounds[key]; m.what {
	case costELBO:
		return infer.Estimate{Value: -e.ELBO, SE: e.ELBOSE}, nil
	case costBound:
		return infer.Estimate{Value: -e.IW.Bound, SE: e.IW.SE}, nil
	default:
		return infer.Estimate{Value: -e.LogP.Value, SE: e.LogP.SE}, nil
	}
}

func (m measure) splitOr(other string) string {
	if m.split == "" {
		return other
	}
	return m.split
}
