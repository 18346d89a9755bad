package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// outFile checks the name of a file that --out says is to be written: its ending, of which it
// returns the one that it has, and that its directory is there.
func outFile(out string, endings ...string) (string, error) {
	return flagFile("--out", out, endings...)
}

// flagFile is outFile of another flag.
func flagFile(flag, out string, endings ...string) (string, error) {
	ext := strings.ToLower(filepath.Ext(out))
	if !slices.Contains(endings, ext) {
		return "", usagef("%s %s: want a name that ends in %s", flag, out, orList(endings))
	}
	dir := filepath.Dir(out)
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return "", usagef("%s %s: there is no directory %s: make it, or choose another place", flag, out, dir)
	}
	return ext, nil
}

// outFileOf is the file that is to be written of a run: out, checked as outFile does it, or
// where none is given, name in the run's directory. A single checkpoint has no such directory:
// what says what then has to be named.
func outFileOf(path, out, name, what string, endings ...string) (string, error) {
	if out != "" {
		_, err := outFile(out, endings...)
		return out, err
	}
	if info, err := os.Stat(path); err == nil && !info.IsDir() {
		return "", usagef("%s is a checkpoint: name the %s with --out", path, what)
	}
	return filepath.Join(path, name), nil
}

// orList lists words, as in ".csv, .npy or .npz".
func orList(words []string) string {
	last := len(words) - 1
	if last < 1 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:last], ", ") + " or " + words[last]
}
