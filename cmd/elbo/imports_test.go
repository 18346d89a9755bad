package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const root = "../.." // of the module

// mayImport says which other rooms a room may use, itself aside. A room is a top-level
// folder with all below it, but for rooms within it. Imports run one way, so that each part
// can be read, tested and replaced without those above it.
var mayImport = map[string][]string{
	"graph/elementary":  nil,
	"graph":             {"graph/elementary"},
	"data":              {"graph/elementary"},
	"model":             {"graph", "graph/elementary"},
	"model/infer":       {"model", "graph", "data", "graph/elementary"},
	"train":             {"train/run", "train/safetensors", "model/infer", "model", "graph", "data", "graph/elementary"},
	"train/run":         {"train/safetensors"},
	"train/safetensors": nil,
	"cmd":               {"train", "train/run", "train/safetensors", "model/infer", "model", "graph", "data", "graph/elementary"},
}

// roomOf returns the room of a folder, "" where there is none.
func roomOf(folder string) string {
	for {
		if _, known := mayImport[folder]; known {
			return folder
		}
		above := path.Dir(folder)
		if above == folder {
			return ""
		}
		folder = above
	}
}

// onlyIn says in which folder alone a foreign package may be used: the engine, so
// that it can be changed in one place; flags and signals, so that the rest is a
// library that needs no terminal.
var onlyIn = map[string]string{
	"gorgonia.org/":                   "graph",
	"github.com/spf13/":               "cmd",
	"github.com/schollz/progressbar":  "cmd",
	"golang.org/x/term":               "cmd",
	"os/signal":                       "cmd",
	"flag":                            "cmd",
	"log":                             "cmd",
	"github.com/rogpeppe/go-internal": "cmd",
	"gonum.org/v1/plot":               "cmd",
	"github.com/chromedp/":            "cmd",
	"github.com/google/licensecheck":  "cmd",
	"github.com/sbinet/npyio":         "data",
	"github.com/gofrs/flock":          "train",
	"github.com/ebitengine/purego":    "graph train", // libraries that a user asks for: a matrix product, MPI
	"github.com/viterin/vek":          "graph",
	"gonum.org/v1/gonum/blas":         "graph",
}

// onlyCommands are names of the standard library that only programs may use: a
// library neither prints, nor ends the process, nor reads the clock.
var onlyCommands = []string{
	"os.Exit", "os.Stdout", "os.Stderr", "os.Stdin", "os.Args",
	"fmt.Print", "fmt.Printf", "fmt.Println", "time.Now", "time.Since",
}

func TestImportsRunOneWay(t *testing.T) {
	used := map[string]bool{}
	for _, f := range goFiles(t) {
		for _, spec := range f.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if ours, isOurs := strings.CutPrefix(imported, "elbo/"); isOurs {
				if room := roomOf(ours); room != f.room && !slices.Contains(mayImport[f.room], room) {
					t.Errorf("%s imports %s: %s may import %v of ours", f.name, imported, f.room, mayImport[f.room])
				}
			}
			for prefix, folder := range onlyIn {
				if imported != prefix && !strings.HasPrefix(imported, strings.TrimSuffix(prefix, "/")+"/") {
					continue
				}
				used[prefix] = true
				if !slices.Contains(strings.Fields(folder), f.folder) {
					t.Errorf("%s imports %s, which only %s/ may", f.name, imported, folder)
				}
			}
		}
	}
	for _, prefix := range []string{"gorgonia.org/", "github.com/spf13/", "os/signal"} {
		if !used[prefix] {
			t.Errorf("nothing imports %s: the rule looks in the wrong place", prefix)
		}
	}
}

func TestOnlyCommandsPrintOrExit(t *testing.T) {
	used := false
	for _, f := range goFiles(t) {
		if strings.HasSuffix(f.name, "_test.go") {
			continue
		}
		ast.Inspect(f.File, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok {
				if name, ok := call.Fun.(*ast.Ident); ok && (name.Name == "print" || name.Name == "println") {
					t.Errorf("%s: %s writes to standard error", f.at(n), name.Name)
				}
			}
			selector, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			pkg, ok := selector.X.(*ast.Ident)
			if !ok || !slices.Contains(onlyCommands, pkg.Name+"."+selector.Sel.Name) {
				return true
			}
			used = used || f.folder == "cmd"
			if f.folder != "cmd" && f.File.Name.Name != "main" { // a generator is a command as well
				t.Errorf("%s: %s.%s is for commands", f.at(n), pkg.Name, selector.Sel.Name)
			}
			return true
		})
	}
	if !used {
		t.Error("no command prints or exits: the rule looks in the wrong place")
	}
}

// inexact are the functions of package math whose last bits differ between CPUs: some are
// written in assembly on one and in Go on another, in others the compiler fuses products and
// sums. Square roots, roundings and what moves bits about are exact.
var inexact = []string{
	"Acos", "Acosh", "Asin", "Asinh", "Atan", "Atan2", "Atanh", "Cbrt", "Cos", "Cosh", "Erf", "Erfc", "Erfcinv",
	"Erfinv", "Exp", "Exp2", "Expm1", "Gamma", "Hypot", "J0", "J1", "Jn", "Lgamma", "Log", "Log10", "Log1p",
	"Log2", "Pow", "Sin", "Sincos", "Sinh", "Tan", "Tanh", "Y0", "Y1", "Yn",
}

// mayDiffer are files that may compute what has other last bits on another CPU, and why.
var mayDiffer = map[string]string{
	"train/walk.go":      "ways between two codes, for pictures",
	"data/pictures.go":   "scales pictures by golang.org/x/image",
	"graph/blas/blas.go": "offers gonum's product, which is not what a run has unless it is asked for",
}

// TestARunHasTheSameBitsOnEveryCPU: what a run consists of is computed without functions that
// differ between CPUs; package elementary has others in their place. (That no product is
// fused with a sum is for make fused, and that all of this is enough for
// TestRunsHaveTheBitsTheyHad in train/.)
func TestARunHasTheSameBitsOnEveryCPU(t *testing.T) {
	used := map[string]bool{}
	for _, f := range goFiles(t) {
		if f.room == "cmd" || strings.HasSuffix(f.name, "_test.go") || strings.HasSuffix(path.Dir(f.name), "test") || f.File.Name.Name == "main" {
			continue
		}
		fault := func(n ast.Node, what, instead string) {
			used[f.name] = true
			if mayDiffer[f.name] == "" {
				t.Errorf("%s: %s has other last bits on other CPUs; use %s", f.at(n), what, instead)
			}
		}
		for _, spec := range f.Imports {
			imported, _ := strconv.Unquote(spec.Path.Value)
			if strings.HasPrefix(imported, "gonum.org/") || strings.HasPrefix(imported, "golang.org/x/image") || imported == "math/cmplx" {
				fault(spec, imported, "arithmetic of our own")
			}
		}
		ast.Inspect(f.File, func(n ast.Node) bool {
			if selector, ok := n.(*ast.SelectorExpr); ok {
				if pkg, ok := selector.X.(*ast.Ident); ok && pkg.Name == "math" && slices.Contains(inexact, selector.Sel.Name) {
					fault(n, "math."+selector.Sel.Name, "elbo/graph/elementary")
				}
			}
			return true
		})
	}
	for name, why := range mayDiffer {
		if !used[name] {
			t.Errorf("%s need not differ any more (%s): take it off the list", name, why)
		}
	}
}

// goFile is a Go file of the module.
type goFile struct {
	*ast.File
	name   string // relative to the root, with slashes
	folder string // the first element of name, "" at the root
	room   string // see mayImport
	set    *token.FileSet
}

func (f goFile) at(n ast.Node) string {
	return f.name + ":" + strconv.Itoa(f.set.Position(n.Pos()).Line)
}

// goFiles parses all Go files of the module, tests as well.
func goFiles(t *testing.T) []goFile {
	t.Helper()
	set := token.NewFileSet()
	var files []goFile
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		// Hidden folders, testdata and runs hold nothing that is compiled.
		if entry.IsDir() && file != root && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "testdata" || entry.Name() == "runs") {
			return filepath.SkipDir
		}
		if entry.IsDir() || filepath.Ext(file) != ".go" {
			return nil
		}
		parsed, err := parser.ParseFile(set, file, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		name := filepath.ToSlash(relative)
		folder, _, inFolder := strings.Cut(name, "/")
		room := roomOf(path.Dir(name))
		if inFolder && room == "" {
			t.Errorf("%s: the folder %s has no rule in mayImport", name, path.Dir(name))
		}
		files = append(files, goFile{parsed, name, folder, room, set})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
