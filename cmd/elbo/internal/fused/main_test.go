package main

import (
	"strings"
	"testing"
)

// TestFusedProductsAreFound in lines as the compiler lists them, each once, and not where
// they may be.
func TestFusedProductsAreFound(t *testing.T) {
	listing := strings.Join([]string{
		"# elbo/graph",
		"elbo/graph.(*Builder).Bound.func1 STEXT size=128 args=0x30 locals=0x0",
		"\t0x0038 00056 (/here/graph/op_bound.go:82)\tFMULS\tF0, F1, F2",
		"\t0x003c 00060 (/here/graph/op_bound.go:82)\tFMSUBS\tF0, F1, F2, F3",
		"\t0x0044 00068 (/here/graph/op_bound.go:82)\tFMSUBS\tF0, F1, F2, F3",
		"\t0x0048 00072 (/here/graph/op_bound.go:90)\tFNMADDD\tF0, F1, F2, F3",
		"elbo/graph/graphtest.Random STEXT size=64",
		"\t0x0010 00016 (/here/graph/graphtest/graphtest.go:9)\tFMADDD\tF0, F1, F2, F3",
		"elbo/train.(*vae).Kept STEXT size=64",
		"\t0x0010 00016 (/here/train/kind_shared.go:9)\tFMADDD\tF0, F1, F2, F3",
	}, "\n")
	found, functions, err := read(strings.NewReader(listing), "/here/")
	if err != nil {
		t.Fatal(err)
	}
	want := []product{{"graph/op_bound.go:82", "elbo/graph.(*Builder).Bound.func1"}, {"graph/op_bound.go:90", "elbo/graph.(*Builder).Bound.func1"}}
	if functions != 3 || len(found) != 2 || found[0] != want[0] || found[1] != want[1] {
		t.Errorf("found %v in %d functions, want %v in 3", found, functions, want)
	}
}
