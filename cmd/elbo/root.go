package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"elbo/graph"
	"elbo/train"
)

// program is what commands share: where words and results go, and the few things
// of the outside world that they may look at.
type program struct {
	name   string     // as the user calls it, for hints
	stdout io.Writer  // results
	stderr io.Writer  // words
	live   bool       // stderr is a terminal: a progress bar may be drawn
	width  func() int // of that terminal, in columns, now
	now    func() time.Time
	cpus   int
	blas   string // the user's choice of a matrix product, "" for none
}

// run executes one command line and returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	p := &program{name: programName(args[0]), stdout: stdout, stderr: stderr, now: time.Now, cpus: runtime.GOMAXPROCS(0), blas: os.Getenv("ELBO_BLAS")}
	if f, ok := stderr.(*os.File); ok {
		p.live = term.IsTerminal(int(f.Fd()))
		p.width = func() int {
			columns, _, err := term.GetSize(int(f.Fd()))
			if err != nil || columns < 1 {
				return 80
			}
			return columns
		}
	}
	ctx, stop := interruptible(ctx, stderr)
	defer stop()
	root := newRootCmd(p)
	root.SetArgs(args[1:])
	return p.report(root.ExecuteContext(ctx))
}

// interruptible returns a context that the first interrupt cancels, so that a run
// can finish its step and save. A second interrupt ends the program at once.
func interruptible(parent context.Context, stderr io.Writer) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		for n := 0; ; n++ {
			select {
			case <-signals:
				if n > 0 {
					os.Exit(exitInterrupted)
				}
				fmt.Fprintln(stderr, "\ninterrupted: stopping (once more to stop at once)")
				cancel()
			case <-parent.Done():
				return
			}
		}
	}()
	return ctx, func() { signal.Stop(signals); cancel() }
}

// programName is what a user types to run the program again.
func programName(arg0 string) string {
	if strings.Contains(arg0, "go-build") {
		return "go run ./cmd/elbo"
	}
	name := filepath.Base(arg0)
	if strings.Contains(arg0, string(filepath.Separator)) {
		return arg0
	}
	return name
}

func newRootCmd(p *program) *cobra.Command {
	root := &cobra.Command{
		Use:   "elbo",
		Short: "Fit latent-variable models to images, and trust the numbers",
		Long: `elbo fits latent-variable models to MNIST-style images and reports their bounds
on log p(x) with standard errors, in nats per image. MNIST is built in:

  elbo train                     train a VAE; writes a run directory
  elbo eval RUN --samples 1000   its bounds on the test images
  elbo sample RUN                images that it dreams of

Results go to standard output, words and progress to standard error.`,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			hint := fmt.Sprintf("`%s --help` lists the commands", p.name)
			if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
				hint = fmt.Sprintf("did you mean %q?", near[0])
			}
			return usagef("unknown command %q; %s", args[0], hint)
		},
		Args: cobra.ArbitraryArgs,
	}
	root.SuggestionsMinimumDistance = 2
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef("%w; `%s --help` lists the flags", err, p.path(cmd))
	})
	root.SetHelpCommand(newHelpCmd(p, root))
	root.AddCommand(
		newTrainCmd(p), newResumeCmd(p), newEvalCmd(p), newSampleCmd(p), newReconstructCmd(p),
		newInspectCmd(p), newGapCmd(p), newSwapCmd(p), newCompareCmd(p), newDataCmd(p), newExperimentCmd(p),
		newBenchCmd(p), newVerifyCmd(p), newExitCodesTopic(), newTryBLASCmd(p),
	)
	return root
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
	return train.NewSetup(c, p.cpus, p.engine)
}

// say writes a line of words.
func (p *program) say(format string, args ...any) {
	fmt.Fprintf(p.stderr, format+"\n", args...)
}

// trained is a run, or a single checkpoint, that was opened to be used.
type trained struct {
	*train.Setup
	Path  string // of the checkpoint
	State *train.State
}

// openTrained opens a run directory or a checkpoint file. which is "best", "last" or
// a checkpoint's path; dataPath, if not empty, stands in for the configuration's.
func (p *program) openTrained(path, which, dataPath string) (*trained, error) {
	state, file, err := p.loadState(path, which)
	if err != nil {
		return nil, err
	}
	c := train.DefaultConfig(train.VAEModel)
	if err := c.ReadConfig(state.Config); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if dataPath != "" {
		c.Data, c.Split, c.Limit = dataPath, nil, 0 // other data, perhaps of another size
	}
	s, err := p.setup(c)
	if err != nil {
		return nil, p.moved(err, dataPath)
	}
	if err := s.Load(state); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if err := s.CheckData(state); err != nil {
		if dataPath == "" {
			return nil, err
		}
		p.say("%s is not the data set that the run was trained on", dataPath)
	}
	return &trained{Setup: s, Path: file, State: state}, nil
}

// runConfig reads the configuration that lies in a run directory.
func runConfig(dir *train.RunDir) (train.Config, error) {
	c := train.DefaultConfig(train.VAEModel)
	text, err := dir.Config()
	if err != nil {
		return c, err
	}
	if err := c.ReadConfig(text); err != nil {
		return c, &train.ConfigError{Err: fmt.Errorf("%s: %w", dir.File(train.ConfigFile), err)}
	}
	return c, nil
}

// moved adds the next thing to try where a run's data are not in their place.
func (p *program) moved(err error, dataPath string) error {
	if dataPath == "" && errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w: the run was trained on data of that name, perhaps seen from another folder: say where they are with --data", err)
	}
	return err
}

// loadState reads the checkpoint that path and which name.
func (p *program) loadState(path, which string) (*train.State, string, error) {
	if info, err := os.Stat(path); err == nil && !info.IsDir() {
		s, err := train.LoadCheckpoint(path)
		return s, path, err
	}
	dir, err := train.ReadRun(path)
	if err != nil {
		return nil, "", err
	}
	switch which {
	case "best":
		s, file, err := dir.Best()
		if err == nil || !errors.Is(err, os.ErrNotExist) {
			return s, file, err
		}
		p.say("%s has no %s yet: using the newest checkpoint", path, train.BestFile)
		fallthrough
	case "last":
		s, file, warnings := dir.Latest()
		for _, w := range warnings {
			p.say("passed over: %v", w)
		}
		if s == nil {
			return nil, "", fmt.Errorf("%s: %w: `%s resume %s` trains it", path, train.ErrNoCheckpoint, p.name, path)
		}
		return s, file, nil
	}
	s, err := train.LoadCheckpoint(which)
	return s, which, err
}
