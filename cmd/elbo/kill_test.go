//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// runner runs the program, as processes of its own, in a directory with data.
type runner struct {
	t     *testing.T
	dir   string
	flags []string // of train
}

func newRunner(t *testing.T, images int, flags ...string) *runner {
	t.Helper()
	r := &runner{t: t, dir: t.TempDir(), flags: append([]string{"train", "--data", "tiny"}, flags...)}
	if err := writeDataset(filepath.Join(r.dir, "tiny"), images, 8, 8); err != nil {
		t.Fatal(err)
	}
	return r
}

// process is the program while it runs.
type process struct {
	*exec.Cmd
	stdout, stderr bytes.Buffer
}

func (r *runner) start(args ...string) *process {
	r.t.Helper()
	return r.launch(exec.Command("elbo", args...), func(p *os.Process) { p.Kill() }) // TestMain put it on PATH
}

// launch starts a command in the directory. A test that fails leaves nothing running: end is
// called at its end.
func (r *runner) launch(cmd *exec.Cmd, end func(*os.Process)) *process {
	r.t.Helper()
	p := &process{Cmd: cmd}
	p.Dir, p.Stdout, p.Stderr = r.dir, &p.stdout, &p.stderr
	p.Env = append(append(os.Environ(), "ELBO_BLAS="), p.Env...)
	if err := p.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { end(p.Process) })
	return p
}

// goOn starts a run, or resumes it if it was started.
func (r *runner) goOn(run string) *process {
	r.t.Helper()
	if _, err := os.Stat(filepath.Join(r.dir, run, "config.json")); err == nil {
		return r.start("resume", run)
	}
	return r.start(append(r.flags, "--out", run)...)
}

// kill ends the program as a power cut would.
func (r *runner) kill(p *process) {
	p.Process.Kill() // it may have ended by itself
	p.Wait()
}

// waitUntil waits for what a program does.
func (r *runner) waitUntil(p *process, what string, holds func() bool) {
	r.t.Helper()
	if err := waitUntil(what, holds); err != nil {
		r.kill(p)
		r.t.Fatalf("elbo %s: %v\n%s", strings.Join(p.Args[1:], " "), err, &p.stderr)
	}
}

// finish waits for the program's end and fails unless it is a good one.
func (r *runner) finish(p *process) {
	r.t.Helper()
	if err := p.Wait(); err != nil {
		r.t.Fatalf("elbo %s: %v\n%s", strings.Join(p.Args[1:], " "), err, &p.stderr)
	}
}

// newest is the name of the newest checkpoint of a run, "" for none.
func (r *runner) newest(run string) string {
	names, _ := filepath.Glob(filepath.Join(r.dir, run, "checkpoint-*.safetensors"))
	if len(names) == 0 {
		return ""
	}
	return filepath.Base(slices.Max(names)) // steps have leading zeros
}

// files returns the contents of all files of a run, but for what the clock said.
func (r *runner) files(run string) map[string]string {
	r.t.Helper()
	entries, err := os.ReadDir(filepath.Join(r.dir, run))
	if err != nil {
		r.t.Fatal(err)
	}
	files := map[string]string{}
	for _, entry := range entries {
		content, err := os.ReadFile(filepath.Join(r.dir, run, entry.Name()))
		if err != nil {
			r.t.Fatal(err)
		}
		files[entry.Name()] = string(content)
	}
	files["metrics.jsonl"] = clockReadings.ReplaceAllString(files["metrics.jsonl"], "")
	return files
}

// wantSameRun compares two runs file by file: checkpoints, the best state, the
// configuration, metrics and pictures, and that neither has a file the other lacks.
func (r *runner) wantSameRun(got, want string) {
	r.t.Helper()
	files, wanted := r.files(got), r.files(want)
	if diff := cmp.Diff(slices.Sorted(maps.Keys(wanted)), slices.Sorted(maps.Keys(files))); diff != "" {
		r.t.Fatalf("files of %s (-) and %s (+):\n%s", want, got, diff)
	}
	for name, content := range wanted {
		if files[name] == content {
			continue
		}
		diff := "(binary)"
		if filepath.Ext(name) == ".jsonl" {
			diff = cmp.Diff(content, files[name])
		}
		r.t.Errorf("%s of %s (-) and %s (+) differ:\n%s", name, want, got, diff)
	}
}

// TestResumeAfterKillIsBitIdentical kills a run at random moments, again and again:
// before the first checkpoint and between others, in the middle of writing files, of
// an epoch, of a validation. What comes out is the run that was left alone.
func TestResumeAfterKillIsBitIdentical(t *testing.T) {
	t.Parallel()
	kills := 16
	if testing.Short() {
		kills = 4
	}
	// 20 epochs of 27 steps have 4 checkpoints each, at 7, 14, 21 and at their ends.
	const last = "checkpoint-00000540.safetensors"
	r := newRunner(t, 512, "--binarise", "dynamic", "--hidden", "16", "--latent", "2", "--batch", "16", "--epochs", "20",
		"--checkpoint-every", "7", "--workers", "2", "--seed", "5")
	began := time.Now()
	r.finish(r.start(append(r.flags, "--out", "alone")...))
	took := time.Since(began)
	if got := r.newest("alone"); got != last {
		t.Fatalf("the run left alone ends with %s, want %s", got, last)
	}

	rng := rand.New(rand.NewPCG(20, 26))
	seen := map[string]bool{} // the newest checkpoint at each kill
	for n := range kills {
		p := r.goOn("killed")
		// Every fourth process is killed early, perhaps before it has opened the run.
		// The others write 1, 2 or 3 of the 80 checkpoints and are then killed within
		// a twentieth of the run, so that its end is far for most of them.
		delay := 20 * time.Millisecond
		for range n % 4 {
			before := r.newest("killed")
			r.waitUntil(p, "a checkpoint after "+before, func() bool { return before == last || r.newest("killed") != before })
			delay = took / 20
		}
		time.Sleep(time.Duration(rng.Float64() * float64(delay)))
		r.kill(p)
		if status := p.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() {
			t.Logf("kill %d came too late: %v", n+1, p.ProcessState)
			continue
		}
		seen[r.newest("killed")] = true
	}
	t.Logf("killed at %q", slices.Sorted(maps.Keys(seen)))
	if len(seen) < kills/2 {
		t.Fatalf("%d kills found the run at only %d places: too few to prove much", kills, len(seen))
	}
	r.finish(r.goOn("killed"))
	r.wantSameRun("killed", "alone")
}

// TestInterruptSavesACheckpointAndExits130: an interrupt within an epoch ends the run
// after the step, with a checkpoint of that very step; going on comes to the same bits.
func TestInterruptSavesACheckpointAndExits130(t *testing.T) {
	t.Parallel()
	const images, batch, steps = 1707, 16, 107 // of an epoch: 2048 - 2048/6 images
	r := newRunner(t, 2048, "--binarise", "static", "--hidden", "256", "--latent", "3", "--batch", "16", "--epochs", "20", "--workers", "1")
	r.finish(r.start(append(r.flags, "--out", "alone")...))

	for _, sent := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		if signal.Ignored(sent) {
			continue // under nohup a hangup is no interrupt, for the program as for this test
		}
		run := "interrupted-" + strconv.Itoa(int(sent))
		within := false // an epoch
		for tries := 0; !within; tries++ {
			if tries == 8 {
				t.Fatalf("%v: none of %d interrupts came within an epoch", sent, tries)
			}
			p := r.goOn(run)
			before := r.newest(run)
			r.waitUntil(p, "the end of an epoch", func() bool { return r.newest(run) != before })
			time.Sleep(2 * time.Millisecond) // the next epoch takes longer than this
			if err := p.Process.Signal(sent); err != nil {
				t.Fatal(err)
			}
			p.Wait()
			if p.ProcessState.Success() { // it was done before the interrupt came
				if err := os.RemoveAll(filepath.Join(r.dir, run)); err != nil {
					t.Fatal(err)
				}
				continue
			}
			r.wantInterrupted(p, run)

			at := r.inspect(run)
			within = at.Position > 0 && at.Position < images
			if want := (at.Epoch-1)*steps + (at.Position+batch-1)/batch; at.Step != want {
				t.Errorf("%v: the checkpoint is of step %d, want %d after %d images of epoch %d", sent, at.Step, want, at.Position, at.Epoch)
			}
		}
		r.finish(r.goOn(run))
		r.wantSameRun(run, "alone")
	}
}

// TestAnInterruptSavesThoughNobodyReadsWords: of `elbo train 2>&1 | tee log` the interrupt
// ends tee first, and words into a broken pipe end a program.
func TestAnInterruptSavesThoughNobodyReadsWords(t *testing.T) {
	t.Parallel()
	// An epoch of 3414 steps and no line of words before its end.
	r := newRunner(t, 8192, "--binarise", "static", "--hidden", "8", "--latent", "2", "--batch", "2", "--epochs", "1", "--checkpoint-every", "20", "--workers", "1")
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{Cmd: exec.Command("elbo", append(r.flags, "--out", "run")...)}
	p.Dir, p.Stderr, p.Env = r.dir, write, append(os.Environ(), "ELBO_BLAS=")
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	write.Close()
	r.waitUntil(p, "a checkpoint", func() bool { return r.newest("run") != "" })
	read.Close()
	if err := p.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	p.Wait()
	if code := p.ProcessState.ExitCode(); code != exitInterrupted {
		t.Errorf("%v, want exit code %d", p.ProcessState, exitInterrupted)
	}
}

func (r *runner) wantInterrupted(p *process, run string) {
	r.t.Helper()
	if code := p.ProcessState.ExitCode(); code != 130 {
		r.t.Fatalf("exit code %d, want 130\n%s", code, &p.stderr)
	}
	want := "interrupted; a checkpoint is saved. Go on with: elbo resume " + run + "\n"
	if !strings.HasSuffix(p.stderr.String(), want) {
		r.t.Errorf("the last words are not %q:\n%s", want, &p.stderr)
	}
	if p.stdout.Len() > 0 {
		r.t.Errorf("an interrupted run has results:\n%s", &p.stdout)
	}
}

// place is where a checkpoint stands.
type place struct{ Step, Epoch, Position int }

func (r *runner) inspect(run string) place {
	r.t.Helper()
	p := r.start("inspect", run, "--json")
	r.finish(p)
	var at place
	if err := json.Unmarshal(p.stdout.Bytes(), &at); err != nil {
		r.t.Fatal(err)
	}
	return at
}
