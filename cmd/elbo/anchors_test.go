package main

import (
	"testing"

	"elbo/train"
)

// TestEveryAnchorCanBeTrained, and says where its figures, its bands and its protocol are from.
// A published figure is in its band.
func TestEveryAnchorCanBeTrained(t *testing.T) {
	seen := map[string]bool{}
	for _, a := range anchors() {
		c, err := a.config()
		if err != nil {
			t.Errorf("%s: %v", a.name, err)
			continue
		}
		if seen[a.name] {
			t.Errorf("%s is there twice", a.name)
		}
		seen[a.name] = true
		if a.title == "" || a.source == "" || len(a.differs) == 0 || len(a.figures) == 0 {
			t.Errorf("%s: a title, a source, differences or figures are missing", a.name)
		}
		for _, f := range a.figures {
			if f.source == "" || f.bandFrom == "" {
				t.Errorf("%s: %v has no source, or its band has none", a.name, f)
			}
			for _, v := range f.values {
				if !f.holds(v) {
					t.Errorf("%s: %g is published, which is out of the band %v", a.name, v, f.band)
				}
			}
			if f.what != costLogP && f.samples < 1 {
				t.Errorf("%s: %v has no draws", a.name, f)
			}
		}
		if c.Binarise == "" || len(c.Split) != 2 {
			t.Errorf("%s: what images it has is left open", a.name)
		}
	}
}

// TestAProtocolThatIsCutShortKeepsItsShape: what depends on the number of epochs shrinks with it.
func TestAProtocolThatIsCutShortKeepsItsShape(t *testing.T) {
	c := train.DefaultConfig(train.VAEModel)
	c.Epochs = 500
	own := c.Settings.(*train.VAESettings)
	own.Warmup, own.LRSchedule, own.LRSteps = 100, train.StepRate, []int{200, 350}
	x := &reproduction{config: c, of: 500, anchor: anchor{name: "steps"}}
	x.config = x.shortened(50)
	got := x.config.Settings.(*train.VAESettings)
	if x.config.Epochs != 50 || got.Warmup != 10 || got.LRSteps[0] != 20 || got.LRSteps[1] != 35 {
		t.Errorf("500 epochs cut to 50: %d epochs, warm-up %d, steps %v, want a tenth of each", x.config.Epochs, got.Warmup, got.LRSteps)
	}
	if own.Warmup != 100 || own.LRSteps[0] != 200 {
		t.Error("the protocol itself was changed")
	}
	if want := "steps cut to 50 of 500 epochs"; x.titled() != want {
		t.Errorf("it is called %q, want %q", x.titled(), want)
	}
}
