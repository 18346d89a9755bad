package main

import (
	"os"
	"path/filepath"
	"testing"
)

// TestTheAssemblyIsWhatIsWritten: a change of one is a change of the other.
func TestTheAssemblyIsWhatIsWritten(t *testing.T) {
	for name, want := range Files() {
		if got, err := os.ReadFile(filepath.Join("..", "..", "..", "..", "graph", "gemm", name)); err != nil || string(got) != want {
			t.Errorf("%s is not what cmd/elbo/internal/gemmasm writes (%v): run go generate ./graph/gemm", name, err)
		}
	}
}
