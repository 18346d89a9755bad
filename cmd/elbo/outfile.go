package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// outFile checks the name of a file that is to be written: its ending, of which it returns
// the one that it has, and that its directory is there.
func outFile(out string, endings ...string) (string, error) {
	ext := strings.ToLower(filepath.Ext(out))
	if !slices.Contains(endings, ext) {
		return "", usagef("--out %s: want a name that ends in %s", out, orList(endings))
	}
	dir := filepath.Dir(out)
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return "", usagef("--out %s: there is no directory %s: make it, or choose another place", out, dir)
	}
	return ext, nil
}

// orList lists words, as in ".csv, .npy or .npz".
func orList(words []string) string {
	last := len(words) - 1
	if last < 1 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:last], ", ") + " or " + words[last]
}
