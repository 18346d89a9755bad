package run

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"regexp"
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

func runWithMetrics(t *testing.T, epochs int) *Dir {
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
func wantEpochs(t *testing.T, r *Dir, epochs ...int) {
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
	want := `{"epoch":1,"step":100,"train":{"recon":-72.84,"kl":24.47,"bound":-97.31},"validation":{"recon":-73,"kl":24.5,"bound":-97.5,"bound_se":0.125},"beta":1,"seconds":2.5,"images_per_second":20000,"crc32c":"bf78aeee"}
{"epoch":2,"step":200,"train":{"recon":0,"kl":0,"bound":1e-7},"beta":0,"seconds":0,"images_per_second":0,"crc32c":"a82bca71"}
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

// TestMetricsOfEarlierProgramsAreReadUnderTheirNames: earlier programs wrote note, note_kl
// and old_table, the first of them without a checksum. A key of em that nobody has
// written is damage where no checksum vouches for it.
func TestMetricsOfEarlierProgramsAreReadUnderTheirNames(t *testing.T) {
	const line = `{"epoch":3,"step":3,"train":{"recon":-9,"kl":1,"bound":-10},"beta":1,"seconds":0.5,"images_per_second":20,"em":{"%s":-12,"%s":2,"penalty":-0.5,"used":4,"%s":-10.5}}`
	bound := -10.5
	want := Metrics{Epoch: 3, Step: 3, Train: &EpochTerms{Recon: -9, KL: 1, Bound: -10}, Beta: 1, Seconds: 0.5, ImagesPerSecond: 20,
		EM: &EMTerms{PriorBound: new(-12.0), PriorKL: new(2.0), Penalty: -0.5, Used: 4, AfterMStep: &bound}}
	before := fmt.Sprintf(line, "note", "note_kl", "old_table")
	now := fmt.Sprintf(line, "prior_bound", "prior_kl", "bound_after_m_step")
	for name, text := range map[string]string{
		"before, without a checksum": before + "\n",
		"before, with a checksum":    string(sealMetrics([]byte(before))),
		"now":                        string(sealMetrics([]byte(now))),
	} {
		r := newTestRun(t)
		mustWriteFile(t, r.File(MetricsFile), text)
		got, err := r.ReadMetrics()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]Metrics{want}, got); diff != "" {
			t.Errorf("%s: -want +got\n%s", name, diff)
		}
	}
	r := newTestRun(t)
	mustWriteFile(t, r.File(MetricsFile), fmt.Sprintf(line, "nota", "note_kl", "old_table")+"\n")
	if got, err := r.ReadMetrics(); err != nil || len(got) > 0 {
		t.Errorf("a line with em.nota and no checksum is read as %v (%v), want it passed over", got, err)
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

// TestOneByteOfMetricsIsDamaged, whichever, in each of its bits: no line is read that was
// not written, at most the line and its neighbour are lost, and what is missing before a
// checkpoint is named.
func TestOneByteOfMetricsIsDamaged(t *testing.T) {
	r := runWithMetrics(t, 4)
	whole := mustReadFile(t, r.File(MetricsFile))
	isWhole := map[string]bool{}
	for line := range strings.Lines(whole) {
		isWhole[line] = true
	}
	for at := range len(whole) {
		for bit := range 8 {
			damaged := []byte(whole)
			damaged[at] ^= 1 << bit
			good := 0
			seen := map[int]bool{}
			for _, line := range parseMetricsLines(damaged) {
				if line.fault != nil {
					continue
				}
				good++
				seen[line.Epoch] = true
				if !isWhole[string(line.text)] {
					t.Fatalf("byte %d, bit %d: taken for a line: %s", at, bit, line.text)
				}
			}
			if good < 2 || good > 3 {
				t.Errorf("byte %d, bit %d: %d lines are left", at, bit, good)
			}
			if epochsBehind(4).missing(seen) == "" {
				t.Errorf("byte %d, bit %d: nothing is missing", at, bit)
			}
		}
	}
}

func epochsBehind(epochs int) Span { return Span{Unit: "epoch", First: 1, End: epochs + 1} }

// TestDamagedMetricsAreNamedAndSetAside, and the others stay as they are.
func TestDamagedMetricsAreNamedAndSetAside(t *testing.T) {
	old := func(epoch int) string {
		return fmt.Sprintf(`{"epoch":%d,"step":%d,"train":{"recon":-1,"kl":2,"bound":-3},"beta":1,"seconds":2,"images_per_second":3}`+"\n", epoch, 100*epoch)
	}
	lines := strings.SplitAfter(mustReadFile(t, runWithMetrics(t, 3).File(MetricsFile)), "\n")
	for _, test := range []struct{ line, fault string }{
		{"{\"epoch\":2,\n", "unexpected EOF"},
		{"\n", "not a JSON object"},
		{"null\n", "not a JSON object"},
		{`{"epoch":2}` + "\n", "it has no terms of training"},
		{old(2)[:len(old(2))-1] + "{}\n", "something follows the JSON object"},
		{strings.Replace(old(2), "beta", "bete", 1), `json: unknown field "bete"`},
		{old(1), "epoch 1 comes after epoch 1"},
		{strings.Replace(lines[1], "-72.84", "-12.84", 1), "its checksum says " + lines[1][len(lines[1])-11:len(lines[1])-3] + ", its bytes have "},
	} {
		r := runWithMetrics(t, 1)
		path := r.File(MetricsFile)
		mustWriteFile(t, path, lines[0]+test.line+lines[2]+"{\"epoch\":4")
		faults, err := r.MetricsFaults(epochsBehind(3))
		if err != nil {
			t.Fatal(err)
		}
		want := []string{
			path + ": line 2 is damaged: " + test.fault,
			path + ": there is no whole line of epoch 2, though the checkpoint is later",
		}
		for i := range want {
			if len(faults) != len(want) || !strings.HasPrefix(faults[i].Error(), want[i]) {
				t.Errorf("got  %v\nwant %v", faults, want)
				break
			}
		}
		wantEpochs(t, r, 1, 3)
		for range 2 { // as a crash may come between the two files
			if err := r.TruncateMetrics(4); err != nil {
				t.Fatal(err)
			}
			if got := mustReadFile(t, path); got != lines[0]+lines[2] {
				t.Errorf("%s: the file is\n%s", test.fault, got)
			}
			if got := mustReadFile(t, r.File(MetricsDamagedFile)); got != test.line {
				t.Errorf("%s: set aside is\n%s", test.fault, got)
			}
			mustWriteFile(t, path, lines[0]+test.line+lines[2])
		}
	}
}

// TestMetricsOfAnOlderProgramAreTakenAsTheyAre: they have no checksums.
func TestMetricsOfAnOlderProgramAreTakenAsTheyAre(t *testing.T) {
	r := runWithMetrics(t, 3)
	path := r.File(MetricsFile)
	file := regexp.MustCompile(`,"crc32c":"[0-9a-f]{8}"`).ReplaceAllString(mustReadFile(t, path), "")
	mustWriteFile(t, path, file)
	if faults, err := r.MetricsFaults(epochsBehind(3)); err != nil || len(faults) > 0 {
		t.Errorf("faults %v, %v", faults, err)
	}
	if err := r.AppendMetrics(exampleMetrics(4)); err != nil {
		t.Fatal(err)
	}
	wantEpochs(t, r, 1, 2, 3, 4)
	if got := mustReadFile(t, path); !strings.HasPrefix(got, file) {
		t.Errorf("the old lines are\n%s", got)
	}
}

// TestMissingMetricsAreNamed: from the first epoch to the one that a checkpoint is in; of a
// model with a table, iterations from 0.
func TestMissingMetricsAreNamed(t *testing.T) {
	em := Span{Unit: "iteration", End: 3}
	for _, test := range []struct {
		s    Span
		have []int
		want string
	}{
		{epochsBehind(3), []int{1, 2, 3}, ""},
		{epochsBehind(0), nil, ""},
		{Span{}, nil, ""},
		{epochsBehind(3), nil, "epoch 1 to 3"},
		{epochsBehind(9), []int{1, 3, 6, 7, 8}, "epoch 2, 4 to 5, 9"},
		{em, []int{0, 1, 2}, ""},
		{em, []int{1, 2, 3}, "iteration 0"},
	} {
		seen := map[int]bool{}
		for _, e := range test.have {
			seen[e] = true
		}
		if got := test.s.missing(seen); got != test.want {
			t.Errorf("lines of %v: %q is missing, want %q", test.have, got, test.want)
		}
	}
}

func TestManyDamagedLinesAreCounted(t *testing.T) {
	r := newTestRun(t)
	mustWriteFile(t, r.File(MetricsFile), strings.Repeat("\n", 1000))
	faults, err := r.MetricsFaults(Span{})
	if want := r.File(MetricsFile) + ": so are 995 more lines"; err != nil || len(faults) != 6 || faults[5].Error() != want {
		t.Errorf("got %v, %v; want 6 faults, the last %s", faults, err, want)
	}
}

func TestReadMetricsSkipsKeysOfALaterProgram(t *testing.T) {
	r := runWithMetrics(t, 1)
	path := r.File(MetricsFile)
	object := metricsSum.ReplaceAllString(mustReadFile(t, path), "}")
	mustWriteFile(t, path, string(sealMetrics([]byte(strings.Replace(object, "{", `{"colour":[1],`, 1)))))
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
		r.Files = failingOps(step, syscall.ENOSPC)
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
	want := r.File(MetricsFile) + `: metrics of epoch 2 not written: seconds is -Inf, want a finite number
train.kl is +Inf, want a finite number
validation.bound_se is NaN, want a finite number`
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	wantEpochs(t, r, 1)
}

// fullLog is a log on a disk that has room for half a line.
type fullLog struct {
	MetricsLog
	writes *int
	step   string
}

func (l fullLog) WriteAt(b []byte, at int64) (int, error) {
	*l.writes++
	if l.step == "write" {
		n, _ := l.MetricsLog.WriteAt(b[:len(b)/2], at)
		return n, syscall.ENOSPC
	}
	return l.MetricsLog.WriteAt(b, at)
}

func (l fullLog) Sync() error {
	if l.step == "sync" {
		return syscall.ENOSPC
	}
	return l.MetricsLog.Sync()
}

func TestAppendMetricsOnAFullDiskLeavesWholeLines(t *testing.T) {
	for _, step := range []string{"write", "sync"} {
		r := runWithMetrics(t, 1)
		before := mustReadFile(t, r.File(MetricsFile))
		writes := 0
		r.Files.OpenLog = func(path string) (MetricsLog, error) {
			log, err := openMetricsLog(path)
			return fullLog{log, &writes, step}, err
		}
		err := r.AppendMetrics(exampleMetrics(2))
		want := fmt.Sprintf("%s: metrics of epoch 2 not written: %s: free some space on that disk", r.File(MetricsFile), syscall.ENOSPC)
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
		var whole []byte
		for _, line := range parseMetricsLines(file) {
			whole = append(whole, line.text...)
		}
		rest, isPrefix := bytes.CutPrefix(file, whole)
		if !isPrefix || bytes.IndexByte(rest, '\n') >= 0 {
			t.Errorf("of %q the lines read are %q", file, whole)
		}
	})
}
