package main

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/png"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"elbo/data"
	"elbo/graph/blas"
)

// TestMain makes the test binary serve as the program too, so that scripts and the
// tests of signals run real processes with real exit codes.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"elbo":       main,
		"onterminal": func() { os.Exit(onTerminal(os.Args[1:], false)) },
		"ontermout":  func() { os.Exit(onTerminal(os.Args[1:], true)) },
	})
}

// clockReadings are what the clock decides in a line of metrics, and its checksum.
var clockReadings = regexp.MustCompile(`,"seconds":[^,}]+,"images_per_second":[^,}]+|,"crc32c":"[0-9a-f]{8}"`)

// TestScripts runs the terminal sessions of testdata/script. They use the built-in
// product, which computes the same on every machine.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("ELBO_BLAS", "")
			return nil
		},
		Condition: func(name string) (bool, error) {
			if name != "library" {
				return false, fmt.Errorf("unknown condition %q", name)
			}
			_, note := blas.Open("openblas")
			return note == "", nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":   exitsWith,
			"mkdata":  command("mkdata DIR IMAGES ROWS COLS", 4, mkdata),
			"mknpy":   command("mknpy FILE VALUE...", -2, mknpy),
			"mkmask":  command("mkmask FILE EXTENT...", -2, mkmask),
			"mkpng":   command("mkpng DIR IMAGES ROWS COLS grey|colour|transparent", 5, mkpng),
			"flip":    command("flip FILE OFFSET", 2, flip),
			"cut":     command("cut FILE LENGTH", 2, cut),
			"poke":    command("poke FILE OFFSET HEX", 3, poke),
			"replace": command("replace FILE OLD NEW", 3, replace),
			"gz":      command("gz FILE", 1, gz),
			"await":   command("await FILE", 1, await),
			"npy":     command("npy FILE DESCR SHAPE VAR", 4, npy),
			"json":    command("json FILE PATH[=VALUE|<NUMBER|>NUMBER]...", -2, checkJSON),
			"jsonenv": command("jsonenv VAR FILE PATH", 3, jsonenv),
		},
	})
}

// command makes a script's command out of a function that may fail. A negative
// number of arguments is the least there may be.
func command(usage string, args int, f func(ts *testscript.TestScript, args []string) error) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, got []string) {
		if neg || (args >= 0 && len(got) != args) || len(got) < -args {
			ts.Fatalf("usage: %s", usage)
		}
		ts.Check(f(ts, got))
	}
}

// exitsWith runs a program that is to end with a code: exits CODE PROGRAM ARG...
func exitsWith(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARG...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		failed, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("%v", err)
		}
		got = failed.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// mkdata writes a data set as IDX files under MNIST's names: IMAGES for training
// and a quarter as many for testing, with labels.
func mkdata(ts *testscript.TestScript, args []string) error {
	var size [3]int
	for i := range size {
		n, err := strconv.Atoi(args[1+i])
		if err != nil {
			return err
		}
		size[i] = n
	}
	return writeDataset(ts.MkAbs(args[0]), size[0], size[1], size[2])
}

// mkpng writes the images of mkdata as PNG files, a class for each shape.
func mkpng(ts *testscript.TestScript, args []string) error {
	var size [3]int
	for i := range size {
		n, err := strconv.Atoi(args[1+i])
		if err != nil {
			return err
		}
		size[i] = n
	}
	return writePNGs(ts.MkAbs(args[0]), size[0], size[1], size[2], args[4])
}

// writePNGs writes synthetic images as dir/SHAPE/N.png, in grey or each shape in a colour
// of its own, all of it half transparent where that is asked for.
func writePNGs(dir string, n, rows, cols int, kind string) error {
	images := data.Synthetic(n, rows, cols, 1)
	shapes := []string{"across", "upright", "diagonal", "blob"}
	for i := range n {
		class := filepath.Join(dir, shapes[images.Labels[i]])
		if err := os.MkdirAll(class, 0o777); err != nil {
			return err
		}
		grey := image.NewGray(image.Rect(0, 0, cols, rows))
		copy(grey.Pix, images.Bytes[i*rows*cols:])
		var img image.Image = grey
		if kind != "grey" {
			rgb, alpha := image.NewNRGBA(grey.Rect), uint8(255)
			if kind == "transparent" {
				alpha = 128
			}
			for p, g := range grey.Pix {
				copy(rgb.Pix[4*p:], []uint8{0, 0, 0, alpha})
				rgb.Pix[4*p+int(images.Labels[i])%3] = g
			}
			img = rgb
		}
		var file bytes.Buffer
		if err := png.Encode(&file, img); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(class, fmt.Sprintf("%03d.png", i)), file.Bytes(), 0o666); err != nil {
			return err
		}
	}
	return nil
}

func writeDataset(dir string, n, rows, cols int) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	for i, part := range []string{"train", "t10k"} {
		images := data.Synthetic(n/(1+3*i), rows, cols, uint64(1+i))
		for name, content := range map[string][]byte{
			part + "-images-idx3-ubyte": idx(images.Bytes, images.N, rows, cols),
			part + "-labels-idx1-ubyte": idx(images.Labels, images.N),
		} {
			if err := os.WriteFile(filepath.Join(dir, name), content, 0o666); err != nil {
				return err
			}
		}
	}
	return nil
}

// idx is an IDX file of bytes: 0, 0, the element type, the number of dimensions, the
// dimensions, the elements.
func idx(elements []byte, dims ...int) []byte {
	file := []byte{0, 0, 0x08, byte(len(dims))}
	for _, n := range dims {
		file = binary.BigEndian.AppendUint32(file, uint32(n))
	}
	return append(file, elements...)
}

// mknpy writes 40 images of 2×2 as float32: the given values over and over.
func mknpy(ts *testscript.TestScript, args []string) error {
	const images, pixels = 40, 4
	var values []float32
	for i := range images * pixels {
		v, err := strconv.ParseFloat(args[1+i%(len(args)-1)], 32)
		if err != nil {
			return err
		}
		values = append(values, float32(v))
	}
	var file bytes.Buffer
	if err := data.WriteFloatsNPY(&file, images, pixels, func(yield func([]float32) bool) { yield(values) }); err != nil {
		return err
	}
	return os.WriteFile(ts.MkAbs(args[0]), file.Bytes(), 0o666)
}

// mkmask writes an array of whole numbers of the given shape: 0 in its first half, then 1.
func mkmask(ts *testscript.TestScript, args []string) error {
	a := &data.Array{}
	for _, arg := range args[1:] {
		n, err := strconv.Atoi(arg)
		if err != nil {
			return err
		}
		a.Shape = append(a.Shape, n)
	}
	a.Ints = make([]int64, a.Len())
	for i := a.Len() / 2; i < a.Len(); i++ {
		a.Ints[i] = 1
	}
	var file bytes.Buffer
	if err := a.Write(&file); err != nil {
		return err
	}
	return os.WriteFile(ts.MkAbs(args[0]), file.Bytes(), 0o666)
}

// change rewrites a file.
func change(ts *testscript.TestScript, name string, f func([]byte) ([]byte, error)) error {
	path := ts.MkAbs(name)
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if content, err = f(content); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return os.WriteFile(path, content, 0o666)
}

// flip flips the lowest bit of a byte; an offset below 0 counts from the end.
func flip(ts *testscript.TestScript, args []string) error {
	offset, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	return change(ts, args[0], func(b []byte) ([]byte, error) {
		if offset < 0 {
			offset += len(b)
		}
		if offset < 0 || offset >= len(b) {
			return nil, fmt.Errorf("byte %d of %d", offset, len(b))
		}
		b[offset] ^= 1
		return b, nil
	})
}

// cut leaves the first bytes of a file; a length below 0 is what goes.
func cut(ts *testscript.TestScript, args []string) error {
	length, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	return change(ts, args[0], func(b []byte) ([]byte, error) {
		if length < 0 {
			length += len(b)
		}
		if length < 0 || length >= len(b) {
			return nil, fmt.Errorf("%d of %d bytes", length, len(b))
		}
		return b[:length], nil
	})
}

// poke overwrites bytes.
func poke(ts *testscript.TestScript, args []string) error {
	offset, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	written, err := hex.DecodeString(args[2])
	if err != nil {
		return err
	}
	return change(ts, args[0], func(b []byte) ([]byte, error) {
		if offset+len(written) > len(b) {
			return nil, fmt.Errorf("byte %d of %d", offset+len(written), len(b))
		}
		copy(b[offset:], written)
		return b, nil
	})
}

// replace puts text in the place of a text of the same length, wherever it occurs.
func replace(ts *testscript.TestScript, args []string) error {
	return change(ts, args[0], func(b []byte) ([]byte, error) {
		if len(args[1]) != len(args[2]) || !bytes.Contains(b, []byte(args[1])) {
			return nil, fmt.Errorf("%q is not in it, or not as long as %q", args[1], args[2])
		}
		return bytes.ReplaceAll(b, []byte(args[1]), []byte(args[2])), nil
	})
}

// gz compresses FILE to FILE.gz and removes it.
func gz(ts *testscript.TestScript, args []string) error {
	path := ts.MkAbs(args[0])
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var file bytes.Buffer
	w := gzip.NewWriter(&file)
	w.Write(content) // to memory; Close has the first error
	if err := w.Close(); err != nil {
		return err
	}
	if err := os.WriteFile(path+".gz", file.Bytes(), 0o666); err != nil {
		return err
	}
	return os.Remove(path)
}

// await waits until a file exists.
func await(ts *testscript.TestScript, args []string) error {
	return waitUntil(args[0]+" exists", func() bool {
		_, err := os.Stat(ts.MkAbs(args[0]))
		return err == nil
	})
}

// waitUntil polls: a minute is long enough for any machine, and too long for none.
func waitUntil(what string, holds func() bool) error {
	for began := time.Now(); !holds(); time.Sleep(time.Millisecond) {
		if time.Since(began) > time.Minute {
			return fmt.Errorf("waited a minute in vain: %s", what)
		}
	}
	return nil
}

var npyHeader = regexp.MustCompile(`^\{'descr': '([^']*)', 'fortran_order': False, 'shape': \(([^)]*)\), \} *\n$`)

// npy checks the header of an array, and sets a variable to the SHA-256 of its
// elements.
func npy(ts *testscript.TestScript, args []string) error {
	file, err := os.ReadFile(ts.MkAbs(args[0]))
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(file, []byte("\x93NUMPY\x01\x00")) {
		return fmt.Errorf("%s: starts with % x, want the magic of NumPy and version 1.0", args[0], file[:min(8, len(file))])
	}
	end := 10 + int(binary.LittleEndian.Uint16(file[8:]))
	found := npyHeader.FindStringSubmatch(string(file[10:end]))
	if found == nil || found[1] != args[1] || found[2] != args[2] {
		return fmt.Errorf("%s: header %q, want descr %s, C order, shape (%s)", args[0], file[10:end], args[1], args[2])
	}
	sum := sha256.Sum256(file[end:])
	ts.Setenv(args[3], hex.EncodeToString(sum[:]))
	return nil
}

var jsonCondition = regexp.MustCompile(`^([\w.-]+)(?:([=<>])(.*))?$`)

// checkJSON checks values of a JSON object by their paths (iw.bound, split.0): that
// they are there, are what they should be, or lie above or below a number. An object
// that is followed by others (metrics.jsonl) is the last of them.
func checkJSON(ts *testscript.TestScript, args []string) error {
	var faults []error
	for _, arg := range args[1:] {
		condition := jsonCondition.FindStringSubmatch(arg)
		if condition == nil {
			return fmt.Errorf("condition %q", arg)
		}
		path, relation, want := condition[1], condition[2], condition[3]
		value, err := jsonAt(ts, args[0], path)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		number, isNumber := value.(float64)
		limit, _ := strconv.ParseFloat(want, 64)
		switch {
		case isNumber && (math.IsNaN(number) || math.IsInf(number, 0)):
			faults = append(faults, fmt.Errorf("%s is %v", path, number))
		case relation == "=" && compact(value) != want,
			relation == "<" && !(isNumber && number < limit),
			relation == ">" && !(isNumber && number > limit):
			faults = append(faults, fmt.Errorf("%s is %s, want %s%s", path, compact(value), relation, want))
		}
	}
	return errors.Join(faults...)
}

// jsonenv sets a variable to a value of a JSON object.
func jsonenv(ts *testscript.TestScript, args []string) error {
	value, err := jsonAt(ts, args[1], args[2])
	if err == nil {
		ts.Setenv(args[0], compact(value))
	}
	return err
}

func jsonAt(ts *testscript.TestScript, file, path string) (any, error) {
	var value any
	decoder := json.NewDecoder(strings.NewReader(ts.ReadFile(file)))
	for more := true; more; more = decoder.More() {
		value = nil
		if err := decoder.Decode(&value); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	for key := range strings.SplitSeq(path, ".") {
		switch v := value.(type) {
		case map[string]any:
			inner, ok := v[key]
			if !ok {
				return nil, fmt.Errorf("%s has no %s", file, path)
			}
			value = inner
		case []any:
			i, err := strconv.Atoi(key)
			if err != nil || i < 0 || i >= len(v) {
				return nil, fmt.Errorf("%s has no %s", file, path)
			}
			value = v[i]
		default:
			return nil, fmt.Errorf("%s has no %s", file, path)
		}
	}
	return value, nil
}

// compact writes text as it is and other values as JSON without spaces.
func compact(value any) string {
	if text, ok := value.(string); ok {
		return text
	}
	text, _ := json.Marshal(value) // it was JSON before
	return string(text)
}

// onTerminal runs a program whose standard error, or output, is the controlling terminal.
func onTerminal(args []string, output bool) int {
	tty, err := os.OpenFile("/dev/tty", os.O_WRONLY, 0)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer tty.Close()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, tty
	if output {
		cmd.Stdout, cmd.Stderr = tty, os.Stderr
	}
	if err := cmd.Run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}
