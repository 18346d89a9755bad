package train

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func exampleMetrics(epoch int) Metrics {
	return Metrics{
		Epoch:           epoch,
		Step:            int64(100 * epoch),
		Train:           &EpochTerms{Recon: -72.84, KL: 24.47, Bound: -97.31},
		Validation:      &EpochTerms{Recon: -73, KL: 24.5, Bound: -97.5, BoundSE: 0.125},
		Beta:            1,
		Seconds:         2.5,
		ImagesPerSecond: 20000,
	}
}

func runWithMetrics(t *testing.T, epochs int) *RunDir {
	t.Helper()
	r := newTestRun(t)
	for epoch := 1; epoch <= epochs; epoch++ {
		if err := r.AppendMetrics(exampleMetrics(epoch)); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// wantEpochs checks that the metrics are those of the given epochs.
func wantEpochs(t *testing.T, r *RunDir, epochs ...int) {
	t.Helper()
	var want []Metrics
	for _, epoch := range epochs {
		want = append(want, exampleMetrics(epoch))
	}
	got, err := r.ReadMetrics()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestMetricsAreOneJSONLineAnEpoch(t *testing.T) {
	r := newTestRun(t)
	wantEpochs(t, r) // no file yet
	alone := Metrics{Epoch: 2, Step: 200, Train: &EpochTerms{Bound: 1e-7}}
	for _, m := range []Metrics{exampleMetrics(1), alone} {
		if err := r.AppendMetrics(m); err != nil {
			t.Fatal(err)
		}
	}
	want := `{"epoch":1,"step":100,"train":{"recon":-72.84,"kl":24.47,"bound":-97.31},"validation":{"recon":-73,"kl":24.5,"bound":-97.5,"bound_se":0.125},"beta":1,"seconds":2.5,"images_per_second":20000}
{"epoch":2,"step":200,"train":{"recon":0,"kl":0,"bound":1e-7},"beta":0,"seconds":0,"images_per_second":0}
`
	if got := mustReadFile(t, r.File("metrics.jsonl")); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	got, err := r.ReadMetrics()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Metrics{exampleMetrics(1), alone}, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// Whatever part of the last line a crash leaves, the lines before it are read, and
// both ways to go on leave a clean file.
func TestMetricsSurviveALineCutShortAnywhere(t *testing.T) {
	r := runWithMetrics(t, 2)
	path := r.File(MetricsFile)
	whole := mustReadFile(t, path)
	first := strings.Index(whole, "\n") + 1
	for n := first; n < len(whole); n++ {
		mustWriteFile(t, path, whole[:n])
		wantEpochs(t, r, 1)
		if err := r.AppendMetrics(exampleMetrics(2)); err != nil {
			t.Fatal(err)
		}
		if got := mustReadFile(t, path); got != whole {
			t.Fatalf("appended after %d bytes:\n%s", n, got)
		}
		mustWriteFile(t, path, whole[:n])
		if err := r.TruncateMetrics(math.MaxInt); err != nil {
			t.Fatal(err)
		}
		if got := mustReadFile(t, path); got != whole[:first] {
			t.Fatalf("truncated after %d bytes:\n%s", n, got)
		}
	}
	// A piece longer than the line that takes its place, all zeros as a disk may leave it.
	mustWriteFile(t, path, whole[:first]+strings.Repeat("\x00", 1000))
	wantEpochs(t, r, 1)
	if err := r.AppendMetrics(exampleMetrics(2)); err != nil {
		t.Fatal(err)
	}
	if got := mustReadFile(t, path); got != whole {
		t.Fatalf("appended after zeros:\n%q", got)
	}
}

func TestReadMetricsNamesABadLine(t *testing.T) {
	r := runWithMetrics(t, 3)
	path := r.File(MetricsFile)
	lines := strings.SplitAfter(mustReadFile(t, path), "\n")
	const hint = ": want one JSON object an epoch: repair or remove the line"
	for _, test := range []struct{ line, err string }{
		{"{\"epoch\":2,\n", "unexpected end of JSON input"},
		{"\n", "unexpected end of JSON input"},
		{"null\n", "not a JSON object"},
		{"{\"epoch\":2}{\"epoch\":3}\n", "invalid character '{' after top-level value"},
		{"{\"epoch\":\"2\"}\n", "json: cannot unmarshal string into Go struct field Metrics.epoch of type int"},
	} {
		mustWriteFile(t, path, lines[0]+test.line+lines[2])
		want := "train: " + path + ": line 2: " + test.err + hint
		_, readErr := r.ReadMetrics()
		for _, err := range []error{readErr, r.TruncateMetrics(2)} {
			if err == nil || err.Error() != want {
				t.Errorf("got  %v\nwant %s", err, want)
			}
		}
	}
}

func TestReadMetricsSkipsKeysOfALaterProgram(t *testing.T) {
	r := runWithMetrics(t, 1)
	path := r.File(MetricsFile)
	mustWriteFile(t, path, strings.Replace(mustReadFile(t, path), "{", `{"colour":[1],`, 1))
	wantEpochs(t, r, 1)
}

func TestTruncateMetricsDropsLaterEpochs(t *testing.T) {
	for _, test := range []struct {
		epoch int
		left  []int
	}{
		{0, nil}, {1, nil}, {2, []int{1}}, {3, []int{1, 2}}, {4, []int{1, 2, 3}}, {1000, []int{1, 2, 3}},
	} {
		r := runWithMetrics(t, 3)
		if err := r.TruncateMetrics(test.epoch); err != nil {
			t.Fatal(err)
		}
		wantEpochs(t, r, test.left...)
	}
	if err := newTestRun(t).TruncateMetrics(0); err != nil {
		t.Errorf("without a file: %v", err)
	}
}

func TestTruncateMetricsIsAllOrNothing(t *testing.T) {
	for _, step := range atomicSteps {
		r := runWithMetrics(t, 3)
		r.ops = failingOps(step, syscall.ENOSPC)
		if err := r.TruncateMetrics(2); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%s: error %v, want ENOSPC", step, err)
		}
		wantEpochs(t, r, 1, 2, 3)
		wantNames(t, r.Path, ".lock", "config.json", "metrics.jsonl")
	}
}

func TestAppendMetricsRefusesWhatJSONCannotHold(t *testing.T) {
	r := runWithMetrics(t, 1)
	m := exampleMetrics(2)
	m.Train.KL, m.Validation.BoundSE, m.Seconds = math.Inf(1), math.NaN(), math.Inf(-1)
	err := r.AppendMetrics(m)
	want := "train: " + r.File(MetricsFile) + `: metrics of epoch 2 not written: seconds is -Inf, want a finite number
train.kl is +Inf, want a finite number
validation.bound_se is NaN, want a finite number`
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	wantEpochs(t, r, 1)
}

// fullLog is a log on a disk that has room for half a line.
type fullLog struct {
	metricsLog
	writes *int
	step   string
}

func (l fullLog) WriteAt(b []byte, at int64) (int, error) {
	*l.writes++
	if l.step == "write" {
		n, _ := l.metricsLog.WriteAt(b[:len(b)/2], at)
		return n, syscall.ENOSPC
	}
	return l.metricsLog.WriteAt(b, at)
}

func (l fullLog) Sync() error {
	if l.step == "sync" {
		return syscall.ENOSPC
	}
	return l.metricsLog.Sync()
}

func TestAppendMetricsOnAFullDiskLeavesWholeLines(t *testing.T) {
	for _, step := range []string{"write", "sync"} {
		r := runWithMetrics(t, 1)
		before := mustReadFile(t, r.File(MetricsFile))
		writes := 0
		r.openLog = func(path string) (metricsLog, error) {
			log, err := openMetricsLog(path)
			return fullLog{log, &writes, step}, err
		}
		err := r.AppendMetrics(exampleMetrics(2))
		want := fmt.Sprintf("train: %s: metrics of epoch 2 not written: %s: free some space on that disk", r.File(MetricsFile), syscall.ENOSPC)
		if !errors.Is(err, syscall.ENOSPC) || err.Error() != want {
			t.Errorf("%s: got  %v\nwant %s", step, err, want)
		}
		if got := mustReadFile(t, r.File(MetricsFile)); got != before {
			t.Errorf("%s: the file holds\n%s", step, got)
		}
		if writes != 1 {
			t.Errorf("%s: %d writes for a line, want 1", step, writes)
		}
	}
}

func FuzzReadMetrics(f *testing.F) {
	f.Add([]byte(`{"epoch":1,"step":100,"train":{"recon":-72.84,"kl":24.47,"bound":-97.31}}` + "\n{"))
	f.Add([]byte("null\n"))
	f.Add([]byte("\n\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		lines, err := parseMetricsLines(file)
		if err != nil {
			return
		}
		var whole []byte
		for _, line := range lines {
			whole = append(whole, line.text...)
		}
		rest, isPrefix := bytes.CutPrefix(file, whole)
		if !isPrefix || bytes.IndexByte(rest, '\n') >= 0 {
			t.Errorf("of %q the lines read are %q", file, whole)
		}
	})
}
