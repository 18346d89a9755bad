//go:build unix

package data

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// What is no regular file is named, and not waited for: nobody writes to this pipe.
func TestOnlyRegularFilesAreRead(t *testing.T) {
	im := Synthetic(3, 2, 2, 1)
	dir := folder(t, map[string][]byte{"real": idxOf(im), testImages: idxOf(im)})
	pipe := filepath.Join(dir, trainImages)
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Skipf("no named pipes here: %v", err)
	}
	for link, target := range map[string]string{"to-pipe": pipe, "to-real": filepath.Join(dir, "real")} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	const problem = "want a file on disk: save the data to one and name that"
	tests := []struct{ source, want string }{
		{pipe, "data: train-images-idx3-ubyte: not a regular file but a pipe, " + problem},
		{dir, "data: train-images-idx3-ubyte: not a regular file but a pipe, " + problem},
		{filepath.Join(dir, "to-pipe"), "data: to-pipe: not a regular file but a pipe, " + problem},
		{os.DevNull, "data: " + os.DevNull + ": not a regular file but a device, " + problem},
		{filepath.Join(dir, "to-real"), "no error"},
	}
	for _, tt := range tests {
		_, err := open(tt.source, plenty())
		if found := message(err, dir); found != tt.want {
			t.Errorf("Open(%s)\nfound %s\nwant  %s", tt.source, found, tt.want)
		}
		_, err = describe(tt.source, plenty())
		if found := message(err, dir); found != tt.want {
			t.Errorf("Describe(%s)\nfound %s\nwant  %s", tt.source, found, tt.want)
		}
	}
}
