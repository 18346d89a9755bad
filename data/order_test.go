package data

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestOrderIsAPermutationAndAFunctionOfItsKey(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 300).Draw(t, "n")
		seed := rapid.Uint64().Draw(t, "seed")
		epoch := rapid.IntRange(0, 1000).Draw(t, "epoch")
		dirty := make([]int32, rapid.IntRange(0, 400).Draw(t, "cap"))
		for i := range dirty {
			dirty[i] = -1
		}
		order := Order(dirty, n, seed, epoch)
		if again := Order(nil, n, seed, epoch); !slices.Equal(order, again) {
			t.Fatalf("reused slice gives %v, fresh one %v", order, again)
		}
		slices.Sort(order)
		for i, k := range order {
			if int(k) != i {
				t.Fatalf("sorted order has %d at %d", k, i)
			}
		}
		if len(order) != n {
			t.Fatalf("%d images in the order, want %d", len(order), n)
		}
	})
}

func TestOrderIsPinned(t *testing.T) {
	for epoch, want := range [][]int32{{8, 9, 7, 5, 2, 4, 1, 3, 0, 6}, {2, 9, 3, 6, 8, 7, 0, 4, 1, 5}, {7, 5, 4, 1, 8, 9, 6, 3, 2, 0}} {
		if found := Order(nil, 10, 1, epoch); !slices.Equal(found, want) {
			t.Errorf("epoch %d: %v, want %v", epoch, found, want)
		}
	}
}

func TestEveryOrderIsEquallyLikely(t *testing.T) {
	const epochs = 24000
	counts := map[[4]int32]int{}
	var order []int32
	for epoch := range epochs {
		order = Order(order, 4, 7, epoch)
		counts[[4]int32(order)]++
	}
	if len(counts) != 24 {
		t.Fatalf("%d orders of 4 images, want 24", len(counts))
	}
	// Binomial counts of mean 1000 and standard deviation √(1000·23/24) = 31.
	for order, n := range counts {
		if math.Abs(float64(n-epochs/24)) > 5*31 {
			t.Errorf("order %v came %d times, want 1000 ± 155", order, n)
		}
	}
}
