package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const mit = `Copyright (c) 2020 A. Author

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated documentation files (the "Software"), to deal in the Software without restriction, including without limitation the rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.`

const gpl = `This program is free software: you can redistribute it and/or modify it under the terms of the GNU General Public License as published by the Free Software Foundation, either version 3 of the License, or (at your option) any later version.

This program is distributed in the hope that it will be useful, but WITHOUT ANY WARRANTY; without even the implied warranty of MERCHANTABILITY or FITNESS FOR A PARTICULAR PURPOSE. See the GNU General Public License for more details.`

// fake is a module with these files, of which those in Go are linked.
func fake(t *testing.T, path string, files map[string]string) module {
	t.Helper()
	m := module{Path: path, Version: "v1.2.3", Dir: t.TempDir()}
	for name, content := range files {
		file := filepath.Join(m.Dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
		if filepath.Ext(name) == ".go" {
			m.Packages, m.Sources = append(m.Packages, filepath.Dir(file)), append(m.Sources, file)
		}
	}
	return m
}

func TestAModuleThatMayNotBePassedOnIsAnError(t *testing.T) {
	for _, c := range []struct {
		name, want string
		files      map[string]string
	}{
		{"none", "example.org/m v1.2.3: no licence in ", map[string]string{"a/a.go": "package a"}},
		{"only beside a package", "no licence in ", map[string]string{"a/a.go": "package a", "a/LICENSE": mit}},
		{"unknown", "example.org/m/LICENSE: 0 % of the text is a known licence", map[string]string{"LICENSE": "Ask me first."}},
		{"unknown beside a known one", "example.org/m/a/COPYING: 0 % of the text", map[string]string{"LICENSE": mit, "a/a.go": "package a", "a/COPYING": "Ask me first."}},
		{"copyleft", "the licence GPL-3.0-or-later is not among those accepted", map[string]string{"LICENSE": gpl}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := document([]module{fake(t, "example.org/m", c.files)})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}

func TestEveryTextThatCoversALinkedPackageStandsOnce(t *testing.T) {
	other := strings.Replace(mit, "A. Author", "B. Other", 1)
	text, err := document([]module{
		fake(t, "example.org/one", map[string]string{
			"LICENSE": mit, "a/b/b.go": "package b", "a/LICENCE.txt": strings.Replace(mit, "A. Author", "C. Third", 1),
			"c/LICENSE":            strings.Replace(mit, "A. Author", "D. Not Linked", 1),
			"licenses/any.txt":     strings.Replace(mit, "A. Author", "E. Part", 1),
			"a/b/testdata/LICENSE": "not linked, so not read",
		}),
		fake(t, "example.org/two", map[string]string{"LICENSE.md": strings.ReplaceAll(mit, "\n", "\r\n")}),
		fake(t, "example.org/three", map[string]string{"COPYING": "Copyright \xa9 2020 B. Other" + strings.TrimPrefix(other, "Copyright (c) 2020 B. Other")}),
	})
	if err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]int{
		"Copyright (c) 2020 A. Author":                            1,
		"Copyright (c) 2020 C. Third":                             1,
		"Copyright (c) 2020 E. Part":                              1,
		"D. Not Linked":                                           0,
		"Copyright © 2020 B. Other":                               1, // from Latin-1
		"one v1.2.3: LICENSE\nexample.org/two v1.2.3: LICENSE.md": 1,
		"example.org/three  v1.2.3   MIT":                         1,
		"\r":                                                      0,
	} {
		if got := strings.Count(text, line); got != want {
			t.Errorf("%q stands %d times, want %d, in:\n%s", line, got, want, text)
		}
	}
}

func TestANoticeInAForeignSourceStands(t *testing.T) {
	text, err := document([]module{fake(t, "example.org/m", map[string]string{
		"LICENSE": mit,
		"a.go":    "// Copyright 2019 A. Author. All rights reserved.\n\npackage a\n",
		"b.go":    "package a\n\n// Sum is from elsewhere.\n//\n// Copyright (C) 1993 by Old Company, Inc.\n// Freely granted, if this notice is preserved.\nfunc Sum() {}\n\n/*\n * Copyright 2001 Somebody\n */\n",
		"c.go":    "package a\n\n// Copyright (C) 1994 Old Company, Inc.\n// Freely granted if this notice is preserved.\n\n// \"Copyright 2020 Nobody\" in words: \nvar s = \"Copyright 2020 Nobody\"\n// Sum is from elsewhere.\n",
	})})
	if err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]int{
		"Copyright 2019 A. Author": 0, // the licence names A. Author
		"example.org/m v1.2.3: a comment in b.go\n\nSum is from elsewhere.\n\nCopyright (C) 1993 by Old Company, Inc.\nFreely granted, if this notice is preserved.\n": 1,
		"a comment in b.go\n\nCopyright 2001 Somebody\n": 1,
		"var s": 0,
	} {
		if got := strings.Count(text, line); got != want {
			t.Errorf("%q stands %d times, want %d, in:\n%s", line, got, want, text)
		}
	}
}

// TestCheckFindsAnOldFile: make check fails where the file is not what would be written.
func TestCheckFindsAnOldFile(t *testing.T) {
	file := filepath.Join("..", "..", "doc", "THIRD_PARTY_NOTICES.txt")
	was, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	old := filepath.Join(t.TempDir(), "old.txt")
	if err := os.WriteFile(old, was[:len(was)-1], 0o666); err != nil {
		t.Fatal(err)
	}
	root := filepath.Join("..", "..", "..", "..")
	err = run(root, []string{old}, true)
	if err == nil {
		t.Error("a file that lacks its last byte passes")
	} else if strings.Contains(err.Error(), "go list") {
		t.Skipf("the module cache has not all modules of all systems: %v", err)
	}
}
