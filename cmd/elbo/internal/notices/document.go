package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"unicode/utf8"

	"github.com/google/licensecheck"
)

// accepted are the licences, by their SPDX names, under which a module may be linked: what
// they ask is that their texts are passed on, as here, or less.
var accepted = []string{
	"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC-BY-3.0", "CC-BY-4.0", "CC0-1.0", "FTL",
	"GooglePatentsFile", "HPND", "ISC", "MIT", "NCSA", "OFL-1.1", "OpenSSL", "Unlicense", "Zlib",
}

// coverage is how much of a text, in percent, must be a known licence.
const coverage = 75

// reviewed are texts that stand in no list of licences, and what a person who read them
// found, "" where they are no licence. None has terms beyond those of accepted.
var reviewed = map[string]string{
	"elbo/NOTICE": "", // of the row on MNIST
	"github.com/ajstarks/svgo/LICENSE-link.txt":                     "CC-BY-4.0",
	"github.com/golang/freetype/LICENSE":                            "FTL", // of FTL or GPL, by choice
	"gonum.org/v1/gonum/THIRD_PARTY_LICENSES/Bogaert-LICENSE":       "disclaimer of I. Bogaert",
	"gonum.org/v1/gonum/THIRD_PARTY_LICENSES/MT19937-64-LICENSE":    "BSD-3-Clause",
	"gonum.org/v1/gonum/THIRD_PARTY_LICENSES/Sun-LICENSE":           "SunPro",
	"gonum.org/v1/gonum/THIRD_PARTY_LICENSES/W3C-TestSuite-LICENSE": "W3C test suite",
}

// notChosen are licences that a module offers beside the one that was chosen.
var notChosen = []string{"github.com/golang/freetype/licenses/gpl.txt"}

// credits are sentences that a licence asks for and no file of the module has.
var credits = map[string]string{
	"github.com/golang/freetype": `Portions of this software are copyright © 2010 The Freetype-Go Authors and
© 1996-2006 The FreeType Project (https://www.freetype.org). All rights reserved.
This software is based in part on the work of the FreeType Team.`,
	"github.com/ajstarks/svgo": `SVGo, by Anthony Starks (https://github.com/ajstarks/svgo), is used unchanged under
the licence CC BY 4.0 (https://creativecommons.org/licenses/by/4.0/).`,
	"github.com/apache/arrow/go/arrow": `Apache Arrow
Copyright 2016-2019 The Apache Software Foundation

This product includes software developed at
The Apache Software Foundation (http://www.apache.org/).`,
}

// text is one text and what it covers.
type text struct {
	words   string
	licence string
	covers  []string // a module and a file of it
}

// document writes the notices: a table of the modules, the credits, and every text once,
// with the modules that it covers.
func document(modules []module) (string, error) {
	var texts []*text
	byWords := map[string]*text{} // by their words, however they are broken into lines
	add := func(words, licence, covers string) {
		key := strings.Join(strings.Fields(words), " ")
		t := byWords[key]
		if t == nil {
			t = &text{words: words, licence: licence}
			byWords[key], texts = t, append(texts, t)
		}
		t.covers = append(t.covers, covers)
	}

	var table, thanks strings.Builder
	columns := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintf(columns, "module\tversion\tlicence\n")
	goLicence := ""
	for _, m := range modules {
		files, err := licenceFiles(m)
		if err != nil {
			return "", err
		}
		var licences []string
		all := goLicence
		for _, file := range files {
			if slices.Contains(notChosen, m.Path+"/"+file) {
				continue
			}
			words, err := os.ReadFile(filepath.Join(m.Dir, filepath.FromSlash(file)))
			if err != nil {
				return "", fmt.Errorf("%s: %w", m.name(), err)
			}
			tidied := tidy(string(words))
			ids, err := recognise(m.Path+"/"+file, tidied)
			if err != nil {
				return "", err
			}
			if !strings.Contains(file, "/") {
				licences = append(licences, ids...)
			}
			all += "\n" + tidied
			add(tidied, strings.Join(ids, ", "), m.name()+": "+file)
		}
		if len(licences) == 0 {
			return "", fmt.Errorf("%s: no licence in %s: without one nobody may pass it on", m.name(), m.Dir)
		}
		foreign, err := foreignComments(m, all)
		if err != nil {
			return "", err
		}
		for _, comment := range foreign {
			add(comment[1], "", fmt.Sprintf("%s: a comment in %s", m.name(), comment[0]))
		}
		if strings.HasPrefix(m.Path, "Go,") {
			goLicence = all // many modules have parts of Go
		}
		if credit := credits[m.Path]; credit != "" {
			fmt.Fprintf(&thanks, "%s\n\n", credit)
		}
		version := m.Version
		if version == "" {
			version = "-"
		}
		fmt.Fprintf(columns, "%s\t%s\t%s\n", m.Path, version, summary(licences))
		if m.Path == "elbo" {
			fmt.Fprintf(columns, "MNIST, the data set\t-\tCC-BY-SA-3.0\n") // see NOTICE
		}
	}
	columns.Flush()

	var s strings.Builder
	s.WriteString(preface)
	for line := range strings.Lines(table.String()) {
		s.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	s.WriteString("\n" + thanks.String())
	for _, t := range texts {
		s.WriteString(rule)
		if t.licence != "" {
			s.WriteString(t.licence + "\n")
		}
		for _, covers := range t.covers {
			s.WriteString(covers + "\n")
		}
		s.WriteString("\n" + t.words + "\n\n")
	}
	return s.String(), nil
}

const preface = `elbo and all that is linked into it: the licences, and the notices that they ask to be
passed on. Texts that are equal stand once. (Written by make licences; do not edit.)

`

var rule = strings.Repeat("=", 80) + "\n"

// recognise names the licences in a text, the main one first.
func recognise(name, words string) ([]string, error) {
	if licence, known := reviewed[name]; known {
		if licence == "" {
			return nil, nil
		}
		return []string{licence}, nil
	}
	found := licensecheck.Scan([]byte(words))
	if found.Percent < coverage {
		return nil, fmt.Errorf("%s: %.0f %% of the text is a known licence, want %d %%: read it, and say in package notices what it is", name, found.Percent, coverage)
	}
	var ids []string
	for _, match := range found.Match {
		if !slices.Contains(accepted, match.ID) {
			return nil, fmt.Errorf("%s: the licence %s is not among those accepted: read it, and add it to them in package notices, or go without the module", name, match.ID)
		}
		if !slices.Contains(ids, match.ID) {
			ids = append(ids, match.ID)
		}
	}
	return ids, nil
}

// summary is the licences of a module in a column: of many, as of a module with a list of
// parts from elsewhere, the first, which is its own.
func summary(licences []string) string {
	var names []string
	for _, name := range licences {
		if name != "GooglePatentsFile" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if len(names) > 3 {
		return names[0] + ", parts under others"
	}
	return strings.Join(names, ", ")
}

// tidy returns a text in UTF-8, with plain line ends, and without space around it or at
// the ends of lines.
func tidy(s string) string {
	if !utf8.ValidString(s) { // Latin-1, whose bytes are the code points
		runes := make([]rune, len(s))
		for i := range len(s) {
			runes[i] = rune(s[i])
		}
		s = string(runes)
	}
	lines := strings.Split(strings.ReplaceAll(s, "\r\n", "\n"), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimRight(line, " \t\f\r")
	}
	return strings.Trim(strings.Join(lines, "\n"), "\n")
}
