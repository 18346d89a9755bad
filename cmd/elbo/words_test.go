package main

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestABestEpochOfZeroIsThere: iteration 0 of EM may be the best.
func TestABestEpochOfZeroIsThere(t *testing.T) {
	for _, c := range []struct {
		report trainReport
		want   bool
	}{{trainReport{BestEpoch: new(0), ValidationBound: new(-1.0)}, true}, {trainReport{}, false}} {
		text, err := json.Marshal(c.report)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(string(text), `"best_epoch":0`); got != c.want {
			t.Errorf("%s: best_epoch is there: %v, want %v", text, got, c.want)
		}
	}
}
