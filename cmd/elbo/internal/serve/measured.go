package serve

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"
)

// measured counts requests and the time that they took, for Prometheus.
type measured struct {
	mu     sync.Mutex
	counts map[asking]int64
	took   map[string]*histogram // by path
}

// asking is a kind of request and how it ended.
type asking struct {
	path   string
	status int
}

// histogram counts times by upper bounds, in seconds.
type histogram struct {
	within []int64 // one for each bound
	count  int64
	sum    float64
}

// within are the bounds of a histogram, in seconds.
var within = []float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60}

func newMeasured() *measured {
	return &measured{counts: map[asking]int64{}, took: map[string]*histogram{}}
}

func (m *measured) add(path string, status int, took time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.counts[asking{path, status}]++
	h := m.took[path]
	if h == nil {
		h = &histogram{within: make([]int64, len(within))}
		m.took[path] = h
	}
	h.count++
	h.sum += took.Seconds()
	for i, bound := range within {
		if took.Seconds() <= bound {
			h.within[i]++
		}
	}
}

// write writes all in the text format that Prometheus reads, version 0.0.4, with gauges of the
// moment.
func (m *measured) write(w io.Writer, waiting int64, images int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	fmt.Fprintf(w, "# HELP elbo_queue_length Requests that compute or wait for their turn.\n# TYPE elbo_queue_length gauge\nelbo_queue_length %d\n", waiting)
	fmt.Fprintf(w, "# HELP elbo_images_total Images or codes that were answered for.\n# TYPE elbo_images_total counter\nelbo_images_total %d\n", images)
	fmt.Fprint(w, "# HELP elbo_requests_total Requests by path and status.\n# TYPE elbo_requests_total counter\n")
	kinds := make([]asking, 0, len(m.counts))
	for kind := range m.counts {
		kinds = append(kinds, kind)
	}
	slices.SortFunc(kinds, func(a, b asking) int {
		return cmp.Or(cmp.Compare(a.path, b.path), cmp.Compare(a.status, b.status))
	})
	for _, kind := range kinds {
		fmt.Fprintf(w, "elbo_requests_total{path=%q,status=\"%d\"} %d\n", kind.path, kind.status, m.counts[kind])
	}
	fmt.Fprint(w, "# HELP elbo_request_seconds Time from a request to the end of its answer.\n# TYPE elbo_request_seconds histogram\n")
	paths := make([]string, 0, len(m.took))
	for path := range m.took {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	for _, path := range paths {
		h := m.took[path]
		for i, bound := range within {
			fmt.Fprintf(w, "elbo_request_seconds_bucket{path=%q,le=\"%g\"} %d\n", path, bound, h.within[i])
		}
		fmt.Fprintf(w, "elbo_request_seconds_bucket{path=%q,le=\"+Inf\"} %d\nelbo_request_seconds_sum{path=%[1]q} %[3]g\nelbo_request_seconds_count{path=%[1]q} %[2]d\n", path, h.count, h.sum)
	}
}
