package data

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
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

// shapeText writes a shape as 60000×28×28.
func shapeText(shape []int) string {
	words := make([]string, len(shape))
	for i, n := range shape {
		words[i] = strconv.Itoa(n)
	}
	return strings.Join(words, "×")
}

// listText joins names with commas and cuts a long list short.
func listText(names []string) string {
	const most = 12
	if len(names) == 0 {
		return "nothing"
	}
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

// clip shortens text from a file before it is quoted.
func clip(text string) string {
	if len(text) > 24 {
		return text[:24] + "..."
	}
	return text
}
