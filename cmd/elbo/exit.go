package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"elbo/data"
	"elbo/model/infer"
	"elbo/train"
	"elbo/train/run"
)

const exitInterrupted = 130

// exit is an exit code and the errors that lead to it.
type exit struct {
	code    int
	meaning string
	is      func(error) bool
}

// exits is the one table of exit codes, and of the errors that lead to each; the
// first row that an error matches decides.
var exits = []exit{
	{0, "done", func(err error) bool { return err == nil }},
	{exitInterrupted, "interrupted; a run in training has saved a checkpoint", func(err error) bool {
		return errors.Is(err, train.ErrInterrupted) || errors.Is(err, context.Canceled)
	}},
	{2, "usage: a flag, an argument or a configuration is wrong", func(err error) bool {
		return isA[*usageError](err) || isA[*train.ConfigError](err) || isA[*infer.OptionError](err) || errors.Is(err, run.ErrRunExists)
	}},
	{3, "data, checkpoint or run directory missing or damaged", func(err error) bool {
		return isA[*data.FormatError](err) || isOne(err, run.ErrNotCheckpoint, run.ErrNewerFormat, run.ErrDamaged, run.ErrDamagedConfig,
			run.ErrChecksum, run.ErrMismatch, run.ErrNotRun, train.ErrNoCheckpoint, fs.ErrNotExist)
	}},
	{4, "diverged: a bound is not finite; the last good checkpoint stands", isA[*train.DivergedError]},
	{1, "failed", func(error) bool { return true }},
}

func isA[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

func isOne(err error, targets ...error) bool {
	for _, target := range targets {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

// usageError is a command line that makes no sense.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Errorf(format, args...)}
}

// report says what went wrong and returns the exit code.
func (p *program) report(err error) int {
	code := codeOf(err)
	if err != nil && code != exitInterrupted {
		p.say("elbo: %s", strings.ReplaceAll(plainly(err), "\n", "\n      "))
	}
	return code
}

// codeOf is the exit code that an error leads to.
func codeOf(err error) int {
	if t, ok := errors.AsType[*together](err); ok {
		return t.code
	}
	for _, exit := range exits {
		if exit.is(err) {
			return exit.code
		}
	}
	return 1
}

// plainly is the text of an error without the name of the package that the data were read by:
// it says nothing to a user, to whom the file is named.
func plainly(err error) string {
	text := err.Error()
	for _, e := range formatErrors(err) {
		text = strings.ReplaceAll(text, "data: "+e.File+": ", e.File+": ")
	}
	return text
}

// formatErrors are those that err is, wraps or joins.
func formatErrors(err error) []*data.FormatError {
	if e, is := err.(*data.FormatError); is {
		return []*data.FormatError{e}
	}
	var all []*data.FormatError
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		all = formatErrors(e.Unwrap())
	case interface{ Unwrap() []error }:
		for _, one := range e.Unwrap() {
			all = append(all, formatErrors(one)...)
		}
	}
	return all
}

func newExitCodesTopic() *cobra.Command {
	var s strings.Builder
	s.WriteString("elbo ends with one of these codes:\n\n")
	for _, exit := range slices.SortedFunc(slices.Values(exits), func(a, b exit) int { return a.code - b.code }) {
		fmt.Fprintf(&s, "  %3d  %s\n", exit.code, exit.meaning)
	}
	return &cobra.Command{Use: "exit-codes", Short: "What the exit codes mean", Long: s.String()}
}
