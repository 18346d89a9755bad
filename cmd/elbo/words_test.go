package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"text/tabwriter"

	"elbo/data"
)

func TestOneThingIsNoPlural(t *testing.T) {
	for n, want := range map[int]string{0: "0 images", 1: "1 image", 2: "2 images"} {
		if got := count(n, "image"); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}

// TestALineOfATableEndsWithoutBlanks, also where its last cells are empty.
func TestALineOfATableEndsWithoutBlanks(t *testing.T) {
	var b strings.Builder
	table := newTable(&b, tabwriter.AlignRight)
	fmt.Fprintf(table, "a\tlong heading\tc\t\n1\t\t\t\n\n")
	table.Flush()
	if want := "  a  long heading  c\n  1\n\n"; b.String() != want {
		t.Errorf("%q, want %q", b.String(), want)
	}
}

// TestAllIsSaidOfAShareOnlyWhereItIsAll, and never with a digit that is 0.
func TestAllIsSaidOfAShareOnlyWhereItIsAll(t *testing.T) {
	for share, want := range map[float64]string{0: "0 %", 0.004: "0.4 %", 0.5: "50 %", 0.996: "99.6 %", 0.9999: "over 99.9 %", 1: "100 %"} {
		if got := percent(share); got != want {
			t.Errorf("%g: %q, want %q", share, got, want)
		}
	}
}

// TestAMessageNamesFilesAndNotPackages, even where a file is called like one.
func TestAMessageNamesFilesAndNotPackages(t *testing.T) {
	_, err := data.Open("data")
	if err == nil {
		t.Fatal("there is a file called data")
	}
	err = fmt.Errorf("one: %w", errors.Join(errors.New("data: of another kind"), err))
	if got, want := plainly(err), "one: data: of another kind\ndata: not found, "; !strings.HasPrefix(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

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
