package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The pages under doc that tell of the source.
var (
	codeSpan  = regexp.MustCompile("`([^`\n]+)`")
	codeBlock = regexp.MustCompile("(?s)```(\\w*)\n(.*?)```")
	docFile   = regexp.MustCompile(`^[\w./-]+\.(?:go|s)$`)
	docName   = regexp.MustCompile(`^(?:\(\*?(\w+)\)\.|(\w+)\.)?(\w+)$`)
	asmText   = regexp.MustCompile(`(?m)^TEXT ·(\w+)\(`)
	asmMacro  = regexp.MustCompile(`(?m)^#define (\w+)`)
	asmHop    = regexp.MustCompile("`([\\w./-]+\\.s)`[\\s:,]*`(\\w+)`")
)

// TestTheTaughtFormulaIsThatOfTheSource: each file that elbo.md names exists, each name
// in backquotes occurs in one of those files, each function that follows its file is
// declared there, and quoted code stands in one of them line by line.
func TestTheTaughtFormulaIsThatOfTheSource(t *testing.T) {
	page := docPage(t, "elbo.md")
	prose := codeBlock.ReplaceAllString(page, "")
	sources := map[string]string{} // by path
	for _, span := range codeSpan.FindAllStringSubmatch(prose, -1) {
		if path := span[1]; docFile.MatchString(path) {
			text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(path)))
			if err != nil {
				t.Errorf("elbo.md: %v", err)
			}
			sources[path] = string(text)
		}
	}
	if len(sources) < 10 {
		t.Errorf("elbo.md names %d files of the source, want those that the formula passes through", len(sources))
	}

	names := map[string]bool{"metrics.jsonl": true}
	for path, text := range sources {
		if strings.HasSuffix(path, ".s") {
			for _, m := range slices.Concat(asmText.FindAllStringSubmatch(text, -1), asmMacro.FindAllStringSubmatch(text, -1)) {
				names[m[1]] = true
			}
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), path, text, parser.SkipObjectResolution)
		if err != nil {
			t.Errorf("elbo.md: %v", err)
			continue
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			if name, ok := n.(*ast.Ident); ok {
				names[name.Name] = true
			}
			return true
		})
	}
	for _, span := range codeSpan.FindAllStringSubmatch(prose, -1) {
		name := docName.FindStringSubmatch(span[1])
		switch {
		case docFile.MatchString(span[1]) || names[span[1]] || isFolder(span[1]):
		case name == nil:
			t.Errorf("elbo.md: `%s` is neither a file nor a name, so nobody can look it up", span[1])
		case !names[name[3]] || name[1] != "" && !names[name[1]]:
			t.Errorf("elbo.md: `%s` is in none of the files that the page names", span[1])
		}
	}
	checkHops(t, "elbo.md", prose, 10)
	for _, h := range asmHop.FindAllStringSubmatch(prose, -1) {
		if !strings.Contains(sources[h[1]], "TEXT ·"+h[2]+"(") {
			t.Errorf("elbo.md: %s: there is no such function in %s", h[0], h[1])
		}
	}

	quoted := 0
	for _, block := range codeBlock.FindAllStringSubmatch(page, -1) {
		quoted++
		found := false
		for _, text := range sources {
			found = found || strings.Contains(tidy(text), tidy(block[2]))
		}
		if !found {
			t.Errorf("elbo.md: in none of the files that the page names:\n%s", block[2])
		}
	}
	if quoted < 5 {
		t.Errorf("elbo.md quotes %d pieces of code, want the naive one, the operation and the loop among them", quoted)
	}
}

func isFolder(path string) bool {
	info, err := os.Stat(filepath.Join(root, filepath.FromSlash(path)))
	return err == nil && info.IsDir()
}

// tidy takes indentation and the alignment within lines out of a text. It begins and
// ends with a newline, so that only whole lines are found in it.
func tidy(text string) string {
	var s strings.Builder
	s.WriteString("\n")
	for line := range strings.Lines(text) {
		s.WriteString(strings.Join(strings.Fields(line), " ") + "\n")
	}
	return s.String()
}

// docPage reads a page under doc.
func docPage(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "cmd/elbo/doc", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
