package train

import (
	"context"
	"math"
	"slices"
	"sync"
	"testing"

	"elbo/data"
	"elbo/model/infer"
	"elbo/model/modeltest"
)

// TestTwoProcessesTrainAsOne: each takes half of the images of a batch, of the same noise,
// order and outcomes; gradients and terms are summed between them.
func TestTwoProcessesTrainAsOne(t *testing.T) {
	c := smallConfig(t)
	c.Split = []int{90, 0}
	alone := newTestSetup(t, c)
	if _, err := Run(context.Background(), alone, newHastyRun(t, c), nil, &listener{}, still); err != nil {
		t.Fatal(err)
	}
	both := []*Setup{newTestSetup(t, c), newTestSetup(t, c)}
	team := modeltest.Team(2)
	var ranks sync.WaitGroup
	for rank, s := range both {
		s.Reducer = team[rank]
		dir := newHastyRun(t, c)
		ranks.Go(func() {
			if _, err := Run(context.Background(), s, dir, nil, &listener{}, still); err != nil {
				t.Error(err)
			}
		})
	}
	ranks.Wait()
	for i, want := range alone.Tensors() {
		first, second := both[0].Tensors()[i].Data, both[1].Tensors()[i].Data
		for j, w := range want.Data {
			// Sums of up to 16 gradients are rounded otherwise, by 2⁻²⁴ of the largest; Adam
			// divides by their size, and 18 steps of 1e-3 add up: 18 · 1e-3 · 16 · 2⁻²⁴ where
			// gradients do not cancel. A hundred times that where they do.
			if first[j] != second[j] || math.Abs(float64(first[j]-w)) > 100*18*1e-3*16*math.Exp2(-24) {
				t.Fatalf("%s[%d]: %g and %g, alone %g", want.Name, j, first[j], second[j], w)
			}
		}
	}
}

// ranked is a Reducer that knows who it is, and sums nothing.
type ranked struct {
	Alone
	rank, size int
}

func (r ranked) Rank() int { return r.rank }
func (r ranked) Size() int { return r.size }

// TestABatchIsDealtOutWholeAndEvenly: every image goes to one process, in the order of the
// batch; nobody gets more than an even part; and where the batch allows, to its owner.
func TestABatchIsDealtOutWholeAndEvenly(t *testing.T) {
	const n = 100
	for _, size := range []int{1, 2, 3, 7} {
		for seed := range uint64(20) {
			order := data.Order(nil, n, seed, 1)
			for _, batch := range [][]int32{order[:16], order[16:33], order[:1], order} {
				seen, foreign := map[int32]int{}, 0
				for rank := range size {
					r := ranked{rank: rank, size: size}
					own := deal(r, batch, n)
					if len(own) > mostDealt(r, len(batch)) || len(own) < len(batch)/size {
						t.Fatalf("%d processes: process %d gets %d of %d images", size, rank, len(own), len(batch))
					}
					lo, hi := infer.Share(r, n)
					last := -1
					for _, image := range own {
						at := slices.Index(batch, image)
						if at <= last {
							t.Fatalf("%d processes: process %d gets %v of %v", size, rank, own, batch)
						}
						last = at
						seen[image]++
						if int(image) < lo || int(image) >= hi {
							foreign++
						}
						if (owner(r, int(image), n) == rank) != (int(image) >= lo && int(image) < hi) {
							t.Fatalf("%d processes: image %d is owned by process %d, and the share of %d is %d to %d", size, image, owner(r, int(image), n), rank, lo, hi)
						}
					}
				}
				if len(seen) != len(batch) {
					t.Fatalf("%d processes: %d of %d images are dealt out", size, len(seen), len(batch))
				}
				if len(batch) == n && foreign > 0 {
					t.Errorf("%d processes: %d of all images go to others than their owners", size, foreign)
				}
			}
		}
	}
}
