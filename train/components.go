package train

import (
	"cmp"
	"slices"

	"elbo/graph/elementary"
)

// Component is a state of a model with a table, as a picture of it needs it.
type Component struct {
	State  int       // its number, from 0: the column of the table
	Weight float64   // p(z) of it
	Mean   []float32 // E[x|z], [D]
}

// Components returns the states of a model with a table, each once, the one of the largest
// weight first; of equal weights in their order.
func Components(m Tabular) []Component {
	means, d := m.Table().Means(), m.Table().Config.Pixels
	components := make([]Component, 0, m.Table().Config.States)
	for k, logP := range m.Table().LogPrior() {
		components = append(components, Component{State: k, Weight: elementary.Exp(float64(logP)), Mean: means[k*d:][:d]})
	}
	slices.SortStableFunc(components, func(a, b Component) int { return cmp.Compare(b.Weight, a.Weight) })
	return components
}
