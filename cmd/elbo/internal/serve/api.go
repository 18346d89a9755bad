package serve

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"elbo/data"
	"elbo/model"
	"elbo/model/infer"
	"elbo/train"
)

// APIOptions are what an API is told.
type APIOptions struct {
	Run   string // a run directory or a checkpoint
	Queue int    // requests that may compute or wait at a time, at least 1
	Open  Open
	Now   func() time.Time
	Say   func(format string, args ...any)
}

// API asks one model, over HTTP.
type API struct {
	o        APIOptions
	model    *latest
	gate     *gate
	measured *measured
	images   atomic.Int64 // that were answered for
	mux      *http.ServeMux
	closing  atomic.Bool
}

//go:embed openapi.json
var openAPI []byte

// NewAPI opens a model. Follow is to be called beside it.
func NewAPI(o APIOptions) (*API, error) {
	m, err := newLatest(o.Run, o.Open)
	if err != nil {
		return nil, err
	}
	a := &API{o: o, model: m, gate: newGate(o.Queue), measured: newMeasured(), mux: http.NewServeMux()}
	a.mux.HandleFunc("POST /v1/encode", a.asked(a.encode))
	a.mux.HandleFunc("POST /v1/score", a.asked(a.score))
	a.mux.HandleFunc("POST /v1/decode", a.asked(a.decode))
	a.mux.HandleFunc("POST /v1/sample", a.asked(a.sample))
	a.mux.HandleFunc("GET /v1/model", a.about)
	a.mux.HandleFunc("GET /openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Write(openAPI)
	})
	a.mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		a.measured.write(w, a.gate.waiting.Load(), a.images.Load())
	})
	a.mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answer(w, map[string]bool{"alive": true}) })
	a.mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if a.closing.Load() {
			fail(w, http.StatusServiceUnavailable, "the program is ending")
			return
		}
		answer(w, map[string]bool{"ready": true})
	})
	a.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fail(w, http.StatusNotFound, "there is no %s %.80s: /openapi.json says what there is", r.Method, r.URL.Path)
	})
	return a, nil
}

func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.mux.ServeHTTP(w, r) }

// Public lets those ask who only want to know whether the program is there.
func (a *API) Public(path string) bool { return path == "/healthz" || path == "/readyz" }

// Close has /readyz say that no more should be asked.
func (a *API) Close() { a.closing.Store(true) }

// Follow takes over better checkpoints as they come, at every tick, until the context ends.
func (a *API) Follow(ctx context.Context, tick <-chan time.Time) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick:
			switch taken, err := a.model.refresh(); {
			case err != nil:
				a.o.Say("%s", err)
			case taken:
				a.o.Say("a better checkpoint answers from now on: %s", a.model.now.Load().Checkpoint)
			}
		}
	}
}

// recorded is a response whose status is known afterwards.
type recorded struct {
	http.ResponseWriter
	status int
}

func (r *recorded) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorded) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// query is a request to a model, and what is to be answered to it.
type query struct {
	w   http.ResponseWriter
	r   *http.Request
	m   *asked
	npy bool // the answer is to be a .npy
}

// asked reads a request, computes when it is its turn, and measures.
func (a *API) asked(f func(context.Context, *query) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		began := a.o.Now()
		rec := &recorded{w, http.StatusOK}
		defer func() { a.measured.add(r.URL.Path, rec.status, a.o.Now().Sub(began)) }()
		ctx, cancel := context.WithTimeout(r.Context(), timeToAnswer)
		defer cancel()
		q := &query{w: rec, r: r, m: a.model.now.Load(), npy: strings.Contains(r.Header.Get("Accept"), npyType)}
		if r.Header.Get("Content-Encoding") != "" {
			fail(rec, http.StatusUnsupportedMediaType, "the body is encoded as %.40q, want it as it is", r.Header.Get("Content-Encoding"))
			return
		}
		if err := f(ctx, q); err != nil {
			failWith(rec, err, a.o.Say)
		}
	}
}

const npyType = "application/x-npy"

// imagesAsked is a request about images.
type imagesAsked struct {
	Images  [][]float32 `json:"images"`
	Samples int         `json:"samples"` // of score
	Seed    *uint64     `json:"seed"`
	Exact   bool        `json:"exact"`
}

// images reads the images of a request, [N, D] in [0, 1], from JSON, or from a .npy with the rest in
// the address.
func (q *query) images() (x []float32, o imagesAsked, err error) {
	d := q.m.Dataset.D()
	if kindOf(q.r) != npyType {
		if err := readJSON(q.w, q.r, mostJSON, &o); err != nil {
			return nil, o, err
		}
		if err := few(len(o.Images)); err != nil {
			return nil, o, err
		}
		for i, image := range o.Images {
			if len(image) != d {
				return nil, o, refuse("image %d has %d pixels, and the model %d: want them row by row from the top, in [0, 1]", i, len(image), d)
			}
			x = append(x, image...)
		}
	} else if x, err = q.array("images", d); err != nil {
		return nil, o, err
	} else if err := o.fromAddress(q.r); err != nil {
		return nil, o, err
	}
	for i, v := range x {
		if !(v >= 0 && v <= 1) {
			return nil, o, refuse("pixel %d of image %d is %g, want it in [0, 1]", i%d, i/d, v)
		}
	}
	return x, o, nil
}

// fromAddress reads what JSON would have had.
func (o *imagesAsked) fromAddress(r *http.Request) (err error) {
	values := r.URL.Query()
	if text := values.Get("samples"); text != "" {
		if o.Samples, err = strconv.Atoi(text); err != nil {
			return refuse("samples is %.20q, want a whole number", text)
		}
	}
	if text := values.Get("seed"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return refuse("seed is %.20q, want a whole number from 0", text)
		}
		o.Seed = &seed
	}
	if text := values.Get("exact"); text != "" {
		if o.Exact, err = strconv.ParseBool(text); err != nil {
			return refuse("exact is %.20q, want true or false", text)
		}
	}
	return nil
}

// few fails for a number of images that cannot be answered at once.
func few(n int) error {
	if n < 1 || n > mostImages {
		return refuse("%d images, want 1 to %d", n, mostImages)
	}
	return nil
}

// array reads a .npy body as rows of the given width. Whole numbers above 1 are levels of 255.
func (q *query) array(what string, width int) ([]float32, error) {
	body, err := io.ReadAll(http.MaxBytesReader(q.w, q.r.Body, mostBody))
	if err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return nil, err
		}
		return nil, refuse("the body ended early: %s", err)
	}
	a, err := data.ParseArray("the body", body)
	if err != nil {
		return nil, err
	}
	if a.Texts != nil || len(a.Shape) < 2 || a.Len() != a.Shape[0]*width {
		return nil, refuse("the array has shape %v, want numbers of N × %d %s, or the same with rows and columns apart", a.Shape, width, what)
	}
	if err := few(a.Shape[0]); err != nil {
		return nil, err
	}
	if a.Floats != nil {
		return a.Floats, nil
	}
	x, scale := make([]float32, len(a.Ints)), float32(1)
	for _, v := range a.Ints {
		if v > 1 && what == "images" {
			scale = 255
		}
	}
	for i, v := range a.Ints {
		x[i] = float32(v) / scale
	}
	return x, nil
}

// numbers answers with a .npy of rows.
func (q *query) numbers(rows []float32, width int) error {
	var b bytes.Buffer
	if err := data.WriteFloatsNPY(&b, len(rows)/width, width, func(yield func([]float32) bool) { yield(rows) }); err != nil {
		return err
	}
	q.w.Header().Set("Content-Type", npyType)
	q.w.Write(b.Bytes())
	return nil
}

// table cuts numbers into rows.
func table(x []float32, width int) [][]float32 {
	rows := make([][]float32, 0, len(x)/max(1, width))
	for i := 0; i+width <= len(x) && width > 0; i += width {
		rows = append(rows, x[i:i+width])
	}
	return rows
}

// codesAnswer is what is inferred of z.
type codesAnswer struct {
	Checkpoint string      `json:"checkpoint"`
	Mean       [][]float32 `json:"mean,omitempty"`     // E[z|x] of a model with a latent space
	Variance   [][]float32 `json:"variance,omitempty"` // of each dimension, where it is known
	Table      [][]float32 `json:"table,omitempty"`    // p(z|x) of a model with states
}

func (a *API) encode(ctx context.Context, q *query) error {
	x, _, err := q.images()
	if err != nil {
		return err
	}
	v, err := q.m.view(x)
	if err != nil {
		return err
	}
	var codes *train.Codes
	if err := a.gate.do(ctx, func() error { codes, err = q.m.Encode(ctx, v); return err }); err != nil {
		return err
	}
	a.images.Add(int64(v.N()))
	if q.npy {
		if codes.Mean == nil {
			return q.numbers(codes.Table, codes.States)
		}
		return q.numbers(codes.Mean, codes.Latent)
	}
	return answer(q.w, codesAnswer{
		Checkpoint: q.m.Checkpoint, Mean: table(codes.Mean, codes.Latent), Variance: table(codes.Variance, codes.Latent), Table: table(codes.Table, codes.States),
	})
}

// scoreAnswer is what is known of the log-probability of images.
type scoreAnswer struct {
	Checkpoint string        `json:"checkpoint"`
	Likelihood string        `json:"likelihood"`
	Binarise   string        `json:"binarise"`
	Samples    int           `json:"samples,omitempty"` // draws of z for each image: the k of L_k
	Seed       uint64        `json:"seed"`
	Images     []imageAnswer `json:"images"`
}

// imageAnswer is what is known of one image, in nats.
type imageAnswer struct {
	Recon     float64  `json:"recon"` // E_q[log p(x|z)]
	KL        float64  `json:"kl"`    // KL(q(z|x) ‖ p(z))
	ELBO      float64  `json:"elbo"`
	IW        *float64 `json:"l_k,omitempty"`   // of a VAE
	KHat      *float64 `json:"k_hat,omitempty"` // where there are draws enough to tell
	LogP      *float64 `json:"log_p,omitempty"` // the best that is known of log p(x)
	How       string   `json:"log_p_how,omitempty"`
	LogPError *float64 `json:"log_p_error,omitempty"` // of a sum or an integral
}

// defaultDraws is the k of L_k where a request names none.
const defaultDraws = 100

func (a *API) score(ctx context.Context, q *query) error {
	x, o, err := q.images()
	if err != nil {
		return err
	}
	if o.Samples == 0 {
		o.Samples = defaultDraws
	}
	if n := len(x) / q.m.Dataset.D(); o.Samples < 1 || o.Samples > mostDraws || n*o.Samples > mostScored {
		return refuse("samples is %d, want 1 to %d, and no more than %d for all images together", o.Samples, mostDraws, mostScored)
	}
	if o.Seed == nil {
		o.Seed = &q.m.Config.Seed
	}
	v, err := q.m.view(x)
	if err != nil {
		return err
	}
	var e infer.Evaluation
	err = a.gate.do(ctx, func() error {
		e, err = q.m.score(ctx, v, o.Samples, *o.Seed, o.Exact)
		return err
	})
	if err != nil {
		return err
	}
	a.images.Add(int64(v.N()))
	result := scoreAnswer{
		Checkpoint: q.m.Checkpoint, Likelihood: string(q.m.Config.Likelihood), Binarise: string(q.m.Config.Binarise), Samples: e.Draws, Seed: *o.Seed,
	}
	for i := range e.PerImage {
		result.Images = append(result.Images, imageOf(&e, i, q.m.Config.Likelihood))
	}
	return answer(q.w, result)
}

// imageOf is what an evaluation says of its i-th image.
func imageOf(e *infer.Evaluation, i int, likelihood model.LikelihoodName) imageAnswer {
	s := &e.PerImage[i]
	one := imageAnswer{Recon: s.Recon, KL: s.KL, ELBO: s.ELBO}
	if e.IW != nil {
		one.IW = &s.IW
		if s.KHat == s.KHat { // a number
			one.KHat = &s.KHat
		}
	}
	if likelihood.IsLikelihood() {
		best := e.EvidenceOf(i)
		one.LogP, one.How = &best, e.HowOf(i)
		if e.LogP != nil {
			one.LogPError = &s.Error
		}
	}
	return one
}

func (a *API) decode(ctx context.Context, q *query) error {
	m, ok := q.m.Model.(train.Latent)
	if !ok {
		return &train.ConfigError{Err: train.ErrNoCodes}
	}
	width := m.Joint().Latent
	var z []float32
	if kindOf(q.r) == npyType {
		var err error
		if z, err = q.array("codes", width); err != nil {
			return err
		}
	} else {
		var o struct {
			Codes [][]float32 `json:"codes"`
		}
		if err := readJSON(q.w, q.r, mostJSON, &o); err != nil {
			return err
		}
		if err := few(len(o.Codes)); err != nil {
			return err
		}
		for i, code := range o.Codes {
			if len(code) != width {
				return refuse("code %d has %d numbers, and the model %d latent dimensions", i, len(code), width)
			}
			z = append(z, code...)
		}
	}
	return a.pictures(ctx, q, func() ([]float32, error) { return q.m.Decode(z) })
}

func (a *API) sample(ctx context.Context, q *query) error {
	o := struct {
		N    int    `json:"n"`
		Seed uint64 `json:"seed"`
	}{N: 1, Seed: q.m.Config.Seed}
	if err := readJSON(q.w, q.r, mostJSON, &o); err != nil {
		return err
	}
	if err := few(o.N); err != nil {
		return err
	}
	return a.pictures(ctx, q, func() ([]float32, error) { return q.m.Sample(o.N, o.Seed) })
}

// pictures answers with images that are made when it is the request's turn.
func (a *API) pictures(ctx context.Context, q *query, draw func() ([]float32, error)) error {
	var images []float32
	err := a.gate.do(ctx, func() (err error) { images, err = draw(); return err })
	if err != nil {
		return err
	}
	d := q.m.Dataset.D()
	a.images.Add(int64(len(images) / d))
	if q.npy {
		return q.numbers(images, d)
	}
	return answer(q.w, map[string]any{"checkpoint": q.m.Checkpoint, "images": table(images, d)})
}

// aboutAnswer says which model answers.
type aboutAnswer struct {
	Checkpoint  string   `json:"checkpoint"`
	Description string   `json:"description"`
	Shape       []int    `json:"shape"` // of an image: rows, columns and, in colour, channels
	Latent      int      `json:"latent,omitempty"`
	States      int      `json:"states,omitempty"`
	Likelihood  string   `json:"likelihood"`
	Binarise    string   `json:"binarise"`
	Classes     []string `json:"classes,omitempty"`
}

func aboutOf(m *asked) aboutAnswer {
	ds := m.Dataset
	about := aboutAnswer{Checkpoint: m.Checkpoint, Description: m.Description, Shape: []int{ds.Rows(), ds.Cols()}, Likelihood: string(m.Config.Likelihood), Binarise: string(m.Config.Binarise), Classes: ds.Train.Classes}
	if ds.Channels() > 1 {
		about.Shape = append(about.Shape, ds.Channels())
	}
	if latent, ok := m.Model.(train.Latent); ok {
		about.Latent = latent.Joint().Latent
	}
	if tabular, ok := m.Model.(train.Tabular); ok {
		about.States = tabular.Table().Config.States
	}
	return about
}

func (a *API) about(w http.ResponseWriter, _ *http.Request) { answer(w, aboutOf(a.model.now.Load())) }
