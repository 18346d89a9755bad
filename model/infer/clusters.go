package infer

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"elbo/graph/elementary"
)

// Clusters compares the most probable states of images with the labels of the images. No model
// has seen a label.
type Clusters struct {
	Images int     `json:"images"`
	Labels []int   `json:"labels"` // that occur, ascending: the columns of Counts
	States []int   `json:"states"` // that are the most probable one of an image, those of most images first: the rows of Counts
	Counts [][]int `json:"counts"` // images by state and label

	// NMI is the mutual information of state and label by the mean of their entropies,
	// 2 I(z; y) / (H(z) + H(y)), from 0 to 1. It rises with the number of states where there is
	// nothing to find: ARI does not.
	NMI float64 `json:"nmi"`

	// ARI is the share of pairs of images on which states and labels agree (together in both,
	// or apart in both), on a scale where 0 is expected of states that were dealt out at random
	// and 1 is agreement on all.
	//
	// Source: Hubert and Arabie 1985.
	ARI float64 `json:"ari"`

	// Purity is the share of the images that are of the most frequent label of their state, from
	// 0 to 1. It comes to 1 with a state for each image.
	Purity float64 `json:"purity"`
}

// NewClusters compares states with labels, one of each for every image.
func NewClusters(states, labels []int) (*Clusters, error) {
	if len(states) != len(labels) || len(states) == 0 {
		return nil, fmt.Errorf("%d states and %d labels, want one of each for at least one image", len(states), len(labels))
	}
	type cell struct{ state, label int }
	counts, ofState, ofLabel := map[cell]int{}, map[int]int{}, map[int]int{}
	for i, state := range states {
		counts[cell{state, labels[i]}]++
		ofState[state]++
		ofLabel[labels[i]]++
	}
	c := &Clusters{Images: len(states), Labels: slices.Sorted(maps.Keys(ofLabel))}
	c.States = slices.SortedFunc(maps.Keys(ofState), func(a, b int) int {
		return cmp.Or(cmp.Compare(ofState[b], ofState[a]), cmp.Compare(a, b))
	})
	n := float64(len(states))
	information, together, pure := 0.0, 0.0, 0
	for _, state := range c.States {
		row := make([]int, len(c.Labels))
		for j, label := range c.Labels {
			row[j] = counts[cell{state, label}]
			if nij := float64(row[j]); nij > 0 {
				information += float64(nij / n * elementary.Log(nij*n/(float64(ofState[state])*float64(ofLabel[label]))))
			}
			together += pairs(row[j])
		}
		pure += slices.Max(row)
		c.Counts = append(c.Counts, row)
	}
	entropy, inStates := spread(ofState, c.States, n)
	entropyOfLabels, inLabels := spread(ofLabel, c.Labels, n)
	c.NMI, c.ARI = 1, 1 // of one state and one label
	if entropy+entropyOfLabels > 0 {
		c.NMI = max(0, 2*information/(entropy+entropyOfLabels))
	}
	expected := 0.0
	if len(states) > 1 {
		expected = inStates * inLabels / pairs(len(states))
	}
	if most := float64((inStates + inLabels) / 2); most > expected {
		c.ARI = (together - expected) / (most - expected)
	}
	c.Purity = float64(pure) / n
	return c, nil
}

// spread returns the entropy of a partition of n images, nats, and the pairs that are together
// in it.
func spread(counts map[int]int, parts []int, n float64) (entropy, together float64) {
	for _, part := range parts {
		share := float64(counts[part]) / n
		entropy -= float64(share * elementary.Log(share))
		together += pairs(counts[part])
	}
	return entropy, together
}

// pairs is how many pairs n images have.
func pairs(n int) float64 { return float64(float64(n) * float64(n-1) / 2) }
