//go:build unix

package main

import (
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// campaign is a command that is killed again and again, and how it goes on.
type campaign struct {
	name    string
	command []string // that begins it; RUN stands for its directory
	again   []string // that goes on with it; nil: resume RUN
	marker  string   // the file of RUN that says it was begun
}

func campaigns() []campaign {
	train := func(name, flags string) campaign {
		return campaign{name: name, command: append([]string{"train", "--data", "tiny", "--workers", "2", "--out", "RUN"}, strings.Fields(flags)...), marker: "config.json"}
	}
	same := func(name, marker, command string) campaign {
		words := strings.Fields(command)
		return campaign{name, words, words, marker}
	}
	return []campaign{
		train("vae", "--binarise dynamic --hidden 16 --latent 2 --batch 32 --epochs 8 --checkpoint-every 3"),
		train("iwae", "--binarise dynamic --objective iwae --k 3 --hidden 16 --latent 2 --batch 32 --epochs 8 --checkpoint-every 3"),
		train("mixture", "--model mixture --binarise static --components 6 --epochs 12 --tolerance 0"),
		train("accelerated", "--model mixture --binarise static --components 6 --epochs 40 --accelerate"),
		train("incremental", "--model mixture --binarise static --components 6 --epochs 12 --incremental 100 --tolerance 0"),
		train("per-image", "--model mixture --binarise static --components 6 --epochs 12 --prior per-image --tolerance 0"),
		train("gaussian", "--model mixture --components 6 --epochs 12 --likelihood gaussian --tolerance 0"),
		train("restarts", "--model mixture --binarise static --components 6 --epochs 30 --restarts 3"),
		train("grid", "--model grid --binarise static --latent 2 --grid 4x4 --hidden 16 --epochs 8"),
		same("swap-vae", "config.json", "swap from-vae --grid 4x4 --epochs 8 --limit 10 --samples 10 --out RUN"),
		same("swap-grid", "config.json", "swap from-grid --epochs 6 --limit 10 --samples 10 --out RUN"),
		same("compare", compareFile, "compare --data tiny --components 4 --grid 3x3 --hidden 8 --iterations 6 --epochs 4 --limit 20 --samples 10 --workers 2 --out RUN"),
	}
}

// KILL and QUIT cannot wait, HUP, INT and TERM may. The last are two at once.
var campaignSignals = []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT}

// TestKillCampaign sends signals of all kinds at random moments, some twice in a row, to
// everything that trains, and goes on each time until it is done: what comes out is what
// comes out of the same command left alone, and no temporary file stays.
//
// ELBO_KILL_ROUNDS is how many signals it sends at least (default: a few, to three
// commands); ELBO_KILL_SEED chooses other commands and moments, ELBO_KILL_ONLY one command
// by its name.
func TestKillCampaign(t *testing.T) {
	t.Parallel()
	setting := func(name string, otherwise int) int {
		if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
			return n
		}
		return otherwise
	}
	least := setting("ELBO_KILL_ROUNDS", 16)
	if testing.Short() {
		t.Skip("the tests of single kills remain")
	}
	rng := rand.New(rand.NewPCG(uint64(setting("ELBO_KILL_SEED", 1)), 0))
	r := newRunner(t, 360)
	r.finish(r.start(strings.Fields("train --data tiny --binarise static --hidden 8 --latent 2 --epochs 1 --out from-vae")...))
	r.finish(r.start(strings.Fields("train --data tiny --binarise static --model grid --latent 2 --grid 3x3 --hidden 8 --epochs 2 --out from-grid")...))

	all := campaigns()
	if only := os.Getenv("ELBO_KILL_ONLY"); only != "" {
		all = slices.DeleteFunc(all, func(c campaign) bool { return c.name != only })
	}
	rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	took := make([]time.Duration, len(all)) // by a run left alone
	sent, rounds, failed := 0, 0, 0
	for ; sent < least; rounds++ {
		i := rounds % len(all)
		c, run := all[i], fmt.Sprintf("%s-%d", all[i].name, rounds)
		if took[i] == 0 {
			began := time.Now()
			r.finish(r.start(c.at(c.command, "alone-"+c.name)...))
			took[i] = time.Since(began)
		}
		n, story := r.killRound(rng, c, run, took[i], max(2, min(12, least-sent)))
		sent += n
		if faults := r.differences(run, "alone-"+c.name); len(faults) > 0 || strings.Contains(story, "FAULT") {
			failed++
			t.Errorf("%s:\n%s%s", run, story, strings.Join(faults, "\n"))
			continue // what it left stays until the test ends
		}
		os.RemoveAll(filepath.Join(r.dir, run))
	}
	t.Logf("%d signals, %d rounds, %d failed", sent, rounds, failed)
}

func (c campaign) at(command []string, run string) []string {
	words := slices.Clone(command)
	words[slices.Index(words, "RUN")] = run
	return words
}

// killRound begins a command and kills it at most most times, and returns how often, and what it did.
func (r *runner) killRound(rng *rand.Rand, c campaign, run string, took time.Duration, most int) (sent int, story string) {
	r.t.Helper()
	for {
		words := c.at(c.command, run)
		if _, err := os.Stat(filepath.Join(r.dir, run, c.marker)); err == nil {
			words = []string{"resume", run}
			if c.again != nil {
				words = c.at(c.again, run)
			}
		}
		p := r.start(words...)
		if sent >= most {
			if err := p.Wait(); err != nil {
				story += fmt.Sprintf("FAULT: elbo %s: %v\n%s", strings.Join(words, " "), err, &p.stderr)
			}
			return sent, story
		}
		how := r.strike(rng, p, run, took)
		ended := p.ProcessState.Sys().(syscall.WaitStatus)
		story += fmt.Sprintf("%s: %s: %v\n", words[0], how, p.ProcessState)
		switch code := ended.ExitStatus(); {
		case ended.Exited() && code == 0: // the signal came too late
			return sent, story
		case ended.Signaled() || code == exitInterrupted:
		case code == 2 && strings.Contains(how, "quit") && strings.Contains(p.stderr.String(), "goroutine "):
		default:
			return sent, story + fmt.Sprintf("FAULT: exit code %d\n%s", code, &p.stderr)
		}
		sent++
	}
}

// strike sends a signal at a random moment, waits for the end, and says what it did.
func (r *runner) strike(rng *rand.Rand, p *process, run string, took time.Duration) string {
	done := make(chan struct{})
	go func() { p.Wait(); close(done) }()
	wait := func(d time.Duration) {
		select {
		case <-done:
		case <-time.After(d):
		}
	}
	how := ""
	// Half of the signals come at any time. The others follow a change of the run's files,
	// as that is where they may do harm.
	if rng.IntN(2) == 0 {
		delay := time.Duration(rng.Float64() * float64(took) * 0.8)
		how = fmt.Sprintf("after %v ", delay)
		wait(delay)
	} else {
		changes := 1 + rng.IntN(8)
		before := r.stamp(run)
		for range changes {
			for ended := false; !ended && r.stamp(run) == before; {
				select {
				case <-done:
					ended = true
				case <-time.After(100 * time.Microsecond):
				}
			}
			before = r.stamp(run)
		}
		delay := time.Duration(rng.Float64() * float64(2*time.Millisecond))
		how = fmt.Sprintf("%v after change %d (%s) ", delay, changes, before)
		wait(delay)
	}
	signal := campaignSignals[rng.IntN(len(campaignSignals))]
	p.Process.Signal(signal) // it may have ended by itself
	how += signal.String()
	if rng.IntN(4) == 0 {
		again := campaignSignals[rng.IntN(len(campaignSignals))]
		delay := time.Duration(rng.Float64() * float64(20*time.Millisecond))
		wait(delay)
		p.Process.Signal(again)
		how += fmt.Sprintf(", %v later %v", delay, again)
	}
	select {
	case <-done:
	case <-time.After(time.Minute):
		p.Process.Signal(syscall.SIGQUIT)
		<-done
		how += " FAULT: did not end"
	}
	return how
}

// stamp changes when a file of a run comes, goes, grows or is replaced; it names the newest.
func (r *runner) stamp(run string) string {
	var newest time.Time
	name := "nothing"
	filepath.WalkDir(filepath.Join(r.dir, run), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		if info, err := d.Info(); err == nil && info.ModTime().After(newest) {
			newest, name = info.ModTime(), filepath.Base(path)
		}
		return nil
	})
	return fmt.Sprintf("%s %d", name, newest.UnixNano())
}

// differences compares two directories, but for what the clock said and for checkpoints
// before the last, which an interrupt adds.
func (r *runner) differences(run, want string) []string {
	r.t.Helper()
	files, wanted := r.tree(run), r.tree(want)
	var faults []string
	for name := range files {
		if _, ok := wanted[name]; !ok {
			faults = append(faults, fmt.Sprintf("%s has %s, %s has not", run, name, want))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		content, ok := files[name]
		switch {
		case !ok:
			faults = append(faults, fmt.Sprintf("%s lacks %s", run, name))
		case content == wanted[name]:
		case strings.HasSuffix(name, ".safetensors") || strings.HasSuffix(name, ".png"):
			faults = append(faults, name+" differs")
		default:
			faults = append(faults, fmt.Sprintf("%s is\n%s\nwant\n%s", name, content, wanted[name]))
		}
	}
	return faults
}

// tree returns the contents of the files in and below a directory.
func (r *runner) tree(root string) map[string]string {
	r.t.Helper()
	files := map[string]string{}
	last := map[string]string{} // the last checkpoint of each directory
	err := filepath.WalkDir(filepath.Join(r.dir, root), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(filepath.Join(r.dir, root), path)
		base, dir := filepath.Base(name), filepath.Dir(name)
		switch {
		case base == ".lock":
			return nil
		case base == "report.html" || base == "report.json": // seconds
			content = nil
		case base == "metrics.jsonl":
			content = []byte(clockReadings.ReplaceAllString(string(content), ""))
		case strings.HasPrefix(base, "checkpoint-"):
			if base < last[dir] {
				return nil
			}
			delete(files, filepath.Join(dir, last[dir]))
			last[dir] = base
		}
		files[name] = string(content)
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return files
}
