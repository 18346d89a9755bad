package serve

import (
	"bytes"
	"cmp"
	"context"
	"image"
	"image/color"
	"maps"
	"math"
	"net/http"
	"slices"

	"elbo/cmd/elbo/internal/chart"
	"elbo/cmd/elbo/internal/picture"
	"elbo/cmd/elbo/internal/report"
	"elbo/data"
	"elbo/model"
	"elbo/model/infer"
	"elbo/train"
)

// What an explorer shows.
const (
	ratedImages = 500  // by which dimensions are sorted by their KL
	planeCodes  = 3000 // of images, on the plane
	planeSide   = 400  // pixels
	mostLabels  = 30   // on the plane
	planeReach  = 3.5  // standard deviations of N(0, I), in each direction
	mostStates  = 100  // components, the heaviest first
	inferDraws  = 500  // the k of L_k
	postNodes   = 61   // of a posterior, along each dimension
	mostBetween = 20   // images between two
	mostRequest = 4 << 20
	topStates   = 8 // of a posterior over states
)

// exploreAnswer is what an explorer is told of a model when it begins.
type exploreAnswer struct {
	aboutAnswer
	KL     []dimension `json:"kl,omitempty"`     // the dimensions, that with the largest KL first
	Plane  []float64   `json:"plane,omitempty"`  // lo and hi of both dimensions, of a model of two
	Labels []placed    `json:"labels,omitempty"` // where the codes of a label lie on the plane
	Images int         `json:"images"`           // that can be named by their numbers
	Of     string      `json:"of"`               // which part of the data they are
	States []state     `json:"states,omitempty"` // of a model with a table, the heaviest first
}

// dimension is a latent dimension.
type dimension struct {
	At   int      `json:"at"`           // its number, from 0
	KL   *float64 `json:"kl,omitempty"` // mean over images of KL(q(z_j|x) ‖ p(z_j)), nats; left out where there is no such form
	Mean float64  `json:"mean"`         // of the prior
	Lo   float64  `json:"lo"`           // to Hi: where p(z), or the codes of images, have nearly all of their mass
	Hi   float64  `json:"hi"`
}

// placed is the median code of the images of a label.
type placed struct {
	Label string     `json:"label"`
	Z     [2]float64 `json:"z"`
}

// state is a state of a table.
type state struct {
	At     int     `json:"at"`
	Weight float64 `json:"weight"` // p(z)
}

// ask reads a request to an explorer, and answers when it is its turn.
func (p *Page) ask(ctx context.Context, w http.ResponseWriter, r *http.Request, request any, run *string, f func(m *asked) error) error {
	if err := readJSON(w, r, mostRequest, request); err != nil {
		return err
	}
	return p.turn(ctx, *run, f)
}

// turn calls f with the model of a run when it is the request's turn.
func (p *Page) turn(ctx context.Context, run string, f func(m *asked) error) error {
	return p.gate.do(ctx, func() error {
		m, err := p.model(run)
		if err != nil {
			return err
		}
		return f(m)
	})
}

// explore tells an explorer what it is to show.
func (p *Page) explore(ctx context.Context, w http.ResponseWriter, r *http.Request) error {
	var o struct {
		Run string `json:"run"`
	}
	var a exploreAnswer
	err := p.ask(ctx, w, r, &o, &o.Run, func(m *asked) (err error) {
		v := m.named()
		a = exploreAnswer{aboutAnswer: aboutOf(m), Images: v.N(), Of: v.Part()}
		if tabular, ok := m.Model.(train.Tabular); ok {
			for _, c := range train.Components(tabular) {
				if len(a.States) < mostStates {
					a.States = append(a.States, state{c.State, c.Weight})
				}
			}
		}
		latent, ok := m.Model.(train.Latent)
		if !ok {
			return nil
		}
		if a.KL, err = m.dimensions(ctx, latent); err != nil {
			return err
		}
		if a.Latent == 2 {
			lo, hi := region(a.KL)
			a.Plane = []float64{lo[0], hi[0], lo[1], hi[1]}
			a.Labels, err = m.labels(ctx)
		}
		return err
	})
	if err != nil {
		return err
	}
	return answer(w, a)
}

// named are the images that explorers name by their numbers: the test images, where there are any.
func (m *asked) named() data.View {
	for _, v := range []data.View{m.Test, m.Validation} {
		if v.N() > 0 {
			return v
		}
	}
	return m.Train
}

// dimensions are those of the latent space, that which says most of images first.
func (m *asked) dimensions(ctx context.Context, latent train.Latent) ([]dimension, error) {
	if m.dims != nil {
		return m.dims, nil
	}
	joint := latent.Joint()
	mean, sd, err := train.PriorScale(joint)
	if err != nil {
		return nil, err
	}
	v := m.named()
	v.Subset = v.First(ratedImages)
	kl, err := m.KLPerDimension(ctx, v)
	if err != nil {
		return nil, err
	}
	codes, err := m.Encode(ctx, v)
	if err != nil {
		return nil, err
	}
	all := make([]dimension, joint.Latent)
	for j := range all {
		var at []float64
		for i := range v.N() {
			at = append(at, float64(codes.Mean[i*codes.Latent+j]))
		}
		slices.Sort(at)
		beyond := len(at) / 100
		all[j] = dimension{At: j, Mean: mean[j], Lo: min(mean[j]-planeReach*sd[j], at[beyond]), Hi: max(mean[j]+planeReach*sd[j], at[len(at)-1-beyond])}
		if !math.IsNaN(kl[j]) {
			all[j].KL = &kl[j]
		}
	}
	slices.SortStableFunc(all, func(a, b dimension) int {
		if a.KL == nil || b.KL == nil {
			return 0
		}
		return cmp.Compare(*b.KL, *a.KL)
	})
	m.dims = all
	return all, nil
}

// region is the part of a plane that is shown.
func region(all []dimension) (lo, hi [2]float64) {
	for _, d := range all {
		lo[d.At], hi[d.At] = d.Lo, d.Hi
	}
	return lo, hi
}

// onPlane are the first images that are named, and their codes.
func (m *asked) onPlane(ctx context.Context) (v data.View, codes *train.Codes, err error) {
	v = m.named()
	v.Subset = v.First(planeCodes)
	if m.located == nil {
		m.located, err = m.Encode(ctx, v)
	}
	return v, m.located, err
}

// labels are where the codes of each label lie, by their medians.
func (m *asked) labels(ctx context.Context) ([]placed, error) {
	v, codes, err := m.onPlane(ctx)
	if err != nil {
		return nil, err
	}
	if _, known := v.Label(0); !known {
		return nil, nil
	}
	of := map[string][2][]float64{}
	for i := range v.N() {
		at := of[v.Class(i)]
		for j := range at {
			at[j] = append(at[j], float64(codes.Mean[2*i+j]))
		}
		of[v.Class(i)] = at
	}
	var all []placed
	for _, label := range slices.Sorted(maps.Keys(of)) {
		p := placed{Label: label}
		for j, at := range of[label] {
			slices.Sort(at)
			p.Z[j] = at[len(at)/2]
		}
		all = append(all, p)
	}
	return all[:min(len(all), mostLabels)], nil
}

// kl answers with the dimensions of a run, sorted by their KL.
func (p *Page) kl(ctx context.Context, w http.ResponseWriter, r *http.Request) error {
	var all []dimension
	err := p.turn(ctx, r.URL.Query().Get("run"), func(m *asked) (err error) {
		latent, ok := m.Model.(train.Latent)
		if !ok {
			return &train.ConfigError{Err: train.ErrNoCodes}
		}
		all, err = m.dimensions(ctx, latent)
		return err
	})
	if err != nil {
		return err
	}
	return answer(w, all)
}

// decode draws the mean image of a code, or of a state, or a row of those of several codes.
func (p *Page) decode(ctx context.Context, w http.ResponseWriter, r *http.Request) error {
	var o struct {
		Run   string      `json:"run"`
		Z     [][]float32 `json:"z"`
		State *int        `json:"state"`
	}
	return p.drawn(ctx, w, r, &o, &o.Run, func(m *asked) (images []float32, err error) {
		if o.State != nil {
			tabular, ok := m.Model.(train.Tabular)
			if !ok {
				return nil, refuse("the model has no states")
			}
			means, d := tabular.Table().Means(), m.Dataset.D()
			if k := *o.State; k < 0 || (k+1)*d > len(means) {
				return nil, refuse("state %d, and the model has %d", k, len(means)/d)
			}
			return means[*o.State*d:][:d], nil
		}
		latent, ok := m.Model.(train.Latent)
		if !ok {
			return nil, &train.ConfigError{Err: train.ErrNoCodes}
		}
		if len(o.Z) < 1 || len(o.Z) > mostBetween {
			return nil, refuse("%d codes, want 1 to %d", len(o.Z), mostBetween)
		}
		var z []float32
		for _, code := range o.Z {
			if len(code) != latent.Joint().Latent {
				return nil, refuse("a code of %d numbers, and the model has %d latent dimensions", len(code), latent.Joint().Latent)
			}
			z = append(z, code...)
		}
		return m.Decode(z)
	})
}

// between draws what the decoder makes of the way between two images.
func (p *Page) between(ctx context.Context, w http.ResponseWriter, r *http.Request) error {
	var o struct {
		Run      string `json:"run"`
		From, To int
		Steps    int `json:"steps"`
	}
	return p.drawn(ctx, w, r, &o, &o.Run, func(m *asked) ([]float32, error) {
		if o.Steps < 2 || o.Steps > mostBetween {
			return nil, refuse("steps is %d, want 2 to %d", o.Steps, mostBetween)
		}
		latent, ok := m.Model.(train.Latent)
		if !ok {
			return nil, &train.ConfigError{Err: train.ErrNoCodes}
		}
		var x []float32
		for _, i := range []int{o.From, o.To} {
			one, err := m.image(i)
			if err != nil {
				return nil, err
			}
			x = append(x, one...)
		}
		v, err := m.view(x)
		if err != nil {
			return nil, err
		}
		codes, err := m.Encode(ctx, v)
		if err != nil {
			return nil, err
		}
		width := latent.Joint().Latent
		z, err := train.Between(codes.Mean[:width], codes.Mean[width:], o.Steps, train.Linear)
		if err != nil {
			return nil, err
		}
		return m.Decode(z)
	})
}

// image is one that is named by its number, as evaluation sees it.
func (m *asked) image(i int) ([]float32, error) {
	v := m.named()
	if i < 0 || i >= v.N() {
		return nil, refuse("image %d, want 0 to %d", i, v.N()-1)
	}
	x := make([]float32, v.D())
	v.Evaluated(x, i)
	return x, nil
}

// drawn answers with images that are made when it is the request's turn: one as it is, pixel by pixel, several
// in a row.
func (p *Page) drawn(ctx context.Context, w http.ResponseWriter, r *http.Request, request any, run *string, draw func(m *asked) ([]float32, error)) error {
	var b bytes.Buffer
	err := p.ask(ctx, w, r, request, run, func(m *asked) error {
		images, err := draw(m)
		if err != nil {
			return err
		}
		return picture.Encode(&b, row(images, m.Dataset.Rows(), m.Dataset.Cols(), m.Dataset.Channels()))
	})
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "image/png")
	w.Write(b.Bytes())
	return nil
}

// row lays images side by side, without gaps.
func row(images []float32, rows, cols, channels int) image.Image {
	d := rows * cols * channels
	n := len(images) / d
	beside := make([]float32, len(images))
	for i := range n {
		for y := range rows {
			copy(beside[(y*n+i)*cols*channels:][:cols*channels], images[i*d+y*cols*channels:])
		}
	}
	return picture.Plain(beside, rows, n*cols, channels)
}

// inferAnswer is what a model makes of one image.
type inferAnswer struct {
	imageAnswer
	Samples        int       `json:"samples,omitempty"` // the k of L_k
	Mean           []float32 `json:"mean,omitempty"`
	SD             []float64 `json:"sd,omitempty"`
	States         []state   `json:"states,omitempty"` // the likeliest, with p(z|x)
	Image          string    `json:"image"`            // as it is scored
	Reconstruction string    `json:"reconstruction"`
	Posterior      string    `json:"posterior,omitempty"` // a chart, of a model of two dimensions
	Label          string    `json:"label,omitempty"`     // of an image that is named
}

// infer says what a model makes of an image, drawn by hand or named by its number.
func (p *Page) infer(ctx context.Context, w http.ResponseWriter, r *http.Request) error {
	var o struct {
		Run    string    `json:"run"`
		Pixels []float32 `json:"pixels"`
		Image  *int      `json:"image"`
	}
	var a inferAnswer
	err := p.ask(ctx, w, r, &o, &o.Run, func(m *asked) (err error) {
		x := o.Pixels
		if o.Image != nil {
			if x, err = m.image(*o.Image); err != nil {
				return err
			}
			a.Label = m.named().Class(*o.Image)
		}
		if len(x) != m.Dataset.D() {
			return refuse("%d pixels, and an image of the model has %d", len(x), m.Dataset.D())
		}
		for i, v := range x {
			if !(v >= 0 && v <= 1) {
				return refuse("pixel %d is %g, want it in [0, 1]", i, v)
			}
		}
		v, err := m.view(x)
		if err != nil {
			return err
		}
		return a.fill(ctx, m, v)
	})
	if err != nil {
		return err
	}
	return answer(w, a)
}

// fill says all of the one image of v.
func (a *inferAnswer) fill(ctx context.Context, m *asked, v data.View) error {
	vae, amortised := m.Model.(train.Amortised)
	exact := amortised && vae.VAE().Latent <= 2
	e, err := m.score(ctx, v, inferDraws, m.Config.Seed, exact)
	if err != nil {
		return err
	}
	a.imageAnswer, a.Samples = imageOf(&e, 0, m.Config.Likelihood), e.Draws
	codes, err := m.Encode(ctx, v)
	if err != nil {
		return err
	}
	a.Mean = codes.Mean
	for _, variance := range codes.Variance {
		a.SD = append(a.SD, math.Sqrt(float64(variance)))
	}
	if codes.Table != nil {
		states, probabilities := codes.Likeliest(min(topStates, codes.States))
		for i := range states {
			a.States = append(a.States, state{int(states[i]), float64(probabilities[i])})
		}
	}
	again, err := m.Reconstruct(ctx, v)
	if err != nil {
		return err
	}
	rows, cols, channels := v.Rows(), v.Cols(), v.Channels()
	a.Image = chart.DataURI(picture.Plain(v.AllEvaluated(), rows, cols, channels))
	a.Reconstruction = chart.DataURI(picture.Plain(again, rows, cols, channels))
	if exact && vae.VAE().Latent == 2 {
		c, err := posterior(ctx, vae.VAE(), v)
		if err != nil {
			return err
		}
		svg, err := c.Inline()
		if err != nil {
			return err
		}
		a.Posterior = string(svg)
	}
	return nil
}

// posterior draws p(z|x) of the one image of v by quadrature, and the encoder's q over it.
func posterior(ctx context.Context, vae *model.VAE, v data.View) (chart.Chart, error) {
	all, err := infer.GridPosteriors(ctx, vae.Joint, v, []int{0}, infer.Window{Nodes: postNodes})
	if err != nil {
		return chart.Chart{}, err
	}
	g := all[0]
	field := chart.Field{W: postNodes, H: postNodes, X: chart.Span{Lo: g.Window.Lo[0], Hi: g.Window.Hi[0]}, Y: chart.Span{Lo: g.Window.Lo[1], Hi: g.Window.Hi[1]}, Values: make([]float64, len(g.Density))}
	for i, density := range g.Density { // there the first dimension is the slowest
		field.Values[i%postNodes*postNodes+i/postNodes] = density
	}
	c := chart.Chart{Width: 320, Height: 340, Equal: true, X: chart.Axis{Label: "z₁"}, Y: chart.Axis{Label: "z₂"},
		Alt: "p(z|x) by quadrature, and the encoder's q(z|x) around 50 and 95 % of its mass", Layers: []chart.Layer{chart.Heat{Field: field}}}
	for _, level := range chart.MassLevels(g.Density, report.ContourMass[:]...) {
		c.Layers = append(c.Layers, chart.Contour{Field: field, Look: chart.CurveLook(0), Level: level})
	}
	h, err := infer.Encode(ctx, vae, v)
	if err != nil {
		return c, err
	}
	draws, err := vae.NewPosteriorDraws(vae.Q.Posterior, 1, report.OutlineCorners)
	if err != nil {
		return c, err
	}
	outlines, err := report.Outlines(draws, h)
	for i, o := range outlines {
		line := chart.Line{Look: chart.Look{Ink: chart.CurveInk(1), Dashed: true}, X: o.X, Y: o.Y}
		if i == 0 {
			line.Name = "encoder's q(z|x)"
		}
		c.Layers = append(c.Layers, line)
	}
	return c, err
}

// plane draws the latent plane of a model of two dimensions: p(z) as grey, and where the codes of
// images lie, in the colours of their labels.
func (p *Page) plane(ctx context.Context, w http.ResponseWriter, r *http.Request) error {
	var b bytes.Buffer
	err := p.turn(ctx, r.URL.Query().Get("run"), func(m *asked) error {
		latent, ok := m.Model.(train.Latent)
		if !ok || latent.Joint().Latent != 2 {
			return refuse("the plane is for models of 2 latent dimensions")
		}
		dims, err := m.dimensions(ctx, latent)
		if err != nil {
			return err
		}
		lo, hi := region(dims)
		img, err := prior(latent.Joint(), lo, hi)
		if err != nil {
			return err
		}
		v, codes, err := m.onPlane(ctx)
		if err != nil {
			return err
		}
		for i := range v.N() {
			ink := color.Color(chart.GroupInk(0))
			if label, ok := v.Label(i); ok {
				ink = chart.GroupInk(int(label))
			}
			x := int((float64(codes.Mean[2*i]) - lo[0]) / (hi[0] - lo[0]) * planeSide)
			y := int((hi[1] - float64(codes.Mean[2*i+1])) / (hi[1] - lo[1]) * planeSide)
			for _, at := range [][2]int{{x, y}, {x + 1, y}, {x, y + 1}, {x + 1, y + 1}} {
				img.Set(at[0], at[1], ink)
			}
		}
		return picture.Encode(&b, img)
	})
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "image/png")
	w.Write(b.Bytes())
	return nil
}

// prior draws p(z), from white to a light grey where it is highest.
func prior(j *model.Joint, lo, hi [2]float64) (*image.NRGBA, error) {
	fixed, _, err := j.Fixed()
	if err != nil {
		return nil, err
	}
	const nodes = planeSide / 4
	density, err := fixed.NewPriorDensity(nodes * nodes)
	if err != nil {
		return nil, err
	}
	z, logP := make([]float64, 0, 2*nodes*nodes), make([]float64, nodes*nodes)
	for y := range nodes {
		for x := range nodes {
			z = append(z, lo[0]+(hi[0]-lo[0])*(float64(x)+0.5)/nodes, hi[1]-(hi[1]-lo[1])*(float64(y)+0.5)/nodes)
		}
	}
	if err := density.At(z, logP, nil); err != nil {
		return nil, err
	}
	top := slices.Max(logP)
	img := image.NewNRGBA(image.Rect(0, 0, planeSide, planeSide))
	for y := range planeSide {
		for x := range planeSide {
			grey := uint8(255 - 70*math.Exp(logP[y/4*nodes+x/4]-top))
			img.SetNRGBA(x, y, color.NRGBA{grey, grey, grey, 255})
		}
	}
	return img, nil
}
