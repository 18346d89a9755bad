package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"elbo/data"
)

// asking is an API under test.
type asking struct {
	t       *testing.T
	address string
}

// post sends a request and returns the status and the body.
func (a asking) post(path, kind string, body []byte, header ...string) (int, []byte) {
	a.t.Helper()
	r, err := http.NewRequestWithContext(a.t.Context(), "POST", a.address+path, bytes.NewReader(body))
	if err != nil {
		a.t.Fatal(err)
	}
	r.Header.Set("Content-Type", kind)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		a.t.Error(err)
		return 0, nil
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		a.t.Error(err)
	}
	return response.StatusCode, text
}

// ask sends JSON that has to be answered, and reads the answer into value.
func (a asking) ask(path string, request, value any) {
	a.t.Helper()
	body, err := json.Marshal(request)
	if err != nil {
		a.t.Fatal(err)
	}
	status, text := a.post(path, "application/json", body)
	if status != 200 {
		a.t.Fatalf("%s: status %d: %s", path, status, text)
	}
	if err := json.Unmarshal(text, value); err != nil {
		a.t.Fatal(err)
	}
}

// get reads what lies at a path.
func (a asking) get(path string) string {
	a.t.Helper()
	response, err := http.Get(a.address + path)
	if err != nil {
		a.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	return string(text)
}

// testImages are the first test images of MNIST, as levels in [0, 1].
func testImages(t *testing.T, n int) [][]float32 {
	t.Helper()
	ds, err := data.Open("mnist")
	if err != nil {
		t.Fatal(err)
	}
	images := make([][]float32, n)
	for i := range images {
		for _, level := range ds.Test.Bytes[i*784:][:784] {
			images[i] = append(images[i], float32(level)/255)
		}
	}
	return images
}

// recordsOf reads a CSV by its head.
func recordsOf(t *testing.T, path string) []map[string]string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var rows []map[string]string
	for _, line := range lines[1:] {
		row := map[string]string{}
		for i, name := range lines[0] {
			row[name] = line[i]
		}
		rows = append(rows, row)
	}
	return rows
}

// TestTheAPISaysWhatTheCommandsSay: codes, scores and images of the same model and data are those
// of elbo encode, score, decode and sample, from JSON and from .npy.
func TestTheAPISaysWhatTheCommandsSay(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "run")
	elbo(t, "train", "--quick", "--latent", "2", "--hidden", "16", "--epochs", "2", "--out", path)
	a := asking{t, served(t, path, "--api")}
	const n = 5
	images := testImages(t, n)

	var scored struct {
		Images []struct {
			ELBO float64 `json:"elbo"`
			LK   float64 `json:"l_k"`
			LogP float64 `json:"log_p"`
			How  string  `json:"log_p_how"`
		}
	}
	elbo(t, "score", path, "--limit", strconv.Itoa(n), "--samples", "50", "--exact", "--out", filepath.Join(dir, "s.csv"))
	a.ask("/v1/score", map[string]any{"images": images, "samples": 50, "exact": true}, &scored)
	for i, row := range recordsOf(t, filepath.Join(dir, "s.csv")) {
		for name, value := range map[string]float64{"elbo": scored.Images[i].ELBO, "l_k": scored.Images[i].LK, "log_p": scored.Images[i].LogP} {
			if want := strconv.FormatFloat(value, 'g', 9, 64); row[name] != want {
				t.Errorf("image %d: %s is %s, elbo score has %s", i, name, want, row[name])
			}
		}
		if row["log_p_how"] != scored.Images[i].How {
			t.Errorf("image %d: log p(x) is known by %s, elbo score knows it by %s", i, scored.Images[i].How, row["log_p_how"])
		}
	}

	var codes struct{ Mean, Variance [][]float32 }
	a.ask("/v1/encode", map[string]any{"images": images}, &codes)
	elbo(t, "encode", path, "--limit", strconv.Itoa(n), "--out", filepath.Join(dir, "c.npz"))
	arrays, err := data.ReadArrays(filepath.Join(dir, "c.npz"), "mean")
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range arrays[0].Floats {
		if got := codes.Mean[i/2][i%2]; got != want {
			t.Errorf("code %d is %v, elbo encode has %v", i, got, want)
		}
	}

	elbo(t, "decode", path, filepath.Join(dir, "c.npz"), "--out", filepath.Join(dir, "d.npy"))
	elbo(t, "sample", path, "--n", "3", "--seed", "7", "--out", filepath.Join(dir, "p.npy"))
	decode, _ := json.Marshal(map[string]any{"codes": codes.Mean})
	for _, c := range []struct {
		path, file string
		body       []byte
	}{
		{"/v1/decode", "d.npy", decode},
		{"/v1/sample", "p.npy", []byte(`{"n":3,"seed":7}`)},
	} {
		want, err := os.ReadFile(filepath.Join(dir, c.file))
		if err != nil {
			t.Fatal(err)
		}
		if _, got := a.post(c.path, "application/json", c.body, "Accept", "application/x-npy"); !bytes.Equal(got, want) {
			t.Errorf("%s: the .npy has %d bytes that are not those of the command's %d", c.path, len(got), len(want))
		}
	}

	var npy bytes.Buffer
	if err := data.WriteFloatsNPY(&npy, n, 784, func(yield func([]float32) bool) {
		for _, image := range images {
			if !yield(image) {
				return
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
	a.ask("/v1/score", map[string]any{"images": images}, &scored)
	fromJSON := fmt.Sprint(scored)
	status, text := a.post("/v1/score", "application/x-npy", npy.Bytes())
	if err := json.Unmarshal(text, &scored); err != nil || status != 200 || fmt.Sprint(scored) != fromJSON {
		t.Errorf("scores from .npy differ from those from JSON: status %d, %v\n%v\n%s", status, err, scored, fromJSON)
	}

	if text := a.get("/metrics"); !strings.Contains(text, `elbo_requests_total{path="/v1/score",status="200"} 3`) || !strings.Contains(text, "elbo_queue_length 0") || !strings.Contains(text, "elbo_images_total 28") {
		t.Errorf("the metrics are:\n%s", text)
	}
	var openAPI struct {
		Paths map[string]any
	}
	if err := json.Unmarshal([]byte(a.get("/openapi.json")), &openAPI); err != nil || len(openAPI.Paths) != 8 {
		t.Errorf("the OpenAPI document has %d paths (%v)", len(openAPI.Paths), err)
	}
}

// TestRequestsThatCannotBeAnswered: each is told what was found and what was wanted, and never how
// the program is made.
func TestRequestsThatCannotBeAnswered(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run")
	elbo(t, "train", "--quick", "--latent", "4", "--hidden", "16", "--epochs", "1", "--out", path)
	a := asking{t, served(t, path, "--api")}
	one := "[" + strings.TrimSuffix(strings.Repeat("0,", 784), ",") + "]"
	for _, c := range []struct {
		name, path, kind, body string
		header                 []string
		status                 int
		want                   string
	}{
		{"no JSON", "/v1/score", "application/json", "hello", nil, 400, "not the JSON"},
		{"cut JSON", "/v1/score", "application/json", `{"images":[[0,`, nil, 400, "not the JSON"},
		{"an unknown key", "/v1/score", "application/json", `{"image":[]}`, nil, 400, `unknown field \"image\"`},
		{"two objects", "/v1/sample", "application/json", `{}{}`, nil, 400, "goes on"},
		{"another type", "/v1/score", "text/plain", `{}`, nil, 415, "want application/json"},
		{"a compressed body", "/v1/score", "application/json", `{}`, []string{"Content-Encoding", "gzip"}, 415, "want it as it is"},
		{"no image", "/v1/score", "application/json", `{"images":[]}`, nil, 400, "0 images, want 1 to"},
		{"a short image", "/v1/encode", "application/json", `{"images":[[0,1]]}`, nil, 400, "image 0 has 2 pixels, and the model 784"},
		{"a pixel above 1", "/v1/encode", "application/json", `{"images":[` + strings.Replace(one, "0", "255", 1) + `]}`, nil, 400, "pixel 0 of image 0 is 255"},
		{"draws without end", "/v1/score", "application/json", `{"images":[` + one + `],"samples":1000000000}`, nil, 400, "samples is 1000000000"},
		{"quadrature in four dimensions", "/v1/score", "application/json", `{"images":[` + one + `],"exact":true}`, nil, 400, "at most 3 latent dimensions"},
		{"a code of another size", "/v1/decode", "application/json", `{"codes":[[1,2]]}`, nil, 400, "code 0 has 2 numbers, and the model 4"},
		{"too many samples", "/v1/sample", "application/json", `{"n":100000000}`, nil, 400, "100000000 images"},
		{"a negative number of samples", "/v1/sample", "application/json", `{"n":-1}`, nil, 400, "-1 images"},
		{"no .npy", "/v1/score", "application/x-npy", "hello", nil, 400, "numpy.save"},
		{"a .npy that is cut", "/v1/score", "application/x-npy", "\x93NUMPY\x01\x00\x46\x00{'descr': '<f4', 'fortran_order': False, 'shape': (9999999, 784), }", nil, 400, "the body"},
		{"a gzipped .npy", "/v1/score", "application/x-npy", "\x1f\x8b\x08", nil, 400, "numpy.save"},
		{"a large body", "/v1/decode", "application/json", `{"codes":[[` + strings.Repeat(" ", 33<<20) + `]]}`, nil, 413, "fewer images"},
		{"another path", "/v1/train", "application/json", `{}`, nil, 404, "/openapi.json"},
		{"a path that climbs", "/v1/../../../etc/passwd", "application/json", `{}`, nil, 404, "there is no"},
		{"from another page", "/v1/sample", "application/json", `{}`, []string{"Origin", "http://evil.example"}, 403, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, text := asking{t, a.address}.post(c.path, c.kind, []byte(c.body), c.header...)
			if status != c.status || !strings.Contains(string(text), c.want) {
				t.Errorf("status %d: %.300s\nwant %d with %q", status, text, c.status, c.want)
			}
			if strings.Contains(string(text), ".go:") || strings.Contains(string(text), "goroutine") {
				t.Errorf("the answer shows the program's inside: %s", text)
			}
		})
	}
	if text := a.get("/healthz"); !strings.Contains(text, "true") {
		t.Errorf("after all of that: %s", text)
	}
}

// TestABetterCheckpointTakesOverWithoutALostRequest: requests are answered while the file of the
// best checkpoint is replaced, all of them, and in the end by the new one.
func TestABetterCheckpointTakesOverWithoutALostRequest(t *testing.T) {
	dir := t.TempDir()
	path, other := filepath.Join(dir, "run"), filepath.Join(dir, "other")
	elbo(t, "train", "--quick", "--latent", "2", "--hidden", "16", "--epochs", "1", "--out", path)
	elbo(t, "train", "--quick", "--latent", "2", "--hidden", "16", "--epochs", "3", "--out", other)
	a := asking{t, served(t, path, "--api")}
	images := testImages(t, 1)
	body, _ := json.Marshal(map[string]any{"images": images})
	mean := func() string {
		var codes struct{ Mean [][]float32 }
		status, text := a.post("/v1/encode", "application/json", body)
		if err := json.Unmarshal(text, &codes); err != nil || status != 200 {
			t.Errorf("status %d: %s (%v)", status, text, err)
		}
		return fmt.Sprint(codes.Mean)
	}
	before := mean()
	var ended atomic.Bool
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for !ended.Load() {
				mean()
			}
		})
	}
	better, err := os.ReadFile(filepath.Join(other, "best.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	next := filepath.Join(path, ".next")
	if err := os.WriteFile(next, better, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, filepath.Join(path, "best.safetensors")); err != nil {
		t.Fatal(err)
	}
	if err := waitUntil("another answer", func() bool { time.Sleep(10 * time.Millisecond); return mean() != before }); err != nil {
		t.Error(err)
	}
	ended.Store(true)
	all.Wait()
	if text := a.get("/metrics"); strings.Contains(text, `status="5`) {
		t.Errorf("a request was lost:\n%s", text)
	}
}

// TestMoreThanTheQueueHoldsAreToldToTryAgain, and those that wait are answered.
func TestMoreThanTheQueueHoldsAreToldToTryAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run")
	elbo(t, "train", "--quick", "--latent", "2", "--hidden", "16", "--epochs", "1", "--out", path)
	a := asking{t, served(t, path, "--api", "--queue", "2")}
	body, _ := json.Marshal(map[string]any{"images": testImages(t, 20), "samples": 5000})
	var busy, answered atomic.Int64
	var all sync.WaitGroup
	for range 12 {
		all.Go(func() {
			switch status, text := a.post("/v1/score", "application/json", body); {
			case status == 200:
				answered.Add(1)
			case status == 503 && strings.Contains(string(text), "try again"):
				busy.Add(1)
			default:
				t.Errorf("status %d: %s", status, text)
			}
		})
	}
	all.Wait()
	if answered.Load() < 2 || busy.Load() < 1 {
		t.Errorf("%d were answered and %d told to try again, of 12 at once and a queue of 2", answered.Load(), busy.Load())
	}
}

// TestAServerThatIsToldToEndFinishesWhatItHasBegun.
func TestAServerThatIsToldToEndFinishesWhatItHasBegun(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run")
	elbo(t, "train", "--quick", "--latent", "2", "--hidden", "16", "--epochs", "1", "--out", path)
	stop, address, ended := servedUntil(t, path, "--api")
	a := asking{t, address}
	body, _ := json.Marshal(map[string]any{"images": testImages(t, 50), "samples": 5000})
	answered := make(chan int)
	go func() {
		status, _ := a.post("/v1/score", "application/json", body)
		answered <- status
	}()
	if err := waitUntil("a request that computes", func() bool { return strings.Contains(a.get("/metrics"), "elbo_queue_length 1") }); err != nil {
		t.Fatal(err)
	}
	stop()
	if status := <-answered; status != 200 {
		t.Errorf("the request under way was answered with status %d", status)
	}
	if code := <-ended; code != 0 {
		t.Errorf("elbo serve ended with exit code %d", code)
	}
	if _, err := http.Get(address + "/healthz"); err == nil {
		t.Error("it still answers")
	}
}
