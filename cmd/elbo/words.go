package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// count writes a number of things, as in "1 image" and "2 images".
func count[N int | int64](n N, one string) string {
	if n == 1 {
		return fmt.Sprintf("%d %s", n, one)
	}
	return fmt.Sprintf("%d %ss", n, one)
}

// newTable returns a table whose columns are two blanks apart, and whose lines end without
// blanks.
func newTable(w io.Writer, flags uint) *tabwriter.Writer {
	return tabwriter.NewWriter(&trimmed{w: w}, 0, 0, 2, ' ', flags)
}

// trimmed passes on text without the blanks at the ends of lines.
type trimmed struct {
	w      io.Writer
	blanks int // that were written and not passed on
}

func (t *trimmed) Write(text []byte) (int, error) {
	var b strings.Builder
	for _, c := range text {
		switch c {
		case ' ':
			t.blanks++
			continue
		case '\n':
			t.blanks = 0
		}
		b.WriteString(strings.Repeat(" ", t.blanks))
		t.blanks = 0
		b.WriteByte(c)
	}
	if _, err := io.WriteString(t.w, b.String()); err != nil {
		return 0, err
	}
	return len(text), nil
}
