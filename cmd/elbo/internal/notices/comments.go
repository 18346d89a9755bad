package main

import (
	"fmt"
	"go/scanner"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

var (
	copyrightLine = regexp.MustCompile(`(?i)(copyright|\(c\)|©).*\b(19|20)\d\d\b`)
	// besidesHolder is all of a copyright line that does not say whose it is.
	besidesHolder = regexp.MustCompile(`(?i)copyright|\(c\)|©|\b(19|20)\d\d\b|all rights reserved|\bby\b|[^\pL@]+`)
)

// foreignComments returns the comments in a module's sources with a copyright whose holder
// the module's licences, in known, do not name: code from elsewhere, with a notice of its own.
// Comments that differ in years alone count as one. A comment is its file, relative to the
// module, and its words.
func foreignComments(m module, known string) ([][2]string, error) {
	known = holder(known)
	var found [][2]string
	seen := map[string]bool{}
	for _, file := range m.Sources {
		source, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.name(), err)
		}
		for _, comment := range comments(source) {
			foreign := false
			for line := range strings.Lines(comment) {
				foreign = foreign || copyrightLine.MatchString(line) && !strings.Contains(known, holder(line))
			}
			if key := holder(comment); foreign && !seen[key] {
				seen[key] = true
				relative, err := filepath.Rel(m.Dir, file)
				if err != nil {
					return nil, err
				}
				found = append(found, [2]string{filepath.ToSlash(relative), comment})
			}
		}
	}
	return found, nil
}

// holder is what a text says, without case, signs and years.
func holder(text string) string {
	return strings.TrimSpace(besidesHolder.ReplaceAllString(strings.ToLower(text), " "))
}

// comments returns the blocks of comments in a Go or assembler file, without their marks.
func comments(source []byte) []string {
	set := token.NewFileSet()
	file := set.AddFile("", set.Base(), len(source))
	var s scanner.Scanner
	s.Init(file, source, func(token.Position, string) {}, scanner.ScanComments)
	var blocks []string
	var block strings.Builder
	next := 0 // the line on which a comment goes on with the block
	for {
		pos, tok, text := s.Scan()
		if tok == token.SEMICOLON && text == "\n" {
			continue
		}
		line := file.Line(pos)
		if tok != token.COMMENT || line != next {
			if block.Len() > 0 {
				blocks = append(blocks, tidy(block.String()))
			}
			block.Reset()
		}
		if tok == token.EOF {
			return blocks
		}
		if tok == token.COMMENT {
			block.WriteString(unmarked(text) + "\n")
			next = line + strings.Count(text, "\n") + 1
		}
	}
}

// unmarked takes the marks of a comment off.
func unmarked(comment string) string {
	if line, is := strings.CutPrefix(comment, "//"); is {
		return strings.TrimPrefix(line, " ")
	}
	lines := strings.Split(strings.TrimSuffix(strings.TrimPrefix(comment, "/*"), "*/"), "\n")
	for i, line := range lines {
		if rest, starred := strings.CutPrefix(strings.TrimLeft(line, " \t"), "*"); starred {
			line = rest
		}
		lines[i] = strings.TrimPrefix(line, " ")
	}
	return strings.Join(lines, "\n")
}
