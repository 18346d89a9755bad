package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"elbo/train"
	"elbo/train/mpi"
	"elbo/train/run"
)

// processes are those that an MPI launcher has started to do the work of one command: they go
// through it side by side, each with its share of the images, and the first one alone writes
// files and says something.
type processes struct {
	*mpi.World
	stderr io.Writer // of a process that says nothing, for errors of its own
}

// sharedCommands are those whose work several processes can share.
var sharedCommands = []string{"train", "resume", "eval", "score", "gap", "compare"}

// join has this process work with the others that a launcher has started, if one has. The context
// that it returns is cancelled on all of them at the same point of their work.
func (p *program) join(ctx context.Context) (context.Context, error) {
	if p.launch.By == "" || p.launch.Size == 1 {
		return ctx, nil
	}
	limit := mpi.DefaultLimit
	if p.limit != "" {
		var err error
		if limit, err = time.ParseDuration(p.limit); err != nil || limit <= 0 {
			return ctx, usagef("ELBO_MPI_TIMEOUT is %q, want a time, as in 30s", p.limit)
		}
	}
	world, err := mpi.Open(mpi.Options{Library: p.mpi, By: p.launch.By, Limit: limit, Now: p.now})
	if err != nil {
		return ctx, err
	}
	if world.Size() == 1 {
		return ctx, world.Close()
	}
	p.processes = &processes{world, p.stderr}
	if world.Rank() > 0 {
		p.stdout, p.stderr, p.live = io.Discard, io.Discard, false
	}
	if p.cpus, err = p.ownCPUs(); err != nil {
		return ctx, err
	}
	shared, cancel := context.WithCancel(context.WithoutCancel(ctx))
	world.Watch(func() bool { return ctx.Err() != nil }, cancel)
	return shared, nil
}

// first reports whether this process is the one that writes: the first of several, or the only one.
func (p *program) first() bool { return p.processes == nil || p.processes.Rank() == 0 }

// ownCPUs is how many CPUs this process may keep busy: an even part of those that it shares
// with others, by what the launcher or the system binds each of them to.
func (p *program) ownCPUs() (int, error) {
	host, err := os.Hostname()
	if err != nil {
		return p.cpus, nil
	}
	type place struct {
		Host string
		CPUs []int
	}
	own := place{host, boundTo()}
	text, err := json.Marshal(own)
	if err != nil {
		return 0, err
	}
	all, err := p.processes.Gather(text)
	if err != nil {
		return 0, err
	}
	sharing := 0
	for _, text := range all {
		var other place
		if err := json.Unmarshal(text, &other); err != nil {
			return 0, err
		}
		overlap := len(own.CPUs) == 0 || slices.ContainsFunc(own.CPUs, func(cpu int) bool { return slices.Contains(other.CPUs, cpu) })
		if other.Host == host && overlap {
			sharing++
		}
	}
	return max(1, p.cpus/max(1, sharing)), nil
}

// share has a model fitted and scored by all processes.
func (p *program) share(s *train.Setup) {
	if p.processes != nil {
		s.Reducer = p.processes
	}
}

// told is what a process has to say of itself before the work begins.
type told struct {
	Fault   string // what keeps it from beginning, "" for nothing
	Code    int    // that it would end with
	Version string
	Config  string // but for what may differ
	Data    string // SHA-256
}

// agree fails on every process where one of them cannot begin, for which err is its own reason,
// or is about to do something else than the first. s is nil where err is not.
func (p *program) agree(err error, s *train.Setup) error {
	if p.processes == nil {
		return err
	}
	own := told{Version: sourceOf(debug.ReadBuildInfo()), Code: codeOf(err)}
	switch {
	case err != nil:
		own.Fault = err.Error()
	case s != nil:
		c := s.Config.Clone()
		c.Workers, c.Data = 0, ""
		own.Config, own.Data = string(c.JSON()), s.Dataset.SHA256
	}
	text, fault := json.Marshal(own)
	if fault != nil {
		return fault
	}
	all, fault := p.processes.Gather(text)
	if fault != nil {
		return fault
	}
	every := make([]told, len(all))
	for rank, text := range all {
		if fault := json.Unmarshal(text, &every[rank]); fault != nil {
			return fault
		}
	}
	if fault := disagreement(every); fault != nil {
		code := codeOf(fault)
		if i := slices.IndexFunc(every, func(t told) bool { return t.Code != 0 }); i >= 0 {
			code = every[i].Code
		}
		if err == nil {
			err = fault
		}
		return &together{err, fault, code}
	}
	if err != nil { // the same everywhere
		return &together{err, err, codeOf(err)}
	}
	return nil
}

// agreeToFit is agree before a model is fitted.
func (p *program) agreeToFit(err error, s *train.Setup) error {
	if err == nil && p.processes != nil {
		err = mayShare(s.Config)
	}
	return p.agree(err, s)
}

// disagreement says which processes cannot begin, or differ from the first, nil for none; and nil
// where all have one and the same fault, which is then no matter of processes.
func disagreement(all []told) error {
	var faults []error
	first := all[0]
	if first.Fault != "" && !slices.ContainsFunc(all, func(t told) bool { return t.Fault != first.Fault }) {
		return nil
	}
	for rank, t := range all {
		switch {
		case t.Fault != "":
			faults = append(faults, fmt.Errorf("rank %d: %s", rank, t.Fault))
		case first.Fault != "":
		case t.Version != first.Version:
			faults = append(faults, fmt.Errorf("rank %d is another elbo, %s, than rank 0, %s: install the same on every host", rank, t.Version, first.Version))
		case t.Config != first.Config:
			faults = append(faults, fmt.Errorf("rank %d has another configuration than rank 0: give every process the same flags and files", rank))
		case t.Data != first.Data:
			faults = append(faults, fmt.Errorf("rank %d has other data, SHA-256 %.12s…, than rank 0, %.12s…: copy the same files to every host", rank, t.Data, first.Data))
		}
	}
	return errors.Join(faults...)
}

// mayShare fails for what several processes cannot share.
func mayShare(c train.Config) error {
	mixture := train.SettingsOf[train.MixtureSettings](c)
	switch {
	case mixture.Restarts > 1:
		return &train.ConfigError{Err: fmt.Errorf("restarts is %d, which several processes do not share: start each restart by itself, with --restart 0, 1, ..., or all of them without MPI", mixture.Restarts)}
	case train.SettingsOf[train.VAESettings](c).FreeBits > 0:
		return &train.ConfigError{Err: errors.New("free bits are a matter of the mean over a batch, of which a process sees its own part alone: leave --free-bits out, or start it without MPI")}
	case mixture.Incremental > 0:
		return &train.ConfigError{Err: errors.New("incremental EM goes through the images batch after batch, which several processes do not share: leave --incremental out, or start it without MPI")}
	}
	return nil
}

// together is an error that every process ends with, the first of which tells it.
type together struct {
	error       // of this process
	shown error // as it is told
	code  int   // that all end with
}

func (t *together) Error() string { return t.shown.Error() }
func (t *together) Unwrap() error { return t.error }

// leave ends the work with the others, and returns what is left to report: of an error that all
// have in common the first process tells; of one of its own each process, and ends the others.
func (p *program) leave(err error) error {
	if p.processes == nil {
		return err
	}
	common := err == nil || isA[*together](err) || isA[*train.DivergedError](err) || errors.Is(err, train.ErrInterrupted) || errors.Is(err, context.Canceled)
	if common {
		return errors.Join(err, p.processes.Close())
	}
	if !p.first() {
		p.stderr = p.processes.stderr
		err = fmt.Errorf("rank %d: %w", p.processes.Rank(), err)
	}
	return err
}

// abort ends the others where the report of this process' own error is out.
func (p *program) abort(err error, code int) {
	if p.processes != nil && err != nil && !p.processes.Closed() {
		p.processes.Abort(code)
	}
}

// fromFirst returns on every process what the first one gets: a state, and a text with it.
func (p *program) fromFirst(get func() (*run.State, string, error)) (*run.State, string, error) {
	if p.processes == nil {
		return get()
	}
	var header struct {
		Text, Fault string
		Code, Bytes int
	}
	var state *run.State
	var file []byte
	var err error
	if p.first() {
		if state, header.Text, err = get(); err == nil && state != nil {
			file, err = run.Encode(state)
		}
		if err != nil {
			header.Fault, header.Code = err.Error(), codeOf(err)
		}
		header.Bytes = len(file)
	}
	text, fault := json.Marshal(header)
	if fault != nil {
		return nil, "", fault
	}
	all, fault := p.processes.Gather(text)
	if fault != nil {
		return nil, "", fault
	}
	if fault := json.Unmarshal(all[0], &header); fault != nil {
		return nil, "", fault
	}
	if header.Fault != "" {
		if err == nil {
			err = errors.New(header.Fault)
		}
		return nil, "", &together{err, err, header.Code}
	}
	if !p.first() {
		file = make([]byte, header.Bytes)
	}
	if fault := p.processes.Broadcast(file); fault != nil || len(file) == 0 || p.first() {
		return state, header.Text, fault
	}
	state, err = run.Decode(file, train.CheckState())
	return state, header.Text, err
}

// onFirst has the first process do something that is about files, and returns its error on every
// process.
func (p *program) onFirst(do func() error) error {
	_, _, err := p.fromFirst(func() (*run.State, string, error) { return nil, "", do() })
	return err
}

// fromFirstAs is fromFirst for a value that JSON can hold.
func fromFirstAs[V any](p *program, get func() (V, error)) (V, error) {
	var value V
	_, text, err := p.fromFirst(func() (*run.State, string, error) {
		v, err := get()
		if err != nil {
			return nil, "", err
		}
		text, err := json.Marshal(v)
		return nil, string(text), err
	})
	if err != nil {
		return value, err
	}
	return value, json.Unmarshal([]byte(text), &value)
}

// notShared refuses to begin a command that each process would go through by itself. The first
// process says so.
func (p *program) notShared(cmd *cobra.Command) error {
	if p.launch.By == "" || p.launch.Size == 1 || !cmd.HasParent() || slices.Contains(sharedCommands, cmd.Name()) {
		return nil
	}
	if p.launch.Rank > 0 {
		p.stderr = io.Discard
	}
	return usagef("%s is started several times by MPI, and does not share its work between processes: start it once, without a launcher (%s do)", cmd.Name(), strings.Join(sharedCommands, ", "))
}

// sourceOf is the version of the program and the revision of its source.
func sourceOf(info *debug.BuildInfo, ok bool) string {
	v := versionOf(info, ok)
	if v.Revision != "" {
		return v.Version + " " + v.Revision
	}
	return v.Version
}
