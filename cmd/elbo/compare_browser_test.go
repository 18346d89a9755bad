package main

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"elbo/cmd/elbo/internal/report"
)

// TestTheReportInABrowser looks at the page of a small comparison in a real browser, on a
// telephone and on a desk, by day and by night.
func TestTheReportInABrowser(t *testing.T) {
	chromium(t)
	p, o := tinyComparison(t, io.Discard, io.Discard)
	if err := runOwnComparison(t.Context(), p, o); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(o.out, "report.json"))
	if err != nil {
		t.Fatal(err)
	}
	c := compared(t, text)

	page := (&url.URL{Scheme: "file", Path: filepath.ToSlash(filepath.Join(o.out, "report.html"))}).String()
	b := startBrowser(t, func(u string) bool { return u == page })
	ctx, cancel := context.WithTimeout(b.ctx, time.Minute) // not of the browser, but of what it is asked
	defer cancel()
	backgrounds := map[string]string{}
	for _, scheme := range []string{"light", "dark"} {
		for _, width := range []int64{390, 1000, 1280} {
			name := fmt.Sprintf("%s, %d px", scheme, width)
			err := shape(ctx, width, scheme)
			if err == nil {
				err = chromedp.Do(ctx, chromedp.Navigate(page))
			}
			var seen inBrowser
			if err == nil {
				seen, err = chromedp.Run(ctx, chromedp.Evaluate[inBrowser](look, chromedp.EvalAwaitPromise))
			}
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			backgrounds[scheme] = seen.Background
			if seen.Width != float64(width) || seen.ScrollWidth > seen.Width {
				t.Errorf("%s: the page is %g px wide in a window of %g", name, seen.ScrollWidth, seen.Width)
			}
			if len(seen.Outside) > 0 {
				t.Errorf("%s: these reach beyond what they are in: %q", name, seen.Outside)
			}
			if len(seen.LowContrast) > 0 || seen.Texts < 100 {
				t.Errorf("%s: of %d texts these have a contrast below 4.5: %q", name, seen.Texts, seen.LowContrast)
			}
			if len(seen.Small) > 0 {
				t.Errorf("%s: these texts of charts are below 10 px: %q", name, seen.Small)
			}
			// Of each model two sheets; of each image a posterior's thumbnail under grid and
			// VAE, and the heat map of the VAE's.
			if len(seen.Broken) > 0 || seen.Images < 3*2+3 {
				t.Errorf("%s: of %d images these did not load: %q", name, seen.Images, seen.Broken)
			}
			if seen.Scripts != 0 {
				t.Errorf("%s: the page has %d scripts, want none", name, seen.Scripts)
			}
			checkRows(t, name, seen.Rows, c)
		}
	}
	if backgrounds["light"] == backgrounds["dark"] {
		t.Errorf("by day and by night the page is %s", backgrounds["light"])
	}
	if requests, complaints := b.seen(); len(complaints) > 0 || requests != 6 {
		t.Errorf("the page was asked for %d times, want 6; the browser complains: %q", requests, complaints)
	}
}

// checkRows compares the page's table with report.json.
func checkRows(t *testing.T, name string, rows map[string]map[string]string, c report.Comparison) {
	t.Helper()
	if len(rows) != len(c.Models) {
		t.Errorf("%s: the table has %d models, report.json %d", name, len(rows), len(c.Models))
	}
	for _, m := range c.Models {
		want := map[string]float64{"recon": m.Recon.Value, "kl": m.KL.Value, "elbo": m.ELBO.Value, "log_p": m.LogP.Value, "gap": m.Gap.Value, "bits_per_dim": m.BitsPD.Value}
		if m.IW != nil {
			want["iw"] = m.IW.Value
		}
		if len(rows[m.Name]) != len(want) {
			t.Errorf("%s: %s has %d figures, want %d", name, m.Name, len(rows[m.Name]), len(want))
		}
		for figure, value := range want {
			text := nats(value)
			if figure == "bits_per_dim" {
				text = fmt.Sprintf("%.4f", value)
			}
			if got := strings.ReplaceAll(rows[m.Name][figure], "−", "-"); got != text {
				t.Errorf("%s: %s of %s reads %q, report.json has %v", name, figure, m.Name, got, value)
			}
		}
	}
}
