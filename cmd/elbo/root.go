package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"elbo/data"
	"elbo/graph"
	"elbo/train"
	"elbo/train/mpi"
	"elbo/train/run"
)

// program is what commands share: where messages and results go, and the few things
// of the outside world that they may look at.
type program struct {
	name   string     // as the user calls it, for hints
	stdout io.Writer  // results
	stderr io.Writer  // messages
	screen screen     // that stdout is
	live   bool       // stderr is a terminal: a progress bar may be drawn
	width  func() int // of that terminal, in columns, now
	now    func() time.Time
	cpus   int
	blas   string // the user's choice of a matrix product, "" for none
	mpi    string // the user's choice of an MPI library, "" for none
	launch mpi.Launch
	limit  string // how long a process may keep the others waiting, as the user says it; "": the default

	processes *processes // that share the work, nil for none

	opened []*data.Dataset
}

// run executes one command line and returns the exit code.
func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	p := &program{name: programName(args[0]), stdout: stdout, stderr: stderr, now: time.Now, cpus: runtime.GOMAXPROCS(0), blas: os.Getenv("ELBO_BLAS"), mpi: os.Getenv("ELBO_MPI"), limit: os.Getenv("ELBO_MPI_TIMEOUT")}
	p.launch, _ = mpi.Launched(os.Getenv)
	if f, ok := stderr.(*os.File); ok {
		p.live = term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb" // which cannot draw over a line
		p.width = func() int {
			columns, _, err := term.GetSize(int(f.Fd()))
			if err != nil || columns < 1 {
				return 80
			}
			return columns
		}
	}
	p.screen = screenOf(stdout, os.Getenv)
	ctx, stop := interruptible(ctx, stderr, p.now)
	defer stop()
	root := newRootCmd(p)
	root.SetArgs(args[1:])
	err := root.ExecuteContext(ctx)
	for _, ds := range p.opened { // what came of pixels that were not read is not the fault to tell
		if fault := ds.Err(); fault != nil && !isA[*data.FormatError](err) {
			err = fault
		}
	}
	err = p.leave(err)
	code := p.report(err)
	p.abort(err, code)
	return code
}

// programName is what a user types to run the program again.
func programName(arg0 string) string {
	if strings.Contains(arg0, "go-build") {
		return "go run ./cmd/elbo"
	}
	name := filepath.Base(arg0)
	if strings.Contains(arg0, string(filepath.Separator)) {
		return run.ShellPath(arg0)
	}
	return name
}

func newRootCmd(p *program) *cobra.Command {
	var version bool
	root := &cobra.Command{
		Use:   "elbo",
		Short: "Fit latent-variable models to images, and trust the numbers",
		Long: `elbo fits latent-variable models to MNIST-style images and reports their bounds
on log p(x) with standard errors, in nats per image. MNIST is built in:

  elbo train                     train a VAE; writes a run directory
  elbo eval RUN --samples 1000   its bounds on the test images
  elbo sample RUN                new images, drawn from the model

Results go to standard output, messages and progress to standard error.`,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 && version {
				return runVersion(p, false)
			}
			if len(args) == 0 {
				return cmd.Help()
			}
			hint := fmt.Sprintf("`%s --help` lists the commands", p.name)
			if does := namedOtherwise(cmd, args[0]); does != "" {
				hint = fmt.Sprintf("`%s %s` does that", p.name, does)
			} else if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
				hint = fmt.Sprintf("did you mean %q?", near[0])
			}
			return usagef("unknown command %q; %s", args[0], hint)
		},
		Args:              cobra.ArbitraryArgs,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return p.notShared(cmd) },
	}
	root.Flags().BoolVar(&version, "version", false, "print what the command version does")
	root.SuggestionsMinimumDistance = 2
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		if near := nearFlag(cmd, err); near != "" {
			return usagef("%w; did you mean --%s?", err, near)
		}
		return usagef("%w; `%s --help` lists the flags", err, p.path(cmd))
	})
	root.SetGlobalNormalizationFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		return pflag.NormalizedName(train.SpelledHere(name))
	})
	root.SetHelpCommand(newHelpCmd(p, root))
	root.AddCommand(
		newTrainCmd(p), newResumeCmd(p), newEvalCmd(p), newSampleCmd(p), newReconstructCmd(p), newPlotCmd(p),
		newEncodeCmd(p), newDecodeCmd(p), newScoreCmd(p), newInterpolateCmd(p), newTraverseCmd(p), newImputeCmd(p),
		newInspectCmd(p), newGapCmd(p), newSwapCmd(p), newCompareCmd(p), newSweepCmd(p), newReproduceCmd(p), newDataCmd(p), newExperimentCmd(p),
		newListCmd(p), newServeCmd(p), newWatchCmd(p), newPruneCmd(p), newExportCmd(p), newBenchCmd(p), newVerifyCmd(p), newVersionCmd(p), newLicencesCmd(p), newExitCodesTopic(), newTryBLASCmd(p),
	)
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), "Flags.FlagUsages ", fmt.Sprintf("Flags.FlagUsagesWrapped %d ", helpWidth)))
	complete(root)
	return root
}

// otherNames are verbs that a user may look for, and the commands that do what they say.
func otherNames() map[string][]string {
	return map[string][]string{
		"encode": {"embed"}, "decode": {"generate"}, "sample": {"generate", "dream", "draw"},
		"score": {"predict", "likelihood", "logprob", "nll"}, "eval": {"evaluate", "test", "predict", "cluster", "score", "likelihood", "logprob", "nll"},
		"train": {"fit", "learn"}, "resume": {"continue"}, "reconstruct": {"autoencode"}, "inspect": {"show", "info"},
		"compare": {"diff"}, "bench": {"benchmark"}, "verify": {"check", "selftest"}, "list": {"ls", "runs"}, "watch": {"follow", "tail", "top", "monitor"}, "prune": {"rm", "clean", "remove"},
		"impute": {"inpaint", "complete"}, "interpolate": {"morph", "walk"}, "sweep": {"tune", "search"}, "reproduce": {"replicate", "anchors"}, "export": {"onnx"}, "licences": {"licenses", "license"},
	}
}

// namedOtherwise is the command that does what a verb says that is no command, "" where there
// is none: of several the one that is named first.
func namedOtherwise(root *cobra.Command, verb string) string {
	for _, name := range []string{"encode", "decode", "score"} { // before what does it only in part
		if slices.Contains(otherNames()[name], verb) && hasCommand(root, name) {
			return name
		}
	}
	for _, cmd := range root.Commands() {
		if slices.Contains(otherNames()[cmd.Name()], verb) {
			return cmd.Name()
		}
	}
	return ""
}

func hasCommand(root *cobra.Command, name string) bool {
	return slices.ContainsFunc(root.Commands(), func(c *cobra.Command) bool { return c.Name() == name })
}

// nearFlag is the flag of a command that is nearest to the one that err says there is
// not, "" for none: one or two letters away, or with that beginning.
func nearFlag(cmd *cobra.Command, err error) string {
	unknown, is := errors.AsType[*pflag.NotExistError](err)
	if !is {
		return ""
	}
	name := unknown.GetSpecifiedName()
	if whole := unknown.GetSpecifiedShortnames(); whole != "" { // -epochs is taken for -e -p -o ...
		name, _, _ = strings.Cut(whole, "=")
	}
	if len(name) < 3 { // two letters are no hint
		return ""
	}
	// Cobra knows which names are near, but for commands alone: these are named like the flags.
	var names cobra.Command
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			names.AddCommand(&cobra.Command{Use: f.Name, Run: func(*cobra.Command, []string) {}})
		}
	})
	for names.SuggestionsMinimumDistance = range 3 {
		if near := names.SuggestionsFor(name); len(near) > 0 {
			return near[0]
		}
	}
	return ""
}

// path is a command as the user types it.
func (p *program) path(cmd *cobra.Command) string {
	return p.name + strings.TrimPrefix(cmd.CommandPath(), "elbo")
}

// newHelpCmd is cobra's help, except that an unknown topic is an error.
func newHelpCmd(p *program, root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "What a command does",
		Args:  cobra.ArbitraryArgs,
		RunE: func(_ *cobra.Command, args []string) error {
			cmd, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return usagef("no help on %q; `%s --help` lists the commands", strings.Join(args, " "), p.name)
			}
			return cmd.Help()
		},
	}
}

// oneRun is the check of commands that take a run directory.
func oneRun(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usagef("%s takes one argument, got %d: %s", cmd.Name(), len(args), cmd.UseLine())
	}
	return nil
}

// engine opens the matrix product and says, once, if the fast one cannot be had.
func (p *program) engine(workers int) *graph.Engine {
	lib, note := p.openBLAS()
	if note != "" {
		p.say("%s", note)
	}
	return graph.NewEngine(workers, lib)
}

func (p *program) setup(c train.Config) (*train.Setup, error) {
	s, err := train.NewSetup(c, p.cpus, p.engine)
	if err == nil {
		p.announce(s.Dataset)
		p.share(s)
	}
	return s, err
}

// announce says, once, what a data set left open and how it was read, and has the command end
// with an error if its files change meanwhile.
func (p *program) announce(ds *data.Dataset) {
	for _, other := range p.opened {
		if other.SHA256 == ds.SHA256 {
			return
		}
	}
	p.opened = append(p.opened, ds)
	for _, note := range ds.Notes {
		p.say("%s", note)
	}
}

// columns is the width of the terminal, 0 where there is none.
func (p *program) columns() int {
	if p.live && p.width != nil {
		return p.width()
	}
	return 0
}

// say writes a message on a line.
func (p *program) say(format string, args ...any) {
	fmt.Fprintf(p.stderr, format+"\n", args...)
}

// trained is a run, or a single checkpoint, that was opened to be used.
type trained struct {
	*train.Setup
	Path  string // of the checkpoint
	State *run.State
	other bool // the data are not those that it was trained on
}

// openTrained opens a run directory or a checkpoint file. which is "best", "last" or
// a checkpoint's path; dataPath, if not empty, stands in for the configuration's.
func (p *program) openTrained(path, which, dataPath string) (*trained, error) {
	state, file, err := p.fromFirst(func() (*run.State, string, error) { return p.loadUsed(path, which) })
	if err != nil {
		return nil, err
	}
	return p.openState(state, file, dataPath)
}

// openState makes the model of a checkpoint.
func (p *program) openState(state *run.State, file, dataPath string) (*trained, error) {
	c, err := train.Configuration(state)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return p.trainedOn(dataPath, &trained{Path: file, State: state}, "the run", c, p.engine)
}

// trainedOn makes the model of t's checkpoint with the configuration c, on the data at
// dataPath, "" for those that c names. Where it has other data than the run, it says so,
// and how they are split.
func (p *program) trainedOn(dataPath string, t *trained, of string, c train.Config, engine func(workers int) *graph.Engine) (*trained, error) {
	var err error
	if dataPath == "" {
		t.Setup, err = train.NewSetup(c, p.cpus, engine)
		if found := p.foundAgain(err, c, filepath.Dir(t.Path), t.State.Data); found != "" {
			t.Setup, err = train.NewSetupOn(found, t.State.Data, c, p.cpus, engine)
		}
	} else {
		t.Setup, err = train.NewSetupOn(dataPath, t.State.Data, c, p.cpus, engine)
	}
	if err != nil {
		return nil, p.moved(err, dataPath)
	}
	p.announce(t.Dataset)
	p.share(t.Setup)
	if err := t.Load(t.State); err != nil {
		if t.Dataset.SHA256 != t.State.Data {
			return nil, fmt.Errorf("%s %w: it has images of %d×%d with %s, and %s was trained on images of another size: want images of that size (`%s inspect` lists its tensors)", t.Dataset.Name, run.ErrMismatch, t.Dataset.Rows(), t.Dataset.Cols(), count(t.Dataset.Channels(), "channel"), of, p.name)
		}
		return nil, fmt.Errorf("%s: %w", t.Path, err)
	}
	if err := t.CheckData(t.State); err != nil {
		if dataPath == "" {
			return nil, err
		}
		t.other = true
		p.say("%s is not the data set that %s was trained on: all %s of it are taken, or with --split its %d training, %d validation and %s", dataPath, of, count(t.All.N(), "image"), t.Train.N(), t.Validation.N(), count(t.Test.N(), "test image"))
	}
	return t, nil
}

// runConfig reads the configuration that lies in a run directory.
func runConfig(dir *run.Dir) (train.Config, error) {
	text, err := dir.Config()
	if err != nil {
		return train.Config{}, err
	}
	c, err := train.ReadConfig(text)
	if err != nil {
		return c, fmt.Errorf("%s: %w: %w", dir.File(run.ConfigFile), run.ErrDamagedConfig, err)
	}
	return c, nil
}

// foundAgain looks near a run for data that it does not find in their place any more, and
// says where they are now, "" for nowhere.
func (p *program) foundAgain(err error, c train.Config, near, sha256 string) string {
	if err == nil || !errors.Is(err, os.ErrNotExist) {
		return ""
	}
	found := c.FindData(near, sha256)
	if found != "" {
		p.say("the run's data are no longer %s; the same data are found as %s", c.Data, found)
	}
	return found
}

// moved adds the next thing to try where a run's data are not in their place.
func (p *program) moved(err error, dataPath string) error {
	if dataPath == "" && errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w: the run was trained on data of that name, which are not near the run either: say where they are with --data", err)
	}
	return err
}

// loadState reads the checkpoint that path and which name. Where that is the newest one,
// passed tells why newer ones were passed over.
func (p *program) loadState(path, which string) (state *run.State, file string, passed []error, err error) {
	if info, err := os.Stat(path); err == nil && !info.IsDir() {
		s, err := train.LoadCheckpoint(path)
		return s, path, nil, err
	}
	dir, err := train.ReadRun(path)
	if err != nil {
		return nil, "", nil, err
	}
	switch which {
	case "best":
		s, file, err := dir.Best()
		if err == nil || !errors.Is(err, os.ErrNotExist) {
			return s, file, nil, err
		}
		p.say("%s has no %s yet: using the newest checkpoint", path, run.BestFile)
		fallthrough
	case "last":
		s, file, passed := dir.Latest()
		if s == nil {
			p.sayPassedOver(passed)
			return nil, "", nil, p.noCheckpoint(dir, len(passed) > 0)
		}
		return s, file, passed, nil
	}
	s, err := train.LoadCheckpoint(which)
	return s, which, nil, err
}

// loadUsed is loadState for a model whose figures will be printed: those of an older
// checkpoint must not pass for those of the newest.
func (p *program) loadUsed(path, which string) (*run.State, string, error) {
	state, file, passed, err := p.loadState(path, which)
	if len(passed) > 0 {
		return nil, "", fmt.Errorf("%w\n%s is the newest that can be read, step %d: name it if you want it, as in `%s eval %s`", errors.Join(passed...), file, state.Step, p.name, run.ShellPath(file))
	}
	return state, file, err
}

func (p *program) sayPassedOver(passed []error) {
	for _, err := range passed {
		p.say("passed over: %v", err)
	}
}

// noCheckpoint is the error of a run that has no checkpoint that can be read, and what
// can be done with it: damaged tells that there are some.
func (p *program) noCheckpoint(dir *run.Dir, damaged bool) error {
	if !damaged {
		return fmt.Errorf("%s: %w: `%s resume %s` trains it", dir.Path, train.ErrNoCheckpoint, p.name, run.ShellPath(dir.Path))
	}
	anew := fmt.Sprintf("%s train --config %s", p.name, run.ShellPath(dir.File(run.ConfigFile)))
	best, file, err := dir.Best()
	if err != nil {
		return fmt.Errorf("%s: %w: `%s --out NEW` starts anew", dir.Path, train.ErrNoCheckpoint, anew)
	}
	file = run.ShellPath(file)
	hint := fmt.Sprintf("but its best model, of step %d, can: `%s eval %s` scores it", best.Step, p.name, file)
	if c, err := runConfig(dir); err == nil && c.Network().Latent > 0 {
		anew += " --init-from " + file
		hint += fmt.Sprintf(", `%s --out NEW` goes on from there as a new run", anew)
	} else {
		hint += fmt.Sprintf(", `%s --out NEW` starts anew", anew)
	}
	return fmt.Errorf("%s: %w, %s", dir.Path, train.ErrNoCheckpoint, hint)
}
