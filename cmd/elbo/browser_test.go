package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
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

// browser is a Chromium that a test drives.
type browser struct {
	ctx context.Context

	mu         sync.Mutex
	requests   int // for what is ours
	complaints []string
}

// startBrowser starts one that ends with the test. It complains of requests that are not ours, of
// messages on the console and of exceptions.
func startBrowser(t *testing.T, ours func(url string) bool) *browser {
	t.Helper()
	path := chromium(t)
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU)
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	b := &browser{ctx: ctx}
	complain := func(format string, args ...any) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.complaints = append(b.complaints, fmt.Sprintf(format, args...))
	}
	err := chromedp.Listen(ctx, func(event any) {
		switch e := event.(type) {
		case *network.EventRequestWillBeSent:
			if u := e.Request.URL; ours(u) {
				b.mu.Lock()
				b.requests++
				b.mu.Unlock()
			} else if !strings.HasPrefix(u, "data:") && !strings.HasPrefix(u, "blob:") {
				complain("it asks for %s", u)
			}
		case *log.EventEntryAdded:
			complain("log: %s %s", e.Entry.Text, e.Entry.URL)
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
			t.Fatalf("%s does not start: %v", path, err)
		}
	}
	return b
}

// seen is how often the browser asked for what is ours, and what it complained of.
func (b *browser) seen() (requests int, complaints []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.requests, b.complaints
}

// shape gives the window a width, that of a telephone below 500, and the colours of day or night:
// "light" or "dark".
func shape(ctx context.Context, width int64, scheme string) error {
	_, err := chromedp.Call(ctx, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: width, Height: 844, DeviceScaleFactor: 1, Mobile: width < 500})
	if err == nil {
		features := []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}
		_, err = chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: features})
	}
	return err
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
	const images = [...document.images].filter(i => i.checkVisibility());
	const sources = [...images.map(i => i.src), ...[...document.querySelectorAll('image')].map(i => i.href.baseVal)];
	const broken = [];
	for (const source of sources) {
		const image = new Image();
		image.src = source;
		try { await image.decode(); } catch (e) { broken.push(source.slice(0, 40)); }
	}
	for (const image of images) if (!image.complete || !image.naturalWidth) broken.push(image.alt);
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
