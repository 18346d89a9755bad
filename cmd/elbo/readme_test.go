package main

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// A hop is a file and a function in it, in backquotes one after the other:
// `train/loop.go` `Run` or `model/vae.go` `(*VAE).Step`.
var hop = regexp.MustCompile("`([\\w./-]+\\.go)`[\\s:,]*`(?:\\(?\\*?(\\w+)\\)?\\.)?(\\w+)(?:\\(\\))?`")

// TestReadmeNamesFunctionsThatExist: the way from the command to the gradient, as the
// README gives it, leads somewhere.
func TestReadmeNamesFunctionsThatExist(t *testing.T) {
	checkHops(t, "README.md", readme(t), 4)
}

// checkHops looks up the functions that a page names after their files, of which there
// are at least as many.
func checkHops(t *testing.T, page, text string, least int) {
	t.Helper()
	hops := hop.FindAllStringSubmatch(text, -1)
	if len(hops) < least {
		t.Errorf("%s names %d functions with their files, want at least %d", page, len(hops), least)
	}
	for _, h := range hops {
		file, receiver, name := h[1], h[2], h[3]
		parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, filepath.FromSlash(file)), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Errorf("%s: %s: %v", page, h[0], err)
			continue
		}
		if !declares(parsed, receiver, name) {
			t.Errorf("%s: %s: there is no such function in %s", page, h[0], file)
		}
	}
}

// declares says whether a file declares a function, or a method where receiver is
// not empty.
func declares(file *ast.File, receiver, name string) bool {
	for _, decl := range file.Decls {
		f, ok := decl.(*ast.FuncDecl)
		if !ok || f.Name.Name != name || (f.Recv == nil) != (receiver == "") {
			continue
		}
		if f.Recv == nil {
			return true
		}
		typ := f.Recv.List[0].Type
		if star, ok := typ.(*ast.StarExpr); ok {
			typ = star.X
		}
		if base, ok := typ.(*ast.Ident); ok && base.Name == receiver {
			return true
		}
	}
	return false
}

// A command line stands in an indented or fenced block, or in backquotes.
var commandLine = regexp.MustCompile("(?m)(?:^|`)[ \t]*(?:\\$ )?(?:ELBO_BLAS=\\S+ )?(?:go run \\./cmd/elbo|(?:\\./)?elbo) ((?:train|resume|eval|sample|reconstruct|inspect|experiment|compare|gap|encode|decode|score|interpolate|traverse|impute|plot|swap|verify|bench|list|watch|prune|sweep|export|data|licences|version|help)\\b[^\n`#|>]*)")

// TestReadmeCommandsAreUnderstood: every command line of the README has a command, and
// flags, that exist. What they do is for the scripts.
func TestReadmeCommandsAreUnderstood(t *testing.T) {
	lines := commandLine.FindAllStringSubmatch(readme(t), -1)
	if len(lines) < 3 {
		t.Errorf("README.md has %d command lines, want at least those to train, to evaluate and to sample", len(lines))
	}
	for _, line := range lines {
		p := &program{name: "elbo", stdout: new(bytes.Buffer), stderr: new(bytes.Buffer), now: time.Now, cpus: 1}
		root := newRootCmd(p)
		words := strings.Fields(line[1])
		for i, word := range words { // a shell takes them off
			words[i] = strings.Trim(word, `"`)
		}
		if words[0] == "help" {
			words = words[1:]
		}
		cmd, rest, err := root.Find(words)
		if err == nil && cmd == root {
			t.Errorf("README.md: elbo %s: there is no such command", line[1])
			continue
		}
		if err == nil {
			err = cmd.ParseFlags(rest)
		}
		if err != nil {
			t.Errorf("README.md: elbo %s: %v", line[1], err)
		}
	}
}

// TestReadmeReadsSizesFromTheCheckpoint: its lines for PyTorch fit any VAE. They are run by
// train/testdata/torch/readme.py.
func TestReadmeReadsSizesFromTheCheckpoint(t *testing.T) {
	blocks := regexp.MustCompile("(?s)```python\n(.*?)```").FindAllStringSubmatch(readme(t), -1)
	if len(blocks) != 1 || !strings.Contains(blocks[0][1], `["elbo.config"]`) {
		t.Fatalf("README.md has %d blocks of Python, want one that reads elbo.config", len(blocks))
	}
	if typed := regexp.MustCompile(`\d{2,}`).FindAllString(strings.NewReplacer("float32", "", "28, 28  # of an image", "").Replace(blocks[0][1]), -1); typed != nil {
		t.Errorf("README.md types the sizes %v", typed)
	}
}

// readme is the README with the pages that it sends its readers to.
func readme(t *testing.T) string {
	t.Helper()
	var text []byte
	for _, page := range []string{"README.md", "cmd/elbo/doc/numbers.md", "cmd/elbo/doc/models.md", "cmd/elbo/doc/compare.md", "cmd/elbo/doc/runs.md", "cmd/elbo/doc/speed.md"} {
		one, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(page)))
		if err != nil {
			t.Fatal(err)
		}
		text = append(append(text, one...), '\n')
	}
	return string(text)
}

// TestLinksOfThePagesLeadSomewhere: each file that the README or a page under doc links to, or
// shows, exists.
func TestLinksOfThePagesLeadSomewhere(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join(root, "cmd/elbo/doc/*.md"))
	if err != nil || len(pages) < 6 {
		t.Fatalf("%d pages, %v", len(pages), err)
	}
	for _, page := range append(pages, filepath.Join(root, "README.md")) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, link := range regexp.MustCompile(`\]\(([^)#:]+)(?:#[^)]*)?\)`).FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), filepath.FromSlash(link[1]))); err != nil {
				t.Errorf("%s: %v", filepath.Base(page), err)
			}
		}
	}
}
