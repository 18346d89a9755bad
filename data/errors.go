package data

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"unicode"
)

// FormatError says what is wrong with a source of images: it is missing,
// unreadable, damaged, or in no format this package reads. Every error of Open
// and Describe is one, or joins several.
type FormatError struct {
	File    string // the file or folder, and the array inside it
	Problem string // what was found, what was wanted, the next thing to try
	Err     error  // the cause, or nil
}

func (e *FormatError) Error() string {
	if e.Err == nil {
		return "data: " + e.File + ": " + e.Problem
	}
	return "data: " + e.File + ": " + e.Problem + " (" + e.Err.Error() + ")"
}

func (e *FormatError) Unwrap() error { return e.Err }

// fault returns a FormatError without a cause.
func fault(file, format string, args ...any) error {
	return &FormatError{File: file, Problem: fmt.Sprintf(format, args...)}
}

// accessFault wraps an error of the file system. The path is in File already.
func accessFault(file string, err error) error {
	problem := "cannot be read"
	if errors.Is(err, fs.ErrNotExist) {
		problem = `not found, want "mnist", a folder or a file`
	}
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		err = pathErr.Err
	}
	return &FormatError{File: file, Problem: problem, Err: err}
}

// shapeText writes a shape as "60000×28×28", or with sep ", " as "60000, 28, 28",
// and cuts one short that no array of images has.
func shapeText(shape []int, sep string) string {
	const most = 8
	words := make([]string, 0, most)
	for _, n := range shape[:min(len(shape), most)] {
		words = append(words, strconv.Itoa(n))
	}
	if len(shape) > most {
		return fmt.Sprintf("%s%s...%s(%d dimensions)", strings.Join(words, sep), sep, sep, len(shape))
	}
	return strings.Join(words, sep)
}

// listText joins names with commas. It cuts a long list short, and long names.
func listText(names []string) string {
	const most = 12
	if len(names) == 0 {
		return "nothing"
	}
	words := make([]string, 0, most)
	for _, name := range names[:min(len(names), most)] {
		words = append(words, plain(cut(name, 60)))
	}
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(words, ", "), len(names)-most)
	}
	return strings.Join(words, ", ")
}

// clip shortens text from a file before it is quoted.
func clip(text string) string { return cut(text, 24) }

// cut shortens text to about most bytes.
func cut(text string, most int) string {
	if len(text) > most {
		return text[:most] + "..."
	}
	return text
}

// plain replaces what a terminal would not print, for a name that is not quoted.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, text)
}
