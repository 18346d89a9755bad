package train

import (
	"context"
	"math"
	"testing"

	"elbo/data"
	"elbo/graph"
	"elbo/model"
	"elbo/model/infer"
)

// TestQuadratureOfAGridIsItsEvidenceUnderTheContinuousPrior: the grid's own nodes and
// weights, many of them, approach the integral from which they came.
func TestQuadratureOfAGridIsItsEvidenceUnderTheContinuousPrior(t *testing.T) {
	c := smallConfig(t)
	d := DefaultConfig(GridModel)
	d.Data, d.Split, d.Binarise, d.Workers, d.Seed = c.Data, c.Split, data.Threshold, 1, 3
	d.Grid, d.GridRule, d.Hidden = []int{60, 60}, model.Hermite, []int{10}
	d.Activation = graph.Tanh
	s := newTestSetup(t, d)
	e, err := infer.EvaluateTable(context.Background(), s.EM, s.Train)
	if err != nil {
		t.Fatal(err)
	}
	q, err := infer.NewQuadrature(s.EM.Joint(), infer.DefaultQuadrature(2), s.Train.N())
	if err != nil {
		t.Fatal(err)
	}
	exact, err := q.Evidence(context.Background(), s.Train, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, x := range exact {
		// 60 Gauss-Hermite nodes integrate a smooth function to rounding.
		if math.Abs(x.LogP-e.PerImage[i].LogP) > x.Error+e.PerImage[i].Error {
			t.Errorf("image %d: %.6f by quadrature, %.6f on the grid (stated %.2g and %.2g)", i, x.LogP, e.PerImage[i].LogP, x.Error, e.PerImage[i].Error)
		}
	}
}
