package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"elbo/train"
	"elbo/train/run"
)

type resumeOptions struct {
	run    string
	epochs int    // 0: as configured
	data   string // "": as configured
	json   bool

	tensorboard bool
}

func newResumeCmd(p *program) *cobra.Command {
	var o resumeOptions
	cmd := &cobra.Command{
		Use:   "resume RUN",
		Short: "Go on with a run that was interrupted, or for more epochs",
		Long: `Go on with a run from its newest checkpoint. It comes to the same bits as the run
left alone, as long as program, machine and workers are the same; otherwise it says
what differs, and goes on.`,
		Example: "  elbo resume runs/vae-001\n  elbo resume runs/vae-001 --epochs 20",
		Args:    oneRun,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.run = args[0]
			if cmd.Flags().Changed("epochs") && o.epochs < 1 {
				return usagef("epochs is %d, want at least 1", o.epochs)
			}
			return runResume(cmd.Context(), p, o)
		},
	}
	cmd.Flags().IntVar(&o.epochs, "epochs", 0, "train up to this epoch instead of the configured one")
	cmd.Flags().StringVar(&o.data, "data", "", "where the data are now, if they were moved")
	cmd.Flags().BoolVar(&o.json, "json", false, "print the result as JSON")
	addEventsFlag(cmd, &o.tensorboard, " (default: if it has some)")
	return cmd
}

func runResume(ctx context.Context, p *program, o resumeOptions) error {
	ctx, err := p.join(ctx)
	if err != nil {
		return err
	}
	dir, newest, err := p.openToResume(o.run)
	if err != nil {
		return err
	}
	defer dir.Close()
	own, state, path, warnings := newest.config, newest.state, newest.path, newest.passed
	p.sayPassedOver(warnings)
	if train.SettingsOf[train.MixtureSettings](own).Restarts > 1 { // none of the restarts is adopted, or not wholly
		state, warnings = nil, nil
	}
	if state == nil && len(warnings) > 0 {
		return p.noCheckpoint(dir, true)
	}
	c := own
	if state != nil {
		if c, err = train.Configuration(state); err != nil {
			return err
		}
		if err := ofThisRun(dir, path, c, own); err != nil {
			return err
		}
	}
	if o.epochs > 0 {
		c.Epochs = o.epochs
	}
	if o.data != "" {
		c.Data = o.data
	}
	s, err := p.setup(c)
	if state != nil && o.data == "" {
		if found := p.foundAgain(err, c, o.run, state.Data); found != "" {
			c.Data = found
			s, err = p.setup(c)
		}
	}
	if err != nil {
		err = p.moved(err, o.data)
	}
	if err := p.agreeToFit(err, s); err != nil {
		return err
	}
	if state == nil && train.SettingsOf[train.MixtureSettings](s.Config).Restarts > 1 {
		return p.trainAndTest(ctx, s, dir, nil, trainOptions{config: c, json: o.json, tested: testedSamples, tensorboard: o.tensorboard})
	}
	if state == nil {
		p.say("%s has no checkpoint yet: starting anew", o.run)
	} else {
		if err := s.CheckData(state); err != nil {
			return err
		}
		if done := state.Epoch - 1; !s.Config.HasTable() && o.epochs > 0 && o.epochs < done {
			return usagef("%s has trained for %s already: want --epochs above that, or none to test it again", o.run, count(done, "epoch"))
		}
		if state.Epoch > c.Epochs && !s.Config.HasTable() {
			p.say("%s has trained for %s already; `%s resume %s --epochs N` trains on", o.run, count(state.Epoch-1, "epoch"), p.name, run.ShellPath(o.run))
		} else {
			p.say("resuming %s at step %d, epoch %d", path, state.Step, state.Epoch)
			p.sayWhat(s)
		}
		p.sayNumerics(s, state)
		if p.first() {
			if err := p.sayMetricsGoOn(dir, state); err != nil {
				return err
			}
		}
	}
	if err := dir.SetConfig(s.Config.JSON()); err != nil { // more epochs, or moved data
		return err
	}
	return p.trainAndTest(ctx, s, dir, state, trainOptions{config: c, json: o.json, tested: testedSamples, tensorboard: o.tensorboard})
}

// newest is where a run stands: its configuration, and its newest checkpoint that can be read.
type newest struct {
	config train.Config
	state  *run.State // nil for none
	path   string
	passed []error // why newer ones were passed over
}

// openToResume opens a run for writing, as the first of several processes, and returns where it
// stands.
func (p *program) openToResume(path string) (*run.Dir, newest, error) {
	dir, at := run.Unwritten(path, train.CheckState()), newest{}
	state, text, err := p.fromFirst(func() (*run.State, string, error) {
		opened, err := train.OpenRun(path)
		if err != nil {
			return nil, "", err
		}
		dir = opened
		state, file, passed := dir.Latest()
		at.path, at.passed = file, passed
		config, err := dir.Config()
		return state, string(config), err
	})
	if err != nil {
		dir.Close()
		return nil, at, err
	}
	at.state = state
	if at.config, err = train.ReadConfig([]byte(text)); err != nil {
		dir.Close()
		return nil, at, fmt.Errorf("%s: %w: %w", dir.File(run.ConfigFile), run.ErrDamagedConfig, err)
	}
	return dir, at, nil
}

// sayMetrics says what of a run's metrics is damaged or missing before a checkpoint, nil
// for none, and whether anything is.
func (p *program) sayMetrics(dir *run.Dir, s *run.State) (bool, error) {
	faults, err := dir.MetricsFaults(train.Behind(s))
	for _, fault := range faults {
		p.say("%v", fault)
	}
	return len(faults) > 0, err
}

// sayMetricsGoOn does so for a run that goes on, which sets damaged lines aside.
func (p *program) sayMetricsGoOn(dir *run.Dir, s *run.State) error {
	damaged, err := p.sayMetrics(dir, s)
	if damaged {
		p.say("going on without them: nothing that is trained depends on metrics; damaged lines are kept in %s", dir.File(run.MetricsDamagedFile))
	}
	return err
}

// ofThisRun fails if a checkpoint's configuration is not that of the run it lies in,
// but for what a resumed run may change.
func ofThisRun(dir *run.Dir, checkpoint string, c, own train.Config) error {
	own.Epochs, own.Data, own.Workers = c.Epochs, c.Data, c.Workers
	if vae, ok := c.Settings.(*train.VAESettings); ok && own.Model == c.Model {
		own = train.With(own, func(s *train.VAESettings) { s.CheckpointEvery = vae.CheckpointEvery })
	}
	if string(own.JSON()) != string(c.JSON()) {
		return fmt.Errorf("%s %w: its configuration is not that of %s: was it copied from another run? Move it away", checkpoint, run.ErrMismatch, dir.File(run.ConfigFile))
	}
	return nil
}

// sayNumerics says what will round otherwise than it did for the checkpoint.
func (p *program) sayNumerics(s *train.Setup, state *run.State) {
	then := map[string]string{}
	if json.Unmarshal(state.Numerics, &then) != nil {
		return
	}
	now := s.Engine.Numerics()
	if maps.Equal(then, now) {
		return
	}
	var differ []string
	for _, key := range slices.Sorted(maps.Keys(now)) { // what is not among them decides nothing here
		if was, told := then[key]; told && was != now[key] { // nor is what was of no account then
			differ = append(differ, fmt.Sprintf("%s was %q, is %q", key, was, now[key]))
		}
	}
	if len(differ) == 0 {
		return
	}
	p.say("numerics differ from the checkpoint's, so the last bits will: %s", strings.Join(differ, "; "))
}
