package main

import (
	"context"
	"encoding/json"
	"fmt"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// served starts `elbo serve` with a port that is free, until the test ends, and returns the address
// that it prints.
func served(t *testing.T, args ...string) string {
	t.Helper()
	stop, address, ended := servedUntil(t, args...)
	t.Cleanup(func() {
		stop()
		if code := <-ended; code != 0 {
			t.Errorf("elbo serve ended with exit code %d", code)
		}
	})
	return address
}

// servedUntil is served until it is told to stop.
func servedUntil(t *testing.T, args ...string) (stop func(), address string, ended <-chan int) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	out, in := io.Pipe()
	code := make(chan int, 1)
	go func() {
		code <- execute(ctx, append([]string{"elbo", "serve", "--addr", "127.0.0.1:0"}, args...), in, io.Discard)
		in.Close()
	}()
	if _, err := fmt.Fscanln(out, &address); err != nil {
		t.Fatalf("elbo serve printed no address: %v", err)
	}
	return cancel, strings.TrimSuffix(address, "/"), code
}

// elbo runs a command line that has to succeed.
func elbo(t *testing.T, args ...string) {
	t.Helper()
	if code := execute(t.Context(), append([]string{"elbo"}, args...), io.Discard, t.Output()); code != 0 {
		t.Fatalf("elbo %s ended with exit code %d", strings.Join(args, " "), code)
	}
}

// unnamed are what can be used or seen on the page, and has no name for who hears it.
const unnamed = `[...document.querySelectorAll('a, button, input, canvas, img, svg[role=img], meter')].filter(e => {
	if (e.checkVisibility && !e.checkVisibility()) return false;
	const label = e.labels && e.labels.length ? [...e.labels].map(l => l.textContent).join('') : '';
	return !(e.getAttribute('aria-label') || e.alt || e.textContent.trim() || label.trim());
}).map(e => e.outerHTML.slice(0, 80))`

// TestThePageFollowsARunAndWalksItsLatentSpace: a run that is trained during the test appears and
// moves; its latent space is walked by keys alone, and the pixels are those of elbo decode; on a
// telephone and on a desk, by day and by night, nothing is too pale, too wide or without a name.
func TestThePageFollowsARunAndWalksItsLatentSpace(t *testing.T) {
	chromium(t)
	dir := t.TempDir()
	address := served(t, dir)
	b := startBrowser(t, func(u string) bool { return strings.HasPrefix(u, address) })
	ctx, cancel := context.WithTimeout(b.ctx, 4*time.Minute)
	defer cancel()
	do := func(what string, steps ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		if err := chromedp.Do(ctx, steps...); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	value := func(expression string) (text string) {
		t.Helper()
		text, err := chromedp.Run(ctx, chromedp.Evaluate[string](expression))
		if err != nil {
			t.Fatalf("%s: %v", expression, err)
		}
		return text
	}
	until := func(what, expression string) {
		t.Helper()
		if err := waitUntil(what, func() bool { time.Sleep(20 * time.Millisecond); return value("String("+expression+")") == "true" }); err != nil {
			t.Fatalf("%v; the page says %q", err, value("document.body.innerText"))
		}
	}
	press := func(keys string) { t.Helper(); do("keys", chromedp.KeyEvent(keys)) }
	// tab moves the focus on by key until it is on what a selector finds.
	tab := func(selector string) {
		t.Helper()
		for range 60 {
			if value("String(document.activeElement.matches("+quoted(selector)+"))") == "true" {
				return
			}
			press("\t")
		}
		t.Fatalf("the key Tab does not come to %s", selector)
	}

	if err := shape(ctx, 1280, "light"); err != nil {
		t.Fatal(err)
	}
	do("open", chromedp.Navigate(address+"/"))
	until("an empty list", `document.getElementById('state').textContent === '0 runs'`)

	path := filepath.Join(dir, "plane")
	trained := make(chan int)
	go func() {
		trained <- execute(t.Context(), []string{"elbo", "train", "--quick", "--latent", "2", "--hidden", "16", "--epochs", "60", "--batch", "100", "--workers", "1", "--out", path}, io.Discard, io.Discard)
	}()
	until("the run on the list", `document.querySelectorAll('#runs li').length === 1`)
	tab("#runs a")
	press("\r")
	until("messages", `document.querySelectorAll('#messages li').length > 0`)
	until("a run in training", `document.getElementById('run-figures').textContent.includes('in training')`)
	first := value(`document.querySelector('#messages li').textContent`)
	until("another epoch", `document.querySelector('#messages li').textContent !== `+quoted(first))
	if code := <-trained; code != 0 {
		t.Fatalf("elbo train ended with exit code %d", code)
	}
	until("the end of the run", `document.getElementById('run-figures').textContent.includes('finished')`)
	until("charts", `document.querySelectorAll('#run-charts svg').length === 4`)
	until("pictures", `document.querySelectorAll('#run-pictures img').length === 4 && [...document.images].every(i => i.complete)`)
	tab("#rate")
	press("\r")
	until("KL a dimension", `document.querySelectorAll('#kl tbody tr').length === 2`)

	looks := func(page string) {
		t.Helper()
		for _, scheme := range []string{"light", "dark"} {
			for _, width := range []int64{390, 1280} {
				name := fmt.Sprintf("%s, %s, %d px", page, scheme, width)
				if err := shape(ctx, width, scheme); err != nil {
					t.Fatal(err)
				}
				until("charts of this width", `[...document.querySelectorAll('figure[data-of] svg')].filter(s => s.checkVisibility()).every(s => Math.abs(s.viewBox.baseVal.width - s.parentElement.clientWidth) < 1)`)
				seen, err := chromedp.Run(ctx, chromedp.Evaluate[inBrowser](look, chromedp.EvalAwaitPromise))
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if seen.ScrollWidth > seen.Width {
					t.Errorf("%s: the page is %g px wide in a window of %g", name, seen.ScrollWidth, seen.Width)
				}
				if len(seen.Small) > 0 {
					t.Errorf("%s: these texts of charts are below 10 px: %q", name, seen.Small)
				}
				if len(seen.LowContrast) > 0 || len(seen.Broken) > 0 {
					t.Errorf("%s: these have a contrast below 4.5: %q; these pictures did not load: %q", name, seen.LowContrast, seen.Broken)
				}
				var without []string
				if without, err = chromedp.Run(ctx, chromedp.Evaluate[[]string](unnamed)); err != nil || len(without) > 0 {
					t.Errorf("%s: these have no name: %q (%v)", name, without, err)
				}
				shot, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
				if err == nil {
					err = os.WriteFile(filepath.Join(t.ArtifactDir(), strings.NewReplacer(", ", "-", " px", "").Replace(name)+".png"), shot, 0o666)
				}
				if err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
		if err := shape(ctx, 1280, "light"); err != nil {
			t.Fatal(err)
		}
	}
	looks("run")

	tab("#to-explore")
	press("\r")
	until("a decoded image", `document.getElementById('decoded').dataset.z !== undefined`)
	until("the plane", `!document.getElementById('plane-figure').hidden`)
	origin := value(`document.getElementById('decoded').toDataURL()`)
	tab("#plane")
	for range 20 {
		press(kb.ArrowRight)
	}
	until("another image", `document.getElementById('decoded').toDataURL() !== `+quoted(origin)+` && document.getElementById('decoded').dataset.z === JSON.stringify(state.explored.z)`)
	checkDecoded(t, path, value(`document.getElementById('decoded').dataset.z`), value(`JSON.stringify([...document.getElementById('decoded').getContext('2d').getImageData(0, 0, 28, 28).data])`))

	tab("#drawing")
	press(" ")
	until("an answer about the drawing", `document.getElementById('known').textContent.includes('log p(x), quadrature')`)
	until("its posterior", `document.querySelectorAll('#posterior svg').length === 1`)
	tab("#take")
	press("\r")
	until("an image of the data", `document.getElementById('known').textContent.includes('Label')`)
	tab("#go")
	press("\r")
	until("the way between two", `!document.getElementById('between').hidden && document.getElementById('between').naturalWidth === 280`)
	looks("explorer")

	again := filepath.Join(dir, "plane | again")
	if err := os.CopyFS(again, os.DirFS(path)); err != nil {
		t.Fatal(err)
	}
	until("the copy on the list", `document.querySelectorAll('#runs li').length === 2`)
	for _, name := range []string{"plane", "plane | again"} {
		tab("#runs input[value=" + quoted(name) + "]")
		press(" ")
	}
	tab("#compare")
	press("\r")
	until("charts of both", `document.querySelectorAll('#compared-charts svg').length === 4 && document.getElementById('compared-charts').textContent.includes('plane | again')`)
	looks("compared")
	if requests, complaints := b.seen(); len(complaints) > 0 || requests == 0 {
		t.Errorf("after %d requests the browser complains: %q", requests, complaints)
	}
}

// quoted is a text as JavaScript writes it.
func quoted(text string) string {
	js, _ := json.Marshal(text)
	return string(js)
}

// checkDecoded holds RGBA pixels of the page's image of a code against what elbo decode writes.
func checkDecoded(t *testing.T, run, code, pixels string) {
	t.Helper()
	var z []float64
	var rgba []uint8
	var numbers []int
	if err := json.Unmarshal([]byte(code), &z); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(pixels), &numbers); err != nil {
		t.Fatal(err)
	}
	for _, v := range numbers {
		rgba = append(rgba, uint8(v))
	}
	out := t.TempDir()
	codes := filepath.Join(out, "codes.csv")
	if err := os.WriteFile(codes, fmt.Appendf(nil, "image,label,mu_1,mu_2\n0,,%v,%v\n", z[0], z[1]), 0o666); err != nil {
		t.Fatal(err)
	}
	elbo(t, "decode", run, codes, "--out", filepath.Join(out, "images"))
	f, err := os.Open(filepath.Join(out, "images", "0.png"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	img, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	var want []uint8
	for y := range img.Bounds().Dy() {
		for x := range img.Bounds().Dx() {
			r, g, b, a := img.At(x, y).RGBA()
			want = append(want, uint8(r>>8), uint8(g>>8), uint8(b>>8), uint8(a>>8))
		}
	}
	if !slices.Equal(rgba, want) {
		t.Errorf("the page's image at %s is not that of elbo decode", code)
	}
}
