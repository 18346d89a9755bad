package main

import (
	"io"
	"strings"
	"unicode/utf8"
)

// oneLine is a terminal's line that a progress bar is drawn on again and again. What
// does not fit is left out, field by field from the right: a line that wraps is not
// drawn over, but leaves a copy of itself behind each time.
type oneLine struct {
	w     io.Writer
	width func() int // of the terminal, in columns
}

// Write draws what stands between carriage returns.
func (l oneLine) Write(text []byte) (int, error) {
	lines := strings.Split(string(text), "\r")
	for i, line := range lines {
		lines[i] = fit(line, l.width()-1) // the last column wraps on some terminals
	}
	_, err := io.WriteString(l.w, strings.Join(lines, "\r"))
	return len(text), err
}

// fit cuts a line to the given number of columns, before a field where there is one:
// fields are set apart by two spaces, or begin with a bracket, a bar or a percentage.
func fit(line string, columns int) string {
	if utf8.RuneCountInString(line) <= columns {
		return line
	}
	runes := []rune(line)
	cut := max(0, columns)
	if strings.TrimSpace(line) == "" { // blanks that wipe the line
		return string(runes[:cut])
	}
	for i := cut; i > 0; i-- {
		if runes[i-1] == ' ' && strings.ContainsRune(" ([|", runes[i]) {
			return strings.TrimRight(string(runes[:i]), " ")
		}
	}
	return string(runes[:cut])
}
