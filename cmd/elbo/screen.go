package main

import (
	"io"
	"os"
	"runtime"
	"strings"

	"golang.org/x/term"
)

// screen is where results go, as far as something is drawn there: a terminal, or a file or a pipe.
type screen struct {
	size    func() (columns, rows int) // of the terminal, now; nil where there is none
	moves   bool                       // the cursor can be moved, so that it can be drawn over
	unicode bool                       // it shows more than ASCII
}

// The size of a terminal that does not tell, and of what is none.
const (
	usualColumns = 80
	usualRows    = 24
)

// screenOf is the screen that w is, by what the environment says of it.
func screenOf(w io.Writer, getenv func(string) string) screen {
	s := screen{unicode: getenv("TERM") != "dumb" && (runtime.GOOS == "windows" || inUTF8(getenv))} // there consoles take UTF-8
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return s
	}
	s.moves = getenv("TERM") != "dumb"
	s.size = func() (int, int) {
		columns, rows, err := term.GetSize(int(f.Fd()))
		if err != nil || columns < 1 || rows < 1 {
			return usualColumns, usualRows
		}
		return columns, rows
	}
	return s
}

// inUTF8 reports whether the locale's characters are in UTF-8: by the first of the variables that
// is set, as POSIX has it.
func inUTF8(getenv func(string) string) bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if locale := getenv(name); locale != "" {
			locale = strings.ToUpper(locale)
			return strings.Contains(locale, "UTF-8") || strings.Contains(locale, "UTF8")
		}
	}
	return false
}

// asciiOf writes a text in ASCII: what it has no character for is a question mark.
func asciiOf(text string) string {
	text = strings.NewReplacer("±", "+-", "…", "~").Replace(text)
	return strings.Map(func(r rune) rune {
		if r > '~' {
			return '?'
		}
		return r
	}, text)
}
