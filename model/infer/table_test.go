package infer

import (
	"context"
	"math"
	"testing"

	"elbo/graph"
	"elbo/graph/graphtest"
	"elbo/model"
)

// TestQuadratureOfAGridIsItsEvidenceUnderTheContinuousPrior: the grid's own nodes and
// weights, many of them, approach the integral from which they came.
func TestQuadratureOfAGridIsItsEvidenceUnderTheContinuousPrior(t *testing.T) {
	v := plainView(t, 90, 6, 6)
	grid, err := model.NewGrid(model.Hermite, []int{60, 60})
	if err != nil {
		t.Fatal(err)
	}
	m, err := model.NewGridModel(model.EMConfig{
		Pixels: 36, States: 60 * 60, Likelihood: model.BernoulliName, Prior: model.Fixed,
		Grid: &model.GridConfig{Grid: grid, Hidden: []int{10}, Activation: graph.Tanh},
	}, graphtest.Engine(1), drawn(3))
	if err != nil {
		t.Fatal(err)
	}
	e, err := EvaluateTable(context.Background(), m.EM, v, nil)
	if err != nil {
		t.Fatal(err)
	}
	exact, _, err := Integrate(context.Background(), m.Joint(), v, nil, nil)
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
