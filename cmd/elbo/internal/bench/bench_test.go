package bench

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"elbo/graph"
	"elbo/graph/blas"
)

// TestFLOPAreThoseOfTheProducts counts the products of the VAE 784-400-20 by hand:
//
//	encoder  784·400 forward and dW, no dX; 400·40 forward, dX and dW
//	decoder  20·400 and 400·784 forward, dX and dW
//
// each multiply-add is two.
func TestFLOPAreThoseOfTheProducts(t *testing.T) {
	if got, want := StepFLOP(784, []int{400}, 20), 2.*(2*784*400+3*(400*40+20*400+400*784)); got != want {
		t.Errorf("a step: %g FLOP an image, want %g", got, want)
	}
	if got, want := StepFLOP(9, nil, 2), 2.*(2*9*4+3*2*9); got != want {
		t.Errorf("a step without hidden layers: %g FLOP an image, want %g", got, want)
	}
	encoder, decoder := 784.*200+200*200+200*100, 50.*200+200*200+200*784
	if got, want := BoundFLOP(784, []int{200, 200}, 50, 5000), 2*encoder+10_000*decoder; got != want {
		t.Errorf("L_5000: %g FLOP an image, want %g", got, want)
	}
	if got, want := QuadratureFLOP(10, 784, []int{400}, 2, 9), 2*9*(2*400+400*784.)+2*10*9*784; got != want {
		t.Errorf("quadrature: %g FLOP, want %g", got, want)
	}
	if got, want := EMFLOP(60_000, 784, 500), 2*2*60_000*784*500.; got != want {
		t.Errorf("an iteration of EM: %g FLOP, want %g", got, want)
	}
}

// TestVerdictsFollowTheRoofline: half the machine may be half as fast.
func TestVerdictsFollowTheRoofline(t *testing.T) {
	for _, c := range []struct {
		w            work
		rate, gflops float64
		figure       float64
		fraction     float64
		met          bool
	}{
		{work{unit: "images/s", goal: 230, flop: 1e9}, 230, 540, 230, 230. / 540, true},
		{work{unit: "images/s", goal: 230, flop: 1e9}, 115, 270, 115, 115. / 270, true},
		{work{unit: "images/s", goal: 230, flop: 1e9}, 114, 270, 114, 114. / 270, false},
		{work{unit: "s", fraction: 0.6, flop: 46e12}, 0.005, 460, 200, 0.5, false},
		{work{unit: "s", fraction: 0.6, flop: 46e12}, 0.00625, 460, 160, 0.625, true},
	} {
		r := c.w.rated(c.rate, c.gflops)
		if r.Met != c.met || math.Abs(r.Fraction-c.fraction) > 1e-9 || math.Abs(r.Figure-c.figure) > 1e-9 || strings.HasPrefix(r.Verdict, "met") != c.met {
			t.Errorf("%g a second beside %g GFLOP/s: %+v, want figure %g, fraction %g, met %v", c.rate, c.gflops, r, c.figure, c.fraction, c.met)
		}
	}
	for figure, met := range map[float64]bool{0.9: true, 1.1: false} {
		if r := (work{unit: "s", goal: 1}).limited(figure); r.Met != met {
			t.Errorf("%g of at most 1: %+v", figure, r)
		}
	}
}

// TestGoalsAreThoseOfTheReferenceMachine: EM at 65 % of 540 GFLOP/s.
func TestGoalsAreThoseOfTheReferenceMachine(t *testing.T) {
	for _, w := range works() {
		if w.row != nil {
			continue
		}
		r := w.rated(1, ReferenceGFLOPS)
		rate := r.Goal
		if r.AtMost {
			rate = 1 / r.Goal
		}
		if got := rate * w.flop / (ReferenceGFLOPS * 1e9); math.Abs(got-r.FractionGoal) > 1e-9 || got <= 0.1 || got >= 1 {
			t.Errorf("%s: a goal of %g %s is %.3f of the roofline, and %.3f is wanted", w.name, r.Goal, w.unit, got, r.FractionGoal)
		}
	}
}

// TestEveryRowIsMeasured on few images, with processes that are not started. Only beside
// a product that does all of its FLOP is there a roofline: gonum skips zeros.
func TestEveryRowIsMeasured(t *testing.T) {
	for _, c := range []struct {
		lib  *blas.Library
		only []string
	}{
		{blas.Gonum(), []string{"vae", "mixture", "memory", "start"}},
		{blas.BuiltIn(), []string{"vae", "deep", "conv", "mixture", "iw", "quadrature"}},
	} {
		b := &Bench{
			Seconds: 0.01, Engine: graph.NewEngine(2, c.lib), Now: time.Now, Temp: t.TempDir(),
			Start: func(context.Context, float64, ...string) (float64, uint64, error) { return 0.5, 200e6, nil },

			images: 600,
		}
		var rows []string
		err := b.Measure(context.Background(), c.only, func(string) {}, func(r Row) {
			rows = append(rows, r.Name)
			if !(r.Figure > 0) || math.IsInf(r.Figure, 0) {
				t.Errorf("%v: %+v: want a figure", c.lib, r)
			}
			if r.FLOP == 0 {
				return
			}
			judged := c.lib.Name != "gonum"
			if (r.Fraction > 0) != judged || (r.LimitGFLOPS > 0) != judged || strings.HasPrefix(r.Verdict, "not judged") == judged || r.Met && !judged {
				t.Errorf("%v: %+v: want a fraction of the roofline and a verdict: %v", c.lib, r, judged)
			}
		})
		if err != nil || !slices.Equal(rows, c.only) {
			t.Errorf("%v: rows %v, %v; want %v", c.lib, rows, err, c.only)
		}
	}
}

func TestMeasuringStopsWhenAsked(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	b := &Bench{Seconds: 4, Engine: graph.NewEngine(1, blas.Gonum()), Now: time.Now, Temp: t.TempDir(), images: 600, square: 64}
	for _, name := range []string{"vae", "mixture", "iw", "quadrature"} {
		if err := b.Measure(ctx, []string{name}, func(string) {}, func(Row) {}); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v, want the context's error", name, err)
		}
	}
}

func TestUnknownRowsAreNamed(t *testing.T) {
	if err := Validate([]string{"vae", "gpu"}); err == nil || !strings.Contains(err.Error(), `"gpu", want one of vae, deep,`) {
		t.Errorf("Validate = %v", err)
	}
	if err := Validate(Names()); err != nil {
		t.Error(err)
	}
}
