package main

import (
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"elbo/data"
	"elbo/train"
	"elbo/train/run"
)

// TestAdoptingARestartMayStopAnywhere: a run with restarts that died while the chosen
// restart was copied, after any of the files or within one, goes on and ends as if it had
// been left alone.
func TestAdoptingARestartMayStopAnywhere(t *testing.T) {
	p, root := tinyProgram(t, io.Discard, io.Discard)
	c := train.With(train.DefaultConfig(train.MixtureModel), func(s *train.MixtureSettings) { s.Components, s.Restarts, s.Tolerance = 3, 3, 0 })
	c.Data, c.Binarise, c.Epochs, c.Workers = filepath.Join(root, "data"), data.Static, 4, 1
	s, err := p.setup(c)
	if err != nil {
		t.Fatal(err)
	}
	alone := filepath.Join(root, "alone")
	if err := runTrain(t.Context(), p, trainOptions{config: c, out: alone, json: true, tested: testedSamples}); err != nil {
		t.Fatal(err)
	}
	want := runFiles(t, alone)
	// The files in the order in which they are copied, before config.json.
	copied := []string{train.RestartsFile, run.MetricsFile, run.BestFile, "checkpoint-00000004.safetensors"}
	for n := range len(copied) + 1 {
		stopped := filepath.Join(root, "stopped")
		if err := os.RemoveAll(stopped); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(stopped, os.DirFS(alone)); err != nil {
			t.Fatal(err)
		}
		for name := range want {
			if !slices.Contains(copied[:n], name) {
				os.Remove(filepath.Join(stopped, name))
			}
		}
		next := slices.Concat(copied, []string{run.ConfigFile})[n]
		for name, content := range map[string]string{run.ConfigFile: string(s.Config.JSON()), ".elbo-tmp-0-" + next: "{"} {
			if err := os.WriteFile(filepath.Join(stopped, name), []byte(content), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		if err := runResume(t.Context(), p, resumeOptions{run: stopped, json: true}); err != nil {
			t.Errorf("stopped before %s was copied: %v", next, err)
			continue
		}
		got := runFiles(t, stopped)
		if diff := cmp.Diff(slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(got))); diff != "" {
			t.Errorf("stopped before %s was copied: files -want +got\n%s", next, diff)
		}
		for name := range want {
			if got[name] != want[name] {
				t.Errorf("stopped before %s was copied: %s differs", next, name)
			}
		}
	}
}

// runFiles returns the contents of a run's own files, but for what the clock said.
func runFiles(t *testing.T, run string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(run)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, entry := range entries {
		if entry.IsDir() {
			continue
		}
		content, err := os.ReadFile(filepath.Join(run, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[entry.Name()] = clockReadings.ReplaceAllString(string(content), "")
	}
	return files
}
