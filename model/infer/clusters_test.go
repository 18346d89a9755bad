package infer

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"elbo/graph/graphtest"
	"elbo/model"
)

// TestClustersAgreeWithScikitLearn: NMI, ARI and purity of the labellings in
// testdata/clusters, whose recipe stands beside them.
func TestClustersAgreeWithScikitLearn(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("testdata", "clusters", "reference.json"))
	if err != nil {
		t.Fatal(err)
	}
	var reference struct {
		Cases []struct {
			Name             string
			States, Labels   []int
			NMI, ARI, Purity float64
		}
	}
	if err := json.Unmarshal(text, &reference); err != nil {
		t.Fatal(err)
	}
	if len(reference.Cases) != 9 {
		t.Fatalf("%d cases, want 9", len(reference.Cases))
	}
	for _, want := range reference.Cases {
		c, err := NewClusters(want.States, want.Labels)
		if err != nil {
			t.Fatal(err)
		}
		// Both are sums of at most 200 terms below 1 in float64, in another order.
		for name, figures := range map[string][2]float64{"NMI": {c.NMI, want.NMI}, "ARI": {c.ARI, want.ARI}, "purity": {c.Purity, want.Purity}} {
			if !(math.Abs(figures[0]-figures[1]) < 1e-13) {
				t.Errorf("%s: %s is %.17g, scikit-learn has %.17g", want.Name, name, figures[0], figures[1])
			}
		}
		images := 0
		for _, row := range c.Counts {
			for _, n := range row {
				images += n
			}
		}
		if images != len(want.States) {
			t.Errorf("%s: %d images in the table, want %d", want.Name, images, len(want.States))
		}
	}
	if _, err := NewClusters([]int{1}, []int{1, 2}); err == nil {
		t.Error("states and labels of other lengths were taken")
	}
}

// TestTheContingencyTableHasLargeStatesFirst, and labels in their order.
func TestTheContingencyTableHasLargeStatesFirst(t *testing.T) {
	c, err := NewClusters([]int{4, 9, 9, 9, 4, 1}, []int{7, 3, 3, 7, 7, 3})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(c.States, []int{9, 4, 1}) || !slices.Equal(c.Labels, []int{3, 7}) {
		t.Errorf("states %v and labels %v, want 9 4 1 and 3 7", c.States, c.Labels)
	}
	for i, want := range [][]int{{2, 1}, {0, 2}, {1, 0}} {
		if !slices.Equal(c.Counts[i], want) {
			t.Errorf("state %d: %v, want %v", c.States[i], c.Counts[i], want)
		}
	}
}

// TestEvaluationOfATableComparesItsMostProbableStatesWithLabels, and only where there are any.
func TestEvaluationOfATableComparesItsMostProbableStatesWithLabels(t *testing.T) {
	v := plainView(t, 60, 5, 5)
	m, err := model.NewMixture(model.EMConfig{Pixels: 25, States: 4, Likelihood: model.BernoulliName, Prior: model.Fixed}, graphtest.Engine(1))
	if err != nil {
		t.Fatal(err)
	}
	for i := range m.Params()[0].Value { // four states that differ
		m.Params()[0].Value[i] = float32(math.Sin(float64(i)))
	}
	e, err := EvaluateTable(context.Background(), m.EM, v, nil)
	if err != nil {
		t.Fatal(err)
	}
	var states, labels []int
	err = Posteriors(context.Background(), m.EM, v, func(rows []float32) bool {
		for row := range slices.Chunk(rows, 4) {
			states = append(states, slices.Index(row, slices.Max(row)))
		}
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range v.N() {
		label, ok := v.Label(i)
		if !ok {
			if e.Table.Clusters != nil {
				t.Fatal("images without labels were compared with labels")
			}
			return
		}
		labels = append(labels, int(label))
	}
	want, err := NewClusters(states, labels)
	if err != nil {
		t.Fatal(err)
	}
	if got := e.Table.Clusters; got == nil || got.NMI != want.NMI || got.ARI != want.ARI || len(want.States) < 2 {
		t.Errorf("clusters %+v, want %+v with two states or more", got, want)
	}
}
