// Command fused finds products that the compiler fuses with a sum, x*y + z rounded once,
// in the packages that decide the bits of a run. The compiler does so on arm64 (and on
// others, but not on amd64), so that a run would have other bits there. A conversion of
// the product forbids it, float32(x*y) + z; where a fused product is wanted, package
// graph/fma has one that is the same on every CPU.
//
//	fused         compile for arm64, and name every fused product
//
// It reads the compiler's listing, which the build cache keeps.
package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// checked are the packages whose arithmetic becomes part of a run or of what is said of it;
// what cmd/ makes of these numbers, pictures and pages, is not.
var checked = []string{"./data/...", "./graph/...", "./model/...", "./train/..."}

// allowed are what may fuse, by the beginning of a function's name or of a place, and why.
var allowed = map[string]string{
	"elbo/graph/graphtest.":               "judges operations in tests",
	"elbo/model/modeltest.":               "judges models in tests",
	"elbo/train.(*VAESettings).Bytes":     guess,
	"elbo/train.(*MixtureSettings).Bytes": guess,
	"elbo/train.(*GridSettings).Bytes":    guess,

	// The settings' files, whose only arithmetic it is, also where it is inlined elsewhere.
	"train/kind_shared.go":   guess,
	"train/flow_settings.go": guess,
}

const guess = "a guess of memory needs no last digit"

func main() {
	found, functions, err := fused(".", "arm64")
	if err == nil && functions < 500 { // there are more than a thousand
		err = fmt.Errorf("the listing has %d functions only: it is not read as it is written", functions)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "fused:", err)
		os.Exit(2)
	}
	for _, f := range found {
		fmt.Printf("%s: %s fuses a product with a sum on arm64: write float64(x*y) + z, or float32(x*y) + z\n", f.line, f.function)
	}
	if len(found) > 0 {
		os.Exit(1)
	}
}

// product is one that is fused.
type product struct {
	line     string // file:line
	function string
}

// fused compiles the packages of the module at root, and returns what is fused in them, and
// of how many functions it saw the code.
func fused(root, arch string) (found []product, functions int, err error) {
	cmd := exec.Command("go", append([]string{"build", "-gcflags=-S"}, checked...)...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH="+arch, "CGO_ENABLED=0")
	var listing bytes.Buffer
	cmd.Stdout, cmd.Stderr = &listing, &listing
	if err := cmd.Run(); err != nil {
		said := complaint.FindAll(listing.Bytes(), 20)
		return nil, 0, fmt.Errorf("go build: %w\n%s", err, bytes.Join(said, []byte("\n")))
	}
	absolute, err := filepath.Abs(root)
	if err != nil {
		return nil, 0, err
	}
	return read(&listing, absolute+string(filepath.Separator))
}

var (
	complaint = regexp.MustCompile(`(?m)^\S+\.go:\d+:\d+: .*$`)
	beginning = regexp.MustCompile(`^(\S+) STEXT`)
	// An instruction: "	0x0040 00064 (DIR/graph/op_bound.go:82)	FMSUBS	F0, F1, F2, F3".
	fusing = regexp.MustCompile(`^\s+0x\w+ \d+ \((.*:\d+)\)\s+FN?M(?:ADD|SUB)[SD]\s`)
)

// read finds the fused products in a listing of the compiler for arm64, of files in a folder.
func read(listing io.Reader, folder string) (found []product, functions int, err error) {
	lines := bufio.NewScanner(listing)
	lines.Buffer(nil, 1<<24)
	function := ""
	for lines.Scan() {
		if name := beginning.FindStringSubmatch(lines.Text()); name != nil {
			function = name[1]
			functions++
		}
		if at := fusing.FindStringSubmatch(lines.Text()); at != nil {
			p := product{strings.TrimPrefix(at[1], folder), function}
			if !p.allowed() && !slices.Contains(found, p) {
				found = append(found, p)
			}
		}
	}
	return found, functions, lines.Err()
}

func (p product) allowed() bool {
	for prefix := range allowed {
		if strings.HasPrefix(p.function, prefix) || strings.HasPrefix(p.line, prefix) {
			return true
		}
	}
	return false
}
