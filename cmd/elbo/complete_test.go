package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"elbo/cmd/elbo/internal/bench"
	"elbo/train"
	"elbo/train/run"
)

// TestShellsCompleteValuesAndRuns: what can be listed is listed, and a flag that train has as
// numbers is not.
func TestShellsCompleteValuesAndRuns(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, dir := range []string{"runs/vae-001", "runs/vae-002", "runs/empty"} {
		if err := os.MkdirAll(dir, 0o777); err != nil {
			t.Fatal(err)
		}
		if dir != "runs/empty" {
			if err := os.WriteFile(filepath.Join(dir, run.ConfigFile), []byte("{}"), 0o666); err != nil {
				t.Fatal(err)
			}
		}
	}
	for line, want := range map[string][]string{
		"eval ":                   {"runs/vae-001", "runs/vae-002"},
		"eval runs/":              {"runs/vae-001", "runs/vae-002"},
		"resume runs/vae-002":     {"runs/vae-002"},
		"compare ru":              {"runs/vae-001", "runs/vae-002"},
		"train --init-from r":     {"runs/vae-001", "runs/vae-002"},
		"train --likelihood ":     {"bernoulli", "continuous-bernoulli", "gaussian", "grey-bernoulli", "discretized-logistic", "discretized-logistic-mixture", "beta-binomial", "dequantised-gaussian"},
		"train --activation ":     {"relu", "tanh", "elu", "softplus"},
		"train --objective ":      {"elbo", "iwae"},
		"train --gradient ":       {"standard", "stl", "dreg"},
		"train --binarise ":       {"threshold", "static", "dynamic", "none"},
		"train --freeze ":         {"encoder", "decoder"},
		"train --prior ":          {"normal", "mixture", "vamp", "exemplar", "flow", "fixed", "shared", "per-image"},
		"train --prior-update ":   {"gradient", "em"},
		"train --posterior ":      {"diagonal", "full", "flow"},
		"train --flow ":           {"coupling", "autoregressive"},
		"train --network ":        {"dense", "gated", "conv", "residual"},
		"train --recipe ":         {"fast", "paper"},
		"train --output-bias ":    {"drawn", "data"},
		"reproduce ":              {"burda-1l-iwae5", "burda-1l-k1", "burda-2l-k1", "cremer-gaps", "jaanli", "mob-10", "mob-100", "mob-500", "pythae-vae", "pytorch-example", "vampprior"},
		"train --init ":           {"images", "kmeans++", "random"},
		"train --grid-rule ":      {"equal-mass", "gauss-hermite", "lattice"},
		"train --split ":          nil,
		"eval --split ":           {"train", "validation", "test", "all"},
		"gap --split ":            {"train", "validation", "test", "all", "both"},
		"eval --checkpoint ":      {"best", "last"},
		"bench --only ":           bench.Names(),
		"data export --binarise ": {"threshold", "static", "dynamic", "none"},
	} {
		var out strings.Builder
		p := &program{name: "elbo", stdout: &out, stderr: &strings.Builder{}}
		root := newRootCmd(p)
		root.SetArgs(append([]string{cobra.ShellCompNoDescRequestCmd}, strings.Split(line, " ")...))
		if err := root.Execute(); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		got := lines[:len(lines)-1] // the last is the directive
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}

// TestAVerbPointsToTheCommandThatDoesIt where there is one.
func TestAVerbPointsToTheCommandThatDoesIt(t *testing.T) {
	tree := func(names ...string) *cobra.Command {
		root := &cobra.Command{Use: "elbo"}
		for _, name := range names {
			root.AddCommand(&cobra.Command{Use: name})
		}
		return root
	}
	for _, c := range []struct {
		verb string
		tree *cobra.Command
		want string
	}{
		{"embed", tree("eval", "encode"), "encode"},
		{"embed", tree("eval"), ""},
		{"predict", tree("eval", "score"), "score"},
		{"predict", tree("eval"), "eval"},
		{"generate", tree("sample"), "sample"},
		{"fit", tree("train"), "train"},
		{"nonsense", tree("train", "eval", "encode"), ""},
	} {
		if got := namedOtherwise(c.tree, c.verb); got != c.want {
			t.Errorf("%s: %q, want %q", c.verb, got, c.want)
		}
	}
}

// TestHelpFitsATerminalOf80Columns, in every command.
func TestHelpFitsATerminalOf80Columns(t *testing.T) {
	var visit func(path []string, cmd *cobra.Command)
	visit = func(path []string, cmd *cobra.Command) {
		usage := cmd.UsageString()
		_, usage, _ = strings.Cut(usage, "Flags:") // examples are pasted, and may be long
		if cmd.Name() == "train" {
			_, usage, _ = strings.Cut(cmd.UsageString(), "\nData:")
		}
		for line := range strings.Lines(usage) {
			if n := len([]rune(strings.TrimRight(line, "\n"))); n > 80 {
				t.Errorf("%s: %d columns: %s", strings.Join(path, " "), n, line)
			}
		}
		for _, sub := range cmd.Commands() {
			visit(append(slices.Clone(path), sub.Name()), sub)
		}
	}
	visit([]string{"elbo"}, newRootCmd(&program{name: "elbo", stdout: &strings.Builder{}, stderr: &strings.Builder{}}))
}

// TestTrainsHelpHasAllOptionsInGroupsWithTheirDefaults.
func TestTrainsHelpHasAllOptionsInGroupsWithTheirDefaults(t *testing.T) {
	cmd, _, err := newRootCmd(&program{name: "elbo", stdout: &strings.Builder{}, stderr: &strings.Builder{}}).Find([]string{"train"})
	if err != nil {
		t.Fatal(err)
	}
	help := strings.Join(strings.Fields(cmd.UsageString()), " ")
	at := 0
	for _, want := range []string{" Data: --data PATH ", " Model: --model NAME ", "(default vae)", "(default 400; grid 200,200)", "(default 100)", " Objective: ", " EM: ", "(default 20)", " Run: --epochs N ", "(default 10; mixture and grid 100)"} {
		i := strings.Index(help[at:], want)
		if i < 0 {
			t.Fatalf("no %q after\n%s", want, help[:at])
		}
		at += i
	}
	for _, o := range train.Options() {
		f := cmd.Flags().Lookup(o.Key)
		if f == nil || !strings.Contains(f.Usage, "(default") {
			t.Errorf("--%s says nothing of its default", o.Key)
		}
	}
}
