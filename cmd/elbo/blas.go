package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"elbo/graph/blas"
)

// openBLAS returns the matrix product that the user chose, the program's own unless it is
// another. A library may be anything, also one that crashes or hangs whoever calls it: it is
// tried in a process of its own first.
func (p *program) openBLAS() (*blas.Library, string) {
	if blas.Opens(p.blas) {
		if err := tryInChild(p.blas); err != nil {
			return blas.BuiltIn(), err.Error()
		}
	}
	return blas.Open(p.blas)
}

// tryTimeout is for a library that hangs.
const tryTimeout = 20 * time.Second

func tryInChild(library string) error {
	ctx, cancel := context.WithTimeout(context.Background(), tryTimeout)
	defer cancel()
	self, err := os.Executable()
	if err != nil {
		return nil // then there is no child to ask
	}
	output, err := exec.CommandContext(ctx, self, "try-blas", library).Output()
	if ctx.Err() != nil {
		return fmt.Errorf("BLAS %s hangs (no answer within %v): going on with the built-in product", library, tryTimeout)
	}
	if failed, ended := errors.AsType[*exec.ExitError](err); ended {
		return fmt.Errorf("BLAS %s crashes (%v): going on with the built-in product", library, failed)
	}
	if note := strings.TrimSpace(string(output)); err == nil && note != "" {
		return errors.New(note)
	}
	return nil // also where no child can be started
}

// newTryBLASCmd is the child's side of tryInChild.
func newTryBLASCmd(p *program) *cobra.Command {
	return &cobra.Command{
		Use:    "try-blas LIBRARY",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if _, note := blas.Open(args[0]); note != "" {
				fmt.Fprintln(p.stdout, note)
			}
			return nil
		},
	}
}
