package main

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"elbo/cmd/elbo/internal/report"
)

// chromium is a browser on this machine. Without one the test is skipped, but for CI,
// which installs it.
func chromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "headless-shell"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("no Chromium, and CI=true: .ci/run installs it (Debian package chromium)")
	}
	t.Skip("no Chromium on this machine: the report is not looked at (Debian package chromium)")
	return ""
}

// inBrowser is what the page says of itself once it is laid out.
type inBrowser struct {
	Width, ScrollWidth float64
	Background         string
	LowContrast        []string // texts, with the ratio of their colour to what is behind
	Texts              int      // that were looked at
	Small              []string // texts of charts below 10 px, with their size
	Broken             []string // images that did not load
	Images             int
	Scripts            int
	Outside            []string                     // elements that reach beyond the one they are in
	Rows               map[string]map[string]string // model, figure: as it stands there
}

// look computes inBrowser. Contrast is WCAG 2.2's, of the colour of each text and of the
// first ancestor's background that is not transparent; of SVG texts it is their fill.
const look = `(async () => {
	const luminance = c => {
		const [r, g, b] = c.map(v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
		return 0.2126 * r + 0.7152 * g + 0.0722 * b;
	};
	const parse = text => text.match(/[\d.]+/g).map(Number);
	const behind = e => {
		for (; e; e = e.parentElement) {
			const c = parse(getComputedStyle(e).backgroundColor);
			if (c.length === 3 || c[3] === 1) return c.slice(0, 3);
		}
		return [255, 255, 255];
	};
	const low = [], small = [];
	let texts = 0;
	const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	for (let n; n = walker.nextNode();) {
		const e = n.parentElement, style = getComputedStyle(e);
		if (!n.data.trim() || style.display === 'none') continue;
		texts++;
		if (e instanceof SVGElement) {
			const m = e.getScreenCTM(), size = Math.hypot(m.a, m.b) * parseFloat(style.fontSize);
			if (size < 10) small.push(n.data.trim().slice(0, 40) + ' ' + size.toFixed(1));
		}
		const ink = parse(e instanceof SVGElement ? style.fill : style.color).slice(0, 3);
		const [a, b] = [luminance(ink), luminance(behind(e))].sort((x, y) => y - x);
		const ratio = (a + 0.05) / (b + 0.05);
		if (ratio < 4.5) low.push(n.data.trim().slice(0, 40) + ' ' + ratio.toFixed(2));
	}
	const sources = [...[...document.images].map(i => i.src), ...[...document.querySelectorAll('image')].map(i => i.href.baseVal)];
	const broken = [];
	for (const source of sources) {
		const image = new Image();
		image.src = source;
		try { await image.decode(); } catch (e) { broken.push(source.slice(0, 40)); }
	}
	for (const image of document.images) if (!image.complete || !image.naturalWidth) broken.push(image.alt);
	const outside = [...document.querySelectorAll('main > *, section > *, figure > *')]
		.filter(e => e.getBoundingClientRect().right > e.parentElement.getBoundingClientRect().right + 0.5).map(e => e.outerHTML.slice(0, 40));
	const rows = {};
	for (const tr of document.querySelectorAll('#models tbody tr')) {
		rows[tr.dataset.model] = Object.fromEntries([...tr.querySelectorAll('[data-figure]')].map(e => [e.dataset.figure, e.textContent]));
	}
	return {
		Width: innerWidth, ScrollWidth: document.documentElement.scrollWidth,
		Background: getComputedStyle(document.body).backgroundColor,
		LowContrast: low, Small: small, Texts: texts, Broken: broken, Images: sources.length,
		Scripts: document.scripts.length, Rows: rows, Outside: outside,
	};
})()`

// TestTheReportInABrowser looks at the page of a small comparison in a real browser, on a
// telephone and on a desk, by day and by night.
func TestTheReportInABrowser(t *testing.T) {
	browser := chromium(t)
	p, o := tinyComparison(t, io.Discard, io.Discard)
	if err := runOwnComparison(t.Context(), p, o); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(o.out, "report.json"))
	if err != nil {
		t.Fatal(err)
	}
	c := compared(t, text)

	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(browser), chromedp.NoSandbox, chromedp.DisableGPU)
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	defer cancel()
	ctx, cancel = chromedp.NewContext(ctx)
	defer cancel()

	page := (&url.URL{Scheme: "file", Path: filepath.ToSlash(filepath.Join(o.out, "report.html"))}).String()
	var mutex sync.Mutex
	var complaints []string
	requests := 0
	complain := func(format string, args ...any) {
		mutex.Lock()
		defer mutex.Unlock()
		complaints = append(complaints, fmt.Sprintf(format, args...))
	}
	err = chromedp.Listen(ctx, func(event any) {
		switch e := event.(type) {
		case *network.EventRequestWillBeSent:
			if u := e.Request.URL; u == page {
				mutex.Lock()
				requests++
				mutex.Unlock()
			} else if !strings.HasPrefix(u, "data:") {
				complain("it asks for %s", u)
			}
		case *log.EventEntryAdded:
			complain("log: %s", e.Entry.Text)
		case *runtime.EventConsoleAPICalled:
			complain("console: %s", e.Type)
		case *runtime.EventExceptionThrown:
			complain("exception: %s", e.ExceptionDetails.Text)
		}
	})
	for _, enable := range []func() error{
		func() error { return err },
		func() error { _, err := chromedp.Call(ctx, network.Enable, network.EnableParams{}); return err },
		func() error { _, err := chromedp.Call(ctx, log.Enable, cdp.Empty{}); return err },
		func() error { _, err := chromedp.Call(ctx, runtime.Enable, cdp.Empty{}); return err },
	} {
		if err := enable(); err != nil {
			t.Fatalf("%s does not start: %v", browser, err)
		}
	}
	ctx, cancel = context.WithTimeout(ctx, time.Minute) // not of the browser, but of what it is asked
	defer cancel()
	backgrounds := map[string]string{}
	for _, scheme := range []string{"light", "dark"} {
		for _, width := range []int64{390, 1000, 1280} {
			name := fmt.Sprintf("%s, %d px", scheme, width)
			_, err := chromedp.Call(ctx, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: width, Height: 844, DeviceScaleFactor: 1, Mobile: width < 500})
			if err == nil {
				scheme := []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}
				_, err = chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: scheme})
			}
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
	mutex.Lock()
	defer mutex.Unlock()
	if len(complaints) > 0 || requests != 6 {
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
