package serve

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// write makes a file with the folders above it.
func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}

// TestNothingOutsideTheDirectoryIsRead: not by the name of a run, nor by that of a file, nor
// through a link.
func TestNothingOutsideTheDirectoryIsRead(t *testing.T) {
	top := t.TempDir()
	dir, outside := filepath.Join(top, "runs"), filepath.Join(top, "outside")
	const secret = "nobody else's business"
	write(t, filepath.Join(outside, "metrics.jsonl"), secret)
	write(t, filepath.Join(outside, "samples.png"), secret)
	write(t, filepath.Join(top, "report.html"), secret)
	write(t, filepath.Join(dir, "one", "metrics.jsonl"), "")
	write(t, filepath.Join(dir, "one", "samples.png"), "a picture")
	write(t, filepath.Join(dir, "one", "private.txt"), secret)
	for to, from := range map[string]string{
		filepath.Join(outside, "samples.png"): filepath.Join(dir, "one", "manifold.png"),
		outside:                               filepath.Join(dir, "linked"),
		filepath.Join(top, "report.html"):     filepath.Join(dir, "one", "report.html"),
	} {
		if err := os.Symlink(to, from); err != nil {
			t.Skip("no links here: ", err)
		}
	}
	p := NewPage(PageOptions{Dir: dir, Say: t.Logf, Open: func(string) (*Loaded, error) { return nil, errors.New("a path " + secret) }})
	p.runs.look()
	for _, c := range []struct {
		path string
		want int
	}{
		{"/run?run=one", 200},
		{"/picture?run=one&file=samples.png", 200},
		{"/picture?run=one&file=manifold.png", 404},
		{"/picture?run=one&file=private.txt", 404},
		{"/picture?run=one&file=../../outside/samples.png", 404},
		{"/picture?run=../outside&file=samples.png", 404},
		{"/picture?run=linked&file=samples.png", 404},
		{"/picture?run=one/../../outside&file=samples.png", 404},
		{"/run?run=../outside", 404},
		{"/run?run=/etc", 404},
		{"/run?run=", 404},
		{"/report?run=one", 404},
		{"/chart?run=../outside&of=bound", 404},
		{"/chart?run=one&of=secrets", 400},
		{"/chart?of=bound", 400},
		{"/chart?" + strings.Repeat("run=one&", 9) + "of=bound", 400},
		{"/kl?run=../outside", 404},
		{"/plane?run=../outside", 404},
		{"/../outside/samples.png", 404},
		{"/page.html", 404},
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest("GET", "/", nil)
		path, query, _ := strings.Cut(c.path, "?")
		r.URL.Path, r.URL.RawQuery = path, query
		p.ServeHTTP(w, r)
		if w.Code != c.want && !(w.Code == 301 || w.Code == 307) || strings.Contains(w.Body.String(), secret) {
			t.Errorf("%s: status %d, want %d: %.200s", c.path, w.Code, c.want, w.Body)
		}
	}
}

// TestAPanicIsToldToTheProgramAlone: whoever asked hears that there was one, and the next request
// is answered.
func TestAPanicIsToldToTheProgramAlone(t *testing.T) {
	var said strings.Builder
	h := &recovering{http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("at the inside") }), func(format string, args ...any) { said.WriteString(format) }}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	if w.Code != 500 || strings.Contains(w.Body.String(), "inside") || said.Len() == 0 {
		t.Errorf("status %d, %q to whoever asked, and %q to the program", w.Code, w.Body, &said)
	}
}

// TestStreamsEndWithTheProgram: a stream of events, which has no end of its own, does not keep the
// program from ending.
func TestStreamsEndWithTheProgram(t *testing.T) {
	p := NewPage(PageOptions{Dir: t.TempDir(), Say: t.Logf})
	l, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- Serve(ctx, l, "", p, t.Logf) }()
	response, err := http.Get("http://" + l.Addr().String() + "/events")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	first := make([]byte, 12)
	if _, err := io.ReadFull(response.Body, first); err != nil || string(first) != "event: runs\n" {
		t.Errorf("the stream begins with %q (%v)", first, err)
	}
	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(lastRequests / 2):
		t.Error("the stream keeps the program from ending")
	}
}

// TestAnAddressThatIsTakenIsSaid, with what to try.
func TestAnAddressThatIsTakenIsSaid(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := Listen(l.Addr().String()); err == nil || !strings.Contains(err.Error(), "127.0.0.1:0 takes a port") {
		t.Errorf("the error is %v", err)
	}
}
