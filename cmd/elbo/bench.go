package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"elbo/cmd/elbo/internal/bench"
	"elbo/graph"
	"elbo/graph/blas"
	"elbo/train"
)

type benchOptions struct {
	seconds float64
	only    []string
	workers int
	json    bool
}

func newBenchCmd(p *program) *cobra.Command {
	o := benchOptions{}
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "How fast this machine fits and scores models, next to what it could do",
		Long: `Measure training, EM and evaluation on the built-in MNIST, and say for each which fraction
of the roofline it reaches: the time of its matrix products in a loop of nothing but fused
multiply-adds, measured next to it in the same process and on the same cores, divided by the
time it took. The products count in full, though those with black and white images leave
the black pixels out: EM may surpass the roofline. Every row is measured in short windows, of
which the best counts. Nothing is kept.

The goals in images a second were set on a machine with 540 GFLOP/s; the goals for the
fraction are what travels. They are this program's, not yours: a share below 1 says what is
left to do here, and the exit code is 0 when everything was measured. Where other work shares
the cores, no figure is judged.

Rows: ` + strings.Join(bench.Names(), ", ") + `.`,
		Example: "  elbo bench\n  elbo bench --only vae,mixture --seconds 10 --json",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.validate(); err != nil {
				return &train.ConfigError{Err: err}
			}
			return runBench(cmd.Context(), p, o)
		},
	}
	cmd.Flags().Float64Var(&o.seconds, "seconds", 3, "seconds of measuring for each row; slow machines take longer")
	cmd.Flags().StringSliceVar(&o.only, "only", nil, "measure these rows only")
	cmd.Flags().IntVar(&o.workers, "workers", 0, "goroutines that share the work (0: one for each CPU)")
	cmd.Flags().BoolVar(&o.json, "json", false, "print one JSON object")
	cmd.Flags().SortFlags = false
	return cmd
}

// validate returns every fault.
func (o benchOptions) validate() error {
	faults := []error{bench.Validate(o.only)}
	if !(o.seconds > 0) || math.IsInf(o.seconds, 0) {
		faults = append(faults, fmt.Errorf("seconds is %g, want a positive number", o.seconds))
	}
	if o.workers < 0 {
		faults = append(faults, fmt.Errorf("workers is %d, want 0 (one for each CPU) or more", o.workers))
	}
	if o.workers > train.MaxWorkers {
		faults = append(faults, fmt.Errorf("workers is %d, want at most %d", o.workers, train.MaxWorkers))
	}
	return errors.Join(faults...)
}

// benchReport is the report of bench.
type benchReport struct {
	BLAS         string      `json:"blas"`
	BLASPath     string      `json:"blas_path,omitempty"`
	Kernel       string      `json:"kernel,omitempty"`
	Restrictions []string    `json:"restrictions,omitempty"`
	Go           string      `json:"go"`
	System       string      `json:"system"`
	CPUs         int         `json:"cpus"`
	Workers      int         `json:"workers"`
	LimitOne     float64     `json:"limit_gflops_one_core"` // of fused multiply-adds
	LimitAll     float64     `json:"limit_gflops_all_workers"`
	Stream       float64     `json:"stream_gb_s"` // read and written by a copy through memory, all workers
	SgemmOne     float64     `json:"sgemm_gflops_one_core"`
	SgemmAll     float64     `json:"sgemm_gflops_all_workers"`
	BuiltInOne   float64     `json:"built_in_gflops_one_core,omitempty"` // of the built-in product, beside another one
	BuiltInAll   float64     `json:"built_in_gflops_all_workers,omitempty"`
	Reference    float64     `json:"reference_gflops"` // of the machine of the goals
	Busy         bool        `json:"busy"`             // the machine did other work: no figure can be trusted
	Rows         []bench.Row `json:"rows"`
}

// steady is by how much the limit may vary in one run on a machine that does nothing else.
const steady = 1.25

// limits returns the least and the most GFLOP/s of fused multiply-adds on all workers.
func (r benchReport) limits() (least, most float64) {
	least, most = r.LimitAll, r.LimitAll
	for _, row := range r.Rows {
		if row.LimitGFLOPS > 0 {
			least, most = min(least, row.LimitGFLOPS), max(most, row.LimitGFLOPS)
		}
	}
	return least, most
}

func runBench(ctx context.Context, p *program, o benchOptions) error {
	if o.workers == 0 {
		o.workers = p.cpus
	}
	temp, err := os.MkdirTemp("", "elbo-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	engine := p.engine(o.workers)
	b := &bench.Bench{Seconds: o.seconds, Engine: engine, Now: p.now, Temp: temp, Start: p.startTraining(temp, o.workers)}
	report := benchReport{
		BLAS: engine.BLAS.String(), BLASPath: engine.BLAS.Path, Kernel: engine.BLAS.Kernel, Restrictions: engine.BLAS.Restrictions(os.Getenv),
		Go: runtime.Version(), System: runtime.GOOS + "/" + runtime.GOARCH, CPUs: p.cpus, Workers: o.workers, Reference: bench.ReferenceGFLOPS,
		LimitOne: b.Limit(1, o.seconds/8), LimitAll: b.Limit(o.workers, o.seconds/8), Stream: b.Stream(o.workers, o.seconds/8),
		SgemmOne: b.Sgemm(1, o.seconds/4), SgemmAll: b.Sgemm(o.workers, o.seconds/4),
	}
	if own := (&bench.Bench{Seconds: o.seconds, Engine: graph.NewEngine(o.workers, blas.BuiltIn()), Now: p.now}); !engine.BLAS.SameEverywhere() {
		report.BuiltInOne, report.BuiltInAll = own.Sgemm(1, o.seconds/4), own.Sgemm(o.workers, o.seconds/4)
	}
	if !o.json {
		report.writeMachine(p.stdout)
	}
	err = b.Measure(ctx, o.only,
		func(what string) { p.say("measuring: %s", what) },
		func(row bench.Row) { report.Rows = append(report.Rows, row) })
	if err != nil {
		return err
	}
	least, most := report.limits()
	report.Busy = most > steady*least
	if o.json {
		return writeJSON(p.stdout, report)
	}
	report.writeRows(p.stdout)
	return nil
}

func (r benchReport) writeMachine(w io.Writer) {
	library := r.BLAS
	if r.BLASPath != "" {
		library += " (" + r.BLASPath + ")"
	}
	fmt.Fprintf(w, "%s; %s %s, CPUs: %d, workers: %d\n", library, r.Go, r.System, r.CPUs, r.Workers)
	for _, line := range r.Restrictions {
		fmt.Fprintln(w, line)
	}
	fmt.Fprintf(w, "limit: %.0f GFLOP/s on one core, %.0f on all workers (fused multiply-adds); %.0f GB/s through memory\n", r.LimitOne, r.LimitAll, r.Stream)
	fmt.Fprintf(w, "sgemm: %.0f GFLOP/s on one core, %.0f on all workers\n", r.SgemmOne, r.SgemmAll)
	if r.BuiltInOne > 0 {
		fmt.Fprintf(w, "built-in product: %.0f GFLOP/s on one core, %.0f on all workers\n", r.BuiltInOne, r.BuiltInAll)
	}
}

func (r benchReport) writeRows(w io.Writer) {
	t := newTable(w, 0)
	fmt.Fprintln(t, "row\tmeasured\tgoal*\troofline\tgoal\tverdict\twhat")
	for _, row := range r.Rows {
		fraction, goal := "-", "-"
		if row.FractionGoal > 0 {
			fraction, goal = fmt.Sprintf("%.1f %%", 100*row.Fraction), fmt.Sprintf("%.1f %%", 100*row.FractionGoal)
		}
		verdict := row.Verdict
		if r.Busy {
			verdict = "-"
		}
		limit := ""
		if row.AtMost {
			limit = "≤ "
		}
		fmt.Fprintf(t, "%s\t%s %s\t%s%s\t%s\t%s\t%s\t%s\n", row.Name, benchFigure(row.Figure), row.Unit, limit, benchFigure(row.Goal), fraction, goal, verdict, row.What)
	}
	t.Flush()
	fmt.Fprintf(w, "* of a machine with %.0f GFLOP/s; the roofline is what this one would do if it did nothing but the matrix products,\n", r.Reference)
	fmt.Fprintln(w, "  a fused multiply-add in every cycle (training: 6 FLOP a weight and image, without the first layer's gradient for the pixels)")
	if r.Busy {
		least, most := r.limits()
		fmt.Fprintf(w, "the limit varied from %.0f to %.0f GFLOP/s in this run: other work shares the cores, and nothing is judged\n", least, most)
	}
}

// benchFigure writes three digits or more.
func benchFigure(v float64) string {
	if v >= 100 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.3g", v)
}

// firstEpoch is the line that ends an epoch.
var firstEpoch = regexp.MustCompile(`^ *1/\d`)

// startTraining returns a function that runs `elbo train` in a process of its own, which
// it ends after the first epoch, or after some seconds.
func (p *program) startTraining(temp string, workers int) func(ctx context.Context, seconds float64, args ...string) (float64, uint64, error) {
	return func(ctx context.Context, seconds float64, args ...string) (first float64, resident uint64, err error) {
		program, err := os.Executable()
		if err != nil {
			return 0, 0, err
		}
		out, err := os.MkdirTemp(temp, "train-")
		if err != nil {
			return 0, 0, err
		}
		cmd := exec.CommandContext(ctx, program, append([]string{"train", "--out", out, "--workers", strconv.Itoa(workers)}, args...)...)
		cmd.Args[0] = os.Args[0]
		words, err := cmd.StderrPipe()
		if err != nil {
			return 0, 0, err
		}
		began := p.now()
		if err := cmd.Start(); err != nil {
			return 0, 0, err
		}
		defer cmd.Wait() // it was killed: an error says nothing
		defer cmd.Process.Kill()
		if seconds > 0 {
			go io.Copy(io.Discard, words)
			select {
			case <-ctx.Done():
				return 0, 0, ctx.Err()
			case <-time.After(time.Duration(seconds * float64(time.Second))):
			}
			return 0, largestResident(cmd.Process.Pid), nil
		}
		last := ""
		for lines := bufio.NewScanner(words); lines.Scan(); last = lines.Text() {
			if firstEpoch.MatchString(lines.Text()) {
				return p.now().Sub(began).Seconds(), largestResident(cmd.Process.Pid), nil
			}
		}
		if ctx.Err() != nil {
			return 0, 0, ctx.Err()
		}
		return 0, 0, fmt.Errorf("`elbo train` ended before its first epoch: %s", last)
	}
}

var highWater = regexp.MustCompile(`(?m)^VmHWM:\s+(\d+) kB$`)

// largestResident is the largest resident memory that a process has had, in bytes; 0
// where the system has no /proc.
func largestResident(pid int) uint64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	found := highWater.FindSubmatch(status)
	if found == nil {
		return 0
	}
	kilobytes, _ := strconv.ParseUint(string(found[1]), 10, 64) // digits
	return kilobytes << 10
}
