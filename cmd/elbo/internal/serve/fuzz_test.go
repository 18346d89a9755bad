package serve

import (
	"bytes"
	"net/http/httptest"
	"net/url"
	"testing"

	"elbo/data"
	"elbo/train"
)

// FuzzRequestsForImages: whatever a request has, it is refused, or read as images of the model's size
// with pixels in [0, 1].
func FuzzRequestsForImages(f *testing.F) {
	ds, err := data.New("made", data.Images{N: 1, Rows: 2, Cols: 2, Bytes: make([]uint8, 4)}, data.Images{})
	if err != nil {
		f.Fatal(err)
	}
	m := newAsked(&Loaded{Setup: &train.Setup{Dataset: ds}})
	f.Add([]byte(`{"images":[[0,1,0.5,1]],"samples":10,"seed":1,"exact":true}`), "", false)
	f.Add([]byte(`{"images":[[0,1,1e-999,1]]}`), "samples=3", false)
	f.Add([]byte(`{"images":[[]]}`), "", false)
	for _, width := range []int{4, 2} {
		var npy bytes.Buffer
		data.WriteFloatsNPY(&npy, 2, width, func(yield func([]float32) bool) { yield(make([]float32, 2*width)) })
		f.Add(npy.Bytes(), "samples=7&seed=2&exact=1", true)
	}
	f.Add([]byte("\x93NUMPY\x01\x00\x46\x00{'descr': '|u1', 'fortran_order': True, 'shape': (1, 2, 2), }        \n\x00\x01\xff\x02"), "", true)
	f.Fuzz(func(t *testing.T, body []byte, address string, npy bool) {
		r := httptest.NewRequest("POST", "/v1/score", bytes.NewReader(body))
		r.URL = &url.URL{Path: "/v1/score", RawQuery: address}
		r.Header.Set("Content-Type", map[bool]string{false: "application/json", true: npyType}[npy])
		q := &query{w: httptest.NewRecorder(), r: r, m: m}
		x, _, err := q.images()
		if err != nil {
			return
		}
		if len(x) == 0 || len(x)%4 != 0 || len(x) > 4*mostImages {
			t.Fatalf("%d pixels, want those of 1 to %d images of 4", len(x), mostImages)
		}
		for i, v := range x {
			if !(v >= 0 && v <= 1) {
				t.Fatalf("pixel %d is %g", i, v)
			}
		}
		if _, err := m.view(x); err != nil {
			t.Fatalf("images that were taken make no part of a data set: %v", err)
		}
	})
}
