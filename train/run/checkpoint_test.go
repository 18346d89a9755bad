package run

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"elbo/train/safetensors"
)

// sameFloat32Bits tells NaN payloads and the two zeros apart.
var sameFloat32Bits = cmp.Comparer(func(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) })

// safetensorsFile puts a file together by hand.
func safetensorsFile(header string, data ...byte) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), data...)
}

func decodeSafetensorsBytes(b []byte) ([]safetensors.Tensor, map[string]string, error) {
	return safetensors.Decode(bytes.NewReader(b), int64(len(b)))
}

// exampleState has every field set, and numbers that a careless format would round.
func exampleState() *State {
	return &State{
		Step:     4000,
		Epoch:    9,
		Position: 300,
		Sums:     Sums{Images: 300, Recon: -21852.1 - 1e-11, KL: 1. / 3, Bound: math.Copysign(0, -1)},
		Best:     &Best{Bound: -97.31000000000002, Epoch: 8, Step: 3750},
		Config:   json.RawMessage("{\"seed\": 18446744073709551615,\n \"model\": \"vae\"}"),
		Data:     "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
		Numerics: json.RawMessage(`{"go":"go1.26","arch":"amd64"}`),
		Params: []safetensors.Tensor{
			{Name: "encoder.0.weight", Shape: []int{2, 3}, Data: []float32{1, -2, 0.1, math.SmallestNonzeroFloat32, math.MaxFloat32, 0}},
			{Name: "encoder.0.bias", Shape: []int{2}, Data: []float32{float32(math.Copysign(0, -1)), 7}},
		},
		Moments: []safetensors.Tensor{
			{Name: "adam.m.encoder.0.weight", Shape: []int{2, 3}, Data: []float32{1, 2, 3, 4, 5, 6}},
			{Name: "adam.v.encoder.0.weight", Shape: []int{2, 3}, Data: []float32{6, 5, 4, 3, 2, 1}},
		},
	}
}

func checkpointBytes(t testing.TB, s *State) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := writeCheckpoint(&b, s); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func readCheckpointBytes(b []byte) (*State, error) {
	return readCheckpoint(bytes.NewReader(b), int64(len(b)))
}

// sameFloatBits tells the two zeros apart; no NaN gets into a state.
var sameFloatBits = cmp.Comparer(func(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) })

func diffStates(want, got *State) string {
	return cmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.IgnoreFields(State{}, "FileSHA256"), sameFloatBits, sameFloat32Bits)
}

func TestCheckpointRoundTripIsByteForByte(t *testing.T) {
	dir := t.TempDir()
	path, again := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	if err := Save(path, exampleState()); err != nil {
		t.Fatal(err)
	}
	s, err := Load(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := diffStates(exampleState(), s); diff != "" {
		t.Errorf("-saved +loaded\n%s", diff)
	}
	if err := Save(again, s); err != nil {
		t.Fatal(err)
	}
	if mustReadFile(t, path) != mustReadFile(t, again) {
		t.Error("saving what was loaded changed the file")
	}
}

func TestCheckpointRoundTripKeepsEveryFiniteNumber(t *testing.T) {
	float := rapid.Custom(func(t *rapid.T) float64 {
		v := math.Float64frombits(rapid.Uint64().Draw(t, "bits"))
		if !checkpointFinite(v) {
			return 0
		}
		return v
	})
	value := rapid.Custom(func(t *rapid.T) float32 {
		v := math.Float32frombits(rapid.Uint32().Draw(t, "bits"))
		if !checkpointFinite(float64(v)) {
			return 0
		}
		return v
	})
	rapid.Check(t, func(t *rapid.T) {
		s := &State{
			Step:     rapid.Int64Min(0).Draw(t, "step"),
			Epoch:    rapid.IntMin(1).Draw(t, "epoch"),
			Position: rapid.IntMin(1).Draw(t, "position"),
			Sums:     Sums{Images: float.Draw(t, "images"), Recon: float.Draw(t, "recon"), KL: float.Draw(t, "kl"), Bound: float.Draw(t, "bound")},
			Data:     rapid.String().Draw(t, "data"),
			Params:   []safetensors.Tensor{{Name: "p", Shape: []int{3}, Data: rapid.SliceOfN(value, 3, 3).Draw(t, "p")}},
		}
		if rapid.Bool().Draw(t, "by EM") {
			objective := float.Draw(t, "objective")
			s.Position, s.Sums, s.Objective = 0, Sums{}, &objective
			s.MStep = MStep{Reseeded: rapid.IntMin(0).Draw(t, "reseeded"), Shorter: float.Draw(t, "shorter"), Bound: &objective}
			s.Tables = []safetensors.Tensor{{Name: PriorTable, Shape: []int{2}, Data: rapid.SliceOfN(value, 2, 2).Draw(t, "table")}}
		}
		if rapid.Bool().Draw(t, "has best") {
			s.Best = &Best{float.Draw(t, "best"), rapid.IntMin(0).Draw(t, "best epoch"), rapid.Int64Min(0).Draw(t, "best step")}
		}
		var file bytes.Buffer
		if err := writeCheckpoint(&file, s); err != nil {
			t.Fatal(err)
		}
		got, err := readCheckpointBytes(file.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if diff := diffStates(s, got); diff != "" {
			t.Fatalf("-saved +loaded\n%s", diff)
		}
	})
}

// The fixture is a file of format 1 as it has always been. A change that breaks this
// test breaks every checkpoint there is: it needs a new FormatVersion, a fixture of
// its own, and this one still loading.
func TestCheckpointFormat1HasNotChanged(t *testing.T) {
	fixture := filepath.Join("testdata", "checkpoint-format1.safetensors")
	s, err := Load(fixture, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := diffStates(exampleState(), s); diff != "" {
		t.Errorf("-want +loaded\n%s", diff)
	}
	if got := checkpointBytes(t, exampleState()); string(got) != mustReadFile(t, fixture) {
		t.Errorf("the example state is now written as\n%q", got)
	}
}

func TestCheckpointHeaderIsAsDocumented(t *testing.T) {
	_, metadata, err := decodeSafetensorsBytes(checkpointBytes(t, exampleState()))
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"elbo.sha256", "elbo.header_sha256"} { // their values: the fixture
		if len(metadata[key]) != 64 {
			t.Errorf("%s is %q", key, metadata[key])
		}
		delete(metadata, key)
	}
	want := map[string]string{
		"elbo.format":      "1",
		"elbo.step":        "4000",
		"elbo.epoch":       "9",
		"elbo.position":    "300",
		"elbo.sums.images": "300",
		"elbo.sums.recon":  "-21852.10000000001",
		"elbo.sums.kl":     "0.3333333333333333",
		"elbo.sums.bound":  "-0",
		"elbo.best.bound":  "-97.31000000000002",
		"elbo.best.epoch":  "8",
		"elbo.best.step":   "3750",
		"elbo.config":      "{\"seed\": 18446744073709551615,\n \"model\": \"vae\"}",
		"elbo.data":        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
		"elbo.numerics":    `{"go":"go1.26","arch":"amd64"}`,
	}
	if diff := cmp.Diff(want, metadata); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// isKnownFault says whether a caller can tell what is wrong from the error alone.
func isKnownFault(err error) bool {
	return slices.ContainsFunc([]error{ErrNotCheckpoint, ErrNewerFormat, ErrDamaged, ErrChecksum},
		func(kind error) bool { return errors.Is(err, kind) })
}

func TestCheckpointNoticesEveryFlippedByte(t *testing.T) {
	good := checkpointBytes(t, exampleState())
	header, err := safetensors.ParseHeader(bytes.NewReader(good), int64(len(good)))
	if err != nil {
		t.Fatal(err)
	}
	for i := range good {
		for _, flip := range []byte{0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0xff} {
			bad := bytes.Clone(good)
			bad[i] ^= flip
			_, err := readCheckpointBytes(bad)
			if !isKnownFault(err) {
				t.Fatalf("byte %d ^ 0x%02x (%q): error %v", i, flip, good[max(0, i-20):i+1], err)
			}
			if int64(i) >= header.Start && !errors.Is(err, ErrChecksum) {
				t.Fatalf("byte %d ^ 0x%02x, in the data: error %v, want a checksum mismatch", i, flip, err)
			}
		}
	}
}

func TestCheckpointNoticesEveryMissingEnd(t *testing.T) {
	good := checkpointBytes(t, exampleState())
	for n := range good {
		if _, err := readCheckpointBytes(good[:n]); !errors.Is(err, ErrDamaged) {
			t.Fatalf("the first %d of %d bytes: error %v, want ErrDamaged", n, len(good), err)
		}
	}
	if _, err := readCheckpointBytes(append(good, 0)); !errors.Is(err, ErrDamaged) {
		t.Fatalf("one byte more: error %v, want ErrDamaged", err)
	}
}

// withMetadata returns the example with its metadata changed and, unless the change
// is about them, with checksums that fit.
func withMetadata(t *testing.T, change func(m map[string]string)) []byte {
	t.Helper()
	tensors, metadata, err := decodeSafetensorsBytes(checkpointBytes(t, exampleState()))
	if err != nil {
		t.Fatal(err)
	}
	change(metadata)
	if _, ok := metadata[checkpointHeaderSHA256]; ok {
		entries, err := safetensors.Layout(tensors)
		if err != nil {
			t.Fatal(err)
		}
		metadata[checkpointHeaderSHA256] = checkpointHeaderSum(entries, metadata)
	}
	var b bytes.Buffer
	if err := safetensors.Encode(&b, tensors, metadata); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestLoadCheckpointNamesWhatIsWrong(t *testing.T) {
	good := checkpointBytes(t, exampleState())
	other := exampleState()
	other.Params[0].Data[0] = 2
	otherBytes := checkpointBytes(t, other)
	data := len(good) - 4*(6+2+6+6)
	nan := exampleState()
	nan.Moments[1].Data[3] = float32(math.NaN())
	flipped := bytes.Clone(good)
	flipped[len(flipped)-1] ^= 1
	var foreign bytes.Buffer
	if err := safetensors.Encode(&foreign, exampleState().Params, map[string]string{"format": "pt"}); err != nil {
		t.Fatal(err)
	}
	const useAnother = ": use another checkpoint of the run or a copy of this one"
	set := func(key, value string) []byte {
		return withMetadata(t, func(m map[string]string) { m[key] = value })
	}
	// The digests below were computed by another program, Python's hashlib.
	for _, test := range []struct {
		name string
		file []byte
		kind error
		want string // after "<path>: "
	}{
		{"empty", nil, ErrDamaged, "damaged checkpoint: safetensors: the file has 0 bytes, want 8 for the header's length and a header: cut short?" + useAnother},
		{"picture", []byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"), ErrNotCheckpoint, "not an elbo checkpoint: not a safetensors file: byte 8 is 0x00, want 0x7b, the brace that opens the header: give a file that elbo train has written"},
		{"foreign safetensors", foreign.Bytes(), ErrNotCheckpoint, "not an elbo checkpoint: a safetensors file without elbo.format in its metadata: give a file that elbo train has written"},
		{"newer", set("elbo.format", "2"), ErrNewerFormat, "written by a newer elbo (format 2; this program reads up to 1): update elbo"},
		{"newer, with a dtype we do not know", bytes.Replace(set("elbo.format", "12"), []byte("F32"), []byte("F64"), 1), ErrNewerFormat, "written by a newer elbo (format 12; this program reads up to 1): update elbo"},
		{"format 0", set("elbo.format", "0"), ErrDamaged, `damaged checkpoint: elbo.format is "0", want a number from 1` + useAnother},
		{"format not a number", set("elbo.format", "one"), ErrDamaged, `damaged checkpoint: elbo.format is "one", want a number from 1` + useAnother},
		{"cut short", good[:len(good)-1], ErrDamaged, `damaged checkpoint: safetensors: tensor "adam.v.encoder.0.weight" ends at byte 80 of the data, the file has 79: cut short?` + useAnother},
		{"bit of the data", flipped, ErrChecksum, `checksum mismatch: data section has SHA-256 0009f9d193af…, elbo.sha256 says "d29a398917b9"…` + useAnother},
		{"two runs mixed", append(bytes.Clone(good[:data]), otherBytes[data:]...), ErrChecksum, `checksum mismatch: data section has SHA-256 2a07deaa9a76…, elbo.sha256 says "d29a398917b9"…` + useAnother},
		{"digit of the step", bytes.Replace(good, []byte(`"4000"`), []byte(`"4001"`), 1), ErrChecksum, `checksum mismatch: header has SHA-256 0f15fc7077c9…, elbo.header_sha256 says "59eadde9f93b"…` + useAnother},
		{"parameter renamed", bytes.Replace(good, []byte(`"encoder.0.bias"`), []byte(`"decoder.0.bias"`), 1), ErrChecksum, `checksum mismatch: header has SHA-256 98c9ababd926…, elbo.header_sha256 says "59eadde9f93b"…` + useAnother},
		{"no checksum", withMetadata(t, func(m map[string]string) { delete(m, checkpointHeaderSHA256) }), ErrChecksum, `checksum mismatch: header has SHA-256 59eadde9f93b…, elbo.header_sha256 says ""…` + useAnother},
		// From here on the checksums fit: only a faulty program can have written these.
		{"several keys", withMetadata(t, func(m map[string]string) {
			delete(m, "elbo.epoch")
			delete(m, "elbo.best.step")
			m["elbo.step"] = "4e3"
			m["elbo.sums.kl"] = "x"
			m["elbo.new"] = "?"
		}), ErrDamaged, `damaged checkpoint: metadata elbo.step is "4e3", want a whole number
metadata elbo.epoch is missing
metadata elbo.best.step is missing
metadata elbo.sums.kl is "x", want a number
unknown metadata "elbo.new"` + useAnother},
		{"sum not finite", set("elbo.sums.kl", "Inf"), ErrDamaged, "damaged checkpoint: elbo.sums.kl is not finite: +Inf" + useAnother},
		{"negative step", set("elbo.step", "-1"), ErrDamaged, "damaged checkpoint: step -1, epoch 9, position 300: want at least 0, 1, 0" + useAnother},
		{"configuration not JSON", set("elbo.config", "{"), ErrDamaged, "damaged checkpoint: elbo.config is not JSON" + useAnother},
		{"parameter not finite", checkpointBytes(t, nan), ErrDamaged, "damaged checkpoint: adam.v.encoder.0.weight is not finite: NaN at index 3 of 6" + useAnother},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "c.safetensors")
			mustWriteFile(t, path, string(test.file))
			_, err := Load(path, nil)
			if !errors.Is(err, test.kind) {
				t.Errorf("error is not %q", test.kind)
			}
			if want := path + ": " + test.want; err == nil || err.Error() != want {
				t.Errorf("got  %v\nwant %s", err, want)
			}
		})
	}
}

func TestLoadCheckpointOfAPathThatIsNoFile(t *testing.T) {
	dir := t.TempDir()
	_, err := Load(dir, nil)
	if want := dir + ": not an elbo checkpoint: a directory, want a file such as best.safetensors in it: give a file that elbo train has written"; !errors.Is(err, ErrNotCheckpoint) || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	if _, err := Load(filepath.Join(dir, "none"), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v, want fs.ErrNotExist", err)
	}
	if runtime.GOOS != "windows" {
		if _, err := Load(os.DevNull, nil); !errors.Is(err, ErrNotCheckpoint) {
			t.Errorf("error %v, want ErrNotCheckpoint", err)
		}
	}
}

// Another tool may write the header's keys in another order, and pad otherwise.
func TestCheckpointLoadsWithItsKeysInAnyOrder(t *testing.T) {
	good := checkpointBytes(t, exampleState())
	header, err := safetensors.ParseHeader(bytes.NewReader(good), int64(len(good)))
	if err != nil {
		t.Fatal(err)
	}
	var parts []string
	for _, e := range slices.Backward(header.Entries) {
		parts = append(parts, fmt.Sprintf("%q : {\"shape\": %s, \"data_offsets\": [%d, %d], \"dtype\": %q}",
			e.Name, strings.ReplaceAll(fmt.Sprint(e.Shape), " ", ", "), e.Begin, e.End, e.Dtype))
	}
	var texts []string
	for _, key := range slices.Backward(slices.Sorted(maps.Keys(header.Metadata))) {
		texts = append(texts, fmt.Sprintf("%q: %q", key, header.Metadata[key]))
	}
	parts = append(parts, `"__metadata__": {`+strings.Join(texts, ", ")+"}")
	shuffled := safetensorsFile("{"+strings.Join(parts, ", ")+"}", good[header.Start:]...)
	s, err := readCheckpointBytes(shuffled)
	if err != nil {
		t.Fatal(err)
	}
	if diff := diffStates(exampleState(), s); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestSaveCheckpointRefusesWhatCannotBeResumed(t *testing.T) {
	inf := math.Inf(1)
	for _, test := range []struct {
		name   string
		change func(s *State)
		want   string // after "<path>: state of step 4000 not saved: "
	}{
		{"NaN", func(s *State) { s.Params[0].Data[4] = float32(math.NaN()) }, "encoder.0.weight is not finite: NaN at index 4 of 6"},
		{"infinities", func(s *State) {
			s.Params[1].Data[1] = float32(inf)
			s.Moments[0].Data[0] = float32(-inf)
			s.Sums.Recon, s.Best.Bound = -inf, inf
		}, `elbo.sums.recon is not finite: -Inf
elbo.best.bound is not finite: +Inf
encoder.0.bias is not finite: +Inf at index 1 of 2
adam.m.encoder.0.weight is not finite: -Inf at index 0 of 6`},
		{"counters", func(s *State) { s.Epoch, s.Position, s.Best.Epoch = 0, -1, -1 }, `step 4000, epoch 0, position -1: want at least 0, 1, 0
best at epoch -1, step 3750: want at least 0`},
		{"texts", func(s *State) { s.Config, s.Numerics, s.Data = json.RawMessage("{"), json.RawMessage("x"), "\xff" }, `elbo.config is not JSON
elbo.numerics is not JSON
safetensors: metadata "elbo.data" is not UTF-8`},
		{"twice", func(s *State) { s.Params[1].Name = "encoder.0.weight" }, `safetensors: tensor "encoder.0.weight" is there twice
moment "adam.m.encoder.0.weight" has shape [2 3], its parameter [2]
moment "adam.v.encoder.0.weight" has shape [2 3], its parameter [2]`},
		{"names", func(s *State) {
			s.Params[1].Name, s.Moments[0].Name, s.Moments[1].Name = "adam.bias", "momentum", "adam.v.decoder"
		}, `parameter "adam.bias" has a name reserved for moments (adam....)
moment "momentum": want a name that begins with adam.m. or adam.v.
moment "adam.v.decoder": there is no parameter "decoder"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "c.safetensors")
			mustWriteFile(t, path, "old")
			s := exampleState()
			test.change(s)
			err := Save(path, s)
			if want := path + ": state of step 4000 not saved: " + test.want; err == nil || err.Error() != want {
				t.Errorf("got  %v\nwant %s", err, want)
			}
			if errors.Is(err, ErrNotFinite) != strings.Contains(test.want, "not finite") {
				t.Errorf("ErrNotFinite is %t", errors.Is(err, ErrNotFinite))
			}
			if mustReadFile(t, path) != "old" {
				t.Error("the file was touched")
			}
		})
	}
}

func TestSaveCheckpointOnAFullDiskLeavesTheOldOneLoadable(t *testing.T) {
	for _, step := range atomicSteps {
		t.Run(step, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "c.safetensors")
			if err := Save(path, exampleState()); err != nil {
				t.Fatal(err)
			}
			next := exampleState()
			next.Step++
			if err := saveCheckpoint(failingOps(step, syscall.ENOSPC), path, next); !errors.Is(err, syscall.ENOSPC) {
				t.Fatalf("error %v, want ENOSPC", err)
			}
			s, err := Load(path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if diff := diffStates(exampleState(), s); diff != "" {
				t.Errorf("-old +loaded\n%s", diff)
			}
		})
	}
}

func TestCheckParamsNamesEveryDifference(t *testing.T) {
	s := &State{Params: []safetensors.Tensor{
		{Name: "encoder.0.weight", Shape: []int{40, 784}},
		{Name: "encoder.2.weight", Shape: []int{40, 400}},
		{Name: "encoder.4.weight", Shape: []int{40}},
	}}
	const hint = ": the checkpoint does not belong here: use the configuration of the run that wrote it and images of that size, or start a new run with another --out"
	for _, test := range []struct {
		name string
		want []safetensors.Tensor
		err  string
	}{
		{"other order", []safetensors.Tensor{s.Params[2], s.Params[0], s.Params[1]}, "<nil>"},
		{"one shape", []safetensors.Tensor{s.Params[0], {Name: "encoder.2.weight", Shape: []int{100, 400}}, s.Params[2]},
			"checkpoint has encoder.2.weight [40 400], the configuration asks for [100 400]" + hint},
		{"everything", []safetensors.Tensor{{Name: "encoder.0.weight", Shape: []int{784, 40}}, {Name: "decoder.0.bias", Shape: []int{3}}, s.Params[1]},
			`checkpoint has encoder.0.weight [40 784], the configuration asks for [784 40]
checkpoint has no decoder.0.bias, the configuration asks for [3]
checkpoint has encoder.4.weight [40], the configuration has no such parameter` + hint},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := fmt.Sprint(s.CheckParams(test.want)); got != test.err {
				t.Errorf("got  %s\nwant %s", got, test.err)
			}
		})
	}
}

// allocated returns how many bytes f allocates, garbage included.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// A dimension takes two bytes of header and about 60 of memory on its way through
// the JSON reader; 256 a byte and a megabyte for what does not depend on the file
// is far above that, and far below what a promise can ask for.
func allocationLimit(size int) uint64 { return 256*uint64(size) + 1<<20 }

func FuzzLoadCheckpoint(f *testing.F) {
	good := checkpointBytes(f, exampleState())
	f.Add(good)
	f.Add(good[:len(good)/2])
	f.Add([]byte{})
	f.Add(safetensorsFile(`{"__metadata__":{"elbo.format":"2"}}`))
	f.Add(safetensorsFile(`{"__metadata__":{"elbo.format":"1"},"a":{"dtype":"F32","shape":[1073741824],"data_offsets":[0,4294967296]}}`))
	f.Add(safetensorsFile(`{"__metadata__":{"elbo.format":"1"},"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}`))
	f.Add(safetensorsFile(`{"a":{"shape":[` + strings.Repeat("1,", 2000) + `1]}}`))
	f.Add(safetensorsFile(strings.Repeat(`{"a":`, 2000)))
	f.Add(append(bytes.Repeat([]byte{0xff}, 8), "{}"...))
	f.Fuzz(func(t *testing.T, file []byte) {
		checkFuzzedCheckpoint(t, file)
		// Chance meets no checksum: with ones that fit, the rest of the reader is tried too.
		if fitting, ok := withFittingSums(file); ok {
			checkFuzzedCheckpoint(t, fitting)
		}
	})
}

func checkFuzzedCheckpoint(t *testing.T, file []byte) {
	var s *State
	var err error
	if n := allocated(func() { s, err = readCheckpointBytes(file) }); n > allocationLimit(len(file)) {
		t.Errorf("%d bytes allocated for a file of %d", n, len(file))
	}
	if err != nil {
		if !isKnownFault(err) {
			t.Errorf("error of no known kind: %v", err)
		}
		return
	}
	again, err := readCheckpointBytes(checkpointBytes(t, s))
	if err != nil {
		t.Fatal(err)
	}
	if diff := diffStates(s, again); diff != "" {
		t.Errorf("-loaded +loaded again\n%s", diff)
	}
}

// withFittingSums returns the file, if it is a safetensors file, with both checksums
// made to fit.
func withFittingSums(file []byte) ([]byte, bool) {
	tensors, metadata, err := decodeSafetensorsBytes(file)
	if err != nil || metadata == nil {
		return nil, false
	}
	header, _ := safetensors.ParseHeader(bytes.NewReader(file), int64(len(file)))
	data := sha256.Sum256(file[header.Start:])
	metadata[checkpointSHA256] = hex.EncodeToString(data[:])
	metadata[checkpointHeaderSHA256] = checkpointHeaderSum(header.Entries, metadata)
	var b bytes.Buffer
	err = safetensors.Encode(&b, tensors, metadata)
	return b.Bytes(), err == nil
}

// The limit of the fuzz test does catch a reader that believes a header.
func TestAllocationLimitNoticesAPromise(t *testing.T) {
	var kept []byte
	n := allocated(func() { kept = make([]byte, 64<<20) })
	if n <= allocationLimit(1000) {
		t.Errorf("%d bytes pass for a file of 1000 bytes, limit %d", n, allocationLimit(1000))
	}
	runtime.KeepAlive(kept)
}
