// Package bench measures how fast this program is on this machine, and how far
// from what the machine could do: the roofline.
//
// A time on a shared machine says little, a ratio measured side by side says more.
// So every row is measured in short windows, of which the best counts, and the
// machine's limits are measured again between the windows, in the same process and on
// the same cores: a loop of nothing but fused multiply-adds of registers, which no
// product can surpass, and a copy through memory. The fraction of the roofline is
//
//	(FLOP of the matrix products / FLOP/s of the fused multiply-adds) / time,
//
// 1 if nothing but products took time, and those did something useful in every cycle. The
// FLOP are those of whole matrices. Products with black and white images leave the black
// pixels out, see [elbo/graph/gemm.Bits], and so a fraction may be larger than 1.
package bench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"elbo/data"
	"elbo/graph"
	"elbo/graph/gemm"
	"elbo/model"
	"elbo/model/infer"
	"elbo/train"
	"elbo/train/run"
)

// ReferenceGFLOPS is the limit of both cores of the machine on which the goals were set
// in images a second: a 2-core AMD Zen 5 with AVX-512. Elsewhere it is the fraction
// of the roofline that says whether a goal is met.
const ReferenceGFLOPS = 540

// Row is one line of the report.
type Row struct {
	Name    string  `json:"name"`
	What    string  `json:"what"`
	Figure  float64 `json:"figure"`
	Unit    string  `json:"unit"`
	Goal    float64 `json:"goal"`    // of Figure, on the machine of ReferenceGFLOPS
	AtMost  bool    `json:"at_most"` // the goal is an upper limit
	Verdict string  `json:"verdict"`
	Met     bool    `json:"met"`

	// Of work that is made of matrix products.
	FLOP         float64 `json:"flop,omitempty"`          // of the products, for one of what Figure counts
	LimitGFLOPS  float64 `json:"limit_gflops,omitempty"`  // of fused multiply-adds next to this row, all workers
	StreamGBs    float64 `json:"stream_gb_s,omitempty"`   // read and written by a copy through memory next to this row, all workers, GB/s
	Fraction     float64 `json:"fraction,omitempty"`      // of the roofline
	FractionGoal float64 `json:"fraction_goal,omitempty"` // what travels to other machines
}

// Bench measures rows.
type Bench struct {
	Seconds float64 // of measuring, for a row
	Engine  *graph.Engine
	Now     func() time.Time
	Temp    string // a directory for runs; the caller removes it

	// Start runs `elbo train` in a process of its own with the given arguments, for the
	// given seconds, or with 0 to the end of the first epoch. It returns the seconds
	// that the epoch took from the start of the process, and the largest resident memory
	// in bytes, 0 if the system does not say.
	Start func(ctx context.Context, seconds float64, args ...string) (first float64, resident uint64, err error)

	images int // of training data for a mixture, 0: all; for tests
	square int // extent of the matrices of sgemm, 0 until it is chosen

	from, to []float32 // what is copied
	stream   float64   // the fastest copy next to the present row, GB/s
}

// work is a row that can be measured.
type work struct {
	name, what, unit string
	goal             float64
	fraction         float64 // goal for the roofline; 0: what the goal is on the reference machine
	flop             float64
	measure          func(b *Bench, ctx context.Context, w work) (rate, gflops float64, err error)
	row              func(b *Bench, ctx context.Context, w work) (Row, error) // instead of measure
}

// works are all rows, in the order in which they are measured.
func works() []work {
	small := train.DefaultConfig(train.VAEModel) // 784-400-20, relu
	small.Binarise = "threshold"
	deep := train.With(small, func(s *train.VAESettings) {
		s.Hidden, s.Latent, s.Activation, s.Batch = []int{200, 200}, 50, graph.Tanh, 20
	})
	deep.Binarise = "dynamic"
	conv := train.With(small, func(s *train.VAESettings) { s.Layers, s.Hidden = model.Conv, []int{256} })
	plane := train.With(small, func(s *train.VAESettings) { s.Latent = 2 })
	return []work{
		{name: "vae", what: "train VAE 784-400-20 relu, batch 128, threshold", unit: "images/s",
			goal: 75_000, flop: StepFLOP(pixels, small.Network().Hidden, small.Network().Latent), measure: trainVAE(small)},
		{name: "deep", what: "train VAE 784-200-200-50 tanh, batch 20, dynamic", unit: "images/s",
			goal: 42_000, flop: StepFLOP(pixels, deep.Network().Hidden, deep.Network().Latent), measure: trainVAE(deep)},
		{name: "conv", what: "train VAE conv 32-64 of 3×3, stride 2, 256-20 relu, batch 128, threshold", unit: "images/s",
			fraction: 0.5, flop: ConvStepFLOP(conv.Network()), measure: trainVAE(conv)},
		{name: "mixture", what: "EM, Bernoulli mixture, K = 500, 60 000 images", unit: "iterations/s",
			fraction: 0.65, flop: EMFLOP(60_000, pixels, components), measure: fitMixture},
		{name: "iw", what: "L_5000 of 10 000 images, VAE 784-200-200-50", unit: "s",
			fraction: 0.7, flop: 10_000 * BoundFLOP(pixels, deep.Network().Hidden, deep.Network().Latent, draws), measure: evaluate(deep)},
		{name: "quadrature", what: "log p(x) of 10 000 images over 201 x 201 nodes, VAE 784-400-2", unit: "s",
			fraction: 0.7, flop: QuadratureFLOP(10_000, pixels, plane.Network().Hidden, 2, nodes), measure: integrate(plane)},
		{name: "memory", what: "resident memory while training VAE 784-400-20", unit: "MB", goal: 500, row: memory},
		{name: "start", what: "from the start of `elbo train` to its first step", unit: "s", goal: 1, row: start},
	}
}

const (
	pixels     = side * side
	side       = 28
	components = 500
	draws      = 5000
	nodes      = 201 * 201
)

// Names lists the rows.
func Names() []string {
	var names []string
	for _, w := range works() {
		names = append(names, w.name)
	}
	return names
}

// Validate returns every fault of a choice of rows.
func Validate(only []string) error {
	var faults []error
	for _, name := range only {
		if !slices.Contains(Names(), name) {
			faults = append(faults, fmt.Errorf("unknown row %q, want one of %s", name, strings.Join(Names(), ", ")))
		}
	}
	return errors.Join(faults...)
}

// Measure measures the rows of the given names, or all for none, and calls began before
// and done after each. It stops with the context's error.
func (b *Bench) Measure(ctx context.Context, only []string, began func(what string), done func(Row)) error {
	for _, w := range works() {
		if len(only) > 0 && !slices.Contains(only, w.name) {
			continue
		}
		began(w.what)
		row, err := b.measure(ctx, w)
		if err != nil {
			return fmt.Errorf("bench: %s: %w", w.name, err)
		}
		done(row)
	}
	return nil
}

func (b *Bench) measure(ctx context.Context, w work) (Row, error) {
	if w.row != nil {
		return w.row(b, ctx, w)
	}
	b.stream = 0
	rate, gflops, err := w.measure(b, ctx, w)
	if err != nil {
		return Row{}, err
	}
	row := w.rated(rate, gflops)
	row.StreamGBs = b.stream
	if b.Engine.BLAS.Name == "gonum" {
		row.unjudge()
	}
	return row, nil
}

// unjudge takes the roofline and the verdict away. gonum's product skips zeros of its left
// operand, and four of five pixels are 0: its products take a fraction of their FLOP.
func (r *Row) unjudge() {
	r.LimitGFLOPS, r.Fraction, r.FractionGoal, r.Met = 0, 0, 0, false
	r.Verdict = "not judged: gonum skips zeros"
}

// rated is the row of so many of what it counts in a second, next to fused multiply-adds
// of so many GFLOP/s.
func (w work) rated(rate, gflops float64) Row {
	r := Row{Name: w.name, What: w.what, Unit: w.unit, Figure: rate, Goal: w.goal, FLOP: w.flop, LimitGFLOPS: gflops}
	r.Fraction = rate * w.flop / (gflops * 1e9)
	r.FractionGoal = w.fraction
	if w.fraction == 0 {
		r.FractionGoal = w.goal * w.flop / (ReferenceGFLOPS * 1e9)
	} else {
		r.Goal = w.fraction * ReferenceGFLOPS * 1e9 / w.flop
	}
	if w.unit == "s" { // seconds for one, rather than how many in a second
		r.Figure, r.Goal, r.AtMost = 1/r.Figure, 1/r.Goal, true
	}
	share := r.Fraction / r.FractionGoal
	r.Met, r.Verdict = share >= 1, verdict(share >= 1, share, "goal")
	return r
}

// limited is the row of a figure that is to stay below its goal.
func (w work) limited(figure float64) Row {
	r := Row{Name: w.name, What: w.what, Unit: w.unit, Figure: figure, Goal: w.goal, AtMost: true}
	r.Met, r.Verdict = figure <= w.goal, verdict(figure <= w.goal, figure/w.goal, "limit")
	return r
}

func verdict(met bool, share float64, of string) string {
	if !met {
		return fmt.Sprintf("%.2f of the %s", share, of)
	}
	return fmt.Sprintf("met: %.2f of the %s", share, of)
}

// StepFLOP is what the matrix products of one image cost in a step of training a VAE:
// 2 FLOP a weight forward and 4 backward, but for the first layer, whose gradient with
// respect to the pixels nobody needs.
func StepFLOP(pixels int, hidden []int, latent int) float64 {
	encoder, decoder := weights(pixels, hidden, latent)
	return 6*(encoder+decoder) - 2*float64(pixels)*float64(append(slices.Clone(hidden), 2*latent)[0])
}

// ConvStepFLOP is StepFLOP with convolutions, for images of MNIST: of a convolution each term of
// its sums counts, and not the zeros that pad a map.
func ConvStepFLOP(n train.NetworkSettings) float64 {
	c := model.ConvConfig{Image: model.MapShape{Rows: side, Cols: side, Channels: 1}, Widths: n.ConvSettings.Widths, Kernel: n.ConvSettings.Kernel, Stride: n.ConvSettings.Stride, Blocks: n.ConvSettings.Blocks}
	encoder, decoder := c.Costs(n.Layers, n.Hidden, n.Latent, 2*n.Latent, pixels)
	return 6*(encoder.Products+decoder.Products) - 2*encoder.First
}

// BoundFLOP is what the matrix products of one image cost in L_k: one pass of the
// encoder, and one of the decoder for each of k draws.
func BoundFLOP(pixels int, hidden []int, latent, k int) float64 {
	encoder, decoder := weights(pixels, hidden, latent)
	return 2*encoder + 2*float64(k)*decoder
}

// EMFLOP is what the matrix products of an iteration of EM cost for a Bernoulli mixture:
// one for the log-likelihoods and one for the statistics.
func EMFLOP(images, pixels, components int) float64 {
	return 4 * float64(images) * float64(pixels) * float64(components)
}

// QuadratureFLOP is what the matrix products of log p(x) cost by quadrature over fixed
// nodes: they are decoded once, and the log-likelihoods are linear in the pixels.
func QuadratureFLOP(images, pixels int, hidden []int, latent, nodes int) float64 {
	_, decoder := weights(pixels, hidden, latent)
	return 2*float64(nodes)*decoder + 2*float64(images)*float64(nodes)*float64(pixels)
}

// weights counts those of encoder and decoder.
func weights(pixels int, hidden []int, latent int) (encoder, decoder float64) {
	sizes := slices.Concat([]int{pixels}, hidden)
	for i := range hidden {
		encoder += float64(sizes[i] * sizes[i+1])
	}
	last := float64(sizes[len(sizes)-1])
	return encoder + last*float64(2*latent), encoder + last*float64(latent)
}

// Sgemm returns the GFLOP/s of a large square product, cut over so many workers by rows
// as the engine does, the best of several within about the given seconds.
func (b *Bench) Sgemm(workers int, seconds float64) float64 {
	if b.square == 0 {
		b.square = b.largeSquare()
	}
	n := b.square
	engine := graph.NewEngine(workers, b.Engine.BLAS)
	x, y, z := ones(n*n), ones(n*n), make([]float32, n*n)
	best := 0.0
	for began, runs := b.Now(), 0; runs < 2 || b.Now().Sub(began).Seconds() < seconds; runs++ {
		t := b.Now()
		engine.Split(n, 1, func(lo, hi int) {
			engine.BLAS.Sgemm(false, false, hi-lo, n, n, 1, x[lo*n:], n, y, n, 0, z[lo*n:], n)
		})
		best = max(best, 2*float64(n)*float64(n)*float64(n)/b.Now().Sub(t).Seconds()/1e9)
	}
	return best
}

// largeSquare is the extent of a product that takes one core no longer than a tenth of a
// row's seconds, at most 2048 and at least 256.
func (b *Bench) largeSquare() int {
	for n := 256; ; n *= 2 {
		x, z := ones(n*n), make([]float32, n*n)
		took := 0.0
		for range 2 { // the first one warms up
			t := b.Now()
			b.Engine.BLAS.Sgemm(false, false, n, n, n, 1, x, n, x, n, 0, z, n)
			took = b.Now().Sub(t).Seconds()
		}
		if n == 2048 || took*8 > b.Seconds/10 {
			return n
		}
	}
}

func ones(n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = 1
	}
	return x
}

// Limit returns the GFLOP/s of a loop of fused multiply-adds on so many workers, the best of
// several within about the given seconds.
func (b *Bench) Limit(workers int, seconds float64) float64 {
	engine := graph.NewEngine(workers, b.Engine.BLAS)
	n, best := 1<<20, 0.0
	for began := b.Now(); best == 0 || b.Now().Sub(began).Seconds() < seconds; {
		var flop atomic.Uint64
		t := b.Now()
		engine.Split(workers, 1, func(lo, hi int) {
			for range hi - lo {
				flop.Add(uint64(gemm.FMAs(n)))
			}
		})
		took := b.Now().Sub(t).Seconds()
		if took < seconds/100 && n < 1<<30 {
			n *= 2 // too short for the clock
			continue
		}
		best = max(best, float64(flop.Load())/took/1e9)
	}
	return best
}

// copied is how many numbers Stream copies: more than caches hold.
const copied = 16 << 20

// Stream returns the GB/s that a copy through memory reads and writes on so many workers,
// the best of several within about the given seconds.
func (b *Bench) Stream(workers int, seconds float64) float64 {
	if b.from == nil {
		b.from, b.to = ones(copied), ones(copied)
	}
	engine := graph.NewEngine(workers, b.Engine.BLAS)
	best := 0.0
	for began := b.Now(); best == 0 || b.Now().Sub(began).Seconds() < seconds; {
		t := b.Now()
		engine.Split(copied, 1, func(lo, hi int) { copy(b.to[lo:hi], b.from[lo:hi]) })
		best = max(best, 2*4*copied/b.Now().Sub(t).Seconds()/1e9)
	}
	return best
}

// beside measures the limits on all workers next to a row, briefly, and returns that of
// fused multiply-adds.
func (b *Bench) beside() float64 {
	b.stream = max(b.stream, b.Stream(b.Engine.Workers, b.Seconds*brief))
	return b.Limit(b.Engine.Workers, b.Seconds*brief)
}

// brief is the share of a row's seconds that a limit is measured for at a time.
const brief = 1. / 60

// setup opens the data and makes the model of a configuration, all 60 000 training
// images, and a directory for the run.
func (b *Bench) setup(c train.Config, name string) (*train.Setup, *run.Dir, error) {
	c.Split, c.Limit, c.Epochs, c.Workers = []int{60_000, 0}, b.images, 1_000_000, b.Engine.Workers
	s, err := train.NewSetup(c, b.Engine.Workers, func(int) *graph.Engine { return b.Engine })
	if err != nil {
		return nil, nil, err
	}
	dir, err := train.CreateRun(fmt.Sprintf("%s/%s", b.Temp, name), s.Config)
	return s, dir, err
}

// windows is how many a row is cut into.
const windows = 8

// trainVAE measures the training loop as it stands: feed, graph, Adam, all that
// train.Run does between two steps. Checkpoints, which end an epoch, fall into few
// windows, and those are not the best ones.
func trainVAE(c train.Config) func(*Bench, context.Context, work) (float64, float64, error) {
	return func(b *Bench, ctx context.Context, w work) (float64, float64, error) {
		s, dir, err := b.setup(c, w.name)
		if err != nil {
			return 0, 0, err
		}
		defer dir.Close()
		inner, stop := context.WithCancel(ctx)
		defer stop()
		r := &stepRecorder{b: b, stop: stop, seconds: b.Seconds / windows}
		_, err = train.Run(inner, s, dir, nil, r, b.Now)
		return r.best, r.gflops, b.ended(ctx, err)
	}
}

// ended is the error of a run that was stopped as it had been measured.
func (b *Bench) ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(err, train.ErrInterrupted) {
		return nil
	}
	return err
}

// stepRecorder times windows of steps.
type stepRecorder struct {
	b       *Bench
	stop    context.CancelFunc
	seconds float64 // a window

	steps  int // since the last product beside
	window int // windows done; the first one warms up
	began  time.Time
	from   int // images at its beginning
	best   float64
	gflops float64
}

// unfed is how many steps follow on batches that were made ready in a pause.
const unfed = 4

func (r *stepRecorder) Step(p train.Progress) {
	images := (p.Epoch-1)*p.Images + p.Position
	switch r.steps++; {
	case r.steps < unfed:
	case r.steps == unfed:
		r.began, r.from = r.b.Now(), images
	default:
		took := r.b.Now().Sub(r.began).Seconds()
		if took < r.seconds {
			return
		}
		if r.window > 0 {
			r.best = max(r.best, float64(images-r.from)/took)
		}
		if r.window++; r.window > windows {
			r.stop()
			return
		}
		r.gflops = max(r.gflops, r.b.beside())
		r.steps = 0
	}
}

func (r *stepRecorder) Epoch(run.Metrics) {}

// fitMixture measures iterations of train.Run: E-step and M-step, without the
// checkpoint after it.
func fitMixture(b *Bench, ctx context.Context, w work) (float64, float64, error) {
	c := train.With(train.DefaultConfig(train.MixtureModel), func(s *train.MixtureSettings) { s.Components, s.Tolerance = components, 0 })
	c.Binarise = "threshold"
	s, dir, err := b.setup(c, w.name)
	if err != nil {
		return 0, 0, err
	}
	defer dir.Close()
	inner, stop := context.WithCancel(ctx)
	defer stop()
	r := &iterationRecorder{b: b, stop: stop}
	_, err = train.Run(inner, s, dir, nil, r, b.Now)
	return float64(s.Train.N()) / 60_000 / r.best, r.gflops, b.ended(ctx, err)
}

// iterationRecorder keeps the shortest iteration.
type iterationRecorder struct {
	b      *Bench
	stop   context.CancelFunc
	best   float64 // seconds
	total  float64
	gflops float64
}

func (r *iterationRecorder) Step(train.Progress) {}

func (r *iterationRecorder) Epoch(m run.Metrics) {
	r.gflops = max(r.gflops, r.b.beside())
	if m.Epoch < 2 { // without an M-step, or with buffers that are new
		return
	}
	if r.best == 0 || m.Seconds < r.best {
		r.best = m.Seconds
	}
	if r.total += m.Seconds; r.total >= r.b.Seconds && m.Epoch > 2 {
		r.stop()
	}
}

// evaluate measures L_k on a few of the test images, and returns how often all 10 000
// can be scored in a second.
func evaluate(c train.Config) func(*Bench, context.Context, work) (float64, float64, error) {
	return func(b *Bench, ctx context.Context, w work) (float64, float64, error) {
		s, dir, err := b.setup(c, w.name)
		if err != nil {
			return 0, 0, err
		}
		defer dir.Close()
		e, err := infer.NewEvaluator(s.Model.(train.Amortised).VAE(), draws)
		if err != nil {
			return 0, 0, err
		}
		best, gflops, err := b.rate(s.Test, b.Engine.Workers, func(v data.View) error { // each scores an image
			_, err := e.Evaluate(ctx, v, 1)
			return err
		})
		if err != nil {
			return 0, 0, err
		}
		return best / 10_000, gflops, nil
	}
}

// integrate measures quadrature over the first lattice: decoding its nodes, and a few of
// the test images, and returns how often all 10 000 can be done in a second. No spacing
// is halved: how many are depends on the model.
func integrate(c train.Config) func(*Bench, context.Context, work) (float64, float64, error) {
	return func(b *Bench, ctx context.Context, w work) (float64, float64, error) {
		s, dir, err := b.setup(c, w.name)
		if err != nil {
			return 0, 0, err
		}
		defer dir.Close()
		o := infer.DefaultQuadrature(c.Network().Latent)
		o.Levels = 0
		var q *infer.Quadrature
		decode := math.Inf(1)
		for range 2 {
			if err := ctx.Err(); err != nil {
				return 0, 0, err
			}
			t := b.Now()
			if q, err = infer.NewQuadrature(s.Model.(train.Latent).Joint(), o, 10_000); err != nil {
				return 0, 0, err
			}
			decode = min(decode, b.Now().Sub(t).Seconds())
		}
		// Images are worked through in blocks of 256.
		best, gflops, err := b.rate(s.Test, 256, func(v data.View) error {
			_, err := q.Evidence(ctx, v, nil)
			return err
		})
		if err != nil {
			return 0, 0, err
		}
		return 1 / (decode + 10_000/best), gflops, nil
	}
}

// rate returns how many images of v can be scored in a second in the best of many windows,
// after one that warms up. A window has at least so many of the first images of v, and twice
// as many until it is as long as those in which the limits are measured: on a machine that
// others share, the best of long windows stays below a limit that is the best of short ones.
func (b *Bench) rate(v data.View, images int, score func(data.View) error) (best, gflops float64, err error) {
	warm, spent, since := false, 0.0, 0.0
	for spent < b.Seconds {
		some := v
		some.Subset = v.First(images)
		t := b.Now()
		if err := score(some); err != nil {
			return 0, 0, err
		}
		took := b.Now().Sub(t).Seconds()
		if took < b.Seconds*brief && 2*images <= v.N() {
			images *= 2
			continue
		}
		if warm {
			best = max(best, float64(images)/took)
			spent, since = spent+took, since+took
		}
		if !warm || since > b.Seconds/windows {
			gflops, since = max(gflops, b.beside()), 0
		}
		warm = true
	}
	return best, gflops, nil
}

// memory is the largest resident memory of a process that trains.
func memory(b *Bench, ctx context.Context, w work) (Row, error) {
	_, resident, err := b.Start(ctx, b.Seconds, "--split", "60000,0", "--binarise", "threshold", "--epochs", "1000000")
	if err != nil {
		return Row{}, err
	}
	if resident == 0 { // the system does not say: what Go has asked it for, here
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		resident, w.what = m.Sys, "memory that this process has asked for"
	}
	return w.limited(float64(resident) / 1e6), nil
}

// start is the best of three.
func start(b *Bench, ctx context.Context, w work) (Row, error) {
	best := 0.0
	for i := range 3 {
		first, _, err := b.Start(ctx, 0, "--limit", "128", "--split", "60000,0", "--binarise", "threshold", "--epochs", "1")
		if err != nil {
			return Row{}, err
		}
		if i == 0 || first < best {
			best = first
		}
	}
	return w.limited(best), nil
}
