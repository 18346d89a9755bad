package run

import (
	"fmt"
	"io"
	"os"
)

// largestConfig bounds a file of settings, in bytes: far above any that can be meant.
const largestConfig = 1 << 20

// ReadConfigFile reads a file of settings. It must be a regular one, as a pipe may
// never end, of at most a megabyte.
func ReadConfigFile(path string) ([]byte, error) {
	// Before Open, which would wait for a writer to a pipe. What cannot be looked at, Open
	// says why.
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file, want a file with a JSON object", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, largestConfig+1))
	if err == nil && len(text) > largestConfig {
		err = fmt.Errorf("%s has more than %d bytes, want a few lines of settings", path, largestConfig)
	}
	return text, err
}
