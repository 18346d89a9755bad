//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"elbo/cmd/elbo/internal/report"
	"elbo/train"
)

// mpirun starts so many processes of one command; more commands follow ":".
func (r *runner) mpirun(size int, args ...string) *process {
	r.t.Helper()
	cmd := exec.Command(r.openMPI(), append([]string{"--oversubscribe", "--allow-run-as-root", "-np", strconv.Itoa(size), "elbo"}, args...)...)
	return r.launch(cmd, func(p *os.Process) { p.Signal(syscall.SIGTERM) })
}

// openMPI is Open MPI's launcher, beside which there may be another's.
func (r *runner) openMPI() string { return r.launcher("openmpi-bin", "mpirun.openmpi", "mpirun") }

// launcher is the first of some programs that is installed. Where none is it skips the test, but
// not in CI.
func (r *runner) launcher(debian string, names ...string) string {
	r.t.Helper()
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("CI") != "" {
		r.t.Fatalf("%s is not installed (Debian: %s), and CI is to have it", names[0], debian)
	}
	r.t.Skipf("%s is not installed (Debian: %s)", names[0], debian)
	return ""
}

// ranks returns the processes that mpirun has started, which are its children.
func (r *runner) ranks(p *process) (pids []int) {
	r.t.Helper()
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended meanwhile
		}
		_, rest, _ := strings.Cut(string(stat), ") ")
		if fields := strings.Fields(rest); len(fields) > 1 && fields[1] == strconv.Itoa(p.Process.Pid) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			pids = append(pids, pid)
		}
	}
	return pids
}

// wantClose fails unless the newest checkpoints of two runs are of one step, and their
// parameters differ by no more than the tolerance.
func (r *runner) wantClose(got, want string, tolerance float64) {
	r.t.Helper()
	if r.newest(got) != r.newest(want) {
		r.t.Fatalf("%s ends with %s, %s with %s", got, r.newest(got), want, r.newest(want))
	}
	g, err := train.LoadCheckpoint(filepath.Join(r.dir, got, r.newest(got)))
	if err != nil {
		r.t.Fatal(err)
	}
	w, err := train.LoadCheckpoint(filepath.Join(r.dir, want, r.newest(want)))
	if err != nil {
		r.t.Fatal(err)
	}
	for i, tensor := range w.Params {
		for j, v := range tensor.Data {
			if d := math.Abs(float64(g.Params[i].Data[j] - v)); !(d <= tolerance) {
				r.t.Fatalf("%s: %s[%d] is %g, alone %g: they differ by %.2g, more than %.2g", got, tensor.Name, j, g.Params[i].Data[j], v, d, tolerance)
			}
		}
	}
}

// TestSeveralProcessesFitAsOne: of the same noise, order and outcomes sums are rounded in
// another order, and nothing else differs.
func TestSeveralProcessesFitAsOne(t *testing.T) {
	// Parameters of a VAE move by up to lr a step, 50 steps of 1e-3, and a gradient that is
	// rounded otherwise, by 2⁻²⁴ of the largest of 16 terms, changes such a step by as much of
	// it; a hundred times that where gradients cancel. Statistics of EM are sums of up to 120
	// probabilities in float32 that ten iterations pass on; log p(z) and means are of order 1.
	for _, c := range []struct {
		name      string
		flags     []string
		tolerance float64
	}{
		{"vae", []string{"--hidden", "12", "--latent", "3", "--epochs", "7", "--batch", "16"}, 100 * 50e-3 * 16 * 6e-8},
		{"iwae", []string{"--hidden", "12", "--latent", "3", "--epochs", "3", "--objective", "iwae", "--k", "3", "--batch", "16", "--prior", "exemplar", "--prior-components", "10"}, 100 * 50e-3 * 16 * 6e-8},
		{"gaussian", []string{"--hidden", "12", "--latent", "3", "--epochs", "3", "--binarise", "none", "--likelihood", "gaussian", "--batch", "16"}, 100 * 50e-3 * 16 * 6e-8},
		{"mixture", []string{"--model", "mixture", "--components", "5", "--epochs", "10", "--tolerance", "0"}, 1e-4},
		{"per-image", []string{"--model", "mixture", "--components", "5", "--epochs", "4", "--tolerance", "0", "--prior", "per-image"}, 1e-4},
		{"accelerated", []string{"--model", "mixture", "--components", "5", "--epochs", "10", "--tolerance", "0", "--accelerate"}, 1e-3},
		{"grid", []string{"--model", "grid", "--grid", "4x4", "--hidden", "10", "--epochs", "10", "--tolerance", "0"}, 100 * 200 * 2e-3 * 16 * 6e-8},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRunner(t, 120, append([]string{"--binarise", "static", "--split", "100,10"}, c.flags...)...)
			r.finish(r.start(append(r.flags, "--out", "alone")...))
			for _, size := range []int{2, 3} {
				name := fmt.Sprintf("of-%d", size)
				p := r.mpirun(size, append(r.flags, "--out", name)...)
				r.finish(p)
				r.wantClose(name, "alone", c.tolerance)
				if n := strings.Count(p.stderr.String(), "training in"); n != 1 {
					t.Errorf("%d of %d processes speak\n%s", n, size, &p.stderr)
				}
				if entries, _ := os.ReadDir(filepath.Join(r.dir, name)); len(entries) < 7 {
					t.Errorf("%s has %d files", name, len(entries))
				}
			}
		})
	}
}

// TestTheMPILibraryIsOfNoAccount: MPICH's and Open MPI's come to the same bits with two processes,
// as a sum of two does not depend on their order, and each goes on where the other has stopped.
func TestTheMPILibraryIsOfNoAccount(t *testing.T) {
	r := newRunner(t, 120, "--binarise", "static", "--hidden", "12", "--latent", "3", "--batch", "16", "--split", "100,10")
	mpich := r.launcher("mpich", "mpirun.mpich", "mpiexec.hydra")
	start := func(args ...string) *process {
		return r.launch(exec.Command(mpich, append([]string{"-np", "2", "elbo"}, args...)...), func(p *os.Process) { p.Signal(syscall.SIGTERM) })
	}
	r.finish(start(append(r.flags, "--epochs", "2", "--out", "one")...))
	r.finish(r.mpirun(2, "resume", "one", "--epochs", "4"))
	r.finish(r.mpirun(2, append(r.flags, "--epochs", "2", "--out", "other")...))
	r.finish(start("resume", "other", "--epochs", "4"))
	r.wantSameRun("one", "other")
	p := start("sample", "one")
	if err := p.Wait(); err == nil || strings.Count(p.stderr.String(), "does not share its work") != 1 {
		t.Errorf("sample ended with %v\n%s", err, &p.stderr)
	}
}

// TestProcessesScoreAsOne: what is printed and written is the same to the byte, as each image is
// scored by itself, and the sums are taken over images in their order.
func TestProcessesScoreAsOne(t *testing.T) {
	r := newRunner(t, 120, "--binarise", "static", "--hidden", "12", "--epochs", "2", "--split", "100,10")
	r.finish(r.start(append(r.flags, "--latent", "2", "--out", "plane")...))
	r.finish(r.start(append(r.flags, "--latent", "4", "--prior", "vamp", "--pseudo-inputs", "5", "--out", "vamp")...))
	r.finish(r.start(append([]string{"train", "--data", "tiny", "--binarise", "static", "--split", "100,10"}, "--model", "mixture", "--components", "5", "--restarts", "2", "--epochs", "3", "--out", "mixture")...))
	for _, c := range []struct {
		args  string
		files string
	}{
		{"eval plane --samples 50 --exact --json", ""},
		{"eval vamp --samples 9 --ais --ais-steps 20 --ais-chains 3 --ais-simulated 5 --split train", ""},
		{"eval mixture --json --split train", ""},
		{"score plane --exact --split train --out scores.csv --json", "scores.csv"},
		{"score vamp --samples 9 --against tiny --out scores.csv", "scores.csv"},
		{"gap plane --samples 20 --limit 9 --families full --out gap --json", "gap/gap.csv gap/gap.png"},
		{"gap vamp --samples 20 --limit 9 --out gap", "gap/gap.csv gap/gap.png"},
		{"compare plane vamp mixture --samples 20 --out both --json", "both/report.json both/per-image.csv both/report.html"},
	} {
		ends := func(p *process) string {
			r.finish(p)
			all := p.stdout.String()
			for _, name := range strings.Fields(c.files) {
				text, err := os.ReadFile(filepath.Join(r.dir, name))
				if err != nil {
					t.Fatal(err)
				}
				all += string(text)
			}
			for _, name := range strings.Fields(c.files) { // so that the next writes them anew
				if err := os.RemoveAll(filepath.Join(r.dir, strings.Split(name, "/")[0])); err != nil {
					t.Fatal(err)
				}
			}
			return all
		}
		args := strings.Fields(c.args)
		want := ends(r.start(args...))
		for _, size := range []int{2, 3} {
			if got := ends(r.mpirun(size, args...)); got != want {
				t.Errorf("%s: %d processes come to\n%.2000s\nalone\n%.2000s", c.args, size, got, want)
			}
		}
	}
}

// TestProcessesTrainAndCompare as one does, but for rounding, and go on where they were
// interrupted. Those that do not write need no runs.
func TestProcessesTrainAndCompare(t *testing.T) {
	r := newRunner(t, 120)
	args := strings.Fields("compare --data tiny --components 4 --grid 4x4 --hidden 8 --iterations 3 --epochs 2 --samples 5 --json --out")
	ended := func(p *process) (c report.Comparison) {
		r.finish(p)
		if err := json.Unmarshal(p.stdout.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		return c
	}
	want := ended(r.start(append(args, "alone")...))
	got := ended(r.mpirun(2, append(args, "two")...))
	for i, m := range want.Models {
		// As TestSeveralProcessesFitAsOne has it of parameters, of which a bound of 64 pixels is a sum.
		if d := math.Abs(m.ELBO.Value - got.Models[i].ELBO.Value); !(d < 64*1e-4) {
			t.Errorf("%s: two processes come to %g, one to %g", m.Name, got.Models[i].ELBO.Value, m.ELBO.Value)
		}
	}
	if err := os.RemoveAll(filepath.Join(r.dir, "two", "vae")); err != nil {
		t.Fatal(err)
	}
	again := r.mpirun(3, append(args, "two")...)
	ended(again)
	if n := strings.Count(again.stderr.String(), "done before"); n != 2 {
		t.Errorf("%d models were done before, want 2\n%s", n, &again.stderr)
	}
}

// TestARunGoesOnWithAnotherNumberOfProcesses: a checkpoint does not know of them.
func TestARunGoesOnWithAnotherNumberOfProcesses(t *testing.T) {
	const tolerance = 100 * 50e-3 * 16 * 6e-8 // as above
	r := newRunner(t, 120, "--binarise", "static", "--hidden", "12", "--latent", "3", "--batch", "16", "--split", "100,10")
	r.finish(r.start(append(r.flags, "--epochs", "6", "--out", "alone")...))
	r.finish(r.mpirun(2, append(r.flags, "--epochs", "2", "--out", "run")...))
	r.finish(r.mpirun(3, "resume", "run", "--epochs", "4"))
	r.finish(r.start("resume", "run", "--epochs", "6"))
	r.wantClose("run", "alone", tolerance)
}

// TestAKilledProcessCostsNothingButTime: the launcher ends the others; resumed with as many
// processes the run comes to the bits of one that was left alone.
func TestAKilledProcessCostsNothingButTime(t *testing.T) {
	r := newRunner(t, 120, "--binarise", "static", "--hidden", "12", "--latent", "3", "--batch", "16", "--epochs", "60", "--split", "100,10")
	r.finish(r.mpirun(2, append(r.flags, "--out", "alone")...))
	p := r.mpirun(2, append(r.flags, "--out", "run")...)
	r.waitUntil(p, "a checkpoint is saved", func() bool { return r.newest("run") != "" })
	ranks := r.ranks(p)
	if len(ranks) != 2 {
		t.Fatalf("mpirun has %d children", len(ranks))
	}
	if err := syscall.Kill(ranks[1], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(); err == nil {
		t.Fatal("the run went on without one of its processes")
	}
	r.finish(r.mpirun(2, "resume", "run"))
	r.wantSameRun("run", "alone")
}

// TestAnInterruptOfOneProcessStopsAll where a checkpoint is saved.
func TestAnInterruptOfOneProcessStopsAll(t *testing.T) {
	r := newRunner(t, 120, "--binarise", "static", "--hidden", "12", "--latent", "3", "--batch", "16", "--epochs", "100000", "--split", "100,10")
	p := r.mpirun(2, append(r.flags, "--out", "run")...)
	r.waitUntil(p, "a checkpoint is saved", func() bool { return r.newest("run") != "" })
	for _, pid := range r.ranks(p)[1:] {
		if err := syscall.Kill(pid, syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
	}
	err := p.Wait()
	if p.ProcessState.ExitCode() != exitInterrupted || !strings.Contains(p.stderr.String(), "a checkpoint is saved") {
		t.Errorf("ended with %v, want exit code %d and word of a checkpoint\n%s", err, exitInterrupted, &p.stderr)
	}
}

// TestProcessesThatDifferDoNotBegin, and say which of them differs, and in what; nothing is
// written.
func TestProcessesThatDifferDoNotBegin(t *testing.T) {
	r := newRunner(t, 120, "--binarise", "static", "--epochs", "1", "--split", "100,10")
	if err := writeDataset(filepath.Join(r.dir, "other"), 121, 8, 8); err != nil {
		t.Fatal(err)
	}
	with := func(more ...string) []string { return append(append(r.flags, "--out", "run"), more...) }
	for _, c := range []struct {
		name, want string
		args       []string
		code       int
	}{
		{"seed", "rank 1 has another configuration than rank 0", append(append(with(), ":", "-np", "1", "elbo"), with("--seed", "2")...), 1},
		{"data", "rank 1 has other data, SHA-256", append(append(with(), ":", "-np", "1", "elbo"), with("--data", "other")...), 1},
		{"missing", "rank 1: ", append(append(with(), ":", "-np", "1", "elbo"), with("--data", "nowhere")...), 3},
		{"restarts", "restarts is 2", append(with("--model", "mixture", "--restarts", "2"), ":", "-np", "1", "elbo", "train", "--data", "tiny", "--model", "mixture", "--restarts", "2", "--out", "run"), 2},
		{"nowhere", "nowhere: ", []string{"eval", "nowhere", ":", "-np", "1", "elbo", "eval", "nowhere"}, 3},
		{"sample", "does not share its work", []string{"sample", "run", ":", "-np", "1", "elbo", "sample", "run"}, 2},
		{"data info", "does not share its work", []string{"data", "info", "tiny", ":", "-np", "1", "elbo", "data", "info", "tiny"}, 2},
	} {
		p := r.mpirun(1, c.args...)
		err := p.Wait()
		text := p.stderr.String()
		if p.ProcessState.ExitCode() != c.code || strings.Count(text, c.want) == 0 {
			t.Errorf("%s: ended with %v, want %q\n%s", c.name, err, c.want, text)
		}
		if said := regexp.MustCompile(`(?m)^elbo: `).FindAllString(text, -1); len(said) != 1 {
			t.Errorf("%s: said %d times\n%s", c.name, len(said), text)
		}
		if _, err := os.Stat(filepath.Join(r.dir, "run")); err == nil {
			t.Errorf("%s: a run directory is left", c.name)
		}
	}
}
