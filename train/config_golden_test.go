package train

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestConfigurationFilesKeepTheirBytes: config.json of runs that there are is compared
// byte by byte, so the files in testdata, which an earlier program wrote, are read and
// written as they are; those that are named after a model alone are its defaults.
func TestConfigurationFilesKeepTheirBytes(t *testing.T) {
	files, err := filepath.Glob("testdata/config/*.json")
	if err != nil || len(files) != 6 {
		t.Fatalf("%d files, error %v, want 6 and none", len(files), err)
	}
	for _, file := range files {
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if c, err := ReadConfig(want); err != nil {
			t.Errorf("%s: %v", file, err)
		} else if got := c.JSON(); string(got) != string(want) {
			t.Errorf("%s: written as\n%s", file, got)
		}
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		if got := DefaultConfig(name).JSON(); !strings.HasSuffix(name, "-set") && string(got) != string(want) {
			t.Errorf("%s: the defaults are written as\n%s", file, got)
		}
	}
}
