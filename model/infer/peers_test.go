package infer

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"elbo/data"
	"elbo/graph/graphtest"
	"elbo/model"
	"elbo/model/modeltest"
)

// TestPeersComeToTheBitsOfOne: every estimator, whatever the number of processes, also where
// there are more of them than images. Each process has a model of its own.
func TestPeersComeToTheBitsOfOne(t *testing.T) {
	if !graphtest.Engine(1).BLAS.SameEverywhere() {
		t.Skip("a library's product of fewer rows has other bits")
	}
	v := plainView(t, 7, 6, 6)
	local := LocalQOptions{Steps: 3, Rounds: 2, Draws: 2, Selection: 5, LR: 0.1, Tolerance: 0.02}
	for _, c := range []struct {
		name string
		of   func(p Peers) (any, error)
	}{
		{"draws", func(p Peers) (any, error) {
			e, err := NewEvaluator(smallVAE(t), 30)
			if err != nil {
				return nil, err
			}
			e.Peers = p
			return e.Evaluate(context.Background(), v, 3)
		}},
		{"quadrature", func(p Peers) (any, error) {
			exact, _, err := Integrate(context.Background(), smallVAE(t).Joint, v, p, nil)
			return exact, err
		}},
		{"annealing", func(p Peers) (any, error) {
			return EstimateAIS(context.Background(), smallVAE(t).Joint, v, 3, AISOptions{Steps: 20, Chains: 3, Leapfrogs: 2, Simulated: 5, Peers: p})
		}},
		{"gap", func(p Peers) (any, error) {
			m := smallVAE(t)
			families, err := GapFamilies(m, []model.PosteriorName{model.FullPosterior})
			if err != nil {
				return nil, err
			}
			return MeasureGap(context.Background(), m, v, GapOptions{Samples: 9, Seed: 3, LocalQ: local, Families: families, Peers: p}, func(string, int) {})
		}},
		{"gap, exact", func(p Peers) (any, error) {
			return MeasureGap(context.Background(), smallVAE(t), v, GapOptions{Samples: 9, Seed: 3, Exact: true, LocalQ: local, Peers: p}, func(string, int) {})
		}},
		{"table", func(p Peers) (any, error) {
			m, err := model.NewMixture(model.EMConfig{Pixels: 36, States: 4, Likelihood: model.BernoulliName, Prior: model.Shared}, graphtest.Engine(2))
			if err != nil {
				return nil, err
			}
			stream := data.NewStream(1, "means")
			for _, p := range m.Params() {
				for i := range p.Value {
					p.Value[i] = float32(stream.NormFloat64())
				}
			}
			return EvaluateTable(context.Background(), m.EM, v, p)
		}},
	} {
		want, err := c.of(nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, size := range []int{2, 3, 9} {
			got, errs := inTeam(size, c.of)
			for rank := range got {
				if errs[rank] != nil {
					t.Fatalf("%s, %d processes: %v", c.name, size, errs[rank])
				}
				if diff := cmp.Diff(want, got[rank], cmpopts.EquateNaNs(), cmp.AllowUnexported(Evaluation{})); diff != "" {
					t.Errorf("%s: process %d of %d differs from one alone (-):\n%s", c.name, rank, size, diff)
				}
			}
		}
	}
}

// inTeam has so many processes do a thing side by side, and returns what each came to.
func inTeam(size int, do func(p Peers) (any, error)) ([]any, []error) {
	got, errs := make([]any, size), make([]error, size)
	var ranks sync.WaitGroup
	for rank, member := range modeltest.Team(size) {
		ranks.Go(func() { got[rank], errs[rank] = do(member) })
	}
	ranks.Wait()
	return got, errs
}

// TestAFaultOfOneProcessEndsAll: the one that has it says what it is, the others that it was
// another.
func TestAFaultOfOneProcessEndsAll(t *testing.T) {
	v := plainView(t, 6, 6, 6)
	_, errs := inTeam(3, func(p Peers) (any, error) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		if p.Rank() == 1 {
			cancel()
		}
		return EstimateAIS(ctx, smallVAE(t).Joint, v, 3, AISOptions{Steps: 20, Chains: 2, Leapfrogs: 1, Peers: p})
	})
	for rank, err := range errs {
		if want := map[bool]error{true: context.Canceled, false: errElsewhere}[rank == 1]; !errors.Is(err, want) {
			t.Errorf("process %d: %v, want %v", rank, err, want)
		}
	}
}
