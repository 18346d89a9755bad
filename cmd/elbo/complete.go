package main

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"elbo/cmd/elbo/internal/bench"
	"elbo/train/run"
)

// complete has shells complete what can be listed: runs where a command takes one, and the
// values of flags that have the same ones in every command.
func complete(root *cobra.Command) {
	for _, cmd := range root.Commands() {
		complete(cmd)
	}
	if strings.Contains(root.Use, "RUN") && root.ValidArgsFunction == nil {
		root.ValidArgsFunction = func(_ *cobra.Command, _ []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return runsFrom(begun)
		}
	}
	splits := []cobra.Completion{"train", "validation", "test"}
	if f := root.Flags().Lookup("split"); f != nil {
		for _, word := range []string{"all", "both"} { // which some commands take
			if strings.Contains(f.Usage, word+" or ") || strings.Contains(f.Usage, "or "+word) {
				splits = append(splits, word)
			}
		}
	}
	if root.Name() != "train" { // whose split is two numbers
		fixed(root, "split", splits, cobra.ShellCompDirectiveNoFileComp)
	}
	fixed(root, "binarise", []cobra.Completion{"threshold", "static", "dynamic", "none"}, cobra.ShellCompDirectiveNoFileComp)
	fixed(root, "checkpoint", []cobra.Completion{"best", "last"}, cobra.ShellCompDirectiveDefault)
	fixed(root, "data", []cobra.Completion{"mnist"}, cobra.ShellCompDirectiveDefault)
	if root.Name() == "bench" {
		fixed(root, "only", bench.Names(), cobra.ShellCompDirectiveNoFileComp)
	}
	if root.Flags().Lookup("init-from") != nil {
		_ = root.RegisterFlagCompletionFunc("init-from", func(_ *cobra.Command, _ []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return runsFrom(begun)
		})
	}
}

// fixed sets the values of a flag, if the command has it and has not set them itself.
func fixed(cmd *cobra.Command, flag string, values []cobra.Completion, directive cobra.ShellCompDirective) {
	if cmd.Flags().Lookup(flag) != nil {
		_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, directive)) // fails where they are set
	}
}

// runsFrom are the run directories whose paths go on from begun, also those in a directory
// of that name. Where there are none, files are completed: a checkpoint, or the way to a run.
func runsFrom(begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var runs []cobra.Completion
	add := func(pattern string) {
		configs, _ := filepath.Glob(filepath.Join(pattern, run.ConfigFile)) // fails for a pattern alone
		for _, config := range configs {
			runs = append(runs, filepath.Dir(config))
		}
	}
	add(begun + "*")
	if !strings.HasSuffix(begun, string(os.PathSeparator)) {
		add(filepath.Join(begun+"*", "*"))
	}
	if len(runs) == 0 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	return runs, cobra.ShellCompDirectiveNoFileComp
}
