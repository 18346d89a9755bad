package graph

import (
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"elbo/graph/blas"
)

func newTestBuilder() *Builder { return newBuilder(NewEngine(1, blas.Gonum())) }

func (b *Builder) compileOutputs(outputs ...Node) (*Program, error) {
	b.Output(outputs...)
	return b.compile()
}

func TestAPanicInAnOperationIsAnErrorThatNamesIt(t *testing.T) {
	b := newTestBuilder()
	x, _ := b.Input("x", 2)
	y := b.apply(op{kind: "broken", in: []Node{x}, out: []int{2}, forward: func(y []float32, in [][]float32) { panic("no such luck") }})
	p, err := b.compileOutputs(y)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // also the next run
		if err := p.Run(); err == nil || !strings.Contains(err.Error(), "broken: no such luck") {
			t.Errorf("Run = %v, want an error with the operation and the panic", err)
		}
	}
}

// TestAProgramComputesWhatGorgoniasMachineDoes runs one graph, with gradients that meet,
// on both.
func TestAProgramComputesWhatGorgoniasMachineDoes(t *testing.T) {
	b := newTestBuilder()
	params := []*Param{NewParam("w", 4, 3), NewParam("b", 4)}
	for _, p := range params {
		for i := range p.Value {
			p.Value[i] = float32(i%5)/3 - 0.5
		}
	}
	x, values := b.Input("x", 6, 3)
	for i := range values {
		values[i] = float32(i%7) / 7
	}
	eps, noise := b.Input("eps", 6, 2)
	for i := range noise {
		noise[i] = float32(i%3) - 1
	}
	h := b.Affine(x, b.Param(params[0]), b.Param(params[1]), Tanh) // used three times: gradients are summed
	z := b.Reparameterise(h, eps)
	bound := b.Add(b.LogPriorRatio(h, eps, z), b.KLStdNormal(h))
	weight, ones := b.Input("weight", 6)
	for i := range ones {
		ones[i] = 1
	}
	loss := b.NegMean(bound, weight)
	b.Gradients(loss, params)
	p, err := b.compileOutputs(bound, loss)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Run(); err != nil {
		t.Fatal(err)
	}
	roots := append(G.Nodes{bound.node, loss.node}, p.grads...)
	var got [][]float32
	for _, n := range roots {
		got = append(got, slices.Clone(p.values[n]))
	}
	sums := 0
	for _, n := range ancestors(roots) {
		if o, ours := n.Op().(*op); ours {
			clear(o.y)
		} else if _, ok := n.Op().(G.UsePreallocDoer); ok {
			sums++
		}
	}
	if sums == 0 {
		t.Fatal("no gradients meet in this graph: it does not try what it should")
	}

	code, locations, err := G.CompileFunction(b.graph, b.inputs, roots)
	if err != nil {
		t.Fatal(err)
	}
	if err := G.NewTapeMachine(b.graph, G.WithPrecompiled(code, locations)).RunAll(); err != nil {
		t.Fatal(err)
	}
	for i, n := range roots {
		var want []float32
		switch v := n.Value().(type) {
		case *tensor.Dense:
			want = v.Float32s()
		case *G.F32:
			want = []float32{float32(*v)}
		}
		if !slices.Equal(got[i], want) {
			t.Errorf("%v: %v, on the machine %v", n, got[i], want)
		}
	}
}

func TestAPanicInAShardReachesTheCaller(t *testing.T) {
	for _, at := range []int{0, 10, 20} { // the caller's shard, and others
		func() {
			defer func() {
				if got, _ := recover().(string); !strings.HasPrefix(got, "shard\n") || !strings.Contains(got, "program_test.go") {
					t.Errorf("recovered %q, want the shard's panic and where it came from", got)
				}
			}()
			NewEngine(3, blas.Gonum()).Split(30, 1, func(lo, _ int) {
				if lo == at {
					panic("shard")
				}
			})
		}()
	}
}

// TestShardsAreWorkedOnSideBySide: each waits for all others to have begun.
func TestShardsAreWorkedOnSideBySide(t *testing.T) {
	e := NewEngine(3, blas.Gonum())
	for range 50 {
		var begun sync.WaitGroup
		begun.Add(3)
		e.Split(3, 1, func(int, int) {
			begun.Done()
			begun.Wait()
		})
		if rand.IntN(10) == 0 { // helpers end meanwhile
			time.Sleep(time.Millisecond)
		}
	}
}

// TestSplitsNestAndHaveSeveralCallers: who finds the helpers taken does the work alone.
func TestSplitsNestAndHaveSeveralCallers(t *testing.T) {
	e := NewEngine(2, blas.Gonum())
	var total atomic.Int64
	var callers sync.WaitGroup
	for range 4 {
		callers.Go(func() {
			for range 100 {
				e.Split(8, 1, func(lo, hi int) {
					e.Split(hi-lo, 1, func(lo, hi int) { total.Add(int64(hi - lo)) })
				})
			}
		})
	}
	callers.Wait()
	if got := total.Load(); got != 4*100*8 {
		t.Errorf("%d elements were worked on, want %d", got, 4*100*8)
	}
}

func TestShardsCoverTheRangeOnce(t *testing.T) {
	for _, workers := range []int{1, 2, 3, 7} {
		for _, n := range []int{1, 2, 5, 64, 1001} {
			for _, grain := range []int{0, 1, 10, 2000} {
				seen := make([]int32, n)
				NewEngine(workers, blas.Gonum()).Split(n, grain, func(lo, hi int) {
					for i := lo; i < hi; i++ {
						seen[i]++
					}
				})
				if slices.Max(seen) != 1 || slices.Min(seen) != 1 {
					t.Fatalf("%d workers, %d elements, grain %d: an element is covered %d to %d times", workers, n, grain, slices.Min(seen), slices.Max(seen))
				}
			}
		}
	}
}

func TestTheFirstErrorOfBuildingIsReported(t *testing.T) {
	tests := map[string]struct {
		build func(b *Builder) Node
		want  string
	}{
		"shapes": {func(b *Builder) Node {
			x, _ := b.Input("x", 2, 3)
			return b.Affine(x, b.Param(NewParam("w", 4, 5)), b.Param(NewParam("b", 4)), ReLU)
		}, "graph: affine: x [2 3], w [4 5], bias [4]: want [B in], [out in], [out]"},
		"names": {func(b *Builder) Node {
			b.Input("x", 2)
			x, _ := b.Input("x", 3)
			return b.SampleMean(x, 3)
		}, `graph: two inputs or parameters are called "x"`},
		"extent": {func(b *Builder) Node {
			x, _ := b.Input("x", 2, 0)
			return b.KLStdNormal(x)
		}, "graph: x has shape [2 0]: every extent must be at least 1"},
		"after an error": {func(b *Builder) Node {
			x, _ := b.Input("x", 0)
			h, _ := b.Input("h", 3, 4)
			return b.NegMean(b.Bound(b.BernoulliLogLik(x, h), b.KLStdNormal(x), x), b.LogMeanExp(b.Add(x, x), 0))
		}, "graph: x has shape [0]"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := newTestBuilder()
			_, err := b.compileOutputs(test.build(b))
			if err == nil || !strings.HasPrefix(err.Error(), test.want) {
				t.Errorf("compile = %v, want %s", err, test.want)
			}
		})
	}
}

func TestALossThatAParameterDoesNotReachIsAnError(t *testing.T) {
	b := newTestBuilder()
	p := b.Param(NewParam("p", 3))
	w, _ := b.Input("w", 3)
	b.Gradients(b.Dot(p, w), []*Param{NewParam("q", 3)})
	_, err := b.compile()
	if err == nil || !strings.Contains(err.Error(), "q is not in the graph") {
		t.Errorf("compile = %v, want an error that names q", err)
	}
}

// TestEqualOperationsAreNotMerged: Gorgonia merges nodes of equal hash, and two
// operations that share a buffer would overwrite each other.
func TestEqualOperationsAreNotMerged(t *testing.T) {
	b := newTestBuilder()
	x, values := b.Input("x", 2)
	copy(values, []float32{1, 3})
	first, second := b.SampleMean(x, 2), b.SampleMean(x, 2)
	if first == second {
		t.Fatal("two operations became one node")
	}
	p, err := b.compileOutputs(b.Add(first, second))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Run(); err != nil {
		t.Fatal(err)
	}
}

// TestProgramsRunConcurrentlyOnSharedParameters is for the race detector as well.
func TestProgramsRunConcurrentlyOnSharedParameters(t *testing.T) {
	w, bias := NewParam("w", 5, 5), NewParam("b", 5)
	for i := range w.Value {
		w.Value[i] = float32(i)
	}
	run := func() []float32 {
		var y Node
		p, err := Build(NewEngine(1, blas.Gonum()), func(b *Builder) {
			x, values := b.Input("x", 4, 5)
			for i := range values {
				values[i] = 1
			}
			y = b.Affine(x, b.Param(w), b.Param(bias), ReLU)
			b.Output(y)
		})
		if err != nil {
			t.Error(err)
			return nil
		}
		for range 20 {
			if err := p.Run(); err != nil {
				t.Error(err)
			}
		}
		return slices.Clone(p.Values(y))
	}
	results := make(chan []float32, 4)
	for range cap(results) {
		go func() { results <- run() }()
	}
	want := []float32{10, 35, 60, 85, 110}
	for range cap(results) {
		if got := <-results; len(got) != 20 || !slices.Equal(got[:5], want) {
			t.Errorf("got %v, want rows of %v", got, want)
		}
	}
}
