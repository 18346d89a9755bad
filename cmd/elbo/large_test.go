package main

import (
	"bytes"
	"strings"
	"testing"

	"elbo/data"
	"elbo/graph/graphtest"
	"elbo/train"
)

// TestALargeModelSaysWhatItTakes, before it is trained; a small one has nothing to say.
func TestALargeModelSaysWhatItTakes(t *testing.T) {
	for hidden, want := range map[int]string{
		400:   "",
		12000: "  size   19.6 million parameters, 0.23 GB a checkpoint (the last and the best are kept), about 0.",
	} {
		c := train.DefaultConfig(train.VAEModel)
		c.Settings.(*train.VAESettings).Hidden, c.Binarise = []int{hidden}, data.Threshold
		s, err := train.NewSetup(c, 2, graphtest.Engine)
		if err != nil {
			t.Fatal(err)
		}
		var said bytes.Buffer
		(&program{stderr: &said}).sayWhat(s)
		if _, size, found := strings.Cut(said.String(), "  size "); found != (want != "") || !strings.HasPrefix("  size "+size, want) {
			t.Errorf("%d hidden units: said\n%swant a line %q", hidden, said.String(), want)
		}
	}
}
